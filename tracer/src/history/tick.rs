//! What one interval brings to the history: made by the tick, and all that the scribe needs.

use super::columns::Figures;
use crate::agent::Judged;
use crate::chronicle::{Event, PoolName, What};
use crate::collect::Uncounted;
use crate::detect::Verdict;
use crate::outputs::pool_json;
use crate::pools::{ExpectedSource, MemberSample, Method, Origin, PoolSample};
use crate::recording::Interval;
use serde::Serialize;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

/// Which pools there are is looked at for merely discovered ones once in so many seconds: backends of a client of many
/// servers come and go all the time.
pub(crate) const DISCOVERED_EVERY_SECONDS: f64 = 10.0;

/// One interval.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Its end.
    pub(super) time_seconds: f64,
    /// Its length.
    pub(super) interval_seconds: f64,
    pub(super) pools: Vec<PoolTick>,
    /// What is nobody's; `None`: nothing is.
    pub(super) other: Option<Figures>,
    /// Since the start.
    pub(super) uncounted: Option<Uncounted>,
    pub(super) verdicts: Vec<VerdictTold>,
}

/// A pool in an interval.
#[derive(Clone, Debug)]
pub(super) struct PoolTick {
    pub(super) name: PoolName,
    /// `None`: not judged.
    pub(super) verdict: Option<Verdict>,
    /// Whether exchanges were measured.
    pub(super) exchanges: bool,
    /// Of every member of which there was something.
    pub(super) members: Vec<(SocketAddr, Figures)>,
    /// What is expected of it, if that is otherwise than before.
    pub(super) in_force: Option<Arc<InForce>>,
}

/// What is expected of a pool.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) time_seconds: f64,
    pub(super) source: String,
    pub(super) expected: ExpectedSource,
    pub(super) method: Method,
    pub(super) judged: bool,
    pub(super) note: Option<String>,
    /// JSON, as in the table.
    pub(super) members: String,
}

/// A verdict that was told.
#[derive(Clone, Debug)]
pub(super) struct VerdictTold {
    pub(super) time_seconds: f64,
    pub(super) pool: PoolName,
    pub(super) verdict: Verdict,
    pub(super) previous: Option<Verdict>,
    pub(super) since_seconds: Option<f64>,
    pub(super) since_start: bool,
    pub(super) summary: String,
    pub(super) check_json: String,
}

impl VerdictTold {
    /// Whether one wants to know by the second what led to it: not that a pool is found to be well when it is first
    /// judged.
    pub(super) fn is_change(&self) -> bool {
        self.previous.is_some() || self.verdict.is_finding()
    }
}

impl Tick {
    /// How many rows wait with it, about.
    pub(super) fn rows(&self) -> usize {
        1 + self.pools.iter().map(|pool| 1 + pool.members.len()).sum::<usize>() + self.verdicts.len()
    }
}

/// Makes ticks; remembers what is expected of each pool, to give that only when it is otherwise.
#[derive(Debug, Default)]
pub struct Describer {
    pools: HashMap<PoolName, Described>,
}

/// What was given last.
#[derive(Clone, Copy, Debug)]
struct Described {
    hash: u64,
    time_seconds: f64,
}

impl Describer {
    /// Takes an interval, with what was told of it.
    ///
    /// # Errors
    /// Never for this data; the serializer's type says it could.
    pub fn tick(&mut self, interval: &Interval<Judged>, events: &[Event]) -> serde_json::Result<Tick> {
        let Interval { time_seconds, interval_seconds, .. } = *interval;
        let mut pools = Vec::with_capacity(interval.pools.len());
        for judged in &interval.pools {
            let name = PoolName::of(judged);
            let sample = &judged.sample;
            pools.push(PoolTick {
                verdict: judged.assessment.as_ref().map(|assessment| assessment.verdict),
                exchanges: sample.members.iter().all(|member| member.exchanges.count.is_some()),
                members: sample
                    .members
                    .iter()
                    .filter_map(|member| figures(member, interval_seconds))
                    .collect(),
                in_force: self.in_force(&name, sample, time_seconds)?,
                name,
            });
        }
        if self.pools.len() > pools.len() {
            let there: std::collections::HashSet<&PoolName> = pools.iter().map(|pool| &pool.name).collect();
            self.pools.retain(|name, _| there.contains(name));
        }
        let other = interval.other.as_ref();
        Ok(Tick {
            time_seconds,
            interval_seconds,
            pools,
            other: other.and_then(|other| Figures::of_other(other, interval_seconds)),
            uncounted: interval.uncounted,
            verdicts: events.iter().filter_map(|event| told(event).transpose()).collect::<Result<_, _>>()?,
        })
    }

    /// The scribe did not take a tick: what was in it has to be given again.
    pub fn forget(&mut self) {
        self.pools.clear();
    }

    fn in_force(
        &mut self,
        name: &PoolName,
        sample: &PoolSample,
        time_seconds: f64,
    ) -> serde_json::Result<Option<Arc<InForce>>> {
        let before = self.pools.get(name);
        let discovered = sample.pool.expected_source == ExpectedSource::Assumed;
        if discovered && before.is_some_and(|was| time_seconds < was.time_seconds + DISCOVERED_EVERY_SECONDS)
        {
            return Ok(None);
        }
        let members = expected(sample);
        let hash = hash(sample, members);
        if before.is_some_and(|was| was.hash == hash) {
            return Ok(None);
        }
        let members: Vec<Member<'_>> = members.iter().map(Member::of).collect();
        let in_force = InForce {
            time_seconds,
            source: sample.pool.source.clone(),
            expected: sample.pool.expected_source,
            method: sample.pool.method,
            judged: sample.judged,
            note: sample.note.clone(),
            members: serde_json::to_string(&members)?,
        };
        self.pools.insert(name.clone(), Described { hash, time_seconds });
        Ok(Some(Arc::new(in_force)))
    }
}

fn figures(member: &MemberSample, seconds: f64) -> Option<(SocketAddr, Figures)> {
    Some((member.backend, Figures::of_member(member, seconds)?))
}

/// The members of which something is expected: none of a pool that nobody declared and that is only listed. A client of
/// many servers is one, and would fill the file with them.
fn expected(sample: &PoolSample) -> &[MemberSample] {
    let is_listed = sample.pool.expected_source == ExpectedSource::Assumed && !sample.judged;
    if is_listed { &[] } else { &sample.members }
}

/// Of everything that is expected of a pool. Its note is not in it: it may say another number in every interval.
fn hash(sample: &PoolSample, members: &[MemberSample]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let identity = &sample.pool;
    identity.source.hash(&mut hasher);
    (identity.expected_source == ExpectedSource::Declared).hash(&mut hasher);
    (identity.method as u8, sample.judged).hash(&mut hasher);
    for member in members {
        (member.backend, member.weight.map(f64::to_bits), written_at(&member.origin)).hash(&mut hasher);
    }
    hasher.finish()
}

fn written_at(origin: &Origin) -> Option<&str> {
    match origin {
        Origin::Written(at) => Some(at),
        Origin::Unknown | Origin::Former(_) => None,
    }
}

/// A member as it is written down.
#[derive(Serialize)]
struct Member<'a> {
    backend: SocketAddr,
    weight: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
}

impl<'a> Member<'a> {
    fn of(member: &'a MemberSample) -> Self {
        Self { backend: member.backend, weight: member.weight, at: written_at(&member.origin) }
    }
}

fn told(event: &Event) -> serde_json::Result<Option<VerdictTold>> {
    let What::Verdict { sample, assessment, previous } = &event.what else { return Ok(None) };
    let identity = &sample.pool;
    Ok(Some(VerdictTold {
        time_seconds: event.time_seconds,
        pool: PoolName { pool: identity.name.clone(), balancer: identity.balancer.clone() },
        verdict: assessment.verdict,
        previous: *previous,
        since_seconds: assessment.since_seconds,
        since_start: assessment.since_start,
        summary: assessment.summary.clone(),
        check_json: pool_json(sample, assessment)?,
    }))
}
