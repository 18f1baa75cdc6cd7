//! What is answered to a request: pure, but for the cache of what was written for others.

use super::Published;
use super::negotiation::{form, names_loopback, takes_gzip};
use crate::kernel::Intent;
use crate::outputs::gzip::Gzip;
use crate::outputs::metrics::{self, Form};
use crate::outputs::page::PAGE;
use crate::outputs::{Latest, Told, check_json};
use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Without a new interval for so long, the tick is taken to stand still.
const STANDSTILL: Duration = Duration::from_secs(5);

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Where the requests come from, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// From this host only: whoever asks must name it so.
    Loopback,
    /// From other hosts too, by whatever name.
    Beyond,
}

/// What was written of one interval. Clients that ask again and again are given the same.
#[derive(Debug, Default)]
pub(super) struct Written {
    of: Option<Instant>,
    texts: HashMap<(Document, bool), Bytes>,
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Document {
    Metrics(Form),
    Pools,
}

/// An answer's text.
#[derive(Debug)]
pub(super) enum Text {
    /// All of it.
    Whole(Bytes),
    /// An event each interval, for as long as the client stays.
    Events,
}

/// Answers. `published` is the last interval, if there was one; `now` is when.
pub(super) fn answer<B>(
    request: &Request<B>,
    reach: Reach,
    published: Option<&Published>,
    written: &mut Written,
    now: Instant,
) -> Response<Text> {
    if is_local(request, reach) && request.method() == Method::GET && request.uri().path() == "/events" {
        return whole(StatusCode::OK, "text/event-stream", Bytes::new()).map(|_| Text::Events);
    }
    once(request, reach, published, written, now).map(Text::Whole)
}

/// Whether the client may see what only this host should, where that is so.
fn is_local<B>(request: &Request<B>, reach: Reach) -> bool {
    reach == Reach::Beyond || names_loopback(request)
}

fn once<B>(
    request: &Request<B>,
    reach: Reach,
    published: Option<&Published>,
    written: &mut Written,
    now: Instant,
) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        return with(refusal, ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let document = match request.uri().path() {
        "/metrics" => Document::Metrics(form(request.headers())),
        "/healthz" => return health(published, now),
        "/" | "/events" | "/api/v1/pools" if !is_local(request, reach) => {
            let text = "this address is for this host only: ask for it as localhost or 127.0.0.1\n";
            return plain(StatusCode::MISDIRECTED_REQUEST, text);
        }
        "/" => return page(),
        "/api/v1/pools" => Document::Pools,
        _ => return plain(StatusCode::NOT_FOUND, "there are /, /metrics, /healthz and /api/v1/pools\n"),
    };
    let Some(published) = published else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "nothing is counted yet: ask again in a second\n");
    };
    let compressed = takes_gzip(request.headers());
    match written.get(published, document, compressed) {
        Ok(text) => document.answer(text, compressed),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("internal error: {error}\n")),
    }
}

impl Document {
    fn write(self, latest: &Arc<Latest>, out: &mut impl io::Write) -> anyhow::Result<()> {
        match self {
            Self::Metrics(form) => metrics::write(Arc::clone(latest), form, out)?,
            Self::Pools => out.write_all(check_json(&latest.report)?.as_bytes())?,
        }
        Ok(())
    }

    fn answer(self, text: Bytes, compressed: bool) -> Response<Bytes> {
        let media_type = match self {
            Self::Metrics(form) => form.media_type(),
            Self::Pools => JSON,
        };
        let response = whole(StatusCode::OK, media_type, text);
        let response = with(response, VARY, HeaderValue::from_static("accept, accept-encoding"));
        if compressed { with(response, CONTENT_ENCODING, HeaderValue::from_static("gzip")) } else { response }
    }
}

impl Written {
    fn get(&mut self, published: &Published, document: Document, compressed: bool) -> anyhow::Result<Bytes> {
        if self.of != Some(published.at) {
            *self = Self { of: Some(published.at), texts: HashMap::new() };
        }
        if let Some(text) = self.texts.get(&(document, compressed)) {
            return Ok(text.clone());
        }
        let text = if compressed {
            // As it is made.
            let mut gzip = Gzip::default();
            document.write(&published.latest, &mut gzip)?;
            gzip.finish()?
        } else {
            let mut text = Vec::new();
            document.write(&published.latest, &mut text)?;
            text
        };
        let text = Bytes::from(text);
        self.texts.insert((document, compressed), text.clone());
        Ok(text)
    }
}

/// What is said each interval: `past`, what charts need and the client does not know yet; and then the pools, each in one
/// line.
pub(super) fn event(published: &Published, told: &Told, written: &mut Written) -> anyhow::Result<Bytes> {
    let check = written.get(published, Document::Pools, false)?;
    let past = serde_json::to_vec(told)?;
    Ok([b"event: past\ndata: ", &past[..], b"\n\ndata: ", check.trim_ascii_end(), b"\n\n"].concat().into())
}

fn page() -> Response<Bytes> {
    let response =
        whole(StatusCode::OK, "text/html; charset=utf-8", Bytes::from_static(PAGE.document.as_bytes()));
    match HeaderValue::from_str(&PAGE.policy) {
        Ok(policy) => with(response, CONTENT_SECURITY_POLICY, policy),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("internal error: {error}\n")),
    }
}

/// Whether it ticks, and the programs that it needs are attached.
fn health(published: Option<&Published>, now: Instant) -> Response<Bytes> {
    match ailment(published, now) {
        None => plain(StatusCode::OK, "ok\n"),
        Some(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}\n")),
    }
}

fn ailment(published: Option<&Published>, now: Instant) -> Option<String> {
    let Some(Published { latest, at }) = published else { return Some("nothing is counted yet".into()) };
    let age = now.saturating_duration_since(*at);
    if age >= STANDSTILL {
        return Some(format!("the last interval ended {} s ago: the tick stands still", age.as_secs()));
    }
    let mut required = latest.own.programs.iter().filter(|program| program.intent == Intent::Required);
    let missing = required.find(|program| !program.outcome.works())?;
    Some(format!("the program `{}` is not attached: {}", missing.name, missing.outcome))
}

fn plain(status: StatusCode, text: &str) -> Response<Bytes> {
    whole(status, PLAIN, Bytes::copy_from_slice(text.as_bytes()))
}

fn whole(status: StatusCode, media_type: &'static str, text: Bytes) -> Response<Bytes> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let response = with(response, CONTENT_TYPE, HeaderValue::from_static(media_type));
    let response = with(response, X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    with(response, CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn with<T>(mut response: Response<T>, name: HeaderName, value: HeaderValue) -> Response<T> {
    response.headers_mut().insert(name, value);
    response
}
