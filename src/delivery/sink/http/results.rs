//! Results per item: what the answer to a batch says of each delivery in it. Pure functions.
//!
//! In: the body of a successful answer, and where its rule says that the results stand. Out: for each delivery whether it
//! is done, worth another attempt or refused; or why the answer can't be understood, without quoting it. An answer without
//! exactly one result for each delivery is not used.

use serde_json::Value;

use super::client::Text;
use crate::delivery::answer::{self, ItemResult, Verdict};
use crate::failure::Answer;
use crate::rules::{ItemError, ItemVerdict, Results};

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
    let read = |(index, item)| {
        let read = match &results.verdict {
            ItemVerdict::Status(pointer) => item_status(item, pointer)
                .map(|status| judge(&classify, status, item))
                .ok_or_else(|| format!("no status at `{pointer}`")),
            ItemVerdict::Error(by) => judge_error(&classify, by, status, item),
        };
        read.map_err(|lack| format!("result {} of the answer has {lack}", index + 1))
    };
    items.iter().enumerate().map(read).collect()
}

/// What a pointer leads to.
#[derive(Debug, PartialEq)]
enum Found<'v> {
    Value(&'v Value),
    /// What it asks for is not there, though it could be.
    Absent,
    /// It leads through something that can't hold what it asks for.
    Impossible,
}

/// What a JSON pointer leads to; `*` in it stands for the one member that an object has.
fn find<'v>(value: &'v Value, pointer: &str) -> Found<'v> {
    let mut value = value;
    for (depth, token) in pointer.split('/').skip(1).enumerate() {
        let next = match value {
            Value::Object(members) if token == "*" && members.len() == 1 => members.values().next(),
            Value::Object(_) if token == "*" => return Found::Impossible,
            Value::Object(members) => members.get(&token.replace("~1", "/").replace("~0", "~")),
            Value::Array(items) => match index(token) {
                Some(index) => items.get(index),
                None => return Found::Impossible,
            },
            Value::Null | Value::Bool(false) if depth > 0 => None,
            _ => return Found::Impossible,
        };
        match next {
            Some(next) => value = next,
            None => return Found::Absent,
        }
    }
    Found::Value(value)
}

/// RFC 6901, section 4: digits without a zero in front.
fn index(token: &str) -> Option<usize> {
    let is_number = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    is_number.then(|| token.parse().ok())?
}

fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    match find(value, pointer) {
        Found::Value(value) => Some(value),
        Found::Absent | Found::Impossible => None,
    }
}

fn judge(classify: impl Fn(&Answer) -> Verdict, status: u16, item: &Value) -> ItemResult {
    let answer = plain(status);
    match classify(&answer) {
        done @ Verdict::Done { .. } => ItemResult { verdict: done, answer },
        verdict => ItemResult { verdict, answer: shown(status, item) },
    }
}

/// By whether the item has an error, and by its own status, where the rule says where that stands. `status` is that of the answer. An error is
/// what the item lacks, in words.
fn judge_error(
    classify: impl Fn(&Answer) -> Verdict,
    by: &ItemError,
    status: u16,
    item: &Value,
) -> Result<ItemResult, String> {
    let error = match find(item, &by.error) {
        Found::Value(error) if is_error(error) => Some(error),
        Found::Value(_) | Found::Absent => None,
        Found::Impossible => return Err(format!("no place for an error at `{}`", by.error)),
    };
    let own = match &by.status {
        Some(pointer) => Some(item_status(item, pointer).ok_or_else(|| format!("no status at `{pointer}`"))?),
        None => None,
    };
    let by_status = own.map(|own| classify(&plain(own)));
    let verdict = match (error, by_status) {
        (None, None) => Verdict::Done { status },
        (None, Some(by_status)) => by_status,
        (Some(error), _) if scalar_text(error).is_some_and(|error| by.retry.contains(&error)) => Verdict::Retry,
        (Some(_), Some(Verdict::Retry)) => Verdict::Retry,
        (Some(_), _) => Verdict::GiveUp,
    };
    let own = own.unwrap_or(status);
    let answer = if matches!(verdict, Verdict::Done { .. }) { plain(own) } else { shown(own, item) };
    Ok(ItemResult { verdict, answer })
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

fn is_error(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
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

    fn of_error(error: &str, status: Option<&str>, retry: &[&str]) -> ItemVerdict {
        let retry = retry.iter().map(|error| (*error).to_owned()).collect();
        ItemVerdict::Error(ItemError { error: error.to_owned(), status: status.map(str::to_owned), retry })
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
            ("/items/00", None),
            ("/items/+0", None),
            ("/items/9", None),
            ("", Some(&*document.to_string())),
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
            let has_error = match find(&item, pointer) {
                Found::Value(error) => Some(is_error(error)),
                Found::Absent => Some(false),
                Found::Impossible => None,
            };
            assert_eq!(has_error, expected, "{pointer} of {item}");
        }
        let body = r#"{"results": [{"index": {}}, {"index": {"error": "x"}, "took": 1}]}"#;
        let said = read_all(of_error("/*/error", None, &[]), body, 2).expect_err("not understood");
        assert_eq!(said, "result 2 of the answer has no place for an error at `/*/error`");
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
        let read = read_all(of_error("/error", None, &[]), body, 10).expect("understood");
        let refused: Vec<bool> = read.iter().map(|item| item.verdict == Verdict::GiveUp).collect();
        assert_eq!(refused, [false, false, false, false, false, false, true, true, true, true]);
        assert_eq!(read[0].verdict, Verdict::Done { status: 207 });
    }

    #[test]
    fn an_item_with_an_error_is_sent_again_if_its_status_or_the_rule_says_so() {
        let bulk = r#"{"results": [
            {"index": {"status": 201}}, {"delete": {"status": 404, "result": "not_found"}},
            {"index": {"status": 429, "error": {"type": "queue_full"}}}, {"index": {"status": 400, "error": {"type": "mapping"}}},
            {"index": {"status": 200, "error": {"type": "odd"}}}, {"index": {"status": 429}}]}"#;
        let read = read_all(of_error("/*/error", Some("/*/status"), &[]), bulk, 6).expect("understood");
        let verdicts: Vec<Verdict> = read.iter().map(|item| item.verdict).collect();
        let done = |status| Verdict::Done { status };
        let (again, no) = (Verdict::Retry, Verdict::GiveUp);
        assert_eq!(verdicts, [done(201), no, again, no, no, again], "404 is a success where the rule says so");
        let Answer::Status { status: 429, excerpt } = &read[2].answer else { panic!("{:?}", read[2]) };
        assert!(excerpt.contains("queue_full"), "{excerpt}");
        for lacking in [r#"{"results": [{"index": {"error": {"type": "x"}}}]}"#, r#"{"results": [{"index": {}}]}"#] {
            let said = read_all(of_error("/*/error", Some("/*/status"), &[]), lacking, 1).expect_err("not understood");
            assert_eq!(said, "result 1 of the answer has no status at `/*/status`");
        }

        let entries = r#"{"results": [{"id": 1}, {"code": "Throttled"}, {"code": "Denied"}, {"code": 17}, {"code": ["Throttled"]}]}"#;
        let read = read_all(of_error("/code", None, &["Throttled", "17"]), entries, 5).expect("understood");
        let verdicts: Vec<Verdict> = read.iter().map(|item| item.verdict).collect();
        assert_eq!(verdicts, [done(207), again, no, again, no]);
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
