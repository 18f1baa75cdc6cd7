//! Blocks of Lua (`…_by_lua_block { … }`), whose braces are not all nginx's: those in Lua's strings and comments are text.

/// How long the rest of a block is, its closing brace included; `None` when it is not closed.
pub(super) fn block(text: &[u8]) -> Option<usize> {
    let mut depth = 1_usize;
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        match rest.first()? {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            &quote @ (b'"' | b'\'') => at += quoted(rest, quote)?,
            b'-' if rest.starts_with(b"--") => at += comment(rest)?,
            b'[' => {
                if let Some(level) = opens(rest) {
                    at += closes(rest, level)?;
                }
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// To the closing quote.
fn quoted(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *text.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
}

/// To the last byte of a comment, which begins with `--`.
fn comment(text: &[u8]) -> Option<usize> {
    let after = text.get(2..)?;
    if let Some(level) = opens(after) {
        return Some(closes(after, level)? + 2);
    }
    text.iter().position(|&byte| byte == b'\n')
}

/// The level of the long bracket that begins here: 2 of `[==[`.
fn opens(text: &[u8]) -> Option<usize> {
    let level = text.strip_prefix(b"[")?.iter().take_while(|&&byte| byte == b'=').count();
    (text.get(level + 1) == Some(&b'[')).then_some(level)
}

/// To the last byte of a long bracket.
fn closes(text: &[u8], level: usize) -> Option<usize> {
    let mut at = level + 2;
    loop {
        at += text.get(at..)?.iter().position(|&byte| byte == b']')?;
        let equals = text.get(at + 1..)?.iter().take_while(|&&byte| byte == b'=').count();
        at += equals + 1;
        if equals == level && text.get(at) == Some(&b']') {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lua_s_own_braces_count() {
        for text in [
            "}",
            "local t = { { }, {} } }",
            "say('}') say(\"\\\"}\") }",
            "-- }\n}",
            "--[[ }\n} ]] }",
            "--[==[ } ]] ]=] }\n ]==] }",
            "x = [[ } ]] }",
            "x = [=[ ]] } ]=] }",
            "x = t[t[1]] }",
            "a = b - c }",
        ] {
            assert_eq!(block(format!("{text} after {{").as_bytes()), Some(text.len()), "{text}");
        }
    }

    #[test]
    fn a_block_that_is_not_closed_is_none() {
        for text in ["", "{}", "'}", "--}", "[[ }", "--[[ } ]", "x = \"\\", "[=[", "["] {
            assert_eq!(block(text.as_bytes()), None, "{text}");
        }
    }
}
