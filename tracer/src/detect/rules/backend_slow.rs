//! One or few members answer far more slowly than the rest; under least connections shares move as a consequence.

use super::{Answer, Doubt, Found, Question};
use crate::detect::assessment::{Finding, Verdict};
use crate::detect::explanation::Explanation;
use crate::detect::slow;
use crate::detect::words;

pub(super) fn judge(question: &Question) -> Answer {
    let explanation = question.explanation().filter(Explanation::is_slow);
    match (question.judge.slow.judge(), explanation) {
        (slow::Answer::Found { members, .. }, explanation) if !members.is_empty() => {
            Answer::Found(found(question, members, explanation.as_ref()))
        }
        (_, Some(explanation)) => gets_less(question, &explanation),
        (_, None) => Answer::Clear,
    }
}

fn found(question: &Question, mut members: Vec<slow::Slow>, explanation: Option<&Explanation>) -> Found {
    members.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()).then(a.member.cmp(&b.member)));
    let first = members.first();
    let mut sentence = first.map(|slow| slow.sentence(question.address(slow.member))).unwrap_or_default();
    sentence.push_str(&words::and_others(members.len().saturating_sub(1)));
    if let Some(explanation) = explanation
        && first.is_some_and(|slow| slow.member == explanation.member)
    {
        let share = explanation.window.observed_of_pool(explanation.member).unwrap_or(0.0);
        sentence.push_str(&format!("; load-aware balancing gives it less ({})", words::percent(share)));
    }
    Found {
        verdict: Verdict::BackendSlow,
        since_seconds: members.iter().map(|slow| slow.since_seconds).fold(f64::INFINITY, f64::min),
        nats: members.iter().map(|slow| slow.nats).fold(0.0, f64::max),
        members: members.iter().map(|slow| (slow.member, Finding::Slow)).collect(),
        sentence,
    }
}

/// A member that load-aware balancing gives less because it is slow.
fn gets_less(question: &Question, explanation: &Explanation) -> Answer {
    let member = explanation.member;
    let sentence = format!(
        "{} gets {} and holds its connections {:.1} × longer than the rest: load-aware balancing gives a slow backend less",
        question.address(member),
        words::percent(explanation.window.observed_of_pool(member).unwrap_or(0.0)),
        explanation.times_longer,
    );
    let spread = question.judge.leading();
    match spread.episode().filter(|_| spread.is_surely_explained()) {
        Some(episode) => Answer::Found(Found {
            verdict: Verdict::BackendSlow,
            members: vec![(member, Finding::Slow)],
            since_seconds: episode.since_seconds,
            nats: episode.nats,
            sentence,
        }),
        None => Doubt { sentence, needed: None }.into(),
    }
}
