//! Every shape of transaction comes out once and moves the position; large ones stream.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use rowhook::change::{Cell, Row, Value};
use rowhook::position::{Resume, Within};
use rowhook::source::SourceEvent;

use super::*;

#[tokio::test]
async fn every_kind_of_transaction_comes_out_once_and_moves_the_position() {
    let server = Mysql::start(&["--binlog-row-metadata=FULL"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s VARCHAR(20))").await;
    sql(&mut root, "CREATE TABLE test.m (n INT) ENGINE=MyISAM").await;
    sql(&mut root, "CREATE TABLE test.l (n INT)").await;
    sql(&mut root, "CREATE DATABASE other").await;
    sql(&mut root, "CREATE TABLE other.a (n INT)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    // Savepoints.
    for statement in [
        "BEGIN",
        "INSERT INTO test.a VALUES (1,'')",
        "SAVEPOINT s",
        "INSERT INTO test.a VALUES (2,'')",
        "ROLLBACK TO s",
        "INSERT INTO test.a VALUES (3,'')",
        "COMMIT",
    ] {
        sql(&mut root, statement).await;
    }
    // Rolled back, empty, filtered, without transactions, as a definition.
    for statement in [
        "BEGIN",
        "INSERT INTO test.a VALUES (99,'')",
        "ROLLBACK",
        "SET gtid_next = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:7'",
        "BEGIN",
        "COMMIT",
        "SET gtid_next = AUTOMATIC",
        "INSERT INTO other.a VALUES (98)",
        "INSERT INTO test.m VALUES (4)",
        "SET gtid_next = 'AUTOMATIC:mytag'",
        "INSERT INTO test.a VALUES (5,'')",
        "SET gtid_next = AUTOMATIC",
        "CREATE TABLE test.c (n INT PRIMARY KEY) AS SELECT 6 AS n",
        "ALTER TABLE test.a ADD COLUMN x INT FIRST",
        "INSERT INTO test.a VALUES (7, 70, '')",
        "ALTER TABLE test.a DROP COLUMN x",
        "TRUNCATE TABLE test.m",
        "CREATE USER u IDENTIFIED BY 'x'",
        "GRANT SELECT ON test.* TO u",
        "ALTER USER u IDENTIFIED BY 'insert'",
        "FLUSH TABLES",
        "ANALYZE TABLE test.a",
        "OPTIMIZE TABLE test.m",
        "DROP USER u",
        "/* insert */ CREATE VIEW test.v AS SELECT 1",
        "DROP VIEW test.v",
        "CREATE TRIGGER test.tr AFTER INSERT ON test.a FOR EACH ROW INSERT INTO test.l VALUES (NEW.n)",
        "INSERT INTO test.a VALUES (8,''), (9,'')",
        "DROP TRIGGER test.tr",
        "UPDATE test.a, test.c SET test.a.s = 'y', test.c.n = 10 WHERE test.a.n = 1",
        "XA START 'one'",
        "INSERT INTO test.a VALUES (11,'')",
        "XA END 'one'",
        "XA COMMIT 'one' ONE PHASE",
        "SET SESSION binlog_transaction_compression = ON",
        "XA START 'four'",
        "INSERT INTO test.a VALUES (14,'')",
        "XA END 'four'",
        "XA COMMIT 'four' ONE PHASE",
        "SET SESSION binlog_transaction_compression = OFF",
        "XA START 'two'",
        "INSERT INTO other.a VALUES (97)",
        "XA END 'two'",
        "XA PREPARE 'two'",
        "XA COMMIT 'two'",
        "SET SESSION binlog_transaction_compression = ON",
        "BEGIN",
        "INSERT INTO test.a VALUES (12,'')",
        "INSERT INTO test.a VALUES (13,'')",
        "COMMIT",
        "SET SESSION binlog_format = STATEMENT",
        "INSERT INTO other.a VALUES (96)",
        "SET SESSION binlog_format = ROW",
        "DROP DATABASE other",
        "FLUSH BINARY LOGS",
    ] {
        sql(&mut root, statement).await;
    }
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    let seen: Vec<String> = changes
        .iter()
        .map(|change| {
            let column = change.table.column("n").expect("n");
            let Some(Value::Int(n)) = change.latest(column) else { panic!("{change:?}") };
            format!("{} {n} #{}", change.table.name, change.ordinal)
        })
        .collect();
    let expected = [
        "a 1 #1", "a 3 #2", "m 4 #1", "a 5 #1", "c 6 #1", "a 70 #1", "a 8 #1", "l 8 #1", "a 9 #2", "l 9 #2", "a 1 #1",
        "c 10 #1", "a 11 #1", "a 14 #1", "a 12 #1", "a 13 #2",
    ];
    let mut sorted = (seen.clone(), expected.map(String::from).to_vec());
    assert!(seen.iter().position(|text| text == "a 8 #1") < seen.iter().position(|text| text == "a 9 #2"), "{seen:?}");
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    assert!(changes[3].transaction.identity().contains(":mytag:1"), "{}", changes[3].transaction.identity());
    let executed: Option<String> = root.query_first("SELECT @@gtid_executed").await.expect("a set");
    let position = reader.position.clone().expect("a position");
    assert_eq!(position.parts().gtids.clone().expect("gtids"), executed.expect("a set").parse().expect("a set"));
    let status: Option<(String, u64)> = root
        .query_first::<mysql_async::Row, _>("SHOW BINARY LOG STATUS")
        .await
        .expect("status")
        .map(|row| (row.get(0).expect("file"), row.get(1).expect("offset")));
    assert_eq!(status, Some((position.place().file.to_string(), position.place().offset)));
    loop {
        if matches!(reader.next().await.expect("no error"), SourceEvent::Idle) {
            break;
        }
    }
    assert_eq!(reader.metrics.changes_read.get(), 17);
}

#[tokio::test]
async fn a_large_transaction_streams_and_survives_breaks_in_its_middle() {
    a_large_transaction_streams("OFF").await;
}

#[tokio::test]
async fn a_large_compressed_transaction_streams_and_survives_breaks_in_its_middle() {
    a_large_transaction_streams("ON").await;
}

async fn a_large_transaction_streams(compression: &str) {
    let server = Mysql::start(&["--binlog-row-metadata=FULL", "--max-binlog-size=1G"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s CHAR(100))").await;
    sql(&mut root, "SET SESSION cte_max_recursion_depth = 1000000").await;
    sql(&mut root, &format!("SET SESSION binlog_transaction_compression = {compression}")).await;
    let mut reader = server.follow(latest());
    reader.started().await;
    sql(&mut root, "INSERT INTO test.a WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 200000) SELECT n, REPEAT('x', 100) FROM r").await;
    done(&mut root, 1).await;
    let (mut portions, mut ordinals, mut killed) = (0, Vec::new(), 0);
    loop {
        match reader.next().await.expect("no error") {
            SourceEvent::Rows(rows) if &*rows[0].table().name == "a" => {
                portions += 1;
                let transaction = rows[0].transaction().identity();
                let rows = taken(rows);
                ordinals.extend(rows.iter().map(|change| change.ordinal));
                assert!(rows.iter().all(|change| change.latest(0) == Some(Value::Int(change.ordinal as i64))));
                if portions % 20 == 5 && killed < 3 {
                    for id in dump_threads(&mut root).await {
                        let _ = root.query_drop(format!("KILL {id}")).await;
                        killed += 1;
                    }
                }
                // And a process that ends in the middle and resumes: the small compressed form may be over before a KILL.
                if portions == 50 {
                    let position = reader.position.clone().expect("a position");
                    let within = vec![Within {
                        transaction: transaction.into(),
                        table: "test.a".into(),
                        rows: ordinals.len() as u64,
                    }];
                    reader =
                        server.follow(source::From::Resume(Resume { position, within, schema: Default::default() }));
                }
            }
            SourceEvent::Committed(_) if !ordinals.is_empty() => break,
            _ => {}
        }
    }
    assert!(portions > 50, "{portions}");
    assert!(killed > 0);
    assert_eq!(ordinals, (1..=200_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn partial_row_images_and_schema_changes_under_minimal_metadata() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, a INT, s VARCHAR(20), b BLOB)").await;
    let mut reader = server.follow(latest());
    let start = reader.started().await;
    sql(&mut root, "INSERT INTO test.a VALUES (1, 2, 'x', 'b')").await;
    sql(&mut root, "SET SESSION binlog_row_image = MINIMAL").await;
    sql(&mut root, "UPDATE test.a SET s = 'y' WHERE n = 1").await;
    sql(&mut root, "DELETE FROM test.a WHERE n = 1").await;
    sql(&mut root, "SET SESSION binlog_row_image = FULL").await;
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    let present = |row: Option<&Row>| -> BTreeMap<usize, Value> {
        let cells = row.map(|row| row.cells()).unwrap_or_default().into_iter().enumerate();
        cells.filter_map(|(at, cell)| if let Cell::Value(value) = cell { Some((at, value)) } else { None }).collect()
    };
    let update = &changes[1];
    assert_eq!(present(update.old()), BTreeMap::from([(0, Value::Int(1))]));
    assert_eq!(present(update.row()), BTreeMap::from([(2, Value::Text("y".into()))]));
    assert_eq!(present(changes[2].row()), BTreeMap::from([(0, Value::Int(1))]));
    sql(&mut root, "ALTER TABLE test.a ADD COLUMN z INT FIRST").await;
    sql(&mut root, "INSERT INTO test.a VALUES (9, 2, 2, 'x', 'b')").await;
    done(&mut root, 2).await;
    let changes = reader.until_done(2).await;
    assert_eq!(&*changes[0].table.columns[0], "z");
    assert_eq!(changes[0].table.primary_key, [1]);
    // Read from before the change, the log no longer fits the table.
    let error = server.follow(resume(&start)).error().await;
    assert!(error.to_string().contains("binlog_row_metadata"), "{error}");
    let tables = source::named_tables(&server.settings(), &watched()).await.expect("tables");
    assert_eq!(tables.found.iter().map(|found| found.table.to_string()).collect::<Vec<_>>(), ["test.a", "test.done"]);
}
