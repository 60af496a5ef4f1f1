//! Which rules can send a dead letter with an edited body, and why others can't.

use super::*;

#[track_caller]
fn refusal(keys: &str) -> Option<String> {
    let rules = load(&format!("table: shop.orders\nrules:\n  - {{name: r, {keys}}}\n"));
    let rules = rules.unwrap_or_else(|problems| panic!("{problems}\nin {keys}"));
    rules.rules()[0].takes_edited_body(Op::Insert).err()
}

#[test]
fn a_rule_with_one_call_and_one_body_for_a_delivery_takes_an_edited_body() {
    for keys in [
        "call: {url: http://a.test/}",
        "call: {url: http://a.test/, headers: {X-Token: '{{ env.TOKEN }}'}, body: {a: '{{ row.id }}'}}",
        "call: {url: http://a.test/, form: {a: '{{ row.id }}'}}",
        "call: {url: http://a.test/, headers: {Content-Type: text/plain}, text: '{{ row.id }}'}",
        "call: {url: http://a.test/, format: cloudevents}",
        "call: {url: http://a.test/}, coalesce: {within: 1s}",
        "calls: {insert: {url: http://a.test/}, delete: {url: http://a.test/, method: DELETE}}",
    ] {
        assert_eq!(refusal(keys), None, "{keys}");
    }
}

#[test]
fn a_rule_that_can_not_send_or_store_another_body_says_why() {
    for (keys, why) in [
        ("call: {url: http://a.test/, idempotent: false}", "is a saga"),
        ("steps: [{name: a, call: {url: http://a.test/}}, {name: b, call: {url: http://a.test/}}]", "is a saga"),
        ("call: {url: http://a.test/}, batch: {size: 10}", "several changes in one call"),
        ("call: {url: http://a.test/}, redact: [status]", "keeps columns from the disk"),
        ("call: {url: http://a.test/, method: DELETE}", "sends no body"),
        ("call: {url: http://a.test/, multipart: {a: '{{ row.id }}'}}", "sends `multipart`"),
        ("call: {url: http://a.test/, body: {a: '{{ env.TOKEN }}'}}", "holds a secret"),
        ("calls: {insert: {url: http://a.test/, method: DELETE}, delete: {url: http://a.test/}}", "sends no body"),
    ] {
        let refusal = refusal(keys).unwrap_or_else(|| panic!("{keys}: not refused"));
        assert!(refusal.contains(why) && refusal.contains("rule r"), "{keys}: {refusal}");
    }
}
