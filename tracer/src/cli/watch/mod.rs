//! `tracer watch`: watches for good, and tells what is worth telling.
//!
//! One loop on one thread: intervals from the source go to the chronicle, its events to standard output. Nothing in it
//! waits for a file that is read, a name or a reader: files and names are read on other threads ([`reload`]), lines are
//! written on another ([`writer`]), HTTP is answered on another ([`present`]), the history is kept on another ([`kept`]),
//! alerts are sent on others ([`alarm`]). Only the recording ([`samples`]) is written in place: a line a second, to the page
//! cache.

mod alarm;
mod checkpoint;
mod clock;
mod declarations;
mod kept;
mod present;
mod privileges;
mod reload;
mod samples;
mod watched;
mod writer;

use super::check::watching;
use super::config::Typed;
use super::exit::{Exit, Failure, host_name, say};
use super::options::{Bounds, Bytes, Exchanges, PoolOptions, age, bytes};
use super::source::{PATIENCE_INTERVALS, Source};
use super::stop::Stop;
use crate::agent::{Agent, Judged};
use crate::chronicle::{Chronicle, Event, What};
use crate::detect::Settings;
use crate::kernel::{self, Pins, Tracer};
use crate::listener::ListenAddress;
use crate::outputs::{Latest, event_json, event_text};
use crate::pools::{Names, Pools};
use crate::recording::{Interval, Selection};
use alarm::{Alarm, AlarmOptions};
use checkpoint::Checkpoint;
#[cfg(any(test, fuzzing))]
pub use checkpoint::remembered_in;
use clock::Clock;
use declarations::Declarations;
use kept::Kept;
use present::Present;
use reload::{News, Reloader, Take};
use samples::Samples;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracer_ebpf::ABI_VERSION;
use writer::Writer;

/// Where `--pin` keeps what it keeps, unless it is said.
const PIN_DIR: &str = "/sys/fs/bpf/tracer";
const STATE: &str = "/var/lib/tracer/state.json";

/// What `watch` can be told. Each flag but `--config` is a key of its configuration file too; `dist/tracer.toml` lists
/// them.
#[derive(clap::Args, Clone, Debug, PartialEq)]
pub(super) struct Arguments {
    /// One JSON object a line (schema tracer.event/1) instead of log lines
    #[arg(long)]
    json: bool,
    /// Append every interval to a recording, for --replay
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Keep what happens in this file (SQLite), for afterwards
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    history: Option<PathBuf>,
    /// Bytes that the history may have (512MiB, 2GiB): the oldest goes
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = bytes)]
    history_size: Bytes,
    /// How far back the history may go (12h, 30d): the oldest goes
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = age)]
    history_age: Duration,
    /// Judge a recording (`-`: standard input) instead of what happens now, as `check --replay` does
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pools", "declared_only", "netns", "samples", "nginx", "haproxy", "envoy", "auto"])]
    replay: Option<PathBuf>,
    /// These flags as keys of a file (TOML); what is typed wins. Read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Expected shares from the configurations of balancers that run here, unless files are named
    #[arg(long)]
    auto: bool,
    /// Answer over HTTP: a live page, /metrics, /healthz, /api/v1/pools. A port of this host, or an address that others can reach
    #[arg(long, value_name = "[IP:]PORT", conflicts_with = "replay")]
    listen: Option<ListenAddress>,
    /// Go on counting when watch ends: programs and counters stay in the kernel, and the next one takes over without a gap
    #[arg(long, conflicts_with = "replay")]
    pin: bool,
    /// Where --pin keeps them: a directory on a BPF file system, for this agent alone
    #[arg(long, value_name = "DIR", default_value = PIN_DIR)]
    pin_dir: PathBuf,
    /// What an agent with --pin remembers, for the next one: a file, written each minute and at the end
    #[arg(long, value_name = "FILE", default_value = STATE)]
    state: PathBuf,
    /// Remove everything that --pin has left in the kernel, and end
    #[arg(long)]
    unpin: bool,
    /// Measure requests and their response times
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Exchanges::Auto)]
    exchanges: Exchanges,
    #[command(flatten)]
    alarm: AlarmOptions,
    #[command(flatten)]
    pools: PoolOptions,
    #[command(flatten)]
    bounds: Bounds,
}

impl Arguments {
    /// Whether it was said where pins and state are.
    fn names_pins(&self) -> bool {
        self.pin_dir != Path::new(PIN_DIR) || self.state != Path::new(STATE)
    }

    /// Flags that are otherwise than when it started, and that cannot change while it runs.
    fn needing_restart(&self, started: &Self) -> Vec<&'static str> {
        let mut flags = self.bounds.unlike(&started.bounds);
        flags.extend(self.alarm.unlike(&started.alarm));
        let others = [
            ("exchanges", self.exchanges != started.exchanges),
            ("history", self.history != started.history),
            ("history-size", self.history_size != started.history_size),
            ("history-age", self.history_age != started.history_age),
            ("json", self.json != started.json),
            ("listen", self.listen != started.listen),
            ("pin", self.pin != started.pin),
            ("pin-dir", self.pin_dir != started.pin_dir),
            ("state", self.state != started.state),
            ("samples", self.samples != started.samples),
            // To look at other processes was given up.
            ("declared-only", self.needs().other_processes && !started.needs().other_processes),
            ("replay", self.replay != started.replay),
        ];
        flags.extend(others.into_iter().filter(|(_, unlike)| *unlike).map(|(flag, _)| flag));
        flags
    }
}

/// What was typed; the configuration file may say more.
pub(super) type CommandLine = Typed<Arguments>;

pub(super) fn run(typed: CommandLine) -> Result<Exit, Failure> {
    let arguments = Declarations::arguments(&typed).map_err(Failure::Input)?;
    if arguments.unpin {
        // Whatever else the configuration says: who takes tracer off a host needs no pools.
        let removed = Pins::remove(&arguments.pin_dir)?;
        removed.iter().for_each(|line| say(line));
        if removed.is_empty() {
            say(&format!("nothing is pinned in {} (--pin-dir)", arguments.pin_dir.display()));
        }
        return Ok(Exit::Fine);
    }
    let read = Declarations::read(&typed, Names::default(), &[]);
    let declarations = read.map_err(|unread| Failure::Input(unread.errors))?;
    declarations.problems.iter().for_each(|line| say(&format!("warning: {line}")));
    super::block_on(watch(typed, declarations))
}

async fn watch(typed: CommandLine, declarations: Declarations) -> Result<Exit, Failure> {
    // From here on: a signal that comes while the programs are loaded is one for us.
    let mut stop = Stop::listen()?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::Internal(error.into()))?;
    let on_terminal = io::stdout().is_terminal();
    let arguments = declarations.arguments.clone();
    let live = arguments.replay.is_none();
    if arguments.pin {
        checkpoint::is_an_agents(&arguments.state).map_err(|line| Failure::Input(vec![line]))?;
    } else if arguments.names_pins() {
        say("warning: --pin-dir and --state are for --pin, without which nothing is pinned");
    }
    // First, so that a second agent touches nothing else of the first.
    let pins = arguments.pin.then(|| Pins::take(&arguments.pin_dir, ABI_VERSION)).transpose()?;
    // Before anything is traced: an address that cannot be had is the user's business.
    let mut present = Present::begin(arguments.listen, arguments.bounds)?;
    let mut kept = Kept::begin(&arguments)?;
    let mut alarm = Alarm::begin(&arguments.alarm, arguments.pools.netns())?;
    let mut source = source(&declarations, pins)?;
    if let Some(before) = source.before(declarations.sorted()) {
        present.inherit(&before);
    }
    let mut chronicle = Chronicle::default();
    let mut checkpoint =
        source.began().filter(|_| arguments.pin).map(|began| Checkpoint::new(&arguments.state, began));
    if let Some(state) = checkpoint.as_ref().and_then(Checkpoint::read) {
        source.restore(state.agent, state.remembered);
        chronicle = state.chronicle.into();
    }
    let mut samples = match (&arguments.samples, source.time_seconds()) {
        (Some(file), Some(now)) => Some(Samples::begin(file, now, source.agent())?),
        _ => None,
    };
    // Everything is open, and no thread is begun yet that does not give up its own.
    if live {
        privileges::give_up(&arguments);
    }
    let writer = if live { Writer::start(io::stdout()) } else { Writer::patient(io::stdout()) };
    let mut voice = Voice { json: arguments.json, writer };
    let pools = declarations.sorted();
    let (declared_pools, filtered) = (pools.declared_count(), pools.is_filtered());
    let mut reloader = Reloader::new(typed, declarations);
    match (&arguments.replay, source.time_seconds()) {
        (Some(file), _) => say(&format!("replaying: {}", file.display())),
        (None, now) => {
            let watching = watching(declared_pools, filtered);
            present.say();
            alarm.say();
            say(&format!("tracing: {watching}; SIGHUP reads the configuration again"));
            voice.tell(now.unwrap_or_default(), What::Tracing { host: host_name(), declared_pools })?;
        }
    }
    let (mut clock, mut intervals) = (Clock::begin(), 0_u32);
    let reason = loop {
        let has_room = voice.writer.has_room();
        tokio::select! {
            biased;
            signal = stop.told_by() => break signal,
            result = voice.writer.ended() => return result,
            // A terminal that is gone sends the same signal as who wants a reload.
            _ = hangup.recv() => if on_terminal && !io::stdout().is_terminal() {
                break "SIGHUP";
            } else if live {
                reloader.reload();
            },
            news = reloader.done() => {
                voice.tell_news(&mut source, &mut samples, &mut chronicle, news)?;
            }
            // Who replays waits for a reader that is slow, and can be told to stop meanwhile.
            () = tokio::time::sleep(writer::MOMENT), if !has_room => {}
            interval = source.next(), if has_room => {
                let interval = match interval {
                    Ok(Some(interval)) => interval,
                    Ok(None) => break "end",
                    Err(failure) => {
                        // What was said before it comes before it.
                        voice.writer.finish().await?;
                        return Err(failure);
                    }
                };
                let events = take(&mut chronicle, &interval);
                kept.take(&interval, &events)?;
                if let Some(checkpoint) = &mut checkpoint {
                    checkpoint.tick(!events.is_empty(), source.agent(), &chronicle);
                }
                voice.tell_all(events)?;
                if let Some(samples) = &mut samples {
                    samples.record(&interval, source.agent());
                }
                alarm.take(&interval);
                present.take(interval, &source, &kept, &alarm);
                intervals = intervals.saturating_add(1);
                if intervals == PATIENCE_INTERVALS {
                    source.agent().unmatched().iter().for_each(|line| say(&format!("warning: {line}")));
                }
                if live {
                    clock.tick();
                    reloader.tick();
                }
            }
        }
    };
    // What happened since the last tick, so that what is told at the end is true.
    if let Some(interval) = source.now() {
        let events = take(&mut chronicle, &interval);
        kept.take(&interval, &events)?;
        if let Some(checkpoint) = checkpoint {
            checkpoint.finish(source.agent(), &chronicle);
        }
        voice.tell_all(events)?;
        if let Some(samples) = &mut samples {
            samples.record(&interval, source.agent());
        }
        present.take(interval, &source, &kept, &alarm);
    }
    if let Some(samples) = samples {
        samples.finish();
    }
    // Detached before the end is told: who has read it finds nothing in the kernel, and a reader that is slow keeps no
    // program running.
    let end = source.end();
    kept.finish(reason);
    let Some(Latest { time_seconds, report, .. }) = present.last() else {
        end.unmatched.iter().for_each(|line| say(line));
        voice.writer.finish().await?;
        return Ok(Exit::InsufficientEvidence);
    };
    let stopping = What::Stopping {
        reason,
        duration_seconds: end.duration_seconds,
        pools: report.pools,
        other: report.other.map(Box::new),
        uncounted: report.uncounted,
    };
    voice.tell(time_seconds, stopping)?;
    voice.writer.finish().await
}

/// The kernel or the recording, as asked for.
fn source(declarations: &Declarations, pins: Option<Pins>) -> Result<Source, Failure> {
    let arguments = &declarations.arguments;
    if let Some(file) = &arguments.replay {
        let agent = Agent::new(Pools::default(), Settings::default());
        return Source::recording(file, agent, Selection::new(arguments.pools.filter()), None);
    }
    let exchanges = arguments.exchanges.with_auto(kernel::Exchanges::Prepared);
    let settings = arguments.bounds.settings(exchanges);
    let tracer = match pins {
        Some(pins) => Tracer::start_pinned(settings, pins)?,
        None => Tracer::start(settings)?,
    };
    tracer.notices().iter().for_each(|notice| say(notice));
    Ok(Source::kernel(tracer, Agent::new(declarations.sorted(), Settings::default()), None))
}

fn take(chronicle: &mut Chronicle, interval: &Interval<Judged>) -> Vec<Event> {
    chronicle.take(interval.time_seconds, &interval.pools, interval.uncounted.as_ref())
}

/// How events are told.
struct Voice {
    json: bool,
    writer: Writer,
}

impl Voice {
    fn tell(&mut self, time_seconds: f64, what: What) -> Result<(), Failure> {
        self.tell_all([Event { time_seconds, what }])
    }

    fn tell_all(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), Failure> {
        for event in events {
            let line = if self.json {
                event_json(&event).map_err(|error| Failure::Internal(error.into()))?
            } else {
                event_text(&event)
            };
            self.writer.write(line);
        }
        Ok(())
    }

    /// Has the source take what was read again, and tells of it.
    fn tell_news(
        &mut self,
        source: &mut Source,
        samples: &mut Option<Samples>,
        chronicle: &mut Chronicle,
        news: News,
    ) -> Result<(), Failure> {
        let takes = news.take.is_some();
        match news.take {
            Some(Take::Declarations(declared)) => source.declare(declared),
            Some(Take::Selection(pools)) => {
                source.select(*pools);
                chronicle.begin_again();
            }
            None => {}
        }
        let now = source.time_seconds().unwrap_or_default();
        if let Some(samples) = samples
            && takes
        {
            samples.begin_again(now, source.agent());
        }
        let Some(change) = news.change else { return Ok(()) };
        // On standard error too: whoever asked for it may not be reading the events.
        change.errors.iter().for_each(|line| say(&format!("error: {line}; the pools stay as they were")));
        change.warnings.iter().for_each(|line| say(&format!("warning: {line}")));
        self.tell(now, What::PoolsChanged(change))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config;
    use super::*;
    use clap::{Args as _, Command, FromArgMatches as _};
    use std::collections::BTreeSet;

    const DEFAULTS: &str = include_str!("../../../dist/tracer.toml");

    /// The default file with every key uncommented: comments begin with `# `, keys that are left out with `#`.
    fn uncommented() -> String {
        let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
        DEFAULTS.lines().filter(is_key).map(|line| format!("{}\n", &line[1..])).collect()
    }

    #[test]
    fn the_default_file_says_what_is_so_without_it() {
        let given = config::parse::<Arguments>("tracer.toml", uncommented().as_bytes()).unwrap();
        let command = Arguments::augment_args(Command::new("watch"));
        let typed = CommandLine::from_arg_matches(&command.get_matches_from(["watch"])).unwrap();
        assert_eq!(typed.over(&given).unwrap(), typed.alone().unwrap());
        assert_eq!(
            config::parse::<Arguments>("tracer.toml", DEFAULTS.as_bytes()).unwrap(),
            [],
            "all left out"
        );
    }

    #[test]
    fn the_default_file_has_every_flag_with_an_explanation() {
        let command = Arguments::augment_args(Command::new("watch"));
        let flags: BTreeSet<String> =
            command.get_arguments().filter_map(clap::Arg::get_long).map(ToOwned::to_owned).collect();
        let text = uncommented();
        let keys = text.lines().filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()));
        let mut keys: BTreeSet<String> = keys.collect();
        keys.extend(config::NO_KEYS.map(ToOwned::to_owned));
        assert_eq!(keys, flags);
        let lines: Vec<&str> = DEFAULTS.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1].starts_with('#') && !pair[1].starts_with("# ")) {
            assert!(pair[0].starts_with("# "), "{} needs an explanation above", pair[1]);
        }
    }
}
