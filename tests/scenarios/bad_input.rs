//! What is wrong is refused: with the exit code that says so, and a message that names it.

use crate::support::address::Block;
use crate::support::pools::Pools;
use crate::support::tracer::{Ended, check, tracer};
use crate::support::{require_root, turn};
use std::path::Path;

#[track_caller]
fn refused(arguments: &[&str], code: i32, mentions: &str) -> Ended {
    let ended = tracer(arguments.iter().copied()).spawn().finish();
    ended.exits(code).ensure(ended.stderr.contains(mentions), format!("should mention `{mentions}`"));
    ended.ensure(ended.stdout.is_empty(), "nothing on standard output");
    ended.ensure(!ended.stderr.contains("panicked"), "no panic");
    ended
}

#[test]
fn a_time_that_is_none_is_refused() {
    refused(&["check", "--for", "0s"], 2, "--for");
    refused(&["check", "--for", "-1s"], 2, "-1s");
    refused(&["check", "--for=-1s"], 2, "--for");
    refused(&["check", "--for", "soon"], 2, "--for");
    refused(&["check", "--for", ""], 2, "--for");
    refused(&["check", "--for", "99999999999999999999s"], 2, "--for");
}

#[test]
fn a_port_that_is_none_is_refused() {
    refused(&["check", "--port", "99999"], 2, "--port");
    refused(&["check", "--port", "-1"], 2, "-1");
    refused(&["check", "--port", "http"], 2, "--port");
}

#[test]
fn a_backend_that_is_none_is_refused() {
    for backend in ["10.0.0.0/33", "10.0.0.1:99999", "not-an-address", "", "[::1", "10.0.0.1:"] {
        refused(&["check", "--for", "1s", "--backend", backend], 2, "--backend");
    }
}

#[test]
fn a_namespace_that_is_none_is_refused() {
    refused(&["check", "--for", "1s", "--netns", "/nonexistent/netns"], 2, "/nonexistent/netns");
}

#[test]
fn what_is_not_known_is_refused() {
    refused(&["check", "--no-such-option"], 2, "--no-such-option");
    refused(&["no-such-command"], 2, "no-such-command");
}

/// Each file of `fixtures/pools/invalid` begins with one comment per problem: `# line:column: message`.
#[test]
fn wrong_pools_files_are_refused_with_line_and_column() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pools/invalid");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.ends_with("unresolved.toml") {
            println!("skipped: {}: depends on this machine's resolver", file.display());
            continue;
        }
        let ended = tracer(["check", "--for", "1s", "--pools"]).argument(&file).spawn().finish();
        ended.exits(2).ensure(ended.stdout.is_empty(), "nothing on standard output");
        let text = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&text);
        for problem in text.lines().map_while(|line| line.strip_prefix("# ")) {
            let problem = format!("{}:{problem}", file.display());
            ended.ensure(ended.stderr.contains(&problem), format!("should say `{problem}`"));
            cases += 1;
        }
    }
    assert!(cases > 20, "harness: {cases} problems in the fixtures");
}

#[test]
fn a_pools_file_that_cannot_be_read_is_refused() {
    refused(&["check", "--for", "1s", "--pools", "/nonexistent/pools.toml"], 2, "/nonexistent/pools.toml");
    let directory = Pools::new();
    let directory = directory.directory().to_str().unwrap();
    refused(&["check", "--for", "1s", "--pools", directory], 2, directory);
}

#[test]
fn an_empty_pools_file_is_refused() {
    let pools = Pools::new().text("");
    refused(&["check", "--for", "1s", "--pools", pools.file().to_str().unwrap()], 2, "pools.toml");
}

/// Runs a check under setpriv(1), which takes capabilities away.
#[track_caller]
fn without(privileges: &[&str], names: &[&str]) {
    require_root();
    let block = Block::new();
    let mut wrapper = vec!["setpriv"];
    wrapper.extend(privileges);
    wrapper.push("--");
    let pools = Pools::of([block.backend(1)]);
    // Readable for anybody, as the binary is.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(pools.directory(), open).unwrap();
    let ended = check(1, pools).under(&wrapper).spawn().finish();
    ended.exits(4).ensure(ended.stdout.is_empty(), "nothing on standard output");
    for name in names {
        ended.ensure(ended.stderr.to_uppercase().contains(name), format!("should name {name}"));
    }
}

#[test]
fn without_capabilities_it_says_which_are_missing() {
    without(&["--bounding-set=-all", "--inh-caps=-all"], &["CAP_BPF", "CAP_PERFMON"]);
}

#[test]
fn without_root_it_says_which_capabilities_are_missing() {
    without(&["--reuid=65534", "--regid=65534", "--clear-groups"], &["CAP_BPF", "CAP_PERFMON"]);
}

#[test]
fn with_only_one_of_two_capabilities_it_names_the_other() {
    without(&["--bounding-set=-sys_admin,-bpf", "--inh-caps=-all"], &["CAP_BPF"]);
    without(&["--bounding-set=-sys_admin,-perfmon", "--inh-caps=-all"], &["CAP_PERFMON"]);
}

#[test]
fn a_broken_pipe_is_quiet_success() {
    require_root();
    let (_turn, block) = (turn::traffic(), Block::new());
    // Where exchanges cannot be measured that is said, unless they are not wanted.
    let checks = || check(1, Pools::of([block.backend(1)])).arguments(&["--exchanges", "off"]);
    for tracer in [tracer(["--help"]), tracer(["check", "--help"]), checks()] {
        let (status, stderr) = tracer.run_with_broken_pipe();
        assert_eq!(status.code(), Some(0), "{status}\n{stderr}");
        let noise: Vec<_> = stderr.lines().filter(|line| !line.starts_with("tracing: ")).collect();
        assert!(noise.is_empty(), "{noise:?}");
    }
}
