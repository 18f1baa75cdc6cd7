//! What is wrong with the demo's balancer, and what the tracer should find.

use super::BACKENDS;
use super::balancer::Choice;
use super::lab::Plan;
use crate::detect::{Finding, Signal, Verdict};
use crate::pools::Method;
use std::time::Duration;

/// What is done to the balancer, or to one of its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scenario {
    /// Nothing: every backend gets its share
    Balanced,
    /// Somebody typed weight=10 instead of weight=1
    WeightTypo,
    /// One backend was forgotten in the balancer's configuration
    Missing,
    /// The balancer hashes by client, and nearly all clients have one address
    Sticky,
    /// One backend answers slowly, and least connections gives it less
    Slow,
    /// One backend refuses connections
    Refusing,
    /// New connections are even, but most requests go over those to one backend
    Keepalive,
}

/// What the tracer should find.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) verdict: Verdict,
    /// Of the backend that something was done to; nothing of the others.
    pub(super) finding: Option<Finding>,
    /// What the shares that tell it are shares of.
    pub(super) signal: Signal,
}

/// How long a backend that works as it should takes for a request, and one that is slow.
const USUAL: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_millis(80);

impl Scenario {
    /// What is built for it.
    pub(super) fn plan(self) -> Plan {
        let usual = Plan {
            choice: Choice::Turns([1; BACKENDS]),
            keeps: false,
            refuses: false,
            takes: [Duration::ZERO; BACKENDS],
        };
        let typo = Choice::Turns([1, 10, 1, 1]);
        match self {
            Self::Balanced => usual,
            Self::WeightTypo => Plan { choice: typo, ..usual },
            Self::Missing => Plan { choice: Choice::Turns([1, 0, 1, 1]), ..usual },
            Self::Sticky => Plan { choice: Choice::ByClient, ..usual },
            Self::Slow => {
                Plan { choice: Choice::FewestConnections, takes: [USUAL, SLOW, USUAL, USUAL], ..usual }
            }
            Self::Refusing => Plan { refuses: true, ..usual },
            Self::Keepalive => Plan { choice: typo, keeps: true, ..usual },
        }
    }

    /// How the balancer chooses, as far as its operator knows.
    pub(super) const fn declared_method(self) -> Method {
        match self {
            Self::Slow => Method::LeastConnections,
            _ => Method::RoundRobin,
        }
    }

    pub(super) const fn planted(self) -> &'static str {
        match self {
            Self::Balanced => "nothing: four backends, weight 1 each, in turn",
            Self::WeightTypo => "weight=10 instead of weight=1 was typed on one of four backends",
            Self::Missing => "one of four backends was left out of the balancer's configuration",
            Self::Sticky => {
                "the balancer chooses by the client's address instead of in turn, and nearly all clients share one \
                 address: one of four backends gets nearly everything"
            }
            Self::Slow => {
                "one of four backends takes 80 ms for a request, the others 10 ms; the balancer picks the backend \
                 with the fewest connections, so that the slow one gets fewer"
            }
            Self::Refusing => "one of four backends does not listen: it refuses every connection",
            Self::Keepalive => {
                "the balancer keeps its connections and renews all of them alike, but weight=10 instead of weight=1 \
                 on one of four backends sends most requests over the connections to that one"
            }
        }
    }

    pub(super) const fn expected(self) -> Expected {
        let (verdict, finding) = match self {
            Self::Balanced => (Verdict::Balanced, None),
            Self::WeightTypo | Self::Sticky | Self::Keepalive => (Verdict::Skewed, Some(Finding::Over)),
            Self::Missing => (Verdict::MemberMissing, Some(Finding::Missing)),
            Self::Slow => (Verdict::BackendSlow, Some(Finding::Slow)),
            Self::Refusing => (Verdict::BackendFailing, Some(Finding::Failing)),
        };
        let signal = match self {
            Self::Keepalive => Signal::Exchanges,
            _ => Signal::Connections,
        };
        Expected { verdict, finding, signal }
    }
}
