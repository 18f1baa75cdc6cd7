//! What is wrong with a text before anything is known of what it should say: offset and message.

/// The text of a file.
///
/// # Errors
/// Where it stops being UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, (usize, String)> {
    std::str::from_utf8(bytes).map_err(|error| {
        (error.valid_up_to(), "is not UTF-8 from here on: save the file as UTF-8".to_owned())
    })
}

/// The TOML parser's complaint, on one line.
pub(crate) fn toml_problem(error: &toml::de::Error) -> (usize, String) {
    let message = error.message().lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let offset = error.span().map_or(0, |span| span.start);
    if message == "duplicate key" {
        return (offset, "this key is there twice: keep one".into());
    }
    (offset, message)
}
