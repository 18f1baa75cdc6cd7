//! A server's settings, from `default-server` and its own line.

use super::numbers::{leading_number, time};
use super::report::{Report, Spot};
use super::tables::{SERVER, WITHOUT_VALUE, find};
use super::words::{Line, Word};
use crate::imports::{Effect, Problem};
use crate::input::Place;
use crate::pools::{Family, MemberAddress, Uses};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// HAProxy's own when none is written.
const WEIGHT: u16 = 1;
const HEAVIEST: i64 = 256;
const INTERVAL: Duration = Duration::from_secs(2);

/// Where a line is, and where to say what is wrong with it.
pub(super) struct Context<'a> {
    pub(super) spot: Spot<'a>,
    pub(super) report: &'a mut Report,
}

/// What is said behind a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) weight: u16,
    pub(super) backup: bool,
    pub(super) disabled: bool,
    pub(super) max_connections: Option<u64>,
    /// It has `check`.
    pub(super) checks: bool,
    /// Its state is another server's.
    pub(super) tracks: bool,
    pub(super) interval: Duration,
    pub(super) check_port: Option<u16>,
    /// Where checks go instead; a name is no address to compare with.
    pub(super) check_address: Option<Option<IpAddr>>,
    check_talks: bool,
    encrypted: bool,
    announced: bool,
    /// A section of its own says how it is checked.
    pub(super) checked_elsewhere: bool,
    pub(super) has_cookie: bool,
    pub(super) resolves: bool,
    /// Which addresses it asks resolvers for: those of the other kind only where there is none.
    pub(super) prefers: Family,
    pub(super) agent: bool,
    doubt: Option<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weight: WEIGHT,
            backup: false,
            disabled: false,
            max_connections: None,
            checks: false,
            tracks: false,
            interval: INTERVAL,
            check_port: None,
            check_address: None,
            check_talks: false,
            encrypted: false,
            announced: false,
            checked_elsewhere: false,
            has_cookie: false,
            resolves: false,
            prefers: Family::V6First,
            agent: false,
            doubt: None,
        }
    }
}

/// A server, or those of a template that share a host name.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: MemberAddress,
    pub(super) uses: Uses,
    pub(super) family: Family,
    pub(super) settings: Settings,
    pub(super) at: Place,
    pub(super) vouched: bool,
}

impl Settings {
    /// Why the shares of a pool with this server cannot be known.
    pub(super) fn doubt(&self) -> Option<&'static str> {
        self.doubt.or_else(|| if self.agent { why("agent-check") } else { None })
    }

    /// Whether a check has payload, whatever the backend's checks are.
    pub(super) fn check_talks(&self) -> bool {
        // Checks that go elsewhere are not like the traffic, unless it is said that they are.
        let as_traffic = self.check_port.is_none() && self.check_address.is_none();
        self.check_talks || as_traffic && (self.encrypted || self.announced)
    }

    /// Takes in words from the one at `first` on. `noted` has the words for which the section has a note already.
    pub(super) fn read(
        &mut self,
        line: &Line<'_>,
        first: usize,
        noted: &mut BTreeSet<&'static str>,
        context: &mut Context<'_>,
    ) {
        let mut words = line.words.iter().skip(first);
        let mut lost = false;
        while let Some(word) = words.next() {
            // A parenthesis is an argument: `set-proxy-v2-tlv-fmt(0x20)`.
            let name = word.text.split('(').next().unwrap_or_default();
            let Some(directive) = find(SERVER, name) else {
                // What an unknown word takes is unknown, too: it is told once, up to the next that is known.
                if !lost {
                    context.unknown(word, "behind a server");
                }
                lost = true;
                continue;
            };
            lost = false;
            let value = if WITHOUT_VALUE.binary_search(&name).is_ok() {
                None
            } else {
                let Some(value) = words.next() else {
                    let message = format!("{} lacks its value: write it behind the word", directive.name);
                    context.report.refuse("missing-value", context.spot.of(Some(word)), message);
                    return;
                };
                Some(value)
            };
            match directive.effect {
                Effect::Irrelevant(_) => {}
                Effect::Noted(why) => {
                    self.note(directive.name, why);
                    context.note(word, directive.name, why, noted);
                }
                Effect::Understood(_) => match value {
                    None => self.switch(directive.name),
                    Some(value) => self.set(directive.name, value, context),
                },
            }
        }
    }

    fn note(&mut self, name: &str, why: &'static str) {
        match name {
            "agent-check" => self.agent = true,
            _ => self.doubt = Some(why),
        }
    }

    fn switch(&mut self, name: &str) {
        match name {
            "backup" => self.backup = true,
            "no-backup" => self.backup = false,
            "disabled" => self.disabled = true,
            "enabled" => self.disabled = false,
            "check" => self.checks = true,
            "no-check" => self.checks = false,
            "no-agent-check" => self.agent = false,
            "ssl" => self.encrypted = true,
            "no-ssl" => self.encrypted = false,
            "check-ssl" | "check-send-proxy" => self.check_talks = true,
            "no-check-ssl" | "no-check-send-proxy" => self.check_talks = false,
            "send-proxy" | "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => {
                self.announced = true
            }
            "no-send-proxy" | "no-send-proxy-v2" | "no-send-proxy-v2-ssl" | "no-send-proxy-v2-ssl-cn" => {
                self.announced = false;
            }
            _ => {}
        }
    }

    fn set(&mut self, name: &str, value: &Word, context: &mut Context<'_>) {
        match name {
            "weight" => {
                let number = context.number(value);
                match u16::try_from(number).ok().filter(|_| number <= HEAVIEST) {
                    Some(weight) => self.weight = weight,
                    None => context.refuse_value(value, "a weight is a number from 0 to 256"),
                }
            }
            "maxconn" => {
                let number = context.number(value);
                self.max_connections = u64::try_from(number).ok().filter(|&most| most > 0);
            }
            "inter" => match time(&value.text).filter(|interval| !interval.is_zero()) {
                Some(interval) => self.interval = interval,
                None => context.refuse_value(value, "a time is a number and a unit, such as 500ms or 2s"),
            },
            "port" => match u16::try_from(context.number(value)) {
                Ok(port) => self.check_port = Some(port),
                Err(_) => context.refuse_value(value, "a port is a number up to 65535"),
            },
            "addr" => self.check_address = Some(value.text.parse().ok()),
            "track" => self.tracks = true,
            "cookie" => self.has_cookie = true,
            "resolvers" => self.resolves = true,
            "resolve-prefer" => match value.text.as_str() {
                "ipv4" => self.prefers = Family::V4First,
                "ipv6" => self.prefers = Family::V6First,
                _ => context.refuse_value(value, "resolve-prefer takes ipv4 or ipv6"),
            },
            "healthcheck" => self.checked_elsewhere = true,
            _ => {}
        }
    }
}

fn why(name: &str) -> Option<&'static str> {
    match find(SERVER, name)?.effect {
        Effect::Noted(why) => Some(why),
        Effect::Understood(_) | Effect::Irrelevant(_) => None,
    }
}

impl Context<'_> {
    /// A note on a word that is not in the tables.
    pub(super) fn unknown(&mut self, word: &Word, place: &str) {
        let message = format!(
            "this word {place} is not known: HAProxy refuses it, or is newer than what is known here"
        );
        let note = Problem::note("unknown-directive", self.spot.of(Some(word)), message);
        self.report.push(
            note.hint("check its spelling; if it decides who gets what, declare the pool in a pools file"),
        );
    }

    /// A note on what is known and cannot be foreseen, once for each word.
    pub(super) fn note(
        &mut self,
        word: &Word,
        name: &'static str,
        why: &'static str,
        noted: &mut BTreeSet<&'static str>,
    ) {
        if noted.insert(name) {
            let note = Problem::note("not-judged", self.spot.of(Some(word)), format!("{name}: {why}"));
            self.report.push(note.hint("declare the pool in a pools file if its shares are known"));
        }
    }

    fn number(&mut self, value: &Word) -> i64 {
        let number = leading_number(&value.text);
        if value.text.is_empty() || !value.text.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("this is not a plain number, and HAProxy reads it as {number}");
            self.report.push(Problem::warning("odd-number", self.spot.of(Some(value)), message));
        }
        number
    }

    fn refuse_value(&mut self, value: &Word, message: &str) {
        self.report.refuse("invalid-value", self.spot.of(Some(value)), message);
    }
}
