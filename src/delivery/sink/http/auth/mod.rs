//! One exchange with an API as the rule's `auth` and `sign` want it: what each attempt adds to the prepared request.
//!
//! In: a prepared request and its call. Out: what came of it. A new signature is made for every attempt, over the bytes
//! that are sent. A request whose token is refused with 401 is sent once more with a fresh token; both together are one
//! attempt. A token that can't be got is a failed attempt, which a retry may help. Credentials reach no log and no dead
//! letter, also when the API repeats them.

mod aws;
mod mask;
mod signature;
mod token;
mod token_request;

use std::borrow::Cow;
use std::time::SystemTime;

use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderValue};

pub(super) use mask::mask_kept;
pub(super) use signature::ID as SIGNED_ID;
pub(super) use token::Tokens;
use token::{AccessToken, TokenKey, TokenSlot};

use super::client::{self, Client, Keep, Received};
use super::prepared::PreparedRequest;
use crate::delivery::answer::{self, Lack};
use crate::failure::Answer;
use crate::rules::{Action, Auth, Call, CallSettings, ProxyChoice, Rule};
use crate::template::Secret;

/// The headers that [`exchange`] adds to the prepared ones.
pub(super) fn headers_per_attempt(call: &Call) -> Vec<Cow<'static, str>> {
    let mut names: Vec<Cow<str>> = Vec::new();
    match &call.auth {
        Some(Auth::OAuth2(_)) => names.push("Authorization".into()),
        Some(Auth::Aws(credentials)) => names.extend(aws::header_names(credentials)),
        Some(Auth::Fixed(_) | Auth::Query(_)) | None => {}
    }
    names.extend(call.sign.iter().flat_map(signature::header_names));
    names
}

/// A call with the ways that its requests go.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub call: &'a Call,
    pub proxy: &'a ProxyChoice,
    /// Of requests for its token.
    pub token_proxy: &'a ProxyChoice,
}

/// Sends the request, within the call's timeout for each time it is sent. Of a successful answer what `keep` says is kept.
///
/// # Errors
/// A line for people when it cannot be sent at all, by this or any later attempt.
pub(super) async fn exchange(
    clients: &Client,
    tokens: &Tokens,
    Sending { call, proxy, token_proxy }: Sending<'_>,
    prepared: &PreparedRequest,
    keep: Keep,
) -> Result<Received, String> {
    let on_route = |proxy| clients.on_route(call.tls.as_ref(), proxy);
    let client = match on_route(proxy) {
        Ok(client) => client,
        // What is missing on this machine may be there later.
        Err(problem) => return Ok(Received::failed(problem, Lack::Unsent)),
    };
    let client = &client;
    let mut token = None;
    let received = match &call.auth {
        Some(Auth::OAuth2(settings)) => {
            let key = TokenKey { settings: settings.clone(), tls: call.tls.clone(), egress: call.settings.egress };
            let token_client = match on_route(token_proxy) {
                Ok(token_client) => token_client,
                Err(problem) => return Ok(Received::failed(problem, Lack::Unsent)),
            };
            let over = Over { client, token_client: &token_client, slot: &tokens.slot(key) };
            let (received, sent) = exchange_with_token(over, call, prepared, keep).await?;
            token = sent;
            received
        }
        Some(Auth::Aws(_) | Auth::Fixed(_) | Auth::Query(_)) | None => {
            send(client, call, signed(call, prepared)?, keep).await
        }
    };
    let received = with_redirect(received, prepared.hides_url);
    Ok(mask::noted(received, || secrets(client, call, prepared, token.as_ref().map(|token| &token.text))))
}

/// What no answer may repeat into what is shown or stored.
fn secrets<'a>(
    client: &'a Client,
    call: &'a Call,
    prepared: &'a PreparedRequest,
    token: Option<&'a Secret>,
) -> impl Iterator<Item = Cow<'a, str>> {
    let of_aws = match &call.auth {
        Some(Auth::Aws(credentials)) => Some(credentials.session_token.iter().chain([&credentials.access_key])),
        _ => None,
    };
    let of_headers = call.headers.iter().flat_map(|(_, template)| template.secrets()).filter(is_long);
    let of_call = token.into_iter().chain(of_aws.into_iter().flatten()).chain(client.proxy_credentials());
    let of_call = of_call.chain(of_headers);
    of_call.map(|secret| Cow::Borrowed(secret.reveal())).chain(prepared.secrets())
}

/// What is shorter may be no secret, but the name of a region.
fn is_long(secret: &&Secret) -> bool {
    secret.reveal().len() >= mask::SECRET_BYTES_MIN
}

/// Masks in what is shown of answers the secrets that were sent, and all that the rule's calls send of the environment. Of the latter
/// what a rule reads stays: the name of an account is a part of what an answer says.
pub(super) fn mask_shown<'a>(rule: &Rule, sent: &[Secret], answers: impl Iterator<Item = &'a mut Answer>) {
    for answer in answers {
        if let Answer::Status { excerpt, .. } = answer
            && !excerpt.is_empty()
        {
            let calls = rule.actions.iter().filter_map(Action::call);
            let of_rule = calls.flat_map(Call::secrets).filter(is_long);
            mask::mask_excerpt(excerpt, sent.iter().chain(of_rule).map(Secret::reveal));
        }
    }
}

/// What a call with a token is made over.
struct Over<'a> {
    client: &'a Client,
    token_client: &'a Client,
    slot: &'a TokenSlot,
}

/// The answer, and the token that was sent last.
async fn exchange_with_token(
    Over { client, token_client, slot }: Over<'_>,
    call: &Call,
    prepared: &PreparedRequest,
    keep: Keep,
) -> Result<(Received, Option<AccessToken>), String> {
    // What is wrong with the request is found before a token is asked for.
    let request = signed(call, prepared)?;
    let token = match slot.token(token_client).await {
        Ok(token) => token,
        Err(problem) => return Ok((no_token(&problem), None)),
    };
    let received = send(client, call, authorized(request, &token), keep).await;
    let is_refused =
        matches!(received.answer, Answer::Status { status: 401, .. }) && !call.settings.success.contains(401);
    if !is_refused || token.is_new {
        return Ok((received, Some(token)));
    }
    let token = match slot.replace(&token, token_client).await {
        Ok(token) => token,
        Err(problem) => return Ok((no_token(&problem), None)),
    };
    let request = authorized(signed(call, prepared)?, &token);
    Ok((send(client, call, request, keep).await, Some(token)))
}

async fn send(client: &Client, call: &Call, request: Request, keep: Keep) -> Received {
    let CallSettings { egress, timeout, success, .. } = &call.settings;
    client.send(request, *egress, *timeout, success, keep).await
}

fn signed(call: &Call, prepared: &PreparedRequest) -> Result<Request, String> {
    let mut request = client::request(prepared, call.settings.egress)?;
    let now = SystemTime::now();
    if let Some(Auth::Aws(_)) = &call.auth {
        aws::encode_url(request.url_mut());
    }
    if let Some(signing) = &call.sign {
        signature::add(signing, prepared, now, &mut request);
    }
    // The last one: it signs headers, too.
    if let Some(Auth::Aws(credentials)) = &call.auth {
        aws::add(credentials, now, &mut request);
    }
    Ok(request)
}

fn authorized(mut request: Request, token: &AccessToken) -> Request {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.text.reveal()))
        .expect("a token of characters that a header can't carry is refused when it arrives");
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// The address that a redirect leads to stands before what the answer says.
fn with_redirect(mut received: Received, hides_url: bool) -> Received {
    if let (Some(redirect), Answer::Status { excerpt, .. }) = (&mut received.redirect, &mut received.answer) {
        if hides_url {
            redirect.hide_path();
        }
        if let Some(shown) = &redirect.shown {
            let line = format!("Location: {shown} {excerpt}");
            *excerpt = answer::excerpt(line.as_bytes());
        }
    }
    received
}

fn no_token(problem: &str) -> Received {
    Received::failed(format!("token request: {problem}"), Lack::Token)
}

#[cfg(test)]
mod tests;
