//! Tests of arrays: what stands in them, what is left out, what does not fit.

use std::sync::Arc;

use super::*;
use crate::delivery::sink::http::tests::prepare;
use crate::delivery::testing::{delivery, rule};
use crate::rules::{Batch, Body, BodyCompression, CloudEventMode, Rule, RuleSet, Until};
use crate::template::{BodyTemplate, TEXT_BYTES_MAX, TextTemplate};

fn items(numbers: std::ops::Range<u128>, bytes: usize, edit: impl FnOnce(&mut Rule)) -> Vec<Item> {
    let rule = rule("http://a.test/in", |rule| {
        let until = Until::TransactionEnd;
        rule.batch = Some(Batch { size: 100, bytes, until, format: Default::default(), results: None });
        edit(rule);
    });
    numbers.map(|number| Item::alone(delivery(&rule, number, number as i64))).collect()
}

fn gathered(items: &[Item]) -> RenderedArray<PreparedRequest> {
    prepare_all(items, items[0].delivery.call())
}

fn key(prepared: &PreparedRequest) -> &str {
    &prepared.headers.iter().find(|header| header.name == "Idempotency-Key").expect("always there").value
}

#[test]
fn the_body_is_the_array_of_the_bodies_that_each_would_send_alone() {
    let items = items(1..4, 1 << 20, |_| {});
    let RenderedArray { unfit, ready: Ok(prepared) } = gathered(&items) else { panic!("renders") };
    assert_eq!(unfit, []);
    let alone = |item: &Item| {
        let mut rule = rule("http://a.test/in", |_| {});
        Arc::get_mut(&mut rule).expect("new").name.clone_from(&item.delivery.rule.name);
        let prepared = prepare(&Delivery { rule, ..item.delivery.clone() });
        String::from_utf8(prepared.expect("renders").body.to_vec()).expect("UTF-8")
    };
    let expected: Vec<String> = items.iter().map(alone).collect();
    assert_eq!(prepared.body, format!("[{}]", expected.join(",")));
    assert_eq!(prepared.url.as_str(), "http://a.test/in");
}

#[test]
fn the_key_follows_from_the_deliveries_in_it_and_their_order() {
    let items = items(1..4, 1 << 20, |_| {});
    let key_of = |items: &[Item]| match gathered(items).ready {
        Ok(prepared) => key(&prepared).to_owned(),
        Err(_) => panic!("renders"),
    };
    let all = key_of(&items);
    assert_eq!(all, key_of(&items));
    // Computed with Python's uuid.uuid5 over the ids, joined by commas.
    assert_eq!(all, "ec81f02a-3c0b-5d7e-b6d8-d840fca58ccc");
    assert_ne!(all, key_of(&items[..2]));
    let reversed: Vec<Item> = items.iter().rev().cloned().collect();
    assert_ne!(all, key_of(&reversed));
    let alone = prepare(&items[0].delivery).expect("renders");
    assert!(alone.body.starts_with(b"[{") && alone.body.ends_with(b"}]"), "{alone:?}");
    assert_eq!(key(&alone), key_of(&items[..1]));
}

#[test]
fn an_item_that_cannot_be_rendered_is_left_out_of_the_others() {
    let mut items = items(0..4, 1 << 20, |rule| {
        let text = TextTemplate::compile("{{ 6 // row.id }}", &|_| Ok(None)).expect("compiles");
        rule.call_mut().body = Body::Template(BodyTemplate::Text(text));
    });
    items[2].delivery.predetermined = Some(Outcome::Dead(Failure::undecided("no such column".to_owned())));
    let RenderedArray { unfit, ready: Ok(prepared) } = gathered(&items) else { panic!("renders") };
    assert_eq!(prepared.body, "[6,2]");
    let [(0, unrenderable), (2, undecided)] = &unfit[..] else { panic!("{unfit:?}") };
    assert_eq!((unrenderable.reason, undecided.reason), (Reason::Unrenderable, Reason::Undecided));
    assert!(unrenderable.message.starts_with("`body`: "), "{}", unrenderable.message);
    let RenderedArray { unfit, ready: Err(Unready::Nothing) } = gathered(&items[..1]) else { panic!("nothing") };
    assert_eq!(unfit.len(), 1);
    assert_eq!(prepare(&items[0].delivery).expect_err("no body"), unfit[0].1.message);
}

#[test]
fn the_number_of_items_that_fit_is_returned_and_one_always_fits() {
    let literal = |rule: &mut Rule| rule.call_mut().body = Body::Template(BodyTemplate::Literal("1234567".into()));
    for (bytes, expected) in [(1, Some(1)), (16, Some(1)), (17, Some(2)), (24, Some(2)), (25, None), (99, None)] {
        let fitting = match gathered(&items(0..3, bytes, literal)).ready {
            Err(Unready::TooLarge { fitting }) => Some(fitting),
            Err(_) => panic!("renders"),
            Ok(prepared) => {
                assert!(prepared.body.len() <= bytes);
                None
            }
        };
        assert_eq!(fitting, expected, "{bytes}");
    }
    assert!(gathered(&items(0..1, 1, literal)).ready.is_ok());
}

#[test]
fn each_body_has_the_limit_of_a_body_and_all_together_that_of_the_rule() {
    let half = "x".repeat(TEXT_BYTES_MAX / 2);
    let texts = |rule: &mut Rule| {
        let text = |source: &str| TextTemplate::compile(source, &|_| Ok(None)).expect("compiles");
        let long = BodyTemplate::Text(text(&format!("{half}{{{{ row.id }}}}")));
        let array = BodyTemplate::Text(text("{{ [row.id, 'x'] }}"));
        rule.call_mut().body = Body::Template(BodyTemplate::List(vec![long, array]));
    };
    let RenderedArray { unfit, ready } = gathered(&items(0..8, 32 << 20, texts));
    assert_eq!(unfit, []);
    assert!(ready.is_ok_and(|prepared| prepared.body.len() > 4 * TEXT_BYTES_MAX));
}

#[test]
fn cloud_events_of_an_array_contain_their_attributes_and_have_no_headers() {
    for mode in [CloudEventMode::Binary, CloudEventMode::Structured] {
        let items = items(1..3, 1 << 20, |rule| {
            rule.call_mut().body = Body::CloudEvent(mode);
            rule.call_mut().settings.compression = Some(BodyCompression::Gzip);
        });
        let RenderedArray { ready: Ok(prepared), .. } = gathered(&items) else { panic!("renders") };
        assert_eq!(prepared.header("content-type"), Some("application/cloudevents-batch+json"));
        assert!(!prepared.headers.iter().any(|header| header.name.starts_with("ce-")), "{prepared:?}");
        let events: serde_json::Value = serde_json::from_slice(&prepared.body).expect("JSON");
        for (index, item) in items.iter().enumerate() {
            let event = &events[index];
            assert_eq!((&event["specversion"], &event["id"]), (&"1.0".into(), &item.delivery.id.to_string().into()));
            assert_eq!(event["data"]["id"], event["id"]);
        }
        assert!(prepared.gzipped().is_some_and(|packed| packed.len() < prepared.body.len()));
    }
}

#[test]
fn a_signature_names_the_array_by_the_id_of_all_in_it() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let text = format!(
        "table: shop.orders\nrules: [{{name: r, batch: {{size: 5}}, call: {{url: 'http://a.test/', sign: {{webhook: {secret}}}}}}}]"
    );
    let rules = RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).expect("loads");
    let items: Vec<Item> =
        (1..3).map(|number| Item::alone(delivery(&rules.rules()[0], number, number as i64))).collect();
    let RenderedArray { ready: Ok(prepared), .. } = gathered(&items) else { panic!("renders") };
    assert_eq!(prepared.header("webhook-id"), prepared.header("idempotency-key"));
    assert_ne!(prepared.header("webhook-id"), Some(&*items[0].delivery.id.to_string()));
    assert!(prepared.shown().to_curl().contains("-H 'webhook-signature: ***'"), "{}", prepared.shown().to_curl());
}

/// What three rows of a rule with these keys are sent as, with their type.
fn lines(batch: &str, call: &str) -> (String, String, usize) {
    let text = format!(
        "table: shop.orders\nrules:\n  - name: r\n    batch: {batch}\n    call: {{url: 'http://a.test/', {call}}}\n"
    );
    let rules = RuleSet::from_texts(&[("r.yaml".into(), text)], &|_| None).unwrap_or_else(|flaws| panic!("{flaws}"));
    let rule = &rules.rules()[0];
    let items: Vec<Item> = (1..4).map(|number| Item::alone(delivery(rule, number, number as i64))).collect();
    let RenderedArray { unfit, ready: Ok(prepared) } = gathered(&items) else { panic!("renders") };
    let content_type = prepared.header("Content-Type").expect("a body has a type").to_owned();
    (String::from_utf8(prepared.body.to_vec()).expect("UTF-8"), content_type, unfit.len())
}

#[test]
fn an_array_may_stand_within_an_object() {
    for (wrap, expected) in [
        ("items", r#"{"items":[1,2,3]}"#),
        ("'a \"b\"'", r#"{"a \"b\"":[1,2,3]}"#),
        (
            "{v: 1.50, of: [1, {rows: []}], note: 'a[]', more: null}",
            r#"{"v":1.50,"of":[1,{"rows":[1,2,3]}],"note":"a[]","more":null}"#,
        ),
        ("{n: \"{{ table }}\\0\", rows: []}", r#"{"n":"orders\u0000","rows":[1,2,3]}"#),
    ] {
        let (body, content_type, unfit) = lines(&format!("{{wrap: {wrap}}}"), "body: '{{ row.id }}'");
        assert_eq!((body.as_str(), content_type.as_str(), unfit), (expected, "application/json", 0), "{wrap}");
    }
}

#[test]
fn what_stands_around_an_array_counts_as_bytes_of_the_call_and_hides_its_secrets() {
    let env = |name: &str| (name == "KEY").then(|| "s3cret".to_owned());
    let whole = |pad: usize| format!(r#"{{"key":"s3cret","pad":"{}","rows":[1,2,3]}}"#, "x".repeat(pad));
    let exact = 1024 - whole(0).len();
    for (pad, expected) in
        [(exact, None), (exact + 1, Some(2)), (exact + 2, Some(2)), (exact + 3, Some(1)), (1024, Some(1))]
    {
        let text = format!(
            "table: shop.orders\nrules:\n  - name: r\n    batch: {{bytes: 1 KiB, wrap: {{key: '{{{{ env.KEY }}}}', pad: {}, rows: []}}}}\n    call: {{url: 'http://a.test/', body: '{{{{ row.id }}}}'}}\n",
            "x".repeat(pad)
        );
        let rules = RuleSet::from_texts(&[("r.yaml".into(), text)], &env).unwrap_or_else(|flaws| panic!("{flaws}"));
        let rule = &rules.rules()[0];
        let items: Vec<Item> = (1..4).map(|number| Item::alone(delivery(rule, number, number as i64))).collect();
        match (gathered(&items).ready, expected) {
            (Ok(prepared), None) => {
                assert_eq!(prepared.body, whole(pad));
                assert!(!prepared.shown().to_curl().contains("s3cret"), "{}", prepared.shown().to_curl());
            }
            (Err(Unready::TooLarge { fitting }), Some(expected)) => assert_eq!(fitting, expected, "{pad}"),
            _ => panic!("{pad}"),
        }
    }
}

#[test]
fn a_batch_may_be_lines_of_json_each_behind_a_line_of_its_own() {
    let ndjson = "application/x-ndjson".to_owned();
    let plain = lines("{format: ndjson}", "body: {id: '{{ row.id }}', note: \"a\\nb\"}");
    let expected = "{\"id\":1,\"note\":\"a\\nb\"}\n{\"id\":2,\"note\":\"a\\nb\"}\n{\"id\":3,\"note\":\"a\\nb\"}\n";
    assert_eq!(plain, (expected.to_owned(), ndjson.clone(), 0));
    let bulk = lines("{format: ndjson, line: {index: {_id: '{{ row.id }}'}}}", "body: {n: '{{ row.id * 2 }}'}");
    let expected =
        "{\"index\":{\"_id\":1}}\n{\"n\":2}\n{\"index\":{\"_id\":2}}\n{\"n\":4}\n{\"index\":{\"_id\":3}}\n{\"n\":6}\n";
    assert_eq!(bulk, (expected.to_owned(), ndjson, 0));
    let own = lines("{format: ndjson}", "headers: {Content-Type: application/json}, body: {}");
    assert_eq!(own, ("{}\n{}\n{}\n".to_owned(), "application/json".to_owned(), 0));
}

#[test]
fn a_change_whose_body_is_left_out_sends_only_the_line_before_it() {
    let line = "{index: \"{{ {'_id': row.id} if row.id != 2 else omit }}\", delete: \"{{ {'_id': row.id} if row.id == 2 else omit }}\"}";
    let (body, _, unfit) =
        lines(&format!("{{format: ndjson, line: {line}}}"), "body: \"{{ {'n': row.id} if row.id != 2 else omit }}\"");
    let expected = "{\"index\":{\"_id\":1}}\n{\"n\":1}\n{\"delete\":{\"_id\":2}}\n{\"index\":{\"_id\":3}}\n{\"n\":3}\n";
    assert_eq!((body.as_str(), unfit), (expected, 0));
}

#[test]
fn a_batch_may_be_lines_of_text_and_a_value_can_not_begin_another() {
    let (body, content_type, unfit) = lines("{format: lines}", "text: 'orders id={{ row.id }}i'");
    assert_eq!((body.as_str(), unfit), ("orders id=1i\norders id=2i\norders id=3i\n", 0));
    assert_eq!(content_type, "text/plain; charset=utf-8");
    let ends = lines("{format: lines}", "text: \"{{ row.id }}\\n\"");
    assert_eq!(ends.0, "1\n2\n3\n");
    for breaks in ["a\\nb", "a\\n", "a\\r", "\\n"] {
        for end in ["", "\\n", "\\r\\n"] {
            let text = format!("{{{{ '{}' if row.id == 2 else row.id }}}}", breaks.replace('\\', "\\\\"));
            let (body, _, unfit) = lines("{format: lines}", &format!("text: \"{text}{end}\""));
            assert_eq!((body.as_str(), unfit), ("1\n3\n", 1), "{breaks}{end}");
        }
    }
}

#[test]
fn lines_that_are_too_many_bytes_are_sent_in_parts() {
    let items = items(1..4, 30, |rule| {
        rule.batch.as_mut().expect("a batch").format = crate::rules::BatchFormat::Ndjson;
        rule.call_mut().body = Body::Template(BodyTemplate::Literal("1234567890123".into()));
    });
    let RenderedArray { ready: Err(Unready::TooLarge { fitting }), .. } = gathered(&items) else { panic!("too large") };
    assert_eq!(fitting, 2, "two lines of 14 bytes");
    assert!(matches!(gathered(&items[..2]).ready, Ok(prepared) if prepared.body.len() == 28));
}

#[test]
fn a_secret_in_the_line_before_a_body_is_not_shown() {
    let text = "table: shop.orders\nrules:\n  - name: r\n    batch: {format: ndjson, line: {index: '{{ env.INDEX }}'}}\n    \
                call: {url: 'http://a.test/', body: {id: 1}}\n";
    let env = |name: &str| (name == "INDEX").then(|| "s3cret".to_owned());
    let rules = RuleSet::from_texts(&[("r.yaml".into(), text.to_owned())], &env).expect("it loads");
    let prepared = prepare(&delivery(&rules.rules()[0], 1, 1)).expect("renders");
    assert_eq!(prepared.body, "{\"index\":\"s3cret\"}\n{\"id\":1}\n");
    assert!(!prepared.shown().to_curl().contains("s3cret"), "{}", prepared.shown().to_curl());
}
