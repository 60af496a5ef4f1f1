//! Signatures of Standard Webhooks 1.0, the symmetric kind (`v1`).
//!
//! In: the keys, the prepared request, the time. Out: the headers `webhook-timestamp` and `webhook-signature`; the third,
//! `webhook-id`, is prepared with the request and is the delivery's id. With two keys there are two signatures, so that
//! a receiver that knows either one takes the request.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use super::super::super::prepared::PreparedRequest;
use crate::rules::SigningKey;

pub(in crate::delivery) const ID: &str = "webhook-id";
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
pub(super) const SIGNATURE: &str = "webhook-signature";

pub(super) fn add(keys: &[SigningKey], prepared: &PreparedRequest, since_1970: Duration, headers: &mut HeaderMap) {
    let id = prepared.header(ID).unwrap_or_default();
    let timestamp = since_1970.as_secs().to_string();
    let signatures: Vec<String> =
        keys.iter().map(|key| signature(key.reveal(), id, &timestamp, &prepared.body)).collect();
    for (name, text) in [(TIMESTAMP, timestamp), (SIGNATURE, signatures.join(" "))] {
        let value = HeaderValue::try_from(text).expect("digits and base64 are fit for a header");
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn signature(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
