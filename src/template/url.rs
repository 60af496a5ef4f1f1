//! URLs whose scheme, host and port are literal and whose values can't leave their place.
//!
//! In: the `url:` of a rule. Out: a parsed URL. Values are percent-encoded down to the unreserved characters; in the
//! path a value that is empty, `.` or `..` is an error; the rendered URL is parsed again and must have the literal origin.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::EnvLookup;
use super::error::{ColumnUse, Error, Flaw};
use super::output::within_limit;
use super::scope::Scope;
use super::text::{Piece, TextTemplate};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A URL whose scheme, host and port are literal.
#[derive(Debug)]
pub struct UrlTemplate {
    /// The URL itself, or what comes before its first value: scheme, host, port and perhaps a part of the path.
    base: Url,
    /// None where nothing depends on the row.
    values: Option<TextTemplate>,
}

impl UrlTemplate {
    /// Compiles a URL. All flaws are reported, with their places.
    pub fn compile(source: &str, env: EnvLookup) -> Result<UrlTemplate, Vec<Flaw>> {
        let at = |column: usize, message: String| vec![Flaw { line: 1, column, message }];
        if source.contains("{%") {
            return Err(at(
                1,
                "a URL takes `{{ }}` only; put the `if` inside, as in `{{ 'a' if op == 'insert' else 'b' }}`".into(),
            ));
        }
        let literal_end = source.find("{{").unwrap_or(source.len());
        let prefix = &source[..literal_end];
        let base = read_base(prefix, literal_end < source.len()).map_err(|(column, message)| at(column, message))?;
        let template = TextTemplate::compile(source, env)?;
        if template.literal().is_some() {
            return Ok(UrlTemplate { base, values: None });
        }
        let literals = template.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => text,
            _ => "x",
        });
        check_literal(&literals.collect::<String>()).map_err(|message| at(1, message))?;
        Ok(UrlTemplate { base, values: Some(template) })
    }

    /// The URL for a change.
    pub fn render(&self, scope: &Scope) -> Result<Url, Error> {
        let Some(template) = &self.values else { return Ok(self.base.clone()) };
        let (mut out, mut value) = (String::new(), String::new());
        for piece in &template.pieces {
            if let Piece::Literal(text) = piece {
                out.push_str(text);
                continue;
            }
            value.clear();
            piece.render(scope, &mut value)?;
            if value.is_empty() && !out.contains('?') {
                return Err(Error::PathSegment);
            }
            out.extend(utf8_percent_encode(&value, RESERVED));
            within_limit(out.len())?;
        }
        self.read_rendered(&out)
    }

    /// Whether a secret from the environment is part of it, so that it must not be shown.
    pub fn uses_env(&self) -> bool {
        self.values.as_ref().is_some_and(TextTemplate::uses_env)
    }

    /// The columns it reads, in the order of the text.
    pub fn columns(&self) -> &[ColumnUse] {
        self.values.as_ref().map_or(&[], TextTemplate::columns)
    }

    /// The names it reads whose values differ from delivery to delivery, in the order of the text.
    pub fn names_read(&self) -> &[ColumnUse] {
        self.values.as_ref().map_or(&[], TextTemplate::names_read)
    }

    /// Scheme, host and port, which no value can change.
    pub fn origin(&self) -> url::Origin {
        self.base.origin()
    }

    fn read_rendered(&self, rendered: &str) -> Result<Url, Error> {
        let path = rendered.split('?').next().unwrap_or_default();
        if path.split('/').skip(3).any(is_dot_segment) {
            return Err(Error::PathSegment);
        }
        match Url::parse(rendered) {
            Ok(url) if url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none() => {
                Ok(url)
            }
            _ => Err(Error::ForeignUrl { origin: self.base.origin().ascii_serialization() }),
        }
    }
}

/// Reads the literal part before the first value; an error is a column from 1 and a message.
fn read_base(prefix: &str, has_values: bool) -> Result<Url, (usize, String)> {
    let Some((scheme, rest)) = prefix.split_once("://") else {
        let mend = if has_values && !prefix.contains("//") {
            "scheme, host and port must be literal: a template there needs `allow_hosts`, which is not supported by this version"
        } else {
            "a URL begins with `http://` or `https://`"
        };
        return Err((1, mend.to_string()));
    };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err((1, format!("scheme `{scheme}` is not supported; use http or https")));
    }
    let host_column = scheme.len() + 4;
    let authority_end = rest.find(['/', '?', '#', '\\']);
    if has_values && authority_end.is_none() {
        let message = "scheme, host and port must be literal: a template there needs `allow_hosts`, which is not \
                       supported by this version; the first `{{` may come after the `/` behind the host";
        return Err((host_column, message.to_string()));
    }
    if rest[..authority_end.unwrap_or(rest.len())].contains('@') {
        let message =
            "a URL can't hold user and password; send them as an `Authorization` header with `{{ env.NAME }}`";
        return Err((host_column, message.to_string()));
    }
    if !has_values {
        check_literal(prefix).map_err(|message| (1, message))?;
    }
    Url::parse(prefix).map_err(|error| (1, format!("not a URL: {error}")))
}

/// What the literal text of a URL may not hold; each value in it stands as some letter.
fn check_literal(text: &str) -> Result<(), String> {
    if text.contains('#') {
        return Err("a URL's `#fragment` is never sent; leave it out".to_string());
    }
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err("a URL can't hold spaces, line breaks or control characters; write a space as `%20`".to_string());
    }
    if text.contains('\\') {
        return Err("a URL can't hold `\\`; write `/`".to_string());
    }
    let path = text.split('?').next().unwrap_or_default();
    if path.split('/').any(is_dot_segment) {
        return Err("write the URL's path without `.` and `..`".to_string());
    }
    Ok(())
}

/// `.` and `..`, also in their percent-encoded spellings, which URL parsers resolve all the same.
fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}
