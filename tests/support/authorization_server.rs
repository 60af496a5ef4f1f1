//! An authorization server for the client credentials grant, as strict as the standard: tokens for those who ask rightly.
//!
//! In: the client's id and secret, the scope it may have. Out: a script for a `Receiver` that gives tokens, and answers
//! errors as RFC 6749 section 5.2 has them; and the question an API asks of it, whether a token holds. What it wants:
//! POST, a form, the grant type, the client in exactly one place, each parameter once, the scope. Tokens end when they
//! are revoked or their life is over; both belong to the test.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::receiver::{Answer, Request};

/// The server's memory. Clones are the same.
#[derive(Clone)]
pub struct AuthorizationServer {
    id: &'static str,
    secret: &'static str,
    scope: &'static str,
    life_s: u64,
    tokens: Arc<Mutex<Tokens>>,
}

#[derive(Default)]
struct Tokens {
    given: usize,
    valid: BTreeSet<String>,
    refusals: Vec<&'static str>,
}

impl AuthorizationServer {
    pub fn new(id: &'static str, secret: &'static str, scope: &'static str, life_s: u64) -> AuthorizationServer {
        AuthorizationServer { id, secret, scope, life_s, tokens: Arc::default() }
    }

    /// Answers a request at the token endpoint.
    pub fn answer(&self, request: &Request) -> Answer {
        match self.judge(request) {
            Ok(()) => {
                let mut tokens = self.tokens();
                tokens.given += 1;
                let token = format!("s3cret-token-{}", tokens.given);
                tokens.valid.insert(token.clone());
                let grant = json!({"access_token": token, "token_type": "Bearer", "expires_in": self.life_s});
                Answer::ok().with_header("cache-control", "no-store").with_json(&grant)
            }
            Err((status, code)) => {
                self.tokens().refusals.push(code);
                let refusal = json!({"error": code, "error_description": "s3cret details"});
                Answer::status(status).with_header("cache-control", "no-store").with_json(&refusal)
            }
        }
    }

    /// Whether the request carries a token that holds.
    pub fn admits(&self, request: &Request) -> bool {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        token.is_some_and(|token| self.tokens().valid.contains(token))
    }

    /// No token given so far holds any more.
    pub fn revoke_all(&self) {
        self.tokens().valid.clear();
    }

    pub fn tokens_given(&self) -> usize {
        self.tokens().given
    }

    /// The error codes it answered with.
    pub fn refusals(&self) -> Vec<&'static str> {
        self.tokens().refusals.clone()
    }

    fn judge(&self, request: &Request) -> Result<(), (u16, &'static str)> {
        const INVALID: (u16, &str) = (400, "invalid_request");
        let is_form = request.header("content-type") == Some("application/x-www-form-urlencoded");
        if request.method != "POST" || !is_form || request.path.contains('?') {
            return Err(INVALID);
        }
        let mut form = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&request.body) {
            if form.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(INVALID);
            }
        }
        let in_header = request.header("authorization").map(|value| basic(value).ok_or((401, "invalid_client")));
        let in_form = form.get("client_id").cloned().zip(form.get("client_secret").cloned());
        let (id, secret) = match (in_header, in_form) {
            (Some(_), Some(_)) => return Err(INVALID),
            (Some(client), None) => client?,
            (None, Some(client)) => client,
            (None, None) => return Err((401, "invalid_client")),
        };
        if (id.as_str(), secret.as_str()) != (self.id, self.secret) {
            return Err((401, "invalid_client"));
        }
        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => {}
            Some(_) => return Err((400, "unsupported_grant_type")),
            None => return Err(INVALID),
        }
        match form.get("scope") {
            Some(scope) if scope == self.scope => Ok(()),
            _ => Err((400, "invalid_scope")),
        }
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Id and secret of a Basic header, each form-urlencoded (RFC 6749, section 2.3.1).
fn basic(value: &str) -> Option<(String, String)> {
    let pair = String::from_utf8(STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()?;
    let decoded = |text: &str| {
        let (text, _) = url::form_urlencoded::parse(text.as_bytes()).next()?;
        Some(text.into_owned())
    };
    let (id, secret) = pair.split_once(':')?;
    Some((decoded(id)?, decoded(secret)?))
}
