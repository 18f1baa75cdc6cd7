//! What a verdict means for who has to do something: the same on the screen and on the page.

use crate::detect::Verdict;

/// Whose fault it likely is, and what to look at; `None` where there is nothing to look at.
pub(super) const fn whose_fault(verdict: Verdict) -> Option<[&'static str; 2]> {
    Some(match verdict {
        Verdict::Skewed => ["the balancer", "weights, hashing, stickiness, resolution"],
        Verdict::MemberMissing => ["the balancer", "membership, health checks, drain state"],
        Verdict::UnexpectedBackend => ["the balancer", "stale configuration or DNS, an old worker"],
        Verdict::UnevenWeights => ["the configuration", "its weights: the balancer does as they say"],
        Verdict::BackendFailing => ["the backend", "that backend, and the path to it"],
        Verdict::BackendSlow => ["the backend", "what makes that backend slow"],
        Verdict::PoolFailing => ["shared", "network, database; where failures are `local`, this host itself"],
        Verdict::PoolSlow => ["shared", "what all members use: network, database"],
        Verdict::Balanced | Verdict::InsufficientEvidence => return None,
    })
}
