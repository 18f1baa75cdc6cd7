//! HTTP to one Alertmanager. Whatever is at the other end: no answer is waited for beyond a time, none is read beyond a
//! length, and nothing is sent to where it points.

use super::address::AlertmanagerUrl;
use super::credentials::Credentials;
use crate::outputs::escape::for_terminal;
use std::io::Read as _;
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// What a request with its answer may take.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// The alerts of a busy site are some megabytes; ours are far fewer.
const MOST_LISTED_BYTES: u64 = 8 << 20;

/// What is read of an answer that is no, and how many characters of it are shown.
const MOST_SAID_BYTES: u64 = 4 << 10;
const MOST_SHOWN: usize = 200;

/// Why alerts were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There was no answer, or it broke off.
    Unreachable(String),
    /// The answer is no.
    Answered(String),
}

impl Refusal {
    /// In words.
    pub(super) fn reason(&self) -> &str {
        let (Self::Unreachable(reason) | Self::Answered(reason)) = self;
        reason
    }
}

/// One Alertmanager.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) url: AlertmanagerUrl,
    agent: Agent,
    credentials: Option<Credentials>,
}

impl Client {
    /// A request with its answer takes `longest` at most.
    pub(super) fn new(url: AlertmanagerUrl, credentials: Option<&Credentials>, longest: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(longest))
            .http_status_as_error(false)
            // Credentials are for the address that was named.
            .max_redirects(0)
            .proxy(None)
            .max_response_header_size(16 << 10)
            .max_idle_connections(1)
            .user_agent(concat!("tracer/", env!("CARGO_PKG_VERSION")))
            // The certificates that the host trusts: those of the site are among them.
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build());
        Self { url, agent: config.build().new_agent(), credentials: credentials.cloned() }
    }

    /// Posts alerts.
    pub(super) fn post(&self, body: String) -> Result<(), Refusal> {
        let mut request = self.agent.post(self.url.alerts()).header("Content-Type", "application/json");
        if let Some(credentials) = &self.credentials {
            request = request.header("Authorization", credentials.header());
        }
        answer(request.send(body)).map(drop)
    }

    /// What an Alertmanager lists of what is selected by `query`.
    pub(super) fn list(&self, query: Vec<(&'static str, String)>) -> Result<String, Refusal> {
        let mut request = self.agent.get(self.url.alerts()).query_pairs(query);
        if let Some(credentials) = &self.credentials {
            request = request.header("Authorization", credentials.header());
        }
        let mut response = answer(request.call())?;
        let listed = response.body_mut().with_config().limit(MOST_LISTED_BYTES).read_to_string();
        listed.map_err(|error| Refusal::Unreachable(shown(&error.to_string())))
    }
}

/// An answer that is yes.
fn answer(answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Refusal> {
    let mut response = answer.map_err(|error| Refusal::Unreachable(shown(&error.to_string())))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    // What it says of it helps, but is not needed.
    let mut said = Vec::new();
    let _ = response.body_mut().as_reader().take(MOST_SAID_BYTES).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(": {}", shown(said)) };
    Err(Refusal::Answered(format!("it answers {status}{said}")))
}

/// Its words are untrusted text.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(MOST_SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    for_terminal(&short).into_owned()
}
