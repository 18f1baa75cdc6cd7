//! The report as Markdown. Pure.

use std::fmt::Write as _;

use super::{Report, calculated::Calculated, point::Measured};

pub(super) fn markdown(report: &Report) -> String {
    let mut text = format!("Linux {}; possible processors: {}.\n\n", report.kernel, report.processors);
    text.push_str(
        "| backends | live connections | start ms | tick ms | sweep ms | longest | program ns/connection | \
         process, MiB resident | programs and maps, MiB |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    report.points.iter().for_each(|point| measured(&mut text, point));
    text.push_str(
        "\nBy calculation, with the defaults:\n\n\
         | possible processors | maps, MiB | bytes for each place | connections walked without a pause, of all |\n\
         |--:|--:|--:|--:|\n",
    );
    report.calculated.iter().for_each(|of| calculated(&mut text, of));
    text
}

fn measured(text: &mut String, point: &Measured) {
    let sweep = point.sweep_ms;
    let _ = writeln!(
        text,
        "| {} | {} | {:.0} | {:.1} | {:.2} ({:.2}–{:.2}) | {:.2} | {:.0} | {:.1} | {:.1} |",
        point.numbers.backends,
        point.numbers.connections,
        point.start_seconds * 1e3,
        point.tick_ms,
        sweep.median,
        sweep.low,
        sweep.high,
        point.longest_sweep_ms,
        point.visit_ns,
        point.resident_kib as f64 / 1024.0,
        mebibytes(point.kernel_bytes),
    );
}

fn calculated(text: &mut String, of: &Calculated) {
    let _ = writeln!(
        text,
        "| {} | {:.2} | {:.0} | 1/{} |",
        of.processors,
        mebibytes(of.map_bytes),
        of.bytes_per_backend,
        of.sweep_lists
    );
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
