//! What the importer finds in texts, and that it ends whatever they are.

use super::*;
use crate::imports::fixtures;
use crate::imports::reading::tests::Invented;
use crate::imports::{HostSurroundings, Severity};
use crate::pools::Role;
use proptest::prelude::*;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;

/// The files of a case and the variables in its `environment.txt`.
struct Case {
    variables: String,
}

impl Surroundings for Case {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        HostSurroundings.read(path)
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        HostSurroundings.list(directory)
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        let mut variables = self.variables.lines().filter_map(|line| line.split_once('='));
        variables.find(|(variable, _)| *variable == name).map(|(_, value)| value.to_owned())
    }
}

/// A case is `haproxy.cfg`, or what its `arguments.txt` names, an argument of `-f` a line.
fn import_case(case: &Path) -> Result<Imported, Unreadable> {
    let arguments = fs::read_to_string(case.join("arguments.txt")).unwrap_or("haproxy.cfg".into());
    let files: Vec<_> = arguments.lines().map(|name| case.join(name).components().collect()).collect();
    let variables = fs::read_to_string(case.join("environment.txt")).unwrap_or_default();
    import(&files, &mut Case { variables })
}

fn import_text(text: impl Into<Vec<u8>>) -> Result<Imported, Unreadable> {
    import(&["/haproxy.cfg".into()], &mut Invented::default().file("/haproxy.cfg", text))
}

#[test]
fn fixtures_are_read_as_they_should_be() {
    fixtures::compare("haproxy", import_case);
}

#[test]
fn every_directive_has_a_fixture() {
    fixtures::compare_table("haproxy", &DIRECTIVES.concat());
}

#[test]
fn what_is_refused_is_told_by_errors_and_nothing_else_is() {
    for case in fixtures::cases("haproxy") {
        let bad = case.file_name().unwrap().to_str().unwrap().starts_with("bad-");
        let problems = match import_case(&case) {
            Ok(imported) if !bad => imported.problems,
            Err(unreadable) if bad => unreadable.problems,
            other => panic!("{}: {other:?}", case.display()),
        };
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        assert_eq!(errors > 0, bad, "{}: {problems:?}", case.display());
        assert!(problems.iter().all(|problem| !problem.at.file.is_empty()));
    }
}

#[test]
fn directories_that_were_listed_are_told_and_files_are_none() {
    let mut files =
        Invented::default().file("/d/a.cfg", "").file("/d/sub.cfg/x.cfg", "what").file("/f.cfg", "");
    let imported = import(&["/d".into(), "/f.cfg".into()], &mut files).unwrap();
    let read: Vec<_> = imported.files.iter().map(|file| file.path.display().to_string()).collect();
    assert_eq!(read, ["/d/a.cfg", "/f.cfg"]);
    assert_eq!(imported.directories, [PathBuf::from("/d"), PathBuf::from("/d/sub.cfg")]);
    let refused = import(&["/absent".into()], &mut files).unwrap_err();
    assert_eq!(refused.problems[0].to_string(), "/absent: no such file: check the path");
    assert!(refused.directories.is_empty());
}

#[test]
fn blocks_within_blocks_without_end_are_refused() {
    assert!(import_text(".if 1\n".repeat(1_000_000)).is_err());
    assert!(import_text(format!("{}{}", ".if 1\n".repeat(99), ".endif\n".repeat(99))).is_ok());
    assert!(import_text(".if (\n".replace('(', &"(".repeat(1_000_000))).is_err());
}

/// As large as a file may be, in shapes that are cheap to write and dear to read carelessly.
#[test]
fn large_files_end() {
    const SIZE: usize = 10 << 20;
    let filled = |line: &str| format!("backend app\n{}", line.repeat(SIZE / line.len()));
    let numbered = |line: fn(usize) -> String| (0..250_000).fold(String::new(), |text, n| text + &line(n));
    let shapes = [
        "x".repeat(SIZE),
        "\"".repeat(SIZE),
        "\"$A\"".repeat(SIZE / 4),
        "a ".repeat(SIZE / 2),
        "\n".repeat(SIZE),
        filled("what ever\n"),
        filled("server a 10.0.0.1:80\n"),
        filled("server-template a 60000 10.0.0.1:80\n"),
        filled("option allbackups\n.if feature(X)\n.endif\n"),
        filled("stick on src\nhttp-check connect port 1\n"),
        format!("global\nsetenv A x\n{}", "setenv A \"$A$A\"\n".repeat(1_000)),
        format!("global\nsetenv A {}\n{}", "x".repeat(60_000), "setenv B \"$A\"\n".repeat(300_000)),
        numbered(|n| format!("backend b{n}\nserver s{n} 10.0.0.1:80\n")),
        format!(
            "defaults\ndefault_backend {}\n{}",
            "x".repeat(SIZE / 2),
            numbered(|n| format!("listen b{n}\n"))
        ),
        format!(
            "defaults\n{}{}",
            (1..=65_535).fold(String::new(), |text, n| text + &format!("tcp-check connect port {n}\n")),
            numbered(|n| format!("backend b{n}\nserver s{n} h:80 check\n"))
        ),
    ];
    for text in shapes {
        let _ = import_text(text);
    }
}

#[test]
fn problems_are_bounded() {
    let imported = import_text(format!("backend app\n{}", "what\n".repeat(100_000))).unwrap();
    assert_eq!(imported.problems.len(), 1_001);
    assert!(imported.problems[1_000].message.contains("99000 more"));
    let refused = import_text(format!("backend app\n{}", "balance what\n".repeat(1_000))).unwrap_err();
    assert_eq!(refused.problems.len(), 50, "HAProxy stops there, too");
}

/// Words of the language and what is dangerous around them.
fn soup() -> impl Strategy<Value = String> {
    let known: Vec<&'static str> =
        DIRECTIVES.iter().flat_map(|table| table.iter().map(|word| word.name)).collect();
    let odd = [
        "\n",
        "\n",
        " ",
        "\"",
        "'",
        "\\",
        "#",
        "$",
        "${",
        "}",
        "[*]",
        "\"$A\"",
        "(",
        ")",
        "%[",
        "\r",
        "\0",
        "é",
        "-",
        "+",
        "1",
        "0",
        "256",
        "10.0.0.1:80",
        "::1:80",
        "a:1",
        "a",
        "b",
        "from",
        "no",
        "default",
        "&&",
        "||",
        "!",
        ",",
    ];
    let word = prop_oneof![proptest::sample::select(known), proptest::sample::select(odd.to_vec())];
    let words = proptest::collection::vec((word, prop_oneof![Just(" "), Just("\n"), Just("")]), 0..200);
    words.prop_map(|words| words.into_iter().map(|(word, space)| format!("{word}{space}")).collect())
}

/// The weight of each server, whether it is disabled, and whether it is a backup.
type Servers = Vec<(u8, bool, bool)>;

/// A backend as somebody might write it, and the weights that are meant.
fn backends() -> impl Strategy<Value = Vec<(String, Servers)>> {
    let server = (any::<u8>(), any::<bool>(), any::<bool>());
    let backend = ("[a-z]{1,8}", proptest::collection::vec(server, 1..8));
    proptest::collection::vec(backend, 1..6)
}

proptest! {
    #[test]
    fn word_soup_is_read_or_refused(text in soup()) {
        match import_text(text) {
            Ok(imported) => {
                let mut names: Vec<_> = imported.pools.pools.iter().map(|pool| &pool.name).collect();
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), imported.pools.pools.len());
                prop_assert!(imported.pools.pools.iter().all(|pool| !pool.members.is_empty()));
            }
            Err(unreadable) => {
                prop_assert!(unreadable.problems.iter().any(|problem| problem.severity == Severity::Error));
            }
        }
    }

    #[test]
    fn bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = import_text(bytes);
    }

    #[test]
    fn generated_backends_are_found_again(backends in backends()) {
        let mut text = String::new();
        for (index, (name, servers)) in backends.iter().enumerate() {
            writeln!(text, "backend {name}{index}\n\tbalance roundrobin").unwrap();
            for (number, (weight, disabled, backup)) in servers.iter().enumerate() {
                let disabled = if *disabled { " disabled" } else { "" };
                let backup = if *backup { " backup" } else { "" };
                writeln!(text, "\tserver s{number} 10.0.{index}.{number}:80{backup} weight {weight}{disabled} # x").unwrap();
            }
        }
        let imported = import_text(text).unwrap();
        prop_assert_eq!(imported.problems, []);
        prop_assert_eq!(imported.pools.pools.len(), backends.len());
        for (index, (pool, (name, servers))) in imported.pools.pools.iter().zip(&backends).enumerate() {
            prop_assert_eq!(&pool.name, &format!("{name}{index}"));
            prop_assert_eq!(pool.members.len(), servers.len());
            for (number, (member, (weight, disabled, backup))) in pool.members.iter().zip(servers).enumerate() {
                prop_assert_eq!(member.weight, f64::from(*weight));
                prop_assert_eq!(member.address.to_string(), format!("10.0.{index}.{number}:80"));
                let role = match (disabled, backup) {
                    (true, _) => Role::Down,
                    (_, true) => Role::Backup,
                    _ => Role::Active,
                };
                prop_assert_eq!((member.role, member.spare), (role, *disabled && *backup));
            }
        }
    }
}
