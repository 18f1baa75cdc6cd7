//! What the kernel says of a running process: tracer, or another tool that the bench compares it with.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    time::clock_getcpuclockid,
    unistd::Pid,
};

/// Figures of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) at: Instant,
    /// Processor time of the process, user and system, seconds.
    pub(crate) processor_seconds: f64,
    /// Resident memory, KiB.
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
    /// Time its programs have run in the kernel, seconds; `None` unless `kernel.bpf_stats_enabled` is 1.
    pub(crate) programs_seconds: Option<f64>,
}

impl Figures {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("the process is gone")?.count();
        let clock = clock_getcpuclockid(pid_of(pid)).context("the process is gone")?;
        let run_ns: u64 = programs(pid).iter().sum();
        Ok(Self {
            at: Instant::now(),
            processor_seconds: Duration::from(clock.now()?).as_secs_f64(),
            resident_kib: resident_kib(&status).context("/proc/PID/status")?,
            descriptors,
            programs_seconds: (run_ns > 0).then_some(run_ns as f64 / 1e9),
        })
    }
}

/// For each loaded program of the process, how long it has run, nanoseconds.
fn programs(pid: u32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Vec::new() };
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter_map(|text| run_time_ns(&text)).collect()
}

/// Tells it to stop.
pub(crate) fn terminate(pid: u32) -> Result<()> {
    kill(pid_of(pid), Signal::SIGTERM).context("the process is gone")
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed())
}

fn run_time_ns(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("run_time_ns:")?.trim().parse().ok())
}

fn resident_kib(status: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_kernels_texts() {
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t    9876 kB\n"), Some(9876));
        assert_eq!(run_time_ns("prog_type:\t26\nrun_time_ns:\t123\nrun_cnt:\t4\n"), Some(123));
        assert_eq!(run_time_ns("map_type:\t1\n"), None);
    }

    #[test]
    fn this_process_has_figures() {
        let figures = Figures::of(std::process::id()).unwrap();
        assert!(figures.resident_kib > 0 && figures.descriptors > 0);
        assert!(figures.processor_seconds > 0.0);
    }
}
