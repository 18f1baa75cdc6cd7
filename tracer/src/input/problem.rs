//! What is wrong with a file that the user wrote, and where.

/// A problem in a file that the user wrote: place, what is wrong, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", self.place())]
pub struct InputError {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is the problem (missing, a directory, too large).
    pub line: usize,
    /// Column in characters, from 1; 0 as above.
    pub column: usize,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl InputError {
    /// A problem of the file as a whole.
    pub(crate) fn of_file(file: &str, message: impl Into<String>) -> Self {
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
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Turns byte offsets of a text into places; fast when they are asked for in order, even in one very long line.
#[derive(Debug)]
pub(crate) struct Positions<'a> {
    text: &'a [u8],
    line_starts: Vec<usize>,
    /// The last place given, with its offset.
    last: (usize, Position),
}

impl<'a> Positions<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let newlines = text.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(offset, _)| offset + 1)).collect();
        Self { text, line_starts, last: (0, Position { line: 1, column: 1 }) }
    }

    /// Where the byte `offset` is, the end of the text for what is beyond. Bytes that are no UTF-8 count as characters.
    pub(crate) fn of(&mut self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let (last_offset, last) = self.last;
        let (from, column) = if last.line == line && last_offset <= offset {
            (last_offset, last.column)
        } else {
            (self.line_starts[line - 1], 1)
        };
        let column = column + String::from_utf8_lossy(&self.text[from..offset]).chars().count();
        self.last = (offset, Position { line, column });
        self.last.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let mut positions = Positions::new("ab\nä=é!".as_bytes());
        for (offset, line, column) in
            [(0, 1, 1), (2, 1, 3), (3, 2, 1), (5, 2, 2), (8, 2, 4), (5, 2, 2), (99, 2, 5)]
        {
            assert_eq!(positions.of(offset), Position { line, column }, "byte {offset}");
        }
    }

    #[test]
    fn errors_name_the_place_first() {
        let mut error = InputError::of_file("pools.toml", "no such file");
        assert_eq!(error.to_string(), "pools.toml: no such file");
        (error.line, error.column) = (3, 14);
        assert_eq!(error.to_string(), "pools.toml:3:14: no such file");
    }
}
