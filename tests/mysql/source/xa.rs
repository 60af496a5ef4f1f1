//! XA in two phases: rows count where they are committed, also when the reader or the server restarted in between.

use mysql_async::prelude::Queryable;
use rowhook::position::Within;

use super::*;

#[tokio::test]
async fn an_xid_of_which_the_prepare_event_keeps_half_finds_its_rows() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    for (n, format) in [(1, "2147483648"), (2, "4294967301")] {
        let xid = format!("'long','',{format}");
        prepare(&server, &xid, n).await;
        sql(&mut root, &format!("XA COMMIT {xid}")).await;
    }
    done(&mut root, 1).await;
    assert_eq!(numbers(&seen(&mut reader, 1).await), [1, 101, 2, 102]);
}

async fn prepare(server: &Mysql, xid: &str, n: i64) {
    let mut session = server.root().await;
    sql(&mut session, &format!("XA START {xid}")).await;
    sql(&mut session, &format!("INSERT INTO test.a VALUES ({n})")).await;
    sql(&mut session, &format!("UPDATE test.a SET n = n + 100 WHERE n = {n}")).await;
    sql(&mut session, &format!("XA END {xid}")).await;
    sql(&mut session, &format!("XA PREPARE {xid}")).await;
    // A session may not do anything else while its transaction is prepared; another one may decide it.
    drop(session);
}

/// (n, transaction, ordinal) of each change until `done`.
async fn seen(reader: &mut Reader, done: i64) -> Vec<(i64, String, u64)> {
    let changes = reader.until_done(done).await;
    let rows = ints(&changes).into_iter().zip(&changes);
    rows.map(|(n, change)| (n, change.transaction.identity(), change.ordinal)).collect()
}

fn numbers(seen: &[(i64, String, u64)]) -> Vec<i64> {
    seen.iter().map(|(n, ..)| *n).collect()
}

async fn rows_of_xa_transactions_count_when_they_are_committed(gtid_mode: &str) {
    let consistency = format!("--enforce-gtid-consistency={gtid_mode}");
    let mut server = Mysql::start(&[&format!("--gtid-mode={gtid_mode}"), &consistency]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    prepare(&server, "'kept'", 1).await;
    prepare(&server, "'undone'", 2).await;
    prepare(&server, "X'00ff', 'branch', 77", 3).await;
    sql(&mut root, "INSERT INTO test.a VALUES (4)").await;
    done(&mut root, 1).await;
    assert_eq!(numbers(&seen(&mut reader, 1).await), [4]);
    let before_outcomes = reader.position.clone().expect("a position");

    // A server that restarts keeps what is prepared.
    server.restart(true);
    let mut root = server.root().await;
    sql(&mut root, "XA COMMIT 'kept'").await;
    sql(&mut root, "INSERT INTO test.a VALUES (5)").await;
    sql(&mut root, "XA ROLLBACK 'undone'").await;
    done(&mut root, 2).await;
    let live = seen(&mut reader, 2).await;
    assert_eq!(numbers(&live), [1, 101, 5]);
    assert_eq!(live[0].1, live[1].1);
    let one_is_left = reader.position.clone().expect("a position");
    let mut again = server.follow(resume(&before_outcomes));
    assert_eq!(seen(&mut again, 2).await, live);

    sql(&mut root, "XA COMMIT X'00ff', 'branch', 77").await;
    done(&mut root, 3).await;
    let last = seen(&mut reader, 3).await;
    assert_eq!(numbers(&last), [3, 103]);
    let mut again = server.follow(resume(&one_is_left));
    assert_eq!(seen(&mut again, 3).await, last);
    // The first row was dealt with before a restart.
    let within = Within { transaction: last[0].1.as_str().into(), table: "test.a".into(), rows: 1 };
    let resume = Resume { position: one_is_left, within: vec![within], schema: Default::default() };
    let mut again = server.follow(source::From::Resume(resume));
    assert_eq!(seen(&mut again, 3).await, last[1..]);

    let position = reader.position.clone().expect("a position");
    assert!(position.parts().undecided.is_empty());
    let executed: Option<String> = root.query_first("SELECT @@GLOBAL.gtid_executed").await.expect("a set");
    let executed = executed.map(|text| text.parse().expect("a set"));
    assert_eq!(position.parts().gtids, executed);
}

#[tokio::test]
async fn rows_of_xa_transactions_count_when_they_are_committed_with_gtids() {
    rows_of_xa_transactions_count_when_they_are_committed("ON").await;
}

#[tokio::test]
async fn rows_of_xa_transactions_count_when_they_are_committed_without_gtids() {
    rows_of_xa_transactions_count_when_they_are_committed("OFF").await;
}

#[tokio::test]
async fn an_xa_transaction_too_large_to_buffer_stops_the_reader() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.b (n INT PRIMARY KEY, b LONGBLOB)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    for (xid, n) in [("'one'", 1), ("'two'", 2)] {
        let mut session = server.root().await;
        sql(&mut session, &format!("XA START {xid}")).await;
        sql(&mut session, &format!("INSERT INTO test.b VALUES ({n}, REPEAT('x', 40 << 20))")).await;
        sql(&mut session, &format!("XA END {xid}")).await;
        sql(&mut session, &format!("XA PREPARE {xid}")).await;
    }
    let error = reader.error().await;
    assert!(error.to_string().contains("more than 64 MiB"), "{error}");
}

#[tokio::test]
async fn xa_transactions_that_are_prepared_while_gtid_mode_changes_count_once() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    // Prepared in one mode and decided in the other, to and fro; every reader but the first begins while it is prepared.
    let (mut n, mut last) = (0, 0);
    for modes in [["ON_PERMISSIVE", "OFF_PERMISSIVE"], ["ON_PERMISSIVE", "ON"]] {
        n += 1;
        prepare(&server, &format!("'x{n}'"), n).await;
        last += 1;
        done(&mut root, last).await;
        assert!(numbers(&seen(&mut reader, last).await).is_empty());
        let prepared = reader.position.clone().expect("a position");
        assert_eq!(prepared.parts().undecided.len(), 1);
        for mode in modes {
            sql(&mut root, &format!("SET GLOBAL gtid_mode = {mode}")).await;
        }
        if modes[1] == "ON" {
            // It was prepared without a GTID, and a server with gtid_mode=ON does not send it again.
            assert_eq!(prepared.set(), None, "no other server can find it");
            sql(&mut root, "SET GLOBAL gtid_mode = ON_PERMISSIVE").await;
        }
        sql(&mut root, &format!("XA COMMIT 'x{n}'")).await;
        last += 1;
        done(&mut root, last).await;
        let live = seen(&mut reader, last).await;
        assert_eq!(numbers(&live), [n, n + 100]);
        assert_eq!(seen(&mut server.follow(resume(&prepared)), last).await, live);
        let decided = reader.position.clone().expect("a position");
        assert!(decided.parts().undecided.is_empty());
        last += 1;
        done(&mut root, last).await;
        assert!(numbers(&seen(&mut reader, last).await).is_empty());
        assert!(numbers(&seen(&mut server.follow(resume(&decided)), last).await).is_empty());
    }
    let executed: Option<String> = root.query_first("SELECT @@GLOBAL.gtid_executed").await.expect("a set");
    let position = reader.position.clone().expect("a position");
    assert_eq!(position.set(), executed.map(|text| text.parse().expect("a set")).as_ref());
}
