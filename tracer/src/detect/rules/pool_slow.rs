//! All members answer far more slowly than they used to: it is something they share.

use super::{Answer, Found, Question};
use crate::detect::assessment::Verdict;
use crate::detect::slow;

pub(super) fn judge(question: &Question) -> Answer {
    match question.judge.slow.judge() {
        slow::Answer::Found { pool: Some(pool), .. } => Answer::Found(Found {
            verdict: Verdict::PoolSlow,
            members: Vec::new(),
            since_seconds: pool.since_seconds,
            nats: pool.nats,
            sentence: pool.sentence(),
        }),
        _ => Answer::Clear,
    }
}
