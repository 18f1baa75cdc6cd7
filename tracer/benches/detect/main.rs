//! The detector against made-up traffic: how often it is wrong about what is fine, how soon it is right about what is
//! not, and what that costs. `cargo xtask bench detect` runs it.

mod arguments;
pub(crate) mod baselines;
pub(crate) mod chance;
mod coverage;
mod delays;
pub(crate) mod fault;
mod healthy;
pub(crate) mod pools;
mod scenarios;
pub(crate) mod stats;
pub(crate) mod streams;
mod subject;
mod targets;
mod times;
mod work;

use arguments::Arguments;
use clap::Parser;
use std::process::ExitCode;
use targets::Results;
use work::Plan;

/// What cargo passes on.
#[derive(Parser)]
#[command(name = "detect")]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
    /// Cargo's own mark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Command { arguments, .. } = Command::parse();
    let plan = Plan::new(&arguments);
    let results = measure(&plan);
    let report = report(&arguments, &results);
    let written = match &arguments.out {
        Some(path) => {
            std::fs::write(path, report).map_err(|error| format!("cannot write {}: {error}", path.display()))
        }
        None => {
            println!("{report}");
            Ok(())
        }
    };
    if let Err(error) = written {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let broken = if plan.quick { targets::broken(&results) } else { Vec::new() };
    for says in &broken {
        eprintln!("does not hold: {says}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(plan: &Plan) -> Results {
    Results {
        cost: times::cost(plan),
        scenarios: scenarios::run(plan),
        fresh: times::fresh(plan),
        clearing: times::clearing(plan),
        coverage: coverage::run(plan),
        delays: delays::run(plan),
        healthy: healthy::run(plan),
    }
}

/// The report, in Markdown.
fn report(arguments: &Arguments, results: &Results) -> String {
    let command = format!("cargo xtask bench detect {}", quoted(&arguments.determining()));
    let mut sections = vec![format!("# The detector, measured\n\n`{command}`\n"), targets::section(results)];
    if !results.healthy.is_empty() {
        sections.push(healthy::section(&results.healthy));
    }
    if !results.delays.is_empty() {
        sections.push(delays::section(&results.delays));
    }
    if !results.scenarios.is_empty() {
        sections.push(scenarios::section(&results.scenarios));
    }
    if !results.fresh.is_empty() {
        let words =
            "A judge that has seen nothing, and a member with ten times its weight from the first second on.";
        sections.push(times::section("Fresh start", words, &results.fresh));
    }
    if !results.clearing.is_empty() {
        let words = "Repaired after two minutes: how long until nothing is found. Runs in which nothing was found at the repair are left out.";
        sections.push(times::section("Clearing", words, &results.clearing));
    }
    if !results.coverage.is_empty() {
        sections.push(coverage::section(&results.coverage));
    }
    if !results.cost.is_empty() {
        sections.push(times::cost_section(&results.cost));
    }
    sections.join("\n")
}

/// Arguments as one would type them.
fn quoted(arguments: &[String]) -> String {
    let plain = |argument: &String| {
        if argument.contains(|c: char| c.is_whitespace() || "*'`".contains(c)) {
            format!("'{}'", argument.replace('\'', r"'\''"))
        } else {
            argument.clone()
        }
    };
    arguments.iter().map(plain).collect::<Vec<_>>().join(" ")
}
