//! One or few members fail far more than the rest.

use super::pool_failing::{self, cause, of_attempts, telling};
use super::{Answer, Doubt, Found, Question};
use crate::detect::assessment::{Finding, Verdict};
use crate::detect::explanation::Explanation;
use crate::detect::health::{self, LOCAL, LONGEST, RESET, Tally, WINDOWS_SECONDS};
use crate::detect::words;

/// Failures that may become a finding, and how many standard deviations their rate lies above what is too much.
const FAILURES: f64 = 3.0;
const DEVIATIONS: f64 = 1.5;

pub(super) fn judge(question: &Question) -> Answer {
    let judge = question.judge;
    if pool_failing::is_found(question) {
        return Answer::Clear;
    }
    let told = |member: usize| {
        judge.members[member].health.failing().map(|failing| (failing.since_seconds, failing.nats))
    };
    let found = question
        .of_members(Verdict::BackendFailing, Finding::Failing, told, |member| failing(question, member));
    let found = found.or_else(|| hollow(question));
    let unsure = || left_out(question).or_else(|| may_fail(question)).map_or(Answer::Clear, Answer::Unsure);
    found.map_or_else(unsure, Answer::Found)
}

fn failing(question: &Question, member: usize) -> String {
    let health = &question.judge.members[member].health;
    let (tally, seconds) = telling(health);
    let cause = cause(&tally, health.median_age_seconds());
    let address = question.address(member);
    let attempts = of_attempts(&tally, seconds);
    match tally.cause() {
        LOCAL => format!("{cause} for {address}: {attempts}"),
        RESET => format!("{address} fails: {cause}, {attempts}: look at the application behind it"),
        _ => format!("{address} fails: {cause}, {attempts}"),
    }
}

/// A member that attracts traffic because it is done with it at once, and answers next to nothing: errors, most likely.
fn hollow(question: &Question) -> Option<Found> {
    let explanation = question.explanation().filter(Explanation::is_hollow)?;
    let member = explanation.member;
    let spread = question.judge.leading();
    let episode = spread.episode()?;
    let sentence = format!(
        "{} is done {:.0} × sooner than the others, with {:.0} % of their bytes, and so attracts {} of {}: it likely \
         answers with errors",
        question.address(member),
        1.0 / explanation.times_longer,
        100.0 * explanation.bytes.unwrap_or(0.0),
        words::percent(explanation.window.observed(member).unwrap_or(0.0)),
        spread.signal.noun(),
    );
    Some(Found {
        verdict: Verdict::BackendFailing,
        members: vec![(member, Finding::Failing)],
        since_seconds: episode.since_seconds,
        nats: episode.nats,
        sentence,
    })
}

/// Who is passed over since it failed may come back, and may not.
fn left_out(question: &Question) -> Option<Doubt> {
    let judge = question.judge;
    let mut out = (0..judge.members.len()).filter(|&member| judge.members[member].ejection.is_ejected());
    let member = out.next()?;
    let tally = judge.members[member].health.window(LONGEST);
    let did = match (tally.cause(), tally.failures()) {
        (_, count) if count <= 0.0 => "failed".to_owned(),
        (0, 1.0) => "refused 1 connection".to_owned(),
        (0, count) => format!("refused {count} connections"),
        (_, 1.0) => "failed once".to_owned(),
        (_, count) => format!("failed {count} times"),
    };
    let sentence = format!(
        "{} {did} and is left out; watching whether it comes back{}",
        question.address(member),
        words::and_others(out.count())
    );
    Some(Doubt { sentence, needed: None })
}

/// A member that fails, not often enough to be sure.
fn may_fail(question: &Question) -> Option<Doubt> {
    let judge = question.judge;
    if !judge.members.iter().any(|member| member.health.may_have_failed()) {
        return None;
    }
    let mut all = [Tally::default(); WINDOWS_SECONDS.len()];
    for (window, sum) in all.iter_mut().enumerate() {
        judge.members.iter().for_each(|member| sum.add(&member.health.window(window)));
    }
    let suspicious = |member: usize, window: usize| {
        let own = judge.members[member].health.window(window);
        let limit = health::limit(&all[window].without(&own), &judge.settings);
        own.failures() >= FAILURES && health::low(&own, DEVIATIONS) > limit
    };
    let (member, window) = (0..judge.members.len()).find_map(|member| {
        (0..WINDOWS_SECONDS.len()).find(|&window| suspicious(member, window)).map(|window| (member, window))
    })?;
    let attempts = of_attempts(&judge.members[member].health.window(window), WINDOWS_SECONDS[window]);
    let sentence = format!("{} may be failing: {attempts}; watching", question.address(member));
    Some(Doubt { sentence, needed: None })
}
