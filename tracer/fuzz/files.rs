//! An input as the files of a configuration, and what holds of whatever an importer makes of it. Shared by the fuzz targets
//! and the test that replays their corpus.
//!
//! A line `--- file: NAME` begins another file, beside the main one; the environment variable X is the file `env/X`.

use super::{Imported, Severity, Surroundings, Unreadable};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/etc/balancer";
const SEPARATOR: &[u8] = b"--- file: ";

/// The file that an importer is given.
pub(crate) fn main_file() -> PathBuf {
    Path::new(DIRECTORY).join("main")
}

/// Files that are nowhere.
pub(crate) struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    /// The files of an input.
    pub(crate) fn of(input: &[u8]) -> Self {
        let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        let mut path = main_file();
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            let name = line.strip_prefix(SEPARATOR).and_then(|name| std::str::from_utf8(name).ok());
            match name {
                Some(name) => path = Path::new(DIRECTORY).join(name.trim_end()),
                None => files.entry(path.clone()).or_default().extend_from_slice(line),
            }
        }
        files.entry(main_file()).or_default();
        Self(files)
    }
}

impl Surroundings for Files {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file: check the path".into())
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        let below = self.0.keys().filter_map(|path| path.strip_prefix(directory).ok());
        let names = below.filter_map(|path| Some(path.components().next()?.as_os_str().to_owned()));
        let names: BTreeSet<OsString> = names.collect();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names.into_iter().collect()) }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        let bytes = self.0.get(&Path::new(DIRECTORY).join("env").join(name))?;
        String::from_utf8(bytes.clone()).ok()
    }
}

/// Panics where what an importer gives cannot be.
pub(crate) fn hold(found: Result<Imported, Unreadable>) {
    let is_error = |severity| severity == Severity::Error;
    match found {
        Err(unreadable) => {
            let errors = unreadable.problems.iter().filter(|problem| is_error(problem.severity));
            assert!(errors.count() > 0, "refused without an error");
        }
        Ok(imported) => {
            let names: BTreeSet<&str> = imported.pools.pools.iter().map(|pool| pool.name.as_str()).collect();
            assert_eq!(names.len(), imported.pools.pools.len(), "two pools with one name");
            for member in imported.pools.pools.iter().flat_map(|pool| &pool.members) {
                assert!(member.weight.is_finite() && member.weight >= 0.0, "weight {}", member.weight);
            }
            // Goes through every member and address.
            let _ = imported.pools.host_names();
            let _ = imported.pools.resolve(&Default::default(), true);
        }
    }
}
