//! Where values may stand in an XML or HTML text: where a reader undoes what escaping did, and does not run what it finds.
//!
//! In: the template of such a text. Out: a flaw for each value elsewhere: in a name, a comment, CDATA, and in HTML in a script or style. Does
//! not check that the rest of the template is well-formed. Markup that statements put together from pieces is not seen.

use std::borrow::Cow;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::template::error::Flaw;

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// Elements mean nothing by themselves.
    Xml,
    /// XML whose scripts are run.
    Xhtml,
    Html,
}

/// Elements of HTML in which no reference is read (HTML standard, section 13.1.2.4 and 15.2), or whose text is run or applied.
const RAW_ELEMENTS: [&str; 7] = ["script", "style", "iframe", "noembed", "noframes", "plaintext", "xmp"];

/// Where in a text something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the text of an element.
    Text,
    /// Within `<…>`, between no quotes; of one that begins a raw element, with its name.
    Tag(Option<&'static str>),
    /// Between quotes of this kind. `is_run`: what a reader finds there is a script, or a document.
    Attribute {
        quote: &'static str,
        is_run: bool,
        of: Option<&'static str>,
    },
    /// In the element of this name.
    Raw(&'static str),
    Comment,
    CData,
    /// `<?…?>` and `<!DOCTYPE …>`, with its end.
    Declaration(&'static str),
}

impl Place {
    /// Why a value can't stand here.
    fn refusal(self) -> Option<Cow<'static, str>> {
        Some(match self {
            Place::Text | Place::Attribute { is_run: false, .. } => return None,
            Place::Tag(_) => "a value in an XML text stands in the text of an element, or between the quotes of an attribute; here \
                              it could add attributes"
                .into(),
            Place::Attribute { .. } => "a value can't stand in an attribute that is run (`on…`, `srcdoc`), where it could add to \
                                        the script; write it in an attribute such as `data-value` and have the script read it"
                .into(),
            Place::Raw(element) => format!(
                "a value can't stand in `<{element}>`, where nothing can be escaped; write it in an attribute of another element, as \
                 in `<p data-value=\"{{{{ … }}}}\">`, to be read from there"
            )
            .into(),
            Place::Comment => "a value can't stand in an XML comment, where nothing can be escaped; move it out".into(),
            Place::CData => {
                "values in an XML text are escaped, which CDATA shows as it is; leave `<![CDATA[` and `]]>` out".into()
            }
            Place::Declaration(_) => "a value can't stand in `<?…?>` or `<!…>`, where nothing can be escaped".into(),
        })
    }

    /// What ends it, the longer ones first.
    fn marks(self) -> &'static [&'static str] {
        match self {
            Place::Text => &["<![cdata[", "<!--", "<?", "<!", "<"],
            Place::Tag(_) => &["/>", ">", "\"", "'"],
            Place::Attribute { quote: "\"", .. } => &["\""],
            Place::Attribute { .. } => &["'"],
            Place::Raw(_) => &["</"],
            Place::Comment => &["-->"],
            Place::CData => &["]]>"],
            Place::Declaration("?>") => &["?>"],
            Place::Declaration(_) => &[">"],
        }
    }

    /// The place behind one of its marks, which stands between these texts.
    fn behind_mark(self, markup: Markup, before: &str, mark: &str, rest: &str) -> Place {
        match (self, mark) {
            (Place::Text, "<![cdata[") => Place::CData,
            (Place::Text, "<!--") => Place::Comment,
            (Place::Text, "<?") => Place::Declaration("?>"),
            (Place::Text, "<!") => Place::Declaration(">"),
            (Place::Text, _) => Place::Tag(raw_element(markup, rest)),
            // HTML takes no notice of the `/`.
            (Place::Tag(Some(element)), "/>") if markup == Markup::Html => Place::Raw(element),
            (Place::Tag(Some(element)), ">") => Place::Raw(element),
            (Place::Tag(_), "/>" | ">") => Place::Text,
            (Place::Tag(of), mark) => Place::Attribute {
                quote: if mark == "\"" { "\"" } else { "'" },
                is_run: markup != Markup::Xml && is_run(before),
                of,
            },
            (Place::Attribute { of, .. }, _) => Place::Tag(of),
            (Place::Raw(element), _) if element_name(rest) != element => self,
            (Place::Raw(_), _) => Place::Tag(None),
            (Place::Comment | Place::CData | Place::Declaration(_), _) => Place::Text,
        }
    }

    /// The place behind a text that begins here, which is in lower case.
    fn behind(self, markup: Markup, text: &str) -> Place {
        let (mut place, mut begin) = (self, 0);
        loop {
            let rest = &text[begin..];
            let found = place.marks().iter().filter_map(|mark| Some((rest.find(mark)?, *mark)));
            // Of several at the same place the longest, which is listed first.
            let Some((at, mark)) = found.reduce(|first, next| if next.0 < first.0 { next } else { first }) else {
                return place;
            };
            let end = begin + at + mark.len();
            place = place.behind_mark(markup, &text[..begin + at], mark, &text[end..]);
            begin = end;
        }
    }
}

/// The name with which a text begins that stands behind `<` or `</`.
fn element_name(text: &str) -> &str {
    text.split(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).next().unwrap_or_default()
}

fn raw_element(markup: Markup, text: &str) -> Option<&'static str> {
    let name = element_name(text);
    RAW_ELEMENTS.into_iter().find(|element| markup != Markup::Xml && *element == name)
}

/// Whether the attribute whose quote follows this text holds a script or a document.
fn is_run(before: &str) -> bool {
    let name = before.trim_end().strip_suffix('=').unwrap_or_default().trim_end();
    let name =
        name.rsplit(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '"' | '\'')).next().unwrap_or_default();
    name.starts_with("on") || name == "srcdoc"
}

/// Checks that every value of the template stands where it can be escaped.
pub(in crate::template) fn check_places(source: &str, markup: Markup) -> Result<(), Vec<Flaw>> {
    let mut place = Place::Text;
    let mut flaws = Vec::new();
    // What is no token is for the parser to report.
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::TemplateData(text) => place = place.behind(markup, &text.to_ascii_lowercase()),
            Token::VariableStart => flaws.extend(place.refusal().map(|message| Flaw::at(span, message))),
            _ => {}
        }
    }
    if flaws.is_empty() { Ok(()) } else { Err(flaws) }
}
