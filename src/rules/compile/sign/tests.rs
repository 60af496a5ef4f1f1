//! Tests of `sign`: what loads, and what is said of what does not.

use super::super::auth::tests::{load, with_call};
use super::*;

#[test]
fn one_or_two_webhook_secrets_are_taken() {
    let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let keys = |call: &str| {
        with_call(call, |call| match &call.sign {
            Some(Signing::Webhook(keys)) => keys.clone(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(keys(&format!("sign: {{webhook: {old}}}"))[0].reveal().len(), 24);
    let both = keys(&format!("sign: {{webhook: ['{{{{ env.NEW }}}}', {old}]}}"));
    assert_eq!((both[0].reveal(), both.len()), (&b"new-new-new-new-new-new-new"[..], 2));
}

#[track_caller]
fn hmac(settings: &str) -> HmacSigning {
    with_call(&format!("sign: {{hmac: {{{settings}}}}}"), |call| match &call.sign {
        Some(Signing::Hmac(scheme)) => scheme.clone(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_scheme_of_the_rule_is_taken_word_for_word() {
    let plain = hmac("secret: {env: TOKEN}, headers: {X-Signature: '{{signature}}'}");
    assert_eq!((plain.algorithm, plain.encoding), (HmacAlgorithm::Sha256, SignatureEncoding::Hex));
    assert_eq!((plain.keys[0].reveal(), plain.text.0), (&b"s3cret"[..], vec![RequestPiece::Part(RequestPart::Body)]));
    let full = hmac(
        "secret: '6b6579', secret_encoding: hex, algorithm: sha512, encoding: base64, text: '{{ id }}.{{ timestamp }}\n\n{{ body }}', \
         headers: {Stripe-Signature: 't={{ timestamp }},v1={{ signature }}'}",
    );
    assert_eq!((full.algorithm, full.encoding), (HmacAlgorithm::Sha512, SignatureEncoding::Base64));
    assert_eq!(full.keys[0].reveal(), b"key");
    let part = RequestPiece::Part;
    let text = |text: &str| RequestPiece::Literal(text.into());
    assert_eq!(
        full.text.0,
        [part(RequestPart::Id), text("."), part(RequestPart::Timestamp), text("\n"), part(RequestPart::Body)]
    );
    let value = [text("t="), part(RequestPart::Timestamp), text(",v1="), part(RequestPart::Signature(0))];
    assert_eq!((&*full.headers[0].0, &full.headers[0].1.0[..]), ("Stripe-Signature", &value[..]));
    let key = hmac("secret: a2V5, secret_encoding: base64, headers: {X-S: '{{ signature }}'}").keys;
    assert_eq!(key[0].reveal(), b"key");
}

#[test]
fn with_two_secrets_the_parts_of_a_header_that_have_a_signature_stand_there_twice() {
    for (settings, header, expected) in [
        ("", "{{ signature }}", "0,1"),
        ("", "t={{ timestamp }},v1={{ signature }}", "t=T,v1=0,v1=1"),
        ("", "v1={{ signature }},t={{ timestamp }}", "v1=0,v1=1,t=T"),
        ("", ",{{ signature }}:{{ id }},", ",0:I,1:I,"),
        ("separator: ' ', ", "v1,{{ signature }}", "v1,0 v1,1"),
        ("separator: ', ', ", "a=1, b={{ signature }}", "a=1, b=0, b=1"),
    ] {
        let scheme = hmac(&format!("secret: [{{env: NEW}}, {{env: TOKEN}}], {settings}headers: {{X-S: '{header}'}}"));
        let shown: String = scheme.headers[0]
            .1
            .0
            .iter()
            .map(|piece| match piece {
                RequestPiece::Literal(text) => text.to_string(),
                RequestPiece::Part(RequestPart::Signature(n)) => n.to_string(),
                RequestPiece::Part(part) => format!("{part:?}")[..1].to_owned(),
            })
            .collect();
        assert_eq!(shown, expected, "{header}");
        assert_eq!((scheme.keys.len(), scheme.keys[1].reveal()), (2, &b"s3cret"[..]));
    }
}

#[test]
fn a_signature_that_cannot_be_made_is_reported_without_the_secret() {
    let of_hmac = [
        ("", "`hmac` lacks secret and headers"),
        ("secret: {env: TOKEN}", "`hmac` lacks headers"),
        ("key: s3cret", "unknown key `key` in `hmac`"),
        ("secret: {env: GONE}, headers: {X-S: '{{ signature }}'}", "environment variable `GONE` is not set"),
        ("secret: '{{ row.key }}', headers: {X-S: '{{ signature }}'}", "a secret takes `{{ env.NAME }}` only"),
        (
            "secret: {env: TOKEN}, algorithm: md5, headers: {X-S: '{{ signature }}'}",
            "`algorithm` is sha256, sha1 or sha512, not `md5`",
        ),
        (
            "secret: {env: TOKEN}, encoding: HEX, headers: {X-S: '{{ signature }}'}",
            "`encoding` is hex or base64, not `HEX`; did you mean `hex`?",
        ),
        (
            "secret: {env: TOKEN}, secret_encoding: hex, headers: {X-S: '{{ signature }}'}",
            "`secret` is not hex digits, as `secret_encoding` says",
        ),
        (
            "secret: abc, secret_encoding: hex, headers: {X-S: '{{ signature }}'}",
            "`secret` is not hex digits, as `secret_encoding` says",
        ),
        (
            "secret: '%', secret_encoding: base64, headers: {X-S: '{{ signature }}'}",
            "`secret` is not base64, as `secret_encoding` says",
        ),
        ("secret: [], headers: {X-S: '{{ signature }}'}", "`secret` takes one secret, or 2 while they are changed"),
        (
            "secret: [{env: TOKEN}, {env: TOKEN}, {env: TOKEN}], headers: {X-S: '{{ signature }}'}",
            "`secret` takes one secret, or 2 while they are changed",
        ),
        (
            "secret: {env: TOKEN}, separator: '', headers: {X-S: '{{ signature }}'}",
            "`separator` is what stands between",
        ),
        ("secret: {env: TOKEN}, separator: [','], headers: {X-S: '{{ signature }}'}", "`separator` is a text"),
        ("secret: {env: TOKEN}, headers: {X-S: 'v1'}", "no header under `headers` has `{{ signature }}`"),
        ("secret: {env: TOKEN}, headers: []", "`headers` of `hmac` must be a map from name to value"),
        (
            "secret: {env: TOKEN}, headers: {X-S: '{{ signatur }}'}",
            "`X-S` takes nothing but {{ signature }}, {{ timestamp }}, {{ timestamp_ms }}, {{ id }} in braces; did you mean `signature`?",
        ),
        ("secret: {env: TOKEN}, headers: {X-S: '{{ signature'}", "`X-S` takes nothing but"),
        ("secret: {env: TOKEN}, headers: {X-S: \"{{ signature }}\\n\"}", "can't hold line breaks"),
        (
            "secret: {env: TOKEN}, headers: {X-S: '{{ signature }}', x-s: '{{ id }}'}",
            "header `x-s` is given twice; case does not matter",
        ),
        ("secret: {env: TOKEN}, headers: {Host: '{{ signature }}'}", "header `Host` is set by rowhook"),
        (
            "secret: {env: TOKEN}, headers: {content-type: '{{ signature }}'}",
            "header `content-type` can't hold a signature",
        ),
        (
            "secret: {env: TOKEN}, text: '{{ row.id }}', headers: {X-S: '{{ signature }}'}",
            "`text` takes nothing but {{ body }}, {{ timestamp }}, {{ timestamp_ms }}, {{ id }}, {{ method }}, {{ url }}, {{ path }}, {{ query }} in braces",
        ),
        (
            "secret: {env: TOKEN}, text: '{{ signature }}', headers: {X-S: '{{ signature }}'}",
            "`text` takes nothing but {{ body }}",
        ),
        ("secret: {env: TOKEN}, text: v0, headers: {X-S: '{{ signature }}'}", "`text` is the same for every request"),
        (
            "secret: {env: TOKEN}, text: '{{ timestamp }}.{{ body }}', headers: {X-S: '{{ signature }}'}",
            "`text` has `{{ timestamp }}`, and no header says it to the receiver",
        ),
    ];
    let of_hmac = of_hmac.map(|(settings, expected)| (format!("sign: {{hmac: {{{settings}}}}}"), expected));
    let hmac = "sign: {hmac: {secret: {env: TOKEN}, headers: {X-S: '{{ signature }}'}}}";
    let by_authorization = "sign: {hmac: {secret: {env: TOKEN}, headers: {authorization: 'HMAC {{ signature }}'}}}";
    let others = [
        ("sign: {}", "`sign` is exactly one of `webhook`"),
        ("sign: {webhok: s3cret}", "unknown key `webhok` in `sign`; did you mean `webhook`?"),
        ("sign: {webhook: '{{ env.NEW }}', hmac: {secret: s3cret}}", "`sign` is exactly one of `webhook`"),
        ("sign: {webhook: s3cret}", "a webhook secret is `whsec_` and the base64 text of 24 to 64 bytes"),
        ("sign: {webhook: whsec_c2hvcnQ=}", "a webhook secret is `whsec_`"),
        ("sign: {webhook: []}", "`webhook` takes one secret, or 2"),
        ("sign: {webhook: ['{{ env.NEW }}', '{{ env.NEW }}', '{{ env.NEW }}']}", "`webhook` takes one secret, or 2"),
        ("sign: {webhook: '{{ env.NEW }}'}, compress: gzip", "`compress` and `sign` don't go together"),
    ];
    let others = others.map(|(call, expected)| (call.to_owned(), expected));
    let beside = [
        (format!("{hmac}, compress: gzip"), "`compress` and `sign` don't go together"),
        (format!("{hmac}, headers: {{x-s: a}}"), "`sign` sets this header; leave one of them out"),
        (format!("{by_authorization}, auth: {{bearer: a}}"), "`auth` sets this header; leave one of them out"),
    ];
    for (call, expected) in of_hmac.into_iter().chain(others).chain(beside) {
        let shown = load(&call).expect_err(&call).to_string();
        assert!(shown.contains(expected), "{call}:\n{shown}");
        assert!(shown.starts_with("f.yaml:4:"), "{call}:\n{shown}");
        assert!(!shown.contains("s3c"), "{call}:\n{shown}");
    }
}

#[test]
fn a_key_does_not_show_in_debug() {
    let shown = format!("{:?}", hmac("secret: {env: TOKEN}, headers: {X-S: '{{ signature }}'}"));
    assert!(!shown.contains("s3cret") && !shown.contains("115, 51"), "{shown}");
}
