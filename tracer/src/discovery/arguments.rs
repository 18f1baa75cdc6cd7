//! What a balancer's command line says of its configuration. Pure.

use super::kind::Kind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// What a command line names; paths as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Configuration files, and HAProxy's directories, in their order.
    pub(super) files: Vec<PathBuf>,
    /// nginx's `-p`.
    pub(super) prefix: Option<PathBuf>,
    /// HAProxy's `-C`.
    pub(super) directory: Option<PathBuf>,
    /// Part of the configuration is on the command line itself, where nobody reads it.
    pub(super) inline: bool,
    /// It checks or tells something, or signals a balancer, and ends: it is none itself.
    pub(super) brief: bool,
}

/// What a process is to its balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It has the configuration and starts the others.
    Master,
    /// It is everything in one process.
    Single,
    /// It serves; one that is draining only ends what it has begun.
    Worker {
        /// Whether a newer one has taken its place.
        draining: bool,
    },
    /// It helps otherwise, such as nginx's cache manager.
    Helper,
}

/// What makes a command line unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// It can be read in two ways.
    #[error("names its configuration in a way that can be read as two different files")]
    Ambiguous,
    /// An option whose meaning, and whose value, is not known.
    #[error("has an option on its command line that is not known")]
    UnknownOption,
    /// Nobody wrote it.
    #[error("has a command line without end")]
    Endless,
}

/// What a process of nginx calls itself; one that has not said yet is everything in one process.
pub(super) fn nginx_part(cmdline: &[u8]) -> Part {
    let Some(title) = title(cmdline) else { return Part::Single };
    if title.starts_with(b"master process") {
        Part::Master
    } else if title.starts_with(b"single process") {
        Part::Single
    } else if title.starts_with(b"worker process") {
        Part::Worker { draining: contains(title, b"is shutting down") }
    } else {
        Part::Helper
    }
}

/// Reads the text of `/proc/PID/cmdline`.
pub(super) fn read(kind: Kind, cmdline: &[u8]) -> Result<Arguments, Unusable> {
    match kind {
        Kind::Nginx => match title(cmdline) {
            Some(title) => nginx_title(title),
            None => nginx(&split(cmdline)),
        },
        Kind::Haproxy => Ok(haproxy(&split(cmdline))),
        Kind::Envoy => Ok(envoy(&split(cmdline))),
    }
}

fn split(cmdline: &[u8]) -> Vec<&[u8]> {
    let text = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
    text.split(|&byte| byte == 0).collect()
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// What stands behind `nginx: ` where nginx has replaced its arguments.
fn title(cmdline: &[u8]) -> Option<&[u8]> {
    let text = cmdline.split(|&byte| byte == 0).next()?;
    let colon = text.iter().position(|&byte| byte == b':')?;
    let (name, rest) = text.split_at(colon);
    let rest = rest.strip_prefix(b": ")?;
    (Kind::of(name) == Some(Kind::Nginx)).then_some(rest)
}

/// `master process nginx -c FILE`; Angie: `master process v1.8.1 #2 [angie -c FILE]`.
fn nginx_title(title: &[u8]) -> Result<Arguments, Unusable> {
    const WORDS: usize = "master process ".len();
    let rest = title.get(WORDS..).unwrap_or_default();
    let bracket = rest.starts_with(b"v").then(|| rest.iter().position(|&byte| byte == b'[')).flatten();
    let joined = match bracket {
        Some(at) => {
            let inner = rest.get(at + 1..).unwrap_or_default();
            inner.strip_suffix(b"]").unwrap_or(inner)
        }
        None => rest,
    };
    let arguments = regroup(joined)?;
    nginx(&arguments.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Options of nginx that have a value, behind them or as the next argument.
const NGINX_VALUED: &[u8] = b"pcgse";

/// Finds the arguments again that nginx has joined by spaces. nginx refuses an argument that is no option, so that one
/// belongs to the value before it; what could be both is ambiguous.
fn regroup(joined: &[u8]) -> Result<Vec<Vec<u8>>, Unusable> {
    let mut arguments: Vec<Vec<u8>> = Vec::new();
    let mut files = [0_u32; 2];
    // Whether the next word is a value, and whether the last argument is one.
    let (mut wants_value, mut is_value) = (false, true);
    for word in joined.split(|&byte| byte == b' ') {
        if arguments.is_empty() || wants_value {
            arguments.push(word.to_vec());
            (wants_value, is_value) = (false, true);
        } else if let Some(option) = nginx_option(word) {
            match option.letter {
                Some(b'c') => files[0] += 1,
                Some(b'p') => files[1] += 1,
                _ => {}
            }
            // `-conf/x` may as well be the end of a name with a space before it.
            if option.attached && arguments.len() > 1 {
                return Err(Unusable::Ambiguous);
            }
            wants_value = option.letter.is_some() && !option.attached;
            is_value = option.attached;
            arguments.push(word.to_vec());
        } else {
            let last = arguments.last_mut().filter(|_| is_value).ok_or(Unusable::Ambiguous)?;
            last.push(b' ');
            last.extend_from_slice(word);
        }
    }
    if files.iter().any(|&count| count > 1) { Err(Unusable::Ambiguous) } else { Ok(arguments) }
}

struct NginxOption {
    /// That of the option with a value.
    letter: Option<u8>,
    /// Whether the value is in the same argument.
    attached: bool,
}

fn nginx_option(word: &[u8]) -> Option<NginxOption> {
    let letters = word.strip_prefix(b"-").filter(|letters| !letters.is_empty())?;
    match letters.iter().position(|letter| NGINX_VALUED.contains(letter)) {
        Some(at) if flags(letters.get(..at)?) => {
            Some(NginxOption { letter: letters.get(at).copied(), attached: at + 1 < letters.len() })
        }
        None if flags(letters) => Some(NginxOption { letter: None, attached: false }),
        _ => None,
    }
}

fn flags(letters: &[u8]) -> bool {
    letters.iter().all(|letter| b"?hvVtTq".contains(letter))
}

fn nginx(arguments: &[&[u8]]) -> Result<Arguments, Unusable> {
    let mut found = Arguments::default();
    let mut rest = arguments.iter().skip(1);
    // A dash alone is an option without letters to nginx.
    while let Some(argument) = rest.by_ref().find(|argument| **argument != b"-") {
        let option = nginx_option(argument).ok_or(Unusable::UnknownOption)?;
        let letters = argument.strip_prefix(b"-").unwrap_or_default();
        let at = option.letter.and_then(|letter| letters.iter().position(|&one| one == letter));
        let before = letters.get(..at.unwrap_or(letters.len())).unwrap_or_default();
        // All but `-q`, and signals.
        found.brief |= before.iter().any(|&letter| letter != b'q') || option.letter == Some(b's');
        let Some(at) = at else { continue };
        let attached = letters.get(at + 1..).filter(|value| !value.is_empty());
        let Some(value) = attached.or_else(|| rest.next().copied()) else { break };
        match option.letter {
            Some(b'c') => found.files = vec![path(value)],
            Some(b'p') => found.prefix = Some(path(value)),
            // Only what includes something or opens a block can say anything of pools.
            Some(b'g') => found.inline = contains(value, b"include") || value.contains(&b'{'),
            _ => {}
        }
    }
    Ok(found)
}

fn haproxy(arguments: &[&[u8]]) -> Arguments {
    let mut found = Arguments::default();
    let mut rest = arguments.iter().skip(1).copied().peekable();
    while let Some(argument) = rest.next() {
        if argument == b"--" {
            found.files.extend(rest.by_ref().map(path));
            break;
        }
        match argument.strip_prefix(b"-").and_then(|option| option.first()) {
            Some(b'f') => found.files.extend(rest.next().map(path)),
            Some(b'C') => found.directory = rest.next().map(path),
            // Checks the configuration or a condition; tells its version or its options.
            Some(b'c' | b'v' | b'h') => found.brief = true,
            Some(b'p' | b'n' | b'N' | b'm' | b'L' | b'x') => drop(rest.next()),
            Some(b'S') => drop(rest.next_if(|next| !next.starts_with(b"-"))),
            // Numbers of processes (-sf, -st) follow others; they begin with no dash and are skipped.
            _ => {}
        }
    }
    // It does not serve without: another program of that name.
    found.brief |= found.files.is_empty();
    found
}

fn envoy(arguments: &[&[u8]]) -> Arguments {
    let mut found = Arguments::default();
    let mut rest = arguments.iter().skip(1).copied();
    while let Some(argument) = rest.next() {
        let (name, value) = match argument.iter().position(|&byte| byte == b'=') {
            Some(at) if argument.starts_with(b"-") => (argument.get(..at), argument.get(at + 1..)),
            _ => (Some(argument), None),
        };
        match name {
            Some(b"-c" | b"--config-path") => {
                found.files = value.or_else(|| rest.next()).map(path).into_iter().collect();
            }
            Some(b"--config-yaml") => {
                found.inline = true;
                if value.is_none() {
                    rest.next();
                }
            }
            Some(b"--mode") => {
                let mode = value.or_else(|| rest.next());
                found.brief |= matches!(mode, Some(b"validate" | b"init_only"));
            }
            Some(b"--version" | b"--hot-restart-version" | b"--help" | b"-h") => found.brief = true,
            // Everything behind it is ignored.
            Some(b"--" | b"--ignore_rest") => break,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(kind: Kind, cmdline: &str) -> Vec<String> {
        let found = read(kind, cmdline.as_bytes()).unwrap();
        found.files.iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn the_title_of_nginx_gives_its_arguments_again() {
        for (title, expected) in [
            ("nginx: master process /usr/sbin/nginx -c /etc/nginx/nginx.conf\0\0\0", "/etc/nginx/nginx.conf"),
            ("nginx: master process nginx -g daemon off; -c /a.conf\0", "/a.conf"),
            ("nginx: master process nginx -c /a.conf -g daemon off; master_process on;", "/a.conf"),
            ("nginx: master process nginx -c/a.conf", "/a.conf"),
            ("nginx: master process nginx -qc /a.conf", "/a.conf"),
            ("nginx: master process nginx -c /my files/a  b.conf -q", "/my files/a  b.conf"),
            ("nginx: master process /opt/my nginx/nginx -c /a.conf", "/a.conf"),
            ("nginx: master process nginx -c /my - files/a -b.conf", "/my - files/a -b.conf"),
            ("nginx: master process nginx -g  -c /a.conf", "/a.conf"),
            ("angie: master process v1.8.1 #2 [angie -c /a.conf]\0", "/a.conf"),
            ("angie: single process v1.8.1 PRO #2 [angie -c /a[1].conf]\0", "/a[1].conf"),
        ] {
            assert_eq!(files(Kind::Nginx, title), [expected], "{title}");
        }
        assert_eq!(files(Kind::Nginx, "nginx: master process nginx -g daemon off;"), [""; 0]);
        let prefixed =
            read(Kind::Nginx, b"nginx: master process nginx -p /srv/a b -c conf/nginx.conf").unwrap();
        assert_eq!(prefixed.prefix, Some("/srv/a b".into()));
    }

    #[test]
    fn a_title_that_can_be_read_in_two_ways_is_refused() {
        for title in [
            "nginx: master process nginx -c /a -c /b",
            "nginx: master process nginx -c /my -conf/nginx.conf",
            "nginx: master process nginx -q lost -c /a",
            "nginx: master process nginx -p /a -q b -p /c",
        ] {
            assert_eq!(read(Kind::Nginx, title.as_bytes()), Err(Unusable::Ambiguous), "{title}");
        }
    }

    #[test]
    fn nginx_before_it_has_a_title_has_arguments() {
        assert_eq!(files(Kind::Nginx, "nginx\0-c\0/my file -c x\0-g\0daemon off;\0"), ["/my file -c x"]);
        assert_eq!(files(Kind::Nginx, "nginx\0-c\0/a\0-tc/b\0"), ["/b"], "the last one counts");
        assert_eq!(files(Kind::Nginx, "nginx\0-c\0"), [""; 0]);
        let params =
            |text: &str| read(Kind::Nginx, format!("nginx\0-g\0{text}\0").as_bytes()).unwrap().inline;
        assert!(params("include /x;") && params("http { }") && !params("daemon off;"));
    }

    #[test]
    fn the_parts_of_nginx_are_what_they_call_themselves() {
        for (title, part) in [
            ("nginx: master process nginx", Part::Master),
            ("nginx: worker process\0\0", Part::Worker { draining: false }),
            ("nginx: worker process is shutting down", Part::Worker { draining: true }),
            ("nginx: cache manager process", Part::Helper),
            ("angie: single process v1 #1 [angie]", Part::Single),
            ("angie: worker process #1", Part::Worker { draining: false }),
            ("nginx\0-c\0/a\0", Part::Single),
            ("", Part::Single),
            ("vim: worker process", Part::Single),
        ] {
            assert_eq!(nginx_part(title.as_bytes()), part, "{title}");
        }
    }

    #[test]
    fn every_file_of_haproxy_is_found() {
        for (cmdline, expected) in [
            (
                "haproxy\0-Ws\0-f\0/etc/haproxy/haproxy.cfg\0-p\0/run/haproxy.pid\0-S\0/run/m.sock\0",
                vec!["/etc/haproxy/haproxy.cfg"],
            ),
            ("haproxy\0-f\0a\0-f\0b.d\0-db\0", vec!["a", "b.d"]),
            ("haproxy\0-sf\09\098\0-x\0-f\0-f\0a\0", vec!["a"]),
            ("haproxy\0-W\0-S\0-f\0a\0--\0-b\0c\0", vec!["a", "-b", "c"]),
            ("haproxy\0-p\0-f\0-L\0-f\0-f\0-f\0", vec!["-f"]),
            ("haproxy\0-f\0", vec![]),
            ("haproxy\0", vec![]),
        ] {
            assert_eq!(files(Kind::Haproxy, cmdline), expected, "{cmdline}");
        }
        let moved = read(Kind::Haproxy, b"haproxy\0-C\0/srv\0-f\0a\0").unwrap();
        assert_eq!(moved.directory, Some("/srv".into()));
    }

    #[test]
    fn the_bootstrap_of_envoy_is_found_and_what_is_inline_is_known() {
        for cmdline in [
            "envoy\0-c\0/a.yaml\0--log-level\0info\0",
            "envoy\0--config-path\0/a.yaml\0",
            "envoy\0--config-path=/a.yaml\0",
            "envoy\0-c\0/x\0-c\0/a.yaml\0--\0-c\0/y\0",
        ] {
            assert_eq!(files(Kind::Envoy, cmdline), ["/a.yaml"], "{cmdline}");
        }
        let inline = read(Kind::Envoy, b"envoy\0--config-yaml\0-c\0-c\0/a\0").unwrap();
        assert_eq!((inline.inline, inline.files), (true, vec!["/a".into()]));
    }

    #[test]
    fn what_ends_at_once_is_no_balancer() {
        let brief = |kind, text: &str| read(kind, text.replace(' ', "\0").as_bytes()).unwrap().brief;
        for text in ["-t", "-T -c /a", "-c /a -t", "-qtc /a", "-v", "-V", "-h", "-?", "-s reload", "-sreload"]
        {
            assert!(brief(Kind::Nginx, &format!("nginx {text}")), "{text}");
        }
        for text in ["", " -q", " -c /a", " -c -t", " -p /srv -e /log", " -g -t", " - -q"] {
            assert!(!brief(Kind::Nginx, &format!("nginx{text}")), "{text}");
        }
        for text in ["-c -f a", "-f a -c", "-Ws -f a -c -q", "-v", "-vv", "-cc 1"] {
            assert!(brief(Kind::Haproxy, &format!("haproxy {text}")), "{text}");
        }
        for text in ["-V -f a", "-C /srv -f a", "-f -c", "-W -S -f a", "-f a -- -c"] {
            assert!(!brief(Kind::Haproxy, &format!("haproxy {text}")), "{text}");
        }
        for text in ["--mode validate -c a", "--mode=validate", "-c a --mode init_only", "--version"] {
            assert!(brief(Kind::Envoy, &format!("envoy {text}")), "{text}");
        }
        for text in ["--mode serve -c a", "-c --version", "-c a -- --mode validate"] {
            assert!(!brief(Kind::Envoy, &format!("envoy {text}")), "{text}");
        }
        assert!(!read(Kind::Nginx, b"nginx: master process nginx").unwrap().brief);
    }

    #[test]
    fn an_option_that_is_not_known_is_not_guessed() {
        for cmdline in ["nginx\0-xc\0/a\0", "nginx\0--config\0/a\0", "nginx\0-c\0/a\0lost\0", "nginx\0-k\0"] {
            assert_eq!(read(Kind::Nginx, cmdline.as_bytes()), Err(Unusable::UnknownOption), "{cmdline}");
        }
    }

    proptest! {
        #[test]
        fn any_command_line_is_read(text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(b' '), Just(b'-')], 0..200), titled in any::<bool>()) {
            let mut cmdline = if titled { b"nginx: master process ".to_vec() } else { Vec::new() };
            cmdline.extend(text);
            nginx_part(&cmdline);
            for kind in [Kind::Nginx, Kind::Haproxy, Kind::Envoy] {
                let _ = read(kind, &cmdline);
            }
        }

        #[test]
        fn a_file_without_dashes_is_found_in_any_title(name in "/[a-z/. ]{0,20}[a-z]") {
            let title = format!("nginx: master process nginx -c {name} -g daemon off;");
            prop_assert_eq!(files(Kind::Nginx, &title), [name]);
        }
    }
}
