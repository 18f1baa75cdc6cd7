//! The part of a recording that is looked at. Its pools are sorted out already: a filter chooses among them.

use crate::pools::{Filter, PoolSample, label_answers_to};
use std::collections::BTreeSet;

/// Pools that are named when the filter lets nothing through.
const NAMED: usize = 5;

/// What the filter's balancer, port and range of backends let through. Recordings know no network namespaces.
pub struct Selection {
    filter: Filter,
    matched: bool,
    seen: BTreeSet<String>,
}

impl Selection {
    /// An empty filter lets everything through.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, matched: false, seen: BTreeSet::new() }
    }

    /// The pools of an interval that are looked at, each with the members that are.
    pub fn apply(&mut self, pools: Vec<PoolSample>) -> Vec<PoolSample> {
        if self.filter.is_empty() {
            return pools;
        }
        if self.seen.len() < NAMED {
            self.seen.extend(pools.iter().take(NAMED).map(called));
        }
        let selected: Vec<PoolSample> = pools.into_iter().filter_map(|pool| self.select(pool)).collect();
        self.matched |= !selected.is_empty();
        selected
    }

    fn select(&self, mut pool: PoolSample) -> Option<PoolSample> {
        if let Some(name) = &self.filter.balancer
            && !pool.pool.balancer.as_ref().is_some_and(|label| label_answers_to(label, name))
        {
            return None;
        }
        let all = pool.members.len();
        pool.members.retain(|member| self.filter.matches_backend(member.backend));
        if pool.members.is_empty() {
            return None;
        }
        let mut notes: Vec<String> = pool.note.take().into_iter().collect();
        if pool.members.len() < all {
            notes.push(format!("the filter leaves {} of {all} members", pool.members.len()));
        }
        let due = |weight: Option<f64>| weight.is_some_and(|weight| weight > 0.0);
        if pool.judged && !pool.members.iter().any(|member| due(member.weight)) {
            pool.judged = false;
            notes.push("not judged: no member that is left has an expected share".into());
        }
        pool.note = (!notes.is_empty()).then(|| notes.join("; "));
        Some(pool)
    }

    /// What was asked for and not seen: a line each. Names in it are untrusted text.
    #[must_use]
    pub fn unmatched(&self) -> Vec<String> {
        if self.matched || self.seen.is_empty() {
            return Vec::new();
        }
        let seen: Vec<&str> = self.seen.iter().take(NAMED).map(String::as_str).collect();
        vec![format!("the filter lets no pool of the recording through; seen: {}", seen.join(", "))]
    }
}

/// `app by nginx`
fn called(pool: &PoolSample) -> String {
    match &pool.pool.balancer {
        Some(balancer) => format!("{} by {balancer}", pool.pool.name),
        None => pool.pool.name.clone(),
    }
}
