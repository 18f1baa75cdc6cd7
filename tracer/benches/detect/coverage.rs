//! Whether the intervals that are told contain the truth as often as they say.

use super::chance::Chance;
use super::fault::Fault;
use super::pools::{Kind, Pool};
use super::stats::{count, shares};
use super::work::Plan;
use std::fmt::Write as _;

const BEFORE: u64 = 7200;
/// The interval is of the last five minutes: so far apart, two have nothing in common. Ticks.
const APART: u64 = 600;
/// When a faulty member's interval is read, ticks after the fault.
const AFTER: u64 = 120;

/// How often an interval contained the true share.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    intervals: usize,
    contained: usize,
}

impl Row {
    pub(crate) fn part(&self) -> f64 {
        count(self.contained) / count(self.intervals.max(1))
    }
}

/// Runs every cell that is wanted.
pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let random = |members, rate| Pool::new(Kind::random(), members, rate);
    let turns = |rate| Pool::new(Kind::RoundRobin { workers: 8 }, 4, rate);
    let pools = [random(4, 1.0), random(4, 20.0), random(4, 200.0), random(20, 50.0), turns(20.0)];
    let mut cells: Vec<(Pool, Option<Fault>)> = pools.into_iter().map(|pool| (pool, None)).collect();
    for fault in [Fault::Weight(10, 1), Fault::Weight(2, 1), Fault::Weight(1, 2)] {
        cells.extend([20.0, 200.0].map(|rate| (random(4, rate), Some(fault))));
        cells.push((turns(20.0), Some(fault)));
    }
    cells.retain(|(pool, fault)| plan.wants(&cell(pool, *fault)));
    plan.all(
        &cells,
        |(pool, fault)| cell(pool, *fault),
        |(pool, fault)| match fault {
            Some(fault) => faulty(pool, *fault, plan),
            None => balanced(pool, plan),
        },
    )
}

fn cell(pool: &Pool, fault: Option<Fault>) -> String {
    format!("coverage: {}, {}", pool.name, fault.map_or_else(|| "balanced".to_owned(), Fault::name))
}

/// All members' intervals, time after time.
fn balanced(pool: &Pool, plan: &Plan) -> Row {
    let name = cell(pool, None);
    let mut stream = pool.stream(Chance::new(plan.seed, &name, 0));
    let mut subject = pool.subject();
    let truth = shares(&pool.weights);
    let mut row = Row { name, intervals: 0, contained: 0 };
    for now in 1..=BEFORE + APART * 2 * plan.runs as u64 {
        subject.observe(stream.next());
        if now <= BEFORE || !now.is_multiple_of(APART) {
            continue;
        }
        let said = subject.assessment();
        for (said, truth) in said.members.iter().zip(&truth) {
            row.note(said.share_interval, *truth);
        }
    }
    row
}

/// The faulty member's interval, once a run.
fn faulty(pool: &Pool, fault: Fault, plan: &Plan) -> Row {
    let name = cell(pool, Some(fault));
    let mut stream = pool.stream(Chance::new(plan.seed, &name, 0));
    let mut subject = pool.subject();
    for _ in 0..BEFORE {
        subject.observe(stream.next());
    }
    let truth = fault.shares(&pool.weights)[0];
    let mut row = Row { name, intervals: 0, contained: 0 };
    for number in 1..=2 * plan.runs as u64 {
        let (mut stream, mut subject) = (stream.clone(), subject.clone());
        stream.reseed(Chance::new(plan.seed, &row.name, number));
        fault.begin(&mut stream, &mut subject);
        for _ in 0..AFTER {
            subject.observe(stream.next());
        }
        if let Some(said) = subject.finding() {
            row.note(said.members[0].share_interval, truth);
        }
    }
    row
}

impl Row {
    fn note(&mut self, interval: Option<[f64; 2]>, truth: f64) {
        if let Some([low, high]) = interval {
            self.intervals += 1;
            self.contained += usize::from(low <= truth && truth <= high);
        }
    }
}

/// The section of the report.
pub(crate) fn section(rows: &[Row]) -> String {
    let mut text = format!(
        "## Intervals\n\nHow many of the 95 % intervals of a share contain the true one: of all members of a balanced pool, every \
         {APART} s; of the faulty member, {AFTER} s after the fault, where it is found then.\n\n| cell | intervals | contain it |\n|---|--:|--:|\n"
    );
    for row in rows {
        let name = row.name.trim_start_matches("coverage: ");
        let _ = writeln!(text, "| {name} | {} | {:.1} % |", row.intervals, 100.0 * row.part());
    }
    text
}
