//! A change that is written in a file: the event that `tail` prints and that calls send by default.
//!
//! In: the file, the rules, and the server for the types of the columns. Out: the change as the binlog would bring it. Columns that the
//! event does not have are NULL; those that `before` does not have are as after the update. Changes nothing on the server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use serde_json::{Map, Value as Json};

use super::row::{column, transaction, typed_table};
use crate::change::{Cell, Change, Op, Row, Value};
use crate::column::typed_text;
use crate::file;
use crate::pattern::TablePattern;
use crate::rules::Rule;
use crate::schema::TypedTable;
use crate::source::Settings;

/// Far above any event: a row may have several texts of 1 MiB.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The change that the file tells of.
pub(super) async fn change(path: &Path, rules: &[Arc<Rule>], settings: &Settings) -> anyhow::Result<Change> {
    let bytes = file::read(path, FILE_BYTES_MAX).map_err(|error| {
        let path = path.display();
        anyhow!("--event {path} can't be read: {error}; name a file with a change as `rowhook tail` prints it")
    })?;
    let event: Map<String, Json> = serde_json::from_slice(&bytes)
        .map_err(|error| anyhow!("--event {}: no JSON object: {error}", path.display()))?;
    of_event(&event, rules, settings).await.map_err(|error| anyhow!("--event {}: {error}", path.display()))
}

async fn of_event(event: &Map<String, Json>, rules: &[Arc<Rule>], settings: &Settings) -> anyhow::Result<Change> {
    let text = |name: &str| event.get(name).and_then(Json::as_str);
    let named = match (text("schema"), text("table")) {
        (Some(schema), Some(table)) => {
            Some(TablePattern::parse(&format!("{schema}.{table}")).map_err(|problem| anyhow!(problem))?)
        }
        _ => None,
    };
    let typed = typed_table(named.as_ref(), rules, settings).await?;
    let op = text("op").and_then(Op::parse);
    let row = |name: &str| event.get(name).and_then(Json::as_object);
    let (op, before, after) = match (op, row("before"), row("after")) {
        (Some(Op::Insert), _, Some(after)) => (Op::Insert, None, Some(values(&typed, after, None)?)),
        (Some(Op::Delete), Some(before), _) => (Op::Delete, Some(values(&typed, before, None)?), None),
        (Some(Op::Update), before, Some(after)) => {
            let after = values(&typed, after, None)?;
            let before = before.map_or(Ok(after.clone()), |before| values(&typed, before, Some(&after)))?;
            (Op::Update, Some(before), Some(after))
        }
        (Some(Op::Insert | Op::Update), ..) => bail!("it has no `after`: a map from column to value"),
        (Some(Op::Delete), ..) => bail!("it has no `before`: a map from column to value"),
        _ => bail!("`op` is insert, update or delete"),
    };
    let kinds = typed.columns.iter().map(|column| column.kind.clone()).collect::<Option<Arc<[_]>>>();
    let row = |values: Vec<Value>| Row::typed(values.into_iter().map(Cell::Value).collect(), kinds.clone());
    let (before, after) = (before.map(row), after.map(row));
    Ok(Change { op, table: Arc::new(typed.table), before, after, transaction: Arc::new(transaction()), ordinal: 1 })
}

/// The values of all columns; those that the row does not have are as in `others`, or NULL.
fn values(typed: &TypedTable, row: &Map<String, Json>, others: Option<&[Value]>) -> anyhow::Result<Vec<Value>> {
    let mut values = others.map_or_else(|| vec![Value::Null; typed.columns.len()], <[Value]>::to_vec);
    for (name, value) in row {
        let (index, name) = column(typed, name)?;
        values[index] = match &typed.columns[index].kind {
            Some(kind) => {
                typed_text::parse_json(kind, value).map_err(|takes| anyhow!("column {name} takes {takes}"))?
            }
            None => Value::Null,
        };
    }
    Ok(values)
}
