//! Debian's Prometheus, and what it makes of the metrics.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::monitoring::Prometheus;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::tracer::{accepted, watch};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Prometheus starts slowly, and asks every second.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn its_sums_are_what_the_backends_accepted() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let backends = [1, 2, 3].map(|n| Backend::start(block.backend(n), Answer(300)));
    let addresses = backends.iter().map(|backend| backend.address);
    let _nginx = Nginx::at(block.balancer(1)).servers(addresses).start();
    let running = watch(Pools::of_backends(&backends)).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    let prometheus = Prometheus::scraping(http);
    wait::until("a scrape", SOON, || prometheus.asks("up").filter(|up| *up == 1.0));
    Load::on(block.balancer(1)).run_for(Duration::from_secs(3));
    wait_until_closed(&backends);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let expected = accepted(&backends) as f64;
    for name in ["connection_attempts", "connections_established", "connections_closed"] {
        let query = format!("sum(tracer_{name}_total)");
        wait::until(&format!("{query} = {expected}"), SOON, || {
            prometheus.asks(&query).filter(|sum| *sum == expected)
        });
    }
    let buckets = "sum(tracer_connect_duration_seconds_bucket{le=\"%2BInf\"})".replace('"', "%22");
    assert_eq!(prometheus.asks(&buckets), Some(expected));
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let running = watch(Pools::of([1, 2].map(|n| block.backend(n)))).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    http.metrics();
    let text = http.get("/metrics").body;
    assert!(text.contains("tracer_expected_share{pool=\"app\""), "{text}");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{}: {said}", output.status);
    running.stop(Signal::SIGTERM).exits(0);
}
