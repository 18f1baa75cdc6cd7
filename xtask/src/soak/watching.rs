//! A soak that goes on: an agent, or none for a moment, the load, and what was seen so far.

use std::{
    fs, thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    agent::{Agent, Answer},
    ground::Ground,
    load::{Load, Truths},
    process::Figures,
    recording,
    schedule::Schedule,
    verdict::{Evidence, Life, Reading, differences, hidden},
};

/// Between two questions.
const MOMENT: Duration = Duration::from_millis(100);
/// The agent answers, and what it has counted is what there was, within this time: a tick, a sweep, and a busy machine.
const SETTLED: Duration = Duration::from_secs(15);

/// What is going on.
pub(super) struct Watching<'a> {
    pub(super) ground: &'a Ground,
    pub(super) load: &'a mut Load,
    pub(super) schedule: Schedule,
    /// `None`: it was ended, and the next one is not started yet.
    pub(super) agent: Option<Agent>,
    /// Something was done to the agent since the last look, or is being done.
    pub(super) disturbed: bool,
    pub(super) evidence: Evidence,
    started: Instant,
    next_look: Instant,
    /// What the look before found of the same agent, and how much was asked for then.
    before: Option<(Figures, u32)>,
}

/// A moment at which nobody connected.
pub(super) struct Settled {
    pub(super) truths: Truths,
    pub(super) answer: Answer,
}

impl<'a> Watching<'a> {
    /// Starts the first agent, and then the load.
    pub(super) fn start(ground: &'a Ground, load: &'a mut Load, schedule: Schedule) -> Result<Self> {
        let now = Instant::now();
        let mut watching = Self {
            ground,
            load,
            schedule,
            agent: None,
            disturbed: false,
            evidence: Evidence::default(),
            started: now,
            next_look: now,
            before: None,
        };
        watching.start_agent()?;
        watching.load.start();
        watching.started = Instant::now();
        watching.evidence.at_first = watching.ask()?.errors;
        Ok(watching)
    }

    /// Time since the load began.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The running agent.
    pub(super) fn agent(&self) -> Result<&Agent> {
        self.agent.as_ref().context("no agent runs")
    }

    /// Starts the next agent; how long it took until it counted.
    pub(super) fn start_agent(&mut self) -> Result<Duration> {
        let number = self.evidence.lives.len() + 1;
        let agent = Agent::start(self.ground, number)?;
        let began_after = agent.began_after;
        self.before = Some((Figures::of(agent.pid())?, self.load.rate()));
        self.agent = Some(agent);
        self.evidence.lives.push(Life { from: self.elapsed(), to: None, ended: "" });
        Ok(began_after)
    }

    /// The agent, to be ended in this way; none runs from now on.
    pub(super) fn end_agent(&mut self, how: &'static str) -> Result<Agent> {
        let (now, agent) = (self.elapsed(), self.agent.take().context("no agent runs")?);
        if let Some(life) = self.evidence.lives.last_mut() {
            (life.to, life.ended) = (Some(now), how);
        }
        self.before = None;
        Ok(agent)
    }

    /// Looks at the agent now and then, until then.
    pub(super) fn stay_until(&mut self, after: Duration) -> Result<()> {
        while self.elapsed() < after {
            let now = Instant::now();
            if now >= self.next_look {
                self.look()?;
                self.next_look = now + self.schedule.look;
            }
            let left = after.saturating_sub(self.elapsed());
            thread::sleep(left.min(self.next_look.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// The same for so long.
    pub(super) fn stay(&mut self, length: Duration) -> Result<()> {
        self.stay_until(self.elapsed() + length)
    }

    fn look(&mut self) -> Result<()> {
        let after = self.elapsed();
        let Some(agent) = &mut self.agent else { return Ok(()) };
        agent.is_running().with_context(|| format!("after {after:.0?}"))?;
        let (now, rate) = (Figures::of(agent.pid())?, self.load.rate());
        if let Some((before, rate_before)) = &self.before {
            let rate = (*rate_before == rate).then_some(rate);
            let reading = Reading::between(self.evidence.lives.len(), after, rate, before, &now);
            self.evidence.readings.push(Reading { disturbed: self.disturbed, ..reading });
        }
        self.before = Some((now, rate));
        Ok(())
    }

    /// Nothing is done any more: what follows is undisturbed.
    pub(super) fn calm(&mut self) -> Result<()> {
        self.disturbed = false;
        let agent = self.agent()?;
        self.before = Some((Figures::of(agent.pid())?, self.load.rate()));
        Ok(())
    }

    /// What the agent answers, as soon as it does.
    pub(super) fn ask(&self) -> Result<Answer> {
        let began = Instant::now();
        loop {
            match self.agent()?.asks() {
                Ok(answer) => return Ok(answer),
                Err(error) if began.elapsed() > SETTLED => return Err(error),
                Err(_) => thread::sleep(MOMENT),
            }
        }
    }

    /// Has the load stand still until the agent has counted what there was, or does not come to it.
    pub(super) fn settle(&self) -> Result<Settled> {
        self.load.quietly(|| {
            let (began, truths) = (Instant::now(), self.load.truths());
            loop {
                let answer = self.ask()?;
                let is_right = differences(&truths, &answer.counted, hidden(&answer.errors)).is_empty();
                if is_right || began.elapsed() > SETTLED {
                    return Ok(Settled { truths, answer });
                }
                thread::sleep(MOMENT);
            }
        })
    }

    /// Ends the load, and then the last agent.
    pub(super) fn finish(mut self) -> Result<Evidence> {
        self.evidence.length = self.elapsed();
        self.load.stop();
        let settled = self.settle()?;
        self.evidence.at_last.clone_from(&settled.answer.errors);
        (self.evidence.truths, self.evidence.counted) = (settled.truths, settled.answer.counted);
        let told = SystemTime::now();
        let (problems, _) = self.end_agent("SIGTERM, at the end")?.stop()?;
        self.evidence.problems.extend(problems);
        let state = self.ground.state();
        let written = fs::metadata(&state).and_then(|found| found.modified());
        // The clock of files goes in steps of the kernel's tick.
        let is_new = written.is_ok_and(|at| at + MOMENT > told);
        ensure!(is_new, "{} was not written at the end", state.display());
        let text = fs::read_to_string(self.ground.samples()).context("cannot read the recording")?;
        self.evidence.ticks = recording::ticks(&text)?;
        // The last interval ends when the tracer is told to stop.
        self.evidence.ticks.pop();
        Ok(self.evidence)
    }
}

/// Seconds since the epoch.
pub(super) fn epoch_seconds() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}
