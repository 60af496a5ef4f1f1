//! Answers without our credentials, which some APIs repeat in what they answer.
//!
//! In: what was received, and the secrets that were sent. Out: the same with `***` in their places, in all that is shown or kept.

use super::super::client::Received;
use crate::failure::Answer;

/// The secrets are asked for only where something of the answer is shown or kept.
pub(super) fn masked<I>(mut received: Received, secrets: impl FnOnce() -> I) -> Received
where
    I: Iterator<Item: AsRef<str>>,
{
    let Received { answer: Answer::Status { excerpt, .. }, body, headers, .. } = &mut received else {
        return received;
    };
    if excerpt.is_empty() && body.bytes.is_empty() && headers.is_empty() {
        return received;
    }
    for secret in secrets() {
        let secret = secret.as_ref();
        if secret.is_empty() {
            continue;
        }
        if excerpt.contains(secret) {
            *excerpt = excerpt.replace(secret, "***");
        }
        mask_kept(&mut body.bytes, headers, secret);
    }
    received
}

/// What is shorter than any credential may be part of what the answer says, and stays.
fn mask_kept(body: &mut Vec<u8>, headers: &mut [(Box<str>, Box<str>)], secret: &str) {
    const SECRET_BYTES_MIN: usize = 8;
    if secret.len() < SECRET_BYTES_MIN {
        return;
    }
    if let Ok(text) = std::str::from_utf8(body)
        && text.contains(secret)
    {
        *body = text.replace(secret, "***").into_bytes();
    }
    for (_, value) in headers.iter_mut().filter(|(_, value)| value.contains(secret)) {
        *value = value.replace(secret, "***").into();
    }
}
