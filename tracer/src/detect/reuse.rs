//! Whether connections are reused, so that it is exchanges that the balancer distributes.

/// How fast what was seen is forgotten, seconds (e-folding).
const MEMORY_SECONDS: f64 = 300.0;
/// Exchanges per new connection from which on opening one is no choice of a backend any more. detector-study.md §4.1.
const LEADS: f64 = 3.0;
/// And until the ratio has fallen below this.
const LEADS_NO_MORE: f64 = 2.0;
/// Exchanges per new connection from which on exchanges may be uneven where connections are even.
const SEEN: f64 = 1.5;
/// And until the ratio has fallen below this.
const SEEN_NO_MORE: f64 = 1.2;
/// Exchanges before the ratio means anything; in a silent night what was known before goes on.
const LEAST: f64 = 20.0;

/// New connections and exchanges of a pool, lately.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Reuse {
    connections: f64,
    exchanges: f64,
    leads: bool,
    seen: bool,
}

impl Reuse {
    /// Takes in one tick.
    pub(super) fn tick(&mut self, connections: f64, exchanges: f64, seconds: f64) {
        let kept = (-seconds.max(0.0) / MEMORY_SECONDS).exp();
        self.connections = self.connections * kept + connections;
        self.exchanges = self.exchanges * kept + exchanges;
        if self.exchanges.max(self.connections) >= LEAST {
            let exceeds = |limit: f64| self.exchanges >= limit * self.connections;
            self.leads = exceeds(if self.leads { LEADS_NO_MORE } else { LEADS });
            self.seen = exceeds(if self.seen { SEEN_NO_MORE } else { SEEN });
        }
    }

    /// Whether there are clearly more exchanges than new connections.
    pub(super) fn is_seen(&self) -> bool {
        self.seen
    }

    /// Whether there are so many more that it is exchanges that are distributed.
    pub(super) fn leads(&self) -> bool {
        self.leads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_a_connection_is_no_reuse_and_a_hundred_lead() {
        let (mut single, mut kept) = (Reuse::default(), Reuse::default());
        for _ in 0..60 {
            single.tick(50.0, 50.0, 1.0);
            kept.tick(1.0, 100.0, 1.0);
        }
        assert!(!single.is_seen() && !single.leads());
        assert!(kept.is_seen() && kept.leads());
    }

    #[test]
    fn a_silent_night_changes_nothing() {
        let mut reuse = Reuse::default();
        (0..600).for_each(|_| reuse.tick(1.0, 100.0, 1.0));
        (0..40_000).for_each(|_| reuse.tick(0.0, 0.0, 1.0));
        assert!(reuse.leads() && reuse.is_seen());
    }

    #[test]
    fn it_does_not_flutter_around_the_limit() {
        let mut reuse = Reuse::default();
        (0..600).for_each(|_| reuse.tick(10.0, 32.0, 1.0));
        assert!(reuse.leads());
        (0..3000).for_each(|_| reuse.tick(10.0, 25.0, 1.0));
        assert!(reuse.leads());
        (0..3000).for_each(|_| reuse.tick(10.0, 15.0, 1.0));
        assert!(!reuse.leads());
    }
}
