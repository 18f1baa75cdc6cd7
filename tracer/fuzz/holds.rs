//! What holds of whatever is read: nothing panics, and what comes out can be shown. Shared by the fuzz targets and the test
//! that replays their corpus.

use super::tracer::agent::Agent;
use super::tracer::chronicle::Chronicle;
use super::tracer::cli::remembered_in;
use super::tracer::collect::{BackendSample, Balancer, Collector, Counters, Sample, Stock};
use super::tracer::history::History;
use super::tracer::kernel::left::{Left, MAX_BACKENDS};
use super::tracer::kernel::taken_for;
use super::tracer::listener::Listener;
use super::tracer::outputs::metrics::{Form, Ledger, render};
use super::tracer::outputs::{CheckReport, Latest, Own, check_json, event_json};
use super::tracer::pools::{Pools, parse_pools_file};
use super::tracer::recording::Replay;
use super::tracer::report::{self, Range, Report, Wanted, episodes};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A pools file.
pub(crate) fn pools(input: &[u8]) {
    match parse_pools_file("pools.toml", input) {
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
        Ok(written) => {
            for member in written.pools.iter().flat_map(|pool| &pool.members) {
                assert!(member.weight.is_finite() && member.weight >= 0.0, "weight {}", member.weight);
            }
            let _ = written.host_names();
            let _ = written.resolve(&Default::default(), true);
        }
    }
}

/// A recording, judged again and told as a report.
pub(crate) fn recording(input: &[u8]) {
    let Ok(again) = report::judge(Replay::new(input)) else { return };
    let Some(known) = again.known else { return };
    let found = episodes(&again.changes, &again.gone);
    let Ok(range) = Wanted::default().choose(known, known.to_seconds, &found) else { return };
    let material = again.material(range, Replay::new(input)).expect("what was read once is read again");
    show(Report::of(material));
}

/// The file of a history, told as a report.
pub(crate) fn history(file: &Path) {
    let Ok(history) = History::open(file) else { return };
    let (Ok(Some(span)), Ok(changes)) = (history.span(), history.changes()) else { return };
    let Ok(gone) = history.gone(&changes) else { return };
    let known = Range { from_seconds: span.from_seconds, to_seconds: span.to_seconds };
    let Ok(range) = Wanted::default().choose(known, known.to_seconds, &episodes(&changes, &gone)) else {
        return;
    };
    if let Ok(material) = history.material(range) {
        show(Report::of(material));
    }
}

fn show(report: Result<Report, String>) {
    let Ok(report) = report else { return };
    assert!(!report::html(&report).is_empty() && !report::markdown(&report).is_empty());
    let json = report::json(&report).expect("numbers that JSON has");
    assert!(!json.is_empty());
}

/// Seconds since the epoch: when an agent goes on from what another one left.
const BEGAN_SECONDS: f64 = 1_800_000_000.0;

/// What lies in pins: what `/proc` says of one, and what an agent before has left in its maps. The next one goes on from that as
/// long as there is more of it.
pub(crate) fn pins(input: &[u8]) {
    let (name, maps) = taken_for(&String::from_utf8_lossy(input));
    assert!(maps.is_empty() || name == "a map", "{name} is taken for {maps:?}");
    let Some(mut left) = Left::found(input).expect("memory") else { return };
    let Some(before) = left.inheritance() else { return };
    let most = MAX_BACKENDS as usize;
    assert!(before.told.readings.len() <= most);
    let (mut collector, told) = Collector::resume(BEGAN_SECONDS, &before);
    let new = || Agent::new(declared(), Default::default());
    let mut shown = Shown::new(most);
    shown.take(&told, &mut new());
    let mut agent = new();
    while let Some(snapshot) = left.read() {
        assert!(snapshot.readings.len() <= most);
        let sample = collector.sample(&snapshot);
        for backend in &sample.backends {
            let (delta, total) = (&backend.delta, &backend.total);
            assert!(delta.attempts <= total.attempts && delta.closed <= total.closed, "{backend:?}");
        }
        shown.take(&sample, &mut agent);
    }
    shown.show(&agent);
}

/// How many intervals an agent goes on for from a state.
const INTERVALS: u32 = 12;
/// And how many it went on for before that state was written, where it was not made up.
pub(crate) const INTERVALS_BEFORE: u32 = 40;

/// A state file: the next agent judges on, and what it remembers then can be written.
pub(crate) fn state(input: &[u8]) {
    let Some((state, remembered, told)) = remembered_in(input) else { return };
    let mut agent = Agent::new(declared(), Default::default());
    agent.restore(state);
    agent.recall(remembered);
    let mut shown = Shown { chronicle: Chronicle::from(told), ..Shown::new(64) };
    for tick in INTERVALS_BEFORE..INTERVALS_BEFORE + INTERVALS {
        shown.take(&interval(tick, |_, _| ()), &mut agent);
    }
    shown.show(&agent);
}

/// A pool of three is declared; whatever else there is is discovered.
pub(crate) fn declared() -> Pools {
    let file = r#"pool = [{ name = "app", balancer = "nginx", members = [
        { address = "10.0.0.1:80" }, { address = "10.0.0.2:80", weight = 2 }, { address = "10.0.0.3:80" }] }]"#;
    let written = parse_pools_file("pools.toml", file.as_bytes()).expect("a pools file");
    Pools::new(written.resolve(&Default::default(), true).pools, Default::default())
}

/// One interval of the declared pool and another one of the same balancer; `but` is different with each of its members.
pub(crate) fn interval(tick: u32, but: impl Fn(usize, &mut Counters)) -> Sample {
    let balancer = Arc::new(Balancer {
        command: "nginx".into(),
        cgroup: Some("/system.slice/nginx.service".into()),
        netns: 1,
        first_pid: 7,
        listens: Some(true),
    });
    let addresses = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:81", "10.0.0.5:81"];
    let backends = addresses.iter().enumerate().map(|(index, address)| {
        // Not each tick the same, as nothing is.
        let count = [20, 40, 20, 10, 10][index] + u64::from(tick * 7 + tick * tick) % 5;
        let mut delta = Counters {
            attempts: count,
            established: count,
            closed: count,
            exchanges: count,
            ..Counters::default()
        };
        for (times, bucket) in
            [(&mut delta.connect_time, 8), (&mut delta.response_time, 24), (&mut delta.lifetime, 28)]
        {
            times.counts_mut()[bucket] = count;
        }
        but(index, &mut delta);
        BackendSample {
            balancer: Arc::clone(&balancer),
            backend: address.parse().expect("an address"),
            total: delta.clone(),
            stock: Some(Stock {
                live: delta.attempts.saturating_sub(delta.failed.total()),
                ..Stock::default()
            }),
            delta,
        }
    });
    Sample {
        time_seconds: BEGAN_SECONDS + f64::from(tick),
        interval_seconds: 1.0,
        backends: backends.collect(),
        exchanges: true,
        ..Sample::default()
    }
}

/// What an agent shows of its intervals.
struct Shown {
    chronicle: Chronicle,
    ledger: Ledger,
    last: Option<Latest>,
}

impl Shown {
    fn new(most: usize) -> Self {
        Self { chronicle: Chronicle::default(), ledger: Ledger::new(most), last: None }
    }

    /// One more interval.
    fn take(&mut self, sample: &Sample, agent: &mut Agent) {
        let pools = agent.step(sample);
        for event in self.chronicle.take(sample.time_seconds, &pools, Some(&sample.uncounted)) {
            assert!(!event_json(&event).expect("numbers that JSON has").is_empty());
        }
        self.ledger.take(&pools, Some(&sample.other));
        self.last = Some(Latest {
            time_seconds: sample.time_seconds,
            report: CheckReport {
                host: None,
                started_seconds: Some(BEGAN_SECONDS),
                duration_seconds: sample.time_seconds - BEGAN_SECONDS,
                pools,
                unmatched: agent.unmatched(),
                other: Some(sample.other.clone()),
                uncounted: Some(sample.uncounted),
            },
            ledger: self.ledger.clone(),
            own: Own::default(),
        });
    }

    /// What it says of the last one, and what it writes down for the next agent.
    fn show(self, agent: &Agent) {
        let Some(last) = self.last else { return };
        assert!(!check_json(&last.report).expect("numbers that JSON has").is_empty());
        assert!(!render(Arc::new(last), Form::OpenMetrics).expect("metrics").is_empty());
        assert!(
            serde_json::to_vec(&agent.state()).is_ok() && serde_json::to_vec(&agent.remembered()).is_ok()
        );
        assert!(serde_json::to_vec(&self.chronicle.state()).is_ok());
    }
}

static LISTENER: LazyLock<Listener> =
    LazyLock::new(|| Listener::start("0".parse().expect("a port")).expect("a listener on loopback"));

/// What a client of the listener says: it is answered by HTTP or not at all, soon, and so is the next one.
pub(crate) fn requests(input: &[u8]) {
    let answer = said_to(input);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    assert!(said_to(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with(b"HTTP/1.1 503 "));
}

/// The answer to this, whatever of it is there when the client has no more to say.
fn said_to(input: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(LISTENER.address()).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(2))).expect("a time limit");
    // It may have answered and closed before all is said.
    let _ = client.write_all(input).and_then(|()| client.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    answer
}
