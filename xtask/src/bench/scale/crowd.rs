//! Backends that listen, and connections to them that are open.

use std::{
    env,
    io::{self, BufRead as _, BufReader},
    net::TcpListener,
    os::fd::AsRawFd as _,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    libc,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::Signal,
    },
};

use super::{Numbers, hold};
use crate::command::end_with_us;

/// Files that stay for other things than connections.
const OTHER_FILES: u64 = 200;

/// Connections that the kernel keeps for a listener that never accepts; they are established all the same, and take no
/// file on that side.
const BACKLOG: libc::c_int = 65_535;

/// Listening sockets and the processes that hold connections to them; all gone when dropped.
pub(super) struct Crowd {
    holders: Vec<Child>,
    _backends: Vec<TcpListener>,
}

impl Crowd {
    /// Returns when every connection is open.
    pub(super) fn open(numbers: Numbers) -> Result<Self> {
        let files = allow_open_files()?;
        let most = u32::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX);
        ensure!(
            numbers.backends <= most,
            "{} files may be open, too few for {} backends",
            files,
            numbers.backends
        );
        let backends = (0..numbers.backends).map(listen).collect::<Result<_>>()?;
        let mut crowd = Self { holders: Vec::new(), _backends: backends };
        let mut first = 0;
        while first < numbers.connections {
            let connections = most.min(numbers.connections - first);
            crowd.holders.push(start(numbers.backends, first, connections)?);
            first += connections;
        }
        for holder in &mut crowd.holders {
            let output = holder.stdout.take().context("it has an output")?;
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line)?;
            ensure!(line.trim_end() == hold::READY, "a process that was to hold connections does not");
        }
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            let _ended_already = holder.kill();
            let _no_zombie = holder.wait();
        }
    }
}

fn listen(number: u32) -> Result<TcpListener> {
    let address = hold::backend(number);
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    // SAFETY: listen(2) on an open descriptor touches no memory of ours; on one that listens it sets the backlog.
    let outcome = unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
    ensure!(outcome == 0, "cannot listen on {address}: {}", io::Error::last_os_error());
    Ok(listener)
}

fn start(backends: u32, first: u32, connections: u32) -> Result<Child> {
    let mut command = Command::new(env::current_exe().context("cannot find this program")?);
    command.args(["bench", "hold", "--backends", &backends.to_string()]);
    command.args(["--first", &first.to_string(), "--connections", &connections.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    end_with_us(&mut command, Signal::SIGKILL)
        .spawn()
        .context("cannot start a process that holds connections")
}

/// As many open files as this process may have; answers how many.
pub(super) fn allow_open_files() -> Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit of open files")?;
    Ok(most)
}
