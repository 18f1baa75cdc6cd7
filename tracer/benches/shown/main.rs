//! What it takes to show a busy host: `cargo bench --bench shown`. Prints the processor time of a scrape and of a frame of
//! the screen, the mean of many, with 1,000 backends in 20 pools, every duration bucket of which has counted something;
//! and how many bytes a terminal is sent for a frame.

use nix::time::{ClockId, clock_gettime};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tracer::agent::Judged;
use tracer::collect::{Counters, Histogram, Stock};
use tracer::detect::{Assessment, MemberAssessment, Signal, Verdict};
use tracer::outputs::gzip::Gzip;
use tracer::outputs::metrics::{Form, Ledger, render, write};
use tracer::outputs::top::{Look, View, World, draw};
use tracer::outputs::{CheckReport, Latest, Own};
use tracer::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
};
use tracer::recording::Interval;

const POOLS: u8 = 20;
const BACKENDS: u8 = 50;
const RUNS: u32 = 50;

fn main() {
    let pools: Vec<Judged> = (0..POOLS).map(pool).collect();
    let mut ledger = Ledger::new(4_096);
    report("the tick's part: adding an interval", || ledger.take(&pools, None));
    report("the tick's part: handing it over", || drop(std::hint::black_box(ledger.clone())));
    let latest = Arc::new(latest(pools.clone(), ledger));
    for (form, name) in [(Form::OpenMetrics, "OpenMetrics"), (Form::Older, "the older form")] {
        let text = render(Arc::clone(&latest), form).unwrap_or_default();
        let (lines, megabytes) = (text.lines().count(), text.len() as f64 / 1e6);
        println!(
            "{name}: {lines} lines, {megabytes:.2} MB, {:.2} MB compressed",
            compressed(&latest, form).len() as f64 / 1e6
        );
        report(&format!("a scrape in {name}"), || {
            drop(std::hint::black_box(render(Arc::clone(&latest), form)));
        });
        report(&format!("a scrape in {name}, compressed"), || {
            drop(std::hint::black_box(compressed(&latest, form)));
        });
    }
    for size in [(80, 24), (250, 70)] {
        screen(&pools, size);
    }
}

/// The screen as somebody looks at it for a minute, a frame a second.
fn screen(pools: &[Judged], (columns, lines): (u16, u16)) {
    let sent = Rc::new(Cell::new(0));
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, lines));
    let backend = CrosstermBackend::new(Sent(Rc::clone(&sent)));
    let Ok(mut terminal) = Terminal::with_options(backend, TerminalOptions { viewport }) else { return };
    let look = Look::of(|name| (name == "LANG").then(|| "C.UTF-8".into()));
    let (mut world, view) = (World::of_host("lb1".into()), View::default());
    let mut second = 0_u32;
    report(&format!("a frame of {columns} by {lines}, with taking in its interval"), || {
        second += 1;
        let mut pools = pools.to_vec();
        pools.iter_mut().flat_map(|pool| &mut pool.sample.members).for_each(|member| vary(member, second));
        let interval = Interval {
            time_seconds: 1_767_225_660.0 + f64::from(second),
            interval_seconds: 1.0,
            pools,
            other: None,
            uncounted: None,
        };
        world.take(interval, Vec::new());
        sent.set(0);
        let _fails_never = terminal.draw(|frame| draw(&world, &view, look, frame.buffer_mut()));
    });
    println!("bytes that the terminal is sent for it, when every figure has changed: {}", sent.get());
}

/// Traffic is another one each second.
fn vary(member: &mut MemberSample, second: u32) {
    let more = (u64::from(second) * 7 + member.delta.attempts) % 97;
    member.delta.attempts += more;
    member.decisions += more;
    member.delta.sent_bytes += more * 4_321;
}

/// A terminal that counts what it is sent.
struct Sent(Rc<Cell<usize>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn report(what: &str, mut run: impl FnMut()) {
    run();
    let start = processor_time();
    (0..RUNS).for_each(|_| run());
    println!("{what}: {:.2} ms", (processor_time() - start).as_secs_f64() * 1e3 / f64::from(RUNS));
}

/// Of this thread so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// As the listener does it.
fn compressed(latest: &Arc<Latest>, form: Form) -> Vec<u8> {
    let mut gzip = Gzip::default();
    write(Arc::clone(latest), form, &mut gzip).and_then(|()| gzip.finish()).unwrap_or_default()
}

fn pool(number: u8) -> Judged {
    let members: Vec<MemberSample> = (0..BACKENDS).map(|member| busy(number, member)).collect();
    let found = members.iter().zip(0_u8..).map(|(member, at)| MemberAssessment {
        backend: member.backend,
        finding: None,
        expected_share: Some(1.0 / f64::from(BACKENDS)),
        observed_share: Some(f64::from(at) / 1_234.0),
        share_interval: Some([0.01, 0.03]),
    });
    let assessment = Assessment {
        verdict: Verdict::Balanced,
        findings: Vec::new(),
        summary: "50 members get new connections as declared".into(),
        since_seconds: None,
        since_start: false,
        evidence: 3.2,
        needed: None,
        signal: Signal::Connections,
        members: found.collect(),
    };
    let pool = PoolIdentity {
        name: format!("application-{number}"),
        balancer: Some("haproxy (haproxy.service)".into()),
        source: "/etc/haproxy/haproxy.cfg:120".into(),
        expected_source: ExpectedSource::Declared,
        method: Method::RoundRobin,
        vouched: true,
        asked: true,
    };
    let sample = PoolSample { pool, interval_seconds: 1.0, members, judged: true, note: None };
    Judged { sample, assessment: Some(assessment) }
}

/// A member with something in every counter.
fn busy(pool: u8, member: u8) -> MemberSample {
    let many = 1_234 + u64::from(member) * 17;
    let times = Histogram::from(&std::array::from_fn(|bucket| many + bucket as u64));
    let delta = Counters {
        attempts: many,
        established: many,
        closed: many,
        sent_bytes: many * 4_321,
        received_bytes: many * 54_321,
        retransmits: many / 100,
        connect_time: times.clone(),
        ..Counters::default()
    };
    let exchanges = Exchanges { count: Some(many), response_time: Some(times) };
    MemberSample {
        backend: ([10, 20, pool, member], 8_080).into(),
        weight: Some(1.0),
        decisions: many,
        requests: Some(many),
        total: delta.clone(),
        delta,
        stock: Some(Stock { live: 12, ..Stock::default() }),
        total_exchanges: exchanges.clone(),
        exchanges,
        recorded: Recorded::default(),
        origin: Origin::Unknown,
    }
}

fn latest(pools: Vec<Judged>, ledger: Ledger) -> Latest {
    let report = CheckReport {
        host: Some("lb1".into()),
        started_seconds: Some(1_767_225_600.0),
        duration_seconds: 60.0,
        pools,
        unmatched: Vec::new(),
        other: None,
        uncounted: None,
    };
    Latest { time_seconds: 1_767_225_660.0, report, ledger, own: Own::default() }
}
