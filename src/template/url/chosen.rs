//! URLs whose host a row value chooses, within the patterns of `allow_hosts`.
//!
//! In: `https://{{ row.shop }}.example.com/…`, or a URL that is a value as a whole, perhaps with a path of the rule's
//! after it. Out: a parsed URL whose host a pattern names, or an error without the value. Values in the host can be
//! nothing but a part of it; a value that is a URL is taken as it stands, all others are percent-encoded.

use url::Url;

use super::hosts::{AllowedHosts, Scheme};
use super::{at, check_literal, check_rendered, is_http};
use crate::template::error::{Error, Flaw};
use crate::template::output::within_limit;
use crate::template::percent::encode;
use crate::template::scope::Scope;
use crate::template::text::{TextPiece, TextTemplate};

const LITERAL_HOST: &str = "`allow_hosts` is for a host that a value chooses; this one is literal";

/// A URL whose host depends on the row.
#[derive(Debug)]
pub(super) struct ChosenUrl {
    pub template: TextTemplate,
    hosts: AllowedHosts,
    scheme: Scheme,
}

/// How far a URL has been rendered.
#[derive(PartialEq, Eq)]
enum Part {
    Host,
    Path,
    Query,
}

impl ChosenUrl {
    pub fn new(template: TextTemplate, hosts: AllowedHosts) -> Result<ChosenUrl, Vec<Flaw>> {
        let (first, rest) = match &template.pieces[..] {
            [first, rest @ ..] if template.literal().is_none() => (first, rest),
            _ => return Err(at(1, LITERAL_HOST)),
        };
        let (scheme, beginning) = match (first, rest.first()) {
            (TextPiece::Literal(text), _) => match text.split_once("://").filter(|(scheme, _)| is_http(scheme)) {
                Some((_, host)) if host.contains(['/', '?', '#', '\\']) => return Err(at(1, LITERAL_HOST)),
                Some(_) => (Scheme::Literal, &**text),
                None => return Err(at(1, "a URL begins with `http://`, `https://`, or a value that is a URL")),
            },
            (_, None) => (Scheme::Chosen, "https://1"),
            (_, Some(TextPiece::Literal(text))) if text.starts_with(['/', '?']) => (Scheme::Chosen, "https://1"),
            _ => return Err(at(1, "behind a value that is a URL comes `/`, `?` or nothing")),
        };
        // A digit may stand in a host and in a port.
        let rest = rest.iter().map(|piece| if let TextPiece::Literal(text) = piece { &**text } else { "1" });
        let sample: String = std::iter::once(beginning).chain(rest).collect();
        check_literal(&sample).map_err(|message| at(1, message))?;
        if !has_plain_host(&sample) {
            return Err(at(1, "host and port are letters, digits, `-`, `.` and values, without user and password"));
        }
        Ok(ChosenUrl { template, hosts, scheme })
    }

    pub fn render(&self, scope: &Scope) -> Result<Url, Error> {
        let (mut out, mut value) = (String::new(), String::new());
        let mut part = Part::Host;
        let last = self.template.pieces.len() - 1;
        for (index, piece) in self.template.pieces.iter().enumerate() {
            if let TextPiece::Literal(text) = piece {
                out.push_str(text);
            } else {
                value.clear();
                piece.write(scope, &mut value)?;
                match part {
                    Part::Host if index == 0 => {
                        check_whole(&value, index == last)?;
                        out.push_str(&value);
                    }
                    Part::Host => {
                        check_host_part(&value)?;
                        out.push_str(&value);
                    }
                    Part::Path if value.is_empty() => return Err(Error::PathSegment),
                    Part::Path | Part::Query => encode(&value, &mut out),
                }
            }
            within_limit(out.len())?;
            part = reached(&out);
        }
        self.read_rendered(&out)
    }

    fn read_rendered(&self, rendered: &str) -> Result<Url, Error> {
        check_rendered(rendered)?;
        let parsed = Url::parse(rendered).ok();
        let allowed = parsed
            .filter(|url| url.username().is_empty() && url.password().is_none() && self.hosts.allow(url, self.scheme));
        allowed.ok_or_else(|| Error::HostNotAllowed { allow_hosts: self.hosts.place().to_owned() })
    }
}

fn reached(rendered: &str) -> Part {
    let after_scheme = rendered.split_once("://").map_or("", |(_, rest)| rest);
    match after_scheme.find(['/', '?']) {
        _ if after_scheme.contains('?') => Part::Query,
        Some(_) => Part::Path,
        None => Part::Host,
    }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())]
}

fn has_plain_host(sample: &str) -> bool {
    authority(sample).chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._:".contains(c))
        && Url::parse(sample).is_ok()
}

/// A value within the host: only what a name is made of. Characters beyond ASCII are for IDNA to judge, which lets none
/// through that ends a host.
fn check_host_part(value: &str) -> Result<(), Error> {
    let part_of_name = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._".contains(c);
    match !value.is_empty() && value.chars().all(part_of_name) {
        true => Ok(()),
        false => Err(Error::HostPart),
    }
}

/// A value that is a URL, of which the parser must see what is written: it would else drop line breaks, read `\` as `/`,
/// decode the host and add slashes that are missing.
fn check_whole(value: &str, is_last: bool) -> Result<(), Error> {
    let wrong = |problem| Err(Error::NotUrl { problem });
    let Some((scheme, rest)) = value.split_once("://") else { return wrong("it does not begin with `https://`") };
    if !is_http(scheme) {
        return wrong("it does not begin with `https://`");
    }
    if value.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return wrong("it holds a space, a control character or `\\`");
    }
    if rest.contains('#') {
        return wrong("it has a `#fragment`, which is never sent");
    }
    if !is_last && rest.contains('?') {
        return wrong("it has a query, behind which the rule's own path can't go");
    }
    let authority = authority(value);
    if authority.is_empty() || authority.ends_with(':') || authority.contains(['@', '%']) {
        return wrong("its host is missing, encoded, or with user and password");
    }
    Ok(())
}
