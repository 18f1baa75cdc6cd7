//! How figures are said in sentences, for somebody who is tired.

use super::assessment::Signal;
use super::judge::PoolJudge;
use super::standing::Window;
use crate::pools::{ExpectedSource, Method, Origin, PoolSample};

/// Share from which on one member has nearly everything.
const NEARLY_ALL: f64 = 0.95;
/// What is said of every departure under hashing.
pub(super) const CLIENTS: &str = "; with hashing, shares depend on the clients";

/// What is counted, without saying that it is new.
pub(super) const fn counted(signal: Signal) -> &'static str {
    match signal {
        Signal::Connections | Signal::Live => "connections",
        Signal::Exchanges => "exchanges",
    }
}

pub(super) fn expected(share: f64, source: ExpectedSource) -> String {
    match source {
        ExpectedSource::Declared => format!("declared {}", percent(share)),
        ExpectedSource::Assumed => format!("expected {} (assumed equal shares)", percent(share)),
    }
}

pub(super) fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => "; 1 other member too".to_owned(),
        _ => format!("; {others} other members too"),
    }
}

/// `76.9 %`; small shares have a digit more.
pub(crate) fn percent(share: f64) -> String {
    // Halves go up, whichever way they were rounded on the way here.
    let percent = share * 100.0 + 1e-9;
    if share > 0.0 && percent < 1.0 { format!("{percent:.2} %") } else { format!("{percent:.1} %") }
}

/// `45 s`, `12 min`, `3 h`, `2 days`
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{:.0} s", seconds.max(0.0)),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// What may be behind it when one member gets everything. A method that nobody declared reads as in turn.
pub(super) fn hint(judge: &PoolJudge, window: &Window, method: Method) -> Option<&'static str> {
    let most = (0..judge.roster.len()).filter_map(|member| window.observed(member)).fold(0.0, f64::max);
    let may_be = matches!(method, Method::RoundRobin | Method::Random);
    (may_be && judge.roster.expected() >= 2 && most > NEARLY_ALL)
        .then_some("; all from one client? (client hashing or stickiness)")
}

pub(super) fn origin<'a>(judge: &PoolJudge, member: usize, sample: &'a PoolSample) -> &'a Origin {
    &sample.members[judge.roster.place(member)].origin
}

/// A weight as somebody would write it.
pub(super) fn number(weight: f64) -> String {
    if (1e-3..1e9).contains(&weight) {
        // Thousandths are what anybody wrote; the rest is from dividing.
        ((weight * 1e3).round() / 1e3).to_string()
    } else {
        format!("{weight:.1e}")
    }
}

pub(super) fn more(connections: f64, window: &Window) -> String {
    let connections = connections.ceil().max(1.0);
    if !connections.is_finite() {
        return "more than can be waited for".to_owned();
    }
    let rate = window.pool / window.seconds;
    let wait = if rate > 0.0 { format!(", about {}", duration(connections / rate)) } else { String::new() };
    format!("about {connections} more needed{wait}")
}
