//! `tracer doctor`: what this host supports.

use super::exit::{Exit, Failure, print};
use super::options::Bounds;
use crate::kernel;
use crate::outputs::{doctor_json, doctor_text};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// One JSON object (schema tracer.doctor/1) instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bounds: Bounds,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let support = kernel::survey(arguments.bounds.settings(kernel::Exchanges::default()));
    let exit = if support.can_trace() { Exit::Fine } else { Exit::CannotTrace };
    print(&if arguments.json { doctor_json(&support) } else { doctor_text(&support) }, exit)
}
