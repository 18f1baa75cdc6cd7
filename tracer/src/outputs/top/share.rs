//! Who gets what part of what.

use super::trend::Trend;
use super::world::Pool;
use crate::detect::Signal;
use crate::pools::MemberSample;

/// What shares are shown of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Measure {
    /// What the pool is judged by, over the time that is judged, with its interval.
    #[default]
    Judged,
    /// New connections lately.
    Connections,
    /// Exchanges lately.
    Exchanges,
    /// Present connections.
    Live,
    /// Payload bytes, both ways, lately.
    Bytes,
}

impl Measure {
    /// What most pools are judged by.
    pub(super) const CONNECTIONS: &'static str = "new connections";

    /// The next when one goes through them.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Judged => Self::Connections,
            Self::Connections => Self::Exchanges,
            Self::Exchanges => Self::Live,
            Self::Live => Self::Bytes,
            Self::Bytes => Self::Judged,
        }
    }

    /// What it is called.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Judged => "as judged",
            Self::Connections => "new connections, last minute",
            Self::Exchanges => "exchanges, last minute",
            Self::Live => "live connections",
            Self::Bytes => "bytes, last minute",
        }
    }

    /// What its shares are of in this pool.
    pub(super) fn of(self, pool: &Pool) -> &'static str {
        match (self, &pool.judged.assessment) {
            (Self::Judged, Some(assessment)) => match assessment.signal {
                Signal::Connections => Self::CONNECTIONS,
                Signal::Exchanges => "exchanges",
                Signal::Live => "live connections",
            },
            (Self::Judged, None) => Self::Connections.word(),
            (measure, _) => measure.word(),
        }
    }

    fn count(self, sample: &MemberSample, trend: &Trend) -> Option<u64> {
        match self {
            Self::Judged | Self::Connections => trend.decisions(),
            Self::Exchanges => trend.requests(),
            Self::Live => sample.stock.map(|stock| stock.live),
            Self::Bytes => trend.bytes().map(|[sent, received]| sent.saturating_add(received)),
        }
    }
}

/// A member's part; `None` for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    pub(super) expected: Option<f64>,
    pub(super) observed: Option<f64>,
    /// 95 %; only of what is judged.
    pub(super) interval: Option<[f64; 2]>,
}

/// The shares of a pool's members, in the order of its sample.
pub(super) fn shares(pool: &Pool, measure: Measure) -> Vec<Share> {
    let members = &pool.judged.sample.members;
    let assessed = pool.judged.assessment.as_ref().map(|assessment| &assessment.members);
    if let (Measure::Judged, Some(assessed)) = (measure, assessed) {
        let share = |member: &crate::detect::MemberAssessment| Share {
            expected: member.expected_share,
            observed: member.observed_share,
            interval: member.share_interval,
        };
        return assessed.iter().map(share).collect();
    }
    let counts: Vec<Option<u64>> =
        members.iter().zip(&pool.members).map(|(sample, trend)| measure.count(sample, trend)).collect();
    let all = counts.iter().copied().try_fold(0_u64, |sum, count| Some(sum.saturating_add(count?)));
    let share = |(member, count): (usize, &Option<u64>)| Share {
        expected: assessed.and_then(|assessed| assessed.get(member)?.expected_share),
        observed: all.filter(|&all| all > 0).zip(*count).map(|(all, count)| count as f64 / all as f64),
        interval: None,
    };
    counts.iter().enumerate().map(share).collect()
}

/// The largest share that is to be drawn: what a bar of full length means, up to 1.
pub(super) fn scale(shares: &[Share]) -> f64 {
    let ends = |share: &Share| {
        let high = share.interval.map(|[_, high]| high);
        [share.expected, share.observed, high].into_iter().flatten().fold(0.0, f64::max)
    };
    let most = shares.iter().map(ends).filter(|end| end.is_finite()).fold(0.0, f64::max);
    if most > 0.0 { (most * 1.02).min(1.0) } else { 1.0 }
}
