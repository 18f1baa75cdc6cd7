//! A member's address as it is written in a configuration: `ip:port` or `host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a member is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MemberAddress {
    /// An IP address; a v4-mapped IPv6 address is its IPv4 address.
    Ip(SocketAddr),
    /// A host name, to be resolved, in lower case and without the dot at its end.
    Host {
        /// The name.
        name: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// The form under which the kernel side knows an address: no v4-mapped IPv6, no zone, no flow label.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Reads the address of a backend as the kernel knows it; the error says what is wrong and the remedy.
///
/// # Errors
/// When it is no `ip:port`.
pub fn parse_backend(text: &str) -> Result<SocketAddr, String> {
    // Also what no configuration would say and a socket can try all the same, such as port 0.
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(canonical(address));
    }
    match parse_address(text)? {
        MemberAddress::Ip(address) => Ok(address),
        MemberAddress::Host { .. } => Err(format!("{text:?} is a host name: write its address, ip:port")),
    }
}

/// Reads an address with its port; the error says what is wrong and the remedy.
///
/// # Errors
/// When it is neither `ip:port` nor `host:port`.
pub fn parse_address(text: &str) -> Result<MemberAddress, String> {
    if text.is_empty() {
        return Err("the address is empty: write ip:port or host:port".into());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("the IPv6 address {text:?} has no brackets: write [address]:port"));
    }
    if text.starts_with('[') {
        return parse_bracketed(text);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("the address {text:?} has no port: write ip:port or host:port"));
    };
    if host.contains(':') {
        return Err(format!(
            "{text:?} is neither ip:port nor host:port: an IPv6 address is written [address]:port, \
             and there is no scheme such as http://"
        ));
    }
    let port = parse_port(text, port)?;
    let name = host.strip_suffix('.').unwrap_or(host);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return known_ip(SocketAddr::new(ip, port));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("{host:?} is neither an IPv4 address nor a host name"));
    }
    if !is_host_name(name) {
        return Err(format!("{host:?} is neither an IP address nor a host name: write ip:port or host:port"));
    }
    Ok(MemberAddress::Host { name: name.to_ascii_lowercase(), port })
}

fn parse_bracketed(text: &str) -> Result<MemberAddress, String> {
    let Some((ip, rest)) = text[1..].split_once(']') else {
        return Err(format!("the bracket in {text:?} is not closed: write [address]:port"));
    };
    let Some(port) = rest.strip_prefix(':') else {
        return Err(format!("the address {text:?} has no port: write [address]:port"));
    };
    if ip.contains('%') {
        return Err(format!("{text:?} has a zone, which the kernel does not report: write it without %zone"));
    }
    let Ok(ip) = ip.parse::<Ipv6Addr>() else {
        return Err(format!("{ip:?} in brackets is not an IPv6 address"));
    };
    known_ip(SocketAddr::new(ip.into(), parse_port(text, port)?))
}

fn parse_port(text: &str, port: &str) -> Result<u16, String> {
    let number = if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        port.parse::<u16>().ok()
    } else {
        None
    };
    match number {
        Some(0) => Err(format!("port 0 in {text:?} is not a port a backend listens on: write 1 to 65535")),
        Some(port) => Ok(port),
        None => Err(format!("{port:?} in {text:?} is not a port: write a number from 1 to 65535")),
    }
}

fn known_ip(address: SocketAddr) -> Result<MemberAddress, String> {
    let address = canonical(address);
    if address.ip().is_unspecified() {
        return Err(format!(
            "{} means every address: write the one the balancer connects to, such as 127.0.0.1",
            address.ip()
        ));
    }
    Ok(MemberAddress::Ip(address))
}

fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        for (text, shown) in [
            ("10.0.0.11:8080", "10.0.0.11:8080"),
            ("[2001:DB8:0::1]:80", "[2001:db8::1]:80"),
            ("[::ffff:10.0.0.11]:8080", "10.0.0.11:8080"),
            ("App-1.Example.COM.:443", "app-1.example.com:443"),
            ("db_1:5432", "db_1:5432"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn backends_are_addresses_as_the_kernel_knows_them() {
        for (text, shown) in [
            ("10.0.0.11:8080", "10.0.0.11:8080"),
            ("[::ffff:10.0.0.11]:8080", "10.0.0.11:8080"),
            ("[2001:DB8::1]:80", "[2001:db8::1]:80"),
            ("[fe80::1%3]:80", "[fe80::1]:80"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ] {
            assert_eq!(parse_backend(text).unwrap().to_string(), shown);
        }
        assert!(parse_backend("app:80").unwrap_err().contains("host name"));
        assert!(parse_backend("10.0.0.11").unwrap_err().contains("has no port"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_remedy() {
        for (text, part) in [
            ("", "empty"),
            ("10.0.0.11", "has no port"),
            ("2001:db8::1", "has no brackets"),
            ("2001:db8::1:80:", "neither ip:port nor host:port"),
            ("http://app:80", "no scheme"),
            ("[2001:db8::1]", "has no port"),
            ("[2001:db8::1", "not closed"),
            ("[fe80::1%eth0]:80", "zone"),
            ("[10.0.0.1]:80", "not an IPv6 address"),
            ("10.0.0.300:80", "neither an IPv4 address"),
            ("10.0.0.11:0", "port 0"),
            ("10.0.0.11:+80", "is not a port"),
            ("10.0.0.11:65536", "is not a port"),
            ("10.0.0.11:", "is not a port"),
            ("a b:80", "neither an IP address"),
            (":80", "neither"),
            ("0.0.0.0:80", "means every address"),
            ("[::]:80", "means every address"),
        ] {
            let message = parse_address(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
