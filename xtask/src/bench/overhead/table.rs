//! The report as Markdown. Pure.

use std::fmt::Write as _;

use super::{
    Report,
    statistics::Quartiles,
    summary::{Costs, ProgramCosts, Summary},
};

/// Tables of everything that was measured: medians, with the quartiles in brackets where there are several rounds.
pub(super) fn markdown(report: &Report) -> String {
    let mut text = format!(
        "Linux {}; processors: {}; rounds: {}; other BPF programs in the kernel: {}.\n",
        report.kernel, report.processors, report.rounds, report.other_programs
    );
    for (title, of) in [
        ("A new connection for each request", (|summary| &summary.new) as fn(&Summary) -> &Costs),
        ("Connections that are kept", |summary| &summary.kept),
    ] {
        let _ = write!(
            text,
            "\n### {title}\n\n\
             | case | requests/s | of nothing's | p99 ms | of nothing's | BPF ns/request | × one empty program | \
             × empty on its hooks | process ns/request | both, of tcplife's | missed |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        );
        for summary in &report.cases {
            let _ = writeln!(text, "{}", row(summary.case, of(summary)));
        }
    }
    text.push_str(
        "\n### Programs\n\n| case | program | runs/request, new | ns | runs/request, kept | ns |\n|---|---|--:|--:|--:|--:|\n",
    );
    report.cases.iter().for_each(|summary| programs(&mut text, summary));
    text.push_str(
        "\n### Memory\n\n| case | process, MiB resident | programs and maps, KiB |\n|---|--:|--:|\n",
    );
    for summary in &report.cases {
        let mebibytes = shown(summary.resident_kib, 1.0 / 1024.0, 1);
        let _ = writeln!(
            text,
            "| {} | {mebibytes} | {} |",
            summary.case,
            shown(summary.kernel_bytes, 1.0 / 1024.0, 0)
        );
    }
    for refused in &report.refused {
        let _ = write!(text, "\n{} cannot run here: `{}`\n", refused.case, refused.reason);
    }
    text
}

fn row(case: &str, costs: &Costs) -> String {
    let cells = [
        shown(costs.requests_per_second, 1.0, 0),
        shown(costs.requests_ratio, 1.0, 3),
        shown(costs.p99_seconds, 1e3, 2),
        shown(costs.p99_ratio, 1.0, 2),
        shown(costs.programs_ns, 1.0, 0),
        shown(costs.one_empty_ratio, 1.0, 2),
        shown(costs.floor_ratio, 1.0, 2),
        shown(costs.process_ns, 1.0, 0),
        shown(costs.tcplife_ratio, 1.0, 4),
        missed(costs),
    ];
    format!("| {case} | {} |", cells.join(" | "))
}

/// How many in all rounds, and what share of a round that was.
fn missed(costs: &Costs) -> String {
    match (costs.missed_connections, costs.missed) {
        (Some(0), _) => "0".to_owned(),
        (Some(connections), Some(_)) => format!("{connections}: {} %", shown(costs.missed, 100.0, 2)),
        _ => "–".to_owned(),
    }
}

fn programs(text: &mut String, summary: &Summary) {
    let find = |costs: &Costs, name: &str| {
        let cells = |program: &ProgramCosts| {
            format!("{} | {}", shown(program.runs, 1.0, 2), shown(program.ns, 1.0, 0))
        };
        costs.programs.iter().find(|program| program.name == name).map_or_else(|| "– | –".to_owned(), cells)
    };
    let mut names: Vec<&str> = summary
        .new
        .programs
        .iter()
        .chain(&summary.kept.programs)
        .map(|program| program.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let _ = writeln!(
            text,
            "| {} | `{name}` | {} | {} |",
            summary.case,
            find(&summary.new, name),
            find(&summary.kept, name)
        );
    }
}

/// The median, with the quartiles in brackets when they differ from it as it is written.
fn shown(quartiles: Option<Quartiles>, scale: f64, digits: usize) -> String {
    let Some(Quartiles { low, median, high }) = quartiles else { return "–".to_owned() };
    let [low, median, high] = [low, median, high].map(|figure| format!("{:.digits$}", figure * scale));
    if low == median && high == median { median } else { format!("{median} ({low}–{high})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overhead::cases::Refused;

    fn costs() -> Costs {
        Costs {
            requests_per_second: Quartiles::of([9_000.0, 10_000.0, 11_000.0]),
            p99_seconds: Quartiles::of([0.012_3]),
            requests_ratio: Quartiles::of([0.99]),
            p99_ratio: Quartiles::of([1.014]),
            programs_ns: Quartiles::of([900.0]),
            process_ns: Quartiles::of([55.0]),
            one_empty_ratio: Quartiles::of([1.9]),
            floor_ratio: None,
            tcplife_ratio: Quartiles::of([0.031_25]),
            missed: Quartiles::of([0.0, 0.0, 0.001]),
            missed_connections: Some(7),
            programs: vec![ProgramCosts {
                name: "lifecycle".to_owned(),
                runs: Quartiles::of([10.0]),
                ns: Quartiles::of([500.0]),
            }],
        }
    }

    #[test]
    fn a_row_has_medians_and_quartiles_where_they_differ_and_a_dash_for_what_is_unknown() {
        assert_eq!(
            row("tracer watch", &costs()),
            "| tracer watch | 10000 (9500–10500) | 0.990 | 12.30 | 1.01 | 900 | 1.90 | – | 55 | 0.0312 | \
             7: 0.00 (0.00–0.05) % |"
        );
    }

    #[test]
    fn a_report_names_what_cannot_run_and_why() {
        let kept = Costs { missed: None, missed_connections: None, programs: Vec::new(), ..costs() };
        let (resident_kib, kernel_bytes) = (Quartiles::of([9_216.0]), Quartiles::of([2_048.0]));
        let report = Report {
            schema: "s",
            kernel: "6.18".to_owned(),
            processors: 2,
            rounds: 3,
            other_programs: 0,
            cases: vec![Summary {
                case: "tracer watch",
                rounds: 3,
                new: costs(),
                kept,
                resident_kib,
                kernel_bytes,
            }],
            refused: vec![Refused { case: "tcptop", reason: "no kprobes".to_owned() }],
        };
        let text = markdown(&report);
        for part in [
            "Linux 6.18; processors: 2; rounds: 3; other BPF programs in the kernel: 0.",
            "| tracer watch | `lifecycle` | 10.00 | 500 | – | – |",
            "| tracer watch | 9.0 | 2 |",
            "\ntcptop cannot run here: `no kprobes`\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
