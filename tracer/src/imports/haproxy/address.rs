//! A server's address, of which HAProxy has many forms.

use crate::pools::{MemberAddress, parse_address};
use std::net::{IpAddr, SocketAddr};

/// What may stand in front of an address that is reached over TCP.
const OVER_TCP: [&str; 9] =
    ["ip@", "ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@", "mptcp@", "mptcp4@", "mptcp6@"];
/// Over what has no connections that are counted.
const OVER_UDP: [&str; 7] = ["udp@", "udp4@", "udp6@", "quic4@", "quic6@", "quic+", "dgram+"];
const LOCAL: [&str; 7] = ["unix@", "uxst@", "uxdg@", "abns@", "abnsz@", "sockpair@", "fd@"];

/// Reads the address of a server.
///
/// # Errors
/// Why it is not known which connections go there, to stand behind the server's name.
pub(super) fn server_address(text: &str) -> Result<MemberAddress, &'static str> {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    if begins(&OVER_UDP) {
        return Err("is reached over UDP, which is not counted");
    }
    let text = text.strip_prefix("stream+").unwrap_or(text);
    if begins(&LOCAL) || text.starts_with('/') {
        return Err("is reached over a local socket, which is not counted");
    }
    if text.starts_with("rhttp@") {
        return Err("connects to HAProxy itself, which is not counted as traffic to it");
    }
    let text = OVER_TCP.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    if text.starts_with('_') {
        return Err("is found by an SRV record, which names ports and weights of its own");
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || host == "*" || host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        return Err("has no address of its own: HAProxy connects to where the client meant to");
    }
    if port.is_empty() || port == "0" || port.starts_with(['+', '-']) {
        return Err("has no port of its own: HAProxy takes that of the client's connection");
    }
    let port = port.parse().map_err(|_| "has a port that is not a number up to 65535")?;
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(MemberAddress::Ip(SocketAddr::new(ip.to_canonical(), port))),
        Err(_) => parse_address(&format!("{host}:{port}")).map_err(|_| "has an address that is no host name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_haproxy() {
        for (text, address) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("ipv4@10.0.0.1:80", "10.0.0.1:80"),
            ("stream+ipv4@10.0.0.1:80", "10.0.0.1:80"),
            ("mptcp@10.0.0.1:80", "10.0.0.1:80"),
            ("::1:80", "[::1]:80"),
            ("[::1]:80", "[::1]:80"),
            ("ipv6@2001:db8::1:80", "[2001:db8::1]:80"),
            ("::ffff:10.0.0.1:80", "10.0.0.1:80"),
            ("App.Example.com:443", "app.example.com:443"),
            ("tcp@app:080", "app:80"),
        ] {
            assert_eq!(server_address(text).unwrap().to_string(), address, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_known_or_counted_is_told() {
        for (text, part) in [
            ("udp@10.0.0.1:80", "UDP"),
            ("quic4@10.0.0.1:443", "UDP"),
            ("unix@/run/app.sock", "local socket"),
            ("/run/app.sock", "local socket"),
            ("abns@app", "local socket"),
            ("fd@3", "local socket"),
            ("rhttp@", "HAProxy itself"),
            ("_http._tcp.example.com", "SRV"),
            ("*:80", "meant to"),
            (":80", "meant to"),
            ("0.0.0.0:80", "meant to"),
            ("[::]:80", "meant to"),
            ("10.0.0.1", "no port"),
            ("10.0.0.1:", "no port"),
            ("10.0.0.1:0", "no port"),
            ("10.0.0.1:+8000", "no port"),
            ("10.0.0.1:-10", "no port"),
            ("[::1]", "no port"),
            ("10.0.0.1:80x", "not a number"),
            ("10.0.0.1:65536", "not a number"),
            ("a b:80", "no host name"),
            ("127.1:80", "no host name"),
            ("", "meant to"),
        ] {
            let reason = server_address(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
