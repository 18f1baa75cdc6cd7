//! Where an Alertmanager is.

use std::fmt;
use std::str::FromStr;
use ureq::http::Uri;

/// The address of an Alertmanager: `http` or `https`, host, port, and the path that it is served under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerUrl {
    /// Without a slash at its end.
    base: String,
    /// Whether what is sent can be read on the way.
    in_the_clear: bool,
}

/// Where alerts are posted and asked for.
const ALERTS: &str = "/api/v2/alerts";

impl AlertmanagerUrl {
    /// The resource of alerts.
    #[must_use]
    pub(super) fn alerts(&self) -> String {
        format!("{}{ALERTS}", self.base)
    }

    /// Whether others on the way can read what is sent there.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        self.in_the_clear
    }
}

impl fmt::Display for AlertmanagerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl FromStr for AlertmanagerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const REMEDY: &str =
            "not an address: write http://HOST:PORT or https://HOST:PORT, as in http://10.0.0.9:9093";
        let uri: Uri = text.parse().map_err(|_| REMEDY)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(REMEDY) };
        if !matches!(scheme, "http" | "https") || authority.host().is_empty() {
            return Err(REMEDY);
        }
        // Whoever sees the command line, the metrics or the log would see it.
        if authority.as_str().contains('@') {
            return Err("no password in the address: write it to a file for --alertmanager-credentials");
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(
                "no ? and no # in the address: it ends with the path that Alertmanager is served under",
            );
        }
        let base = text.trim_end_matches('/');
        if base.ends_with(ALERTS) {
            return Err("only the address of Alertmanager, without /api/v2/alerts");
        }
        let in_the_clear = scheme == "http" && !is_this_host(authority.host());
        Ok(Self { base: base.to_owned(), in_the_clear })
    }
}

fn is_this_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_scheme_host_and_path_and_nothing_else() {
        for (text, alerts) in [
            ("http://10.0.0.9:9093", "http://10.0.0.9:9093/api/v2/alerts"),
            ("https://am.example/", "https://am.example/api/v2/alerts"),
            ("http://[fd00::9]:9093/alertmanager/", "http://[fd00::9]:9093/alertmanager/api/v2/alerts"),
        ] {
            assert_eq!(text.parse::<AlertmanagerUrl>().unwrap().alerts(), alerts);
        }
        for wrong in [
            "",
            "10.0.0.9:9093",
            "ftp://am:21",
            "http://",
            "http:///path",
            "http://user:secret@am:9093",
            "http://am:9093/?a=1",
            "http://am:9093/#a",
            "http://am:9093/api/v2/alerts",
            "http://a m",
        ] {
            let error = wrong.parse::<AlertmanagerUrl>().unwrap_err();
            assert!(!error.contains("secret"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_leaves_this_host_without_tls_can_be_read() {
        let clear = |text: &str| text.parse::<AlertmanagerUrl>().unwrap().is_in_the_clear();
        assert!(clear("http://10.0.0.9:9093") && clear("http://am"));
        for safe in ["https://am", "http://localhost:9093", "http://127.3.2.1:1", "http://[::1]:9093"] {
            assert!(!clear(safe), "{safe}");
        }
    }
}
