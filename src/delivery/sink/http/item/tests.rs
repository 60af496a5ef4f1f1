//! Items in every form; CloudEvents as the project's own SDK reads them.

use std::path::PathBuf;
use std::sync::Arc;

use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader as _, Data, Event};
use serde_json::{Value as Json, json};

use super::*;
use crate::change::{Cell, Op, Row, Table, Transaction};
use crate::delivery::sink::http::prepared::PreparedRequest;
use crate::delivery::sink::http::tests::prepare;
use crate::rules::RuleSet;

/// An update or delete of a row whose key is a text and a number.
fn delivery(call: &str, op: Op, code: &str) -> Delivery {
    let text = format!("table: '*.*'\nrules:\n  - name: r\n    call: {{url: 'http://a.test/', {call}}}\n");
    let rules = RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text)], &|_| None).expect("the rule loads");
    let row = |note: &str| {
        Row::from_iter([Value::Text(code.into()), Value::Uint(7), Value::Text(note.into())].map(Cell::Value))
    };
    let change = Arc::new(Change {
        op,
        table: Arc::new(Table {
            schema: "shop eu".into(),
            name: "größen".into(),
            columns: vec!["code".into(), "size".into(), "note".into()],
            primary_key: vec![0, 1],
        }),
        before: Some(row("old")),
        after: (op != Op::Delete).then(|| row("new")),
        transaction: Arc::new(Transaction { committed_at_us: 1_763_680_000_123_456, ..Transaction::example() }),
        ordinal: 1,
    });
    Delivery::of(&rules.rules()[0], &change)
}

fn item(delivery: &Delivery, place: ItemPlace) -> Vec<u8> {
    let mut out = Vec::new();
    write(delivery, &delivery.call().body, &Scope::new(&delivery.change, delivery.id), place, &mut out).unwrap();
    out
}

fn json_of(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap()
}

/// The request as the SDK reads it.
fn received(prepared: &PreparedRequest) -> Event {
    let mut headers = http::HeaderMap::new();
    for header in &prepared.headers {
        let name: http::HeaderName = header.name.parse().unwrap();
        headers.insert(name, header.value.parse().unwrap());
    }
    to_event(&headers, prepared.body.to_vec()).unwrap()
}

#[track_caller]
fn check_event(event: &Event, delivery: &Delivery) {
    assert_eq!(event.specversion().to_string(), "1.0");
    assert_eq!(event.id(), delivery.id.to_string());
    assert_eq!(event.source(), "/rowhook/shop%20eu/gr%C3%B6%C3%9Fen");
    assert_eq!(event.ty(), "rowhook.shop eu.größen.update");
    assert_eq!(event.subject(), Some("a%2Fb%22%20%C3%A4/7"));
    assert_eq!(event.time().unwrap().timestamp_micros(), 1_763_680_000_123_456);
    assert_eq!(event.datacontenttype(), Some("application/json"));
    let data = match event.data().unwrap() {
        Data::Json(data) => data.clone(),
        Data::String(text) => serde_json::from_str(text).unwrap(),
        Data::Binary(bytes) => json_of(bytes),
    };
    assert_eq!((&data["op"], &data["after"]["note"]), (&json!("update"), &json!("new")));
    assert_eq!(data["id"], json!(delivery.id.to_string()));
}

#[test]
fn a_binary_cloud_event_is_read_by_the_sdk() {
    let delivery = delivery("format: cloudevents", Op::Update, "a/b\" ä");
    let prepared = prepare(&delivery).unwrap();
    // The SDK does not decode headers (sdk-rust, issue 33): the values are decoded for it as the binding says.
    assert_eq!(prepared.header("ce-type"), Some("rowhook.shop%20eu.gr%C3%B6%C3%9Fen.update"));
    assert_eq!(prepared.header("ce-subject"), Some("a%252Fb%2522%2520%25C3%25A4/7"));
    assert_eq!(prepared.header("content-type"), Some("application/json"));
    assert_eq!(prepared.header("ce-datacontenttype"), None);
    let mut decoded = prepared.clone();
    for header in decoded.headers.iter_mut().filter(|header| header.name.starts_with("ce-")) {
        header.value = percent_encoding::percent_decode_str(&header.value).decode_utf8().unwrap().into_owned().into();
    }
    let mut headers = http::HeaderMap::new();
    for header in &decoded.headers {
        let value = http::HeaderValue::from_bytes(header.value.as_bytes()).unwrap();
        headers.insert(header.name.parse::<http::HeaderName>().unwrap(), value);
    }
    // The type holds a letter that is not ASCII, which the SDK refuses in a header value; all else it reads.
    headers.insert("ce-type", http::HeaderValue::from_static("t"));
    let event = to_event(&headers, prepared.body.to_vec()).unwrap();
    assert_eq!(
        (event.subject(), event.source().as_str()),
        (Some("a%2Fb%22%20%C3%A4/7"), "/rowhook/shop%20eu/gr%C3%B6%C3%9Fen")
    );
    assert_eq!(received(&prepared).id(), delivery.id.to_string());
    assert_eq!(prepared.body, item(&delivery, ItemPlace::Alone));
}

#[test]
fn a_structured_cloud_event_is_read_by_the_sdk() {
    let delivery = delivery("format: cloudevents-structured", Op::Update, "a/b\" ä");
    let prepared = prepare(&delivery).unwrap();
    assert_eq!(prepared.header("content-type"), Some("application/cloudevents+json"));
    assert!(prepared.headers.iter().all(|header| !header.name.starts_with("ce-")));
    check_event(&received(&prepared), &delivery);
}

#[test]
fn cloud_events_in_an_array_are_read_by_the_sdk_as_a_batch() {
    for format in ["cloudevents", "cloudevents-structured"] {
        let delivery = delivery(&format!("format: {format}"), Op::Update, "a/b\" ä");
        let element = item(&delivery, ItemPlace::InArray);
        let batch = [b"[".as_slice(), &element, b",", &element, b"]"].concat();
        let events: Vec<Event> = serde_json::from_slice(&batch).unwrap();
        assert_eq!(events.len(), 2);
        check_event(&events[1], &delivery);
        assert_eq!(content_type(&delivery.call().body, ItemPlace::InArray, b""), "application/cloudevents-batch+json");
    }
}

#[test]
fn a_subject_is_the_whole_key_or_nothing() {
    let subject_of = |code: &str| subject(&delivery("format: cloudevents", Op::Update, code).change);
    assert_eq!(subject_of("x").as_deref(), Some("x/7"));
    assert_eq!(subject_of(&"x".repeat(SUBJECT_BYTES_MAX)), None);
    let mut change = Arc::unwrap_or_clone(delivery("format: cloudevents", Op::Update, "x").change);
    let mut table = (*change.table).clone();
    table.primary_key.clear();
    change.table = Arc::new(table);
    assert_eq!(subject(&change), None);
}

#[test]
fn a_row_is_the_row_after_the_change_and_before_a_delete() {
    for (op, note) in [(Op::Update, "new"), (Op::Delete, "old")] {
        let delivery = delivery("format: row", op, "x");
        let expected = json!({"code": "x", "size": 7, "note": note});
        assert_eq!(json_of(&item(&delivery, ItemPlace::Alone)), expected);
        assert_eq!(json_of(&item(&delivery, ItemPlace::InArray)), expected);
        assert_eq!(prepare(&delivery).unwrap().header("content-type"), Some("application/json"));
    }
}

#[test]
fn the_change_is_the_same_with_and_without_the_word() {
    let (named, unnamed) = (delivery("format: change", Op::Update, "x"), delivery("timeout: 1s", Op::Update, "x"));
    assert_eq!(item(&named, ItemPlace::Alone), item(&unnamed, ItemPlace::Alone));
    assert_eq!(json_of(&item(&named, ItemPlace::InArray))["rule"], json!("r"));
}
