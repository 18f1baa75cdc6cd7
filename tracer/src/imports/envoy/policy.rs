//! How a cluster chooses: `lb_policy`, or the extensions of `load_balancing_policy`, which come before it.

use super::document::{Field, Node};
use super::values::{Findings, field, items, type_url};
use crate::pools::Method;

/// How a cluster chooses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy {
    pub(super) method: Method,
    /// Endpoints' weights count; they do not where one is drawn at random.
    pub(super) weighs: bool,
    /// Localities are chosen first, by their weights.
    pub(super) by_locality: bool,
    /// Localities near to Envoy may come first, when it knows where it is itself.
    pub(super) by_zone: bool,
    /// Why it cannot be known what a member gets.
    pub(super) doubt: Option<String>,
}

impl Policy {
    fn of(kind: Kind) -> Self {
        let doubt = match kind {
            Kind::Elsewhere(why) => Some(why.to_owned()),
            _ => None,
        };
        let (method, weighs) = match kind {
            Kind::RoundRobin | Kind::Elsewhere(_) => (Method::RoundRobin, true),
            Kind::LeastRequest => (Method::LeastConnections, true),
            Kind::Random => (Method::Random, false),
            Kind::Hash => (Method::Hash, true),
        };
        let by_zone = !matches!(kind, Kind::Hash | Kind::Elsewhere(_));
        Self { method, weighs, by_locality: false, by_zone, doubt }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    RoundRobin,
    LeastRequest,
    Random,
    Hash,
    /// What a member gets is decided by something that is not written here.
    Elsewhere(&'static str),
}

const CLUSTER_PROVIDED: Kind = Kind::Elsewhere("the cluster's own kind decides which endpoint is used");

const LB_POLICIES: &[(&str, i64, Option<Kind>)] = &[
    ("ROUND_ROBIN", 0, Some(Kind::RoundRobin)),
    ("LEAST_REQUEST", 1, Some(Kind::LeastRequest)),
    ("RING_HASH", 2, Some(Kind::Hash)),
    ("RANDOM", 3, Some(Kind::Random)),
    ("MAGLEV", 5, Some(Kind::Hash)),
    ("CLUSTER_PROVIDED", 6, Some(CLUSTER_PROVIDED)),
    ("LOAD_BALANCING_POLICY_CONFIG", 7, None),
];

/// The extensions' types, after `envoy.extensions.load_balancing_policies.`.
const EXTENSIONS: &[(&str, Kind)] = &[
    ("round_robin.v3.RoundRobin", Kind::RoundRobin),
    ("least_request.v3.LeastRequest", Kind::LeastRequest),
    ("random.v3.Random", Kind::Random),
    ("ring_hash.v3.RingHash", Kind::Hash),
    ("maglev.v3.Maglev", Kind::Hash),
    ("cluster_provided.v3.ClusterProvided", CLUSTER_PROVIDED),
    (
        "client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin",
        Kind::Elsewhere("the endpoints report their load, and Envoy weighs them by that"),
    ),
    (
        "wrr_locality.v3.WrrLocality",
        Kind::Elsewhere("the endpoints report their load, and Envoy weighs them by that"),
    ),
    ("subset.v3.Subset", Kind::Elsewhere("each request chooses a subset of the endpoints by its metadata")),
    ("override_host.v3.OverrideHost", Kind::Elsewhere("each request may name its endpoint")),
    (
        "load_aware_locality.v3.LoadAwareLocality",
        Kind::Elsewhere("the endpoints report their load, and Envoy weighs localities by that"),
    ),
    (
        "dynamic_modules.v3.DynamicModulesLoadBalancerConfig",
        Kind::Elsewhere("a module that is loaded at run time decides which endpoint is used"),
    ),
];

/// Reads how a cluster chooses; `common` is its `common_lb_config`.
pub(super) fn read(cluster: &[Field], common: &[Field], findings: &mut Findings) -> Policy {
    let legacy = field(cluster, "lb_policy");
    let word = legacy.and_then(|field| findings.word(&field.value, "lb_policy", LB_POLICIES));
    let extensions = field(cluster, "load_balancing_policy");
    if let Some(extensions) = extensions {
        return extension(&extensions.value, findings);
    }
    if let (Some(legacy), Some(None)) = (legacy, word) {
        let message =
            "`lb_policy` refers to `load_balancing_policy`, which is not there: write it, or another policy";
        findings.error("incomplete", legacy.at, message);
    }
    let mut policy = Policy::of(word.flatten().unwrap_or(Kind::RoundRobin));
    policy.by_locality = field(common, "locality_weighted_lb_config").is_some();
    subsets(cluster, &mut policy, findings);
    told(policy, legacy, findings)
}

/// Says why a policy cannot be foreseen.
fn told(policy: Policy, at: Option<&Field>, findings: &mut Findings) -> Policy {
    if let (Some(doubt), Some(at)) = (&policy.doubt, at) {
        findings.note(
            "not-foreseen",
            at.value.at,
            format!("what a member gets cannot be known from here: {doubt}"),
        );
    }
    policy
}

fn subsets(cluster: &[Field], policy: &mut Policy, findings: &mut Findings) {
    let Some(config) = field(cluster, "lb_subset_config") else { return };
    let fields = findings.map(&config.value, "lb_subset_config");
    // Without selectors Envoy makes no subsets.
    if !items(field(fields, "subset_selectors")).is_empty() {
        let doubt = "each request chooses a subset of the endpoints by its metadata";
        let message = format!("what a member gets cannot be known from here: {doubt}");
        findings.note("not-foreseen", config.at, message);
        policy.doubt.get_or_insert_with(|| doubt.to_owned());
    }
}

/// The first extension that is known, as Envoy takes the first that it knows.
fn extension(node: &Node, findings: &mut Findings) -> Policy {
    let fields = findings.message(node, "load_balancing_policy", "load_balancing_policy");
    let policies = field(fields, "policies");
    let mut unknown = None;
    for item in items(policies) {
        let fields = findings.message(item, "policies", "policies");
        let Some(typed) = field(fields, "typed_extension_config") else { continue };
        let fields = findings.map(&typed.value, "typed_extension_config");
        let Some(config) = field(fields, "typed_config") else { continue };
        let name = type_url(&config.value).unwrap_or_default();
        let short = name.strip_prefix("envoy.extensions.load_balancing_policies.").unwrap_or_default();
        let Some(&(_, kind)) = EXTENSIONS.iter().find(|(known, _)| *known == short) else {
            unknown = unknown.or(Some(config.value.at));
            continue;
        };
        let mut policy = Policy::of(kind);
        let fields = findings.map(&config.value, "typed_config");
        localities(fields, &mut policy, findings);
        if let Some(at) = unknown {
            policy.doubt = Some("a load balancing policy that is not known here comes first".to_owned());
            findings.note("unknown-directive", at, UNKNOWN);
        }
        return told(policy, policies, findings);
    }
    match unknown {
        Some(at) => findings.note("unknown-directive", at, UNKNOWN),
        None => {
            let message =
                "`load_balancing_policy` names no policy: write one under `policies`, or `lb_policy`";
            findings.error("incomplete", node.at, message);
        }
    }
    let doubt = Some("its load balancing policy is not known here".to_owned());
    Policy { doubt, ..Policy::of(Kind::RoundRobin) }
}

const UNKNOWN: &str = "this load balancing policy is not known here: what it decides is not foreseen";

/// How an extension treats localities: in a message of its own, or directly where keys are hashed.
fn localities(extension: &[Field], policy: &mut Policy, findings: &mut Findings) {
    let common = field(extension, "locality_lb_config");
    let common = common.map(|common| findings.map(&common.value, "locality_lb_config"));
    let of = |name| field(extension, name).or_else(|| field(common.unwrap_or_default(), name));
    policy.by_locality = of("locality_weighted_lb_config").is_some();
    policy.by_zone = policy.by_zone && of("zone_aware_lb_config").is_some();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::envoy::directives::DIRECTIVES;

    #[test]
    fn every_policy_stands_in_the_table() {
        let extensions = EXTENSIONS.iter().map(|(name, _)| *name);
        for name in LB_POLICIES.iter().map(|(name, ..)| *name).chain(extensions) {
            assert!(DIRECTIVES.iter().any(|directive| directive.name == name), "{name}");
        }
    }
}
