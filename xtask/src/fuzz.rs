//! `cargo xtask fuzz`: whatever is read from outside, made up by libFuzzer for as long as one likes.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    command::{capture, run_aside},
    machine::Machine,
    setup,
};

/// The version of cargo-fuzz that is installed where there is none.
const VERSION: &str = "0.13.2";

/// What is fuzzed, and how long an input may be, bytes.
const TARGETS: [(&str, u32); 9] = [
    ("pins", 4_096),
    ("state", 131_072),
    ("requests", 16_384),
    ("history", 131_072),
    ("recording", 131_072),
    ("pools", 16_384),
    ("nginx", 16_384),
    ("haproxy", 16_384),
    ("envoy", 16_384),
];

/// An input that is kept is no longer.
const KEPT_BYTES: u32 = 4_096;
/// Except of these, which are nothing if they are not whole: what failed is kept by hand.
const KEPT_BY_HAND: [&str; 2] = ["state", "history"];
/// For one input.
const PATIENCE_SECONDS: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// These targets [default: all, one after the other]
    #[arg(value_parser = TARGETS.map(|(name, _)| name))]
    targets: Vec<String>,
    /// How many minutes each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    minutes: u32,
    /// Keep what reaches code that nothing kept reaches, in tests/fixtures/corpus
    #[arg(long)]
    keep: bool,
}

/// Fuzzes; ends at the first input that something fails on, and says where it is.
pub(crate) fn fuzz(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up(machine, false)?;
    if machine.find("cargo-fuzz").is_none() {
        let mut cargo = machine.command("cargo");
        cargo.args(["install", "cargo-fuzz", "--locked", "--version", VERSION]);
        run_aside(&mut cargo, "install cargo-fuzz by hand")?;
    }
    let mut cargo = cargo_fuzz(machine, "build");
    run_aside(&mut cargo, "the errors above name place and reason")?;
    let chosen = TARGETS.into_iter().filter(|(name, _)| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|target| target == name)
    });
    for (target, most_bytes) in chosen {
        println!("{target}: {}", Target::new(machine, target, most_bytes)?.run(arguments)?);
    }
    Ok(())
}

/// One of them, with the folders that it works in.
struct Target<'a> {
    machine: &'a Machine,
    name: &'a str,
    most_bytes: u32,
    /// What was found on this machine.
    found: PathBuf,
    /// What is in the repository.
    kept: PathBuf,
}

impl<'a> Target<'a> {
    fn new(machine: &'a Machine, name: &'a str, most_bytes: u32) -> Result<Self> {
        let found = machine.below_target(Path::new("fuzz/corpus").join(name))?;
        fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
        let kept = machine.workspace.join("tests/fixtures/corpus").join(name);
        Ok(Self { machine, name, most_bytes, found, kept })
    }

    /// How it went, in one line.
    fn run(&self, arguments: &Arguments) -> Result<String> {
        let artifacts = self.machine.below_target(Path::new("fuzz/failed").join(self.name))?;
        fs::create_dir_all(&artifacts).with_context(|| format!("cannot create {}", artifacts.display()))?;
        let mut cargo = cargo_fuzz(self.machine, "run");
        cargo.arg(self.name).args([&self.found, &self.kept]).arg("--");
        cargo.arg(format!("-artifact_prefix={}/", artifacts.display()));
        cargo.arg(format!("-max_total_time={}", 60 * arguments.minutes));
        cargo.arg(format!("-max_len={}", self.most_bytes)).arg(format!("-timeout={PATIENCE_SECONDS}"));
        cargo.args(["-print_final_stats=1", "-rss_limit_mb=4096"]);
        let dictionary = self.machine.workspace.join(format!("tracer/fuzz/dictionaries/{}.dict", self.name));
        if dictionary.exists() {
            cargo.arg(format!("-dict={}", dictionary.display()));
        }
        let log = self.machine.below_target("fuzz")?.join(format!("{}.log", self.name));
        let output = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let status =
            cargo.stdin(std::process::Stdio::null()).stdout(output.try_clone()?).stderr(output).status();
        let status = status.context("cannot start cargo-fuzz")?;
        ensure!(
            status.success(),
            "{} failed ({status}): {} tells on what, and the input is in {}",
            self.name,
            log.display(),
            artifacts.display()
        );
        let said = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let Some(figures) = Figures::of(&said) else {
            bail!("{} does not tell how many runs there were", log.display())
        };
        let keeps = arguments.keep && !KEPT_BY_HAND.contains(&self.name);
        let kept = if keeps { self.keep()? } else { String::new() };
        Ok(format!("{figures}, nothing failed{kept}"))
    }

    /// Adds to what is kept what reaches more.
    fn keep(&self) -> Result<String> {
        let before = count(&self.kept)?;
        let mut cargo = cargo_fuzz(self.machine, "run");
        cargo.arg(self.name).args([&self.kept, &self.found]);
        // For each way through the code one, however often it is gone.
        cargo.args(["--", "-merge=1", "-use_counters=0"]).arg(format!("-max_len={KEPT_BYTES}"));
        capture(&mut cargo)?;
        Ok(format!("; {} more are kept", count(&self.kept)? - before))
    }
}

fn count(folder: &Path) -> Result<usize> {
    Ok(fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?.count())
}

/// What libFuzzer says at its end.
#[derive(Debug, PartialEq)]
struct Figures {
    inputs: u64,
    seconds: u64,
    /// Edges of the program's code that were reached, and, finer, how often and with what.
    edges: u64,
    features: u64,
}

impl Figures {
    fn of(said: &str) -> Option<Self> {
        let mut lines = said.lines().rev();
        let done = lines.find_map(|line| line.strip_prefix("Done ")?.strip_suffix(" second(s)"))?;
        let (inputs, seconds) = done.split_once(" runs in ")?;
        let reached: Vec<&str> = lines.find(|line| line.contains(" cov: "))?.split_whitespace().collect();
        let after = |name| {
            reached.windows(2).find_map(|pair| (pair[0] == name).then(|| pair[1].parse().ok()).flatten())
        };
        Some(Self {
            inputs: inputs.parse().ok()?,
            seconds: seconds.parse().ok()?,
            edges: after("cov:")?,
            features: after("ft:")?,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inputs, seconds, edges, features } = self;
        write!(f, "{inputs} inputs in {seconds} s reached {edges} edges, {features} features")
    }
}

/// Without sanitizers, which want another standard library: a panic, an abort and a loop are found all the same.
fn cargo_fuzz(machine: &Machine, command: &str) -> std::process::Command {
    let mut cargo = machine.command("cargo");
    cargo.args(["fuzz", command, "--sanitizer", "none"]).current_dir(machine.workspace.join("tracer"));
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_read_from_the_end() {
        let said = "#2\tINITED cov: 1 ft: 2 corp: 1/1b\n\
                    #731\tDONE   cov: 5104 ft: 9123 corp: 288/33Kb lim: 4096 exec/s: 243 rss: 64Mb\n\
                    ###### Recommended dictionary. ######\nDone 731 runs in 3 second(s)\n\
                    stat::number_of_executed_units: 731\nstat::peak_rss_mb: 40\n";
        let figures = Figures { inputs: 731, seconds: 3, edges: 5104, features: 9123 };
        assert_eq!((Figures::of(said), Figures::of("Done")), (Some(figures), None));
    }

    #[test]
    fn every_target_is_there_and_has_something_kept() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let manifest = fs::read_to_string(workspace.join("tracer/fuzz/Cargo.toml")).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        for (target, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
            assert!(count(&workspace.join("tests/fixtures/corpus").join(target)).unwrap() > 0, "{target}");
        }
    }
}
