//! What is to be sent to one Alertmanager, and when. Pure: time is an argument, seconds on a clock that only goes forwards.
//!
//! It holds what is so, not what happened: an alert that is on is there once, whatever was said of it before. So it is
//! bounded by the alerts that can be on, and by [`MOST_OVER`]; and after an outage what is sent is what is so then.

use super::decide::{Alert, Change, PoolKey};
use super::wording::HORIZON;
use crate::detect::Verdict;
use std::collections::BTreeMap;

/// How often an alert is sent while it is on, seconds: four may be lost before it ends by itself.
pub(super) const AGAIN_SECONDS: f64 = 60.0;

/// Alerts in one request.
pub(super) const MOST_AT_ONCE: usize = 64;

/// Alerts that are over and could not be said to be.
pub(super) const MOST_OVER: usize = 1_024;

/// After a failure: the longest wait before the first try, and before any, seconds.
const WAIT_SECONDS: [f64; 2] = [1.0, 60.0];

/// What tells alerts of one sender apart.
type Key = (PoolKey, Verdict);

/// One item of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    pub(super) alert: Alert,
    /// When it was over, since the epoch; `None`: it is on.
    pub(super) over: Option<f64>,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    on: BTreeMap<Key, On>,
    over: BTreeMap<Key, Over>,
    /// Requests that failed since the last that did not.
    failures: u32,
    not_before: f64,
    pub(super) counts: Counts,
}

#[derive(Debug)]
struct On {
    alert: Alert,
    due: f64,
}

#[derive(Debug)]
struct Over {
    alert: Alert,
    over: f64,
    /// On the clock of the box.
    since: f64,
}

/// What became of alerts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Taken by Alertmanager.
    pub(super) sent: u64,
    /// Not taken.
    pub(super) failed: u64,
    /// Ends that are no longer tried to be told.
    pub(super) dropped: u64,
}

impl Outbox {
    /// Takes what is so now.
    pub(super) fn put(&mut self, change: Change, now: f64) {
        match change {
            Change::On(alert) => {
                let key = (alert.key.clone(), alert.verdict);
                let was_over = self.over.remove(&key).is_some();
                let on = self.on.entry(key).or_insert_with(|| On { alert: alert.clone(), due: now });
                on.alert = alert;
                if was_over {
                    on.due = now;
                }
            }
            Change::NotOurs(alert) => {
                self.on.remove(&(alert.key, alert.verdict));
            }
            Change::Over(alert, over) => {
                let key = (alert.key.clone(), alert.verdict);
                self.on.remove(&key);
                self.over.insert(key, Over { alert, over, since: now });
                if self.over.len() > MOST_OVER {
                    let oldest = self.over.iter().min_by(|a, b| a.1.since.total_cmp(&b.1.since));
                    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                        self.over.remove(&key);
                        self.counts.dropped += 1;
                    }
                }
            }
        }
    }

    /// What to send now: nothing while it waits after a failure.
    pub(super) fn due(&self, now: f64) -> Vec<Outgoing> {
        if now < self.not_before {
            return Vec::new();
        }
        let over = self.over.values();
        let over = over.map(|Over { alert, over, .. }| Outgoing { alert: alert.clone(), over: Some(*over) });
        let on = self.on.values().filter(|on| on.due <= now);
        let on = on.map(|on| Outgoing { alert: on.alert.clone(), over: None });
        over.chain(on).take(MOST_AT_ONCE).collect()
    }

    /// When something is due; `None`: never, as it is.
    pub(super) fn next_due(&self) -> Option<f64> {
        let over = self.over.values().map(|over| over.since);
        let first = over.chain(self.on.values().map(|on| on.due)).min_by(f64::total_cmp)?;
        Some(first.max(self.not_before))
    }

    /// After a failure: when the next try may be.
    pub(super) fn not_before(&self) -> f64 {
        self.not_before
    }

    /// Alertmanager has taken these.
    pub(super) fn delivered(&mut self, sent: &[Outgoing], now: f64) {
        self.counts.sent += sent.len() as u64;
        self.answered();
        for Outgoing { alert, over } in sent {
            let key = (alert.key.clone(), alert.verdict);
            match over {
                // What was put meanwhile is news.
                None => {
                    let on =
                        self.on.get_mut(&key).filter(|on| on.alert.starts_seconds == alert.starts_seconds);
                    if let Some(on) = on {
                        on.due = now + AGAIN_SECONDS;
                    }
                }
                Some(over) => {
                    if self.over.get(&key).is_some_and(|now| now.over == *over) {
                        self.over.remove(&key);
                    }
                }
            }
        }
    }

    /// Alertmanager works.
    pub(super) fn answered(&mut self) {
        (self.failures, self.not_before) = (0, 0.0);
    }

    /// So many alerts could not be sent. `jitter` is from 0 to 1, so that many agents do not try at the same moment.
    pub(super) fn failed(&mut self, alerts: usize, now: f64, jitter: f64) {
        self.counts.failed += alerts as u64;
        self.not_before = now + wait_seconds(self.failures, jitter);
        self.failures = self.failures.saturating_add(1);
        // Its end came by itself.
        let before = self.over.len();
        self.over.retain(|_, over| now - over.since < HORIZON.as_secs_f64());
        self.counts.dropped += (before - self.over.len()) as u64;
    }

    /// Whether the end of this alert waits to be told.
    pub(super) fn is_over(&self, alert: &Alert) -> bool {
        self.over.contains_key(&(alert.key.clone(), alert.verdict))
    }

    /// Alerts that are due.
    pub(super) fn waiting(&self, now: f64) -> u64 {
        (self.over.len() + self.on.values().filter(|on| on.due <= now).count()) as u64
    }
}

/// How long to wait after a failure that had so many before it: at least half as long as at most.
fn wait_seconds(before: u32, jitter: f64) -> f64 {
    let [first, longest] = WAIT_SECONDS;
    let most = (first * f64::from(2_u32.saturating_pow(before))).min(longest);
    most * (0.5 + 0.5 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::wording::Annotations;
    use proptest::prelude::*;

    fn alert(pool: usize, starts_seconds: f64) -> Alert {
        Alert {
            key: PoolKey { pool: pool.to_string(), balancer: "nginx".into() },
            verdict: Verdict::Skewed,
            starts_seconds,
            annotations: Annotations::default(),
        }
    }

    #[test]
    fn what_is_not_ours_is_no_longer_sent_and_not_ended() {
        let mut outbox = Outbox::default();
        outbox.put(Change::On(alert(1, 5.0)), 10.0);
        outbox.put(Change::NotOurs(alert(1, 5.0)), 11.0);
        assert_eq!((outbox.due(1e9), outbox.next_due()), (vec![], None));
    }

    #[test]
    fn an_alert_that_is_on_is_sent_again_before_it_ends_and_its_end_once() {
        let mut outbox = Outbox::default();
        outbox.put(Change::On(alert(1, 5.0)), 10.0);
        let sent = outbox.due(10.0);
        assert_eq!(sent, [Outgoing { alert: alert(1, 5.0), over: None }]);
        outbox.delivered(&sent, 11.0);
        assert_eq!(outbox.due(70.0), []);
        assert_eq!(outbox.next_due(), Some(71.0));
        assert!(AGAIN_SECONDS * 4.0 < HORIZON.as_secs_f64());
        assert_eq!(outbox.due(71.0).len(), 1);
        outbox.put(Change::Over(alert(1, 5.0), 100.0), 71.0);
        let sent = outbox.due(71.0);
        assert_eq!(sent, [Outgoing { alert: alert(1, 5.0), over: Some(100.0) }]);
        outbox.delivered(&sent, 72.0);
        assert_eq!((outbox.next_due(), outbox.due(1e9)), (None, vec![]));
        assert_eq!(outbox.counts, Counts { sent: 2, failed: 0, dropped: 0 });
    }

    #[test]
    fn what_happens_while_a_request_is_on_its_way_is_sent_after_it() {
        let mut outbox = Outbox::default();
        outbox.put(Change::On(alert(1, 5.0)), 10.0);
        let sent = outbox.due(10.0);
        outbox.put(Change::Over(alert(1, 5.0), 11.0), 11.0);
        outbox.put(Change::On(alert(1, 12.0)), 12.0);
        outbox.delivered(&sent, 13.0);
        assert_eq!(outbox.due(13.0), [Outgoing { alert: alert(1, 12.0), over: None }]);
        let sent = outbox.due(13.0);
        outbox.put(Change::Over(alert(1, 12.0), 14.0), 14.0);
        outbox.delivered(&sent, 15.0);
        assert_eq!(outbox.due(15.0), [Outgoing { alert: alert(1, 12.0), over: Some(14.0) }]);
    }

    #[test]
    fn after_failures_it_waits_longer_and_longer_but_not_for_ever() {
        let mut outbox = Outbox::default();
        outbox.put(Change::On(alert(1, 5.0)), 0.0);
        let mut waits = Vec::new();
        let mut now = 0.0;
        for jitter in [0.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0] {
            outbox.failed(1, now, jitter);
            let next = outbox.next_due().unwrap();
            waits.push(next - now);
            assert_eq!((outbox.due(next - 0.01), outbox.due(next).len()), (vec![], 1));
            now = next;
        }
        assert_eq!(waits, [0.5, 2.0, 3.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        let sent = outbox.due(now);
        outbox.delivered(&sent, now);
        outbox.failed(0, now, 1.0);
        assert_eq!(outbox.not_before(), now + 1.0, "well in between: from the beginning");
        assert_eq!(outbox.counts, Counts { sent: 1, failed: 9, dropped: 0 });
    }

    #[test]
    fn an_end_that_came_by_itself_is_no_longer_told() {
        let mut outbox = Outbox::default();
        outbox.put(Change::Over(alert(1, 5.0), 6.0), 0.0);
        outbox.failed(1, 299.0, 0.0);
        assert_eq!(outbox.due(300.0).len(), 1);
        outbox.failed(1, 300.0, 0.0);
        assert_eq!((outbox.next_due(), outbox.counts.dropped), (None, 1));
    }

    #[test]
    fn requests_are_small_and_ends_come_first() {
        let mut outbox = Outbox::default();
        (0..100).for_each(|pool| outbox.put(Change::On(alert(pool, 1.0)), 0.0));
        outbox.put(Change::Over(alert(99, 1.0), 2.0), 1.0);
        let mut requests = Vec::new();
        while !outbox.due(2.0).is_empty() {
            let sent = outbox.due(2.0);
            requests.push((sent.len(), sent[0].over));
            outbox.delivered(&sent, 2.0);
        }
        assert_eq!(requests, [(MOST_AT_ONCE, Some(2.0)), (36, None)]);
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_what_is_on_in_the_end_is_sent(
            steps in prop::collection::vec((0..3 * MOST_OVER, any::<bool>(), any::<bool>()), 0..3_000),
        ) {
            let mut outbox = Outbox::default();
            let mut on = BTreeMap::new();
            for (at, (pool, begins, works)) in steps.into_iter().enumerate() {
                let now = at as f64;
                if begins {
                    on.entry(pool).or_insert(now);
                    outbox.put(Change::On(alert(pool, on[&pool])), now);
                } else {
                    outbox.put(Change::Over(alert(pool, on.remove(&pool).unwrap_or(now)), now), now);
                }
                let sent = outbox.due(now);
                prop_assert!(sent.len() <= MOST_AT_ONCE);
                if !sent.is_empty() && works {
                    outbox.delivered(&sent, now);
                } else if !sent.is_empty() {
                    outbox.failed(sent.len(), now, 0.0);
                }
                prop_assert!(outbox.over.len() <= MOST_OVER);
                prop_assert_eq!(outbox.on.len(), on.len());
            }
            // Everything gets through in the end, and what is on is what was said last.
            let mut known = BTreeMap::new();
            let mut now = 1e6;
            while outbox.waiting(now) > 0 {
                now = now.max(outbox.next_due().unwrap());
                let sent = outbox.due(now);
                prop_assert!(!sent.is_empty());
                for one in &sent {
                    known.insert(one.alert.key.clone(), one.over.is_none().then_some(one.alert.starts_seconds));
                }
                outbox.delivered(&sent, now);
            }
            for (pool, starts) in on {
                prop_assert_eq!(known[&alert(pool, 0.0).key], Some(starts));
            }
        }
    }
}
