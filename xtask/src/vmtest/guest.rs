//! The first process of a guest: mounts what programs expect, runs the steps, switches the machine off.
//!
//! It speaks on the second serial line, so that no line of the kernel's falls between its own: those are on the first.

use std::{
    ffi::CStr,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::fd::AsFd as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        resource::{Resource, setrlimit},
        termios,
        wait::{WaitStatus, wait},
    },
    unistd::Pid,
};

use super::{
    image::{MODULES, STEPS},
    marker::{Ending, Marker},
    steps::Step,
};

/// Where it speaks.
const LINE: &str = "/dev/ttyS1";

/// What is mounted, where, and as what. `/tmp` and `/run` are folders of the root, which is in memory already.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", "proc"),
    ("sysfs", "/sys", "sysfs"),
    ("devtmpfs", "/dev", "devtmpfs"),
    ("devpts", "/dev/pts", "devpts"),
    ("cgroup2", "/sys/fs/cgroup", "cgroup2"),
    ("bpf", "/sys/fs/bpf", "bpf"),
];

/// MODULE_INIT_COMPRESSED_FILE of linux/module.h: a kernel that comes with compressed modules unpacks them itself.
const COMPRESSED: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);

/// Where programs are; the kernel says nothing of it to its first process.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the steps of this guest. Returns only when this is no guest.
pub(crate) fn run() -> Result<()> {
    if std::process::id() != 1 {
        bail!("`guest` is the first process of a virtual machine that `cargo xtask vmtest` starts");
    }
    if let Err(error) = work() {
        // On the kernel's line: ours may be what is missing.
        eprintln!("{}", Marker::Broken(format!("{error:#}")));
    }
    reboot(RebootMode::RB_POWER_OFF).context("cannot switch off")?;
    Ok(())
}

fn work() -> Result<()> {
    for (source, target, kind) in MOUNTS {
        fs::create_dir_all(target).with_context(|| format!("cannot create {target}"))?;
        mount(Some(*source), *target, Some(*kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {kind} on {target}"))?;
    }
    let mut line = OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NOCTTY)
        .open(LINE)
        .with_context(|| format!("cannot open {LINE}"))?;
    let result = speak(&mut line);
    if let Err(error) = &result {
        writeln!(line, "\n{}", Marker::Broken(format!("{error:#}")))?;
    }
    // What is not sent yet would be lost with the machine.
    termios::tcdrain(&line).context("cannot wait for the serial line")
}

fn speak(line: &mut File) -> Result<()> {
    let release =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
    writeln!(line, "{}", Marker::Booted(release.trim().to_owned()))?;
    load_modules()?;
    // As a service manager gives to a balancer; the kernel gives 4,096 at most.
    setrlimit(Resource::RLIMIT_NOFILE, 20_000, 20_000).context("cannot raise the limit of open files")?;
    let up = command("ip").args(["link", "set", "lo", "up"]).spawn().context("cannot start ip")?;
    if wait_for(&up)? != Ending::Exit(0) {
        bail!("cannot bring the loopback link up");
    }
    let steps = fs::read(STEPS).with_context(|| format!("cannot read {STEPS}"))?;
    let steps: Vec<Step> = serde_json::from_slice(&steps).with_context(|| format!("cannot read {STEPS}"))?;
    for step in &steps {
        perform(step, line)?;
    }
    writeln!(line, "{}", Marker::Done)?;
    Ok(())
}

fn perform(step: &Step, line: &mut File) -> Result<()> {
    // On a line of its own, whatever the step before ended with.
    writeln!(line, "\n{}", Marker::Begin(step.name.clone()))?;
    let start = Instant::now();
    let [program, arguments @ ..] = step.command.as_slice() else { bail!("{} is no command", step.name) };
    let child = command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(line.try_clone()?)
        .stderr(line.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let ending = wait_for(&child)?;
    let seconds = start.elapsed().as_secs_f64();
    writeln!(line, "\n{}", Marker::End { step: step.name.clone(), ending, seconds })?;
    Ok(())
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", PATH);
    command
}

/// Waits for this child, and for every process that lost its parent: a first process has to, else their ids remain.
fn wait_for(child: &Child) -> Result<Ending> {
    loop {
        let is_child = |pid: Pid| u32::try_from(pid.as_raw()) == Ok(child.id());
        match wait().context("cannot wait for a child")? {
            WaitStatus::Exited(pid, code) if is_child(pid) => return Ok(Ending::Exit(code)),
            WaitStatus::Signaled(pid, signal, _) if is_child(pid) => {
                return Ok(Ending::Signal(signal as i32));
            }
            _ => {}
        }
    }
}

fn load_modules() -> Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(MODULES).with_context(|| format!("cannot read {MODULES}"))? {
        files.push(entry?.path());
    }
    // What one needs of another comes before it in the alphabet: `inet_diag`, `tcp_diag`.
    files.sort();
    for file in files {
        load_module(&file).with_context(|| format!("cannot load {}", file.display()))?;
    }
    Ok(())
}

fn load_module(file: &Path) -> Result<()> {
    let plain = file.extension().is_some_and(|extension| extension == "ko");
    let flags = if plain { ModuleInitFlags::empty() } else { COMPRESSED };
    let no_parameters: &CStr = c"";
    finit_module(File::open(file)?.as_fd(), no_parameters, flags).map_err(io::Error::from)?;
    Ok(())
}
