//! `tracer check`: watch, say what is found, exit with it.

use super::exit::{Exit, Failure, print, say};
use super::options::{Bounds, PoolOptions, duration};
use super::stop::Stop;
use crate::agent::{Agent, Judged};
use crate::collect::{Other, Sample, Ticker, Uncounted};
use crate::detect::{Settings, Verdict};
use crate::kernel::Tracer;
use crate::outputs::escape::for_terminal;
use crate::outputs::{CheckReport, check_json, check_text};
use crate::pools::ExpectedSource;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Watch exactly this long [default: until every verdict is certain, 60 s at most]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    length: Option<Duration>,
    /// One JSON object (schema tracer.check/1) instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pools: PoolOptions,
    #[command(flatten)]
    bounds: Bounds,
}

/// Pools in the progress line, and its columns: it must not wrap.
const MOST_SHOWN: usize = 3;
const MOST_COLUMNS: usize = 78;

/// How long to watch when nobody said.
const LONGEST: Duration = Duration::from_secs(60);

/// A verdict is taken as certain when it has stood for this many ticks: a failing member looks skewed at first.
const STEADY_TICKS: u32 = 3;

pub(super) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let pools = arguments.pools.pools()?;
    let asked = pools.is_filtered();
    let watching = watching(pools.declared_count(), asked);
    let agent = Agent::new(pools, Settings::default());
    let tracer = Tracer::start(arguments.bounds.settings())?;
    super::block_on(watch(tracer, agent, &arguments, asked, &watching))
}

/// What the `tracing:` line says is watched.
pub(super) fn watching(declared: usize, filtered: bool) -> String {
    let pools = match declared {
        0 => "every balancer on this host".to_owned(),
        1 => "1 declared pool".to_owned(),
        more => format!("{more} declared pools"),
    };
    if filtered { format!("{pools}, filtered") } else { pools }
}

async fn watch(
    tracer: Tracer,
    mut agent: Agent,
    arguments: &Arguments,
    asked: bool,
    watching: &str,
) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    let started = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    if let Some(notice) = tracer.memory().notice() {
        say(&notice);
    }
    let mut ticker = Ticker::new(tracer, Some(arguments.length.unwrap_or(LONGEST)));
    say(&format!("tracing: {watching}; Ctrl-C for the verdict so far"));
    let mut certainty = Certainty::default();
    let mut pools = Vec::new();
    let mut uncounted = Uncounted::default();
    let mut other = Other::default();
    let mut take = |sample: Sample| {
        uncounted = sample.uncounted;
        other = sample.other.clone();
        pools = agent.step(&sample);
        progress(&pools);
        certainty.reached(&pools)
    };
    loop {
        let sample = tokio::select! {
            biased;
            () = stop.told() => {
                take(ticker.read());
                break;
            }
            sample = ticker.next() => sample,
        };
        let Some(sample) = sample else { break };
        if take(sample) && arguments.length.is_none() {
            break;
        }
    }
    progress(&[]);
    let report = CheckReport {
        host: host_name(),
        started_seconds: started.as_secs_f64(),
        duration_seconds: ticker.elapsed().as_secs_f64(),
        pools,
        unmatched: agent.unmatched(),
        other: Some(other),
        uncounted,
    };
    // Detached before anything is written: a reader that is slow does not keep the programs running.
    drop(ticker);
    let text = if arguments.json {
        check_json(&report).map_err(|error| Failure::Internal(error.into()))?
    } else {
        check_text(&report)
    };
    print(&text, exit(&report.pools, asked))
}

/// On a terminal, how far the check is, in one line that is written over and at last cleared.
fn progress(pools: &[Judged]) {
    let mut stderr = io::stderr();
    if !stderr.is_terminal() {
        return;
    }
    let judged: Vec<_> = pools.iter().filter(|pool| pool.assessment.is_some()).collect();
    let attempts: u64 =
        judged.iter().flat_map(|pool| &pool.sample.members).map(|member| member.total.attempts).sum();
    let verdicts: Vec<_> = judged
        .iter()
        .filter_map(|pool| {
            Some(format!("{} {}", pool.sample.pool.name, pool.assessment.as_ref()?.verdict.as_str()))
        })
        .take(MOST_SHOWN)
        .collect();
    let line = if pools.is_empty() {
        String::new()
    } else {
        format!("{attempts} connections so far; {}", verdicts.join(", "))
    };
    let line: String = for_terminal(&line).chars().take(MOST_COLUMNS).collect();
    let _ = write!(stderr, "\r\x1b[K{line}");
    let _ = stderr.flush();
}

pub(super) fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".into(), |name| name.to_string_lossy().into_owned())
}

/// Whether every judged pool has had the same verdict for some ticks, and one that says something.
#[derive(Default)]
struct Certainty {
    verdicts: Vec<Verdict>,
    ticks: u32,
}

impl Certainty {
    fn reached(&mut self, pools: &[Judged]) -> bool {
        let verdicts: Vec<Verdict> =
            pools.iter().filter_map(|pool| Some(pool.assessment.as_ref()?.verdict)).collect();
        let says_something = !verdicts.is_empty() && !verdicts.contains(&Verdict::InsufficientEvidence);
        self.ticks = if verdicts == self.verdicts && says_something {
            self.ticks + 1
        } else {
            u32::from(says_something)
        };
        self.verdicts = verdicts;
        self.ticks >= STEADY_TICKS
    }
}

/// The exit code: a finding before anything; then pools that somebody asked about and nothing can be said of, or no
/// pool of which anything can be said.
fn exit(pools: &[Judged], asked: bool) -> Exit {
    let mut verdicts = pools.iter().filter_map(|pool| {
        let wanted = asked || pool.sample.pool.expected_source == ExpectedSource::Declared;
        Some((pool.assessment.as_ref()?.verdict, wanted))
    });
    let insufficient =
        |(verdict, wanted): (Verdict, bool)| wanted && verdict == Verdict::InsufficientEvidence;
    if verdicts.clone().any(|(verdict, _)| verdict.is_finding()) {
        Exit::Finding
    } else if verdicts.clone().any(insufficient) || !verdicts.any(|(verdict, _)| verdict == Verdict::Balanced)
    {
        Exit::InsufficientEvidence
    } else {
        Exit::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Assessment;
    use crate::pools::{Method, PoolIdentity, PoolSample};

    fn pool(verdict: Option<Verdict>, expected_source: ExpectedSource) -> Judged {
        let assessment = verdict.map(|verdict| Assessment {
            verdict,
            findings: Vec::new(),
            summary: String::new(),
            since_seconds: None,
            since_start: false,
            evidence: 0.0,
            needed: None,
            signal: "connections",
            members: Vec::new(),
        });
        let pool = PoolIdentity {
            name: "app".into(),
            balancer: None,
            source: "discovered".into(),
            expected_source,
            method: Method::RoundRobin,
        };
        let sample = PoolSample {
            pool,
            interval_seconds: 1.0,
            members: Vec::new(),
            judged: verdict.is_some(),
            note: None,
        };
        Judged { sample, assessment }
    }

    #[test]
    fn exit_codes_are_as_documented() {
        use ExpectedSource::{Assumed, Declared};
        use Verdict::{Balanced, InsufficientEvidence, Skewed};
        assert_eq!(exit(&[], false), Exit::InsufficientEvidence, "no pool seen");
        assert_eq!(exit(&[pool(None, Assumed)], false), Exit::InsufficientEvidence, "only listed");
        assert_eq!(exit(&[pool(Some(Balanced), Declared)], false), Exit::Fine);
        assert_eq!(exit(&[pool(Some(Skewed), Assumed)], false), Exit::Finding);
        let half = [pool(Some(Balanced), Assumed), pool(Some(InsufficientEvidence), Assumed)];
        assert_eq!(exit(&half, false), Exit::Fine, "nobody asked about the other");
        assert_eq!(exit(&half, true), Exit::InsufficientEvidence, "somebody did");
        let declared = [pool(Some(Balanced), Assumed), pool(Some(InsufficientEvidence), Declared)];
        assert_eq!(exit(&declared, false), Exit::InsufficientEvidence);
        let found = [pool(Some(Skewed), Declared), pool(Some(InsufficientEvidence), Declared)];
        assert_eq!(exit(&found, true), Exit::Finding, "a finding comes first");
    }

    #[test]
    fn a_verdict_is_certain_when_it_has_stood() {
        let balanced = [pool(Some(Verdict::Balanced), ExpectedSource::Assumed)];
        let skewed = [pool(Some(Verdict::Skewed), ExpectedSource::Assumed)];
        let unknown = [pool(Some(Verdict::InsufficientEvidence), ExpectedSource::Assumed)];
        let mut certainty = Certainty::default();
        assert!(!certainty.reached(&[]));
        assert!((0..9).all(|_| !certainty.reached(&unknown)));
        assert!(!certainty.reached(&skewed));
        assert!(!certainty.reached(&skewed));
        assert!(!certainty.reached(&balanced), "changed");
        assert!(!certainty.reached(&balanced));
        assert!(certainty.reached(&balanced));
    }
}
