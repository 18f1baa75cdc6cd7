//! The endpoints of a cluster: `load_assignment`.

use super::document::{Field, Node};
use super::spread::Rules;
use super::values::{Findings, field, items};
use crate::imports::Problem;
use crate::input::{Place, Position};
use crate::pools::{Family, MemberAddress, Uses, parse_address};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// How endpoints are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// They are written as IP addresses.
    Static,
    /// They are written, as names too; of a name's addresses these are used.
    Dns(Uses, Family),
    /// They are not written here; where else, in a few words.
    Elsewhere(&'static str),
}

/// What an endpoint's health is written to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    Degraded,
    Bad,
    /// Gets nothing, and is not among those whose health is looked at.
    Drained,
}

const HEALTH: &[(&str, i64, Health)] = &[
    ("UNKNOWN", 0, Health::Good),
    ("HEALTHY", 1, Health::Good),
    ("UNHEALTHY", 2, Health::Bad),
    ("DRAINING", 3, Health::Drained),
    ("TIMEOUT", 4, Health::Bad),
    ("DEGRADED", 5, Health::Degraded),
];

/// Whether connections of this kind are counted.
const PROTOCOLS: &[(&str, i64, bool)] = &[("TCP", 0, true), ("UDP", 1, false)];

/// Endpoints in one place and of one priority.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Locality {
    pub(super) at: Position,
    pub(super) priority: u64,
    /// 0: none is written.
    pub(super) weight: u64,
    pub(super) endpoints: Vec<Endpoint>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub(super) address: MemberAddress,
    pub(super) at: Place,
    pub(super) weight: u64,
    /// A weight is written.
    pub(super) weighed: bool,
    pub(super) health: Health,
    pub(super) vouched: bool,
    /// Health checks, if there are any, reach it where its traffic goes.
    pub(super) check: Check,
}

/// What becomes of the cluster's health checks at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Here,
    /// At another address or port.
    Elsewhere,
    Never,
}

/// Reads the endpoints, and what of the rules stands with them.
pub(super) fn read(
    node: &Node,
    discovery: Discovery,
    rules: &mut Rules,
    findings: &mut Findings,
) -> Vec<Locality> {
    let fields = findings.message(node, "load_assignment", "load_assignment");
    let name = field(fields, "cluster_name").and_then(|field| findings.text(&field.value, "cluster_name"));
    if name.is_none_or(|name| name.is_empty()) {
        findings.error(
            "incomplete",
            node.at,
            "`load_assignment` has no `cluster_name`: write the cluster's name",
        );
    }
    if let Some(policy) = field(fields, "policy") {
        overprovision(&policy.value, rules, findings);
    }
    let mut localities = Localities::default();
    for item in items(field(fields, "endpoints")) {
        localities.read(item, discovery, findings);
    }
    localities.found
}

fn overprovision(node: &Node, rules: &mut Rules, findings: &mut Findings) {
    let fields = findings.message(node, "policy", "policy");
    if let Some(factor) = field(fields, "overprovisioning_factor") {
        let most = u64::from(u32::MAX);
        let factor = findings.number(&factor.value, "overprovisioning_factor", 1..=most);
        rules.overprovisioning = factor.unwrap_or(rules.overprovisioning);
    }
    if let Some(weighted) = field(fields, "weighted_priority_health") {
        rules.weighted_health =
            findings.truth(&weighted.value, "weighted_priority_health").unwrap_or_default();
    }
}

/// Priority, region, zone and sub-zone.
type Key = (u64, [String; 3]);

/// Localities; one that is listed twice is one.
#[derive(Default)]
struct Localities {
    found: Vec<Locality>,
    index: HashMap<Key, usize>,
}

impl Localities {
    fn read(&mut self, node: &Node, discovery: Discovery, findings: &mut Findings) {
        let fields = findings.message(node, "endpoints", "locality");
        let weight = field(fields, "load_balancing_weight");
        let vouched = weight.is_some_and(|weight| findings.is_vouched(weight.value.at));
        let most = u64::from(u32::MAX);
        let weight =
            weight.and_then(|field| findings.number(&field.value, "load_balancing_weight", 1..=most));
        let priority = field(fields, "priority");
        let priority =
            priority.and_then(|field| findings.number(&field.value, "priority", 0..=128)).unwrap_or(0);
        let locality = field(fields, "locality");
        let name = locality.map(|locality| {
            let fields = findings.map(&locality.value, "locality");
            ["region", "zone", "sub_zone"].map(|part| {
                let text = field(fields, part).and_then(|field| findings.text(&field.value, part));
                text.map(Cow::into_owned).unwrap_or_default()
            })
        });
        let found = &mut self.found;
        let index = *self.index.entry((priority, name.unwrap_or_default())).or_insert_with(|| {
            found.push(Locality { at: node.at, priority, weight: 0, endpoints: Vec::new() });
            found.len() - 1
        });
        let Some(found) = found.get_mut(index) else { return };
        // Envoy does not look at the weight of a locality that has no name.
        if let (Some(weight), Some(_)) = (weight, locality) {
            found.weight = weight;
        }
        for item in items(field(fields, "lb_endpoints")) {
            let endpoint = read_endpoint(item, discovery, findings);
            found.endpoints.extend(
                endpoint.map(|endpoint| Endpoint { vouched: endpoint.vouched || vouched, ..endpoint }),
            );
        }
    }
}

fn read_endpoint(node: &Node, discovery: Discovery, findings: &mut Findings) -> Option<Endpoint> {
    let fields = findings.message(node, "lb_endpoints", "lb_endpoint");
    let health = field(fields, "health_status");
    let health = health.and_then(|field| findings.word(&field.value, "health_status", HEALTH));
    let most = u64::from(u32::MAX);
    let weighed = field(fields, "load_balancing_weight");
    let weight = weighed.and_then(|field| findings.number(&field.value, "load_balancing_weight", 1..=most));
    let endpoint = field(fields, "endpoint");
    let endpoint =
        endpoint.map(|field| findings.message(&field.value, "endpoint", "endpoint")).unwrap_or_default();
    let check = field(endpoint, "health_check_config");
    let check = check.map_or(Check::Here, |field| read_check(&field.value, findings));
    let Some(address) = field(endpoint, "address") else {
        findings.error("incomplete", node.at, "this endpoint has no address: write `endpoint: {address: …}`");
        return None;
    };
    let (address, at, vouched) = read_address(&address.value, discovery, findings)?;
    let vouched = vouched || weighed.is_some_and(|field| findings.is_vouched(field.value.at));
    Some(Endpoint {
        address,
        at: findings.place(at),
        weight: weight.unwrap_or(1),
        weighed: weighed.is_some(),
        health: health.unwrap_or(Health::Good),
        vouched,
        check,
    })
}

fn read_check(node: &Node, findings: &mut Findings) -> Check {
    let fields = findings.message(node, "health_check_config", "health_check_config");
    let disabled = field(fields, "disable_active_health_check");
    let port = field(fields, "port_value");
    let port = port.and_then(|field| findings.number(&field.value, "port_value", 0..=65_535));
    if disabled.and_then(|field| findings.truth(&field.value, "disable_active_health_check")) == Some(true) {
        Check::Never
    } else if port.is_some_and(|port| port > 0) || field(fields, "address").is_some() {
        Check::Elsewhere
    } else {
        Check::Here
    }
}

/// An address, its place, and whether somebody vouches for what is on its lines.
fn read_address(
    node: &Node,
    discovery: Discovery,
    findings: &mut Findings,
) -> Option<(MemberAddress, Position, bool)> {
    let fields = findings.message(node, "address", "address");
    let Some(socket) = field(fields, "socket_address") else {
        if fields.is_empty() {
            findings.error("incomplete", node.at, "this endpoint has no address: write a `socket_address`");
        }
        // Others are noted by the table.
        return None;
    };
    let fields = findings.message(&socket.value, "socket_address", "socket_address");
    let protocol = field(fields, "protocol");
    let counted =
        protocol.and_then(|field| findings.word(&field.value, "protocol", PROTOCOLS)).unwrap_or(true);
    let Some(address) = field(fields, "address") else {
        findings.error("incomplete", socket.at, "this `socket_address` has no `address`: write one");
        return None;
    };
    let port = read_port(fields, socket, findings);
    let text = findings.text(&address.value, "address")?;
    let at = address.value.at;
    let vouched = findings.is_vouched(at)
        || field(fields, "port_value").is_some_and(|field| findings.is_vouched(field.value.at));
    let address = to_address(&text, port?, at, discovery, findings)?;
    if !counted {
        findings.note(
            "not-counted",
            at,
            "this endpoint is reached by UDP, which is not counted: it is left out",
        );
        return None;
    }
    Some((address, at, vouched))
}

fn read_port(fields: &[Field], socket: &Field, findings: &mut Findings) -> Option<u16> {
    let Some(port) = field(fields, "port_value") else {
        if field(fields, "named_port").is_none() {
            findings.error("incomplete", socket.at, "this `socket_address` has no `port_value`: write one");
        }
        return None;
    };
    let number =
        findings.number(&port.value, "port_value", 0..=65_535).and_then(|port| u16::try_from(port).ok())?;
    if number == 0 {
        let place = findings.place(port.value.at);
        let message = "port 0 is none that a backend listens on: the endpoint is left out";
        findings.add(Problem::warning("port-zero", place, message).hint("write 1 to 65535"));
        return None;
    }
    Some(number)
}

fn to_address(
    text: &str,
    port: u16,
    at: Position,
    discovery: Discovery,
    findings: &mut Findings,
) -> Option<MemberAddress> {
    // The kernel does not report zones.
    let bare = text.split_once('%').map_or(text, |(address, _)| address);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        if ip.is_unspecified() {
            let place = findings.place(at);
            let message =
                "this address means every one of this host, and traffic to it arrives at another: left out";
            let hint = "write the address that is meant, such as 127.0.0.1";
            findings.add(Problem::warning("unspecified-address", place, message).hint(hint));
            return None;
        }
        return Some(MemberAddress::Ip(SocketAddr::new(ip, port)));
    }
    if discovery == Discovery::Static {
        let place = findings.place(at);
        let problem =
            Problem::error("not-an-address", place, "a STATIC cluster has IP addresses, and this is none");
        findings.add(problem.hint("write the address, or `type: STRICT_DNS` where names are to be resolved"));
        return None;
    }
    let found = parse_address(&format!("{text}:{port}")).ok();
    if found.is_none() {
        let place = findings.place(at);
        let message = "this is neither an IP address nor a host name: the endpoint is left out";
        findings.add(
            Problem::warning("not-an-address", place, message).hint("correct it; Envoy will not resolve it"),
        );
    }
    found
}
