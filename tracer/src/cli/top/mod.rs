//! `tracer top`: what happens now, on one screen.
//!
//! Intervals are taken and judged on this thread, which owns the kernel objects; they go to the [`screen`], which draws on
//! a thread of its own and reads keys on another. A terminal that takes nothing more holds up neither the tick nor the end.

mod screen;

use super::check::watching;
use super::exit::{self, Exit, Failure, host_name, say};
use super::options::{Bounds, Exchanges, PoolOptions};
use super::source::{PATIENCE_INTERVALS, Source};
use super::stop::Stop;
use crate::agent::Agent;
use crate::detect::Settings;
use crate::kernel::{self, Tracer};
use crate::outputs::top::{Look, World};
use crate::pools::Pools;
use crate::recording::Selection;
use screen::{End, Screen};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Show recorded samples (`-`: standard input) instead of what happens now, as `check --replay` does
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pools", "declared_only", "netns", "nginx", "haproxy", "envoy"])]
    replay: Option<PathBuf>,
    /// Do not look for the configurations of balancers that run here
    #[arg(long)]
    no_auto: bool,
    /// Measure requests and their response times
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Exchanges::Auto)]
    exchanges: Exchanges,
    #[command(flatten)]
    pools: PoolOptions,
    #[command(flatten)]
    bounds: Bounds,
}

pub(super) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    if !io::stdout().is_terminal() || std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb") {
        let line = "top needs a terminal that it can draw on; for files and pipes there is `tracer check`";
        return Err(Failure::Input(vec![line.to_owned()]));
    }
    match &arguments.replay {
        Some(file) => {
            let agent = Agent::new(Pools::default(), Settings::default());
            let source = Source::recording(file, agent, Selection::new(arguments.pools.filter()), None)?;
            super::block_on(watch(source, World::of_recording(file.display().to_string())))
        }
        None => {
            let pools = arguments.pools.pools(!arguments.no_auto)?;
            let what = watching(pools.declared_count(), pools.is_filtered());
            let agent = Agent::new(pools, Settings::default());
            let exchanges = arguments.exchanges.with_auto(kernel::Exchanges::Measured);
            let tracer = Tracer::start(arguments.bounds.settings(exchanges))?;
            let mut world = World::of_host(host_name());
            for notice in tracer.notices() {
                world.notice(&notice);
            }
            say(&format!("tracing: {what}"));
            super::block_on(async { watch(Source::kernel(tracer, agent, None), world).await })
        }
    }
}

async fn watch(mut source: Source, world: World) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::Internal(error.into()))?;
    let look = Look::of(|name| std::env::var(name).ok());
    let mut screen = Screen::start(world, look).map_err(Failure::Output)?;
    let (mut intervals, mut more) = (0_u32, true);
    let result = loop {
        tokio::select! {
            biased;
            () = stop.told() => break Ok(()),
            _ = hangup.recv() => break Ok(()),
            end = screen.ended() => break match end {
                End::Asked => Ok(()),
                End::Failed(error) => Err(Failure::Output(error)),
                End::Panicked => Err(Failure::Internal(anyhow::anyhow!("the screen: a panic; the message above says where"))),
            },
            interval = source.next(), if more => match interval {
                Ok(Some(interval)) => {
                    intervals = intervals.saturating_add(1);
                    let patient = intervals < PATIENCE_INTERVALS;
                    let unmatched = if patient { Vec::new() } else { source.agent().unmatched() };
                    screen.change(|world| world.take(interval, unmatched));
                }
                Ok(None) => {
                    more = false;
                    screen.change(World::end);
                }
                Err(failure) => break Err(failure),
            },
        }
    };
    // Out of the kernel first: a terminal that takes nothing keeps no program running.
    source.end();
    screen.end();
    exit::divert(None).iter().for_each(|line| say(line));
    result.map(|()| Exit::Fine)
}
