//! `tracer demo`: a tiny balancer with backends on loopback, misconfigured on purpose and traced for real: to see the
//! tool work, and for drills.

mod lab;

use super::exit::{Exit, Failure, print, say};
use super::stop::Stop;
use crate::agent::{Agent, Judged};
use crate::collect::{Ticker, Uncounted};
use crate::detect::{Finding, Settings, Verdict};
use crate::kernel::{self, Tracer};
use crate::outputs::{CheckReport, check_text};
use crate::pools::{DeclaredMember, DeclaredPool, Filter, Method, Pools};
use lab::Lab;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What is done to the balancer
    #[arg(long, value_enum, default_value = "weight-typo")]
    scenario: Scenario,
}

/// What is wrong with the demo's balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Nothing: every backend gets its share
    Balanced,
    /// Somebody typed weight=10 instead of weight=1
    WeightTypo,
    /// One backend was forgotten in the balancer's configuration
    Missing,
    /// One backend refuses connections
    Refusing,
}

/// What the tracer should find.
struct Expected {
    verdict: Verdict,
    finding: Option<Finding>,
}

impl Scenario {
    /// Connections that the balancer gives each backend in a round.
    const fn weights(self) -> [u32; BACKENDS] {
        match self {
            Self::Balanced | Self::Refusing => [1, 1, 1, 1],
            Self::WeightTypo => [1, 10, 1, 1],
            Self::Missing => [1, 0, 1, 1],
        }
    }

    const fn planted(self) -> &'static str {
        match self {
            Self::Balanced => "nothing: four backends, weight 1 each, in turn",
            Self::WeightTypo => "weight=10 instead of weight=1 was typed on one of four backends",
            Self::Missing => "one of four backends was left out of the balancer's configuration",
            Self::Refusing => "one of four backends does not listen: it refuses every connection",
        }
    }

    const fn expected(self) -> Expected {
        match self {
            Self::Balanced => Expected { verdict: Verdict::Balanced, finding: None },
            Self::WeightTypo => Expected { verdict: Verdict::Skewed, finding: Some(Finding::Over) },
            Self::Missing => Expected { verdict: Verdict::MemberMissing, finding: Some(Finding::Missing) },
            Self::Refusing => Expected { verdict: Verdict::BackendFailing, finding: Some(Finding::Failing) },
        }
    }
}

const BACKENDS: usize = 4;
/// The backend that something is done to.
const VICTIM: usize = 1;
/// Connections that the demo's clients open each second.
const RATE: u32 = 250;
/// Time within which the tracer must have found what was planted.
const LONGEST: Duration = Duration::from_secs(12);

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let scenario = arguments.scenario;
    let lab = Lab::prepare(scenario.weights(), scenario == Scenario::Refusing)
        .map_err(|error| Failure::Internal(anyhow::Error::new(error).context("cannot listen on loopback")))?;
    let victim = lab.backends()[VICTIM];
    let pools = Pools::new(vec![declaration(lab.backends())], Filter::default());
    let agent = Agent::new(pools, Settings::default());
    let tracer = Tracer::start(kernel::Settings::default())?;
    super::block_on(watch(tracer, agent, lab, scenario, victim))
}

/// What somebody intended: equal weights.
fn declaration(backends: [SocketAddr; BACKENDS]) -> DeclaredPool {
    DeclaredPool {
        balancer: Some("tracer".into()),
        members: backends.map(|backend| DeclaredMember::new(backend, 1.0)).to_vec(),
        ..DeclaredPool::named("demo", Method::RoundRobin)
    }
}

async fn watch(
    tracer: Tracer,
    mut agent: Agent,
    lab: Lab,
    scenario: Scenario,
    victim: SocketAddr,
) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    let started = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut ticker = Ticker::new(tracer, Some(LONGEST));
    say("tracing: a balancer of the demo's own, with four backends on loopback");
    say(&format!("planted: {}", scenario.planted()));
    if scenario != Scenario::Balanced {
        say(&format!("         that is {victim}; the tracer is not told"));
    }
    let traffic = lab.start(RATE);
    let mut pools = Vec::new();
    let mut uncounted = Uncounted::default();
    let mut found = false;
    while !found {
        let sample = tokio::select! {
            biased;
            () = stop.told() => break,
            sample = ticker.next() => sample,
        };
        let Some(sample) = sample else { break };
        uncounted = sample.uncounted;
        pools = agent.step(&sample).into_iter().filter(|pool| pool.sample.pool.name == "demo").collect();
        found = pools.iter().any(|pool| is_found(pool, &scenario.expected(), victim));
    }
    let seconds = ticker.elapsed().as_secs_f64();
    drop(ticker);
    drop(traffic);
    let report = CheckReport {
        host: None,
        started_seconds: Some(started.as_secs_f64()),
        duration_seconds: seconds,
        pools,
        unmatched: Vec::new(),
        other: None,
        uncounted: Some(uncounted),
    };
    let end = if found {
        format!("\nfound what was planted, in {seconds:.0} s\n")
    } else {
        format!("\ndid not find what was planted within {seconds:.0} s\n")
    };
    print(&format!("\n{}{end}", check_text(&report)), if found { Exit::Fine } else { Exit::Finding })
}

/// Whether the verdict is right, and names the right member and no other.
fn is_found(pool: &Judged, expected: &Expected, victim: SocketAddr) -> bool {
    let Some(assessment) = &pool.assessment else { return false };
    assessment.verdict == expected.verdict
        && assessment
            .members
            .iter()
            .all(|member| member.finding == expected.finding.filter(|_| member.backend == victim))
}
