//! One request for a token: the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).
//!
//! In: a rule's settings. Out: the token and how long it lives, or why there is none, in words of our own: of what the
//! server writes only error codes are repeated, and where it redirects to. Under the same guards as any call: the addresses
//! that are never called, TLS, no redirects, an answer of at most 64 KiB.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::super::client::{self, Client, Fetched};
use super::super::prepared::{Header, PreparedRequest, USER_AGENT};
use crate::rules::{ClientStyle, Egress, Method, OAuth2};
use crate::template::Secret;

/// The authorization server answers within this, or the attempt has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A token whose lifetime the server does not name (RFC 6749 only recommends it) is used this long.
const LIFE_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// A new token is requested at least this often, whatever the server says.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Above what servers take as a header.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Codes are short words; what is longer is a sentence, and may quote what we sent.
const CODE_BYTES_MAX: usize = 64;

/// Refusals that time may fix (RFC 6749, section 4.1.2.1).
const PASSING_CODES: [&str; 2] = ["server_error", "temporarily_unavailable"];

/// A token and how long it can be used.
#[derive(Debug)]
pub(super) struct Granted {
    pub text: Secret,
    pub life: Duration,
}

#[derive(Debug)]
pub(super) struct TokenFailure {
    /// One line for people.
    pub message: String,
    /// The server understood and said no: a person must fix the settings.
    pub is_refusal: bool,
}

pub(super) async fn send(settings: &OAuth2, egress: Egress, client: &Client) -> Result<Granted, TokenFailure> {
    let failed = |message| TokenFailure { message, is_refusal: false };
    let request = client::request(&prepare(settings), egress).map_err(failed)?;
    let fetched = client.fetch(request, egress, TIMEOUT, ANSWER_BYTES_MAX).await.map_err(failed)?;
    understand(&fetched, settings)
}

fn understand(Fetched { status, body, redirect }: &Fetched, settings: &OAuth2) -> Result<Granted, TokenFailure> {
    let code = error_code(body, settings);
    if (200..300).contains(status) {
        return read(body).map_err(|problem| match code {
            Some(code) => {
                let is_refusal = !PASSING_CODES.contains(&code.as_str());
                TokenFailure { message: format!("answered {status} with the error {code}"), is_refusal }
            }
            None => TokenFailure { message: problem.to_owned(), is_refusal: false },
        });
    }
    let code = code.map_or(String::new(), |code| format!(" ({code})"));
    let hint = match redirect {
        Some(redirect) => format!("; it redirects {}: `token_url` must be the final address", redirect.hint),
        None if is_page(body) => "; the answer is a page for people: is `token_url` right?".to_owned(),
        None => String::new(),
    };
    let is_refusal = (300..500).contains(status) && ![408, 425, 429].contains(status);
    Err(TokenFailure { message: format!("answered {status}{code}{hint}"), is_refusal })
}

fn prepare(settings: &OAuth2) -> PreparedRequest {
    let (id, secret) = (settings.client_id.reveal(), settings.client_secret.reveal());
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in &settings.form {
        form.append_pair(name, value.reveal());
    }
    let header =
        |name: &'static str, value: &'static str| Header { name: name.into(), value: value.into(), is_secret: false };
    let mut headers = vec![
        header("User-Agent", USER_AGENT),
        header("Content-Type", "application/x-www-form-urlencoded"),
        header("Accept", "application/json"),
    ];
    match settings.style {
        ClientStyle::Basic => {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            headers.push(Header {
                name: "Authorization".into(),
                value: format!("Basic {pair}").into(),
                is_secret: true,
            });
        }
        ClientStyle::Body => {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        }
    }
    PreparedRequest {
        method: Method::Post,
        url: settings.token_url.clone(),
        headers,
        body: Bytes::from(form.finish()),
        compression: None,
        per_attempt: Vec::new(),
        query_key: None,
        hides_url: true,
        hides_body: true,
    }
}

/// A successful answer (RFC 6749, section 5.1), with what servers make of it.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<Value>,
    token_type: Option<Value>,
    /// A number; some servers write it as a text.
    expires_in: Option<Value>,
}

fn read(body: &[u8]) -> Result<Granted, &'static str> {
    let answer: TokenAnswer = serde_json::from_slice(body).map_err(|_| match is_page(body) {
        true => "the answer is a page for people, not the JSON of a token: is `token_url` right?",
        false => "the answer is not the JSON of a token",
    })?;
    let Some(Value::String(token)) = answer.access_token else { return Err("the answer has no access_token") };
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the access_token is nothing that a header can carry");
    }
    if !means_bearer(answer.token_type.as_ref()) {
        return Err("the token_type is not Bearer, the only one that rowhook knows");
    }
    let seconds = answer.expires_in.and_then(|seconds| match seconds {
        Value::String(text) => text.trim().parse().ok(),
        number => number.as_f64(),
    });
    // Nothing, or less, is how servers write that a token does not end, or that they do not know. One that has ended is
    // refused with 401, and replaced.
    let told = seconds.filter(|seconds: &f64| *seconds > 0.0);
    let life = told.map_or(LIFE_DEFAULT, |seconds| Duration::from_secs_f64(seconds.min(LIFE_MAX.as_secs_f64())));
    Ok(Granted { text: Secret::new(&token), life })
}

/// `Bearer` in any case, `BearerToken`, `bearer_token`; nothing at all, for there is no other that is in use.
fn means_bearer(token_type: Option<&Value>) -> bool {
    match token_type {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => {
            let word: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            text.trim().is_empty() || ["bearer", "bearertoken"].contains(&word.to_ascii_lowercase().as_str())
        }
        Some(_) => false,
    }
}

fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

/// The code of an error answer, where it is one: the standard's `error`, or what servers have instead. One that holds
/// anything that we sent, or is part of it, is not repeated.
fn error_code(body: &[u8], settings: &OAuth2) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let places = ["/error", "/error/code", "/error/status", "/error/type", "/error_code", "/errorCode", "/code"];
    let codes = places.iter().filter_map(|place| match answer.pointer(place)? {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        _ => None,
    });
    let is_code = |code: &String| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        !code.is_empty() && code.len() <= CODE_BYTES_MAX && code.bytes().all(is_word)
    };
    let sent =
        || [&settings.client_id, &settings.client_secret].into_iter().chain(settings.form.iter().map(|(_, v)| v));
    let is_ours = |code: &String| {
        let of = |sent: &str| !sent.is_empty() && (code.contains(sent) || sent.contains(code.as_str()));
        sent().any(|sent| of(sent.reveal()))
    };
    codes.filter(is_code).find(|code| !is_ours(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sink::http::client::Redirect;

    fn settings() -> OAuth2 {
        OAuth2 {
            token_url: "https://login.example.com/token".parse().unwrap(),
            client_id: Secret::new("app-1"),
            client_secret: Secret::new("s3cret_word"),
            style: ClientStyle::Basic,
            form: vec![("scope".into(), Secret::new("orders.write"))],
        }
    }

    #[test]
    fn of_an_answer_only_what_can_be_used_is_taken() {
        let life = |text: &str| read(text.as_bytes()).map(|granted| granted.life.as_secs());
        for (expires_in, seconds) in [
            ("3600", 3600),
            ("3600.9", 3600),
            ("\"60\"", 60),
            ("\" 60.5 \"", 60),
            ("1e300", 86_400),
            ("null", 300),
            ("0", 300),
            ("\"0\"", 300),
            ("-5", 300),
            ("\"never\"", 300),
            ("\"NaN\"", 300),
            ("true", 300),
            ("[]", 300),
        ] {
            let text = format!(r#"{{"access_token":"t","token_type":"Bearer","expires_in":{expires_in}}}"#);
            assert_eq!(life(&text), Ok(seconds), "{text}");
        }
        assert_eq!(life(r#"{"access_token":"t"}"#), Ok(300));
        for text in [r#"{"access_token":"a b"}"#, r#"{"access_token":"a\nb"}"#, r#"{"access_token":""}"#] {
            assert_eq!(life(text), Err("the access_token is nothing that a header can carry"), "{text}");
        }
        for text in [r#"{"error":"x"}"#, r#"{"access_token":7}"#, r#"{"access_token":null}"#] {
            assert_eq!(life(text), Err("the answer has no access_token"), "{text}");
        }
        for text in ["", "access_token=t", r#"["s3cret"]"#] {
            assert_eq!(life(text), Err("the answer is not the JSON of a token"), "{text}");
        }
        assert!(life("\n<!DOCTYPE html>").is_err_and(|problem| problem.contains("a page for people")));
    }

    #[test]
    fn every_form_of_the_type_that_means_bearer_is_taken() {
        let granted = |kind: &str| read(format!(r#"{{"access_token":"t","token_type":{kind}}}"#).as_bytes());
        let forms = [
            "Bearer",
            "bearer",
            "BEARER",
            "BearerToken",
            "bearer_token",
            "Bearer Token",
            " bearer ",
            "bearer-token",
            "",
        ];
        for form in forms {
            assert!(granted(&format!("\"{form}\"")).is_ok(), "{form:?}");
        }
        assert!(granted("null").is_ok());
        for other in ["\"mac\"", "\"DPoP\"", "\"unbearer\"", "\"bearerless\"", "7", "[\"Bearer\"]"] {
            let refused = granted(other).expect_err(other);
            assert_eq!(refused, "the token_type is not Bearer, the only one that rowhook knows", "{other}");
        }
    }

    #[test]
    fn an_answer_that_gives_no_token_says_why() {
        let message = |status, body: &str, location: Option<&str>| {
            let (body, from) = (body.into(), settings().token_url);
            let redirect = Redirect::read(status, location.map(str::as_bytes), &from);
            let failure = understand(&Fetched { status, body, redirect }, &settings()).expect_err("no token");
            (failure.message, failure.is_refusal)
        };
        for (status, body, location, expected, is_refusal) in [
            (200, r#"{"error":"invalid_client"}"#, None, "answered 200 with the error invalid_client", true),
            (200, r#"{"ok":false,"error":"invalid_auth"}"#, None, "answered 200 with the error invalid_auth", true),
            (200, r#"{"error":{"code":401}}"#, None, "answered 200 with the error 401", true),
            (201, r#"{"errorCode":"E-12"}"#, None, "answered 201 with the error E-12", true),
            (200, r#"{"error":"server_error"}"#, None, "answered 200 with the error server_error", false),
            (400, r#"{"error":"invalid_scope"}"#, None, "answered 400 (invalid_scope)", true),
            (503, "<html>", None, "answered 503; the answer is a page for people: is `token_url` right?", false),
            (
                302,
                "<html>",
                Some("https://me:pw@sso.example.com/login?state=x"),
                "answered 302; it redirects to https://sso.example.com: `token_url` must be the final address",
                true,
            ),
            (
                308,
                "",
                Some("/token/"),
                "answered 308; it redirects to the same URL with a `/` at the end: `token_url` must be the final address",
                true,
            ),
        ] {
            assert_eq!(message(status, body, location), (expected.to_owned(), is_refusal), "{status} {body}");
        }
    }

    #[test]
    fn any_success_status_gives_a_token_also_beside_an_error_that_is_none() {
        for (status, body) in [
            (200, r#"{"access_token":"t"}"#),
            (201, r#"{"access_token":"t","error":null}"#),
            (203, r#"{"access_token":"t","error":"","code":0}"#),
        ] {
            let fetched = Fetched { status, body: body.into(), redirect: None };
            assert_eq!(understand(&fetched, &settings()).expect("a token").text.reveal(), "t", "{status}");
        }
    }

    #[test]
    fn of_an_error_only_a_code_is_repeated_and_nothing_that_we_sent() {
        let code = |text: &str| error_code(text.as_bytes(), &settings());
        let text = r#"{"error":"invalid_client","error_description":"s3cret_word"}"#;
        assert_eq!(code(text).as_deref(), Some("invalid_client"));
        for text in [
            r#"{"error":"client s3cret is unknown"}"#,
            r#"{"error":"s3cret_word"}"#,
            r#"{"error":"bad:s3cret_word"}"#,
            r#"{"error":"s3cret"}"#,
            r#"{"error":"app-1"}"#,
            r#"{"error":"orders.write"}"#,
            r#"{"error":""}"#,
            r#"{"error":true}"#,
            "invalid_client",
            "{}",
            "",
        ] {
            assert_eq!(code(text), None, "{text}");
        }
        assert_eq!(code(&format!(r#"{{"error":"{}"}}"#, "x".repeat(65))), None);
    }
}
