//! HAProxy: `backend` and `listen` sections.

use super::{Imported, Surroundings, Unreadable};
use std::path::PathBuf;

/// Reads HAProxy's configuration: its files and directories (`-f`), in their order.
///
/// # Errors
/// When HAProxy would refuse it.
pub fn import(files: &[PathBuf], surroundings: &mut dyn Surroundings) -> Result<Imported, Unreadable> {
    let mut reading = super::Reading::new(surroundings);
    for file in files {
        let _ = reading.read(file);
    }
    Ok(Imported { files: reading.files, directories: reading.directories, ..Imported::default() })
}
