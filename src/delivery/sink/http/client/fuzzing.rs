//! The answer of an API, as one function for fuzzers alone.
//!
//! In: any bytes. Out: whether the answer says anything. Reads headers and body as those of an answer that came over
//! a connection; hyper parses what comes over a connection.

use bytes::Bytes;
use futures_util::FutureExt as _;
use reqwest::Response;
use reqwest::header::{HeaderName, HeaderValue};

use super::receive::{Keep, receive};
use crate::rules::SuccessStatuses;

/// An answer: its first line is the status as digits, each line up to an empty one is `name: value`, and the rest is the
/// body. Lines end with `\n`; a line that is no header is left out.
pub fn answer_headers(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| str::from_utf8(line).ok()?.trim().parse().ok()).unwrap_or(200_u16);
    let mut answer = hyper::Response::builder().status(status.clamp(100, 999));
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            answer = answer.header(name, value);
        }
    }
    let body = lines.collect::<Vec<_>>().join(&b'\n');
    let Ok(answer) = answer.body(reqwest::Body::from(Bytes::from(body))) else { return false };
    let success = SuccessStatuses(vec![(200, 299)]);
    // The whole body is there already: nothing is waited for.
    let received = receive(Response::from(answer), &success, Keep::ALL).now_or_never();
    received.and_then(Result::ok).is_some_and(|received| {
        let says_when = received.retry_after.is_some() || received.server_limit.is_some();
        says_when || received.redirect.is_some() || !received.body.bytes.is_empty()
    })
}
