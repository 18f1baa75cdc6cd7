//! What is said about a pool: the noun that goes from `detect` to the outputs.

use std::fmt;
use std::net::SocketAddr;

/// The judgement on a pool, most severe supported first (`Ord`: more severe is less).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All members fail at once.
    PoolFailing,
    /// One or few members fail far more than the rest.
    BackendFailing,
    /// A member with an expected share gets nothing.
    MemberMissing,
    /// Traffic to an address that should get none.
    UnexpectedBackend,
    /// Shares differ from the expected ones.
    Skewed,
    /// All members answer far more slowly than they used to.
    PoolSlow,
    /// One or few members answer far more slowly than the rest.
    BackendSlow,
    /// Traffic follows the declared weights, and one of these is so far from the others that a typing error is likely,
    /// and nobody vouches for them. Never an alert: the balancer does as it was told.
    UnevenWeights,
    /// Within the margin, with enough evidence to say so.
    Balanced,
    /// Cannot say yet.
    InsufficientEvidence,
}

impl Verdict {
    /// Every verdict, the most severe first.
    pub const ALL: [Self; 10] = [
        Self::PoolFailing,
        Self::BackendFailing,
        Self::MemberMissing,
        Self::UnexpectedBackend,
        Self::Skewed,
        Self::PoolSlow,
        Self::BackendSlow,
        Self::UnevenWeights,
        Self::Balanced,
        Self::InsufficientEvidence,
    ];

    /// Whether somebody should look at it: every verdict but balanced and insufficient evidence.
    #[must_use]
    pub const fn is_finding(self) -> bool {
        !matches!(self, Self::Balanced | Self::InsufficientEvidence)
    }

    /// The name in JSON and on the screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PoolFailing => "pool-failing",
            Self::BackendFailing => "backend-failing",
            Self::MemberMissing => "member-missing",
            Self::UnexpectedBackend => "unexpected-backend",
            Self::Skewed => "skewed",
            Self::PoolSlow => "pool-slow",
            Self::BackendSlow => "backend-slow",
            Self::UnevenWeights => "uneven-weights",
            Self::Balanced => "balanced",
            Self::InsufficientEvidence => "insufficient-evidence",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What shares are computed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// New connections.
    Connections,
    /// Requests with their responses.
    Exchanges,
    /// Present connections.
    Live,
}

impl Signal {
    /// The name in JSON and on the screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Exchanges => "exchanges",
            Self::Live => "live",
        }
    }

    /// What it is called in a sentence.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Connections => "new connections",
            Self::Exchanges => "exchanges",
            Self::Live => "live connections",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is found of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Gets more than its share.
    Over,
    /// Gets less than its share.
    Under,
    /// Gets nothing.
    Missing,
    /// Gets traffic and should not.
    Unexpected,
    /// Fails.
    Failing,
    /// Answers slowly, or holds its connections for long.
    Slow,
}

/// The judgement on a pool after one more interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The verdict.
    pub verdict: Verdict,
    /// Every verdict that is supported, the most severe first; empty when none is a finding.
    pub findings: Vec<Verdict>,
    /// One line in plain words.
    pub summary: String,
    /// Since when it has been so, seconds on the clock that `now` is read from; `None` without a finding. Of uneven
    /// weights: since when traffic has been seen to follow them.
    pub since_seconds: Option<f64>,
    /// Whether it was so from the first traffic seen, so that it may have begun long before.
    pub since_start: bool,
    /// Strength of the evidence for the verdict, nats: of the strongest finding, or, without one, of the strongest
    /// departure seen.
    pub evidence: f64,
    /// Connections that are missing before more can be said; `None` when enough were seen.
    pub needed: Option<u64>,
    /// What the shares are shares of.
    pub signal: Signal,
    /// In the order of the sample's members.
    pub members: Vec<MemberAssessment>,
}

/// What is said about one member.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberAssessment {
    /// The backend.
    pub backend: SocketAddr,
    /// What is found of it.
    pub finding: Option<Finding>,
    /// Share it should get; `None` when it is not declared.
    pub expected_share: Option<f64>,
    /// Share it got over the time judged; `None` before the pool's first connection.
    pub observed_share: Option<f64>,
    /// 95 % interval of that share.
    pub share_interval: Option<[f64; 2]>,
}
