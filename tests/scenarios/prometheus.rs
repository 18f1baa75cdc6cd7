//! Debian's Prometheus, and what it makes of the metrics.

use crate::support::address::Block;
use crate::support::backend::{Backend, Behaviour::Answer, wait_until_closed};
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::nginx::Nginx;
use crate::support::pools::Pools;
use crate::support::server::end_with_parent;
use crate::support::tracer::{accepted, watch};
use crate::support::{turn, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Prometheus starts slowly, and asks every second.
const SOON: Duration = Duration::from_secs(60);

/// One that scrapes a tracer; killed when dropped.
struct Prometheus {
    child: Child,
    http: Http,
    _directory: TempDir,
}

impl Prometheus {
    fn scraping(tracer: Http) -> Self {
        let directory = tempfile::Builder::new().prefix("tracer-e2e-").tempdir().unwrap();
        let configuration = directory.path().join("prometheus.yml");
        let target = tracer.0;
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n- job_name: tracer\n  \
             static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        std::fs::write(&configuration, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = end_with_parent(&mut command, Signal::SIGKILL).spawn().unwrap();
        Self { child, http: Http(address), _directory: directory }
    }

    /// What a query gives now; `None` while there is nothing.
    fn asks(&self, query: &str) -> Option<f64> {
        let response = self.http.try_get(&format!("/api/v1/query?query={query}"))?;
        let answer: Value = serde_json::from_str(&response.body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
