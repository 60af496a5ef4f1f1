//! Tokens, and how to walk over lists of them.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) enum SqlToken {
    /// Without quotes: a keyword, a name or a number.
    Word(String),
    /// A name that is no keyword, because it is in quotes, beside a dot or after `@`.
    Name(String),
    Text(String),
    /// The digits of `x'41'`.
    Hex(String),
    /// The digits of `b'0'`.
    Bits(String),
    Sign(char),
}

impl SqlToken {
    /// Whether this is the keyword, which is given in capitals.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, SqlToken::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub fn is_sign(&self, sign: char) -> bool {
        *self == SqlToken::Sign(sign)
    }

    /// The name, if this token can be one.
    pub fn name(&self) -> Option<&str> {
        match self {
            SqlToken::Word(name) | SqlToken::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// What follows these keywords, which are given in capitals, where the tokens begin with them.
pub(in crate::source) fn past<'t>(tokens: &'t [SqlToken], keywords: &[&str]) -> Option<&'t [SqlToken]> {
    let (head, rest) = tokens.split_at_checked(keywords.len())?;
    head.iter().zip(keywords).all(|(token, keyword)| token.is(keyword)).then_some(rest)
}

/// Cuts at the commas outside parentheses. None: parentheses do not match.
pub(in crate::source) fn split_at_commas(tokens: &[SqlToken]) -> Option<Vec<&[SqlToken]>> {
    let mut parts = Vec::new();
    let (mut depth, mut begin) = (0_u32, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            SqlToken::Sign('(') => depth += 1,
            SqlToken::Sign(')') => depth = depth.checked_sub(1)?,
            SqlToken::Sign(',') if depth == 0 => {
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
pub(in crate::source) fn group(tokens: &[SqlToken]) -> Option<(&[SqlToken], &[SqlToken])> {
    let (first, inside) = tokens.split_first()?;
    if !first.is_sign('(') {
        return None;
    }
    let mut depth = 1_u32;
    for (at, token) in inside.iter().enumerate() {
        match token {
            SqlToken::Sign('(') => depth += 1,
            SqlToken::Sign(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], &inside[at + 1..]));
        }
    }
    None
}

/// Index of the first token outside parentheses for which `fits` says yes; it is given the tokens from there on.
pub(in crate::source) fn position_outside(tokens: &[SqlToken], fits: impl Fn(&[SqlToken]) -> bool) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            SqlToken::Sign('(') => depth += 1,
            SqlToken::Sign(')') => depth -= 1,
            _ if depth == 0 && fits(&tokens[at..]) => return Some(at),
            _ => {}
        }
    }
    None
}
