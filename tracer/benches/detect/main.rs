//! The detector against made-up traffic: how often it is wrong about what is fine, how soon it is right about what is
//! not, and what that costs. `cargo xtask bench detect` runs it.

mod baselines;
mod chance;
mod coverage;
mod delays;
mod fault;
mod healthy;
mod pools;
mod scenarios;
mod stats;
mod streams;
mod subject;
mod targets;
mod times;
mod work;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use targets::Results;
use work::Plan;

/// The detector against made-up traffic.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench detect")]
struct Arguments {
    /// A minute's worth, which fails when something does not hold that must
    #[arg(long)]
    quick: bool,
    /// Only cells whose name contains this, such as `delay: random`
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Pool-years of healthy traffic for a cell that is cheap; others get their part of it
    #[arg(long, value_parser = years)]
    years: Option<f64>,
    /// Runs of each fault
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// Seed of everything that is made up; 1 is for tuning, the published table has another
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; all processors unless told
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Where the table goes instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Cargo's own mark
    #[arg(long, hide = true)]
    bench: bool,
}

fn years(text: &str) -> Result<f64, String> {
    let years = text.parse::<f64>().map_err(|error| error.to_string())?;
    let fits = years > 0.0 && years <= 1000.0;
    if fits { Ok(years) } else { Err("more than 0, and 1000 at most".to_owned()) }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan {
        quick: arguments.quick,
        only: arguments.only.clone(),
        years: arguments.years.unwrap_or(if arguments.quick { 0.01 } else { 4.0 }),
        runs: arguments.runs.map_or(if arguments.quick { 20 } else { 200 }, usize::from),
        seed: arguments.seed,
        jobs: arguments.jobs.map_or_else(cores, usize::from),
    };
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
    let mut command = "cargo xtask bench detect".to_owned();
    if arguments.quick {
        command += " --quick";
    }
    if let Some(only) = &arguments.only {
        command += &format!(" --only '{only}'");
    }
    if let Some(years) = arguments.years {
        command += &format!(" --years {years}");
    }
    if let Some(runs) = arguments.runs {
        command += &format!(" --runs {runs}");
    }
    command += &format!(" --seed {}", arguments.seed);
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
        let words = "Repaired after two minutes: how long until nothing is found.";
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
