//! Members that answer at a pace: seeded, without a clock.

use super::super::{Answer, Durations, Pace, PoolSlow, Slow, Slowness};
use crate::collect::Histogram;
use crate::detect::Settings;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tracer_ebpf::histogram::bucket_of;

/// Seeded numbers: splitmix64 (Steele, Lea and Flood 2014).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// In [0, 1).
    pub(super) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Arrivals of one second at a mean rate, Poisson.
    fn arrivals(&mut self, rate: f64) -> u64 {
        let (mut time, mut count) = (0.0, 0);
        loop {
            time -= (1.0 - self.share()).ln() / rate;
            if time >= 1.0 {
                return count;
            }
            count += 1;
        }
    }

    /// Lognormal with median 1 (Box and Muller 1958).
    fn lognormal(&mut self, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        (sigma * radius * (std::f64::consts::TAU * self.share()).cos()).exp()
    }
}

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Requests, or connections, per second.
    pub(super) rate: f64,
    /// Median time, seconds, and how far times are spread.
    pub(super) median: f64,
    pub(super) sigma: f64,
    /// Part of the requests that take so many times longer.
    pub(super) hard: (f64, f64),
    pub(super) takes_part: bool,
}

/// What is measured of the servers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measured {
    Responses,
    Connects,
    /// Stocks, and connections that ended.
    Lifetimes,
    /// How long each was held that ended.
    Ended,
    /// All of that, as the kernel tells it.
    Held,
    Nothing,
}

/// A pool, and what is thought of it.
pub(super) struct Servers {
    pub(super) servers: Vec<Server>,
    pub(super) measured: Measured,
    pub(super) slowness: Slowness,
    pub(super) settings: Settings,
    pub(super) now: f64,
    pub(super) chance: Chance,
    times: Vec<Histogram>,
    /// When the live connections end, and how long they will have been held, nanoseconds.
    live: Vec<BinaryHeap<Reverse<(u64, u64)>>>,
}

impl Servers {
    /// Equal members with so many requests per second together.
    pub(super) fn new(members: usize, rate: f64, median: f64, sigma: f64, seed: u64) -> Self {
        let rate = rate / members as f64;
        let server = Server { rate, median, sigma, hard: (0.0, 1.0), takes_part: true };
        let mut chance = Chance(seed);
        chance.share();
        Self {
            servers: vec![server; members],
            measured: Measured::Responses,
            slowness: Slowness::default(),
            settings: Settings::default(),
            now: 0.0,
            chance,
            times: Vec::new(),
            live: Vec::new(),
        }
    }

    pub(super) fn measuring(self, measured: Measured) -> Self {
        Self { measured, ..self }
    }

    /// One second; what is thought then.
    pub(super) fn step(&mut self) -> Answer {
        let began = self.now;
        self.now += 1.0;
        self.times.resize_with(self.servers.len(), Histogram::default);
        self.live.resize_with(self.servers.len(), BinaryHeap::default);
        let mut closed = vec![0.0; self.servers.len()];
        let measured = self.measured;
        let has_stock = matches!(measured, Measured::Lifetimes | Measured::Held);
        let lasts = has_stock || measured == Measured::Ended;
        for (index, server) in self.servers.iter().enumerate() {
            self.times[index].counts_mut().fill(0);
            if server.rate <= 0.0 && self.live[index].is_empty() {
                continue;
            }
            let arrivals = if server.rate > 0.0 { self.chance.arrivals(server.rate) } else { 0 };
            for _ in 0..arrivals {
                let mut took = server.median * self.chance.lognormal(server.sigma);
                if server.hard.0 > 0.0 && self.chance.share() < server.hard.0 {
                    took *= server.hard.1;
                }
                if lasts {
                    let end = began + self.chance.share() + took;
                    self.live[index].push(Reverse((nanoseconds(end), nanoseconds(took))));
                } else {
                    self.times[index].counts_mut()[bucket_of(nanoseconds(took)) as usize] += 1;
                }
            }
            while let Some(&Reverse((end, held))) = self.live[index].peek()
                && end <= nanoseconds(self.now)
            {
                self.live[index].pop();
                self.times[index].counts_mut()[bucket_of(held) as usize] += 1;
                closed[index] += 1.0;
            }
        }
        let times = |index: usize, what| (measured == what).then_some(durations(&self.times[index]));
        let stock = |number: f64| has_stock.then_some(number);
        let paces: Vec<Pace> = (0..self.servers.len())
            .map(|index| Pace {
                response_time: times(index, Measured::Responses),
                connect_time: times(index, Measured::Connects),
                held_time: times(index, Measured::Held).or(times(index, Measured::Ended)),
                live: stock(self.live[index].len() as f64),
                closed: stock(closed[index]),
                takes_part: self.servers[index].takes_part,
            })
            .collect();
        self.slowness.tick(&paces, began, self.now, &self.settings);
        let answer = self.slowness.judge();
        assert_eq!(self.slowness.is_found(), matches!(answer, Answer::Found { .. }));
        answer
    }

    /// Ends every connection of a member, as it is when its process begins again.
    pub(super) fn cut(&mut self, member: usize) {
        self.cut_part(member, 1.0);
    }

    /// Ends a part of a member's connections, whichever.
    pub(super) fn cut_part(&mut self, member: usize, part: f64) {
        let now = nanoseconds(self.now);
        let live = std::mem::take(&mut self.live[member]).into_sorted_vec();
        let cut = |Reverse((end, held)): Reverse<(u64, u64)>| {
            Reverse((now, now.saturating_sub(end.saturating_sub(held))))
        };
        let ends = live.into_iter().map(|one| if self.chance.share() < part { cut(one) } else { one });
        self.live[member] = ends.collect();
    }

    /// One second in which everybody answered so.
    pub(super) fn take(&mut self, answered: &[Histogram]) {
        let pace =
            |times| Pace { response_time: Some(durations(times)), takes_part: true, ..Pace::default() };
        let paces: Vec<Pace> = answered.iter().map(pace).collect();
        self.slowness.tick(&paces, self.now, self.now + 1.0, &self.settings);
        self.now += 1.0;
    }

    /// So many seconds; what is thought at last. Any finding on the way is one too many.
    pub(super) fn quietly(&mut self, seconds: u32) -> Answer {
        let mut last = Answer::NotEnough;
        for _ in 0..seconds {
            last = self.step();
            assert!(!matches!(last, Answer::Found { .. }), "at {} s: {last:?}", self.now);
        }
        last
    }

    /// Seconds until `wanted`, and what is thought then; `None` after `most`.
    pub(super) fn until(&mut self, most: u32, wanted: impl Fn(&Answer) -> bool) -> Option<(u32, Answer)> {
        (1..=most).find_map(|second| {
            let answer = self.step();
            wanted(&answer).then_some((second, answer))
        })
    }
}

/// What was measured, as it is handed in.
pub(super) fn durations(spread: &Histogram) -> Durations<'_> {
    Durations { spread, none: spread.count() == 0 }
}

/// Who was found.
pub(super) fn named(answer: &Answer) -> Vec<usize> {
    found(answer).0.iter().map(|slow| slow.member).collect()
}

/// What was found: nothing where nothing was.
pub(super) fn found(answer: &Answer) -> (Vec<Slow>, Option<PoolSlow>) {
    match answer {
        Answer::Found { members, pool } => (members.clone(), *pool),
        Answer::Clear | Answer::NotEnough => (Vec::new(), None),
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(seconds)
        .map_or(u64::MAX, |time| u64::try_from(time.as_nanos()).unwrap())
}
