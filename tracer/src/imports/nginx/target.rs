//! Addresses as nginx reads them (`ngx_parse_url`).

use super::time::number;
use crate::pools::{MemberAddress, parse_address};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host with or without a port, or a socket of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Unix,
    Host {
        /// With the brackets of an IPv6 address.
        host: &'a [u8],
        port: Option<u16>,
    },
}

/// Reads a target; the error completes "the address …".
pub(super) fn parse(text: &[u8]) -> Result<Target<'_>, &'static str> {
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"unix:")) {
        return if text.len() > 5 { Ok(Target::Unix) } else { Err("names no socket after unix:") };
    }
    if text.contains(&b'/') || text.contains(&b'?') {
        return Err("has a path, which does not belong there");
    }
    let end = if text.starts_with(b"[") {
        1 + text.iter().position(|&byte| byte == b']').ok_or("has a bracket that is not closed")?
    } else {
        text.iter().position(|&byte| byte == b':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(end);
    if host.is_empty() || host == b"[]" {
        return Err("has no host");
    }
    let port = match rest {
        [] => None,
        [b':', digits @ ..] => Some(port(digits).ok_or("has a port that is not a number from 1 to 65535")?),
        _ => return Err("goes on after its bracket"),
    };
    Ok(Target::Host { host, port })
}

fn port(digits: &[u8]) -> Option<u16> {
    u16::try_from(number(digits)?).ok().filter(|&port| port > 0)
}

/// The address of a host; the error completes "the address …".
pub(super) fn address(host: &[u8], port: u16) -> Result<MemberAddress, &'static str> {
    if let Some(inner) = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) {
        let ip: Option<Ipv6Addr> = std::str::from_utf8(inner).ok().and_then(|text| text.parse().ok());
        return Ok(known(ip.ok_or("is no IPv6 address")?.into(), port));
    }
    if let Some(ip) = ipv4(host) {
        return Ok(known(ip.into(), port));
    }
    let name = std::str::from_utf8(host).ok();
    let address = name.and_then(|name| parse_address(&format!("{name}:{port}")).ok());
    address.ok_or("is neither an IP address nor a host name")
}

/// As nginx reads it, leading zeros and absent digits included.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split(|&byte| byte == b'.');
    for octet in &mut octets {
        for &digit in parts.next()? {
            let digit = digit.is_ascii_digit().then_some(digit)? - b'0';
            *octet = octet.checked_mul(10)?.checked_add(digit)?;
        }
    }
    (parts.next().is_none() && octets != [255; 4]).then_some(octets.into())
}

/// The kernel connects to its own loopback address where none is said.
fn known(ip: IpAddr, port: u16) -> MemberAddress {
    let ip = match ip.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    MemberAddress::Ip(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, &'static str> {
        Ok(match parse(text.as_bytes())? {
            Target::Unix => "unix".to_owned(),
            Target::Host { host, port } => address(host, port.unwrap_or(80))?.to_string(),
        })
    }

    #[test]
    fn addresses_are_nginx_s() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1:80"),
            ("10.0.0.1:8080", "10.0.0.1:8080"),
            ("010.1.1.1:0080", "10.1.1.1:80"),
            ("[2001:DB8::1]", "[2001:db8::1]:80"),
            ("[::ffff:10.0.0.1]:81", "10.0.0.1:81"),
            ("App.Example.:81", "app.example:81"),
            ("0.0.0.0:81", "127.0.0.1:81"),
            ("[::]:81", "[::1]:81"),
            ("unix:/run/app.sock", "unix"),
            ("UNIX:x", "unix"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_nginx_takes_for_no_address_is_refused() {
        for (text, part) in [
            ("", "no host"),
            (":80", "no host"),
            ("[]:80", "no host"),
            ("unix:", "no socket"),
            ("a:0", "65535"),
            ("a:65536", "65535"),
            ("a:", "65535"),
            ("a:b", "65535"),
            ("a:80:81", "65535"),
            ("[::1", "not closed"),
            ("[::1]80", "goes on"),
            ("[10.0.0.1]", "no IPv6"),
            ("[fe80::1%eth0]:1", "no IPv6"),
            ("http://a", "path"),
            ("a/b", "path"),
            ("a b", "neither"),
            ("10.0.0.256", "neither"),
            ("$x", "neither"),
            ("\u{e4}", "neither"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
