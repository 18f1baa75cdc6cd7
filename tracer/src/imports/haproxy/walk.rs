//! From file to file and line to line: which lines are in force, and to which section they belong.

use super::conditions::Conditions;
use super::environment::{Environment, Value};
use super::expression::evaluate;
use super::global::Global;
use super::pools::pools;
use super::proxy::{Kind, Proxy, References, UNDECIDED, is_name_byte};
use super::report::{Report, Spot};
use super::server::Context;
use super::tables::{MACRO, SECTION, find};
use super::truth::Truth;
use super::words::Line;
use crate::imports::{Imported, Problem, Reading, Unreadable, is_vouching};
use crate::input::Place;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

/// HAProxy gives up after so many errors.
const MOST_ERRORS: usize = 50;

/// What was found so far.
pub(super) struct Walk<'a> {
    pub(super) reading: Reading<'a>,
    pub(super) report: Report,
    environment: Environment,
    global: Global,
    references: References,
    /// All of them, `defaults` too, in the order of the text.
    proxies: Vec<Proxy>,
    /// Where in `proxies` those are that others refer to.
    named_defaults: HashMap<String, usize>,
    last_defaults: Option<usize>,
    /// Backends and `listen` sections have their names together.
    backends: HashMap<String, usize>,
    frontends: HashMap<String, usize>,
}

/// To what a line belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    None,
    Global,
    Proxy(usize),
    /// One that has no pools.
    Other,
}

/// What is open in a file.
struct Open {
    section: Section,
    conditions: Conditions,
}

impl<'a> Walk<'a> {
    pub(super) fn new(reading: Reading<'a>) -> Self {
        Self {
            reading,
            report: Report::default(),
            environment: Environment::default(),
            global: Global::default(),
            references: References::default(),
            proxies: Vec::new(),
            named_defaults: HashMap::new(),
            last_defaults: None,
            backends: HashMap::new(),
            frontends: HashMap::new(),
        }
    }

    /// Reads a file. Each begins without a section; what `defaults` say goes on.
    pub(super) fn file(&mut self, path: &Path, bytes: &[u8]) {
        let file: Arc<str> = path.display().to_string().into();
        let mut open = Open { section: Section::None, conditions: Conditions::default() };
        self.environment.file = Arc::clone(&file);
        let errors = self.report.errors;
        let mut last = Spot { file: &file, number: 0, bytes: b"" };
        for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let spot = Spot { file: &file, number: index + 1, bytes: line };
            last = spot;
            if let Some(at) = line.iter().position(|&byte| byte == 0) {
                return self.report.refuse(
                    "nul-byte",
                    spot.at(at),
                    "here is a NUL byte: this is no text file",
                );
            }
            if self.line(&spot, &mut open).is_break() || self.report.errors >= errors + MOST_ERRORS {
                return;
            }
        }
        if !last.bytes.is_empty() && !last.bytes.ends_with(b"\n") {
            let message = "the last line has no end, as if the rest were missing: end it with a newline";
            self.report.refuse("missing-newline", last.at(last.bytes.len()), message);
        }
        if open.conditions.is_open() {
            let place = Place { column: 0, ..last.at(0) };
            self.report.refuse("open-condition", place, "an .if is not closed in its file: add .endif");
        }
    }

    fn line(&mut self, spot: &Spot<'_>, open: &mut Open) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        // The scope of a line of SPOE, which means nothing here.
        if spot.bytes.trim_ascii_start().starts_with(b"[") {
            return Continue(());
        }
        self.environment.line = spot.number;
        let Self { environment, reading, .. } = self;
        let mut line = match Line::read(spot.bytes, &mut |name| environment.value(reading, name)) {
            Ok(line) => line,
            Err(fault) => {
                self.report.refuse("syntax", spot.at(fault.at), fault.message);
                return Continue(());
            }
        };
        if line.text(0).is_empty() {
            return Continue(());
        }
        if line.text(0).starts_with('.') && matches!(line.text(0), ".if" | ".elif" | ".else" | ".endif") {
            return match self.condition(&line, spot, open) {
                Ok(()) => Continue(()),
                Err(message) => {
                    self.report.refuse("condition", spot.of(line.words.first()), message);
                    Break(())
                }
            };
        }
        let in_force = open.conditions.in_force();
        if in_force == Truth::No {
            return Continue(());
        }
        if line.text(0).starts_with('.') {
            return self.message(&line, spot, in_force);
        }
        if let Some(empty) = line.words.iter().position(|word| word.text.is_empty()) {
            let message = "this word is empty: HAProxy ignores the rest of the line, or refuses it since 3.3";
            let problem = Problem::warning("empty-word", spot.of(line.words.get(empty)), message);
            self.report.push(problem.hint(
                "put a default behind the variable; at the end of a line, write it as a list: \"${NAME[*]}\"",
            ));
            line.words.truncate(empty);
        }
        if let Some(list) = line.empty_list.filter(|list| list.before < line.words.len()) {
            let message = "this list is empty, or has a space at an end: HAProxy before 3.0 ignores the rest of the line, later ones do not";
            let problem = Problem::warning("empty-list", spot.at(list.at), message);
            self.report.push(
                problem.hint("put it at the end of the line, with no space at either end of its value"),
            );
            line.unknown = true;
        }
        self.words(line, spot, in_force, open);
        Continue(())
    }

    /// `.if` and its like.
    fn condition(&mut self, line: &Line<'_>, spot: &Spot<'_>, open: &mut Open) -> Result<(), &'static str> {
        let Self { environment, reading, report, .. } = self;
        // HAProxy, too, puts the words together again before it reads the expression.
        let words: Vec<&str> = line.words.iter().skip(1).map(|word| word.text.as_str()).collect();
        let expression = || {
            let mut defined = |name: &str| match environment.value(reading, name) {
                Ok(Value::Set(_)) => Truth::Yes,
                Ok(Value::Unset) | Err(_) => Truth::No,
                Ok(Value::Unknown) => Truth::Unknown,
            };
            let truth = evaluate(&words.join(" "), line.unknown, &mut defined)?;
            if truth == Truth::Unknown {
                let message =
                    "this condition depends on HAProxy itself, such as its version or how it was built";
                let note = Problem::note("undecided-condition", spot.of(line.words.first()), message);
                report.push(note.hint("pools that it changes are not judged: declare them in a pools file"));
            }
            Ok(truth)
        };
        match line.text(0) {
            ".if" => open.conditions.open(expression),
            ".elif" => open.conditions.or_if(expression),
            _ if !line.text(1).is_empty() => {
                Err("nothing stands behind this word: remove the rest of the line")
            }
            ".else" => open.conditions.otherwise(),
            _ => open.conditions.close(),
        }
    }

    /// `.alert` and its like.
    fn message(&mut self, line: &Line<'_>, spot: &Spot<'_>, in_force: Truth) -> std::ops::ControlFlow<()> {
        let place = spot.of(line.words.first());
        let Some(directive) = find(MACRO, line.text(0)) else {
            self.report.refuse("syntax", place, "HAProxy has no such directive: check its spelling");
            return std::ops::ControlFlow::Break(());
        };
        if directive.name == ".alert" && in_force == Truth::Yes {
            self.report.refuse("alert", place, "this .alert is reached, and HAProxy refuses the file");
            return std::ops::ControlFlow::Break(());
        }
        std::ops::ControlFlow::Continue(())
    }

    /// A line that is, or may be, in force.
    fn words(&mut self, mut line: Line<'_>, spot: &Spot<'_>, in_force: Truth, open: &mut Open) {
        let off = matches!(line.text(0), "no" | "default");
        if off {
            line.words.remove(0);
        }
        let uncertain = in_force == Truth::Unknown || line.unknown;
        if let Some(section) = find(SECTION, line.text(0)) {
            open.section = self.section(section.name, &line, spot, uncertain);
            line.text(1).clone_into(&mut self.environment.section);
            return;
        }
        if line.text(0) == "log" {
            self.references.log(&line);
        }
        match open.section {
            Section::Other => {}
            Section::None => {
                let message = "this line is in no section: HAProxy knows no such word here";
                self.report.refuse("outside", spot.of(line.words.first()), message);
            }
            Section::Global => {
                let read = self.global.read(&line, uncertain, &mut self.environment, &mut self.reading);
                if let Err(message) = read {
                    self.report.refuse("invalid-value", spot.of(line.words.first()), message);
                }
            }
            Section::Proxy(index) => {
                let Some(proxy) = self.proxies.get_mut(index) else { return };
                let mut context = Context { spot: *spot, report: &mut self.report };
                proxy.read(&line, off, uncertain, &mut self.references, &mut context);
            }
        }
    }

    /// The section that a line begins.
    fn section(&mut self, word: &str, line: &Line<'_>, spot: &Spot<'_>, uncertain: bool) -> Section {
        let kind = match word {
            "global" => return Section::Global,
            "defaults" => Kind::Defaults,
            "frontend" => Kind::Frontend,
            "backend" => Kind::Backend,
            "listen" => Kind::Listen,
            _ => return Section::Other,
        };
        match self.proxy(kind, line, spot, uncertain) {
            Ok(index) => Section::Proxy(index),
            Err((word, code, message)) => {
                self.report.refuse(code, spot.of(line.words.get(word)), message);
                Section::Other
            }
        }
    }

    /// A new section, or the one that the other branch of an undecided block has begun.
    fn proxy(
        &mut self,
        kind: Kind,
        line: &Line<'_>,
        spot: &Spot<'_>,
        uncertain: bool,
    ) -> Result<usize, (usize, &'static str, String)> {
        let is_defaults = kind == Kind::Defaults;
        // `defaults from NAME` has no name of its own.
        let nameless = is_defaults && line.text(1) == "from" && line.words.len() == 3;
        let (name, from) = if nameless { ("", 1) } else { (line.text(1), 2) };
        if name.is_empty() && !is_defaults {
            return Err((0, "invalid-name", "this section has no name: write one behind the word".into()));
        }
        if !is_defaults && !name.bytes().all(is_name_byte) {
            let message = "the name of a section has letters, digits and . : _ - only";
            return Err((1, "invalid-name", message.into()));
        }
        let parent = match (line.text(from), line.text(from + 1)) {
            ("from", parent) if line.words.len() == from + 2 => {
                let known = self.named_defaults.get(parent).copied();
                Some(known.ok_or_else(|| {
                    (
                        from + 1,
                        "unknown-defaults",
                        "there is no such defaults section before this line".into(),
                    )
                })?)
            }
            ("", _) if is_defaults => None,
            ("", _) => self.last_defaults,
            _ => {
                let message =
                    "only `from` and the name of a defaults section may follow: write addresses behind bind";
                return Err((from, "syntax", message.into()));
            }
        };
        let index = self.proxies.len();
        let names = if kind == Kind::Frontend { &mut self.frontends } else { &mut self.backends };
        if is_defaults {
            self.last_defaults = Some(index);
            if !name.is_empty() {
                self.named_defaults.insert(name.to_owned(), index);
            }
        } else {
            match names.entry(name.to_owned()) {
                Entry::Vacant(entry) => drop(entry.insert(index)),
                Entry::Occupied(entry) => {
                    let other = *entry.get();
                    let Some(proxy) = self.proxies.get_mut(other) else { return Ok(other) };
                    if uncertain || proxy.common.doubt == Some(UNDECIDED) {
                        proxy.common.doubt = Some(UNDECIDED);
                        return Ok(other);
                    }
                    let message = format!("{name} is there already, at {}: rename one", proxy.at);
                    return Err((1, "duplicate-section", message));
                }
            }
        }
        let vouched = line.comment.is_some_and(is_vouching);
        let parent = parent.and_then(|parent| self.proxies.get(parent));
        let mut proxy = Proxy::new(kind, name, spot.of(line.words.first()), vouched, parent);
        if uncertain {
            proxy.common.doubt = Some(UNDECIDED);
        }
        self.proxies.push(proxy);
        Ok(index)
    }

    /// What all files say together.
    pub(super) fn finish(mut self) -> Result<Imported, Unreadable> {
        let Reading { files, directories, missing, .. } = self.reading;
        if self.report.errors > 0 {
            return Err(Unreadable { problems: self.report.finish(), files, directories, missing });
        }
        let pools = pools(self.proxies, &self.references, &mut self.report);
        Ok(Imported {
            pools: crate::pools::WrittenPools { pools },
            problems: self.report.finish(),
            files,
            directories,
            missing,
            runtime: self.global.socket,
        })
    }
}
