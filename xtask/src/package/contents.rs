//! What is in the package and made for it: manual pages, completions, the configuration, the changelog.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::program;
use crate::{command::capture, machine::Machine};

/// Keys that the package sets, in a configuration that is all comments otherwise: a service that watched nothing, kept nothing,
/// told nobody and missed what happens while it is upgraded would be of no use.
const SET: [(&str, &str); 4] = [
    ("auto", "true"),
    ("listen", "\"9477\""),
    ("history", "\"/var/lib/tracer/history.db\""),
    ("pin", "true"),
];

/// Writes all of it to where `package.metadata.deb` looks for it.
pub(super) fn make(machine: &Machine, version: &str) -> Result<()> {
    let folder = machine.below_target("release/package")?;
    let man = machine.below_target("release/package/man")?;
    let tracer = |arguments: &[&str]| capture(machine.command(&program(machine)).args(arguments));
    let first = tracer(&["man"])?;
    let page = |name: String, text: &str| compressed(machine, &man.join(name), text);
    page("tracer.1".into(), &first)?;
    for command in commands(&first)? {
        page(format!("tracer-{command}.1"), &tracer(&["man", &command])?)?;
    }
    for shell in ["bash", "zsh", "fish"] {
        super::write(&folder.join(format!("tracer.{shell}")), &tracer(&["completions", shell])?)?;
    }
    let defaults = machine.workspace.join("tracer/dist/tracer.toml");
    let defaults =
        std::fs::read_to_string(&defaults).with_context(|| format!("cannot read {}", defaults.display()))?;
    super::write(&folder.join("tracer.toml"), &configuration(&defaults)?)?;
    let date = capture(machine.command("git").args(["log", "-1", "--format=%cD"]))?;
    compressed(machine, &folder.join("changelog"), &changelog(version, date.trim()))
}

/// Writes `FILE.gz`, as Debian wants manual pages: the same bytes for the same text.
fn compressed(machine: &Machine, file: &Path, text: &str) -> Result<()> {
    super::write(file, text)?;
    let gzip = machine.command("gzip").args(["--best", "--no-name", "--force"]).arg(file).status();
    let status = gzip.context("cannot start gzip")?;
    ensure!(status.success(), "gzip cannot compress {} ({status})", file.display());
    Ok(())
}

/// The commands that the page of tracer itself refers to: `tracer\-check(1)`.
fn commands(page: &str) -> Result<Vec<String>> {
    let names = page.lines().filter_map(|line| line.strip_prefix("tracer\\-")?.strip_suffix("(1)"));
    let names: Vec<String> = names.map(str::to_owned).collect();
    ensure!(!names.is_empty(), "the manual page of tracer names no command");
    Ok(names)
}

/// The default configuration with [`SET`].
fn configuration(defaults: &str) -> Result<String> {
    let mut text = defaults.to_owned();
    for (key, value) in SET {
        let line = defaults.lines().find(|line| line.starts_with(&format!("#{key} = ")));
        let line = line.with_context(|| format!("tracer.toml has no key `{key}`"))?;
        text = text.replacen(&format!("\n{line}\n"), &format!("\n{key} = {value}\n"), 1);
    }
    ensure!(
        SET.iter().all(|(key, value)| text.contains(&format!("\n{key} = {value}\n"))),
        "a key is not set"
    );
    Ok(text)
}

fn changelog(version: &str, date: &str) -> String {
    format!(
        "tracer ({version}) unstable; urgency=medium\n\n  * What changed: CHANGELOG.md, beside this file.\n\n -- tracer maintainers <maintainers@tracer.example.org>  {date}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_configuration_says_what_it_said_and_sets_four_keys() {
        let defaults = include_str!("../../../tracer/dist/tracer.toml");
        let text = configuration(defaults).unwrap();
        assert_eq!(text.lines().count(), defaults.lines().count());
        let set: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let own =
            ["auto = true", "listen = \"9477\"", "history = \"/var/lib/tracer/history.db\"", "pin = true"];
        assert_eq!(BTreeSet::from_iter(set), BTreeSet::from(own));
        assert!(configuration("#auto = false\n").is_err(), "a key that is missing is named");
    }

    #[test]
    fn the_commands_are_those_that_the_page_names() {
        let page = ".SH SUBCOMMANDS\n.TP\ntracer\\-top(1)\nOne screen\n.TP\ntracer\\-check(1)\nWatch\n";
        assert_eq!(commands(page).unwrap(), ["top", "check"]);
        assert!(commands(".TH tracer 1\n").is_err());
    }
}
