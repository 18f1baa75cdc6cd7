//! What becomes of the package on a clean Debian. Everything that was seen is said.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::clean::{Clean, Running};
use crate::{
    command::{capture, run_aside},
    machine::Machine,
};

const CONFIGURATION: &str = "/etc/tracer/tracer.toml";
const HISTORY: &str = "/var/lib/tracer/history.db";
const UNIT: &str = "tracer.service";
/// `systemd-analyze security` says at most this of the unit; in tenths.
const EXPOSURE: u32 = 19;
/// Where the service pins.
const PINS: &str = "/sys/fs/bpf/tracer";
/// What an administrator adds.
const OWN_LINE: &str = "# ours\n";
const SOON: Duration = Duration::from_secs(30);

/// Installs `package`, runs its service, upgrades to `next`, removes and purges it.
pub(super) fn check(machine: &Machine, package: &Path, next: &Path) -> Result<()> {
    let begun = Instant::now();
    lintian(machine, package)?;
    let clean = Clean::make(machine)?;
    let before = clean.files()?;
    let running = clean.boot()?;
    say("a clean Debian runs, systemd its first process");
    installed(&clean, &running, package)?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let process = started(&clean, &running, port)?;
    upgraded(&clean, &running, next, port, &process)?;
    removed(&clean, &running)?;
    running.capture("dpkg", &["--purge", "tracer"])?;
    let left: Vec<String> =
        clean.files()?.into_iter().filter(|file| before.binary_search(file).is_err()).collect();
    let left: Vec<&String> = left.iter().filter(|file| file.contains("tracer")).collect();
    ensure!(left.is_empty(), "after a purge there still is {left:?}");
    say("purged: nothing of it is left, configuration and history neither");
    eprintln!("package: checked in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn say(what: &str) {
    eprintln!("package: {what}");
}

fn lintian(machine: &Machine, package: &Path) -> Result<()> {
    let mut lintian = machine.command("lintian");
    lintian.args(["--fail-on", "error", "--display-level", ">=warning"]).arg(package);
    run_aside(&mut lintian, "lintian names above what Debian does not take")?;
    say("lintian finds no error");
    Ok(())
}

fn install(clean: &Clean<'_>, running: &Running<'_>, package: &Path) -> Result<()> {
    let name = package.file_name().context("the package has no name")?.to_string_lossy().into_owned();
    // Not /tmp: that of the running machine lies over it.
    let place = format!("/var/cache/{name}");
    fs::copy(package, clean.path(&place)).with_context(|| format!("cannot copy {name}"))?;
    // An edited configuration is kept without asking.
    running.capture("dpkg", &["--install", "--force-confold", &place])?;
    fs::remove_file(clean.path(&place)).with_context(|| format!("cannot remove {place}"))
}

fn installed(clean: &Clean<'_>, running: &Running<'_>, package: &Path) -> Result<()> {
    install(clean, running, package)?;
    let version = running.capture("tracer", &["--version"])?;
    let conffiles = running.capture("dpkg-query", &["--show", "--showformat=${Conffiles}", "tracer"])?;
    ensure!(conffiles.contains(CONFIGURATION), "{CONFIGURATION} is no configuration to dpkg: {conffiles}");
    for file in ["/usr/share/man/man1/tracer-watch.1.gz", "/usr/share/tracer/grafana/tracer.json"] {
        // A clean Debian of this kind leaves out manual pages when it unpacks.
        let listed = running.capture("dpkg", &["--listfiles", "tracer"])?;
        ensure!(listed.lines().any(|line| line == file), "{file} is not in the package");
    }
    let enabled = running.command("systemctl").args(["is-enabled", UNIT]).output()?;
    ensure!(enabled.stdout == b"disabled\n", "the service is {}", String::from_utf8_lossy(&enabled.stdout));
    ensure!(!is_active(running)?, "the service was started without being told to");
    say(&format!("installed: {}; the service is neither enabled nor started", version.trim()));
    Ok(())
}

/// Its process, once it counts.
fn started(clean: &Clean<'_>, running: &Running<'_>, port: u16) -> Result<String> {
    let file = clean.path(CONFIGURATION);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let edited = text.replace("listen = \"9477\"", &format!("listen = \"{port}\"")) + OWN_LINE;
    super::write(&file, &edited)?;
    // On a host systemd mounts it, in a container it does not.
    running.capture("mount", &["-t", "bpf", "bpf", "/sys/fs/bpf"])?;
    running.capture("systemctl", &["start", UNIT])?;
    until(|| health(port).is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ")), || journal(running))?;
    let process = property(running, "MainPID")?;
    let status = capture(&mut {
        let mut cat = running.command("cat");
        cat.arg(format!("/proc/{process}/status"));
        cat
    })?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    // DAC_OVERRIDE, DAC_READ_SEARCH and SYS_PTRACE, see PRIVILEGES.md: auto is set.
    ensure!(field("CapEff") == "0000000000080006", "the service has the capabilities {}", field("CapEff"));
    ensure!((field("NoNewPrivs"), field("Seccomp")) == ("1".into(), "2".into()), "{status}");
    let said = journal(running);
    let line = said.lines().find_map(|line| line.split_once("privileges: "));
    say(&format!("the service counts; privileges: {}", line.map(|(_, line)| line).unwrap_or_default()));
    ensure!(!said.contains("warning: ") && !said.contains("error: "), "it complains: {said}");
    until(|| clean.path(HISTORY).exists(), || journal(running))?;
    say(&format!("programs and counters are pinned: {}", counters(running)?));
    let exposure = running.command("systemd-analyze").args(["security", "--no-pager", UNIT]).output()?.stdout;
    let exposure = String::from_utf8_lossy(&exposure).into_owned();
    let level = exposure.lines().find_map(|line| line.split_once("exposure level for ")?.1.split(' ').nth(1));
    let level = level.context("systemd-analyze says no level")?;
    let tenths: u32 = level.replace('.', "").parse().with_context(|| format!("{level} is no level"))?;
    ensure!(tenths <= EXPOSURE, "systemd-analyze security says {level}");
    say(&format!("systemd-analyze security: {level}"));
    running.capture("systemctl", &["reload", UNIT])?;
    until(|| journal(running).contains("read again"), || journal(running))?;
    say("a reload is answered");
    Ok(process)
}

fn upgraded(clean: &Clean<'_>, running: &Running<'_>, next: &Path, port: u16, process: &str) -> Result<()> {
    let history = fs::metadata(clean.path(HISTORY)).context("no history")?;
    let pinned = counters(running)?;
    install(clean, running, next)?;
    let again = || health(port).is_some_and(|answer| answer.starts_with("HTTP/1.1 200 "));
    until(|| property(running, "MainPID").is_ok_and(|now| now != process) && again(), || journal(running))?;
    let text = fs::read_to_string(clean.path(CONFIGURATION)).context("no configuration")?;
    ensure!(text.ends_with(OWN_LINE), "an upgrade did not keep the edited configuration");
    let now = fs::metadata(clean.path(HISTORY)).context("an upgrade did not keep the history")?;
    let same = |one: &fs::Metadata| std::os::unix::fs::MetadataExt::ino(one);
    ensure!(same(&now) == same(&history), "an upgrade did not keep the history's file");
    ensure!(counters(running)? == pinned, "an upgrade did not keep what was counted");
    say("upgraded while it ran: it was restarted; configuration, history and counters are kept");
    Ok(())
}

fn removed(clean: &Clean<'_>, running: &Running<'_>) -> Result<()> {
    running.capture("dpkg", &["--remove", "tracer"])?;
    ensure!(!is_active(running)?, "the service runs on after the package is removed");
    ensure!(!clean.path("/usr/bin/tracer").exists(), "the program is still there");
    ensure!(
        clean.path(CONFIGURATION).exists() && clean.path(HISTORY).exists(),
        "a removal took what is kept"
    );
    let pins = running.command("test").args(["-e", PINS]).status()?;
    ensure!(!pins.success(), "programs and counters are in the kernel after the package is removed");
    say("removed: the service has ended, nothing is in the kernel; configuration and history are kept");
    Ok(())
}

/// The pinned counters, and what tells them from others.
fn counters(running: &Running<'_>) -> Result<String> {
    let pins = running.capture("find", &[PINS, "-name", "CELLS", "-printf", "%p, inode %i\n"])?;
    ensure!(pins.lines().count() == 1, "pinned are {pins:?}");
    Ok(pins.trim().to_owned())
}

fn is_active(running: &Running<'_>) -> Result<bool> {
    Ok(running.command("systemctl").args(["is-active", UNIT]).output()?.stdout == b"active\n")
}

fn property(running: &Running<'_>, name: &str) -> Result<String> {
    let said = running.capture("systemctl", &["show", "--value", "--property", name, UNIT])?;
    Ok(said.trim().to_owned())
}

fn journal(running: &Running<'_>) -> String {
    running.capture("journalctl", &["--no-pager", "--unit", UNIT]).unwrap_or_default()
}

/// What the agent answers; the container has the network of this machine.
fn health(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn until(mut condition: impl FnMut() -> bool, otherwise: impl Fn() -> String) -> Result<()> {
    let begun = Instant::now();
    while !condition() {
        ensure!(begun.elapsed() < SOON, "not within {SOON:?}; the service says:\n{}", otherwise());
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
