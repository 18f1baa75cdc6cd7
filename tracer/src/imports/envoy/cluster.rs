//! A cluster as a pool.

use super::document::{Field, Node, Value};
use super::endpoints::{self, Check, Discovery, Endpoint, Locality};
use super::policy::{self, Policy};
use super::spread::{Rules, spread};
use super::values::{Findings, field, items, type_url, within};
use crate::imports::Problem;
use crate::input::Position;
use crate::pools::{Backups, Family, MemberAddress, Role, Uses, WrittenMember, WrittenPool};
use std::borrow::Cow;
use std::time::Duration;

const EDS: Discovery = Discovery::Elsewhere("its endpoints come from a management server");
const ORIGINAL_DST: Discovery = Discovery::Elsewhere("its endpoints are where clients meant to connect to");

const TYPES: &[(&str, i64, Discovery)] = &[
    ("STATIC", 0, Discovery::Static),
    ("STRICT_DNS", 1, Discovery::Dns(Uses::Every, Family::V6First)),
    ("LOGICAL_DNS", 2, Discovery::Dns(Uses::One, Family::V6First)),
    ("EDS", 3, EDS),
    ("ORIGINAL_DST", 4, ORIGINAL_DST),
];

/// The names of `cluster_type` that stand for a `type`.
const NAMED_TYPES: &[(&str, Discovery)] = &[
    ("envoy.cluster.static", Discovery::Static),
    ("envoy.cluster.strict_dns", Discovery::Dns(Uses::Every, Family::V6First)),
    ("envoy.cluster.logical_dns", Discovery::Dns(Uses::One, Family::V6First)),
    ("envoy.cluster.eds", EDS),
    ("envoy.cluster.original_dst", ORIGINAL_DST),
];

const FAMILIES: &[(&str, i64, Family)] = &[
    ("AUTO", 0, Family::V6First),
    ("V4_ONLY", 1, Family::V4),
    ("V6_ONLY", 2, Family::V6),
    ("V4_PREFERRED", 3, Family::V4First),
    ("ALL", 4, Family::Any),
];

const DNS_CLUSTER: &str = "envoy.extensions.clusters.dns.v3.DnsCluster";

/// What is known beside the cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    /// Envoy knows a cluster that it is in itself, and so its zone.
    pub(super) has_local_cluster: bool,
}

/// A cluster's name, and where it stands.
pub(super) fn name<'a>(node: &'a Node, findings: &mut Findings) -> Option<(Cow<'a, str>, Position)> {
    let fields = findings.map(node, "clusters");
    let found = field(fields, "name");
    let Some(name) = found else {
        findings.error("incomplete", node.at, "this cluster has no `name`: write one");
        return None;
    };
    let text = findings.text(&name.value, "name")?;
    if text.is_empty() {
        findings.error("incomplete", name.value.at, "the `name` of this cluster is empty: write one");
        return None;
    }
    Some((text, name.value.at))
}

/// Reads a cluster; nothing where it has no endpoints that are written.
pub(super) fn read(
    node: &Node,
    (name, at): (&str, Position),
    around: Around,
    findings: &mut Findings,
) -> Option<WrittenPool> {
    let fields = findings.message(node, "clusters", "cluster");
    let discovery = discovery(fields, findings);
    if let Discovery::Elsewhere(why) = discovery {
        findings.note("no-pool", at, format!("the cluster {name} makes no pool: {why}"));
        return None;
    }
    let common = field(fields, "common_lb_config");
    let common = common.map(|field| findings.message(&field.value, "common_lb_config", "common_lb_config"));
    let common = common.unwrap_or_default();
    let policy = policy::read(fields, common, findings);
    let mut rules = Rules::of(&policy);
    panic_threshold(common, &mut rules, findings);
    let load_assignment = field(fields, "load_assignment");
    let localities =
        load_assignment.map(|field| endpoints::read(&field.value, discovery, &mut rules, findings));
    let localities = localities.unwrap_or_default();
    let endpoints: usize = localities.iter().map(|locality| locality.endpoints.len()).sum();
    if matches!(discovery, Discovery::Dns(Uses::One, _)) && listed(load_assignment) != 1 {
        let message = "a LOGICAL_DNS cluster has exactly one endpoint: write one, or `type: STRICT_DNS`";
        findings.error("logical-dns", at, message);
    }
    if endpoints == 0 {
        let place = findings.place(at);
        let message = format!("the cluster {name} has no endpoint that can be followed, and makes no pool");
        findings.add(Problem::note("no-pool", place, message));
        return None;
    }
    let check_interval = health_checks(fields, &localities, findings);
    weights_without_effect(name, &localities, &policy, &rules, findings);
    let mut doubt = policy.doubt.clone();
    if around.has_local_cluster && policy.by_zone && !rules.by_locality && zones(&localities) > 1 {
        let why = "endpoints in Envoy's own zone come first";
        findings.note(
            "not-foreseen",
            at,
            format!("what a member of {name} gets cannot be known from here: {why}"),
        );
        doubt.get_or_insert_with(|| why.to_owned());
    }
    Some(WrittenPool {
        name: name.to_owned(),
        balancer: Some("envoy".to_owned()),
        method: policy.method,
        at: findings.place(at),
        members: members(name, at, fields, &localities, discovery, &rules, findings),
        backups: Backups::All,
        health_check_interval: check_interval,
        vouched: findings.is_vouched(at),
        doubt,
    })
}

/// How many endpoints a load assignment lists, whether they can be followed or not.
fn listed(load_assignment: Option<&Field>) -> usize {
    let localities = items(load_assignment.and_then(|field| within(&field.value, "endpoints")));
    localities.iter().map(|locality| items(within(locality, "lb_endpoints")).len()).sum()
}

fn discovery(fields: &[Field], findings: &mut Findings) -> Discovery {
    if let Some(custom) = field(fields, "cluster_type") {
        return custom_type(&custom.value, fields, findings);
    }
    let written = field(fields, "type");
    let found = written.and_then(|field| findings.word(&field.value, "type", TYPES));
    looked_up(found.unwrap_or(Discovery::Static), fields, findings)
}

/// With the kinds of addresses that are looked up.
fn looked_up(discovery: Discovery, fields: &[Field], findings: &mut Findings) -> Discovery {
    let Discovery::Dns(uses, default) = discovery else { return discovery };
    let written = field(fields, "dns_lookup_family");
    let family = written.and_then(|field| findings.word(&field.value, "dns_lookup_family", FAMILIES));
    Discovery::Dns(uses, family.unwrap_or(default))
}

fn custom_type(node: &Node, cluster: &[Field], findings: &mut Findings) -> Discovery {
    let fields = findings.message(node, "cluster_type", "cluster_type");
    let config = field(fields, "typed_config");
    let url = config.and_then(|config| type_url(&config.value));
    if let (Some(config), Some(DNS_CLUSTER)) = (config, url) {
        let fields = findings.message(&config.value, "typed_config", "DnsCluster");
        let single = field(fields, "all_addresses_in_single_endpoint");
        let single =
            single.and_then(|field| findings.truth(&field.value, "all_addresses_in_single_endpoint"));
        let uses = if single == Some(true) { Uses::One } else { Uses::Every };
        return looked_up(Discovery::Dns(uses, Family::V6First), fields, findings);
    }
    let name = field(fields, "name").and_then(|field| findings.text(&field.value, "name"));
    let named = NAMED_TYPES.iter().find(|(known, _)| name.as_deref() == Some(known));
    let Some((_, discovery)) = named else {
        return Discovery::Elsewhere("its `cluster_type` is an extension that finds endpoints on its own");
    };
    looked_up(*discovery, cluster, findings)
}

fn panic_threshold(common: &[Field], rules: &mut Rules, findings: &mut Findings) {
    let Some(threshold) = field(common, "healthy_panic_threshold") else { return };
    let percent = findings.map(&threshold.value, "healthy_panic_threshold");
    let Some(value) = field(percent, "value") else {
        // A percentage that is there and says nothing is 0.
        rules.panic_threshold = 0.0;
        return;
    };
    rules.panic_threshold = match &value.value.value {
        Value::Scalar { text, .. } => text.parse::<f64>().ok(),
        _ => None,
    }
    .filter(|percent| (0.0..=100.0).contains(percent))
    .map(f64::floor)
    .unwrap_or_else(|| {
        let message = "`healthy_panic_threshold` is no percentage: write a `value` from 0 to 100";
        findings.error("wrong-type", value.value.at, message);
        rules.panic_threshold
    });
}

/// The interval of health checks that look like requests at the members, each on a connection of its own.
fn health_checks(fields: &[Field], localities: &[Locality], findings: &mut Findings) -> Option<Duration> {
    let mut found: Option<Duration> = None;
    for check in items(field(fields, "health_checks")) {
        let fields = findings.message(check, "health_checks", "health_check");
        let interval = field(fields, "interval");
        let interval = interval.and_then(|field| findings.duration(&field.value, "interval"));
        let reused = field(fields, "reuse_connection");
        let reused =
            reused.and_then(|field| findings.truth(&field.value, "reuse_connection")).unwrap_or(true);
        let tcp = field(fields, "tcp_health_check");
        let sends =
            tcp.is_some_and(|tcp| field(findings.map(&tcp.value, "tcp_health_check"), "send").is_some());
        let asks = ["http_health_check", "grpc_health_check", "custom_health_check"];
        // On a connection that is kept a check is no arrival.
        if !reused && (sends || asks.iter().any(|name| field(fields, name).is_some())) {
            found = match (found, interval.filter(|interval| !interval.is_zero())) {
                (Some(found), Some(interval)) => Some(found.min(interval)),
                (found, interval) => found.or(interval),
            };
        }
    }
    let mut checks =
        localities.iter().flat_map(|locality| &locality.endpoints).map(|endpoint| endpoint.check);
    found.filter(|_| checks.all(|check| check == Check::Here))
}

fn zones(localities: &[Locality]) -> usize {
    localities.iter().filter(|locality| locality.priority == 0).count()
}

/// Weights that do not do what they say.
fn weights_without_effect(
    name: &str,
    localities: &[Locality],
    policy: &Policy,
    rules: &Rules,
    findings: &mut Findings,
) {
    let mut endpoints = localities.iter().flat_map(|locality| &locality.endpoints);
    if let Some(weighed) = endpoints.find(|endpoint| endpoint.weighed && !policy.weighs) {
        let message = format!(
            "the cluster {name} draws its endpoints at random, and Envoy does not look at their weights"
        );
        let problem = Problem::warning("weight-without-effect", weighed.at.clone(), message);
        findings.add(problem.hint("`lb_policy: ROUND_ROBIN` and `LEAST_REQUEST` look at them"));
    }
    let weighed = localities.iter().find(|locality| locality.weight > 0);
    if let Some(weighed) = weighed.filter(|_| !rules.by_locality) {
        let place = findings.place(weighed.at);
        let message = format!("the weights of the localities of {name} are without effect");
        let problem = Problem::warning("weight-without-effect", place, message);
        findings.add(
            problem
                .hint("write `common_lb_config: {locality_weighted_lb_config: {}}` to have them looked at"),
        );
    }
    if rules.by_locality && localities.iter().any(|locality| locality.weight > 0) {
        for locality in localities.iter().filter(|locality| locality.weight == 0) {
            let place = findings.place(locality.at);
            let message =
                format!("this locality of {name} has no weight and gets nothing, since others have one");
            let hint =
                "write its `load_balancing_weight`; Envoy looks at it only where there is a `locality` too";
            findings.add(Problem::warning("locality-without-weight", place, message).hint(hint));
        }
    }
}

fn members(
    name: &str,
    at: Position,
    fields: &[Field],
    localities: &[Locality],
    discovery: Discovery,
    rules: &Rules,
    findings: &mut Findings,
) -> Vec<WrittenMember> {
    let spread = spread(localities, rules);
    if spread.panics {
        let place = findings.place(at);
        let message = format!(
            "so few endpoints of {name} are healthy that Envoy does not look at their health: those that are drained or \
             unhealthy get traffic too"
        );
        let hint = "mend them, take them out, or set `healthy_panic_threshold` to 0";
        findings.add(Problem::warning("panic", place, message).hint(hint));
    } else if spread.spills {
        let place = findings.place(at);
        let message = format!(
            "so few endpoints of {name} are healthy that a part of the traffic goes to lower priorities"
        );
        findings.add(Problem::warning("priority-spills", place, message).hint("mend them, or take them out"));
    }
    let has_checks = !items(field(fields, "health_checks")).is_empty();
    // What fails is taken out by this too, so that none need to be checked.
    let ejects = field(fields, "outlier_detection").is_some();
    let member = |((endpoint, alone), (weight, role)): ((&Endpoint, bool), (f64, Role))| {
        let is_name = matches!(endpoint.address, MemberAddress::Host { .. });
        let (uses, family) = match discovery {
            // A locality's weight is for all that is in it.
            Discovery::Dns(Uses::Every, family) if is_name && alone && rules.by_locality => {
                (Uses::Divided, family)
            }
            Discovery::Dns(uses, family) if is_name => (uses, family),
            _ => (Uses::Every, Family::Any),
        };
        WrittenMember {
            role,
            vouched: endpoint.vouched,
            uses,
            family,
            checked: match has_checks && endpoint.check != Check::Never {
                false if ejects => None,
                checks => Some(checks),
            },
            computed: spread.computed && role == Role::Active,
            ..WrittenMember::new(endpoint.address.clone(), weight, endpoint.at.clone())
        }
    };
    let endpoints = localities.iter().flat_map(|locality| {
        let alone = locality.endpoints.len() == 1;
        locality.endpoints.iter().map(move |endpoint| (endpoint, alone))
    });
    endpoints.zip(spread.members).map(member).collect()
}
