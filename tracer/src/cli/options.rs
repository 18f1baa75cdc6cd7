//! Options that several commands share, and their values.

use super::exit::Failure;
use crate::pools::{
    BackendRange, DeclaredPool, Filter, Pools, parse_pools_file, read_pools_file, system_resolver,
};
use nix::sys::statfs::NSFS_MAGIC;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which connections, and what is expected of them.
#[derive(clap::Args)]
pub(super) struct PoolOptions {
    /// Pools with the shares you expect (TOML)
    #[arg(long, value_name = "FILE")]
    pools: Option<PathBuf>,
    /// Only pools of the pools file: nothing that is merely seen is judged or listed
    #[arg(long, requires = "pools")]
    declared_only: bool,
    /// Only this balancer: its command, unit, container or cgroup path
    #[arg(long, value_name = "NAME")]
    balancer: Option<String>,
    /// Only backends on this port
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Only these backends: address or network, with or without port
    #[arg(long, value_name = "CIDR[:PORT]")]
    backend: Option<BackendRange>,
    /// Only this network namespace: `self`, or a path such as /proc/PID/ns/net or /run/netns/NAME
    #[arg(long, value_name = "self|PATH")]
    netns: Option<PathBuf>,
}

impl PoolOptions {
    /// The filter that the options describe.
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let netns = self.netns.as_deref().map(netns_inode).transpose()?;
        Ok(Filter { balancer: self.balancer.clone(), port: self.port, backend: self.backend, netns })
    }

    /// What sorts samples into pools.
    pub(super) fn pools(&self) -> Result<Pools, Failure> {
        let pools = Pools::new(self.declared()?, self.filter()?);
        Ok(if self.declared_only { pools.declared_only() } else { pools })
    }

    /// The declared pools, host names resolved.
    fn declared(&self) -> Result<Vec<DeclaredPool>, Failure> {
        let Some(path) = &self.pools else { return Ok(Vec::new()) };
        let bytes = read_pools_file(path).map_err(|error| Failure::Input(vec![error.to_string()]))?;
        let lines = |errors: Vec<crate::pools::PoolsFileError>| {
            Failure::Input(errors.iter().map(ToString::to_string).collect())
        };
        let file = parse_pools_file(&path.display().to_string(), &bytes).map_err(lines)?;
        file.resolve(system_resolver).map_err(lines)
    }
}

/// Inode number of a network namespace, which is what the kernel names it by.
fn netns_inode(path: &Path) -> Result<u32, Failure> {
    let file = if path == Path::new("self") { Path::new("/proc/self/ns/net") } else { path };
    let complain = |what: String| Failure::Input(vec![format!("--netns {}: {what}", path.display())]);
    let is_namespace =
        nix::sys::statfs::statfs(file).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC);
    let found = std::fs::metadata(file).map_err(|error| {
        complain(format!("{error}; give `self`, or a file such as /proc/PID/ns/net or /run/netns/NAME"))
    })?;
    let inode = u32::try_from(found.ino()).ok().filter(|_| is_namespace);
    inode.ok_or_else(|| {
        complain(
            "this file is no namespace; give `self`, or a file such as /proc/PID/ns/net or /run/netns/NAME"
                .into(),
        )
    })
}

/// `30s`, `2m`, `1h 30m`: more than nothing.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "not a duration; write it as 30s, 500ms or 2m".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(duration) if duration.is_zero() => Err("must be longer than 0".into()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("must not be negative".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_with_their_unit_and_longer_than_nothing() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["0s", "-1s", "", "30", "s", "9e99s", "1y"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_namespace_is_named_by_its_inode() {
        let own = netns_inode(Path::new("self")).unwrap();
        assert_eq!(netns_inode(Path::new("/proc/self/ns/net")).unwrap(), own);
        assert!(netns_inode(Path::new("/nowhere")).is_err());
        assert!(netns_inode(Path::new("/proc/self/status")).is_err(), "a file that is no namespace");
    }
}
