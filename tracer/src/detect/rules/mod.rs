//! One rule a verdict: found, clear, or not enough evidence; and the verdict that follows from all of them.
//!
//! Every rule looks at what [`PoolJudge`] remembers after a tick, and answers with its figures and one plain sentence.
//! The most severe that is found is the verdict (detector.md §10); where none is, the first that is not sure yet stands
//! in the way of "balanced": `check` ends on a verdict that stands.

mod backend_failing;
mod backend_slow;
mod balanced;
mod member_missing;
mod pool_failing;
mod pool_slow;
mod skewed;
mod uneven_weights;
mod unexpected_backend;

use super::assessment::{Assessment, Finding, MemberAssessment, Signal, Verdict};
use super::explanation::Explanation;
use super::judge::PoolJudge;
use super::standing::Window;
use super::words;
use crate::pools::PoolSample;

/// What a rule is asked about.
pub(super) struct Question<'a> {
    judge: &'a PoolJudge,
    /// The sample that was observed last.
    sample: &'a PoolSample,
    now: f64,
    /// What members got lately, as far as it counts for "balanced": not from before a repair.
    judged: Window,
}

/// What a rule answers.
enum Answer {
    /// It is so.
    Found(Found),
    /// Nothing speaks for it.
    Clear,
    /// It may be so.
    Unsure(Doubt),
}

/// A verdict that is supported.
struct Found {
    verdict: Verdict,
    /// The members it is about, with what is found of each, the most conspicuous first.
    members: Vec<(usize, Finding)>,
    since_seconds: f64,
    /// Evidence, nats.
    nats: f64,
    /// In plain words.
    sentence: String,
}

/// A suspicion.
struct Doubt {
    /// In plain words.
    sentence: String,
    /// Connections, or exchanges, after which it is sure, where these can be told.
    needed: Option<u64>,
}

impl From<Doubt> for Answer {
    fn from(doubt: Doubt) -> Self {
        Self::Unsure(doubt)
    }
}

/// The findings, the most severe first. detector.md §10.
const FINDINGS: [fn(&Question) -> Answer; 7] = [
    pool_failing::judge,
    backend_failing::judge,
    member_missing::judge,
    unexpected_backend::judge,
    skewed::judge,
    pool_slow::judge,
    backend_slow::judge,
];

/// What is asked when nothing is found, in order: the first that is not clear is the answer.
const OTHERWISE: [fn(&Question) -> Answer; 2] = [uneven_weights::judge, balanced::judge];

/// The assessment after a tick.
pub(super) fn conclude(judge: &PoolJudge, sample: &PoolSample, now: f64) -> Assessment {
    let leading = judge.leading();
    let shares = judge.roster.shares();
    let recent = now - judge.settings.window_seconds;
    let judged = leading.window_since(recent.max(leading.watched_from_seconds()), shares, now);
    let question = Question { judge, sample, now, judged };
    let mut found = Vec::new();
    let mut doubt = balanced::nothing_to_compare(&question);
    for rule in FINDINGS {
        match rule(&question) {
            Answer::Found(finding) => found.push(finding),
            Answer::Unsure(suspicion) => doubt = doubt.or(Some(suspicion)),
            Answer::Clear => {}
        }
    }
    if found.is_empty() && doubt.is_none() {
        match OTHERWISE.iter().map(|rule| rule(&question)).find(|answer| !matches!(answer, Answer::Clear)) {
            Some(Answer::Found(finding)) => found.push(finding),
            Some(Answer::Unsure(suspicion)) => doubt = Some(suspicion),
            Some(Answer::Clear) | None => {}
        }
    }
    let (signal, window) = shown(&question, found.first());
    let members = members(&question, &found, &window);
    let findings: Vec<Verdict> =
        found.iter().map(|found| found.verdict).filter(|verdict| verdict.is_finding()).collect();
    match found.into_iter().next() {
        Some(worst) => {
            let since_seconds = worst.verdict.is_finding().then_some(worst.since_seconds);
            Assessment {
                verdict: worst.verdict,
                findings,
                summary: worst.sentence,
                since_seconds,
                since_start: since_seconds
                    .is_some_and(|since| judge.first_traffic_seconds.is_some_and(|first| since <= first)),
                evidence: worst.nats,
                needed: None,
                signal,
                members,
            }
        }
        None => {
            let (summary, needed) =
                doubt.map_or((String::new(), None), |doubt| (doubt.sentence, doubt.needed));
            Assessment {
                verdict: Verdict::InsufficientEvidence,
                findings,
                summary,
                since_seconds: None,
                since_start: false,
                evidence: leading.bank().strongest().nats,
                needed,
                signal,
                members,
            }
        }
    }
}

/// What shares are shown of, and over which time: since the onset of the worst finding, else lately.
fn shown(question: &Question, worst: Option<&Found>) -> (Signal, Window) {
    let Question { judge, now, .. } = *question;
    let leading = judge.leading();
    let shares = judge.roster.shares();
    let (signal, window) = match worst {
        Some(worst) if worst.verdict == Verdict::Skewed => skewed::shown(question),
        Some(worst) if worst.verdict.is_finding() && worst.verdict != Verdict::UnevenWeights => {
            (leading.signal, leading.window_since(worst.since_seconds.min(now - 1.0), shares, now))
        }
        _ => (leading.signal, question.judged.clone()),
    };
    if window.total > 0.0 {
        return (signal, window);
    }
    let recent = now - judge.settings.window_seconds;
    (leading.signal, leading.window_since(recent, shares, now))
}

fn members(question: &Question, found: &[Found], window: &Window) -> Vec<MemberAssessment> {
    let Question { judge, sample, .. } = question;
    let mut members: Vec<MemberAssessment> = (sample.members.iter())
        .map(|member| MemberAssessment {
            backend: member.backend,
            finding: None,
            expected_share: None,
            observed_share: None,
            share_interval: None,
        })
        .collect();
    let mut findings = vec![None; judge.roster.len()];
    // The most severe comes last, and stays.
    for (member, finding) in found.iter().rev().flat_map(|found| found.members.iter().rev()) {
        findings[*member] = Some(*finding);
    }
    for (index, finding) in findings.into_iter().enumerate() {
        let Some(assessed) = members.get_mut(judge.roster.place(index)) else { continue };
        assessed.finding = finding;
        assessed.expected_share = judge.roster.weight(index).map(|_| judge.roster.shares()[index]);
        assessed.observed_share = window.observed(index);
        assessed.share_interval = window.interval(index);
    }
    members
}

impl Question<'_> {
    /// A finding on every member of which `told` says since when and how sure it is; none when it says so of nobody.
    fn of_members(
        &self,
        verdict: Verdict,
        finding: Finding,
        told: impl Fn(usize) -> Option<(f64, f64)>,
        sentence: impl FnOnce(usize) -> String,
    ) -> Option<Found> {
        let told: Vec<(usize, f64, f64)> = (0..self.judge.members.len())
            .filter_map(|index| told(index).map(|(since, nats)| (index, since, nats)))
            .collect();
        let (first, _, _) = *told.first()?;
        let others = words::and_others(told.len() - 1);
        Some(Found {
            verdict,
            since_seconds: told.iter().map(|told| told.1).fold(f64::INFINITY, f64::min),
            nats: told.iter().map(|told| told.2).fold(0.0, f64::max),
            sentence: sentence(first) + &others,
            members: told.into_iter().map(|(member, ..)| (member, finding)).collect(),
        })
    }

    /// Why the shares that stand out are none of the balancer's doing, where that is so.
    fn explanation(&self) -> Option<Explanation> {
        self.judge.spreads().find_map(|spread| self.judge.explanation(spread, &self.sample.pool))
    }

    /// What a member should get, in words.
    fn due(&self, member: usize) -> String {
        words::expected(self.judge.roster.shares()[member], self.sample.pool.expected_source)
    }

    fn address(&self, member: usize) -> std::net::SocketAddr {
        self.judge.roster.address(member)
    }

    /// A suspicion that so many more counts will settle.
    fn sure_after(&self, mut sentence: String, lacks: f64) -> Doubt {
        /// What is so close is not worth a number, seconds.
        const MOMENT_SECONDS: f64 = 2.0;
        let lacks = lacks.max(1.0);
        if lacks <= MOMENT_SECONDS * self.judged.pool / self.judged.seconds.max(1e-9) {
            sentence.push_str("; a moment more to be sure");
        } else {
            let noun = words::counted(self.judge.leading().signal);
            sentence.push_str(&format!("; about {:.0} more {noun} to be sure", lacks.ceil()));
        }
        Doubt { sentence, needed: Some(super::standing::whole(lacks)) }
    }
}
