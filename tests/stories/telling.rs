//! A story told: the world goes on second by second, the detector judges, and what it says is held against what the
//! story expects.

use crate::story::{self, Expect, Found, Phase, Story};
use crate::world::World;
use std::net::SocketAddr;
use tracer::detect::{Assessment, PoolJudge, Settings};
use tracer::pools::PoolSample;

/// When stories begin, seconds since the epoch.
pub(crate) const BEGIN_SECONDS: f64 = 1_767_225_600.0;

/// Tells a story as often as it says.
///
/// # Errors
/// What did not hold, where in the file it is expected, and what was said instead.
pub(crate) fn tell(file: &str, text: &str) -> Result<(), String> {
    let story = story::read(file, text)?;
    let broken: Vec<Vec<Broken>> = (1..=story.runs).map(|seed| told(&story, u64::from(seed))).collect();
    let held = broken.iter().filter(|broken| broken.is_empty()).count();
    if held >= story.holds_in.unwrap_or(story.runs) as usize {
        return Ok(());
    }
    let mut report = format!("{}\n{held} of {} runs held", story.what, story.runs);
    let mut expected: Vec<usize> = broken.iter().flatten().map(|broken| broken.byte).collect();
    expected.sort_unstable();
    expected.dedup();
    for byte in expected {
        let of = |run: &Vec<Broken>| run.iter().any(|broken| broken.byte == byte);
        let times = broken.iter().filter(|run| of(run)).count();
        let first = broken.iter().enumerate().find_map(|(run, all)| {
            all.iter().find(|broken| broken.byte == byte).map(|broken| (run + 1, broken))
        });
        if let Some((run, Broken { what, .. })) = first {
            let line = story::line(text, byte);
            report.push_str(&format!("\n{file}:{line}: not so in {times}, first in run {run}: {what}"));
        }
    }
    Err(report)
}

/// An expectation that was not met.
struct Broken {
    /// Where it stands in the file.
    byte: usize,
    what: String,
}

/// One run of a story: what did not hold.
fn told(story: &Story, seed: u64) -> Vec<Broken> {
    let mut world = World::new(story, seed);
    let mut judge = PoolJudge::new(Settings::default());
    let mut broken = Vec::new();
    let mut began = 0;
    let mut ill = false;
    for phase in story.phase.iter().map(toml::Spanned::get_ref) {
        if phase.agent_restarts {
            judge = match rewritten(&judge) {
                Ok(judge) => judge,
                Err(error) => {
                    broken.push(Broken { byte: 0, what: format!("the state is not read again: {error}") });
                    return broken;
                }
            };
        }
        world.begin(phase);
        let said: Vec<Assessment> = (1..=phase.seconds)
            .map(|second| judge.judge(&world.tick(), BEGIN_SECONDS + f64::from(began + second)))
            .collect();
        broken.extend(phase.expect.iter().filter_map(|expect| {
            let held = Held { expect: expect.get_ref(), phase, began, ill, world: &world, said: &said };
            let what = held.check().err()?;
            Some(Broken { byte: expect.span().start, what })
        }));
        ill = said.last().is_some_and(|last| last.verdict.is_finding());
        began += phase.seconds;
    }
    broken
}

/// Every sample of a story, one a second.
pub(crate) fn stream(story: &Story, seed: u64) -> Vec<PoolSample> {
    let mut world = World::new(story, seed);
    let mut samples = Vec::new();
    for phase in story.phase.iter().map(toml::Spanned::get_ref) {
        world.begin(phase);
        samples.extend((0..phase.seconds).map(|_| world.tick()));
    }
    samples
}

/// As an agent writes down what it remembers, and reads it again.
pub(crate) fn rewritten(judge: &PoolJudge) -> Result<PoolJudge, serde_json::Error> {
    serde_json::from_str(&serde_json::to_string(judge)?)
}

/// An expectation, and what was said in its phase.
struct Held<'a> {
    expect: &'a Expect,
    phase: &'a Phase,
    /// Seconds of the story before the phase.
    began: u32,
    /// Whether there was a finding when the phase began.
    ill: bool,
    world: &'a World<'a>,
    /// Of every second of the phase.
    said: &'a [Assessment],
}

impl Held<'_> {
    fn check(&self) -> Result<(), String> {
        let (from, until) = self.expect.window(self.phase.seconds);
        let said = || (from..=until).map(|second| (second, &self.said[second as usize - 1]));
        for (second, assessment) in said() {
            for never in &self.expect.never {
                if mentions(assessment, *never) {
                    return Err(self.instead(second, &format!("never {}", never.0)));
                }
            }
        }
        for (verdict, most) in &self.expect.at_most {
            let seconds: Vec<u32> = said()
                .filter(|(_, assessment)| mentions(assessment, *verdict))
                .map(|(second, _)| second)
                .collect();
            if let Some(second) = seconds.get(*most as usize) {
                let wanted = format!("{} for {most} s at most, not {} s", verdict.0, seconds.len());
                return Err(self.instead(*second, &wanted));
            }
        }
        if let Some(wanted) = self.expect.episodes {
            let finding = |second: u32| match second {
                0 => self.ill,
                _ => self.said[second as usize - 1].verdict.is_finding(),
            };
            let began = (from..=until).filter(|&second| finding(second) && !finding(second - 1));
            let began: Vec<u32> = began.collect();
            if began.len() != wanted as usize {
                let second = began.get(wanted as usize).copied().unwrap_or(until);
                return Err(self.instead(second, &format!("{wanted} episodes, not {}", began.len())));
            }
        }
        if !self.expect.has_state() {
            return Ok(());
        }
        let wrong =
            |(second, assessment)| self.state(assessment).err().map(|wanted| self.instead(second, &wanted));
        let Some(deadline) = self.expect.deadline() else {
            return said().find_map(wrong).map_or(Ok(()), Err);
        };
        match said().find(|(_, assessment)| self.state(assessment).is_ok()).map(|(second, _)| second) {
            Some(reached) if reached <= deadline => {
                said().filter(|(second, _)| *second > reached).find_map(wrong).map_or(Ok(()), Err)
            }
            late => {
                let wanted = self.state(&self.said[deadline as usize - 1]).err().unwrap_or_default();
                let when = late
                    .map_or("not in time or later".to_owned(), |second| format!("only in second {second}"));
                Err(self.instead(deadline, &format!("{wanted} ({when})")))
            }
        }
    }

    /// Whether an assessment is as it has to be; else what it has to be.
    fn state(&self, assessment: &Assessment) -> Result<(), String> {
        let expect = self.expect;
        if !expect.verdict.is_empty() && !expect.verdict.iter().any(|named| named.0 == assessment.verdict) {
            let names: Vec<&str> = expect.verdict.iter().map(|named| named.0.as_str()).collect();
            return Err(names.join(" or "));
        }
        if let Some(found) = &expect.found {
            let mut wanted: Vec<(SocketAddr, Found)> = Vec::new();
            for (place, found) in self.world.each(found) {
                wanted.push((self.world.backend(place), found));
            }
            let named = assessment.members.iter();
            let named: Vec<(SocketAddr, Found)> =
                named.filter_map(|member| Some((member.backend, member.finding?.into()))).collect();
            if named.len() != wanted.len() || wanted.iter().any(|one| !named.contains(one)) {
                let short = |all: &[(SocketAddr, Found)]| match all.len() {
                    0..=5 => format!("{all:?}"),
                    count => format!("{count} members, of which the first {:?}", all[0]),
                };
                return Err(format!("found {}, not {}", short(&wanted), short(&named)));
            }
        }
        if let Some(signal) = &expect.signal
            && *signal != assessment.signal.to_string()
        {
            return Err(format!("signal {signal}, not {}", assessment.signal));
        }
        for text in &expect.says {
            let text = self.world.with_addresses(text);
            if !assessment.summary.contains(&text) {
                return Err(format!("a summary with {text:?}"));
            }
        }
        if let Some(within) = expect.since_within {
            let since = assessment.since_seconds.map(|since| since - BEGIN_SECONDS - f64::from(self.began));
            if !since.is_some_and(|since| (0.0..=within).contains(&since)) {
                return Err(format!("since the first {within} s of the phase, not second {since:?}"));
            }
        }
        Ok(())
    }

    /// What was said instead, and how the phase went.
    fn instead(&self, second: u32, wanted: &str) -> String {
        let said = &self.said[second as usize - 1];
        let mut turns: Vec<String> = Vec::new();
        let mut last = None;
        for (index, assessment) in self.said.iter().enumerate() {
            if last != Some(assessment.verdict) {
                turns.push(format!("{} from {}", assessment.verdict, index + 1));
                last = Some(assessment.verdict);
            }
        }
        let more = turns.len().saturating_sub(12);
        turns.truncate(12);
        if more > 0 {
            turns.push(format!("and {more} changes more"));
        }
        format!(
            "in second {second} of {:?} ({} of the story) it has to be {wanted}; said was {}, findings {:?}: {:?}\n    \
             the phase went: {}",
            self.phase.name,
            self.began + second,
            said.verdict,
            said.findings,
            said.summary,
            turns.join(", "),
        )
    }
}

fn mentions(assessment: &Assessment, verdict: story::Named) -> bool {
    assessment.verdict == verdict.0 || assessment.findings.contains(&verdict.0)
}
