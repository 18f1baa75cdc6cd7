//! Traffic to an address that should get none.

use super::{Answer, Question};
use crate::detect::assessment::{Finding, Verdict};
use crate::detect::words;
use crate::pools::Origin;

pub(super) fn judge(question: &Question) -> Answer {
    let judge = question.judge;
    // A count is its own evidence: none was due.
    let told = |member: usize| judge.members[member].stray.found().map(|(got, since)| (since, got));
    let sentence = |member: usize| {
        let got = judge.members[member].stray.found().map_or(0.0, |(got, _)| got);
        let why = match (judge.roster.weight(member), words::origin(judge, member, question.sample)) {
            (Some(_), origin) => format!("its weight is 0{}", origin.in_brackets()),
            (None, Origin::Former(name)) => {
                format!("{name} no longer has this address: the balancer has not resolved it again")
            }
            (None, _) => "it is not declared".to_owned(),
        };
        format!("{} gets new connections ({got} so far), but {why}", question.address(member))
    };
    question
        .of_members(Verdict::UnexpectedBackend, Finding::Unexpected, told, sentence)
        .map_or(Answer::Clear, Answer::Found)
}
