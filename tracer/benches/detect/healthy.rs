//! False verdicts: correct set-ups, for years.

use super::baselines::{self, Baselines};
use super::chance::Chance;
use super::pools::{Kind, Pool, Servers};
use super::stats::{poisson_limit, shares};
use super::streams::Policy::{LeastConnections, RoundRobin, TwoChoices};
use super::work::Plan;
use std::fmt::Write as _;
use tracer::detect::{Assessment, MemberAssessment, Verdict};

/// Seconds of a year.
const YEAR: f64 = 3.156e7;
/// Two alarms that are not so far apart are one, ticks.
const REFRACTORY: u64 = 600;
/// Findings of a run that are told on stderr.
const TOLD: u64 = 3;

/// Which target a pool belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Less than one a year.
    Plain,
    /// Less than one a month.
    Hash,
    /// No target; told for completeness.
    Other,
}

/// What was found in a pool that is as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) pool: Pool,
    pub(crate) group: Group,
    pub(crate) years: f64,
    pub(crate) episodes: u64,
    /// Ticks with a finding.
    pub(crate) standing: u64,
    pub(crate) baselines: [u64; 3],
}

/// Pools, their target, and which part of the plan's years they get: those that cost more get less.
fn catalogue() -> Vec<(Pool, Group, f64)> {
    let random = |members, rate| Pool::new(Kind::random(), members, rate);
    let turns = |workers, members, rate| Pool::new(Kind::RoundRobin { workers }, members, rate);
    let farm = |policy, lifetimes, members, rate| Pool::new(Kind::farm(policy, lifetimes), members, rate);
    let hash = |clients, exponent, members| Pool::new(Kind::Hash { clients, exponent }, members, 20.0);
    let left_out = |refuses| Servers {
        policy: RoundRobin,
        lifetimes: &[0.1],
        exchanges: false,
        leaves_out: true,
        refuses,
    };
    let answering = Servers {
        policy: LeastConnections,
        lifetimes: &[0.2, 0.2, 0.4, 0.8],
        exchanges: true,
        leaves_out: false,
        refuses: 0.0,
    };
    let pairs = Kind::Random { connections: 5.0 };
    let plain = [
        (random(4, 1.0 / 60.0), 1.0),
        (random(4, 1.0), 1.0),
        (random(4, 20.0), 1.0),
        (random(4, 500.0), 0.5),
        (random(4, 10_000.0), 0.25),
        (random(2, 20.0), 1.0),
        (random(20, 50.0), 0.25),
        (random(200, 200.0), 0.01),
        (random(2000, 10_000.0), 0.0005),
        (turns(1, 4, 20.0), 1.0),
        (turns(8, 4, 1.0 / 60.0), 1.0),
        (turns(8, 4, 1.0), 1.0),
        (turns(8, 4, 20.0), 1.0),
        (turns(8, 4, 500.0), 0.25),
        (turns(32, 4, 1.0), 0.25),
        (turns(32, 4, 20.0), 0.25),
        (turns(8, 4, 50.0).weighing(&[8, 4, 2, 1]), 0.25),
        (turns(8, 20, 50.0), 0.25),
        (turns(8, 200, 200.0), 0.01),
        (farm(TwoChoices, &[0.5], 4, 1.0), 1.0),
        (farm(TwoChoices, &[0.5], 4, 20.0), 0.5),
        (farm(TwoChoices, &[0.5, 0.5, 1.0, 2.0], 4, 20.0), 0.5),
        (farm(TwoChoices, &[0.5, 1.0, 2.0, 4.0], 4, 100.0), 0.1),
        (farm(TwoChoices, &[0.5], 20, 50.0), 0.1),
        (farm(LeastConnections, &[0.5], 4, 1.0), 1.0),
        (farm(LeastConnections, &[0.5], 4, 20.0), 0.5),
        (farm(LeastConnections, &[0.5, 0.5, 1.0, 2.0], 4, 20.0), 0.5),
        (farm(LeastConnections, &[0.5, 1.0, 2.0, 4.0], 4, 100.0), 0.1),
        (farm(LeastConnections, &[30.0], 4, 20.0), 0.5),
        (farm(LeastConnections, &[0.5], 20, 50.0), 0.1),
        (farm(LeastConnections, &[0.1], 4, 500.0), 0.025),
        (Pool::new(Kind::Farm(answering), 4, 20.0), 0.25),
        (Pool::new(Kind::Farm(left_out(1e-4)), 4, 20.0), 0.5),
        (Pool::new(Kind::KeepAlive, 4, 20.0), 0.5),
        (Pool::new(Kind::KeepAlive, 4, 100.0), 0.1),
    ];
    let hashes = [
        (hash(50_000, 0.8, 4), 0.25),
        (hash(2000, 1.1, 4), 0.25),
        (hash(200, 1.1, 4), 0.25),
        (hash(50_000, 0.8, 20), 0.1),
    ];
    let others = [
        (Pool::new(pairs, 4, 20.0), 0.25),
        (farm(TwoChoices, &[0.5], 4, 60.0).weighing(&[4, 2, 1, 1]), 0.05),
        (farm(LeastConnections, &[0.5], 4, 60.0).weighing(&[4, 2, 1, 1]), 0.05),
    ];
    let group = |group| move |(pool, part)| (pool, group, part);
    let plain = plain.into_iter().map(group(Group::Plain));
    plain
        .chain(hashes.into_iter().map(group(Group::Hash)))
        .chain(others.into_iter().map(group(Group::Other)))
        .collect()
}

/// Runs every pool that is wanted.
pub(crate) fn run(plan: &Plan) -> Vec<Row> {
    let wanted = catalogue().into_iter().filter(|(pool, ..)| plan.wants(&cell(pool)));
    // At most a year at a time, so that the threads are all busy to the end.
    let mut tasks = Vec::new();
    let mut pools = Vec::new();
    for (pool, group, part) in wanted {
        let years = if plan.quick { plan.years * part.max(0.05) } else { plan.years * part };
        if plan.quick && pool.weights.len() > 200 {
            continue;
        }
        let parts = years.ceil().max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ticks of a year")]
        let ticks = (years / parts * YEAR).max(7200.0) as u64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few years")]
        tasks.extend((0..parts as u64).map(|part| (pools.len(), pool.clone(), ticks, part)));
        pools.push((pool, group));
    }
    let name = |(_, pool, ticks, part): &(usize, Pool, u64, u64)| {
        format!("{}, part {part}: {:.2} pool-days", cell(pool), days(*ticks))
    };
    let results = plan.all(&tasks, name, |(_, pool, ticks, part)| watch(pool, *ticks, plan.seed, *part));
    let mut rows: Vec<Row> = pools
        .into_iter()
        .map(|(pool, group)| Row { pool, group, years: 0.0, episodes: 0, standing: 0, baselines: [0; 3] })
        .collect();
    for ((row, _, ticks, _), (episodes, standing, baselines)) in tasks.iter().zip(results) {
        let row = &mut rows[*row];
        row.years += days(*ticks) * 86_400.0 / YEAR;
        row.episodes += episodes;
        row.standing += standing;
        row.baselines.iter_mut().zip(baselines).for_each(|(sum, count)| *sum += count);
    }
    rows
}

fn cell(pool: &Pool) -> String {
    format!("false: {}", pool.name)
}

#[expect(clippy::cast_precision_loss, reason = "ticks far below 2^53")]
fn days(ticks: u64) -> f64 {
    ticks as f64 / 86_400.0
}

/// Whether what is found is not so: that a member is slow is true of one that is.
fn is_false(pool: &Pool, said: &Assessment) -> bool {
    let slow = |(member, said): (usize, &MemberAssessment)| said.finding.is_none() || pool.is_slow(member);
    let only_slow = said.findings.iter().all(|finding| *finding == Verdict::BackendSlow);
    !only_slow || !said.members.iter().enumerate().all(slow)
}

/// Episodes of findings, ticks with one, and alarms of the baselines.
fn watch(pool: &Pool, ticks: u64, seed: u64, part: u64) -> (u64, u64, [u64; 3]) {
    let mut stream = pool.stream(Chance::new(seed, &cell(pool), part));
    let mut subject = pool.subject();
    let mut baselines = Baselines::new(shares(&pool.weights));
    let mut alarms = [0; 3];
    let mut quiet_from = [0; 3];
    let (mut episodes, mut standing, mut before, mut quiet) = (0, 0, false, 0);
    for now in 0..ticks {
        let tick = stream.next();
        subject.observe(tick);
        let found = subject.finding().filter(|said| is_false(pool, said));
        let finding = found.is_some();
        standing += u64::from(finding);
        if finding && !before && now >= quiet {
            episodes += 1;
            quiet = now + REFRACTORY;
            if episodes <= TOLD {
                let said = found.map_or("", |said| &said.summary);
                eprintln!("  {}, seed {seed}, part {part}, tick {now}: {said}", cell(pool));
            }
        }
        before = finding;
        if let Some(raised) = baselines.tick(pool.counts(tick)) {
            for (test, _) in raised.iter().enumerate().filter(|(_, raised)| **raised) {
                if now >= quiet_from[test] {
                    alarms[test] += 1;
                    quiet_from[test] = now + REFRACTORY;
                }
            }
        }
    }
    (episodes, standing, alarms)
}

impl Row {
    /// False verdicts a year, and the upper 95 % limit of that.
    pub(crate) fn rate(&self) -> (f64, f64) {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let episodes = self.episodes as f64;
        (episodes / self.years, poisson_limit(self.episodes) / self.years)
    }
}

/// The section of the report.
pub(crate) fn section(rows: &[Row]) -> String {
    let mut text = String::from(
        "## False verdicts\n\nCorrect set-ups. `backend-slow` is not false of a member that is slower than others. An episode begins with a finding, at least ten minutes after the last began. \
         The limit is the upper 95 % limit of the rate (exact Poisson). The tests of a minute raise alarms a *day*, at most \
         144: chi-square at p ≈ 1e-6 (less than one false alarm a year of minutes, were the counts multinomial), largest share \
         over the expected one > 1.5, coefficient of variation > 0.3.\n\n",
    );
    let _ = writeln!(
        text,
        "| pool | years | episodes | a year | limit | of the time | {} | {} | {} |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        baselines::NAMES[0],
        baselines::NAMES[1],
        baselines::NAMES[2]
    );
    for row in rows {
        let (rate, limit) = row.rate();
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let alarms = row.baselines.map(|alarms| alarms as f64 / (row.years * YEAR / 86_400.0));
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let standing = 100.0 * row.standing as f64 / (row.years * YEAR);
        let _ = writeln!(
            text,
            "| {} | {:.3} | {} | {rate:.2} | {limit:.2} | {standing:.2} % | {:.3} | {:.3} | {:.3} |",
            row.pool.name, row.years, row.episodes, alarms[0], alarms[1], alarms[2]
        );
    }
    text
}
