//! From samples to assessments: the same steps for a check, the demo, and whatever runs longer.

use crate::collect::Sample;
use crate::detect::{Assessment, PoolJudge, Settings};
use crate::pools::{DeclaredPool, PoolSample, Pools};
use std::collections::{HashMap, HashSet};

/// A pool in one interval, and what is said about it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What happened.
    pub sample: PoolSample,
    /// What is said about it; `None` for a pool that is only listed.
    pub assessment: Option<Assessment>,
}

/// Sorts samples into pools and judges each.
pub struct Agent {
    pools: Pools,
    settings: Settings,
    judges: HashMap<(String, Option<String>), PoolJudge>,
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
        let mut judged = Vec::new();
        for pool in self.pools.group(sample) {
            let assessment = pool.judged.then(|| {
                let key = (pool.pool.name.clone(), pool.pool.balancer.clone());
                let judge = self.judges.entry(key).or_insert_with(|| PoolJudge::new(self.settings.clone()));
                judge.judge(&pool, sample.time_seconds)
            });
            judged.push(Judged { sample: pool, assessment });
        }
        judged
    }
}
