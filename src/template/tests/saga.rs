//! What templates read of a saga, and that nothing of it is ever an empty text by mistake.

use proptest::prelude::*;

use super::*;
use crate::retry::Retries;
use crate::saga::{ActionState, KeptAnswer, SagaDefinition, SagaLog, StepDefinition};

fn kept(body: &str) -> KeptAnswer {
    let headers = vec![("location".into(), "/accounts/7".into()), ("x-a".into(), "".into())];
    KeptAnswer { status: 201, headers, body: body.as_bytes().into(), is_cut: false, problem: None }
}

/// Three steps: one done with this answer, one that was given up, one that waits.
fn log(answer: Option<KeptAnswer>) -> SagaLog {
    let step = |name: &str| StepDefinition {
        name: name.into(),
        is_repeatable: true,
        can_undo: true,
        can_verify: false,
        retries: Retries::Forever,
    };
    let saga_definition = SagaDefinition {
        steps: ["account", "card", "mail"].map(step).into(),
        has_on_success: true,
        has_on_failure: true,
    };
    let mut log = saga_definition.begin();
    (log.steps[0].act.state, log.steps[0].answer) = (ActionState::Done, answer);
    (log.steps[1].act.state, log.steps[1].act.message) = (ActionState::Failed, "answered 402".to_owned());
    log
}

fn scope(log: SagaLog) -> Scope {
    let change = insert("new");
    Scope::new(&change, change.delivery_id("r")).with_saga(Arc::new(log))
}

fn render(template: &str, scope: &Scope) -> Result<String, String> {
    let template = TextTemplate::compile(template, &no_env).unwrap_or_else(|flaws| panic!("{template}: {flaws:?}"));
    template.render(scope).map_err(|error| error.to_string())
}

#[test]
fn a_step_says_its_state_and_what_was_answered() {
    let scope = scope(log(Some(kept(
        r#"{"id": 18446744073709551615, "fee": 12345678901234567890.12, "tags": ["a"], "none": null}"#,
    ))));
    for (template, expected) in [
        ("{{ steps.account.state }} {{ steps.card.state }} {{ steps.mail.state }}", "done failed waiting"),
        ("{{ steps.account.status }}", "201"),
        ("{{ steps.account.json.id }}", "18446744073709551615"),
        ("{{ steps.account.json.fee }}", "12345678901234567890.12"),
        ("{{ steps.account.json['tags'][0] }}", "a"),
        ("{{ steps['account']['json'].tags | length }}", "1"),
        ("{{ steps.account.text[:5] }}", "{\"id\""),
        ("{{ steps.account.headers.location }}", "/accounts/7"),
        ("{{ steps.account.headers['Location'] }}", "/accounts/7"),
        ("{{ steps.account.headers.X_A }}.", "."),
        ("{{ steps.account.headers.etag | default('-') }}", "-"),
        ("{{ steps.account.json.missing | default('-') }}", "-"),
        ("{% if steps.card.state == 'done' %}{{ steps.card.json.id }}{% else %}none{% endif %}", "none"),
        ("{{ outcome.state }} {{ outcome.standing }} {{ outcome.step is none }}", "delivered open false"),
        ("{{ outcome.step }}: {{ outcome.reason }}, {{ outcome.said }}", "card: failed, answered 402"),
    ] {
        assert_eq!(render(template, &scope).as_deref(), Ok(expected), "{template}");
    }
    let template = TextTemplate::compile("{{ steps.account.json.id }}", &no_env).expect("sound");
    let mut json = Vec::new();
    template.render_json(&scope, &mut json).expect("a number");
    assert_eq!(json, b"18446744073709551615", "it keeps its type");
}

#[test]
fn a_saga_that_goes_back_tells_that_it_is_dead_and_a_step_that_was_undone_says_so() {
    let mut log = log(Some(kept("{}")));
    log.direction = crate::saga::Direction::Back;
    log.steps[0].undo.state = ActionState::Done;
    let shown = render("{{ outcome.state }} {{ outcome.standing }} {{ steps.account.state }}", &scope(log));
    assert_eq!(shown.as_deref(), Ok("dead undone undone"));
}

#[test]
fn what_is_not_there_is_an_error_and_never_an_empty_text() {
    let (whole, long) = (kept(r#"{"id": 7, "secret": null}"#), "x".repeat(9));
    let cut = KeptAnswer { is_cut: true, ..kept(&long) };
    let binary = KeptAnswer { body: [0xff].into(), ..kept("") };
    for (answer, template, expected) in [
        (Some(&whole), "{{ steps.mail.json.id }}", "step `mail` (waiting) has no answer to read"),
        (Some(&whole), "{{ steps.mail.status | default('-') }}", "step `mail` (waiting) has no answer to read"),
        (Some(&whole), "{{ steps.mail.json is defined }}", "step `mail` (waiting) has no answer to read"),
        (Some(&whole), "{{ steps.other.status }}", "there is no step `other`"),
        (Some(&whole), "{{ steps.account.json.idd }}", "`steps.account.json.idd` is undefined"),
        (Some(&whole), "{{ steps.account.json.idd.x }}", "`steps.account.json.idd` is undefined"),
        (Some(&whole), "{{ steps.account.json.secret }}", "NULL can't be part of a text"),
        (Some(&whole), "{{ steps.account.headers.etag }}", "`steps.account.headers.etag` is undefined"),
        (None, "{{ steps.account.text }}", "step `account` (done) has no answer to read"),
        (Some(&cut), "{{ steps.account.json.id }}", "the answer to step `account` is longer than 65536 bytes"),
        (Some(&cut), "{{ steps.account.json | default('-') }}", "is longer than 65536 bytes"),
        (Some(&cut), "{{ steps.account.text }}", "is longer than 65536 bytes"),
        (Some(&binary), "{{ steps.account.text }}", "the answer to step `account` can't be read: it is not UTF-8"),
        (Some(&binary), "{{ steps.account.json.id }}", "it is not UTF-8"),
        (Some(&kept("no json")), "{{ steps.account.json.id }}", "can't be read: it is not JSON, at line 1, column 2"),
        (
            Some(&kept("{\"id\": ")),
            "{{ steps.account.json.id }}",
            "it is JSON that ends too early, at line 1, column 7",
        ),
        (Some(&kept("")), "{{ steps.account.json.id }}", "can't be read: it is empty, not JSON"),
    ] {
        let error = render(template, &scope(log(answer.cloned()))).expect_err(template);
        assert!(error.contains(expected), "{template}: {error}");
    }
    let change = insert("new");
    let outside = Scope::new(&change, change.delivery_id("r"));
    for template in ["{{ steps.account.state }}", "{{ outcome.state }}", "{{ answer.status }}"] {
        render(template, &outside).expect_err(template);
    }
}

#[test]
fn a_query_is_judged_by_its_answer() {
    let holds = |condition: &str, answer: KeptAnswer| {
        let condition = Condition::compile(condition, "r", &no_env).unwrap_or_else(|flaws| panic!("{flaws:?}"));
        condition.decide_in(&scope(log(None)).with_answer(answer)).map_err(|error| error.to_string())
    };
    let answer = kept(r#"{"charges": [{"order": 18446744073709551615}], "total": "12.30", "paid": null}"#);
    assert_eq!(holds("answer.status == 201 and answer.json.charges | length > 0", answer.clone()), Ok(Some(true)));
    assert_eq!(holds("answer.json.charges[0].order == row.id", answer.clone()), Ok(Some(true)));
    assert_eq!(holds("answer.status in [200, 404]", answer.clone()), Ok(Some(false)));
    assert_eq!(
        holds("row.status == 'new' and answer.headers.location == '/accounts/7'", answer.clone()),
        Ok(Some(true))
    );
    for unknown in ["answer.json.paid", "answer.json.paid == true", "not (answer.json.paid == true)", "row.note != 'x'"]
    {
        assert_eq!(holds(unknown, answer.clone()), Ok(None), "{unknown}");
    }
    let error = holds("answer.json.nothing == 1", answer).expect_err("it says neither yes nor no");
    assert!(error.contains("`answer.json.nothing` is undefined"), "{error}");
    let error = holds("answer.json.a", KeptAnswer { is_cut: true, ..kept("{}") }).expect_err("half an answer");
    assert!(error.contains("the answer to this call is longer than"), "{error}");
}

/// What a condition says of an answer in which `v` is this; an error is its text.
fn of_value(condition: &str, value: &serde_json::Value) -> Result<Option<bool>, String> {
    let condition = Condition::compile(condition, "r", &no_env).unwrap_or_else(|flaws| panic!("{flaws:?}"));
    let answer = kept(&serde_json::json!({ "v": value }).to_string());
    condition.decide_in(&scope(log(None)).with_answer(answer)).map_err(|error| error.to_string())
}

#[test]
fn a_text_a_list_and_a_map_of_an_answer_say_neither_yes_nor_no() {
    for (value, expected) in [
        ("true", Ok(Some(true))),
        ("false", Ok(Some(false))),
        ("null", Ok(None)),
        ("0", Ok(Some(false))),
        ("1", Ok(Some(true))),
        ("-2", Ok(Some(true))),
        ("0.0", Ok(Some(false))),
        ("0.5", Ok(Some(true))),
        ("0.00000000000000000000000000000001", Ok(Some(true))),
        ("18446744073709551616", Ok(Some(true))),
        (r#""false""#, Err("a text by itself says neither yes nor no; compare it, as in `answer.json.ok == 'true'`")),
        (r#""true""#, Err("a text by itself")),
        (r#""""#, Err("a text by itself")),
        (r#""0""#, Err("a text by itself")),
        ("[]", Err("a list by itself says neither yes nor no; compare it, as in `answer.json.items | length > 0`")),
        ("[1]", Err("a list by itself")),
        ("{}", Err("a map by itself says neither yes nor no; compare it, as in `answer.json.error is defined`")),
        (r#"{"a": 1}"#, Err("a map by itself")),
    ] {
        let value: serde_json::Value = serde_json::from_str(value).expect("JSON");
        match (of_value("answer.json.v", &value), expected) {
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{value}: {error}"),
            (said, expected) => assert_eq!(said, expected.map_err(str::to_owned), "{value}"),
        }
    }
    let text = serde_json::json!("false");
    for compared in ["answer.json.v == 'true'", "answer.json.v in ['true', 'yes']", "answer.json.v is undefined"] {
        assert_eq!(of_value(compared, &text), Ok(Some(false)), "{compared}");
    }
    assert_eq!(of_value("answer.json.v == 'false' or answer.json.v", &text), Ok(Some(true)), "no further than needed");
}

proptest! {
    #[test]
    fn a_value_of_an_answer_counts_the_same_by_itself_and_within_and_or_not(value in json_values()) {
        let alone = of_value("answer.json.v", &value);
        for (condition, is_negated) in [
            ("not answer.json.v", true),
            ("not (not answer.json.v)", false),
            ("answer.json.v and true", false),
            ("true and answer.json.v", false),
            ("answer.json.v or false", false),
            ("false or answer.json.v", false),
            ("answer.json.v if true else false", false),
            ("(not answer.json.v) and true", true),
        ] {
            let expected = alone.clone().map(|truth| truth.map(|truth| truth != is_negated));
            prop_assert_eq!(of_value(condition, &value), expected, "{} of {}", condition, value);
        }
        let decides = !matches!(value, serde_json::Value::String(_) | serde_json::Value::Array(_) | serde_json::Value::Object(_));
        prop_assert_eq!(alone.is_ok(), decides, "{}", value);
    }
}

fn json_values() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-2..3_i64).prop_map(Into::into),
        (-1e9..1e9_f64).prop_map(Into::into),
        "(true|false|0|1|ok|)".prop_map(Into::into),
        prop::collection::vec(0..3_i64, 0..3).prop_map(Into::into),
        prop::collection::btree_map("[a-c]", 0..3_i64, 0..3).prop_map(|map| serde_json::json!(map)),
    ]
}

#[test]
fn no_value_of_an_answer_shows_in_a_message() {
    let scope = scope(log(Some(kept(r#"{"token": "s3cret" "#))));
    for template in ["{{ steps.account.json.token }}", "{{ steps.account.text + 1 }}", "{{ steps.account.status.x.y }}"]
    {
        let error = render(template, &scope).expect_err(template);
        assert!(!error.contains("s3cret") && !error.contains("token\":"), "{error}");
    }
}
