//! One or few members answer far more slowly than the rest; under least connections shares move as a consequence.

use super::{Answer, Doubt, Question};
use crate::detect::words;

pub(super) fn judge(question: &Question) -> Answer {
    gets_less(question).map_or(Answer::Clear, Answer::Unsure)
}

/// A slow member that least connections gives less.
fn gets_less(question: &Question) -> Option<Doubt> {
    let Question { judge, sample, .. } = question;
    let (member, ratio, window) =
        judge.spreads().find_map(|spread| judge.slow_gets_less(spread, sample.pool.method))?;
    let sentence = format!(
        "{} gets {} and holds its connections {ratio:.1} x longer than the rest: least connections gives a slow \
         backend less",
        question.address(member),
        words::percent(window.observed_of_pool(member).unwrap_or(0.0))
    );
    Some(Doubt { sentence, needed: None })
}
