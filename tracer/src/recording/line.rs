//! A line with an interval, field by field, from and to samples. Totals are not in it: they are sums of lines.

use super::count::{Count, MOST};
use super::{Interval, SAMPLE};
use crate::collect::{
    Counters, Failures, Histogram, Stock, Uncounted, each_cause, each_counter, each_uncounted,
};
use crate::pools::{
    Exchanges, ExpectedSource, MemberSample, Method, Origin, PoolIdentity, PoolSample, Recorded,
    parse_backend,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

#[derive(Deserialize, Serialize)]
pub(super) struct SampleLine {
    schema: String,
    pub(super) time: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interval_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    complete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncounted: Option<UncountedLine>,
    pools: Vec<PoolLine>,
}

macro_rules! uncounted_line {
    ($($(#[$doc:meta])* $figure:ident,)*) => {
        #[derive(Deserialize, Serialize)]
        struct UncountedLine {
            $(#[serde(default)] $figure: Count,)*
        }

        impl From<Uncounted> for UncountedLine {
            fn from(uncounted: Uncounted) -> Self {
                Self { $($figure: Count(uncounted.$figure),)* }
            }
        }

        impl From<UncountedLine> for Uncounted {
            fn from(line: UncountedLine) -> Self {
                Self { $($figure: line.$figure.0,)* }
            }
        }
    };
}

each_uncounted!(uncounted_line);

#[derive(Deserialize, Serialize)]
struct PoolLine {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    balancer: Option<String>,
    #[serde(default)]
    method: Method,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected_source: Option<ExpectedSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    vouched: bool,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    judged: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    members: Vec<MemberLine>,
}

fn yes() -> bool {
    true
}

macro_rules! member_line {
    ($($(#[$doc:meta])* $counter:ident,)*) => {
        #[derive(Deserialize, Serialize)]
        struct MemberLine {
            backend: Backend,
            /// The outer `None`: absent; the inner: not declared.
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            weight: Option<Option<f64>>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            at: Option<String>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            former_name: Option<String>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            decisions: Option<Count>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            requests: Option<Count>,
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $counter: Option<Count>,
            )*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            failed: Option<FailedLine>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            live: Option<Count>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pending: Option<Count>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            closing: Option<Count>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            rtt_sum_us: Option<Count>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            connect_buckets: Option<Histogram>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            cancelled_buckets: Option<Histogram>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            exchanges: Option<Count>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            response_buckets: Option<Histogram>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            lifetime_buckets: Option<Histogram>,
        }

        impl MemberLine {
            fn of(member: &MemberSample, complete: bool) -> Self {
                let Counters { $($counter,)* failed, connect_time, cancelled_age, lifetime, .. } =
                    &member.delta;
                let write = |name: &str, count: u64| {
                    let measured = !member.recorded.unmeasured.contains(name);
                    (measured && !(complete && count == 0)).then_some(Count(count))
                };
                let filled = |histogram: &Histogram| (histogram.count() > 0).then(|| histogram.clone());
                let failed = FailedLine::of(failed, write);
                let unmeasured = |name| member.recorded.unmeasured.contains(name);
                // Where nothing ended there is nothing to say.
                let ended = member.delta.closed > 0 || unmeasured("closed") || lifetime.count() > 0;
                let held = ended && !unmeasured("lifetime");
                let decisions = member.decisions != member.delta.attempts
                    || member.recorded.unmeasured.contains("attempts");
                let stock = member.stock;
                let exchanges = &member.exchanges;
                let (at, former_name) = match &member.origin {
                    Origin::Unknown => (None, None),
                    Origin::Written(at) => (Some(at.clone()), None),
                    Origin::Former(name) => (None, Some(name.clone())),
                };
                Self {
                    backend: Backend(member.backend),
                    weight: Some(member.weight),
                    at,
                    former_name,
                    decisions: decisions.then_some(Count(member.decisions)),
                    requests: member.requests.filter(|_| member.requests != exchanges.count).map(Count),
                    $($counter: write(stringify!($counter), *$counter),)*
                    failed: (!failed.is_empty()).then_some(failed),
                    live: stock.map(|stock| Count(stock.live)),
                    pending: stock.and_then(|stock| write("pending", stock.pending)),
                    closing: stock.and_then(|stock| write("closing", stock.closing)),
                    rtt_sum_us: stock.and_then(|stock| write("rtt_sum_us", stock.rtt_sum_us)),
                    connect_buckets: filled(connect_time),
                    cancelled_buckets: filled(cancelled_age),
                    exchanges: exchanges.count.map(Count),
                    response_buckets: exchanges.response_time.clone(),
                    lifetime_buckets: held.then(|| lifetime.clone()),
                }
            }

            /// With counts of the interval; `usual_weight` is that of a member without the field.
            fn sample(self, complete: bool, usual_weight: Option<f64>) -> MemberSample {
                let mut unmeasured = BTreeSet::new();
                let mut read = |name: &'static str, count: Option<Count>| {
                    if count.is_none() && !complete {
                        unmeasured.insert(name);
                    }
                    count.unwrap_or_default().0
                };
                let mut delta = Counters {
                    $($counter: read(stringify!($counter), self.$counter),)*
                    failed: self.failed.unwrap_or_default().failures(&mut read),
                    connect_time: self.connect_buckets.unwrap_or_default(),
                    cancelled_age: self.cancelled_buckets.unwrap_or_default(),
                    exchanges: self.exchanges.unwrap_or_default().0,
                    response_time: self.response_buckets.clone().unwrap_or_default(),
                    lifetime: self.lifetime_buckets.clone().unwrap_or_default(),
                };
                let stock = self.live.map(|live| Stock {
                    live: live.0,
                    pending: read("pending", self.pending),
                    closing: read("closing", self.closing),
                    rtt_sum_us: read("rtt_sum_us", self.rtt_sum_us),
                });
                if self.lifetime_buckets.is_none() && (delta.closed > 0 || unmeasured.contains("closed")) {
                    unmeasured.insert("lifetime");
                }
                if unmeasured.contains("established") {
                    // Their fate is not known: that is what `untracked` says, and it is held against nobody.
                    let unknown = delta.attempts.saturating_sub(delta.failed.total());
                    delta.untracked = delta.untracked.max(unknown);
                }
                MemberSample {
                    backend: self.backend.0,
                    weight: self.weight.unwrap_or(usual_weight),
                    decisions: self.decisions.map_or(delta.attempts, |decisions| decisions.0),
                    requests: self.requests.or(self.exchanges).map(|requests| requests.0),
                    delta,
                    total: Counters::default(),
                    stock,
                    exchanges: Exchanges {
                        count: self.exchanges.map(|count| count.0),
                        response_time: self.response_buckets,
                    },
                    total_exchanges: Exchanges::default(),
                    recorded: Recorded { unmeasured, never_measured: BTreeSet::new() },
                    origin: match (self.former_name, self.at) {
                        (Some(name), _) => Origin::Former(name),
                        (None, Some(at)) => Origin::Written(at),
                        (None, None) => Origin::Unknown,
                    },
                }
            }
        }
    };
}

each_counter!(member_line);

macro_rules! failed_line {
    ($($(#[$doc:meta])* $cause:ident,)*) => {
        #[derive(Default, Deserialize, Serialize)]
        struct FailedLine {
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $cause: Option<Count>,
            )*
        }

        impl FailedLine {
            fn of(failed: &Failures, write: impl Fn(&str, u64) -> Option<Count>) -> Self {
                Self { $($cause: write(stringify!($cause), failed.$cause),)* }
            }

            fn is_empty(&self) -> bool {
                true $(&& self.$cause.is_none())*
            }

            fn failures(self, read: &mut impl FnMut(&'static str, Option<Count>) -> u64) -> Failures {
                Failures { $($cause: read(stringify!($cause), self.$cause),)* }
            }
        }
    };
}

each_cause!(failed_line);

/// A backend's address.
struct Backend(SocketAddr);

impl Serialize for Backend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Backend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_backend(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Tells a field that is `null` from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl SampleLine {
    /// `uncounted` is of the interval alone.
    pub(super) fn of<'a>(
        time_seconds: f64,
        interval_seconds: f64,
        pools: impl Iterator<Item = &'a PoolSample> + Clone,
        uncounted: Option<Uncounted>,
    ) -> Self {
        let mut members = pools.clone().flat_map(|pool| &pool.members);
        let complete = members.all(|member| member.recorded.unmeasured.is_empty());
        Self {
            schema: SAMPLE.to_owned(),
            time: time_seconds,
            interval_seconds: Some(interval_seconds),
            complete,
            uncounted: uncounted.map(UncountedLine::from),
            pools: pools.map(|pool| PoolLine::of(pool, complete)).collect(),
        }
    }

    /// The interval, with counts of it alone. The error says what is wrong.
    pub(super) fn interval(self, interval_seconds: f64) -> Result<Interval<PoolSample>, String> {
        let mut names = HashSet::new();
        for pool in &self.pools {
            if !names.insert((&pool.name, &pool.balancer)) {
                return Err(format!(
                    "pool {:?} is in the line twice: one balancer's pools have names of their own",
                    pool.name
                ));
            }
        }
        let complete = self.complete;
        let pools: Result<Vec<PoolSample>, String> =
            self.pools.into_iter().map(|pool| pool.sample(complete, interval_seconds)).collect();
        Ok(Interval {
            time_seconds: self.time,
            interval_seconds,
            pools: pools?,
            other: None,
            uncounted: self.uncounted.map(Uncounted::from),
        })
    }
}

impl PoolLine {
    fn of(pool: &PoolSample, complete: bool) -> Self {
        let identity = &pool.pool;
        Self {
            name: identity.name.clone(),
            balancer: identity.balancer.clone(),
            method: identity.method,
            expected_source: Some(identity.expected_source),
            source: Some(identity.source.clone()),
            vouched: identity.vouched,
            judged: pool.judged,
            note: pool.note.clone(),
            members: pool.members.iter().map(|member| MemberLine::of(member, complete)).collect(),
        }
    }

    fn sample(self, complete: bool, interval_seconds: f64) -> Result<PoolSample, String> {
        let name = self.name;
        let mut backends = HashSet::new();
        for member in &self.members {
            member.check().map_err(|wrong| format!("pool {name:?}, {}: {wrong}", member.backend.0))?;
            if !backends.insert(member.backend.0) {
                return Err(format!("pool {name:?} has the member {} twice", member.backend.0));
            }
        }
        let weighted = self.members.iter().any(|member| member.weight.is_some());
        let unknown =
            self.members.iter().find(|m| !complete && m.attempts.is_none() && m.decisions.is_none());
        let blind = unknown
            .map(|member| format!("not judged: the attempts of {} were not measured", member.backend.0));
        let expected_source = self.expected_source.unwrap_or(if weighted {
            ExpectedSource::Declared
        } else {
            ExpectedSource::Assumed
        });
        let source = match expected_source {
            ExpectedSource::Declared => "recording",
            ExpectedSource::Assumed => "discovered",
        };
        let usual_weight = (!weighted).then_some(1.0);
        Ok(PoolSample {
            interval_seconds,
            judged: self.judged && blind.is_none(),
            note: match (self.note, blind.filter(|_| self.judged)) {
                (Some(note), Some(blind)) => Some(format!("{note}; {blind}")),
                (note, blind) => note.or(blind),
            },
            members: self.members.into_iter().map(|member| member.sample(complete, usual_weight)).collect(),
            pool: PoolIdentity {
                name,
                balancer: self.balancer,
                source: self.source.unwrap_or_else(|| source.to_owned()),
                expected_source,
                method: self.method,
                vouched: self.vouched,
                // Whoever plays a recording asks about all of it.
                asked: true,
            },
        })
    }
}

impl MemberLine {
    /// What the types of the fields let through.
    fn check(&self) -> Result<(), String> {
        if let Some(Some(weight)) = self.weight
            && !(weight.is_finite() && weight >= 0.0)
        {
            return Err(format!("a weight is a number of 0 or more, not {weight}"));
        }
        let histograms =
            [&self.connect_buckets, &self.cancelled_buckets, &self.response_buckets, &self.lifetime_buckets];
        if histograms.into_iter().flatten().any(|histogram| histogram.count() > MOST) {
            return Err(format!("a histogram counts more than {MOST}"));
        }
        Ok(())
    }
}
