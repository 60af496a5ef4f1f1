//! A log that was replaced under its names is never read as the one before: resets, backups, lost tails, other servers.
//!
//! Each way is tried with GTIDs and with files and offsets. What a reader must not do is pass on a row of the new log, as if
//! those that its position hides had never been: it stops, and says what differs.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use rowhook::position::Start;
use rowhook::source::Error;

use super::*;

const WITH_GTIDS: &[&str] = &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];
const WITHOUT_GTIDS: &[&str] = &["--gtid-mode=OFF"];

/// A server with table `test.a`, in a log that begins with it.
async fn server_with_rows(arguments: &[&str]) -> (Mysql, Conn) {
    let server = Mysql::start(arguments).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s VARCHAR(200))").await;
    sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
    (server, root)
}

async fn insert(root: &mut Conn, rows: impl IntoIterator<Item = u32>) {
    for n in rows {
        sql(root, &format!("INSERT INTO test.a VALUES ({n}, 'a row')")).await;
    }
}

/// The reader takes so many rows.
async fn take(reader: &mut Reader, count: usize) {
    let mut seen = 0;
    while seen < count {
        match reader.next().await.expect("no error") {
            SourceEvent::Rows(rows) => seen += taken(rows).len(),
            _ => continue,
        }
        while !matches!(reader.next().await.expect("no error"), SourceEvent::Committed(_)) {}
    }
}

/// What the reader brings until it ends with an error.
async fn rows_and_error(reader: &mut Reader) -> (Vec<i64>, Error) {
    let mut rows = Vec::new();
    loop {
        match reader.next().await {
            Ok(SourceEvent::Rows(changes)) => rows.extend(ints(&taken(changes))),
            Ok(_) => {}
            Err(error) => return (rows, error),
        }
    }
}

#[track_caller]
fn assert_refused(what: &str, (rows, error): (Vec<i64>, Error)) {
    assert!(rows.is_empty(), "{what}: {rows:?} were passed on");
    let is_refused = matches!(error, Error::AnotherLog { .. } | Error::Ahead { .. });
    assert!(is_refused, "{what}: {error}");
    let text = error.to_string();
    assert!(text.contains("rowhook position set"), "{what}: {text}");
}

/// Rows are read; the log is reset while the reader is stopped or runs, and other rows are written: as many, fewer, more.
async fn a_reset_is_noticed(arguments: &[&str]) {
    let (server, mut root) = server_with_rows(arguments).await;
    for (read, written) in [(3, 10), (3, 3), (3, 2), (5, 0)] {
        for is_stopped in [true, false] {
            let what = format!("{arguments:?}: {read} rows read, {written} after a reset, stopped: {is_stopped}");
            sql(&mut root, "TRUNCATE test.a").await;
            sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
            let mut reader = server.follow(latest());
            reader.started().await;
            insert(&mut root, 1..=read).await;
            take(&mut reader, read as usize).await;
            let position = reader.position.clone().expect("a position");
            let reader = (!is_stopped).then_some(reader);
            sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
            insert(&mut root, 1001..=1000 + written).await;
            let mut reader = reader.unwrap_or_else(|| server.follow(resume(&position)));
            assert_refused(&what, rows_and_error(&mut reader).await);
        }
    }
}

#[tokio::test]
async fn a_reset_is_noticed_with_gtids() {
    a_reset_is_noticed(WITH_GTIDS).await;
}

/// The transactions have one size, so that every place of the log before is one of the new log, too.
#[tokio::test]
async fn a_reset_is_noticed_without_gtids() {
    a_reset_is_noticed(WITHOUT_GTIDS).await;
}

#[tokio::test]
async fn a_reset_is_noticed_without_checksums() {
    a_reset_is_noticed(&["--gtid-mode=OFF", "--binlog-checksum=NONE"]).await;
}

/// Nothing was read yet: only the file proves it, or nothing but the set, which is empty.
#[tokio::test]
async fn a_reset_before_the_first_row_is_noticed() {
    for arguments in [WITH_GTIDS, WITHOUT_GTIDS] {
        let (server, mut root) = server_with_rows(arguments).await;
        insert(&mut root, 1..=3).await;
        let position = server.follow(latest()).started().await;
        assert!(position.parts().proof.file_created_s.is_some(), "{position:?}");
        // The time of a file is known in seconds.
        let created = position.parts().proof.file_created_s.expect("a time");
        while now_s(&mut root).await <= created {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
        insert(&mut root, 1001..=1009).await;
        let mut reader = server.follow(resume(&position));
        assert_refused(&format!("{arguments:?}"), rows_and_error(&mut reader).await);
    }
}

async fn now_s(root: &mut Conn) -> u32 {
    root.query_first("SELECT UNIX_TIMESTAMP()").await.expect("a time").expect("a row")
}

#[tokio::test]
async fn a_reset_of_several_files_is_noticed() {
    for arguments in [WITH_GTIDS, WITHOUT_GTIDS] {
        let (server, mut root) = server_with_rows(arguments).await;
        for is_stopped in [true, false] {
            sql(&mut root, "TRUNCATE test.a").await;
            sql(&mut root, "FLUSH BINARY LOGS").await;
            sql(&mut root, "FLUSH BINARY LOGS").await;
            let mut reader = server.follow(latest());
            reader.started().await;
            insert(&mut root, 1..=3).await;
            take(&mut reader, 3).await;
            let position = reader.position.clone().expect("a position");
            let reader = (!is_stopped).then_some(reader);
            sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
            insert(&mut root, 1001..=1009).await;
            sql(&mut root, "FLUSH BINARY LOGS").await;
            insert(&mut root, 1011..=1019).await;
            let mut reader = reader.unwrap_or_else(|| server.follow(resume(&position)));
            assert_refused(&format!("{arguments:?}, {is_stopped}"), rows_and_error(&mut reader).await);
        }
    }
}

#[tokio::test]
async fn a_data_directory_from_a_backup_is_noticed() {
    for arguments in [WITH_GTIDS, WITHOUT_GTIDS] {
        let (mut server, mut root) = server_with_rows(arguments).await;
        let mut reader = server.follow(latest());
        reader.started().await;
        insert(&mut root, 1..=3).await;
        take(&mut reader, 3).await;
        drop(root);
        server.server.shutdown();
        let (data, backup) = (server.server.data_dir(), server.server.data_dir().with_extension("backup"));
        copy(&data, &backup);
        server.server.restart(arguments);
        let mut root = server.root().await;
        insert(&mut root, 4..=6).await;
        take(&mut reader, 3).await;
        let position = reader.position.clone().expect("a position");
        drop((reader, root));
        server.server.shutdown();
        fs::remove_dir_all(&data).expect("removing a folder");
        fs::rename(&backup, &data).expect("renaming a folder");
        server.server.restart(arguments);
        let mut root = server.root().await;
        insert(&mut root, 1004..=1010).await;
        let mut reader = server.follow(resume(&position));
        assert_refused(&format!("{arguments:?}"), rows_and_error(&mut reader).await);
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--"]).args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()), "copying {}", from.display());
}

/// As a crash of the machine with `sync_binlog=0` leaves it: the newest transactions are gone from the log.
#[tokio::test]
async fn a_log_that_lost_its_end_in_a_crash_is_noticed() {
    for arguments in [WITH_GTIDS, WITHOUT_GTIDS] {
        let (mut server, mut root) = server_with_rows(arguments).await;
        for is_running in [true, false] {
            sql(&mut root, "TRUNCATE test.a").await;
            let mut reader = server.follow(latest());
            reader.started().await;
            insert(&mut root, 1..=4).await;
            take(&mut reader, 4).await;
            let kept = reader.position.as_ref().expect("a position").place().clone();
            insert(&mut root, 5..=6).await;
            take(&mut reader, 2).await;
            let position = reader.position.clone().expect("a position");
            let log = server.server.data_dir().join(&*kept.file);
            server.server.kill_9();
            File::options().write(true).open(log).and_then(|log| log.set_len(kept.offset)).expect("cutting the log");
            server.server.restart(arguments);
            root = server.root().await;
            sql(&mut root, "DELETE FROM test.a").await;
            insert(&mut root, 1005..=1010).await;
            let mut reader = if is_running { reader } else { server.follow(resume(&position)) };
            assert_refused(&format!("{arguments:?}, {is_running}"), rows_and_error(&mut reader).await);
        }
    }
}

async fn replicate(source: &Mysql, replica: &Mysql) {
    let port = source.server.port();
    replica
        .server
        .query(&format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='hook', \
             SOURCE_PASSWORD='p@ss/w', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA"
        ))
        .await;
}

async fn wait_for_rows(root: &mut Conn, count: u32) {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let rows: Option<u32> = root.query_first("SELECT COUNT(*) FROM test.a").await.unwrap_or(None);
        if rows.is_some_and(|rows| rows >= count) {
            return;
        }
        assert!(Instant::now() < give_up_at, "the replica has {rows:?} of {count} rows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_real_replica_is_known_again_by_the_time_of_the_first_commit() {
    let source = Mysql::start(WITH_GTIDS).await;
    let replica = MysqlServer::start(WITH_GTIDS);
    replica.query("RESET BINARY LOGS AND GTIDS").await;
    let replica = Mysql { server: replica, arguments: Vec::new() };
    replicate(&source, &replica).await;
    let mut root = source.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s VARCHAR(200))").await;
    let mut reader = source.follow(latest());
    reader.started().await;
    insert(&mut root, 1..=3).await;
    let identities = identities_of(&mut reader, 3).await;
    let position = reader.position.clone().expect("a position");
    let mut other = replica.server.conn().await;
    wait_for_rows(&mut other, 3).await;
    // The same transactions have the same identities there.
    let mut from_the_start = replica.follow(source::From::Start(Start::Earliest));
    assert_eq!(identities_of(&mut from_the_start, 3).await, identities);
    let mut reader = replica.follow(resume(&position));
    assert_eq!(reader.started().await.parts().proof, position.parts().proof, "proven, and not learned again");
    insert(&mut root, 4..=5).await;
    take(&mut reader, 2).await;
    // Its own transactions, after it has become the source.
    sql(&mut other, "STOP REPLICA").await;
    insert(&mut other, 6..=7).await;
    take(&mut reader, 2).await;
    let position = reader.position.clone().expect("a position");
    assert_eq!(position.parts().proof.anchors().len(), 2, "{position:?}");
    let mut reader = replica.follow(resume(&position));
    assert_eq!(reader.started().await.parts().proof, position.parts().proof);
}

async fn identities_of(reader: &mut Reader, count: usize) -> Vec<String> {
    let mut identities = Vec::new();
    while identities.len() < count {
        if let SourceEvent::Rows(rows) = reader.next().await.expect("no error") {
            identities.extend(taken(rows).iter().map(|change| change.transaction.identity()));
        }
    }
    while !matches!(reader.next().await.expect("no error"), SourceEvent::Committed(_)) {}
    identities
}

/// A server that was rebuilt: it has the GTIDs of the source, and something else behind one of them.
#[tokio::test]
async fn a_rebuilt_server_with_other_transactions_is_noticed() {
    let source = Mysql::start(WITH_GTIDS).await;
    let mut root = source.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s VARCHAR(200))").await;
    let mut reader = source.follow(latest());
    reader.started().await;
    insert(&mut root, 1..=3).await;
    take(&mut reader, 3).await;
    let position = reader.position.clone().expect("a position");
    let uuid: String = root.query_first("SELECT @@server_uuid").await.expect("a uuid").expect("a row");
    let newest = position.parts().proof.anchors().last().and_then(|anchor| anchor.gtid.clone()).expect("a GTID").number;
    let executed: String = root.query_first("SELECT @@gtid_executed").await.expect("a set").expect("a row");

    // All of it purged: nothing can be checked, so only names fit, which is no proof.
    let restored = Mysql::start(WITH_GTIDS).await;
    let mut other = restored.root().await;
    sql(&mut other, "CREATE TABLE test.a (n INT PRIMARY KEY, s VARCHAR(200))").await;
    sql(&mut other, "RESET BINARY LOGS AND GTIDS").await;
    sql(&mut other, &format!("SET GLOBAL gtid_purged = '{executed}'")).await;
    let mut reader = restored.follow(resume(&position));
    reader.started().await;
    insert(&mut other, [8]).await;
    take(&mut reader, 1).await;

    // All but the newest purged, and another transaction has its name.
    sql(&mut other, "RESET BINARY LOGS AND GTIDS").await;
    let before = executed.replace(&format!("{uuid}:1-{newest}"), &format!("{uuid}:1-{}", newest - 1));
    assert_ne!(before, executed);
    sql(&mut other, &format!("SET GLOBAL gtid_purged = '{before}'")).await;
    sql(&mut other, &format!("SET gtid_next = '{uuid}:{newest}'")).await;
    insert(&mut other, [9]).await;
    sql(&mut other, "SET gtid_next = 'AUTOMATIC'").await;
    insert(&mut other, [10]).await;
    let mut reader = restored.follow(resume(&position));
    assert_refused("another transaction of that GTID", rows_and_error(&mut reader).await);
}

/// A position from before proofs were kept gets one at once, so that the next reset is noticed.
#[tokio::test]
async fn a_position_without_proof_gets_one() {
    for arguments in [WITH_GTIDS, WITHOUT_GTIDS] {
        let (server, mut root) = server_with_rows(arguments).await;
        let mut reader = server.follow(latest());
        reader.started().await;
        insert(&mut root, 1..=3).await;
        take(&mut reader, 3).await;
        let proven = reader.position.clone().expect("a position");
        let proof = proven.parts().proof.clone();
        let position = edited(&proven, |parts| parts.proof = Default::default());
        let learned = server.follow(resume(&position)).started().await;
        assert_eq!(learned.parts().proof.file_created_s, proof.file_created_s);
        if arguments == WITH_GTIDS {
            assert_eq!(learned.parts().proof, proof);
            sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
            insert(&mut root, 1001..=1009).await;
            let mut reader = server.follow(resume(&learned));
            assert_refused(&format!("{arguments:?}"), rows_and_error(&mut reader).await);
        }
    }
}

/// Different transactions have different identities, also where they stand at one place or have one GTID.
#[tokio::test]
async fn identities_are_never_shared() {
    for arguments in [WITH_GTIDS, WITHOUT_GTIDS] {
        let (server, mut root) = server_with_rows(arguments).await;
        insert(&mut root, 1..=3).await;
        let before = identities_of(&mut server.follow(source::From::Start(Start::Earliest)), 3).await;
        sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
        insert(&mut root, 11..=13).await;
        let after = identities_of(&mut server.follow(source::From::Start(Start::Earliest)), 3).await;
        let name = |identity: &String| identity.split_once('@').expect("a time").0.to_owned();
        assert_eq!(before.iter().map(name).collect::<Vec<_>>(), after.iter().map(name).collect::<Vec<_>>());
        assert!(before.iter().all(|identity| !after.contains(identity)), "{before:?} {after:?}");
    }
}

/// Where a file was purged, a place in it can't be checked, and no other log is suspected.
#[tokio::test]
async fn a_purged_transaction_is_no_other_log() {
    let (server, mut root) = server_with_rows(WITH_GTIDS).await;
    let mut reader = server.follow(latest());
    reader.started().await;
    insert(&mut root, 1..=3).await;
    take(&mut reader, 3).await;
    let position = reader.position.clone().expect("a position");
    drop(reader);
    server.server.purge().await;
    let mut reader = server.follow(resume(&position));
    reader.started().await;
    insert(&mut root, [4]).await;
    take(&mut reader, 1).await;
}
