//! `cargo xtask bench tick`: what each stage of a tick takes in user space, by criterion on a recording.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{command, machine::Machine, setup};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One object, schema `tracer.bench.tick/1`, in place of Markdown
    #[arg(long)]
    json: bool,
    /// A few runs of each, under a minute, to see that every part works; its figures are worth little
    #[arg(long)]
    quick: bool,
}

/// In the order of a tick.
const STAGES: [&str; 5] = ["collect", "pools", "detect", "tell", "record"];

/// What is printed.
#[derive(Debug, PartialEq, Serialize)]
struct Report {
    schema: &'static str,
    sizes: Vec<Size>,
}

/// A tick of a host with so many backends, nanoseconds by stage.
#[derive(Debug, PartialEq, Serialize)]
struct Size {
    backends: u32,
    stages_ns: BTreeMap<&'static str, Estimate>,
}

/// A median, and what it lies between with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Estimate {
    low: f64,
    median: f64,
    high: f64,
}

/// Of criterion's `estimates.json`, what is needed.
#[derive(Deserialize)]
struct Estimates {
    median: Median,
}

#[derive(Deserialize)]
struct Median {
    confidence_interval: Confidence,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Confidence {
    lower_bound: f64,
    upper_bound: f64,
}

/// Sets up, builds, measures and prints.
pub(super) fn tick(machine: &Machine, arguments: &Arguments) -> Result<()> {
    setup::set_up(machine, false)?;
    let results = machine.target.join("criterion/tick");
    if results.exists() {
        // What an earlier run left would be taken for this one's.
        fs::remove_dir_all(&results).with_context(|| format!("cannot remove {}", results.display()))?;
    }
    let mut cargo = machine.command("cargo");
    cargo.args(["bench", "--package", "tracer", "--bench", "tick", "--"]);
    if arguments.quick {
        cargo.arg("--quick");
    }
    command::run_aside(&mut cargo, "the errors above name place and reason")?;
    let report = Report { schema: "tracer.bench.tick/1", sizes: sizes(&results)? };
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", markdown(&report));
    }
    Ok(())
}

/// Reads what criterion left in `<results>/<stage>/<backends>/new/estimates.json`.
fn sizes(results: &Path) -> Result<Vec<Size>> {
    let mut sizes: BTreeMap<u32, BTreeMap<&'static str, Estimate>> = BTreeMap::new();
    for stage in STAGES {
        let folder = results.join(stage);
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            // Its own folder for the report is none.
            let Ok(backends) = entry.file_name().to_string_lossy().parse() else { continue };
            let path = entry.path().join("new/estimates.json");
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let Estimates { median } = serde_json::from_str(&text)
                .with_context(|| format!("{} is not criterion's", path.display()))?;
            let Confidence { lower_bound: low, upper_bound: high } = median.confidence_interval;
            let estimate = Estimate { low, median: median.point_estimate, high };
            sizes.entry(backends).or_default().insert(stage, estimate);
        }
    }
    ensure!(!sizes.is_empty(), "criterion left no figures in {}", results.display());
    let whole = sizes.values().all(|stages| stages.len() == STAGES.len());
    ensure!(whole, "criterion left no figures of some stages in {}", results.display());
    Ok(sizes.into_iter().map(|(backends, stages_ns)| Size { backends, stages_ns }).collect())
}

fn markdown(report: &Report) -> String {
    let mut text = String::from("| backends |");
    STAGES.iter().for_each(|stage| text.push_str(&format!(" {stage} µs |")));
    text.push_str(" together | a backend |\n|--:|");
    text.push_str(&"--:|".repeat(STAGES.len() + 2));
    for size in &report.sizes {
        let _ = write!(text, "\n| {} |", size.backends);
        for Estimate { low, median, high } in STAGES.iter().filter_map(|stage| size.stages_ns.get(stage)) {
            let _ = write!(text, " {:.1} ({:.1}–{:.1}) |", median / 1e3, low / 1e3, high / 1e3);
        }
        let together: f64 = size.stages_ns.values().map(|estimate| estimate.median).sum();
        let _ = write!(text, " {:.1} | {:.2} |", together / 1e3, together / 1e3 / f64::from(size.backends));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESTIMATES: &str = r#"{"mean":{"confidence_interval":{"confidence_level":0.95,"lower_bound":9.0,"upper_bound":9.5},"point_estimate":9.1,"standard_error":0.1},"median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":1000.0,"upper_bound":3000.0},"point_estimate":2000.0,"standard_error":1.0}}"#;

    fn left(results: &Path, stages: &[&str]) {
        for stage in stages {
            let folder = results.join(stage).join("10/new");
            fs::create_dir_all(&folder).unwrap();
            fs::create_dir_all(results.join(stage).join("report")).unwrap();
            fs::write(folder.join("estimates.json"), ESTIMATES).unwrap();
        }
    }

    #[test]
    fn medians_of_every_stage_are_added_up() {
        let folder = tempfile::tempdir().unwrap();
        left(folder.path(), &STAGES);
        let sizes = sizes(folder.path()).unwrap();
        assert_eq!(sizes.len(), 1);
        let text = markdown(&Report { schema: "", sizes });
        let row = text.lines().last().unwrap();
        assert!(row.starts_with("| 10 | 2.0 (1.0–3.0) |") && row.ends_with("| 10.0 | 1.00 |"), "{row}");
        assert_eq!(row.matches('|').count(), text.lines().next().unwrap().matches('|').count());
    }

    #[test]
    fn a_stage_that_was_not_measured_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        left(folder.path(), &STAGES[1..]);
        assert!(sizes(folder.path()).is_err());
        fs::create_dir_all(folder.path().join(STAGES[0])).unwrap();
        assert!(sizes(folder.path()).unwrap_err().to_string().contains("some stages"));
    }
}
