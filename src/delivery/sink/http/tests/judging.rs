//! What the body of a success decides.

use super::super::client::{Received, Text};
use super::super::{judge, prepare};
use crate::delivery::answer::{Lack, Verdict};
use crate::delivery::testing::{delivery, rule};
use crate::failure::Answer;
use crate::rules::{Batch, ItemVerdict, Results, Until, Work};

fn received(status: u16, body: &str) -> Received {
    let body = Text { bytes: body.into(), ..Text::default() };
    let answer = Answer::Status { status, excerpt: String::new() };
    let (lack, retry_after, server_limit, redirect) = (None, None, None, None);
    Received { answer, lack, retry_after, body, headers: Vec::new(), server_limit, redirect }
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
            rule.batch = Some(Batch { size: 10, bytes: 1 << 20, until: Until::TransactionEnd, results });
        });
        let first = delivery(&rule, 1, 1);
        let Work::Call(call) = &first.action().work else { panic!("a call") };
        let ready = prepare(&first, call).expect("it renders");
        let (answer, judged) = judge(&ready, received(status, body), &first, 1);
        assert_eq!((judged.verdict, judged.lack), (verdict, lack), "{asks} {status} {body}: {answer:?}");
        assert_eq!(judged.results.map(|results| results.len()), items, "{asks} {status} {body}");
    }
}
