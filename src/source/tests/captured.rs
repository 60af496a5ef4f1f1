//! What a real server wrote, taken apart: tests/fixtures/binlog says how it was made.
//!
//! In: two binlog files. Out: their events as they travel, those inside compressed transactions, the transactions, the
//! tables with their row events, and single values by column kind. Everything here must be readable.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::checksum::Checksums;
use super::super::decode::RowsEvent;
use super::super::event::BinlogEvent;
use super::super::event_type;
use super::super::table_map::{TableMap, heading};
use super::super::unpack::Unpacker;
use crate::change::row::bit;
use crate::change::{Rows, Spans};
use crate::column::ColumnKind;
use crate::column::bytes::Bytes as Cursor;
use crate::column::charset::Charsets;

const FILES: [&[u8]; 2] = [
    include_bytes!("../../../tests/fixtures/binlog/full.binlog"),
    include_bytes!("../../../tests/fixtures/binlog/minimal.binlog"),
];

/// Every file begins with these.
const MAGIC: &[u8] = b"\xfebin";

/// Collation ids of the server, of the tables in the captures.
const COLLATIONS: [(u16, &str); 17] = [
    (8, "latin1"),
    (11, "ascii"),
    (12, "ujis"),
    (13, "sjis"),
    (28, "gbk"),
    (33, "utf8mb3"),
    (35, "ucs2"),
    (45, "utf8mb4"),
    (46, "utf8mb4"),
    (51, "cp1251"),
    (54, "utf16"),
    (56, "utf16le"),
    (60, "utf32"),
    (63, "binary"),
    (224, "utf8mb4"),
    (248, "gb18030"),
    (255, "utf8mb4"),
];

pub fn charsets() -> Charsets {
    Charsets::new(COLLATIONS.map(|(id, name)| (id, name.to_string())))
}

/// Has the tables of large character sets made, which stay, so that no input is blamed for them.
pub fn make_tables() {
    let names = ["big5", "cp932", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "sjis", "ujis"];
    let sets = Charsets::new((0..).zip(names.map(str::to_string)));
    (0..names.len()).for_each(|id| drop(sets.of(id as u64).decode(b"\xb0\xa1")));
}

/// The events of both files as they travel, each file's format description first.
pub fn files() -> [Vec<Bytes>; 2] {
    FILES.map(|file| {
        let mut rest = Bytes::from_static(file.strip_prefix(MAGIC).expect("a binlog file"));
        let mut events = Vec::new();
        while !rest.is_empty() {
            let size = u32::from_le_bytes(rest[9..13].try_into().expect("four bytes"));
            events.push(rest.split_to(size as usize));
        }
        events
    })
}

/// The transactions of both files, each from its GTID event to its end, and the format description.
pub fn transactions() -> (Bytes, Vec<Vec<Bytes>>) {
    let files = files();
    let mut groups: Vec<Vec<Bytes>> = Vec::new();
    for raw in files.iter().flatten() {
        match raw[4] {
            event_type::GTID | event_type::GTID_TAGGED => groups.push(vec![raw.clone()]),
            event_type::FORMAT_DESCRIPTION | event_type::PREVIOUS_GTIDS | event_type::ROTATE => {}
            _ => groups.last_mut().expect("a transaction").push(raw.clone()),
        }
    }
    (files[0][0].clone(), groups)
}

/// All events without their checksums, those inside compressed transactions after the event that holds them.
pub fn events() -> Vec<BinlogEvent> {
    let mut events = Vec::new();
    for file in files() {
        let mut checksums = Checksums::default();
        for raw in file {
            let event = checksums.verify(&raw).expect("an intact event");
            events.push(event.clone());
            if event.kind == event_type::TRANSACTION_PAYLOAD {
                let mut unpacker = Unpacker::new().expect("an unpacker");
                unpacker.open(&event.body).expect("a compressed transaction");
                while let Some(inner) = unpacker.next().expect("an event inside") {
                    events.push(inner);
                }
            }
        }
    }
    events
}

/// A row event, and the table map that precedes it.
#[derive(Debug, Clone)]
pub struct Captured {
    pub map: Bytes,
    pub kinds: Arc<[ColumnKind]>,
    pub kind: u8,
    pub rows: Bytes,
}

pub fn rows() -> Vec<Captured> {
    let mut maps = HashMap::new();
    let mut found = Vec::new();
    for event in events() {
        if event.kind == event_type::TABLE_MAP {
            let (id, _, _, rest) = heading(&event.body).expect("a heading");
            let map = TableMap::parse(rest, &charsets()).expect("a table map");
            maps.insert(id, (event.body.clone(), Arc::<[ColumnKind]>::from(map.kinds)));
        } else if is_rows(event.kind) {
            let id = RowsEvent::parse(event.kind, &event.body).expect("a row event").table_id;
            let (map, kinds) = maps[&id].clone();
            found.push(Captured { map, kinds, kind: event.kind, rows: event.body });
        }
    }
    found
}

/// Single values, each with its column's kind, of the rows that have all columns.
pub fn values() -> Vec<(ColumnKind, Vec<u8>)> {
    let mut found = Vec::new();
    for Captured { kinds, kind, rows, .. } in rows() {
        let parsed = RowsEvent::parse(kind, &rows).expect("a row event").rows(&kinds).expect("rows");
        let Rows::Images { spans, .. } = parsed else { continue };
        for Spans { before, after } in spans {
            for span in [before, after].into_iter().filter(|span| !span.is_empty()) {
                values_of(&rows[span.start as usize..span.end as usize], &kinds, &mut found);
            }
        }
    }
    found
}

fn is_rows(kind: u8) -> bool {
    matches!(
        kind,
        event_type::WRITE_ROWS | event_type::UPDATE_ROWS | event_type::DELETE_ROWS | event_type::PARTIAL_UPDATE_ROWS
    )
}

fn values_of(image: &[u8], kinds: &[ColumnKind], found: &mut Vec<(ColumnKind, Vec<u8>)>) {
    let mut bytes = Cursor(image);
    let Ok(nulls) = bytes.take(kinds.len().div_ceil(8)) else { return };
    for (column, kind) in kinds.iter().enumerate() {
        let begin = bytes.0;
        if bit(nulls, column) {
            continue;
        }
        // A partial image: what follows is not known.
        if kind.skip(&mut bytes).is_err() {
            return;
        }
        found.push((kind.clone(), begin[..begin.len() - bytes.0.len()].to_vec()));
    }
}
