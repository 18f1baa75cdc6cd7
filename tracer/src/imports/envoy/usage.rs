//! What the rest of a configuration does with the clusters: which are named anywhere, and whether connections are kept.

use super::document::{Field, Node, Value};
use super::values::{Findings, items, within};
use crate::input::Position;
use std::collections::HashSet;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Usage<'a> {
    /// Clusters that are named.
    named: HashSet<&'a str>,
    /// Clusters are named at run time too.
    at_run_time: bool,
    /// Where requests are taken apart from their connections.
    http: Option<Position>,
    /// Where connections are passed on as they come.
    has_tcp: bool,
}

/// Words that stand where a cluster is chosen at run time.
const AT_RUN_TIME: &[&str] = &[
    "cluster_header",
    "clusterHeader",
    "cluster_specifier_plugin",
    "clusterSpecifierPlugin",
    "inline_cluster_specifier_plugin",
    "rds",
    "scoped_routes",
    "scopedRoutes",
    "lds_config",
    "ldsConfig",
    "ads_config",
    "adsConfig",
    "vhds",
];

/// Goes through everything but the clusters themselves; `names` are theirs.
pub(super) fn look<'a>(root: &'a [Field], names: &HashSet<&str>) -> Usage<'a> {
    let mut usage = Usage::default();
    for field in root {
        match &field.value.value {
            Value::Map(resources) if matches!(&*field.name, "static_resources" | "staticResources") => {
                for resource in resources {
                    if &*resource.name == "clusters" {
                        // A cluster may be made of others.
                        let kinds =
                            items(Some(resource)).iter().filter_map(|node| within(node, "cluster_type"));
                        kinds.for_each(|kind| usage.walk(&kind.value, names));
                    } else {
                        usage.field(resource, names);
                    }
                }
            }
            _ => usage.field(field, names),
        }
    }
    usage
}

impl<'a> Usage<'a> {
    fn field(&mut self, field: &'a Field, names: &HashSet<&str>) {
        self.at_run_time |= AT_RUN_TIME.contains(&&*field.name);
        self.walk(&field.value, names);
    }

    /// As deep as a document may be, and over no more values than it may have.
    fn walk(&mut self, node: &'a Node, names: &HashSet<&str>) {
        match &node.value {
            Value::Scalar { text, .. } => {
                if names.contains(&**text) {
                    self.named.insert(text);
                }
                if text.ends_with("http_connection_manager.v3.HttpConnectionManager") {
                    self.http.get_or_insert(node.at);
                }
                self.has_tcp |= text.ends_with("tcp_proxy.v3.TcpProxy");
            }
            Value::List(items) => items.iter().for_each(|item| self.walk(item, names)),
            Value::Map(fields) => fields.iter().for_each(|field| self.field(field, names)),
        }
    }

    /// Says of a pool that nothing names it.
    pub(super) fn tell_unused(&self, name: &str, at: Position, findings: &mut Findings) {
        if !self.at_run_time && !self.named.contains(name) {
            findings.note(
                "unused-cluster",
                at,
                format!("nothing in the configuration names the cluster {name}"),
            );
        }
    }

    /// Says that requests are not spread as connections are.
    pub(super) fn tell_reused(&self, findings: &mut Findings) {
        let at = match self.http {
            Some(at) => at,
            None if !self.has_tcp => Position { line: 0, column: 0 },
            None => return,
        };
        let message = "Envoy sends many requests over each connection that it opens: new connections show who was chosen \
                       only where they are few, look at exchanges too";
        findings.note("reused-connections", at, message);
    }
}
