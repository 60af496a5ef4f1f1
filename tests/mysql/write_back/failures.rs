//! Every way in which a statement fails, provoked for real, and what the failure proves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_error_about_the_data_does_not_contain_the_data() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server
        .query(
            "CREATE TABLE test.p (id INT PRIMARY KEY);
             CREATE TABLE test.t (id INT PRIMARY KEY, name VARCHAR(10) NOT NULL UNIQUE, p INT, at DATETIME, j JSON,
             CONSTRAINT fk FOREIGN KEY (p) REFERENCES test.p (id), CONSTRAINT positive CHECK (id > 0));
             INSERT INTO test.t VALUES (1, 'se4cret', NULL, NULL, NULL)",
        )
        .await;
    server
        .query("CREATE TRIGGER test.guard BEFORE DELETE ON test.t FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'se4cret'")
        .await;
    let (name, at) = ("UPDATE test.t SET name = ?", "UPDATE test.t SET at = ?");
    for (statement, value, expected) in [
        (
            "INSERT INTO test.t (id, name) VALUES (2, ?)",
            json!("se4cret"),
            "error 1062 (23000): duplicate entry for key t.name",
        ),
        (name, Value::Null, "error 1048 (23000): Column 'name' cannot be null"),
        (name, json!("se4cret and longer"), "error 1406 (22001): Data too long for column 'name'"),
        ("UPDATE test.t SET p = ?", json!(94), "error 1452 (23000): Cannot add or update a child row"),
        ("UPDATE test.t SET id = ?", json!(-94), "error 3819 (HY000): Check constraint 'positive' is violated"),
        (at, json!("se4cret"), "error 1292 (22007): a value that the column's type cannot take"),
        ("UPDATE test.t SET p = ?", json!("se4cret"), "error 1366 (HY000): a value that the column's type cannot take"),
        ("UPDATE test.t SET p = ?", json!(5_000_000_000_u64), "error 1264 (22003): Out of range value for column 'p'"),
        ("UPDATE test.t SET j = ?", json!("se4cret"), "error 3140 (22032): a value that is no JSON"),
        ("DELETE FROM test.t WHERE name = ?", json!("se4cret"), "error 1644 (45000): signalled by a trigger"),
        ("UPDATE test.t SET p = ? - 94 + id * 1e999", json!(94), "error"),
        ("UPDATE test.nothing SET p = ?", json!(94), "error 1146 (42S02): Table 'test.nothing' doesn't exist"),
        ("UPDATE test.t SET p = ? WHERE id = ?", json!(94), "the statement takes 2 values and was given 1"),
        ("UPDATE mysql.user SET ssl_type = ?", json!(94), "error 1142 (42000): UPDATE command denied"),
    ] {
        let failed = fails(&database, statement, vec![value]).await;
        assert_eq!(failed.kind, WriteFailureKind::Refused, "{statement}: {failed:?}");
        assert!(failed.message.starts_with(expected), "{statement}: {failed:?}");
        assert!(!failed.message.contains("se4cret") && !failed.message.contains("94"), "{failed:?}");
    }
    // The connection went on: one was enough for all of them.
    assert_eq!(succeeds(&database, "UPDATE test.t SET name = ?", vec![json!("x")]).await, 1);
    let connections = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'writer'";
    assert_eq!(server.rows::<u64>(connections).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_and_a_wait_for_a_lock_may_be_tried_again() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); INSERT INTO test.t VALUES (1, 0), (2, 0)").await;
    let (mut other, mut root) = (server.conn().await, server.conn().await);
    // The one that changed fewer rows is the victim.
    other.query_drop("BEGIN; INSERT INTO test.t VALUES (3, 0), (4, 0), (5, 0), (6, 0), (7, 0)").await.expect("rows");
    other.query_drop("UPDATE test.t SET n = 9 WHERE id = 1").await.expect("a lock");
    let waits = "SELECT COUNT(*) = 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'";
    let crossing = "UPDATE test.t SET n = n + 1 WHERE id <= 2 ORDER BY id DESC";
    let deadlock = async {
        wait_for(&mut root, waits).await;
        other.query_drop("UPDATE test.t SET n = 9 WHERE id = 2").await.expect("the other one wins");
    };
    let (failed, ()) = tokio::join!(fails(&database, crossing, vec![]), deadlock);
    assert_eq!(failed.kind, WriteFailureKind::Again);
    assert!(failed.message.starts_with("error 1213 (40001): Deadlock found"), "{failed:?}");
    // The server ends the wait a second before the statement's time is over.
    let late = database.execute(crossing, vec![], None, Duration::from_secs(3)).await.expect_err("a lock");
    assert_eq!(late.kind, WriteFailureKind::Again);
    assert!(late.message.starts_with("error 1205 (HY000): Lock wait timeout exceeded"), "{late:?}");
    let nowait = "INSERT INTO test.t SELECT id + 100, n FROM test.t WHERE id = 1 FOR UPDATE NOWAIT";
    let nowait = fails(&database, nowait, vec![]).await;
    assert_eq!(nowait.kind, WriteFailureKind::Again);
    assert!(nowait.message.starts_with("error 3572"), "{nowait:?}");
    let late = database.execute(crossing, vec![], None, Duration::from_millis(300)).await.expect_err("a lock");
    assert_eq!((late.kind, late.message.as_str()), (WriteFailureKind::Again, "not done within 300ms, and rolled back"));
    other.query_drop("ROLLBACK").await.expect("the locks are gone");
    assert_eq!(succeeds(&database, crossing, vec![]).await, 2);
    wait_for(&mut root, "SELECT COUNT(*) = 0 FROM information_schema.INNODB_TRX").await;
    assert_eq!(server.rows::<i32>("SELECT n FROM test.t").await, [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_killed_during_the_statement_proves_that_nothing_happened() {
    let server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); INSERT INTO test.t VALUES (1, 0)").await;
    let mut root = server.conn().await;
    for (kill, kind) in [("KILL QUERY", WriteFailureKind::Again), ("KILL CONNECTION", WriteFailureKind::Unavailable)] {
        let killing = async {
            let running = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'UPDATE test.t SET n = 1%'";
            wait_for(&mut root, &format!("SELECT COUNT(*) = 1 FROM ({running}) AS x")).await;
            let id: Option<u64> = root.query_first(running).await.expect("a list");
            root.query_drop(format!("{kill} {}", id.expect("it runs"))).await.expect("killed");
        };
        let statement = "UPDATE test.t SET n = 1 + SLEEP(20)";
        let (failed, ()) = tokio::join!(fails(&database, statement, vec![]), killing);
        assert_eq!(failed.kind, kind, "{kill}: {failed:?}");
        assert_eq!(server.rows::<i32>("SELECT n FROM test.t").await, [0]);
    }
    assert_eq!(succeeds(&database, "UPDATE test.t SET n = 2", vec![]).await, 1);
    // A connection that was killed while it was not used costs nothing.
    let ids: Vec<u64> =
        root.query("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'writer'").await.expect("a list");
    assert!(!ids.is_empty());
    for id in ids {
        root.query_drop(format!("KILL {id}")).await.expect("killed");
    }
    assert_eq!(succeeds(&database, "UPDATE test.t SET n = 3", vec![]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_read_only_stopped_or_closed_to_the_account_is_unavailable() {
    let mut server = MysqlServer::start(&[]);
    let database = database(&server, "writer").await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); INSERT INTO test.t VALUES (1, 0)").await;
    let update = "UPDATE test.t SET n = n + 1";
    assert_eq!(succeeds(&database, update, vec![]).await, 1);
    server.query("SET GLOBAL read_only = ON").await;
    let failed = fails(&database, update, vec![]).await;
    assert_eq!(failed.kind, WriteFailureKind::Unavailable);
    assert!(failed.message.contains("read-only"), "{failed:?}");
    server.query("SET GLOBAL read_only = OFF").await;
    assert_eq!(succeeds(&database, update, vec![]).await, 1);
    server.query("ALTER USER writer@'%' ACCOUNT LOCK").await;
    // What is connected stays so; a new connection is refused.
    server.shutdown();
    let failed = fails(&database, update, vec![]).await;
    assert_eq!(failed.kind, WriteFailureKind::Unavailable);
    assert!(failed.message.contains("cannot connect to mysql at 127.0.0.1"), "{failed:?}");
    server.restart(&[]);
    let failed = fails(&database, update, vec![]).await;
    assert_eq!(failed.kind, WriteFailureKind::Unavailable);
    assert!(failed.message.contains("refuses the login"), "{failed:?}");
    server.query("ALTER USER writer@'%' ACCOUNT UNLOCK").await;
    assert_eq!(succeeds(&database, update, vec![]).await, 1);
    assert_eq!(server.rows::<i32>("SELECT n FROM test.t").await, [3]);
}

const NOTHING: u8 = 0;
/// The connections break and the server never sees the commit.
const BEFORE: u8 = 1;
/// They break when it has answered the commit.
const AFTER: u8 = 2;
/// The answer never comes.
const SILENT: u8 = 3;

/// A connection in between that does something at the commit.
async fn proxy(port: u16, at_commit: Arc<AtomicU8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server");
            tokio::spawn(relay(client, server, Arc::clone(&at_commit)));
        }
    });
    address.port()
}

async fn relay(mut client: TcpStream, mut server: TcpStream, at_commit: Arc<AtomicU8>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut deed = NOTHING;
    loop {
        tokio::select! {
            Ok(length @ 1..) = client.read(&mut asked) => {
                if asked[..length].ends_with(b"COMMIT") {
                    deed = at_commit.load(Ordering::SeqCst);
                }
                if deed == BEFORE {
                    return;
                }
                server.write_all(&asked[..length]).await.expect("the server takes it");
            }
            Ok(length @ 1..) = server.read(&mut answered) => match deed {
                AFTER => return,
                SILENT => std::future::pending::<()>().await,
                _ => client.write_all(&answered[..length]).await.expect("the client takes it"),
            },
            else => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_uncertain() {
    let server = MysqlServer::start(&[]);
    server.query("CREATE DATABASE test; CREATE TABLE test.t (id INT PRIMARY KEY)").await;
    let at_commit = Arc::new(AtomicU8::new(NOTHING));
    let mut settings = account(&server, "writer", TAGGING).await;
    settings.port = proxy(server.port(), Arc::clone(&at_commit)).await;
    settings.tls.mode = TlsMode::Disabled;
    let database = Database::new(settings).expect("settings");
    let insert = "INSERT INTO test.t VALUES (?)";
    for (id, deed, words) in [
        (1, BEFORE, "connection to mysql lost during the commit"),
        (2, AFTER, "connection to mysql lost during the commit"),
        (3, SILENT, "no answer to the commit within 2s"),
    ] {
        at_commit.store(deed, Ordering::SeqCst);
        let outcome = database.execute(insert, vec![json!(id)], None, Duration::from_secs(2)).await;
        let failed = outcome.expect_err("no answer");
        assert_eq!(failed.kind, WriteFailureKind::Lost, "{failed:?}");
        assert!(failed.message.starts_with(words), "{failed:?}");
    }
    at_commit.store(NOTHING, Ordering::SeqCst);
    assert_eq!(succeeds(&database, insert, vec![json!(4)]).await, 1);
    assert_eq!(server.rows::<i32>("SELECT id FROM test.t ORDER BY id").await, [2, 3, 4]);
}
