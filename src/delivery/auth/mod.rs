//! One exchange with an API as the rule's `auth` and `sign` want it: what each attempt adds to the prepared request.
//!
//! In: a prepared request and its call. Out: what came of it. A signature is made anew for every attempt, over the bytes
//! that are sent. A request whose token is refused with 401 is sent once more with a fresh token; both together are one
//! attempt. A token that can't be got is a failed attempt, which a retry may help. Credentials reach no log and no dead
//! letter, also when the API repeats them.

mod recent;
mod signature;
mod token;
mod token_request;

use std::sync::Arc;
use std::time::SystemTime;

use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderValue};

pub(super) use recent::Recent;
pub(super) use signature::ID as SIGNED_ID;
pub(super) use token::{Token, TokenKey, TokenSlot};

use crate::delivery::client::{self, Client, Received};
use crate::delivery::request::Prepared;
use crate::failure::Answer;
use crate::rules::{Auth, Call, OAuth2};

/// The headers that [`exchange`] adds to the prepared ones.
pub(super) fn headers_per_attempt(call: &Call) -> Vec<&'static str> {
    let mut names = Vec::new();
    if let Some(Auth::OAuth2(_)) = &call.auth {
        names.push("Authorization");
    }
    if call.sign.is_some() {
        names.extend([signature::TIMESTAMP, signature::SIGNATURE]);
    }
    names
}

/// Sends the request, within the call's timeout for each time it is sent.
///
/// # Errors
/// A line for people when it cannot be sent at all, by this or any later attempt.
pub(super) async fn exchange(client: &Client, call: &Call, prepared: &Prepared) -> Result<Received, String> {
    let special = match call.tls.as_ref().map(|tls| client.with_tls(tls)) {
        Some(Ok(special)) => Some(special),
        // What is missing on this machine may be there later.
        Some(Err(problem)) => return Ok(failed(problem)),
        None => None,
    };
    let client = special.as_ref().unwrap_or(client);
    let received = match &call.auth {
        Some(Auth::OAuth2(settings)) => exchange_with_token(client, call, settings, prepared).await?,
        Some(Auth::Fixed(_)) | None => {
            client.send(signed(call, prepared)?, call.egress, call.timeout, &call.success).await
        }
    };
    Ok(masked(received, prepared.headers.iter().filter(|header| header.is_secret).map(|header| &*header.value)))
}

async fn exchange_with_token(
    client: &Client,
    call: &Call,
    settings: &Arc<OAuth2>,
    prepared: &Prepared,
) -> Result<Received, String> {
    // What is wrong with the request is found before a token is asked for.
    let request = signed(call, prepared)?;
    let slot = client.token_slot(TokenKey { settings: settings.clone(), tls: call.tls.clone(), egress: call.egress });
    let token = match slot.token(client).await {
        Ok(token) => token,
        Err(problem) => return Ok(no_token(&problem)),
    };
    let received = client.send(authorized(request, &token), call.egress, call.timeout, &call.success).await;
    let is_refused = matches!(received.answer, Answer::Status { status: 401, .. }) && !call.success.contains(401);
    if !is_refused || token.is_new {
        return Ok(masked(received, [token.text.reveal()]));
    }
    let token = match slot.replace(&token, client).await {
        Ok(token) => token,
        Err(problem) => return Ok(no_token(&problem)),
    };
    let request = authorized(signed(call, prepared)?, &token);
    Ok(masked(client.send(request, call.egress, call.timeout, &call.success).await, [token.text.reveal()]))
}

fn signed(call: &Call, prepared: &Prepared) -> Result<Request, String> {
    let mut request = client::request(prepared, call.egress)?;
    if let Some(signing) = &call.sign {
        signature::add(signing, prepared, SystemTime::now(), request.headers_mut());
    }
    Ok(request)
}

fn authorized(mut request: Request, token: &Token) -> Request {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.text.reveal()))
        .expect("a token of characters that a header can't carry is refused when it arrives");
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// The answer without our credentials, which some APIs repeat in what they answer.
fn masked<'s>(mut received: Received, secrets: impl IntoIterator<Item = &'s str>) -> Received {
    if let Answer::Status { excerpt, .. } = &mut received.answer
        && !excerpt.is_empty()
    {
        for secret in secrets {
            // Of `Bearer x` and `Basic x` the second word is the secret.
            let secret = secret.split_once(' ').map_or(secret, |(_, credentials)| credentials);
            if !secret.is_empty() && excerpt.contains(secret) {
                *excerpt = excerpt.replace(secret, "***");
            }
        }
    }
    received
}

fn no_token(problem: &str) -> Received {
    failed(format!("token request: {problem}"))
}

fn failed(error: String) -> Received {
    Received { answer: Answer::Failed { error }, retry_after: None }
}

#[cfg(test)]
mod tests;
