//! The expression language as rules see it: names, types, DECIMAL, URLs, hostile values.

mod binary;
mod conditions;
mod dates;
mod encodings;
mod filters;
mod flaws;
mod habits;
mod hostile;
mod lists;
mod never;
mod null_reads;
mod numbers;
mod properties;
mod rendering;
mod saga;
mod types;

use std::sync::Arc;

use super::*;
use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};

fn no_env(_: &str) -> Result<Option<Secret>, String> {
    Ok(None)
}

fn table(columns: &[&str]) -> Arc<Table> {
    let columns = columns.iter().map(|name| (*name).into()).collect();
    Arc::new(Table { schema: "shop".into(), name: "orders".into(), columns, primary_key: vec![0] })
}

fn change(op: Op, before: Option<Vec<Cell>>, after: Option<Vec<Cell>>) -> Arc<Change> {
    Arc::new(Change {
        op,
        table: table(&["id", "status", "total", "big", "doc", "note", "raw", "tags", "ratio", "price"]),
        before: before.map(Row::from_iter),
        after: after.map(Row::from_iter),
        transaction: Arc::new(Transaction {
            offset: 157,
            committed_at_us: 1_795_215_845_123_456,
            ..Transaction::example()
        }),
        ordinal: 1,
    })
}

fn cells(status: &str, total: &str) -> Vec<Cell> {
    let values = [
        Value::Uint(u64::MAX),
        Value::Text(status.into()),
        Value::Decimal(total.into()),
        Value::Int(i64::MIN),
        Value::Json(r#"{"a": [1, 18446744073709551615], "b": null, "price": 12345678901234567890.12}"#.into()),
        Value::Null,
        Value::Bytes([0, 255].into()),
        Value::Labels(["red".into(), "blue".into()].into()),
        Value::Float(0.1),
        Value::Double(12.3),
    ];
    values.into_iter().map(Cell::Value).collect()
}

fn insert(status: &str) -> Arc<Change> {
    change(Op::Insert, None, Some(cells(status, "12.30")))
}

fn update() -> Arc<Change> {
    change(Op::Update, Some(cells("new", "9.99")), Some(cells("paid", "12.30")))
}

fn scope(change: &Arc<Change>) -> Scope {
    Scope::new(change, change.delivery_id("r"))
}

fn condition(source: &str, change: &Arc<Change>) -> Result<bool, String> {
    let compiled = Condition::compile(source, "r", &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    compiled.holds(change).map_err(|error| error.to_string())
}

fn text(source: &str, change: &Arc<Change>) -> Result<String, String> {
    let compiled = TextTemplate::compile(source, &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    compiled.render(&scope(change)).map_err(|error| error.to_string())
}

fn typed(source: &str, change: &Arc<Change>) -> Result<String, String> {
    let compiled = TextTemplate::compile(source, &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    let mut out = Vec::new();
    compiled.render_json(&scope(change), &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

fn url(source: &str, change: &Arc<Change>) -> Result<String, String> {
    let compiled = UrlTemplate::compile(source, &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    compiled.render(&scope(change)).map(String::from).map_err(|error| error.to_string())
}

#[track_caller]
fn fails_with(result: Result<impl std::fmt::Debug, String>, expected: &str) {
    let message = result.expect_err(expected);
    assert!(message.contains(expected), "`{message}` does not say `{expected}`");
}
