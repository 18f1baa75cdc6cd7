//! Whether a balancer reuses its connections, told without measuring exchanges. Pure.
//!
//! An interval speaks for reuse when payload went both ways and fewer connections were opened than are live at its end:
//! by Little's law they then last longer than an interval on average. One request a connection looks like that only while
//! requests take longer than an interval, and then there are few of them, so that measuring them costs little.

use super::PoolSample;
use std::collections::HashMap;

/// So many intervals have to speak for it, one after the other; those without payload say nothing.
const INTERVALS: u32 = 3;

/// Remembers for how long each judged pool has looked so, by its name and balancer.
#[derive(Debug, Default)]
pub struct Reuse {
    intervals: HashMap<(String, Option<String>), u32>,
}

impl Reuse {
    /// Looks at one more interval. The name of the first judged pool of which it is told by now, untrusted text.
    pub fn see<'a>(&mut self, pools: impl IntoIterator<Item = &'a PoolSample>) -> Option<String> {
        let mut told = None;
        let mut present = HashMap::new();
        for pool in pools.into_iter().filter(|pool| pool.judged) {
            let key = (pool.pool.name.clone(), pool.pool.balancer.clone());
            let before = self.intervals.get(&key).copied().unwrap_or(0);
            let now = match speaks_for_reuse(pool) {
                Some(true) => before + 1,
                Some(false) => 0,
                None => before,
            };
            if now >= INTERVALS && told.is_none() {
                told = Some(pool.pool.name.clone());
            }
            present.insert(key, now);
        }
        self.intervals = present;
        told
    }
}

/// `None`: no payload went both ways, or what is live is not known.
fn speaks_for_reuse(pool: &PoolSample) -> Option<bool> {
    let (mut sent, mut received, mut opened, mut live) = (false, false, 0_u64, 0_u64);
    for member in &pool.members {
        sent |= member.delta.sent_bytes > 0;
        received |= member.delta.received_bytes > 0;
        opened = opened.saturating_add(member.delta.attempts);
        live = live.saturating_add(member.stock?.live);
    }
    (sent && received).then_some(live > opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Counters, Stock};
    use crate::pools::{Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, Recorded};

    fn pool(name: &str, opened: u64, live: u64, bytes: u64) -> PoolSample {
        let delta =
            Counters { attempts: opened, sent_bytes: bytes, received_bytes: bytes, ..Counters::default() };
        PoolSample {
            pool: PoolIdentity {
                name: name.into(),
                balancer: None,
                source: "discovered".into(),
                expected_source: ExpectedSource::Assumed,
                method: Method::RoundRobin,
                vouched: true,
                asked: true,
            },
            interval_seconds: 1.0,
            members: vec![MemberSample {
                backend: "10.0.0.1:80".parse().unwrap(),
                weight: Some(1.0),
                decisions: opened,
                requests: None,
                total: delta.clone(),
                delta,
                stock: Some(Stock { live, ..Stock::default() }),
                exchanges: Exchanges::default(),
                total_exchanges: Exchanges::default(),
                recorded: Recorded::default(),
                origin: Origin::Unknown,
            }],
            judged: true,
            note: None,
        }
    }

    /// After how many of the intervals it is told.
    fn told(intervals: &[PoolSample]) -> Option<usize> {
        let mut reuse = Reuse::default();
        intervals.iter().position(|pool| reuse.see([pool]).is_some()).map(|index| index + 1)
    }

    #[test]
    fn traffic_on_kept_connections_is_reuse() {
        assert_eq!(told(&vec![pool("app", 2, 32, 90_000); 9]), Some(3), "a few are opened anew");
        assert_eq!(told(&vec![pool("app", 0, 1, 100); 9]), Some(3), "a single connection");
    }

    #[test]
    fn a_connection_for_each_request_is_none() {
        assert_eq!(told(&vec![pool("app", 900, 5, 90_000); 99]), None);
        assert_eq!(
            told(&vec![pool("app", 1, 1, 100); 99]),
            None,
            "the last request of each interval is going on"
        );
    }

    #[test]
    fn idle_connections_say_nothing() {
        assert_eq!(told(&vec![pool("app", 0, 32, 0); 99]), None, "kept, and not used");
        let now_and_then = [pool("app", 0, 8, 100), pool("app", 0, 8, 0), pool("app", 0, 8, 0)];
        assert_eq!(told(&[&now_and_then[..], &now_and_then, &now_and_then].concat()), Some(7));
    }

    #[test]
    fn a_moment_in_which_requests_take_long_is_forgotten() {
        let moment = [pool("app", 100, 300, 9_000), pool("app", 100, 300, 9_000), pool("app", 500, 3, 9_000)];
        assert_eq!(told(&[&moment[..], &moment, &moment].concat()), None);
    }

    #[test]
    fn only_what_is_judged_and_known_is_looked_at() {
        let listed = PoolSample { judged: false, ..pool("app", 0, 8, 100) };
        assert_eq!(told(&vec![listed; 9]), None);
        let mut unswept = pool("app", 0, 8, 100);
        unswept.members[0].stock = None;
        assert_eq!(told(&vec![unswept; 9]), None);
        let mut reuse = Reuse::default();
        let pools = [pool("new", 9, 1, 100), pool("kept", 0, 8, 100)];
        let told: Vec<Option<String>> = (0..3).map(|_| reuse.see(&pools)).collect();
        assert_eq!(told, [None, None, Some("kept".to_owned())]);
    }
}
