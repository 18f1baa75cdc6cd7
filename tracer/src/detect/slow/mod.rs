//! Who answers slowly: a member against the others, and a pool against its own past. detector.md §7, §10;
//! detector-study.md §5, channel S.
//!
//! | file | question |
//! |---|---|
//! | `spread`, `cut` | how are durations spread, and how likely is a long one? |
//! | `run` | one sequential test and its flag |
//! | `times` | whose responses, connects, or connections take longer than those of the others? |
//! | `memory` | how fast is it forgotten what a member did? |
//! | `past` | do all of them take longer than before? |
//! | `lifetimes` | who holds connections for longer, also those that do not end? (where responses are not measured) |
//! | `finding` | what is said of it |

mod cut;
mod finding;
mod lifetimes;
mod memory;
mod past;
mod run;
mod spread;
#[cfg(test)]
mod tests;
mod times;

pub(super) use finding::{Answer, Measure, PoolSlow, Slow};
pub(super) use spread::Durations;

use super::Settings;
use lifetimes::Lifetimes;
use run::{Flag, Rule};
use times::{Kind, Times};

/// A member up to so many times slower than the others is fine. detector.md §10.
const MARGIN: f64 = 1.5;
/// Slowness that is tested. detector.md §10. Members that are faster are no finding.
const ALTERNATIVES: [f64; 2] = [2.5, 8.0];
/// Tests of a member at a time: two cuts of response times, or of held times as well as lifetimes, and two of connect
/// times, at two alternatives each.
const TESTS: f64 = 10.0;
/// Responses within this time are not slow, whatever the others do: within it, scheduling decides. Own choice.
const RESPONSES: Kind = Kind {
    of: |pace| pace.response_time,
    floor_ns: 1e6,
    ceiling_ns: f64::INFINITY,
    has_past: true,
    measures: [Measure::ResponseTime, Measure::UpperResponseTime],
};
/// The same of connects, where a member in another building is no news. Own choice.
const CONNECTS: Kind = Kind {
    of: |pace| pace.connect_time,
    floor_ns: 5e6,
    ceiling_ns: f64::INFINITY,
    has_past: true,
    measures: [Measure::ConnectTime, Measure::UpperConnectTime],
};
/// How long connections were held that ended; connecting is part of it, hence the floor. When a member begins again, what it
/// held ends at once, the long ones foremost, and afterwards only short ones have had time to end: for as long as connections
/// last, it seems slow itself and then the others do. Of more than two ticks nothing is said by this; the stock tells soon
/// enough (`lifetimes`). What holds all connections for longer may be their clients: a pool is not compared with its past.
/// Own choices.
const HELD: Kind = Kind {
    of: |pace| pace.held_time,
    floor_ns: 5e6,
    ceiling_ns: 2e9,
    has_past: false,
    measures: [Measure::HeldTime, Measure::UpperHeldTime],
};

/// Part of the evidence for a slow member from which on it may well be one. Own choice: chance alone comes so far once
/// in a hundred runs.
const SUSPICIOUS: f64 = 0.25;

/// No interval is longer; what says so is not looked at. Seconds: a century.
const LONGEST_SECONDS: f64 = 3.2e9;

/// What one member did in an interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace<'a> {
    /// Response times of the interval; `None`: not measured.
    pub(super) response_time: Option<Durations<'a>>,
    /// Connect times of the interval; `None`: not measured.
    pub(super) connect_time: Option<Durations<'a>>,
    /// How long the connections were held that ended in it; `None`: not measured.
    pub(super) held_time: Option<Durations<'a>>,
    /// Live connections at its end; `None`: not measured.
    pub(super) live: Option<f64>,
    /// Connections that ended in it; `None`: not measured.
    pub(super) closed: Option<f64>,
    /// Whether it is due a share, and neither failing nor missing nor ejected.
    pub(super) takes_part: bool,
}

/// What is kept of a pool's pace.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Slowness {
    responses: Times,
    connects: Times,
    held: Times,
    lifetimes: Lifetimes,
    /// Time with traffic, seconds.
    traffic_seconds: f64,
    /// Height at which a flag is raised at present, nats.
    raise: f64,
    members: usize,
    taking_part: usize,
    now_seconds: f64,
}

impl Slowness {
    /// Takes in one interval of every member, which began and ended then.
    pub(super) fn tick(&mut self, paces: &[Pace], began_seconds: f64, now_seconds: f64, settings: &Settings) {
        let seconds = now_seconds - began_seconds;
        if !(seconds > 0.0 && seconds < LONGEST_SECONDS) {
            return;
        }
        self.members = paces.len();
        self.taking_part = paces.iter().filter(|pace| pace.takes_part).count();
        self.now_seconds = now_seconds;
        let learning = self.traffic_seconds < settings.learning_seconds;
        let tests = TESTS * self.taking_part as f64;
        let rule = Rule::new(settings, tests, learning, (began_seconds, now_seconds));
        self.raise = rule.raise;
        let answered = self.responses.tick(paces, &RESPONSES, &rule);
        let connected = self.connects.tick(paces, &CONNECTS, &rule);
        // Where connections are kept, how long they are held tells of idleness.
        let held = if self.responses.is_measured() {
            self.held.forget();
            self.lifetimes.forget();
            false
        } else {
            let ended = self.held.tick(paces, &HELD, &rule);
            self.lifetimes.tick(paces, &rule) || ended
        };
        if answered || connected || held {
            self.traffic_seconds += seconds;
        }
    }

    /// Other members, or the same in other places: `from` tells for each where it was, if anywhere.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        self.responses.rearrange(from);
        self.connects.rearrange(from);
        self.held.rearrange(from);
        self.lifetimes.rearrange(from);
        self.members = from.len();
    }

    /// Whether everything that is kept is of so many members.
    pub(super) fn is_whole(&self, members: usize) -> bool {
        self.members == members
            && self.responses.is_whole(members)
            && self.connects.is_whole(members)
            && self.held.is_whole(members)
            && self.lifetimes.is_whole(members)
    }

    /// Whether anything is found.
    pub(super) fn is_found(&self) -> bool {
        [&self.responses, &self.connects, &self.held].iter().any(|times| times.is_found())
            || self.lifetimes.is_found()
    }

    /// Whether a member answers, or holds connections, as if it were slow, though that is not sure yet.
    pub(super) fn is_suspected(&self, member: usize) -> bool {
        self.is_suspected_by(&self.responses, member) || self.is_suspected_by(&self.held, member)
    }

    fn is_suspected_by(&self, times: &Times, member: usize) -> bool {
        let enough = SUSPICIOUS * self.raise.max(f64::MIN_POSITIVE);
        times.flag(member).is_some() || times.evidence(member) >= enough
    }

    /// Whether a member's connections that ended were held for no longer than those of the others, of so many that it would
    /// show: then what it holds are few that last, which is their clients' doing.
    pub(super) fn is_as_fast_by_ended(&self, member: usize) -> bool {
        self.held.is_enough_of(member, self.raise, self.now_seconds)
            && !self.is_suspected_by(&self.held, member)
    }

    /// Who is slow. Held times and lifetimes count where responses are not measured.
    pub(super) fn judge(&self) -> Answer {
        let slow = |member: usize| {
            let times = |times: &Times, kind: &Kind| {
                times.flag(member).map(|flag| (kind.measures[flag.test / ALTERNATIVES.len()], *flag))
            };
            let lasting = || self.lifetimes.flag(member).map(|flag| (Measure::Lifetime, *flag));
            let found = times(&self.responses, &RESPONSES)
                .or_else(|| times(&self.held, &HELD))
                .or_else(lasting)
                .or_else(|| times(&self.connects, &CONNECTS));
            found.map(|(measure, flag)| of_member(member, measure, &flag))
        };
        if self.is_found() {
            let members = (0..self.members).filter_map(slow).collect();
            let pool = of_pool(&self.responses, &RESPONSES).or_else(|| of_pool(&self.connects, &CONNECTS));
            return Answer::Found { members, pool };
        }
        let enough = if self.responses.is_measured() {
            self.responses.is_enough(self.raise, self.now_seconds)
        } else {
            self.held.is_enough(self.raise, self.now_seconds) || self.lifetimes.is_enough(self.raise)
        };
        if enough && self.taking_part > 1 { Answer::Clear } else { Answer::NotEnough }
    }
}

fn of_member(member: usize, measure: Measure, flag: &Flag) -> Slow {
    let &Flag { since_seconds, nats, own_seconds, rest_seconds, .. } = flag;
    Slow { member, measure, own_seconds, rest_seconds, since_seconds, nats }
}

fn of_pool(times: &Times, kind: &Kind) -> Option<PoolSlow> {
    let (flag, members) = times.past().flag()?;
    let [measure, _] = kind.measures;
    let &Flag { since_seconds, nats, own_seconds, rest_seconds, .. } = flag;
    let (present_seconds, before_seconds) = (own_seconds, rest_seconds);
    Some(PoolSlow { measure, members, before_seconds, present_seconds, since_seconds, nats })
}

/// Everybody's state in its new place; those who are new begin.
fn rearranged<T: Clone + Default>(old: &[T], from: &[Option<usize>]) -> Vec<T> {
    from.iter().map(|from| from.and_then(|from| old.get(from)).cloned().unwrap_or_default()).collect()
}
