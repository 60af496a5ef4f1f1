//! Streams that no server sends and no random damage makes: each event is well formed, their order or their sizes are not.
//!
//! In: events made by hand. Out: the error that each must end in, or that it must go on. What they aim at stands in the
//! tests' names.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::ddl;
use super::super::event::{GtidEvent, Query, previous_gtids};
use super::super::event_type as event;
use super::super::statement;
use super::super::table_map::{TableMap, heading};
use super::mutation::{MEMORY_PER_BYTE_MAX, sealed};
use super::stream::{self, payload, unchecked};
use super::{captured, read_rows};
use crate::schema::Schema;

/// An event with a checksum.
fn checked(kind: u8, body: &[u8]) -> Bytes {
    sealed(&[0, 0, 0, 0, kind, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], body)
}

fn gtid(number: u64) -> Bytes {
    checked(event::GTID, &gtid_body(number))
}

fn gtid_body(number: u64) -> Vec<u8> {
    [&[0][..], &[7; 16], &number.to_le_bytes()].concat()
}

fn query(text: &str) -> Bytes {
    checked(event::QUERY, &query_body(text))
}

fn query_body(text: &str) -> Vec<u8> {
    [&[0; 8][..], &[4, 0, 0, 0, 0], b"test\0", text.as_bytes()].concat()
}

/// A table map of table `test.t`; all columns are INT with names, the first is the key where there is one.
fn map(id: u8, columns: usize) -> Vec<u8> {
    let names: Vec<u8> = (0..columns).flat_map(|_| [1, b'c']).collect();
    let signs = vec![0; columns.div_ceil(8)];
    let key: &[u8] = if columns > 0 { &[0] } else { &[] };
    table_map(id, &vec![3; columns], &[(1, &signs), (4, &names), (8, key)])
}

fn table_map(id: u8, types: &[u8], optional: &[(u8, &[u8])]) -> Vec<u8> {
    let mut body = [&[id, 0, 0, 0, 0, 0, 1, 0][..], b"\x04test\0\x01t\0"].concat();
    body.extend(lenenc(types.len()));
    body.extend(types);
    body.push(0);
    body.extend(vec![0; types.len().div_ceil(8)]);
    for (field, value) in optional {
        body.push(*field);
        body.extend(lenenc(value.len()));
        body.extend(*value);
    }
    body
}

fn lenenc(value: usize) -> Vec<u8> {
    [&[0xfe][..], &(value as u64).to_le_bytes()].concat()
}

/// A WRITE event of `columns` columns.
fn rows(id: u8, columns: usize, images: &[u8]) -> Vec<u8> {
    let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, 2, 0];
    body.extend(lenenc(columns));
    body.extend(vec![0xff; columns.div_ceil(8)]);
    body.extend(images);
    body
}

fn read(events: &[Bytes]) -> stream::Read {
    let runtime = stream::runtime();
    let _inside = runtime.enter();
    let (description, _) = captured::transactions();
    stream::read(&[&[description][..], events].concat())
}

#[track_caller]
fn ends_with(events: &[Bytes], expected: &str) {
    let error = read(events).error.expect("an error");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn events_in_an_order_that_no_server_sends_end_in_an_error() {
    let (begin, xid) = (query("BEGIN"), checked(event::XID, &[0; 8]));
    let (row_1, map_1) =
        (checked(event::WRITE_ROWS, &rows(1, 1, &[0, 1, 0, 0, 0])), checked(event::TABLE_MAP, &map(1, 1)));
    let rotate = checked(event::ROTATE, b"\x04\0\0\0\0\0\0\0binlog.000002");
    let two_phase = checked(event::XA_PREPARE, &[&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], b"x"].concat());
    for (events, expected) in [
        (vec![row_1.clone()], "inside a transaction"),
        (vec![map_1.clone()], "inside a transaction"),
        (vec![begin.clone()], "inside a transaction"),
        (vec![xid.clone()], "inside a transaction"),
        (vec![gtid(1), row_1.clone()], "inside a transaction"),
        (vec![gtid(1), begin.clone(), row_1.clone()], "without its table map"),
        (vec![gtid(1), begin.clone(), begin.clone()], "Begin in stage Open"),
        (vec![gtid(1), gtid(2)], "begins inside another"),
        (vec![gtid(1), begin.clone(), rotate.clone()], "ends inside a transaction"),
        (vec![gtid(1), xid.clone()], "XID"),
        (vec![gtid(1), begin.clone(), map_1.clone(), row_1.clone(), two_phase.clone()], "XA_PREPARE"),
        (vec![gtid(1), query("XA START X'61',X'',1"), map_1, row_1, xid], "XID"),
    ] {
        ends_with(&events, expected);
    }
}

#[test]
fn a_compressed_transaction_contains_neither_another_one_nor_rows_of_a_table_without_a_table_map() {
    let header = [0; 19].map(|_| 0_u8);
    let header = [&header[..4], &[event::TRANSACTION_PAYLOAD], &header[5..]].concat();
    let row = unchecked(event::WRITE_ROWS, &rows(9, 1, &[0, 1, 0, 0, 0]));
    let begin = unchecked(event::QUERY, &query_body("BEGIN"));
    for is_compressed in [false, true] {
        let unknown = payload(&header, &[begin.clone(), row.clone()].concat(), is_compressed);
        ends_with(&[gtid(1), unknown.clone()], "without its table map");
        let inside = unchecked(event::TRANSACTION_PAYLOAD, &unknown[19..unknown.len() - 4]);
        ends_with(&[gtid(1), payload(&header, &inside, is_compressed)], "a place where none may be");
        let two = [begin.clone(), begin.clone()].concat();
        ends_with(&[gtid(1), payload(&header, &two, is_compressed)], "Begin in stage Open");
        let rotate = unchecked(event::ROTATE, b"\x04\0\0\0\0\0\0\0binlog.000002");
        ends_with(&[gtid(1), payload(&header, &rotate, is_compressed)], "ends inside a transaction");
        ends_with(&[unknown], "without a GTID event");
    }
}

#[test]
fn a_table_that_changes_between_two_row_events_is_read_as_each_map_says() {
    let wide = rows(1, 2, &[0, 1, 0, 0, 0, 2, 0, 0, 0]);
    let events = [
        gtid(1),
        query("BEGIN"),
        checked(event::TABLE_MAP, &map(1, 1)),
        checked(event::WRITE_ROWS, &rows(1, 1, &[0, 1, 0, 0, 0])),
        checked(event::TABLE_MAP, &map(1, 2)),
        checked(event::WRITE_ROWS, &wide),
        checked(event::XID, &[0; 8]),
    ];
    let read_whole = read(&events);
    assert_eq!((read_whole.rows, read_whole.committed, read_whole.error), (2, 1, None));
    let without_second_map = [&events[..4], &events[5..]].concat();
    ends_with(&without_second_map, "2 columns in a row of 1");
}

#[test]
fn numbers_of_transactions_end_where_the_servers_do() {
    for (number, is_one) in
        [(0, false), (1, true), (i64::MAX as u64 - 1, true), (i64::MAX as u64, false), (u64::MAX, false)]
    {
        assert_eq!(GtidEvent::parse(event::GTID, &gtid_body(number)).is_ok(), is_one, "{number}");
        let set = [&1_u64.to_le_bytes()[..], &[7; 16], &1_u64.to_le_bytes(), &number.to_le_bytes()].concat();
        let set = [set, number.wrapping_add(1).to_le_bytes().to_vec()].concat();
        assert_eq!(previous_gtids(&set).is_ok(), is_one, "{number}");
    }
}

#[test]
fn an_offset_beyond_what_a_file_can_have_is_refused() {
    let at = |log_pos: u32| {
        let mut header = gtid(1)[..19].to_vec();
        header[13..17].copy_from_slice(&log_pos.to_le_bytes());
        sealed(&header, &gtid_body(1))
    };
    let rotate = |offset: u64| checked(event::ROTATE, &[&offset.to_le_bytes()[..], b"binlog.000002"].concat());
    // In a file over 4 GiB the header's 32 bits wrap.
    assert_eq!(read(&[rotate(5 << 32), at(200)]).error, None);
    ends_with(&[rotate(u64::MAX), at(200)], "offset");
}

#[test]
fn tables_have_no_more_columns_than_a_server_gives_them() {
    let charsets = captured::charsets();
    let parse = |body: &[u8]| {
        let (_, _, _, rest) = heading(body).expect("a heading");
        TableMap::parse(rest, &charsets)
    };
    for columns in [4_097, 65_535, 1 << 20] {
        let fault = parse(&map(1, columns)).expect_err("too many columns");
        assert!(fault.what.contains("columns"), "{fault:?}");
    }
    let widest = parse(&map(1, 4_096)).expect("as many as there may be");
    let began = Instant::now();
    // Nothing but NULLs: the most cells that a byte can have.
    let nulls = rows(1, 4_096, &[0xff; 512]);
    let memory = allocation_counter::measure(|| assert!(read_rows(event::WRITE_ROWS, &nulls, &widest)));
    assert!(memory.bytes_max < 1 << 20, "{memory:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_table_without_columns_has_no_rows() {
    let end = checked(event::XID, &[0; 8]);
    let with = |images: &[u8]| {
        let events = [checked(event::TABLE_MAP, &map(1, 0)), checked(event::WRITE_ROWS, &rows(1, 0, images))];
        [&[gtid(1), query("BEGIN")][..], &events, std::slice::from_ref(&end)].concat()
    };
    assert_eq!(read(&with(&[])).error, None);
    ends_with(&with(&[0; 1000]), "without bytes");
}

#[test]
fn rows_of_very_few_bytes_take_little_memory() {
    let charsets = captured::charsets();
    let types = vec![245; 4_096];
    let body = table_map(1, &types, &[]);
    let (_, _, _, rest) = heading(&body).expect("a heading");
    // One length byte for each JSON column stands where table_map() has no metadata.
    let rest = [&rest[..9 + 4_096], &lenenc(4_096), &vec![4; 4_096], &rest[9 + 4_096 + 1..]].concat();
    let map = TableMap::parse(&rest, &charsets).expect("a table map");
    // No column is present before or after: a row is the one byte of its value options.
    let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0, 2, 0];
    body.extend(lenenc(4_096));
    body.extend(vec![0; 2 * 512]);
    body.extend(vec![0; 1_000]);
    let memory = allocation_counter::measure(|| assert!(read_rows(event::PARTIAL_UPDATE_ROWS, &body, &map)));
    // Besides, one row of cells at a time, and the copy of that row that is kept.
    let row_bytes = 4_096 * std::mem::size_of::<crate::change::Cell>();
    let memory_max = MEMORY_PER_BYTE_MAX * (body.len() + rest.len()) + 4 * row_bytes;
    assert!(memory.bytes_max < memory_max as u64, "{memory:?}, {memory_max} at most");
}

#[test]
fn a_key_that_names_a_column_twice_is_refused() {
    let charsets = captured::charsets();
    for key in [&[0, 0][..], &[1, 0, 1], &[9]] {
        let body = table_map(1, &[3, 3], &[(1, &[0]), (8, key)]);
        let (_, _, _, rest) = heading(&body).expect("a heading");
        TableMap::parse(rest, &charsets).expect_err("no key");
    }
}

#[test]
fn a_set_that_lists_a_server_many_times_is_refused() {
    let servers = 4_000_u64;
    let mut body = servers.to_le_bytes().to_vec();
    for number in (0..servers).rev() {
        body.extend([7; 16]);
        body.extend(1_u64.to_le_bytes());
        body.extend((number * 2 + 1).to_le_bytes());
        body.extend((number * 2 + 2).to_le_bytes());
    }
    previous_gtids(&body).expect_err("one server twice");
}

#[test]
fn lengths_at_the_end_of_their_range_are_refused() {
    let mut huge = query("BEGIN").to_vec();
    huge[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    ends_with(&[Bytes::from(huge)], "event of 4294967295 bytes");
    let mut rest = lenenc(usize::MAX);
    rest.extend([3; 100]);
    TableMap::parse(&rest, &captured::charsets()).expect_err("more columns than bytes");
    let header = [&[0; 4][..], &[event::TRANSACTION_PAYLOAD], &[0; 14]].concat();
    let bodies: [&[u8]; 2] =
        [b"\x02\x01\x00\x03\x09\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x00\x00", b"\x02\x01\x00\x01\x09\xfe"];
    for body in bodies {
        assert!(read(&[gtid(1), sealed(&header, body)]).error.is_some());
    }
}

#[test]
fn very_long_or_deeply_nested_statements_do_no_harm() {
    const PARTS: usize = 8_000;
    let columns = |count: usize| (0..count).map(|n| format!("c{n} INT")).collect::<Vec<_>>().join(",");
    for text in [
        format!("CREATE TABLE t (a INT DEFAULT {}1{})", "(".repeat(PARTS), ")".repeat(PARTS)),
        format!("ALTER TABLE t ADD COLUMN a INT {}", "(".repeat(PARTS)),
        format!("CREATE TABLE t ({})", columns(PARTS)),
        format!(
            "ALTER TABLE t {}",
            (0..PARTS).map(|n| format!("ADD COLUMN c{n} INT FIRST")).collect::<Vec<_>>().join(",")
        ),
        format!("DROP TABLE {}", ["t"; PARTS].join(",")),
        format!("RENAME TABLE {}", ["a TO b"; PARTS].join(",")),
        "/*!80000 ".repeat(PARTS),
        "/*".repeat(PARTS),
        format!("CREATE TABLE `{}", "``".repeat(PARTS)),
        format!("ALTER TABLE t COMMENT '{}", "\\'".repeat(PARTS)),
    ] {
        let began = Instant::now();
        let body = query_body(&text);
        let query = Query::parse(&body).expect("a query");
        let memory = allocation_counter::measure(|| {
            let effect = ddl::read_logged(&query, &captured::charsets(), false);
            let mut known = Schema::default();
            let first = query_body("CREATE TABLE t (first INT)");
            let first = Query::parse(&first).expect("a query");
            ddl::read_logged(&first, &captured::charsets(), false).apply(&mut known, |_| true);
            effect.apply(&mut known, |_| true);
            statement::read(&query, &captured::charsets());
        });
        let head = &text[..30];
        assert!(memory.bytes_max < (text.len() * MEMORY_PER_BYTE_MAX) as u64, "{head}: {memory:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{head}: {:?}", began.elapsed());
    }
}
