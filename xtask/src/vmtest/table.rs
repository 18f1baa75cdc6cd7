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
        cells.extend(
            programs.iter().map(|name| program(guest.programs().iter().find(|found| found.name == *name))),
        );
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
        Some(Program { works: false, reason: None, .. }) => "not needed".to_owned(),
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
    let line =
        verdict.test_results.iter().find(|(step, _)| step == END_TO_END).map(|(_, line)| line.as_str());
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
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmtest::console::Doctor;

    fn program(name: &str, works: bool, verified_instructions: Option<u32>) -> Program {
        let reason = (!works).then(|| "Invalid argument".to_owned());
        Program { name: name.to_owned(), works, reason, verified_instructions }
    }

    fn guest(release: &str, doctor: Doctor, tests: &str) -> Guest {
        let steps =
            vec![("demo".to_owned(), Outcome::Passed(6.0)), (END_TO_END.to_owned(), Outcome::NotReached)];
        let test_results = vec![(END_TO_END.to_owned(), tests.to_owned())];
        let verdict = Verdict { steps, complaints: Vec::new(), doctor: Some(doctor), test_results };
        Guest { version: "1-1".to_owned(), release: release.to_owned(), verdict }
    }

    #[test]
    fn a_program_that_only_one_kernel_knows_has_a_column() {
        let old =
            Doctor { refusal: Some("too old".to_owned()), programs: vec![program("lifecycle", false, None)] };
        let spare = Program { reason: None, ..program("spare", false, None) };
        let new = Doctor {
            refusal: None,
            programs: vec![program("lifecycle", true, Some(4_080)), program("adopt", true, None), spare],
        };
        let result = "test result: FAILED. 55 passed; 17 failed; 0 ignored; 0 measured; 0 filtered out";
        let mut unreached = guest("7.0", Doctor::default(), "");
        unreached.verdict.doctor = None;
        unreached.verdict.steps[0].1 = Outcome::Failed("signal 9".to_owned());
        assert_eq!(
            markdown(&[guest("5.10", old, ""), guest("6.1", new, result), unreached]),
            "| kernel | Debian's version | `lifecycle` | `adopt` | `spare` | demo | end-to-end tests |\n\
             |---|---|---|---|---|---|---|\n\
             | 5.10 | 1-1 | refused | – | – | refused | refused |\n\
             | 6.1 | 1-1 | ok (4,080) | ok | not needed | ok | 55 of 72 passed |\n\
             | 7.0 | 1-1 | – | – | – | failed | – |\n"
        );
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
