//! Partial updates of JSON columns: applied to the document before, they give the one that SELECT shows after each
//! statement; without that document the column is absent.

use mysql_async::prelude::Queryable;
use rowhook::change::{Cell, Value};

use super::*;

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
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "USE test; CREATE TABLE t (id INT PRIMARY KEY, a JSON, n INT, b JSON, c JSON)").await;
    sql(&mut root, &format!("INSERT INTO t VALUES (1, {DOCUMENT}, 0, {DOCUMENT}, {DOCUMENT})")).await;
    let mut reader = server.follow(latest());
    reader.started().await;
    sql(&mut root, "SET binlog_row_value_options = PARTIAL_JSON").await;
    let mut dice = Dice(1);
    let mut expected: Vec<(String, [String; 3])> = Vec::new();
    for round in 0..300 {
        let update = if round % 50 == 49 {
            format!("UPDATE t SET n = n + 1, a = {DOCUMENT}, b = {DOCUMENT}, c = {DOCUMENT}")
        } else {
            statement(&mut dice)
        };
        sql(&mut root, &update).await;
        let stored: Option<(String, String, String)> =
            root.query_first("SELECT CAST(a AS CHAR), CAST(b AS CHAR), CAST(c AS CHAR) FROM t").await.expect("a row");
        let (a, b, c) = stored.expect("the row");
        expected.push((update, [a, b, c].map(|text| compact(&text))));
    }
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    assert_eq!(changes.len(), expected.len());
    for (change, (update, documents)) in changes.iter().zip(&expected) {
        for (column, document) in [1, 3, 4].into_iter().zip(documents) {
            let document = Cell::Value(Value::Json(document.as_str().into()));
            assert_eq!(change.row().expect("an after image").cell(column), document, "column {column} after {update}");
        }
    }
}

#[tokio::test]
async fn without_the_document_before_a_partial_update_is_absent() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "USE test; CREATE TABLE t (id INT PRIMARY KEY, a JSON, n INT, b JSON, c JSON)").await;
    sql(&mut root, &format!("INSERT INTO t VALUES (1, {DOCUMENT}, 0, {DOCUMENT}, NULL)")).await;
    let mut reader = server.follow(latest());
    reader.started().await;
    for statement in [
        "SET binlog_row_value_options = PARTIAL_JSON",
        "UPDATE t SET a = NULL, b = JSON_SET(b, '$.new', 1)",
        "SET binlog_row_image = NOBLOB",
        "UPDATE t SET b = JSON_SET(b, '$.new', 2)",
        "SET binlog_row_image = MINIMAL",
        // The only column of this image, and the second JSON column of the table: its bit is the second.
        "UPDATE t SET b = JSON_SET(b, '$.new', 3)",
        "UPDATE t SET b = JSON_SET(b, '$.new', 4), n = 5",
    ] {
        sql(&mut root, statement).await;
    }
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    let after: Vec<_> = changes.iter().map(|change| change.row().expect("an after image").cells()).collect();
    assert_eq!(after[0][1], Cell::Value(Value::Null));
    for (row, new) in after[..2].iter().zip(["1", "2"]) {
        let Cell::Value(Value::Json(text)) = &row[3] else { panic!("{row:?}") };
        assert!(text.contains(&format!("\"new\":{new}")), "{text}");
    }
    let absent = Cell::Absent;
    assert_eq!(*after[2], [absent.clone(), absent.clone(), absent.clone(), absent.clone(), absent.clone()]);
    assert_eq!(*after[3], [absent.clone(), absent.clone(), Cell::Value(Value::Int(5)), absent.clone(), absent]);
}
