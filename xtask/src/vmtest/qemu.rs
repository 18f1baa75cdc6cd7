//! The virtual machine: an emulated processor, so that it runs wherever the tests do.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{image::INIT, marker::Marker};
use crate::{command::end_with_us, machine::Machine};

/// The emulator, of Debian's package `qemu-system-x86`.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// How often is looked whether the guest has ended.
const PERIOD: Duration = Duration::from_millis(200);

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The machine was switched off, by its first process or by a panic.
    Off,
    /// The emulator failed, with this exit code if it had one.
    Failed(Option<i32>),
    /// It was stopped after this time.
    TimedOut(Duration),
}

/// What a guest computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processors {
    /// One, whose clock is the count of its instructions, a nanosecond each: it is as fast as its tests expect however
    /// busy this machine is, and the time in which it waits is skipped.
    One,
    /// Two, in real time: for what one cannot show. The emulator is slow, so this machine has to have nothing else to do.
    Two,
}

impl Processors {
    /// Without the fast string instructions (`erms`, `fsrm`), of which the emulator makes a loop over bytes.
    ///
    /// With two, without cmpxchg16b either: QEMU 7.2 spoils the flags with it, and Linux 6.12 dies of a double fault.
    /// Linux 7 makes socket storage with that instruction, so two are for older kernels.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::One => &[
                "-smp",
                "1",
                "-cpu",
                "max,-erms,-fsrm",
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
            ],
            Self::Two => &["-smp", "2", "-cpu", "max,-erms,-fsrm,-cx16", "-accel", "tcg,thread=multi"],
        }
    }
}

/// Where a guest's two serial lines are written.
pub(crate) struct Logs {
    /// What the steps and the first process say.
    pub(crate) steps: PathBuf,
    /// What the kernel says.
    pub(crate) kernel: PathBuf,
}

/// Boots a kernel with an image and waits for its end, `limit` at most; says what goes on. The guest ends with us,
/// whatever ends us.
pub(crate) fn run(
    machine: &Machine,
    processors: Processors,
    kernel: &Path,
    image: &Path,
    logs: &Logs,
    limit: Duration,
) -> Result<Ended> {
    for log in [&logs.steps, &logs.kernel] {
        File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    }
    let mut command = machine.command(PROGRAM);
    command
        .args(processors.arguments())
        .args(["-m", "3G"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-append", &append(), "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        .args(["-serial", &format!("file:{}", logs.kernel.display())])
        .args(["-serial", &format!("file:{}", logs.steps.display())])
        .stdin(Stdio::null());
    let start = Instant::now();
    let child = end_with_us(&mut command, Signal::SIGKILL)
        .spawn()
        .with_context(|| format!("cannot start {PROGRAM}"))?;
    let mut guest = Guest(child);
    let mut steps = Follow::new(&logs.steps)?;
    loop {
        let status = guest.0.try_wait().context("cannot wait for the guest")?;
        steps.print_new()?;
        match status {
            Some(status) if status.success() => return Ok(Ended::Off),
            Some(status) => return Ok(Ended::Failed(status.code())),
            None if start.elapsed() >= limit => return Ok(Ended::TimedOut(limit)),
            None => std::thread::sleep(PERIOD),
        }
    }
}

/// The kernel's command line. A panic ends the machine, an oops is a panic, and only warnings and worse are said.
fn append() -> String {
    format!("console=ttyS0 panic=-1 oops=panic loglevel=5 tsc=reliable rdinit={INIT} -- guest")
}

/// Killed when dropped.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _no_zombie = self.0.wait();
    }
}

/// A log that is read while it is written.
struct Follow {
    file: File,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

impl Follow {
    fn new(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { file, begun: Vec::new() })
    }

    /// Prints markers and the test runner's lines, of what came since.
    fn print_new(&mut self) -> io::Result<()> {
        self.file.read_to_end(&mut self.begun)?;
        let Some(end) = self.begun.iter().rposition(|&byte| byte == b'\n') else { return Ok(()) };
        let rest = self.begun.split_off(end + 1);
        let lines = std::mem::replace(&mut self.begun, rest);
        for line in String::from_utf8_lossy(&lines).lines() {
            if let Some(line) = worth_showing(line) {
                eprintln!("  | {line}");
            }
        }
        Ok(())
    }
}

fn worth_showing(line: &str) -> Option<String> {
    match Marker::read(line) {
        Some(Marker::Booted(release)) => Some(format!("Linux {release}")),
        Some(Marker::Begin(step)) => Some(format!("{step} …")),
        Some(Marker::End { step, ending, seconds }) => Some(format!("{step}: {ending} after {seconds:.1} s")),
        Some(Marker::Broken(why)) => Some(format!("the guest cannot go on: {why}")),
        Some(Marker::Done) => None,
        None => {
            (line.starts_with("test ") || line.starts_with("running ")).then(|| line.trim_end().to_owned())
        }
    }
}

/// Both lines of a guest that has ended; what is not text is replaced.
pub(crate) fn read(logs: &Logs) -> Result<(String, String)> {
    let text = |path: &Path| -> Result<String> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok((text(&logs.steps)?, text(&logs.kernel)?))
}
