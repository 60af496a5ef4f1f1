//! Answers of a script, read as those that come over a connection.
//!
//! In: what an API would answer. Out: what the client would have received, or why no API answers so. Sends nothing.

use futures_util::FutureExt as _;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Response, ResponseBuilderExt as _};
use url::Url;

use super::receive::{Keep, Received, receive};
use crate::delivery::answer::Lack;
use crate::delivery::scripted::{MissingAnswer, ScriptedAnswer};
use crate::rules::CallSettings;

/// What would be received of this answer to a request to `url`.
///
/// # Errors
/// A line for people when an API gives no such answer.
pub(in crate::delivery::sink::http) fn scripted(
    answer: &ScriptedAnswer,
    settings: &CallSettings,
    url: &Url,
    keep: Keep,
) -> Result<Received, String> {
    let (status, headers, body) = match answer {
        ScriptedAnswer::Status { status, headers, body } => (*status, headers, body),
        ScriptedAnswer::None(MissingAnswer::Timeout) => {
            let within = humantime::format_duration(settings.timeout);
            return Ok(Received::failed(format!("no answer within {within}"), Lack::Timeout));
        }
        ScriptedAnswer::None(MissingAnswer::Lost) => {
            return Ok(Received::failed("connection closed before the answer".to_owned(), Lack::Network));
        }
        ScriptedAnswer::None(MissingAnswer::Unreachable) => {
            return Ok(Received::failed("no connection: connection refused".to_owned(), Lack::Unsent));
        }
        ScriptedAnswer::Rows(_) => return Err("`rows` is an answer to a statement, and this is a call".to_owned()),
        ScriptedAnswer::None(word @ (MissingAnswer::Deadlock | MissingAnswer::Refused)) => {
            return Err(format!("`{word}` is an answer to a statement, and this is a call"));
        }
    };
    let mut response = hyper::Response::builder().status(status).url(url.clone());
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no name of a header"))?;
        let value = HeaderValue::from_str(value).map_err(|_| format!("no header has the value of `{name}`"))?;
        response = response.header(header, value);
    }
    let response = response
        .body(reqwest::Body::from(body.clone()))
        .map_err(|_| format!("{status} is no status; it is from 100 to 599"))?;
    // The whole body is there already: nothing is waited for.
    let received = receive(Response::from(response), &settings.success, keep).now_or_never();
    let received = received.expect("a body in memory is read at once");
    received.map_err(|error| format!("the answer can't be read: {error}"))
}
