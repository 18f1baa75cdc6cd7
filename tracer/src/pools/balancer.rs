//! Which balancer is which: identity, the names it answers to, and what it is called.

use crate::collect::Balancer;
use std::collections::{BTreeMap, BTreeSet};
use tracer_ebpf::KERNEL;

/// The kernel keeps 15 bytes of a command.
const COMMAND_BYTES: usize = 15;
/// Names kept of balancers that are no longer in the sample.
const MAX_LABELS: usize = 4_096;
/// What container runtimes put before the container's id.
const RUNTIME_PREFIXES: [&str; 4] = ["docker-", "libpod-", "cri-containerd-", "crio-"];

/// Commands of programs that spread connections, cut to 15 bytes as the kernel does. A pool that nobody declared is
/// judged when its balancer is one of these (or listens, or was asked for).
const KNOWN_PROXIES: &[&str] = &[
    // HTTP and TCP
    "nginx",
    "angie",
    "freenginx",
    "openresty",
    "tengine",
    "haproxy",
    "envoy",
    "cilium-envoy",
    "traefik",
    "caddy",
    "apache2",
    "httpd",
    "lighttpd",
    "h2o",
    "nghttpx",
    "varnishd",
    "cache-main",
    "squid",
    "traffic_server",
    "[TS_MAIN]",
    "pingora",
    "sozu",
    "skipper",
    "fabio",
    "gobetween",
    "pound",
    "pen",
    "relayd",
    "zproxy",
    "dnsdist",
    // service meshes
    "linkerd2-proxy",
    "ztunnel",
    // databases and caches
    "pgbouncer",
    "pgcat",
    "pgpool",
    "odyssey",
    "proxysql",
    "mysqlrouter",
    "maxscale",
    "vtgate",
    "mongos",
    "nutcracker",
    "twemproxy",
    "mcrouter",
    "predixy",
];

/// What makes two balancers the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub(super) struct BalancerKey {
    command: String,
    cgroup: Option<String>,
    netns: u32,
}

impl From<&Balancer> for BalancerKey {
    fn from(balancer: &Balancer) -> Self {
        Self { command: balancer.command.clone(), cgroup: balancer.cgroup.clone(), netns: balancer.netns }
    }
}

/// Whether the command is that of a program that spreads connections.
pub(super) fn is_known_proxy(command: &str) -> bool {
    KNOWN_PROXIES.contains(&command)
}

/// Whether a balancer answers to `name`: its command, its cgroup path, or the last part of that path (unit or
/// container) with or without `.service` and `.scope`, or a container id of 12 digits or more.
#[must_use]
pub fn answers_to(balancer: &Balancer, name: &str) -> bool {
    if name.is_empty() {
        return false;
    }
    let cut = name.len() > COMMAND_BYTES
        && balancer.command.len() == COMMAND_BYTES
        && name.starts_with(&balancer.command);
    if cut || balancer.command == name {
        return true;
    }
    let Some(path) = &balancer.cgroup else { return false };
    if path == name || path.trim_start_matches('/') == name.trim_matches('/') {
        return true;
    }
    let Some(unit) = unit(path) else { return false };
    let stem = stem(unit);
    let container = RUNTIME_PREFIXES.iter().find_map(|prefix| stem.strip_prefix(prefix)).unwrap_or(stem);
    let is_id = |text: &str| text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    unit == name || stem == name || container == name || is_id(name) && container.starts_with(name)
}

/// The same of a balancer of which only its label is known: what a pool's balancer is called.
#[must_use]
pub fn label_answers_to(label: &str, name: &str) -> bool {
    let (command, rest) = label.split_once(" (").unwrap_or((label, ""));
    let unit = rest.split([',', ')']).next().filter(|unit| !unit.is_empty());
    let known = Balancer {
        command: command.to_owned(),
        // A declared pool's balancer is called as it was declared, by its path perhaps.
        cgroup: Some(unit.unwrap_or(label).to_owned()),
        netns: 0,
        first_pid: 0,
        listens: None,
    };
    label == name || answers_to(&known, name)
}

/// Whether two names that balancers may be called by can mean the same one, as far as the names tell.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    let short = |name| unit(name).map(stem);
    short(one) == short(other)
}

fn unit(cgroup: &str) -> Option<&str> {
    cgroup.trim_end_matches('/').rsplit('/').next().filter(|unit| !unit.is_empty())
}

fn stem(unit: &str) -> &str {
    unit.strip_suffix(".service").or_else(|| unit.strip_suffix(".scope")).unwrap_or(unit)
}

/// What balancers are called: the command, and the unit or container too where two have the same command. A name that
/// has been given stays, so that a pool does not become another one when a second balancer starts.
#[derive(Debug, Default)]
pub(super) struct Labels {
    given: BTreeMap<BalancerKey, String>,
    taken: BTreeSet<String>,
}

impl Labels {
    /// Names the balancers of a sample.
    pub(super) fn name<'a>(&mut self, present: impl Iterator<Item = &'a BalancerKey> + Clone) {
        if self.given.len() > MAX_LABELS {
            let present: BTreeSet<&BalancerKey> = present.clone().collect();
            self.given.retain(|key, _| present.contains(key));
            self.taken = self.given.values().cloned().collect();
        }
        let newcomers: BTreeSet<&BalancerKey> =
            present.filter(|key| !self.given.contains_key(*key)).collect();
        let mut commands: BTreeMap<String, usize> = BTreeMap::new();
        for key in newcomers.iter().copied().chain(self.given.keys()) {
            *commands.entry(key.command.clone()).or_default() += 1;
        }
        for key in newcomers {
            let alone = commands.get(&key.command) == Some(&1);
            let label = key.names(alone).find(|name| !self.taken.contains(name));
            let label = label.unwrap_or_default();
            self.taken.insert(label.clone());
            self.given.insert(key.clone(), label);
        }
    }

    /// What a balancer is called that has been named.
    pub(super) fn get(&self, key: &BalancerKey) -> String {
        self.given.get(key).unwrap_or(&key.command).clone()
    }
}

impl BalancerKey {
    /// Whether it stands for the kernel's own threads, which spread nothing that anybody configured.
    pub(super) fn is_kernel(&self) -> bool {
        self.command == KERNEL
    }

    /// Names for it, the shortest first, without an end.
    fn names(&self, alone: bool) -> impl Iterator<Item = String> {
        let command = &self.command;
        let unit = self.cgroup.as_deref().and_then(unit).map(short_container);
        let plain = alone.then(|| command.clone());
        let with_unit = unit.as_ref().map(|unit| format!("{command} ({unit})"));
        let with_netns = match &unit {
            Some(unit) => format!("{command} ({unit}, netns {})", self.netns),
            None => format!("{command} (netns {})", self.netns),
        };
        let numbered = (2..).map({
            let base = with_netns.clone();
            move |number: u64| format!("{base} #{number}")
        });
        plain.into_iter().chain(with_unit).chain([with_netns]).chain(numbered)
    }
}

/// A unit's name, the id of a container cut to the 12 digits by which people know it.
fn short_container(unit: &str) -> String {
    let stem = stem(unit);
    let prefix = RUNTIME_PREFIXES.iter().find(|prefix| stem.starts_with(*prefix)).copied().unwrap_or("");
    let id = &stem[prefix.len()..];
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        format!("{prefix}{}", &id[..12])
    } else {
        unit.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(command: &str, cgroup: Option<&str>, netns: u32) -> Balancer {
        Balancer {
            command: command.into(),
            cgroup: cgroup.map(Into::into),
            netns,
            first_pid: 1,
            listens: None,
        }
    }

    #[test]
    fn a_balancer_answers_to_command_unit_container_and_path() {
        let nginx = balancer("nginx", Some("/system.slice/edge.service"), 1);
        for name in
            ["nginx", "edge.service", "edge", "/system.slice/edge.service", "system.slice/edge.service"]
        {
            assert!(answers_to(&nginx, name), "{name}");
        }
        for name in ["", "ngin", "system.slice", "/", "service", "edge.scope"] {
            assert!(!answers_to(&nginx, name), "{name}");
        }
        let id = "0123456789abcdef".repeat(4);
        let boxed = balancer("envoy", Some(&format!("/system.slice/docker-{id}.scope")), 1);
        for name in [&id[..], &id[..12], &format!("docker-{id}"), &format!("docker-{id}.scope")] {
            assert!(answers_to(&boxed, name), "{name}");
        }
        assert!(!answers_to(&boxed, &id[..11]));
        assert!(!answers_to(&balancer("nginx", Some("/"), 1), "/x"));
    }

    #[test]
    fn a_label_answers_to_what_it_was_made_of() {
        for (label, name) in [
            ("nginx", "nginx"),
            ("nginx (edge.service)", "nginx"),
            ("nginx (edge.service)", "edge"),
            ("nginx (edge.service, netns 7)", "edge.service"),
            ("envoy (docker-0123456789ab)", "0123456789ab"),
            ("/system.slice/edge.service", "edge"),
            ("nginx (another)", "nginx (another)"),
        ] {
            assert!(label_answers_to(label, name), "{label} {name}");
        }
        for (label, name) in [("nginx", "haproxy"), ("nginx (edge.service)", "edg"), ("nginx", "")] {
            assert!(!label_answers_to(label, name), "{label} {name}");
        }
    }

    #[test]
    fn a_long_command_is_known_by_what_the_kernel_keeps() {
        let cut = balancer("redis-cluster-p", None, 1);
        assert!(answers_to(&cut, "redis-cluster-proxy"));
        assert!(!answers_to(&balancer("redis", None, 1), "redis-cluster-proxy"));
        assert!(KNOWN_PROXIES.iter().all(|command| command.len() <= COMMAND_BYTES));
    }

    #[test]
    fn names_are_short_unlike_each_other_and_stay() {
        let key = |cgroup, netns| BalancerKey::from(&balancer("nginx", cgroup, netns));
        let (first, second) = (key(Some("/a.service"), 1), key(Some("/b.service"), 1));
        let mut labels = Labels::default();
        labels.name([&first].into_iter());
        assert_eq!(labels.get(&first), "nginx");
        let elsewhere = key(Some("/b.service"), 2);
        let bare = key(None, 1);
        labels.name([&first, &second, &elsewhere, &bare].into_iter());
        assert_eq!(labels.get(&first), "nginx", "stays");
        assert_eq!(labels.get(&second), "nginx (b.service)");
        assert_eq!(labels.get(&elsewhere), "nginx (b.service, netns 2)");
        assert_eq!(labels.get(&bare), "nginx (netns 1)");
        let mut together = Labels::default();
        together.name([&second, &first].into_iter());
        assert_eq!(together.get(&first), "nginx (a.service)");
    }

    #[test]
    fn container_ids_are_cut() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(short_container(&format!("docker-{id}.scope")), "docker-0123456789ab");
        assert_eq!(short_container("nginx.service"), "nginx.service");
    }
}
