//! What is wrong with a pools file, and where.

/// A problem in a pools file: place, what is wrong, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", self.place())]
pub struct PoolsFileError {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is the problem (missing, a directory, too large).
    pub line: usize,
    /// Column in characters, from 1; 0 as above.
    pub column: usize,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl PoolsFileError {
    /// A problem of the file as a whole.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }

    fn place(&self) -> String {
        if self.line == 0 {
            self.file.clone()
        } else {
            format!("{}:{}:{}", self.file, self.line, self.column)
        }
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    /// Where the byte `offset` of `text` is. Bytes that are no UTF-8 count as one column each.
    pub(super) fn of(text: &[u8], offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: 1 + String::from_utf8_lossy(&before[line_start..]).chars().count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "ab\nä=é!".as_bytes();
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 3), Position { line: 2, column: 1 });
        assert_eq!(Position::of(text, 8), Position { line: 2, column: 4 });
        assert_eq!(Position::of(text, 99), Position { line: 2, column: 5 });
    }

    #[test]
    fn errors_name_the_place_first() {
        let mut error = PoolsFileError::of_file("pools.toml", "no such file");
        assert_eq!(error.to_string(), "pools.toml: no such file");
        (error.line, error.column) = (3, 14);
        assert_eq!(error.to_string(), "pools.toml:3:14: no such file");
    }
}
