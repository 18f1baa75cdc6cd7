//! What the kernel says of a running tracer.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, SysconfVar, sysconf},
};

/// Figures of one moment.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) at: Instant,
    /// Processor time of the process, user and system, seconds.
    pub(super) processor_seconds: f64,
    /// Resident memory, KiB.
    pub(super) resident_kib: u64,
    pub(super) descriptors: usize,
    /// Time its programs have run in the kernel, seconds; `None` unless `kernel.bpf_stats_enabled` is 1.
    pub(super) programs_seconds: Option<f64>,
}

impl Figures {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("tracer is gone")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("tracer is gone")?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("tracer is gone")?.count();
        let ticks = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
        let run_ns: u64 = programs(pid).iter().sum();
        Ok(Self {
            at: Instant::now(),
            processor_seconds: processor_ticks(&stat).context("/proc/PID/stat")? as f64 / ticks as f64,
            resident_kib: resident_kib(&status).context("/proc/PID/status")?,
            descriptors,
            programs_seconds: (run_ns > 0).then_some(run_ns as f64 / 1e9),
        })
    }
}

/// For each loaded program of the process, how long it has run, nanoseconds.
pub(super) fn programs(pid: u32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Vec::new() };
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter_map(|text| run_time_ns(&text)).collect()
}

/// Tells it to stop.
pub(super) fn terminate(pid: u32) -> Result<()> {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).context("tracer is gone")
}

fn run_time_ns(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("run_time_ns:")?.trim().parse().ok())
}

/// User and system time; the command in brackets may hold anything.
fn processor_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
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
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(processor_ticks(stat), Some(200));
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t    9876 kB\n"), Some(9876));
        assert_eq!(run_time_ns("prog_type:\t26\nrun_time_ns:\t123\nrun_cnt:\t4\n"), Some(123));
        assert_eq!(run_time_ns("map_type:\t1\n"), None);
    }

    #[test]
    fn this_process_has_figures() {
        let figures = Figures::of(std::process::id()).unwrap();
        assert!(figures.resident_kib > 0 && figures.descriptors > 0);
    }
}
