//! How large a history gets, and how long it takes to write and to read: `cargo bench --bench history -- --days 30`.
//!
//! A host whose backends are all busy, in pools of 50, goes through the days as fast as its history can be written; then
//! days are read, as `tracer report` does. With `--size` the oldest goes, as it does with `watch --history-size`.

mod host;

use clap::Parser;
use host::Host;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracer::history::{Describer, History, Limits, Run, Scribe};
use tracer::report::Range;

/// 2026-01-01.
const START: f64 = 1_767_225_600.0;
const DAY: f64 = 86_400.0;
/// What a tick is made of here: the history keeps ten seconds together anyway.
const INTERVAL: f64 = 10.0;
/// So many may be on their way to the scribe.
const AHEAD: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(600);

/// A history of many days
#[derive(Parser)]
struct Arguments {
    /// How many
    #[arg(long, default_value_t = 1)]
    days: u32,
    /// Busy backends
    #[arg(long, default_value_t = 200)]
    backends: u16,
    /// Bytes that the file may have; everything is kept unless told
    #[arg(long, value_name = "BYTES")]
    size: Option<u64>,
    /// Where the file is made, which goes when all is measured; the directory for temporary files unless told
    #[arg(long, value_name = "DIRECTORY")]
    within: Option<PathBuf>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let within = arguments.within.clone().unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::Builder::new().prefix("tracer-bench-").tempdir_in(within)?;
    let file = directory.path().join("history.db");
    write(&arguments, &file)?;
    read(&arguments, &file)
}

fn write(arguments: &Arguments, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits { bytes: arguments.size.unwrap_or(u64::MAX), age: Duration::from_secs(400 * 86_400) };
    let run =
        Run { started_seconds: START, host: "bench".into(), version: env!("CARGO_PKG_VERSION"), detector: 0 };
    let scribe = Scribe::start(file, limits, run, |line| eprintln!("{line}"))?;
    let (mut describer, host) = (Describer::default(), Host::with(arguments.backends));
    let intervals = u64::from(arguments.days) * 8_640;
    let (began, mut making) = (Instant::now(), Duration::ZERO);
    for number in 1..=intervals {
        let (interval, events) = host.interval(number, START + number as f64 * INTERVAL, INTERVAL);
        let start = Instant::now();
        let tick = describer.tick(&interval, &events)?;
        making += start.elapsed();
        while scribe.health().waiting > AHEAD {
            std::thread::sleep(Duration::from_micros(200));
        }
        if !scribe.take(tick) {
            return Err("the scribe did not take an interval".into());
        }
    }
    if !scribe.finish(START + intervals as f64 * INTERVAL, "end", PATIENCE) {
        return Err("the history could not be finished".into());
    }
    let took = began.elapsed();
    let points = intervals * u64::from(arguments.backends);
    let bytes = std::fs::metadata(file)?.len();
    println!("{} days of {} backends: {points} points", arguments.days, arguments.backends);
    println!("written in {:.0} s, {:.0} points/s", took.as_secs_f64(), points as f64 / took.as_secs_f64());
    println!("the tick's part: {:.3} ms an interval", making.as_secs_f64() * 1e3 / intervals as f64);
    println!("file: {:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let history = History::open(file)?;
    if let Some(span) = history.span()? {
        let days = (span.to_seconds - span.from_seconds) / DAY;
        let kept = days * 8_640.0 * f64::from(arguments.backends);
        println!("it holds {days:.2} days, {:.1} bytes a point", bytes as f64 / kept);
    }
    Ok(())
}

/// Of all threads so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// Reads the first day that is in it, one in the middle, and the last, first from the disk and then from memory.
fn read(arguments: &Arguments, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let span = History::open(file)?.span()?.ok_or("the history is empty")?;
    let last = (span.to_seconds - DAY).max(span.from_seconds);
    for (what, from) in [
        ("the first day", span.from_seconds),
        ("a day in the middle", f64::midpoint(span.from_seconds, last)),
        ("the last day", last),
    ] {
        for from_disk in [true, false] {
            if from_disk {
                let file = File::open(file)?;
                file.sync_all()?;
                posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
            }
            let (began, processor) = (Instant::now(), processor_time());
            let history = History::open(file)?;
            history.changes()?;
            let material = history.material(Range { from_seconds: from, to_seconds: from + DAY })?;
            let (took, processor) = (began.elapsed(), processor_time() - processor);
            let points: usize = material.series.iter().map(|series| series.points.len()).sum();
            let source = if from_disk { "disk" } else { "memory" };
            println!(
                "{what}, from {source}: {:.2} s, {:.2} s of processors; {} intervals of {} members, {points} points for the report",
                took.as_secs_f64(),
                processor.as_secs_f64(),
                material.intervals,
                material.series.len()
            );
            if material.series.len() != usize::from(arguments.backends) {
                return Err(format!("{} members are in it", material.series.len()).into());
            }
        }
    }
    Ok(())
}
