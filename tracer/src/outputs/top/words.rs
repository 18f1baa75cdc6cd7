//! What a verdict means for who reads it.

use crate::detect::{Finding, Verdict};
use crate::outputs::escape::for_terminal;
use ratatui::text::Span;

/// The verdict as it stands in front of a pool.
pub(super) const fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::PoolFailing) => "POOL FAILING",
        Some(Verdict::BackendFailing) => "BACKEND FAILING",
        Some(Verdict::MemberMissing) => "MEMBER MISSING",
        Some(Verdict::UnexpectedBackend) => "UNEXPECTED BACKEND",
        Some(Verdict::Skewed) => "SKEWED",
        Some(Verdict::PoolSlow) => "POOL SLOW",
        Some(Verdict::BackendSlow) => "BACKEND SLOW",
        Some(Verdict::UnevenWeights) => "UNEVEN WEIGHTS",
        Some(Verdict::Balanced) => "balanced",
        Some(Verdict::InsufficientEvidence) => "insufficient evidence",
        None => "not judged",
    }
}

/// What is found of a member.
pub(super) const fn finding(finding: Option<Finding>) -> &'static str {
    match finding {
        Some(finding) => crate::outputs::check_text::word(finding),
        None => "",
    }
}

/// `1 pool`, `2 pools`
pub(super) fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Untrusted text that steers no terminal.
pub(super) fn safe(text: &str) -> String {
    for_terminal(text).into_owned()
}

/// The text if it fits into `width` columns, else its beginning.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 0;
    for character in text.chars() {
        used += Span::raw(character.to_string()).width();
        if used + 1 > width {
            break;
        }
        fitted.push(character);
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}

/// The text in lines of `width` columns, broken between words; `most` lines, of which the last may be cut off.
pub(super) fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let is_full = |line: &String| Span::raw(line.as_str()).width() + 1 + Span::raw(word).width() > width;
        let at_end = lines.len() == most;
        match lines.last_mut() {
            Some(line) if at_end || !is_full(line) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.truncate(most);
    lines.iter().map(|line| fitted(line, width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_broken_between_words_and_what_is_cut_off_is_seen() {
        assert_eq!(wrapped("one two three four", 9, 3), ["one two", "three", "four"]);
        assert_eq!(wrapped("one two three four", 9, 2), ["one two", "three fo…"]);
        assert_eq!(fitted("10.0.0.11:8080", 14), "10.0.0.11:8080");
        assert_eq!(fitted("10.0.0.11:8080", 6), "10.0.…");
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_it_may_be(text in any::<String>(), width in 0_usize..60, most in 0_usize..5) {
            let text = safe(&text);
            prop_assert!(Span::raw(fitted(&text, width)).width() <= width);
            let lines = wrapped(&text, width, most);
            prop_assert!(lines.len() <= most);
            prop_assert!(lines.iter().all(|line| Span::raw(line.as_str()).width() <= width));
        }
    }
}
