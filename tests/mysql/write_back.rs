//! Statements that rowhook writes to a real server: values, rows that are expected, every way to fail, and whether the
//! source knows them again.

mod checks;
mod failures;
mod own;

use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::source::{Settings, TlsMode};
use rowhook::write_back::{Database, Failed, WriteFailureKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::mysql::MysqlServer;

const DEADLINE: Duration = Duration::from_secs(40);

/// Far above what a statement of these tests takes.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// An account that may write the tables of the schema `test` and has these privileges besides.
async fn account(server: &MysqlServer, name: &str, privileges: &str) -> Settings {
    server
        .query(&format!(
            "CREATE DATABASE IF NOT EXISTS test; CREATE USER {name}@'%' IDENTIFIED BY 'p@ss/w';
             GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON test.* TO {name}@'%'"
        ))
        .await;
    if !privileges.is_empty() {
        server.query(&format!("GRANT {privileges} ON *.* TO {name}@'%'")).await;
    }
    Settings::from_url(&server.url(name, "p@ss/w"), Uuid::nil()).expect("a URL")
}

const TAGGING: &str = "TRANSACTION_GTID_TAG, SESSION_VARIABLES_ADMIN";

async fn database(server: &MysqlServer, name: &str) -> Database {
    Database::new(account(server, name, TAGGING).await).expect("settings")
}

/// Runs a statement that is expected to fail.
async fn fails(database: &Database, statement: &str, values: Vec<Value>) -> Failed {
    database.execute(statement, values, None, STATEMENT_TIMEOUT).await.expect_err(statement)
}

async fn succeeds(database: &Database, statement: &str, values: Vec<Value>) -> u64 {
    database
        .execute(statement, values, None, STATEMENT_TIMEOUT)
        .await
        .unwrap_or_else(|failed| panic!("{statement}: {failed:?}"))
}

/// Asks until the server says so.
async fn wait_for(connection: &mut Conn, question: &str) {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let answer: Option<bool> = connection.query_first(question).await.expect("an answer");
        if answer == Some(true) {
            return;
        }
        assert!(Instant::now() < give_up_at, "never true: {question}");
        // InnoDB's tables of transactions are filled again only when they were not read for a tenth of a second.
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_arrive_as_they_are() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server
        .query(
            "CREATE TABLE test.v (id INT PRIMARY KEY, i BIGINT, u BIGINT UNSIGNED, d DECIMAL(65,30), f DOUBLE,
             s VARCHAR(50) CHARACTER SET utf8mb4, l VARCHAR(50) CHARACTER SET latin1, b VARBINARY(20), j JSON, t TINYINT,
             at DATETIME(6), y TIMESTAMP(6) NULL)",
        )
        .await;
    let statement =
        "INSERT INTO test.v VALUES (?, ?, ?, ?, ?, ?, ?, FROM_BASE64(?), ?, ?, ?, REPLACE(?, 'Z', '+00:00'))";
    let decimal = "12345678901234567890123456789012345.123456789012345678901234567890";
    let values = |id: u32| {
        vec![
            json!(id),
            json!(i64::MIN),
            json!(u64::MAX),
            serde_json::from_str(decimal).expect("a number"),
            serde_json::from_str("1.7976931348623157e308").expect("a number"),
            json!("it's \"ä\" \\ \u{1f600} :name ?"),
            json!("é"),
            json!("AP8="),
            json!({"a": [1, null, "é"]}),
            json!(true),
            json!("2026-11-20T23:04:05.123456"),
            json!("2026-11-20T23:04:05.123456Z"),
        ]
    };
    assert_eq!(succeeds(&database, statement, values(1)).await, 1);
    assert_eq!(succeeds(&database, statement, [vec![json!(2)], vec![Value::Null; 11]].concat()).await, 1);
    let question = "SET time_zone = '+00:00'";
    let mut root = server.conn().await;
    root.query_drop(question).await.expect("a time zone");
    let shown = "SELECT CONCAT_WS('|', i, u, d, f, s, l, HEX(b), CAST(j AS CHAR), t, at, y) FROM test.v ORDER BY id";
    let rows: Vec<String> = root.query(shown).await.expect("rows");
    let expected = [
        "-9223372036854775808|18446744073709551615",
        decimal,
        "1.7976931348623157e308|it's \"ä\" \\ \u{1f600} :name ?|é|00FF",
        "{\"a\": [1, null, \"é\"]}|1|2026-11-20 23:04:05.123456|2026-11-20 23:04:05.123456",
    ];
    assert_eq!(rows, [expected.join("|"), String::new()]);
    // A decimal as the data format prints it, compared with the column.
    let found = succeeds(&database, "UPDATE test.v SET t = 2 WHERE d = ?", vec![json!(decimal)]).await;
    assert_eq!(found, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_was_done_already_matches_its_rows_again() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); INSERT INTO test.t VALUES (1, 1), (2, 1)").await;
    let update = "UPDATE test.t SET n = ? WHERE id = ?";
    for _ in 0..2 {
        let rows = database.execute(update, vec![json!(5), json!(1)], Some(&(1..=1)), STATEMENT_TIMEOUT).await;
        assert_eq!(rows, Ok(1));
    }
    let rows = database.execute(update, vec![json!(6), json!(9)], Some(&(1..=1)), STATEMENT_TIMEOUT).await;
    let failed = rows.expect_err("no such row");
    assert_eq!(failed.kind, WriteFailureKind::Refused);
    assert_eq!(failed.message, "the statement matched 0 rows, expected 1; rolled back");
    let everything = database.execute("UPDATE test.t SET n = 7", vec![], Some(&(1..=1)), STATEMENT_TIMEOUT).await;
    assert_eq!(everything.expect_err("two rows").kind, WriteFailureKind::Refused);
    // The next transaction of the same connection would commit what was left open.
    assert_eq!(succeeds(&database, update, vec![json!(5), json!(1)]).await, 1);
    assert_eq!(server.rows::<i32>("SELECT n FROM test.t ORDER BY id").await, [5, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_leaves_nothing_open_and_nothing_changed() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); INSERT INTO test.t VALUES (1, 1)").await;
    let mut root = server.conn().await;
    let slow = database.execute("UPDATE test.t SET n = 2 + SLEEP(2)", vec![], None, STATEMENT_TIMEOUT);
    let running = "SELECT COUNT(*) = 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'UPDATE test.t SET n = 2%'";
    tokio::select! {
        outcome = slow => panic!("done: {outcome:?}"),
        () = wait_for(&mut root, running) => {}
    }
    // Waits for the row, which is free when the server has noticed.
    assert_eq!(succeeds(&database, "UPDATE test.t SET n = n + 10", vec![]).await, 1);
    assert_eq!(server.rows::<i32>("SELECT n FROM test.t").await, [11]);
    wait_for(&mut root, "SELECT COUNT(*) = 0 FROM information_schema.INNODB_TRX").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_statements_at_once_share_a_few_connections() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); INSERT INTO test.t VALUES (1, 0)").await;
    let mut writing = tokio::task::JoinSet::new();
    for id in 2..200 {
        let database = database.clone();
        writing.spawn(async move { succeeds(&database, "INSERT INTO test.t VALUES (?, 1)", vec![json!(id)]).await });
    }
    assert_eq!(writing.join_all().await, vec![1; 198]);
    assert_eq!(server.rows::<i32>("SELECT SUM(n) FROM test.t").await, [198]);
    let connections =
        server.rows::<u64>("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'writer'").await;
    assert!((1..=16).contains(&connections[0]), "{connections:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_checks_a_statement_without_running_it() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); CREATE TABLE mysql.hidden (id INT)").await;
    assert!(database.inspect().await.expect("a server").contains("GTID tag `rowhook`"));
    assert_eq!(database.prepare("INSERT INTO test.t VALUES (?, ?)").await, Ok(2));
    for (statement, expected) in [
        ("UPDATE test.t SET m = ?", "error 1054 (42S22): Unknown column 'm'"),
        ("UPDATE test.u SET m = ?", "error 1146 (42S02): Table 'test.u' doesn't exist"),
        ("UPDAT test.t SET n = 1", "error 1064 (42000): You have an error in your SQL syntax"),
        ("UPDATE mysql.hidden SET id = 1", "error 1142 (42000): UPDATE command denied to user 'writer'"),
    ] {
        let failed = database.prepare(statement).await.expect_err(statement);
        assert_eq!(failed.kind, WriteFailureKind::Refused, "{failed:?}");
        assert!(failed.message.contains(expected), "{failed:?}");
    }
    assert_eq!(server.rows::<u64>("SELECT COUNT(*) FROM test.t").await, [0]);
}
