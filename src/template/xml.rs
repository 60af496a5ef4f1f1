//! XML and HTML texts: values in them are escaped, and stand only where escaping protects them.
//!
//! In: values. Out: their characters with the references of XML 1.0 (fifth edition, sections 2.2 and 2.4). `places` says where in a
//! template they may stand.

mod places;

use minijinja::value::Value;

use super::error::Error;
use super::output::{TextOut, write_text};

pub use places::Markup;
pub(super) use places::check_places;

/// Appends a value of an expression, escaped unless the rule calls it `safe`.
pub(super) fn write(value: &Value, out: &mut impl TextOut) -> Result<(), Error> {
    if value.is_safe() { write_text(value, out) } else { write_text(value, &mut Escaped(out)) }
}

/// Escapes what is put into it, so that a parser reads exactly these characters, in the text of an element and between quotes. Line breaks
/// and tabs, too: parsers change them in attributes, and a carriage return everywhere. The last three are line breaks of XML 1.1 and of
/// Unicode, which some parsers change.
pub(super) struct Escaped<'a, O>(pub &'a mut O);

impl<O: TextOut> TextOut for Escaped<'_, O> {
    fn put(&mut self, text: &str) -> Result<(), Error> {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(may_need_escape) {
            let (plain, from) = rest.split_at(at);
            let Some(c) = from.chars().next() else { break };
            self.0.put(plain)?;
            let (written, behind) = from.split_at(c.len_utf8());
            self.0.put(reference(c)?.unwrap_or(written))?;
            rest = behind;
        }
        self.0.put(rest)
    }

    fn put_digits(&mut self, digits: &str) -> Result<(), Error> {
        self.0.put_digits(digits)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whether a character that begins with this byte may be none that stands for itself.
fn may_need_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'' | 0xc2 | 0xe2 | 0xef)
}

/// What stands for the character where it can't stand for itself.
fn reference(c: char) -> Result<Option<&'static str>, Error> {
    Ok(Some(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        '\t' => "&#9;",
        '\n' => "&#10;",
        '\r' => "&#13;",
        '\u{85}' => "&#133;",
        '\u{2028}' => "&#8232;",
        '\u{2029}' => "&#8233;",
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => return Err(Error::NoXmlCharacter),
        _ => return Ok(None),
    }))
}
