//! A process that ends with what is made from it.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::command::end_with_us;

/// Runs until it is dropped.
pub(super) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts it; what it says on stderr is passed on.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = end_with_us(command, Signal::SIGTERM).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {name}"))?, name })
    }

    /// Fails when it has ended.
    pub(super) fn is_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended too early ({status}); its own message is above", self.name),
        }
    }

    /// Waits until it ends by itself, successfully.
    pub(super) fn finish(mut self, patience: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} failed ({status}); its own message is above", self.name);
                return Ok(());
            }
            ensure!(began.elapsed() < patience, "{} does not end within {patience:?}", self.name);
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_or_failed_is_named() {
        let mut gone = Process::start(&mut Command::new("true")).unwrap();
        let _ = gone.child.wait();
        assert!(gone.is_running().unwrap_err().to_string().starts_with("true ended too early"));
        let failed = Process::start(&mut Command::new("false")).unwrap().finish(Duration::from_secs(10));
        assert!(failed.unwrap_err().to_string().starts_with("false failed"));
        assert!(Process::start(&mut Command::new("no-such-program")).is_err());
    }
}
