//! Options that several commands share, and their values.

use super::exit::{Failure, say};
use super::expected::{Origin, Resolved, host_names, look_up, refusals, resolve};
use super::running;
use crate::input::InputError;
use crate::kernel;
use crate::pools::{BackendRange, DeclaredPool, Filter, Names, Pools};
use clap::builder::{PathBufValueParser, TypedValueParser as _};
use nix::sys::statfs::NSFS_MAGIC;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files that say what is expected.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(super) struct Files {
    /// Pools with the shares you expect (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) pools: Option<PathBuf>,
    /// Expected shares from nginx's configuration: its main file
    #[arg(long, value_name = "FILE")]
    pub(super) nginx: Option<PathBuf>,
    /// Expected shares from HAProxy's configuration: a file or directory, several in their order
    #[arg(long, value_name = "FILE")]
    pub(super) haproxy: Vec<PathBuf>,
    /// Expected shares from Envoy's bootstrap configuration
    #[arg(long, value_name = "FILE")]
    pub(super) envoy: Option<PathBuf>,
}

impl Files {
    /// Whether there is one.
    pub(super) fn are_named(&self) -> bool {
        self.pools.is_some() || self.nginx.is_some() || !self.haproxy.is_empty() || self.envoy.is_some()
    }
}

/// Which connections, and what is expected of them.
#[derive(clap::Args, Clone, Debug, PartialEq)]
pub(super) struct PoolOptions {
    #[command(flatten)]
    pub(super) files: Files,
    /// Only pools that are declared: nothing that is merely seen is judged or listed
    #[arg(long)]
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
    #[arg(long, value_name = "self|PATH",
        value_parser = PathBufValueParser::new().try_map(|path| NetworkNamespace::at(&path)))]
    netns: Option<NetworkNamespace>,
}

/// A line for each problem in a file that was named.
pub(super) fn lines(problems: &[InputError]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

impl PoolOptions {
    /// What sorts samples into pools: those of the files that were named, or else, with `auto`, those of the balancers that
    /// run here. Says what it takes, and what it cannot.
    pub(super) fn pools(&self, auto: bool) -> Result<Pools, Failure> {
        self.check(auto).map_err(Failure::Input)?;
        let mut origins = Origin::read(&self.files);
        let refused = refusals(&origins);
        if !refused.is_empty() {
            return Err(Failure::Input(refused));
        }
        if auto && !self.files.are_named() {
            origins = running::found();
        }
        for origin in &mut origins {
            origin.ask();
        }
        let mut names = Names::default();
        look_up(&mut names, host_names(&origins), false);
        let Resolved { pools, errors, warnings } = resolve(&origins, &names);
        if !errors.is_empty() {
            return Err(Failure::Input(errors));
        }
        warnings.iter().for_each(|line| say(&format!("warning: {line}")));
        Ok(self.pools_of(pools))
    }

    /// What sorts samples into these pools, and into what is seen besides.
    pub(super) fn pools_of(&self, declared: Vec<DeclaredPool>) -> Pools {
        let pools = Pools::new(declared, self.filter());
        if self.declared_only { pools.declared_only() } else { pools }
    }

    /// Whether the options go together. Not clap's business: they may come from a file and from the command line.
    ///
    /// # Errors
    /// A line for each problem.
    pub(super) fn check(&self, auto: bool) -> Result<(), Vec<String>> {
        if self.declared_only && !self.files.are_named() && !auto {
            return Err(vec!["--declared-only needs pools that are declared: add --pools FILE".into()]);
        }
        Ok(())
    }

    /// Whether nothing is judged or listed that no file declares.
    pub(super) fn is_declared_only(&self) -> bool {
        self.declared_only
    }

    /// Whether the same is looked at, whatever is expected of it.
    pub(super) fn selects_the_same(&self, other: &Self) -> bool {
        Self { files: other.files.clone(), ..self.clone() } == *other
    }

    /// The network namespace that it is limited to, as it was named; `None` also for its own.
    pub(super) fn netns(&self) -> Option<&Path> {
        self.netns.as_ref().map(|netns| netns.path.as_path()).filter(|path| *path != Path::new("self"))
    }

    pub(super) fn filter(&self) -> Filter {
        Filter {
            balancer: self.balancer.clone(),
            port: self.port,
            backend: self.backend,
            netns: self.netns.as_ref().map(|netns| netns.inode),
        }
    }
}

/// How much is counted at once, and so how much memory is taken.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// Pairs of balancer and backend with counters of their own; the rest counts together
    #[arg(long, value_name = "N", default_value_t = kernel::Settings::default().max_backends,
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_backends: u32,
    /// Connections that are followed at once; of others only the attempt is counted
    #[arg(long, value_name = "N", default_value_t = kernel::Settings::default().max_connections,
          value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
}

impl Bounds {
    /// The flags that say something else.
    pub(super) fn unlike(&self, other: &Self) -> Vec<&'static str> {
        let mut flags = Vec::new();
        if self.max_backends != other.max_backends {
            flags.push("max-backends");
        }
        if self.max_connections != other.max_connections {
            flags.push("max-connections");
        }
        flags
    }

    /// Pairs of balancer and backend that have counters of their own.
    pub(super) fn max_backends(&self) -> usize {
        usize::try_from(self.max_backends).unwrap_or(usize::MAX)
    }

    pub(super) fn settings(&self, exchanges: kernel::Exchanges) -> kernel::Settings {
        kernel::Settings { max_backends: self.max_backends, max_connections: self.max_connections, exchanges }
    }
}

/// Whether exchanges are measured.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchanges {
    /// Where that is without risk; in `watch` once a balancer reuses its connections
    Auto,
    /// From the start; before Linux 6.3 in a way whose risk is said
    On,
    /// Not at all: unknown
    Off,
}

impl Exchanges {
    /// For a command that measures with `auto` as given.
    pub(super) fn with_auto(self, auto: kernel::Exchanges) -> kernel::Exchanges {
        match self {
            Self::Auto => auto,
            Self::On => kernel::Exchanges::MeasuredAtRisk,
            Self::Off => kernel::Exchanges::Off,
        }
    }
}

/// A network namespace: its inode number, which is what the kernel names it by, and how the user named it.
#[derive(Clone, Debug)]
struct NetworkNamespace {
    inode: u32,
    path: PathBuf,
}

impl PartialEq for NetworkNamespace {
    fn eq(&self, other: &Self) -> bool {
        self.inode == other.inode
    }
}

impl NetworkNamespace {
    fn at(path: &Path) -> Result<Self, String> {
        const REMEDY: &str = "give `self`, or a file such as /proc/PID/ns/net or /run/netns/NAME";
        let file = if path == Path::new("self") { Path::new("/proc/self/ns/net") } else { path };
        let found = std::fs::metadata(file).map_err(|error| format!("{error}; {REMEDY}"))?;
        let is_namespace =
            nix::sys::statfs::statfs(file).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC);
        let inode = u32::try_from(found.ino()).ok().filter(|_| is_namespace);
        let named = |inode| Self { inode, path: path.to_owned() };
        inode.map(named).ok_or_else(|| format!("this file is no namespace; {REMEDY}"))
    }
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

/// `12h`, `30d`, `8w`: days have 24 hours.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_secs(60);
    let span: jiff::Span =
        text.parse().map_err(|_| "not a length of time; write it as 12h, 30d or 8w".to_owned())?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let exact = span.to_duration(days).map_err(|_| "write it in hours, days or weeks".to_owned())?;
    match Duration::try_from(exact) {
        Ok(age) if age >= SHORTEST => Ok(age),
        _ => Err("must be a minute or more".into()),
    }
}

/// A number of bytes, as it is written: `512MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// `512MiB`, `2GiB`, or bytes.
pub(super) fn bytes(text: &str) -> Result<Bytes, String> {
    const LEAST: u64 = 1 << 20;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err("unknown unit; write it as 512MiB or 2GiB".into()),
    };
    let count: u64 =
        digits.trim().parse().map_err(|_| "not a size; write it as 512MiB or 2GiB".to_owned())?;
    match count.checked_mul(unit) {
        Some(bytes @ LEAST..) => Ok(Bytes(bytes)),
        Some(_) => Err("must be 1MiB or more".into()),
        None => Err("is too large".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_hours_days_and_weeks() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("2w"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(age("1d 12h"), Ok(Duration::from_secs(36 * 3_600)));
        for wrong in ["0d", "-1d", "30s", "", "30", "d", "1y", "9e99d"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_in_powers_of_1024() {
        for (text, wanted) in
            [("512MiB", 512 << 20), ("2GiB", 2 << 30), ("2g", 2 << 30), ("1048576", 1 << 20)]
        {
            assert_eq!(bytes(text), Ok(Bytes(wanted)), "{text}");
        }
        for wrong in ["", "MiB", "1MB", "-1GiB", "1.5GiB", "1023KiB", "99999999999999TiB", "1 é"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

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
        let at = |path| NetworkNamespace::at(Path::new(path));
        assert_eq!(at("/proc/self/ns/net").unwrap(), at("self").unwrap());
        assert!(at("/nowhere").is_err());
        assert!(at("/proc/self/status").is_err(), "a file that is no namespace");
    }
}
