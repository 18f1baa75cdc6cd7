//! Exchanges where connections are reused, connections that are reset, and the stock of live ones.

use super::balancer::{Chance, Fate, member, sane};
use super::properties::sample;
use crate::collect::Stock;
use crate::detect::{Assessment, Finding, PoolJudge, Settings, Signal, Verdict};
use crate::pools::{MemberSample, Method};

/// New connections and exchanges a second, by member.
struct Kept {
    judge: PoolJudge,
    chance: Chance,
    connections: [f64; 4],
    exchanges: [f64; 4],
    tick: u32,
}

impl Kept {
    fn new(connections: [f64; 4], exchanges: [f64; 4], seed: u64) -> Self {
        let (judge, chance) = (PoolJudge::new(Settings::default()), Chance::new(seed));
        Self { judge, chance, connections, exchanges, tick: 0 }
    }

    fn step(&mut self) -> Assessment {
        let mut members: Vec<MemberSample> = Vec::new();
        for index in 0..4 {
            let opened = self.chance.arrivals(self.connections[index].max(1e-9));
            let mut member = member(index, Some(1.0), opened, Fate::Served);
            member.requests = Some(self.chance.arrivals(self.exchanges[index].max(1e-9)));
            members.push(member);
        }
        self.tick += 1;
        let assessment = self.judge.judge(&sample(members, Method::RoundRobin, true), f64::from(self.tick));
        sane(&assessment);
        assessment
    }

    fn run(&mut self, ticks: u32) -> Vec<Assessment> {
        (0..ticks).map(|_| self.step()).collect()
    }
}

#[test]
fn uneven_exchanges_over_even_connections_are_skewed_on_exchanges() {
    for seed in 0..10 {
        let mut pool = Kept::new([1.0; 4], [50.0, 150.0, 50.0, 50.0], seed);
        let seen = pool.run(20);
        let told = seen.iter().position(|assessment| assessment.verdict.is_finding()).unwrap();
        assert!(told <= 10, "{told}");
        for assessment in &seen[told..] {
            assert_eq!((assessment.verdict, assessment.signal), (Verdict::Skewed, Signal::Exchanges));
            assert_eq!(assessment.members[1].finding, Some(Finding::Over));
            assert!(assessment.summary.contains("of exchanges"), "{}", assessment.summary);
        }
    }
}

#[test]
fn under_keep_alive_even_exchanges_are_balanced_whoever_opens_connections() {
    for seed in 0..5 {
        let mut pool = Kept::new([0.2, 4.0, 0.2, 0.2], [50.0; 4], seed);
        let seen = pool.run(300);
        assert!(seen.iter().all(|assessment| !assessment.verdict.is_finding()));
        let last = seen.last().unwrap();
        assert_eq!((last.verdict, last.signal), (Verdict::Balanced, Signal::Exchanges), "{}", last.summary);
    }
}

#[test]
fn a_member_that_opens_no_connection_and_serves_exchanges_is_not_missing() {
    let mut pool = Kept::new([2.0, 0.0, 2.0, 2.0], [50.0; 4], 1);
    let seen = pool.run(600);
    assert!(seen.iter().all(|assessment| !assessment.verdict.is_finding()));
}

#[test]
fn with_one_exchange_a_connection_the_signal_is_connections() {
    let mut pool = Kept::new([50.0, 50.0, 50.0, 50.0], [50.0; 4], 1);
    assert!(pool.run(120).iter().all(|assessment| assessment.signal == Signal::Connections));
}

#[test]
fn a_member_whose_connections_are_reset_without_an_answer_fails() {
    let mut judge = PoolJudge::new(Settings::default());
    let mut chance = Chance::new(3);
    for tick in 1..=70_u32 {
        let members = (0..4).map(|index| {
            let opened = chance.arrivals(50.0);
            let mut member = member(index, Some(1.0), opened, Fate::Served);
            if index == 2 && tick > 60 {
                member.delta.resets = opened;
                member.delta.resets_without_data = opened;
            }
            member
        });
        let assessment = judge.judge(&sample(members.collect(), Method::RoundRobin, true), f64::from(tick));
        sane(&assessment);
        assert!(tick > 60 || !assessment.verdict.is_finding());
        if tick == 70 {
            assert_eq!(assessment.verdict, Verdict::BackendFailing, "{}", assessment.summary);
            assert_eq!(assessment.members[2].finding, Some(Finding::Failing));
            assert!(assessment.summary.contains("reset without an answer"), "{}", assessment.summary);
        }
    }
}

/// A pool of long-lived connections: what each member holds, and whether it was there from the beginning.
fn stock(held: [u64; 4], late: Option<usize>, ticks: u32) -> Assessment {
    let mut judge = PoolJudge::new(Settings::default());
    let mut last = None;
    for tick in 1..=ticks {
        let there = |index: &usize| tick > 5 || late != Some(*index);
        let members = (0..4).filter(there).map(|index| {
            let opened = u64::from(tick % 20 == 0);
            let mut member = member(index, Some(1.0), opened, Fate::Served);
            member.stock = Some(Stock { live: held[index], ..Stock::default() });
            member
        });
        let assessment = judge.judge(&sample(members.collect(), Method::RoundRobin, true), f64::from(tick));
        sane(&assessment);
        last = Some(assessment);
    }
    last.unwrap()
}

#[test]
fn a_member_that_holds_most_of_the_connections_that_do_not_end_is_over_its_share_of_them() {
    let assessment = stock([100, 1200, 110, 90], None, 30);
    assert_eq!((assessment.verdict, assessment.signal), (Verdict::Skewed, Signal::Live));
    assert_eq!(assessment.members[1].finding, Some(Finding::Over));
    assert!(assessment.summary.contains("holds 80.0 % of live connections"), "{}", assessment.summary);
}

#[test]
fn even_stocks_are_not_and_neither_is_that_of_a_pool_with_a_younger_member() {
    for (held, late) in [([300, 320, 290, 310], None), ([900, 880, 910, 2], Some(3))] {
        let assessment = stock(held, late, 60);
        assert!(!assessment.verdict.is_finding(), "{}", assessment.summary);
    }
}
