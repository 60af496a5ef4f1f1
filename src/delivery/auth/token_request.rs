//! One request for a token: the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).
//!
//! In: a rule's settings. Out: the token and how long it lives, or why there is none, in words of our own: of what the
//! server writes only the error codes of the standard are repeated, and only those. Under the same guards as any call:
//! the addresses that are never called, TLS, no redirects, an answer of at most 64 KiB.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::delivery::client::{self, Client};
use crate::delivery::request::{Header, Prepared, USER_AGENT};
use crate::rules::{ClientStyle, Egress, Method, OAuth2};
use crate::template::Secret;

/// The authorization server answers within this, or the attempt has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A token whose life the server does not tell (RFC 6749 only recommends it) is used this long.
const LIFE_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// A token is asked for anew at least this often, whatever the server says.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Above what servers take as a header.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// RFC 6749 section 5.2, RFC 8707 section 2, and what servers borrow from section 4.1.2.1.
const ERROR_CODES: [&str; 9] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
];

/// A token and how long it can be used.
#[derive(Debug)]
pub(super) struct Granted {
    pub text: Secret,
    pub life: Duration,
}

#[derive(Debug)]
pub(super) struct Failure {
    /// One line for people.
    pub message: String,
    /// The server understood and said no: a person must mend the settings.
    pub is_refusal: bool,
}

pub(super) async fn send(settings: &OAuth2, egress: Egress, client: &Client) -> Result<Granted, Failure> {
    let failed = |message| Failure { message, is_refusal: false };
    let request = client::request(&prepare(settings), egress).map_err(failed)?;
    let (status, body) = client.fetch(request, egress, TIMEOUT, ANSWER_BYTES_MAX).await.map_err(failed)?;
    if status == 200 {
        return read(&body).map_err(|problem| failed(problem.to_owned()));
    }
    let code = error_code(&body).map_or(String::new(), |code| format!(" ({code})"));
    let is_refusal = (400..500).contains(&status) && ![408, 429].contains(&status);
    Err(Failure { message: format!("answered {status}{code}"), is_refusal })
}

fn prepare(settings: &OAuth2) -> Prepared {
    let (id, secret) = (settings.client_id.reveal(), settings.client_secret.reveal());
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in &settings.form {
        form.append_pair(name, value.reveal());
    }
    let header =
        |name: &'static str, value: &str| Header { name: name.into(), value: value.to_owned(), is_secret: false };
    let mut headers = vec![
        header("User-Agent", USER_AGENT),
        header("Content-Type", "application/x-www-form-urlencoded"),
        header("Accept", "application/json"),
    ];
    match settings.style {
        ClientStyle::Basic => {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            headers.push(Header { name: "Authorization".into(), value: format!("Basic {pair}"), is_secret: true });
        }
        ClientStyle::Body => {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        }
    }
    Prepared {
        method: Method::Post,
        url: settings.token_url.clone(),
        headers,
        body: Bytes::from(form.finish()),
        compression: None,
        per_attempt: Vec::new(),
        hides_url: true,
        hides_body: true,
    }
}

/// A successful answer (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    /// A number; some servers write it as a text.
    expires_in: Option<serde_json::Value>,
}

fn read(body: &[u8]) -> Result<Granted, &'static str> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "the answer is not the JSON of a token")?;
    let token = answer.access_token.ok_or("the answer has no access_token")?;
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the access_token is nothing that a header can carry");
    }
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token_type is not Bearer, the only one that rowhook knows");
    }
    let seconds = answer.expires_in.and_then(|seconds| match seconds {
        serde_json::Value::String(text) => text.parse().ok().filter(|seconds: &f64| !seconds.is_nan()),
        number => number.as_f64(),
    });
    let within = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.0, LIFE_MAX.as_secs_f64()));
    let life = seconds.map_or(LIFE_DEFAULT, within);
    Ok(Granted { text: Secret::new(&token), life })
}

/// The code of an error answer, where it is one that the standards name.
fn error_code(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    ERROR_CODES.into_iter().find(|code| *code == refusal.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_what_can_be_used_is_taken() {
        let life = |text: &str| read(text.as_bytes()).map(|granted| granted.life.as_secs());
        assert_eq!(life(r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#), Ok(3600));
        assert_eq!(life(r#"{"access_token":"t","token_type":"bearer","expires_in":"60"}"#), Ok(60));
        assert_eq!(life(r#"{"access_token":"t"}"#), Ok(300));
        assert_eq!(life(r#"{"access_token":"t","expires_in":null}"#), Ok(300));
        assert_eq!(life(r#"{"access_token":"t","expires_in":-5}"#), Ok(0));
        assert_eq!(life(r#"{"access_token":"t","expires_in":1e300}"#), Ok(86_400));
        assert_eq!(
            life(r#"{"access_token":"t","token_type":"mac"}"#),
            Err("the token_type is not Bearer, the only one that rowhook knows")
        );
        for text in [r#"{"access_token":"a b"}"#, r#"{"access_token":"a\nb"}"#, r#"{"access_token":""}"#] {
            assert_eq!(life(text), Err("the access_token is nothing that a header can carry"), "{text}");
        }
        assert_eq!(life(r#"{"error":"x"}"#), Err("the answer has no access_token"));
        assert_eq!(life("<html>"), Err("the answer is not the JSON of a token"));
        assert_eq!(life(r#"["s3cret"]"#), Err("the answer is not the JSON of a token"));
    }

    #[test]
    fn of_an_error_only_the_codes_of_the_standards_are_repeated() {
        assert_eq!(error_code(br#"{"error":"invalid_client","error_description":"s3cret"}"#), Some("invalid_client"));
        for text in [&br#"{"error":"client s3cret is unknown"}"#[..], b"invalid_client", b"{}", b""] {
            assert_eq!(error_code(text), None);
        }
    }
}
