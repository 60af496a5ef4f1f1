//! Hostile bytes: whatever stands in a stream, reading it neither panics nor hangs nor takes much more memory than the bytes.
//!
//! In: two captured binlog files, damaged in ways that a seed decides, and events made by hand. Out: nothing but an error or
//! an event. Each campaign feeds one entry point of the reader; memory is that of the test's own thread. A failure prints
//! its seed and its input. What the unpacker's C library allocates is not counted; its window is bounded in `unpack`.

mod attacks;
mod captured;
mod mutation;
mod stream;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::checksum::Checksums;
use super::ddl::{self, DdlEffect};
use super::decode::RowsEvent;
use super::event::{BinlogEvent, GtidEvent, Payload, Query, previous_gtids};
use super::event_type as event;
use super::statement;
use super::table_map::{TableMap, heading};
use super::unpack::Unpacker;
use super::xa::{self, Prepare};
use crate::change::{Changes, Table, Transaction};
use crate::column::bytes::Bytes as Cursor;
use crate::column::charset::Charsets;
use crate::column::{self, ColumnKind, geometry, json, json_diff};
use crate::schema::Schema;

use captured::Captured;
use mutation::{Mutator, campaign};

/// Memory that does not depend on the input: error texts, one row's padding, the first room of vectors.
const SPARE_BYTES: usize = 64 << 10;

fn transaction() -> Arc<Transaction> {
    Arc::new(Transaction::example())
}

fn table(map: &TableMap) -> Arc<Table> {
    let columns = map.names.clone().unwrap_or_default();
    Arc::new(Table { schema: "s".into(), name: "t".into(), columns, primary_key: map.primary_key.clone() })
}

/// Everything that is ever asked of changes.
fn consume(changes: Changes) {
    let mut body = Vec::new();
    for change in changes {
        body.clear();
        let _ = change.weight_bytes();
        if let Ok(kept) = change.detach() {
            crate::change::json::write_event(&kept, "rule", kept.delivery_id("rule"), &mut body);
            let text = std::str::from_utf8(&body).expect("a body is text");
            assert!(text.starts_with('{') && text.ends_with('}'));
        }
        for row in [&change.before, &change.after].into_iter().flatten() {
            drop(row.cells());
        }
    }
}

/// Whether the event's rows can be found.
fn read_rows(kind: u8, body: &[u8], map: &TableMap) -> bool {
    let kinds: Arc<[ColumnKind]> = map.kinds.clone().into();
    let Ok(read) = RowsEvent::parse(kind, body) else { return false };
    let Ok(rows) = read.rows(&kinds) else { return false };
    consume(Changes::new(read.op, table(map), transaction(), rows, 1));
    true
}

fn map_of(captured: &Captured) -> TableMap {
    let (_, _, _, rest) = heading(&captured.map).expect("a heading");
    TableMap::parse(rest, &captured::charsets()).expect("a table map")
}

#[test]
fn damaged_row_events_do_no_harm() {
    let all: Vec<(Captured, TableMap)> = captured::rows().into_iter().map(|one| (one.clone(), map_of(&one))).collect();
    campaign(
        ROWS,
        SPARE_BYTES,
        |mutator| {
            let (at, other) = (mutator.below(all.len()), mutator.below(all.len()));
            let mut body = all[at].0.rows.to_vec();
            mutator.damage(&mut body, &all[other].0.rows, false);
            let kind = if mutator.one_in(8) { all[other].0.kind } else { all[at].0.kind };
            (at, kind, body)
        },
        |(at, kind, body)| {
            let (captured, map) = &all[*at];
            let is_read = read_rows(*kind, body, map);
            (captured.map.len() + body.len(), is_read)
        },
    );
}

#[test]
fn damaged_table_maps_do_no_harm_and_neither_do_the_rows_after_them() {
    let all = captured::rows();
    let charsets = captured::charsets();
    campaign(
        TABLE_MAPS,
        SPARE_BYTES,
        |mutator| {
            let (at, other) = (mutator.below(all.len()), mutator.below(all.len()));
            let mut body = all[at].map.to_vec();
            mutator.damage(&mut body, &all[other].map, false);
            (at, body)
        },
        |(at, body)| {
            let Captured { kind, rows, .. } = &all[*at];
            let map = heading(body).and_then(|(_, _, _, rest)| TableMap::parse(rest, &charsets));
            let is_read = map.is_ok_and(|map| read_rows(*kind, rows, &map));
            (body.len() + rows.len(), is_read)
        },
    );
}

#[test]
fn damaged_values_do_no_harm() {
    let all = captured::values();
    campaign(
        VALUES,
        SPARE_BYTES,
        |mutator| {
            let (at, other) = (mutator.below(all.len()), mutator.below(all.len()));
            let mut bytes = all[at].1.clone();
            mutator.damage(&mut bytes, &all[other].1, false);
            (at, bytes)
        },
        |(at, bytes)| {
            let kind = &all[*at].0;
            let is_readable = column::check(kind, &mut Cursor(bytes)).is_ok();
            let read = column::value(kind, &mut Cursor(bytes));
            assert_eq!(is_readable, read.is_ok(), "the check and the reading agree");
            let mut out = Vec::new();
            let _ = column::write_json(kind, &mut Cursor(bytes), &mut out);
            (bytes.len(), is_readable)
        },
    );
}

/// Documents, spatial values and differences without the length that stands before them, so that damage goes deeper.
#[test]
fn damaged_documents_and_spatial_values_do_no_harm() {
    let values = captured::values();
    let inside = |wanted: fn(&ColumnKind) -> bool| -> Vec<Vec<u8>> {
        values.iter().filter(|(kind, _)| wanted(kind)).map(|(_, bytes)| bytes[4..].to_vec()).collect()
    };
    let documents = inside(|kind| matches!(kind, ColumnKind::Json { .. }));
    let shapes = inside(|kind| matches!(kind, ColumnKind::Opaque { reader, .. } if reader.name == "geometry"));
    let damaged = |mutator: &mut Mutator, all: &[Vec<u8>]| {
        let mut bytes = mutator.pick(all).clone();
        let other = mutator.pick(all).clone();
        mutator.damage(&mut bytes, &other, false);
        bytes
    };
    campaign(
        VALUES,
        SPARE_BYTES,
        |mutator| (damaged(mutator, &documents), damaged(mutator, &shapes), damaged(mutator, &diffs())),
        |(document, shape, diffs)| {
            let _ = geometry::geojson(shape);
            let before = json::text(document).unwrap_or_else(|_| DOCUMENT.to_string());
            let after = json_diff::apply(&before, diffs);
            let is_read = after.is_ok();
            if let Ok(after) = after {
                let _ = json_diff::apply(&after, diffs);
            }
            (document.len() + shape.len() + diffs.len() + before.len(), is_read)
        },
    );
}

const DOCUMENT: &str = r#"{"a":[1,-2,70000,null,"x"],"b":1,"o":{"deep":[[[1]]]}}"#;

/// Differences as the server writes them: operation, path, and the value of what is not removed.
fn diffs() -> Vec<Vec<u8>> {
    let one = |operation: u8, path: &str, value: &[u8]| {
        let mut diff = [&[operation, path.len() as u8], path.as_bytes()].concat();
        if operation < 2 {
            diff.push(value.len() as u8);
            diff.extend_from_slice(value);
        }
        diff
    };
    let array = &[0x02, 2, 0, 10, 0, 0x05, 1, 0, 0x05, 2, 0][..];
    vec![
        one(0, "$.a[2]", &[0x0c, 1, b'x']),
        [one(1, "$.added", array), one(2, "$.b", &[]), one(1, "$.added[0]", array)].concat(),
        [one(1, "$.a[last]", &[0x04, 0]), one(0, r#"$.o."deep"[0][last-0]"#, array)].concat(),
        one(2, "$.o.deep[0][0]", &[]),
    ]
}

#[test]
fn damaged_text_of_every_character_set_does_no_harm() {
    let charsets = Charsets::new((0..).zip(CHARSETS.map(str::to_string)));
    let texts: Vec<Vec<u8>> = captured::values().into_iter().map(|(_, bytes)| bytes).collect();
    let decode_all = |bytes: &[u8]| (0..CHARSETS.len()).for_each(|id| drop(charsets.of(id as u64).decode(bytes)));
    campaign(
        TEXTS,
        SPARE_BYTES,
        |mutator| {
            let mut bytes = mutator.pick(&texts).clone();
            let other = mutator.pick(&texts).clone();
            mutator.damage(&mut bytes, &other, false);
            bytes
        },
        |bytes| {
            decode_all(bytes);
            (bytes.len(), std::str::from_utf8(bytes).is_ok())
        },
    );
}

#[test]
fn damaged_events_without_rows_do_no_harm() {
    let all = captured::events();
    campaign(
        EVENTS,
        SPARE_BYTES,
        |mutator| {
            let event = mutator.pick(&all);
            let mut body = event.body.to_vec();
            let other = mutator.pick(&all);
            mutator.damage(&mut body, &other.body, false);
            (event.kind, body)
        },
        |(kind, body)| {
            let _ = BinlogEvent::parse(body.clone().into(), false);
            let is_read = match *kind {
                event::GTID | event::ANONYMOUS_GTID | event::GTID_TAGGED => GtidEvent::parse(*kind, body).is_ok(),
                event::QUERY => {
                    let query = Query::parse(body);
                    let text = Query { text: body, ..Query::default() };
                    let (_, tokens) = statement::read(query.as_ref().unwrap_or(&text), &captured::charsets());
                    drop(tokens.as_deref().map(xa::decision));
                    query.is_ok()
                }
                event::PREVIOUS_GTIDS => previous_gtids(body).is_ok(),
                event::XA_PREPARE => Prepare::parse(body).is_ok(),
                event::TRANSACTION_PAYLOAD => Payload::parse(body).is_ok(),
                _ => false,
            };
            (body.len(), is_read)
        },
    );
}

#[test]
fn damaged_definitions_do_no_harm() {
    let events: Vec<BinlogEvent> = captured::events().into_iter().filter(|event| event.kind == event::QUERY).collect();
    let charsets = captured::charsets();
    // As it is after the first half of the capture: there is something to alter.
    let mut known = Schema::default();
    for event in &events[..events.len() / 2] {
        let query = Query::parse(&event.body).expect("a query");
        ddl::read_logged(&query, &charsets, false).apply(&mut known, |_| true);
    }
    assert!(known.len() > 5, "{} tables are known", known.len());
    campaign(
        EVENTS,
        // The tables that are known before.
        2 * SPARE_BYTES,
        |mutator| {
            let mut body = mutator.pick(&events).body.to_vec();
            let other = mutator.pick(&events);
            // Most of the damage is for the statement, so that its text is reached.
            let keeps_head = mutator.below(4) > 0;
            let head = if keeps_head { body.len() - Query::parse(&body).expect("a query").text.len() } else { 0 };
            let mut tail = body.split_off(head);
            mutator.damage(&mut tail, &other.body, false);
            body.extend(tail);
            body
        },
        |body| {
            let Ok(query) = Query::parse(body) else { return (body.len(), false) };
            let mut schema = known.clone();
            let effect = ddl::read_logged(&query, &charsets, true);
            effect.apply(&mut schema, |_| true);
            schema.iter().for_each(|(name, _)| _ = effect.redefines(name));
            (body.len(), !matches!(effect, DdlEffect::Unclear(_) | DdlEffect::Nothing))
        },
    );
}

#[test]
fn damaged_packets_are_refused_by_their_checksum_and_compressed_ones_unpack_or_fail() {
    let files = captured::files().concat();
    let payloads: Vec<BinlogEvent> =
        captured::events().into_iter().filter(|event| event.kind == event::TRANSACTION_PAYLOAD).collect();
    campaign(
        EVENTS / 4,
        // The unpacker works in pieces of 64 KiB, of which two may be there at a time.
        4 * SPARE_BYTES,
        |mutator| {
            let mut raw = mutator.pick(&files).to_vec();
            let other = mutator.pick(&files).clone();
            mutator.damage(&mut raw, &other, false);
            let mut payload = mutator.pick(&payloads).body.to_vec();
            mutator.damage(&mut payload, &other, false);
            (Bytes::from(raw), Bytes::from(payload))
        },
        |(raw, payload)| {
            let mut checksums = Checksums::default();
            checksums.verify(&files[0]).expect("a format description");
            if let Ok(event) = checksums.verify(raw) {
                assert!(files.contains(raw) || event.kind == event::FORMAT_DESCRIPTION, "damage goes unnoticed");
            }
            let mut unpacked_bytes = 0;
            let mut unpacker = Unpacker::new().expect("an unpacker");
            if unpacker.open(payload).is_ok() {
                while let Ok(Some(event)) = unpacker.next() {
                    unpacked_bytes += event.body.len();
                }
            }
            (raw.len() + payload.len() + unpacked_bytes, unpacked_bytes > 0)
        },
    );
}

#[test]
fn damaged_transactions_end_in_an_error_or_go_on() {
    let (description, transactions) = captured::transactions();
    let all = transactions.concat();
    let runtime = stream::runtime();
    let _inside = runtime.enter();
    campaign(
        TRANSACTIONS,
        4 * SPARE_BYTES,
        |mutator| {
            // What comes after damage is read too: the third must not suffer from what the first left.
            let mut events: Vec<Bytes> = (0..3).flat_map(|_| mutator.pick(&transactions).clone()).collect();
            for _ in 0..=mutator.below(3) {
                let at = mutator.below(events.len());
                match mutator.below(12) {
                    0 => drop(events.remove(at)),
                    1 => events.insert(at, mutator.pick(&all).clone()),
                    2 => {
                        let other = mutator.below(events.len());
                        events.swap(at, other);
                    }
                    3 => events[at] = stream::repacked(&events[at], mutator),
                    what => {
                        let other = mutator.pick(&all).clone();
                        events[at] = mutator.event(&events[at], &other, what % 2 == 0);
                    }
                }
            }
            events.insert(0, description.clone());
            events
        },
        |events| {
            let read = stream::read(events);
            (read.bytes, read.rows > 0)
        },
    );
}

#[test]
fn captured_streams_are_read_without_an_error() {
    let runtime = stream::runtime();
    let _inside = runtime.enter();
    let [full, _] = captured::files();
    let read = stream::read(&full);
    assert_eq!(read.error, None);
    assert!(read.rows > 50, "{} rows", read.rows);
    let (_, transactions) = captured::transactions();
    assert_eq!(read.committed, transactions.len() - MINIMAL_TRANSACTIONS);
}

/// Transactions in the file without names.
const MINIMAL_TRANSACTIONS: usize = 5;

/// Inputs of each campaign, so that all take some seconds in a debug build.
const ROWS: u64 = 40_000;
const TABLE_MAPS: u64 = 40_000;
const VALUES: u64 = 100_000;
const TEXTS: u64 = 10_000;
const EVENTS: u64 = 100_000;
const TRANSACTIONS: u64 = 30_000;

/// All sets of MySQL 9.7, and one that does not exist.
static CHARSETS: LazyLock<[&str; 42]> = LazyLock::new(|| {
    "armscii8 ascii big5 binary cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 cp932 dec8 eucjpms euckr gb18030 gb2312 gbk \
     geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7 macce macroman sjis swe7 tis620 ucs2 ujis \
     utf16 utf16le utf32 utf8mb3 utf8mb4 unheard"
        .split(' ')
        .collect::<Vec<_>>()
        .try_into()
        .expect("42 names")
});
