//! Whether a soak shows what it should: pure, on figures that were taken.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    agent::{Counted, Errors},
    load::{Truth, Truths},
    process::Figures,
    recording::Tick,
    schedule::Fault,
};

/// What one look found.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Which agent it was, from 1.
    pub(super) agent: usize,
    /// Since the load began.
    pub(super) after: Duration,
    /// Connections a second that were asked for since the look before; `None`: that changed.
    pub(super) rate: Option<u32>,
    /// Share of a processor that the process took since the look before.
    pub(super) processor: f64,
    /// Share of a processor that its programs in the kernel took; `None` when the kernel does not measure it.
    pub(super) programs: Option<f64>,
    pub(super) resident_kib: u64,
    pub(super) descriptors: usize,
    /// A fault was being made.
    pub(super) disturbed: bool,
}

impl Reading {
    pub(super) fn between(
        agent: usize,
        after: Duration,
        rate: Option<u32>,
        before: &Figures,
        now: &Figures,
    ) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let programs = now.programs_seconds.zip(before.programs_seconds);
        Self {
            agent,
            after,
            rate,
            processor: (now.processor_seconds - before.processor_seconds) / seconds,
            programs: programs.map(|(now, before)| (now - before) / seconds),
            resident_kib: now.resident_kib,
            descriptors: now.descriptors,
            disturbed: false,
        }
    }
}

/// An agent, from when it counted.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) from: Duration,
    pub(super) to: Option<Duration>,
    /// How it was ended.
    pub(super) ended: &'static str,
}

/// A fault that was made, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) fault: Fault,
    /// Since the load began.
    pub(super) at: Duration,
    /// Until everything was counted after it.
    pub(super) took: Duration,
    /// The same, seconds since the epoch.
    pub(super) window: (f64, f64),
    /// In words.
    pub(super) seen: String,
    /// What was not as it should be.
    pub(super) problems: Vec<String>,
    /// What there was by its end, and what was counted then.
    pub(super) truths: Truths,
    pub(super) counted: BTreeMap<SocketAddr, Counted>,
    /// Figures just before and just after.
    pub(super) errors: (Errors, Errors),
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) length: Duration,
    pub(super) readings: Vec<Reading>,
    pub(super) lives: Vec<Life>,
    pub(super) faults: Vec<Made>,
    /// Intervals, but for the last.
    pub(super) ticks: Vec<Tick>,
    /// Figures when the load began, and when it was over.
    pub(super) at_first: Errors,
    pub(super) at_last: Errors,
    /// What there was in the end, and what was counted.
    pub(super) truths: Truths,
    pub(super) counted: BTreeMap<SocketAddr, Counted>,
    /// What was wrong with the end.
    pub(super) problems: Vec<String>,
}

/// A tick later than this is late: a tenth of its interval.
const LATE_SECONDS: f64 = 0.1;
/// What memory may vary by without being a leak, KiB: the allocator keeps what it had once.
const SLACK_KIB: u64 = 1_024;
/// Share of a processor at 1,000 connections a second, programs in the kernel included where they are measured.
const MOST_PROCESSOR: f64 = 0.01;
/// An agent with fewer looks that nothing disturbed was not there for long enough to be judged.
const FEWEST_READINGS: usize = 9;
/// What the kernel hides and is made up for is no error.
pub(super) const MADE_UP_FOR: &str = "uncounted.recursion_misses";

/// Everything that is not as it should be.
pub(super) fn problems(evidence: &Evidence) -> Vec<String> {
    let mut problems = Vec::new();
    // What is wrong stays so: it is told with the fault after which it was seen first.
    let mut before = Vec::new();
    for made in &evidence.faults {
        let at = format!("{} after {:.0} s", made.fault.name(), made.at.as_secs_f64());
        let now = differences(&made.truths, &made.counted, hidden(&made.errors.1));
        let wrong = made.problems.iter().chain(now.iter().filter(|problem| !before.contains(*problem)));
        problems.extend(wrong.map(|problem| format!("{at}: {problem}")));
        before = now;
    }
    problems.extend(differences(&evidence.truths, &evidence.counted, hidden(&evidence.at_last)));
    problems.extend(evidence.problems.iter().cloned());
    problems.extend(growth(evidence));
    let late = late(evidence);
    if late * 100 > undisturbed(evidence).count() {
        problems.push(format!("{late} of {} ticks were late", undisturbed(evidence).count()));
    }
    let mut judged = 0;
    for number in 1..=evidence.lives.len() {
        let Some(flat) = flatness(evidence, number) else { continue };
        judged += 1;
        let [before, after] = flat.resident_kib;
        if after > before + before / 20 + SLACK_KIB {
            problems.push(format!("agent {number}: memory grew from {before} to {after} KiB"));
        }
        let [before, after] = flat.descriptors;
        if after > before {
            problems.push(format!("agent {number}: descriptors grew from {before} to {after}"));
        }
    }
    if judged == 0 {
        problems.push("too short to judge the memory of any agent".to_owned());
    }
    match at_thousand(&evidence.readings) {
        Some(share) if share > MOST_PROCESSOR => {
            problems.push(format!("{:.2} % of a processor at 1,000 connections/s", 100.0 * share));
        }
        Some(_) => {}
        None => problems.push("too short to see 1,000 connections/s".to_owned()),
    }
    problems
}

/// Events that the kernel hid and that were made up for. Of a failure that was hidden its cause is not known.
pub(super) fn hidden(errors: &Errors) -> u64 {
    errors.get(MADE_UP_FOR).copied().unwrap_or_default()
}

/// Where what was counted is not what there was, when so many events were hidden.
pub(super) fn differences(
    truths: &Truths,
    counted: &BTreeMap<SocketAddr, Counted>,
    hidden: u64,
) -> Vec<String> {
    let mut differences = Vec::new();
    let mut without_cause = 0;
    for (backend, truth) in truths {
        let Truth { accepted, established, refused, other } = *truth;
        let counted = counted.get(backend).copied().unwrap_or_default();
        for (what, is, should) in [
            ("established", counted.established, accepted),
            ("closed", counted.closed, accepted),
            ("attempts", counted.attempts, established + refused + other),
            ("failed", counted.failed(), refused + other),
            ("without an outcome", counted.open, 0),
            ("adopted", counted.adopted, 0),
        ] {
            if is != should {
                differences.push(format!("{backend}: {is} {what}, not {should}"));
            }
        }
        if counted.refused > refused {
            differences.push(format!("{backend}: {} refused, not {refused}", counted.refused));
        }
        without_cause += refused.saturating_sub(counted.refused);
    }
    if without_cause > hidden {
        differences
            .push(format!("{without_cause} refusals are not known as such, and {hidden} events were hidden"));
    }
    differences
}

/// Connections and failures that were not counted, and that were counted too often.
pub(super) fn lost_and_doubled(truths: &Truths, counted: &BTreeMap<SocketAddr, Counted>) -> (u64, u64) {
    let pairs = truths.iter().flat_map(|(backend, truth)| {
        let counted = counted.get(backend).copied().unwrap_or_default();
        [(truth.accepted, counted.established), (truth.refused + truth.other, counted.failed())]
    });
    pairs.fold((0, 0), |(lost, doubled), (should, is)| {
        (lost + should.saturating_sub(is), doubled + is.saturating_sub(should))
    })
}

/// Figures that became larger while nothing was done: from the end of each fault to the beginning of the next.
fn growth(evidence: &Evidence) -> Vec<String> {
    let ends = [&evidence.at_first].into_iter().chain(evidence.faults.iter().map(|made| &made.errors.1));
    let begins = evidence.faults.iter().map(|made| &made.errors.0).chain([&evidence.at_last]);
    let mut growth = Vec::new();
    for (earlier, later) in ends.zip(begins) {
        for (name, now) in later.iter().filter(|(name, _)| *name != MADE_UP_FOR) {
            let before = earlier.get(name).copied().unwrap_or(0);
            if *now > before {
                growth.push(format!("{name} grew from {before} to {now} while nothing was wrong"));
            }
        }
    }
    growth
}

/// Intervals in which no fault was made.
pub(super) fn undisturbed(evidence: &Evidence) -> impl Iterator<Item = Tick> {
    let faults = &evidence.faults;
    let is_disturbed = |tick: &Tick| faults.iter().any(|made| tick.touches(made.window));
    evidence.ticks.iter().filter(move |tick| !is_disturbed(tick)).copied()
}

/// How many of them were late.
pub(super) fn late(evidence: &Evidence) -> usize {
    undisturbed(evidence).filter(|tick| tick.lag().abs() > LATE_SECONDS).count()
}

/// Figures of an agent when everything had been in use once, and in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flatness {
    pub(super) resident_kib: [u64; 2],
    pub(super) descriptors: [u64; 2],
}

/// Medians of the second third of an agent's time and of the last, where nothing disturbed it. `None`: it was not there for
/// long enough.
pub(super) fn flatness(evidence: &Evidence, agent: usize) -> Option<Flatness> {
    let of_it = evidence.readings.iter().filter(|reading| reading.agent == agent && !reading.disturbed);
    let readings: Vec<&Reading> = of_it.collect();
    let third = readings.len() / 3;
    let medians = |of: fn(&Reading) -> u64| {
        [&readings[third..2 * third], &readings[2 * third..]].map(|some| {
            let mut values: Vec<u64> = some.iter().map(|reading| of(reading)).collect();
            values.sort_unstable();
            values[values.len() / 2]
        })
    };
    (readings.len() >= FEWEST_READINGS).then(|| Flatness {
        resident_kib: medians(|reading| reading.resident_kib),
        descriptors: medians(|reading| reading.descriptors as u64),
    })
}

/// Processor share while 1,000 connections a second were asked for and nothing was done: of the process, and of its programs
/// where the kernel measures them (`sysctl kernel.bpf_stats_enabled=1`).
pub(super) fn at_thousand(readings: &[Reading]) -> Option<f64> {
    let share = |reading: &Reading| reading.processor + reading.programs.unwrap_or(0.0);
    let busy = readings.iter().filter(|reading| reading.rate == Some(1_000) && !reading.disturbed);
    let shares: Vec<f64> = busy.map(share).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
