//! What is known of HAProxy's language, 2.6 to 3.x. A word that is not here is a note, since a newer version may know it.

mod language;
mod proxy;
mod server;

pub(super) use language::{GLOBAL, MACRO, PREDICATE, SECTION};
pub(super) use proxy::{BALANCE, OPTION, PROXY};
pub(super) use server::{SERVER, WITHOUT_VALUE};

use crate::imports::Directive;

/// What is known of a word.
pub(super) fn find(table: &'static [Directive], name: &str) -> Option<&'static Directive> {
    table.binary_search_by(|directive| directive.name.cmp(name)).ok().and_then(|index| table.get(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_their_tables() {
        for table in [SECTION, GLOBAL, MACRO, PREDICATE, PROXY, OPTION, BALANCE, SERVER] {
            assert!(table.is_sorted_by(|one, other| one.name < other.name), "{}", table[0].name);
            assert!(table.iter().all(|directive| find(table, directive.name) == Some(directive)));
        }
        assert!(WITHOUT_VALUE.is_sorted());
        assert!(WITHOUT_VALUE.iter().all(|word| find(SERVER, word).is_some()));
    }
}
