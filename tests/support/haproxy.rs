//! HAProxy as a balancer.

use super::netns::Namespace;
use super::server::Server;
use std::fmt::Write;
use std::net::SocketAddr;

/// One request a connection.
const HTTP: &str = "    mode http\n    option httpclose";
/// With its key: both are for these tests alone.
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tls/backend.pem");

/// Its configuration, as far as scenarios differ.
pub(crate) struct Haproxy<'a> {
    listens: SocketAddr,
    servers: Vec<(SocketAddr, String)>,
    balance: &'static str,
    options: String,
    mode: &'static str,
    tls: Option<&'static str>,
    namespace: Option<&'a Namespace>,
    /// How it runs: in the foreground, or as a master with workers.
    runs: &'static str,
}

impl<'a> Haproxy<'a> {
    pub(crate) fn at(listens: SocketAddr) -> Self {
        Self {
            listens,
            servers: Vec::new(),
            balance: "roundrobin",
            options: String::new(),
            mode: HTTP,
            tls: None,
            namespace: None,
            runs: "-db",
        }
    }

    /// A line `server`, with its parameters (`check backup`).
    pub(crate) fn server(mut self, address: SocketAddr, parameters: &str) -> Self {
        self.servers.push((address, parameters.to_owned()));
        self
    }

    pub(crate) fn servers(self, addresses: impl IntoIterator<Item = SocketAddr>, parameters: &str) -> Self {
        addresses.into_iter().fold(self, |haproxy, address| haproxy.server(address, parameters))
    }

    /// How it chooses, in place of `roundrobin`.
    pub(crate) fn balance(mut self, method: &'static str) -> Self {
        self.balance = method;
        self
    }

    /// One more line of the backend.
    pub(crate) fn option(mut self, line: &str) -> Self {
        writeln!(self.options, "    {line}").unwrap();
        self
    }

    /// Passes on bytes as they come.
    pub(crate) fn tcp(mut self) -> Self {
        self.mode = "    mode tcp";
        self
    }

    /// Takes TLS of this version only, with a certificate that nobody signed.
    pub(crate) fn tls(mut self, version: &'static str) -> Self {
        self.tls = Some(version);
        self
    }

    pub(crate) fn within(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// A master that starts workers, and others in their place on SIGUSR2.
    pub(crate) fn master(mut self) -> Self {
        self.runs = "-W";
        self
    }

    pub(crate) fn start(&self) -> Server {
        Server::start(
            "haproxy",
            self.namespace,
            self.listens,
            |_| self.configuration(),
            |file| vec![self.runs.to_owned(), "-f".to_owned(), file.to_str().unwrap().to_owned()],
        )
    }

    fn configuration(&self) -> String {
        let mut servers = String::new();
        for (number, (address, parameters)) in self.servers.iter().enumerate() {
            writeln!(servers, "    server s{number} {address} {parameters}").unwrap();
        }
        let (listens, balance, options, mode) = (self.listens, self.balance, &self.options, self.mode);
        let tls = self.tls.map_or(String::new(), |version| {
            format!(" ssl crt {CERTIFICATE} ssl-min-ver {version} ssl-max-ver {version}")
        });
        // No `spread-checks` and no retries on the same server after a pause: the counts are what the lines say.
        format!(
            "global
    nbthread 1
    maxconn 4000
defaults
{mode}
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    retries 1
    option redispatch 1
frontend front
    bind {listens} backlog 4096{tls}
    default_backend pool
backend pool
    balance {balance}
{options}{servers}"
        )
    }
}
