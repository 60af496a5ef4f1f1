//! What proves that a request was made now, by a sender that knows a key.
//!
//! In: the rule's `sign`, the prepared request, the request as it is sent, the time of the attempt. Out: the headers with the
//! signature. The forms are in a file each: Standard Webhooks, and a scheme of the rule's own.

mod hmac;
mod webhook;

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Request;

pub(in crate::delivery) use webhook::ID;

use super::super::prepared::PreparedRequest;
use crate::rules::Signing;

/// Adds the signature to a request that is complete but for it.
pub(super) fn add(signing: &Signing, prepared: &PreparedRequest, now: SystemTime, request: &mut Request) {
    let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    match signing {
        Signing::Webhook(keys) => webhook::add(keys, prepared, since_1970, request.headers_mut()),
        Signing::Hmac(scheme) => hmac::add(scheme, prepared, since_1970, request),
    }
}

/// The headers that [`add`] sets.
pub(super) fn header_names(signing: &Signing) -> Vec<Cow<'static, str>> {
    match signing {
        Signing::Webhook(_) => vec![webhook::TIMESTAMP.into(), webhook::SIGNATURE.into()],
        Signing::Hmac(scheme) => scheme.headers.iter().map(|(name, _)| name.to_string().into()).collect(),
    }
}
