//! Pools files.

use super::backend::Backend;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A pools file, in a directory that goes with it.
pub(crate) struct Pools {
    text: String,
    port: Option<u16>,
    checked_every: Option<&'static str>,
    method: Option<&'static str>,
    directory: TempDir,
}

impl Pools {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
        Self { text: String::new(), port: None, checked_every: None, method: None, directory }
    }

    /// Says of the pools to come how often their members are checked over HTTP.
    pub(crate) fn checked_every(mut self, interval: &'static str) -> Self {
        self.checked_every = Some(interval);
        self
    }

    /// Says of the pools to come how their balancer chooses.
    pub(crate) fn chosen_by(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// One pool called `app` with these members, all alike.
    pub(crate) fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::new().app(addresses)
    }

    /// The same, with what was said before.
    pub(crate) fn app(self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.pool("app", None, addresses.into_iter().map(|address| (address, String::new())))
    }

    pub(crate) fn of_backends(backends: &[Backend]) -> Self {
        Self::of(backends.iter().map(|backend| backend.address))
    }

    /// A pool; a member is an address and what else is in its table (`weight = 2`).
    pub(crate) fn pool(
        mut self,
        name: &str,
        balancer: Option<&str>,
        members: impl IntoIterator<Item = (SocketAddr, String)>,
    ) -> Self {
        writeln!(self.text, "[[pool]]\nname = \"{name}\"").unwrap();
        if let Some(balancer) = balancer {
            writeln!(self.text, "balancer = \"{balancer}\"").unwrap();
        }
        if let Some(interval) = self.checked_every {
            writeln!(self.text, "health_check_interval = \"{interval}\"").unwrap();
        }
        if let Some(method) = self.method {
            writeln!(self.text, "method = \"{method}\"").unwrap();
        }
        self.text.push_str("members = [\n");
        for (address, more) in members {
            self.port = Some(address.port());
            let comma = if more.is_empty() { "" } else { ", " };
            writeln!(self.text, "    {{ address = \"{address}\"{comma}{more} }},").unwrap();
        }
        self.text.push_str("]\n");
        self
    }

    /// A file with this text, whatever it is.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.text = text.to_owned();
        self
    }

    /// Writes it.
    pub(crate) fn file(&self) -> PathBuf {
        let file = self.directory.path().join("pools.toml");
        std::fs::write(&file, &self.text).unwrap();
        file
    }

    /// The port of the members.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}
