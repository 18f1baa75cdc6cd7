//! What a client asks for in its headers: how it wants to be answered, and whom it thinks it talks to.

use crate::outputs::metrics::Form;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderMap, HeaderName};
use hyper::http::uri::Authority;
use hyper::{Request, Uri};
use std::net::IpAddr;

/// The form of metrics that the client likes best: OpenMetrics only where it is named.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let liked = |wanted: &str| {
        let ranges = elements(headers, &ACCEPT).filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        ranges.map(|(_, weight)| weight).fold(0, u16::max)
    };
    let open = liked("application/openmetrics-text");
    let older = liked("text/plain").max(liked("text/*"));
    if open > 0 && open >= older { Form::OpenMetrics } else { Form::Older }
}

/// Whether the answer may be compressed by gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        elements(headers, &ACCEPT_ENCODING)
            .find_map(|(name, weight)| name.eq_ignore_ascii_case(wanted).then_some(weight))
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0)
}

/// The elements of a list, each with its weight in thousandths; what is no weight is none (RFC 9110, 12.4.2).
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a str, u16)> {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (name, weight.map_or(1_000, thousandths))
    })
}

/// `0.75` is 750; anything else than a number of 0 to 1 is 0.
fn thousandths(text: &str) -> u16 {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let thousandths = (number.unwrap_or(0.0) * 1_000.0).round() as u16;
    thousandths
}

/// Whether the client names this host by loopback. A page of somebody else's whose name was made to resolve to loopback
/// (DNS rebinding) names itself.
pub(super) fn names_loopback<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let named = |uri: &Uri| uri.authority().map(|authority| is_loopback(authority.host()));
    let by_header = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host
            .to_str()
            .ok()
            .and_then(|host| host.parse::<Authority>().ok())
            .is_some_and(|authority| !authority.as_str().contains('@') && is_loopback(authority.host())),
        _ => false,
    };
    by_header && named(request.uri()).unwrap_or(true)
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn openmetrics_is_given_to_who_names_it_and_likes_it_no_less() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, form_given) in [
            (prometheus, Form::OpenMetrics),
            ("application/openmetrics-text", Form::OpenMetrics),
            ("text/plain, application/openmetrics-text", Form::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.5", Form::Older),
            ("application/openmetrics-text;q=0", Form::Older),
            ("application/openmetrics-text;q=nan", Form::Older),
            ("text/plain;version=0.0.4", Form::Older),
            ("*/*", Form::Older),
            ("image/png", Form::Older),
        ] {
            assert_eq!(form(&headers(ACCEPT, accept)), form_given, "{accept}");
        }
        assert_eq!(form(&HeaderMap::new()), Form::Older);
    }

    #[test]
    fn only_who_takes_gzip_gets_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(ACCEPT_ENCODING, accepted)), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    fn asked(uri: &str, hosts: &[&str]) -> bool {
        let request = hosts.iter().fold(Request::get(uri), |request, host| request.header(HOST, *host));
        names_loopback(&request.body(()).unwrap())
    }

    #[test]
    fn names_of_loopback_are_known_whatever_the_port() {
        for host in
            ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:9477", "[::1]:9477", "[::ffff:127.0.0.1]"]
        {
            assert!(asked("/", &[host]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9477",
            "10.0.0.1",
            "0.0.0.0",
            "user@127.0.0.1",
            "",
            "127.0.0.1, evil.example",
        ] {
            assert!(!asked("/", &[host]), "{host}");
        }
        assert!(!asked("/", &[]), "nobody is named");
        assert!(!asked("/", &["localhost", "localhost"]), "two are named");
        assert!(!asked("http://evil.example/", &["localhost"]), "the target counts too");
        assert!(asked("http://localhost/", &["localhost"]));
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_header_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let Ok(value) = hyper::header::HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let all = HeaderMap::from_iter([ACCEPT, ACCEPT_ENCODING, HOST].map(|name| (name, value.clone())));
            let _ = (form(&all), takes_gzip(&all));
            let mut request = Request::new(());
            *request.headers_mut() = all;
            let _ = names_loopback(&request);
        }
    }
}
