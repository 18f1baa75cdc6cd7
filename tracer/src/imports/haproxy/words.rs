//! A line and its words: quotes, escapes, comments, variables.

use super::environment::Value;

/// Most words of a line, as HAProxy has it.
const MOST_WORDS: usize = 64;

/// A word, unquoted and expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says; bytes that are no UTF-8 are replaced.
    pub(super) text: String,
    /// Where it begins, in bytes of the line.
    pub(super) at: usize,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) words: Vec<Word>,
    /// What is behind the `#`.
    pub(super) comment: Option<&'a [u8]>,
    /// The first empty word that comes of a variable taken as a list.
    pub(super) empty_list: Option<EmptyList>,
    /// A variable is in it whose value only HAProxy knows.
    pub(super) unknown: bool,
}

/// A list that is empty, or begins or ends with a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EmptyList {
    /// Where its variable begins, in bytes of the line.
    pub(super) at: usize,
    /// How many words stand before it.
    pub(super) before: usize,
}

/// Why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, in bytes of the line.
    pub(super) at: usize,
    /// What is wrong, and the remedy.
    pub(super) message: &'static str,
}

impl<'a> Line<'a> {
    /// The text of a word, empty when there is none.
    pub(super) fn text(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &word.text)
    }

    /// Reads a line without its end. `variable` is asked for the value of each name that it refers to.
    ///
    /// # Errors
    /// When HAProxy would refuse it.
    pub(super) fn read(
        line: &'a [u8],
        variable: &mut dyn FnMut(&str) -> Result<Value, &'static str>,
    ) -> Result<Self, Fault> {
        let mut reader = Reader {
            line,
            at: 0,
            quote: None,
            is_word: true,
            word: Vec::new(),
            inside: false,
            list: None,
            start: 0,
            read: Self::default(),
        };
        reader.run(variable)?;
        Ok(reader.read)
    }
}

struct Reader<'a> {
    line: &'a [u8],
    at: usize,
    /// The quote that is open, and where it is.
    quote: Option<(u8, usize)>,
    /// Whether what is between these quotes makes a word when it is empty; a list that is empty makes none.
    is_word: bool,
    word: Vec<u8>,
    /// Whether a word has begun, which an empty one in quotes has too.
    inside: bool,
    /// Where the list begins in which a word could begin, before it does.
    list: Option<usize>,
    start: usize,
    read: Line<'a>,
}

impl Reader<'_> {
    fn run(&mut self, variable: &mut dyn FnMut(&str) -> Result<Value, &'static str>) -> Result<(), Fault> {
        // A carriage return ends a line for HAProxy, even in quotes.
        while let Some(byte) = self.peek(0).filter(|byte| !b"\r\n".contains(byte)) {
            let quote = self.quote.map(|(quote, _)| quote);
            match (byte, quote) {
                (b'#', None) => {
                    self.read.comment = self.line.get(self.at + 1..);
                    break;
                }
                (b'"' | b'\'', None) => {
                    self.quote = Some((byte, self.at));
                    self.is_word = true;
                    self.at += 1;
                }
                (_, Some(open)) if open == byte => self.close(),
                (b'\\', None | Some(b'"')) => self.escape(quote.is_some())?,
                (b'$', Some(b'"')) => self.expand(variable)?,
                (b' ' | b'\t' | 0x0b | 0x0c, None) => {
                    self.end_word()?;
                    self.at += 1;
                }
                _ => {
                    self.emit(byte);
                    self.at += 1;
                }
            }
        }
        self.end_word()?;
        match self.quote {
            Some((_, at)) => Err(Fault { at, message: "this quote is not closed on its line: close it" }),
            None => Ok(()),
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.line.get(self.at + ahead).copied()
    }

    fn begin(&mut self, at: usize) {
        if !self.inside {
            self.inside = true;
            self.start = at;
        }
    }

    fn emit(&mut self, byte: u8) {
        self.begin(self.at);
        self.word.push(byte);
    }

    fn close(&mut self) {
        if let Some((_, at)) = self.quote.take()
            && self.is_word
        {
            self.begin(at);
        }
        self.at += 1;
    }

    fn end_word(&mut self) -> Result<(), Fault> {
        let list = self.list.take();
        if !self.inside {
            if let Some(at) = list {
                let before = self.read.words.len();
                self.read.empty_list.get_or_insert(EmptyList { at, before });
            }
            return Ok(());
        }
        self.inside = false;
        if self.read.words.len() >= MOST_WORDS {
            return Err(Fault {
                at: self.start,
                message: "is one word too many: HAProxy reads at most 64 on a line",
            });
        }
        let text = match String::from_utf8(std::mem::take(&mut self.word)) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        self.read.words.push(Word { text, at: self.start });
        Ok(())
    }

    fn escape(&mut self, quoted: bool) -> Result<(), Fault> {
        let at = self.at;
        let (byte, length) = match self.peek(1) {
            Some(byte @ (b' ' | b'\\' | b'#' | b'\'' | b'"')) => (byte, 2),
            Some(b't') => (b'\t', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'$') if quoted => (b'$', 2),
            Some(b'x') => {
                let digit = |ahead| self.peek(ahead).and_then(|byte| char::from(byte).to_digit(16));
                let byte = digit(2).zip(digit(3)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                let byte =
                    byte.ok_or(Fault { at, message: "\\x needs two hexadecimal digits, such as \\x20" })?;
                (byte, 4)
            }
            // Any other is no escape: the backslash stays.
            _ => (b'\\', 1),
        };
        self.emit(byte);
        self.at += length;
        Ok(())
    }

    /// A variable in double quotes: `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}`.
    fn expand(&mut self, variable: &mut dyn FnMut(&str) -> Result<Value, &'static str>) -> Result<(), Fault> {
        let dollar = self.at;
        let fault = |message| Fault { at: dollar, message };
        self.at += 1;
        let braced = self.peek(0) == Some(b'{');
        self.at += usize::from(braced);
        let name_at = self.at;
        if !self.peek(0).is_some_and(|byte| byte.is_ascii_alphabetic() || b"_.".contains(&byte)) {
            return Err(fault("a variable's name begins with a letter or _: write \\$ for a dollar sign"));
        }
        self.at += 1;
        while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        let name = String::from_utf8_lossy(self.line.get(name_at..self.at).unwrap_or_default()).into_owned();
        let mut value = variable(&name).map_err(fault)?;
        let is_list = braced && self.peek(0) == Some(b'[');
        if is_list {
            if !self.line.get(self.at..).is_some_and(|rest| rest.starts_with(b"[*]")) {
                return Err(fault("a variable is taken as a list by [*] behind its name and nothing else"));
            }
            self.at += 3;
        }
        if braced {
            let unclosed = || fault("the brace of this variable is not closed: write ${NAME}");
            if self.peek(0) == Some(b'-') {
                let rest = self.line.get(self.at + 1..).unwrap_or_default();
                let length = rest.iter().position(|&byte| byte == b'}').ok_or_else(unclosed)?;
                if matches!(value, Value::Unset) {
                    let default = rest.get(..length).unwrap_or_default();
                    value = Value::Set(String::from_utf8_lossy(default).into());
                }
                self.at += 1 + length;
            }
            if self.peek(0) != Some(b'}') {
                return Err(unclosed());
            }
            self.at += 1;
        }
        self.take(value, is_list, dollar)
    }

    fn take(&mut self, value: Value, is_list: bool, dollar: usize) -> Result<(), Fault> {
        self.is_word &= !is_list;
        if is_list {
            self.list = Some(dollar);
        }
        let text = match value {
            Value::Set(text) => text,
            Value::Unset if is_list => return Ok(()),
            Value::Unset => "".into(),
            Value::Unknown => {
                self.read.unknown = true;
                "unknown".into()
            }
        };
        if !is_list {
            self.begin(dollar);
            self.word.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let mut spaced = false;
        for byte in text.bytes() {
            let is_space = byte.is_ascii_whitespace() || byte == 0x0b;
            if !is_space {
                self.begin(dollar);
                self.word.push(byte);
            } else if !spaced {
                self.end_word()?;
                self.list = Some(dollar);
            }
            spaced = is_space;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Result<Value, &'static str> {
        Ok(match name {
            "A" => Value::Set("one  two".into()),
            "E" => Value::Set("".into()),
            "S" => Value::Set(" one ".into()),
            "HAPROXY_X" => Value::Unknown,
            _ => Value::Unset,
        })
    }

    fn words(line: &str) -> Vec<String> {
        let line = Line::read(line.as_bytes(), &mut variable).unwrap();
        line.words.into_iter().map(|word| word.text).collect()
    }

    fn fault(line: &str) -> (usize, &'static str) {
        let fault = Line::read(line.as_bytes(), &mut variable).unwrap_err();
        (fault.at, fault.message)
    }

    #[test]
    fn words_are_quoted_and_escaped_as_haproxy_does() {
        assert_eq!(words("  server\ts1  a:80 "), ["server", "s1", "a:80"]);
        assert_eq!(words(r#"a"b c"d 'e "f' "" '' g\ h"#), ["ab cd", "e \"f", "", "", "g h"]);
        assert_eq!(words(r"\x41\t\n\1 '\x41' \#x \$ \' \\"), ["A\t\n\\1", "\\x41", "#x", "\\$", "'", "\\"]);
        assert_eq!(words("a#b"), ["a"]);
        assert_eq!(words("a \"#\" '#' # comment"), ["a", "#", "#"]);
        assert_eq!(words("a b\rc d"), ["a", "b"], "a carriage return ends the line");
        assert_eq!(words(""), [""; 0]);
        let line = Line::read(b"a # tracer: intended", &mut variable).unwrap();
        assert_eq!(line.comment, Some(&b" tracer: intended"[..]));
    }

    #[test]
    fn variables_are_expanded_in_double_quotes_only() {
        assert_eq!(words(r#""$A" '$A' $A "\$A" "x${A}y""#), ["one  two", "$A", "$A", "$A", "xone  twoy"]);
        assert_eq!(words(r#""${N-some default}" "${A-x}" "${E-x}""#), ["some default", "one  two", ""]);
        assert_eq!(words(r#"a "$N" b"#), ["a", "", "b"]);
        assert_eq!(words(r#"a "${A[*]}" b "${N[*]}" c "${E[*]}""#), ["a", "one", "two", "b", "c"]);
        assert_eq!(words(r#""x${A[*]}y""#), ["xone", "twoy"]);
        assert!(Line::read(b"\"$HAPROXY_X\"", &mut variable).unwrap().unknown);
        assert!(!Line::read(b"'$HAPROXY_X'", &mut variable).unwrap().unknown);
    }

    #[test]
    fn an_empty_word_of_a_list_is_found() {
        let empty = |line: &str| {
            let list = Line::read(line.as_bytes(), &mut variable).unwrap().empty_list;
            list.map(|EmptyList { at, before }| (at, before))
        };
        assert_eq!(empty(r#"a "${N[*]}" b "${E[*]}""#), Some((3, 1)));
        assert_eq!(empty(r#"a b "${E[*]}""#), Some((5, 2)));
        assert_eq!(empty(r#"a "${S[*]}""#), Some((3, 1)), "HAProxy 2.6 reads an empty word before the space");
        assert_eq!(empty(r#"a "x${S[*]}""#), Some((4, 3)), "and behind it");
        assert_eq!(empty(r#"a "${A[*]}" b"#), None);
        assert_eq!(empty(r#"a "x${N[*]}" "${N[*]}y" "${N[*]}"z "${N[*]}${A[*]}" "$N""#), None);
        assert_eq!(words(r#"a "${S[*]}" b"#), ["a", "one", "b"]);
    }

    #[test]
    fn what_haproxy_refuses_is_located() {
        assert!(fault("a 'b").1.contains("not closed"));
        assert_eq!(fault("a 'b").0, 2);
        assert!(fault("a \"b\r\"").1.contains("not closed"));
        assert!(fault(r#"a "${A""#).1.contains("brace"));
        assert!(fault(r#"a "${A-b""#).1.contains("brace"));
        assert!(fault(r#"a "$1""#).1.contains("begins with"));
        assert!(fault(r#"a "$""#).1.contains("begins with"));
        assert!(fault(r#"a "${A[1]}""#).1.contains("[*]"));
        assert!(fault(r"a \x4").1.contains("hexadecimal"));
        assert_eq!(words(&"w ".repeat(64)).len(), 64);
        assert!(fault(&"w ".repeat(65)).1.contains("at most 64"));
    }
}
