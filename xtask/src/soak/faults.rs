//! The faults, one after the other: each is made, what is said and counted meanwhile is looked at, and all is put right again.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    recording,
    schedule::Fault,
    verdict::Made,
    watching::{Watching, epoch_seconds},
};

/// Between two looks at something that is waited for.
const MOMENT: Duration = Duration::from_millis(200);
/// A disk that is full is noticed when the log of the history grows or goes to its place, each half minute.
const NOTICED: Duration = Duration::from_secs(150);
/// And that there is room again within this time.
const WRITTEN_AGAIN: Duration = Duration::from_secs(30);
/// A client of the listener has ten seconds to ask.
const CLOSED: Duration = Duration::from_secs(15);
/// Another client waits for its answer no longer.
const MOST_WAIT: Duration = Duration::from_secs(1);
/// A load that stands still begins again within this time.
const LOAD: Duration = Duration::from_secs(90);

/// What came of a fault: in words, and what was not as it should be.
struct Seen {
    text: String,
    problems: Vec<String>,
}

impl Seen {
    fn new(text: String) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// Notes a problem, unless it is so.
    fn expect(&mut self, is_so: bool, otherwise: &str) {
        if !is_so {
            self.problems.push(otherwise.to_owned());
        }
    }
}

impl Watching<'_> {
    /// Makes a fault, puts it right, and compares what was counted with what there was.
    pub(super) fn inject(&mut self, fault: Fault) -> Result<()> {
        let errors = self.ask()?.errors;
        let (at, from) = (self.elapsed(), epoch_seconds());
        eprintln!("after {:.0} s: {}", at.as_secs_f64(), fault.name());
        self.disturbed = true;
        let seen = match fault {
            Fault::Killed => self.killed(),
            Fault::HistoryFull => self.history_full(),
            Fault::Suspended => self.suspended(from),
            Fault::Refusing => self.refusing(),
            Fault::HangingScraper => self.hanging_scraper(),
            Fault::BrokenPools => self.broken_pools(),
            Fault::Terminated => self.terminated(),
            Fault::StateReadOnly => self.state_read_only(),
        }?;
        let settled = self.settle()?;
        let made = Made {
            fault,
            at,
            took: self.elapsed().saturating_sub(at),
            window: (from, epoch_seconds()),
            seen: seen.text,
            problems: seen.problems,
            truths: settled.truths,
            counted: settled.answer.counted,
            errors: (errors, settled.answer.errors),
        };
        self.evidence.faults.push(made);
        self.calm()
    }

    fn accepted(&self) -> u64 {
        self.load.truths().values().map(|truth| truth.accepted).sum()
    }

    /// A while without an agent, and the next one: what there was meanwhile, in words.
    fn without_agent(&mut self) -> Result<String> {
        let before = self.accepted();
        self.stay(self.schedule.gap)?;
        let took = self.start_agent()?;
        let meanwhile = self.accepted() - before;
        Ok(format!(
            "{meanwhile} connections until the next one counted, {:.2} s after its start",
            took.as_secs_f64()
        ))
    }

    fn killed(&mut self) -> Result<Seen> {
        self.end_agent("SIGKILL")?.kill()?;
        self.without_agent().map(Seen::new)
    }

    fn terminated(&mut self) -> Result<Seen> {
        let (problems, took) = self.end_agent("SIGTERM")?.stop()?;
        let meanwhile = self.without_agent()?;
        Ok(Seen { text: format!("ended after {:.2} s; {meanwhile}", took.as_secs_f64()), problems })
    }

    fn suspended(&mut self, from: f64) -> Result<Seen> {
        self.agent()?.signal(Signal::SIGSTOP)?;
        self.stay(self.schedule.hold)?;
        self.agent()?.signal(Signal::SIGCONT)?;
        // The first answer is of a tick after that.
        self.settle()?;
        let text = fs::read_to_string(self.ground.samples()).context("cannot read the recording")?;
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let since = recording::ticks(complete)?.into_iter().filter(|tick| tick.at >= from);
        let longest = since.map(|tick| tick.seconds).fold(0.0, f64::max);
        let mut seen = Seen::new(format!("one interval of {longest:.1} s, with all that happened in it"));
        let is_late = longest >= self.schedule.hold.as_secs_f64() - 1.0;
        seen.expect(is_late, "no interval of the recording is as long as it stood still");
        Ok(seen)
    }

    /// Has it read this pools file: what it answers, and after what time. `None`: nothing.
    fn reload(&self, text: &str) -> Result<Option<(Value, Duration)>> {
        let agent = self.agent()?;
        let told = agent.events()?.len();
        self.ground.write_pools(text)?;
        agent.signal(Signal::SIGHUP)?;
        agent.event(told, |event| event["event"] == "pools-changed" && event["cause"] == "reload")
    }

    fn broken_pools(&mut self) -> Result<Seen> {
        let right = self.load.pools_file();
        let broken = self.reload(&right.replacen("members", "membres", 1))?;
        self.stay(self.schedule.hold)?;
        let mended = self.reload(&right)?;
        let (event, after) = broken.unwrap_or_default();
        let error = self.ground.without_directory(event["error"].as_str().unwrap_or_default());
        let mut seen = Seen::new(format!(
            "\"{error}\" after {:.2} s, counting goes on; then the right one is read",
            after.as_secs_f64()
        ));
        seen.expect(!error.is_empty(), "no event tells that the file is broken");
        let is_mended = mended.is_some_and(|(event, _)| event["error"].is_null());
        seen.expect(is_mended, "no event tells that the right file was read");
        Ok(seen)
    }

    /// Attempts that the clients saw refused.
    fn refusals(&self) -> u64 {
        self.load.truths().values().map(|truth| truth.refused).sum()
    }

    fn refusing(&mut self) -> Result<Seen> {
        let began = Instant::now();
        while self.load.rate() == 0 {
            ensure!(began.elapsed() < LOAD, "nobody connects");
            self.stay(MOMENT)?;
        }
        // Each time another one.
        let number = self.evidence.faults.len();
        let (before, told) = (self.refusals(), self.agent()?.events()?.len());
        self.load.close(number);
        self.stay(self.schedule.hold)?;
        self.load.open(number)?;
        // Whoever tries from now on is heard.
        let refusals = self.refusals() - before;
        let events = self.agent()?.events()?;
        let verdict = events.iter().skip(told).rev().find_map(|event| event["verdict"].as_str());
        let verdict = verdict.map_or("no verdict told".to_owned(), |verdict| format!("verdict `{verdict}`"));
        let mut seen = Seen::new(format!("clients were refused {refusals} times; {verdict}"));
        seen.expect(refusals > 0, "nobody was refused");
        Ok(seen)
    }

    fn history_full(&mut self) -> Result<Seen> {
        let told = self.agent()?.messages()?.len();
        self.ground.fill_disk()?;
        let noticed = self.wait_for_failing(true, NOTICED)?;
        self.stay(self.schedule.hold)?;
        let waiting = self.agent()?.metric("tracer_history_waiting_intervals")?.unwrap_or_default();
        self.ground.empty_disk()?;
        let again = self.wait_for_failing(false, WRITTEN_AGAIN)?;
        let lost = self.agent()?.metric("tracer_history_lost_intervals_total")?.unwrap_or_default();
        let seconds = |after: Option<Duration>| after.unwrap_or_default().as_secs_f64();
        let mut seen = Seen::new(format!(
            "said after {:.1} s; {waiting} intervals waited, written {:.1} s after there was room, {lost} lost",
            seconds(noticed),
            seconds(again)
        ));
        let said = self.agent()?.messages()?;
        let says = |part: &str| said.iter().skip(told).any(|line| line.contains(part));
        seen.expect(noticed.is_some() && says("the disk is full"), "it does not say that the disk is full");
        let is_written = again.is_some() && says("written again");
        seen.expect(is_written, "it does not say that the history is written again");
        seen.expect(lost == 0.0, "intervals are lost");
        Ok(seen)
    }

    /// Waits until the history cannot be written, or can be; how long that took. `None`: longer than this.
    fn wait_for_failing(&mut self, failing: bool, patience: Duration) -> Result<Option<Duration>> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.agent()?.metric("tracer_history_failing")? == Some(f64::from(u8::from(failing))) {
                return Ok(Some(began.elapsed()));
            }
            self.stay(MOMENT)?;
        }
        Ok(None)
    }

    fn state_read_only(&mut self) -> Result<Seen> {
        self.ground.state_can_be_written(false)?;
        self.stay(self.schedule.hold)?;
        let messages = self.ground.said(self.evidence.lives.len())[1].clone();
        let (problems, _) = self.end_agent("SIGTERM, its state read-only")?.stop()?;
        let said =
            fs::read_to_string(&messages).with_context(|| format!("cannot read {}", messages.display()))?;
        let error = said.lines().find(|line| line.starts_with("error: --state ")).unwrap_or_default();
        let error = self.ground.without_directory(error);
        let meanwhile = self.without_agent();
        self.ground.state_can_be_written(true)?;
        let mut seen = Seen { text: format!("\"{error}\"; {}", meanwhile?), problems };
        seen.expect(!error.is_empty(), "it does not say that its state cannot be written");
        Ok(seen)
    }

    fn hanging_scraper(&mut self) -> Result<Seen> {
        let listens = self.agent()?.listens;
        let mut hanging = TcpStream::connect(listens).context("tracer does not listen")?;
        hanging.write_all(b"GET /metrics HTTP/1.1\r\nHost: local")?;
        hanging.set_nonblocking(true)?;
        let (began, mut longest, mut scrapes) = (Instant::now(), Duration::ZERO, 0);
        let mut is_open = true;
        while is_open && began.elapsed() < CLOSED {
            self.stay(MOMENT)?;
            let asked = Instant::now();
            self.agent()?.get("/metrics")?;
            (longest, scrapes) = (longest.max(asked.elapsed()), scrapes + 1);
            // What it says to who is too slow comes first.
            is_open = match hanging.read(&mut [0; 1_024]) {
                Ok(0) => false,
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
        }
        let mut seen = Seen::new(format!(
            "closed after {:.1} s; others had {scrapes} answers meanwhile, within {:.1} ms",
            began.elapsed().as_secs_f64(),
            1e3 * longest.as_secs_f64()
        ));
        seen.expect(!is_open, "it is not closed");
        seen.expect(longest < MOST_WAIT, "another client waited for long");
        Ok(seen)
    }
}
