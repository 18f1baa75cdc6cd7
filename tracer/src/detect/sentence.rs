//! One line in plain words, for somebody who is tired.

use super::assessment::Verdict;
use super::conclusion::{Standing, Window};
use super::failing::{CANCELLED, LOCAL, Tally, WINDOWS_SECONDS};
use super::judge::PoolJudge;
use super::skew::Skew;
use crate::pools::{ExpectedSource, Method, PoolIdentity};

/// The line for the worst finding.
pub(super) fn finding(
    judge: &PoolJudge,
    worst: &Standing,
    window: &Window,
    pool: &PoolIdentity,
    now: f64,
) -> String {
    let due = |member: usize| expected(judge.roster.shares()[member], pool.expected_source);
    let first = worst.members.first().map(|(member, _)| *member);
    let others = worst.members.len().saturating_sub(1);
    match (worst.verdict, first) {
        (Verdict::PoolFailing, _) => pool_failing(judge, worst),
        (Verdict::BackendFailing, Some(member)) => {
            format!("{}{}", failing(judge, member), and_others(others))
        }
        (Verdict::MemberMissing, Some(member)) => {
            format!("{}{}", missing(judge, member, &due(member), now), and_others(others))
        }
        (Verdict::UnexpectedBackend, Some(member)) => {
            let got = judge.members[member].stray.found().map_or(0.0, |(got, _)| got);
            let why =
                if judge.roster.weight(member).is_some() { "its weight is 0" } else { "it is not declared" };
            let address = judge.roster.address(member);
            format!("{address} gets new connections ({got} so far), but {why}{}", and_others(others))
        }
        (_, member) => skewed(judge, member, others, window, pool),
    }
}

fn skewed(
    judge: &PoolJudge,
    member: Option<usize>,
    others: usize,
    window: &Window,
    pool: &PoolIdentity,
) -> String {
    let mut line = match (member, judge.skew.as_ref().and_then(spread)) {
        (_, Some(variation)) => format!(
            "new connections are spread unevenly over the whole pool: members differ by about {} from {}",
            percent(variation),
            if pool.expected_source == ExpectedSource::Assumed {
                "assumed equal shares"
            } else {
                "their weights"
            },
        ),
        (Some(member), None) => format!(
            "{} gets {} of new connections, {}{}",
            judge.roster.address(member),
            percent(window.observed(member).unwrap_or(0.0)),
            expected(judge.roster.shares()[member], pool.expected_source),
            and_others(others),
        ),
        (None, None) => "new connections do not follow the expected shares".to_owned(),
    };
    if pool.method == Method::Hash {
        line.push_str("; with hashing, shares depend on the clients");
    }
    line
}

fn spread(skew: &Skew) -> Option<f64> {
    skew.diffuse
}

fn missing(judge: &PoolJudge, member: usize, due: &str, now: f64) -> String {
    let address = judge.roster.address(member);
    let Some(missing) = judge.members[member].absence.missing() else {
        return format!("{address} is missing");
    };
    match (missing.returned_seconds, missing.after_failures) {
        (Some(since), _) => format!(
            "{address} got no new connections for {}, is served again since {}",
            duration(since - missing.since_seconds),
            duration(now - since)
        ),
        (None, true) => format!("{address} gets no new connections after it failed, {due}"),
        (None, false) => format!("{address} gets no new connections, {due}; it did not fail before"),
    }
}

fn failing(judge: &PoolJudge, member: usize) -> String {
    let health = &judge.members[member].health;
    let (tally, seconds) = telling(&|window| *health.window(window));
    let cause = cause(&tally, health.median_age_seconds());
    let address = judge.roster.address(member);
    if tally.cause() == LOCAL {
        return format!("{cause} for {address}: {}", of_attempts(&tally, seconds));
    }
    format!("{address} fails: {cause}, {}", of_attempts(&tally, seconds))
}

fn pool_failing(judge: &PoolJudge, worst: &Standing) -> String {
    let (tally, seconds) = telling(&|window| *judge.health.window(window));
    let ages =
        worst.members.iter().filter_map(|(member, _)| judge.members[*member].health.median_age_seconds());
    let mut ages: Vec<f64> = ages.collect();
    ages.sort_by(f64::total_cmp);
    let cause = cause(&tally, ages.get(ages.len() / 2).copied());
    let members = judge.roster.expected();
    let who = match worst.members.len() {
        failing if failing > 1 && failing >= members => format!("all {failing} members fail"),
        failing if failing > 1 && 2 * failing > members => {
            format!("most members fail ({failing} of {members})")
        }
        _ => "the whole pool fails".to_owned(),
    };
    format!("{who}: {cause}, {}", of_attempts(&tally, seconds))
}

/// The shortest window with enough in it.
fn telling(window: &dyn Fn(usize) -> Tally) -> (Tally, f64) {
    let longest = WINDOWS_SECONDS.len() - 1;
    let index = (0..longest).find(|&index| window(index).failures() >= 5.0).unwrap_or(longest);
    (window(index), WINDOWS_SECONDS[index])
}

fn cause(tally: &Tally, median_age_seconds: Option<f64>) -> String {
    match tally.cause() {
        0 => "connections refused".to_owned(),
        1 => "no answer (timed out)".to_owned(),
        2 => "unreachable".to_owned(),
        CANCELLED => match median_age_seconds {
            Some(age) => format!("no answer before the balancer's own timeout, median {age:.1} s"),
            None => "no answer before the balancer gave up".to_owned(),
        },
        LOCAL => "no local port left on the balancer's own host".to_owned(),
        _ => "attempts to connect end in errors".to_owned(),
    }
}

fn of_attempts(tally: &Tally, seconds: f64) -> String {
    format!("{} of {} attempts in the last {}", tally.failures(), tally.tried, duration(seconds))
}

/// The line for a pool that is as it should be.
pub(super) fn balanced(judge: &PoolJudge, window: &Window, source: ExpectedSource, now: f64) -> String {
    let how = match source {
        ExpectedSource::Declared => "as declared",
        ExpectedSource::Assumed => "evenly (assumed equal shares)",
    };
    let members = judge.roster.expected();
    let mut line = format!("{members} members get new connections {how}");
    let idle = now - judge.last_connection_seconds;
    if idle >= 60.0 {
        line.push_str(&format!("; none came for {}", duration(idle)));
    } else {
        line.push_str(&format!(", {} in {}", window.pool, duration(window.seconds)));
    }
    let left_out: Vec<String> = (0..judge.roster.len())
        .filter(|&member| judge.members[member].ejection.is_ejected())
        .map(|member| judge.roster.address(member).to_string())
        .collect();
    if !left_out.is_empty() {
        line.push_str(&format!("; left out after failures: {}", left_out.join(", ")));
    }
    line
}

/// The line for a pool that too little was seen of.
pub(super) fn needed(connections: f64, window: &Window, nothing_yet: bool) -> String {
    if nothing_yet {
        return "no new connections yet".to_owned();
    }
    format!("too few new connections to say: {}", more(connections, window))
}

/// The line for a pool that departs, not clearly.
pub(super) fn doubtful(connections: f64, window: &Window) -> String {
    format!("shares look uneven, but not clearly: {}", more(connections, window))
}

fn more(connections: f64, window: &Window) -> String {
    let connections = connections.ceil().max(1.0);
    if !connections.is_finite() {
        return "more than can be waited for".to_owned();
    }
    let rate = window.pool / window.seconds;
    let wait = if rate > 0.0 { format!(", about {}", duration(connections / rate)) } else { String::new() };
    format!("about {connections} more needed{wait}")
}

/// The line for a pool in which nobody is due anything.
pub(super) fn nobody_expected(members: usize) -> String {
    let line =
        if members == 0 { "no members seen yet" } else { "no member has a weight: nothing to compare with" };
    line.to_owned()
}

/// The line for a pool whose only declared member gets everything.
pub(super) fn only_one() -> String {
    "the pool's one member gets its new connections".to_owned()
}

/// The line for an undeclared pool with one backend.
pub(super) fn only_one_seen() -> String {
    "one member seen: no shares to compare (assumed equal shares)".to_owned()
}

/// The line for a pool of which too few members are in service to compare.
pub(super) fn left_out(judge: &PoolJudge) -> String {
    let out = (0..judge.roster.len()).find(|&member| judge.members[member].ejection.is_ejected());
    out.map_or_else(
        || "too few members in service to compare".to_owned(),
        |member| format!("{} is left out after failures: nothing to compare", judge.roster.address(member)),
    )
}

fn expected(share: f64, source: ExpectedSource) -> String {
    match source {
        ExpectedSource::Declared => format!("declared {}", percent(share)),
        ExpectedSource::Assumed => format!("expected {} (assumed equal shares)", percent(share)),
    }
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => "; 1 other member too".to_owned(),
        _ => format!("; {others} other members too"),
    }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 1.0 { format!("{percent:.2} %") } else { format!("{percent:.1} %") }
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{:.0} s", seconds.max(0.0)),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}
