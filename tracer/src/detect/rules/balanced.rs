//! Every member gets its share, and enough was seen to say so.

use super::{Answer, Doubt, Found, Question};
use crate::detect::assessment::Verdict;
use crate::detect::standing::whole;
use crate::detect::words;
use crate::pools::ExpectedSource;

/// Connections after which a pool of one declared member is as it should be.
const ENOUGH_FOR_ONE: f64 = 10.0;
/// Silence that is worth a word, seconds.
const IDLE_SECONDS: f64 = 60.0;
/// Part of a threshold from which on nothing should be called balanced.
const HALF_WAY: f64 = 0.5;
/// The same where the pool was balanced before: half a threshold is reached by chance every hour or so, and a verdict
/// should not flutter.
const FAR: f64 = 0.75;

pub(super) fn judge(question: &Question) -> Answer {
    let Question { judge, judged, .. } = question;
    let leading = judge.leading();
    let (noun, seen) = (leading.signal.noun(), leading.seen());
    if judge.roster.expected() == 1 {
        let lacks = ENOUGH_FOR_ONE - seen;
        return if lacks > 0.0 {
            Answer::Unsure(needed(question, lacks))
        } else {
            found(question, format!("the pool's one member gets its {noun}"))
        };
    }
    if leading.bank().eligible() < 2 {
        let sentence = "too few members in service to compare".to_owned();
        return Doubt { sentence, needed: None }.into();
    }
    let lacks = leading.lacks();
    if lacks > 0.0 {
        return needed(question, lacks).into();
    }
    if question.explanation().is_some() {
        return found(question, sentence(question));
    }
    let strongest = leading.bank().strongest();
    let threshold = leading.bank().threshold_in_force();
    let part = if judge.was_balanced { FAR } else { HALF_WAY };
    if strongest.nats >= part * threshold {
        // At the pace of the departure so far, when it would be clear.
        let lacks = strongest.pool * (threshold / strongest.nats - 1.0);
        let sentence = format!("shares look uneven, but not clearly: {}", words::more(lacks, judged));
        return Doubt { sentence, needed: Some(whole(lacks)) }.into();
    }
    found(question, sentence(question))
}

fn found(question: &Question, sentence: String) -> Answer {
    let leading = question.judge.leading();
    Answer::Found(Found {
        verdict: Verdict::Balanced,
        members: Vec::new(),
        since_seconds: leading.watched_from_seconds(),
        nats: leading.bank().strongest().nats,
        sentence,
    })
}

fn sentence(question: &Question) -> String {
    let Question { judge, sample, now, judged } = question;
    let how = match sample.pool.expected_source {
        ExpectedSource::Declared => "as declared",
        ExpectedSource::Assumed => "evenly (assumed equal shares)",
    };
    let leading = judge.leading();
    let line = format!("{} members get {} {how}", judge.roster.expected(), leading.signal.noun());
    let line = match question.explanation() {
        Some(explanation) => format!(
            "{line}, given how long each holds them: {} is done {:.1} × sooner than the others and gets {}",
            question.address(explanation.member),
            1.0 / explanation.times_longer,
            words::percent(explanation.window.observed_of_pool(explanation.member).unwrap_or(0.0)),
        ),
        None => line,
    };
    let idle = now - leading.last_seconds();
    if idle >= IDLE_SECONDS {
        format!("{line}; none came for {}", words::duration(idle))
    } else {
        format!("{line}, {} in {}", judged.pool, words::duration(judged.seconds))
    }
}

/// Too little was seen.
fn needed(question: &Question, lacks: f64) -> Doubt {
    let leading = question.judge.leading();
    let noun = leading.signal.noun();
    let sentence = if leading.seen() <= 0.0 {
        format!("no {noun} yet")
    } else {
        format!("too few {noun} to say: {}", words::more(lacks, &question.judged))
    };
    Doubt { sentence, needed: Some(whole(lacks)) }
}

/// Why there is nothing to judge, whatever comes.
pub(super) fn nothing_to_compare(question: &Question) -> Option<Doubt> {
    let Question { judge, sample, .. } = question;
    let sentence = match judge.roster.expected() {
        0 if judge.roster.len() == 0 => "no members seen yet",
        0 => "no member has a weight: nothing to compare with",
        1 if sample.pool.expected_source == ExpectedSource::Assumed => {
            "one member seen: no shares to compare (assumed equal shares)"
        }
        _ => return None,
    };
    Some(Doubt { sentence: sentence.to_owned(), needed: None })
}
