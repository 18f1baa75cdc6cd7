//! A recording judged again: the same pools, detector and chronicle that a watch has, and what they say is marked as said
//! again. It is read twice: what was found decides which time the report is of, and then what happened in that is gathered.

use super::gather::Gatherer;
use super::material::{Change, Counts, Gone, Made, Material, MemberInForce, Point, PoolInForce, Range};
use crate::agent::{Agent, Judged};
use crate::chronicle::{Chronicle, Event, PoolName, What};
use crate::collect::Uncounted;
use crate::detect::{Assessment, Settings, Verdict};
use crate::history::DISCOVERED_EVERY_SECONDS;
use crate::outputs::pool_json;
use crate::pools::{ExpectedSource, MemberSample, PoolSample, Pools};
use crate::recording::{Event as Recorded, RecordingError};
use std::collections::{BTreeMap, BTreeSet};

/// What is found in a whole recording.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// From its first interval to the end of its last; `None`: it has none.
    pub known: Option<Range>,
    /// Every verdict that a watch would have told, the earliest first.
    pub changes: Vec<Change>,
    /// When pools went, the earliest first.
    pub gone: Vec<Gone>,
    host: Option<String>,
    pools: Vec<PoolInForce>,
    warnings: Vec<String>,
}

/// Judges a recording.
///
/// # Errors
/// The first line that cannot be read.
pub fn judge(
    recording: impl IntoIterator<Item = Result<Recorded, RecordingError>>,
) -> Result<Again, RecordingError> {
    let mut agent = Agent::new(Pools::default(), Settings::default());
    let mut chronicle = Chronicle::default();
    let mut again = Again::default();
    let mut noted = Noted::default();
    for event in recording {
        match event? {
            Recorded::Begin { host, state } => {
                again.host = host.or(again.host.take());
                agent.restore(state);
            }
            Recorded::Warning(line, message) => again.warnings.push(format!("line {line}: {message}")),
            Recorded::Interval(interval) => {
                let start_seconds = interval.time_seconds - interval.interval_seconds;
                let before_seconds = again.known.map_or(start_seconds, |known| known.to_seconds);
                let known = again
                    .known
                    .get_or_insert(Range { from_seconds: start_seconds, to_seconds: interval.time_seconds });
                known.from_seconds = known.from_seconds.min(start_seconds);
                known.to_seconds = known.to_seconds.max(interval.time_seconds);
                again.gone.extend(noted.without(before_seconds, &interval.pools));
                noted.take(&mut again.pools, start_seconds, &interval.pools);
                let judged: Vec<Judged> = agent.judge(interval.pools, interval.time_seconds);
                let told = chronicle.take(interval.time_seconds, &judged, None);
                again.changes.extend(told.iter().filter_map(change));
            }
        }
    }
    Ok(again)
}

impl Again {
    /// Everything that a range of the recording holds; the recording has to be read from its beginning once more.
    ///
    /// # Errors
    /// The first line that cannot be read.
    pub fn material(
        self,
        range: Range,
        recording: impl IntoIterator<Item = Result<Recorded, RecordingError>>,
    ) -> Result<Material, RecordingError> {
        let mut gatherer = Gatherer::new(range);
        for change in &self.changes {
            gatherer.cut(change.time_seconds);
            change.since_seconds.into_iter().for_each(|since| gatherer.cut(since));
        }
        let mut uncounted = None;
        let mut before = Uncounted::default();
        for event in recording {
            match event? {
                Recorded::Interval(interval) => {
                    let grew = interval.uncounted.map(|total| total.since(before));
                    before = interval.uncounted.unwrap_or(before);
                    if !gatherer.counted(interval.time_seconds, interval.interval_seconds) {
                        continue;
                    }
                    uncounted = match (uncounted, grew) {
                        (Some(sum), Some(grew)) => Some(Uncounted::and(sum, grew)),
                        (sum, grew) => sum.or(grew),
                    };
                    for pool in &interval.pools {
                        add(&mut gatherer, pool, interval.time_seconds);
                    }
                }
                // Another tracer counts from nothing.
                Recorded::Begin { .. } => before = Uncounted::default(),
                Recorded::Warning(..) => {}
            }
        }
        let (series, counted, intervals) = gatherer.finish();
        Ok(Material {
            made: Made::Again,
            host: self.host,
            range,
            runs: Vec::new(),
            changes: since(self.changes, range, |change| {
                (change.time_seconds, &change.pool, !change.verdict.is_finding())
            }),
            pools: since(self.pools, range, |pool| (pool.time_seconds, &pool.pool, true)),
            gone: self.gone.into_iter().filter(|gone| gone.time_seconds <= range.to_seconds).collect(),
            series,
            counted,
            intervals,
            uncounted,
            remarks: self.warnings,
        })
    }
}

/// What is of the range, and of each pool what was before it, back to the last that needs nothing earlier to be understood.
fn since<T>(all: Vec<T>, range: Range, key: impl Fn(&T) -> (f64, &PoolName, bool)) -> Vec<T> {
    let mut first: BTreeMap<PoolName, usize> = BTreeMap::new();
    for (place, one) in all.iter().enumerate() {
        let (time, pool, stands_alone) = key(one);
        if time <= range.from_seconds && (stands_alone || !first.contains_key(pool)) {
            first.insert(pool.clone(), place);
        }
    }
    let is_wanted = |place: usize, one: &T| {
        let (time, pool, _) = key(one);
        range.contains(time)
            || (time <= range.from_seconds && first.get(pool).is_some_and(|first| place >= *first))
    };
    all.into_iter().enumerate().filter(|(place, one)| is_wanted(*place, one)).map(|(_, one)| one).collect()
}

/// A verdict that was told; `None`: it was something else.
fn change(event: &Event) -> Option<Change> {
    let What::Verdict { sample, assessment, previous } = &event.what else { return None };
    // The evidence in the words that a watch writes. It is valid: the serializer's type only says that it could fail.
    let check = pool_json(sample, assessment).ok().and_then(|text| serde_json::from_str(&text).ok());
    let check = check.unwrap_or_default();
    Some(told(event.time_seconds, sample, assessment, *previous, check))
}

fn told(
    time_seconds: f64,
    sample: &PoolSample,
    assessment: &Assessment,
    previous: Option<Verdict>,
    check: serde_json::Value,
) -> Change {
    Change {
        time_seconds,
        pool: name(sample),
        verdict: assessment.verdict,
        previous,
        findings: assessment.findings.clone(),
        summary: assessment.summary.to_string(),
        since_seconds: assessment.since_seconds,
        since_start: assessment.since_start,
        check,
    }
}

fn name(sample: &PoolSample) -> PoolName {
    PoolName { pool: sample.pool.name.clone(), balancer: sample.pool.balancer.clone() }
}

/// Which pools there are, and where it is noted what was expected of each last.
#[derive(Default)]
struct Noted(BTreeMap<PoolName, usize>);

impl Noted {
    /// Takes out those that are not there any more, since the end of the interval before.
    fn without(&mut self, before_seconds: f64, pools: &[PoolSample]) -> Vec<Gone> {
        let there: BTreeSet<PoolName> = pools.iter().map(name).collect();
        let gone = self.0.extract_if(.., |name, _| !there.contains(name));
        gone.map(|(pool, _)| Gone { time_seconds: before_seconds, pool }).collect()
    }

    /// Notes pools that are another way than they were. Who nobody declared is looked at now and then, and where it is
    /// only listed, nobody wants to know its members: those of a client of many servers come and go all the time.
    fn take(&mut self, noted: &mut Vec<PoolInForce>, time_seconds: f64, pools: &[PoolSample]) {
        for sample in pools {
            let identity = &sample.pool;
            let discovered = identity.expected_source == ExpectedSource::Assumed;
            let members: &[MemberSample] = if discovered && !sample.judged { &[] } else { &sample.members };
            let name = name(sample);
            let is_the_same = |old: &PoolInForce| {
                let same = old.members.iter().zip(members).all(|(old, new)| *old == member_in_force(new));
                let soon = discovered && time_seconds < old.time_seconds + DISCOVERED_EVERY_SECONDS;
                soon || old.source == identity.source
                    && old.expected_source == identity.expected_source
                    && old.method == identity.method
                    && old.members.len() == members.len()
                    && same
            };
            if self.0.get(&name).and_then(|&place| noted.get(place)).is_some_and(is_the_same) {
                continue;
            }
            self.0.insert(name.clone(), noted.len());
            noted.push(PoolInForce {
                time_seconds,
                pool: name,
                source: identity.source.clone(),
                expected_source: identity.expected_source,
                method: identity.method,
                members: members.iter().map(member_in_force).collect(),
            });
        }
    }
}

fn member_in_force(member: &MemberSample) -> MemberInForce {
    let at = match &member.origin {
        crate::pools::Origin::Written(at) => Some(at.clone()),
        crate::pools::Origin::Unknown | crate::pools::Origin::Former(_) => None,
    };
    MemberInForce { backend: member.backend, weight: member.weight, at }
}

fn add(gatherer: &mut Gatherer, pool: &PoolSample, end_seconds: f64) {
    let name = name(pool);
    let sum: f64 = pool.members.iter().filter_map(|member| member.weight).sum();
    for member in &pool.members {
        let expected_share = member.weight.filter(|_| sum > 0.0).map(|weight| weight / sum);
        let point = point(member, end_seconds, pool.interval_seconds, expected_share);
        gatherer.add(&name, member.backend, point);
    }
}

fn point(member: &MemberSample, end_seconds: f64, length_seconds: f64, expected_share: Option<f64>) -> Point {
    let delta = &member.delta;
    let known = |name: &str, count: u64| (!member.recorded.unmeasured.contains(name)).then_some(count);
    let any_cause =
        delta.failed.by_cause().iter().any(|(cause, _)| !member.recorded.unmeasured.contains(cause));
    Point {
        end_seconds,
        length_seconds,
        counts: Counts {
            attempts: known("attempts", delta.attempts),
            decisions: known("attempts", member.decisions),
            established: known("established", delta.established),
            closed: known("closed", delta.closed),
            resets: known("resets", delta.resets),
            resets_without_data: known("resets_without_data", delta.resets_without_data),
            probes: known("probes", delta.probes),
            sent_bytes: known("sent_bytes", delta.sent_bytes),
            received_bytes: known("received_bytes", delta.received_bytes),
            retransmits: known("retransmits", delta.retransmits),
            exchanges: member.exchanges.count,
            requests: member.requests,
            failed: any_cause.then_some(delta.failed),
        },
        #[expect(clippy::cast_precision_loss, reason = "a number of sockets")]
        live: member.stock.map(|stock| stock.live as f64),
        expected_share,
        response: member.exchanges.response_time.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::episodes::tests::change;
    use super::*;
    use Verdict::{BackendFailing, Balanced, Skewed};

    #[test]
    fn of_what_stood_when_a_range_began_it_is_known_since_when() {
        let told = vec![
            change("app", 10.0, Skewed, Some(5.0)),
            change("app", 20.0, Balanced, None),
            change("app", 30.0, Skewed, Some(28.0)),
            change("db", 32.0, Balanced, None),
            change("app", 40.0, BackendFailing, Some(38.0)),
            change("app", 60.0, Balanced, None),
            change("app", 90.0, Skewed, Some(88.0)),
        ];
        let range = Range { from_seconds: 50.0, to_seconds: 80.0 };
        let kept =
            since(told, range, |change| (change.time_seconds, &change.pool, !change.verdict.is_finding()));
        let times: Vec<f64> = kept.iter().map(|change| change.time_seconds).collect();
        assert_eq!(times, [20.0, 30.0, 32.0, 40.0, 60.0]);
    }
}
