//! A host whose kernel counted what a recording says, over and over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracer::agent::{Agent, Judged};
use tracer::chronicle::Chronicle;
use tracer::collect::{Collector, Counters, Sample};
use tracer::detect::Settings;
use tracer::kernel::{Balancer, Reading, Snapshot};
use tracer::outputs::event_json;
use tracer::pools::{PoolSample, Pools};
use tracer::recording::{Event, Interval, Recorder, Replay};
use tracer_ebpf::{Cell, Slot, Stock, SweepEnd, Uncounted};

/// nginx in turns over four backends, 200 connections a second, recorded by `tracer watch --samples`.
const RECORDING: &[u8] = include_bytes!("nginx.jsonl");

/// What a tick does, in this order: counters to what happened; that to pools; the judgement; what is told of it, as JSON;
/// the line of a recording.
pub(super) const STAGES: [&str; 5] = ["collect", "pools", "detect", "tell", "record"];

/// Backends of one pool.
const MEMBERS: usize = 50;

/// How long each stage took.
#[derive(Default)]
pub(super) struct Took(pub(super) [Duration; STAGES.len()]);

pub(super) struct Host {
    recorded: Vec<Interval<PoolSample>>,
    next: usize,
    ticks: u64,
    started: Instant,
    readings: Vec<Reading>,
    collector: Collector,
    pools: Pools,
    agent: Agent,
    chronicle: Chronicle,
    recorder: Recorder<io::Sink>,
}

impl Host {
    /// One balancer that spreads over so many backends, in pools of at most [`MEMBERS`], which are found by their ports.
    pub(super) fn with(backends: usize) -> Self {
        let recorded: Vec<_> = Replay::new(RECORDING)
            .filter_map(|event| match event.expect("the recording can be read") {
                Event::Interval(interval) => Some(*interval),
                _ => None,
            })
            .collect();
        let started = Instant::now();
        let agent = Agent::new(Pools::default(), Settings::default());
        Self {
            next: 0,
            ticks: 0,
            started,
            readings: readings(backends),
            collector: Collector::new(started, recorded[0].time_seconds),
            pools: Pools::default(),
            chronicle: Chronicle::default(),
            recorder: Recorder::begin(io::sink(), None, 0.0, &agent).expect("nothing is written"),
            agent,
            recorded,
        }
    }

    /// How many intervals were recorded.
    pub(super) fn recorded(&self) -> usize {
        self.recorded.len()
    }

    /// One tick through all stages.
    pub(super) fn tick(&mut self) -> Took {
        let snapshot = self.snapshot();
        let mut took = Took::default();
        let mut clock = Instant::now();
        let mut lap = |stage: usize| {
            took.0[stage] = clock.elapsed();
            clock = Instant::now();
        };
        let sample: Sample = self.collector.sample(&snapshot);
        lap(0);
        let pools = self.pools.group(&sample);
        lap(1);
        let pools: Vec<Judged> = self.agent.judge(pools, sample.time_seconds);
        lap(2);
        let told = self.chronicle.take(sample.time_seconds, &pools, Some(&sample.uncounted));
        told.iter().for_each(|event| drop(event_json(event)));
        lap(3);
        let interval = Interval {
            time_seconds: sample.time_seconds,
            interval_seconds: sample.interval_seconds,
            pools,
            other: Some(sample.other.clone()),
            uncounted: Some(sample.uncounted),
        };
        self.recorder.record(&interval, &self.agent).expect("nothing is written");
        lap(4);
        took
    }

    /// The counters a second later.
    fn snapshot(&mut self) -> Snapshot {
        let interval = &self.recorded[self.next];
        self.next = (self.next + 1) % self.recorded.len();
        self.ticks += 1;
        let members = &interval.pools[0].members;
        for (reading, member) in self.readings.iter_mut().zip(members.iter().cycle()) {
            add(&mut reading.cell, &member.delta);
            let stock = member.stock.unwrap_or_default();
            let live = u32::try_from(stock.live).expect("few connections");
            reading.cell.stock = Stock { session: self.ticks, live, ..Stock::EMPTY };
        }
        Snapshot {
            taken: self.started + Duration::from_secs(self.ticks),
            readings: self.readings.clone(),
            overflow: Cell::EMPTY,
            uncounted: Uncounted::default(),
            adopts: true,
            exchanges: false,
            sweep: Some(SweepEnd { session: self.ticks, ..SweepEnd::default() }),
        }
    }
}

fn readings(backends: usize) -> Vec<Reading> {
    let balancer = Arc::new(Balancer {
        command: "nginx".into(),
        cgroup: Some("/system.slice/nginx.service".into()),
        netns: 1,
        first_pid: 7,
        listens: Some(true),
    });
    (0..backends)
        .map(|index| {
            let number = u32::try_from(index).expect("few backends");
            let port = u16::try_from(8_000 + index / MEMBERS).expect("few pools");
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number);
            Reading {
                balancer: Arc::clone(&balancer),
                backend: SocketAddr::new(address.into(), port),
                slot: Slot { index: number + 1, generation: 0 },
                cell: Box::new(Cell::EMPTY),
            }
        })
        .collect()
}

/// Adds what happened, of what the recording has.
fn add(cell: &mut Cell, delta: &Counters) {
    cell.attempts += delta.attempts;
    cell.established += delta.established;
    cell.closed += delta.closed;
    cell.sent_bytes += delta.sent_bytes;
    cell.received_bytes += delta.received_bytes;
    cell.segments_sent += delta.segments_sent;
    cell.segments_received += delta.segments_received;
    for (buckets, more) in
        [(&mut cell.connect_time, &delta.connect_time), (&mut cell.lifetime, &delta.lifetime)]
    {
        buckets.iter_mut().zip(more.counts()).for_each(|(count, more)| *count += more);
    }
}
