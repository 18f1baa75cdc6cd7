//! nginx: `upstream` blocks of `http` and `stream`, and what is passed to an address directly.

use super::{Imported, Surroundings, Unreadable};
use std::path::Path;

/// Reads nginx's configuration from its main file on.
///
/// # Errors
/// When nginx would refuse it.
pub fn import(main: &Path, surroundings: &mut dyn Surroundings) -> Result<Imported, Unreadable> {
    let mut reading = super::Reading::new(surroundings);
    let _ = reading.read(main);
    Ok(Imported { files: reading.files, directories: reading.directories, ..Imported::default() })
}
