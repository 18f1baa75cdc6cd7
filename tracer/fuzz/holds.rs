//! What holds of whatever is read: nothing panics, and what comes out can be shown. Shared by the fuzz targets and the test
//! that replays their corpus.

use super::tracer::history::History;
use super::tracer::listener::Listener;
use super::tracer::pools::parse_pools_file;
use super::tracer::recording::Replay;
use super::tracer::report::{self, Range, Report, Wanted, episodes};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::LazyLock;
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
