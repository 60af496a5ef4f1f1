//! What the calls of a saga say: identities, answers of earlier steps, the outcome.

use serde_json::{Value as Json, json};

use super::*;
use crate::change::DeliveryId;
use crate::delivery::SagaAction;
use crate::saga::{ActionId, ActionLog, ActionState, KeptAnswer, SagaLog};

const STEPS: &str = "
    steps:
      - name: account
        call: {url: http://a.test/accounts, sign: {webhook: whsec_dHJ5LW91dC1rZXktbm90LWEtc2VjcmV0LWF0LWFsbA==}}
        undo: {call: {method: DELETE, url: 'http://a.test/accounts/{{ steps.account.json.id }}'}}
      - name: charge
        call: {url: 'http://a.test/charges?a={{ steps.account.json.id }}', idempotent: false}
        verify: {call: {url: http://a.test/charges}, when: answer.status == 200}
    on_success: {call: {url: http://a.test/done}}
    on_failure: {call: {url: http://a.test/failed}}";

const CALL: &str = "
    call: {url: http://a.test/, idempotent: false}
    on_success: {call: {url: http://a.test/done}}";

/// A delivery by a rule with these lines that is at this action, after `edit` of its log.
fn delivery_at(lines: &str, action: ActionId, edit: impl FnOnce(&mut SagaLog)) -> Delivery {
    let text = format!("table: shop.hooks\nrules:\n  - name: r{lines}\n");
    let rules = RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text)], &|_| None);
    let rule = Arc::clone(&rules.unwrap_or_else(|problems| panic!("{problems}")).rules()[0]);
    let mut log = rule.saga.as_ref().expect("a saga").definition.begin();
    edit(&mut log);
    let saga_action = Some(SagaAction { action, log: Arc::new(log) });
    Delivery { rule, saga_action, ..delivery("{url: http://a.test/}", "x").expect("it loads") }
}

fn with_account(log: &mut SagaLog) {
    let answer =
        KeptAnswer { status: 201, headers: vec![], body: (*br#"{"id": "a/7"}"#).into(), is_cut: false, problem: None };
    let act =
        ActionLog { state: ActionState::Done, attempts: 2, message: "answered 201".to_owned(), ..ActionLog::WAITING };
    (log.steps[0].act, log.steps[0].answer) = (act, Some(answer));
}

/// The `Idempotency-Key` of a call.
fn key(delivery: &Delivery) -> String {
    let prepared = prepare(delivery).expect("it renders");
    if let Some(id) = prepared.header("webhook-id") {
        assert_eq!(Some(id), prepared.header("Idempotency-Key"), "what is signed is the same");
    }
    prepared.header("Idempotency-Key").expect("a key").to_owned()
}

#[test]
fn every_action_has_an_identity_of_its_own_that_a_receiver_can_compute() {
    let namespace = Uuid::from_u128(0x5b1f_3c0e_7a54_4c1b_9d0e_2f6a_8c43_71d9);
    let begun_again = |log: &mut SagaLog| {
        with_account(log);
        (log.steps[0].act.round, log.steps[0].undo.round, log.callback.round) = (2, 3, 1);
    };
    for (action, place) in [
        (ActionId::Step(0), "account"),
        (ActionId::Undo(0), "account/undo"),
        (ActionId::Step(1), "charge"),
        (ActionId::OnSuccess, "/on_success"),
        (ActionId::OnFailure, "/on_failure"),
    ] {
        let first = delivery_at(STEPS, action, with_account);
        let expected = |place: &str| Uuid::new_v5(&namespace, format!("{}/{place}", first.id).as_bytes()).to_string();
        assert_eq!(key(&first), expected(place), "{action:?}");
        let round = match action {
            ActionId::Step(0) => 2,
            ActionId::Undo(0) => 3,
            ActionId::OnSuccess | ActionId::OnFailure => 1,
            _ => continue,
        };
        assert_eq!(key(&delivery_at(STEPS, action, begun_again)), expected(&format!("{place}/{round}")), "{action:?}");
    }
}

#[test]
fn a_query_has_another_identity_each_time() {
    let asked = delivery_at(STEPS, ActionId::Verify(1), with_account);
    assert_ne!(key(&asked), key(&asked));
}

#[test]
fn the_one_call_of_a_rule_has_the_identity_of_the_delivery() {
    let first = delivery_at(CALL, ActionId::Step(0), |_| {});
    assert_eq!(key(&first), first.id.to_string());
    let again = delivery_at(CALL, ActionId::Step(0), |log| log.steps[0].act.round = 1);
    assert_eq!(key(&again), first.id.of_action("call", 1).to_string());
    let callback = delivery_at(CALL, ActionId::OnSuccess, |_| {});
    assert_eq!(key(&callback), DeliveryId::of_action(&first.id, "/on_success", 0).to_string());
}

#[test]
fn later_calls_read_what_earlier_ones_were_answered() {
    let url = |action| prepare(&delivery_at(STEPS, action, with_account)).expect("it renders").url.to_string();
    assert_eq!(url(ActionId::Step(1)), "http://a.test/charges?a=a%2F7");
    assert_eq!(url(ActionId::Undo(0)), "http://a.test/accounts/a%2F7", "a value stays in its place");
    let error = prepare(&delivery_at(STEPS, ActionId::Undo(0), |_| {})).expect_err("nothing is known of it");
    assert!(error.starts_with("`url`: step `account` (waiting) has no answer to read"), "{error}");
}

#[test]
fn callbacks_report_the_outcome() {
    let body = |action, edit: &dyn Fn(&mut SagaLog)| -> Json {
        let delivery = delivery_at(STEPS, action, edit);
        let prepared = prepare(&delivery).expect("it renders");
        assert_eq!(prepared.header("Content-Type"), Some("application/json"));
        serde_json::from_slice(&prepared.body).expect("JSON")
    };
    let failed = body(ActionId::OnFailure, &|log| {
        with_account(log);
        log.direction = crate::saga::Direction::Back;
        log.steps[0].undo.state = ActionState::Failed;
        log.steps[1].act = ActionLog {
            state: ActionState::Unknown,
            attempts: 1,
            message: "no \"answer\" came".to_owned(),
            ..ActionLog::WAITING
        };
    });
    let id = delivery_at(STEPS, ActionId::OnFailure, |_| {}).id.to_string();
    let expected = json!({
        "id": id, "rule": "r", "outcome": "dead", "standing": "open",
        "steps": [
            {"name": "account", "state": "done", "undo": "failed", "attempts": 2, "said": "answered 201"},
            {"name": "charge", "state": "unknown", "undo": "waiting", "attempts": 1, "said": "no \"answer\" came"},
        ],
        "schema": "shop", "table": "hooks", "key": {"id": 7}, "committed_at": "1970-01-01T00:00:00.000000Z",
    });
    assert_eq!(failed, expected);
    let done = body(ActionId::OnSuccess, &|log| {
        with_account(log);
        log.steps[1].act.state = ActionState::Done;
    });
    assert_eq!((&done["outcome"], &done["standing"]), (&json!("delivered"), &json!("done")));
}
