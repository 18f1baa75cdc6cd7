//! A balancer to be judged: seeded, without a clock.

use crate::collect::Counters;
use crate::detect::{Assessment, PoolJudge, Settings, Verdict};
use crate::pools::{Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample};
use std::net::SocketAddr;
use tracer_ebpf::histogram::bucket_of;

/// Seeded numbers: splitmix64 (Steele, Lea and Flood 2014).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1))
    }

    /// In [0, 1).
    pub(super) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Arrivals of one second at a mean rate, Poisson.
    pub(super) fn arrivals(&mut self, rate: f64) -> u64 {
        let (mut time, mut count) = (0.0, 0);
        loop {
            time -= (1.0 - self.share()).ln() / rate;
            if time >= 1.0 {
                return count;
            }
            count += 1;
        }
    }

    /// One of the weights.
    pub(super) fn pick(&mut self, weights: &[f64]) -> usize {
        let mut left = self.share() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.iter().rposition(|weight| *weight > 0.0).unwrap()
    }
}

/// Smooth weighted round robin, as nginx does it.
#[derive(Default)]
pub(super) struct RoundRobin(Vec<f64>);

impl RoundRobin {
    pub(super) fn pick(&mut self, weights: &[f64]) -> usize {
        self.0.resize(weights.len(), 0.0);
        self.0.iter_mut().zip(weights).for_each(|(current, weight)| *current += weight);
        let best = (0..weights.len()).filter(|&index| weights[index] > 0.0);
        let best = best.max_by(|&a, &b| self.0[a].total_cmp(&self.0[b]).then(b.cmp(&a))).unwrap();
        self.0[best] -= weights.iter().sum::<f64>();
        best
    }
}

/// What a member does with the attempts of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Served,
    Refused,
    /// Swallowed: the balancer gives up after so many seconds.
    GivenUp(f64),
    NoLocalPort,
}

/// A pool under test: what is declared, what the balancer does, and its judge.
pub(super) struct Pool {
    pub(super) declared: Vec<Option<f64>>,
    pub(super) actual: Vec<f64>,
    pub(super) fates: Vec<Fate>,
    pub(super) round_robin: bool,
    pub(super) rate: f64,
    pub(super) identity: PoolIdentity,
    pub(super) judge: PoolJudge,
    pub(super) tick: u32,
    chance: Chance,
    turn: RoundRobin,
    /// Attempts beside the traffic, of the next tick: member, count.
    pub(super) extra: Vec<(usize, u64)>,
    /// How long every member holds a connection, seconds; none: not known.
    pub(super) held_seconds: Option<Vec<f64>>,
    live: Vec<u64>,
    /// Where every member comes from; none: not known.
    pub(super) origins: Vec<Origin>,
}

pub(super) fn address(member: usize) -> SocketAddr {
    format!("10.0.{}.{}:8080", member / 200, 11 + member % 200).parse().unwrap()
}

impl Pool {
    pub(super) fn new(members: usize, rate: f64, round_robin: bool, seed: u64) -> Self {
        Self {
            declared: vec![Some(1.0); members],
            actual: vec![1.0; members],
            fates: vec![Fate::Served; members],
            round_robin,
            rate,
            identity: PoolIdentity {
                name: "app".to_owned(),
                balancer: Some("nginx".to_owned()),
                source: "nginx.conf:12".to_owned(),
                expected_source: ExpectedSource::Declared,
                method: if round_robin { Method::RoundRobin } else { Method::Random },
                vouched: true,
                asked: true,
            },
            judge: PoolJudge::new(Settings::default()),
            tick: 0,
            chance: Chance::new(seed),
            turn: RoundRobin::default(),
            extra: Vec::new(),
            held_seconds: None,
            live: Vec::new(),
            origins: Vec::new(),
        }
    }

    pub(super) fn step(&mut self) -> Assessment {
        self.step_with(|_, _| {})
    }

    /// One tick, in which `alter` changes what was counted of each member.
    pub(super) fn step_with(&mut self, alter: impl Fn(usize, &mut Counters)) -> Assessment {
        self.tick += 1;
        let mut attempts = vec![0_u64; self.declared.len()];
        if self.actual.iter().any(|weight| *weight > 0.0) && self.rate > 0.0 {
            for _ in 0..self.chance.arrivals(self.rate) {
                let member = if self.round_robin {
                    self.turn.pick(&self.actual)
                } else {
                    self.chance.pick(&self.actual)
                };
                attempts[member] += 1;
            }
        }
        for (member, count) in self.extra.drain(..) {
            attempts[member] += count;
        }
        let members = (0..attempts.len()).map(|index| {
            let mut member = member(index, self.declared[index], attempts[index], self.fates[index]);
            if let Some(held) = &self.held_seconds {
                // Every connection ends within a second with the probability of an exponential lifetime.
                self.live.resize(self.declared.len(), 0);
                let there = self.live[index] + attempts[index];
                let ends = 1.0 - (-1.0 / held[index]).exp();
                let closed = (0..there).filter(|_| self.chance.share() < ends).count();
                member.delta.closed = u64::try_from(closed).unwrap();
                self.live[index] = there - member.delta.closed;
                member.stock = Some(crate::collect::Stock { live: self.live[index], ..Default::default() });
            }
            member.origin = self.origins.get(index).cloned().unwrap_or_default();
            alter(index, &mut member.delta);
            member
        });
        let sample = PoolSample {
            pool: self.identity.clone(),
            interval_seconds: 1.0,
            members: members.collect(),
            judged: true,
            note: None,
        };
        let assessment = self.judge.judge(&sample, f64::from(self.tick));
        sane(&assessment);
        assessment
    }

    /// Steps `ticks` times; the last assessment.
    pub(super) fn run(&mut self, ticks: u32) -> Assessment {
        let mut last = self.step();
        for _ in 1..ticks {
            last = self.step();
        }
        last
    }

    /// Steps until `verdict`; how many ticks that took and what was said, or `None` after `most`. A finding of
    /// another kind on the way fails the test.
    pub(super) fn until(&mut self, verdict: Verdict, most: u32) -> Option<(u32, Assessment)> {
        for tick in 1..=most {
            let assessment = self.step();
            if assessment.verdict == verdict {
                return Some((tick, assessment));
            }
            assert!(
                !assessment.verdict.is_finding(),
                "{} on the way to {verdict}: {}",
                assessment.verdict,
                assessment.summary
            );
        }
        None
    }
}

pub(super) fn member(index: usize, weight: Option<f64>, attempts: u64, fate: Fate) -> MemberSample {
    let mut delta = Counters { attempts, ..Counters::default() };
    match fate {
        Fate::Served => delta.established = attempts,
        Fate::Refused => delta.failed.refused = attempts,
        Fate::NoLocalPort => delta.failed.local = attempts,
        Fate::GivenUp(seconds) => {
            delta.failed.cancelled = attempts;
            let bucket =
                bucket_of(u64::try_from(std::time::Duration::from_secs_f64(seconds).as_nanos()).unwrap());
            delta.cancelled_age.counts_mut()[bucket as usize] = attempts;
        }
    }
    MemberSample {
        backend: address(index),
        weight,
        decisions: attempts,
        requests: None,
        total: delta.clone(),
        delta,
        stock: None,
        exchanges: Exchanges::default(),
        total_exchanges: Exchanges::default(),
        recorded: crate::pools::Recorded::default(),
        origin: Origin::Unknown,
    }
}

/// What every assessment must be.
pub(super) fn sane(assessment: &Assessment) {
    assert!(!assessment.summary.is_empty() && !assessment.summary.contains("NaN"), "{assessment:?}");
    assert!(assessment.evidence >= 0.0, "{assessment:?}");
    assert_eq!(assessment.verdict.is_finding(), !assessment.findings.is_empty());
    assert!(assessment.findings.is_sorted());
    assert_eq!(assessment.since_seconds.is_some(), assessment.verdict.is_finding());
    let sum: f64 = assessment.members.iter().filter_map(|member| member.observed_share).sum();
    assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-6, "{sum}");
    let sum: f64 = assessment.members.iter().filter_map(|member| member.expected_share).sum();
    assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-6, "{sum}");
    for member in &assessment.members {
        assert_eq!(member.observed_share.is_some(), member.share_interval.is_some());
        if let (Some(share), Some([low, high])) = (member.observed_share, member.share_interval) {
            assert!((0.0..=share).contains(&low) && (share..=1.0).contains(&high), "{member:?}");
        }
    }
}
