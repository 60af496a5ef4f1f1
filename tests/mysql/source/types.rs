//! Every column type: what the source yields equals what SELECT shows, with FULL and MINIMAL metadata.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::change::{Cell, Op, Row, Value};

use super::*;

const TYPES: &[(&str, &str, &[&str])] = &[
    ("ti", "TINYINT", &["-128", "127", "-1"]),
    ("tu", "TINYINT UNSIGNED", &["255", "0", "1"]),
    ("si", "SMALLINT", &["-32768", "32767", "-1"]),
    ("su", "SMALLINT UNSIGNED", &["65535", "0", "1"]),
    ("y", "YEAR", &["0", "1901", "2155"]),
    ("mi", "MEDIUMINT", &["-8388608", "8388607", "-1"]),
    ("mu", "MEDIUMINT UNSIGNED", &["16777215", "0", "8388608"]),
    ("i", "INT", &["-2147483648", "2147483647", "-1"]),
    ("iu", "INT UNSIGNED", &["4294967295", "0", "1"]),
    ("bi", "BIGINT", &["-9223372036854775808", "9223372036854775807", "-1"]),
    ("bu", "BIGINT UNSIGNED", &["18446744073709551615", "9223372036854775808", "0"]),
    ("bo", "BOOL", &["true", "false", "true"]),
    (
        "d65",
        "DECIMAL(65,30)",
        &[
            "-12345678901234567890123456789012345.123456789012345678901234567890",
            "0.1",
            "-0.000000000000000000000000000001",
        ],
    ),
    ("d5", "DECIMAL(5,5)", &["0.12345", "-0.99999", "0"]),
    ("d1", "DECIMAL(1,0)", &["-9", "9", "0"]),
    ("d10", "DECIMAL(10,2)", &["12.3", "-99999999.99", "1000000"]),
    ("d18", "DECIMAL(18,9)", &["123456789.000000001", "-1", "100000000"]),
    ("d20", "DECIMAL(20,1)", &["1234567890123456789.1", "-10", "0.5"]),
    ("du", "DECIMAL(9,3) UNSIGNED", &["123456.789", "0", "1"]),
    ("f", "FLOAT", &["0.1", "-3.4028234e38", "16777216"]),
    ("db", "DOUBLE", &["5e-324", "1.7976931348623157e308", "-0.1"]),
    ("b1", "BIT(1)", &["b'1'", "b'0'", "b'1'"]),
    ("b9", "BIT(9)", &["b'100000001'", "b'0'", "b'111111111'"]),
    ("b64", "BIT(64)", &["18446744073709551615", "0", "1"]),
    ("da", "DATE", &["'2024-02-29'", "'0000-00-00'", "'9999-12-31'"]),
    ("t0", "TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'"]),
    ("t1", "TIME(1)", &["'-00:00:00.1'", "'-100:00:00.5'", "'01:02:03.4'"]),
    ("t2", "TIME(2)", &["'-01:02:03.45'", "'-00:00:01'", "'00:00:00.01'"]),
    ("t3", "TIME(3)", &["'-00:00:00.001'", "'12:00:00.5'", "'-12:00:00'"]),
    ("t4", "TIME(4)", &["'-00:00:00.0001'", "'12:00:00.5'", "'-12:00:00'"]),
    ("t5", "TIME(5)", &["'-00:00:00.00001'", "'12:00:00.5'", "'-12:00:00'"]),
    ("t6", "TIME(6)", &["'-48:00:00.999999'", "'00:00:00.000001'", "'-838:59:58.999999'"]),
    ("dt0", "DATETIME", &["'2026-11-20 23:04:05'", "'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'"]),
    ("dt1", "DATETIME(1)", &["'2026-11-20 23:04:05.1'", "'0000-00-00'", "'1000-01-01'"]),
    ("dt3", "DATETIME(3)", &["'2026-11-20 23:04:05.123'", "'2026-11-20'", "'1000-01-01 00:00:00.001'"]),
    ("dt6", "DATETIME(6)", &["'2026-11-20 23:04:05.123456'", "'0000-00-00'", "'9999-12-31 23:59:59.999999'"]),
    ("ts0", "TIMESTAMP NULL", &["'2026-11-20 23:04:05'", "'0000-00-00 00:00:00'", "'2038-01-19 03:14:07'"]),
    ("ts2", "TIMESTAMP(2) NULL", &["'2026-11-20 23:04:05.12'", "'1970-01-01 00:00:01'", "'2000-02-29 12:00:00'"]),
    (
        "ts6",
        "TIMESTAMP(6) NULL",
        &["'2026-11-20 23:04:05.123456'", "'1970-01-01 00:00:01.000001'", "'2000-02-29 12:00:00'"],
    ),
    ("c", "CHAR(10)", &["'abc  '", "''", "'é€😀'"]),
    ("c255", "CHAR(255)", &["REPEAT('😀', 255)", "'x'", "''"]),
    ("vc", "VARCHAR(300)", &["REPEAT('é', 300)", "'a\"b\\\\c'", "' '"]),
    ("l1", "VARCHAR(20) CHARACTER SET latin1", &["'é€ÿ'", "'x'", "''"]),
    (
        "v",
        "VECTOR(3)",
        &["STRING_TO_VECTOR('[1,2.5,-3]')", "STRING_TO_VECTOR('[0,0,0]')", "STRING_TO_VECTOR('[0.1,1e10,-1e-10]')"],
    ),
    (
        "g",
        "GEOMETRY",
        &["POINT(1, -2.5)", "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')", "ST_GeomFromText('LINESTRING(0 1, 2 3)')"],
    ),
    ("la", "CHAR(20) CHARACTER SET latin1", &["'éé'", "'y'", "''"]),
    ("asci", "VARCHAR(20) CHARACTER SET ascii", &["'plain'", "'y'", "''"]),
    ("u16", "VARCHAR(20) CHARACTER SET utf16", &["'é😀'", "'y'", "''"]),
    ("u32", "CHAR(20) CHARACTER SET utf32", &["'é😀'", "'y'", "''"]),
    ("ucs", "TEXT CHARACTER SET ucs2", &["'é€'", "'y'", "''"]),
    ("tx", "TEXT", &["REPEAT('é', 5000)", "'y'", "''"]),
    ("mt", "MEDIUMTEXT", &["REPEAT('x', 70000)", "'y'", "''"]),
    ("cp", "VARCHAR(20) CHARACTER SET cp1251", &["'Да'", "'y'", "''"]),
    ("sj", "CHAR(20) CHARACTER SET sjis", &["'日本'", "'y'", "''"]),
    ("gb", "TEXT CHARACTER SET gb18030", &["'中文😀'", "'y'", "''"]),
    ("tt", "TINYTEXT", &["'tiny'", "'y'", "''"]),
    ("bin4", "BINARY(4)", &["0x61000000", "0x00000000", "0x61626364"]),
    ("bin16", "BINARY(16)", &["0x000102030405060708090A0B0C0D0E00", "0x00", "0xFF"]),
    ("vb", "VARBINARY(300)", &["0x6100", "''", "0xFF"]),
    ("bl", "BLOB", &["0x00FF00", "''", "REPEAT('x', 3000)"]),
    ("e", "ENUM('a','b','it''s, x','é')", &["'é'", "'it''s, x'", "'bad'"]),
    ("eg", "ENUM('中','x') CHARACTER SET gbk", &["'中'", "'x'", "''"]),
    ("sc", "SET('д','x') CHARACTER SET cp1251", &["'д,x'", "'x'", "''"]),
    ("el", "ENUM('é','x') CHARACTER SET latin1", &["'é'", "'x'", "''"]),
    ("s", "SET('p','q','r','é')", &["'p,r'", "''", "'é,q'"]),
    (
        "j",
        "JSON",
        &[
            r#"'{"b":1,"a":[1,-2,70000,18446744073709551615,-9223372036854775808,1.5,1e300,true,false,null,"é\\"x"],"o":{}}'"#,
            "JSON_OBJECT('d', CAST('1.10' AS DECIMAL(10,2)), 'n', CAST('-0.5' AS DECIMAL(5,3)), 't', TIME'-12:00:01.5', 'dt', TIMESTAMP'2024-02-29 12:34:56', 'da', DATE'2024-02-29')",
            "CAST(CONCAT('[', REPEAT('\"0123456789\",', 9000), '1]') AS JSON)",
        ],
    ),
    ("gp", "POINT SRID 4326", &["ST_GeomFromText('POINT(48 11)', 4326)", "NULL", "NULL"]),
    ("gl", "LINESTRING", &["ST_GeomFromText('LINESTRING(0 0, 1 1)')", "NULL", "NULL"]),
    ("gy", "POLYGON", &["ST_GeomFromText('POLYGON((0 0, 0 3, 3 3, 0 0))')", "NULL", "NULL"]),
    ("gmp", "MULTIPOINT", &["ST_GeomFromText('MULTIPOINT(0 0, 1 1)')", "NULL", "NULL"]),
    ("gml", "MULTILINESTRING", &["ST_GeomFromText('MULTILINESTRING((0 0, 1 1))')", "NULL", "NULL"]),
    ("gmy", "MULTIPOLYGON", &["ST_GeomFromText('MULTIPOLYGON(((0 0, 0 3, 3 3, 0 0)))')", "NULL", "NULL"]),
    ("gc", "GEOMETRYCOLLECTION", &["ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2))')", "NULL", "NULL"]),
    ("j2", "JSON", &["'null'", "'\"x\"'", "JSON_OBJECT('bin', CAST('abc' AS BINARY), 'bit', b'101')"]),
];

/// The value in the text form that SELECT (see `select_expression`) gives it.
fn as_selected(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Float(number) => f64::from(*number).to_string(),
        Value::Double(number) => number.to_string(),
        Value::Decimal(text) => text.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        Value::Labels(labels) => labels.join(","),
        Value::Json(text) => serde_json::from_str::<serde_json::Value>(text).expect("valid JSON").to_string(),
    })
}

fn is_spatial(kind: &str) -> bool {
    ["GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTI"].iter().any(|name| kind.starts_with(name))
}

fn select_expression(name: &str, kind: &str) -> String {
    let is = |prefix: &str| kind.starts_with(prefix);
    if is("BIT") || is("YEAR") || is("BOOL") {
        format!("CAST({name} + 0 AS CHAR)")
    } else if is("BINARY") || is("VARBINARY") || is("BLOB") {
        format!("HEX({name})")
    } else if is("DATETIME") {
        format!("REPLACE(CAST({name} AS CHAR), ' ', 'T')")
    } else if is("TIMESTAMP") {
        format!("CONCAT(REPLACE(CAST({name} AS CHAR), ' ', 'T'), 'Z')")
    } else if is("VECTOR") {
        format!("VECTOR_TO_STRING({name})")
    } else if is_spatial(kind) {
        format!("ST_AsGeoJSON({name})")
    } else if is("FLOAT") {
        format!("CAST({name} AS DOUBLE)")
    } else {
        format!("CONVERT({name} USING utf8mb4)")
    }
}

async fn selected(connection: &mut Conn, id: usize, name: &str, kind: &str) -> Option<String> {
    let question = format!("SELECT {} FROM test.types WHERE id = {id}", select_expression(name, kind));
    if kind.starts_with("FLOAT") || kind.starts_with("DOUBLE") {
        let number: Option<Option<f64>> = connection
            .exec_first(
                format!(
                    "SELECT {} FROM test.types WHERE id = {id}",
                    if kind == "FLOAT" { format!("CAST({name} AS DOUBLE)") } else { name.to_string() }
                ),
                (),
            )
            .await
            .expect("a number");
        return number.flatten().map(|number| number.to_string());
    }
    let text: Option<Option<String>> = connection.query_first(question).await.expect("a row");
    let text = text.expect("the row")?;
    Some(match kind {
        kind if kind == "JSON" || is_spatial(kind) => {
            serde_json::from_str::<serde_json::Value>(&text).expect("valid JSON").to_string()
        }
        kind if kind.starts_with("VECTOR") => {
            let numbers: Vec<f32> = serde_json::from_str(&text).expect("numbers");
            format!("[{}]", numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(","))
        }
        _ => text,
    })
}

async fn every_type_reads_as_select_shows_it(metadata: &str, compression: &str) {
    let server = Mysql::start(&[&format!("--binlog-row-metadata={metadata}"), "--default-time-zone=+00:00"]).await;
    let mut root = server.root().await;
    let columns: Vec<String> = TYPES.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
    sql(&mut root, &format!(
        "CREATE TABLE test.types (id INT, {}, gv INT GENERATED ALWAYS AS (id * 2) VIRTUAL, gs VARCHAR(9) GENERATED ALWAYS AS (CONCAT('x', id)) STORED, \
         inv INT INVISIBLE DEFAULT 7, PRIMARY KEY (e, id)) DEFAULT CHARSET utf8mb4",
        columns.join(", "))).await;
    let mut reader = server.follow(latest());
    reader.started().await;
    sql(&mut root, &format!("SET SESSION binlog_transaction_compression = {compression}")).await;
    let names: Vec<&str> = TYPES.iter().map(|(name, _, _)| *name).collect();
    for place in 0..3 {
        let values: Vec<&str> = TYPES.iter().map(|(_, _, values)| values[place]).collect();
        sql(
            &mut root,
            &format!("INSERT INTO test.types (id, {}) VALUES ({place}, {})", names.join(", "), values.join(", ")),
        )
        .await;
    }
    sql(&mut root, "INSERT INTO test.types (id, e) VALUES (3, 'a')").await;
    sql(&mut root, "UPDATE test.types SET i = 5 WHERE id = 0").await;
    sql(&mut root, "DELETE FROM test.types WHERE id = 3").await;
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    let ops: Vec<Op> = changes.iter().map(|change| change.op).collect();
    assert_eq!(ops, [Op::Insert, Op::Insert, Op::Insert, Op::Insert, Op::Update, Op::Delete]);
    let table = &changes[0].table;
    assert_eq!(table.primary_key, [table.column("e").expect("e"), table.column("id").expect("id")]);
    let expected: Vec<&str> = [&["id"][..], &names, &["gv", "gs", "inv"]].concat();
    assert_eq!(table.columns.iter().map(|name| &**name).collect::<Vec<_>>(), expected);
    for (id, change) in changes.iter().enumerate().filter(|(_, change)| change.op != Op::Delete && change.ordinal == 1)
    {
        let id = if change.op == Op::Update { 0 } else { id };
        if id == 3 || (id == 0 && change.op == Op::Insert) {
            continue;
        }
        for (name, kind, _) in TYPES {
            let index = table.column(name).expect(name);
            let Cell::Value(value) = change.row().expect("a row").cell(index) else { panic!("{name} is absent") };
            assert_eq!(as_selected(&value), selected(&mut root, id, name, kind).await, "{name} {kind} of row {id}");
        }
    }
    let gs = table.column("gs").expect("gs");
    assert_eq!(changes[1].latest(gs), Some(Value::Text("x1".into())));
    assert_eq!(changes[1].latest(gs + 1), Some(Value::Int(7)));
    let i = table.column("i").expect("i");
    let update = &changes[4];
    assert_eq!(update.old().expect("before").cell(i), Cell::Value(Value::Int(-2_147_483_648)));
    let differing: Vec<usize> = (0..table.columns.len()).filter(|column| update.column_differs(*column)).collect();
    assert_eq!(differing, [i]);
    let nulls: &Row = changes[5].row().expect("before");
    assert_eq!(nulls.cell(i), Cell::Value(Value::Null));
}

#[tokio::test]
async fn every_type_reads_as_select_shows_it_with_full_metadata() {
    every_type_reads_as_select_shows_it("FULL", "OFF").await;
}

#[tokio::test]
async fn every_type_reads_as_select_shows_it_with_minimal_metadata_and_compression() {
    every_type_reads_as_select_shows_it("MINIMAL", "ON").await;
}
