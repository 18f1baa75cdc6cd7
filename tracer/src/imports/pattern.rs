//! Patterns as glob(3) takes them, by the crate `glob`, which refuses some of them.

use glob::{MatchOptions, Pattern};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// As glob(3) without flags: a star does not match a dot at the beginning.
const AS_GLOB: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Whether a name is a pattern.
pub(super) fn has_wildcard(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// The pattern that a name is.
pub(super) fn parse(name: &str) -> Option<Pattern> {
    Pattern::new(&as_crate(name)).ok()
}

pub(super) fn matches(pattern: &Pattern, name: &OsStr) -> bool {
    pattern.matches_with(&name.to_string_lossy(), AS_GLOB)
}

/// Several stars are one, and a bracket that is not closed is itself.
fn as_crate(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(next) = rest.chars().next() {
        if next == '[' {
            let set = set(rest);
            pattern.push_str(set.unwrap_or("[[]"));
            rest = rest.get(set.map_or(1, str::len)..).unwrap_or_default();
            continue;
        }
        if next != '*' || !pattern.ends_with('*') {
            pattern.push(next);
        }
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
    }
    pattern
}

/// The set of characters that a text begins with, its brackets included. The first character of a set is never its end.
fn set(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let listed = inner.strip_prefix('!').unwrap_or(inner);
    let first = listed.chars().next()?.len_utf8();
    let end = listed.get(first..)?.find(']')? + first + 1;
    text.get(..text.len() - listed.len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_crate_refuses_is_written_otherwise() {
        for (name, written) in [
            ("a**b", "a*b"),
            ("***", "*"),
            ("*?*", "*?*"),
            ("[*]*", "[*]*"),
            ("[**]", "[**]"),
            ("[", "[[]"),
            ("a[b*", "a[[]b*"),
            ("[]", "[[]]"),
            ("[!]", "[[]!]"),
            ("[]]", "[]]"),
            ("[!]]x[", "[!]]x[[]"),
            ("é[é]", "é[é]"),
        ] {
            assert_eq!(as_crate(name), written, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_a_pattern(name in "[a*?!\\]\\[é^-]{0,12}") {
            prop_assert!(parse(&name).is_some(), "{}", name);
        }
    }
}
