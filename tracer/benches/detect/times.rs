//! Times beside the delays: a fresh start, the end of a fault, and how long a tick takes.

use super::chance::Chance;
use super::fault::Fault;
use super::pools::{Kind, Pool};
use super::stats::{count, mean, quantile};
use super::work::Plan;
use std::fmt::Write as _;
use std::time::Instant;

/// Seconds of the runs of one cell, and those that did not come to an end.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) rate: f64,
    pub(crate) runs: usize,
    pub(crate) seconds: Vec<f64>,
}

impl Row {
    /// The second by which 95 % of the runs were done; infinite when more were not done at all.
    pub(crate) fn most(&self) -> f64 {
        let mut all = self.seconds.clone();
        all.resize(self.runs, f64::INFINITY);
        quantile(&all, 0.95).unwrap_or(f64::INFINITY)
    }
}

const TYPO: Fault = Fault::Weight(10, 1);
/// What does not come in this time does not come, ticks.
const LIMIT: u64 = 600;
/// How long a fault lasts that is repaired, and the time before, ticks.
const LASTS: u64 = 120;
const BEFORE: u64 = 7200;

/// The first finding of a judge that has seen nothing, when the fault is there from the start.
pub(crate) fn fresh(plan: &Plan) -> Vec<Row> {
    let mut pools = Vec::new();
    for rate in [20.0, 200.0] {
        pools.push(Pool::new(Kind::random(), 4, rate));
        pools.push(Pool::new(Kind::RoundRobin { workers: 8 }, 4, rate));
    }
    let cell = |pool: &Pool| format!("fresh: {}, {}", pool.name, TYPO.name());
    pools.retain(|pool| plan.wants(&cell(pool)));
    plan.all(&pools, cell, |pool| {
        let mut row = Row { name: pool.name.clone(), rate: pool.rate, runs: plan.runs, seconds: Vec::new() };
        for number in 0..plan.runs as u64 {
            let mut stream = pool.stream(Chance::new(plan.seed, &cell(pool), number));
            let mut subject = pool.subject();
            TYPO.begin(&mut stream, &mut subject);
            let found = (1..=LIMIT).find(|_| {
                subject.observe(stream.next());
                subject.finding().is_some()
            });
            row.seconds.extend(found.map(seconds));
        }
        row
    })
}

/// From the repair of a fault that was found until nothing is found any more.
pub(crate) fn clearing(plan: &Plan) -> Vec<Row> {
    let mut cells = Vec::new();
    for kind in [Kind::random(), Kind::RoundRobin { workers: 8 }] {
        for rate in [20.0, 200.0] {
            let pool = Pool::new(kind.clone(), 4, rate);
            let faults = [TYPO, Fault::Weight(0, 1), Fault::Weight(2, 1)];
            cells.extend(faults.map(|fault| (pool.clone(), fault)));
        }
    }
    let cell = |(pool, fault): &(Pool, Fault)| format!("clearing: {}, {}", pool.name, fault.name());
    cells.retain(|all| plan.wants(&cell(all)));
    plan.all(&cells, cell, |all| {
        let (pool, fault) = all;
        let mut stream = pool.stream(Chance::new(plan.seed, &cell(all), 0));
        let mut subject = pool.subject();
        for _ in 0..BEFORE {
            subject.observe(stream.next());
        }
        let name = format!("{}, {}", pool.name, fault.name());
        let mut row = Row { name, rate: pool.rate, runs: 0, seconds: Vec::new() };
        for number in 1..=plan.runs as u64 {
            let (mut stream, mut subject) = (stream.clone(), subject.clone());
            stream.reseed(Chance::new(plan.seed, &cell(all), number));
            fault.begin(&mut stream, &mut subject);
            for _ in 0..LASTS {
                subject.observe(stream.next());
            }
            if subject.finding().is_none() {
                continue;
            }
            row.runs += 1;
            Fault::end(&mut stream, &pool.weights);
            let ended = (1..=LIMIT).find(|_| {
                subject.observe(stream.next());
                subject.finding().is_none()
            });
            row.seconds.extend(ended.map(seconds));
        }
        row
    })
}

#[expect(clippy::cast_precision_loss, reason = "ticks far below 2^53")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64
}

/// The sections of the report on fresh starts and on repairs.
pub(crate) fn section(heading: &str, words: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "## {heading}\n\n{words}\n\n| cell | runs | mean s | 95 % s | most s | not in {LIMIT} s |\n|---|--:|--:|--:|--:|--:|\n"
    );
    for row in rows {
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.name,
            row.runs,
            shown(mean(&row.seconds)),
            shown(quantile(&row.seconds, 0.95)),
            shown(quantile(&row.seconds, 1.0)),
            row.runs - row.seconds.len()
        );
    }
    text
}

/// Of so many batches of ticks the fastest counts: what else the machine does is not in it.
const BATCHES: usize = 20;

/// What a tick costs.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) members: usize,
    pub(crate) microseconds: f64,
}

/// Measures it, on one thread.
pub(crate) fn cost(plan: &Plan) -> Vec<Cost> {
    let cells = [(4, 20.0), (20, 200.0), (200, 200.0), (2000, 10_000.0)];
    let cell = |members: usize| format!("cost: {members} members");
    let mut all = Vec::new();
    for (members, rate) in cells.into_iter().filter(|(members, _)| plan.wants(&cell(*members))) {
        let pool = Pool::new(Kind::random(), members, rate);
        let mut stream = pool.stream(Chance::new(plan.seed, &cell(members), 0));
        let mut subject = pool.subject();
        let ticks = (40_000 / members).clamp(20, 2000);
        for _ in 0..(10 * ticks).max(1000) {
            subject.observe(stream.next());
        }
        let mut batch = || {
            let mut spent = 0.0;
            for _ in 0..ticks {
                subject.fill(stream.next());
                let began = Instant::now();
                subject.judge_sample();
                spent += began.elapsed().as_secs_f64();
            }
            spent * 1e6 / count(ticks)
        };
        let microseconds = (0..BATCHES).map(|_| batch()).fold(f64::INFINITY, f64::min);
        eprintln!("{}: {microseconds:.2} µs a tick", cell(members));
        all.push(Cost { members, microseconds });
    }
    all
}

/// The section of the report.
pub(crate) fn cost_section(rows: &[Cost]) -> String {
    let mut text = format!(
        "## Cost\n\nOne pool's second with one signal, at random, nothing found; one thread. Mean of the fastest \
         of {BATCHES} batches.\n\n\
         | members | µs a tick | ns a member |\n|--:|--:|--:|\n",
    );
    for row in rows {
        let each = row.microseconds * 1e3 / count(row.members);
        let _ = writeln!(text, "| {} | {:.2} | {each:.0} |", row.members, row.microseconds);
    }
    text
}
