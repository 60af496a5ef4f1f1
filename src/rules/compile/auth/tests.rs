//! Tests of `auth`, `format` and `compress`: what loads, and what is said of what does not.

use crate::rules::tests::json_schema::assert_schema_agrees;
use crate::rules::{Auth, BodyCompression, Call, ClientStyle, Diagnostics, RuleSet};

pub(in crate::rules) fn load(call: &str) -> Result<RuleSet, Diagnostics> {
    load_in("", call)
}

/// As if the rule file stood in this folder.
fn load_in(folder: &str, call: &str) -> Result<RuleSet, Diagnostics> {
    let text = format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: 'https://a.test/', {call}}}\n");
    let env = |name: &str| match name {
        "TOKEN" => Some("s3cret".to_owned()),
        "NEW" => Some("whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3".to_owned()),
        "COLON" => Some("s3c:ret".to_owned()),
        "BREAK" => Some("s3cret\r\nX-Evil: 1".to_owned()),
        "EMPTY" => Some(String::new()),
        "FILED_FILE" => Some("/no/such/s3cret".to_owned()),
        _ => None,
    };
    let files = [(format!("{folder}/f.yaml").trim_start_matches('/').into(), text)];
    let loaded = RuleSet::from_texts(&files, &env);
    assert_schema_agrees(&files[0].1, &loaded);
    loaded
}

#[track_caller]
pub(in crate::rules) fn with_call<T>(call: &str, check: impl FnOnce(&Call) -> T) -> T {
    let rules = load(call).unwrap_or_else(|problems| panic!("{call}: {problems}"));
    check(rules.rules()[0].call())
}

#[track_caller]
fn fixed(call: &str) -> String {
    with_call(call, |call| match &call.auth {
        Some(Auth::Fixed(value)) => value.reveal().to_owned(),
        other => panic!("not a fixed header but {other:?}"),
    })
}

#[test]
fn basic_and_bearer_are_whole_headers() {
    assert_eq!(fixed("auth: {bearer: '{{ env.TOKEN }}'}"), "Bearer s3cret");
    assert_eq!(fixed("auth: {bearer: {env: TOKEN}}"), "Bearer s3cret");
    // Aladdin:open sesame, the example of RFC 7617.
    assert_eq!(fixed("auth: {basic: {user: Aladdin, password: open sesame}}"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(fixed("auth: {basic: {user: u, password: {env: COLON}}}"), "Basic dTpzM2M6cmV0");
}

#[test]
fn a_secret_may_stand_in_a_file_beside_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "of-a-file\n").unwrap();
    let shown = folder.path().display().to_string();
    for path in [format!("{shown}/token"), "token".to_owned()] {
        let text = format!(
            "table: a.b\nrules:\n  - {{name: r, call: {{url: 'https://a.test/', auth: {{bearer: {{file: '{path}'}}}}}}}}\n"
        );
        let rules = RuleSet::from_texts(&[(folder.path().join("f.yaml"), text)], &|_| None).unwrap();
        assert!(
            matches!(&rules.rules()[0].call().auth, Some(Auth::Fixed(value)) if value.reveal() == "Bearer of-a-file")
        );
    }
}

#[test]
fn every_word_of_oauth2_is_taken() {
    let call = "auth: {oauth2: {token_url: 'https://id.test/token?t=1', client_id: me, client_secret: {env: TOKEN}, \
                scope: a b, audience: aud, resource: 'https://r.test/', params: {x: '1', y: '{{ env.TOKEN }}'}, style: body}}";
    with_call(call, |call| {
        let Some(Auth::OAuth2(settings)) = &call.auth else { panic!("no OAuth 2") };
        assert_eq!(settings.token_url.as_str(), "https://id.test/token?t=1");
        assert_eq!((settings.client_id.reveal(), settings.client_secret.reveal()), ("me", "s3cret"));
        let form: Vec<(&str, &str)> = settings.form.iter().map(|(name, value)| (&**name, value.reveal())).collect();
        assert_eq!(
            form,
            [("scope", "a b"), ("audience", "aud"), ("resource", "https://r.test/"), ("x", "1"), ("y", "s3cret")]
        );
        assert_eq!(settings.style, ClientStyle::Body);
    });
    let call = "auth: {oauth2: {token_url: 'http://id.test/', client_id: me, client_secret: s}}";
    with_call(call, |call| {
        assert!(matches!(&call.auth, Some(Auth::OAuth2(settings)) if settings.style == ClientStyle::Basic));
    });
}

#[test]
fn a_key_in_the_query_is_encoded_and_may_stand_beside_a_header_that_authorizes() {
    with_call("auth: {query: {name: api key, value: {env: TOKEN}}}, headers: {Authorization: 'Basic x'}", |call| {
        assert!(matches!(&call.auth, Some(Auth::Query(key)) if key.pair().reveal() == "api%20key=s3cret"));
    });
}

#[test]
fn a_key_that_the_url_has_already_is_refused() {
    for (url, name, is_twice) in [
        ("https://a.test/?api_key=x", "api_key", true),
        ("https://a.test/{{ row.id }}?a=1&api_key", "api_key", true),
        ("https://a.test/?a%20b=1", "a b", true),
        ("https://a.test/api_key=?api_keys=1&q=api_key", "api_key", false),
    ] {
        let text = format!(
            "table: a.b\nrules:\n  - name: r\n    call: {{url: '{url}', auth: {{query: {{name: {name}, value: s3cret}}}}}}\n"
        );
        match RuleSet::from_texts(&[("f.yaml".into(), text)], &|_| None) {
            Ok(_) => assert!(!is_twice, "{url}"),
            Err(problems) => {
                let shown = problems.to_string();
                assert!(is_twice && shown.contains("into the query, too; leave it out of the URL"), "{url}: {shown}");
            }
        }
    }
}

#[test]
fn formats_and_compression_are_taken() {
    for (word, expected) in [
        ("change", "Change"),
        ("row", "Row"),
        ("cloudevents", "CloudEvent(Binary)"),
        ("cloudevents-structured", "CloudEvent(Structured)"),
    ] {
        // A DELETE has no body of itself; a format asks for one.
        with_call(&format!("method: DELETE, format: {word}, compress: gzip"), |call| {
            assert_eq!(format!("{:?}", call.body), expected, "{word}");
            assert_eq!(call.settings.compression, Some(BodyCompression::Gzip));
        });
    }
}

#[test]
fn nothing_that_is_derived_from_a_secret_shows_in_debug() {
    let call = "auth: {oauth2: {token_url: 'https://id.test/', client_id: '{{ env.TOKEN }}', client_secret: {env: TOKEN}, \
                params: {p: '{{ env.TOKEN }}'}}}, sign: {webhook: '{{ env.NEW }}'}";
    let shown = format!("{:?}", load(call).unwrap().rules());
    assert!(!shown.contains("s3cret") && !shown.contains("bmV3") && !shown.contains("110, 101, 119"), "{shown}");
    let shown = format!("{:?}", load("auth: {bearer: {env: TOKEN}}").unwrap().rules());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_setting_that_cannot_be_used_is_reported_without_the_secret() {
    for (call, expected) in [
        ("auth: {}", "`auth` is exactly one of basic, bearer, query, oauth2, aws"),
        ("auth: {bearer: a, basic: {user: u, password: p}}", "`auth` is exactly one of"),
        ("auth: {token: a}", "unknown key `token` in `auth`"),
        ("auth: s3cret", "`auth` must be a map of basic, bearer, query, oauth2, aws"),
        ("auth: {bearer: {env: GONE}}", "environment variable `GONE` is not set"),
        ("auth: {bearer: '{{ env.GONE }}'}", "environment variable `GONE` is not set"),
        ("auth: {bearer: '{{ row.token }}'}", "a secret takes `{{ env.NAME }}` only"),
        ("auth: {bearer: {env: FILED}}", "environment variable `FILED_FILE`: file /no/such/s3cret can't be read"),
        ("auth: {bearer: {file: no-such-file}}", "file no-such-file can't be read: No such file"),
        ("auth: {bearer: {env: TOKEN, file: x}}", "`bearer` is a text, `{env: NAME}` or `{file: PATH}`"),
        ("auth: {bearer: {env: BREAK}}", "`bearer` holds a line break"),
        ("auth: {bearer: {env: EMPTY}}", "`bearer` is empty"),
        ("auth: {basic: {user: '{{ env.COLON }}', password: p}}", "a user name can't hold a colon"),
        ("auth: {basic: {user: u}}", "`basic` needs `user` and `password`"),
        ("auth: {query: {name: key}}", "`query` needs `name` and `value`, such as {name: api_key, value: {env: KEY}}"),
        ("auth: {query: {name: key, value: {env: GONE}}}", "environment variable `GONE` is not set"),
        ("auth: {query: {name: '{{ env.TOKEN }}', value: {env: TOKEN}}}", "`name` is the literal name of a query"),
        ("auth: {query: {name: '', value: {env: TOKEN}}}", "`name` is the literal name of a query"),
        ("auth: {aws: {service: lambda}}", "`aws` lacks region and access_key and secret_key"),
        ("auth: {aws: {service: Lambda, region: r, access_key: A, secret_key: s3cret}}", "`service` is small letters"),
        ("auth: {aws: {service: s, region: r/s, access_key: A, secret_key: s3cret}}", "`region` is small letters"),
        ("auth: {aws: {service: s, region: r, access_key: 'A/s3c', secret_key: b}}", "`access_key` is the id of"),
        ("auth: {aws: {service: s, region: r, access_key: A, secret_key: {env: GONE}}}", "`GONE` is not set"),
        ("auth: {aws: {service: s, region: r, access_key: A, secret: b}}", "unknown key `secret` in `aws`"),
        (
            "auth: {aws: {service: s, region: r, access_key: A, secret_key: b}}, headers: {x-amz-date: c}",
            "`auth` sets this header; leave one of them out",
        ),
        ("auth: {oauth2: {client_id: a}}", "`oauth2` lacks token_url and client_secret"),
        (
            "auth: {oauth2: {token_url: 'ftp://s3cret@id.test', client_id: a, client_secret: b}}",
            "`token_url` must be an http:// or https:// URL",
        ),
        (
            "auth: {oauth2: {token_url: 'https://id.test/', client_id: a, client_secret: b, style: header}}",
            "`style` is basic or body, not `header`",
        ),
        (
            "auth: {oauth2: {token_url: 'https://id.test/', client_id: a, client_secret: b, params: {scope: x}}}",
            "`scope` has a key of its own",
        ),
        ("auth: {bearer: a}, headers: {authorization: b}", "`auth` sets this header; leave one of them out"),
        ("headers: {Webhook-Signature: x}", "header `Webhook-Signature` is set by rowhook"),
        ("headers: {Content-Encoding: gzip}", "header `Content-Encoding` is set by rowhook"),
        ("compress: br", "`compress` is gzip or no, not `br`"),
        ("format: cloudevent", "`format` is change, row, cloudevents or cloudevents-structured, not `cloudevent`; did"),
        ("format: row, body: {a: 1}", "`format` and `body` both say what is sent"),
        ("format: row, method: GET", "a GET request has no body; leave `format` out"),
        ("format: cloudevents, headers: {ce-type: x}", "`format: cloudevents` sets header `ce-type`"),
        (
            "format: cloudevents, headers: {Content-Type: text/plain}",
            "`format: cloudevents` sets header `Content-Type`",
        ),
    ] {
        let shown = load(call).expect_err(call).to_string();
        assert!(shown.contains(expected), "{call}:\n{shown}");
        assert!(shown.starts_with("f.yaml:4:"), "{call}:\n{shown}");
        assert!(!shown.replace("/no/such/s3cret", "").contains("s3c"), "{call}:\n{shown}");
    }
}
