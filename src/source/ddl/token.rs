//! The text of a statement as tokens, cut where MySQL's own lexer cuts (`sql/sql_lex.cc`).
//!
//! In: text, and the two SQL modes that change how quotes read. Out: words, quoted names, texts and signs; comments are
//! gone, of `/*!80000 ... */` the inside stays: in the binlog every such comment was executed, because the server turns
//! those that it skips into plain ones before it logs them. Text that ends inside quotes is refused.

/// The parts of `sql_mode` that a statement cannot be read without (`Q_SQL_MODE_CODE` of its event).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::source) struct Modes {
    pub ansi_quotes: bool,
    pub no_backslash_escapes: bool,
}

impl Modes {
    /// `MODE_ANSI_QUOTES` and `MODE_NO_BACKSLASH_ESCAPES` of `sql/system_variables.h`.
    pub fn of_bits(bits: u64) -> Modes {
        Modes { ansi_quotes: bits & 4 != 0, no_backslash_escapes: bits & (1 << 20) != 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Without quotes: a keyword, a name or a number.
    Word(String),
    /// A name in quotes.
    Name(String),
    Text(String),
    /// `x'41'` or `b'0'`.
    Bits,
    Sign(char),
}

impl Token {
    /// Whether this is the keyword, which is given in capitals.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub fn is_sign(&self, sign: char) -> bool {
        *self == Token::Sign(sign)
    }

    /// The name that this token may be.
    pub fn name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// None: quotes or a comment do not end.
pub(super) fn tokens(text: &str, modes: Modes) -> Option<Vec<Token>> {
    let mut rest = text;
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start_matches(|sign: char| sign.is_ascii_whitespace() || sign == '\u{b}' || sign == '\0');
        let Some(first) = rest.chars().next() else { return Some(tokens) };
        if let Some(tail) = after_comment(rest) {
            rest = tail?;
            continue;
        }
        let quote_is_name = first == '`' || (first == '"' && modes.ansi_quotes);
        if quote_is_name || first == '\'' || first == '"' {
            let (content, tail) = quoted(&rest[1..], first, !quote_is_name && !modes.no_backslash_escapes)?;
            let is_of_bits = !quote_is_name && matches!(tokens.last(), Some(Token::Word(word)) if is_bits_prefix(word));
            let stands_close = text[..text.len() - rest.len()].ends_with(|sign: char| sign.is_ascii_alphabetic());
            if is_of_bits && stands_close {
                tokens.pop();
                tokens.push(Token::Bits);
            } else {
                tokens.push(if quote_is_name { Token::Name(content) } else { Token::Text(content) });
            }
            rest = tail;
        } else if is_of_word(first) {
            let end = rest.find(|sign| !is_of_word(sign)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_string()));
            rest = &rest[end..];
        } else {
            tokens.push(Token::Sign(first));
            rest = &rest[first.len_utf8()..];
        }
    }
}

fn is_of_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_' || sign == '$' || !sign.is_ascii()
}

fn is_bits_prefix(word: &str) -> bool {
    ["x", "b"].iter().any(|prefix| word.eq_ignore_ascii_case(prefix))
}

/// What follows the comment that begins here, if one does; an inner none if it does not end.
fn after_comment(text: &str) -> Option<Option<&str>> {
    if let Some(inside) = text.strip_prefix("/*!") {
        let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
        // A version has five or six digits; what else stands there is text.
        return Some(Some(&inside[if digits >= 5 { digits.min(6) } else { 0 }..]));
    }
    if let Some(inside) = text.strip_prefix("/*") {
        return Some(inside.split_once("*/").map(|(_, tail)| tail));
    }
    if let Some(tail) = text.strip_prefix("*/") {
        return Some(Some(tail));
    }
    let is_dashes = text
        .strip_prefix("--")
        .is_some_and(|rest| rest.chars().next().is_none_or(|sign| sign <= ' ' || sign == '\x7f'));
    if is_dashes || text.starts_with('#') {
        return Some(Some(text.split_once('\n').map_or("", |(_, tail)| tail)));
    }
    None
}

/// The content up to the closing quote, and what follows. `text` begins behind the opening one.
fn quoted(text: &str, quote: char, has_escapes: bool) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        if sign == quote {
            let tail = &text[at + quote.len_utf8()..];
            if !tail.starts_with(quote) {
                return Some((content, tail));
            }
            signs.next();
            content.push(quote);
        } else if sign == '\\' && has_escapes {
            match signs.next()?.1 {
                'n' => content.push('\n'),
                't' => content.push('\t'),
                'r' => content.push('\r'),
                'b' => content.push('\u{8}'),
                '0' => content.push('\0'),
                'Z' => content.push('\u{1a}'),
                kept @ ('%' | '_') => content.extend(['\\', kept]),
                other => content.push(other),
            }
        } else {
            content.push(sign);
        }
    }
    None
}

/// Cuts at the commas outside parentheses. None: parentheses do not match.
pub(super) fn split_at_commas(tokens: &[Token]) -> Option<Vec<&[Token]>> {
    let mut parts = Vec::new();
    let (mut depth, mut begin) = (0_u32, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.checked_sub(1)?,
            Token::Sign(',') if depth == 0 => {
                parts.push(&tokens[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[begin..]);
    (depth == 0).then_some(parts)
}

/// The inside of the parentheses that begin here, and what follows them.
pub(super) fn group(tokens: &[Token]) -> Option<(&[Token], &[Token])> {
    let (first, inside) = tokens.split_first()?;
    if !first.is_sign('(') {
        return None;
    }
    let mut depth = 1_u32;
    for (at, token) in inside.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], &inside[at + 1..]));
        }
    }
    None
}

/// Index of the first token outside parentheses for which `fits` says yes; it is given the tokens from there on.
pub(super) fn position_outside(tokens: &[Token], fits: impl Fn(&[Token]) -> bool) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ if depth == 0 && fits(&tokens[at..]) => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, modes: Modes) -> String {
        let Some(tokens) = tokens(text, modes) else { return "refused".to_string() };
        let show = |token: &Token| match token {
            Token::Word(word) => word.clone(),
            Token::Name(name) => format!("<{name}>"),
            Token::Text(text) => format!("'{text}'"),
            Token::Bits => "bits".to_string(),
            Token::Sign(sign) => sign.to_string(),
        };
        tokens.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn text_is_cut_where_the_server_cuts_it() {
        for (text, expected) in [
            ("ALTER TABLE `we``ird` ADD c$1 INT", "ALTER TABLE <we`ird> ADD c$1 INT"),
            ("a.`b`,'it''s' \"q\"\"q\"", "a . <b> , 'it's' 'q\"q'"),
            ("'a\\'b\\\\' '\\n\\%'", "'a'b\\' '\n\\%'"),
            ("a /* b 'c */ d -- e\nf # g\nh--i", "a d f h - - i"),
            ("a--\tb\nc --", "a c"),
            ("a /*!80000 b */ c /*! d*/ e /*!080023f*/", "a b c d e f"),
            ("x'41' b'0' X '41' _utf8'z'", "bits bits X '41' _utf8 'z'"),
            ("größe 2024_x 1.5", "größe 2024_x 1 . 5"),
            ("'open", "refused"),
            ("/* open", "refused"),
            ("`open\\`", "<open\\>"),
        ] {
            assert_eq!(shown(text, Modes::default()), expected, "{text}");
        }
        let ansi = Modes { ansi_quotes: true, no_backslash_escapes: true };
        assert_eq!(shown("\"a\"\"b\" 'c\\' `d`", ansi), "<a\"b> 'c\\' <d>");
        assert_eq!(Modes::of_bits(4 | 1 << 20), ansi);
        assert_eq!(Modes::of_bits(!(4 | 1 << 20)), Modes::default());
    }

    #[test]
    fn commas_count_outside_parentheses_only() {
        let read = tokens("a (b, c), d", Modes::default()).expect("tokens");
        assert_eq!(split_at_commas(&read).expect("parts").len(), 2);
        assert_eq!(split_at_commas(&read[1..3]), None);
        let (inside, after) = group(&read[1..]).expect("a group");
        assert_eq!((inside.len(), after.len()), (3, 2));
        assert_eq!(position_outside(&read, |rest| rest[0].is("D")), Some(7));
        assert_eq!(position_outside(&read, |rest| rest[0].is("C")), None);
    }
}
