//! What is run in a guest, built here.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::steps::LEFT_OUT;
use crate::{command::capture, machine::Machine};

/// Tests and product, as cargo built them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// The product.
    pub(crate) tracer: PathBuf,
    /// The library's unit tests.
    pub(crate) unit_tests: PathBuf,
    /// The end-to-end tests.
    pub(crate) end_to_end: PathBuf,
    /// The clients that these start.
    pub(crate) clients: [PathBuf; 3],
}

/// Builds as `cargo test --release` does; done already when that ran before.
pub(crate) fn build(machine: &Machine) -> Result<Built> {
    let mut cargo = machine.command("cargo");
    cargo.args(["test", "--workspace", "--release", "--no-run", "--message-format=json-render-diagnostics"]);
    let built = Built::read(&capture(cargo.stdin(Stdio::null()))?)?;
    let tests = capture(machine.command(&built.end_to_end.to_string_lossy()).arg("--list"))?;
    for (left_out, _reason) in LEFT_OUT {
        if !tests.lines().filter_map(|line| line.strip_suffix(": test")).any(|test| is_of(left_out, test)) {
            bail!("{left_out}, which guests leave out, is no end-to-end test; take it out of LEFT_OUT");
        }
    }
    Ok(built)
}

/// Whether a test is what an entry of [`LEFT_OUT`] names, or is in it.
fn is_of(left_out: &str, test: &str) -> bool {
    if left_out.ends_with("::") { test.starts_with(left_out) } else { test == left_out }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Built {
    /// From cargo's messages, a JSON object a line.
    fn read(messages: &str) -> Result<Self> {
        let mut found = Vec::new();
        for line in messages.lines() {
            let message: Message =
                serde_json::from_str(line).with_context(|| format!("cargo said {line:?}"))?;
            if let ("compiler-artifact", Some(target), Some(profile), Some(executable)) =
                (message.reason.as_str(), message.target, message.profile, message.executable)
            {
                found.push((target, profile.test, executable));
            }
        }
        let find = |name: &str, kind: &str, test: bool| -> Result<PathBuf> {
            let fits = |target: &Target| target.name == name && target.kind.iter().any(|other| other == kind);
            let executable = found.iter().find(|(target, is_test, _)| fits(target) && *is_test == test);
            executable
                .map(|(_, _, executable): &(_, _, PathBuf)| executable.clone())
                .with_context(|| format!("cargo did not build the {kind} {name}"))
        };
        Ok(Self {
            tracer: find("tracer", "bin", false)?,
            unit_tests: find("tracer", "lib", true)?,
            end_to_end: find("end_to_end", "test", true)?,
            clients: [
                find("socket_client", "example", false)?,
                find("crowd", "example", false)?,
                find("other_layout", "example", false)?,
            ],
        })
    }

    /// Every file of it.
    pub(crate) fn files(&self) -> [&Path; 6] {
        let [socket_client, crowd, other_layout] = &self.clients;
        [&self.tracer, &self.unit_tests, &self.end_to_end, socket_client, crowd, other_layout]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(name: &str, kind: &str, test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"{name}","test":true}},"profile":{{"test":{test}}},"executable":{executable}}}"#
        )
    }

    #[test]
    fn a_test_is_left_out_by_its_name_or_with_its_scenario() {
        assert!(is_of("scenarios::page::", "scenarios::page::hostile_names_are_text_on_the_page"));
        assert!(is_of("scenarios::page::one", "scenarios::page::one"));
        assert!(!is_of("scenarios::page::one", "scenarios::page::one_and_another"));
        assert!(!is_of("scenarios::page::", "scenarios::pages::one"));
    }

    #[test]
    fn the_binaries_are_those_that_cargo_names() {
        let mut messages = vec![
            r#"{"reason":"build-script-executed","package_id":"x"}"#.to_owned(),
            artifact("tracer", "lib", false, "null"),
            artifact("tracer", "lib", true, r#""/t/unit""#),
            artifact("tracer", "bin", true, r#""/t/bin-test""#),
            artifact("tracer", "bin", false, r#""/t/tracer""#),
            artifact("end_to_end", "test", true, r#""/t/e2e""#),
            artifact("socket_client", "example", false, r#""/t/examples/socket_client""#),
            artifact("crowd", "example", false, r#""/t/examples/crowd""#),
            artifact("other_layout", "example", false, r#""/t/examples/other_layout""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let built = Built::read(&messages.join("\n")).unwrap();
        assert_eq!(
            built.files(),
            [
                "/t/tracer",
                "/t/unit",
                "/t/e2e",
                "/t/examples/socket_client",
                "/t/examples/crowd",
                "/t/examples/other_layout"
            ]
            .map(Path::new)
        );
        messages.remove(6);
        let missing = Built::read(&messages.join("\n")).unwrap_err().to_string();
        assert_eq!(missing, "cargo did not build the example socket_client");
    }
}
