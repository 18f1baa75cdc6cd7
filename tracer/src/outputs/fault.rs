//! What a verdict means for who has to do something: the same on the screen and on the page.

use crate::detect::{Signal, Verdict};

/// Whose fault it likely is, and what to look at, where a pool is judged by `signal`; `None` where there is nothing to look at.
pub(crate) const fn whose_fault(verdict: Verdict, signal: Signal) -> Option<[&'static str; 2]> {
    Some(match verdict {
        Verdict::Skewed => match signal {
            Signal::Connections => ["the balancer", "weights, hashing, stickiness, and DNS"],
            Signal::Exchanges => ["the balancer", "weights, stickiness: how it picks a kept connection"],
            Signal::Live => ["the balancer", "weights, and how lasting connections were spread"],
        },
        Verdict::MemberMissing => ["the balancer", "membership, drain, or a health check that fails"],
        Verdict::UnexpectedBackend => ["the balancer", "stale configuration or DNS, an old worker"],
        Verdict::UnevenWeights => ["the configuration", "its weights: the balancer does as they say"],
        Verdict::BackendFailing => ["the backend", "that backend, and the path to it"],
        Verdict::BackendSlow => ["the backend", "what makes that backend slow"],
        Verdict::PoolFailing => ["shared", "network, database; with `local` failures this host"],
        Verdict::PoolSlow => ["shared", "what all members use: network, database"],
        Verdict::Balanced | Verdict::InsufficientEvidence => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_advice_fits_into_a_line_of_a_narrow_terminal() {
        for verdict in Verdict::ALL {
            for signal in [Signal::Connections, Signal::Exchanges, Signal::Live] {
                let Some([whose, what]) = whose_fault(verdict, signal) else { continue };
                let line = format!("  → {whose}: look at {what}");
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }
}
