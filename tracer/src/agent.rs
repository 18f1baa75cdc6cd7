//! From samples to assessments: the same steps for a check, the demo, and whatever runs longer.

use crate::collect::Sample;
use crate::detect::{Assessment, PoolJudge, Settings};
use crate::pools::{DeclaredPool, PoolSample, Pools, Remembered};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{HashMap, HashSet};

/// A pool in one interval, and what is said about it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What happened.
    pub sample: PoolSample,
    /// What is said about it; `None` for a pool that is only listed.
    pub assessment: Option<Assessment>,
}

/// Name of a pool and what its balancer is called.
type Key = (String, Option<String>);

/// Sorts samples into pools and judges each.
pub struct Agent {
    pools: Pools,
    settings: Settings,
    judges: HashMap<Key, PoolJudge>,
}

impl Agent {
    /// An agent that has seen nothing yet.
    #[must_use]
    pub fn new(pools: Pools, settings: Settings) -> Self {
        Self { pools, settings, judges: HashMap::new() }
    }

    /// What the user asked for and was not seen so far: a line each.
    #[must_use]
    pub fn unmatched(&self) -> Vec<String> {
        self.pools.unmatched()
    }

    /// Takes other declared pools from the next interval on. What is known of pools that keep their name stays.
    pub fn declare(&mut self, declared: Vec<DeclaredPool>) {
        let names = |pools: &Pools| -> HashSet<String> {
            pools.declared().iter().map(|pool| pool.name.clone()).collect()
        };
        let before = names(&self.pools);
        self.pools.declare(declared);
        let now = names(&self.pools);
        // One that is declared again some day is a new one.
        self.judges.retain(|(name, _), _| now.contains(name) || !before.contains(name));
    }

    /// Judges one more interval.
    pub fn step(&mut self, sample: &Sample) -> Vec<Judged> {
        let pools = self.pools.group(sample);
        self.judge(pools, sample.time_seconds)
    }

    /// Judges one more interval of pools that are sorted out already: recorded ones. It ended at `time_seconds`.
    pub fn judge(&mut self, pools: Vec<PoolSample>, time_seconds: f64) -> Vec<Judged> {
        let mut judged = Vec::with_capacity(pools.len());
        for sample in pools {
            let assessment = sample.judged.then(|| {
                let judge =
                    self.judges.entry(key(&sample)).or_insert_with(|| PoolJudge::new(self.settings.clone()));
                judge.judge(&sample, time_seconds)
            });
            judged.push(Judged { sample, assessment });
        }
        // A pool that is gone is a new one when it comes again.
        if self.judges.len() > judged.len() {
            let present: HashSet<Key> = judged.iter().map(|pool| key(&pool.sample)).collect();
            self.judges.retain(|key, _| present.contains(key));
        }
        judged
    }

    /// What it remembers of every pool that it has judged: an agent that is given this goes on judging as this one
    /// would. What the pools themselves remember (health checks, what balancers are called) is not in it.
    #[must_use]
    pub fn state(&self) -> AgentState {
        let mut judges: Vec<JudgeState> = self
            .judges
            .iter()
            .map(|((pool, balancer), judge)| JudgeState {
                pool: pool.clone(),
                balancer: balancer.clone(),
                judge: judge.clone(),
            })
            .collect();
        judges.sort_by(|a, b| (&a.pool, &a.balancer).cmp(&(&b.pool, &b.balancer)));
        AgentState { detector: DETECTOR_VERSION, judges }
    }

    /// What it knows of pools that nobody declared; an agent that is given this and [`state`](Self::state) goes on as if
    /// it were this one.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        self.pools.remembered()
    }

    /// Goes on from what another agent knew of such pools.
    pub fn recall(&mut self, remembered: Remembered) {
        self.pools.recall(remembered);
    }

    /// Goes on from what another agent remembered, and forgets what it remembered itself.
    pub fn restore(&mut self, state: AgentState) {
        let judges = state.judges.into_iter();
        self.judges = judges.map(|of| ((of.pool, of.balancer), of.judge)).collect();
    }
}

fn key(sample: &PoolSample) -> Key {
    (sample.pool.name.clone(), sample.pool.balancer.clone())
}

/// Version of what [`AgentState`] holds. Whoever changes a structure of `detect`, or what its numbers mean, counts it
/// up: numbers of another version say something else.
pub const DETECTOR_VERSION: u32 = 5;

/// What an [`Agent`] remembers of the pools it has judged, to be written down as JSON and restored bit for bit.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AgentState {
    /// First, so that a state of another version is refused for that, and not for a field that it has not.
    #[serde(deserialize_with = "this_version")]
    detector: u32,
    #[serde(deserialize_with = "whole")]
    judges: Vec<JudgeState>,
}

impl Default for AgentState {
    /// Of an agent that has judged nothing.
    fn default() -> Self {
        Self { detector: DETECTOR_VERSION, judges: Vec::new() }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct JudgeState {
    pool: String,
    balancer: Option<String>,
    judge: PoolJudge,
}

fn this_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    if version == DETECTOR_VERSION {
        Ok(version)
    } else {
        let expected = format!("detector version {DETECTOR_VERSION}");
        Err(D::Error::invalid_value(Unexpected::Unsigned(version.into()), &expected.as_str()))
    }
}

/// A state that was tampered with must not make the judge reach for members that are not there.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<JudgeState>, D::Error> {
    let judges = Vec::<JudgeState>::deserialize(deserializer)?;
    match judges.iter().find(|state| !state.judge.is_whole()) {
        None => Ok(judges),
        Some(state) => {
            Err(D::Error::custom(format!("the state of pool {:?} does not hold together", state.pool)))
        }
    }
}
