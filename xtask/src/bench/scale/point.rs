//! One host with so many backends and connections: what tracer takes there.

use std::{
    io::{self, BufRead as _, BufReader},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde::Serialize;

use super::{Numbers, crowd::Crowd, hold, sweep};
use crate::{
    bench::overhead::{
        bpf,
        programs::{self, Map},
        statistics::Quartiles,
    },
    command::end_with_us,
    machine::Machine,
    soak::process::Figures,
};

/// How long and how often it is looked at.
pub(super) struct Lengths {
    /// Ticks that pass first: tables grow, and names are looked up.
    settle: Duration,
    ticks: Duration,
    sweeps: u32,
}

impl Lengths {
    pub(super) const FULL: Self =
        Self { settle: Duration::from_secs(4), ticks: Duration::from_secs(10), sweeps: 21 };
    pub(super) const QUICK: Self =
        Self { settle: Duration::from_secs(1), ticks: Duration::from_secs(2), sweeps: 3 };
}

/// Places for backends of one's own that `watch` has when it is not told otherwise.
const DEFAULT_BACKENDS: u32 = 4_096;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    #[serde(flatten)]
    pub(super) numbers: Numbers,
    /// From the start of the process until it counts, all connections that were there taken in, seconds.
    pub(super) start_seconds: f64,
    /// Processor time of the process for each second, milliseconds: a tick, with its sweep.
    pub(super) tick_ms: f64,
    /// A sweep by itself, in one read, milliseconds on the wall clock.
    pub(super) sweep_ms: Quartiles,
    pub(super) longest_sweep_ms: f64,
    /// The sweep's program, nanoseconds a connection; what the kernel takes to walk is not in it, the clock is.
    pub(super) visit_ns: f64,
    /// Resident memory of the process, KiB.
    pub(super) resident_kib: u64,
    /// Programs and maps, bytes; what lies in the sockets is not in it.
    pub(super) kernel_bytes: u64,
}

/// Opens the connections, then starts tracer, which finds them there. Answers its maps as well.
pub(super) fn measure(
    machine: &Machine,
    numbers: Numbers,
    lengths: &Lengths,
) -> Result<(Measured, Vec<Map>)> {
    let _crowd = Crowd::open(numbers)?;
    let (watch, start) = Watch::start(machine, numbers.backends)?;
    let process = watch.0.id();
    thread::sleep(lengths.settle);
    let before = Figures::of(process)?;
    thread::sleep(lengths.ticks);
    let after = Figures::of(process)?;
    let seconds = (after.at - before.at).as_secs_f64();

    let held = programs::held_by(process);
    let link = sweep::link(process)?;
    let mut sweeps = Vec::new();
    for _ in 0..lengths.sweeps {
        sweeps.push(sweep::run(&link)?.as_secs_f64() * 1e3);
    }
    let visit_ns = {
        let _measured = bpf::measure_run_times().context("the kernel does not measure run times")?;
        sweep::run(&link)?;
        let programs = programs::among(machine, &held)?;
        let sweep = programs.iter().find(|program| program.name == "sweep").context("tracer has no sweep")?;
        ensure!(
            sweep.run_cnt > u64::from(numbers.connections),
            "a sweep visits {} sockets only",
            sweep.run_cnt
        );
        sweep.run_time_ns as f64 / sweep.run_cnt as f64
    };
    let programs = programs::among(machine, &held)?;
    let measured = Measured {
        numbers,
        start_seconds: start.as_secs_f64(),
        tick_ms: (after.processor_seconds - before.processor_seconds) / seconds * 1e3,
        sweep_ms: Quartiles::of(sweeps.iter().copied()).context("no sweeps")?,
        longest_sweep_ms: sweeps.into_iter().fold(0.0, f64::max),
        visit_ns,
        resident_kib: after.resident_kib,
        kernel_bytes: programs::memory(machine, &programs)?,
    };
    Ok((measured, programs::maps(machine, &programs)?))
}

/// `tracer watch`; killed when dropped, which leaves nothing behind.
struct Watch(Child);

impl Watch {
    /// Answers also how long it took until it counted.
    fn start(machine: &Machine, backends: u32) -> Result<(Self, Duration)> {
        let mut command = machine.command(&machine.target.join("release/tracer").to_string_lossy());
        command.args(["watch", "--json", "--netns", "self", "--balancer", hold::NAME]);
        if backends > DEFAULT_BACKENDS / 2 {
            command.args(["--max-backends", &(2 * backends).to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let started = Instant::now();
        let child = end_with_us(&mut command, Signal::SIGKILL).spawn().context("cannot start tracer")?;
        let mut watch = Self(child);
        let mut output = BufReader::new(watch.0.stdout.take().context("it has an output")?);
        let mut line = String::new();
        while !line.contains(r#""event":"tracing""#) {
            line.clear();
            ensure!(output.read_line(&mut line)? > 0, "tracer does not begin; it says why above");
        }
        let start = started.elapsed();
        // A full pipe would hold it up.
        thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        Ok((watch, start))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _no_zombie = self.0.wait();
    }
}
