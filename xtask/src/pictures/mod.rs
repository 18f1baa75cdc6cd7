//! `cargo xtask pictures`: the pictures of the README, made from real runs. A scenario of the demo makes the traffic, which
//! `tracer top` shows on a terminal and `tracer watch --listen` in a browser; and a report of the recorded incident.

mod page;
mod process;
mod terminal;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf, absolute},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{
    command::{capture, run},
    machine::Machine,
    setup,
};
use process::Process;
use terminal::Terminal;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to write them; without: where the README has them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A scenario of `tracer demo`, several by repeating this; `all` for every one. Without: weight-typo
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
}

/// What the README shows.
const USUAL: &str = "weight-typo";
/// Where the README has its pictures, below the workspace.
const PLACE: &str = "tracer/pictures";
/// What the report is of, below the workspace.
const INCIDENT: &str = "tests/fixtures/report/incident.jsonl";
/// After so long every verdict stands, and there is a past to be seen.
const SETTLED: Duration = Duration::from_secs(40);
/// The demo goes on while the pictures are taken.
const DEMO: &str = "90s";
/// Until the demo has written what it declares.
const BEGIN: Duration = Duration::from_secs(10);

/// Takes the pictures.
pub(crate) fn pictures(machine: &Machine, arguments: &Arguments) -> Result<()> {
    ensure!(machine.root, "pictures are made from traced traffic, which takes root: run this as root");
    setup::set_up_pictures(machine)?;
    let remedy = "the errors above name place and reason";
    run(machine.command("cargo").args(["build", "--release", "--package", "tracer"]), remedy)?;
    let tracer = machine.target.join("release/tracer");
    let known = scenarios(&capture(machine.command(path(&tracer)?).args(["demo", "--help"]))?);
    let wanted = wanted(&arguments.scenario, &known)?;
    let usual = machine.workspace.join(PLACE);
    // Programs that write there run elsewhere.
    let out = absolute(arguments.out.as_ref().unwrap_or(&usual))?;
    fs::create_dir_all(&out)
        .with_context(|| format!("cannot create {}; give another --out", out.display()))?;
    for scenario in &wanted {
        // The one of the README has its names; of several, each has its own.
        let prefix = if wanted.len() > 1 { format!("{scenario}-") } else { String::new() };
        take(
            machine,
            &tracer,
            scenario,
            &out.join(format!("{prefix}top.svg")),
            &out.join(format!("{prefix}page.png")),
        )
        .with_context(|| format!("no pictures of the scenario {scenario}"))?;
    }
    report(machine, &tracer, &out.join("report.png"))
}

/// Takes the picture of the report of the incident that is kept as a recording.
fn report(machine: &Machine, tracer: &Path, picture: &Path) -> Result<()> {
    let page = machine.scratch("pictures")?.join("report.html");
    let mut report = machine.command(path(tracer)?);
    report.args(["report", "--replay", INCIDENT, "--out", path(&page)?]);
    run(&mut report, "the error above names the place")?;
    page::picture(machine, &format!("file://{}", path(&page)?), page::REPORT, picture)
}

/// Takes the pictures of one scenario.
fn take(machine: &Machine, tracer: &Path, scenario: &str, top: &Path, page: &Path) -> Result<()> {
    let pools = machine.scratch("pictures")?.join("pools.toml");
    let pools = path(&pools)?;
    let _ = fs::remove_file(pools);
    let demo = ["demo", "--scenario", scenario, "--for", DEMO, "--declare", pools];
    let mut demo = Process::start(Command::new(tracer).args(demo))?;
    let began = Instant::now();
    while !Path::new(pools).exists() {
        demo.is_running()?;
        ensure!(began.elapsed() < BEGIN, "the demo does not begin; its own message is above");
        thread::sleep(Duration::from_millis(50));
    }
    let port = free_port()?.to_string();
    let watch = ["watch", "--declared-only", "--exchanges", "on", "--pools", pools, "--listen", &port];
    let mut watch = Process::start(Command::new(tracer).args(watch))?;
    let terminal = Terminal::with(machine, &[path(tracer)?, "top", "--declared-only", "--pools", pools])?;
    thread::sleep(SETTLED);
    demo.is_running()?;
    watch.is_running()?;
    write(top, terminal.picture()?.as_bytes())?;
    page::picture(machine, &format!("http://127.0.0.1:{port}/"), page::PAGE, page)
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}; give another --out", file.display()))?;
    eprintln!("{}: {} KB", file.display(), bytes.len().div_ceil(1000));
    Ok(())
}

/// A port of loopback that nobody listens at.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of loopback is free")?;
    Ok(listener.local_addr()?.port())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8; use a folder that is", path.display()))
}

/// The scenarios that the help of `tracer demo` lists, as `- name: what is done`.
fn scenarios(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| !line.contains("--scenario"));
    let names = listed.filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'));
    let mut names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
    // Other options have values too.
    names.retain(|name| !["auto", "on", "off"].contains(&name.as_str()));
    names
}

fn wanted(named: &[String], known: &[String]) -> Result<Vec<String>> {
    if named.is_empty() {
        return Ok(vec![USUAL.to_owned()]);
    }
    if named.iter().any(|name| name == "all") {
        return Ok(known.to_vec());
    }
    match named.iter().find(|name| !known.contains(name)) {
        Some(unknown) => bail!("--scenario {unknown}: there are {} and all", known.join(", ")),
        None => Ok(named.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "      --scenario <SCENARIO>\n          What is done\n\n          Possible values:\n          \
                        - balanced:    Nothing\n          - weight-typo: Somebody typed\n\n      --exchanges <WHEN>\n          \
                        - auto: where\n          - on:   always\n";

    #[test]
    fn scenarios_are_those_that_the_demo_has() {
        assert_eq!(scenarios(HELP), ["balanced", "weight-typo"]);
    }

    #[test]
    fn one_is_wanted_unless_others_are_named_and_unknown_ones_are_refused() {
        let known = scenarios(HELP);
        let wanted =
            |named: &[&str]| wanted(&named.iter().map(ToString::to_string).collect::<Vec<_>>(), &known);
        assert_eq!(wanted(&[]).unwrap(), [USUAL]);
        assert_eq!(wanted(&["all"]).unwrap(), known);
        assert_eq!(wanted(&["balanced"]).unwrap(), ["balanced"]);
        let error = wanted(&["balance"]).unwrap_err().to_string();
        assert_eq!(error, "--scenario balance: there are balanced, weight-typo and all");
    }
}
