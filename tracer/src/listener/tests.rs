//! What is answered, and to whom.

use super::Published;
use super::answer::{self, Reach, Text, Written};
use crate::kernel::Outcome;
use crate::outputs::Past;
use crate::outputs::metrics::tests::{latest, pool};
use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn published() -> Published {
    let latest = Arc::new(latest(vec![pool("app", "nginx", &[(1, 3)])]));
    Published { latest, at: Instant::now() }
}

/// What is answered at once.
fn answer(
    request: &Request<()>,
    reach: Reach,
    published: Option<&Published>,
    written: &mut Written,
    now: Instant,
) -> Response<Bytes> {
    answer::answer(request, reach, published, written, now).map(|text| match text {
        Text::Whole(text) => text,
        Text::Events => Bytes::from_static(b"events"),
    })
}

/// Asks this host for a path, with one more header.
fn ask(published: &Published, path: &str, header: (&str, &str)) -> Response<Bytes> {
    let request = Request::get(path).header(HOST, "localhost").header(header.0, header.1).body(()).unwrap();
    answer(&request, Reach::Loopback, Some(published), &mut Written::default(), published.at)
}

const NOTHING_MORE: (&str, &str) = ("x-nothing", "");

#[test]
fn metrics_come_in_the_form_that_was_asked_for() {
    let published = published();
    let open = ask(&published, "/metrics", (ACCEPT.as_str(), "application/openmetrics-text"));
    assert_eq!(open.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.body().ends_with(b"# EOF\n"));
    let older = ask(&published, "/metrics", NOTHING_MORE);
    assert_eq!(older.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(!older.body().ends_with(b"# EOF\n"));
}

#[test]
fn what_is_compressed_is_the_same() {
    let published = published();
    for path in ["/metrics", "/api/v1/pools"] {
        let plain = ask(&published, path, NOTHING_MORE);
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let packed = ask(&published, path, (ACCEPT_ENCODING.as_str(), "gzip"));
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        let mut unpacked = Vec::new();
        GzDecoder::new(&packed.body()[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, &plain.body()[..], "{path}");
    }
}

#[test]
fn pools_come_as_check_gives_them() {
    let response = ask(&published(), "/api/v1/pools", NOTHING_MORE);
    let check: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!((&check["schema"], &check["host"]), (&"tracer.check/1".into(), &"lb1".into()));
    assert_eq!(check["pools"][0]["members"][0]["attempts"], 3);
}

#[test]
fn who_asks_for_another_host_gets_no_pools() {
    let published = published();
    let asked = |host: &str, path: &str, reach| {
        let request = Request::get(path).header(HOST, host).body(()).unwrap();
        answer(&request, reach, Some(&published), &mut Written::default(), published.at).status()
    };
    assert_eq!(asked("evil.example", "/api/v1/pools", Reach::Loopback), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(asked("evil.example", "/", Reach::Loopback), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(asked("evil.example", "/events", Reach::Loopback), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(asked("lb1.example", "/api/v1/pools", Reach::Beyond), StatusCode::OK);
    assert_eq!(asked("lb1.example", "/metrics", Reach::Loopback), StatusCode::OK);
}

#[test]
fn the_page_may_use_nothing_but_what_is_in_it_and_what_this_host_answers() {
    let page = ask(&published(), "/", NOTHING_MORE);
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && policy.contains("connect-src 'self'"), "{policy}");
}

#[test]
fn an_event_is_what_is_news_for_charts_and_then_the_pools_in_one_line() {
    let published = published();
    let events = ask(&published, "/events", NOTHING_MORE);
    assert_eq!(
        (&events.headers()[CONTENT_TYPE], &events.body()[..]),
        (&"text/event-stream".parse().unwrap(), &b"events"[..])
    );
    let mut past = Past::default();
    past.take(&published.latest);
    let event = answer::event(&published, &past.since(0), &mut Written::default()).unwrap();
    let text = std::str::from_utf8(&event).unwrap();
    let (news, line) = text.strip_suffix("\n\n").unwrap().split_once("\n\ndata: ").unwrap();
    let news: serde_json::Value =
        serde_json::from_str(news.strip_prefix("event: past\ndata: ").unwrap()).unwrap();
    assert_eq!(news["pools"][0]["name"], "app");
    assert!(!line.contains(['\n', '\r']));
    let check: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(check["schema"], "tracer.check/1");
}

#[test]
fn only_get_and_head_are_answered() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(&method).uri("/metrics").body(()).unwrap();
        let response =
            answer(&request, Reach::Beyond, Some(&published()), &mut Written::default(), Instant::now());
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }
}

#[test]
fn paths_are_taken_literally() {
    let published = published();
    for path in ["/..", "/metrics/", "/metrics/../healthz", "/%6detrics", "/api", "//metrics", "/etc/passwd"]
    {
        assert_eq!(ask(&published, path, NOTHING_MORE).status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask(&published, "/metrics?x=1", NOTHING_MORE).status(), StatusCode::OK);
}

#[test]
fn healthy_is_what_ticks_with_its_programs_attached() {
    let health = |published: Option<&Published>, after: u64| {
        let now = published.map_or_else(Instant::now, |published| published.at) + Duration::from_secs(after);
        let request = Request::get("/healthz").body(()).unwrap();
        let response = answer(&request, Reach::Loopback, published, &mut Written::default(), now);
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    };
    assert_eq!(health(None, 0), (503, "nothing is counted yet\n".into()));
    let mut published = published();
    assert_eq!(health(Some(&published), 4), (200, "ok\n".into()));
    let still = "the last interval ended 60 s ago: the tick stands still\n";
    assert_eq!(health(Some(&published), 60), (503, still.into()));
    let latest = Arc::make_mut(&mut published.latest);
    latest.own.programs[0].outcome = Outcome::Refused("no permission".into());
    let missing = "the program `lifecycle` is not attached: no permission\n";
    assert_eq!(health(Some(&published), 0), (503, missing.into()));
}

#[test]
fn what_was_written_for_one_is_given_to_others_until_there_is_news() {
    let (mut first, mut written) = (published(), Written::default());
    let request = Request::get("/metrics").body(()).unwrap();
    let mut text = |published: &Published| {
        answer(&request, Reach::Loopback, Some(published), &mut written, published.at).into_body()
    };
    let once = text(&first);
    assert_eq!(once.as_ptr(), text(&first).as_ptr(), "the same");
    Arc::make_mut(&mut first.latest).own.tick_lag_seconds = 0.5;
    first.at += Duration::from_secs(1);
    assert_ne!(once, text(&first));
}
