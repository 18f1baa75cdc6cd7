use super::*;
use crate::input::Place;
use crate::outputs::audit_json;
use crate::pools::{Backups, Method, WrittenPools, parse_address};

const TEXT: &str =
    "upstream app {\n    server 10.0.0.1:80 weight=5;\n\tserver 10.0.0.2:80 weight=50; # \u{1b}[31m\n}\n";

fn report() -> AuditReport {
    let place = |line, column| Place { file: "/etc/app.conf".into(), line, column };
    let member = |number: usize, weight| {
        let address = parse_address(&format!("10.0.0.{number}:80")).unwrap();
        WrittenMember::new(address, weight, place(number + 1, 5))
    };
    let pool = WrittenPool {
        name: "app".into(),
        balancer: Some("nginx".into()),
        method: Method::RoundRobin,
        at: place(1, 1),
        members: vec![
            member(1, 5.0),
            member(2, 50.0),
            WrittenMember { role: Role::Backup, max_connections: Some(9), ..member(3, 1.0) },
        ],
        backups: Backups::All,
        health_check_interval: None,
        vouched: false,
        doubt: None,
    };
    let file = SourceFile { path: "/etc/app.conf".into(), bytes: TEXT.as_bytes().into() };
    AuditReport {
        origins: vec![AuditedOrigin {
            kind: "nginx",
            named: vec!["/etc/nginx.conf".into()],
            pid: None,
            files: vec![file],
            pools: WrittenPools { pools: vec![pool] },
            readable: true,
        }],
        problems: vec![
            Problem::warning("weight-out-of-line", place(3, 2), "10.0.0.2:80 has weight 50")
                .hint("correct it"),
            Problem::note(
                "elsewhere",
                Place { file: "gone.conf".into(), line: 7, column: 1 },
                "is not there",
            ),
        ],
        names: None,
    }
}

#[test]
fn a_person_sees_pools_and_problems_as_a_compiler_shows_them() {
    let expected = "\
nginx /etc/nginx.conf: 1 pool in 1 file

app  round-robin  /etc/app.conf:1
  10.0.0.1:80   weight 5   9.1 %
  10.0.0.2:80  weight 50  90.9 %
  10.0.0.3:80   weight 1   0.0 %  backup, at most 9 connections

warning[weight-out-of-line]: 10.0.0.2:80 has weight 50
 --> /etc/app.conf:3:2
  |
3 |     server 10.0.0.2:80 weight=50; # \\u{1b}[31m
  |     ^^^^^^
  |
  = help: correct it

note[elsewhere]: is not there
--> gone.conf:7:1

0 errors, 1 warning, 1 note
";
    assert_eq!(render(&report(), Reader::Other), expected);
    assert!(!render(&report(), Reader::Other).contains('\u{1b}'));
}

#[test]
fn lines_of_files_that_were_found_stay_on_the_terminal() {
    let mut report = report();
    report.origins[0].pid = Some(7);
    let lines = |reader| render(&report, reader).matches("server 10.0.0.2:80 weight=50;").count();
    assert_eq!((lines(Reader::Other), lines(Reader::Terminal { colours: false })), (0, 1));
    assert!(render(&report, Reader::Other).contains("--> /etc/app.conf:3:2"), "the place is");
}

#[test]
fn programs_get_the_same() {
    let value: serde_json::Value = serde_json::from_str(&audit_json(&report()).unwrap()).unwrap();
    assert_eq!(value["schema"], "tracer.audit/1");
    assert_eq!((&value["errors"], &value["warnings"], &value["notes"]), (&0.into(), &1.into(), &1.into()));
    let members = &value["configurations"][0]["pools"][0]["members"];
    assert_eq!(members[1]["weight"], 50.0);
    assert_eq!(members[2]["role"], "backup");
    assert_eq!(members[2]["expected_share"], 0.0);
    assert_eq!(members[0]["resolved"], serde_json::Value::Null);
    let problem = &value["problems"][0];
    assert_eq!((&problem["line"], &problem["hint"]), (&3.into(), &"correct it".into()));
    assert!(!value.to_string().contains("server 10"), "lines of the file stay on the terminal");
}

#[test]
fn shares_that_are_not_known_are_not_shown_as_zero() {
    let mut report = report();
    report.origins[0].pools.pools[0].doubt = Some("the name does not resolve".into());
    assert!(render(&report, Reader::Other).contains("weight 5  ?"));
    let value: serde_json::Value = serde_json::from_str(&audit_json(&report).unwrap()).unwrap();
    let members = &value["configurations"][0]["pools"][0]["members"];
    assert_eq!(members[0]["expected_share"], serde_json::Value::Null);
}

#[test]
fn a_line_without_end_is_cut_and_what_is_far_out_is_only_named() {
    let far = format!("{}server 10.0.0.1:80;", " a".repeat(5_000));
    assert_eq!(excerpt(far.as_bytes(), 10_001), None);
    let near = format!("server 10.0.0.1:80;{}", " b".repeat(5_000));
    let (shown, span) = excerpt(near.as_bytes(), 8).unwrap();
    assert_eq!((&shown[span], shown.chars().count()), ("10.0.0.1:80", MOST_COLUMNS));
    for (line, column) in [("", 0), ("", 9), ("ä", 1), ("ä", 2), ("\u{202e}x", 1), ("   ", 2), ("word", 0)]
    {
        if let Some((shown, span)) = excerpt(line.as_bytes(), column) {
            assert!(shown.get(span).is_some(), "{line:?} {column}");
        }
    }
}
