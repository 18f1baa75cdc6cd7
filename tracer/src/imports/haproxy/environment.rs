//! Environment variables as HAProxy sees them at a line: what it was started with, and what `global` has set since.

use crate::imports::Reading;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A value that is longer than this is no variable anybody needs, and a few lines could double it without end.
const LONGEST: usize = 64 * 1024;
/// What all variables of a configuration may expand to.
const MOST_EXPANDED: usize = 64 * 1024 * 1024;
/// What HAProxy sets itself.
const OWN: &str = "HAPROXY_";

/// What a variable says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Set(Arc<str>),
    Unset,
    /// Only HAProxy knows.
    Unknown,
}

/// The variables at a line.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// What is known: set or unset by the text, or asked for.
    known: HashMap<String, Value>,
    /// Names that are still asked for after `resetenv`; `None`: all.
    kept: Option<HashSet<String>>,
    expanded: usize,
    /// What `$.FILE`, `$.LINE` and `$.SECTION` say.
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    pub(super) section: String,
}

impl Environment {
    /// The value of a variable.
    ///
    /// # Errors
    /// When it cannot be had, and the remedy.
    pub(super) fn value(&mut self, reading: &mut Reading<'_>, name: &str) -> Result<Value, &'static str> {
        let value = match name {
            ".FILE" => Value::Set(Arc::clone(&self.file)),
            ".LINE" => Value::Set(self.line.to_string().into()),
            ".SECTION" => Value::Set(self.section.as_str().into()),
            _ if name.starts_with('.') => {
                return Err("no such variable: HAProxy has .FILE, .LINE and .SECTION");
            }
            _ => self.look_up(reading, name),
        };
        if let Value::Set(text) = &value {
            self.expanded = self.expanded.saturating_add(text.len());
            if self.expanded > MOST_EXPANDED {
                return Err("variables expand to more than 64 MiB: name the right file");
            }
        }
        Ok(value)
    }

    fn look_up(&mut self, reading: &mut Reading<'_>, name: &str) -> Value {
        if let Some(value) = self.known.get(name) {
            return value.clone();
        }
        let asked = self.kept.as_ref().is_none_or(|kept| kept.contains(name));
        let value = match asked.then(|| reading.variable(name)).flatten() {
            Some(text) => Value::Set(text.into()),
            None if name.starts_with(OWN) => Value::Unknown,
            None => Value::Unset,
        };
        self.known.insert(name.to_owned(), value.clone());
        value
    }

    /// `setenv`; an `uncertain` one may not have happened.
    ///
    /// # Errors
    /// When the value is too long.
    pub(super) fn set(&mut self, name: &str, text: &str, uncertain: bool) -> Result<(), &'static str> {
        if text.len() > LONGEST {
            return Err("this value is longer than 64 KiB: no variable needs that");
        }
        let value = if uncertain { Value::Unknown } else { Value::Set(text.into()) };
        self.known.insert(name.to_owned(), value);
        Ok(())
    }

    /// `presetenv`: only if it has no value yet.
    ///
    /// # Errors
    /// When the value is too long.
    pub(super) fn preset(
        &mut self,
        reading: &mut Reading<'_>,
        name: &str,
        text: &str,
        uncertain: bool,
    ) -> Result<(), &'static str> {
        match self.look_up(reading, name) {
            Value::Unset => self.set(name, text, uncertain),
            Value::Set(_) | Value::Unknown => Ok(()),
        }
    }

    /// `unsetenv`.
    pub(super) fn unset(&mut self, name: &str, uncertain: bool) {
        self.known.insert(name.to_owned(), if uncertain { Value::Unknown } else { Value::Unset });
    }

    /// `resetenv`: every variable is gone but these.
    pub(super) fn reset<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut names: HashSet<String> = names.map(str::to_owned).collect();
        self.known.retain(|name, _| names.contains(name));
        names.retain(|name| self.kept.as_ref().is_none_or(|kept| kept.contains(name)));
        self.kept = Some(names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::reading::tests::Invented;

    #[test]
    fn the_text_overrides_what_haproxy_was_started_with() {
        let variables = ["A", "B", "C"].map(|name| (name.to_owned(), name.to_lowercase())).into();
        let mut invented = Invented { variables, ..Invented::default() };
        let mut reading = Reading::new(&mut invented);
        let mut environment = Environment::default();
        let set = |text: &str| Ok(Value::Set(text.into()));
        assert_eq!(environment.value(&mut reading, "A"), set("a"));
        environment.set("A", "x", false).unwrap();
        environment.preset(&mut reading, "B", "x", false).unwrap();
        environment.preset(&mut reading, "D", "d", false).unwrap();
        for (name, text) in [("A", "x"), ("B", "b"), ("D", "d")] {
            assert_eq!(environment.value(&mut reading, name), set(text), "{name}");
        }
        environment.unset("A", false);
        assert_eq!(environment.value(&mut reading, "A"), Ok(Value::Unset));
        environment.reset(["B", "X"].into_iter());
        for name in ["C", "D"] {
            assert_eq!(environment.value(&mut reading, name), Ok(Value::Unset), "{name}");
        }
        assert_eq!(environment.value(&mut reading, "B"), set("b"));
        environment.reset(["C"].into_iter());
        assert_eq!(environment.value(&mut reading, "C"), Ok(Value::Unset), "it is gone already");
        assert_eq!(environment.value(&mut reading, "HAPROXY_BRANCH"), Ok(Value::Unknown));
        assert!(environment.value(&mut reading, ".X").is_err());
    }

    #[test]
    fn values_do_not_grow_without_end() {
        let mut invented = Invented::default();
        let mut reading = Reading::new(&mut invented);
        let mut environment = Environment::default();
        environment.set("A", &"x".repeat(LONGEST), false).unwrap();
        assert!(environment.set("A", &"x".repeat(LONGEST + 1), false).is_err());
        let expanded = (0..2_000).take_while(|_| environment.value(&mut reading, "A").is_ok()).count();
        assert_eq!(expanded, MOST_EXPANDED / LONGEST);
    }
}
