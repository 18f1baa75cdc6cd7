//! nginx's words: bytes → statements and blocks, as `ngx_conf_read_token` reads them.

use super::lua;
use crate::imports::is_vouching;
use std::borrow::Cow;

/// nginx reads into a buffer of this size, and a word or comment has to leave a byte of it.
const BUFFER: usize = 4_096;
/// Words of a statement: far beyond any that there is.
const MOST_WORDS: usize = 65_536;

/// Where something begins; both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A directive's name or parameter, without its quotes and escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: Cow<'a, [u8]>,
    pub(super) at: Spot,
    pub(super) quoted: bool,
}

/// What stands next in the text; words are at least one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// Words, then `;`.
    Simple(Vec<Word<'a>>),
    /// Words, then `{`.
    Open(Vec<Word<'a>>),
    /// `}`.
    Close,
    /// The end of the file.
    End,
}

/// Why nginx refuses the text, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Spot,
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

/// Reads a text, item by item.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    offset: usize,
    here: Spot,
    /// Lines with a comment that vouches for them, so far.
    pub(super) vouched: Vec<usize>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, offset: 0, here: Spot { line: 1, column: 1 }, vouched: Vec::new() }
    }

    /// Where the next byte is.
    pub(super) fn here(&self) -> Spot {
        self.here
    }

    /// # Errors
    /// When nginx would refuse the text there.
    pub(super) fn next(&mut self) -> Result<Item<'a>, Fault> {
        if self.offset == 0 && self.text.starts_with(b"\xef\xbb\xbf") {
            return Err(self.fault("the file begins with a byte order mark", "save it as UTF-8 without one"));
        }
        let mut words: Vec<Word<'a>> = Vec::new();
        loop {
            self.skip_space()?;
            let Some(byte) = self.peek() else {
                return if words.is_empty() {
                    Ok(Item::End)
                } else {
                    Err(self.fault("the file ends within a directive", "end the directive with ';'"))
                };
            };
            match byte {
                b';' | b'{' if words.is_empty() => {
                    let message =
                        if byte == b';' { "';' ends no directive" } else { "'{' opens no directive's block" };
                    return Err(self.fault(message, "take it away, or write the directive before it"));
                }
                b';' => {
                    self.advance();
                    return Ok(Item::Simple(words));
                }
                b'{' => {
                    self.advance();
                    return Ok(Item::Open(words));
                }
                b'}' if words.is_empty() => {
                    self.advance();
                    return Ok(Item::Close);
                }
                b'}' => {
                    return Err(self.fault("'}' stands within a directive", "end the directive with ';'"));
                }
                _ if words.len() == MOST_WORDS => {
                    return Err(self.fault("the directive has too many parameters", "is a ';' missing?"));
                }
                b'"' | b'\'' => words.push(self.quoted(byte)?),
                _ => words.push(self.bare()?),
            }
        }
    }

    /// Skips the rest of a block of Lua, its closing brace included.
    ///
    /// # Errors
    /// When it is not closed.
    pub(super) fn skip_lua(&mut self) -> Result<(), Fault> {
        let at = self.here;
        let Some(length) = lua::block(self.rest()) else {
            return Err(Fault { at, message: "the block of Lua is not closed", hint: "close it with '}'" });
        };
        (0..length).for_each(|_| self.advance());
        Ok(())
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.offset).copied()
    }

    fn advance(&mut self) {
        match self.peek() {
            Some(b'\n') => self.here = Spot { line: self.here.line + 1, column: 1 },
            // The bytes of a character after its first.
            Some(0x80..=0xbf) => {}
            Some(_) => self.here.column += 1,
            None => return,
        }
        self.offset += 1;
    }

    fn fault(&self, message: &'static str, hint: &'static str) -> Fault {
        Fault { at: self.here, message, hint }
    }

    fn skip_space(&mut self) -> Result<(), Fault> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.advance(),
                b'#' => self.skip_comment()?,
                _ => break,
            }
        }
        Ok(())
    }

    fn skip_comment(&mut self) -> Result<(), Fault> {
        let (from, at) = (self.offset, self.here);
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.advance();
        }
        let comment = self.text.get(from..self.offset).unwrap_or_default();
        if comment.len() + usize::from(self.peek().is_some()) > BUFFER {
            let message = "the comment is longer than nginx reads";
            return Err(Fault { at, message, hint: "break it into lines below 4096 bytes" });
        }
        if comment.get(1..).is_some_and(is_vouching) {
            self.vouched.push(at.line);
        }
        Ok(())
    }

    /// Up to a blank, `;` or `{`, but for the `{` of `${name}`.
    fn bare(&mut self) -> Result<Word<'a>, Fault> {
        let (from, at) = (self.offset, self.here);
        let mut variable = false;
        loop {
            let byte = self.within(at)?;
            match byte {
                b'{' if variable => {
                    self.advance();
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' if self.offset > from => break,
                b'\\' => self.advance(),
                _ => {}
            }
            variable = byte == b'$';
            self.advance();
        }
        self.word(from, at, false)
    }

    /// Up to the closing quote, after which a word ends too.
    fn quoted(&mut self, quote: u8) -> Result<Word<'a>, Fault> {
        let at = self.here;
        self.advance();
        let from = self.offset;
        loop {
            let byte = self.within(at)?;
            if byte == quote {
                break;
            }
            if byte == b'\\' {
                self.advance();
            }
            self.advance();
        }
        let word = self.word(from, at, true)?;
        self.advance();
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => Ok(word),
            Some(_) => Err(self.fault("text follows the closing quote", "write a blank or ';' after it")),
        }
    }

    /// The next byte of a word that began at `at`.
    fn within(&self, at: Spot) -> Result<u8, Fault> {
        match self.peek() {
            None => Err(Fault {
                at,
                message: "the file ends within a directive",
                hint: "close what is open: a quote, or the directive with ';'",
            }),
            Some(0) => Err(self.fault("a NUL byte, which no configuration has", "name the right file")),
            Some(byte) => Ok(byte),
        }
    }

    fn word(&self, from: usize, at: Spot, quoted: bool) -> Result<Word<'a>, Fault> {
        let raw = self.text.get(from..self.offset).unwrap_or_default();
        if raw.len() >= BUFFER {
            let message = "the parameter is longer than the 4095 bytes that nginx reads";
            return Err(Fault { at, message, hint: "is its closing quote missing?" });
        }
        Ok(Word { text: unescaped(raw), at, quoted })
    }
}

/// A word without its escapes; a backslash before any other byte stays.
fn unescaped(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let meant = match bytes.peek() {
            Some(&next @ (b'"' | b'\'' | b'\\')) if byte == b'\\' => Some(next),
            Some(b't') if byte == b'\\' => Some(b'\t'),
            Some(b'r') if byte == b'\\' => Some(b'\r'),
            Some(b'n') if byte == b'\\' => Some(b'\n'),
            _ => None,
        };
        if meant.is_some() {
            bytes.next();
        }
        text.push(meant.unwrap_or(byte));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, Fault> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut shown = String::new();
        let line = |words: &[Word], end: &str| {
            let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(&word.text)).collect();
            words.join("|") + end
        };
        loop {
            match lexer.next()? {
                Item::Simple(words) => shown += &line(&words, ";"),
                Item::Open(words) => shown += &line(&words, "{"),
                Item::Close => shown += "}",
                Item::End => return Ok(shown),
            }
        }
    }

    #[test]
    fn words_are_nginx_s() {
        for (text, expected) in [
            ("a b;", "a|b;"),
            ("a\r\n\tb ;", "a|b;"),
            ("a{b c;}", "a{b|c;}"),
            ("a 'b c;{}' \"d # e\";", "a|b c;{}|d # e;"),
            ("a b#c; # d", "a|b#c;"),
            ("# only a comment", ""),
            ("a ${b}c$d{", "a|${b}c$d{"),
            ("a $b {", "a|$b{"),
            (r#"a b\;c "d\"e\n" 'f\'g' \x \\;"#, "a|b\\;c|d\"e\n|f'g|\\x|\\;"),
            ("if ($a = \"b\") {", "if|($a|=|b|){"),
            ("a '';", "a|;"),
            ("a b'c;", "a|b'c;"),
        ] {
            assert_eq!(shown(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_nginx_refuses_is_located() {
        for (text, line, column, part) in [
            ("a b", 1, 3, "ends within"),
            ("a 'b\nc", 1, 3, "ends within"),
            (";", 1, 1, "ends no directive"),
            ("a;\n{", 2, 1, "opens no"),
            ("a b }", 1, 5, "stands within"),
            ("ä 'b'c;", 1, 6, "follows the closing quote"),
            ("a \0;", 1, 3, "NUL"),
            ("\u{feff}a;", 1, 1, "byte order mark"),
        ] {
            let fault = shown(text).unwrap_err();
            assert!(fault.message.contains(part), "{text}: {fault:?}");
            assert_eq!(fault.at, Spot { line, column }, "{text}");
        }
    }

    #[test]
    fn words_and_comments_are_as_long_as_nginx_reads() {
        for (length, fits) in [(4_095, true), (4_096, false)] {
            let text = "x".repeat(length);
            assert_eq!(shown(&format!("{text};")).is_ok(), fits, "{length}");
            assert_eq!(shown(&format!("a \"{text}\";")).is_ok(), fits, "{length}");
            assert_eq!(shown(&format!("#{};\n", &text[2..])).is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn comments_that_vouch_are_remembered() {
        let mut lexer = Lexer::new(b"a; # tracer: intended\n#tracer: intended, too\nb; # else\n");
        while lexer.next().unwrap() != Item::End {}
        assert_eq!(lexer.vouched, [1, 2]);
    }
}
