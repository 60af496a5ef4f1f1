//! Reads an answer: its head, and of its body what is wanted.
//!
//! In: a response whose head has come. Out: what came of the attempt: status, the waits and limits that the server names,
//! where it redirects, the text of a refusal, the body of a success as far as it is asked for. Bodies are unpacked and turned
//! into UTF-8. Bounded: what is read, what is unpacked and what is kept.

use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER,
};

use super::redirect::Redirect;
use super::{Text, unpack};
use crate::delivery::answer::{self, EXCERPT_BYTES_MAX, Lack};
use crate::delivery::server_limit::{self, ServerLimit};
use crate::failure::Answer;
use crate::rules::SuccessStatuses;
use crate::saga::KeptAnswer;
use crate::template::Secret;

/// An answer is read to its end up to this size, so that its connection can be used again; what is longer is cut off.
pub(in crate::delivery) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The text of a refusal may be written with up to four bytes for what is one in UTF-8.
const REFUSAL_BYTES_MAX: usize = 4 * EXCERPT_BYTES_MAX;

/// What came of one attempt.
#[derive(Debug, PartialEq)]
pub struct Received {
    pub answer: Answer,
    /// Why there is no answer, where there is none.
    pub lack: Option<Lack>,
    /// How long the server asks us to wait.
    pub retry_after: Option<Duration>,
    /// The body, as far as it was asked for.
    pub body: Text,
    /// The headers, likewise; without those that were true of a packed body.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// What the server says it will still take.
    pub server_limit: Option<ServerLimit>,
    /// Where an answer that is no success leads.
    pub redirect: Option<Redirect>,
    /// What was sent and must be neither shown nor stored: masked when the answer has been read, which says what it says.
    pub secrets: Vec<Secret>,
}

impl Received {
    /// There is no answer, for this reason.
    pub fn failed(error: String, lack: Lack) -> Received {
        let (answer, body, headers) = (Answer::Failed { error }, Text::default(), Vec::new());
        let (retry_after, server_limit, redirect, secrets) = (None, None, None, Vec::new());
        Received { answer, lack: Some(lack), retry_after, server_limit, body, headers, redirect, secrets }
    }
}

/// What is kept of an answer, besides the beginning of its body where it is no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct Keep {
    /// Of its body, so many bytes.
    pub body_bytes_max: usize,
    pub headers: bool,
    /// The same of an answer that is no success.
    pub of_refusals: bool,
}

impl Keep {
    pub const NOTHING: Keep = Keep { body_bytes_max: 0, headers: false, of_refusals: false };

    /// Of a success, what later templates may read.
    pub const ALL: Keep = Keep { body_bytes_max: KeptAnswer::BODY_BYTES_MAX, headers: true, of_refusals: false };

    /// What this or the other keeps.
    pub fn and(self, other: Keep) -> Keep {
        Keep {
            body_bytes_max: self.body_bytes_max.max(other.body_bytes_max),
            headers: self.headers || other.headers,
            of_refusals: self.of_refusals || other.of_refusals,
        }
    }
}

pub(super) async fn receive(
    mut response: Response,
    success: &SuccessStatuses,
    keep: Keep,
) -> reqwest::Result<Received> {
    let status = response.status().as_u16();
    let made_at = answer::made_at(texts(response.headers(), &DATE).next(), SystemTime::now());
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| answer::retry_after(value.to_str().ok()?, made_at));
    let headers = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let server_limit = server_limit::read(headers, || made_at);
    let is_success = success.contains(status);
    let is_kept = is_success || keep.of_refusals;
    let bytes_max = match is_success {
        true => keep.body_bytes_max,
        false if keep.of_refusals => keep.body_bytes_max.max(REFUSAL_BYTES_MAX),
        false => REFUSAL_BYTES_MAX,
    };
    let body = read_body(&mut response, bytes_max).await?;
    let headers = if is_kept && keep.headers { kept_headers(response.headers(), &body) } else { Vec::new() };
    let (excerpt, redirect) = match is_success {
        true => (String::new(), None),
        false => (excerpt(&body), redirect_of(&response, status)),
    };
    let body = if is_kept { body } else { Text::default() };
    let answer = Answer::Status { status, excerpt };
    Ok(Received { answer, lack: None, retry_after, server_limit, body, headers, redirect, secrets: Vec::new() })
}

pub(super) fn redirect_of(response: &Response, status: u16) -> Option<Redirect> {
    let location = response.headers().get(LOCATION).map(reqwest::header::HeaderValue::as_bytes);
    Redirect::read(status, location, response.url())
}

/// Reads the body, unpacks it and turns it into UTF-8; at most `bytes_max` bytes of it are kept.
pub(super) async fn read_body(response: &mut Response, bytes_max: usize) -> reqwest::Result<Text> {
    let codings = unpack::codings(texts(response.headers(), &CONTENT_ENCODING));
    let is_packed = !codings.is_empty() && bytes_max > 0;
    // Of what is packed more may be needed than is kept, should it grow by being packed.
    let kept_max = if is_packed { bytes_max.max(ANSWER_BYTES_MAX) } else { bytes_max };
    let mut kept = Vec::new();
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        let more = chunk.len().min(kept_max - kept.len());
        kept.extend_from_slice(&chunk[..more]);
        read += chunk.len();
        if read > kept_max.max(ANSWER_BYTES_MAX) {
            break;
        }
    }
    if bytes_max == 0 {
        return Ok(Text::default());
    }
    let is_cut = read > kept_max;
    let text = match is_packed {
        true => unpack::unpack(&codings, kept, is_cut, bytes_max),
        false => Text { bytes: kept, is_cut, problem: None },
    };
    let content_type = texts(response.headers(), &CONTENT_TYPE).next();
    Ok(text.decoded(content_type, bytes_max))
}

fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

pub(in crate::delivery) fn excerpt(body: &Text) -> String {
    match &body.problem {
        // What there is of a damaged text helps more than the damage.
        Some(problem) if body.bytes.is_empty() || std::str::from_utf8(&body.bytes).is_err() => {
            format!("(the answer can't be shown: {problem})")
        }
        _ => answer::excerpt(&body.bytes),
    }
}

/// Those that are text, as far as there is room for them.
fn kept_headers(headers: &HeaderMap, body: &Text) -> Vec<(Box<str>, Box<str>)> {
    let mut bytes_left = KeptAnswer::HEADERS_BYTES_MAX;
    let is_unpacked = body.problem.is_none() && headers.contains_key(CONTENT_ENCODING);
    let is_true = |name: &HeaderName| !(is_unpacked && (name == CONTENT_ENCODING || name == CONTENT_LENGTH));
    let texts = headers.iter().filter(|(name, _)| is_true(name));
    let texts = texts.filter_map(|(name, value)| Some((name.as_str(), str::from_utf8(value.as_bytes()).ok()?)));
    let fitting = texts.filter(|(name, value)| {
        let left = bytes_left.checked_sub(name.len() + value.len());
        bytes_left = left.unwrap_or(bytes_left);
        left.is_some()
    });
    fitting.map(|(name, value)| (name.into(), value.into())).collect()
}
