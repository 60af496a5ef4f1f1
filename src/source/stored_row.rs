//! One row of a table, as it is stored now.
//!
//! In: a table with its types, and values of columns that name the row. Out: its values in the forms in which the binlog would bring them.
//! Opens a connection of its own, and changes nothing on the server.

use mysql_async::{Params, Row, Value as SqlValue};

use super::connect::connect;
use super::error::Error;
use super::settings::Settings;
use crate::column::bytes::Bytes;
use crate::column::charset::Charset;
use crate::column::{self, ColumnKind, Value, typed_text};
use crate::schema::{TypedColumn, TypedTable};

/// Why no row is there to be shown.
#[derive(Debug, thiserror::Error)]
pub enum NoStoredRow {
    #[error(transparent)]
    Source(#[from] Error),
    #[error("table {table} has no such row")]
    NotThere { table: String },
    #[error("several rows of table {table} are like that; name the primary key")]
    Several { table: String },
    #[error("column `{column}` of table {table} can't be read: {problem}")]
    Unreadable { table: String, column: Box<str>, problem: String },
}

/// The values of the one row in which the columns (names of the table's own) have these values, in the order of the columns.
///
/// # Errors
/// When there is none or more than one, and what [`Error`] says of connections and logins.
pub async fn stored_row(
    settings: &Settings,
    of: &TypedTable,
    named_by: &[(Box<str>, String)],
) -> Result<Vec<Value>, NoStoredRow> {
    let table = of.table.to_string();
    let mut connection = connect(settings).await?;
    let selected: Vec<String> = of.columns.iter().map(expression).collect();
    let conditions: Vec<String> = named_by.iter().map(|(name, _)| format!("{} = ?", quoted(name))).collect();
    let sql = format!(
        "SELECT {} FROM {}.{} WHERE {} LIMIT 2",
        selected.join(", "),
        quoted(&of.table.schema),
        quoted(&of.table.name),
        conditions.join(" AND ")
    );
    let values = named_by.iter().map(|(_, value)| SqlValue::from(value.as_str())).collect();
    let answer: Result<Vec<Row>, _> = connection.exec(&sql, Params::Positional(values)).await;
    let mut rows = answer.map_err(|error| Error::of_client(error, &settings.address()))?;
    let row = match (rows.pop(), rows.pop()) {
        (Some(row), None) => row,
        (Some(_), Some(_)) => return Err(NoStoredRow::Several { table }),
        (None, _) => return Err(NoStoredRow::NotThere { table }),
    };
    let cells = row.unwrap_raw().into_iter().map(|cell| cell.unwrap_or(SqlValue::NULL)).zip(&of.columns);
    cells
        .map(|(cell, column)| {
            let unreadable =
                |problem| NoStoredRow::Unreadable { table: table.clone(), column: column.name.clone(), problem };
            value(column, cell).map_err(unreadable)
        })
        .collect()
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// What is selected of a column: exact, and in a form that [`value`] reads.
fn expression(column: &TypedColumn) -> String {
    let name = quoted(&column.name);
    match &column.kind {
        Some(ColumnKind::Float) => format!("{name} * 1e0"),
        Some(ColumnKind::Bit { .. }) => format!("{name} + 0"),
        Some(ColumnKind::Text { charset: Charset::Binary, .. } | ColumnKind::Opaque { .. } | ColumnKind::Double)
        | None => name,
        Some(ColumnKind::Text { .. } | ColumnKind::Enum { .. } | ColumnKind::Set { .. }) => {
            format!("CONVERT({name} USING utf8mb4)")
        }
        Some(_) => format!("CAST({name} AS CHAR)"),
    }
}

fn value(column: &TypedColumn, cell: SqlValue) -> Result<Value, String> {
    let Some(kind) = &column.kind else { return Err("this version of rowhook does not know its type".to_owned()) };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned());
    match (kind, cell) {
        (_, SqlValue::NULL) => Ok(Value::Null),
        (ColumnKind::Float, SqlValue::Double(number)) => Ok(Value::Float(number as f32)),
        (ColumnKind::Double, SqlValue::Double(number)) => Ok(Value::Double(number)),
        (ColumnKind::Bit { .. }, SqlValue::UInt(number)) => Ok(Value::Uint(number)),
        (ColumnKind::Bit { .. }, SqlValue::Int(number)) => {
            u64::try_from(number).map(Value::Uint).map_err(|e| e.to_string())
        }
        (ColumnKind::Text { charset: Charset::Binary, .. }, SqlValue::Bytes(bytes)) => Ok(Value::Bytes(bytes.into())),
        (ColumnKind::Text { .. }, SqlValue::Bytes(bytes)) => Ok(Value::Text(text(bytes)?.into())),
        (ColumnKind::Opaque { reader, .. }, SqlValue::Bytes(bytes)) => {
            let kind = ColumnKind::Opaque { length_bytes: 4, reader: *reader };
            let length = u32::try_from(bytes.len()).map_err(|error| error.to_string())?;
            let logged = [&length.to_le_bytes()[..], &bytes].concat();
            column::value(&kind, &mut Bytes(&logged)).map_err(|fault| fault.what)
        }
        // Also the empty label, which stands for a value that was none.
        (ColumnKind::Enum { .. }, SqlValue::Bytes(bytes)) => Ok(Value::Text(text(bytes)?.into())),
        (kind, SqlValue::Bytes(bytes)) => {
            typed_text::parse_stored(kind, &text(bytes)?).map_err(|takes| format!("it is not {takes}"))
        }
        _ => Err("the server answered with another type than was asked for".to_owned()),
    }
}
