//! Envoy: static clusters of its bootstrap configuration.

use super::{Imported, Surroundings, Unreadable};
use std::path::Path;

/// Reads Envoy's bootstrap configuration, YAML or JSON.
///
/// # Errors
/// When Envoy would refuse it.
pub fn import(bootstrap: &Path, surroundings: &mut dyn Surroundings) -> Result<Imported, Unreadable> {
    let mut reading = super::Reading::new(surroundings);
    let _ = reading.read(bootstrap);
    Ok(Imported { files: reading.files, directories: reading.directories, ..Imported::default() })
}
