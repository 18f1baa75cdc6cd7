//! The detector as the bench sees it: the only place that knows its interface.

use super::streams::{PATIENCE_SECONDS, Tally, Tick, bucket};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tracer::collect::{Counters, Histogram, Stock};
use tracer::detect::{Assessment, PoolJudge, Settings};
use tracer::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
};

/// A judge and the sample it is given, which is filled anew every second.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    judge: PoolJudge,
    sample: PoolSample,
    now_seconds: f64,
    exchanges: bool,
    /// Buckets of response times, and of lifetimes, to be emptied: member, bucket.
    responded: Vec<(u32, u32)>,
    ended: Vec<(u32, u32)>,
    assessment: Option<Assessment>,
}

impl Subject {
    /// A new judge for a pool of members with these declared weights. `exchanges`: whether they are measured.
    pub(crate) fn new(method: Method, weights: &[u32], exchanges: bool) -> Self {
        let mut subject = Self {
            judge: PoolJudge::new(Settings::default()),
            sample: PoolSample {
                pool: PoolIdentity {
                    name: "app".to_owned(),
                    balancer: Some("balancer".to_owned()),
                    source: "pools.toml:1".to_owned(),
                    expected_source: ExpectedSource::Declared,
                    method,
                    vouched: true,
                    asked: true,
                },
                interval_seconds: 1.0,
                members: Vec::new(),
                judged: true,
                note: None,
            },
            now_seconds: 0.0,
            exchanges,
            responded: Vec::new(),
            ended: Vec::new(),
            assessment: None,
        };
        weights.iter().for_each(|&weight| subject.add_member(Some(f64::from(weight))));
        subject
    }

    /// One more address: declared with a weight, or a stranger.
    pub(crate) fn add_member(&mut self, weight: Option<f64>) {
        let [high, low] = u16::try_from(self.sample.members.len()).unwrap_or(u16::MAX).to_be_bytes();
        let exchanges = || Exchanges {
            count: self.exchanges.then_some(0),
            response_time: self.exchanges.then(Histogram::default),
        };
        self.sample.members.push(MemberSample {
            backend: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), 8080),
            weight,
            decisions: 0,
            delta: Counters::default(),
            total: Counters::default(),
            stock: None,
            exchanges: exchanges(),
            total_exchanges: exchanges(),
            requests: self.exchanges.then_some(0),
            recorded: Recorded::default(),
            origin: Origin::Unknown,
        });
    }

    /// Takes in one second.
    pub(crate) fn observe(&mut self, tick: &Tick) {
        self.fill(tick);
        self.judge_sample();
    }

    /// Puts a second's counts into the sample.
    pub(crate) fn fill(&mut self, tick: &Tick) {
        self.now_seconds += 1.0;
        let patience = bucket(PATIENCE_SECONDS) as usize;
        for (member, counts) in self.sample.members.iter_mut().zip(&tick.members) {
            let Tally { attempts, refused, cancelled, established, closed, live, pending, exchanges } =
                *counts;
            member.decisions = attempts;
            member.delta.attempts = attempts;
            member.delta.established = established;
            member.delta.closed = closed;
            member.delta.failed.refused = refused;
            member.delta.failed.cancelled = cancelled;
            member.delta.cancelled_age.counts_mut()[patience] = cancelled;
            member.stock = Some(Stock { live, pending, ..Stock::default() });
            member.exchanges.count = self.exchanges.then_some(exchanges);
            member.requests = member.exchanges.count;
        }
        for (member, bucket) in self.responded.drain(..) {
            if let Some(times) = &mut self.sample.members[member as usize].exchanges.response_time {
                times.counts_mut()[bucket as usize] = 0;
            }
        }
        for &(member, bucket) in &tick.responses {
            if let Some(times) = &mut self.sample.members[member as usize].exchanges.response_time {
                times.counts_mut()[bucket as usize] += 1;
                self.responded.push((member, bucket));
            }
        }
        for (member, bucket) in self.ended.drain(..) {
            self.sample.members[member as usize].delta.lifetime.counts_mut()[bucket as usize] = 0;
        }
        for &(member, bucket) in &tick.lifetimes {
            self.sample.members[member as usize].delta.lifetime.counts_mut()[bucket as usize] += 1;
            self.ended.push((member, bucket));
        }
    }

    /// Judges the sample as it was filled.
    pub(crate) fn judge_sample(&mut self) {
        self.judge.observe(&self.sample, self.now_seconds);
        self.assessment = (!self.judge.is_quiet()).then(|| self.judge.assess(&self.sample));
    }

    /// What is found at present.
    pub(crate) fn finding(&self) -> Option<&Assessment> {
        self.assessment.as_ref().filter(|assessment| assessment.verdict.is_finding())
    }

    /// What is said at present.
    pub(crate) fn assessment(&mut self) -> Assessment {
        self.assessment.clone().unwrap_or_else(|| self.judge.assess(&self.sample))
    }
}
