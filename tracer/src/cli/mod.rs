//! The command line: what the user typed, and the exit code that answers.

mod audit;
mod check;
mod config;
mod demo;
mod doctor;
mod exit;
mod expected;
mod options;
mod running;
mod source;
mod stop;
mod watch;

use clap::{Parser, Subcommand};
use exit::{Exit, Failure};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

/// Who gets the traffic? Counts every TCP connection that a load balancer opens, in the kernel, and judges the spread.
#[derive(Parser)]
#[command(
    name = "tracer",
    version,
    after_help = "Examples:\n  \
        tracer check                        watch what this host's balancers do, say whether it is even\n  \
        tracer check --nginx /etc/nginx/nginx.conf  against what this configuration says\n  \
        tracer check --pools pools.toml     against the shares that you expect\n  \
        tracer check --balancer haproxy --port 8080 --for 30s --json\n  \
        tracer watch --pools pools.toml     the same for good: a line whenever a verdict changes, --json for programs\n  \
        tracer check --replay samples.jsonl what was recorded, judged again\n  \
        tracer audit                        what the configurations of running balancers say, and what looks wrong in them\n  \
        tracer doctor                       what this host supports\n  \
        tracer demo                         see it find a planted fault\n\n\
        Exit codes: 0 balanced or done; 1 a finding; 2 usage or input error; 3 insufficient evidence; 4 this host cannot be \
        traced; 5 internal error"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch, print the verdict with its evidence, exit with it
    Check(check::Arguments),
    /// Watch for good: a line for each change of a verdict, as text or JSON
    Watch(watch::CommandLine),
    /// Check balancers' configurations without tracing: pools, expected shares, and what looks wrong
    Audit(audit::Arguments),
    /// What this host supports, program by program, and why not
    Doctor(doctor::Arguments),
    /// A tiny balancer on loopback, misconfigured on purpose and traced for real
    Demo(demo::Arguments),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // clap prints usage errors to stderr and exits with 2, and --help to stdout with 0.
    let Arguments { command } = Arguments::parse();
    let run = AssertUnwindSafe(|| match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Watch(arguments) => watch::run(arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    });
    let result = panic::catch_unwind(run)
        .unwrap_or_else(|_| Err(Failure::Internal(anyhow::anyhow!("a panic; the message above says where"))));
    let exit = match result {
        Ok(exit) => exit,
        Err(failure) => {
            exit::complain(&failure);
            failure.exit()
        }
    };
    exit.into()
}

/// Runs a command's future on this thread: it owns the kernel objects and the tick.
fn block_on(future: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Internal(error.into()))?;
    let result = runtime.block_on(future);
    // A name that is still being looked up, or a reader that does not read, keeps nobody from ending.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
