//! The importer as a whole, on fixtures and on texts that are wrong.

use super::*;
use crate::imports::fixtures::{compare, compare_table};
use crate::imports::reading::tests::Invented;
use crate::imports::{MOST_PROBLEMS, Severity};
use std::path::PathBuf;

fn main_file(case: &Path) -> PathBuf {
    let json = case.join("envoy.json");
    if json.exists() { json } else { case.join("envoy.yaml") }
}

#[test]
fn every_fixture_gives_the_pools_and_problems_that_are_written_beside_it() {
    compare("envoy", |case| import(&main_file(case), &mut crate::imports::HostSurroundings));
}

#[test]
fn the_table_is_the_page_and_every_field_in_it_stands_in_its_fixture() {
    compare_table("envoy", DIRECTIVES);
}

fn imported(text: impl Into<Vec<u8>>) -> Result<Imported, Unreadable> {
    import(Path::new("envoy.yaml"), &mut Invented::default().file("envoy.yaml", text))
}

fn errors(found: Result<Imported, Unreadable>) -> Vec<String> {
    let problems = found.expect_err("refused").problems;
    problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect()
}

/// A configuration with one cluster of so many endpoints.
fn large(endpoints: usize) -> String {
    let mut text = String::from(
        "static_resources:\n  clusters:\n  - name: app\n    load_assignment:\n      cluster_name: app\n      \
         endpoints:\n      - lb_endpoints:\n",
    );
    for number in 0..endpoints {
        let (high, low) = (number / 250, number % 250 + 1);
        text += &format!(
            "        - endpoint: {{address: {{socket_address: {{address: 10.1.{high}.{low}, port_value: 8080}}}}}}\n"
        );
    }
    text
}

#[test]
fn a_file_that_is_not_there_is_an_error_of_the_file() {
    let found = import(Path::new("envoy.yaml"), &mut Invented::default());
    assert_eq!(errors(found), ["envoy.yaml: no such file: check the path"]);
}

#[test]
fn every_endpoint_of_a_large_configuration_is_a_member() {
    let found = imported(large(10_000)).unwrap();
    assert_eq!(found.pools.pools[0].members.len(), 10_000);
    assert_eq!(found.pools.pools[0].members[9_999].at.line, 10_007);
}

#[test]
fn more_values_than_any_configuration_has_are_refused_however_they_are_written() {
    for text in [
        format!("[{}]", "a,".repeat(2_000_000)),
        format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(2_000), "*a,".repeat(2_000)),
    ] {
        let found = errors(imported(text));
        assert!(found.len() == 1 && found[0].contains("more than 1000000 values"), "{found:?}");
    }
}

#[test]
fn lists_in_lists_are_refused_where_they_are_too_many_however_they_are_written() {
    let aliases: String = (1..200).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    for text in ["[".repeat(1_000_000), "- ".repeat(1_000_000), format!("a0: &a0 []\n{aliases}")] {
        let found = errors(imported(text));
        assert!(found.len() == 1 && found[0].contains("more than 128 lists and mappings"), "{found:?}");
    }
}

#[test]
fn no_error_is_lost_among_more_problems_than_are_kept() {
    let unknown: String = (0..5_000).map(|n| format!("    x{n}: 1\n")).collect();
    let text = format!("static_resources:\n  clusters:\n  - name: app\n{unknown}    lb_policy: none\n");
    let found = imported(text).unwrap_err().problems;
    assert_eq!(found.len(), MOST_PROBLEMS + 1);
    assert!(found[MOST_PROBLEMS].message.contains("more problems"));
    let errors = found.iter().filter(|problem| problem.severity == Severity::Error);
    assert!(errors.count() >= 1, "the balancing method");
}

#[test]
fn a_name_in_json_form_is_the_same_field_and_no_other_form_is() {
    for (written, is_known) in [
        ("lb_policy", true),
        ("lbPolicy", true),
        ("lbpolicy", false),
        ("lb_Policy", false),
        ("LbPolicy", false),
        ("lb_policy_", false),
        ("lb", false),
    ] {
        let text = format!("static_resources: {{clusters: [{{name: app, {written}: RANDOM}}]}}\n");
        let problems = imported(text).unwrap().problems;
        assert_eq!(
            !problems.iter().any(|problem| problem.code == "unknown-directive"),
            is_known,
            "{written}"
        );
    }
}

#[test]
fn values_of_the_file_do_not_get_into_messages() {
    let text = "static_resources:\n  clusters:\n  - name: app\n    secret1: x\n    lb_policy: secret2\n    type: [secret3]\n    \
                load_assignment: {cluster_name: secret4, endpoints: [secret5, {priority: secret6, lb_endpoints: \
                [{endpoint: {address: {socket_address: {address: secret7, port_value: secret8}}}}]}]}\n";
    for text in [text.to_owned(), format!("{text}secret9: *secret10\n"), "secret11: 'secret12\n".into()] {
        for problem in imported(text).expect_err("refused").problems {
            assert!(!problem.to_string().contains("secret"), "{problem}");
        }
    }
}
