//! Signatures of a scheme that a rule describes: an HMAC (RFC 2104) over a text made of the request.
//!
//! In: the scheme, the prepared request, the request as it is sent, the time of the attempt. Out: the headers that the
//! scheme names. The body is the one that is sent: a rule that signs does not compress.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Request;
use reqwest::header::{HeaderName, HeaderValue};
use ring::hmac;

use super::super::super::prepared::PreparedRequest;
use crate::rules::{HmacAlgorithm, HmacSigning, RequestPart, RequestPiece, RequestText, SignatureEncoding, SigningKey};

pub(super) fn add(scheme: &HmacSigning, prepared: &PreparedRequest, since_1970: Duration, request: &mut Request) {
    let signed = Parts { prepared, request, since_1970, signatures: &[] };
    let text = signed.filled(&scheme.text);
    let signature = |key: &SigningKey| written(&sign(scheme.algorithm, key.reveal(), &text), scheme.encoding);
    let signatures: Vec<String> = scheme.keys.iter().map(signature).collect();
    let shown = Parts { signatures: &signatures, ..signed };
    let values: Vec<Vec<u8>> = scheme.headers.iter().map(|(_, text)| shown.filled(text)).collect();
    for ((name, _), value) in scheme.headers.iter().zip(values) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("the rule's headers were checked when it was loaded");
        let value = HeaderValue::from_bytes(&value).expect("literals were checked, and the parts are plain words");
        request.headers_mut().insert(name, value);
    }
}

/// What the places of a text stand for.
#[derive(Clone, Copy)]
struct Parts<'r> {
    prepared: &'r PreparedRequest,
    request: &'r Request,
    since_1970: Duration,
    /// One for each key.
    signatures: &'r [String],
}

impl Parts<'_> {
    fn filled(&self, text: &RequestText) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &text.0 {
            match piece {
                RequestPiece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                RequestPiece::Part(part) => self.add(*part, &mut out),
            }
        }
        out
    }

    fn add(&self, part: RequestPart, out: &mut Vec<u8>) {
        let url = self.request.url();
        match part {
            RequestPart::Id => {
                out.extend_from_slice(self.prepared.header("Idempotency-Key").unwrap_or_default().as_bytes());
            }
            RequestPart::Timestamp => out.extend_from_slice(self.since_1970.as_secs().to_string().as_bytes()),
            RequestPart::TimestampMs => out.extend_from_slice(self.since_1970.as_millis().to_string().as_bytes()),
            RequestPart::Method => out.extend_from_slice(self.request.method().as_str().as_bytes()),
            RequestPart::Url => out.extend_from_slice(url.as_str().as_bytes()),
            RequestPart::Path => out.extend_from_slice(url.path().as_bytes()),
            RequestPart::Query => out.extend_from_slice(url.query().unwrap_or_default().as_bytes()),
            RequestPart::Body => out.extend_from_slice(&self.prepared.body),
            RequestPart::Signature(n) => out.extend_from_slice(self.signatures[n].as_bytes()),
        }
    }
}

fn sign(algorithm: HmacAlgorithm, key: &[u8], text: &[u8]) -> hmac::Tag {
    let algorithm = match algorithm {
        HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HmacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), text)
}

fn written(signature: &hmac::Tag, encoding: SignatureEncoding) -> String {
    match encoding {
        SignatureEncoding::Hex => signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        SignatureEncoding::Base64 => STANDARD.encode(signature),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::{client, prepared::Header};
    use super::*;
    use crate::rules::{Egress, Method, RuleSet, Signing};

    /// The values of the headers that a rule's scheme makes of one request, at one moment.
    #[track_caller]
    fn signed(scheme: &str) -> Vec<String> {
        let text = format!(
            "table: a.b\nrules:\n  - name: r\n    call: {{url: 'http://a.test/', sign: {{hmac: {{{scheme}}}}}}}\n"
        );
        let rules =
            RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let Some(Signing::Hmac(scheme)) = &rules.rules()[0].call().sign else { panic!("no scheme") };
        let prepared = PreparedRequest {
            method: Method::Post,
            url: "http://a.test/hook?x=a%20b".parse().unwrap(),
            headers: vec![Header { name: "Idempotency-Key".into(), value: "id-1".into(), is_secret: false }],
            body: r#"{"id":7}"#.into(),
            compression: None,
            per_attempt: Vec::new(),
            query_key: None,
            hides_url: false,
            hides_body: false,
        };
        let mut request = client::request(&prepared, Egress::PrivateToo).unwrap();
        add(scheme, &prepared, Duration::from_millis(1_614_265_330_250), &mut request);
        let value = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        scheme.headers.iter().map(|(name, _)| value(name)).collect()
    }

    #[test]
    fn while_the_secret_changes_there_is_a_signature_of_each() {
        let stripe =
            "text: '{{ timestamp }}.{{ body }}', headers: {Stripe-Signature: 't={{ timestamp }},v1={{ signature }}'}";
        let [new, old] = ["new", "old"].map(|secret| signed(&format!("secret: {secret}, {stripe}")).remove(0));
        let old_alone = old.split_once(",v1=").expect("a signature").1;
        assert_eq!(signed(&format!("secret: [new, old], {stripe}")), [format!("{new},v1={old_alone}")]);
        assert_eq!(signed(&format!("secret: [new], {stripe}")), [new]);

        let spaced = "separator: ' ', headers: {X-Signature: 'v1,{{ signature }}'}";
        let [new, old] = ["new", "old"].map(|secret| signed(&format!("secret: {secret}, {spaced}")).remove(0));
        assert_eq!(signed(&format!("secret: [new, old], {spaced}")), [format!("{new} {old}")]);
    }

    /// RFC 4231 (test case 2) and RFC 2202 (test case 2 of HMAC-SHA-1): this key, this text.
    #[test]
    fn the_digests_are_those_of_the_standards() {
        for (algorithm, expected) in [
            (HmacAlgorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (HmacAlgorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                HmacAlgorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let tag = sign(algorithm, b"Jefe", b"what do ya want for nothing?");
            assert_eq!(written(&tag, SignatureEncoding::Hex), expected, "{algorithm:?}");
        }
    }

    /// The signatures were computed with Python's `hmac`.
    #[test]
    fn the_schemes_of_well_known_apis_can_be_written() {
        for (scheme, expected) in [
            // Shopify.
            (
                "secret: hush, encoding: base64, headers: {X-Shopify-Hmac-Sha256: '{{ signature }}'}",
                &["H2U/SEYbRNpyMb2K3HUYu69pcSP2i4aiJUA14KwhhUY="][..],
            ),
            // Stripe.
            (
                "secret: whsec_test, text: '{{ timestamp }}.{{ body }}', \
                 headers: {Stripe-Signature: 't={{ timestamp }},v1={{ signature }}'}",
                &["t=1614265330,v1=65af867ace3877b992df9975fbc4d6d95062ec70e959e43ee227c6de9a11fc86"],
            ),
            // Slack.
            (
                "secret: slack, text: 'v0:{{ timestamp }}:{{ body }}', \
                 headers: {X-Slack-Request-Timestamp: '{{ timestamp }}', X-Slack-Signature: 'v0={{ signature }}'}",
                &["1614265330", "v0=0a3661daf6a7595c9aa17d15d2041d098c640d2bee5c079f1724b3c2caa03c78"],
            ),
            // Square in its first form.
            (
                "secret: square, algorithm: sha1, encoding: base64, text: '{{ url }}{{ body }}', \
                 headers: {X-Square-Signature: '{{ signature }}'}",
                &["SuYAXMQP4bfskxDdj5Wq/78s79Y="],
            ),
            (
                "secret: hub, algorithm: sha512, \
                 text: '{{ method }}{{ path }}{{ query }}{{ body }}{{ timestamp_ms }}{{ id }}', \
                 headers: {X-Time: '{{ timestamp_ms }}', X-Signature: '{{ id }}:{{ signature }}'}",
                &[
                    "1614265330250",
                    "id-1:c6322d0894c3082c2c0cb94c4f3fb9024a0804b21eab0537cb9f8c2a74c14e265e99fbec3086f9d02c9f094052d4fb845d5058ed97fa7a97588e5cc74a858fb2",
                ],
            ),
        ] {
            assert_eq!(signed(scheme), expected, "{scheme}");
        }
    }
}
