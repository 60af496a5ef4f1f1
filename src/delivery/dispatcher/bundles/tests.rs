//! Tests of calls with several deliveries, over real connections to a scripted API.

mod parts;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::tests::{dispatcher, drive_until_seen, finish, next, resolve};
use super::*;
use crate::delivery::testing::{Api, Reply, SeenRequest, delivery, rule};
use crate::rules::{Batch, Rule, Until};

const SOON: Duration = Duration::from_millis(5);

fn batch(size: usize) -> Batch {
    Batch { size, bytes: 1 << 20, until: Until::Wait(SOON), format: Default::default(), results: None }
}

fn batching(api: &Api, edit: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    rule(&api.url(), |rule| {
        rule.batch = Some(batch(100));
        edit(rule);
    })
}

/// The numbers of the deliveries in a request, in the order of its array.
fn carried(seen: &SeenRequest) -> Vec<u128> {
    let body: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    let id = |event: &serde_json::Value| event["id"].as_str().and_then(|id| id.parse::<uuid::Uuid>().ok());
    body.as_array().expect("an array").iter().map(|event| id(event).expect("an id").as_u128()).collect()
}

fn number(completed: &Completed) -> u128 {
    completed.delivery.id.0.as_u128()
}

async fn all(dispatcher: &mut Dispatcher, count: usize) -> Vec<Completed> {
    let mut completed = Vec::new();
    for _ in 0..count {
        completed.push(next(dispatcher).await);
    }
    completed
}
