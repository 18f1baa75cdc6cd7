//! A client in a process of its own, for what no balancer does on demand: the example `socket_client` or
//! `crowd`, which read what to do from standard input.

use super::netns::Namespace;
use super::server::end_with_parent;
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// An example's program.
#[track_caller]
pub(crate) fn example(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_tracer")).with_file_name("examples").join(name);
    let hint = "`cargo test` builds it, `cargo test --test` does not";
    assert!(program.exists(), "{}: {hint}", program.display());
    program
}

/// The running child.
pub(crate) struct Client {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Starts it, under the name of a command (15 bytes at most).
    pub(crate) fn start(name: impl AsRef<OsStr>) -> Self {
        Self::spawn("socket_client", name.as_ref(), None)
    }

    pub(crate) fn start_in(namespace: &Namespace, name: impl AsRef<OsStr>) -> Self {
        Self::spawn("socket_client", name.as_ref(), Some(namespace))
    }

    /// The example `crowd` instead, for very many connections.
    pub(crate) fn crowd_in(namespace: &Namespace, name: impl AsRef<OsStr>) -> Self {
        Self::spawn("crowd", name.as_ref(), Some(namespace))
    }

    /// The example `other_layout` instead: an agent that pins in a directory.
    pub(crate) fn of_layout(pins: &Path, layout: u16) -> Self {
        Self::starting_of_layout(pins, layout).ready()
    }

    /// The same, however far it is.
    pub(crate) fn starting_of_layout(pins: &Path, layout: u16) -> Self {
        let mut command = Command::new(example("other_layout"));
        Self::begin(command.arg(pins).arg(layout.to_string()))
    }

    fn spawn(example: &str, name: &OsStr, namespace: Option<&Namespace>) -> Self {
        let mut command = Command::new(self::example(example));
        command.arg(name);
        if let Some(namespace) = namespace {
            namespace.enter_on_exec(&mut command);
        }
        Self::begin(&mut command).ready()
    }

    fn begin(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = end_with_parent(command, Signal::SIGKILL).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, answers }
    }

    #[track_caller]
    fn ready(mut self) -> Self {
        assert_eq!(self.answer(), "ready");
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something, and gives its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: impl AsRef<str>) -> String {
        self.tell(command);
        self.answer()
    }

    /// Has it do something.
    #[track_caller]
    pub(crate) fn tell(&mut self, command: impl AsRef<str>) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{}", command.as_ref()).unwrap();
    }

    /// Its answer to what it was told.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> String {
        match self.answers.next() {
            Some(answer) => answer.unwrap(),
            None => panic!("the client ended: {:?}", self.child.wait()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
