//! A configuration file whose keys are a command's flags.
//!
//! The flags are declared once, for clap; a key is checked by giving clap the flag it stands for, and what the file says is
//! put before what was typed. So a new flag is a new key, with the same values.

use crate::input::{InputError, Positions, toml_problem, utf8};
use clap::{ArgAction, ArgMatches, Args, Command};
use std::any::TypeId;
use std::error::Error as _;
use std::ffi::OsString;
use toml::de::{DeInteger, DeTable, DeValue};

/// Flags that are no keys: the one that names the file, and one that is an act and no setting.
pub(super) const NO_KEYS: [&str; 2] = ["config", "unpin"];

/// What was typed. It is kept, since the file is read again while the program runs.
#[derive(Clone, Debug)]
pub(super) struct Typed<A> {
    matches: ArgMatches,
    arguments: std::marker::PhantomData<fn() -> A>,
}

impl<A> Typed<A> {
    fn of(matches: &ArgMatches) -> Self {
        Self { matches: matches.clone(), arguments: std::marker::PhantomData }
    }
}

impl<A> clap::FromArgMatches for Typed<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::of(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::of(matches);
        Ok(())
    }
}

impl<A: Args> Args for Typed<A> {
    fn augment_args(command: Command) -> Command {
        A::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        A::augment_args_for_update(command)
    }
}

/// A key of the file that says something, as the flag it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    key: String,
    flag: OsString,
}

impl<A: Args> Typed<A> {
    /// The arguments as they were typed.
    pub(super) fn alone(&self) -> Result<A, clap::Error> {
        A::from_arg_matches(&self.matches)
    }

    /// The arguments as they were typed, and for what was not, what the file says.
    ///
    /// # Errors
    /// What clap says of flags that do not go together.
    pub(super) fn over(&self, file: &[Given]) -> Result<A, clap::Error> {
        let command = command::<A>();
        let mut typed = Vec::new();
        let mut keys = Vec::new();
        for argument in command.get_arguments() {
            let (id, Some(name)) = (argument.get_id().as_str(), argument.get_long()) else { continue };
            if self.matches.value_source(id) != Some(clap::parser::ValueSource::CommandLine) {
                continue;
            }
            keys.push(name);
            if is_switch(argument) {
                typed.push(OsString::from(format!("--{name}")));
            } else {
                let values = self.matches.get_raw(id).into_iter().flatten();
                typed.extend(values.map(|value| flag(name, value)));
            }
        }
        let file = file.iter().filter(|given| !keys.contains(&given.key.as_str()));
        let all: Vec<OsString> = file.map(|given| given.flag.clone()).chain(typed).collect();
        A::from_arg_matches(&command.try_get_matches_from(all)?)
    }
}

/// The command's flags, and nothing else.
fn command<A: Args>() -> Command {
    A::augment_args(Command::new("")).no_binary_name(true).disable_help_flag(true)
}

fn flag(name: &str, value: impl Into<OsString>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value.into());
    flag
}

fn is_switch(argument: &clap::Arg) -> bool {
    matches!(argument.get_action(), ArgAction::SetTrue)
}

/// The keys that a command's configuration may have: its long flags.
fn keys(command: &Command) -> impl Iterator<Item = (&str, &clap::Arg)> {
    let named = command.get_arguments().filter_map(|argument| Some((argument.get_long()?, argument)));
    named.filter(|(name, _)| !NO_KEYS.contains(name))
}

/// Reads a configuration file of the command with arguments `A`; `file` is how problems name it.
///
/// # Errors
/// Every problem found, in the order of the text; never an empty list.
pub(super) fn parse<A: Args>(file: &str, bytes: &[u8]) -> Result<Vec<Given>, Vec<InputError>> {
    let command = command::<A>();
    let parsed = utf8(bytes).and_then(|text| DeTable::parse(text).map_err(|error| toml_problem(&error)));
    let mut problems = Vec::new();
    let mut given = Vec::new();
    match parsed {
        Err(problem) => problems.push(problem),
        Ok(table) => {
            for (key, value) in table.get_ref() {
                match read_all(&command, key.get_ref(), value.get_ref()) {
                    Ok(read) => given.extend(read),
                    Err(Wrong::Key(message)) => problems.push((key.span().start, message)),
                    Err(Wrong::Value(message)) => problems.push((value.span().start, message)),
                }
            }
        }
    }
    if problems.is_empty() {
        return Ok(given);
    }
    problems.sort();
    let mut positions = Positions::new(bytes);
    let located = |(offset, message)| {
        let at = positions.of(offset);
        InputError { file: file.to_owned(), line: at.line, column: at.column, message }
    };
    Err(problems.into_iter().map(located).collect())
}

enum Wrong {
    Key(String),
    Value(String),
}

/// One key: a list where the flag may be given several times.
fn read_all(command: &Command, key: &str, value: &DeValue<'_>) -> Result<Vec<Given>, Wrong> {
    let repeats = |argument: &clap::Arg| matches!(argument.get_action(), ArgAction::Append);
    match value {
        DeValue::Array(values) if keys(command).any(|(name, argument)| name == key && repeats(argument)) => {
            values.iter().filter_map(|value| read(command, key, value.get_ref()).transpose()).collect()
        }
        _ => Ok(read(command, key, value)?.into_iter().collect()),
    }
}

/// One value of a key; nothing when it says what is so without it.
fn read(command: &Command, key: &str, value: &DeValue<'_>) -> Result<Option<Given>, Wrong> {
    let Some((_, argument)) = keys(command).find(|(name, _)| *name == key) else {
        let mut allowed: Vec<&str> = keys(command).map(|(name, _)| name).collect();
        allowed.sort_unstable();
        return Err(Wrong::Key(format!("unknown key {key:?}: there are {}", allowed.join(", "))));
    };
    // What has no default is off when it is not there, which TOML cannot write.
    let may_be_off = argument.get_default_values().is_empty();
    let (wanted, text) = if is_switch(argument) {
        let wanted = "true or false";
        match value {
            DeValue::Boolean(false) => return Ok(None),
            DeValue::Boolean(true) => {
                return Ok(Some(Given { key: key.to_owned(), flag: format!("--{key}").into() }));
            }
            _ => (wanted, None),
        }
    } else if is_number(argument) {
        let number = if let DeValue::Integer(number) = value { integer(number) } else { None };
        if may_be_off && number == Some(0) {
            return Ok(None);
        }
        ("a whole number", number.map(|number| number.to_string()))
    } else {
        if may_be_off && value.as_str() == Some("") {
            return Ok(None);
        }
        ("a text in quotes", value.as_str().map(ToOwned::to_owned))
    };
    let wrong_type = || Wrong::Value(format!("{key} takes {wanted}, not {}", a(value.type_str())));
    let flag = flag(key, text.ok_or_else(wrong_type)?);
    match command.clone().try_get_matches_from([&flag]) {
        Ok(_) => Ok(Some(Given { key: key.to_owned(), flag })),
        Err(error) => Err(Wrong::Value(format!("{key}: {}", why(&error)))),
    }
}

/// What the value's parser says, without what clap says around it.
fn why(error: &clap::Error) -> String {
    let inner = error.source().map(ToString::to_string);
    inner.unwrap_or_else(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

fn a(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn is_number(argument: &clap::Arg) -> bool {
    let kinds = [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
    let parsed = argument.get_value_parser().type_id();
    kinds.iter().any(|kind| parsed == *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Args, Debug, PartialEq)]
    struct Flags {
        #[arg(long)]
        config: Option<std::path::PathBuf>,
        #[arg(long)]
        json: bool,
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        #[arg(long, default_value_t = 100)]
        max_backends: usize,
        #[arg(long)]
        balancer: Option<String>,
    }

    fn typed(flags: &[&str]) -> Typed<Flags> {
        Typed::of(&command::<Flags>().try_get_matches_from(flags).unwrap())
    }

    fn merged(flags: &[&str], file: &str) -> Flags {
        typed(flags).over(&parse::<Flags>("t.toml", file.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_typed_wins_over_the_file_which_wins_over_the_defaults() {
        let file = "json = true\nport = 0x50\nmax-backends = 7\nbalancer = \"--x\"";
        let all = merged(&[], file);
        let expected =
            Flags { config: None, json: true, port: Some(80), max_backends: 7, balancer: Some("--x".into()) };
        assert_eq!(all, expected);
        let some = merged(&["--port", "81", "--config=t.toml"], file);
        assert_eq!(some, Flags { port: Some(81), config: Some("t.toml".into()), ..expected });
        let typed = typed(&["--max-backends=9", "--json"]);
        assert_eq!(typed.over(&[]).unwrap(), typed.alone().unwrap());
        assert_eq!(
            merged(&[], "max-backends = 100"),
            merged(&[], ""),
            "a default that is written is the default"
        );
    }

    #[test]
    fn what_has_no_default_is_off_when_empty() {
        assert_eq!(merged(&[], "json = false\nport = 0\nbalancer = \"\""), typed(&[]).alone().unwrap());
    }

    #[test]
    fn what_is_wrong_is_located_and_says_what_is_allowed() {
        for (file, expected) in [
            ("jsn = true", "t.toml:1:1: unknown key \"jsn\": there are balancer, json, max-backends, port"),
            (
                "config = 't'",
                "t.toml:1:1: unknown key \"config\": there are balancer, json, max-backends, port",
            ),
            (
                "max_backends = 1",
                "t.toml:1:1: unknown key \"max_backends\": there are balancer, json, max-backends, port",
            ),
            (
                "[watch]\njson = 1",
                "t.toml:1:2: unknown key \"watch\": there are balancer, json, max-backends, port",
            ),
            ("json = 1", "t.toml:1:8: json takes true or false, not an integer"),
            ("\nport = \"80\"", "t.toml:2:8: port takes a whole number, not a string"),
            ("balancer = [\"a\"]", "t.toml:1:12: balancer takes a text in quotes, not an array"),
            ("balancer = 1.5", "t.toml:1:12: balancer takes a text in quotes, not a float"),
            ("port = 99999", "t.toml:1:8: port: 99999 is not in 1..=65535"),
            ("port = -1", "t.toml:1:8: port: -1 is not in 1..=65535"),
            ("max-backends = 0\nmax-backends = 1", "t.toml:2:1: this key is there twice: keep one"),
        ] {
            let problems = parse::<Flags>("t.toml", file.as_bytes()).unwrap_err();
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(lines, [expected], "{file}");
        }
        assert_eq!(
            parse::<Flags>("t", b"port = ''\na = 1\njson = ''").unwrap_err().len(),
            3,
            "every problem"
        );
        assert!(parse::<Flags>("t", b"port = ").unwrap_err()[0].line == 1);
        assert!(parse::<Flags>("t", b"\xff").unwrap_err()[0].message.contains("UTF-8"));
    }
}
