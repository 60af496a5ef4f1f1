//! Results per item: what the answer to a batch says of each delivery in it. Pure functions.
//!
//! In: the body of a successful answer, and where its rule says that the results stand. Out: for each delivery whether it
//! is done, worth another attempt or refused; or why the answer can't be understood, without quoting it. An answer without
//! exactly one result for each delivery is not used.

use serde_json::Value;

use super::client::Text;
use crate::delivery::answer::{self, ItemResult, Verdict};
use crate::failure::Answer;
use crate::rules::{ItemVerdict, Results};

/// The largest answer that is read for its results: a hundred bytes for each of ten thousand deliveries.
pub const RESULTS_BYTES_MAX: usize = 1 << 20;

/// Reads the results of a batch of `count` deliveries out of an answer with this status. `classify` says what an answer
/// would mean for a delivery that was sent alone.
pub fn read(
    results: &Results,
    classify: impl Fn(&Answer) -> Verdict,
    status: u16,
    body: &Text,
    count: usize,
) -> Result<Vec<ItemResult>, String> {
    if let Some(problem) = &body.problem {
        return Err(format!("the answer can't be read: {problem}"));
    } else if body.is_cut {
        return Err(format!("the answer is longer than {RESULTS_BYTES_MAX} bytes"));
    }
    let document: Value = serde_json::from_slice(&body.bytes).map_err(|_| "the answer is not JSON".to_owned())?;
    let pointer = &results.items;
    let items = at(&document, pointer).and_then(Value::as_array);
    let items = items.ok_or_else(|| format!("the answer has no array at `{pointer}`"))?;
    if items.len() != count {
        return Err(format!("rows in the call: {count}, results in the answer: {}", items.len()));
    }
    let read = |(index, item)| match &results.verdict {
        ItemVerdict::Status(pointer) => {
            let status = item_status(item, pointer)
                .ok_or_else(|| format!("result {} of the answer has no status at `{pointer}`", index + 1))?;
            Ok(judge(&classify, status, item))
        }
        ItemVerdict::Error(pointer) => match has_error(item, pointer) {
            Some(false) => Ok(ItemResult { verdict: Verdict::Done { status }, answer: plain(status) }),
            Some(true) => Ok(ItemResult { verdict: Verdict::GiveUp, answer: shown(status, item) }),
            None => Err(format!("result {} of the answer is none that can have an error at `{pointer}`", index + 1)),
        },
    };
    items.iter().enumerate().map(read).collect()
}

/// What a JSON pointer leads to; `*` in it stands for the one member that an object has.
fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let Some((before, behind)) =
        pointer.split_once("/*").filter(|(_, behind)| behind.is_empty() || behind.starts_with('/'))
    else {
        return value.pointer(pointer);
    };
    match value.pointer(before)? {
        Value::Object(members) if members.len() == 1 => at(members.values().next()?, behind),
        _ => None,
    }
}

fn judge(classify: impl Fn(&Answer) -> Verdict, status: u16, item: &Value) -> ItemResult {
    let answer = plain(status);
    match classify(&answer) {
        done @ Verdict::Done { .. } => ItemResult { verdict: done, answer },
        verdict => ItemResult { verdict, answer: shown(status, item) },
    }
}

/// A status may be written as a number or as text.
fn item_status(item: &Value, pointer: &str) -> Option<u16> {
    let status = match at(item, pointer)? {
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    status.filter(|status| (100..=999).contains(status))
}

/// Whether the item has an error there. None: it is no such item, so that the lack of an error says nothing.
fn has_error(item: &Value, pointer: &str) -> Option<bool> {
    let mut value = item;
    for (depth, token) in pointer.split('/').skip(1).enumerate() {
        let next = match value {
            Value::Object(members) if token == "*" => Some(members.values().next().filter(|_| members.len() == 1)?),
            Value::Object(members) => members.get(&token.replace("~1", "/").replace("~0", "~")),
            Value::Array(items) => items.get(token.parse::<usize>().ok()?),
            Value::Null | Value::Bool(false) if depth > 0 => None,
            _ => return None,
        };
        match next {
            Some(next) => value = next,
            None => return Some(false),
        }
    }
    Some(match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    })
}

fn plain(status: u16) -> Answer {
    Answer::Status { status, excerpt: String::new() }
}

fn shown(status: u16, item: &Value) -> Answer {
    Answer::Status { status, excerpt: answer::excerpt(item.to_string().as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RetryOn, SuccessStatuses};

    fn results(verdict: ItemVerdict) -> Results {
        Results { items: "/results".to_owned(), verdict }
    }

    fn classify(answer: &Answer) -> Verdict {
        answer::classify(&SuccessStatuses(vec![(200, 299)]), &RetryOn::default(), answer, None)
    }

    fn read_all(verdict: ItemVerdict, body: &str, count: usize) -> Result<Vec<ItemResult>, String> {
        let text = Text { bytes: body.into(), ..Text::default() };
        read(&results(verdict), classify, 207, &text, count)
    }

    #[test]
    fn a_star_stands_for_the_one_member_of_an_object() {
        let document: Value = serde_json::from_str(
            r#"{"items": [{"index": {"status": 201, "a": {"x": 1}}}, {"a": 1, "b": 2}, {}, [1]], "*": 5, "*x": 6}"#,
        )
        .expect("JSON");
        for (pointer, expected) in [
            ("/items/0/*/status", Some("201")),
            ("/items/0/*/a/*", Some("1")),
            ("/items/1/*", None),
            ("/items/2/*", None),
            ("/items/3/*", None),
            ("/items/0/*/none", None),
            ("/*x", Some("6")),
            ("/*", None),
        ] {
            assert_eq!(at(&document, pointer).map(ToString::to_string).as_deref(), expected, "{pointer}");
        }
        let body = r#"{"results": [{"index": {"status": 201}}, {"create": {"status": 409, "error": "exists"}}]}"#;
        let read = read_all(ItemVerdict::Status("/*/status".to_owned()), body, 2).expect("understood");
        assert_eq!(
            read.iter().map(|item| item.verdict).collect::<Vec<_>>(),
            [Verdict::Done { status: 201 }, Verdict::GiveUp,]
        );
    }

    #[test]
    fn an_item_that_can_have_no_error_is_not_understood() {
        for (pointer, item, expected) in [
            ("/error", "{}", Some(false)),
            ("/error", r#"{"error": "x"}"#, Some(true)),
            ("/error", r#"{"error": ""}"#, Some(false)),
            ("/error/reason", r#"{"error": null}"#, Some(false)),
            ("/error/reason", r#"{"error": {"reason": "x"}}"#, Some(true)),
            ("/*/error", r#"{"index": {"_id": 1}}"#, Some(false)),
            ("/*/error", r#"{"index": {"error": {"type": "x"}}}"#, Some(true)),
            // None of these is a result.
            ("/error", "null", None),
            ("/error", r#""failed""#, None),
            ("/error", "[1]", None),
            ("/error", "7", None),
            ("/error/reason", r#"{"error": "x"}"#, None),
            ("/*/error", "{}", None),
            ("/*/error", r#"{"index": {"error": "x"}, "took": 1}"#, None),
            ("/*/error", r#"{"index": "x"}"#, None),
            ("/*/error", r#"{"index": [{"error": "x"}]}"#, None),
        ] {
            let item: Value = serde_json::from_str(item).expect("JSON");
            assert_eq!(has_error(&item, pointer), expected, "{pointer} of {item}");
        }
        let body = r#"{"results": [{"index": {}}, {"index": {"error": "x"}, "took": 1}]}"#;
        let said = read_all(ItemVerdict::Error("/*/error".to_owned()), body, 2).expect_err("not understood");
        assert_eq!(said, "result 2 of the answer is none that can have an error at `/*/error`");
    }

    #[test]
    fn each_item_is_done_worth_a_retry_or_refused_by_its_status() {
        let body = r#"{"results": [{"status": 201}, {"status": "200"}, {"status": 503, "why": "bu\u0007sy"},
                       {"status": 422, "why": "no such sku"}, {"status": 302}]}"#;
        let read = read_all(ItemVerdict::Status("/status".to_owned()), body, 5).expect("understood");
        let verdicts: Vec<Verdict> = read.iter().map(|item| item.verdict).collect();
        let done = |status| Verdict::Done { status };
        assert_eq!(verdicts, [done(201), done(200), Verdict::Retry, Verdict::GiveUp, Verdict::GiveUp]);
        let Answer::Status { status: 422, excerpt } = &read[3].answer else { panic!("{:?}", read[3]) };
        assert_eq!(excerpt, r#"{"status":422,"why":"no such sku"}"#);
        assert_eq!(read[0].answer, plain(201), "nothing is kept of what went well");
    }

    #[test]
    fn an_error_that_is_absent_null_false_or_empty_is_none() {
        let body = r#"{"results": [{}, {"error": null}, {"error": false}, {"error": ""}, {"error": []}, {"error": {}},
                       {"error": "bad"}, {"error": {"code": 7}}, {"error": true}, {"error": 0}]}"#;
        let read = read_all(ItemVerdict::Error("/error".to_owned()), body, 10).expect("understood");
        let refused: Vec<bool> = read.iter().map(|item| item.verdict == Verdict::GiveUp).collect();
        assert_eq!(refused, [false, false, false, false, false, false, true, true, true, true]);
        assert_eq!(read[0].verdict, Verdict::Done { status: 207 });
    }

    #[test]
    fn an_answer_without_exactly_one_result_each_is_not_understood() {
        for (body, expected) in [
            ("", "the answer is not JSON"),
            ("<html>", "the answer is not JSON"),
            ("[]", "the answer has no array at `/results`"),
            (r#"{"results": {}}"#, "the answer has no array at `/results`"),
            (r#"{"results": []}"#, "rows in the call: 2, results in the answer: 0"),
            (r#"{"results": [{"status": 200}]}"#, "rows in the call: 2, results in the answer: 1"),
            (r#"{"results": [{"status": 200}, {}]}"#, "result 2 of the answer has no status at `/status`"),
            (r#"{"results": [{"status": 7}, {}]}"#, "result 1 of the answer has no status at `/status`"),
        ] {
            let problem = read_all(ItemVerdict::Status("/status".to_owned()), body, 2).expect_err(body);
            assert_eq!(problem, expected);
        }
        for (is_cut, problem, expected) in [
            (true, None, "the answer is longer than 1048576 bytes"),
            (false, Some("it is damaged"), "the answer can't be read: it is damaged"),
        ] {
            let body = Text { bytes: b"{}".to_vec(), is_cut, problem: problem.map(str::to_owned) };
            let verdict = ItemVerdict::Status("/status".to_owned());
            assert_eq!(read(&results(verdict), classify, 207, &body, 0), Err(expected.to_owned()));
        }
    }
}
