//! Clients of the listener that mean no good: they hold up neither the tick nor another client.

use crate::support::address::Block;
use crate::support::http::Http;
use crate::support::pools::Pools;
use crate::support::tracer::watch;
use crate::support::turn;
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How long each attack goes on.
const LENGTH: Duration = Duration::from_secs(4);
const MOST_LAG_SECONDS: f64 = 0.05;
const MOST_WAIT: Duration = Duration::from_secs(1);

/// The latest tick and the longest wait of another client while something goes on.
fn meanwhile(http: Http, what: impl FnOnce()) -> (f64, Duration) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let (mut lag, mut wait, mut scrapes) = (0.0_f64, Duration::ZERO, 0);
            while !over.load(SeqCst) || scrapes < 10 {
                let asked = Instant::now();
                let samples = http.metrics();
                wait = wait.max(asked.elapsed());
                lag = lag.max(samples["tracer_tick_lag_seconds"]);
                scrapes += 1;
                // Every tick is seen.
                std::thread::sleep(Duration::from_millis(300));
            }
            (lag, wait)
        });
        what();
        over.store(true, SeqCst);
        other.join().unwrap()
    })
}

/// Holds so many connections, each of which began so.
fn hold(http: Http, connections: usize, beginning: &[u8], mut then: impl FnMut(&mut Vec<TcpStream>)) {
    let begun = Instant::now();
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut stream = http.connect();
        // Who had to go for somebody else cannot be written to.
        let _ = stream.write_all(beginning);
        held.push(stream);
    }
    while begun.elapsed() < LENGTH {
        then(&mut held);
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn no_client_holds_up_the_tick_or_another_client() {
    let (_turn, block) = (turn::alone(), Block::new());
    let running = watch(Pools::of([block.backend(1)])).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    let (usual, _) = meanwhile(http, || std::thread::sleep(LENGTH));
    println!("tick {usual:.4} s late at most while nothing goes on");
    type Attack = (&'static str, fn(Http));
    let attacks: [Attack; 5] = [
        ("2,000 connections that ask nothing", |http| hold(http, 2_000, b"", |_| ())),
        ("a byte at a time", |http| {
            hold(http, 200, b"GET /metrics HTTP/1.1\r\nX-Slow: ", |held| {
                held.iter_mut().for_each(|stream| drop(stream.write_all(b"x")));
            });
        }),
        ("answers that nobody reads", |http| {
            let asks = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
            hold(http, 100, &asks, |_| ());
        }),
        ("heads of a megabyte", |http| {
            let head = format!("GET /metrics HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
            let begun = Instant::now();
            while begun.elapsed() < LENGTH {
                let status = http.send(head.as_bytes()).map(|response| response.status);
                assert!(matches!(status, None | Some(431)), "{status:?}");
            }
        }),
        ("noise", |http| {
            let begun = Instant::now();
            while begun.elapsed() < LENGTH {
                let noise: Vec<u8> = (0..512).map(|_| fastrand::u8(..)).collect();
                let status = http.send(&noise).map(|response| response.status);
                assert!(matches!(status, None | Some(400..=499)), "{status:?}");
            }
        }),
    ];
    for (what, attack) in attacks {
        let (lag, wait) = meanwhile(http, || attack(http));
        println!("{what}: tick {lag:.4} s late at most, others waited {wait:?} at most");
        assert!(lag < MOST_LAG_SECONDS + usual, "{what}: the tick was {lag} s late, {usual} s before");
        assert!(wait < MOST_WAIT, "{what}: another client waited {wait:?}");
    }
    running.stop(Signal::SIGTERM).exits(0);
}

#[test]
fn what_is_no_proper_request_is_refused() {
    let (_turn, block) = (turn::traffic(), Block::new());
    let running = watch(Pools::of([block.backend(1)])).arguments(&["--listen", "0"]).start();
    let http = Http::of(&running);
    http.metrics();
    let long = "a".repeat(1 << 20);
    let get = |target: &str, host: &str| format!("GET {target} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    let method = |method: &str| format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for (request, statuses) in [
        (method("POST"), &[405][..]),
        (method("DELETE"), &[405]),
        (method("TRACE"), &[405]),
        (get("/../../etc/passwd", "localhost"), &[404]),
        (get("/metrics/..%2f..%2fetc/passwd", "localhost"), &[404]),
        (get("/api/v1/pools", "evil.example"), &[421]),
        (get("http://evil.example/api/v1/pools", "localhost"), &[421]),
        ("GET /api/v1/pools HTTP/1.0\r\n\r\n".into(), &[421]),
        (get(&format!("/{long}"), "localhost"), &[400, 414, 431]),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into(), &[400]),
        ("GET /metrics HTTP/9.9\r\n\r\n".into(), &[400, 505]),
        ("GET /metrics\r\n\r\n".into(), &[400]),
        ("\u{16}\u{3}\u{1}\r\n\r\n".into(), &[400]),
        (get("/metrics", "localhost"), &[200]),
    ] {
        let start = &request[..request.len().min(60)];
        match http.send(request.as_bytes()) {
            Some(response) => assert!(statuses.contains(&response.status), "{start:?}: {response:?}"),
            // A megabyte is not read to its end, so that its sender may never see the answer.
            None => assert!(request.len() > 1 << 20, "no answer to {start:?}"),
        }
    }
    let head = http.send(b"HEAD /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-length: ") && head.head.contains("nosniff"), "{}", head.head);
    running.stop(Signal::SIGTERM).exits(0);
}
