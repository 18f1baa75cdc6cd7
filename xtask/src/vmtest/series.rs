//! Which of Debian's kernels is meant: a series, and the newest release of it that there is.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail};

/// The oldest series that is traced; an older kernel has to refuse.
pub(crate) const OLDEST: Series = Series::Of(6, 1);

/// How the names of kernel releases end that fit a virtual machine; these are the smallest ones, with every feature.
const FLAVOUR: &str = "-cloud-amd64";

/// A series of kernels, as Debian has one release of it or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    /// `6.1`
    Of(u32, u32),
    /// Whatever is newest, of any series.
    Newest,
}

impl Series {
    /// Suites that have it, as far as is known; the others are all that go on.
    pub(crate) fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Of(5, 10) => &["bullseye"],
            Self::Of(6, 1) => &["bookworm"],
            Self::Of(6, 12) => &["trixie"],
            Self::Of(..) | Self::Newest => &["trixie-backports", "forky", "sid"],
        }
    }

    /// The newest of these kernel releases that belongs to it.
    pub(crate) fn pick<'a>(self, releases: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let belongs = |release: &&str| {
            release.ends_with(FLAVOUR)
                && match self {
                    Self::Newest => true,
                    Self::Of(major, minor) => numbers(release).starts_with(&[major, minor]),
                }
        };
        releases.into_iter().filter(belongs).max_by_key(|release| numbers(release))
    }
}

impl FromStr for Series {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "newest" {
            return Ok(Self::Newest);
        }
        let version =
            text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        match version {
            Some((major, minor)) => Ok(Self::Of(major, minor)),
            None => bail!("a series of kernels is two numbers, as 6.1, or `newest`"),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(major, minor) => write!(f, "{major}.{minor}"),
            Self::Newest => f.write_str("newest"),
        }
    }
}

/// Whether a kernel release has to be traced, not refused.
pub(crate) fn is_traced(release: &str) -> bool {
    let Series::Of(major, minor) = OLDEST else { return true };
    numbers(release) >= vec![major, minor]
}

/// `6.12.107+deb13-cloud-amd64`: 6, 12, 107, 13; the flavour's numbers are not of the version.
fn numbers(release: &str) -> Vec<u32> {
    let version = release.strip_suffix(FLAVOUR).unwrap_or(release);
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The kernel release that a package has the image of.
pub(crate) fn release_of(package: &str) -> Option<&str> {
    let release = package.strip_prefix("linux-binary-").or_else(|| package.strip_prefix("linux-image-"))?;
    (release.starts_with(|c: char| c.is_ascii_digit()) && release.ends_with(FLAVOUR)).then_some(release)
}

/// The packages of `names` that have the image and the modules of `release`: one up to 6.18, two later.
pub(crate) fn packages_of(release: &str, names: &[&str]) -> Vec<String> {
    let split = [format!("linux-binary-{release}"), format!("linux-modules-{release}")];
    if names.contains(&split[0].as_str()) {
        return split.into_iter().filter(|package| names.contains(&package.as_str())).collect();
    }
    vec![format!("linux-image-{release}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `apt-cache pkgnames linux-` printed for bullseye to sid.
    const NAMES: &str = include_str!("../../tests/fixtures/pkgnames.txt");

    fn picked(series: &str) -> &'static str {
        let releases = NAMES.lines().filter_map(release_of);
        series.parse::<Series>().unwrap().pick(releases).unwrap()
    }

    #[test]
    fn the_newest_release_of_a_series_is_picked() {
        assert_eq!(picked("5.10"), "5.10.0-32-cloud-amd64");
        assert_eq!(picked("6.1"), "6.1.0-50-cloud-amd64");
        assert_eq!(picked("6.12"), "6.12.107+deb13-cloud-amd64");
        assert_eq!(picked("6.18"), "6.18.15+deb13-cloud-amd64");
        assert_eq!(picked("7.2"), "7.2.13+deb14-cloud-amd64");
        assert_eq!(picked("newest"), "7.3.4+deb13-cloud-amd64");
    }

    #[test]
    fn a_series_that_is_not_there_is_not_made_up() {
        let releases: Vec<_> = NAMES.lines().filter_map(release_of).collect();
        assert_eq!(Series::Of(6, 2).pick(releases.iter().copied()), None);
        assert_eq!(Series::Of(6, 0).pick(["6.0-amd64", "6.0.1-rt-amd64"]), None);
        assert_eq!(Series::Newest.pick([]), None);
    }

    #[test]
    fn packages_are_where_the_release_has_them() {
        let names: Vec<_> = NAMES.lines().collect();
        assert_eq!(packages_of("6.1.0-50-cloud-amd64", &names), ["linux-image-6.1.0-50-cloud-amd64"]);
        assert_eq!(
            packages_of("7.3.4+deb13-cloud-amd64", &names),
            ["linux-binary-7.3.4+deb13-cloud-amd64", "linux-modules-7.3.4+deb13-cloud-amd64"]
        );
    }

    #[test]
    fn a_series_is_read_and_written_alike() {
        for series in ["6.1", "6.12", "newest"] {
            assert_eq!(series.parse::<Series>().unwrap().to_string(), series);
        }
        for wrong in ["6", "6.x", "", "latest", "6.1.0"] {
            assert!(wrong.parse::<Series>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_older_than_the_oldest_is_refused() {
        assert!(is_traced("6.1.0-50-cloud-amd64") && is_traced("7.3.4+deb13-cloud-amd64"));
        assert!(!is_traced("5.10.0-32-cloud-amd64"));
    }
}
