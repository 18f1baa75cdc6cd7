//! Delays from a fault to what is said of it, in a pool that has been fine for a day.

use super::baselines::{self, Baselines};
use super::chance::Chance;
use super::fault::{Expected, Fault, Members};
use super::pools::{Kind, Pool};
use super::stats::{bound, count, mean, quantile, shares};
use super::streams::Policy::{LeastConnections, TwoChoices};
use super::streams::Stream;
use super::subject::Subject;
use super::work::Plan;
use std::fmt::Write as _;
use tracer::detect::Verdict;

/// Ticks before a fault, of which a pool of many members gets less.
const DAY: u64 = 86_400;
const LARGE_POOLS_DAY: u64 = 7200;
/// The fault comes at a random tick of so many.
const ONSET: usize = 600;
/// A delay of so many times the bound is a miss, and so is one of less than an hour.
const MOST_BOUNDS: f64 = 100.0;
const LEAST_LIMIT: u64 = 3600;
/// Runs in which the baselines are awaited too, and how long at most, ticks.
const BASELINE_RUNS: u64 = 40;
const BASELINE_LIMIT: u64 = 3600;
const BASELINE_LIMIT_FAST: u64 = 600;

/// What came of the runs of one pool and fault.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) pool: Pool,
    pub(crate) fault: Fault,
    /// Connections that no test can do with fewer of, on average.
    pub(crate) bound: f64,
    pub(crate) runs: usize,
    /// Of the runs with a first finding: ticks and connections to it.
    pub(crate) seconds: Vec<f64>,
    pub(crate) connections: Vec<f64>,
    /// First findings that were not as expected.
    pub(crate) wrong: usize,
    /// Seconds of the baselines, of the runs in which they raised an alarm.
    baselines: [Vec<f64>; 3],
    baseline_runs: usize,
}

/// One run.
struct Run {
    /// Ticks and connections to the first finding, and whether it was as expected; `None`: missed.
    found: Option<(f64, f64, bool)>,
    baselines: Option<[Option<f64>; 3]>,
}

fn catalogue() -> Vec<(Pool, Fault)> {
    const TYPO: Fault = Fault::Weight(10, 1);
    const NOTHING: Fault = Fault::Weight(0, 1);
    const TWICE: Fault = Fault::Weight(2, 1);
    const HALF: Fault = Fault::Weight(1, 2);
    let random = |members, rate| Pool::new(Kind::random(), members, rate);
    let turns = |workers, members, rate| Pool::new(Kind::RoundRobin { workers }, members, rate);
    let farm = |policy, rate| Pool::new(Kind::farm(policy, &[0.5]), 4, rate);
    let hash = |clients, exponent| Pool::new(Kind::Hash { clients, exponent }, 4, 20.0);
    let mut cells = Vec::new();
    let mut add =
        |pool: Pool, faults: &[Fault]| cells.extend(faults.iter().map(|fault| (pool.clone(), *fault)));
    let usual = [TYPO, NOTHING, TWICE];
    add(random(4, 1.0 / 60.0), &usual);
    add(random(4, 1.0), &usual);
    add(random(4, 20.0), &[TYPO, NOTHING, TWICE, HALF]);
    add(random(2, 20.0), &usual);
    add(random(20, 50.0), &usual);
    add(turns(1, 4, 20.0), &usual);
    add(turns(8, 4, 1.0), &usual);
    add(turns(8, 4, 20.0), &[TYPO, NOTHING, TWICE, HALF]);
    add(turns(32, 4, 20.0), &usual);
    add(farm(TwoChoices, 20.0), &usual);
    add(farm(LeastConnections, 20.0), &usual);
    add(random(4, 500.0), &usual);
    add(random(4, 10_000.0), &usual);
    add(turns(8, 4, 500.0), &usual);
    add(farm(TwoChoices, 500.0), &usual);
    add(farm(LeastConnections, 500.0), &usual);
    add(random(200, 200.0), &[NOTHING, TWICE, Fault::Diffuse]);
    add(random(2000, 10_000.0), &[NOTHING, TWICE]);
    add(random(20, 200.0), &[Fault::Diffuse]);
    add(turns(8, 20, 200.0), &[Fault::Diffuse]);
    add(turns(8, 200, 200.0), &[NOTHING, TWICE]);
    add(Pool::new(Kind::KeepAlive, 4, 100.0), &usual);
    add(hash(50_000, 0.8), &[Fault::Collapse, NOTHING]);
    add(hash(2000, 1.1), &[Fault::Collapse]);
    cells
}

/// Runs every cell that is wanted.
pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let quick = |pool: &Pool, fault: Fault| {
        let members = pool.weights.len();
        members <= 20 && pool.rate >= 1.0 && pool.rate <= 500.0 && fault != Fault::Weight(1, 2)
    };
    let cells: Vec<(Pool, Fault)> = catalogue()
        .into_iter()
        .filter(|(pool, fault)| plan.wants(&cell(pool, *fault)) && (!plan.quick || quick(pool, *fault)))
        .collect();
    plan.all(&cells, |(pool, fault)| cell(pool, *fault), |(pool, fault)| measure(pool, *fault, plan))
}

fn cell(pool: &Pool, fault: Fault) -> String {
    format!("delay: {}, {}", pool.name, fault.name())
}

fn expected(fault: Fault) -> Expected {
    let (verdicts, members): (&'static [Verdict], _) = match fault {
        // It gets nothing, or too little: either is true.
        Fault::Weight(0, _) => (&[Verdict::MemberMissing, Verdict::Skewed], Members::Only(0)),
        Fault::Collapse => (&[Verdict::MemberMissing, Verdict::Skewed], Members::Any),
        Fault::Diffuse => (&[Verdict::Skewed], Members::Any),
        _ => (&[Verdict::Skewed], Members::Only(0)),
    };
    Expected { verdicts, members }
}

fn measure(pool: &Pool, fault: Fault, plan: &Plan) -> Row {
    let name = cell(pool, fault);
    let bound = bound(&shares(&pool.weights), &fault.shares(&pool.weights));
    let mut stream = pool.stream(Chance::new(plan.seed, &name, 0));
    let mut subject = pool.subject();
    let day = if pool.weights.len() >= 200 || plan.quick { LARGE_POOLS_DAY } else { DAY };
    for _ in 0..day {
        subject.observe(stream.next());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ticks")]
    let limit = ((MOST_BOUNDS * bound / pool.rate) as u64).clamp(LEAST_LIMIT, 30 * DAY);
    let mut row = Row {
        pool: pool.clone(),
        fault,
        bound,
        runs: plan.runs,
        seconds: Vec::new(),
        connections: Vec::new(),
        wrong: 0,
        baselines: Default::default(),
        baseline_runs: 0,
    };
    let runs = if pool.weights.len() >= 200 { plan.runs.div_ceil(4) } else { plan.runs };
    row.runs = runs;
    for number in 1..=runs as u64 {
        let mut stream = stream.clone();
        let mut chance = Chance::new(plan.seed, &name, number);
        let onset = chance.below(ONSET);
        stream.reseed(chance);
        let run =
            once(pool, fault, stream, subject.clone(), limit, !plan.quick && number <= BASELINE_RUNS, onset);
        if let Some((seconds, connections, right)) = run.found {
            row.seconds.push(seconds);
            row.connections.push(connections);
            row.wrong += usize::from(!right);
        }
        if let Some(delays) = run.baselines {
            row.baseline_runs += 1;
            for (all, delay) in row.baselines.iter_mut().zip(delays) {
                all.extend(delay);
            }
        }
    }
    row
}

fn once(
    pool: &Pool,
    fault: Fault,
    mut stream: Stream,
    mut subject: Subject,
    limit: u64,
    with_baselines: bool,
    onset: usize,
) -> Run {
    let baseline_limit = if pool.rate > 50.0 { BASELINE_LIMIT_FAST } else { BASELINE_LIMIT };
    let mut tests = Baselines::new(shares(&pool.weights));
    for _ in 0..onset {
        let tick = stream.next();
        subject.observe(tick);
        tests.tick(pool.counts(tick));
    }
    // A finding from before is no answer to the fault.
    let before = subject.finding().is_some();
    fault.begin(&mut stream, &mut subject);
    let mut run = Run { found: None, baselines: with_baselines.then_some([None; 3]) };
    let (mut seconds, mut connections, mut done) = (0.0, 0.0, before);
    for now in 1..=limit {
        let tick = stream.next();
        seconds += 1.0;
        connections += pool.counts(tick).map(whole).sum::<f64>();
        if !done {
            subject.observe(tick);
            if let Some(said) = subject.finding() {
                run.found = Some((seconds, connections, expected(fault).is_met(said)));
                done = true;
            }
        }
        if let (Some(delays), Some(alarms)) = (&mut run.baselines, tests.tick(pool.counts(tick))) {
            for (delay, _) in delays.iter_mut().zip(alarms).filter(|(_, alarm)| *alarm) {
                delay.get_or_insert(seconds);
            }
        }
        let awaited =
            now < baseline_limit && run.baselines.is_some_and(|delays| delays.iter().any(Option::is_none));
        if done && !awaited {
            break;
        }
    }
    run
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn whole(count: u64) -> f64 {
    count as f64
}

impl Row {
    pub(crate) fn name(&self) -> String {
        format!("{}, {}", self.pool.name, self.fault.name())
    }

    /// Mean delay in connections over the bound; infinite when a run was missed.
    pub(crate) fn ratio(&self) -> f64 {
        if self.seconds.len() < self.runs {
            return f64::INFINITY;
        }
        mean(&self.connections).unwrap_or(f64::INFINITY) / self.bound
    }

    /// Part of the first findings that were not as expected.
    pub(crate) fn wrong_part(&self) -> f64 {
        count(self.wrong) / count(self.seconds.len().max(1))
    }
}

/// The section of the report.
pub(crate) fn section(rows: &[Row]) -> String {
    let mut text = format!(
        "## Delays\n\nThe pool has been fine for a day (of 200 members and more: for two hours); the fault comes at a random \
         second. The bound is log(ARL) / KL (Lorden 1971), for one false alarm a year, in connections of the pool (keep-alive: \
         requests). Wrong: first findings with another verdict, or that name another member. Missed: nothing found in \
         {MOST_BOUNDS} bounds, and at least an hour. The tests of a minute: mean seconds, where all runs raised an alarm within \
         an hour (above 50/s: ten minutes).\n\n| pool, fault | runs | bound | mean conn. | 95 % | mean / bound | mean s | 95 % s | wrong | missed |"
    );
    for name in baselines::NAMES {
        let _ = write!(text, " {name} s |");
    }
    text += "\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    let shown = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    for row in rows {
        let _ = write!(
            text,
            "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {:.1} % | {} |",
            row.name(),
            row.runs,
            row.bound,
            shown(mean(&row.connections), 0),
            shown(quantile(&row.connections, 0.95), 0),
            shown(mean(&row.connections).map(|mean| mean / row.bound), 2),
            shown(mean(&row.seconds), 1),
            shown(quantile(&row.seconds, 0.95), 0),
            100.0 * row.wrong_part(),
            row.runs - row.seconds.len(),
        );
        for delays in &row.baselines {
            let all = delays.len() == row.baseline_runs && row.baseline_runs > 0;
            let _ = write!(text, " {} |", shown(mean(delays).filter(|_| all), 0));
        }
        text.push('\n');
    }
    text
}
