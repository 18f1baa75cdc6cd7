//! Values of a configuration as protobuf takes them from JSON: what is a text, a number, a word of a list, a duration.

use super::directives::DIRECTIVES;
use super::document::{Field, Node, Value};
use crate::imports::{Directive, Effect, Problem, Problems};
use crate::input::{Place, Position};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// What is found on the way through a configuration, and what is needed to say it.
pub(super) struct Findings {
    file: Arc<str>,
    problems: Problems,
    vouched: BTreeSet<usize>,
    known: BTreeMap<&'static str, Vec<&'static Directive>>,
}

impl Findings {
    pub(super) fn new(file: Arc<str>, vouched: BTreeSet<usize>) -> Self {
        let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for directive in DIRECTIVES {
            known.entry(directive.context).or_default().push(directive);
        }
        Self { file, problems: Problems::default(), vouched, known }
    }

    pub(super) fn place(&self, at: Position) -> Place {
        Place { file: Arc::clone(&self.file), line: at.line, column: at.column }
    }

    /// Whether somebody vouches for the weights on a line.
    pub(super) fn is_vouched(&self, at: Position) -> bool {
        self.vouched.contains(&at.line)
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Says how many problems were left out, and gives them.
    pub(super) fn finish(self) -> Vec<Problem> {
        self.problems.finish()
    }

    pub(super) fn error(&mut self, code: &'static str, at: Position, message: impl Into<String>) {
        let problem = Problem::error(code, self.place(at), message);
        self.add(problem);
    }

    pub(super) fn note(&mut self, code: &'static str, at: Position, message: impl Into<String>) {
        let problem = Problem::note(code, self.place(at), message);
        self.add(problem);
    }

    fn wrong<T>(&mut self, node: &Node, name: &str, should: &str) -> Option<T> {
        self.error(
            "wrong-type",
            node.at,
            format!("`{name}` is not {should}, and Envoy refuses it: write {should}"),
        );
        None
    }

    /// The fields of a message, with notes about those that the table says something of, or nothing.
    pub(super) fn message<'a>(&mut self, node: &'a Node, name: &str, context: &str) -> &'a [Field] {
        let fields = self.map(node, name);
        let known = self.known.get(context).cloned().unwrap_or_default();
        for field in fields {
            match known.iter().find(|directive| is_named(&field.name, directive.name)) {
                Some(Directive { name, effect: Effect::Noted(why), .. }) if !is_nothing(&field.value) => {
                    self.note("not-foreseen", field.at, format!("`{name}` is not taken into account: {why}"));
                }
                Some(_) => {}
                None => self.unknown(field, context),
            }
        }
        fields
    }

    fn unknown(&mut self, field: &Field, context: &str) {
        let place = self.place(field.at);
        self.add(match &*field.name {
            "<<" => Problem::error("merge-key", place, "Envoy does not merge `<<` and refuses it")
                .hint("write the fields out, or refer to a whole value by an alias"),
            "hosts" if context == "cluster" => {
                Problem::error("version", place, "`hosts` is of the API v2, which Envoy refuses since 1.20")
                    .hint("write its addresses as `load_assignment`")
            }
            _ => Problem::note(
                "unknown-directive",
                place,
                format!("this field of `{context}` is not known here"),
            )
            .hint("Envoy refuses a misspelt field; what a newer Envoy knows is not taken into account"),
        });
    }

    /// The fields of a mapping.
    pub(super) fn map<'a>(&mut self, node: &'a Node, name: &str) -> &'a [Field] {
        match &node.value {
            Value::Map(fields) => fields,
            _ if is_null(node) => &[],
            _ => self.wrong(node, name, "a mapping").unwrap_or(&[]),
        }
    }

    /// A text.
    pub(super) fn text<'a>(&mut self, node: &'a Node, name: &str) -> Option<Cow<'a, str>> {
        match &node.value {
            Value::Scalar { text, plain: false } => Some(Cow::Borrowed(text)),
            Value::Scalar { text, .. } if truth(text).is_none() => match whole(text, true) {
                Some(number) if i32::try_from(number).is_ok() => self.quotes(node, name),
                Some(number) => Some(Cow::Owned(number.to_string())),
                None if text.parse::<f64>().is_ok_and(f64::is_finite) => self.quotes(node, name),
                None => Some(Cow::Borrowed(text)),
            },
            Value::Scalar { .. } => self.quotes(node, name),
            _ => self.wrong(node, name, "a text"),
        }
    }

    fn quotes<T>(&mut self, node: &Node, name: &str) -> Option<T> {
        let message =
            format!("`{name}` is a number or truth value, and Envoy wants a text: put it in quotes");
        self.error("wrong-type", node.at, message);
        None
    }

    /// A whole number.
    pub(super) fn number(&mut self, node: &Node, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        // Numbers that may be absent are messages with one field.
        if let Value::Map(fields) = &node.value {
            let value = field(fields, "value")?;
            return match &value.value.value {
                Value::Scalar { .. } => self.number(&value.value, name, range),
                _ => self.wrong(node, name, "a whole number"),
            };
        }
        let Value::Scalar { text, plain } = &node.value else {
            return self.wrong(node, name, "a whole number");
        };
        let found = match whole(text, *plain) {
            Some(number) => Some(number),
            None => text.parse::<f64>().ok().and_then(integral),
        };
        let Some(found) = found else { return self.wrong(node, name, "a whole number") };
        let number = u64::try_from(found).ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{name}` is out of range: write a number from {least} to {most}");
            self.error("out-of-range", node.at, message);
        }
        number
    }

    /// A truth value.
    pub(super) fn truth(&mut self, node: &Node, name: &str) -> Option<bool> {
        let found = match &node.value {
            Value::Scalar { text, plain } => {
                truth(text).filter(|_| *plain || matches!(&**text, "true" | "false"))
            }
            Value::Map(fields) => match &field(fields, "value")?.value.value {
                Value::Scalar { text, .. } => truth(text),
                _ => None,
            },
            Value::List(_) => None,
        };
        if found.is_none() { self.wrong(node, name, "true or false") } else { found }
    }

    /// One of some words, or its number.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, name: &str, words: &[(&str, i64, T)]) -> Option<T> {
        let found = match &node.value {
            Value::Scalar { text, plain } => {
                let number = whole(text, *plain);
                let mut of = words.iter();
                of.find(|(word, of, _)| word.eq_ignore_ascii_case(text) || number == Some(i128::from(*of)))
            }
            _ => None,
        };
        let Some((_, _, meaning)) = found else {
            let words = words.iter().map(|(word, ..)| *word).collect::<Vec<_>>().join(", ");
            let message = format!("`{name}` is none of the words that are known here: write one of {words}");
            self.error("unknown-word", node.at, message);
            return None;
        };
        Some(*meaning)
    }

    /// A duration.
    pub(super) fn duration(&mut self, node: &Node, name: &str) -> Option<Duration> {
        let seconds = match &node.value {
            Value::Scalar { text, .. } => {
                text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok())
            }
            _ => None,
        };
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.or_else(|| self.wrong(node, name, "a duration in seconds such as \"5s\" or \"0.25s\""))
    }
}

/// A field by its name or the form of it that JSON has; one that is null is not there.
pub(super) fn field<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().rev().find(|field| is_named(&field.name, name)).filter(|field| !is_null(&field.value))
}

/// A field of a value, where that is a mapping.
pub(super) fn within<'a>(node: &'a Node, name: &str) -> Option<&'a Field> {
    match &node.value {
        Value::Map(fields) => field(fields, name),
        _ => None,
    }
}

/// The values of a list; a value alone is a list of it.
pub(super) fn items(field: Option<&Field>) -> &[Rc<Node>] {
    match field.map(|field| (&field.value.value, &field.value)) {
        Some((Value::List(items), _)) => items,
        Some((_, node)) => slice::from_ref(node),
        None => &[],
    }
}

/// The last part of the type of an extension, after the slash; within a `TypedStruct` that of what it stands for.
pub(super) fn type_url(config: &Node) -> Option<&str> {
    let Value::Map(fields) = &config.value else { return None };
    let url = |name| match field(fields, name).map(|field| &field.value.value) {
        Some(Value::Scalar { text, .. }) => Some(text.rsplit_once('/').map_or(&**text, |(_, name)| name)),
        _ => None,
    };
    match url("@type") {
        Some("xds.type.v3.TypedStruct" | "udpa.type.v1.TypedStruct") => url("type_url"),
        found => found,
    }
}

/// Whether a field is written as `name`, `lb_policy`, or as JSON has it, `lbPolicy`.
fn is_named(written: &str, name: &str) -> bool {
    let mut name = name.bytes();
    for byte in written.bytes() {
        match name.next() {
            Some(b'_') if byte != b'_' => match name.next() {
                Some(next) if byte == next.to_ascii_uppercase() => {}
                _ => return false,
            },
            Some(expected) if byte == expected => {}
            _ => return false,
        }
    }
    name.next().is_none()
}

/// Whether a value is null, which is as if it were not there.
pub(super) fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
}

/// Whether a value is as if it were not there.
fn is_nothing(node: &Node) -> bool {
    is_null(node) || matches!(&node.value, Value::List(items) if items.is_empty())
}

/// What YAML 1.1 takes for a truth value.
fn truth(text: &str) -> Option<bool> {
    let cased = |word: &str| {
        let mut capital = word.to_owned();
        if let Some(first) = capital.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text == word || text == word.to_ascii_uppercase() || text == capital
    };
    if text.len() > 5 {
        None
    } else if ["y", "yes", "true", "on"].into_iter().any(cased) {
        Some(true)
    } else if ["n", "no", "false", "off"].into_iter().any(cased) {
        Some(false)
    } else {
        None
    }
}

/// A whole number; one without quotes that begins with 0 is octal.
fn whole(text: &str, plain: bool) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let octal = digits.strip_prefix('0').filter(|rest| plain && !rest.is_empty());
    let (digits, radix) = match (hexadecimal, octal) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (digits, 10),
    };
    if digits.len() > 20 || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().map(|number| i128::from(number) * sign)
}

/// A number such as 80.0 or 8e1.
fn integral(number: f64) -> Option<i128> {
    // Every whole number up to here is exact.
    const MOST: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 || number.abs() > MOST {
        return None;
    }
    format!("{number:.0}").parse().ok()
}
