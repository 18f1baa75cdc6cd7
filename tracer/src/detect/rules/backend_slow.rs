//! One or few members answer far more slowly than the rest; under least connections shares move as a consequence.

use super::{Answer, Doubt, Found, Question};
use crate::detect::assessment::{Finding, Verdict};
use crate::detect::slow;
use crate::detect::words;

pub(super) fn judge(question: &Question) -> Answer {
    let slow::Answer::Found { mut members, .. } = question.judge.slow.judge() else {
        return gets_less(question).map_or(Answer::Clear, Answer::Unsure);
    };
    members.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()).then(a.member.cmp(&b.member)));
    let Some(slowest) = members.first() else { return Answer::Clear };
    let mut sentence = slowest.sentence(question.address(slowest.member));
    sentence.push_str(&words::and_others(members.len() - 1));
    if let Some(explanation) = question.explanation() {
        let share = explanation.window.observed_of_pool(slowest.member).unwrap_or(0.0);
        sentence.push_str(&format!("; load-aware balancing gives it less ({})", words::percent(share)));
    }
    Answer::Found(Found {
        verdict: Verdict::BackendSlow,
        since_seconds: members.iter().map(|slow| slow.since_seconds).fold(f64::INFINITY, f64::min),
        nats: members.iter().map(|slow| slow.nats).fold(0.0, f64::max),
        members: members.iter().map(|slow| (slow.member, Finding::Slow)).collect(),
        sentence,
    })
}

/// A member that load-aware balancing gives less, slow as it is, though not surely.
fn gets_less(question: &Question) -> Option<Doubt> {
    let explanation = question.explanation().filter(|explanation| explanation.times_longer > 1.0)?;
    let sentence = format!(
        "{} gets {} and holds its connections {:.1} × longer than the rest: least connections gives a slow backend less",
        question.address(explanation.member),
        words::percent(explanation.window.observed_of_pool(explanation.member).unwrap_or(0.0)),
        explanation.times_longer,
    );
    Some(Doubt { sentence, needed: None })
}
