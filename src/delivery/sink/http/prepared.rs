//! A request as it will be sent, and as it may be shown.
//!
//! In: method, URL, headers and body of one call, from `request` or made by rowhook itself. Out: the same as a `curl`
//! command without its secrets, and the compressed body. Plain data: no row values are in its `Debug`.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::write::GzEncoder;
use url::Url;

use crate::rules::{BodyCompression, Method, QueryKey};

/// What rowhook calls itself, where a rule does not say otherwise.
pub(super) const USER_AGENT: &str = concat!("rowhook/", env!("CARGO_PKG_VERSION"));

/// What it says of packed answers, where a rule does not say otherwise: that it wants none (RFC 9110, section 12.5.3).
pub(super) const ACCEPT_ENCODING: (&str, &str) = ("Accept-Encoding", "identity");

/// A shorter body fits into one packet together with its head, so that compression gains nothing.
const COMPRESSED_BYTES_MIN: usize = 1024;

/// A request ready to be sent.
#[derive(Clone)]
pub(super) struct PreparedRequest {
    pub method: Method,
    pub url: Url,
    /// Names as the rule spells them, each at most once.
    pub headers: Vec<Header>,
    /// As it is before compression; empty for a call without a body.
    pub body: Bytes,
    pub compression: Option<BodyCompression>,
    /// The headers that each attempt adds, with values of its own that nothing may show.
    pub per_attempt: Vec<Cow<'static, str>>,
    /// A secret at the end of the query, which is not in `url`.
    pub query_key: Option<QueryKey>,
    /// The URL contains a secret; the next field says the same of the body.
    pub hides_url: bool,
    pub hides_body: bool,
}

impl fmt::Debug for PreparedRequest {
    /// Without path, query and body: row values stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.url.origin().ascii_serialization();
        write!(f, "{} {origin} {:?} and {} bytes", self.method.as_str(), self.headers, self.body.len())
    }
}

/// One header of a request.
#[derive(Clone)]
pub(super) struct Header {
    pub name: Cow<'static, str>,
    /// Free of control characters; UTF-8, so that it may hold bytes above 127.
    pub value: Cow<'static, str>,
    /// Holds a secret, so that nothing may show it.
    pub is_secret: bool,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, if self.is_secret { "***" } else { &self.value })
    }
}

impl PreparedRequest {
    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| &*header.value)
    }

    /// The compressed body; None where the rule does not ask for it, or the body is at most `COMPRESSED_BYTES_MIN`.
    pub fn gzipped(&self) -> Option<Vec<u8>> {
        let Some(BodyCompression::Gzip) = self.compression.filter(|_| self.body.len() > COMPRESSED_BYTES_MIN) else {
            return None;
        };
        // The fast level: it compresses JSON nearly as well, and a large body does not delay the other attempts.
        let mut packer = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), flate2::Compression::fast());
        packer.write_all(&self.body).and_then(|()| packer.finish()).ok()
    }

    /// The URL with all that is secret in it.
    pub fn url_as_sent(&self) -> Url {
        let mut url = self.url.clone();
        if let Some(key) = &self.query_key {
            let query = joined(self.url.query(), key.pair().reveal());
            url.set_query(Some(&query));
        }
        url
    }

    /// What an answer must not repeat: credentials of headers and of the query, the latter as they are and as they are sent.
    pub fn secrets(&self) -> impl Iterator<Item = Cow<'_, str>> {
        // Of `Bearer x` and `Basic x` the second word is the secret; of `Basic`, also the password in it.
        let credentials = |value| str::split_once(value, ' ').map_or(value, |(_, second)| second);
        let of_headers = self.headers.iter().filter(|header| header.is_secret);
        let of_headers = of_headers.flat_map(move |header| {
            let value = &*header.value;
            [Some(credentials(value).into()), basic_password(value).map(Cow::Owned)].into_iter().flatten()
        });
        let of_query = self.query_key.iter().flat_map(|key| {
            let pair = key.pair();
            let sent = pair.reveal().split_once('=').map_or("", |(_, value)| value).to_owned();
            [key.value.reveal().into(), sent.into()]
        });
        of_headers.chain(of_query)
    }

    /// The request as it may be shown.
    pub fn shown(&self) -> ShownRequest {
        let url = match self.hides_url {
            true => format!("{}/***", self.url.origin().ascii_serialization()),
            false => match &self.query_key {
                Some(key) => {
                    let mut url = self.url.clone();
                    let query = joined(self.url.query(), &format!("{}=***", key.name));
                    url.set_query(Some(&query));
                    url.to_string()
                }
                None => self.url.to_string(),
            },
        };
        let own = self.headers.iter().map(|header| {
            let value = if header.is_secret { "***" } else { &*header.value };
            (header.name.to_string(), value.to_owned())
        });
        let (name, value) = ACCEPT_ENCODING;
        let added = self.header(name).is_none().then(|| (name.to_owned(), value.to_owned()));
        let per_attempt = self.per_attempt.iter().map(|name| (name.to_string(), "***".to_owned()));
        let headers = own.chain(added).chain(per_attempt).collect();
        let body = match self.hides_body && !self.body.is_empty() {
            true => "***".to_owned(),
            false => String::from_utf8_lossy(&self.body).into_owned(),
        };
        ShownRequest { method: self.method.as_str(), url, headers, body }
    }
}

/// A request as it may be shown: `***` stands for secrets, and for what holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRequest {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// As it is before compression. Bytes that are no UTF-8 are replaced.
    pub body: String,
}

impl ShownRequest {
    /// As a `curl` command for a shell.
    pub fn to_curl(&self) -> String {
        let mut out = format!("curl -X {} {}", self.method, quote(&self.url));
        // `curl` wants no packed answers by itself.
        let is_implied = |name: &str, value: &str| (name, value) == ACCEPT_ENCODING;
        for (name, value) in self.headers.iter().filter(|(name, value)| !is_implied(name, value)) {
            // Writing to a String can't fail.
            let _ = write!(out, " \\\n  -H {}", quote(&format!("{name}: {value}")));
        }
        if !self.body.is_empty() {
            let _ = write!(out, " \\\n  --data-raw {}", quote(&self.body));
        }
        out
    }
}

fn joined(query: Option<&str>, pair: &str) -> String {
    match query.unwrap_or_default() {
        "" => pair.to_owned(),
        query => format!("{query}&{pair}"),
    }
}

/// One word for a shell. A control character, which a terminal doesn't show, is written with `$'…'` (POSIX 2024, section 2.2.4).
fn quote(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() || c == '\n';
    if text.chars().all(is_plain) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut quoted = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\\' | '\'' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| quoted.push_str(&format!("\\{byte:03o}")));
            }
            c => quoted.push(c),
        }
    }
    quoted + "'"
}

/// The password of `Basic …` (RFC 7617).
fn basic_password(value: &str) -> Option<String> {
    let login = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let (_, password) = str::from_utf8(&login).ok()?.split_once(':')?;
    // Two or three characters stand in many answers by themselves.
    (password.len() > 3).then(|| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(value: &str, is_secret: bool, body: &str) -> PreparedRequest {
        PreparedRequest {
            method: Method::Post,
            url: "http://a.test/hook/s3cret".parse().expect("a URL"),
            headers: vec![Header { name: "X-Key".into(), value: value.to_owned().into(), is_secret }],
            body: body.to_owned().into(),
            compression: Some(BodyCompression::Gzip),
            per_attempt: Vec::new(),
            query_key: None,
            hides_url: false,
            hides_body: false,
        }
    }

    #[test]
    fn a_command_shows_all_but_what_is_secret() {
        let plain = prepared("it's", false, "{}");
        let shown = "curl -X POST 'http://a.test/hook/s3cret' \\\n  -H 'X-Key: it'\\''s' \\\n  --data-raw '{}'";
        assert_eq!(plain.shown().to_curl(), shown);
        assert_eq!(plain.shown().headers.last(), Some(&("Accept-Encoding".to_owned(), "identity".to_owned())));
        let per_attempt = vec!["Authorization".into()];
        let hidden =
            PreparedRequest { per_attempt, hides_url: true, hides_body: true, ..prepared("s3cret", true, "s3cret") };
        let masked = "curl -X POST 'http://a.test/***' \\\n  -H 'X-Key: ***' \\\n  -H 'Authorization: ***' \\\n  --data-raw '***'";
        assert_eq!(hidden.shown().to_curl(), masked);
        assert!(!format!("{hidden:?}").contains("s3cret"), "{hidden:?}");
    }

    #[test]
    fn what_is_quoted_is_the_same_text_to_a_shell() {
        for text in ["", "it's", "a\nb\n", "a\r\nb", "--x\r\n\r\n'1'\r\n", "\t\\n\u{1b}[1m\u{85}7", "$HOME `id` \"\\\""]
        {
            let command = format!("printf %s {}", quote(text));
            let run = std::process::Command::new("bash").args(["-c", &command]).output().expect("bash runs");
            assert_eq!(String::from_utf8(run.stdout).expect("UTF-8"), text, "{command}");
            assert!(quote(text).chars().all(|c| !c.is_control() || c == '\n'), "{command}");
        }
        assert_eq!(quote("a\nb"), "'a\nb'");
    }

    #[test]
    fn only_a_body_that_gains_by_it_is_packed() {
        for (length, is_packed) in [(COMPRESSED_BYTES_MIN, false), (COMPRESSED_BYTES_MIN + 1, true)] {
            assert_eq!(prepared("", false, &"x".repeat(length)).gzipped().is_some(), is_packed, "{length}");
        }
        let unwanted =
            PreparedRequest { compression: None, ..prepared("", false, &"x".repeat(2 * COMPRESSED_BYTES_MIN)) };
        assert_eq!(unwanted.gzipped(), None);
    }
}
