//! All members fail at once: it is something they share.

use super::{Answer, Doubt, Found, Question};
use crate::detect::assessment::{Finding, Verdict};
use crate::detect::health::{CANCELLED, Health, LOCAL, LONGEST, RESET, Tally, WINDOWS_SECONDS};
use crate::detect::words;

/// Failures from which on a window has something to tell.
const TELLING: f64 = 5.0;

pub(super) fn judge(question: &Question) -> Answer {
    if !is_found(question) {
        return nothing_succeeded(question).map_or(Answer::Clear, Answer::Unsure);
    }
    let judge = question.judge;
    let failing: Vec<usize> = failing(question).collect();
    let each = failing.iter().filter_map(|&member| judge.members[member].health.failing());
    let (since_seconds, nats) = (each.chain(judge.health.failing()))
        .fold((f64::INFINITY, 0.0_f64), |(since, nats), found| {
            (since.min(found.since_seconds), nats.max(found.nats))
        });
    Answer::Found(Found {
        verdict: Verdict::PoolFailing,
        since_seconds,
        nats,
        sentence: sentence(question, &failing),
        members: failing.into_iter().map(|member| (member, Finding::Failing)).collect(),
    })
}

fn failing(question: &Question) -> impl Iterator<Item = usize> {
    let members = question.judge.members.iter().enumerate();
    members.filter(|(_, member)| member.health.failing().is_some()).map(|(index, _)| index)
}

/// Whether it is the pool that fails rather than some of its members.
pub(super) fn is_found(question: &Question) -> bool {
    let judge = question.judge;
    let failing = failing(question).count();
    if judge.health.failing().is_some() || failing < 2 {
        return judge.health.failing().is_some();
    }
    let tried = judge
        .members
        .iter()
        .filter(|member| member.health.failing().is_some() || member.health.window(LONGEST).tried > 0.0);
    failing as f64 >= (tried.count() as f64 * judge.settings.pool_failing_share).ceil()
}

fn sentence(question: &Question, failing: &[usize]) -> String {
    let judge = question.judge;
    let (tally, seconds) = telling(&judge.health);
    let ages = failing.iter().filter_map(|&member| judge.members[member].health.median_age_seconds());
    let mut ages: Vec<f64> = ages.collect();
    ages.sort_by(f64::total_cmp);
    let cause = cause(&tally, ages.get(ages.len() / 2).copied());
    let members = judge.roster.expected();
    let who = match failing.len() {
        failing if failing > 1 && failing >= members => format!("all {failing} members fail"),
        failing if failing > 1 && 2 * failing > members => {
            format!("most members fail ({failing} of {members})")
        }
        _ => "the whole pool fails".to_owned(),
    };
    format!("{who}: {cause}, {}", of_attempts(&tally, seconds))
}

/// No attempt of the pool succeeded yet, and there were not enough.
fn nothing_succeeded(question: &Question) -> Option<Doubt> {
    let tally = question.judge.health.window(LONGEST);
    let failures = tally.failures();
    if failures <= 0.0 || tally.succeeded > 0.0 || tally.tried > failures {
        return None;
    }
    let which = match failures {
        1.0 => "the only attempt".to_owned(),
        count => format!("all {count} attempts"),
    };
    let sentence = match (tally.cause(), failures) {
        (0, 1.0) => format!("{which} was refused"),
        (0, _) => format!("{which} were refused"),
        (_, _) => format!("{which} failed: {}", cause(&tally, None)),
    };
    Some(Doubt { sentence, needed: None })
}

/// The shortest window with enough failures in it, and its length, seconds.
pub(super) fn telling(health: &Health) -> (Tally, f64) {
    let longest = WINDOWS_SECONDS.len() - 1;
    let index = (0..longest).find(|&index| health.window(index).failures() >= TELLING).unwrap_or(longest);
    (health.window(index), WINDOWS_SECONDS[index])
}

/// Why attempts fail, in words; with the age at which the balancer gave up, where that is it.
pub(super) fn cause(tally: &Tally, median_age_seconds: Option<f64>) -> String {
    match tally.cause() {
        0 => "connections refused".to_owned(),
        1 => "no answer (timed out)".to_owned(),
        2 => "unreachable".to_owned(),
        CANCELLED => match median_age_seconds {
            Some(age) => format!("no answer before the balancer's own timeout, median {age:.1} s"),
            None => "no answer before the balancer gave up".to_owned(),
        },
        LOCAL => "no local port left on the balancer's own host".to_owned(),
        RESET => "connections are accepted and reset without an answer".to_owned(),
        _ => "attempts to connect end in errors".to_owned(),
    }
}

/// How many of how many, lately.
pub(super) fn of_attempts(tally: &Tally, seconds: f64) -> String {
    let lately = words::duration(seconds);
    format!("{} of {} attempts in the last {lately}", tally.failures(), tally.tried)
}
