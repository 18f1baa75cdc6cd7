//! Worlds that are made up.

use crate::agent::Judged;
use crate::collect::{Counters, Histogram, Stock};
use crate::detect::{Assessment, Finding, MemberAssessment, Signal, Verdict};
use crate::outputs::top::{Look, View, World, draw};
use crate::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
};
use crate::recording::Interval;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use tracer_ebpf::histogram::bucket_of;

/// 2026-01-01T00:00:00Z.
const BEGAN: f64 = 1_767_225_600.0;

/// A member as it is in every interval.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) backend: String,
    pub(super) finding: Option<Finding>,
    pub(super) connections: u64,
    pub(super) refused: u64,
    pub(super) response_ms: Option<u64>,
    pub(super) expected: Option<f64>,
}

/// A pool as it is in every interval.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) balancer: Option<String>,
    pub(super) verdict: Option<Verdict>,
    pub(super) summary: String,
    pub(super) note: Option<String>,
    pub(super) members: Vec<Member>,
}

pub(super) fn member(backend: &str, connections: u64) -> Member {
    Member {
        backend: backend.into(),
        finding: None,
        connections,
        refused: 0,
        response_ms: Some(2),
        expected: Some(0.25),
    }
}

pub(super) fn pool(name: &str, verdict: Option<Verdict>, summary: &str, members: Vec<Member>) -> Pool {
    Pool {
        name: name.into(),
        balancer: Some("nginx".into()),
        verdict,
        summary: summary.into(),
        note: None,
        members,
    }
}

/// A wrong weight, a backend that refuses, a pool that is as it should be, and what is not judged.
pub(super) fn incident() -> Vec<Pool> {
    let guilty = Member { finding: Some(Finding::Over), ..member("10.0.0.12:8080", 80) };
    let app =
        vec![member("10.0.0.11:8080", 8), guilty, member("10.0.0.13:8080", 8), member("10.0.0.14:8080", 8)];
    let refusing = Member {
        finding: Some(Finding::Failing),
        refused: 20,
        response_ms: None,
        ..member("[2001:db8::21]:5432", 20)
    };
    let database = vec![member("[2001:db8::20]:5432", 20), refusing];
    let even =
        (1..=6).map(|n| Member { expected: Some(1.0 / 6.0), ..member(&format!("10.0.2.{n}:9000"), 30) });
    let mut listed =
        pool("curl:8000", None, "", vec![Member { expected: None, ..member("10.9.9.9:8000", 1) }]);
    listed.note = Some("one backend: nothing to spread".into());
    let mut database = pool(
        "database",
        Some(Verdict::BackendFailing),
        "[2001:db8::21]:5432 fails: refused, 20 of 20",
        database,
    );
    database.balancer = Some("haproxy".into());
    vec![
        pool(
            "api",
            Some(Verdict::Balanced),
            "6 members get new connections as declared, 7200 in 40 s",
            even.collect(),
        ),
        pool(
            "app",
            Some(Verdict::Skewed),
            "10.0.0.12:8080 gets 76.9 % of new connections, declared 25.0 %",
            app,
        ),
        listed,
        database,
    ]
}

/// A world after so many seconds of that.
pub(super) fn world(pools: &[Pool], seconds: u32) -> World {
    let mut world = World::of_host("lb1".into());
    for second in 1..=seconds {
        world.take(interval(pools, second), Vec::new());
    }
    world
}

/// An interval after so many seconds.
pub(super) fn interval(pools: &[Pool], second: u32) -> Interval<Judged> {
    Interval {
        time_seconds: BEGAN + f64::from(second),
        interval_seconds: 1.0,
        pools: pools.iter().map(|pool| judged(pool, second)).collect(),
        other: None,
        uncounted: None,
    }
}

fn judged(pool: &Pool, second: u32) -> Judged {
    let all: u64 = pool.members.iter().fold(0, |sum, member| sum.saturating_add(member.connections));
    let assessment = pool.verdict.map(|verdict| Assessment {
        verdict,
        findings: if verdict.is_finding() { vec![verdict] } else { Vec::new() },
        summary: pool.summary.clone(),
        since_seconds: verdict.is_finding().then_some(BEGAN + 3.0),
        since_start: false,
        evidence: 41.7,
        needed: None,
        signal: Signal::Connections,
        members: pool.members.iter().map(|member| assessed(member, all)).collect(),
    });
    let sample = PoolSample {
        pool: PoolIdentity {
            name: pool.name.clone(),
            balancer: pool.balancer.clone(),
            source: "nginx.conf:12".into(),
            expected_source: ExpectedSource::Declared,
            method: Method::RoundRobin,
            vouched: true,
            asked: true,
        },
        interval_seconds: 1.0,
        members: pool.members.iter().map(|member| sample(member, second)).collect(),
        judged: pool.verdict.is_some(),
        note: pool.note.clone(),
    };
    Judged { sample, assessment }
}

fn assessed(member: &Member, all: u64) -> MemberAssessment {
    let observed = (all > 0).then(|| member.connections as f64 / all as f64);
    MemberAssessment {
        backend: member.backend.parse().unwrap(),
        finding: member.finding,
        expected_share: member.expected,
        observed_share: observed,
        share_interval: observed.map(|share| [(share - 0.02).max(0.0), (share + 0.02).min(1.0)]),
    }
}

fn sample(member: &Member, second: u32) -> MemberSample {
    // A wave, so that there is something to draw.
    let in_second = |second: u32| member.connections.saturating_mul(u64::from(second % 10 + 5)) / 10;
    let connections = in_second(second);
    let all = (1..=second).fold(0_u64, |all, second| all.saturating_add(in_second(second)));
    let counters = |connections: u64, refused: u64| {
        let established = connections.saturating_sub(refused);
        let mut counters = Counters {
            attempts: connections,
            established,
            closed: established,
            sent_bytes: connections.saturating_mul(300),
            received_bytes: connections.saturating_mul(20_000),
            ..Counters::default()
        };
        counters.failed.refused = refused;
        counters
    };
    let exchanges = |connections: u64| {
        let mut histogram = Histogram::default();
        if let Some(response_ms) = member.response_ms {
            histogram.counts_mut()[bucket_of(response_ms * 1_000_000) as usize] = connections;
        }
        let measured = member.response_ms.is_some();
        Exchanges { count: measured.then_some(connections), response_time: measured.then_some(histogram) }
    };
    MemberSample {
        backend: member.backend.parse().unwrap(),
        weight: member.expected,
        decisions: connections,
        requests: exchanges(connections).count,
        delta: counters(connections, member.refused),
        total: counters(all, member.refused.saturating_mul(second.into())),
        stock: Some(Stock { live: 3, ..Stock::default() }),
        exchanges: exchanges(connections),
        total_exchanges: exchanges(all),
        recorded: Recorded::default(),
        origin: Origin::Written("nginx.conf:14".into()),
    }
}

/// Everything that a terminal can show.
pub(super) const FULL: Look = Look { colour: true, unicode: true };

/// The screen of a terminal of this size.
pub(super) fn screen(world: &World, view: &View, look: Look, [width, height]: [u16; 2]) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(world, view, look, frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

/// What stands on it, line by line.
pub(super) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    };
    buffer.content.chunks(width).map(line).collect()
}
