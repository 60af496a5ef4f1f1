//! XML and HTML texts: values in them are escaped, and stand only where escaping protects them.
//!
//! In: values. Out: their characters with the references of XML 1.0 (fifth edition, sections 2.2 and 2.4). `places` says where in a
//! template they may stand.

mod places;

use minijinja::value::Value;

use super::error::Error;
use super::output::write_text;

pub use places::Markup;
pub(super) use places::check_places;

/// Appends a value of an expression, escaped unless the rule calls it `safe`.
pub(super) fn write(value: &Value, out: &mut String) -> Result<(), Error> {
    if value.is_safe() {
        return write_text(value, out);
    }
    let mut text = String::new();
    write_text(value, &mut text)?;
    escape(&text, out)
}

/// Appends the value, so that a parser reads exactly these characters, in the text of an element and between quotes. Line breaks
/// and tabs, too: parsers change them in attributes, and a carriage return everywhere. The last three are line breaks of XML 1.1 and of
/// Unicode, which some parsers change.
pub(super) fn escape(value: &str, out: &mut String) -> Result<(), Error> {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{85}' => out.push_str("&#133;"),
            '\u{2028}' => out.push_str("&#8232;"),
            '\u{2029}' => out.push_str("&#8233;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => return Err(Error::NoXmlCharacter),
            c => out.push(c),
        }
    }
    Ok(())
}
