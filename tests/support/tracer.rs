//! The product: the binary, its line on standard error, its JSON and its exit code.

use super::backend::{Backend, Report};
use super::pools::Pools;
use super::server::end_with_parent;
use super::{require_root, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A tracer that is about to be started.
pub(crate) struct Tracer {
    command: Command,
    seconds: u64,
    _pools: Option<Pools>,
}

/// The tracer with arguments as they are.
pub(crate) fn tracer<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Tracer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.args(arguments);
    Tracer { command, seconds: 0, _pools: None }
}

/// `tracer check --json` for so many seconds, against these pools and nothing else that goes on.
pub(crate) fn check(seconds: u64, pools: Pools) -> Tracer {
    let port = pools.port().to_string();
    check_everything(seconds, pools).argument("--port").argument(port)
}

/// The same without a filter: what else goes on is judged too.
pub(crate) fn check_everything(seconds: u64, pools: Pools) -> Tracer {
    let mut tracer = check_without_pools(seconds).argument("--pools").argument(pools.file());
    tracer._pools = Some(pools);
    tracer
}

/// `tracer watch --json`, against these pools and nothing else that goes on.
pub(crate) fn watch(pools: Pools) -> Tracer {
    require_root();
    let port = pools.port().to_string();
    let mut tracer = tracer(["watch", "--json", "--port", &port]).argument("--pools").argument(pools.file());
    tracer._pools = Some(pools);
    tracer
}

pub(crate) fn check_without_pools(seconds: u64) -> Tracer {
    require_root();
    let mut tracer = tracer(["check", "--json", "--no-auto", "--for"]).argument(format!("{seconds}s"));
    tracer.seconds = seconds;
    tracer
}

/// `tracer check --json` until the verdict on these pools is certain, 60 s at most.
pub(crate) fn check_until_certain(pools: Pools) -> Tracer {
    require_root();
    let port = pools.port().to_string();
    let mut tracer = tracer(["check", "--json", "--port", &port]).argument("--pools").argument(pools.file());
    (tracer.seconds, tracer._pools) = (60, Some(pools));
    tracer
}

/// `tracer check --json` until somebody sends it SIGINT, 60 s at most, against these pools; nothing is certain before.
pub(crate) fn check_until_told(pools: Pools) -> Tracer {
    check(60, pools).until_told()
}

/// The same against what a balancer's configuration says, in one namespace.
pub(crate) fn check_import_until_told(option: &str, file: &Path, namespace: &Path) -> Tracer {
    let mut tracer =
        check_without_pools(60).argument(option).argument(file).argument("--netns").argument(namespace);
    tracer.seconds = 0;
    tracer
}

impl Tracer {
    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Somebody sends it SIGINT before its time is over.
    pub(crate) fn until_told(mut self) -> Self {
        self.seconds = 0;
        self
    }

    /// An environment variable of its own.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// The same command line under another program (`setpriv …`).
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(self.command.get_program()).args(self.command.get_args());
        self.command = command;
        self
    }

    /// Starts it, and waits until it says that it counts.
    #[track_caller]
    pub(crate) fn start(self) -> Running {
        let mut running = self.spawn();
        let deadline = Duration::from_secs(20);
        running.to_tracing = wait::until("the line `tracing:`", deadline, || {
            let seen = running.stderr.text.lock().unwrap();
            if let Some((_, at)) = seen.iter().find(|(line, _)| line.starts_with("tracing: ")) {
                return Some(*at - running.started);
            }
            drop(seen);
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("the tracer ended before it counted: {status}\n{}", running.stderr.finish());
            }
            None
        });
        println!("tracing after {:?}", running.to_tracing);
        running
    }

    /// Starts it, whatever comes of it.
    pub(crate) fn spawn(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = end_with_parent(&mut self.command, Signal::SIGKILL).spawn().unwrap();
        let stderr = Lines::follow(child.stderr.take().unwrap());
        let stdout = Output::follow(child.stdout.take().unwrap());
        Running {
            child,
            started,
            to_tracing: Duration::ZERO,
            to_end_of_traffic: None,
            stderr,
            stdout,
            events_read: 0,
            tracer: self,
        }
    }

    /// Runs it to its end, with nothing reading its standard output.
    pub(crate) fn run_with_broken_pipe(mut self) -> (ExitStatus, String) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        self.command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let output = end_with_parent(&mut self.command, Signal::SIGKILL).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status,
            stderr.lines().filter(|line| !is_debug_log(line)).map(|line| format!("{line}\n")).collect(),
        )
    }
}

/// A tracer that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    started: Instant,
    /// From its start to the line `tracing:`.
    pub(crate) to_tracing: Duration,
    to_end_of_traffic: Option<Duration>,
    stderr: Lines,
    stdout: Output,
    events_read: usize,
    tracer: Tracer,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on standard error after this beginning of a line.
    #[track_caller]
    pub(crate) fn said(&self, beginning: &str) -> String {
        let seen = self.stderr.text.lock().unwrap();
        let line = seen.iter().find_map(|(line, _)| line.strip_prefix(beginning));
        line.unwrap_or_else(|| panic!("no line `{beginning}` in {seen:?}")).to_owned()
    }

    /// The same, if it has said such a line.
    pub(crate) fn has_said(&self, beginning: &str) -> Option<String> {
        let seen = self.stderr.text.lock().unwrap();
        seen.iter().find_map(|(line, _)| line.strip_prefix(beginning)).map(str::to_owned)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for an event after those that were waited for before.
    #[track_caller]
    pub(crate) fn event(&mut self, what: &str, deadline: Duration, is_it: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let events = events(&self.stdout.so_far());
            let found = events.iter().enumerate().skip(self.events_read).find(|(_, event)| is_it(event));
            if let Some((at, event)) = found {
                println!("{what} after {:?}", started.elapsed());
                self.events_read = at + 1;
                return event.clone();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < deadline,
                "no event `{what}` within {deadline:?} (ended: {ended:?}); there were: {events:#?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it is gone after SIGKILL.
    #[track_caller]
    pub(crate) fn wait_for_kill(mut self) {
        wait::until("the tracer's end", Duration::from_secs(20), || self.child.try_wait().unwrap());
    }

    /// Tells it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(self, signal: Signal) -> Ended {
        self.signal(signal);
        self.finish()
    }

    /// Says that the traffic is over: it has to be before the last tick.
    #[track_caller]
    pub(crate) fn traffic_is_over(&mut self) {
        let counted = self.started.elapsed().saturating_sub(self.to_tracing);
        let seconds = self.tracer.seconds;
        if seconds > 0 && self.to_tracing > Duration::ZERO {
            assert!(
                counted + Duration::from_millis(300) < Duration::from_secs(seconds),
                "harness: the traffic ended {counted:?} after `tracing:`, too late for {seconds} s"
            );
        }
        self.to_end_of_traffic = Some(counted);
    }

    /// Waits for its end, after the traffic.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ended {
        if self.to_end_of_traffic.is_none() {
            self.traffic_is_over();
        }
        let seconds = self.tracer.seconds;
        let deadline = Duration::from_secs(seconds + 20);
        let status = wait::until("the tracer's end", deadline, || self.child.try_wait().unwrap());
        let stdout = self.stdout.finish();
        let json = serde_json::from_str(&stdout).unwrap_or_default();
        Ended { status, stdout, stderr: self.stderr.finish(), json, to_tracing: self.to_tracing }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Standard output, readable while it comes.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
}

impl Output {
    fn follow(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = bytes.clone();
        let reading = std::thread::spawn(move || {
            let mut part = [0; 65_536];
            while let Ok(read @ 1..) = stream.read(&mut part) {
                into.lock().unwrap().extend_from_slice(&part[..read]);
            }
        });
        Self { bytes, reading: Some(reading) }
    }

    /// The lines that are complete.
    fn so_far(&self) -> String {
        let bytes = self.bytes.lock().unwrap();
        let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        String::from_utf8(bytes[..complete].to_vec()).expect("standard output is UTF-8")
    }

    fn finish(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
        String::from_utf8(self.bytes.lock().unwrap().clone()).expect("standard output is UTF-8")
    }
}

/// A JSON object for each line.
#[track_caller]
fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Lines of a stream, each with the moment it came.
struct Lines {
    text: Arc<Mutex<Vec<(String, Instant)>>>,
    reading: Option<JoinHandle<()>>,
}

impl Lines {
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let into = text.clone();
        let reading = std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                into.lock().unwrap().push((text, Instant::now()));
                line.clear();
            }
        });
        Self { text, reading: Some(reading) }
    }

    fn finish(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
        let lines = self.text.lock().unwrap();
        let said = lines.iter().filter(|(line, _)| !is_debug_log(line));
        said.fold(String::new(), |text, (line, _)| text + line + "\n")
    }
}

/// The debug build's log of what its programs do in the kernel, a line for each event on the host.
fn is_debug_log(line: &str) -> bool {
    cfg!(debug_assertions) && line.starts_with("kernel: ")
}

/// What a tracer left when it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) json: Value,
    pub(crate) to_tracing: Duration,
}

/// Names of a member's failures.
pub(crate) const CAUSES: [&str; 6] = ["refused", "timed_out", "unreachable", "cancelled", "local", "other"];

impl Ended {
    /// Fails with everything that is known, unless `condition`.
    #[track_caller]
    pub(crate) fn ensure(&self, condition: bool, what: impl std::fmt::Display) {
        assert!(
            condition,
            "{what}\nexit: {} (code {:?}, signal {:?}), tracing after {:?}\nstderr:\n{}\nstdout:\n{}",
            self.status,
            self.status.code(),
            self.status.signal(),
            self.to_tracing,
            self.stderr,
            if self.json.is_null() {
                self.stdout.clone()
            } else {
                serde_json::to_string_pretty(&self.json).unwrap()
            },
        );
    }

    /// What `watch --json` told.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        events(&self.stdout)
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        self.ensure(self.status.code() == Some(code), format!("should exit with {code}"));
        self
    }

    /// Exit code, the verdict on top, and the verdict of the pool `app`.
    #[track_caller]
    pub(crate) fn says(&self, code: i32, verdict: &str) -> &Self {
        self.says_of("app", verdict);
        self.ensure(self.json["verdict"] == verdict, format!("verdict should be `{verdict}`"));
        self.exits(code)
    }

    /// The verdict of one pool; and that the object is of its schema.
    #[track_caller]
    pub(crate) fn says_of(&self, pool: &str, verdict: &str) -> &Self {
        self.ensure(self.json["schema"] == "tracer.check/1", "one JSON object of schema tracer.check/1");
        let lines = self.stderr.lines().filter(|line| line.starts_with("tracing: ")).count();
        self.ensure(lines == 1, "exactly one line `tracing: `");
        self.ensure(self.pool(pool)["verdict"] == verdict, format!("pool {pool} should be `{verdict}`"));
        self
    }

    /// The only pool of this name.
    #[track_caller]
    pub(crate) fn pool(&self, name: &str) -> &Value {
        let pools = self.pools(name);
        self.ensure(pools.len() == 1, format!("one pool called {name}, not {}", pools.len()));
        pools[0]
    }

    /// All pools of this name (several balancers may have one each).
    #[track_caller]
    pub(crate) fn pools(&self, name: &str) -> Vec<&Value> {
        let pools = self.json["pools"].as_array();
        self.ensure(pools.is_some(), "a list of pools");
        pools.unwrap().iter().filter(|pool| pool["name"] == name).collect()
    }

    /// The member with this address of a pool, if it is listed.
    #[track_caller]
    pub(crate) fn find(&self, pool: &str, address: SocketAddr) -> Option<Member<'_>> {
        let members = self.pool(pool)["members"].as_array().unwrap();
        let json = members.iter().find(|member| member["backend"] == address.to_string())?;
        Some(Member { of: self, json, address })
    }

    /// The only member with this address of a pool.
    #[track_caller]
    pub(crate) fn member(&self, pool: &str, address: SocketAddr) -> Member<'_> {
        let members = self.pool(pool)["members"].as_array().unwrap();
        let mut found = members.iter().filter(|member| member["backend"] == address.to_string());
        let member = found.next();
        self.ensure(member.is_some() && found.next().is_none(), format!("one member {address} of {pool}"));
        Member { of: self, json: member.unwrap(), address }
    }

    /// Prints what the tracer says it could not count, and gives the connections that others may miss.
    /// Events that were hidden and made up for.
    pub(crate) fn recursion_misses(&self) -> u64 {
        self.json["uncounted"]["recursion_misses"].as_u64().unwrap_or_default()
    }

    pub(crate) fn print_uncounted(&self) {
        println!("uncounted: {}; tracing after {:?}", self.json["uncounted"], self.to_tracing);
    }

    /// That every member of `app` has just what its backend saw, to the connection and the byte, all of it over.
    #[track_caller]
    pub(crate) fn equals(&self, backends: &[Backend]) -> &Self {
        self.equals_in_connections(backends);
        for backend in backends {
            let (member, report) = (self.member("app", backend.address), backend.report());
            member.is("sent_bytes", report.received_bytes).is("received_bytes", report.sent_bytes);
        }
        self
    }

    /// The same, without the bytes.
    #[track_caller]
    pub(crate) fn equals_in_connections(&self, backends: &[Backend]) -> &Self {
        self.print_uncounted();
        for backend in backends {
            let (member, report) = (self.member("app", backend.address), backend.report());
            println!("{}: {report:?}, attempts {}", backend.address, member.count("attempts"));
            member.adds_up().is("established", report.accepted);
            member.is("closed", report.closed).is("live", report.accepted - report.closed);
        }
        self
    }
}

/// One member in the JSON.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    of: &'a Ended,
    json: &'a Value,
    address: SocketAddr,
}

impl Member<'_> {
    #[track_caller]
    pub(crate) fn count(self, name: &str) -> u64 {
        let count = self.json[name].as_u64();
        self.of
            .ensure(count.is_some(), format!("{}: a count `{name}`, not {}", self.address, self.json[name]));
        count.unwrap()
    }

    #[track_caller]
    pub(crate) fn failed(self, cause: &str) -> u64 {
        let count = self.json["failed"][cause].as_u64();
        self.of.ensure(count.is_some(), format!("{}: a count `failed.{cause}`", self.address));
        count.unwrap()
    }

    /// Connections that were there before; none are among the others where they are not looked for.
    #[track_caller]
    pub(crate) fn adopted(self) -> u64 {
        self.count("adopted")
    }

    /// That a count is just this.
    #[track_caller]
    pub(crate) fn is(self, name: &str, expected: u64) -> Self {
        let count = self.count(name);
        self.of
            .ensure(count == expected, format!("{}: {name} should be {expected}, is {count}", self.address));
        self
    }

    /// That so many attempts failed for this cause, and none for another.
    #[track_caller]
    pub(crate) fn failed_only(self, cause: &str, expected: u64) -> Self {
        for other in CAUSES {
            let (count, expected) = (self.failed(other), if other == cause { expected } else { 0 });
            self.of.ensure(
                count == expected,
                format!("{}: failed.{other} should be {expected}, is {count}", self.address),
            );
        }
        self
    }

    /// The two sums.
    #[track_caller]
    pub(crate) fn adds_up(self) -> Self {
        let failed: u64 = CAUSES.iter().map(|cause| self.failed(cause)).sum();
        let outcomes = self.count("established") + failed + self.count("pending") + self.count("untracked");
        self.is("attempts", outcomes);
        let now = self.count("live") + self.count("closing") + self.count("closed");
        let sum = self.count("established") + self.adopted();
        self.of.ensure(sum == now, format!("{}: {sum} established and adopted, not {now}", self.address));
        self
    }

    /// `over`, `failing`, …; none is "".
    #[track_caller]
    pub(crate) fn finds(self, finding: &str) -> Self {
        let found = self.json["finding"].as_str().unwrap_or_default();
        self.of.ensure(
            found == finding,
            format!("{}: finding should be `{finding}`, is `{found}`", self.address),
        );
        self
    }

    #[track_caller]
    pub(crate) fn interval_contains(self, share: f64) -> Self {
        let bound = |at: usize| self.json["share_interval"][at].as_f64().unwrap_or(f64::NAN);
        self.of.ensure(
            bound(0) <= share && share <= bound(1),
            format!("{}: {share} should be within {}", self.address, self.json["share_interval"]),
        );
        self
    }
}

/// What several backends saw, together.
pub(crate) fn accepted(backends: &[Backend]) -> u64 {
    backends.iter().map(Backend::report).map(|report: Report| report.accepted).sum()
}
