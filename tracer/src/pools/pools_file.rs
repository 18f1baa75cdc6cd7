//! The pools file: TOML to pools. Pure; every problem is found, and located.

use super::Method;
use super::address::{MemberAddress, parse_address};
use super::written::{Backups, Role, WrittenMember, WrittenPool, WrittenPools};
use crate::input::{InputError, Place, Position, Positions, toml_problem, utf8};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Above what any balancer takes: nginx stops at 65,535, HAProxy at 256.
const MAX_WEIGHT: f64 = 65_535.0;
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    pool: Vec<Spanned<Pool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    name: Option<Spanned<String>>,
    balancer: Option<Spanned<String>>,
    #[serde(default)]
    method: Method,
    members: Option<Spanned<Vec<Spanned<Member>>>>,
    health_check_interval: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    address: Option<Spanned<String>>,
    weight: Option<Spanned<f64>>,
    #[serde(default)]
    backup: bool,
    #[serde(default)]
    drain: bool,
}

/// Reads the text of a pools file; `file` is how problems and sources name it.
///
/// # Errors
/// Every problem found, in the order of the text; never an empty list.
pub fn parse_pools_file(file: &str, bytes: &[u8]) -> Result<WrittenPools, Vec<InputError>> {
    let mut reader =
        Reader { file: file.into(), bytes, positions: Positions::new(bytes), problems: Vec::new() };
    let pools = reader.read();
    reader.problems.sort_by_key(|problem| (problem.line, problem.column));
    if reader.problems.is_empty() { Ok(WrittenPools { pools }) } else { Err(reader.problems) }
}

/// The TOML parser's message in this file's words.
fn explain(message: String) -> String {
    [
        ("expected f64", "expected a number such as 2 or 0.5"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list in [ ]"),
        ("expected struct Member", "expected { address = \"ip:port\" }"),
        ("expected struct Pool", "expected [[pool]] with a name and members"),
        ("unknown field", "unknown key"),
        ("unknown variant", "unknown method"),
    ]
    .into_iter()
    .fold(message, |message, (theirs, ours)| message.replace(theirs, ours))
}

struct Reader<'a> {
    file: Arc<str>,
    bytes: &'a [u8],
    positions: Positions<'a>,
    problems: Vec<InputError>,
}

impl Reader<'_> {
    fn problem(&mut self, offset: usize, message: impl Into<String>) {
        let Position { line, column } = self.position(offset);
        self.problems.push(InputError { file: self.file.to_string(), line, column, message: message.into() });
    }

    fn position(&mut self, offset: usize) -> Position {
        self.positions.of(offset)
    }

    fn place(&mut self, offset: usize) -> Place {
        let Position { line, column } = self.position(offset);
        Place { file: Arc::clone(&self.file), line, column }
    }

    fn read(&mut self) -> Vec<WrittenPool> {
        let parsed = utf8(self.bytes).and_then(|text| {
            toml::from_str(text).map_err(|error| {
                let (offset, message) = toml_problem(&error);
                (offset, explain(message))
            })
        });
        let document: Document = match parsed {
            Ok(document) => document,
            Err((offset, message)) => {
                self.problem(offset, message);
                return Vec::new();
            }
        };
        if document.pool.is_empty() {
            self.problem(0, "declares no pool: add [[pool]] with a name and members");
        }
        let mut names: HashMap<String, usize> = HashMap::new();
        document.pool.into_iter().map(|pool| self.pool(pool, &mut names)).collect()
    }

    fn pool(&mut self, pool: Spanned<Pool>, names: &mut HashMap<String, usize>) -> WrittenPool {
        let start = pool.span().start;
        let at = self.place(start);
        let pool = pool.into_inner();
        let name = self.name(start, pool.name, names);
        let balancer = pool.balancer.map(|balancer| {
            if balancer.get_ref().trim().is_empty() {
                self.problem(balancer.span().start, "the balancer is empty: name it, or leave the key out");
            }
            balancer.into_inner()
        });
        let health_check_interval =
            pool.health_check_interval.and_then(|text| match parse_interval(text.get_ref()) {
                Ok(interval) => Some(interval),
                Err(message) => {
                    self.problem(text.span().start, message);
                    None
                }
            });
        let members = self.members(start, &name, pool.members);
        WrittenPool {
            name,
            balancer,
            method: pool.method,
            at,
            members,
            backups: Backups::All,
            health_check_interval,
            vouched: true,
            doubt: None,
        }
    }

    fn name(
        &mut self,
        pool_start: usize,
        name: Option<Spanned<String>>,
        names: &mut HashMap<String, usize>,
    ) -> String {
        let Some(name) = name else {
            self.problem(pool_start, "the pool has no name: add name = \"…\"");
            return String::new();
        };
        let start = name.span().start;
        let name = name.into_inner();
        if name.trim().is_empty() {
            self.problem(start, "the pool's name is empty: give it one");
        } else if let Some(line) = names.get(&name) {
            self.problem(start, format!("the pool name {name:?} is taken on line {line}: choose another"));
        } else {
            names.insert(name.clone(), self.position(start).line);
        }
        name
    }

    fn members(
        &mut self,
        pool_start: usize,
        pool: &str,
        members: Option<Spanned<Vec<Spanned<Member>>>>,
    ) -> Vec<WrittenMember> {
        let (start, members) = match members {
            Some(members) => (members.span().start, members.into_inner()),
            None => (pool_start, Vec::new()),
        };
        if members.is_empty() {
            self.problem(
                start,
                format!("pool {pool:?} has no members: add members = [{{ address = \"ip:port\" }}]"),
            );
            return Vec::new();
        }
        let mut seen: HashMap<MemberAddress, usize> = HashMap::new();
        let mut any_weight = false;
        let mut written = Vec::new();
        for member in members {
            let member_start = member.span().start;
            let member = member.into_inner();
            let weight = self.weight(member.weight);
            any_weight |= !member.backup && weight.is_none_or(|weight| weight > 0.0);
            let role = match (member.drain, member.backup) {
                (true, _) => Role::Down,
                (false, true) => Role::Backup,
                (false, false) => Role::Active,
            };
            let Some(text) = member.address else {
                self.problem(member_start, "the member has no address: add address = \"ip:port\"");
                continue;
            };
            let offset = text.span().start;
            let at = self.place(offset);
            match parse_address(text.get_ref()) {
                Err(message) => self.problem(offset, message),
                Ok(address) => {
                    if let Some(line) = seen.get(&address) {
                        self.problem(
                            offset,
                            format!(
                                "{address} is already in pool {pool:?} on line {line}: \
                                 keep one, with the sum of the weights"
                            ),
                        );
                    } else {
                        seen.insert(address.clone(), at.line);
                        let weight = weight.unwrap_or(0.0);
                        written.push(WrittenMember { role, ..WrittenMember::new(address, weight, at) });
                    }
                }
            }
        }
        if !any_weight {
            self.problem(
                start,
                format!("no member of pool {pool:?} should get traffic: one that is no backup needs a weight above 0"),
            );
        }
        written
    }

    /// `None` for a weight that is wrong, which has been said then.
    fn weight(&mut self, weight: Option<Spanned<f64>>) -> Option<f64> {
        let Some(weight) = weight else { return Some(1.0) };
        let start = weight.span().start;
        let weight = weight.into_inner();
        if (0.0..=MAX_WEIGHT).contains(&weight) {
            return Some(weight.abs());
        }
        let what = if weight.is_nan() {
            "is not a number".to_owned()
        } else if weight.is_infinite() {
            "is infinite".to_owned()
        } else if weight < 0.0 {
            format!("{weight} is negative")
        } else {
            format!("{weight} is beyond what any balancer takes")
        };
        self.problem(start, format!("the weight {what}: write 0 to 65535"));
        None
    }
}

/// Reads a duration such as `2s`, `1.5s`, `500ms` or `1m`.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit_seconds = match &text[digits.len()..] {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" => Some(60.0),
        _ => None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = if plain { digits.parse::<f64>().ok() } else { None };
    let (Some(unit_seconds), Some(number)) = (unit_seconds, number) else {
        return Err(format!("{text:?} is not a duration: write it such as \"2s\" or \"500ms\""));
    };
    let interval = Duration::try_from_secs_f64(number * unit_seconds).unwrap_or(Duration::MAX);
    if interval < Duration::from_millis(1) || interval > MAX_INTERVAL {
        return Err(format!("{text:?} is no interval of health checks: write 1ms to 60m"));
    }
    Ok(interval)
}

#[cfg(test)]
#[path = "pools_file_tests.rs"]
mod tests;
