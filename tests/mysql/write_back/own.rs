//! The source knows what rowhook wrote itself, by tag or by comment, and takes nothing else for it.

use std::sync::Arc;

use rowhook::change::{Op, Transaction};
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::Start;
use rowhook::source::{self, Following, SourceEvent};
use rowhook::telemetry::Metrics;
use tokio::time::timeout;

use super::*;
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver};

struct Reader(Following);

impl Reader {
    async fn start(server: &MysqlServer) -> Reader {
        let settings = Settings::from_url(&server.root_url(), Uuid::new_v4()).expect("a URL");
        let tables = TablePatterns(vec![TablePattern::parse("test.*").expect("a pattern")]);
        let from = source::From::Start(Start::Latest);
        let mut reader = Reader(source::follow(settings, from, tables, Arc::new(Metrics::default())));
        assert!(matches!(reader.next().await, SourceEvent::Started(_)));
        reader
    }

    async fn next(&mut self) -> SourceEvent {
        let event = timeout(DEADLINE, self.0.events.recv()).await.expect("an event in time").expect("an item");
        event.expect("no error")
    }

    /// For the rows of the next transaction that has any: table, operation, and whether rowhook wrote it.
    async fn next_rows(&mut self) -> Vec<(String, Op, bool)> {
        let mut seen = Vec::new();
        let mut of: Option<Transaction> = None;
        loop {
            match self.next().await {
                SourceEvent::Rows(rows) => {
                    for change in rows.into_iter().flatten() {
                        seen.push((change.table.name.to_string(), change.op, change.transaction.is_own));
                        of = Some((*change.transaction).clone());
                    }
                }
                SourceEvent::Committed(_) if of.is_some() => return seen,
                _ => {}
            }
        }
    }

    async fn next_is_own(&mut self) -> bool {
        let rows = self.next_rows().await;
        assert!(rows.iter().all(|row| row.2 == rows[0].2), "{rows:?}");
        rows[0].2
    }
}

const TABLE: &str =
    "CREATE DATABASE IF NOT EXISTS test; CREATE TABLE test.t (id INT PRIMARY KEY AUTO_INCREMENT, s LONGTEXT)";
const INSERT: &str = "INSERT INTO test.t (s) VALUES (?)";

/// Every account writes, then another one, then the account again over the same connection.
async fn own_and_other_writes_are_distinguished(server: &MysqlServer, accounts: &[(&str, &str, &str)]) {
    server.query(TABLE).await;
    let mut reader = Reader::start(server).await;
    for (name, privileges, mark) in accounts {
        let database = Database::new(account(server, name, privileges).await).expect("settings");
        assert!(database.inspect().await.expect("a mark").contains(mark), "{name}");
        for compression in ["OFF", "ON"] {
            server.query(&format!("SET GLOBAL binlog_transaction_compression = {compression}")).await;
            // Connections keep what they had.
            let database = Database::new(account_again(server, name)).expect("settings");
            for _ in 0..2 {
                succeeds(&database, INSERT, vec![json!("it's ? here")]).await;
                assert!(reader.next_is_own().await, "{name}, compression {compression}");
                server.query("INSERT INTO test.t (s) VALUES ('other')").await;
                assert!(!reader.next_is_own().await, "{name}, compression {compression}");
            }
        }
        // Too large to be buffered until the commit: the rows come in portions.
        let many = "INSERT INTO test.t (s) SELECT REPEAT('x', 1000000) FROM information_schema.COLLATIONS LIMIT 12";
        succeeds(&database, many, vec![]).await;
        assert_eq!(reader.next_rows().await, vec![("t".to_string(), Op::Insert, true); 12], "{name}");
    }
}

fn account_again(server: &MysqlServer, name: &str) -> Settings {
    Settings::from_url(&server.url(name, "p@ss/w"), Uuid::nil()).expect("a URL")
}

#[tokio::test(flavor = "multi_thread")]
async fn own_transactions_are_known_again_with_gtids() {
    let server = MysqlServer::start(&["--gtid-mode=ON"]);
    own_and_other_writes_are_distinguished(
        &server,
        &[("tagger", TAGGING, "GTID tag"), ("marker", "SESSION_VARIABLES_ADMIN", "comment")],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_transactions_are_known_again_without_gtids() {
    let server = MysqlServer::start(&["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    own_and_other_writes_are_distinguished(&server, &[("marker", "SESSION_VARIABLES_ADMIN", "comment")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_can_mark_nothing_gets_an_error_that_names_the_privilege() {
    for (gtid_mode, privileges) in
        [("ON", "TRANSACTION_GTID_TAG, SESSION_VARIABLES_ADMIN"), ("OFF", "SESSION_VARIABLES_ADMIN")]
    {
        let server = MysqlServer::start(&[&format!("--gtid-mode={gtid_mode}"), "--enforce-gtid-consistency=ON"]);
        server.query(TABLE).await;
        let database = Database::new(account(&server, "writer", "").await).expect("settings");
        let failed = fails(&database, INSERT, vec![json!("x")]).await;
        assert_eq!(failed.kind, WriteFailureKind::Unavailable);
        let grant = format!("GRANT {privileges} ON *.* TO 'writer'@'%'");
        assert!(failed.message.ends_with(&format!("; fix: {grant}")), "{failed:?}");
        assert_eq!(server.rows::<u64>("SELECT COUNT(*) FROM test.t").await, [0]);
        let check = Home::new(env!("CARGO_BIN_EXE_rowhook"))
            .with_rule("t.yaml", "table: test.t\nrules:\n  - name: t\n    call: {url: \"http://127.0.0.1:9/\"}\n")
            .with_env("ROWHOOK_WRITE_URL", &server.url("writer", "p@ss/w"));
        let arguments = ["check", "--mysql", &server.root_url()];
        let finished = tokio::task::block_in_place(|| check.run(&arguments));
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.stdout.contains(&format!("fix: {grant}")), "{finished:?}");
        server.query(&grant).await;
        assert_eq!(succeeds(&database, INSERT, vec![json!("x")]).await, 1);
        let finished = tokio::task::block_in_place(|| check.run(&arguments));
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.stdout.contains("can be written to, own transactions are marked by the"), "{finished:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comment_counts_only_at_the_beginning_of_the_text() {
    let server = MysqlServer::start(&["--binlog-rows-query-log-events=ON"]);
    server.query(TABLE).await;
    let mut reader = Reader::start(&server).await;
    for (statement, is_own) in [
        ("INSERT INTO test.t (s) VALUES ('/* rowhook:own */')", false),
        ("INSERT /* rowhook:own */ INTO test.t (s) VALUES ('x')", false),
        ("INSERT INTO test.t (s) VALUES ('x') /* rowhook:own */", false),
        ("/* x */ /* rowhook:own */ INSERT INTO test.t (s) VALUES ('x')", false),
        ("/* rowhook:owner */ INSERT INTO test.t (s) VALUES ('x')", false),
        ("/*rowhook:own*/ INSERT INTO test.t (s) VALUES ('x')", false),
        ("/* rowhook:own */ INSERT INTO test.t (s) VALUES ('x')", true),
    ] {
        server.query(statement).await;
        assert_eq!(reader.next_is_own().await, is_own, "{statement}");
    }
    // Of a transaction of several statements, each counts for its own rows.
    let mut root = server.conn().await;
    for statement in [
        "BEGIN",
        "INSERT INTO test.t (s) VALUES ('x')",
        "/* rowhook:own */ INSERT INTO test.t (s) VALUES ('x')",
        "INSERT INTO test.t (s) VALUES ('x')",
        "COMMIT",
    ] {
        root.query_drop(statement).await.expect(statement);
    }
    let own: Vec<bool> = reader.next_rows().await.into_iter().map(|row| row.2).collect();
    assert_eq!(own, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_triggers_and_procedures_write_for_rowhook_is_rowhooks_own() {
    let server = MysqlServer::start(&[]);
    server.query(TABLE).await;
    server.query("CREATE TABLE test.log (id INT PRIMARY KEY AUTO_INCREMENT, s TEXT)").await;
    for trigger in [
        "filled BEFORE INSERT ON test.t FOR EACH ROW SET NEW.s = CONCAT(NEW.s, '!')",
        "logged AFTER INSERT ON test.t FOR EACH ROW INSERT INTO test.log (s) VALUES (NEW.s)",
    ] {
        server.query(&format!("CREATE TRIGGER test.{trigger}")).await;
    }
    server.query("CREATE PROCEDURE test.p() INSERT INTO test.t (s) VALUES ('from a procedure')").await;
    let mut reader = Reader::start(&server).await;
    let inserted = |table: &str| (table.to_string(), Op::Insert, true);
    let tagging = Database::new(account(&server, "tagger", TAGGING).await).expect("settings");
    let marking = Database::new(account(&server, "marker", "SESSION_VARIABLES_ADMIN").await).expect("settings");
    for database in [&tagging, &marking] {
        succeeds(database, INSERT, vec![json!("x")]).await;
        assert_eq!(reader.next_rows().await, [inserted("t"), inserted("log")]);
    }
    succeeds(&tagging, "CALL test.p()", vec![]).await;
    assert_eq!(reader.next_rows().await, [inserted("t"), inserted("log")]);
    let failed = fails(&marking, "CALL test.p()", vec![]).await;
    assert_eq!(failed.kind, WriteFailureKind::Refused);
    assert!(failed.message.contains("GRANT TRANSACTION_GTID_TAG"), "{failed:?}");
    // The server keeps the text of the first statement that writes a row, which is the trigger's: no comment helps there.
    server
        .query(
            "CREATE TRIGGER test.first BEFORE INSERT ON test.t FOR EACH ROW INSERT INTO test.log (s) VALUES ('first')",
        )
        .await;
    succeeds(&tagging, INSERT, vec![json!("x")]).await;
    assert_eq!(reader.next_rows().await, [inserted("log"), inserted("t"), inserted("log")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_not_called_for_what_rowhook_wrote() {
    let server = MysqlServer::start(&[]);
    server.query(TABLE).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let rule = format!("table: test.t\nrules:\n  - name: t\n    call: {{url: \"{}\"}}\n", receiver.url("/t"));
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", &rule);
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    let database = database(&server, "writer").await;
    succeeds(&database, INSERT, vec![json!("own")]).await;
    server.query("INSERT INTO test.t (s) VALUES ('other')").await;
    receiver.wait_for_count(1, DEADLINE).await;
    assert_eq!(receiver.received()[0].json()["after"]["s"], "other");
}
