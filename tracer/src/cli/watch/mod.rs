//! `tracer watch`: watches for good, and tells what is worth telling.
//!
//! One loop on one thread: intervals from the source go to the chronicle, its events to standard output. Nothing in it
//! waits for a file, a name or a reader: files and names are read on other threads ([`reload`]), lines are written on
//! another ([`writer`]).

mod declarations;
mod reload;
mod source;
mod writer;

use super::check::{host_name, watching};
use super::config::Typed;
use super::exit::{Exit, Failure, say};
use super::options::{Bounds, PoolOptions};
use super::stop::Stop;
use crate::chronicle::{Chronicle, Event, What};
use crate::outputs::{event_json, event_text};
use declarations::Declarations;
use reload::{News, Reloader, Take};
use source::{Interval, Live};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use writer::Writer;

/// What `watch` can be told. Each flag but `--config` is a key of its configuration file too; `dist/tracer.toml` lists
/// them.
#[derive(clap::Args, Clone, Debug, PartialEq)]
pub(super) struct Arguments {
    /// One JSON object a line (schema tracer.event/1) instead of log lines
    #[arg(long)]
    json: bool,
    /// These flags as keys of a file (TOML); what is typed wins. Read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pools: PoolOptions,
    #[command(flatten)]
    bounds: Bounds,
}

impl Arguments {
    /// Flags that are otherwise than when it started, and that cannot change while it runs.
    fn needing_restart(&self, started: &Self) -> Vec<&'static str> {
        let mut flags = self.bounds.unlike(&started.bounds);
        if self.json != started.json {
            flags.push("json");
        }
        flags
    }
}

/// What was typed; the configuration file may say more.
pub(super) type CommandLine = Typed<Arguments>;

pub(super) fn run(typed: CommandLine) -> Result<Exit, Failure> {
    let declarations = Declarations::read(&typed).map_err(Failure::Input)?;
    super::block_on(watch(typed, declarations))
}

async fn watch(typed: CommandLine, declarations: Declarations) -> Result<Exit, Failure> {
    // From here on: a signal that comes while the programs are loaded is one for us.
    let mut stop = Stop::listen()?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::Internal(error.into()))?;
    let on_terminal = io::stdout().is_terminal();
    let pools = declarations.sorted();
    let (declared_pools, filtered) = (pools.declared_count(), pools.is_filtered());
    let mut source = Live::start(pools, declarations.arguments.bounds.settings())?;
    let mut voice = Voice { json: declarations.arguments.json, writer: Writer::start(io::stdout()) };
    let mut reloader = Reloader::new(typed, declarations);
    let mut chronicle = Chronicle::default();
    say(&format!("tracing: {}; SIGHUP reads the configuration again", watching(declared_pools, filtered)));
    voice.tell(source.now(), What::Tracing { host: host_name(), declared_pools })?;
    let reason = loop {
        tokio::select! {
            biased;
            signal = stop.told_by() => break signal,
            result = voice.writer.ended() => return result,
            // A terminal that is gone sends the same signal as who wants a reload.
            _ = hangup.recv() => if on_terminal && !io::stdout().is_terminal() {
                break "SIGHUP";
            } else {
                reloader.reload();
            },
            news = reloader.done() => voice.tell_news(&mut source, news)?,
            interval = source.next() => {
                let Some(interval) = interval else { break "end" };
                voice.tell_all(take(&mut chronicle, &interval))?;
                let news = reloader.tick();
                voice.tell_news(&mut source, news)?;
            }
        }
    };
    let last = source.last();
    voice.tell_all(take(&mut chronicle, &last))?;
    let stopping = What::Stopping {
        reason,
        duration_seconds: source.elapsed().as_secs_f64(),
        pools: last.pools,
        uncounted: last.uncounted,
    };
    // Detached before the end is told: who has read it finds nothing in the kernel, and a reader that is slow keeps no
    // program running.
    drop(source);
    voice.tell(last.time_seconds, stopping)?;
    voice.writer.finish().await
}

fn take(chronicle: &mut Chronicle, interval: &Interval) -> Vec<Event> {
    chronicle.take(interval.time_seconds, &interval.pools, &interval.uncounted)
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
    fn tell_news(&mut self, source: &mut Live, news: News) -> Result<(), Failure> {
        match news.take {
            Some(Take::Declarations(declared)) => source.declare(declared),
            Some(Take::Selection(pools)) => source.select(*pools),
            None => {}
        }
        let Some(change) = news.change else { return Ok(()) };
        // On standard error too: whoever asked for it may not be reading the events.
        change.errors.iter().for_each(|line| say(&format!("error: {line}; the pools stay as they were")));
        self.tell(source.now(), What::PoolsChanged(change))
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
        keys.insert("config".into());
        assert_eq!(keys, flags);
        let lines: Vec<&str> = DEFAULTS.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1].starts_with('#') && !pair[1].starts_with("# ")) {
            assert!(pair[0].starts_with("# "), "{} needs an explanation above", pair[1]);
        }
    }
}
