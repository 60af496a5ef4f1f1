//! Rows that go, or come, without row events: a TRUNCATE calls the rules that are about it, in its place among the changes
//! of the table; of all else there is one warning for each statement.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

/// Operation and version of the row, where there is one.
fn call(request: &Request) -> (String, Option<i64>) {
    let event = request.json();
    (event["op"].as_str().expect("an operation").to_string(), event["after"]["v"].as_i64())
}

fn calls(received: &[Arc<Request>], table: &str) -> Vec<(String, Option<i64>)> {
    let of_table = |request: &&Arc<Request>| request.json()["table"] == table;
    received.iter().filter(of_table).map(|request| call(request)).collect()
}

fn start(rule: &str) -> Program {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", rule);
    let program = home.start(&["run", "--mysql", &MysqlServer::shared().root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_waits_for_the_whole_table_and_the_table_for_it() {
    let server = MysqlServer::shared();
    for (columns, order) in [
        ("id INT PRIMARY KEY, v INT", ""),
        ("id INT, v INT", ""),
        ("id INT PRIMARY KEY, v INT", "    order_by: [id]\n"),
        ("id INT PRIMARY KEY, v INT", "    order_by: table\n"),
        ("id INT PRIMARY KEY, v INT, UNIQUE (v)", "    order_by: [v, id]\n"),
    ] {
        let database = server.fresh_database().await;
        let receiver = Receiver::start(|request| match call(request) {
            (_, Some(1)) => Answer::status(409),
            _ => Answer::ok(),
        });
        let program = start(&format!(
            "table: {database}.*\nrules:\n  - name: r\n    on: [insert, truncate]\n{order}    call: {{url: '{}'}}\n    \
             retry: {{retries: forever, initial: 20ms, multiplier: 1, jitter: 0}}\n    retry_on: [409]\n",
            receiver.url("/")
        ));
        server
            .query(&format!("CREATE TABLE {database}.t ({columns}); CREATE TABLE {database}.u LIKE {database}.t"))
            .await;
        server.query(&format!("INSERT INTO {database}.t VALUES (1, 1)")).await;
        server.query(&format!("TRUNCATE TABLE {database}.t")).await;
        server.query(&format!("INSERT INTO {database}.t VALUES (2, 2); INSERT INTO {database}.u VALUES (3, 3)")).await;
        let last = ("insert".to_string(), Some(2));
        receiver.wait_until(|received| !calls(received, "u").is_empty(), DEADLINE).await;
        let early = calls(&receiver.received(), "t");
        assert!(early.iter().all(|call| *call == ("insert".to_string(), Some(1))), "{columns} {order}: {early:?}");
        receiver.set_script(|_| Answer::ok());
        receiver.wait_until(|received| calls(received, "t").contains(&last), DEADLINE).await;
        let mut seen = calls(&receiver.received(), "t");
        seen.dedup();
        let expected = [("insert", Some(1)), ("truncate", None), ("insert", Some(2))];
        assert_eq!(seen, expected.map(|(op, v)| (op.to_string(), v)), "{columns} {order}");
        drop(program);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_is_delivered_over_a_kill_with_the_same_id_and_no_row() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.t (id INT PRIMARY KEY, v INT)")).await;
    let receiver = Receiver::start(|_| Answer::status(503));
    let mut program = start(&format!(
        "table: {database}.t\nrules:\n  - name: gone\n    on: truncate\n    call: {{url: '{}'}}\n    \
         retry: {{retries: forever, initial: 20ms, multiplier: 1, jitter: 0}}\n",
        receiver.url("/")
    ));
    // One of that name hides it, in a session that logs statements.
    server
        .query(&format!(
            "SET SESSION binlog_format = STATEMENT; CREATE TEMPORARY TABLE {database}.t (id INT); TRUNCATE {database}.t; \
             DROP TEMPORARY TABLE {database}.t"
        ))
        .await;
    server.query(&format!("INSERT INTO {database}.t VALUES (1, 1); USE {database}; TRUNCATE t")).await;
    receiver.wait_for_count(2, DEADLINE).await;
    program.kill_9();
    receiver.set_script(|_| Answer::ok());
    let failed = receiver.count();
    program.restart();
    receiver.wait_for_count(failed + 1, DEADLINE).await;
    let received = receiver.received();
    let ids: std::collections::BTreeSet<&str> =
        received.iter().map(|request| request.header("idempotency-key").expect("a key")).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let mut event: Value = received[0].json().clone();
    for member in ["id", "committed_at", "source"] {
        assert!(!event[member].is_null(), "{event:#}");
        event.as_object_mut().expect("an object").remove(member);
    }
    let expected = json!({
        "rule": "gone", "op": "truncate", "schema": database, "table": "t", "key": null, "before": null, "after": null, "changed": []
    });
    assert_eq!(event, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_that_takes_or_brings_rows_without_events_is_warned_of_once() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let receiver = Receiver::start(|_| Answer::ok());
    for table in ["t", "other"] {
        server
            .query(&format!(
                "CREATE TABLE {database}.{table} (id INT PRIMARY KEY) PARTITION BY RANGE (id) \
                 (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30))"
            ))
            .await;
    }
    server.query(&format!("CREATE TABLE {database}.plain (id INT PRIMARY KEY)")).await;
    let program = start(&format!(
        "table: {database}.t\nrules:\n  - name: r\n    call: {{url: '{0}'}}\n  - name: s\n    call: {{url: '{0}'}}\n",
        receiver.url("/")
    ));
    for (n, (statement, what)) in [
        ("TRUNCATE {d}.t", Some("TRUNCATE")),
        ("TRUNCATE {d}.other", None),
        ("ALTER TABLE {d}.t TRUNCATE PARTITION p1", Some("TRUNCATE PARTITION")),
        ("ALTER TABLE {d}.t EXCHANGE PARTITION p1 WITH TABLE {d}.plain", Some("EXCHANGE PARTITION")),
        ("ALTER TABLE {d}.t DROP PARTITION p0, p1", Some("DROP PARTITION")),
        ("ALTER TABLE {d}.t COMMENT 'TRUNCATE'", None),
        ("DROP TABLE {d}.other", None),
        ("DROP TABLE {d}.t", Some("DROP TABLE")),
        ("CREATE TABLE {d}.made (id INT PRIMARY KEY)", None),
        ("DROP DATABASE {d}", Some("DROP DATABASE")),
    ]
    .into_iter()
    .enumerate()
    {
        let before = program.lines().iter().filter(|line| line.contains("without row events")).count();
        let statement = statement.replace("{d}", &database);
        server.query(&statement).await;
        // What follows in the log is read after it.
        server.query(&format!("CREATE DATABASE IF NOT EXISTS {database}")).await;
        server.query(&format!("CREATE TABLE IF NOT EXISTS {database}.t (id INT PRIMARY KEY)")).await;
        let count = receiver.count();
        server.query(&format!("REPLACE INTO {database}.t VALUES ({})", 20 + n)).await;
        receiver.wait_for_count(count + 2, DEADLINE).await;
        let warnings: Vec<String> =
            program.lines().into_iter().filter(|line| line.contains("without row events")).skip(before).collect();
        assert_eq!(warnings.len(), usize::from(what.is_some()), "{statement}: {warnings:?}");
        assert!(what.is_none_or(|what| warnings[0].contains(what)), "{statement}: {warnings:?}");
    }
}
