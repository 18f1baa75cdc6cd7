//! The importer as a whole: its fixtures, and text that nobody wrote.

use super::{DIRECTIVES, import};
use crate::imports::reading::tests::Invented;
use crate::imports::{HostSurroundings, Imported, Severity, Unreadable, fixtures};
use crate::pools::{MemberAddress, Role};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::Path;

fn read(text: impl Into<Vec<u8>>) -> Result<Imported, Unreadable> {
    import(Path::new("nginx.conf"), &mut Invented::default().file("nginx.conf", text))
}

/// The only error's code and place.
fn refused(text: impl Into<Vec<u8>>) -> String {
    // Not `unwrap_err`: what was read would be printed, and it is large.
    let problems = read(text).err().map(|unreadable| unreadable.problems).unwrap_or_default();
    problems.last().map_or_else(|| "not refused".to_owned(), |last| format!("{} {}", last.code, last.at))
}

#[test]
fn what_is_found_is_what_is_expected() {
    fixtures::compare("nginx", |case| import(&case.join("nginx.conf"), &mut HostSurroundings));
}

#[test]
fn problems_are_bounded_and_no_error_is_lost() {
    let passes = "proxy_pass http://$x;\n".repeat(100_000);
    let found = read(format!("http {{ server {{ location / {{\n{passes}}} }} }}")).unwrap().problems;
    assert_eq!(found.len(), 1_001);
    assert!(found[1_000].message.starts_with("99000 more problems"), "{}", found[1_000]);
    let refused = read(format!("http {{ server {{ location / {{\n{passes}")).err().unwrap().problems;
    assert_eq!(refused.iter().filter(|problem| problem.severity == Severity::Error).count(), 1);
}

#[test]
fn a_file_that_could_not_be_read_is_told() {
    let unreadable = read("http { include b.conf; }").err().unwrap();
    assert_eq!(unreadable.missing, [Path::new("b.conf")]);
}

#[test]
fn every_directive_of_the_table_has_its_fixture() {
    fixtures::compare_table("nginx", DIRECTIVES);
}

#[test]
fn no_word_is_in_the_table_twice_for_one_place() {
    for (at, row) in DIRECTIVES.iter().enumerate() {
        let same =
            |other: &&crate::imports::Directive| (other.name, other.context) == (row.name, row.context);
        assert_eq!(DIRECTIVES.iter().skip(at).filter(same).count(), 1, "{}", row.name);
    }
}

#[test]
fn nothing_of_the_file_is_quoted_but_names_and_addresses() {
    for text in [
        "hunter2 hunter3",
        "http { upstream a { hunter2; hunter3",
        "include hunter2;",
        "stream { hunter2_pass x; } }",
    ] {
        let problems = read(text).unwrap_err().problems;
        let said: String =
            problems.iter().map(|problem| format!("{}{:?}", problem.message, problem.hint)).collect();
        assert!(!problems.is_empty() && !said.contains("hunter"), "{said}");
    }
}

#[test]
fn includes_are_bounded_in_depth() {
    let mut files = Invented::default().file("nginx.conf", "include f0;");
    for depth in 0..40 {
        files = files.file(&format!("f{depth}"), format!("\ninclude f{};", depth + 1));
    }
    let problems = import(Path::new("nginx.conf"), &mut files).unwrap_err().problems;
    assert_eq!((problems[0].code, problems[0].at.to_string()), ("include-depth", "f30:2:1".to_owned()));
}

#[test]
fn files_that_multiply_are_bounded() {
    let mut files = Invented::default().file("nginx.conf", "include f0;");
    for depth in 0..25 {
        files = files.file(&format!("f{depth}"), format!("include f{0}; include f{0};", depth + 1));
    }
    let unreadable = import(Path::new("nginx.conf"), &mut files.file("f25", "")).unwrap_err();
    assert_eq!(unreadable.problems[0].code, "unreadable-include");
    assert!(unreadable.files.len() <= 4_096);
}

/// Where the time for a text grew with its square, each of these would take hours.
#[test]
fn ten_megabytes_are_read_or_refused() {
    const SIZE: usize = 10 << 20;
    let fill = |part: &str| part.repeat(SIZE / part.len());
    assert_eq!(refused(fill("x")), "syntax nginx.conf:1:1");
    assert_eq!(refused(fill("x ")), "syntax nginx.conf:1:131073");
    assert_eq!(refused(fill("a{")), "syntax nginx.conf:1:513");
    assert_eq!(refused(fill("a{\n")), "syntax nginx.conf:257:1");
    assert_eq!(refused(fill("{")), "syntax nginx.conf:1:1");
    assert_eq!(refused(fill("}")), "syntax nginx.conf:1:1");
    assert_eq!(refused(fill("\"")), "syntax nginx.conf:1:3");
    assert_eq!(refused(fill("\0")), "syntax nginx.conf:1:1");
    assert_eq!(refused(fill("# x")), "syntax nginx.conf:1:1");
    for lua in ["[", "[[", "[=", "[=[ ]==]", "{", "-", "--[[", "'", "]"] {
        assert_eq!(refused(format!("x_by_lua_block {{{}", fill(lua))), "syntax nginx.conf:1:17", "{lua}");
    }
    assert!(read(fill("a b;")).is_ok());
    assert!(read(fill("a b;\n")).is_ok());
    assert!(read(fill("# tracer: intended\n")).is_ok());
    assert!(read(fill("http{}\n").replacen("http{}\nhttp{}", "a{}\nb{}", 1)).is_err());
    assert!(read(format!("http {{ upstream a {{ {} }} }}", fill("server 10.0.0.1:80;"))).is_ok());
    assert!(read(format!("http {{ upstream a {{ server a; {} }} }}", fill("moon on;"))).is_ok());
    assert!(read(format!("http {{ {} }}", fill("proxy_pass $a;"))).is_ok());
    assert!(read(format!("http {{ {} }}", fill("proxy_pass http://10.0.0.1;"))).is_ok());
    let upstreams: String = (0..200_000).fold(String::new(), |mut text, n| {
        write!(text, "upstream a{n} {{ server 10.0.0.1; }} location / {{ proxy_pass http://a{n}; }}")
            .unwrap();
        text
    });
    assert_eq!(read(format!("http {{ {upstreams} }}")).unwrap().pools.pools.len(), 200_000);
}

/// Words and signs that mean something, in any order.
fn soup() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "http",
        "stream",
        "upstream",
        "server",
        "location",
        "map",
        "include",
        "nginx.conf",
        "other.conf",
        "*.conf",
        "proxy_pass",
        "fastcgi_pass",
        "x_pass",
        "hash",
        "random",
        "two",
        "ip_hash",
        "weight=",
        "backup",
        "resolve",
        "service=a",
        "a",
        "10.0.0.1:80",
        "[::1]",
        "unix:/a",
        "http://",
        "$scheme://",
        "$uri",
        "${",
        "a_by_lua_block",
        "[[",
        "]]",
        "--",
        "{",
        "}",
        "{",
        "}",
        ";",
        ";",
        ";",
        " ",
        " ",
        " ",
        "\n",
        "\r\n",
        "\"",
        "'",
        "\\",
        "#",
        "# tracer: intended",
        "0",
        "1",
        "99999999999999999999",
        "=",
        ":",
        "é",
        "\u{0}",
        "\u{feff}",
        "health_check",
        "zone",
        "sticky",
        "state",
        "check",
        "worker_processes",
    ]);
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

/// A role and its parameter.
fn role() -> impl Strategy<Value = (Role, &'static str)> {
    prop::sample::select(vec![
        (Role::Active, ""),
        (Role::Active, ""),
        (Role::Backup, " backup"),
        (Role::Down, " down"),
        (Role::Down, " down backup"),
    ])
}

proptest! {
    #[test]
    fn any_soup_of_words_is_read_or_refused(main in soup(), other in soup()) {
        let mut files = Invented::default().file("nginx.conf", main).file("other.conf", other);
        if let Err(unreadable) = import(Path::new("nginx.conf"), &mut files) {
            prop_assert!(!unreadable.problems.is_empty());
        }
    }

    #[test]
    fn any_soup_inside_an_upstream_is_read_or_refused(inside in soup(), after in soup()) {
        let text = format!("http {{ upstream a {{ server 10.0.0.1; {inside} }} location / {{ {after} }} }}");
        if let Ok(imported) = read(text) {
            prop_assert!(imported.problems.iter().all(|problem| problem.at.line > 0));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(bytes);
    }

    #[test]
    fn what_is_written_is_what_is_read(
        servers in prop::collection::vec((any::<[u8; 4]>(), 1_u16.., 1_u32.., role(), any::<bool>()), 1..20),
    ) {
        let mut text = "http {\nupstream app {\nserver 10.0.0.1;\n".to_owned();
        for (ip, port, weight, (_, role), intended) in &servers {
            let ip = std::net::Ipv4Addr::from(*ip);
            let comment = if *intended { "# tracer: intended" } else { "" };
            writeln!(text, "server {ip}:{port} weight={weight}{role};{comment}").unwrap();
        }
        let imported = read(text + "}\nlocation / { proxy_pass http://app; }\n}").unwrap();
        prop_assert_eq!(imported.problems, []);
        let members = &imported.pools.pools[0].members;
        prop_assert_eq!(members.len(), servers.len() + 1);
        for (at, (member, (ip, port, weight, (role, _), intended))) in members.iter().skip(1).zip(&servers).enumerate() {
            let ip = std::net::Ipv4Addr::from(*ip);
            let ip = if ip.is_unspecified() { std::net::Ipv4Addr::LOCALHOST } else { ip };
            prop_assert_eq!(&member.address, &MemberAddress::Ip((ip, *port).into()));
            prop_assert_eq!(member.weight, f64::from(*weight));
            prop_assert_eq!((member.role, member.vouched), (*role, *intended));
            prop_assert_eq!(member.at.line, at + 4);
        }
    }
}
