//! Requests signed for Amazon Web Services: Signature Version 4 (AWS, "Create a signed AWS API request").
//!
//! In: the rule's credentials, a request that is complete but for this, the time of the attempt. Out: the headers of the
//! signature. The URL is first written as AWS writes it, so that what is sent and what is signed are the same text. Signed
//! are method, URL, `host`, `content-type`, all `x-amz-` headers, and the body as it is sent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ring::{digest, hmac};
use url::Url;

use crate::rules::AwsCredentials;
use crate::template::percent_encode;

const DATE: &str = "x-amz-date";
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const SECURITY_TOKEN: &str = "x-amz-security-token";

/// The headers that [`add`] sets.
pub(super) fn header_names(credentials: &AwsCredentials) -> impl Iterator<Item = Cow<'static, str>> {
    let always = ["Authorization", "X-Amz-Date", "X-Amz-Content-Sha256"];
    let token = credentials.session_token.as_ref().map(|_| "X-Amz-Security-Token");
    always.into_iter().chain(token).map(Cow::Borrowed)
}

/// Writes path and query with everything encoded but the unreserved characters. `+` is a space, as in forms.
pub(super) fn encode_url(url: &mut Url) {
    let encoded = |text: &str| {
        let mut out = String::with_capacity(text.len());
        percent_encode(percent_decode_str(text).collect::<Vec<u8>>(), &mut out);
        out
    };
    let path: Vec<String> = url.path().split('/').map(encoded).collect();
    let query = url.query().map(|query| {
        let spaced = query.replace('+', "%20");
        let pairs = spaced.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) => format!("{}={}", encoded(name), encoded(value)),
            None => encoded(pair),
        });
        pairs.collect::<Vec<_>>().join("&")
    });
    url.set_path(&path.join("/"));
    url.set_query(query.as_deref());
}

/// Signs a request whose URL [`encode_url`] has written.
pub(super) fn add(credentials: &AwsCredentials, now: SystemTime, request: &mut Request) {
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let body_digest = hex(digest::digest(&digest::SHA256, body).as_ref());
    // 2015-08-30T12:36:00Z is written 20150830T123600Z.
    let time = humantime::format_rfc3339_seconds(now).to_string().replace(['-', ':'], "");
    set(request, HeaderName::from_static(DATE), &time, false);
    set(request, HeaderName::from_static(CONTENT_SHA256), &body_digest, false);
    if let Some(token) = &credentials.session_token {
        set(request, HeaderName::from_static(SECURITY_TOKEN), token.reveal(), true);
    }
    let (canonical, signed_headers) = canonical_request(credentials, request, &body_digest);
    let AwsCredentials { service, region, access_key, .. } = credentials;
    let date = &time[..8];
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let digest = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
    let signature = hex(sign(signing_key(credentials, date).as_ref(), &text).as_ref());
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}",
        access_key.reveal()
    );
    set(request, AUTHORIZATION, &value, true);
}

fn set(request: &mut Request, name: HeaderName, value: &str, is_secret: bool) {
    let mut value = HeaderValue::try_from(value).expect("credentials with control characters are refused at load");
    value.set_sensitive(is_secret);
    request.headers_mut().insert(name, value);
}

/// And the names of the headers that it holds.
fn canonical_request(credentials: &AwsCredentials, request: &Request, body_digest: &str) -> (String, String) {
    let url = request.url();
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    headers.insert("host", host);
    for (name, value) in request.headers() {
        let name = name.as_str();
        if name == "content-type" || name.starts_with("x-amz-") {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            headers
                .entry(name)
                .and_modify(|values| {
                    let _ = write!(values, ",{value}");
                })
                .or_insert(value);
        }
    }
    let names = headers.keys().copied().collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (method, path, query) =
        (request.method(), canonical_path(url.path(), &credentials.service), canonical_query(url));
    (format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body_digest}"), names)
}

/// Encoded once more than it is sent, and without empty segments; for S3, whose keys may hold anything, as it is.
fn canonical_path<'p>(path: &'p str, service: &str) -> Cow<'p, str> {
    if service.starts_with("s3") {
        return path.into();
    }
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let mut out = String::with_capacity(path.len());
    for segment in segments {
        out.push('/');
        percent_encode(segment, &mut out);
    }
    if path.ends_with('/') {
        out.push('/');
    }
    out.into()
}

fn canonical_query(url: &Url) -> String {
    let query = url.query().unwrap_or_default();
    if query.is_empty() {
        return String::new();
    }
    let mut pairs: Vec<(&str, &str)> =
        query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn signing_key(credentials: &AwsCredentials, date: &str) -> hmac::Tag {
    let secret = format!("AWS4{}", credentials.secret_key.reveal());
    let of_region = sign(sign(secret.as_bytes(), date).as_ref(), &credentials.region);
    sign(sign(of_region.as_ref(), &credentials.service).as_ref(), "aws4_request")
}

fn sign(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
