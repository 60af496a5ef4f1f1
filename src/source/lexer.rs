//! The text of a statement, cut into tokens where MySQL's own lexer cuts it (`sql/sql_lex.cc`). All code that examines
//! statements uses this lexer.
//!
//! In: the bytes of the text, the client's character set, and the two SQL modes that change how quotes read. Out: pieces
//! that lie side by side and cover the text: blanks with comments, and [`SqlToken`]s. Of `/*!80000 ... */` the inside counts:
//! in the binlog every such comment was executed, because the server turns those that it skips into plain ones before it
//! logs them. Characters of several bytes are stepped over as a whole, because their last byte may be a quote's or a
//! backslash's code. Text that ends inside quotes or a comment is refused.

mod token;

use std::ops::Range;

use crate::column::charset::{Charset, Charsets};

use super::event::Query;
pub(super) use token::{SqlToken, group, past, position_outside, split_at_commas};

/// The parts of `sql_mode` that a statement cannot be read without (`Q_SQL_MODE_CODE` of its event).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Modes {
    pub ansi_quotes: bool,
    pub no_backslash_escapes: bool,
}

impl Modes {
    /// `MODE_ANSI_QUOTES` and `MODE_NO_BACKSLASH_ESCAPES` of `sql/system_variables.h`.
    pub fn of_bits(bits: u64) -> Modes {
        Modes { ansi_quotes: bits & 4 != 0, no_backslash_escapes: bits & (1 << 20) != 0 }
    }
}

/// The tokens of a logged statement. None: its event does not say how to read it, or quotes or a comment do not end.
pub(super) fn tokens_of(query: &Query<'_>, charsets: &Charsets) -> Option<Vec<SqlToken>> {
    let charset = match query.charset_client.map(|collation| charsets.of(collation.into())) {
        Some(known) if !matches!(known, Charset::Unknown { .. }) => known,
        _ if query.text.is_ascii() => Charset::Utf8,
        _ => return None,
    };
    let has_quotes = || query.text.iter().any(|byte| matches!(byte, b'"' | b'\\'));
    if query.sql_mode.is_none() && has_quotes() {
        return None;
    }
    tokens(query.text, charset, Modes::of_bits(query.sql_mode.unwrap_or_default()))
}

/// None: quotes or a comment do not end.
pub(super) fn tokens(text: &[u8], charset: Charset, modes: Modes) -> Option<Vec<SqlToken>> {
    let mut tokens = Vec::new();
    for piece in Lexer::new(text, charset, modes) {
        match piece {
            (_, SqlPiece::Blank) => {}
            (_, SqlPiece::Token(token)) => tokens.push(token),
            (_, SqlPiece::Unended) => return None,
        }
    }
    Some(tokens)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SqlPiece {
    /// White space or a comment.
    Blank,
    Token(SqlToken),
    /// Quotes or a comment that do not end; the last piece.
    Unended,
}

/// What comes directly before the next piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// A word here is a name, also where it is spelled like a keyword.
    Dot,
    /// A word here is a host or a variable, and may contain dots.
    At,
    Other,
}

pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    charset: Charset,
    modes: Modes,
    behind: Behind,
    is_in_executed_comment: bool,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t [u8], charset: Charset, modes: Modes) -> Lexer<'t> {
        Lexer { text, at: 0, charset, modes, behind: Behind::Other, is_in_executed_comment: false }
    }

    fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn piece(&mut self, first: u8) -> SqlPiece {
        if self.is_space(first) {
            self.at += self.rest().iter().take_while(|byte| self.is_space(**byte)).count();
            return SqlPiece::Blank;
        }
        if let Some(length) = self.comment() {
            let Some(length) = length else {
                self.at = self.text.len();
                return SqlPiece::Unended;
            };
            self.at += length;
            return SqlPiece::Blank;
        }
        let is_behind_dot = self.behind == Behind::Dot;
        let has_quote_next = self.peek(1) == Some(b'\'');
        match first {
            b'`' => self.quoted(first, false, SqlToken::Name),
            b'"' if self.modes.ansi_quotes => self.quoted(first, false, SqlToken::Name),
            b'\'' | b'"' => self.quoted(first, !self.modes.no_backslash_escapes, SqlToken::Text),
            b'x' | b'X' if has_quote_next && !is_behind_dot => self.prefixed(SqlToken::Hex),
            b'b' | b'B' if has_quote_next && !is_behind_dot => self.prefixed(SqlToken::Bits),
            b'n' | b'N' if has_quote_next && !is_behind_dot => {
                self.at += 1;
                self.quoted(b'\'', !self.modes.no_backslash_escapes, SqlToken::Text)
            }
            _ if is_of_word(first) => SqlPiece::Token(self.word()),
            _ => {
                self.at += 1;
                SqlPiece::Token(SqlToken::Sign(char::from(first)))
            }
        }
    }

    /// A zero is a blank to the server only where the text ends; no statement that was run has one elsewhere.
    fn is_space(&self, byte: u8) -> bool {
        match byte {
            b' ' | b'\t'..=b'\r' | 0 => true,
            // In several sets of one byte per character this is a space that does not break, and a space to the server.
            0xa0 => {
                matches!(self.charset, Charset::SingleByte(_))
                    && self.charset.decode(&[byte]).as_deref() == Ok("\u{a0}")
            }
            _ => false,
        }
    }

    /// Bytes of the comment or the sign of one that begins here, if one does; an inner none if it does not end.
    fn comment(&mut self) -> Option<Option<usize>> {
        let rest = self.rest();
        if let Some(inside) = rest.strip_prefix(b"/*!") {
            self.is_in_executed_comment = true;
            let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
            // A version has five or six digits; anything else is text.
            return Some(Some(3 + if digits >= 5 { digits.min(6) } else { 0 }));
        }
        if rest.starts_with(b"/*") {
            let inside = &rest[2..];
            return Some(inside.windows(2).position(|two| two == b"*/").map(|at| at + 4));
        }
        if self.is_in_executed_comment && rest.starts_with(b"*/") {
            self.is_in_executed_comment = false;
            return Some(Some(2));
        }
        let is_dashes = rest.strip_prefix(b"--").is_some_and(|rest| rest.first().is_none_or(|byte| is_blank(*byte)));
        if is_dashes || rest.starts_with(b"#") {
            let line = rest.iter().take_while(|byte| !matches!(byte, b'\n' | 0)).count();
            return Some(Some(line));
        }
        None
    }

    /// What stands in the quotes that begin here.
    fn quoted(&mut self, quote: u8, has_escapes: bool, token: fn(String) -> SqlToken) -> SqlPiece {
        let mut content = Vec::new();
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            let length = self.character();
            if length > 1 {
                content.extend(&self.rest()[..length]);
                self.at += length;
                continue;
            }
            self.at += 1;
            if byte == quote {
                if self.peek(0) != Some(quote) {
                    return SqlPiece::Token(token(self.decoded(&content)));
                }
                self.at += 1;
                content.push(quote);
            } else if byte == b'\\' && has_escapes {
                let Some(escaped) = self.peek(0) else { break };
                self.at += 1;
                content.extend(unescaped(escaped));
            } else {
                content.push(byte);
            }
        }
        SqlPiece::Unended
    }

    /// Reads `x'41'` and `b'0'`, whose content has no escapes.
    fn prefixed(&mut self, token: fn(String) -> SqlToken) -> SqlPiece {
        self.at += 1;
        self.quoted(b'\'', false, token)
    }

    fn word(&mut self) -> SqlToken {
        let begin = self.at;
        while let Some(byte) = self.peek(0).filter(|byte| self.continues_word(*byte)) {
            self.at += if byte.is_ascii() { 1 } else { self.character() };
        }
        let is_number = self.text[begin..self.at].iter().all(u8::is_ascii_digit);
        if is_number && self.behind == Behind::Other && self.peek(0) == Some(b'.') {
            self.at += 1;
            self.at += self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        }
        let is_before_dot = !is_number && self.peek(0) == Some(b'.') && self.peek(1).is_some_and(is_of_word);
        let word = self.decoded(&self.text[begin..self.at]);
        if self.behind != Behind::Other || is_before_dot { SqlToken::Name(word) } else { SqlToken::Word(word) }
    }

    fn continues_word(&self, byte: u8) -> bool {
        (is_of_word(byte) && !self.is_space(byte)) || (byte == b'.' && self.behind == Behind::At)
    }

    /// The number of bytes of the character here: more than one only in a multi-byte set, if they are a valid
    /// character.
    fn character(&self) -> usize {
        match self.charset {
            Charset::MultiByte(set) => set.length(self.rest()),
            _ => 1,
        }
    }

    /// Bytes that are no character become U+FFFD: no name contains that, and a text with it is not trusted.
    fn decoded(&self, bytes: &[u8]) -> String {
        match self.charset {
            Charset::Utf8 | Charset::Binary | Charset::Ascii => String::from_utf8_lossy(bytes).into_owned(),
            charset => match charset.decode(bytes) {
                Ok(text) => text.into(),
                Err(_) => {
                    bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '\u{fffd}' }).collect()
                }
            },
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = (Range<usize>, SqlPiece);

    fn next(&mut self) -> Option<(Range<usize>, SqlPiece)> {
        let begin = self.at;
        let first = self.peek(0)?;
        let piece = self.piece(first);
        self.behind = match &piece {
            SqlPiece::Token(SqlToken::Sign('.')) => Behind::Dot,
            SqlPiece::Token(SqlToken::Sign('@')) => Behind::At,
            _ => Behind::Other,
        };
        Some((begin..self.at, piece))
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

/// The bytes after two dashes that make them a comment.
fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// The meaning of a byte after a backslash.
fn unescaped(byte: u8) -> impl Iterator<Item = u8> {
    let (kept, meant) = match byte {
        b'n' => (None, b'\n'),
        b't' => (None, b'\t'),
        b'r' => (None, b'\r'),
        b'b' => (None, 8),
        b'0' => (None, 0),
        b'Z' => (None, 0x1a),
        b'%' | b'_' => (Some(b'\\'), byte),
        other => (None, other),
    };
    kept.into_iter().chain([meant])
}

#[cfg(test)]
mod tests;
