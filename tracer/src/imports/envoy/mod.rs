//! Envoy: static clusters of its bootstrap configuration.
//!
//! What is expected was held against Envoy 1.40 and the API v3: what it refuses and what it takes, the spread over
//! priorities, localities and weights. Nothing in the environment changes the file. Envoy reads JSON and YAML alike but for
//! what the latter allows on top, and so does this importer; see [`document`] for the parser.

mod cluster;
mod directives;
mod document;
mod endpoints;
mod policy;
mod spread;
mod usage;
mod values;

#[cfg(test)]
mod tests;

pub use directives::DIRECTIVES;

use super::{Imported, Problem, Reading, Severity, Surroundings, Unreadable};
use crate::input::{Place, Position};
use crate::pools::WrittenPools;
use cluster::Around;
use document::{Document, Field, Node};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use values::{Findings, field, items};

/// Reads Envoy's bootstrap configuration, YAML or JSON.
///
/// # Errors
/// When Envoy would refuse it.
pub fn import(bootstrap: &Path, surroundings: &mut dyn Surroundings) -> Result<Imported, Unreadable> {
    let mut reading = Reading::new(surroundings);
    let (pools, problems) = read(bootstrap, &mut reading);
    let Reading { files, directories, missing, .. } = reading;
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Unreadable { problems, files, directories, missing });
    }
    Ok(Imported { pools, problems, files, directories, missing, runtime: None })
}

fn read(bootstrap: &Path, reading: &mut Reading<'_>) -> (WrittenPools, Vec<Problem>) {
    let whole = Place::of_file(&bootstrap.display().to_string());
    let bytes = match reading.read(bootstrap) {
        Ok(bytes) => bytes,
        Err(message) => return (WrittenPools::default(), vec![Problem::error("unreadable", whole, message)]),
    };
    match document::parse(&bytes) {
        Ok(document) => pools(document, &whole),
        Err(refusal) => {
            let place = Place { line: refusal.at.line, column: refusal.at.column, ..whole };
            (WrittenPools::default(), vec![Problem::error(refusal.code, place, refusal.message)])
        }
    }
}

fn pools(document: Document, whole: &Place) -> (WrittenPools, Vec<Problem>) {
    let Document { root, vouched, doubled, second } = document;
    let mut findings = Findings::new(whole.file.clone(), vouched);
    for at in doubled {
        let problem =
            Problem::warning("duplicate-field", findings.place(at), "this field is there again further down");
        findings.add(problem.hint("keep one: Envoy takes the last"));
    }
    if let Some(at) = second {
        let problem = Problem::warning(
            "second-document",
            findings.place(at),
            "Envoy does not read what comes from here on",
        );
        findings.add(problem.hint("keep one document in the file"));
    }
    let mut pools = WrittenPools::default();
    if matches!(root.value, document::Value::Map(_)) {
        let fields = findings.message(&root, "bootstrap", "bootstrap");
        clusters(fields, &mut pools, &mut findings);
    } else {
        findings.error(
            "wrong-type",
            root.at,
            "the configuration is no mapping: name Envoy's bootstrap configuration",
        );
    }
    (pools, findings.finish())
}

fn clusters(bootstrap: &[Field], pools: &mut WrittenPools, findings: &mut Findings) {
    let resources = field(bootstrap, "static_resources");
    let resources =
        resources.map(|field| findings.message(&field.value, "static_resources", "static_resources"));
    let clusters = items(field(resources.unwrap_or_default(), "clusters"));
    let named = names(clusters, findings);
    let usage = usage::look(bootstrap, &named.iter().map(|(_, name, _)| &**name).collect());
    let around = Around { has_local_cluster: has_local_cluster(bootstrap, findings) };
    for (node, name, at) in &named {
        if let Some(pool) = cluster::read(node, (name, *at), around, findings) {
            pools.pools.push(pool);
            usage.tell_unused(name, *at, findings);
        }
    }
    if !pools.pools.is_empty() {
        usage.tell_reused(findings);
    }
}

/// The clusters with their names, which are unlike each other.
fn names<'a>(clusters: &'a [Rc<Node>], findings: &mut Findings) -> Vec<(&'a Node, Cow<'a, str>, Position)> {
    let mut lines = HashMap::new();
    let mut named = Vec::new();
    for node in clusters {
        let Some((name, at)) = cluster::name(node, findings) else { continue };
        if let Some(line) = lines.get(&name) {
            let message = format!(
                "the cluster {name} is there already, in line {line}, and Envoy refuses that: rename one"
            );
            findings.error("duplicate-cluster", at, message);
        } else {
            lines.insert(name.clone(), at.line);
            named.push((&**node, name, at));
        }
    }
    named
}

fn has_local_cluster(bootstrap: &[Field], findings: &mut Findings) -> bool {
    let Some(manager) = field(bootstrap, "cluster_manager") else { return false };
    let fields = findings.map(&manager.value, "cluster_manager");
    field(fields, "local_cluster_name").is_some()
}
