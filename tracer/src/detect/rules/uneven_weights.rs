//! Declared weights that are followed, one of them so far from the others that a typing error is likely.

use super::{Answer, Found, Question, balanced};
use crate::detect::assessment::Verdict;
use crate::detect::uneven::uneven;
use crate::detect::words;
use crate::imports::INTENDED;
use crate::pools::{ExpectedSource, Origin};

pub(super) fn judge(question: &Question) -> Answer {
    let Question { judge, sample, .. } = question;
    let questionable = sample.pool.expected_source == ExpectedSource::Declared && !sample.pool.vouched;
    let Some(uneven) = questionable.then(|| uneven(judge.roster.shares())).flatten() else {
        return Answer::Clear;
    };
    // Whether traffic follows them is asked there.
    let Answer::Found(balanced) = balanced::judge(question) else { return Answer::Clear };
    let weight = judge.roster.weight(uneven.member).unwrap_or(0.0);
    let usual = words::number(weight / uneven.ratio);
    let others = match (judge.roster.expected(), uneven.others_are_equal) {
        (..=2, _) => format!("the other has {usual}"),
        (_, true) => format!("the others have {usual}"),
        (_, false) => format!("the median of the others is {usual}"),
    };
    let origin = words::origin(judge, uneven.member, sample);
    let line = if matches!(origin, Origin::Written(_)) { "that line" } else { "its line" };
    let sentence = format!(
        "traffic follows the declared weights, but {} has weight {} where {others}{}{}: a typing error? \"# {INTENDED}\" \
         on {line}, or a pools file, vouches for it",
        question.address(uneven.member),
        words::number(weight),
        origin.in_brackets(),
        words::and_others(uneven.more),
    );
    Answer::Found(Found { verdict: Verdict::UnevenWeights, sentence, ..balanced })
}
