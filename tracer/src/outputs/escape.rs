//! Names of processes, hosts and pools are untrusted text: whoever chooses them must not steer the reader's terminal.

use std::borrow::Cow;

/// Whether a character may change how a terminal shows the text around it: controls (C0, DEL, C1) and the marks that
/// turn the direction of writing.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text for a terminal or a log line: quotes, backslashes and ordinary letters stay, what steers is written `\u{…}`.
#[must_use]
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|character| {
                if steers(character) { character.escape_default().to_string() } else { character.to_string() }
            })
            .collect(),
    )
}

/// JSON text in which nothing steers a terminal either: JSON itself leaves DEL, C1 controls and direction marks as they
/// are. They can only stand within strings, where `\uXXXX` means the same.
#[must_use]
pub fn json(serialized: &str) -> String {
    let mut escaped = String::with_capacity(serialized.len());
    for character in serialized.chars() {
        if steers(character) && character != '\n' {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        assert_eq!(for_terminal("nginx: \"worker\" é"), "nginx: \"worker\" é");
    }

    #[test]
    fn escape_sequences_are_shown_and_not_obeyed() {
        assert_eq!(for_terminal("a\u{1b}[31m\nb\u{9b}1m\u{202e}"), "a\\u{1b}[31m\\nb\\u{9b}1m\\u{202e}");
    }

    proptest! {
        #[test]
        fn json_means_the_same_and_steers_nothing(text in any::<String>()) {
            let escaped = json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!escaped.chars().any(steers));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }

        #[test]
        fn nothing_that_steers_reaches_a_terminal(text in any::<String>()) {
            prop_assert!(!for_terminal(&text).chars().any(steers));
        }
    }
}
