//! Samples written down, and read again: what was judged once can be judged elsewhere, later, and as fast as it can be
//! read. Pure over readers and writers; only [`open_for_append`] touches a file.
//!
//! A recording is a file of JSON objects, one a line, UTF-8. Each names its schema.
//!
//! # `tracer.sample/1`: one interval
//!
//! ```text
//! {"schema":"tracer.sample/1","time":1767225600.0,"pools":[{"name":"app","balancer":"nginx","method":"round-robin",
//!  "members":[{"backend":"10.0.0.11:8080","weight":1,"attempts":12,"established":12,"failed":{"refused":0},"live":3,
//!    "closed":11,"sent_bytes":1,"received_bytes":1,"exchanges":12,"response_buckets":[[0.001,3],[0.002,8],[0.064,1]]}]}]}
//! ```
//!
//! (here on three lines). Counts are of the interval since the previous line; a bucket is `[upper bound in seconds,
//! count]`, with `null` for the bound of the last. Every line names all pools, and every pool all its members: what a
//! line does not name is gone. Fields that are not known are ignored, blank lines skipped.
//!
//! | field | means | absent |
//! |---|---|---|
//! | `time` | end of the interval, seconds since the epoch; never less than in the line before | an error |
//! | `interval_seconds` | its length | the difference of the times; 1 in the first line |
//! | `complete` | everything was measured: a count that is absent is 0 | false: a count that is absent was not measured |
//! | `uncounted` | `backends`, `connections` and the other figures of [`Uncounted`], of the interval | not measured |
//! | pool `name` | with `balancer` it says which pool this is | an error |
//! | pool `balancer` | what the balancer is called | not known |
//! | pool `method` | `round-robin`, `least-connections`, `hash`, `random` | `round-robin` |
//! | pool `expected_source` | `declared` or `assumed` | `declared` if a member has a weight, else `assumed` |
//! | pool `source` | where it is declared | `recording`, or `discovered` where shares are assumed |
//! | pool `vouched` | false: nobody vouches for its weights, so that very uneven ones are a finding | true |
//! | pool `judged` | false: it is only listed | true |
//! | pool `note` | what the reader should know | none |
//! | `backend` | `ip:port`; IPv6 in brackets; a v4-mapped address is its IPv4 address | an error |
//! | `weight` | expected share, relative to the others; `null`: not declared | not declared if another member has one; 1 if none has |
//! | `at` | `file:line` at which the weight is written | not known |
//! | `former_name` | no member: an address that this host name of a member once had and no longer has | none |
//! | `attempts` and the other counters of [`Counters`](crate::collect::Counters) | words as everywhere | see `complete` |
//! | `decisions` | attempts less health checks: what shares are computed on | `attempts` |
//! | `failed` | failures by cause, of [`Failures`](crate::collect::Failures) | see `complete` |
//! | `live`, `pending`, `closing`, `rtt_sum_us` | sockets present at the end | without `live` none of them is known |
//! | `connect_buckets`, `cancelled_buckets` | times to establish; ages at which the balancer gave up | not known: every `cancelled` counts as a failure |
//! | `exchanges`, `response_buckets` | requests with their responses, and their response times | not measured |
//! | `lifetime_buckets` | how long connections were held that ended, less `probes` and what was not seen from its beginning | not measured, unless `closed` is 0 |
//! | `requests` | exchanges less those of health checks: what shares of exchanges are computed on | `exchanges` |
//!
//! What was not measured speaks for nothing and against nobody: an attempt of which it is not known whether it was
//! established has not failed, and a pool with a member whose attempts are not known is listed and not judged.
//!
//! # `tracer.state/1`: what the detector remembered
//!
//! `{"schema":"tracer.state/1","time":…,"start":true,"host":"lb1","state":{"detector":1,"judges":[…]}}`: everything the
//! judges knew at `time`. A recording begins with one and repeats it every hour, so that a file that was cut before
//! such a line gives the verdicts that were given live. Only two are restored: the first line of a file, and one with
//! `start`, with which a tracer began to write; only there may the time jump, backwards too, and do totals begin
//! anew (with `"continues":true` besides, it is the same tracer, told to look at other pools: totals go on). In between a
//! state is what the replay has reached by itself, and is skipped. States of another detector version are not restored, with a
//! warning: the samples are judged all the same, from nothing.
//!
//! A tracer appends to a recording that exists, beginning with a state of its own. A state that would make too long a line
//! (many thousand backends) is left out: a replay from the start still says what was said live, one from there does not.

#[cfg(test)]
mod continuity;
mod count;
mod file;
mod line;
mod reader;
mod selection;
mod sums;
#[cfg(test)]
mod tests;
mod writer;

pub use file::{OpenError, open_for_append};
pub use reader::{Event, RecordingError, Replay};
pub use selection::Selection;
pub use writer::Recorder;

use crate::agent::AgentState;
use crate::collect::{Other, Uncounted};
use serde::{Deserialize, Serialize};

/// Schema of a line with an interval.
const SAMPLE: &str = "tracer.sample/1";
/// Schema of a line with a state.
const STATE: &str = "tracer.state/1";

/// A line may have so many bytes. What the detector remembers of a host's 4,096 backends takes 13 to 20 MB, in one pool or
/// in pools of three.
pub const LONGEST_LINE: usize = 64 << 20;

/// One interval, with its pools as they happened ([`PoolSample`](crate::pools::PoolSample)) or as they were judged
/// ([`Judged`](crate::agent::Judged)).
#[derive(Clone, Debug, PartialEq)]
pub struct Interval<P> {
    /// When it ended, seconds since the epoch.
    pub time_seconds: f64,
    /// Its length, seconds.
    pub interval_seconds: f64,
    /// Every pool.
    pub pools: Vec<P>,
    /// What is nobody's any more; `None` in a recording.
    pub other: Option<Other>,
    /// What could not be counted where it belongs, since the start; `None` when that was not recorded.
    pub uncounted: Option<Uncounted>,
}

/// A line with a state.
#[derive(Deserialize, Serialize)]
struct StateLine {
    schema: String,
    time: f64,
    #[serde(default)]
    start: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    state: AgentState,
}
