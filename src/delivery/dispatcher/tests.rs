//! Tests of the dispatcher with real connections to a scripted API.

mod attempts;
mod effects;
mod ending;
mod lanes;
mod poisoned_rows;
mod sagas;
mod targets;
mod withdrawal;

use std::collections::HashMap;

use tokio::sync::Semaphore;

use super::*;
use crate::delivery::testing::{Api, DEADLINE, Reply, delivery, rule};
use crate::delivery::{Client, Failure, SagaAction};
use crate::failure::Reason;
use crate::retry::Retries;
use crate::saga::{ActionEnd, ActionId};

pub(super) fn dispatcher() -> Dispatcher {
    Dispatcher::new(Sinks::new(Client::new().unwrap(), None), Arc::new(Metrics::default()))
}

pub(super) async fn next(dispatcher: &mut Dispatcher) -> Completed {
    match tokio::time::timeout(DEADLINE, dispatcher.next()).await.expect("a delivery completes") {
        DeliveryEvent::Completed(completed) => completed,
        other => panic!("not completed: {other:?}"),
    }
}

pub(super) async fn event(dispatcher: &mut Dispatcher) -> DeliveryEvent {
    tokio::time::timeout(DEADLINE, dispatcher.next()).await.expect("something happens")
}

/// The action that is due next; nothing else may happen before.
pub(super) async fn due(dispatcher: &mut Dispatcher) -> DueAction {
    match event(dispatcher).await {
        DeliveryEvent::Due(due) => due,
        other => panic!("not due: {other:?}"),
    }
}

/// Begins whatever is due until an action has ended.
pub(super) async fn act(dispatcher: &mut Dispatcher) -> Completed {
    loop {
        match event(dispatcher).await {
            DeliveryEvent::Completed(completed) => return completed,
            DeliveryEvent::Due(due) => dispatcher.begin(due.ticket),
            DeliveryEvent::NotDone(_) | DeliveryEvent::Withdrawn(_) => {}
        }
    }
}

/// The same delivery, whose turn it is to do this now.
pub(super) fn at_action(delivery: &Delivery, action: ActionId) -> Delivery {
    let log = delivery.saga_action.as_ref().expect("a saga").log.clone();
    Delivery { saga_action: Some(SagaAction { action, log }), ..delivery.clone() }
}

/// Those that are completed of what the end of the work left.
pub(super) async fn finish(dispatcher: &mut Dispatcher, deadline: Instant) -> Vec<Completed> {
    let completed = |event| match event {
        DeliveryEvent::Completed(completed) => completed,
        other => panic!("not completed: {other:?}"),
    };
    dispatcher.finish_in_flight(deadline).await.into_iter().map(completed).collect()
}

/// Takes the next completed delivery and lets its lanes move on; says which it was.
pub(super) async fn resolve(dispatcher: &mut Dispatcher) -> (u128, Outcome) {
    let Completed { delivery, outcome, ticket, .. } = next(dispatcher).await;
    dispatcher.release(ticket);
    (delivery.id.0.as_u128(), outcome)
}

/// Drives the dispatcher until the API has seen this many requests; nothing may complete meanwhile.
pub(super) async fn drive_until_seen(dispatcher: &mut Dispatcher, api: &Api, requests: usize) {
    tokio::select! {
        completed = dispatcher.next() => panic!("nothing was to complete, but {completed:?}"),
        _ = api.wait_for(requests) => {}
    }
}

fn statuses(completed: &Completed) -> Vec<u16> {
    let status = |attempt: &Attempt| match attempt.answer {
        Answer::Status { status, .. } => status,
        Answer::Written { .. } | Answer::Failed { .. } => 0,
    };
    completed.attempts.kept().iter().map(status).collect()
}

fn dead(reason: Reason, message: &str) -> Outcome {
    Outcome::Dead(Failure { reason, message: message.to_owned() })
}

fn admission() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}
