//! Reading the files of one configuration, within limits.

use super::surroundings::Surroundings;
use glob::{MatchOptions, Pattern};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Files of one configuration, and their bytes together: far beyond what anybody has, and a bound for who lies.
const MOST_FILES: usize = 4_096;
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Names that a pattern is compared with.
const MOST_NAMES: usize = 65_536;

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
    bytes: usize,
    names: usize,
}

/// As glob(3) without flags: a star does not match a dot at the beginning.
const AS_GLOB: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

impl<'a> Reading<'a> {
    /// Nothing is read yet.
    pub fn new(surroundings: &'a mut dyn Surroundings) -> Self {
        Self { surroundings, files: Vec::new(), directories: Vec::new(), bytes: 0, names: 0 }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// Why not, and the remedy, to stand behind the name of the file.
    pub fn read(&mut self, path: &Path) -> Result<Arc<[u8]>, String> {
        if self.files.len() >= MOST_FILES {
            return Err(format!("is one file too many: a configuration has at most {MOST_FILES}"));
        }
        let bytes: Arc<[u8]> = self.surroundings.read(path)?.into();
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
            let pattern = name.to_str().and_then(|name| Pattern::new(name).ok());
            let pattern = pattern.ok_or("is no pattern: check its brackets")?;
            let mut next = Vec::new();
            for directory in found {
                // As glob(3): what cannot be listed matches nothing.
                let mut names = self.list(&directory).unwrap_or_default();
                names.retain(|name| pattern.matches_with(&name.to_string_lossy(), AS_GLOB));
                self.names += names.len();
                if self.names > MOST_NAMES {
                    return Err(format!("matches more than {MOST_NAMES} files: narrow the pattern"));
                }
                next.extend(names.into_iter().map(|name| directory.join(name)));
            }
            found = next;
        }
        Ok(found)
    }

    /// The names in a directory, sorted by their bytes.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn list(&mut self, directory: &Path) -> std::io::Result<Vec<std::ffi::OsString>> {
        let listed = if directory == Path::new("") { Path::new(".") } else { directory };
        let names = self.surroundings.list(listed);
        if !self.directories.iter().any(|known| known == listed) && self.directories.len() < MOST_FILES {
            self.directories.push(listed.to_owned());
        }
        let mut names = names?;
        names.sort_unstable();
        Ok(names)
    }

    /// An environment variable of the balancer.
    pub fn variable(&mut self, name: &str) -> Option<String> {
        self.surroundings.variable(name)
    }
}

fn has_wildcard(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::io;

    /// Files that are nowhere.
    #[derive(Clone, Debug, Default)]
    pub(in crate::imports) struct Invented {
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
