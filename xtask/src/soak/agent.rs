//! One run of `tracer watch`: started, asked, told to end.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::ground::Ground;
use crate::command::end_with_us;

/// A start and an answer take no longer, on a machine that is busy with something else too.
const PATIENCE: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(20);
/// More than a tick.
const SECONDS: Duration = Duration::from_secs(10);

/// What the agent says of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) attempts: u64,
    pub(super) established: u64,
    pub(super) closed: u64,
    /// Attempts that were refused, and that failed otherwise.
    pub(super) refused: u64,
    pub(super) failed_otherwise: u64,
    /// Live, closing, pending or untracked: what has no outcome yet, or none that is known.
    pub(super) open: u64,
    pub(super) adopted: u64,
}

impl Counted {
    /// Attempts that failed, for whatever cause.
    pub(super) fn failed(self) -> u64 {
        self.refused + self.failed_otherwise
    }
}

/// Figures that should stay as they are, by name: what could not be counted, intervals that were lost, errors that were said.
pub(super) type Errors = BTreeMap<String, u64>;

/// What it answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) counted: BTreeMap<SocketAddr, Counted>,
    pub(super) errors: Errors,
}

/// The running agent; killed when dropped.
pub(super) struct Agent {
    process: Child,
    pub(super) listens: SocketAddr,
    events: PathBuf,
    messages: PathBuf,
    /// From its start until it counted.
    pub(super) began_after: Duration,
}

impl Agent {
    /// Starts it, and waits until it counts.
    pub(super) fn start(ground: &Ground, number: usize) -> Result<Self> {
        let [events, messages] = ground.said(number);
        let create =
            |path: &PathBuf| File::create(path).with_context(|| format!("cannot create {}", path.display()));
        let mut command = Command::new(&ground.program);
        command.args(["watch", "--json", "--declared-only", "--pin", "--listen", "127.0.0.1:0"]);
        for (flag, file) in [
            ("--pools", ground.pools()),
            ("--samples", ground.samples()),
            ("--history", ground.history()),
            ("--state", ground.state()),
            ("--pin-dir", ground.pins()),
        ] {
            command.arg(flag).arg(file);
        }
        command.stdin(Stdio::null()).stdout(create(&events)?).stderr(create(&messages)?);
        let started = Instant::now();
        let process = end_with_us(&mut command, Signal::SIGKILL).spawn();
        let process = process.with_context(|| format!("cannot start {}", ground.program.display()))?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut agent =
            Self { process, listens: nowhere, events, messages, began_after: Duration::default() };
        while agent.messages()?.iter().all(|line| !line.starts_with("tracing: ")) {
            agent.is_running()?;
            ensure!(started.elapsed() < PATIENCE, "tracer does not count: {}", agent.messages()?.join("; "));
            thread::sleep(MOMENT);
        }
        agent.began_after = started.elapsed();
        let lines = agent.messages()?;
        let said = lines.iter().find_map(|line| line.strip_prefix("listening: http://")?.split('/').next());
        let said =
            said.with_context(|| format!("tracer does not say where it listens: {}", lines.join("; ")))?;
        agent.listens = said.parse().with_context(|| format!("tracer listens at {said:?}"))?;
        Ok(agent)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Fails when it has ended by itself.
    pub(super) fn is_running(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("tracer ended by itself ({status}): {}", self.messages()?.join("; ")),
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).context("tracer is gone")
    }

    /// Kills it.
    pub(super) fn kill(mut self) -> Result<()> {
        self.process.kill().context("tracer is gone")?;
        self.process.wait().map(drop).context("tracer cannot be waited for")
    }

    /// Ends it as the service manager does, and gives what is wrong with how it ended, and how long that took.
    pub(super) fn stop(mut self) -> Result<(Vec<String>, Duration)> {
        self.signal(Signal::SIGTERM)?;
        let told = Instant::now();
        let status = self.process.wait()?;
        let took = told.elapsed();
        let mut problems = Vec::new();
        if !status.success() {
            problems.push(format!("it ended with {status} when it was told to"));
        }
        if took > Duration::from_secs(1) {
            problems.push(format!("it took {took:.1?} to end"));
        }
        Ok((problems, took))
    }

    /// The lines of its standard error that are complete.
    pub(super) fn messages(&self) -> Result<Vec<String>> {
        lines(&self.messages)
    }

    /// What it told so far.
    pub(super) fn events(&self) -> Result<Vec<Value>> {
        let parse = |line: &String| serde_json::from_str(line).with_context(|| format!("no event: {line}"));
        lines(&self.events)?.iter().map(parse).collect()
    }

    /// Waits for an event after the first so many; how long it took. `None`: there is none.
    pub(super) fn event(
        &self,
        after: usize,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Option<(Value, Duration)>> {
        let began = Instant::now();
        while began.elapsed() < SECONDS {
            if let Some(event) = self.events()?.into_iter().skip(after).find(&is_it) {
                return Ok(Some((event, began.elapsed())));
            }
            thread::sleep(MOMENT);
        }
        Ok(None)
    }

    /// The body of what it answers to this path.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let answer = ask(self.listens, path).with_context(|| format!("tracer does not answer {path}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("tracer's answer has no end of its head")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "tracer answers {path} with {head:?}");
        Ok(body.to_owned())
    }

    /// A metric that has no labels; `None` as long as it has no value.
    pub(super) fn metric(&self, name: &str) -> Result<Option<f64>> {
        Ok(value(&self.get("/metrics")?, name))
    }

    /// What it has counted, and what it could not.
    pub(super) fn asks(&self) -> Result<Answer> {
        let check: Value = serde_json::from_str(&self.get("/api/v1/pools")?).context("no JSON")?;
        let mut answer = answer(&check)?;
        let metrics = self.get("/metrics")?;
        for name in ["history_failing", "history_lost_intervals_total"] {
            let value = value(&metrics, &format!("tracer_{name}")).unwrap_or_default();
            answer.errors.insert(name.to_owned(), whole(value));
        }
        let said = self.messages()?;
        let complaints =
            said.iter().filter(|line| line.starts_with("error: ") || line.starts_with("warning: "));
        answer.errors.insert("errors and warnings".to_owned(), complaints.count() as u64);
        Ok(answer)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ask(listener: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&listener, SECONDS)?;
    stream.set_read_timeout(Some(SECONDS))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(complete.lines().map(str::to_owned).collect())
}

fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[expect(clippy::cast_possible_truncation, reason = "a count")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// Reads an object of schema `tracer.check/1`.
fn answer(check: &Value) -> Result<Answer> {
    let mut answer = Answer::default();
    let pools = check["pools"].as_array().context("no list of pools")?;
    for member in pools.iter().flat_map(|pool| pool["members"].as_array().into_iter().flatten()) {
        let backend: SocketAddr =
            member["backend"].as_str().and_then(|text| text.parse().ok()).context("a member's address")?;
        let count = |of: &Value, name: &str| {
            of[name].as_u64().ok_or_else(|| anyhow!("{backend}: `{name}` is {}, and no count", of[name]))
        };
        let counted = answer.counted.entry(backend).or_default();
        counted.attempts += count(member, "attempts")?;
        counted.established += count(member, "established")?;
        counted.closed += count(member, "closed")?;
        counted.adopted += count(member, "adopted")?;
        for name in ["live", "closing", "pending", "untracked"] {
            counted.open += count(member, name)?;
        }
        let failed = member["failed"].as_object().context("a member's failures")?;
        let all: u64 = failed.values().filter_map(Value::as_u64).sum();
        let refused = count(&member["failed"], "refused")?;
        counted.refused += refused;
        counted.failed_otherwise += all - refused;
    }
    let uncounted = check["uncounted"].as_object().context("no object `uncounted`")?;
    let known = |(name, count): (&String, &Value)| Some((format!("uncounted.{name}"), count.as_u64()?));
    answer.errors = uncounted.iter().filter_map(known).collect();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_backend_by_backend() {
        let member = r#"{"backend":"127.0.0.1:80","attempts":9,"established":6,"closed":4,"adopted":1,"live":2,
            "closing":1,"pending":0,"untracked":0,"failed":{"refused":2,"timed_out":1}}"#;
        let text = format!(
            r#"{{"pools":[{{"members":[{member}]}},{{"members":[]}}],"uncounted":{{"memory":3,"limit":null}}}}"#
        );
        let found = answer(&serde_json::from_str(&text).unwrap()).unwrap();
        let counted = found.counted[&"127.0.0.1:80".parse().unwrap()];
        assert_eq!((counted.attempts, counted.established, counted.closed, counted.adopted), (9, 6, 4, 1));
        assert_eq!((counted.refused, counted.failed_otherwise, counted.open), (2, 1, 3));
        assert_eq!(found.errors, Errors::from([("uncounted.memory".to_owned(), 3)]));
        assert!(answer(&serde_json::json!({})).is_err());
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let metrics = "tracer_history_failing_not 3\ntracer_history_failing 1\n";
        assert_eq!(value(metrics, "tracer_history_failing"), Some(1.0));
        assert_eq!(value(metrics, "tracer_history"), None);
    }
}
