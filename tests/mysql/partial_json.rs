//! Partial updates of JSON columns, as a real server logs them: applied to the document before, they give the one that
//! SELECT shows after each statement.
//!
//! Reads the events from the server's binlog file, with a decoder of its own for the frame of a row event.

use std::fs;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::change::{Cell, Value};
use rowhook::column::bytes::Bytes;
use rowhook::column::{self, Fault, Kind, json_diff};

use crate::support::mysql::MysqlServer;

const JSON: Kind = Kind::Json { length_bytes: 4 };
const INT: Kind = Kind::Int { bytes: 4, unsigned: false };
/// The columns of the table: id INT, a JSON, n INT, b JSON, c JSON.
const KINDS: [Kind; 5] = [INT, JSON, INT, JSON, JSON];
const JSON_COLUMNS: [usize; 3] = [1, 3, 4];

const UPDATE_ROWS: u8 = 31;
const PARTIAL_UPDATE_ROWS: u8 = 39;

/// One updated row: the cells after, and which columns were partial.
#[derive(Debug)]
struct Updated {
    after: Vec<Cell>,
    partial: Vec<bool>,
}

/// All updates in a binlog file; its events end with four bytes of checksum.
fn updates(file: &[u8]) -> Vec<Result<Updated, Fault>> {
    let mut rows = Vec::new();
    let mut rest = &file[4..];
    while !rest.is_empty() {
        let size = u32::from_le_bytes(rest[9..13].try_into().unwrap()) as usize;
        let (event, tail) = rest.split_at(size);
        if [UPDATE_ROWS, PARTIAL_UPDATE_ROWS].contains(&event[4]) {
            // Behind table id, flags, two bytes of extra length and the number of columns stand the two bitmaps.
            let (head, body) = event[19..size - 4].split_at(11);
            assert_eq!(head[8..], [2, 0, 5], "no extra rows data, five columns");
            rows.push(row(event[4], body[0], body[1], Bytes(&body[2..])));
        }
        rest = tail;
    }
    rows
}

fn row(event_type: u8, present_before: u8, present_after: u8, mut bytes: Bytes<'_>) -> Result<Updated, Fault> {
    let before = image(&mut bytes, present_before, &[false; 5], &[])?;
    let is_partial = event_type == PARTIAL_UPDATE_ROWS;
    let partial = if is_partial { json_diff::partial_columns(&mut bytes, &KINDS)? } else { vec![false; 5] };
    let after = image(&mut bytes, present_after, &partial, &before)?;
    assert!(bytes.is_empty(), "one row to an event");
    Ok(Updated { after, partial })
}

fn image(bytes: &mut Bytes<'_>, present: u8, partial: &[bool], before: &[Cell]) -> Result<Vec<Cell>, Fault> {
    let nulls = bytes.u8()?;
    let mut place = 0;
    let mut cells = Vec::new();
    for (index, kind) in KINDS.iter().enumerate() {
        if present >> index & 1 == 0 {
            cells.push(Cell::Absent);
            continue;
        }
        let is_null = nulls >> place & 1 == 1;
        place += 1;
        cells.push(Cell::Value(if is_null {
            Value::Null
        } else if partial[index] {
            json_diff::value(4, &before[index], bytes)?
        } else {
            column::value(kind, bytes)?
        }));
    }
    Ok(cells)
}

/// MySQL's text without the spaces after commas and colons.
fn compact(text: &str) -> String {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let keep = |character: &char| {
        let is_quote = *character == '"' && !is_escaped;
        is_quoted ^= is_quote;
        is_escaped = *character == '\\' && !is_escaped;
        is_quoted || *character != ' '
    };
    text.chars().filter(keep).collect()
}

/// The same numbers on every run.
struct Dice(u64);

impl Dice {
    fn pick<'a>(&mut self, faces: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        faces[(self.0 >> 33) as usize % faces.len()]
    }
}

const COLUMNS: &[&str] = &["a", "b", "c"];
const FUNCTIONS: &[&str] = &["JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE"];
const PATHS: &[&str] = &[
    "$.a[0]",
    "$.a[5]",
    "$.a[last]",
    "$.a[last-1]",
    "$.a[1][0]",
    "$.b.c",
    "$.b.c[0]",
    "$.b.c[1]",
    r#"$.b."d e"[0].x"#,
    r#"$.b."d e"[1]"#,
    "$.new",
    "$.new.deep",
    "$.new[2]",
    r#"$."q\\"k""#,
    r#"$."""#,
    r#"$."".z"#,
    r#"$."tab\\tx""#,
    "$.é",
    r#"$."a.b[0]""#,
    r#"$."\\u0001""#,
    r#"$."back\\\\slash""#,
];
const VALUES: &[&str] = &[
    "1",
    "'text'",
    "'é\"\\\\'",
    "NULL",
    "TRUE",
    "1.10",
    "1e300",
    "TIME'10:00:00.5'",
    "JSON_ARRAY()",
    "JSON_OBJECT('k', JSON_ARRAY(1, -1))",
    "REPEAT('x', 70)",
    "18446744073709551615",
    "CAST('x' AS BINARY)",
];
const DOCUMENT: &str = r#"JSON_OBJECT('a', JSON_ARRAY(1, 2, 3), 'b', JSON_OBJECT('c', 'text', 'd e', JSON_ARRAY(JSON_OBJECT('x', 1.5))), '', 0, 'q"k', NULL,
    'tab\tx', 1, 'é', -0.5, 'pad', REPEAT('x', 500))"#;

/// An update of one or two columns by one to three calls each.
fn statement(dice: &mut Dice) -> String {
    let mut changes = Vec::new();
    for column in COLUMNS {
        if dice.pick(&["yes", "no"]) == "no" {
            continue;
        }
        let mut expression = column.to_string();
        for _ in 0..dice.pick(&["1", "2", "3"]).len() + dice.pick(&["", "1", "22"]).len() {
            let (function, path) = (dice.pick(FUNCTIONS), dice.pick(PATHS));
            let value = if function == "JSON_REMOVE" { String::new() } else { format!(", {}", dice.pick(VALUES)) };
            expression = format!("{function}({expression}, '{path}'{value})");
        }
        changes.push(format!(", {column} = {expression}"));
    }
    format!("UPDATE t SET n = n + 1{}", changes.concat())
}

#[tokio::test]
async fn partial_updates_give_the_documents_that_select_shows() {
    let server = MysqlServer::start(&[]);
    let mut connection = server.conn().await;
    let setup = "CREATE DATABASE test; USE test; CREATE TABLE t (id INT PRIMARY KEY, a JSON, n INT, b JSON, c JSON);
         SET binlog_row_value_options = PARTIAL_JSON";
    connection.query_drop(setup).await.unwrap();
    connection.query_drop(format!("INSERT INTO t VALUES (1, {DOCUMENT}, 0, {DOCUMENT}, {DOCUMENT})")).await.unwrap();
    let mut dice = Dice(1);
    let mut expected: Vec<(String, [String; 3])> = Vec::new();
    for round in 0..300 {
        let sql = if round % 50 == 49 {
            format!("UPDATE t SET n = n + 1, a = {DOCUMENT}, b = {DOCUMENT}, c = {DOCUMENT}")
        } else {
            statement(&mut dice)
        };
        connection.query_drop(&sql).await.unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
        let stored: Option<(String, String, String)> =
            connection.query_first("SELECT CAST(a AS CHAR), CAST(b AS CHAR), CAST(c AS CHAR) FROM t").await.unwrap();
        let (a, b, c) = stored.expect("the row");
        expected.push((sql, [a, b, c]));
    }
    let updates = updates(&logged(&server, &mut connection).await);
    assert_eq!(updates.len(), expected.len());
    let mut partial = 0;
    for (updated, (sql, documents)) in updates.into_iter().zip(&expected) {
        let updated = updated.unwrap_or_else(|fault| panic!("{fault:?} after {sql}"));
        for (column, document) in JSON_COLUMNS.iter().zip(documents) {
            let Cell::Value(Value::Json(text)) = &updated.after[*column] else { panic!("no document after {sql}") };
            assert_eq!(**text, compact(document), "column {column} after {sql}");
        }
        partial += updated.partial.iter().filter(|is_partial| **is_partial).count();
    }
    assert!(partial > 400, "{partial} partial columns");
}

#[tokio::test]
async fn the_bits_of_partial_columns_count_also_those_that_are_not_in_the_image() {
    let server = MysqlServer::start(&[]);
    let mut connection = server.conn().await;
    let setup = format!(
        "CREATE DATABASE test; USE test; CREATE TABLE t (id INT PRIMARY KEY, a JSON, n INT, b JSON, c JSON);
         INSERT INTO t VALUES (1, {DOCUMENT}, 0, {DOCUMENT}, NULL);
         SET binlog_row_value_options = PARTIAL_JSON;
         UPDATE t SET a = NULL, b = JSON_SET(b, '$.new', 1);
         SET binlog_row_image = NOBLOB; UPDATE t SET b = JSON_SET(b, '$.new', 2);
         SET binlog_row_image = MINIMAL; UPDATE t SET b = JSON_SET(b, '$.new', 3)"
    );
    connection.query_drop(setup).await.unwrap();
    let updates = updates(&logged(&server, &mut connection).await);
    let [full, without_blobs, minimal] = &updates[..] else { panic!("{} updates", updates.len()) };
    for updated in [full, without_blobs] {
        assert_eq!(updated.as_ref().unwrap().partial, [false, false, false, true, false]);
    }
    // The only column of this image, and the second JSON column of the table: its bit is the second.
    let fault = minimal.as_ref().expect_err("no document before");
    assert!(fault.mend.contains("binlog_row_image"), "{fault:?}");
}

/// The content of the binlog file that the server writes to.
async fn logged(server: &MysqlServer, connection: &mut Conn) -> Vec<u8> {
    let status: Option<mysql_async::Row> = connection.query_first("SHOW BINARY LOG STATUS").await.unwrap();
    let name: String = status.expect("a binlog").get(0).expect("its name");
    fs::read(server.data_dir().join(name)).unwrap()
}
