//! Network namespaces of a scenario's own, with the links and routes between them.

use super::address::Block;
use super::wait;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Once};
use std::time::Duration;

/// A namespace that `ip netns` knows by name; deleted when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    pub(crate) fn new(name: String) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(delete_abandoned);
        ip(&format!("netns add {name}"));
        let file = Arc::new(File::open(format!("/run/netns/{name}")).unwrap());
        let namespace = Self { name, file };
        namespace.set("ipv6/conf/default/accept_dad", "0");
        namespace.ip("link set lo up");
        namespace
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs `ip` inside.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.name));
    }

    /// Sets one of its own `net.…` of sysctl.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.run(|| std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap());
    }

    /// Runs something on a thread inside; the sockets it makes stay inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    pub(crate) fn enter(&self) {
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Has a child enter before it becomes the program.
    pub(crate) fn enter_on_exec(&self, command: &mut Command) {
        let file = self.file.clone();
        // SAFETY: between fork and exec only setns(2) is called, which is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
                Ok(())
            });
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Deletes what a run left that was killed.
fn delete_abandoned() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let owner = name.strip_prefix("tracer-e2e-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            println!("deleting {name}, left by a run that was killed");
            let _ = Command::new("ip").args(["netns", "delete", &name]).status();
        }
    }
}

/// What the router does with packets to an address.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// Delivers them to a backend on the router itself.
    Local,
    /// Drops them without a word.
    BlackHole,
    /// Answers with ICMP host unreachable.
    Unreachable,
}

/// Two namespaces: the balancer's, and a router's that has the backends.
pub(crate) struct Network {
    pub(crate) front: Namespace,
    pub(crate) router: Namespace,
}

impl Network {
    /// `name` tells the networks of one scenario apart.
    pub(crate) fn new(block: Block, name: &str) -> Self {
        let front = Namespace::new(block.name(&format!("{name}f")));
        let router = Namespace::new(block.name(&format!("{name}r")));
        ip(&format!("link add up0 netns {} type veth peer name down0 netns {}", front.name, router.name));
        front.ip("addr add 192.0.2.1/24 dev up0");
        router.ip("addr add 192.0.2.2/24 dev down0");
        front.ip("-6 addr add fd00:2::1/64 dev up0 nodad");
        router.ip("-6 addr add fd00:2::2/64 dev down0 nodad");
        front.ip("link set up0 up");
        router.ip("link set down0 up");
        front.ip("route add default via 192.0.2.2");
        front.ip("-6 route add default via fd00:2::2");
        router.set("ipv4/ip_forward", "1");
        // A link on which nobody answers ARP: after 50 ms its packets come back as unreachable, each of them.
        router.ip("link add nobody0 type veth peer name nobody1");
        router.ip("addr add 198.51.100.1/24 dev nobody0");
        router.ip("link set nobody0 up");
        router.ip("link set nobody1 up");
        router.set("ipv4/neigh/nobody0/mcast_solicit", "1");
        router.set("ipv4/neigh/nobody0/retrans_time_ms", "50");
        // Neither those to one address nor all together are limited: after a stall many wait at once.
        router.set("ipv4/icmp_ratemask", "0");
        // Until the links are up, packets are lost or come back as unreachable.
        for address in ["192.0.2.2:9", "[fd00:2::2]:9"] {
            let address: SocketAddr = address.parse().unwrap();
            wait::until("the router answers", Duration::from_secs(5), || {
                let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
                let error = front.run(connect).unwrap_err();
                (error.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
            });
        }
        Self { front, router }
    }

    /// Says what becomes of packets to these addresses.
    pub(crate) fn route(&self, addresses: impl IntoIterator<Item = SocketAddr>, fate: Fate) {
        for address in addresses {
            let (version, length) = match address.ip() {
                IpAddr::V4(_) => ("", 32),
                IpAddr::V6(_) => ("-6", 128),
            };
            let host = format!("{}/{length}", address.ip());
            self.router.ip(&match fate {
                Fate::Local if version.is_empty() => format!("addr add {host} dev lo"),
                Fate::Local => format!("-6 addr add {host} dev lo nodad"),
                Fate::BlackHole => format!("{version} route add blackhole {host}"),
                Fate::Unreachable => format!("route add {host} via 198.51.100.2"),
            });
        }
    }
}

#[track_caller]
fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("ip: {error} (apt-get install iproute2)"));
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
