//! Text as it is meant to be, in files of `tests/fixtures`.

use std::path::Path;

/// Set: what is made now is what is wanted from now on.
const UPDATE: &str = "TRACER_UPDATE_FIXTURES";

/// Asserts that a text is as in `tests/fixtures/{name}`.
#[track_caller]
pub(crate) fn is_as_in(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(wanted == text, "{name} is otherwise now; if that is meant, run once with {UPDATE}=1:\n{text}");
}
