//! Exchanges with an API that wants a token, a signature, a packed body; checked by the libraries of those who receive.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;

use standardwebhooks::Webhook;

use super::*;
use crate::delivery::Delivery;
use crate::delivery::sink::http::tests::prepare;
use crate::delivery::testing::{Api, Reply, SeenRequest, answer, delivery, rule};
use crate::rules::{BodyCompression, ClientStyle, OAuth2, ProxyChoice, QueryKey, Rule, RuleSet};
use crate::template::{Secret, TextTemplate};

/// An authorization server below `/token` and an API beside it; the script gets the path and which request of this path
/// it is.
async fn servers(script: impl Fn(&str, usize, &SeenRequest) -> Reply + Send + Sync + 'static) -> Api {
    let counts = std::sync::Mutex::new(std::collections::HashMap::new());
    Api::start(move |seen: &SeenRequest| {
        let path = seen.head.split(' ').nth(1).unwrap().to_owned();
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(path.clone()).or_insert(0);
        *count += 1;
        script(&path, *count, seen)
    })
    .await
}

fn token(number: usize) -> Reply {
    answer(200, &[], &format!(r#"{{"access_token":"t{number}","token_type":"bearer","expires_in":3600}}"#))
}

fn with_oauth2(address: SocketAddr, token_url: &str) -> Arc<Rule> {
    let settings = OAuth2 {
        token_url: token_url.parse().unwrap(),
        client_id: Secret::new("my id"),
        client_secret: Secret::new("s3cret/+"),
        style: ClientStyle::Basic,
        form: vec![("scope".into(), Secret::new("a b"))],
    };
    rule(&format!("http://{address}/orders"), |rule| rule.call_mut().auth = Some(Auth::OAuth2(Arc::new(settings))))
}

/// What exchanges are made over.
pub(super) struct Over {
    client: Client,
    tokens: Tokens,
}

pub(super) fn over() -> Over {
    Over { client: Client::new().unwrap(), tokens: Tokens::default() }
}

pub(super) async fn send(Over { client, tokens }: &Over, delivery: &Delivery) -> Result<Received, String> {
    let (proxy, token_proxy) = (&ProxyChoice::AsSet, &ProxyChoice::AsSet);
    let sending = Sending { call: delivery.call(), proxy, token_proxy };
    exchange(client, tokens, sending, &prepare(delivery).unwrap(), Keep::NOTHING).await
}

async fn answered(over: &Over, delivery: &Delivery) -> String {
    match send(over, delivery).await.unwrap().answer {
        Answer::Status { status, .. } => status.to_string(),
        other => other.in_words(),
    }
}

fn authorizations(api: &Api, path: &str) -> Vec<String> {
    let of_path = |seen: &SeenRequest| seen.head.split(' ').nth(1) == Some(path);
    let line = |seen: &SeenRequest| {
        let line = seen.head.lines().find(|line| line.to_lowercase().starts_with("authorization: "));
        line.map_or_else(String::new, |line| line["authorization: ".len()..].to_owned())
    };
    api.seen().iter().filter(|seen| of_path(seen)).map(line).collect()
}

#[tokio::test]
async fn the_token_is_asked_for_as_the_standard_says_and_used_until_it_ends() {
    let api = servers(|path, count, _| if path == "/token" { token(count) } else { Reply::Status(200) }).await;
    let rule = with_oauth2(api.address, &format!("{}token", api.url()));
    let over = over();
    for number in 1..=3 {
        assert_eq!(answered(&over, &delivery(&rule, number, 1)).await, "200");
    }
    // base64("my+id:s3cret%2F%2B"), RFC 6749 section 2.3.1.
    assert_eq!(authorizations(&api, "/token"), ["Basic bXkraWQ6czNjcmV0JTJGJTJC"]);
    assert_eq!(authorizations(&api, "/orders"), ["Bearer t1"; 3]);
    let asked = &api.seen()[0];
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=a+b");
    assert!(
        asked.head.to_lowercase().contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{}",
        asked.head
    );
}

#[tokio::test]
async fn equal_settings_share_a_token_and_others_do_not() {
    let api = servers(|path, count, _| if path == "/token" { token(count) } else { Reply::Status(200) }).await;
    let over = over();
    for (number, query) in [(1, ""), (2, ""), (3, "?other")] {
        let rule = with_oauth2(api.address, &format!("{}token{query}", api.url()));
        answered(&over, &delivery(&rule, number, 1)).await;
    }
    assert_eq!((authorizations(&api, "/token").len(), authorizations(&api, "/token?other").len()), (1, 1));
}

#[tokio::test]
async fn a_token_that_the_api_refuses_is_replaced_within_the_same_attempt() {
    let api = servers(|path, count, seen| match path {
        "/token" => token(count),
        // The first token is revoked after its first use.
        _ if count > 1 && seen.head.contains("Bearer t1\r\n") => Reply::Status(401),
        _ => Reply::Status(200),
    })
    .await;
    let rule = with_oauth2(api.address, &format!("{}token", api.url()));
    let over = over();
    for number in 1..=3 {
        assert_eq!(answered(&over, &delivery(&rule, number, 1)).await, "200");
    }
    assert_eq!(authorizations(&api, "/orders"), ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]);
}

#[tokio::test]
async fn an_api_that_refuses_every_token_is_asked_twice_at_most() {
    let api = servers(|path, count, _| if path == "/token" { token(count) } else { Reply::Status(401) }).await;
    let rule = with_oauth2(api.address, &format!("{}token", api.url()));
    let over = over();
    assert_eq!(answered(&over, &delivery(&rule, 1, 1)).await, "401");
    assert_eq!(authorizations(&api, "/orders"), ["Bearer t1"], "the token was new: another would be refused, too");
    assert_eq!(answered(&over, &delivery(&rule, 2, 1)).await, "401");
    assert_eq!(authorizations(&api, "/orders"), ["Bearer t1", "Bearer t1", "Bearer t2"]);
}

#[tokio::test]
async fn without_a_token_the_api_is_not_called_and_the_attempt_has_failed() {
    let refusal = r#"{"error":"invalid_client","error_description":"s3cret is wrong"}"#;
    let large = format!(r#"{{"access_token":"{}"}}"#, "t".repeat(70_000));
    for (reply, expected) in [
        (Reply::Status(503), "token request: answered 503"),
        (answer(401, &[], refusal), "token request: answered 401 (invalid_client)"),
        (answer(400, &[], "s3cret"), "token request: answered 400"),
        (
            answer(302, &[("Location", "http://127.0.0.1:9/")], ""),
            "token request: answered 302; it redirects to http://127.0.0.1:9: `token_url` must be the final address",
        ),
        (
            answer(200, &[], "<html>"),
            "token request: the answer is a page for people, not the JSON of a token: is `token_url` right?",
        ),
        (answer(200, &[], &large), "token request: the answer is larger than 65536 bytes"),
        (Reply::LoseAnswer, "token request: connection closed before the answer"),
    ] {
        let api = servers(move |_, _, _| reply.clone()).await;
        let rule = with_oauth2(api.address, &format!("{}token", api.url()));
        assert_eq!(answered(&over(), &delivery(&rule, 1, 1)).await, expected);
        assert_eq!(authorizations(&api, "/orders"), [""; 0], "{expected}");
    }
}

#[tokio::test]
async fn a_token_url_is_guarded_like_any_other() {
    let api = servers(|_, _, _| Reply::Status(200)).await;
    let rule = with_oauth2(api.address, "http://169.254.169.254/latest/api/token");
    let expected = "token request: the host is a link-local or cloud metadata address, which rowhook never calls";
    assert_eq!(answered(&over(), &delivery(&rule, 1, 1)).await, expected);
    assert_eq!(api.seen().len(), 0);
}

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3";

fn signed_rule(url: &str, keys: &str) -> Arc<Rule> {
    let text =
        format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: '{url}', sign: {{webhook: {keys}}}}}\n");
    RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).unwrap().rules()[0].clone()
}

/// The verdict of the specification's own library on a request as it came in.
fn verified(secret: &str, seen: &SeenRequest, body: &[u8]) -> bool {
    let lines = seen.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = lines.map(|(name, value)| (name.parse().unwrap(), http::HeaderValue::from_str(value).unwrap()));
    Webhook::new(secret).unwrap().verify(body, &headers.collect::<http::HeaderMap>()).is_ok()
}

#[tokio::test]
async fn a_signature_is_taken_by_the_library_of_the_specification_and_by_nobody_with_another_secret() {
    let api = Api::start(|seen| Reply::Status(if seen.attempt == 1 { 500 } else { 200 })).await;
    let over = over();
    for (number, keys, knows) in [
        (1, OLD.to_owned(), [true, false]),
        (2, format!("[{NEW}, {OLD}]"), [true, true]),
        (3, NEW.to_owned(), [false, true]),
    ] {
        let rule = signed_rule(&api.url(), &keys);
        send(&over, &delivery(&rule, number, 1)).await.unwrap();
        let seen = api.seen().pop().unwrap();
        assert_eq!([verified(OLD, &seen, &seen.body), verified(NEW, &seen, &seen.body)], knows, "{keys}");
        assert!(!verified(OLD, &seen, b"{}") && !verified(NEW, &seen, b"{}"), "another body");
        let id = format!("webhook-id: {}\r\n", delivery(&rule, number, 1).id);
        assert!(seen.head.contains(&id), "{}", seen.head);
    }
}

/// As a receiver of GitHub's webhooks verifies them, with a library that rowhook does not use.
#[tokio::test]
async fn a_signature_of_the_rules_own_scheme_is_over_the_body_that_arrives() {
    let api = Api::start(|_| Reply::Status(500)).await;
    let scheme = "secret: s3cret, text: '{{ timestamp }}.{{ body }}', \
                  headers: {X-Hub-Signature-256: 'sha256={{ signature }}', X-Time: '{{ timestamp }}'}";
    let text = format!(
        "table: shop.orders\nrules:\n  - name: r\n    call: {{url: '{}', sign: {{hmac: {{{scheme}}}}}}}\n",
        api.url()
    );
    let rule = RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).unwrap().rules()[0].clone();
    let delivery = delivery(&rule, 1, 1);
    send(&over(), &delivery).await.unwrap();
    let seen = api.seen().pop().unwrap();
    let value = |name: &str| {
        let line = seen.head.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {}", seen.head))
    };
    let text = [value("x-time: ").as_bytes(), b".", &seen.body].concat();
    let expected: String = hmac_sha256::HMAC::mac(text, b"s3cret").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(value("x-hub-signature-256: "), format!("sha256={expected}"));
    assert!(!seen.body.is_empty() && !seen.head.contains("s3cret"));
    let curl = prepare(&delivery).unwrap().shown().to_curl();
    assert!(curl.contains("-H 'X-Hub-Signature-256: ***'") && curl.contains("-H 'X-Time: ***'"), "{curl}");
}

#[tokio::test]
async fn a_key_in_the_query_is_sent_encoded_and_shown_nowhere() {
    let api = Api::start(|seen: &SeenRequest| match seen.head.contains("/moved") {
        true => answer(302, &[("Location", "/other/s3cr%26t%2F%20k?key=s3cr%26t%2F%20k")], ""),
        false => answer(422, &[], &format!("no right for s3cr&t/ k in {}", seen.head)),
    })
    .await;
    for (path, expected, shown) in [
        ("orders", "/orders?api%20key=s3cr%26t%2F%20k", "/orders?api%20key=***"),
        ("orders?", "/orders?api%20key=s3cr%26t%2F%20k", "/orders?api%20key=***"),
        ("moved?a=b%20c&d", "/moved?a=b%20c&d&api%20key=s3cr%26t%2F%20k", "/moved?a=b%20c&d&api%20key=***"),
    ] {
        let key = QueryKey { name: "api%20key".into(), value: Secret::new("s3cr&t/ k") };
        let text = format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: '{}{path}'}}\n", api.url());
        let mut rule = RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).unwrap().rules()[0].clone();
        Arc::get_mut(&mut rule).unwrap().call_mut().auth = Some(Auth::Query(key));
        let delivery = delivery(&rule, 1, 1);
        let Answer::Status { excerpt, .. } = send(&over(), &delivery).await.unwrap().answer else {
            panic!("no answer")
        };
        let seen = api.seen().pop().unwrap();
        assert_eq!(seen.head.split(' ').nth(1), Some(expected));
        assert!(excerpt.contains("***") && !excerpt.contains("s3cr"), "{excerpt}");
        let prepared = prepare(&delivery).unwrap();
        assert!(prepared.shown().url.ends_with(shown), "{}", prepared.shown().url);
        assert!(!format!("{prepared:?}{:?}{}", rule, prepared.shown().to_curl()).contains("s3cr"), "{prepared:?}");
    }
    assert_eq!(api.seen().len(), 3, "a redirect is not followed");
}

#[test]
fn what_an_attempt_adds_is_masked_where_requests_are_shown() {
    let rule = signed_rule("http://a.test/", OLD);
    let curl = prepare(&delivery(&rule, 1, 1)).unwrap().shown().to_curl();
    assert!(curl.contains("-H 'webhook-timestamp: ***'") && curl.contains("-H 'webhook-signature: ***'"), "{curl}");
    assert!(curl.contains("-H 'webhook-id: 00000000-0000-0000-0000-000000000001'"), "{curl}");
    let rule = with_oauth2("127.0.0.1:1".parse().unwrap(), "http://127.0.0.1:1/");
    let curl = prepare(&delivery(&rule, 1, 1)).unwrap().shown().to_curl();
    assert!(curl.contains("-H 'Authorization: ***'"), "{curl}");
    let rule =
        self::rule("http://a.test/", |rule| rule.call_mut().auth = Some(Auth::Fixed(Secret::new("Basic s3cret"))));
    let prepared = prepare(&delivery(&rule, 1, 1)).unwrap();
    assert!(prepared.shown().to_curl().contains("-H 'Authorization: ***'"), "{}", prepared.shown().to_curl());
    assert!(!format!("{prepared:?}{}", prepared.shown().to_curl()).contains("s3cret"));
}

#[tokio::test]
async fn a_body_is_packed_when_it_is_worth_it() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let over = over();
    for (number, length, is_packed) in [(1, 10, false), (2, 4000, true)] {
        let rule = rule(&api.url(), |rule| {
            rule.call_mut().settings.compression = Some(BodyCompression::Gzip);
            let text = format!("x{}", "y".repeat(length));
            rule.call_mut().body =
                crate::rules::Body::Template(crate::template::BodyTemplate::Literal(format!("\"{text}\"").into()));
        });
        let delivery = delivery(&rule, number, 1);
        let prepared = prepare(&delivery).unwrap();
        send(&over, &delivery).await.unwrap();
        let seen = api.seen().pop().unwrap();
        assert_eq!(seen.head.to_lowercase().contains("content-encoding: gzip\r\n"), is_packed);
        let mut body = Vec::new();
        match is_packed {
            true => drop(flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut body).unwrap()),
            false => body.extend_from_slice(&seen.body),
        }
        assert_eq!(body, prepared.body);
        assert!(prepared.shown().to_curl().contains("xyyyy"), "a dry run shows the body as it is");
    }
}

#[tokio::test]
async fn credentials_that_an_api_repeats_are_masked_in_what_is_kept_of_its_answer() {
    let api = servers(|path, count, seen| match path {
        "/token" => token(count),
        _ => answer(422, &[], &format!("you sent {}", seen.head)),
    })
    .await;
    let over = over();
    let fixed = rule(&api.url(), |rule| rule.call_mut().auth = Some(Auth::Fixed(Secret::new("Basic bWU6czNjcmV0"))));
    let by_token = with_oauth2(api.address, &format!("{}token", api.url()));
    let env = |_: &str| Ok(Some(Secret::new("long-s3cret")));
    let header = |text: &str| {
        let template = TextTemplate::compile_optional(text, &env).unwrap();
        rule(&api.url(), |rule| rule.call_mut().headers.push(("X-Auth".to_owned(), template)))
    };
    for (rule, secret) in [
        (fixed, "bWU6czNjcmV0"),
        (by_token, "t1"),
        (header("key={{ env.K }}; v=1"), "long-s3cret"),
        (header("Token token={{ env.K }}, id=5"), "long-s3cret"),
    ] {
        let Answer::Status { excerpt, .. } = send(&over, &delivery(&rule, 1, 1)).await.unwrap().answer else {
            panic!("no answer");
        };
        assert!(excerpt.contains("***") && !excerpt.contains(secret), "{excerpt}");
    }
}
