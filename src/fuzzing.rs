//! Where bytes from outside come in, one function for each place, for fuzzers alone: `fuzz/` and `tests/it/fuzzed.rs`.
//!
//! In: any bytes. Out: whether they could be read; the fuzzers search for a panic, a hang or much memory. How each
//! splits its bytes is
//! said at the function, so that seeds can be made by hand. No part of the program calls it, and no promise covers it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};
use crate::column::json;
use crate::rules::RuleSet;
use crate::template::{Condition, Scope, Secret, TextTemplate, UrlTemplate};

pub use crate::delivery::fuzzing::answer_headers;
pub use crate::source::fuzzing::{binlog_event, ddl_statement, row_image};

/// The columns that templates may read, each of another type.
const COLUMNS: [&str; 8] = ["id", "status", "total", "doc", "note", "raw", "tags", "ratio"];

/// A JSON document as MySQL packs it.
pub fn json_column(bytes: &[u8]) -> bool {
    json::text(bytes).is_ok()
}

/// The text of a rule file.
pub fn rule_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    RuleSet::from_texts(&[(PathBuf::from("shop.orders.yaml"), text.to_owned())], &env).is_ok()
}

/// A template, a URL and a condition of the same text, each also put to use on one change.
pub fn template(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let change = change();
    let scope = Scope::new(&change, change.delivery_id("rule"));
    let (template, url) = (TextTemplate::compile(text, &a_secret), UrlTemplate::compile(text, &a_secret));
    let condition = Condition::compile(text, "rule", &a_secret);
    if let Ok(template) = &template {
        let _ = template.render(&scope);
        let _ = template.render_json(&scope, &mut Vec::new());
    }
    if let Ok(url) = &url {
        let _ = url.render(&scope);
    }
    if let Ok(condition) = &condition {
        let _ = condition.holds(&change);
    }
    template.is_ok() || url.is_ok() || condition.is_ok()
}

fn env(_: &str) -> Option<String> {
    Some("secret".to_owned())
}

fn a_secret(_: &str) -> Result<Option<Secret>, String> {
    Ok(Some(Secret::new("secret")))
}

fn change() -> Arc<Change> {
    Arc::new(Change {
        op: Op::Update,
        table: Arc::new(Table {
            schema: "shop".into(),
            name: "orders".into(),
            columns: COLUMNS.map(Box::from).to_vec(),
            primary_key: vec![0],
        }),
        before: Some(row("new", "9.99")),
        after: Some(row("paid", "12345678901234567890123456789012345678901234567890.12")),
        transaction: transaction(),
        ordinal: 1,
    })
}

fn row(status: &str, total: &str) -> Row {
    let values = [
        Value::Uint(u64::MAX),
        Value::Text(status.into()),
        Value::Decimal(total.into()),
        Value::Json(r#"{"a": [1, 18446744073709551615], "b": null, "price": 1.50}"#.into()),
        Value::Null,
        Value::Bytes([0, 255].into()),
        Value::Labels(["red".into(), "blue".into()].into()),
        Value::Double(-0.1),
    ];
    values.into_iter().map(Cell::Value).collect()
}

/// A transaction that no server has written.
fn transaction() -> Arc<Transaction> {
    Arc::new(Transaction { committed_at_us: 1_795_215_845_123_456, ..Transaction::example() })
}
