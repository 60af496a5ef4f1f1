//! Tests of AWS signatures: against what AWS's own library made of the same requests, and over a socket.

use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use super::super::super::client;
use super::super::super::prepared::{Header, PreparedRequest};
use super::super::super::tests::prepare;
use super::super::tests::{over, send};
use super::*;
use crate::delivery::testing::{Api, Reply, SeenRequest, answer, delivery};
use crate::failure::Answer;
use crate::rules::{Egress, Method, RuleSet};
use crate::template::Secret;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

/// As `tests/fixtures/sigv4.py` writes it.
#[derive(Deserialize)]
struct Case {
    method: String,
    url: Url,
    headers: BTreeMap<String, String>,
    body: String,
    service: String,
    region: String,
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
    time: u64,
    authorization: String,
}

fn request_of(case: &Case) -> Request {
    let headers = case.headers.iter();
    let headers = headers.map(|(name, value)| Header {
        name: name.clone().into(),
        value: value.clone().into(),
        is_secret: false,
    });
    let method = match case.method.as_str() {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        _ => Method::Post,
    };
    let prepared = PreparedRequest {
        method,
        url: case.url.clone(),
        headers: headers.collect(),
        body: case.body.clone().into(),
        compression: None,
        per_attempt: Vec::new(),
        query_key: None,
        hides_url: false,
        hides_body: false,
    };
    client::request(&prepared, Egress::PrivateToo).unwrap()
}

#[test]
fn requests_are_signed_as_the_library_of_aws_signs_them() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../../../../../../tests/fixtures/sigv4.json")).expect("a fixture");
    assert!(fixture.cases.len() > 5);
    for case in fixture.cases {
        let mut request = request_of(&case);
        encode_url(request.url_mut());
        assert_eq!(request.url().as_str(), case.url.as_str(), "what is in AWS's encoding stays");
        let credentials = AwsCredentials {
            service: case.service.as_str().into(),
            region: case.region.as_str().into(),
            access_key: Secret::new(&case.access_key),
            secret_key: Secret::new(&case.secret_key),
            session_token: case.session_token.as_deref().map(Secret::new),
        };
        add(&credentials, UNIX_EPOCH + Duration::from_secs(case.time), &mut request);
        assert_eq!(request.headers()[AUTHORIZATION].to_str().unwrap(), case.authorization, "{}", case.url);
    }
}

#[test]
fn path_and_query_are_sent_in_the_encoding_that_is_signed() {
    for (url, expected) in [
        ("https://a.test", "https://a.test/"),
        ("https://a.test/a b/!$&'()*+,;=:@/ä", "https://a.test/a%20b/%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40/%C3%A4"),
        ("https://a.test/%7e%41/%2f%25/", "https://a.test/~A/%2F%25/"),
        ("https://a.test/?a=b+c&d=!&e&=f&%7e=%3d", "https://a.test/?a=b%20c&d=%21&e&=f&~=%3D"),
        ("https://a.test/?", "https://a.test/?"),
    ] {
        let mut url: Url = url.parse().unwrap();
        encode_url(&mut url);
        assert_eq!(url.as_str(), expected);
    }
}

const RULE: &str = "auth: {aws: {service: lambda, region: eu-central-1, access_key: AKIDEXAMPLE, secret_key: s3cret/Key, \
                    session_token: s3cret-token}}, compress: gzip";

#[tokio::test]
async fn a_signed_request_arrives_with_the_digest_of_its_packed_body_and_no_secret_is_kept() {
    let api = Api::start(|seen: &SeenRequest| answer(403, &[], &format!("wrong: {}", seen.head))).await;
    let url = format!("{}o!/7?b=1&a=+", api.url());
    let text =
        format!("table: a.b\nrules:\n  - name: r\n    call: {{url: '{url}', {RULE}, text: '{}'}}\n", "x".repeat(2000));
    let rule = RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).unwrap_or_else(|e| panic!("{e}"));
    let delivery = delivery(&rule.rules()[0], 1, 1);
    let Answer::Status { excerpt, .. } = send(&over(), &delivery).await.unwrap().answer else { panic!("no answer") };
    let seen = api.seen().pop().unwrap();
    assert!(seen.head.starts_with("POST /o%21/7?b=1&a=%20 HTTP/1.1\r\n"), "{}", seen.head);
    let head = seen.head.to_lowercase();
    let of_body = hex(digest::digest(&digest::SHA256, &seen.body).as_ref());
    assert!(seen.body.len() < 1000 && head.contains(&format!("x-amz-content-sha256: {of_body}\r\n")), "{head}");
    assert!(head.contains("x-amz-security-token: s3cret-token\r\n"), "{head}");
    assert!(head.contains("signedheaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
    assert!(!excerpt.contains("s3cret") && !excerpt.contains("AKID") && excerpt.contains("***"), "{excerpt}");
    let prepared = prepare(&delivery).unwrap();
    let curl = prepared.shown().to_curl();
    for name in ["Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token"] {
        assert!(curl.contains(&format!("-H '{name}: ***'")), "{curl}");
    }
    assert!(!format!("{prepared:?}{curl}{:?}", rule.rules()).contains("s3cret"), "{curl}");
}

#[tokio::test]
async fn every_attempt_is_signed_anew() {
    let api = Api::start(|_| Reply::Status(500)).await;
    let text = format!("table: a.b\nrules:\n  - name: r\n    call: {{url: '{}', {RULE}}}\n", api.url());
    let rule = RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).unwrap_or_else(|e| panic!("{e}"));
    let delivery = delivery(&rule.rules()[0], 1, 1);
    let (prepared, over) = (prepare(&delivery).unwrap(), over());
    assert_eq!(prepared.header("Authorization"), None, "nothing that ages is prepared");
    send(&over, &delivery).await.unwrap();
    send(&over, &delivery).await.unwrap();
    assert_eq!(api.seen().iter().filter(|seen| seen.head.to_lowercase().contains("aws4-hmac-sha256")).count(), 2);
}
