//! `tracer demo`: a tiny balancer with backends on loopback, misconfigured on purpose and traced for real: to see the
//! tool work, and for drills.

mod balancer;
mod lab;
mod scenario;
mod wire;

use super::exit::{Exit, Failure, print, say};
use super::options::{Exchanges, duration};
use super::stop::Stop;
use crate::agent::{Agent, Judged};
use crate::collect::{Ticker, Uncounted};
use crate::detect::Settings;
use crate::kernel::{self, Tracer};
use crate::outputs::{CheckReport, check_text};
use crate::pools::{DeclaredMember, DeclaredPool, Filter, Method, Pools};
use lab::Lab;
use scenario::{Expected, Scenario};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What is done to the balancer
    #[arg(long, value_enum, default_value = "weight-typo")]
    scenario: Scenario,
    /// Measure requests and their response times
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    exchanges: Exchanges,
    /// Keep the traffic going for exactly so long (30s, 2m), to look at it elsewhere too; without: until it is found
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    length: Option<Duration>,
    /// Write what the balancer should do to this file, for `tracer top --pools FILE`
    #[arg(long, value_name = "FILE")]
    declare: Option<PathBuf>,
}

const BACKENDS: usize = 4;
/// The backend that something is done to.
const VICTIM: usize = 1;
/// Requests that the demo's clients send each second, over a connection each.
const RATE: u32 = 250;
/// Time within which the tracer must have found what was planted.
const LONGEST: Duration = Duration::from_secs(12);

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let scenario = arguments.scenario;
    let lab = Lab::prepare(&scenario.plan())
        .map_err(|error| Failure::Internal(anyhow::Error::new(error).context("cannot listen on loopback")))?;
    let declared = declaration(lab.backends(), scenario.declared_method());
    if let Some(file) = &arguments.declare {
        std::fs::write(file, written(&declared)).map_err(|error| {
            Failure::Input(vec![format!(
                "--declare {}: {error}; give a file that can be written",
                file.display()
            )])
        })?;
    }
    let pools = Pools::new(vec![declared], Filter::default());
    let agent = Agent::new(pools, Settings::default());
    let exchanges = arguments.exchanges.with_auto(kernel::Exchanges::Measured);
    let tracer = Tracer::start(kernel::Settings { exchanges, ..kernel::Settings::default() })?;
    tracer.notices().iter().for_each(|notice| say(notice));
    super::block_on(watch(tracer, agent, lab, scenario, arguments.length))
}

/// What somebody intended: equal weights.
fn declaration(backends: [SocketAddr; BACKENDS], method: Method) -> DeclaredPool {
    DeclaredPool {
        balancer: Some("tracer".into()),
        members: backends.map(|backend| DeclaredMember::new(backend, 1.0)).to_vec(),
        ..DeclaredPool::named("demo", method)
    }
}

/// The same as a pools file.
fn written(pool: &DeclaredPool) -> String {
    let members: Vec<_> =
        pool.members.iter().map(|member| format!("  {{ address = \"{}\" }},\n", member.backend)).collect();
    format!(
        "[[pool]]\nname = \"{}\"\nbalancer = \"{}\"\nmethod = {}\nmembers = [\n{}]\n",
        pool.name,
        pool.balancer.as_deref().unwrap_or_default(),
        serde_json::json!(pool.method),
        members.concat()
    )
}

/// Watches until what was planted is found, or for exactly `length`.
async fn watch(
    tracer: Tracer,
    mut agent: Agent,
    lab: Lab,
    scenario: Scenario,
    length: Option<Duration>,
) -> Result<Exit, Failure> {
    let victim = lab.backends()[VICTIM];
    let mut stop = Stop::listen()?;
    let started = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut ticker = Ticker::new(tracer, Some(length.unwrap_or(LONGEST)));
    say("tracing: a balancer of the demo's own, with four backends on loopback");
    say(&format!("planted: {}", scenario.planted()));
    if scenario != Scenario::Balanced {
        say(&format!("         that is {victim}; the tracer is not told"));
    }
    let traffic = lab.start(RATE);
    let mut pools = Vec::new();
    let mut uncounted = Uncounted::default();
    let mut found = None;
    while found.is_none() || length.is_some() {
        let sample = tokio::select! {
            biased;
            () = stop.told() => break,
            sample = ticker.next() => sample,
        };
        let Some(sample) = sample else { break };
        uncounted = sample.uncounted;
        pools = agent.step(&sample).into_iter().filter(|pool| pool.sample.pool.name == "demo").collect();
        if found.is_none() && pools.iter().any(|pool| is_found(pool, &scenario.expected(), victim)) {
            found = Some(ticker.elapsed().as_secs_f64());
        }
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
    let (end, exit) = match found {
        Some(after) => (format!("found what was planted, in {after:.1} s"), Exit::Fine),
        None => (format!("did not find what was planted within {seconds:.1} s"), Exit::Finding),
    };
    print(&format!("\n{}\n{end}\n", check_text(&report)), exit)
}

/// Whether the verdict is right, on the right signal, and names the right member and no other.
fn is_found(pool: &Judged, expected: &Expected, victim: SocketAddr) -> bool {
    let Some(assessment) = &pool.assessment else { return false };
    assessment.verdict == expected.verdict
        && assessment.signal == expected.signal
        && assessment
            .members
            .iter()
            .all(|member| member.finding == expected.finding.filter(|_| member.backend == victim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::{Names, parse_pools_file};

    #[test]
    fn what_is_written_for_others_is_what_is_declared() {
        let backends = [11, 12, 13, 14].map(|last| SocketAddr::from(([127, 0, 0, last], 8_080)));
        let pool = declaration(backends, Method::LeastConnections);
        let read = parse_pools_file("pools.toml", written(&pool).as_bytes()).unwrap();
        let read = read.resolve(&Names::default(), true).pools.remove(0);
        assert_eq!((read.name, read.balancer, read.method), (pool.name, pool.balancer, pool.method));
        let each = |members: &[DeclaredMember]| -> Vec<_> {
            members.iter().map(|member| (member.backend, member.weight)).collect()
        };
        assert_eq!(each(&read.members), each(&pool.members));
    }
}
