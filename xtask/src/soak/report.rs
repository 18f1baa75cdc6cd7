//! What a soak has shown, as Markdown.

use std::fmt::Write as _;

use super::{
    load::Truths,
    schedule::{Fault, left_out},
    verdict::{
        Evidence, MADE_UP_FOR, Reading, at_thousand, flatness, hidden, late, lost_and_doubled, undisturbed,
    },
};

/// Rows of looks.
const LOOKS: usize = 24;

/// The report; `has_faults` says that some were asked for.
pub(super) fn report(evidence: &Evidence, has_faults: bool) -> String {
    let mut text = sums(evidence);
    if has_faults {
        faults(&mut text, evidence);
    }
    agents(&mut text, evidence);
    backends(&mut text, evidence);
    looks(&mut text, &evidence.readings);
    text
}

fn sums(evidence: &Evidence) -> String {
    let (lost, doubled) = lost_and_doubled(&evidence.truths, &evidence.counted);
    let accepted: u64 = evidence.truths.values().map(|truth| truth.accepted).sum();
    let mut text = format!(
        "{:.0} minutes, {} faults, {} agents: {accepted} connections accepted, {lost} lost, {doubled} doubled.\n",
        evidence.length.as_secs_f64() / 60.0,
        evidence.faults.len(),
        evidence.lives.len()
    );
    let (late, all) = (late(evidence), undisturbed(evidence).count());
    let worst = undisturbed(evidence).map(|tick| tick.lag().abs()).fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "Outside of faults {late} of {all} ticks were more than 0.1 s off, the worst {:.0} ms.",
        1e3 * worst
    );
    if let Some(share) = at_thousand(&evidence.readings) {
        let _ = writeln!(text, "{:.2} % of a processor at 1,000 connections/s.", 100.0 * share);
    }
    let uncounted = evidence.at_last.iter().filter(|(name, count)| *name != MADE_UP_FOR && **count > 0);
    let uncounted: Vec<String> = uncounted.map(|(name, count)| format!("{name} {count}")).collect();
    let none = if uncounted.is_empty() { "none".to_owned() } else { uncounted.join(", ") };
    let hidden = hidden(&evidence.at_last);
    let _ = writeln!(
        text,
        "Errors in the end: {none}; {hidden} events were hidden by the kernel and made up for."
    );
    text
}

fn faults(text: &mut String, evidence: &Evidence) {
    text.push_str("\n| after | fault | took | seen | connections so far | refused | lost | doubled |\n");
    text.push_str("|--:|---|--:|---|--:|--:|--:|--:|\n");
    for made in &evidence.faults {
        let (lost, doubled) = lost_and_doubled(&made.truths, &made.counted);
        let _ = write!(
            text,
            "| {:.0} s | {} | {:.0} s | {}",
            made.at.as_secs_f64(),
            made.fault.name(),
            made.took.as_secs_f64(),
            cell(&made.seen)
        );
        for problem in &made.problems {
            let _ = write!(text, "; **{}**", cell(problem));
        }
        let accepted: u64 = made.truths.values().map(|truth| truth.accepted).sum();
        let refused: u64 = made.truths.values().map(|truth| truth.refused).sum();
        let _ = writeln!(text, " | {accepted} | {refused} | {lost} | {doubled} |");
    }
    let left_out: Vec<&str> =
        left_out(evidence.faults.iter().map(|made| made.fault)).into_iter().map(Fault::name).collect();
    if !left_out.is_empty() {
        let _ = writeln!(text, "\nToo short to try: {}.", left_out.join("; "));
    }
}

fn agents(text: &mut String, evidence: &Evidence) {
    text.push_str(
        "\n| agent | from | to | ended by | memory, KiB | descriptors |\n|--:|--:|--:|---|--:|--:|\n",
    );
    for (index, life) in evidence.lives.iter().enumerate() {
        let to = life.to.unwrap_or(evidence.length);
        let [memory, descriptors] = match flatness(evidence, index + 1) {
            Some(flat) => {
                [flat.resident_kib, flat.descriptors].map(|[before, after]| format!("{before} → {after}"))
            }
            None => ["too short", "too short"].map(str::to_owned),
        };
        let _ = writeln!(
            text,
            "| {} | {:.0} s | {:.0} s | {} | {memory} | {descriptors} |",
            index + 1,
            life.from.as_secs_f64(),
            to.as_secs_f64(),
            life.ended
        );
    }
}

fn backends(text: &mut String, evidence: &Evidence) {
    text.push_str(
        "\n| backend | accepted | established | closed | refused | failed | of these refused | lost | doubled |\n",
    );
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (number, (backend, truth)) in evidence.truths.iter().enumerate() {
        let counted = evidence.counted.get(backend).copied().unwrap_or_default();
        let (lost, doubled) = lost_and_doubled(&Truths::from([(*backend, *truth)]), &evidence.counted);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {lost} | {doubled} |",
            number + 1,
            truth.accepted,
            counted.established,
            counted.closed,
            truth.refused,
            counted.failed(),
            counted.refused
        );
    }
}

fn looks(text: &mut String, readings: &[Reading]) {
    text.push_str(
        "\n| after | agent | connections/s | processor | programs | resident, KiB | descriptors | |\n",
    );
    text.push_str("|--:|--:|--:|--:|--:|--:|--:|---|\n");
    for reading in readings.iter().step_by(readings.len().div_ceil(LOOKS).max(1)) {
        let programs = reading.programs.map_or("unknown".into(), |share| format!("{:.2} %", 100.0 * share));
        let rate = reading.rate.map_or("changes".into(), |rate| rate.to_string());
        let _ = writeln!(
            text,
            "| {:.0} s | {} | {rate} | {:.2} % | {programs} | {} | {} | {} |",
            reading.after.as_secs_f64(),
            reading.agent,
            100.0 * reading.processor,
            reading.resident_kib,
            reading.descriptors,
            if reading.disturbed { "fault" } else { "" }
        );
    }
}

/// What is quoted may have a `|` in it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            made::{counted, fault, flat, reading},
            verdict::Made,
        },
        *,
    };

    #[test]
    fn every_row_of_a_table_has_as_many_cells_as_its_head() {
        let odd = Made { seen: "`a|b`\nc".into(), problems: vec!["it | is wrong".into()], ..fault() };
        let disturbed =
            Reading { rate: None, programs: Some(0.01), disturbed: true, ..reading(1, 9_000, 20) };
        let mut evidence = Evidence { faults: vec![fault(), odd], counted: counted(6, 3), ..flat() };
        evidence.readings.push(disturbed);
        let text = report(&evidence, true);
        let mut cells = 0;
        for line in text.lines() {
            let here = line.replace("\\|", "").matches('|').count();
            assert!(cells == 0 || here == 0 || here == cells, "{cells} cells: {line}\n{text}");
            cells = here;
        }
        for part in
            ["7 connections accepted, 1 lost, 1 doubled", "**it \\| is wrong**", "| fault |", "9000 → 9000"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            text.contains("Too short to try: agent killed")
                && !report(&evidence, false).contains("Too short")
        );
    }
}
