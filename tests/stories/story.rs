//! What a story says: the language of `tests/fixtures/detect`, as its README explains it. Reads, and checks what can be
//! checked without telling it.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;
use tracer::detect::{Finding, Verdict};
use tracer::pools::{ExpectedSource, Method};

/// Something said of members, by their names.
pub(crate) type ByMember<T> = BTreeMap<Spanned<String>, T>;

/// A stream, what is done to it, and what has to be said of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Story {
    /// What it is about: a sentence, shown when it fails.
    pub(crate) what: String,
    #[serde(default = "twenty")]
    pub(crate) runs: u32,
    /// Runs in which everything has to hold; all of them where it is absent.
    pub(crate) holds_in: Option<u32>,
    pub(crate) pool: Pool,
    pub(crate) traffic: Traffic,
    #[serde(default)]
    pub(crate) balancer: Balancer,
    pub(crate) health_checks: Option<HealthChecks>,
    /// Connections that were there before the tracer.
    #[serde(default)]
    pub(crate) adopted: ByMember<u64>,
    pub(crate) phase: Vec<Spanned<Phase>>,
}

fn twenty() -> u32 {
    20
}

/// What is declared at the start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    pub(crate) method: Method,
    pub(crate) members: Members,
    /// Addresses that nobody declared.
    #[serde(default)]
    pub(crate) strangers: Vec<String>,
    #[serde(default)]
    pub(crate) weights: ByMember<f64>,
    #[serde(default = "declared")]
    pub(crate) expected: ExpectedSource,
    #[serde(default = "yes")]
    pub(crate) vouched: bool,
    /// Whether exchanges are measured.
    #[serde(default = "yes")]
    pub(crate) exchanges: bool,
}

fn declared() -> ExpectedSource {
    ExpectedSource::Declared
}

fn yes() -> bool {
    true
}

/// Names, or how many: these are called `m1`, `m2` and so on.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "members are a number or a list of names")]
pub(crate) enum Members {
    Count(usize),
    Names(Vec<String>),
}

impl Members {
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Count(count) => (1..=*count).map(|number| format!("m{number}")).collect(),
            Self::Names(names) => names.clone(),
        }
    }
}

/// What comes in, and what becomes of it. A phase says what is different in it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traffic {
    pub(crate) connections_per_second: Option<f64>,
    pub(crate) connections_per_minute: Option<f64>,
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) arrivals: Option<Arrivals>,
    pub(crate) curve: Option<Curve>,
    pub(crate) requests_per_connection: Option<u32>,
    pub(crate) pause_seconds: Option<f64>,
    pub(crate) response_seconds: Option<f64>,
    pub(crate) held_seconds: Option<f64>,
}

/// How arrivals follow each other.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arrivals {
    /// Independently of each other.
    Random,
    /// Always the same time apart.
    Even,
}

/// How the rate goes over a phase.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Curve {
    Steady,
    /// Down to a hundredth in the middle of the phase, and up again.
    Night,
}

/// What arrives, each of which the balancer has to choose a member for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    Connections(f64),
    /// Requests: connections are kept and used again.
    Requests(f64),
}

impl Traffic {
    /// This, but for what `other` says otherwise.
    pub(crate) fn but(&self, other: &Self) -> Self {
        let base = if other.rate().is_some() {
            Self {
                connections_per_second: None,
                connections_per_minute: None,
                requests_per_second: None,
                ..self.clone()
            }
        } else {
            self.clone()
        };
        Self {
            connections_per_second: other.connections_per_second.or(base.connections_per_second),
            connections_per_minute: other.connections_per_minute.or(base.connections_per_minute),
            requests_per_second: other.requests_per_second.or(base.requests_per_second),
            arrivals: other.arrivals.or(base.arrivals),
            curve: other.curve.or(base.curve),
            requests_per_connection: other.requests_per_connection.or(base.requests_per_connection),
            pause_seconds: other.pause_seconds.or(base.pause_seconds),
            response_seconds: other.response_seconds.or(base.response_seconds),
            held_seconds: other.held_seconds.or(base.held_seconds),
        }
    }

    /// What arrives, per second.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let by_minute = || self.connections_per_minute.map(|rate| rate / 60.0);
        let connections = self.connections_per_second.or_else(by_minute).map(Rate::Connections);
        connections.or_else(|| self.requests_per_second.map(Rate::Requests))
    }

    fn rates(&self) -> usize {
        [self.connections_per_second, self.connections_per_minute, self.requests_per_second]
            .iter()
            .flatten()
            .count()
    }
}

/// How the balancer in the story chooses. A phase says what is different in it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Balancer {
    /// As declared where it is absent.
    pub(crate) chooses: Option<Method>,
    pub(crate) workers: Option<usize>,
    /// Weights it has instead of the declared ones.
    #[serde(default)]
    pub(crate) weights: ByMember<f64>,
    pub(crate) clients: Option<u32>,
    /// Share of the arrivals that come from one client.
    pub(crate) heaviest: Option<f64>,
    /// A worker leaves out a member that failed for so long, and tries another one.
    pub(crate) ejects_seconds: Option<f64>,
}

/// The balancer's own health checks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthChecks {
    pub(crate) every_seconds: f64,
    #[serde(default = "three")]
    pub(crate) fall: u32,
    #[serde(default = "two")]
    pub(crate) rise: u32,
}

fn three() -> u32 {
    3
}

fn two() -> u32 {
    2
}

/// A stretch of time in which things are as it says; what it does not say is as at the start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) seconds: u32,
    #[serde(default)]
    pub(crate) traffic: Traffic,
    #[serde(default)]
    pub(crate) balancer: Balancer,
    #[serde(default)]
    pub(crate) members: ByMember<Acts>,
    /// What is declared from here on.
    #[serde(default)]
    pub(crate) declare: Declare,
    /// The balancer's workers are replaced; connections of the old ones live on.
    #[serde(default)]
    pub(crate) reload: bool,
    /// The balancer is started again: every connection ends.
    #[serde(default)]
    pub(crate) restart: bool,
    /// The tracer is started again, with what it wrote down.
    #[serde(default)]
    pub(crate) agent_restarts: bool,
    #[serde(default)]
    pub(crate) expect: Vec<Spanned<Expect>>,
}

/// A change of the declaration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declare {
    #[serde(default)]
    pub(crate) weights: ByMember<f64>,
    #[serde(default)]
    pub(crate) join: Vec<String>,
    #[serde(default)]
    pub(crate) leave: Vec<Spanned<String>>,
}

/// What a member does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acts {
    /// What the balancer really gives it.
    pub(crate) weight: Option<f64>,
    pub(crate) fails: Option<Cause>,
    /// Share of the attempts that fail.
    pub(crate) rate: Option<f64>,
    /// Age at which they do.
    pub(crate) after_seconds: Option<f64>,
    /// Not running: its connections are reset when the phase begins, new ones refused.
    #[serde(default)]
    pub(crate) down: bool,
    /// Share of its connections that it resets before it has sent a byte.
    pub(crate) resets: Option<f64>,
    /// How many times longer its responses take.
    pub(crate) slow: Option<f64>,
    pub(crate) requests_per_connection: Option<u32>,
}

/// Why attempts fail.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    Refused,
    TimedOut,
    Unreachable,
    Cancelled,
    Local,
    Other,
}

/// What has to be said, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Seconds after the phase began, both included.
    pub(crate) from: Option<u32>,
    pub(crate) until: Option<u32>,
    /// It has to be so not at once, but from at most so many seconds later on.
    pub(crate) within: Option<u32>,
    #[serde(default)]
    pub(crate) verdict: Vec<Named>,
    /// Neither the verdict nor among the findings.
    #[serde(default)]
    pub(crate) never: Vec<Named>,
    /// The verdict, or among the findings, for so many seconds at most.
    #[serde(default)]
    pub(crate) at_most: BTreeMap<Named, u32>,
    /// Who is named, and as what; nobody else is.
    pub(crate) found: Option<ByMember<Found>>,
    pub(crate) signal: Option<String>,
    #[serde(default)]
    pub(crate) says: Vec<String>,
    /// How many times a finding began.
    pub(crate) episodes: Option<u32>,
    /// It began in the first so many seconds of the phase.
    pub(crate) since_within: Option<f64>,
}

/// A verdict by its name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(crate) struct Named(pub(crate) Verdict);

const VERDICTS: [Verdict; 10] = [
    Verdict::PoolFailing,
    Verdict::BackendFailing,
    Verdict::MemberMissing,
    Verdict::UnexpectedBackend,
    Verdict::Skewed,
    Verdict::PoolSlow,
    Verdict::BackendSlow,
    Verdict::UnevenWeights,
    Verdict::Balanced,
    Verdict::InsufficientEvidence,
];

impl TryFrom<String> for Named {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = VERDICTS.into_iter().find(|verdict| verdict.as_str() == name);
        known.map(Self).ok_or_else(|| {
            let names: Vec<&str> = VERDICTS.iter().map(|verdict| verdict.as_str()).collect();
            format!("no verdict is called {name:?}; there are {}", names.join(", "))
        })
    }
}

/// What is found of a member.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Found {
    Over,
    Under,
    Missing,
    Unexpected,
    Failing,
    Slow,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Over => Self::Over,
            Finding::Under => Self::Under,
            Finding::Missing => Self::Missing,
            Finding::Unexpected => Self::Unexpected,
            Finding::Failing => Self::Failing,
            Finding::Slow => Self::Slow,
        }
    }
}

/// Something wrong with a story, and the byte at which it is.
struct Mistake(usize, String);

/// Reads a story; `file` is what it is called in errors.
///
/// # Errors
/// Which file and line are wrong, and how.
pub(crate) fn read(file: &str, text: &str) -> Result<Story, String> {
    let at = |byte: usize, what: &str| format!("{file}:{}: {what}", line(text, byte));
    let story: Story = toml::from_str(text)
        .map_err(|error| at(error.span().map_or(0, |span| span.start), error.message()))?;
    story.check().map_err(|Mistake(byte, what)| at(byte, &what))?;
    Ok(story)
}

/// Number of the line in which a byte is.
pub(crate) fn line(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|&byte| byte == b'\n').count()
}

impl Story {
    /// Every name there ever is, in order: members, strangers, those that join.
    pub(crate) fn names(&self) -> Vec<String> {
        let joined = self.phase.iter().flat_map(|phase| &phase.get_ref().declare.join);
        let mut names = self.pool.members.names();
        for name in self.pool.strangers.iter().chain(joined) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    fn check(&self) -> Result<(), Mistake> {
        let names = self.names();
        if names.is_empty() || self.phase.is_empty() || self.runs == 0 {
            return Err(Mistake(0, "a story has members, phases and at least one run".to_owned()));
        }
        if self.traffic.rates() != 1 {
            let rates = "connections_per_second, connections_per_minute and requests_per_second";
            return Err(Mistake(0, format!("traffic has exactly one of {rates}")));
        }
        if self.holds_in.is_some_and(|holds| holds == 0 || holds > self.runs) {
            return Err(Mistake(0, "holds_in is from 1 to runs".to_owned()));
        }
        known(&names, self.pool.weights.keys())?;
        known(&names, self.balancer.weights.keys())?;
        known(&names, self.adopted.keys())?;
        for phase in &self.phase {
            phase.get_ref().check(&names, phase.span().start)?;
        }
        Ok(())
    }
}

impl Phase {
    fn check(&self, names: &[String], start: usize) -> Result<(), Mistake> {
        if self.seconds == 0 {
            return Err(Mistake(start, "a phase has at least one second".to_owned()));
        }
        if self.traffic.rates() > 1 {
            return Err(Mistake(start, "a phase has one rate at most".to_owned()));
        }
        known(names, self.members.keys())?;
        known(names, self.balancer.weights.keys())?;
        known(names, self.declare.weights.keys())?;
        known(names, self.declare.leave.iter())?;
        for expect in &self.expect {
            let (start, expect) = (expect.span().start, expect.get_ref());
            expect.check(self.seconds).map_err(|what| Mistake(start, what))?;
            known(names, expect.found.iter().flat_map(BTreeMap::keys))?;
        }
        Ok(())
    }
}

impl Expect {
    /// First and last second of the phase that it is about.
    pub(crate) fn window(&self, phase_seconds: u32) -> (u32, u32) {
        (self.from.unwrap_or(0).max(1), self.until.unwrap_or(phase_seconds))
    }

    /// The second by which it has to be so, where that is not at once.
    pub(crate) fn deadline(&self) -> Option<u32> {
        self.within.map(|within| self.from.unwrap_or(0).saturating_add(within))
    }

    /// Whether it says how things have to be, and not only how not.
    pub(crate) fn has_state(&self) -> bool {
        !self.verdict.is_empty()
            || self.found.is_some()
            || self.signal.is_some()
            || !self.says.is_empty()
            || self.since_within.is_some()
    }

    fn check(&self, phase_seconds: u32) -> Result<(), String> {
        let (from, until) = self.window(phase_seconds);
        if from > until || until > phase_seconds {
            return Err(format!("the phase has {phase_seconds} seconds, and `from` is not after `until`"));
        }
        if !self.has_state() && self.never.is_empty() && self.at_most.is_empty() && self.episodes.is_none() {
            return Err("nothing is expected".to_owned());
        }
        match self.deadline() {
            Some(_) if !self.has_state() => Err("`within` needs something that has to be so then".to_owned()),
            Some(second) if second < from || second > until => {
                Err("`within` is at least one second, and not beyond the last".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The places, among `names`, of who is meant: a name, `first..last`, or `*`.
pub(crate) fn meant(names: &[String], who: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let place = |name: &str| names.iter().position(|known| known == name);
    match who.split_once("..") {
        _ if who == "*" => Some(0..=names.len() - 1),
        Some((first, last)) => Some(place(first)?..=place(last)?),
        None => place(who).map(|place| place..=place),
    }
}

fn known<'a>(names: &[String], mut said: impl Iterator<Item = &'a Spanned<String>>) -> Result<(), Mistake> {
    let unknown = said.find(|who| meant(names, who.get_ref()).is_none());
    unknown.map_or(Ok(()), |who| {
        Err(Mistake(who.span().start, format!("there is no member {:?}", who.get_ref())))
    })
}
