//! Where a balancer looks for the files that its command line names. Pure.

use super::arguments::Arguments;
use super::kind::Kind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What nginx was built with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// What relative names are relative to; `None`: not known.
    pub(super) prefix: Option<PathBuf>,
    /// The configuration when none is named.
    pub(super) file: PathBuf,
}

impl Built {
    /// From the bytes of the executable, which holds its configure line for `nginx -V`. Nothing is ever executed.
    pub(super) fn of_executable(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.split(|byte| byte.is_ascii_whitespace() || *byte == 0);
        let (mut prefix, mut file, mut configured) = (None, None, false);
        let value = |text: &[u8]| -> Option<PathBuf> {
            let end = text.iter().position(|byte| b"'\"".contains(byte) || !byte.is_ascii_graphic());
            let value = text.get(..end.unwrap_or(text.len())).filter(|value| !value.is_empty())?;
            Some(OsStr::from_bytes(value).into())
        };
        while let Some(word) = words.next() {
            if let Some(text) = word.strip_prefix(b"--prefix=") {
                prefix = prefix.or_else(|| value(text));
            } else if let Some(text) = word.strip_prefix(b"--conf-path=") {
                file = file.or_else(|| value(text));
            } else if word == b"configure" {
                configured |= words.next() == Some(b"arguments:");
            }
        }
        // Without the options, these are what its configure script takes.
        (configured || file.is_some()).then(|| Self {
            prefix: prefix.or_else(|| Some("/usr/local/nginx".into())),
            file: file.unwrap_or_else(|| "conf/nginx.conf".into()),
        })
    }

    /// What distributions build it with.
    pub(super) fn usual(command: &str) -> Self {
        let file = match command {
            "angie" | "angie-debug" => "/etc/angie/angie.conf",
            "openresty" => "/usr/local/openresty/nginx/conf/nginx.conf",
            _ => "/etc/nginx/nginx.conf",
        };
        Self { prefix: None, file: file.into() }
    }
}

/// The files, as paths in the balancer's own root.
///
/// # Errors
/// Why they cannot be said.
pub(super) fn place(
    kind: Kind,
    arguments: &Arguments,
    built: Option<&Built>,
    working_directory: Option<&Path>,
) -> Result<Vec<PathBuf>, &'static str> {
    match kind {
        Kind::Nginx => place_nginx(arguments, built, working_directory).map(|file| vec![file]),
        Kind::Haproxy | Kind::Envoy if arguments.files.is_empty() => Err("names no configuration file"),
        Kind::Haproxy => {
            // A relative -C was gone to when it started: that is the working directory.
            let moved = arguments.directory.as_deref().filter(|directory| directory.is_absolute());
            let base = moved.or(working_directory);
            arguments.files.iter().map(|file| join(base, file)).collect()
        }
        Kind::Envoy => arguments.files.iter().map(|file| join(working_directory, file)).collect(),
    }
}

fn place_nginx(
    arguments: &Arguments,
    built: Option<&Built>,
    working_directory: Option<&Path>,
) -> Result<PathBuf, &'static str> {
    let file = arguments.files.first().or(built.map(|built| &built.file));
    let file = file.ok_or("does not say which configuration it uses")?;
    if file.is_absolute() {
        return Ok(file.clone());
    }
    let prefix = match &arguments.prefix {
        Some(prefix) => Some(join(working_directory, prefix)?),
        None => built.and_then(|built| built.prefix.clone()),
    };
    join(prefix.as_deref(), file)
}

fn join(base: Option<&Path>, path: &Path) -> Result<PathBuf, &'static str> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let base = base.filter(|base| base.is_absolute());
    Ok(base.ok_or("names its configuration relative to a directory that is not known")?.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nginx(
        file: Option<&str>,
        prefix: Option<&str>,
        built: Option<&Built>,
    ) -> Result<String, &'static str> {
        let arguments = Arguments {
            files: file.map(PathBuf::from).into_iter().collect(),
            prefix: prefix.map(PathBuf::from),
            ..Arguments::default()
        };
        let placed = place(Kind::Nginx, &arguments, built, Some(Path::new("/here")))?;
        assert_eq!(placed.len(), 1);
        Ok(placed[0].display().to_string())
    }

    #[test]
    fn nginx_looks_below_its_prefix() {
        let debian = Built { prefix: Some("/usr/share/nginx".into()), file: "/etc/nginx/nginx.conf".into() };
        let plain = Built { prefix: Some("/usr/local/nginx".into()), file: "conf/nginx.conf".into() };
        let of = |file, prefix, built| nginx(file, prefix, Some(built)).unwrap();
        assert_eq!(of(None, None, &debian), "/etc/nginx/nginx.conf");
        assert_eq!(of(None, Some("/srv"), &debian), "/etc/nginx/nginx.conf", "it is absolute");
        assert_eq!(of(None, None, &plain), "/usr/local/nginx/conf/nginx.conf");
        assert_eq!(of(None, Some("/srv/"), &plain), "/srv/conf/nginx.conf");
        assert_eq!(of(Some("a.conf"), None, &debian), "/usr/share/nginx/a.conf");
        assert_eq!(of(Some("a.conf"), Some("."), &debian), "/here/./a.conf");
        assert_eq!(of(Some("/a.conf"), Some("x"), &debian), "/a.conf");
        assert_eq!(nginx(None, None, Some(&Built::usual("angie"))).unwrap(), "/etc/angie/angie.conf");
        assert!(
            nginx(Some("a.conf"), None, Some(&Built::usual("nginx"))).is_err(),
            "its prefix is not known"
        );
        assert!(nginx(None, None, None).is_err());
    }

    #[test]
    fn what_nginx_was_built_with_is_in_its_executable() {
        let debian = b"\x7fELF\0\0configure arguments: --with-cc-opt='-g -O2' --prefix=/usr/share/nginx \
                       --conf-path=/etc/nginx/nginx.conf --pid-path=/run/nginx.pid\0more --prefix=/x\0";
        let built = Built::of_executable(debian).unwrap();
        assert_eq!(built.prefix, Some("/usr/share/nginx".into()));
        assert_eq!(built.file, Path::new("/etc/nginx/nginx.conf"));
        let plain = Built::of_executable(b"\0configure arguments: --with-debug\0").unwrap();
        assert_eq!((plain.prefix, plain.file), (Some("/usr/local/nginx".into()), "conf/nginx.conf".into()));
        assert_eq!(Built::of_executable(b"\x7fELF nothing of the kind"), None);
    }

    #[test]
    fn haproxy_and_envoy_look_where_they_were_started() {
        let named = |files: &[&str], directory: Option<&str>| Arguments {
            files: files.iter().map(PathBuf::from).collect(),
            directory: directory.map(PathBuf::from),
            ..Arguments::default()
        };
        let at = |kind, arguments: &Arguments| place(kind, arguments, None, Some(Path::new("/here")));
        let paths = |paths: &[&str]| Ok(paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert!(at(Kind::Haproxy, &named(&[], None)).is_err());
        assert_eq!(at(Kind::Haproxy, &named(&["a", "/b"], None)), paths(&["/here/a", "/b"]));
        assert_eq!(at(Kind::Haproxy, &named(&["a"], Some("/srv"))), paths(&["/srv/a"]));
        assert_eq!(at(Kind::Haproxy, &named(&["a"], Some("srv"))), paths(&["/here/a"]));
        assert_eq!(at(Kind::Envoy, &named(&["a.yaml"], None)), paths(&["/here/a.yaml"]));
        assert!(at(Kind::Envoy, &named(&[], None)).is_err());
        assert!(place(Kind::Envoy, &named(&["a.yaml"], None), None, None).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_may_be_an_executable(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut executable = b"configure arguments: --conf-path=".to_vec();
            executable.extend(&bytes);
            let _ = Built::of_executable(&bytes);
            prop_assert!(Built::of_executable(&executable).is_some());
        }
    }
}
