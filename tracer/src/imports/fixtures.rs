//! What the tests of every importer share: fixtures, and how what is found in them is written down.

use super::{Imported, Problem, Unreadable};
use crate::pools::{Role, Uses};
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
            if member.uses != Uses::Every {
                write!(text, " uses {:?}", member.uses).unwrap();
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
