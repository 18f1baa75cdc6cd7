//! One line in plain words, for somebody who is tired.

use super::assessment::Verdict;
use super::failing::{CANCELLED, LOCAL, LONGEST, Tally, WINDOWS_SECONDS};
use super::judge::PoolJudge;
use super::skew::Skew;
use super::standing::{Standing, Window};
use super::uneven::Uneven;
use crate::imports::INTENDED;
use crate::pools::{ExpectedSource, Method, Origin, PoolIdentity, PoolSample};

/// Share from which on one member has nearly everything.
const NEARLY_ALL: f64 = 0.95;

/// The line for the worst finding.
pub(super) fn finding(
    judge: &PoolJudge,
    worst: &Standing,
    window: &Window,
    sample: &PoolSample,
    now: f64,
) -> String {
    let pool = &sample.pool;
    let due = |member: usize| expected(judge.roster.shares()[member], pool.expected_source);
    let first = worst.members.first().map(|(member, _)| *member);
    let others = worst.members.len().saturating_sub(1);
    match (worst.verdict, first) {
        (Verdict::PoolFailing, _) => pool_failing(judge, worst),
        (Verdict::BackendFailing, Some(member)) => {
            format!("{}{}", failing(judge, member), and_others(others))
        }
        (Verdict::MemberMissing, Some(member)) => {
            let hint = hint(judge, window, pool.method).unwrap_or_default();
            format!("{}{}{hint}", missing(judge, member, &due(member), now), and_others(others))
        }
        (Verdict::UnexpectedBackend, Some(member)) => {
            let got = judge.members[member].stray.found().map_or(0.0, |(got, _)| got);
            let origin = origin(judge, member, sample);
            let why = match (judge.roster.weight(member), origin) {
                (Some(_), origin) => format!("its weight is 0{}", origin.in_brackets()),
                (None, Origin::Former(name)) => {
                    format!("{name} no longer has this address: the balancer has not resolved it again")
                }
                (None, _) => "it is not declared".to_owned(),
            };
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
    line.push_str(hint(judge, window, pool.method).unwrap_or_default());
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
        (None, false) => format!("{address} gets no new connections, {due}; no attempt to it failed"),
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
    line
}

/// The line for a pool that is as declared, and declared oddly.
pub(super) fn uneven(judge: &PoolJudge, uneven: &Uneven, sample: &PoolSample) -> String {
    let weight = judge.roster.weight(uneven.member).unwrap_or(0.0);
    let usual = weight / uneven.ratio;
    let others = match (judge.roster.expected(), uneven.others_are_equal) {
        (..=2, _) => format!("the other has {}", number(usual)),
        (_, true) => format!("the others have {}", number(usual)),
        (_, false) => format!("the median of the others is {}", number(usual)),
    };
    let origin = origin(judge, uneven.member, sample);
    let line = if matches!(origin, Origin::Written(_)) { "that line" } else { "its line" };
    format!(
        "traffic follows the declared weights, but {} has weight {} where {others}{}{}: a typing error? \"# {INTENDED}\" \
         on {line}, or a pools file, vouches for it",
        judge.roster.address(uneven.member),
        number(weight),
        origin.in_brackets(),
        and_others(uneven.more),
    )
}

fn origin<'a>(judge: &PoolJudge, member: usize, sample: &'a PoolSample) -> &'a Origin {
    &sample.members[judge.roster.place(member)].origin
}

/// A weight as somebody would write it.
fn number(weight: f64) -> String {
    if (1e-3..1e9).contains(&weight) {
        // Thousandths are what anybody wrote; the rest is from dividing.
        ((weight * 1e3).round() / 1e3).to_string()
    } else {
        format!("{weight:.1e}")
    }
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
pub(super) fn nothing_to_compare() -> String {
    "too few members in service to compare".to_owned()
}

/// The line for a pool of which no attempt succeeded yet.
pub(super) fn all_failed(tally: &Tally) -> String {
    let which = match tally.failures() {
        1.0 => "the only attempt".to_owned(),
        count => format!("all {count} attempts"),
    };
    match (tally.cause(), tally.failures()) {
        (0, 1.0) => format!("{which} was refused"),
        (0, _) => format!("{which} were refused"),
        (_, _) => format!("{which} failed: {}", cause(tally, None)),
    }
}

/// The line for a member that is passed over since it failed, and for `others`.
pub(super) fn left_out(judge: &PoolJudge, member: usize, others: usize) -> String {
    let tally = judge.members[member].health.window(LONGEST);
    let did = match (tally.cause(), tally.failures()) {
        (_, count) if count <= 0.0 => "failed".to_owned(),
        (0, 1.0) => "refused 1 connection".to_owned(),
        (0, count) => format!("refused {count} connections"),
        (_, 1.0) => "failed once".to_owned(),
        (_, count) => format!("failed {count} times"),
    };
    let address = judge.roster.address(member);
    format!("{address} {did} and is left out; watching whether it comes back{}", and_others(others))
}

/// The beginning of a line for a member that had nothing, though not for long enough.
pub(super) fn has_had_none(judge: &PoolJudge, member: usize) -> String {
    let absence = &judge.members[member].absence;
    let last = if absence.never_served() { "" } else { "the last " };
    format!("{} has had none of {last}{} connections", judge.roster.address(member), absence.pool)
}

/// The line for a member that fails, though not often enough.
pub(super) fn may_fail(judge: &PoolJudge, member: usize, window: usize) -> String {
    let tally = judge.members[member].health.window(window);
    let attempts = of_attempts(tally, WINDOWS_SECONDS[window]);
    format!("{} may be failing: {attempts}; watching", judge.roster.address(member))
}

/// The beginning of a line for a member whose share is off, not surely.
pub(super) fn gets_so_far(judge: &PoolJudge, member: usize, share: f64, source: ExpectedSource) -> String {
    let due = expected(judge.roster.shares()[member], source);
    format!("{} gets {} so far, {due}", judge.roster.address(member), percent(share))
}

/// The line for a slow member that least connections gives less.
pub(super) fn slow_gets_less(judge: &PoolJudge, member: usize, share: f64, ratio: f64) -> String {
    format!(
        "{} gets {} and holds its connections {ratio:.1} x longer than the rest: least connections gives a slow \
         backend less",
        judge.roster.address(member),
        percent(share)
    )
}

/// What may be behind it when one member gets everything. A method that nobody declared reads as in turn.
pub(super) fn hint(judge: &PoolJudge, window: &Window, method: Method) -> Option<&'static str> {
    let most = (0..judge.roster.len()).filter_map(|member| window.observed(member)).fold(0.0, f64::max);
    let may_be = matches!(method, Method::RoundRobin | Method::Random);
    (may_be && judge.roster.expected() >= 2 && most > NEARLY_ALL)
        .then_some("; all from one client? (client hashing or stickiness)")
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
    // Halves go up, whichever way they were rounded on the way here.
    let percent = share * 100.0 + 1e-9;
    if share > 0.0 && percent < 1.0 { format!("{percent:.2} %") } else { format!("{percent:.1} %") }
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{:.0} s", seconds.max(0.0)),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}
