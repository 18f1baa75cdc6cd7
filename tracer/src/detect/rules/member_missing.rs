//! A member that is due a share and gets nothing.

use super::{Answer, Question};
use crate::detect::assessment::{Finding, Verdict};
use crate::detect::words;
use crate::pools::Method;

/// Connections a member was due, per unit of dispersion and beside the logarithm of the number of members, after which
/// having had none is suspicious.
const DUE: f64 = 10.0;
/// Part of the evidence for an absence from which on it is suspicious.
const HALF_WAY: f64 = 0.5;

pub(super) fn judge(question: &Question) -> Answer {
    let judge = question.judge;
    let told = |member: usize| {
        let member = &judge.members[member];
        let missing = member.absence.missing().filter(|_| member.health.failing().is_none())?;
        Some((missing.since_seconds, missing.nats))
    };
    let found = question
        .of_members(Verdict::MemberMissing, Finding::Missing, told, |member| missing(question, member));
    let Some(mut found) = found else { return silent(question) };
    let shares = judge.roster.shares();
    let window = judge.leading().window_since(found.since_seconds, shares, question.now);
    found.sentence.push_str(words::hint(judge, &window, question.sample.pool.method).unwrap_or_default());
    Answer::Found(found)
}

fn missing(question: &Question, member: usize) -> String {
    let Question { judge, now, .. } = *question;
    let address = question.address(member);
    let due = question.due(member);
    let noun = judge.leading().signal.noun();
    let Some(missing) = judge.members[member].absence.missing() else {
        return format!("{address} is missing");
    };
    match (missing.returned_seconds, missing.after_failures) {
        (Some(since), _) => format!(
            "{address} got no {noun} for {}, is served again since {}",
            words::duration(since - missing.since_seconds),
            words::duration(now - since)
        ),
        (None, true) => format!("{address} gets no {noun} after it failed, {due}"),
        (None, false) => format!("{address} gets no {noun}, {due}; no attempt to it failed"),
    }
}

/// A member that has had nothing, not for long enough yet.
fn silent(question: &Question) -> Answer {
    let Question { judge, sample, .. } = question;
    let hashing = sample.pool.method == Method::Hash;
    let least = DUE + (judge.roster.expected() as f64).ln();
    let silent = (0..judge.members.len()).filter(|&member| {
        let absence = &judge.members[member].absence;
        let share = absence.share(judge.roster.shares()[member]);
        let dispersion = judge.leading().bank().dispersion().over(absence.ticks).max(1.0);
        share > 0.0
            && (absence.pool * share >= least * dispersion || (!hashing && absence.progress() > HALF_WAY))
    });
    let without = |member: &usize| judge.members[*member].absence.pool;
    let Some(member) = silent.max_by(|a, b| without(a).total_cmp(&without(b)).then(b.cmp(a))) else {
        return Answer::Clear;
    };
    let absence = &judge.members[member].absence;
    let last = if absence.never_served() { "" } else { "the last " };
    let noun = words::counted(judge.leading().signal);
    let sentence = format!("{} has had none of {last}{} {noun}", question.address(member), absence.pool);
    if hashing {
        return super::Doubt { sentence: sentence + words::CLIENTS, needed: None }.into();
    }
    let lacks = absence.pool * (1.0 / absence.progress().max(1e-3) - 1.0);
    question.sure_after(sentence, lacks).into()
}
