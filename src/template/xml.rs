//! XML texts: values in them are escaped, and stand only where escaping protects them.
//!
//! In: the template of a text whose type is XML; then values. Out: flaws of values in places where no escape exists (a name, a comment,
//! CDATA); the characters of a value with the references of XML 1.0 (fifth edition, sections 2.2 and 2.4). Does not check that
//! the rest of the template is well-formed.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;

use super::error::{Error, Flaw};
use super::output::write_text;

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
/// and tabs, too: parsers change them in attributes, and a carriage return everywhere; those of XML 1.1 the last two.
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
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => return Err(Error::NoXmlCharacter),
            c => out.push(c),
        }
    }
    Ok(())
}

/// Where in an XML text something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the text of an element.
    Text,
    /// Within `<…>`, between no quotes.
    Tag,
    /// Between quotes of this kind.
    Attribute(char),
    Comment,
    CData,
    /// `<?…?>` and `<!DOCTYPE …>`.
    Declaration(&'static str),
}

impl Place {
    /// Why a value can't stand here.
    fn refusal(self) -> Option<&'static str> {
        match self {
            Place::Text | Place::Attribute(_) => None,
            Place::Tag => Some(
                "a value in an XML text stands in the text of an element, or between the quotes of an attribute; here it could \
                 add attributes",
            ),
            Place::Comment => Some("a value can't stand in an XML comment, where nothing can be escaped; move it out"),
            Place::CData => {
                Some("values in an XML text are escaped, which CDATA shows as it is; leave `<![CDATA[` and `]]>` out")
            }
            Place::Declaration(_) => Some("a value can't stand in `<?…?>` or `<!…>`, where nothing can be escaped"),
        }
    }

    /// The place behind a text that begins here.
    fn behind(self, text: &str) -> Place {
        let mut place = self;
        let mut rest = text;
        while !rest.is_empty() {
            let (marks, after): (&[&str], fn(&str) -> Place) = match place {
                Place::Text => (&["<![CDATA[", "<!--", "<?", "<!", "<"], |mark| match mark {
                    "<![CDATA[" => Place::CData,
                    "<!--" => Place::Comment,
                    "<?" => Place::Declaration("?>"),
                    "<!" => Place::Declaration(">"),
                    _ => Place::Tag,
                }),
                Place::Tag => (&[">", "\"", "'"], |mark| match mark {
                    ">" => Place::Text,
                    "\"" => Place::Attribute('"'),
                    _ => Place::Attribute('\''),
                }),
                Place::Attribute('"') => (&["\""], |_| Place::Tag),
                Place::Attribute(_) => (&["'"], |_| Place::Tag),
                Place::Comment => (&["-->"], |_| Place::Text),
                Place::CData => (&["]]>"], |_| Place::Text),
                Place::Declaration("?>") => (&["?>"], |_| Place::Text),
                Place::Declaration(_) => (&[">"], |_| Place::Text),
            };
            // The first mark; of several at the same place the longest, which is listed first.
            let found = marks.iter().filter_map(|mark| Some((rest.find(mark)?, *mark)));
            let Some((at, mark)) = found.reduce(|first, next| if next.0 < first.0 { next } else { first }) else {
                break;
            };
            place = after(mark);
            rest = &rest[at + mark.len()..];
        }
        place
    }
}

/// Checks that every value of the template stands where it can be escaped.
pub(super) fn check_places(source: &str) -> Result<(), Vec<Flaw>> {
    let mut place = Place::Text;
    let mut flaws = Vec::new();
    // What is no token is for the parser to report.
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::TemplateData(text) => place = place.behind(text),
            Token::VariableStart => {
                if let Some(message) = place.refusal() {
                    let (line, column) = (span.start_line.into(), usize::from(span.start_col) + 1);
                    flaws.push(Flaw { line, column, message: message.to_owned() });
                }
            }
            _ => {}
        }
    }
    if flaws.is_empty() { Ok(()) } else { Err(flaws) }
}
