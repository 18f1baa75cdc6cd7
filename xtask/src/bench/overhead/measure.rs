//! One case in one round: what it took.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    bpf,
    cases::Case,
    lab::{Connections, KEPT_IDLE, Lab},
    load,
    programs::{self, Cost},
    tool::Running,
};
use crate::machine::Machine;

/// How long the stretches of load are.
pub(super) struct Lengths {
    /// Before anything is measured: `watch` has seen then who connects, and whether connections are kept.
    pub(super) warm_up: Option<Duration>,
    /// For throughput, latency and the process; the kernel does not measure run times then, which would cost.
    pub(super) undisturbed: Duration,
    /// For the programs, while it does.
    pub(super) counted: Duration,
}

/// What one case took in one round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    pub(super) round: u16,
    pub(super) case: &'static str,
    pub(super) new: Figures,
    pub(super) kept: Figures,
    /// Resident memory of its process after the load, KiB; `None` where it has none.
    pub(super) resident_kib: Option<u64>,
    /// What its programs and maps take of the kernel's memory, bytes; `None` where there are none.
    pub(super) kernel_bytes: Option<u64>,
}

/// Of one kind of connections.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) requests_per_second: f64,
    pub(super) p99_seconds: f64,
    /// Processor time of its process, nanoseconds a request; `None` where it has none.
    pub(super) process_ns: Option<f64>,
    /// What its programs took for each request; none where there are none.
    pub(super) programs: Vec<Cost>,
    /// Connections that the backends accepted, since the case began.
    pub(super) accepted: u64,
    /// And those that it counted; `None` where it does not count.
    pub(super) counted: Option<u64>,
}

impl Figures {
    /// Time of all programs, nanoseconds a request.
    pub(super) fn programs_ns(&self) -> Option<f64> {
        (!self.programs.is_empty()).then(|| self.programs.iter().map(|program| program.ns).sum())
    }

    /// Connections that it did not count, as a share of those that there were. Negative: it counted more.
    pub(super) fn missed(&self) -> Option<f64> {
        let (accepted, counted) = (self.accepted as f64, self.counted? as f64);
        (accepted > 0.0).then(|| (accepted - counted) / accepted)
    }
}

impl Run {
    pub(super) fn of(&self, connections: Connections) -> &Figures {
        match connections {
            Connections::New => &self.new,
            Connections::Kept => &self.kept,
        }
    }
}

/// Measures what runs already, and ends it.
pub(super) fn run(
    machine: &Machine,
    lab: &Lab,
    lengths: &Lengths,
    round: u16,
    case: &Case,
    running: Running,
) -> Result<Run> {
    let mut new = figures(machine, lab, lengths, Connections::New, &running)?;
    let mut kept = figures(machine, lab, lengths, Connections::Kept, &running)?;
    // Until the last connections are closed and told of.
    thread::sleep(2 * KEPT_IDLE);
    let programs = programs::among(machine, &running.programs())?;
    let kernel_bytes = (!programs.is_empty()).then(|| programs::memory(machine, &programs)).transpose()?;
    let resident_kib = running.figures()?.map(|figures| figures.resident_kib);
    let counted = running.end()?;
    [new.counted, kept.counted] = counted.map_or([None; 2], |counted| counted.map(Some));
    Ok(Run { round, case: case.name, new, kept, resident_kib, kernel_bytes })
}

fn figures(
    machine: &Machine,
    lab: &Lab,
    lengths: &Lengths,
    connections: Connections,
    running: &Running,
) -> Result<Figures> {
    let accepted_before = lab.accepted(connections)?;
    let send = |duration| load::send(machine, connections.balancer(), duration);
    if let Some(warm_up) = lengths.warm_up {
        send(warm_up)?;
    }
    let before = running.figures()?;
    let undisturbed = send(lengths.undisturbed)?;
    let after = running.figures()?;
    let spent = before.zip(after).map(|(before, after)| after.processor_seconds - before.processor_seconds);
    let programs = match running {
        Running::Nothing => Vec::new(),
        Running::Empty { .. } | Running::Tool(_) => {
            let _measured = bpf::measure_run_times().context("the kernel does not measure run times")?;
            let before = programs::among(machine, &running.programs())?;
            let requests = send(lengths.counted)?.requests;
            programs::costs(&before, &programs::among(machine, &running.programs())?, requests)
        }
    };
    Ok(Figures {
        requests_per_second: undisturbed.requests_per_second,
        p99_seconds: undisturbed.p99_seconds,
        process_ns: spent.map(|seconds| seconds * 1e9 / undisturbed.requests as f64),
        programs,
        // Less the connection that asks.
        accepted: lab.accepted(connections)?.saturating_sub(accepted_before + 1),
        counted: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_counted_is_missed_and_who_does_not_count_misses_nothing_that_is_known() {
        let figures = |accepted, counted| Figures {
            requests_per_second: 1.0,
            p99_seconds: 1.0,
            process_ns: None,
            programs: Vec::new(),
            accepted,
            counted,
        };
        assert_eq!(figures(200, Some(150)).missed(), Some(0.25));
        assert_eq!(figures(200, Some(202)).missed(), Some(-0.01));
        assert_eq!(figures(200, None).missed(), None);
        assert_eq!(figures(0, Some(0)).missed(), None);
        assert_eq!(figures(200, None).programs_ns(), None);
    }
}
