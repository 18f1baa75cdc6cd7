//! Long runs of correct set-ups: how often something is said that is not so, and what a tick costs. Minutes in a
//! release build, so run by hand: `cargo test --release -p tracer --lib soak -- --ignored --nocapture`.

use super::balancer::{Chance, Pool, member};
use crate::detect::{PoolJudge, Settings, Verdict};
use crate::pools::{Method, PoolSample};

/// Runs a healthy pool for some hours; episodes of findings.
fn episodes(name: &str, pool: &mut Pool, hours: u32) -> u32 {
    let (mut count, mut before, mut said, mut changes) = (0, false, Vec::new(), 0);
    let mut last = Verdict::InsufficientEvidence;
    for _ in 0..hours * 3600 {
        let assessment = pool.step();
        let finding = assessment.verdict.is_finding();
        if finding && !before {
            count += 1;
            said.push(format!("  tick {}: {} {}", pool.tick, assessment.verdict, assessment.summary));
        }
        changes += u32::from(assessment.verdict != last);
        last = assessment.verdict;
        before = finding;
    }
    println!("{name}: {count} in {hours} h, {changes} changes of verdict, at last {last}");
    said.iter().take(5).for_each(|line| println!("{line}"));
    count
}

#[test]
#[ignore = "takes minutes"]
fn healthy_pools_have_no_findings_for_days() {
    let mut count = 0;
    for round_robin in [true, false] {
        for (members, rate, hours) in
            [(4, 1.0, 96), (4, 20.0, 96), (4, 200.0, 24), (2, 20.0, 48), (20, 50.0, 48), (50, 200.0, 12)]
        {
            let mut pool = Pool::new(members, rate, round_robin, 17);
            count += episodes(
                &format!("round robin {round_robin}, {members} members, {rate}/s"),
                &mut pool,
                hours,
            );
        }
    }
    let mut weighted = Pool::new(4, 50.0, true, 17);
    weighted.actual = vec![8.0, 4.0, 2.0, 1.0];
    weighted.declared = weighted.actual.iter().map(|weight| Some(*weight)).collect();
    count += episodes("round robin 8:4:2:1, 50/s", &mut weighted, 48);
    assert_eq!(count, 0);
}

#[test]
#[ignore = "takes minutes"]
fn bursts_of_five_are_no_findings() {
    let mut pool = Pool::new(4, 0.0, false, 17);
    let mut chance = Chance::new(5);
    let (mut findings, mut said) = (0, None);
    for _ in 0..48 * 3600 {
        for _ in 0..chance.arrivals(4.0) {
            let member = chance.pick(&[1.0; 4]);
            let mut burst = 1;
            while chance.share() < 0.8 {
                burst += 1;
            }
            pool.extra.push((member, burst));
        }
        let assessment = pool.step();
        if assessment.verdict.is_finding() {
            findings += 1;
            said.get_or_insert((pool.tick, assessment.summary));
        }
    }
    println!("bursts: {findings} ticks with a finding in 48 h, first {said:?}");
    assert_eq!(findings, 0);
}

#[test]
#[ignore = "takes minutes"]
fn hashed_clients_are_measured() {
    let mut pool = Pool::new(4, 0.0, false, 17);
    pool.identity.method = Method::Hash;
    let mut chance = Chance::new(6);
    let clients: Vec<f64> = (1..=2000_u32).map(|rank| f64::from(rank).powf(-0.8)).collect();
    let mut sums = clients.clone();
    for index in 1..sums.len() {
        sums[index] += sums[index - 1];
    }
    let homes: Vec<usize> = clients.iter().map(|_| chance.pick(&[1.0; 4])).collect();
    let (mut findings, mut before) = (0, false);
    for _ in 0..48 * 3600 {
        for _ in 0..chance.arrivals(20.0) {
            let drawn = chance.share() * sums[sums.len() - 1];
            pool.extra.push((homes[sums.partition_point(|sum| *sum < drawn).min(homes.len() - 1)], 1));
        }
        let finding = pool.step().verdict.is_finding();
        findings += u32::from(finding && !before);
        before = finding;
    }
    println!("hash, 2,000 Zipf clients: {findings} episodes in 48 h");
}

#[test]
#[ignore = "a measurement"]
fn a_tick_of_two_thousand_members_is_timed() {
    for (name, heavier) in [("healthy", 1.0), ("half at 1.5 times", 1.5)] {
        let mut chance = Chance::new(1);
        let mut samples: Vec<PoolSample> = (0..512)
            .map(|_| {
                let members = (0..2000_usize).map(|index| {
                    let rate = if index % 2 == 0 { 10.0 } else { 10.0 * heavier };
                    member(index, Some(1.0), chance.arrivals(rate), super::balancer::Fate::Served)
                });
                PoolSample {
                    pool: Pool::new(1, 1.0, false, 1).identity,
                    interval_seconds: 1.0,
                    members: members.collect(),
                    judged: true,
                }
            })
            .collect();
        let mut judge = PoolJudge::new(Settings::default());
        let mut now = 0.0;
        let mut last = None;
        for sample in samples.drain(..256) {
            now += 1.0;
            judge.judge(&sample, now);
        }
        let begun = std::time::Instant::now();
        for sample in &samples {
            now += 1.0;
            last = Some(judge.judge(sample, now));
        }
        let verdict = last.map(|last| last.verdict);
        println!("2,000 members, {name}: {:?} a tick, {verdict:?}", begun.elapsed() / 256);
    }
}
