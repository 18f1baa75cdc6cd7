//! What is found, in figures and in one plain sentence each.

use std::fmt;

/// What told that a member, or a pool, is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) enum Measure {
    /// Half of the answers take long.
    ResponseTime,
    /// A good quarter of the answers takes long, whatever the median.
    UpperResponseTime,
    /// Half of the connects take long.
    ConnectTime,
    /// A good quarter of the connects takes long.
    UpperConnectTime,
    /// Half of the connections that end were held long.
    HeldTime,
    /// A good quarter of them was held long.
    UpperHeldTime,
    /// Connections are held long, on average, those included that do not end.
    Lifetime,
}

impl Measure {
    /// Whether it is how long the connections were held that ended.
    pub(in crate::detect) fn is_of_ended(self) -> bool {
        matches!(self, Self::HeldTime | Self::UpperHeldTime)
    }
}

/// A member that is slower than the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::detect) struct Slow {
    /// Its place in the pool.
    pub(in crate::detect) member: usize,
    /// What told.
    pub(in crate::detect) measure: Measure,
    /// What it takes, seconds.
    pub(in crate::detect) own_seconds: f64,
    /// What the others take, seconds.
    pub(in crate::detect) rest_seconds: f64,
    /// Since when, seconds.
    pub(in crate::detect) since_seconds: f64,
    /// Evidence, nats.
    pub(in crate::detect) nats: f64,
}

/// A pool that is slower than it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::detect) struct PoolSlow {
    /// What told: response or connect time.
    pub(in crate::detect) measure: Measure,
    /// Members that were compared.
    pub(in crate::detect) members: usize,
    /// Median before, seconds.
    pub(in crate::detect) before_seconds: f64,
    /// Median now, seconds.
    pub(in crate::detect) present_seconds: f64,
    /// Since when, seconds.
    pub(in crate::detect) since_seconds: f64,
    /// Evidence, nats.
    pub(in crate::detect) nats: f64,
}

/// Who answers slowly.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::detect) enum Answer {
    /// Somebody does: members in the order of their places, and perhaps the whole pool.
    Found {
        /// Slower than the others; at most half of those who take part.
        members: Vec<Slow>,
        /// Slower than before.
        pool: Option<PoolSlow>,
    },
    /// Nobody: a member 2.5 times slower than the others would have been found. By lifetimes it is found later where
    /// few connections are live at a time.
    Clear,
    /// Too little was measured of at least one member.
    NotEnough,
}

impl Slow {
    /// How many times slower than the others.
    pub(in crate::detect) fn ratio(&self) -> f64 {
        self.own_seconds / self.rest_seconds
    }

    /// In plain words: `10.0.0.11:8080 answers 5.1 × slower than the others: median 51 ms, the others 10 ms`.
    pub(in crate::detect) fn sentence(&self, address: impl fmt::Display) -> String {
        let [ratio, own, rest] =
            [factor(self.ratio()), seconds(self.own_seconds), seconds(self.rest_seconds)];
        match self.measure {
            Measure::ResponseTime => {
                format!("{address} answers {ratio} × slower than the others: median {own}, the others {rest}")
            }
            Measure::UpperResponseTime => format!(
                "{address} answers a part of its requests {ratio} × slower than the others: \
                 a quarter take over {own}, the others' {rest}"
            ),
            Measure::ConnectTime => format!(
                "{address} takes {ratio} × longer to accept connections than the others: median {own}, \
                 the others {rest}"
            ),
            Measure::UpperConnectTime => format!(
                "{address} takes {ratio} × longer to accept a part of its connections than the others: \
                 a quarter take over {own}, the others' {rest}"
            ),
            Measure::HeldTime => format!(
                "{address} holds connections {ratio} × longer than the others: median {own}, the others {rest}"
            ),
            Measure::UpperHeldTime => format!(
                "{address} holds a part of its connections {ratio} × longer than the others: \
                 a quarter for over {own}, the others' {rest}"
            ),
            Measure::Lifetime => {
                format!(
                    "{address} holds connections {ratio} × longer than the others ({own}, the others {rest})"
                )
            }
        }
    }
}

impl PoolSlow {
    /// How many times slower than before.
    pub(in crate::detect) fn ratio(&self) -> f64 {
        self.present_seconds / self.before_seconds
    }

    /// In plain words: `all 4 members answer 4.0 × slower than before (median 80 ms, before 20 ms): look at what they
    /// share`. The measured response time contains the balancer's own delay in reading, and the sentence says so.
    pub(in crate::detect) fn sentence(&self) -> String {
        let who = match self.members {
            1 => "the only member".to_owned(),
            members => format!("all {members} members"),
        };
        let one = self.members == 1;
        let verb = match (self.measure, one) {
            (Measure::ConnectTime | Measure::UpperConnectTime, true) => "accepts connections",
            (Measure::ConnectTime | Measure::UpperConnectTime, false) => "accept connections",
            (_, true) => "answers",
            (_, false) => "answer",
        };
        let [ratio, now, before] =
            [factor(self.ratio()), seconds(self.present_seconds), seconds(self.before_seconds)];
        let look = if one { "" } else { ": look at what they share" };
        let delay = match self.measure {
            Measure::ConnectTime | Measure::UpperConnectTime => "",
            _ => "; the balancer's own delay in reading is part of it",
        };
        format!("{who} {verb} {ratio} × slower than before (median {now}, before {before}){look}{delay}")
    }
}

/// `5.1`, or `12`.
fn factor(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}") } else { format!("{ratio:.0}") }
}

/// `51 ms`, `1.5 s`: two significant digits.
fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_995 => format!("{:.0} µs", s * 1e6),
        s if s < 0.009_95 => format!("{:.1} ms", s * 1e3),
        s if s < 0.995 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1} s"),
        s => format!("{s:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(measure: Measure, own_seconds: f64, rest_seconds: f64) -> String {
        let slow = Slow { member: 0, measure, own_seconds, rest_seconds, since_seconds: 0.0, nats: 20.0 };
        slow.sentence("10.0.0.11:8080")
    }

    #[test]
    fn a_slow_member_is_one_plain_sentence() {
        for (measure, own, rest, sentence) in [
            (
                Measure::ResponseTime,
                0.051,
                0.01,
                "answers 5.1 × slower than the others: median 51 ms, the others 10 ms",
            ),
            (
                Measure::HeldTime,
                0.081,
                0.01,
                "holds connections 8.1 × longer than the others: median 81 ms, the others 10 ms",
            ),
            (
                Measure::UpperHeldTime,
                0.4,
                0.1,
                "holds a part of its connections 4.0 × longer than the others: a quarter for over 400 ms, \
                 the others' 100 ms",
            ),
            (
                Measure::Lifetime,
                1.5,
                0.5,
                "holds connections 3.0 × longer than the others (1.5 s, the others 500 ms)",
            ),
            (
                Measure::ConnectTime,
                0.012,
                0.001,
                "takes 12 × longer to accept connections than the others: median 12 ms, the others 1.0 ms",
            ),
            (
                Measure::UpperResponseTime,
                30.0,
                0.000_4,
                "answers a part of its requests 75000 × slower than the others: a quarter take over 30 s, \
                 the others' 400 µs",
            ),
        ] {
            assert_eq!(slow(measure, own, rest), format!("10.0.0.11:8080 {sentence}"));
        }
    }

    #[test]
    fn a_slow_pool_is_one_plain_sentence() {
        let mut slow = PoolSlow {
            measure: Measure::ResponseTime,
            members: 4,
            before_seconds: 0.02,
            present_seconds: 0.08,
            since_seconds: 0.0,
            nats: 20.0,
        };
        assert_eq!(
            slow.sentence(),
            "all 4 members answer 4.0 × slower than before (median 80 ms, before 20 ms): look at what they share; \
             the balancer's own delay in reading is part of it"
        );
        (slow.measure, slow.members) = (Measure::ConnectTime, 1);
        assert_eq!(
            slow.sentence(),
            "the only member accepts connections 4.0 × slower than before (median 80 ms, before 20 ms)"
        );
    }
}
