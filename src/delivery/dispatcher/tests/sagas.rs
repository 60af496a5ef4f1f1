//! Sagas: actions are due before their calls, wait in the queues of their targets, and keep their place in between.

use super::*;
use crate::delivery::testing::{rule_of_steps, saga};
use crate::rules::{BreakerPolicy, Target};

const FIRST: ActionId = ActionId::Step(0);
const SECOND: ActionId = ActionId::Step(1);

fn number(delivery: &Delivery) -> u128 {
    delivery.id.0.as_u128()
}

/// What happens, in words, until the action has ended; whatever is due is begun.
async fn definition_of(dispatcher: &mut Dispatcher) -> Vec<&'static str> {
    let mut saga_definition = Vec::new();
    loop {
        match event(dispatcher).await {
            DeliveryEvent::Due(due) => {
                saga_definition.push("due");
                dispatcher.begin(due.ticket);
            }
            DeliveryEvent::NotDone(_) => saga_definition.push("not done"),
            DeliveryEvent::Withdrawn(_) => saga_definition.push("withdrawn"),
            DeliveryEvent::Completed(completed) => {
                dispatcher.release(completed.ticket);
                saga_definition.push("completed");
                return saga_definition;
            }
        }
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_due_once_and_what_must_not_before_every_attempt() {
    for (is_repeatable, expected) in
        [(true, &["due", "completed"][..]), (false, &["due", "not done", "due", "not done", "due", "completed"])]
    {
        let api = Api::start(|seen| Reply::Status(if seen.attempt < 3 { 429 } else { 200 })).await;
        let rule = rule_of_steps(&[&api.url()], |rule| rule.actions[0].is_repeatable = is_repeatable);
        let mut dispatcher = dispatcher();
        dispatcher.submit(saga(&rule, 1, 1, FIRST));
        assert_eq!(definition_of(&mut dispatcher).await, expected);
        assert_eq!(api.seen().len(), 3);
    }
}

#[tokio::test]
async fn an_intent_that_is_durable_is_not_asked_for_again_unless_the_action_must_not_be_repeated() {
    for (is_repeatable, expected) in [(true, &["completed"][..]), (false, &["not done", "due", "completed"])] {
        let api = Api::start(|seen| match seen.head.starts_with("POST /second") && seen.attempt == 1 {
            true => Reply::Status(429),
            false => Reply::Status(200),
        })
        .await;
        let second = format!("{}second", api.url());
        let rule = rule_of_steps(&[&api.url(), &second], |rule| rule.actions[1].is_repeatable = is_repeatable);
        let mut dispatcher = dispatcher();
        dispatcher.submit(saga(&rule, 1, 1, FIRST));
        let Completed { delivery, ticket, .. } = act(&mut dispatcher).await;
        dispatcher.proceed(ticket, at_action(&delivery, SECOND), Intent::Durable);
        assert_eq!(definition_of(&mut dispatcher).await, expected);
    }
}

#[tokio::test]
async fn a_due_action_calls_nothing_and_keeps_its_slot() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule_of_steps(&[&api.url()], |rule| rule.settings.in_flight = 1);
    let mut dispatcher = dispatcher();
    dispatcher.submit(saga(&rule, 1, 1, FIRST));
    dispatcher.submit(saga(&rule, 2, 2, FIRST));
    let first = due(&mut dispatcher).await;
    assert_eq!(number(&first.delivery), 1);
    assert!(dispatcher.try_next().is_none());
    assert_eq!((api.connections(), dispatcher.in_flight(), dispatcher.counts("orders").queued), (0, 0, 1));
    dispatcher.begin(first.ticket);
    let Completed { ticket, .. } = next(&mut dispatcher).await;
    dispatcher.release(ticket);
    assert_eq!(number(&due(&mut dispatcher).await.delivery), 2);
}

#[tokio::test]
async fn the_order_of_a_key_is_kept_through_a_whole_saga() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule_of_steps(&[&api.url(), &api.url()], |_| {});
    let mut dispatcher = dispatcher();
    for number in 1..=3 {
        dispatcher.submit(saga(&rule, number, 7, FIRST));
    }
    let mut saga_definition = Vec::new();
    for _ in 0..3 {
        let Completed { delivery, ticket, .. } = act(&mut dispatcher).await;
        saga_definition.push((number(&delivery), delivery.saga_action.as_ref().unwrap().action));
        assert!(dispatcher.try_next().is_none(), "nothing else of the key has its turn");
        dispatcher.proceed(ticket, at_action(&delivery, SECOND), Intent::ToBeWritten);
        let Completed { delivery, ticket, .. } = act(&mut dispatcher).await;
        saga_definition.push((number(&delivery), delivery.saga_action.as_ref().unwrap().action));
        dispatcher.release(ticket);
    }
    let expected: Vec<_> = (1..=3).flat_map(|number| [(number, FIRST), (number, SECOND)]).collect();
    assert_eq!(saga_definition, expected);
    assert_eq!((dispatcher.unresolved(), dispatcher.counts("orders").unresolved), (0, 0));
}

#[tokio::test]
async fn a_step_whose_target_is_unavailable_delays_no_step_or_rule_with_another_target() {
    let is_back = admission();
    let back = is_back.clone();
    let available = Api::start(|_| Reply::Status(200)).await;
    let unavailable = Api::start(move |_| match back.available_permits() {
        0 => Reply::LoseAnswer,
        _ => Reply::Status(200),
    })
    .await;
    let steps = rule_of_steps(&[&available.url(), &unavailable.url()], |rule| {
        rule.settings.in_flight = 2;
        let probe = Duration::from_millis(3);
        let policy = BreakerPolicy { failures: 2, probe, max_probe: 4 * probe };
        rule.actions[1].target = Arc::new(Target { breaker: Some(policy), ..(*rule.actions[1].target).clone() });
    });
    let other = rule(&available.url(), |rule| rule.name = "other".to_owned());
    let mut dispatcher = dispatcher();
    dispatcher.submit(saga(&steps, 1, 1, FIRST));
    let Completed { delivery, ticket, .. } = act(&mut dispatcher).await;
    dispatcher.proceed(ticket, at_action(&delivery, SECOND), Intent::Durable);
    drive_until_seen(&mut dispatcher, &unavailable, 5).await;
    assert!(dispatcher.is_blocked("orders") && !dispatcher.is_blocked("other"));
    dispatcher.submit(saga(&steps, 2, 2, FIRST));
    let Completed { delivery, acted, ticket, .. } = act(&mut dispatcher).await;
    assert_eq!((number(&delivery), acted.unwrap().end), (2, ActionEnd::Done(None)));
    dispatcher.submit(delivery_of(&other, 3));
    assert_eq!(resolve(&mut dispatcher).await, (3, Outcome::Delivered { status: 200 }));
    dispatcher.proceed(ticket, at_action(&delivery, SECOND), Intent::Durable);
    is_back.add_permits(1);
    for _ in 0..2 {
        let Completed { outcome, ticket, .. } = act(&mut dispatcher).await;
        assert_eq!(outcome, Outcome::Delivered { status: 200 });
        dispatcher.release(ticket);
    }
    assert!(!dispatcher.is_blocked("orders"));
}

fn delivery_of(rule: &Arc<Rule>, number: u128) -> Delivery {
    delivery(rule, number, number as i64)
}

#[tokio::test]
async fn after_a_reload_a_saga_under_way_goes_on_with_the_actions_of_its_old_rule() {
    let [first, second, third] = [
        Api::start(|_| Reply::Status(200)).await,
        Api::start(|_| Reply::Status(200)).await,
        Api::start(|_| Reply::Status(200)).await,
    ];
    let old = rule_of_steps(&[&first.url(), &second.url()], |_| {});
    let new = rule(&third.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(saga(&old, 1, 7, FIRST));
    let Completed { delivery, ticket, .. } = act(&mut dispatcher).await;
    dispatcher.adopt(std::slice::from_ref(&new));
    dispatcher.submit(delivery_of(&new, 7));
    assert!(dispatcher.try_next().is_none(), "the key is the rule's, whatever the rule calls");
    dispatcher.proceed(ticket, at_action(&delivery, SECOND), Intent::ToBeWritten);
    let Completed { ticket, .. } = act(&mut dispatcher).await;
    assert_eq!((second.seen().len(), third.seen().len()), (1, 0));
    let targets: Vec<String> = dispatcher.targets().into_iter().map(|target| target.target).collect();
    assert_eq!(targets, [third.url().trim_end_matches('/')], "a target that no rule calls any more is not listed");
    dispatcher.release(ticket);
    assert_eq!(resolve(&mut dispatcher).await.0, 7);
    assert_eq!(dispatcher.unresolved(), 0);
}

#[tokio::test]
async fn at_the_end_a_due_action_is_not_called_and_one_begun_then_is_reported_as_not_done() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule_of_steps(&[&api.url()], |rule| rule.settings.in_flight = 2);
    let mut dispatcher = dispatcher();
    for number in 1..=3 {
        dispatcher.submit(saga(&rule, number, number as i64, FIRST));
    }
    let first = due(&mut dispatcher).await;
    let begun = Instant::now();
    assert_eq!(finish(&mut dispatcher, begun + DEADLINE).await.len(), 0);
    assert!(begun.elapsed() < DEADLINE / 2, "what is due is not waited for");
    dispatcher.begin(first.ticket);
    match dispatcher.try_next() {
        Some(DeliveryEvent::NotDone(delivery)) => assert_eq!(number(&delivery), 1),
        other => panic!("{other:?}"),
    }
    assert!(dispatcher.try_next().is_none());
    assert_eq!((api.connections(), dispatcher.unresolved(), dispatcher.in_flight()), (0, 3, 0));
}

#[tokio::test]
async fn at_the_end_a_refused_call_is_reported_as_not_done_though_its_retry_never_comes() {
    let open = admission();
    let answer = open.clone();
    let api = Api::start(move |_| Reply::StatusWhen(429, answer.clone())).await;
    let rule = rule_of_steps(&[&api.url()], |rule| rule.actions[0].is_repeatable = false);
    let mut dispatcher = dispatcher();
    dispatcher.submit(saga(&rule, 1, 1, FIRST));
    let DueAction { ticket, .. } = due(&mut dispatcher).await;
    dispatcher.begin(ticket);
    drive_until_seen(&mut dispatcher, &api, 1).await;
    open.add_permits(1);
    let events = dispatcher.finish_in_flight(Instant::now() + DEADLINE).await;
    assert!(matches!(&events[..], [DeliveryEvent::NotDone(_)]), "{events:?}");
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn a_paused_rule_begins_no_action_and_continues_there_when_it_is_resumed() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule_of_steps(&[&api.url(), &api.url()], |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(saga(&rule, 1, 1, FIRST));
    let Completed { delivery, ticket, .. } = act(&mut dispatcher).await;
    dispatcher.set_paused("orders", true);
    dispatcher.proceed(ticket, at_action(&delivery, SECOND), Intent::ToBeWritten);
    assert!(dispatcher.try_next().is_none());
    dispatcher.set_paused("orders", false);
    assert_eq!(due(&mut dispatcher).await.delivery.saga_action.unwrap().action, SECOND);
}

#[tokio::test]
async fn an_action_that_is_due_when_its_rule_is_paused_is_not_called_and_is_due_again_when_the_rule_is_resumed() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule_of_steps(&[&api.url()], |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(saga(&rule, 1, 1, FIRST));
    let DueAction { ticket, .. } = due(&mut dispatcher).await;
    dispatcher.set_paused("orders", true);
    dispatcher.begin(ticket);
    assert!(matches!(dispatcher.try_next(), Some(DeliveryEvent::NotDone(_))));
    assert!(dispatcher.try_next().is_none());
    assert_eq!((api.connections(), dispatcher.in_flight()), (0, 0));
    dispatcher.set_paused("orders", false);
    assert_eq!(definition_of(&mut dispatcher).await, ["due", "completed"]);
}

#[tokio::test]
async fn a_saga_with_a_predetermined_outcome_is_dead_before_anything_is_due() {
    let rule = rule_of_steps(&["http://127.0.0.1:1/"], |_| {});
    let mut dispatcher = dispatcher();
    let undecided = Failure::undecided("no such column".to_owned());
    dispatcher.submit(Delivery { predetermined: Some(Outcome::Dead(undecided.clone())), ..saga(&rule, 1, 1, FIRST) });
    let Completed { outcome, acted, .. } = next(&mut dispatcher).await;
    assert_eq!((outcome, acted), (Outcome::Dead(undecided), None));
}
