//! A reader goes on where it stopped: by GTID, by file and offset, after a pause.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use rowhook::change::Change;
use rowhook::position::{FileOffset, FoundBy, Resume, Start, Within};
use rowhook::source::{Error, ReadStatus, SourceEvent};
use tokio::time::timeout;

use super::*;

/// Reads from the first start on, dies at some point, resumes: everything once.
async fn a_resumed_reader_goes_on_where_it_stopped(arguments: &[&str]) {
    let server = Mysql::start(arguments).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    let mut position = reader.started().await;
    for n in 0..20 {
        sql(&mut root, &format!("SET SESSION binlog_transaction_compression = {}", n % 2)).await;
        sql(&mut root, &format!("BEGIN; INSERT INTO test.a VALUES ({}), ({})", 2 * n, 2 * n + 1)).await;
        sql(&mut root, "COMMIT").await;
        if n % 5 == 4 {
            sql(&mut root, "FLUSH BINARY LOGS").await;
        }
    }
    done(&mut root, 1).await;
    let all: Vec<(i64, String)> = named(&reader.until_done(1).await);
    assert_eq!(all.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    // Step through it once more, a new reader for every transaction.
    let mut again = Vec::new();
    for _ in 0..20 {
        let mut reader = server.follow(resume(&position));
        reader.started().await;
        let mut rows = Vec::new();
        loop {
            match reader.next().await.expect("no error") {
                SourceEvent::Rows(changes) => rows.extend(taken(changes)),
                SourceEvent::Committed(_) if !rows.is_empty() => break,
                _ => {}
            }
        }
        again.extend(named(&rows));
        position = reader.position.clone().expect("a position");
    }
    assert_eq!(again, all);
    // Within a transaction: the first row was dealt with.
    let mut reader = server.follow(source::From::Start(Start::Earliest));
    let mut start = reader.started().await;
    let transaction;
    let whole = loop {
        match reader.next().await.expect("no error") {
            SourceEvent::Rows(rows) if &*rows[0].table().name == "a" => {
                transaction = rows[0].transaction().identity();
                break named(&taken(rows));
            }
            _ => start = reader.position.clone().expect("a position"),
        }
    };
    let elsewhere = Within { transaction: "another".into(), table: "test.a".into(), rows: 1 };
    let resume = Resume { position: start.clone(), within: vec![elsewhere], schema: Default::default() };
    let other = server.follow(source::From::Resume(resume)).until_done(1).await;
    assert_eq!(other[0].ordinal, 1, "rows of another transaction are not left out");
    let within = vec![Within { transaction: transaction.into(), table: "test.a".into(), rows: 1 }];
    let mut reader =
        server.follow(source::From::Resume(Resume { position: start, within, schema: Default::default() }));
    let mut part = reader.until_done(1).await;
    assert_eq!(part[0].ordinal, 2);
    let part = named(&[part.remove(0)]);
    assert_eq!(part, whole[1..]);
}

/// Number and identity of each change.
fn named(changes: &[Change]) -> Vec<(i64, String)> {
    let identity = |change: &Change| format!("{} {}", change.transaction.identity(), change.ordinal);
    ints(changes).into_iter().zip(changes.iter().map(identity)).collect()
}

#[tokio::test]
async fn a_resumed_reader_goes_on_where_it_stopped_by_gtid() {
    a_resumed_reader_goes_on_where_it_stopped(&["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]).await;
}

#[tokio::test]
async fn a_resumed_reader_goes_on_where_it_stopped_by_file_and_offset() {
    a_resumed_reader_goes_on_where_it_stopped(&["--gtid-mode=OFF"]).await;
}

#[tokio::test]
async fn a_resumed_reader_goes_on_where_it_stopped_without_checksums() {
    a_resumed_reader_goes_on_where_it_stopped(&["--gtid-mode=OFF", "--binlog-checksum=NONE"]).await;
}

#[tokio::test]
async fn a_place_in_a_file_becomes_the_gtid_set_before_it() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s TEXT)").await;
    sql(&mut root, "FLUSH BINARY LOGS").await;
    sql(&mut root, "INSERT INTO test.a VALUES (1, '')").await;
    let row: mysql_async::Row = root.query_first("SHOW BINARY LOG STATUS").await.expect("status").expect("a row");
    let (file, offset): (String, u64) = (row.get(0).expect("file"), row.get(1).expect("offset"));
    let executed: Option<String> = root.query_first("SELECT @@gtid_executed").await.expect("a set");
    let place = FileOffset { file: file.as_str().into(), offset };
    let at = |offset| source::From::Start(Start::At(FileOffset { offset, ..place.clone() }));
    // At the very end of the log.
    let position = server.follow(at(offset)).started().await;
    assert_eq!(position.parts().gtids, Some(executed.clone().expect("a set").parse().expect("a set")));
    sql(&mut root, "INSERT INTO test.a VALUES (2, '')").await;
    sql(&mut root, "FLUSH BINARY LOGS").await;
    done(&mut root, 1).await;
    // In the middle of it.
    let mut reader = server.follow(at(offset));
    assert_eq!(reader.started().await.parts().gtids, Some(executed.expect("a set").parse().expect("a set")));
    assert_eq!(ints(&reader.until_done(1).await), [2]);
    assert_eq!(ints(&server.follow(at(4)).until_done(1).await), [1, 2]);
    // Inside a transaction: behind its GTID event.
    let events: Vec<mysql_async::Row> =
        root.query(format!("SHOW BINLOG EVENTS IN '{file}' FROM {offset}")).await.expect("events");
    let inside: u64 = events[1].get(1).expect("a position");
    let error = server.follow(at(inside)).error().await;
    assert!(matches!(error, Error::BadPosition { .. }), "{error}");
}

#[tokio::test]
async fn what_a_set_holds_is_passed_over_where_it_comes_all_the_same() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    let start = reader.started().await;
    // As from a server that had them in another order: the second of three, also compressed, of two events, and a statement.
    for (n, statement) in [
        (10, "INSERT INTO test.a VALUES (11)"),
        (20, "SET SESSION binlog_transaction_compression = ON"),
        (30, "UPDATE test.a SET n = n + 1000 WHERE n < 1000"),
        (40, "ALTER TABLE test.a COMMENT 'x'"),
    ] {
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
        sql(&mut root, statement).await;
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({})", n + 2)).await;
    }
    done(&mut root, 1).await;
    let all: Vec<Change> = reader.until_done(1).await;
    for passed_over in &all {
        let gtid = passed_over.transaction.gtid.clone().expect("a GTID");
        let position = edited(&start, |parts| parts.gtids.as_mut().expect("a set").insert(&gtid));
        let expected: Vec<Change> =
            all.iter().filter(|change| change.transaction.gtid.as_ref() != Some(&gtid)).cloned().collect();
        let mut again = server.follow(resume(&position));
        assert_eq!(named(&again.until_done(1).await), named(&expected), "without {gtid}");
        let gtids = |reader: &Reader| reader.position.as_ref().expect("a position").parts().gtids.clone();
        assert_eq!(gtids(&again), gtids(&reader));
    }
}

#[tokio::test]
async fn a_position_of_an_earlier_version_goes_on_while_gtid_mode_changes() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    sql(&mut root, "INSERT INTO test.a VALUES (1)").await;
    let position = server.follow(latest()).started().await;
    let position = edited(&position, |parts| parts.found_by = FoundBy::Set);
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE"] {
        sql(&mut root, &format!("SET GLOBAL gtid_mode = {mode}")).await;
    }
    sql(&mut root, "INSERT INTO test.a VALUES (2)").await;
    done(&mut root, 1).await;
    assert_eq!(ints(&server.follow(resume(&position)).until_done(1).await), [2]);
    // Its set without a transaction that lies before its place: the place is not what the set says.
    let newest = position.parts().gtids.as_ref().and_then(|set| set.newest().next()).expect("a GTID");
    let elsewhere = edited(&position, |parts| parts.gtids = parts.gtids.take().map(|set| set.without(&newest)));
    let error = server.follow(resume(&elsewhere)).error().await;
    assert!(matches!(error, Error::GtidsOff { .. }), "{error}");
}

#[tokio::test]
async fn a_consumer_that_pauses_gets_everything_later() {
    let server = Mysql::start(&["--binlog-row-metadata=FULL"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut settings = server.settings();
    settings.stall_timeout = Duration::from_millis(300);
    let mut reader = Reader::new(settings, latest());
    reader.started().await;
    for n in 0..200 {
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
    }
    let stalled = reader.following.status.wait_for(|status| matches!(status, ReadStatus::Stalled { .. }));
    timeout(DEADLINE, stalled).await.expect("in time").expect("a status");
    done(&mut root, 1).await;
    assert_eq!(ints(&reader.until_done(1).await), (0..200).collect::<Vec<_>>());
    assert_eq!(reader.metrics.reconnects.get(), 0, "back-pressure is no failure");
}
