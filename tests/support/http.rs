//! A client of the tracer's listener, as plain as can be: what it sends is what the test wrote.

use super::tracer::Running;
use super::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than the listener lets anything take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Where a tracer listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http(pub(crate) SocketAddr);

impl Http {
    /// That of a running one, which was told to listen.
    #[track_caller]
    pub(crate) fn of(running: &Running) -> Self {
        let address = running.said("listening: http://").split('/').next().unwrap().parse();
        Self(address.unwrap())
    }

    /// Connects.
    #[track_caller]
    pub(crate) fn connect(self) -> TcpStream {
        self.try_connect().unwrap_or_else(|| panic!("nobody listens at {}", self.0))
    }

    fn try_connect(self) -> Option<TcpStream> {
        let stream = TcpStream::connect(self.0).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Some(stream)
    }

    /// Sends these bytes and reads to the end; `None` where there is no answer.
    pub(crate) fn send(self, request: &[u8]) -> Option<Response> {
        let mut stream = self.try_connect()?;
        // Who is refused may be refused before all is written.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    /// Asks for a path as a client of this host does.
    #[track_caller]
    pub(crate) fn get(self, path: &str) -> Response {
        self.try_get(path).unwrap_or_else(|| panic!("no answer for {path}"))
    }

    /// The same of a server that may not be there yet.
    pub(crate) fn try_get(self, path: &str) -> Option<Response> {
        self.send(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// Every sample of `/metrics`, by its name and labels, once there is one.
    #[track_caller]
    pub(crate) fn metrics(self) -> BTreeMap<String, f64> {
        let text = wait::until("metrics", Duration::from_secs(10), || {
            let response = self.get("/metrics");
            (response.status == 200).then_some(response.body)
        });
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        samples.collect()
    }

    /// The object of `/api/v1/pools`.
    #[track_caller]
    pub(crate) fn pools(self) -> Value {
        serde_json::from_str(&self.get("/api/v1/pools").body).unwrap()
    }
}

/// The sum of all samples of this name that have this label.
pub(crate) fn sum(samples: &BTreeMap<String, f64>, name: &str, label: &str) -> f64 {
    let start = format!("{name}{{");
    samples
        .iter()
        .filter(|(series, _)| series.starts_with(&start) && series.contains(label))
        .map(|(_, value)| value)
        .sum()
}
