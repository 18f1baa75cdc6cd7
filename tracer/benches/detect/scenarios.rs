//! What is said of a fault ten seconds after, and whether it was ever the wrong thing.

use super::chance::Chance;
use super::fault::{Expected, Fault, Members};
use super::pools::{Kind, Pool, Servers};
use super::stats::{count, mean};
use super::streams::Policy::{self, LeastConnections, RoundRobin, TwoChoices};
use super::work::Plan;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tracer::detect::Verdict;

const RATE: f64 = 200.0;
const MEMBERS: usize = 4;
/// Ticks without a fault: the hour of learning, and another.
const BEFORE: u64 = 7200;
/// The fault comes at a random tick of so many.
const ONSET: usize = 60;
/// When it should have been said, and how long it is watched, ticks after the fault.
const SAID_BY: u64 = 10;
const WATCHED: u64 = 300;

/// What was said in the runs of one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    expected: Expected,
    pub(crate) runs: usize,
    /// Runs that were right after ten seconds, and at the end.
    pub(crate) right: usize,
    at_end: usize,
    /// Seconds to the first that was right, of the runs that had one.
    first_right: Vec<f64>,
    /// Runs in which something wrong was said at any time.
    pub(crate) wrong: usize,
    /// The first wrong thing that was said, by its words for verdict and members; runs.
    said_wrong: BTreeMap<String, usize>,
}

fn catalogue() -> Vec<(String, Pool, Fault, Expected)> {
    let servers = |policy: Policy, exchanges: bool| Servers {
        policy,
        lifetimes: &[0.1],
        exchanges,
        leaves_out: false,
        refuses: 0.0,
    };
    let pool = |servers| Pool::new(Kind::Farm(servers), MEMBERS, RATE);
    let plain = |policy| pool(servers(policy, false));
    let ejecting = pool(Servers { leaves_out: true, ..servers(RoundRobin, false) });
    let answering = |policy| pool(servers(policy, true));
    let one = |verdicts| Expected { verdicts, members: Members::Only(0) };
    let all = |verdicts| Expected { verdicts, members: Members::Any };
    let skewed = one(&[Verdict::Skewed]);
    let missing = one(&[Verdict::MemberMissing]);
    let failing = one(&[Verdict::BackendFailing]);
    let left_out = one(&[Verdict::BackendFailing, Verdict::MemberMissing]);
    let slow = one(&[Verdict::BackendSlow]);
    let stranger = Expected { verdicts: &[Verdict::UnexpectedBackend], members: Members::Only(MEMBERS) };
    let (typo, drain) = (Fault::Weight(10, 1), Fault::Weight(0, 1));
    let cells = vec![
        ("typo", plain(RoundRobin), typo, skewed),
        ("typo", plain(Policy::Random), typo, skewed),
        ("typo", plain(TwoChoices), typo, skewed),
        ("typo", plain(LeastConnections), typo, skewed),
        ("typo", Pool::new(Kind::KeepAlive, MEMBERS, RATE), typo, skewed),
        ("drain", plain(RoundRobin), drain, missing),
        ("drain", plain(LeastConnections), drain, missing),
        ("drain", Pool::new(Kind::KeepAlive, MEMBERS, RATE), drain, missing),
        ("refusing", plain(RoundRobin), Fault::Refuses(1.0), failing),
        ("refusing", plain(LeastConnections), Fault::Refuses(1.0), failing),
        ("ejected", ejecting, Fault::Refuses(1.0), left_out),
        ("hanging", plain(RoundRobin), Fault::Hangs, failing),
        ("hanging", plain(LeastConnections), Fault::Hangs, failing),
        ("black hole", plain(LeastConnections), Fault::Refuses(0.95), failing),
        ("black hole", plain(TwoChoices), Fault::Refuses(0.95), failing),
        ("slow", plain(RoundRobin), Fault::Slow(5.0), slow),
        ("slow", plain(TwoChoices), Fault::Slow(5.0), slow),
        ("slow", plain(LeastConnections), Fault::Slow(5.0), slow),
        ("slow", answering(RoundRobin), Fault::Slow(5.0), slow),
        ("slow", answering(LeastConnections), Fault::Slow(5.0), slow),
        ("unexpected", plain(RoundRobin), Fault::Stranger, stranger),
        ("unexpected", plain(Policy::Random), Fault::Stranger, stranger),
        ("pool failing", plain(RoundRobin), Fault::AllRefuse(1.0), all(&[Verdict::PoolFailing])),
        ("pool failing", plain(LeastConnections), Fault::AllRefuse(0.5), all(&[Verdict::PoolFailing])),
        ("pool slow", answering(RoundRobin), Fault::AllSlow(5.0), all(&[Verdict::PoolSlow])),
        ("pool slow", answering(LeastConnections), Fault::AllSlow(5.0), all(&[Verdict::PoolSlow])),
    ];
    cells
        .into_iter()
        .map(|(what, pool, fault, expected)| {
            let name = format!("{what}: {}, {}", pool.kind.name(), fault.name());
            (name, pool, fault, expected)
        })
        .collect()
}

/// Runs every scenario that is wanted.
pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let wanted: Vec<_> = catalogue().into_iter().filter(|(name, ..)| plan.wants(&cell(name))).collect();
    plan.all(
        &wanted,
        |(name, ..)| cell(name),
        |(name, pool, fault, expected)| measure(name, pool, *fault, *expected, plan),
    )
}

fn cell(name: &str) -> String {
    format!("verdict: {name}")
}

fn measure(name: &str, pool: &Pool, fault: Fault, expected: Expected, plan: &Plan) -> Row {
    let mut stream = pool.stream(Chance::new(plan.seed, name, 0));
    let mut subject = pool.subject();
    for _ in 0..BEFORE {
        subject.observe(stream.next());
    }
    let mut row = Row {
        name: name.to_owned(),
        expected,
        runs: plan.runs,
        right: 0,
        at_end: 0,
        first_right: Vec::new(),
        wrong: 0,
        said_wrong: BTreeMap::new(),
    };
    for number in 1..=plan.runs as u64 {
        let (mut stream, mut subject) = (stream.clone(), subject.clone());
        let mut chance = Chance::new(plan.seed, name, number);
        let onset = chance.below(ONSET);
        stream.reseed(chance);
        for _ in 0..onset {
            subject.observe(stream.next());
        }
        fault.begin(&mut stream, &mut subject);
        let (mut wrong, mut first_right, mut seconds) = (None, None, 0.0);
        for now in 1..=WATCHED {
            subject.observe(stream.next());
            let said = subject.finding();
            let right = said.is_some_and(|said| expected.is_met(said));
            seconds += 1.0;
            if right {
                first_right.get_or_insert(seconds);
            }
            row.right += usize::from(right && now == SAID_BY);
            row.at_end += usize::from(right && now == WATCHED);
            if let Some(said) = said.filter(|_| !right) {
                let named = said.members.iter().enumerate();
                let named = named.filter_map(|(member, said)| Some(format!("{member} {:?}", said.finding?)));
                let named: Vec<String> = named.collect();
                wrong.get_or_insert_with(|| format!("{} ({})", said.verdict, named.join(", ")));
            }
        }
        row.first_right.extend(first_right);
        if let Some(said) = wrong {
            row.wrong += 1;
            *row.said_wrong.entry(said).or_default() += 1;
        }
    }
    row
}

impl Row {
    pub(crate) fn right_part(&self) -> f64 {
        count(self.right) / count(self.runs)
    }

    /// Part of the runs in which the right thing was said within so many seconds.
    pub(crate) fn right_within(&self, seconds: f64) -> f64 {
        count(self.first_right.iter().filter(|first| **first <= seconds).count()) / count(self.runs)
    }

    pub(crate) fn right_at_end(&self) -> f64 {
        count(self.at_end) / count(self.runs)
    }

    pub(crate) fn wrong_part(&self) -> f64 {
        count(self.wrong) / count(self.runs)
    }
}

/// The section of the report.
pub(crate) fn section(rows: &[Row]) -> String {
    let mut text = format!(
        "## Verdicts\n\n{MEMBERS} members, {RATE} connections a second (keep-alive: requests), two hours without a fault. Right: an expected \
         verdict that names the expected member and nobody else. Wrong: anything else that is a finding, at any of the \
         {WATCHED} seconds watched.\n\n| scenario | expected | runs | right after {SAID_BY} s | right after {WATCHED} s | \
         first right, mean s | ever wrong | \
         the most frequent of what was said first wrongly |\n|---|---|--:|--:|--:|--:|--:|---|\n"
    );
    for row in rows {
        let expected: Vec<&str> = row.expected.verdicts.iter().map(|verdict| verdict.as_str()).collect();
        let said = row.said_wrong.iter().max_by_key(|(_, runs)| **runs);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} % | {:.1} % | {} | {:.1} % | {} |",
            row.name,
            expected.join(" or "),
            row.runs,
            100.0 * row.right_part(),
            100.0 * row.right_at_end(),
            mean(&row.first_right).map_or_else(|| "–".to_owned(), |mean| format!("{mean:.1}")),
            100.0 * row.wrong_part(),
            said.map_or_else(String::new, |(said, runs)| format!("{said}: {runs}")),
        );
    }
    text
}
