//! The expression of an `.if`.

use super::truth::Truth;

/// Parentheses within parentheses; HAProxy takes some hundreds, nobody writes ten.
const DEEPEST: usize = 100;
/// No predicate has more than two.
const MOST_ARGUMENTS: usize = 8;

/// What is wrong with an expression.
const UNREADABLE: &str = "this condition cannot be read: check its parentheses and predicates";

/// Whether an expression holds. `defined` says whether a variable is there; `unknown`: a variable was expanded in it whose
/// value only HAProxy knows.
///
/// # Errors
/// When HAProxy could not read it.
pub(super) fn evaluate(
    text: &str,
    unknown: bool,
    defined: &mut dyn FnMut(&str) -> Truth,
) -> Result<Truth, &'static str> {
    let mut reader = Reader { rest: text, depth: 0, unknown, defined };
    reader.skip_spaces();
    if reader.rest.is_empty() {
        return Ok(Truth::No);
    }
    let truth = reader.any_of()?;
    if reader.rest.is_empty() { Ok(truth) } else { Err(UNREADABLE) }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
    unknown: bool,
    defined: &'a mut dyn FnMut(&str) -> Truth,
}

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn takes(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let taken = self.rest.strip_prefix(token);
        self.rest = taken.unwrap_or(self.rest);
        self.skip_spaces();
        taken.is_some()
    }

    fn any_of(&mut self) -> Result<Truth, &'static str> {
        let mut truth = self.all_of()?;
        while self.takes("||") {
            truth = truth.or(self.all_of()?);
        }
        Ok(truth)
    }

    fn all_of(&mut self) -> Result<Truth, &'static str> {
        let mut truth = self.term()?;
        while self.takes("&&") {
            truth = truth.and(self.term()?);
        }
        Ok(truth)
    }

    fn term(&mut self) -> Result<Truth, &'static str> {
        let mut negated = false;
        while self.takes("!") {
            negated = !negated;
        }
        let truth = if self.takes("(") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err("this condition has too many parentheses within parentheses");
            }
            let truth = self.any_of()?;
            self.depth -= 1;
            if !self.takes(")") {
                return Err(UNREADABLE);
            }
            truth
        } else if let Some(number) = self.number() {
            Truth::from(number)
        } else {
            self.predicate()?
        };
        self.skip_spaces();
        Ok(if negated { truth.not() } else { truth })
    }

    /// Whether a number is another than zero.
    fn number(&mut self) -> Option<bool> {
        let digits = self.rest.strip_prefix(['+', '-']).unwrap_or(self.rest);
        let (digits, radix) = match digits.strip_prefix("0x") {
            Some(hexadecimal) => (hexadecimal, 16),
            None => (digits, 10),
        };
        let rest = digits.trim_start_matches(|digit: char| digit.is_digit(radix));
        let number = digits.get(..digits.len() - rest.len()).filter(|number| !number.is_empty())?;
        self.rest = rest;
        Some(number.bytes().any(|digit| digit != b'0'))
    }

    fn predicate(&mut self) -> Result<Truth, &'static str> {
        let length = self.rest.find([' ', '(']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(length);
        let arguments = match rest.strip_prefix('(') {
            Some(inside) => self.arguments(inside)?,
            None => {
                self.rest = rest;
                Vec::new()
            }
        };
        let decided = |truth: bool| if self.unknown { Truth::Unknown } else { Truth::from(truth) };
        let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
        Ok(match (name, arguments.len()) {
            ("defined", 1) if self.unknown => Truth::Unknown,
            ("defined", 1) => (self.defined)(argument(0)),
            ("streq", 2) => decided(argument(0) == argument(1)),
            ("strneq", 2) => decided(argument(0) != argument(1)),
            ("strstr", 2) => decided(argument(0).contains(argument(1))),
            ("fips_mode", 0) => Truth::Unknown,
            // Its version, how it was built, what it runs on; and what a newer one may know.
            (_, 1..) if !name.is_empty() && !matches!(name, "defined" | "streq" | "strneq" | "strstr") => {
                Truth::Unknown
            }
            _ => return Err(UNREADABLE),
        })
    }

    /// The arguments up to the parenthesis that closes.
    fn arguments(&mut self, inside: &'a str) -> Result<Vec<String>, &'static str> {
        let (mut arguments, mut argument) = (Vec::new(), String::new());
        let mut quote = None;
        let mut characters = inside.char_indices();
        while let Some((at, character)) = characters.next() {
            match (character, quote) {
                (')', None) => {
                    self.rest = inside.get(at + 1..).unwrap_or_default();
                    arguments.push(argument);
                    return Ok(arguments);
                }
                (',', None) if arguments.len() >= MOST_ARGUMENTS => return Err(UNREADABLE),
                (',', None) => arguments.push(std::mem::take(&mut argument)),
                ('"' | '\'', None) => quote = Some(character),
                (_, Some(open)) if open == character => quote = None,
                ('\\', None | Some('"')) => argument.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => argument.push(character),
            }
        }
        Err(UNREADABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(text: &str) -> Result<Truth, &'static str> {
        evaluate(text, false, &mut |name| Truth::from(name == "HOME"))
    }

    #[test]
    fn expressions_are_decided_where_the_text_says_enough() {
        use Truth::{No, Unknown, Yes};
        for (text, expected) in [
            ("", No),
            ("1", Yes),
            ("0", No),
            ("0x10", Yes),
            ("00", No),
            ("!0", Yes),
            ("! ! 0", No),
            ("defined(HOME)", Yes),
            ("defined(NONE)", No),
            ("streq(a,a)", Yes),
            ("streq(a,)", No),
            ("streq(,)", Yes),
            ("strneq(a,b)", Yes),
            ("strstr(abc,b)", Yes),
            ("streq(\"a,b\",'a,b')", Yes),
            ("0 || 1 && 0", No),
            ("1 || 1 && 0", Yes),
            ("(1 || 1) && 0", No),
            ("!(0||0)&&1", Yes),
            ("feature(OPENSSL)", Unknown),
            ("!version_atleast(2.4)", Unknown),
            ("feature(OPENSSL) && 0", No),
            ("feature(OPENSSL) || 1", Yes),
            ("version_before(3.0) || defined(NONE)", Unknown),
            ("fips_mode", Unknown),
            ("invented(x)", Unknown),
        ] {
            assert_eq!(truth(text), Ok(expected), "{text}");
        }
        assert_eq!(evaluate("streq(a,a)", true, &mut |_| Yes), Ok(Unknown), "what was expanded is not known");
    }

    #[test]
    fn what_haproxy_could_not_read_is_refused() {
        for text in ["(", "1 1", "defined(", "defined", "streq(a)", "1 &&", "|| 1", "(1", "1)", "what", ")"] {
            assert!(truth(text).is_err(), "{text}");
        }
        assert!(truth(&"(".repeat(100_000)).is_err());
        assert!(truth(&"!".repeat(100_000)).is_err());
        assert_eq!(truth(&format!("{}1{}", "(".repeat(99), ")".repeat(99))), Ok(Truth::Yes));
    }
}
