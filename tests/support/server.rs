//! A server as a child process: gone with the scenario, its directory too, whatever ends it.

use super::netns::Namespace;
use super::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Its name in the server's directory.
const CONFIGURATION: &str = "server.conf";

/// A running server.
pub(crate) struct Server {
    child: Child,
    name: &'static str,
    directory: TempDir,
}

impl Server {
    /// Writes the configuration that `configuration` makes for a directory of its own, starts `program`, and waits
    /// until it listens.
    pub(crate) fn start(
        name: &'static str,
        namespace: Option<&Namespace>,
        listens: SocketAddr,
        configuration: impl FnOnce(&Path) -> String,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Self {
        let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
        let file = directory.path().join(CONFIGURATION);
        std::fs::write(&file, configuration(directory.path())).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(name);
        command.args(arguments(&file)).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(namespace) = namespace {
            namespace.enter_on_exec(&mut command);
        }
        let child = end_with_parent(&mut command, Signal::SIGTERM)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error} (apt-get install nginx-light haproxy)"));
        let mut server = Self { child, name, directory };
        wait::until(&format!("{name} listens on {listens}"), Duration::from_secs(10), || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{name} ended: {status}\n{}", server.log());
            }
            let connect = || TcpStream::connect_timeout(&listens, Duration::from_millis(200)).ok();
            namespace.map_or_else(connect, |namespace| namespace.run(connect))
        });
        server
    }

    /// Has it read another configuration.
    pub(crate) fn reload(&self, configuration: impl FnOnce(&Path) -> String) {
        let directory = self.directory.path();
        std::fs::write(directory.join(CONFIGURATION), configuration(directory)).unwrap();
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGHUP).unwrap();
    }

    /// A file that its configuration is written in; without a name the main one.
    pub(crate) fn file(&self, name: Option<&str>) -> PathBuf {
        self.directory.path().join(name.unwrap_or(CONFIGURATION))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("{} (pid {}) began by saying:", self.name, self.pid());
            log.lines().take(20).for_each(|line| eprintln!("  {line}"));
        }
        // nginx's workers end with their master only if it is asked to.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has the kernel send `signal` to the child when the thread that starts it ends.
pub(crate) fn end_with_parent(command: &mut Command, signal: Signal) -> &mut Command {
    // SAFETY: between fork and exec only prctl(2) is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(signal)?;
            Ok(())
        })
    }
}
