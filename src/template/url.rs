//! URLs whose values can't leave their place.
//!
//! In: the `url:` of a rule. Out: a parsed URL. Scheme, host and port are literal, or chosen by a value within the
//! patterns of `allow_hosts`. Values are percent-encoded down to the unreserved characters; in the path a value that is
//! empty, `.` or `..` is an error; the rendered URL is parsed again and must lead where the rule says.

mod chosen;
mod hosts;

use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use url::{Host, Url};

pub use hosts::{AllowedHosts, HostPattern};

use self::chosen::ChosenUrl;
use super::EnvLookup;
use super::error::{ColumnUse, Error, Flaw, SagaUse};
use super::null_reads::NullRead;
use super::output::within_limit;
use super::percent::encode;
use super::scope::Scope;
use super::secret::Secret;
use super::text::{TextPiece, TextTemplate};

/// Longest URL that the HTTP library sends; servers seldom take more than 8 KiB.
const URL_BYTES_MAX: usize = 65_534;

/// The URL of a call.
#[derive(Debug)]
pub struct UrlTemplate(Form);

#[derive(Debug)]
enum Form {
    /// Nothing depends on the row.
    Literal(Url),
    /// Scheme, host and port are literal. `base` is what comes before the first value: these and perhaps a part of the
    /// path.
    Fixed {
        base: Url,
        template: TextTemplate,
    },
    Chosen(ChosenUrl),
}

impl UrlTemplate {
    /// Compiles a URL whose scheme, host and port are literal. All flaws are reported, with their places.
    pub fn compile(source: &str, env: EnvLookup) -> Result<UrlTemplate, Vec<Flaw>> {
        refuse_statements(source)?;
        let literal_end = source.find("{{").unwrap_or(source.len());
        let prefix = &source[..literal_end];
        let base = read_base(prefix, literal_end < source.len()).map_err(|(column, message)| at(column, message))?;
        let template = TextTemplate::compile(source, env)?;
        refuse_second_encoding(source)?;
        if template.literal().is_some() {
            return Ok(UrlTemplate(Form::Literal(base)));
        }
        let literals = template.pieces.iter().map(|piece| match piece {
            TextPiece::Literal(text) => text,
            _ => "x",
        });
        check_literal(&literals.collect::<String>()).map_err(|message| at(1, message))?;
        Ok(UrlTemplate(Form::Fixed { base, template }))
    }

    /// Compiles a URL whose host holds values, which may lead to these hosts only.
    pub fn compile_allowing(source: &str, hosts: AllowedHosts, env: EnvLookup) -> Result<UrlTemplate, Vec<Flaw>> {
        refuse_statements(source)?;
        let template = TextTemplate::compile(source, env)?;
        refuse_second_encoding(source)?;
        ChosenUrl::new(template, hosts).map(Form::Chosen).map(UrlTemplate)
    }

    /// The URL for a change.
    pub fn render(&self, scope: &Scope) -> Result<Url, Error> {
        let url = match &self.0 {
            Form::Literal(url) => url.clone(),
            Form::Fixed { base, template } => render_fixed(base, template, scope)?,
            Form::Chosen(chosen) => chosen.render(scope)?,
        };
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(Error::TooLarge { limit_bytes: URL_BYTES_MAX });
        }
        Ok(url)
    }

    /// Whether a value chooses the host, so that only public addresses may be called.
    pub fn chooses_host(&self) -> bool {
        matches!(self.0, Form::Chosen(_))
    }

    /// Whether a secret from the environment is part of it, so that it must not be shown.
    pub fn uses_env(&self) -> bool {
        self.template().is_some_and(TextTemplate::uses_env)
    }

    /// The secrets from the environment that are part of it.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.template().into_iter().flat_map(TextTemplate::secrets)
    }

    /// The columns it reads, in the order of the text.
    pub fn columns(&self) -> &[ColumnUse] {
        self.template().map_or(&[], TextTemplate::columns)
    }

    /// The names it reads whose values differ from delivery to delivery, in the order of the text.
    pub fn names_read(&self) -> &[ColumnUse] {
        self.template().map_or(&[], TextTemplate::names_read)
    }

    /// What it reads of a saga, in the order of the text.
    pub fn saga_reads(&self) -> &[SagaUse] {
        self.template().map_or(&[], TextTemplate::saga_reads)
    }

    /// Whether what it renders may depend on this column.
    pub fn reads(&self, column: &str) -> bool {
        self.template().is_some_and(|template| template.reads(column))
    }

    /// The columns by whose NULL it can't be rendered.
    pub fn null_reads(&self) -> &[NullRead] {
        self.template().map_or(&[], TextTemplate::null_reads)
    }

    /// As those of a text.
    pub fn old_reads(&self) -> &[ColumnUse] {
        self.template().map_or(&[], TextTemplate::old_reads)
    }

    /// Scheme, host and port, where no value can change them.
    pub fn origin(&self) -> Option<url::Origin> {
        match &self.0 {
            Form::Literal(base) | Form::Fixed { base, .. } => Some(base.origin()),
            Form::Chosen(_) => None,
        }
    }

    fn template(&self) -> Option<&TextTemplate> {
        match &self.0 {
            Form::Literal(_) => None,
            Form::Fixed { template, .. } => Some(template),
            Form::Chosen(chosen) => Some(&chosen.template),
        }
    }
}

fn render_fixed(base: &Url, template: &TextTemplate, scope: &Scope) -> Result<Url, Error> {
    let (mut out, mut value) = (String::new(), String::new());
    for piece in &template.pieces {
        if let TextPiece::Literal(text) = piece {
            out.push_str(text);
            continue;
        }
        value.clear();
        piece.write(scope, &mut value)?;
        if value.is_empty() && !out.contains('?') {
            return Err(Error::PathSegment);
        }
        encode(&value, &mut out);
        within_limit(out.len())?;
    }
    check_rendered(&out)?;
    match Url::parse(&out) {
        Ok(url) if url.origin() == base.origin() && url.username().is_empty() && url.password().is_none() => Ok(url),
        _ => Err(Error::ForeignUrl { origin: base.origin().ascii_serialization() }),
    }
}

fn check_rendered(rendered: &str) -> Result<(), Error> {
    let path = rendered.split('?').next().unwrap_or_default();
    if path.split('/').skip(3).any(is_dot_segment) { Err(Error::PathSegment) } else { Ok(()) }
}

fn refuse_statements(source: &str) -> Result<(), Vec<Flaw>> {
    match source.contains("{%") {
        true => {
            Err(at(1, "a URL takes `{{ }}` only; put the `if` inside, as in `{{ 'a' if op == 'insert' else 'b' }}`"))
        }
        false => Ok(()),
    }
}

/// A value of a URL is encoded anyway: with this filter `a b` would be sent as `a%2520b`.
fn refuse_second_encoding(source: &str) -> Result<(), Vec<Flaw>> {
    let Ok(Stmt::Template(template)) = parse(source, "url", SyntaxConfig::default()) else { return Ok(()) };
    let filters = template.children.iter().filter_map(|child| match child {
        Stmt::EmitExpr(value) => match &value.expr {
            Expr::Filter(filter) if filter.name == "urlencode" => Some(filter.span()),
            _ => None,
        },
        _ => None,
    });
    let flaws: Vec<Flaw> = filters
        .map(|span| Flaw::at(span, "values in a URL are percent-encoded anyway; leave `| urlencode` out"))
        .collect();
    if flaws.is_empty() { Ok(()) } else { Err(flaws) }
}

fn at(column: usize, message: impl Into<String>) -> Vec<Flaw> {
    vec![Flaw { line: 1, column, message: message.into() }]
}

fn is_http(scheme: &str) -> bool {
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Reads the literal part before the first value; an error is a column from 1 and a message.
fn read_base(prefix: &str, has_values: bool) -> Result<Url, (usize, String)> {
    let Some((scheme, rest)) = prefix.split_once("://") else {
        let fix = if has_values && !prefix.contains("//") {
            "scheme, host and port must be literal; a template there needs `allow_hosts` with the hosts it may lead to"
        } else {
            "a URL begins with `http://` or `https://`"
        };
        return Err((1, fix.to_string()));
    };
    if !is_http(scheme) {
        return Err((1, format!("scheme `{scheme}` is not supported; use http or https")));
    }
    let host_column = scheme.len() + 4;
    let authority_end = rest.find(['/', '?', '#', '\\']);
    if has_values && authority_end.is_none() {
        let message = "scheme, host and port must be literal: the first `{{` may come after the `/` behind the host; a \
                       template in the host needs `allow_hosts` with the hosts it may lead to";
        return Err((host_column, message.to_string()));
    }
    if authority_end == Some(0) {
        return Err((host_column, "the URL has no host behind `://`".to_string()));
    }
    if rest[..authority_end.unwrap_or(rest.len())].contains('@') {
        let message =
            "a URL can't hold user and password; send them as an `Authorization` header with `{{ env.NAME }}`";
        return Err((host_column, message.to_string()));
    }
    if !has_values {
        check_literal(prefix).map_err(|message| (1, message))?;
    }
    let base = Url::parse(prefix).map_err(|error| (1, format!("not a URL: {error}")))?;
    match base.host() {
        // A dot at the end says that the name is complete.
        Some(Host::Domain(name)) if !hosts::is_plain_name(name.strip_suffix('.').unwrap_or(name)) => {
            Err((host_column, "the URL's host is no host name: letters, digits, `-` and `.`".to_string()))
        }
        _ => Ok(base),
    }
}

/// What the literal text of a URL may not hold; each value in it stands as some letter.
fn check_literal(text: &str) -> Result<(), String> {
    if text.contains('#') {
        return Err("a URL's `#fragment` is never sent; leave it out".to_string());
    }
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err("a URL can't hold spaces, line breaks or control characters; write a space as `%20`".to_string());
    }
    if let Some(word) = single_braces(text) {
        return Err(format!("`{{{word}}}` would be sent as it is; a value is written `{{{{ {word} }}}}`"));
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

/// What stands between `{` and `}` as a value does in other tools.
fn single_braces(text: &str) -> Option<&str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).find(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
    })
}

/// `.` and `..`, also in their percent-encoded spellings, which URL parsers resolve all the same.
fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}
