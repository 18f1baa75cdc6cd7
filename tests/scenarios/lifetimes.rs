//! How long connections were held: of every one that was seen from its beginning to its end.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour, wait_until_closed};
use crate::support::client::Client;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::watch;
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(40);
/// Just above a bucket's lower bound (50.3 ms), so that what is in it did not take less than 50 ms.
const LATE: Duration = Duration::from_millis(51);

/// What was recorded of one backend, in all intervals and of all who connect to it.
#[derive(Debug, Default)]
struct Recorded {
    closed: u64,
    probes: u64,
    repaired: u64,
    /// Upper bounds of buckets, seconds, and how many connections were held for so long.
    held: Vec<(f64, u64)>,
}

impl Recorded {
    fn held(&self) -> u64 {
        self.held.iter().map(|(_, count)| count).sum()
    }

    /// Upper bound of the shortest and of the longest, seconds.
    fn bounds(&self) -> (f64, f64) {
        let bounds = || self.held.iter().map(|(bound, _)| *bound);
        (bounds().fold(f64::INFINITY, f64::min), bounds().fold(0.0, f64::max))
    }
}

fn recorded(samples: &Path, backend: SocketAddr) -> Recorded {
    let text = std::fs::read_to_string(samples).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut sum = Recorded::default();
    for line in complete.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let pools = line["pools"].as_array().into_iter().flatten();
        let members = pools.flat_map(|pool| pool["members"].as_array().unwrap());
        for member in members.filter(|member| member["backend"] == backend.to_string()) {
            let count = |name: &str| member[name].as_u64().unwrap_or(0);
            sum.closed += count("closed");
            sum.probes += count("probes");
            sum.repaired += count("repaired");
            for bucket in member["lifetime_buckets"].as_array().into_iter().flatten() {
                sum.held.push((bucket[0].as_f64().unwrap_or(f64::INFINITY), bucket[1].as_u64().unwrap()));
            }
        }
    }
    sum
}

#[test]
fn every_connection_seen_from_its_beginning_tells_at_its_end_how_long_it_was_held() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let late = Backend::start(block.backend(1), Behaviour::Late(LATE));
    let kept = Backend::start(block.backend(2), Behaviour::KeepAlive(300));
    let directory = tempfile::tempdir().unwrap();
    let samples = directory.path().join("samples.jsonl");
    let mut before = Client::start("requests");
    assert_eq!(before.ask(format!("open 4 {}", kept.address)), "ok");
    assert_eq!(before.ask("requests 1"), "ok");
    let running = watch(Pools::of([late.address, kept.address]))
        .arguments(&["--exchanges", "off"])
        .argument("--samples")
        .argument(&samples)
        .start();
    let nginx = Nginx::at(block.balancer(1)).servers([late.address]).start();
    Load::on(block.balancer(1)).per_second(50).threads(16).run_for(Duration::from_secs(3));
    drop(nginx);
    let mut probing = Client::start("requests");
    assert_eq!(probing.ask(format!("open 5 {}", kept.address)), "ok");
    assert_eq!(probing.ask("shut"), "ok");
    let begun = Instant::now();
    let mut holding = Client::start("requests");
    assert_eq!(holding.ask(format!("open 3 {}", kept.address)), "ok");
    let opened = Instant::now();
    assert_eq!(holding.ask("requests 2"), "ok");
    std::thread::sleep(Duration::from_millis(1200));
    let held_at_least = opened.elapsed();
    assert_eq!(holding.ask("shut"), "ok");
    assert_eq!(before.ask("shut"), "ok");
    wait_until_closed([&late, &kept]);
    let held_at_most = begun.elapsed();
    let all = |backend: &Backend| {
        let seen = recorded(&samples, backend.address);
        (seen.closed == backend.report().accepted).then_some(seen)
    };
    let of_late = wait::until("every end is recorded", SOON, || all(&late));
    let of_kept = wait::until("every end is recorded", SOON, || all(&kept));
    let ended = running.stop(Signal::SIGTERM);
    println!("{of_late:?}\n{of_kept:?}\n{held_at_least:?} to {held_at_most:?}");
    // An end that no event told of is made up for: when it was is not known then.
    let is_whole = |seen: &Recorded, held: u64| seen.held() <= held && held <= seen.held() + seen.repaired;
    assert!(of_late.closed > 100 && is_whole(&of_late, of_late.closed), "none is left out: {of_late:?}");
    assert_eq!((of_kept.closed, of_kept.probes), (12, 5));
    assert!(is_whole(&of_kept, 3), "neither those from before nor probes: {of_kept:?}");
    // Bounds are up to a quarter above.
    assert!(of_late.bounds().0 > 0.0504, "none shorter than the backend takes");
    let (shortest, longest) = of_kept.bounds();
    assert!(shortest >= held_at_least.as_secs_f64() && longest <= 1.25 * held_at_most.as_secs_f64());
    let stopping = ended.events().pop().unwrap();
    let members =
        stopping["pools"].as_array().unwrap().iter().flat_map(|pool| pool["members"].as_array().unwrap());
    let medians: Vec<f64> = members.filter_map(|member| member["lifetime_seconds"]["p50"].as_f64()).collect();
    ended.ensure(!medians.is_empty() && medians.iter().all(|median| *median >= 0.05), "medians in JSON");
}
