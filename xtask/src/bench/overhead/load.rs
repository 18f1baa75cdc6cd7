//! Load: as many requests as are answered, by wrk.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::{
    command::{capture, end_with_us},
    machine::Machine,
};

/// Connections of the clients; they are kept, so that what is opened anew is opened by the balancer.
const CONNECTIONS: &str = "32";

/// What came of a stretch of load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Answered {
    pub(super) requests: u64,
    pub(super) requests_per_second: f64,
    /// A hundredth of the answers took longer, seconds.
    pub(super) p99_seconds: f64,
}

/// Sends requests for so long; fails when answers are not as they should be.
pub(super) fn send(machine: &Machine, to: SocketAddr, duration: Duration) -> Result<Answered> {
    let mut wrk = machine.command("wrk");
    wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--latency"]);
    wrk.args(["--duration", &format!("{}s", duration.as_secs()), &format!("http://{to}/")]);
    let text = capture(end_with_us(&mut wrk, Signal::SIGKILL))?;
    answered(&text).with_context(|| format!("wrk prints:\n{text}"))
}

fn answered(text: &str) -> Result<Answered> {
    let failed = text.lines().find(|line| line.trim_start().starts_with("Non-2xx or 3xx responses"));
    ensure!(failed.is_none(), "not every request was answered well");
    let value = |label: &str| text.lines().find_map(|line| line.trim_start().strip_prefix(label));
    let requests = text.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok());
    Ok(Answered {
        requests: requests.filter(|&requests| requests > 0).context("no requests were answered")?,
        requests_per_second: value("Requests/sec:")
            .and_then(|rest| rest.trim().parse().ok())
            .context("the requests a second are missing")?,
        p99_seconds: value("99%").and_then(seconds).context("the latency of 99 % is missing")?,
    })
}

/// `167.62ms`
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let scale = match &text[unit..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(text[..unit].parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    // As wrk 4.1.0 of Debian 12 prints it.
    const TEXT: &str = "\
Running 2s test @ http://127.0.91.1:18480/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    26.77ms   33.93ms 191.70ms   87.46%
    Req/Sec     1.85k     2.03k    7.35k    89.47%
  Latency Distribution
     50%   13.90ms
     75%   33.13ms
     90%   70.78ms
     99%  167.62ms
  3773 requests in 2.07s, 552.69KB read
Requests/sec:   1818.95
Transfer/sec:    266.45KB
";

    #[test]
    fn requests_their_rate_and_latency_are_read() {
        let answered = answered(TEXT).unwrap();
        assert_eq!((answered.requests, answered.requests_per_second), (3773, 1818.95));
        assert!((answered.p99_seconds - 0.16762).abs() < 1e-9);
    }

    #[test]
    fn answers_that_are_errors_are_no_load() {
        let text = format!("{TEXT}  Non-2xx or 3xx responses: 12\n");
        assert!(answered(&text).is_err());
        assert!(answered("unable to connect to 127.0.91.1:18480 Connection refused\n").is_err());
        assert!(answered(&TEXT.replace("3773 requests", "0 requests")).is_err());
    }

    #[test]
    fn durations_have_their_unit_behind_them() {
        let found: Vec<_> = ["950.00us", "1.02s", "1.10m", "5.00"].map(seconds).into();
        assert_eq!(found, [Some(950.0 * 1e-6), Some(1.02), Some(1.1 * 60.0), None]);
    }
}
