//! A section `defaults`, `frontend`, `backend` or `listen`, and its lines.

use super::address::server_address;
use super::balance::Balance;
use super::checks::Checks;
use super::numbers::leading_number;
use super::server::{Context, Server, Settings};
use super::tables::{OPTION, PROXY, find};
use super::words::{Line, Word};
use crate::imports::{Directive, Effect, Problem, is_vouching};
use crate::input::Place;
use crate::pools::{Family, MemberAddress, Uses};
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;

/// Why nothing is said of a pool that is made in a block that cannot be decided.
pub(super) const UNDECIDED: &str =
    "an .if block or a variable that concerns it cannot be decided from the text";
/// Servers that templates make together: far beyond what anybody has.
const MOST_OF_TEMPLATES: i64 = 65_536;
const LONGEST_NAME: usize = 1_000;

/// What a section is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Defaults,
    Frontend,
    Backend,
    Listen,
}

/// What a section takes over from `defaults`.
#[derive(Clone, Debug, Default)]
pub(super) struct Common {
    pub(super) balance: Balance,
    pub(super) checks: Checks,
    pub(super) server: Settings,
    /// A cookie says which server a client sticks to.
    pub(super) cookie: bool,
    /// Each server has a cookie without being given one.
    pub(super) dynamic_cookie: bool,
    /// Clients stick by other means.
    pub(super) sticks: bool,
    /// Hashed keys fall on points of a ring.
    pub(super) consistent: bool,
    pub(super) all_backups: bool,
    pub(super) disabled: bool,
    pub(super) doubt: Option<&'static str>,
    pub(super) default_backend: Option<Rc<str>>,
}

/// A section.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) vouched: bool,
    pub(super) common: Common,
    pub(super) servers: Vec<Server>,
    names: HashSet<String>,
    /// Words for which there is a note.
    noted: BTreeSet<&'static str>,
}

/// Which backends are used.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) names: HashSet<String>,
    /// Also such as are not named in the text.
    pub(super) others: bool,
    /// Servers that templates have made.
    templates: i64,
}

impl Proxy {
    pub(super) fn new(kind: Kind, name: &str, at: Place, vouched: bool, from: Option<&Self>) -> Self {
        let mut common = from.map(|defaults| defaults.common.clone()).unwrap_or_default();
        common.checks.inherited = true;
        let (servers, names, noted) = (Vec::new(), HashSet::new(), BTreeSet::new());
        Self { kind, name: name.to_owned(), at, vouched, common, servers, names, noted }
    }

    /// Takes in a line. `off`: there is a `no` or `default` before it; `uncertain`: it may not be in force.
    pub(super) fn read(
        &mut self,
        line: &Line<'_>,
        off: bool,
        uncertain: bool,
        references: &mut References,
        context: &mut Context<'_>,
    ) {
        let Some(word) = line.words.first() else { return };
        let directive = if word.text == "option" {
            line.words.get(1).and_then(|option| find(OPTION, &option.text))
        } else {
            find(PROXY, &word.text)
        };
        let Some(directive) = directive else {
            if self.kind != Kind::Frontend {
                context.unknown(line.words.get(1).filter(|_| word.text == "option").unwrap_or(word), "here");
            }
            return;
        };
        refer(directive, line, references);
        if self.kind == Kind::Frontend {
            if directive.name == "default_backend" {
                self.common.default_backend = Some(line.text(1).into());
            }
            return;
        }
        if uncertain && !matches!(directive.effect, Effect::Irrelevant(_)) && decides(directive.name) {
            self.common.doubt = Some(UNDECIDED);
        }
        match directive.effect {
            Effect::Irrelevant(_) => {}
            Effect::Noted(why) if off => {
                // What `defaults` say is taken back.
                self.common.doubt = self.common.doubt.filter(|&doubt| doubt != why);
            }
            Effect::Noted(why) => {
                self.common.doubt = Some(why);
                context.note(word, directive.name, why, &mut self.noted);
            }
            Effect::Understood(_) => {
                self.understand(directive.name, (word, line), off, uncertain, references, context)
            }
        }
    }

    fn understand(
        &mut self,
        name: &str,
        (word, line): (&Word, &Line<'_>),
        off: bool,
        uncertain: bool,
        references: &mut References,
        context: &mut Context<'_>,
    ) {
        let place = |index| context.spot.of(line.words.get(index));
        let common = &mut self.common;
        match name {
            // An option may be called like a line: `tcp-check`.
            "allbackups" => common.all_backups = !off,
            option if word.text == "option" => common.checks.option(option, off),
            "server" | "server-template" => self.servers(name, line, uncertain, references, context),
            "default-server" if line.text(1) == "name" => {
                context.note(
                    word,
                    "default-server name",
                    "servers take settings from elsewhere",
                    &mut self.noted,
                );
            }
            "default-server" => common.server.read(line, 1, &mut self.noted, context),
            "balance" => match Balance::read(line) {
                Ok(balance) => {
                    if let Some(why) = balance.doubt {
                        context.note(word, "balance", why, &mut self.noted);
                    }
                    common.balance = balance;
                }
                Err(message) => context.report.refuse("invalid-value", place(1), message),
            },
            "cookie" => {
                common.cookie = true;
                common.dynamic_cookie = line.words.iter().any(|word| word.text == "dynamic");
            }
            "appsession" | "persist" => common.sticks = true,
            "stick" => common.sticks |= matches!(line.text(1), "on" | "match"),
            "hash-type" => common.consistent = line.text(1) == "consistent",
            "disabled" => common.disabled = true,
            "enabled" => common.disabled = false,
            "default_backend" => common.default_backend = Some(line.text(1).into()),
            "http-check" | "tcp-check" => common.checks.step(line),
            "mode" if matches!(line.text(1), "log" | "syslog" | "spop" | "peers") => {
                common.doubt = Some("it spreads messages, not connections of clients");
                context.note(
                    word,
                    "mode",
                    "it spreads messages, not connections of clients",
                    &mut self.noted,
                );
            }
            "load-server-state-from-file"
                if matches!(line.text(1), "global" | "local")
                    && self.noted.insert("load-server-state-from-file") =>
            {
                let message = "weights and states that a file keeps over a restart are not read from it";
                context.report.push(Problem::note("state-file", place(0), message));
            }
            _ => {}
        }
    }

    fn servers(
        &mut self,
        word: &str,
        line: &Line<'_>,
        uncertain: bool,
        references: &mut References,
        context: &mut Context<'_>,
    ) {
        let is_template = word == "server-template";
        let address_at = if is_template { 3 } else { 2 };
        let Some(address_word) = line.words.get(address_at) else {
            let form =
                if is_template { "server-template PREFIX NUMBER ADDRESS" } else { "server NAME ADDRESS" };
            let message = format!("this line lacks words: write {form}");
            return context.report.refuse("missing-value", context.spot.of(line.words.first()), message);
        };
        if self.kind == Kind::Defaults {
            let message = "there are no servers in defaults: move this line to a backend";
            return context.report.refuse("misplaced", context.spot.of(line.words.first()), message);
        }
        let name = line.text(1);
        // A template repeats its name as often as it is told.
        if name.len() > LONGEST_NAME || !name.bytes().all(is_name_byte) {
            let message = "a server's name has letters, digits and . : _ - only, and not more than 1,000";
            return context.report.refuse("invalid-name", context.spot.of(line.words.get(1)), message);
        }
        let Some((low, high)) = (if is_template { range(line.text(2)) } else { Some((0, 0)) }) else {
            let message = "this is neither a number of servers nor a range: write 5 or 1-5";
            return context.report.refuse("invalid-value", context.spot.of(line.words.get(2)), message);
        };
        let mut settings = self.common.server;
        settings.read(line, address_at + 1, &mut self.noted, context);
        let address = match server_address(&address_word.text) {
            Ok(address) => address,
            Err(reason) => return self.not_counted(reason, name, address_word, context),
        };
        let vouched = line.comment.is_some_and(is_vouching);
        let at = context.spot.of(line.words.first());
        let is_host = matches!(address, MemberAddress::Host { .. });
        let server = |name: String, uses| Server {
            name,
            address: address.clone(),
            uses,
            // What the host's resolver says at the start, HAProxy takes in the order that it has.
            family: if is_host && settings.resolves { settings.prefers } else { Family::Any },
            settings,
            at: at.clone(),
            vouched,
        };
        if is_template && is_host && settings.resolves {
            // Each address that the name has gets a place, as long as there are any.
            let places = usize::try_from(high - low + 1).unwrap_or(usize::MAX);
            let server = server(format!("{name}{low}-{high}"), Uses::AtMost(places));
            return self.add(server, uncertain, line, context);
        }
        let uses = if is_host { Uses::One } else { Uses::Every };
        if !is_template {
            return self.add(server(name.to_owned(), uses), uncertain, line, context);
        }
        references.templates = references.templates.saturating_add(high - low + 1);
        if references.templates > MOST_OF_TEMPLATES {
            let message = format!("templates make more than {MOST_OF_TEMPLATES} servers: write fewer");
            return context.report.refuse("too-many-servers", context.spot.of(line.words.get(2)), message);
        }
        for number in low..=high {
            self.add(server(format!("{name}{number}"), uses), uncertain, line, context);
        }
    }

    fn add(&mut self, server: Server, uncertain: bool, line: &Line<'_>, context: &mut Context<'_>) {
        if !self.names.insert(server.name.clone()) {
            // The other branch of a block that cannot be decided has the same server: one of them is in force.
            if !uncertain {
                let message = format!("there is another server {} in {}: rename one", server.name, self.name);
                context.report.refuse("duplicate-server", context.spot.of(line.words.get(1)), message);
            }
            return;
        }
        self.servers.push(server);
    }

    fn not_counted(&mut self, reason: &'static str, name: &str, word: &Word, context: &mut Context<'_>) {
        self.common.doubt = Some("not all of its servers have an address that is known and counted");
        if self.noted.insert(reason) {
            let message = format!("the server {name} {reason}");
            context.report.push(Problem::note("not-judged", context.spot.of(Some(word)), message));
        }
    }
}

/// Whether a word can change the shares of a pool, and not only say which pool is used.
fn decides(name: &str) -> bool {
    !matches!(name, "filter" | "log" | "use_backend" | "default_backend")
}

/// Remembers which backends a line refers to.
fn refer(directive: &Directive, line: &Line<'_>, references: &mut References) {
    match directive.name {
        "use_backend" if line.text(1).contains('%') => references.others = true,
        "use_backend" => drop(references.names.insert(line.text(1).to_owned())),
        // Its own file says to which backends it talks.
        "filter" => references.others = true,
        "log" => references.log(line),
        _ => {}
    }
}

impl References {
    /// A line `log`, wherever it is.
    pub(super) fn log(&mut self, line: &Line<'_>) {
        if let Some(name) = line.text(1).strip_prefix("backend@") {
            self.names.insert(name.to_owned());
        }
    }
}

/// The numbers of a template's servers.
fn range(text: &str) -> Option<(i64, i64)> {
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (leading_number(low), leading_number(high)),
        None => (1, leading_number(text)),
    };
    (0 <= low && low <= high && high <= i64::from(i32::MAX)).then_some((low, high))
}

/// Whether HAProxy takes it in the name of a section or server.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".:_-".contains(&byte)
}
