//! What the tests of every importer share: fixtures, and how what is found in them is written down.

use super::{Directive, Effect, Imported, Problem, Unreadable};
use crate::pools::{Backups, Family, Role, Uses};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/imports");

/// The folders of an importer's fixtures, a case each.
pub(super) fn cases(importer: &str) -> Vec<PathBuf> {
    let folder = Path::new(FIXTURES).join(importer);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    assert!(cases.len() > 3, "no fixtures of {importer}");
    cases
}

/// Compares what `import` finds in every case with the case's `expected.txt`; with `UPDATE_FIXTURES` set that is written
/// instead.
pub(super) fn compare(importer: &str, import: impl Fn(&Path) -> Result<Imported, Unreadable>) {
    for case in cases(importer) {
        let found = render(&import(&case)).replace(&format!("{}/", case.display()), "");
        let file = case.join("expected.txt");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&file, &found).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(found, expected, "{}", case.display());
    }
}

/// Holds the importer's table against its fixtures, and against the page that is generated from it, `directives.md`: every
/// directive stands in the files of the fixture that it names.
pub(super) fn compare_table(importer: &str, directives: &[Directive]) {
    let folder = Path::new(FIXTURES).join(importer);
    let mut page = format!(
        "# What the importer of {importer} knows\n\nGenerated from the importer; a word that is not here is a located note.\n\n\
         | directive | where | taken as | fixture | run with the real balancer |\n|---|---|---|---|---|\n"
    );
    for directive in directives {
        let Directive { name, context, effect, fixture } = directive;
        let text = texts(&folder.join(fixture));
        assert!(has_word(&text, name), "{name}: not in the fixture {fixture}");
        let effect = match effect {
            Effect::Understood(how) => (*how).to_owned(),
            Effect::Irrelevant(why) => format!("without effect on shares: {why}"),
            Effect::Noted(why) => format!("a note: {why}"),
        };
        let live = if fixture.starts_with("live-") { "yes" } else { "" };
        writeln!(page, "| `{name}` | {context} | {effect} | {fixture} | {live} |").unwrap();
    }
    let file = folder.join("directives.md");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&file, &page).unwrap();
    }
    assert_eq!(page, fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
}

/// Whether a word stands somewhere that is no comment, and not within another; a dot is between words.
fn has_word(text: &str, word: &str) -> bool {
    let continues =
        |byte: Option<&u8>| byte.is_some_and(|&byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    // `weight=` ends the word itself.
    let ends = |after: Option<&u8>| !continues(after) || word.ends_with('=');
    text.lines().map(without_comment).any(|line| {
        line.match_indices(word).any(|(at, _)| {
            let (before, rest) = line.as_bytes().split_at(at);
            !continues(before.last()) && ends(rest.get(word.len()))
        })
    })
}

/// What stands before a `#` that is neither quoted nor escaped.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' | b'\'' if quote == Some(byte) => quote = None,
            b'"' | b'\'' if quote.is_none() => quote = Some(byte),
            b'#' if quote.is_none() => return line.get(..at).unwrap_or(line),
            _ => {}
        }
    }
    line
}

#[test]
fn a_word_in_a_comment_or_another_word_is_not_found() {
    assert!(has_word("a server b # x\n", "server") && has_word("server weight=2;", "weight="));
    assert!(!has_word("a-server server_b _server servers '#' # server", "server"));
    assert!(has_word("'#' \\# server", "server"));
}

/// The text of every file below a folder.
fn texts(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| {
        if path.is_dir() {
            texts(&path)
        } else {
            String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
        }
    };
    paths.filter(|path| path.file_name().is_some_and(|name| name != "expected.txt")).map(text).collect()
}

fn render(found: &Result<Imported, Unreadable>) -> String {
    match found {
        Ok(imported) => {
            let mut text = pools(imported);
            if let Some(runtime) = &imported.runtime {
                writeln!(text, "runtime {}", runtime.display()).unwrap();
            }
            text + &problems(&imported.problems)
        }
        Err(unreadable) => format!("unreadable\n{}", problems(&unreadable.problems)),
    }
}

fn pools(imported: &Imported) -> String {
    let mut text = String::new();
    for pool in &imported.pools.pools {
        write!(text, "pool {} {:?} {}", pool.name, pool.method, pool.at).unwrap();
        if let Some(balancer) = &pool.balancer {
            write!(text, " balancer {balancer}").unwrap();
        }
        if let Some(interval) = pool.health_check_interval {
            write!(text, " checks every {interval:?}").unwrap();
        }
        if pool.vouched {
            text.push_str(" vouched");
        }
        if pool.backups == Backups::First && pool.members.iter().any(|member| member.role == Role::Backup) {
            text.push_str(" first backup");
        }
        if let Some(doubt) = &pool.doubt {
            write!(text, " doubt: {doubt}").unwrap();
        }
        text.push('\n');
        for member in &pool.members {
            write!(text, "  {} weight {} {}", member.address, member.weight, member.at).unwrap();
            if let Some(name) = &member.name {
                write!(text, " name {name}").unwrap();
            }
            match member.role {
                Role::Active => {}
                Role::Backup => text.push_str(" backup"),
                Role::Down => text.push_str(" down"),
            }
            if member.spare {
                text.push_str(" backup");
            }
            if member.computed {
                text.push_str(" computed");
            }
            if member.uses != Uses::Every {
                write!(text, " uses {:?}", member.uses).unwrap();
            }
            if member.family != Family::Any {
                write!(text, " family {:?}", member.family).unwrap();
            }
            if let Some(most) = member.max_connections {
                write!(text, " max {most}").unwrap();
            }
            if let Some(checked) = member.checked {
                text.push_str(if checked { " checked" } else { " unchecked" });
            }
            text.push_str(if member.vouched { " vouched\n" } else { "\n" });
        }
    }
    text
}

fn problems(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let hint = problem.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("{}[{}] {}: {}{hint}\n", problem.severity, problem.code, problem.at, problem.message)
    };
    problems.iter().map(line).collect()
}
