//! Hostile rows, hosts and answers against the sink as a whole: from a rule's text to what is called.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::prepared::PreparedRequest;
use super::request;
use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};
use crate::delivery::Delivery;
use crate::rules::RuleSet;

mod actions;
mod answers;
mod judging;
mod urls;
mod values;

/// The request of a delivery whose action is a call.
pub(super) fn prepare(delivery: &Delivery) -> Result<PreparedRequest, String> {
    request::prepare(delivery, delivery.call())
}

/// The delivery of a row with this `value` by a rule with this `call`, in YAML; or why the rule does not load.
fn delivery(call: &str, value: &str) -> Result<Delivery, String> {
    let text = format!("table: shop.hooks\nrules:\n  - name: r\n    call: {call}\n    retry: {{retries: 0}}\n");
    let env = |name: &str| (name == "TOKEN").then(|| "s3cret".to_string());
    let rules =
        RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text)], &env).map_err(|problems| problems.to_string())?;
    let rule = Arc::clone(&rules.rules()[0]);
    let change = Arc::new(Change {
        op: Op::Insert,
        table: Arc::new(Table {
            schema: "shop".into(),
            name: "hooks".into(),
            columns: vec!["id".into(), "value".into()],
            primary_key: vec![0],
        }),
        before: None,
        after: Some(Row::from_iter([Cell::Value(Value::Uint(7)), Cell::Value(Value::Text(value.into()))])),
        transaction: Arc::new(Transaction::example()),
        ordinal: 1,
    });
    Ok(Delivery::of(&rule, &change))
}

/// A text as a YAML scalar: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
