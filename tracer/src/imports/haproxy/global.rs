//! The section `global`, as far as it matters: variables, and where HAProxy can be asked.

use super::environment::Environment;
use super::words::Line;
use crate::imports::Reading;
use std::path::PathBuf;

/// What it says.
#[derive(Debug, Default)]
pub(super) struct Global {
    /// Stands before the path of every socket behind it.
    prefix: String,
    /// The first stats socket that has a path.
    pub(super) socket: Option<PathBuf>,
}

impl Global {
    /// Takes in a line. `uncertain`: it may not be in force.
    ///
    /// # Errors
    /// When HAProxy would refuse it.
    pub(super) fn read(
        &mut self,
        line: &Line<'_>,
        uncertain: bool,
        environment: &mut Environment,
        reading: &mut Reading<'_>,
    ) -> Result<(), &'static str> {
        let names = || line.words.iter().skip(1).map(|word| word.text.as_str());
        match line.text(0) {
            "setenv" | "presetenv" if line.words.len() < 3 => {
                Err("this line lacks words: write the variable's name and its value")
            }
            "setenv" => environment.set(line.text(1), line.text(2), uncertain),
            "presetenv" => environment.preset(reading, line.text(1), line.text(2), uncertain),
            "unsetenv" => {
                names().for_each(|name| environment.unset(name, uncertain));
                Ok(())
            }
            "resetenv" => {
                environment.reset(names());
                Ok(())
            }
            "unix-bind" => {
                if let Some(prefix) = names().skip_while(|&word| word != "prefix").nth(1) {
                    prefix.clone_into(&mut self.prefix);
                }
                Ok(())
            }
            "stats" if line.text(1) == "socket" && self.socket.is_none() => {
                self.socket = self.path(line.text(2));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn path(&self, address: &str) -> Option<PathBuf> {
        let path = ["unix@", "uxst@"].iter().find_map(|prefix| address.strip_prefix(prefix));
        // A path without a prefix begins with a slash; all else is another kind of address.
        let path = path.or(Some(address).filter(|address| address.starts_with('/')))?;
        // One that is relative is so to where HAProxy was started, which is not known here.
        Some(PathBuf::from(format!("{}{path}", self.prefix))).filter(|path| path.is_absolute())
    }
}
