//! What is uncertain, unsafe or forbidden stops the reader with a message that says the fix.

use rowhook::position::{FileOffset, FoundBy, Position, PositionParts, Start};
use rowhook::source::{Error, FirstConnect, ReadStatus};
use uuid::Uuid;

use super::*;
use crate::support::process::free_port;

#[tokio::test]
async fn what_cannot_be_read_with_certainty_stops_with_a_message() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, j JSON)").await;
    sql(&mut root, "CREATE TABLE test.g (n INT PRIMARY KEY, g VARCHAR(20) CHARACTER SET gbk)").await;
    sql(&mut root, "INSERT INTO test.a VALUES (1, '{}')").await;
    for (statements, part) in [
        (
            &[
                "SET SESSION binlog_format = STATEMENT",
                "INSERT INTO test.a VALUES (2, '{}')",
                "SET SESSION binlog_format = ROW",
            ][..],
            "binlog_format = 'ROW'",
        ),
        (
            &[
                "SET SESSION binlog_format = STATEMENT",
                "LOAD DATA INFILE '/etc/hostname' INTO TABLE test.g LINES STARTING BY 'never'",
                "SET SESSION binlog_format = ROW",
            ],
            "LOAD DATA",
        ),
        (
            &[
                "SET SESSION binlog_format = STATEMENT",
                "CREATE TABLE test.copied AS SELECT n FROM test.a",
                "SET SESSION binlog_format = ROW",
            ],
            "binlog_format = 'ROW'",
        ),
    ] {
        let mut reader = server.follow(latest());
        reader.started().await;
        for statement in statements {
            sql(&mut root, statement).await;
        }
        let error = reader.error().await;
        assert!(matches!(error, Error::Uninterpretable { .. }), "{part}: {error}");
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("binlog.0"), "{text}");
        assert!(matches!(&*reader.following.status.borrow(), ReadStatus::Stopped { error: Some(_) }));
    }
}

#[tokio::test]
async fn a_code_without_a_character_stops_a_reader_that_needs_the_row() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.g (n INT PRIMARY KEY, g VARCHAR(20) CHARACTER SET gbk)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    sql(&mut root, "INSERT INTO test.g VALUES (1, X'A2AB')").await;
    let rows = loop {
        if let SourceEvent::Rows(rows) = reader.next().await.expect("no error") {
            break rows;
        }
    };
    let change = rows.into_iter().flatten().next().expect("a change");
    let fault = change.detach().expect_err("no character");
    assert!(fault.what.starts_with("table test.g: column g:") && fault.what.contains("gbk"), "{fault:?}");
}

#[tokio::test]
async fn a_position_that_is_no_longer_safe_is_refused() {
    let server = Mysql::start(&[]).await;
    let other = Mysql::start(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let position = server.follow(latest()).started().await;
    let error = other.follow(resume(&position)).error().await;
    assert!(matches!(error, Error::Ahead { .. }), "{error}");
    sql(&mut root, "INSERT INTO test.a VALUES (1)").await;
    let newest = server.server.purge().await;
    let error = server.follow(resume(&position)).error().await;
    assert!(matches!(error, Error::Purged { .. }), "{error}");
    let undecided = [position.place().clone()].into();
    let end_of_log = FileOffset { file: newest.into(), offset: 4 };
    let proof = Default::default();
    let found_by = FoundBy::Place;
    let server_uuid = position.server_uuid();
    let by_file = PositionParts { server_uuid, gtids: None, found_by, file: end_of_log, undecided, proof };
    let by_file = Position::from_parts(by_file);
    let error = server.follow(resume(&by_file)).error().await;
    assert!(matches!(&error, Error::Purged { missing } if missing.starts_with(&*position.place().file)), "{error}");
    // Earliest begins after what was purged.
    let mut reader = server.follow(source::From::Start(Start::Earliest));
    done(&mut root, 1).await;
    assert_eq!(reader.until_done(1).await, []);
    // The server forgot everything: what we have is ahead of it.
    let position = reader.position.clone().expect("a position");
    sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
    let error = server.follow(resume(&position)).error().await;
    assert!(matches!(error, Error::Ahead { .. }), "{error}");
    let by_file = edited(&position, |parts| {
        (parts.gtids, parts.found_by, parts.server_uuid) = (None, FoundBy::Place, Uuid::new_v4());
    });
    let error = server.follow(resume(&by_file)).error().await;
    assert!(matches!(error, Error::OtherServer { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_login_is_final_at_first_and_a_refused_connection_is_not() {
    let mut server = Mysql::start(&[]).await;
    let mut settings = server.settings();
    settings.password = rowhook::source::Password("mistaken".to_string()).into();
    let error = Reader::new(settings, latest()).error().await;
    assert!(matches!(error, Error::Login { .. }), "{error}");
    assert!(!error.to_string().contains("mistaken"), "{error}");
    let mut root = server.root().await;
    sql(&mut root, "CREATE USER bare@'%' IDENTIFIED BY ''").await;
    sql(&mut root, "GRANT REPLICATION CLIENT ON *.* TO bare@'%'").await;
    let mut settings = server.settings();
    settings.user = "bare".to_string();
    settings.password = rowhook::source::Password(String::new()).into();
    let error = Reader::new(settings.clone(), latest()).error().await;
    assert!(matches!(error, Error::Privilege { .. }), "{error}");
    let findings = source::check(&settings, &watched()).await;
    assert!(findings.iter().any(|finding| finding.what.contains("REPLICATION SLAVE")), "{findings:?}");
    let findings = source::check(&server.settings(), &watched()).await;
    assert!(findings.iter().all(|finding| finding.level != source::Level::Problem), "{findings:?}");
    let mut settings = server.settings();
    settings.port = free_port();
    settings.first_connect = FirstConnect::FailFast;
    let error = Reader::new(settings, latest()).error().await;
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    drop(root);
    let mut reader = server.follow(latest());
    reader.started().await;
    wait_idle(&mut reader).await;
    server.restart(false);
    let mut root = server.root().await;
    done(&mut root, 1).await;
    reader.until_done(1).await;
}

#[tokio::test]
async fn of_two_readers_with_one_uuid_the_older_gets_an_error_and_two_uuids_work_together() {
    let server = Mysql::start(&[]).await;
    let mut root = server.root().await;
    let settings = server.settings();
    let mut first = Reader::new(settings.clone(), latest());
    first.started().await;
    wait_idle(&mut first).await;
    let mut same_id = settings.clone();
    same_id.server_id = Some(settings.instance.as_u128() as u32 | 0x8000_0000);
    same_id.instance = Uuid::new_v4();
    let mut second = Reader::new(same_id, latest());
    second.started().await;
    done(&mut root, 1).await;
    first.until_done(1).await;
    second.until_done(1).await;
    let mut third = Reader::new(settings, latest());
    third.started().await;
    wait_idle(&mut third).await;
    let error = first.error().await;
    assert!(matches!(error, Error::Duplicate(_)), "{error}");
    done(&mut root, 2).await;
    third.until_done(2).await;
}
