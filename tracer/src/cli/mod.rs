//! The command line: what the user typed, and the exit code that answers.

mod audit;
mod check;
mod config;
mod demo;
mod doctor;
mod examples;
mod exit;
mod expected;
mod generate;
mod options;
mod report;
mod running;
mod source;
mod stop;
pub mod terminal;
mod top;
mod watch;

use clap::{CommandFactory as _, Parser, Subcommand};
use exit::{Exit, Failure};
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
#[cfg(any(test, fuzzing))]
pub use watch::remembered_in;

/// Who gets the traffic? Counts every TCP connection that a load balancer opens, in the kernel, and judges the spread.
#[derive(Parser)]
#[command(
    name = "tracer",
    version,
    after_help = examples::TRACER
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One screen: pools, who gets what, verdicts; look closer at a pool, then at a member
    #[command(after_help = examples::TOP)]
    Top(top::Arguments),
    /// Watch, print the verdict with its evidence, exit with it
    #[command(after_help = examples::CHECK)]
    Check(check::Arguments),
    /// Watch for good: a line for each change of a verdict, as text or JSON
    #[command(after_help = examples::WATCH)]
    Watch(watch::CommandLine),
    /// Check balancers' configurations without tracing: pools, expected shares, and what looks wrong
    #[command(after_help = examples::AUDIT)]
    Audit(audit::Arguments),
    /// After an incident: what was found when, who got what, as the draft of a post-mortem
    #[command(after_help = examples::REPORT)]
    Report(report::Arguments),
    /// What this host supports, program by program, and why not
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::Arguments),
    /// A tiny balancer on loopback, misconfigured on purpose and traced for real
    #[command(after_help = examples::DEMO)]
    Demo(demo::Arguments),
    /// Print the script that completes this command line in a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(generate::Completions),
    /// Print a manual page
    #[command(after_help = examples::MAN)]
    Man(generate::Man),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // clap prints usage errors to stderr and exits with 2, and --help to stdout with 0.
    let typed = Arguments::parse().command;
    // On a terminal, without a command: the screen.
    let screen = || Arguments::parse_from(["tracer", "top"]).command;
    let Some(command) = typed.or_else(|| io::stdout().is_terminal().then(screen).flatten()) else {
        let _ = write!(io::stderr(), "{}", Arguments::command().render_help());
        return Exit::Usage.into();
    };
    let run = || match command {
        Command::Top(arguments) => top::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Watch(arguments) => watch::run(arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Completions(arguments) => arguments.run(Arguments::command()),
        Command::Man(arguments) => arguments.run(Arguments::command()),
    };
    answered(run).into()
}

/// The exit code that answers, failures and panics included; what failed is said.
fn answered(run: impl FnOnce() -> Result<Exit, Failure>) -> Exit {
    let result = panic::catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Failure::Internal(anyhow::anyhow!("a panic; the message above says where"))));
    result.unwrap_or_else(|failure| {
        exit::complain(&failure);
        failure.exit()
    })
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

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_panic_is_answered_as_a_failure_of_our_own() {
        assert_eq!(answered(|| panic!("as the test wants it")), Exit::Internal);
        assert_eq!(answered(|| Ok(Exit::Finding)), Exit::Finding);
    }
}
