//! Changes as JSON: the default body of every call, and the form of each value.
//!
//! In: a change, the rule's name and the delivery's id. Out: bytes appended to a buffer, without a tree in between.
//! docs/data-format.md is the contract; values stand there as `SELECT` would show them. Columns that are not in a row
//! image are left out, which is not the same as null.

use std::io::Write as _;

use uuid::Uuid;

use super::row::StoredValue;
use super::{Change, DeliveryId, Row, Table, Transaction, Value};
use crate::column;

pub use crate::column::json_string::write_str;

/// Writes `{id, rule, op, schema, table, key, before, after, changed, committed_at, source}`.
///
/// `key` is an object from primary key column to value, as in Debezium, and null for a table without a primary key.
/// `before` and `after` are null where the op has none. `changed` lists the columns that an update gave another
/// value and is empty otherwise.
pub fn write_event(change: &Change, rule: &str, id: DeliveryId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    write_uuid(&id.0, out);
    out.extend_from_slice(b"\",\"rule\":");
    write_str(rule, out);
    out.push(b',');
    write_facts(change, out);
    out.push(b'}');
}

/// Writes the members of the event that no rule is needed for, `op` to `source`, without braces around them.
pub fn write_facts(change: &Change, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"op\":\"");
    out.extend_from_slice(change.op.as_str().as_bytes());
    out.extend_from_slice(b"\",\"schema\":");
    write_str(&change.table.schema, out);
    out.extend_from_slice(b",\"table\":");
    write_str(&change.table.name, out);
    out.extend_from_slice(b",\"key\":");
    write_key(change, out);
    for (name, image) in [(",\"before\":", &change.before), (",\"after\":", &change.after)] {
        out.extend_from_slice(name.as_bytes());
        match image {
            Some(row) => write_row(&change.table, row, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b",\"changed\":[");
    for (i, column) in change.changed_columns().enumerate() {
        separate(i, out);
        write_str(column, out);
    }
    out.extend_from_slice(b"],\"committed_at\":\"");
    column::temporal::rfc3339(change.transaction.committed_at_us, out);
    out.extend_from_slice(b"\",\"source\":");
    write_source(&change.transaction, out);
}

/// Writes a row image as an object from column to value.
pub fn write_row(table: &Table, row: &Row, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut written = 0;
    row.each_present(|column, stored| {
        let Some(name) = table.columns.get(column) else { return };
        separate(written, out);
        written += 1;
        write_str(name, out);
        out.push(b':');
        write_stored(stored, out);
    });
    out.push(b'}');
}

/// Writes one value in the form that its column type has in JSON.
pub fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Uint(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        // MySQL's FLOAT and DOUBLE hold neither infinities nor NaN; `{:?}` is the shortest form that reads back the same.
        Value::Float(number) if number.is_finite() => append(out, format_args!("{number:?}")),
        Value::Double(number) if number.is_finite() => append(out, format_args!("{number:?}")),
        Value::Float(_) | Value::Double(_) => out.extend_from_slice(b"null"),
        Value::Decimal(text) | Value::Text(text) => write_str(text, out),
        Value::Bytes(bytes) => {
            column::write_base64(bytes, out);
        }
        Value::Labels(labels) => {
            out.push(b'[');
            for (i, label) in labels.iter().enumerate() {
                separate(i, out);
                write_str(label, out);
            }
            out.push(b']');
        }
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
    }
}

fn write_stored(stored: StoredValue<'_>, out: &mut Vec<u8>) {
    match stored {
        StoredValue::Value(value) => write_value(value, out),
        StoredValue::Bytes(kind, bytes) => {
            let begin = out.len();
            match column::write_json(kind, &mut bytes.clone(), out) {
                Ok(true) => {}
                // What cannot be read was refused when the change was detached.
                Ok(false) | Err(_) => {
                    out.truncate(begin);
                    write_value(&column::value(kind, &mut bytes.clone()).unwrap_or(Value::Null), out);
                }
            }
        }
    }
}

/// RFC 3339 in UTC with microseconds, for example `2026-11-20T23:04:05.123456Z`.
pub fn rfc3339(us: u64) -> String {
    let mut out = Vec::new();
    column::temporal::rfc3339(us, &mut out);
    String::from_utf8(out).expect("digits and signs")
}

/// Writes the primary key as an object from column to value, or null where the table has none.
pub fn write_key(change: &Change, out: &mut Vec<u8>) {
    if change.table.primary_key.is_empty() {
        return out.extend_from_slice(b"null");
    }
    let cells = change.table.primary_key.iter().filter_map(|index| {
        let name = change.table.columns.get(*index)?;
        Some((&**name, change.latest(*index)?))
    });
    write_members(cells, out);
}

fn write_members<'a>(members: impl Iterator<Item = (&'a str, Value)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, value)) in members.enumerate() {
        separate(i, out);
        write_str(name, out);
        out.push(b':');
        write_value(&value, out);
    }
    out.push(b'}');
}

fn write_source(transaction: &Transaction, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"server_uuid\":\"");
    write_uuid(&transaction.server_uuid, out);
    out.extend_from_slice(b"\",\"gtid\":");
    match &transaction.gtid {
        Some(gtid) => {
            out.push(b'"');
            gtid.spell(|part| out.extend_from_slice(part.as_bytes()));
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"file\":");
    write_str(&transaction.file, out);
    out.extend_from_slice(b",\"offset\":");
    out.extend_from_slice(itoa::Buffer::new().format(transaction.offset).as_bytes());
    out.push(b'}');
}

fn write_uuid(uuid: &Uuid, out: &mut Vec<u8>) {
    out.extend_from_slice(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory can't fail");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::change::{Cell, Op};

    fn change(columns: &[&str], before: Option<Vec<Cell>>, after: Option<Vec<Cell>>, op: Op) -> Change {
        Change {
            op,
            table: Arc::new(Table {
                schema: "shop".into(),
                name: "orders".into(),
                columns: columns.iter().map(|name| (*name).into()).collect(),
                primary_key: vec![0],
            }),
            before: before.map(Row::from_iter),
            after: after.map(Row::from_iter),
            transaction: Arc::new(Transaction { committed_at_us: 1_795_215_845_123_456, ..Transaction::example() }),
            ordinal: 1,
        }
    }

    fn event(change: &Change) -> serde_json::Value {
        let mut out = Vec::new();
        write_event(change, "order-paid", change.delivery_id("order-paid"), &mut out);
        serde_json::from_slice(&out).expect("valid JSON")
    }

    #[test]
    fn an_update_has_its_key_both_images_and_the_changed_columns() {
        let value = |v| Cell::Value(v);
        let before = vec![value(Value::Uint(u64::MAX)), value(Value::Text("new".into())), Cell::Absent];
        let after = vec![
            value(Value::Uint(u64::MAX)),
            value(Value::Text("paid".into())),
            value(Value::Decimal("12.30".into())),
        ];
        let change = change(&["id", "status", "total"], Some(before), Some(after), Op::Update);
        let expected = serde_json::json!({
            "id": change.delivery_id("order-paid").to_string(),
            "rule": "order-paid", "op": "update", "schema": "shop", "table": "orders",
            "key": {"id": u64::MAX},
            "before": {"id": u64::MAX, "status": "new"},
            "after": {"id": u64::MAX, "status": "paid", "total": "12.30"},
            "changed": ["status", "total"],
            "committed_at": "2026-11-20T23:04:05.123456Z",
            "source": {"server_uuid": Uuid::nil().to_string(), "gtid": null, "file": "binlog.000001", "offset": 4},
        });
        assert_eq!(event(&change), expected);
    }

    #[test]
    fn each_kind_of_value_has_its_form() {
        for (value, expected) in [
            (Value::Null, "null"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Uint(u64::MAX), "18446744073709551615"),
            (Value::Float(0.1), "0.1"),
            (Value::Double(1e300), "1e300"),
            (Value::Double(-2.0), "-2.0"),
            (Value::Decimal("12.30".into()), "\"12.30\""),
            (Value::Text("a\"\u{1}\n".into()), "\"a\\\"\\u0001\\n\""),
            (Value::Bytes([0, 255].into()), "\"AP8=\""),
            (Value::Labels(["a".into(), "b".into()].into()), "[\"a\",\"b\"]"),
            (Value::Json("{\"n\":18446744073709551615}".into()), "{\"n\":18446744073709551615}"),
        ] {
            let mut out = Vec::new();
            write_value(&value, &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
    }

    proptest! {
        #[test]
        fn the_event_is_valid_json_and_texts_and_numbers_read_back_the_same(
            text in any::<String>(), column in any::<String>(), bytes in any::<Vec<u8>>(),
            float in any::<f32>(), double in any::<f64>(),
        ) {
            let cells = vec![
                Cell::Value(Value::Text(text.clone().into())), Cell::Value(Value::Bytes(bytes.into())),
                Cell::Value(Value::Float(float)), Cell::Value(Value::Double(double)),
            ];
            let change = change(&[&format!("k{column}"), "bytes", "float", "double"], None, Some(cells), Op::Insert);
            let event = event(&change);
            prop_assert_eq!(event["after"][format!("k{column}")].as_str(), Some(&*text));
            if double.is_finite() {
                prop_assert_eq!(event["after"]["double"].as_f64(), Some(double));
            }
            if float.is_finite() {
                prop_assert_eq!(event["after"]["float"].to_string().parse::<f32>().ok(), Some(float));
            }
        }
    }
}
