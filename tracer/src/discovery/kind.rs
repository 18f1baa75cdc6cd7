//! Which balancers are known, and by what.

/// A balancer whose configuration can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// nginx, and what is made of it: OpenResty, Angie, freenginx, Tengine.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
}

const NAMES: [(Kind, &[&str]); 3] = [
    (Kind::Nginx, &["nginx", "nginx-debug", "openresty", "angie", "angie-debug", "freenginx", "tengine"]),
    (Kind::Haproxy, &["haproxy", "hapee-lb"]),
    (Kind::Envoy, &["envoy", "cilium-envoy"]),
];

impl Kind {
    /// The balancer whose command, or whose executable's file, has this name.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, names)| names.iter().any(|known| known.as_bytes() == name))
            .map(|(kind, _)| *kind)
    }

    /// The option by which a user names its configuration.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Nginx => "--nginx",
            Self::Haproxy => "--haproxy",
            Self::Envoy => "--envoy",
        }
    }
}
