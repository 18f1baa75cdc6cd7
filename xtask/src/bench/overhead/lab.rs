//! nginx in front of nginx, on the loopback of a network namespace of its own: once with a new connection for each
//! request, once with connections that are kept.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::Signal,
};

use crate::{
    command::{end_with_us, run_aside},
    machine::Machine,
    soak::process::terminate,
};

/// How the balancer connects to its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connections {
    /// A new one for each request.
    New,
    /// Kept between requests.
    Kept,
}

const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 91, 1);
/// Addresses of the backends: 11 to 14.
const BACKENDS: std::ops::RangeInclusive<u8> = 11..=14;
/// Connections that have been idle for so long the balancer closes: none is left when the next tool begins.
pub(super) const KEPT_IDLE: Duration = Duration::from_millis(500);

impl Connections {
    pub(super) const ALL: [Self; 2] = [Self::New, Self::Kept];

    pub(super) fn balancer(self) -> SocketAddr {
        (BALANCER, self.port() + 1).into()
    }

    /// Whether a connection to `address` is one to its backends.
    pub(super) fn has_backend(self, address: SocketAddr) -> bool {
        self.backends().any(|backend| backend == address)
    }

    fn backends(self) -> impl Iterator<Item = SocketAddr> {
        BACKENDS.map(move |last| (Ipv4Addr::new(127, 0, 91, last), self.port()).into())
    }

    /// Where the backends say how many connections they have accepted.
    fn status(self) -> SocketAddr {
        (BALANCER, self.port() + 2).into()
    }

    fn port(self) -> u16 {
        match self {
            Self::New => 18_490,
            Self::Kept => 18_590,
        }
    }

    /// What the balancer sends to its backends.
    fn header(self) -> &'static str {
        match self {
            Self::New => "close",
            Self::Kept => "\"\"",
        }
    }
}

/// The running servers.
pub(super) struct Lab {
    _servers: Vec<Server>,
}

impl Lab {
    /// Moves this thread, and so whatever it starts, into namespaces of its own, and starts the servers there. The
    /// namespaces go away with the processes in them, whichever way these end.
    pub(super) fn start(machine: &Machine, directory: &Path) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .context("cannot make namespaces; this needs root")?;
        mount_what_tools_need()?;
        let remedy = "the namespace has no loopback without";
        run_aside(machine.command("ip").args(["link", "set", "lo", "up"]), remedy)?;
        // Every connection leaves one of its ports unused for a minute.
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535")
            .context("cannot widen the range of ports")?;
        let mut servers = Vec::new();
        for connections in Connections::ALL {
            let name = format!("backends-{}", connections.port());
            let text = backends(connections);
            servers.push(Server::start(machine, directory, &name, &text, connections.status())?);
        }
        let waits_for = Connections::Kept.balancer();
        servers.push(Server::start(machine, directory, "balancer", &balancer(), waits_for)?);
        Ok(Self { _servers: servers })
    }

    /// Connections that the backends have accepted, the one that asks for it included.
    pub(super) fn accepted(&self, connections: Connections) -> Result<u64> {
        let address = connections.status();
        let mut stream = TcpStream::connect(address).with_context(|| format!("no backends at {address}"))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        accepts(&text).with_context(|| format!("the backends answer {text:?}"))
    }
}

/// Tools find tracepoints in tracefs, the older ones through debugfs.
fn mount_what_tools_need() -> Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("cannot make mounts private")?;
    for (kind, at) in [("tracefs", "/sys/kernel/tracing"), ("debugfs", "/sys/kernel/debug")] {
        if fs::read_dir(at).is_ok_and(|mut entries| entries.next().is_none()) {
            mount(Some(kind), at, Some(kind), MsFlags::empty(), none)
                .with_context(|| format!("cannot mount {kind} at {at}"))?;
        }
    }
    Ok(())
}

/// ```text
/// server accepts handled requests
///  3807 3807 3804
/// ```
fn accepts(status: &str) -> Option<u64> {
    let (_, figures) = status.split_once("server accepts handled requests")?;
    figures.split_ascii_whitespace().next()?.parse().ok()
}

/// What every configuration begins with.
fn head(name: &str, workers: u8) -> String {
    format!(
        "user root;\ndaemon off;\nworker_processes {workers};\nerror_log stderr warn;\npid {name}.pid;\n\
         events {{ worker_connections 8192; multi_accept on; }}\nhttp {{\naccess_log off;\n\
         keepalive_requests 1000000000;\nclient_body_temp_path {name}.body;\nproxy_temp_path {name}.proxy;\n\
         fastcgi_temp_path {name}.fastcgi;\nscgi_temp_path {name}.scgi;\nuwsgi_temp_path {name}.uwsgi;\n"
    )
}

fn backends(connections: Connections) -> String {
    let mut text = head(&format!("backends-{}", connections.port()), 1);
    text.push_str("server {\n");
    for address in connections.backends() {
        let _ = writeln!(text, "listen {address} backlog=4096;");
    }
    let status = connections.status();
    let _ = write!(
        text,
        "location / {{ return 200 \"ok\\n\"; }}\n}}\nserver {{ listen {status}; location / {{ stub_status; }} }}\n}}\n"
    );
    text
}

fn balancer() -> String {
    let mut text = head("balancer", 2);
    for connections in Connections::ALL {
        let (name, listens, header) = (connections.port(), connections.balancer(), connections.header());
        let _ = writeln!(text, "upstream pool{name} {{");
        for address in connections.backends() {
            let _ = writeln!(text, "server {address};");
        }
        if connections == Connections::Kept {
            let _ = writeln!(
                text,
                "keepalive 64;\nkeepalive_requests 1000000000;\nkeepalive_timeout {}ms;",
                KEPT_IDLE.as_millis()
            );
        }
        let _ = write!(
            text,
            "}}\nserver {{\nlisten {listens} backlog=4096;\nlocation / {{\nproxy_pass http://pool{name};\n\
             proxy_http_version 1.1;\nproxy_set_header Connection {header};\n}}\n}}\n"
        );
    }
    text.push_str("}\n");
    text
}

/// A running nginx; told to stop when dropped.
struct Server(Child);

impl Server {
    /// Starts it and waits until it listens.
    fn start(
        machine: &Machine,
        directory: &Path,
        name: &str,
        text: &str,
        listens: SocketAddr,
    ) -> Result<Self> {
        let configuration = directory.join(format!("{name}.conf"));
        let log = directory.join(format!("{name}.log"));
        fs::write(&configuration, text)
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let errors = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut nginx = machine.command("nginx");
        nginx.arg("-p").arg(directory).arg("-c").arg(&configuration).args(["-e", "stderr"]);
        nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let child = end_with_us(&mut nginx, Signal::SIGTERM).spawn().context("cannot start nginx")?;
        let mut server = Self(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(listens).is_err() {
            let running = server.0.try_wait()?.is_none() && Instant::now() < deadline;
            ensure!(running, "nginx does not listen on {listens}; what it says is in {}", log.display());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers end with their master only if it is asked to.
        let _gone_already = terminate(self.0.id());
        let _no_zombie = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_are_the_first_figure_of_the_status() {
        let status = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\nActive connections: 1 \n\
                      server accepts handled requests\n 3807 3806 3804 \nReading: 0 Writing: 1 Waiting: 0 \n";
        assert_eq!(accepts(status), Some(3807));
        assert_eq!(accepts("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }

    #[test]
    fn each_kind_of_connections_has_backends_of_its_own() {
        for (one, other) in [(Connections::New, Connections::Kept), (Connections::Kept, Connections::New)] {
            assert_eq!(one.backends().count(), 4);
            assert!(one.backends().all(|backend| one.has_backend(backend) && !other.has_backend(backend)));
            assert!(!one.has_backend(one.balancer()) && !one.has_backend(one.status()));
        }
    }
}
