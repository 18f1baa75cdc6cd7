//! Whether a soak shows what it should: pure, on figures that were taken.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{load::Accepted, process::Figures};

/// What one look found.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Since the load began.
    after: Duration,
    /// Connections a second that were asked for.
    rate: u32,
    /// Share of a processor that the process took since the look before.
    processor: f64,
    /// Share of a processor that its programs in the kernel took; `None` when the kernel does not measure it.
    programs: Option<f64>,
    resident_kib: u64,
    descriptors: usize,
}

impl Reading {
    pub(super) fn between(after: Duration, rate: u32, before: &Figures, now: &Figures) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let programs = now.programs_seconds.zip(before.programs_seconds);
        Self {
            after,
            rate,
            processor: (now.processor_seconds - before.processor_seconds) / seconds,
            programs: programs.map(|(now, before)| (now - before) / seconds),
            resident_kib: now.resident_kib,
            descriptors: now.descriptors,
        }
    }
}

/// What the recording says.
#[derive(Debug, PartialEq)]
pub(super) struct Recorded {
    /// Established connections of each backend.
    established: BTreeMap<SocketAddr, u64>,
    /// Closed ones.
    closed: BTreeMap<SocketAddr, u64>,
    /// How much longer than a second each interval was, seconds; a tick that was left out is a second.
    lags: Vec<f64>,
}

/// Reads the lines that `watch --samples` wrote.
pub(super) fn recorded(text: &str) -> Result<Recorded> {
    let (mut established, mut closed, mut lags) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).context("a line of the recording is no JSON")?;
        if line["schema"] != "tracer.sample/1" {
            continue;
        }
        lags.push(line["interval_seconds"].as_f64().context("a sample without interval_seconds")? - 1.0);
        let pools = line["pools"].as_array().context("a sample without pools")?;
        for member in pools.iter().flat_map(|pool| pool["members"].as_array().into_iter().flatten()) {
            let backend: SocketAddr = member["backend"]
                .as_str()
                .and_then(|text| text.parse().ok())
                .context("a member's address")?;
            *established.entry(backend).or_insert(0) += member["established"].as_u64().unwrap_or(0);
            *closed.entry(backend).or_insert(0) += member["closed"].as_u64().unwrap_or(0);
        }
    }
    // The last interval ends when the tracer is told to stop.
    lags.pop();
    Ok(Recorded { established, closed, lags })
}

/// A tick later than this is late: a tenth of its interval.
const LATE_SECONDS: f64 = 0.1;
/// What memory may vary by without being a leak, KiB: the allocator keeps what it had once.
const SLACK_KIB: u64 = 1_024;
/// Share of a processor at 1,000 connections a second, programs in the kernel included where they are measured.
const MOST_PROCESSOR: f64 = 0.01;

/// Everything that is not as it should be.
pub(super) fn problems(readings: &[Reading], recorded: &Recorded, accepted: &Accepted) -> Vec<String> {
    let mut problems = Vec::new();
    for (backend, count) in accepted {
        for (what, counted) in [("established", &recorded.established), ("closed", &recorded.closed)] {
            let counted = counted.get(backend).copied().unwrap_or(0);
            if counted != *count {
                problems.push(format!("{backend}: {counted} {what}, {count} accepted"));
            }
        }
    }
    let (early, late) = thirds(readings);
    let (before, after) =
        (median(early, |reading| reading.resident_kib), median(late, |reading| reading.resident_kib));
    if after > before + before / 20 + SLACK_KIB {
        problems.push(format!("memory grew from {before} to {after} KiB"));
    }
    let most = |readings: &[Reading]| readings.iter().map(|reading| reading.descriptors).max().unwrap_or(0);
    if most(late) > most(early) {
        problems.push(format!("descriptors grew from {} to {}", most(early), most(late)));
    }
    let late_ticks = recorded.lags.iter().filter(|lag| lag.abs() > LATE_SECONDS).count();
    if late_ticks * 100 > recorded.lags.len() {
        problems.push(format!("{late_ticks} of {} ticks were late", recorded.lags.len()));
    }
    match at_thousand(readings) {
        Some(share) if share > MOST_PROCESSOR => {
            problems.push(format!("{:.2} % of a processor at 1,000 connections/s", 100.0 * share));
        }
        Some(_) => {}
        None => problems.push("too short to see 1,000 connections/s".to_owned()),
    }
    problems
}

/// The report, as text.
pub(super) fn report(readings: &[Reading], recorded: &Recorded, accepted: &Accepted) -> String {
    let mut text = String::from("  after   rate  processor  programs  resident  descriptors\n");
    let step = (readings.len() / 24).max(1);
    for reading in readings.iter().step_by(step) {
        let programs = reading.programs.map_or("unknown".into(), |share| format!("{:.2} %", 100.0 * share));
        let _ = writeln!(
            text,
            "{:>5.0} s {:>4}/s {:>8.2} % {programs:>9} {:>5} KiB {:>12}",
            reading.after.as_secs_f64(),
            reading.rate,
            100.0 * reading.processor,
            reading.resident_kib,
            reading.descriptors
        );
    }
    let worst = recorded.lags.iter().fold(0.0_f64, |worst, lag| worst.max(lag.abs()));
    let sum = |counts: &BTreeMap<SocketAddr, u64>| counts.values().sum::<u64>();
    let (established, closed) = (sum(&recorded.established), sum(&recorded.closed));
    let all: u64 = accepted.iter().map(|(_, count)| count).sum();
    let _ = writeln!(text, "{all} accepted, {established} established, {closed} closed");
    let _ = writeln!(text, "{} ticks, the worst {:.0} ms off", recorded.lags.len(), 1e3 * worst);
    if let Some(share) = at_thousand(readings) {
        let _ = writeln!(text, "{:.2} % of a processor at 1,000 connections/s", 100.0 * share);
    }
    text
}

/// Processor share while 1,000 connections a second were asked for: of the process, and of its programs where the kernel
/// measures them (`sysctl kernel.bpf_stats_enabled=1`).
fn at_thousand(readings: &[Reading]) -> Option<f64> {
    let share = |reading: &Reading| reading.processor + reading.programs.unwrap_or(0.0);
    let shares: Vec<f64> = readings.iter().filter(|reading| reading.rate == 1_000).map(share).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// The second third, when everything has been in use once, and the last.
fn thirds(readings: &[Reading]) -> (&[Reading], &[Reading]) {
    let third = readings.len() / 3;
    (&readings[third..2 * third], &readings[2 * third..])
}

fn median(readings: &[Reading], of: impl Fn(&Reading) -> u64) -> u64 {
    let mut values: Vec<u64> = readings.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(resident_kib: u64, descriptors: usize, processor: f64) -> Reading {
        let after = Duration::from_secs(5);
        Reading { after, rate: 1_000, processor, programs: None, resident_kib, descriptors }
    }

    fn backend() -> SocketAddr {
        "127.0.0.1:80".parse().unwrap()
    }

    fn counted(count: u64) -> Recorded {
        let counts = BTreeMap::from([(backend(), count)]);
        Recorded { established: counts.clone(), closed: counts, lags: vec![0.0; 100] }
    }

    #[test]
    fn what_is_flat_and_whole_has_no_problem() {
        let readings = vec![reading(9_000, 20, 0.005); 9];
        assert_eq!(problems(&readings, &counted(7), &vec![(backend(), 7)]), Vec::<String>::new());
    }

    #[test]
    fn each_departure_is_named() {
        let mut readings = vec![reading(9_000, 20, 0.02); 6];
        readings.extend(vec![reading(12_000, 21, 0.02); 3]);
        let late = Recorded { lags: vec![0.3; 100], ..counted(6) };
        let found = problems(&readings, &late, &vec![(backend(), 7)]).join("; ");
        for part in
            ["6 established, 7 accepted", "6 closed", "memory grew", "descriptors grew", "late", "2.00 %"]
        {
            assert!(found.contains(part), "{part}: {found}");
        }
    }

    #[test]
    fn a_recording_is_added_up() {
        let line = |time: f64| {
            format!(
                "{{\"schema\":\"tracer.sample/1\",\"interval_seconds\":{time},\"pools\":[{{\"members\":[\
                 {{\"backend\":\"127.0.0.1:80\",\"established\":2,\"closed\":2}}]}}]}}\n"
            )
        };
        let text = format!("{{\"schema\":\"tracer.state/1\"}}\n{}{}{}", line(1.0), line(1.2), line(0.3));
        let found = recorded(&text).unwrap();
        assert_eq!(found.established[&backend()], 6);
        assert!(found.lags.len() == 2 && (found.lags[1] - 0.2).abs() < 1e-6);
    }
}
