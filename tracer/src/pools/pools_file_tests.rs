use super::*;
use crate::pools::{Answers, DeclaredPool, Names, Resolved};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/pools");

/// The names of the fixtures, without a network.
fn names() -> Names {
    let answer = |addresses: &[&str]| Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect());
    let mut names = Names::default();
    names.take(Answers::from([
        ("app.example".into(), answer(&["10.0.1.2", "10.0.1.1", "10.0.1.2"])),
        ("six.example".into(), answer(&["2001:db8::1", "10.0.1.1"])),
        ("empty.example".into(), Err("has no address".into())),
        ("gone.example".into(), Err("does not resolve: name or service not known".into())),
    ]));
    names
}

fn load(name: &str, bytes: &[u8]) -> Result<Vec<DeclaredPool>, Vec<String>> {
    let written = parse_pools_file(name, bytes);
    let written = written.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let Resolved { pools, problems } = written.resolve(&names(), true);
    let line = |(place, problem): &(Place, String)| format!("{place}: {problem}");
    if problems.is_empty() { Ok(pools) } else { Err(problems.iter().map(line).collect()) }
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(FIXTURES).join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() > 3, "no fixtures in {folder}");
    files
}

fn render(pools: &[DeclaredPool]) -> String {
    let mut text = String::new();
    for pool in pools {
        let balancer = pool.balancer.as_deref().unwrap_or("-");
        write!(text, "{:?} {balancer:?} {:?} {}", pool.name, pool.method, pool.source).unwrap();
        if let Some(interval) = pool.health_check_interval {
            write!(text, " checks every {interval:?}").unwrap();
        }
        text.push('\n');
        for (member, share) in pool.members.iter().zip(pool.shares()) {
            writeln!(text, "  {} weight {} share {share:.4}", member.backend, member.weight).unwrap();
        }
    }
    text
}

/// Each file of `valid` against its `.expected`; with `UPDATE_FIXTURES` set that is written instead.
#[test]
fn valid_files_give_the_expected_pools() {
    for path in cases("valid") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let pools = load(name, &fs::read(&path).unwrap()).unwrap_or_else(|problems| panic!("{problems:?}"));
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&expected, render(&pools)).unwrap();
        }
        assert_eq!(render(&pools), fs::read_to_string(&expected).unwrap(), "{name}");
    }
}

/// Each file of `invalid` starts with one comment per problem: `# line:column: message`.
#[test]
fn invalid_files_are_refused_where_they_say() {
    for path in cases("invalid") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let expected: Vec<String> = text
            .lines()
            .map_while(|line| line.strip_prefix("# "))
            .map(|problem| format!("{name}:{problem}"))
            .collect();
        let problems = load(name, &bytes).expect_err(name);
        assert_eq!(problems, expected, "{name}");
    }
}

#[test]
fn an_empty_file_is_refused() {
    let problems = load("pools.toml", b"").unwrap_err();
    assert_eq!(problems[0], "pools.toml:1:1: declares no pool: add [[pool]] with a name and members");
}

#[test]
fn durations_are_read() {
    for (text, milliseconds) in
        [("2s", 2_000), ("1.5s", 1_500), ("500ms", 500), ("1m", 60_000), ("60m", 3_600_000)]
    {
        assert_eq!(parse_interval(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
    }
    for text in
        ["", "2", "s", "-1s", "0s", "1e3s", "nans", "2 s", "2h", "61m", "1..2s", "9999999999999999999999m"]
    {
        assert!(parse_interval(text).is_err(), "{text}");
    }
}

#[test]
fn host_names_are_told_from_addresses() {
    let with = |address: &str| {
        let text = format!("[[pool]]\nname = \"p\"\nmembers = [{{ address = \"{address}\" }}]");
        parse_pools_file("f", text.as_bytes()).unwrap().host_names().len()
    };
    assert_eq!(with("localhost:80"), 1);
    assert_eq!(with("127.0.0.1:80"), 0);
}

/// Neither is quadratic in the length of a line or the number of members.
#[test]
fn a_large_file_is_read_in_one_line_too() {
    for separator in ["", "\n"] {
        let mut text = String::from("[[pool]]\nname = \"p\"\nmembers = [");
        for number in 0..40_000_u32 {
            let [_, _, high, low] = number.to_be_bytes();
            write!(text, "{{ address = \"10.1.{high}.{low}:80\" }},{separator}").unwrap();
        }
        text.push(']');
        assert_eq!(load("f", text.as_bytes()).unwrap()[0].members.len(), 40_000);
    }
}

#[test]
fn what_editors_of_other_systems_leave_is_no_problem() {
    let text = "\u{feff}[[pool]]\r\nname = \"p\"\r\nmembers = [{ address = \"10.0.0.1:80\" }]\r\n";
    assert_eq!(load("f", text.as_bytes()).unwrap()[0].source, "f:1");
    let problems = load("f", text.replace(":80", "").as_bytes()).unwrap_err();
    assert!(problems[0].starts_with("f:3:24: "), "{problems:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load("f", &bytes);
    }

    #[test]
    fn no_text_of_the_grammar_makes_the_parser_panic(
        text in "(\\[\\[pool\\]\\]|name|members|weight|address| = |\"[^\"]{0,6}\"|\\[\\{|\\}\\]|nan|-1|[0-9.]{1,5}|,|\n){0,30}"
    ) {
        if let Err(problems) = parse_pools_file("f", text.as_bytes()) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| problem.line > 0 && problem.column > 0));
        }
    }

    #[test]
    fn shares_sum_to_one(weights in proptest::collection::vec((0.0..=65_535.0_f64, any::<bool>()), 1..40)) {
        let mut members = String::new();
        for (index, (weight, drain)) in weights.iter().enumerate() {
            write!(members, "{{ address = \"10.0.0.{index}:80\", weight = {weight:?}, drain = {drain} }},").unwrap();
        }
        let text = format!("[[pool]]\nname = \"p\"\nmembers = [{members}]");
        if let Ok(pools) = load("f", text.as_bytes()) {
            let sum: f64 = pools[0].shares().iter().sum();
            let drained = weights.iter().all(|(weight, drain)| *drain || *weight == 0.0);
            prop_assert!((sum - if drained { 0.0 } else { 1.0 }).abs() < 1e-9, "{}", sum);
        } else {
            prop_assert!(weights.iter().all(|(weight, _)| *weight == 0.0));
        }
    }
}
