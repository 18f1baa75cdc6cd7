//! Reading the files of one configuration, within limits.

use super::pattern::{has_wildcard, matches, parse};
use super::surroundings::{MOST_NAMES, Surroundings};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Files of one configuration, and their bytes together: far beyond what anybody has, and a bound for who lies.
const MOST_FILES: usize = 4_096;
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How often a name is compared with a pattern: a second's work.
const MOST_COMPARED: usize = 1_000_000;

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As it was opened, and as places name it.
    pub path: PathBuf,
    /// What was in it.
    pub bytes: Arc<[u8]>,
}

/// Reads, and keeps what was read.
pub struct Reading<'a> {
    surroundings: &'a mut dyn Surroundings,
    /// What was read so far.
    pub files: Vec<SourceFile>,
    /// Directories that were listed so far.
    pub directories: Vec<PathBuf>,
    /// Files that could not be read so far.
    pub missing: Vec<PathBuf>,
    bytes: usize,
    /// Names in what was listed, and how often one was compared with a pattern.
    names: usize,
    compared: usize,
    /// What patterns were compared with: thousands of them may name the same directory.
    listings: HashMap<PathBuf, Arc<[OsString]>>,
}

impl<'a> Reading<'a> {
    /// Nothing is read yet.
    pub fn new(surroundings: &'a mut dyn Surroundings) -> Self {
        Self {
            surroundings,
            files: Vec::new(),
            directories: Vec::new(),
            missing: Vec::new(),
            bytes: 0,
            names: 0,
            compared: 0,
            listings: HashMap::new(),
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// Why not, and the remedy, to stand behind the name of the file.
    pub fn read(&mut self, path: &Path) -> Result<Arc<[u8]>, String> {
        if self.files.len() >= MOST_FILES {
            return Err(format!("is one file too many: a configuration has at most {MOST_FILES}"));
        }
        let read = self.surroundings.read(path);
        if read.is_err() && self.missing.len() < MOST_FILES {
            self.missing.push(path.to_owned());
        }
        let bytes: Arc<[u8]> = read?.into();
        self.bytes += bytes.len();
        if self.bytes > MOST_BYTES {
            return Err(format!(
                "makes the configuration larger than {} MiB, which none is: name the right file",
                MOST_BYTES >> 20
            ));
        }
        self.files.push(SourceFile { path: path.to_owned(), bytes: Arc::clone(&bytes) });
        Ok(bytes)
    }

    /// The files that a pattern of glob(3) names, in its order. A pattern without wildcards names one file, whether it is
    /// there or not.
    ///
    /// # Errors
    /// When the pattern is none, or is compared with too many names.
    pub fn glob(&mut self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let mut found = vec![PathBuf::new()];
        for component in pattern.components() {
            let Component::Normal(name) = component else {
                found.iter_mut().for_each(|path| path.push(component));
                continue;
            };
            if !has_wildcard(name) {
                found.iter_mut().for_each(|path| path.push(name));
                continue;
            }
            let pattern = name.to_str().and_then(parse).ok_or("is no pattern: check its brackets")?;
            let mut next = Vec::new();
            for directory in found {
                let names = self.listing(&directory)?;
                self.compared += names.len();
                if self.compared > MOST_COMPARED {
                    return Err(format!(
                        "is one pattern too many: they are compared with more than {MOST_COMPARED} names; move what \
                         they name to smaller directories"
                    ));
                }
                let matching = names.iter().filter(|name| matches(&pattern, name));
                next.extend(matching.map(|name| directory.join(name)));
            }
            found = next;
        }
        Ok(found)
    }

    /// The names in a directory, sorted; listed once, since patterns are many.
    fn listing(&mut self, directory: &Path) -> Result<Arc<[OsString]>, String> {
        if let Some(known) = self.listings.get(directory) {
            return Ok(Arc::clone(known));
        }
        let names: Arc<[OsString]> = match self.list(directory) {
            Ok(names) => names.into(),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(error.to_string()),
            // As glob(3): what cannot be listed matches nothing.
            Err(_) => Arc::default(),
        };
        self.names += names.len();
        if self.names > MOST_NAMES {
            return Err(format!(
                "is in directories of more than {MOST_NAMES} files together: move the right ones elsewhere"
            ));
        }
        if self.listings.len() < MOST_FILES {
            self.listings.insert(directory.to_owned(), Arc::clone(&names));
        }
        Ok(names)
    }

    /// The names in a directory, sorted by their bytes.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        let listed = if directory == Path::new("") { Path::new(".") } else { directory };
        let names = self.surroundings.list(listed);
        if !self.directories.iter().any(|known| known == listed) && self.directories.len() < MOST_FILES {
            self.directories.push(listed.to_owned());
        }
        let mut names = names?;
        // It could not be read as a file because it is none.
        self.missing.retain(|path| path != listed);
        names.sort_unstable();
        Ok(names)
    }

    /// An environment variable of the balancer.
    pub fn variable(&mut self, name: &str) -> Option<String> {
        self.surroundings.variable(name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Files that are nowhere.
    #[derive(Clone, Debug, Default)]
    pub(in crate::imports) struct Invented {
        pub(in crate::imports) listed: usize,
        pub(in crate::imports) files: BTreeMap<PathBuf, Vec<u8>>,
        pub(in crate::imports) variables: BTreeMap<String, String>,
    }

    impl Invented {
        pub(in crate::imports) fn file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
            self.files.insert(path.into(), text.into());
            self
        }
    }

    impl Surroundings for Invented {
        fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
            self.files.get(path).cloned().ok_or_else(|| "no such file: check the path".into())
        }

        fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
            self.listed += 1;
            let below = self.files.keys().filter_map(|path| path.strip_prefix(directory).ok());
            let mut names: Vec<OsString> =
                below.filter_map(|path| Some(path.components().next()?.as_os_str().to_owned())).collect();
            names.dedup();
            if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
        }

        fn variable(&mut self, name: &str) -> Option<String> {
            self.variables.get(name).cloned()
        }
    }

    fn globbed(pattern: &str) -> Vec<String> {
        let mut files = Invented::default()
            .file("/etc/nginx/conf.d/b.conf", "")
            .file("/etc/nginx/conf.d/a.conf", "")
            .file("/etc/nginx/conf.d/.hidden.conf", "")
            .file("/etc/nginx/conf.d/a.conf.bak", "")
            .file("/etc/nginx/sites/one/x.conf", "")
            .file("/etc/nginx/sites/two/y.conf", "");
        let found = Reading::new(&mut files).glob(Path::new(pattern)).unwrap();
        found.into_iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn patterns_are_those_of_glob() {
        assert_eq!(
            globbed("/etc/nginx/conf.d/*.conf"),
            ["/etc/nginx/conf.d/a.conf", "/etc/nginx/conf.d/b.conf"]
        );
        assert_eq!(globbed("/etc/nginx/sites/*/?.conf").len(), 2);
        assert_eq!(globbed("/etc/nginx/sites/[!o]*/y.conf"), ["/etc/nginx/sites/two/y.conf"]);
        assert_eq!(globbed("/nowhere/*.conf"), [""; 0], "what is not there matches nothing");
        assert_eq!(globbed("/nowhere/plain.conf"), ["/nowhere/plain.conf"], "and a plain name is itself");
    }

    #[test]
    fn a_pattern_that_is_odd_is_what_glob_takes_it_for() {
        assert_eq!(globbed("/etc/nginx/conf.d/a**.conf"), ["/etc/nginx/conf.d/a.conf"]);
        assert_eq!(globbed("/etc/nginx/conf.d/***.bak"), ["/etc/nginx/conf.d/a.conf.bak"]);
        assert_eq!(globbed("/etc/nginx/conf.d/[a.conf"), [""; 0]);
        let mut files = Invented::default().file("/d/[a.conf", "").file("/d/a.conf", "");
        let found = Reading::new(&mut files).glob(Path::new("/d/[*.conf")).unwrap();
        assert_eq!(found, [Path::new("/d/[a.conf")]);
    }

    #[test]
    fn names_are_listed_once_and_compared_so_often() {
        let mut files = Invented::default();
        for number in 0..1_000 {
            files = files.file(&format!("/d/{number}.conf"), "");
        }
        let mut reading = Reading::new(&mut files);
        for _ in 0..MOST_COMPARED / 1_000 {
            assert_eq!(reading.glob(Path::new("/d/*.nomatch")).unwrap(), [""; 0].map(PathBuf::from));
        }
        assert!(reading.glob(Path::new("/d/*.nomatch")).unwrap_err().contains("one pattern too many"));
        assert_eq!(files.listed, 1);
    }

    #[test]
    fn a_directory_without_end_is_refused_rather_than_taken_for_empty() {
        struct Endless;
        impl Surroundings for Endless {
            fn read(&mut self, _: &Path) -> Result<Vec<u8>, String> {
                Err("no such file".into())
            }
            fn list(&mut self, _: &Path) -> io::Result<Vec<OsString>> {
                Err(crate::imports::too_many_names())
            }
            fn variable(&mut self, _: &str) -> Option<String> {
                None
            }
        }
        let refused = Reading::new(&mut Endless).glob(Path::new("/d/*")).unwrap_err();
        assert!(refused.contains("more than 65536 files"), "{refused}");
    }

    #[test]
    fn what_could_not_be_read_is_told() {
        let mut files = Invented::default().file("/d/a.conf", "");
        let mut reading = Reading::new(&mut files);
        let _ = reading.read(Path::new("/d/b.conf"));
        let _ = reading.read(Path::new("/d"));
        reading.list(Path::new("/d")).unwrap();
        assert_eq!(reading.missing, [Path::new("/d/b.conf")]);
    }

    #[test]
    fn what_is_read_is_bounded() {
        let mut files = Invented::default().file("/large", vec![b' '; 40 << 20]);
        let mut reading = Reading::new(&mut files);
        reading.read(Path::new("/large")).unwrap();
        assert!(reading.read(Path::new("/large")).unwrap_err().contains("larger than 64 MiB"));
        let mut files = Invented::default().file("/small", "");
        let mut reading = Reading::new(&mut files);
        (0..MOST_FILES).for_each(|_| drop(reading.read(Path::new("/small")).unwrap()));
        assert!(reading.read(Path::new("/small")).unwrap_err().contains("too many"));
    }
}
