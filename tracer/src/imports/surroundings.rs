//! What an importer can ask for beyond the text: files, directories, environment variables.

use crate::input::read_file;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Names in one directory: far beyond what anybody has, and a bound for who lies.
pub const MOST_NAMES: usize = 65_536;

/// A directory holds more names than [`MOST_NAMES`].
#[must_use]
pub fn too_many_names() -> io::Error {
    let message = format!("is in a directory of more than {MOST_NAMES} files: move the right ones elsewhere");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Where a configuration is read: this host's files, those a running balancer sees, or a test's.
pub trait Surroundings {
    /// The bytes of a file. Paths are as the balancer would open them.
    ///
    /// # Errors
    /// Why not, and the remedy, to stand behind the name of the file.
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::FileTooLarge`] for more than [`MOST_NAMES`].
    fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// An environment variable of the balancer. Only those that the configuration refers to are asked for.
    fn variable(&mut self, name: &str) -> Option<String>;
}

/// This host's files and our own environment, as for a balancer that was started by hand here.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostSurroundings;

impl Surroundings for HostSurroundings {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        read_file(path, "configuration file").map_err(|error| error.message)
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        let names = std::fs::read_dir(directory)?.take(MOST_NAMES + 1);
        let names = names.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        if names.len() > MOST_NAMES { Err(too_many_names()) } else { Ok(names) }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
