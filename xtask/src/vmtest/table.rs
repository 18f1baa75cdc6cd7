//! What works on which kernel, as Markdown. Pure.

use std::fmt::Write as _;

use super::{
    console::{Outcome, Program, Verdict},
    steps::END_TO_END,
};

/// A guest, as far as it came.
pub(crate) struct Guest {
    /// Debian's version of its kernel.
    pub(crate) version: String,
    /// The kernel's release.
    pub(crate) release: String,
    /// What became of it.
    pub(crate) verdict: Verdict,
}

/// A row for each guest, a column for each program that any of them knows: `ok`, and how many instructions the verifier
/// looked at.
pub(crate) fn markdown(guests: &[Guest]) -> String {
    let mut programs: Vec<&str> = Vec::new();
    for program in guests.iter().flat_map(|guest| guest.programs()) {
        if !programs.contains(&program.name.as_str()) {
            programs.push(&program.name);
        }
    }
    let mut columns = vec!["kernel".to_owned(), "Debian's version".to_owned()];
    columns.extend(programs.iter().map(|name| format!("`{name}`")));
    columns.extend(["demo".to_owned(), "end-to-end tests".to_owned()]);
    let mut text = row(&columns);
    text += &row(&vec!["---".to_owned(); columns.len()]).replace(' ', "");
    for guest in guests {
        let mut cells = vec![guest.release.clone(), guest.version.clone()];
        cells.extend(programs.iter().map(|name| program(guest.programs().iter().find(|found| found.name == *name))));
        let refused = guest.verdict.doctor.as_ref().is_some_and(|doctor| doctor.refusal.is_some());
        cells.push(if refused { "refused".to_owned() } else { outcome(&guest.verdict, "demo") });
        cells.push(if refused { "refused".to_owned() } else { tests(&guest.verdict) });
        text += &row(&cells);
    }
    text
}

impl Guest {
    fn programs(&self) -> &[Program] {
        self.verdict.doctor.as_ref().map_or(&[], |doctor| &doctor.programs)
    }
}

fn row(cells: &[String]) -> String {
    let mut text = String::from("|");
    for cell in cells {
        let _infallible = write!(text, " {cell} |");
    }
    text + "\n"
}

fn program(found: Option<&Program>) -> String {
    match found {
        None => "–".to_owned(),
        Some(Program { works: false, .. }) => "refused".to_owned(),
        Some(Program { verified_instructions: None, .. }) => "ok".to_owned(),
        Some(Program { verified_instructions: Some(count), .. }) => format!("ok ({})", grouped(*count)),
    }
}

fn outcome(verdict: &Verdict, step: &str) -> String {
    match verdict.steps.iter().find(|(name, _)| name == step) {
        Some((_, Outcome::Passed(_))) => "ok".to_owned(),
        Some((_, Outcome::Failed(_))) => "failed".to_owned(),
        Some((_, Outcome::NotReached)) | None => "–".to_owned(),
    }
}

/// How many of the end-to-end tests passed, by the test runner's own closing line.
fn tests(verdict: &Verdict) -> String {
    let line = verdict.test_results.iter().find(|(step, _)| step == END_TO_END).map(|(_, line)| line.as_str());
    let count = |word: &str| -> Option<u32> {
        let (before, _) = line?.split_once(&format!(" {word}"))?;
        before.rsplit(' ').next()?.parse().ok()
    };
    match (count("passed"), count("failed")) {
        (Some(passed), Some(failed)) => format!("{passed} of {} passed", passed + failed),
        _ => outcome(verdict, END_TO_END),
    }
}

/// `12345` as `12,345`.
fn grouped(count: u32) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
