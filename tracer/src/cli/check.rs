//! `tracer check`: watch, say what is found, exit with it.

use super::exit::{Exit, Failure, print, say};
use super::options::{Bounds, Exchanges, PoolOptions, duration};
use super::source::Source;
use super::stop::Stop;
use crate::agent::{Agent, Judged};
use crate::detect::{Settings, Verdict};
use crate::kernel::{self, Tracer};
use crate::outputs::escape::for_terminal;
use crate::outputs::{CheckReport, check_json, check_text};
use crate::pools::{ExpectedSource, Pools};
use crate::recording::{Interval, Selection};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Watch exactly this long [default: until every verdict is certain, 60 s at most; a recording: to its end]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    length: Option<Duration>,
    /// One JSON object (schema tracer.check/1) instead of text
    #[arg(long)]
    json: bool,
    /// Judge recorded samples (`-`: standard input) instead of what happens now. Pools and weights are those of the
    /// recording, which knows no network namespaces; the other filters select among its pools
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pools", "declared_only", "netns", "nginx", "haproxy", "envoy"])]
    replay: Option<PathBuf>,
    /// Do not look for the configurations of balancers that run here
    #[arg(long)]
    no_auto: bool,
    /// Measure requests and their response times
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Exchanges::Auto)]
    exchanges: Exchanges,
    #[command(flatten)]
    pools: PoolOptions,
    #[command(flatten)]
    bounds: Bounds,
}

/// Pools in the progress line, and its columns: it must not wrap.
const MOST_SHOWN: usize = 3;
const MOST_COLUMNS: usize = 78;
/// Nobody reads it more often.
const BETWEEN_PROGRESS: Duration = Duration::from_millis(200);

/// How long to watch when nobody said.
const LONGEST: Duration = Duration::from_secs(60);

/// A verdict is taken as certain when it has stood for this many ticks: a failing member looks skewed at first.
const STEADY_TICKS: u32 = 3;

pub(super) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match &arguments.replay {
        Some(file) => {
            let filter = arguments.pools.filter();
            let agent = Agent::new(Pools::default(), Settings::default());
            let asked = !filter.is_empty();
            let source = Source::recording(file, agent, Selection::new(filter), arguments.length)?;
            let what = format!("replaying: {}", file.display());
            super::block_on(watch(source, &arguments, asked, &what))
        }
        None => {
            let pools = arguments.pools.pools(!arguments.no_auto)?;
            let asked = pools.is_filtered();
            let what = format!("tracing: {}", watching(pools.declared_count(), asked));
            let agent = Agent::new(pools, Settings::default());
            let exchanges = arguments.exchanges.with_auto(kernel::Exchanges::Measured);
            let tracer = Tracer::start(arguments.bounds.settings(exchanges))?;
            tracer.notices().iter().for_each(|notice| say(notice));
            let length = arguments.length.unwrap_or(LONGEST);
            super::block_on(async {
                watch(Source::kernel(tracer, agent, Some(length)), &arguments, asked, &what).await
            })
        }
    }
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

async fn watch(mut source: Source, arguments: &Arguments, asked: bool, what: &str) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    say(&format!("{what}; Ctrl-C for the verdict so far"));
    let may_end_early = arguments.length.is_none() && arguments.replay.is_none();
    let mut certainty = Certainty::default();
    let mut progress = Progress::default();
    let mut last: Option<Interval<Judged>> = None;
    loop {
        let interval = tokio::select! {
            biased;
            () = stop.told() => {
                last = source.now().or(last);
                break;
            }
            interval = source.next() => interval,
        };
        // The line of the progress must not stand before the message.
        let Some(interval) = interval.inspect_err(|_| progress.clear())? else { break };
        progress.show(&interval.pools);
        let certain = certainty.reached(&interval.pools);
        last = Some(interval);
        if certain && may_end_early {
            break;
        }
    }
    progress.clear();
    // Detached before anything is written: a reader that is slow does not keep the programs running.
    let end = source.end();
    let (pools, other, uncounted) =
        last.map_or((Vec::new(), None, None), |last| (last.pools, last.other, last.uncounted));
    let report = CheckReport {
        host: end.host,
        started_seconds: end.started_seconds,
        duration_seconds: end.duration_seconds,
        pools,
        unmatched: end.unmatched,
        other,
        uncounted,
    };
    let text = if arguments.json {
        check_json(&report).map_err(|error| Failure::Internal(error.into()))?
    } else {
        check_text(&report)
    };
    print(&text, exit(&report.pools, asked))
}

/// On a terminal, how far the check is, in one line that is written over and at last cleared.
#[derive(Default)]
struct Progress {
    shown: Option<Instant>,
}

impl Progress {
    fn show(&mut self, pools: &[Judged]) {
        if pools.is_empty()
            || self.shown.is_some_and(|shown| shown.elapsed() < BETWEEN_PROGRESS)
            || !io::stderr().is_terminal()
        {
            return;
        }
        self.shown = Some(Instant::now());
        let line: String = for_terminal(&progress(pools)).chars().take(MOST_COLUMNS).collect();
        write_over(&line);
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            write_over("");
        }
    }
}

fn write_over(line: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "\r\x1b[K{line}");
    let _ = stderr.flush();
}

/// `1200 connections so far; app skewed, …`
fn progress(pools: &[Judged]) -> String {
    let judged = pools.iter().filter_map(|pool| Some((&pool.sample, pool.assessment.as_ref()?)));
    let attempts = judged.clone().filter_map(|(sample, _)| sample.attempts());
    let attempts = attempts.fold(0_u64, u64::saturating_add);
    let verdicts = judged.map(|(sample, assessment)| format!("{} {}", sample.pool.name, assessment.verdict));
    let verdicts: Vec<String> = verdicts.take(MOST_SHOWN).collect();
    format!("{attempts} connections so far; {}", verdicts.join(", "))
}

/// Whether every judged pool that is not idle has had the same verdict for some ticks, and one that says something.
#[derive(Default)]
struct Certainty {
    verdicts: Vec<Verdict>,
    ticks: u32,
}

impl Certainty {
    fn reached(&mut self, pools: &[Judged]) -> bool {
        let counted = pools.iter().filter(|pool| !pool.sample.is_idle());
        let verdicts: Vec<Verdict> =
            counted.filter_map(|pool| Some(pool.assessment.as_ref()?.verdict)).collect();
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
        let declared = pool.sample.pool.expected_source == ExpectedSource::Declared;
        let wanted = (asked || declared) && !pool.sample.is_idle();
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
    use crate::collect::Counters;
    use crate::detect::{Assessment, Signal};
    use crate::pools::{self, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded};

    fn pool(verdict: Option<Verdict>, expected_source: ExpectedSource) -> Judged {
        let assessment = verdict.map(|verdict| Assessment {
            verdict,
            findings: Vec::new(),
            summary: String::new(),
            since_seconds: None,
            since_start: false,
            evidence: 0.0,
            needed: None,
            signal: Signal::Connections,
            members: Vec::new(),
        });
        let pool = PoolIdentity {
            name: "app".into(),
            balancer: None,
            source: "discovered".into(),
            expected_source,
            method: Method::RoundRobin,
            vouched: true,
            asked: true,
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

    /// A declared pool whose declaration was found, after so many attempts.
    fn found(verdict: Verdict, attempts: u64) -> Judged {
        let mut pool = pool(Some(verdict), ExpectedSource::Declared);
        pool.sample.pool.asked = false;
        pool.sample.members.push(MemberSample {
            backend: "10.0.0.1:80".parse().unwrap(),
            weight: Some(1.0),
            decisions: 0,
            requests: None,
            delta: Counters::default(),
            total: Counters { attempts, ..Counters::default() },
            stock: None,
            exchanges: pools::Exchanges::default(),
            total_exchanges: pools::Exchanges::default(),
            recorded: Recorded::default(),
            origin: Origin::Unknown,
        });
        pool
    }

    #[test]
    fn nobody_waits_for_a_pool_that_was_found_and_is_idle() {
        use Verdict::{Balanced, InsufficientEvidence, UnevenWeights};
        let idle = || found(InsufficientEvidence, 0);
        assert_eq!(exit(&[found(Balanced, 900), idle()], false), Exit::Fine);
        assert_eq!(exit(&[found(Balanced, 900), idle()], true), Exit::Fine, "a filter names no pool");
        assert_eq!(exit(&[found(UnevenWeights, 900), idle()], false), Exit::Finding);
        assert_eq!(exit(&[idle()], false), Exit::InsufficientEvidence, "nothing has traffic");
        let with_traffic = [found(Balanced, 900), found(InsufficientEvidence, 1)];
        assert_eq!(exit(&with_traffic, false), Exit::InsufficientEvidence, "as any declared pool");
        let mut named = [found(Balanced, 900), idle()];
        named[1].sample.pool.asked = true;
        assert_eq!(exit(&named, false), Exit::InsufficientEvidence, "somebody named its file");

        let steady = |pools: &[Judged]| {
            let mut certainty = Certainty::default();
            (0..STEADY_TICKS).any(|_| certainty.reached(pools))
        };
        assert!(steady(&[found(Balanced, 900), idle()]));
        assert!(!steady(&with_traffic) && !steady(&named) && !steady(&[idle()]));
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
