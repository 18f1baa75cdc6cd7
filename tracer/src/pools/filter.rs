//! What the user asked to look at.

use super::balancer::answers_to;
use crate::collect::BackendSample;
use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The filters of the command line; what is not given lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Command, unit, container or cgroup path of the balancer.
    pub balancer: Option<String>,
    /// Port of the backends.
    pub port: Option<u16>,
    /// Network, and port, of the backends.
    pub backend: Option<BackendRange>,
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
}

impl Filter {
    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the sample is of what was asked for.
    #[must_use]
    pub fn matches(&self, sample: &BackendSample) -> bool {
        self.matches_backend(sample.backend)
            && self.netns.is_none_or(|netns| netns == sample.balancer.netns)
            && self.balancer.as_deref().is_none_or(|name| answers_to(&sample.balancer, name))
    }

    /// Whether the address is one that was asked for, whatever talks to it.
    #[must_use]
    pub fn matches_backend(&self, backend: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == backend.port())
            && self.backend.is_none_or(|range| range.contains(backend))
    }
}

/// Addresses of backends: a network, and perhaps a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendRange {
    network: IpNet,
    port: Option<u16>,
}

impl BackendRange {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, backend: SocketAddr) -> bool {
        self.network.contains(&backend.ip().to_canonical())
            && self.port.is_none_or(|port| port == backend.port())
    }
}

impl fmt::Display for BackendRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.network) {
            (None, network) => write!(f, "{network}"),
            (Some(port), IpNet::V4(network)) => write!(f, "{network}:{port}"),
            (Some(port), IpNet::V6(network)) => write!(f, "[{network}]:{port}"),
        }
    }
}

/// Why a text is no range of backends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendRangeError {
    /// Neither address nor network.
    #[error(
        "{0:?} is neither an address nor a network: write 10.0.0.0/8, 10.0.0.11:8080 or [2001:db8::/32]:8080"
    )]
    Network(String),
    /// The part after the slash.
    #[error("{0:?} is not a prefix length: write /0 to /32 for IPv4, to /128 for IPv6")]
    Prefix(String),
    /// The part after the last colon.
    #[error("{0:?} is not a port: write a number from 1 to 65535")]
    Port(String),
    /// An IPv6 network with a port, without brackets.
    #[error("an IPv6 network with a port is written in brackets: [2001:db8::/32]:8080")]
    Brackets,
}

impl FromStr for BackendRange {
    type Err = BackendRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (network, port) = split_port(text)?;
        let port = match port {
            None => None,
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number > 0 && !port.starts_with('+') => Some(number),
                _ => return Err(BackendRangeError::Port(port.to_owned())),
            },
        };
        Ok(Self { network: parse_network(network)?, port })
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), BackendRangeError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (network, rest) =
            rest.split_once(']').ok_or_else(|| BackendRangeError::Network(text.to_owned()))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((network, Some(port))),
            None if rest.is_empty() => Ok((network, None)),
            None => Err(BackendRangeError::Network(text.to_owned())),
        };
    }
    let colons = text.matches(':').count();
    if colons <= 1 {
        return Ok(text.split_once(':').map_or((text, None), |(network, port)| (network, Some(port))));
    }
    match text.split_once('/') {
        Some((_, prefix)) if prefix.contains(':') => Err(BackendRangeError::Brackets),
        _ => Ok((text, None)),
    }
}

fn parse_network(text: &str) -> Result<IpNet, BackendRangeError> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, prefix)| (a, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| BackendRangeError::Network(text.to_owned()))?;
    let network = match prefix {
        None => IpNet::from(address),
        Some(prefix) => prefix
            .parse::<u8>()
            .ok()
            .and_then(|length| IpNet::new(address, length).ok())
            .ok_or_else(|| BackendRangeError::Prefix(prefix.to_owned()))?,
    };
    Ok(unmapped(network).trunc())
}

/// A network of v4-mapped IPv6 addresses is the IPv4 network.
fn unmapped(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|address| Ipv4Net::new(address, v6.prefix_len() - 96).ok())
            .map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Balancer, Counters};
    use std::sync::Arc;

    fn sample(backend: &str) -> BackendSample {
        BackendSample {
            balancer: Arc::new(Balancer {
                command: "nginx".into(),
                cgroup: Some("/system.slice/edge.service".into()),
                netns: 7,
                first_pid: 1,
                listens: None,
            }),
            backend: backend.parse().unwrap(),
            delta: Counters::default(),
            total: Counters::default(),
            stock: None,
        }
    }

    #[test]
    fn ranges_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.11", "10.0.0.11/32"),
            ("10.0.0.11:8080", "10.0.0.11/32:8080"),
            ("10.0.0.0/8:8080", "10.0.0.0/8:8080"),
            ("[2001:db8::/32]:80", "[2001:db8::/32]:80"),
            ("[2001:db8::1]", "2001:db8::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1/32:80"),
        ] {
            assert_eq!(text.parse::<BackendRange>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, part) in [
            ("", "neither an address"),
            ("app", "neither an address"),
            ("[::1", "neither an address"),
            ("[::1]80", "neither an address"),
            ("10.0.0.0/33", "prefix length"),
            ("10.0.0.0/", "prefix length"),
            ("10.0.0.0/8:0", "not a port"),
            ("10.0.0.1:+1", "not a port"),
            ("10.0.0.1:http", "not a port"),
            ("2001:db8::/32:80", "in brackets"),
        ] {
            let message = text.parse::<BackendRange>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn every_part_of_the_filter_must_match() {
        let everything = Filter::default();
        assert!(everything.is_empty() && everything.matches(&sample("[::1]:1")));
        let filter = Filter {
            balancer: Some("edge".into()),
            port: Some(8080),
            backend: Some("10.0.0.0/24".parse().unwrap()),
            netns: Some(7),
        };
        assert!(!filter.is_empty());
        assert!(filter.matches(&sample("10.0.0.1:8080")));
        assert!(filter.matches(&sample("[::ffff:10.0.0.1]:8080")));
        assert!(!filter.matches(&sample("10.0.0.1:8081")));
        assert!(!filter.matches(&sample("10.0.1.1:8080")));
        assert!(!Filter { netns: Some(8), ..filter.clone() }.matches(&sample("10.0.0.1:8080")));
        assert!(!Filter { balancer: Some("envoy".into()), ..filter }.matches(&sample("10.0.0.1:8080")));
    }
}
