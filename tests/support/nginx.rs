//! nginx as a balancer.

use super::netns::Namespace;
use super::server::Server;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Its configuration, as far as scenarios differ.
#[derive(Clone)]
pub(crate) struct Nginx<'a> {
    listens: SocketAddr,
    workers: usize,
    method: &'static str,
    servers: Vec<(SocketAddr, String)>,
    keepalive: usize,
    namespace: Option<&'a Namespace>,
    included: Option<&'static str>,
    remark: Option<(usize, &'static str)>,
    scheme: &'static str,
    options: String,
}

impl<'a> Nginx<'a> {
    pub(crate) fn at(listens: SocketAddr) -> Self {
        Self {
            listens,
            workers: 1,
            method: "",
            servers: Vec::new(),
            keepalive: 0,
            namespace: None,
            included: None,
            remark: None,
            scheme: "http",
            options: String::new(),
        }
    }

    /// A line `server` of the upstream, with its parameters (`weight=10`).
    pub(crate) fn server(mut self, address: SocketAddr, parameters: &str) -> Self {
        self.servers.push((address, parameters.to_owned()));
        self
    }

    pub(crate) fn servers(self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        addresses.into_iter().fold(self, |nginx, address| nginx.server(address, ""))
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How it chooses, in place of round robin (`least_conn;`).
    pub(crate) fn method(mut self, line: &'static str) -> Self {
        self.method = line;
        self
    }

    /// Keeps so many idle connections to the backends, per worker.
    pub(crate) fn keepalive(mut self, connections: usize) -> Self {
        self.keepalive = connections;
        self
    }

    pub(crate) fn within(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Has the upstream in a file of this name, which the main one includes.
    pub(crate) fn included(mut self, name: &'static str) -> Self {
        self.included = Some(name);
        self
    }

    /// Puts a comment behind the last line `server`.
    pub(crate) fn remark(mut self, comment: &'static str) -> Self {
        self.remark = Some((self.servers.len(), comment));
        self
    }

    /// Talks TLS to the backends, with a handshake of its own for each connection.
    pub(crate) fn over_tls(mut self) -> Self {
        self.scheme = "https";
        self.option("proxy_ssl_session_reuse off;").option("proxy_ssl_protocols TLSv1.2 TLSv1.3;")
    }

    /// One more line of the server.
    pub(crate) fn option(mut self, line: &str) -> Self {
        writeln!(self.options, "        {line}").unwrap();
        self
    }

    pub(crate) fn start(&self) -> Server {
        Server::start(
            "nginx",
            self.namespace,
            self.listens,
            |directory| self.configuration(directory),
            |file| vec!["-c".to_owned(), file.to_str().unwrap().to_owned()],
        )
    }

    /// Has a running one go on with this configuration.
    pub(crate) fn reload(&self, running: &Server) {
        running.reload(|directory| self.configuration(directory));
    }

    fn configuration(&self, directory: &Path) -> String {
        let mut servers = String::new();
        for (number, (address, parameters)) in (1..).zip(&self.servers) {
            let remark = self.remark.filter(|(behind, _)| *behind == number);
            let remark = remark.map_or(String::new(), |(_, comment)| format!(" # {comment}"));
            writeln!(servers, "        server {address} {parameters};{remark}").unwrap();
        }
        if self.keepalive > 0 {
            writeln!(servers, "        keepalive {};", self.keepalive).unwrap();
        }
        let method =
            if self.method.is_empty() { String::new() } else { format!("        {}\n", self.method) };
        let mut upstream = format!("    upstream pool {{\n{method}{servers}    }}\n");
        if let Some(name) = self.included {
            let file = directory.join(name);
            std::fs::write(&file, upstream).unwrap();
            upstream = format!("    include {};\n", file.display());
        }
        let (scheme, options) = (self.scheme, &self.options);
        let (workers, listens, directory) = (self.workers, self.listens, directory.display());
        format!(
            r#"user root;
daemon off;
worker_processes {workers};
error_log stderr warn;
pid {directory}/pid;
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
{upstream}    server {{
        listen {listens} backlog=4096 reuseport;
{options}        location / {{
            proxy_pass {scheme}://pool;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout 1s;
        }}
    }}
}}
"#
        )
    }
}

/// Starts nginx with a configuration as it stands in a folder; what a test needs is said on the command line.
pub(crate) fn start_fixture(main: &Path, listens: SocketAddr, namespace: &Namespace) -> Server {
    let arguments = |file: &Path| {
        let directory = file.parent().unwrap();
        let (main, directory) = (main.to_str().unwrap(), directory.to_str().unwrap());
        let needed = format!("daemon off; user root; pid {directory}/pid;");
        ["-e", "stderr", "-p", directory, "-c", main, "-g", &needed].map(str::to_owned).to_vec()
    };
    Server::start("nginx", Some(namespace), listens, |_| String::new(), arguments)
}
