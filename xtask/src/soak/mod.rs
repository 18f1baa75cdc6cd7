//! `cargo xtask soak`: `tracer watch` under changing load for as long as one likes, and whether it stays as it was. Memory,
//! descriptors and the lag of its tick have to be flat, and every connection counted in the end.

mod load;
pub(crate) mod process;
mod verdict;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command::run_aside, machine::Machine, setup};
use load::Load;
use process::Figures;
use verdict::Reading;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many minutes
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,
}

/// Time between two looks at the tracer.
const LOOK: Duration = Duration::from_secs(5);

/// Sets up, builds, runs tracer under load, and judges it; the report goes to standard output.
pub(crate) fn soak(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up(machine, false)?;
    run_aside(
        machine.command("cargo").args(["build", "--release", "--package", "tracer"]),
        "the errors above name place and reason",
    )?;
    let directory = machine.target.join("soak");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let samples = directory.join("samples.jsonl");
    match fs::remove_file(&samples) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", samples.display()));
        }
        _ => {}
    }
    let load = Load::prepare().context("cannot listen on loopback")?;
    let pools = directory.join("pools.toml");
    fs::write(&pools, load.pools_file()).with_context(|| format!("cannot write {}", pools.display()))?;
    let mut tracer = Tracer::start(&machine.target.join("release/tracer"), &pools, &samples)?;

    let length = Duration::from_secs(60 * u64::from(arguments.minutes));
    let running = load.start();
    let readings = watch(&mut tracer, &running, length)?;
    let accepted = running.stop();
    // A tick more, so that the last connections are in a sample.
    thread::sleep(Duration::from_secs(3));
    tracer.stop()?;

    let text = fs::read_to_string(&samples).with_context(|| format!("cannot read {}", samples.display()))?;
    let recorded = verdict::recorded(&text)?;
    let problems = verdict::problems(&readings, &recorded, &accepted);
    print!("{}", verdict::report(&readings, &recorded, &accepted));
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    println!("flat, and every connection counted");
    Ok(())
}

fn watch(tracer: &mut Tracer, running: &load::Running, length: Duration) -> Result<Vec<Reading>> {
    let started = Instant::now();
    let mut readings = Vec::new();
    let mut before = Figures::of(tracer.process.id())?;
    while started.elapsed() < length {
        thread::sleep(LOOK);
        if let Some(status) = tracer.process.try_wait()? {
            bail!("tracer ended after {:?}: {status}", started.elapsed());
        }
        let now = Figures::of(tracer.process.id())?;
        readings.push(Reading::between(started.elapsed(), running.rate(), &before, &now));
        before = now;
    }
    Ok(readings)
}

/// The running `tracer watch`; killed when dropped.
struct Tracer {
    process: Child,
}

impl Tracer {
    fn start(program: &Path, pools: &Path, samples: &Path) -> Result<Self> {
        let process = Command::new(program)
            .args(["watch", "--json", "--declared-only", "--pools"])
            .arg(pools)
            .arg("--samples")
            .arg(samples)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let tracer = Self { process };
        let deadline = Instant::now() + Duration::from_secs(20);
        while process::programs(tracer.process.id()).is_empty() || !samples.exists() {
            ensure!(Instant::now() < deadline, "tracer does not begin to count; its own message is above");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(tracer)
    }

    /// As the service manager does it.
    fn stop(mut self) -> Result<()> {
        process::terminate(self.process.id())?;
        let told = Instant::now();
        let status = self.process.wait()?;
        ensure!(status.success(), "tracer ended with {status} when it was told to stop");
        ensure!(told.elapsed() < Duration::from_secs(1), "tracer took {:?} to stop", told.elapsed());
        Ok(())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
