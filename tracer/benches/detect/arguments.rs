//! What can be asked for. `cargo xtask bench detect` takes the same and reads this file too.

use std::path::PathBuf;

/// The detector against made-up traffic
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A minute's worth, which fails when something does not hold that must
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only cells whose name contains this, such as `delay: random`
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// Pool-years of healthy traffic for a cell that is cheap, 4 unless told; others get their part of it
    #[arg(long, value_parser = years)]
    pub(crate) years: Option<f64>,
    /// Runs of each fault, 200 unless told
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: Option<u16>,
    /// Seed of everything that is made up; 1 is for tuning, the published table has another
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Threads; all processors unless told
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Where the table goes instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

fn years(text: &str) -> Result<f64, String> {
    let years = text.parse::<f64>().map_err(|error| error.to_string())?;
    let fits = years > 0.0 && years <= 1000.0;
    if fits { Ok(years) } else { Err("more than 0, and 1000 at most".to_owned()) }
}

impl Arguments {
    /// Those that the figures depend on, as they are typed.
    pub(crate) fn determining(&self) -> Vec<String> {
        let mut typed = Vec::new();
        if self.quick {
            typed.push("--quick".to_owned());
        }
        let mut with = |name: &str, value: Option<String>| {
            typed.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        with("--only", self.only.clone());
        with("--years", self.years.map(|years| years.to_string()));
        with("--runs", self.runs.map(|runs| runs.to_string()));
        with("--seed", Some(self.seed.to_string()));
        typed
    }
}
