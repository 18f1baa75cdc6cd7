//! `cargo xtask vmtest`: Debian's kernels in virtual machines, with tracer and its tests in them.
//!
//! Everything a guest has is one archive in its memory: no disk, no network to the outside. What it is to do, and how
//! each step has to end, is a list ([`steps`]) that is both run there ([`guest`]) and judged here ([`console`]).

mod build;
mod console;
pub(crate) mod guest;
mod image;
mod kernel;
mod marker;
pub(crate) mod qemu;
mod series;
mod steps;
mod table;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::series::OLDEST;
use self::{
    build::Built,
    console::{Outcome, Verdict, judge},
    image::{INIT, Image, MODULES, STEPS},
    kernel::Kernel,
    qemu::{Logs, Processors},
    series::Series,
    steps::{Binaries, LEFT_OUT, Step},
    table::Guest,
};
use crate::{machine::Machine, setup};

/// How long a guest may take, boot and tests together: alone some 20 minutes, more beside compilers.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Programs of this machine that the tests start.
const PROGRAMS: &[&str] = &[
    "sh", "ip", "ss", "nginx", "haproxy", "bpftool", "setpriv", "env", "unshare", "mount", "umount", "head",
    "mktemp", "rm", "seq", "sleep",
];
/// What nginx loads to balance TCP.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// nginx's configuration as the distribution has it.
const NGINX_CONFIGURATION: &str = "/etc/nginx/nginx.conf";

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A series (6.1), or `newest`; several times for several, one after the other
    #[arg(long = "kernel", value_name = "SERIES", default_values = ["5.10", "6.1", "6.12", "newest"])]
    kernels: Vec<Series>,
    /// Ask Debian's archive again for a series that is there already
    #[arg(long)]
    update: bool,
    /// Two processors, in real time: for what one cannot show; needs a machine with nothing else to do
    #[arg(long)]
    two_processors: bool,
    /// Of the end-to-end tests, only those with this in their name
    #[arg(long = "test", value_name = "NAME")]
    only: Option<String>,
}

/// Runs a guest for each series, one after the other, and prints what works on which.
pub(crate) fn vmtest(machine: &Machine, arguments: &Arguments) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!(
            "the guests are x86-64 machines and run the binaries that are built here: run this on an x86-64 machine"
        );
    }
    setup::set_up(machine, true)?;
    let built = build::build(machine)?;
    let mut guests = Vec::new();
    let mut failed = Vec::new();
    for &series in &arguments.kernels {
        eprintln!("\n== kernel {series}");
        match run(machine, &built, series, arguments) {
            Ok(guest) => {
                if !guest.verdict.passed() {
                    failed.push(series.to_string());
                }
                guests.push(guest);
            }
            Err(error) => {
                eprintln!("xtask: kernel {series}: {error:#}");
                failed.push(series.to_string());
            }
        }
    }
    if !guests.is_empty() {
        print!("{}", table::markdown(&guests));
    }
    if !failed.is_empty() {
        bail!(
            "failed on {}; the guests' logs are in {}",
            failed.join(", "),
            machine.below_target("vmtest")?.display()
        );
    }
    Ok(())
}

fn run(machine: &Machine, built: &Built, series: Series, arguments: &Arguments) -> Result<Guest> {
    let kernel = Kernel::get(machine, series, arguments.update)?;
    let binaries =
        Binaries { tracer: &built.tracer, unit_tests: &built.unit_tests, end_to_end: &built.end_to_end };
    let traced = series::is_traced(&kernel.release);
    let only = arguments.only.as_deref();
    let (processors, left_out) =
        if arguments.two_processors { (Processors::Two, &[] as &[_]) } else { (Processors::One, LEFT_OUT) };
    let steps = if traced { steps::tracing(&binaries, only, left_out) } else { steps::refusing(&binaries) };
    let folder = machine.below_target("vmtest")?;
    let archive = folder.join("image.cpio");
    image(machine, built, &kernel, &steps)?.write(&archive)?;
    let log = |kind: &str| folder.join(format!("{series}{kind}.log"));
    let logs = Logs { steps: log(""), kernel: log(".kernel") };

    eprintln!("{} ({}), {} s at most", kernel.release, kernel.version, LIMIT.as_secs());
    let start = Instant::now();
    let ended = qemu::run(machine, processors, &kernel.image(), &archive, &logs, LIMIT)?;
    let (said, kernel_said) = qemu::read(&logs)?;
    let verdict = judge(&steps, &kernel.release, &said, &kernel_said, ended);
    report(series, &verdict);
    if traced {
        for (test, reason) in left_out {
            eprintln!("left out: {test}: {reason}");
        }
    }
    let word = if verdict.passed() { "passed" } else { "FAILED" };
    eprintln!(
        "== kernel {series} {word} ({:.1} s); log: {}",
        start.elapsed().as_secs_f64(),
        logs.steps.display()
    );
    Ok(Guest { version: kernel.version, release: kernel.release, verdict })
}

fn report(series: Series, verdict: &Verdict) {
    for (name, outcome) in &verdict.steps {
        match outcome {
            Outcome::Passed(seconds) => eprintln!("{name}: as it has to be ({seconds:.1} s)"),
            Outcome::Failed(why) => eprintln!("{name}: FAILED: {why}"),
            Outcome::NotReached => eprintln!("{name}: NOT REACHED"),
        }
    }
    for complaint in &verdict.complaints {
        eprintln!("COMPLAINT: {complaint}");
    }
    for (step, line) in &verdict.test_results {
        eprintln!("{series}, {step}: {line}");
    }
}

fn image(machine: &Machine, built: &Built, kernel: &Kernel, steps: &[Step]) -> Result<Image> {
    let mut image = Image::new();
    let own = std::env::current_exe().context("cannot find this program")?;
    image.file(&own, Path::new(INIT));
    image.libraries(machine, &own)?;
    image.text(STEPS, &serde_json::to_string(steps)?);
    for module in kernel.modules()? {
        image.file(&module, &Path::new(MODULES).join(module.file_name().unwrap_or_default()));
    }
    // At the paths that were compiled into the tests.
    for file in built.files() {
        image.program(machine, file)?;
    }
    image.folder(&machine.workspace.join("tracer"), 0o755);
    image.tree(&machine.workspace.join("tests/fixtures"))?;
    for program in PROGRAMS {
        let file: PathBuf = machine.find(program).with_context(|| format!("{program} is not on PATH"))?;
        image.program(machine, &file)?;
    }
    image.program(machine, Path::new(NGINX_STREAM))?;
    // One that a scenario mounts another over.
    image.file(Path::new(NGINX_CONFIGURATION), Path::new(NGINX_CONFIGURATION));
    // Where the loader finds libraries that are in no standard folder.
    image.file(Path::new("/etc/ld.so.cache"), Path::new("/etc/ld.so.cache"));
    Ok(image)
}
