//! What the body of a success decides.

use std::path::PathBuf;
use std::time::Duration;

use super::super::super::Judged;
use super::super::client::{Keep, Received, Text};
use super::super::{judge, prepare};
use crate::delivery::Delivery;
use crate::delivery::answer::{Lack, RETRY_AFTER_MAX, TargetHealth, Verdict};
use crate::delivery::testing::{delivery, rule};
use crate::failure::Answer;
use crate::rules::{Batch, ItemVerdict, Results, RuleSet, Until, Work};
use crate::template::Secret;

fn received(status: u16, body: &str) -> Received {
    let body = Text { bytes: body.into(), ..Text::default() };
    let answer = Answer::Status { status, excerpt: String::new() };
    let (lack, retry_after, server_limit, redirect) = (None, None, None, None);
    Received { answer, lack, retry_after, body, headers: Vec::new(), server_limit, redirect, secrets: Vec::new() }
}

#[test]
fn a_success_is_done_only_if_its_body_says_what_was_asked() {
    let results = Results { items: "".to_owned(), verdict: ItemVerdict::Status("/status".to_owned()) };
    for (asks, status, body, verdict, lack, items) in [
        (false, 200, "", Verdict::Done { status: 200 }, None, None),
        (false, 503, "", Verdict::Retry, None, None),
        (false, 404, "", Verdict::GiveUp, None, None),
        (true, 200, r#"[{"status": 422}]"#, Verdict::Done { status: 200 }, None, Some(1)),
        (true, 200, "<html>", Verdict::Retry, Some(Lack::Timeout), None),
        (true, 503, "<html>", Verdict::Retry, None, None),
    ] {
        let rule = rule("http://a.test/", |rule| {
            let results = asks.then(|| results.clone());
            rule.batch = Some(Batch {
                size: 10,
                bytes: 1 << 20,
                until: Until::TransactionEnd,
                format: Default::default(),
                results,
            });
        });
        let first = delivery(&rule, 1, 1);
        let Work::Call(call) = &first.action().work else { panic!("a call") };
        let ready = prepare(&first, call).expect("it renders");
        let (answer, judged) = judge(&ready, received(status, body), &first, 1);
        assert_eq!((judged.verdict, judged.lack), (verdict, lack), "{asks} {status} {body}: {answer:?}");
        assert_eq!(judged.results.map(|results| results.len()), items, "{asks} {status} {body}");
    }
}

/// A delivery of a rule with these keys in its call and beside it.
fn delivery_of(call: &str, rule: &str) -> Delivery {
    let text =
        format!("table: shop.orders\nrules:\n  - name: r\n    {rule}\n    call: {{url: 'http://a.test/', {call}}}\n");
    let rules = RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text)], &|name| {
        (name == "ACCOUNT").then(|| "shop-account".to_owned())
    });
    delivery(&rules.unwrap_or_else(|flaws| panic!("{flaws}")).rules()[0], 1, 7)
}

fn judged(first: &Delivery, received: Received) -> (Answer, Judged) {
    let Work::Call(call) = &first.action().work else { panic!("a call") };
    judge(&prepare(first, call).expect("it renders"), received, first, 1)
}

#[test]
fn what_a_rule_sends_of_the_environment_is_read_in_an_answer_and_not_shown() {
    let call = "form: {account: '{{ env.ACCOUNT }}'}, success: {when: answer.json.account == 'shop-account'}";
    let first = delivery_of(call, "retry_on: [5xx]");
    assert_eq!(
        judged(&first, received(200, r#"{"account": "shop-account"}"#)).1.verdict,
        Verdict::Done { status: 200 }
    );
    let refused = r#"{"account": null, "you": "shop-account"}"#;
    let (answer, judged) = judged(&first, received(200, refused));
    let Answer::Status { excerpt, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((judged.verdict, excerpt.as_str()), (Verdict::GiveUp, r#"{"account": null, "you": "***"}"#));
}

#[test]
fn what_was_sent_is_read_in_an_answer_and_neither_shown_nor_kept() {
    let secrets = || ["long-s3cret", "hunter2"].map(Secret::new).to_vec();
    let first = delivery_of("success: {when: answer.json.key == 'long-s3cret'}", "retry_on: [5xx]");
    let body = r#"{"key": "long-s3cret"}"#;
    let judged_with = |body| judged(&first, Received { secrets: secrets(), ..received(200, body) });
    assert_eq!(judged_with(body).1.verdict, Verdict::Done { status: 200 });
    let (answer, refused) = judged_with(r#"{"key": "hunter2", "you": "long-s3cret"}"#);
    let Answer::Status { excerpt, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((refused.verdict, excerpt.as_str()), (Verdict::GiveUp, r#"{"key": "***", "you": "***"}"#));
}

#[test]
fn an_answer_is_a_success_only_if_its_content_says_so() {
    let (no, done) = (Verdict::GiveUp, Verdict::Done { status: 200 });
    let unexpected = Verdict::Retry;
    for (when, body, verdict, hint) in [
        ("answer.json.ok", r#"{"ok": true}"#, done, None),
        ("answer.json.ok", r#"{"ok": false}"#, no, Some("`success.when` is false of this answer")),
        ("answer.json.ok", r#"{"ok": 1}"#, done, None),
        ("answer.json.ok", r#"{"ok": 0}"#, no, Some("is false")),
        ("answer.json.ok", r#"{"ok": "false"}"#, unexpected, Some("a text by itself says neither yes nor no")),
        ("answer.json.ok", r#"{"ok": "true"}"#, unexpected, Some("compare it, as in `answer.json.ok == 'true'`")),
        ("answer.json.ok == 'true'", r#"{"ok": "true"}"#, done, None),
        ("answer.json.ok == 'true'", r#"{"ok": "false"}"#, no, Some("is false")),
        ("not answer.json.errors", r#"{"errors": []}"#, unexpected, Some("a list by itself")),
        ("answer.json.errors | length == 0", r#"{"errors": []}"#, done, None),
        ("answer.json.ok and answer.json.id", r#"{"ok": true, "id": {}}"#, unexpected, Some("a map by itself")),
        ("answer.json.ok", r#"{"ok": null}"#, unexpected, Some("compares with a null")),
        ("answer.json.ok", r#"{}"#, unexpected, Some("`answer.json.ok` is undefined")),
        ("answer.json.ok", "<html>", unexpected, Some("the answer to this call can't be read: it is not JSON")),
        ("answer.json.ok", "", unexpected, Some("it is empty, not JSON")),
        ("answer.json.ok", "[1]", unexpected, Some("unexpected answer: `success.when` can't be decided")),
        ("answer.json.errors is undefined", r#"{"data": {}}"#, done, None),
        ("answer.json.errors is undefined", r#"{"errors": [1]}"#, no, Some("is false")),
        ("'Fault' not in answer.text", "<Envelope><Fault/></Envelope>", no, Some("is false")),
        ("'Fault' not in answer.text", "<Envelope/>", done, None),
        ("answer.json.id == row.id", r#"{"id": 7}"#, done, None),
        ("answer.json.id == row.id", r#"{"id": 8}"#, no, Some("is false")),
        ("answer.status == 200", "", done, None),
    ] {
        let first = delivery_of(&format!("success: {{when: \"{when}\"}}"), "");
        let (answer, judged) = judged(&first, received(200, body));
        assert_eq!(judged.verdict, verdict, "{when} {body}: {judged:?}");
        assert_eq!(judged.health, TargetHealth::Works, "{when} {body}");
        let shown = judged.hint.as_deref().unwrap_or_default();
        assert!(
            shown.contains(hint.unwrap_or_default()) && shown.is_empty() == hint.is_none(),
            "{when} {body}: {shown}"
        );
        let excerpt = if verdict == done { "" } else { body };
        assert_eq!(answer, Answer::Status { status: 200, excerpt: excerpt.to_owned() }, "{when} {body}");
    }
}

#[test]
fn an_unexpected_answer_is_tried_again_as_a_lost_one_is() {
    let first = delivery_of("success: {status: 200, when: answer.json.ok}", "retry_on: [5xx]");
    assert_eq!(judged(&first, received(200, "<html>")).1.verdict, Verdict::GiveUp);
    assert_eq!(judged(&first, received(201, r#"{"ok": true}"#)).1.verdict, Verdict::GiveUp, "201 is not listed");
    assert_eq!(judged(&first, received(503, r#"{"ok": true}"#)).1.verdict, Verdict::Retry);
}

#[test]
fn an_answer_may_ask_for_another_attempt_and_say_when() {
    let rule = "retry_on: {status: [503], when: \"answer.json.error == 'ratelimited'\", wait: answer.json.after}";
    let first = delivery_of("success: {when: answer.json.ok}", rule);
    let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
    for (status, body, verdict, wait) in [
        (200, r#"{"ok": false, "error": "ratelimited", "after": 2.5}"#, Verdict::Retry, seconds(2.5)),
        (200, r#"{"ok": false, "error": "ratelimited", "after": "7"}"#, Verdict::Retry, seconds(7.0)),
        (200, r#"{"ok": false, "error": "ratelimited", "after": -1}"#, Verdict::Retry, None),
        (200, r#"{"ok": false, "error": "ratelimited", "after": 1e300}"#, Verdict::Retry, Some(RETRY_AFTER_MAX)),
        (200, r#"{"ok": false, "error": "ratelimited"}"#, Verdict::Retry, None),
        (200, r#"{"ok": false, "error": "not_found"}"#, Verdict::GiveUp, None),
        (200, r#"{"ok": true, "after": 9}"#, Verdict::Done { status: 200 }, None),
        (400, r#"{"error": "ratelimited", "after": 3}"#, Verdict::Retry, seconds(3.0)),
        (400, "<html>", Verdict::GiveUp, None),
        (429, r#"{"error": "x"}"#, Verdict::GiveUp, None),
        (503, r#"{"after": 4}"#, Verdict::Retry, seconds(4.0)),
    ] {
        let judged = judged(&first, received(status, body)).1;
        assert_eq!((judged.verdict, judged.asked_wait()), (verdict, wait), "{status} {body}");
        // A 503 with this header proves that nothing was done; what a body says does not.
        assert_eq!(judged.retry_after, None, "{status} {body}");
    }
    let header = Received { retry_after: seconds(10.0), ..received(503, r#"{"after": 4}"#) };
    assert_eq!(judged(&first, header).1.asked_wait(), seconds(10.0), "the longer wait counts");
}

#[test]
fn what_is_asked_of_an_answer_is_kept_of_it() {
    let when = "success: {when: answer.json.ok}";
    let refusals = Keep { of_refusals: true, ..Keep::ALL };
    for (call, rule, expected) in [
        ("", "", Keep::NOTHING),
        ("success: 200", "retry_on: [5xx]", Keep::NOTHING),
        (when, "", Keep::ALL),
        ("", "retry_on: {when: answer.json.again}", refusals),
        (when, "retry_on: {wait: answer.json.after}", refusals),
    ] {
        let first = delivery_of(call, rule);
        let Work::Call(call) = &first.action().work else { panic!("a call") };
        assert_eq!(super::super::answer_meaning::keep(call, &first), expected, "{rule}");
    }
}
