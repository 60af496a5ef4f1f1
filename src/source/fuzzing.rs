//! What a MySQL server sends, one function for each kind of bytes, for fuzzers alone.
//!
//! In: any bytes. Out: whether they could be read. Reads them with the same functions as a stream, but without its order, its
//! checksums and its connection: `tests` covers those.

use std::sync::Arc;

use bytes::Bytes;

use super::ddl;
use super::decode::RowsEvent;
use super::emptied::emptied;
use super::event::{BinlogEvent, GtidEvent, Query, previous_gtids};
use super::event_type;
use super::statement::{self, QueryStatement};
use super::table_map::{TableMap, heading};
use super::unpack::Unpacker;
use super::writes::{Hidden, TableWrite};
use super::xa::{self, Prepare};
use crate::change::{Changes, Table, Transaction, json};
use crate::column::charset::Charsets;
use crate::schema::Schema;

/// The bytes of a table map that go before a row event.
const MAP_LENGTH_BYTES: usize = 2;

/// Unpacked events of one transaction that are read: few input bytes can promise gigabytes.
const INNER_EVENTS_MAX: usize = 64;

/// One event without its checksum: the header of 19 bytes, then the body.
pub fn binlog_event(bytes: &[u8]) -> bool {
    let Ok(event) = BinlogEvent::parse(Bytes::copy_from_slice(bytes), false) else { return false };
    if event.kind != event_type::TRANSACTION_PAYLOAD {
        return body(&event);
    }
    let Ok(mut unpacker) = Unpacker::new() else { return false };
    let is_open = unpacker.open(&event.body).is_ok();
    is_open && (0..INNER_EVENTS_MAX).map_while(|_| unpacker.next().ok()?).all(|inner| body(&inner))
}

fn body(event: &BinlogEvent) -> bool {
    match event.kind {
        event_type::GTID | event_type::ANONYMOUS_GTID | event_type::GTID_TAGGED => {
            GtidEvent::parse(event.kind, &event.body).is_ok()
        }
        event_type::QUERY => statement_of(&event.body),
        event_type::TABLE_MAP => {
            heading(&event.body).and_then(|(_, _, _, rest)| TableMap::parse(rest, &charsets())).is_ok()
        }
        event_type::PREVIOUS_GTIDS => previous_gtids(&event.body).is_ok(),
        event_type::XA_PREPARE => Prepare::parse(&event.body).is_ok(),
        kind => RowsEvent::parse(kind, &event.body).is_ok(),
    }
}

/// A row event with the table map that precedes it: the row event's type (1 byte), the length of the table map's body
/// (2 bytes, little-endian), that body, the row event's body.
pub fn row_image(bytes: &[u8]) -> bool {
    let Some((&kind, rest)) = bytes.split_first() else { return false };
    let Some((length, rest)) = rest.split_first_chunk::<MAP_LENGTH_BYTES>() else { return false };
    let Some((map, rows)) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length))) else { return false };
    let Ok(map) = heading(map).and_then(|(_, _, _, rest)| TableMap::parse(rest, &charsets())) else { return false };
    let Ok(event) = RowsEvent::parse(kind, rows) else { return false };
    let kinds = Arc::from(map.kinds);
    let Ok(rows) = event.rows(&kinds) else { return false };
    let columns = map.names.unwrap_or_default();
    let table = Arc::new(Table { schema: "s".into(), name: "t".into(), columns, primary_key: map.primary_key });
    for change in Changes::new(event.op, table, transaction(), rows, 1) {
        if let Ok(kept) = change.detach() {
            json::write_event(&kept, "rule", kept.delivery_id("rule"), &mut Vec::new());
        }
        for row in [&change.before, &change.after].into_iter().flatten() {
            drop(row.cells());
        }
    }
    true
}

/// The text of a statement in utf8mb4, as it stands in the log.
pub fn ddl_statement(text: &[u8]) -> bool {
    statement_of(&logged(text))
}

/// The body of a query event: no status variables, the schema is `test`.
fn logged(text: &[u8]) -> Vec<u8> {
    [&[0; 8][..], &[4, 0, 0, 0, 0], b"test\0", text].concat()
}

/// Everything that is asked of a statement, and what it does to a schema that has a table.
fn statement_of(body: &[u8]) -> bool {
    let Ok(query) = Query::parse(body) else { return false };
    let charsets = charsets();
    let mut schema = Schema::default();
    let first = logged(b"CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), b JSON)");
    if let Ok(first) = Query::parse(&first) {
        ddl::read_logged(&first, &charsets, false).apply(&mut schema, |_| true);
    }
    ddl::read_logged(&query, &charsets, false).apply(&mut schema, |_| true);
    let (known, tokens) = statement::read(&query, &charsets);
    let Some(tokens) = tokens else { return matches!(known, QueryStatement::Begin | QueryStatement::Commit) };
    let naming = ddl::Naming { default_schema: "test", ignores_case: false };
    let _ = xa::decision(&tokens);
    let _ = TableWrite::of(&tokens, &naming);
    let _ = Hidden::of(&tokens);
    let _ = emptied(&tokens, &naming);
    true
}

fn charsets() -> Charsets {
    let ids =
        [(8, "latin1"), (28, "gbk"), (33, "utf8mb3"), (45, "utf8mb4"), (54, "utf16"), (63, "binary"), (255, "utf8mb4")];
    Charsets::new(ids.map(|(id, name)| (id, name.to_owned())))
}

/// A transaction that no server has written.
fn transaction() -> Arc<Transaction> {
    Arc::new(Transaction::example())
}
