//! The source against a real MySQL server: what was written comes out, once, in order, as SELECT shows it.
//!
//! Starts servers of its own from the data directory template that ROWHOOK_TEST_MYSQL names (default: the cache under
//! target/mysql), one per test, each in a temporary directory, and ends them by their process ids.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rowhook::change::{Cell, Change, Op, Row, Value};
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::{FileOffset, Position, Resume, Start, Within};
use rowhook::source::{self, Error, FirstConnect, Following, Settings, SourceEvent, Status, TlsMode};
use rowhook::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(40);

struct Mysql {
    child: Child,
    port: u16,
    arguments: Vec<String>,
    directory: tempfile::TempDir,
}

fn home() -> PathBuf {
    let named = std::env::var_os("ROWHOOK_TEST_MYSQL").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mysql"))
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

impl Mysql {
    async fn start(arguments: &[&str]) -> Mysql {
        let directory = tempfile::Builder::new().prefix("rh").tempdir().expect("a directory");
        let copied =
            Command::new("cp").arg("-r").arg(home().join("data-template")).arg(directory.path().join("data")).status();
        assert!(copied.expect("cp").success());
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string()).collect();
        let port = free_port();
        let child = launch(directory.path(), port, &arguments);
        let server = Mysql { child, port, arguments, directory };
        server.wait().await;
        let mut root = server.root().await;
        sql(&mut root, "CREATE DATABASE IF NOT EXISTS test").await;
        sql(&mut root, "CREATE TABLE test.done (n INT PRIMARY KEY)").await;
        sql(&mut root, "CREATE USER hook@'%' IDENTIFIED BY 'p@ss/w'").await;
        sql(&mut root, "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO hook@'%'").await;
        server
    }

    /// With GTIDs, as most servers run today.
    async fn gtids(more: &[&str]) -> Mysql {
        Mysql::start(&[&["--gtid-mode=ON", "--enforce-gtid-consistency=ON"], more].concat()).await
    }

    async fn wait(&self) {
        for _ in 0..600 {
            if Conn::new(self.options("root", "")).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        panic!("the server did not start: {log}");
    }

    fn options(&self, user: &str, password: &str) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false)
    }

    async fn root(&self) -> Conn {
        let mut root = Conn::new(self.options("root", "")).await.expect("a root connection");
        sql(&mut root, "SET time_zone = '+00:00', sql_mode = ''").await;
        root
    }

    async fn restart(&mut self, kill: bool) {
        let signal = if kill { "-KILL" } else { "-TERM" };
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
        self.child.wait().expect("an end");
        self.child = launch(self.directory.path(), self.port, &self.arguments);
        self.wait().await;
    }

    fn settings(&self) -> Settings {
        let url = format!("mysql://hook:p%40ss%2Fw@127.0.0.1:{}", self.port);
        let mut settings = Settings::from_url(&url, Uuid::new_v4()).expect("a URL");
        settings.heartbeat = Duration::from_millis(500);
        settings.reconnect.initial = Duration::from_millis(50);
        settings
    }

    fn follow(&self, from: source::From) -> Reader {
        Reader::new(self.settings(), from)
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(directory: &Path, port: u16, arguments: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).expect("a log");
    Command::new(home().join("bin/mysqld"))
        .arg(format!("--datadir={}", directory.join("data").display()))
        .arg(format!("--socket={}", directory.join("s").display()))
        .arg(format!("--pid-file={}", directory.join("pid").display()))
        .arg(format!("--port={port}"))
        .args([
            "--bind-address=127.0.0.1",
            "--mysqlx=OFF",
            "--server-id=1",
            "--log-bin=binlog",
            "--performance-schema=OFF",
        ])
        .args([
            "--innodb-buffer-pool-size=48M",
            "--secure-file-priv=",
            "--innodb-flush-log-at-trx-commit=0",
            "--sync-binlog=0",
        ])
        .args(arguments)
        .stdout(Stdio::from(log.try_clone().expect("a handle")))
        .stderr(Stdio::from(log))
        .spawn()
        .expect("mysqld")
}

async fn sql(connection: &mut Conn, statement: &str) {
    connection.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

fn watched() -> TablePatterns {
    TablePatterns(vec![TablePattern::parse("test.*").expect("a pattern")])
}

fn latest() -> source::From {
    source::From::Start(Start::Latest)
}

struct Reader {
    following: Following,
    position: Option<Position>,
    metrics: Arc<Metrics>,
}

impl Reader {
    fn new(settings: Settings, from: source::From) -> Reader {
        let metrics = Arc::new(Metrics::default());
        let following = source::follow(settings, from, watched(), Arc::clone(&metrics));
        Reader { following, position: None, metrics }
    }

    async fn next(&mut self) -> Result<SourceEvent, Error> {
        let event =
            timeout(DEADLINE, self.following.events.recv()).await.expect("an event in time").expect("an item")?;
        match &event {
            SourceEvent::Started(position) => self.position = Some(position.clone()),
            SourceEvent::Committed(committed) => self.position.as_mut().expect("started").advance(committed),
            _ => {}
        }
        Ok(event)
    }

    /// Reading began: what is written from now on must come.
    async fn started(&mut self) -> Position {
        match self.next().await.expect("a start") {
            SourceEvent::Started(position) => position,
            other => panic!("{other:?} before the start"),
        }
    }

    /// All changes until the row `n` of test.done is committed; that row is not among them.
    async fn until_done(&mut self, n: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut is_done = false;
        loop {
            match self.next().await.expect("no error") {
                SourceEvent::Rows(rows) => {
                    for change in rows {
                        if &*change.table.name == "done" {
                            is_done |= change.latest(0) == Some(&Value::Int(n));
                        } else {
                            changes.push(change);
                        }
                    }
                }
                SourceEvent::Committed(_) if is_done => return changes,
                _ => {}
            }
        }
    }

    async fn error(&mut self) -> Error {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }
}

async fn done(connection: &mut Conn, n: i64) {
    sql(connection, &format!("INSERT INTO test.done VALUES ({n})")).await;
}

fn ints(changes: &[Change]) -> Vec<i64> {
    let number = |change: &Change| match change.latest(0) {
        Some(Value::Int(number)) => *number,
        other => panic!("{other:?}"),
    };
    changes.iter().map(number).collect()
}

fn resume(position: &Position) -> source::From {
    source::From::Resume(Resume { position: position.clone(), within: Vec::new() })
}

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
    ("la", "CHAR(20) CHARACTER SET latin1", &["'éé'", "'y'", "''"]),
    ("asci", "VARCHAR(20) CHARACTER SET ascii", &["'plain'", "'y'", "''"]),
    ("u16", "VARCHAR(20) CHARACTER SET utf16", &["'é😀'", "'y'", "''"]),
    ("u32", "CHAR(20) CHARACTER SET utf32", &["'é😀'", "'y'", "''"]),
    ("ucs", "TEXT CHARACTER SET ucs2", &["'é€'", "'y'", "''"]),
    ("tx", "TEXT", &["REPEAT('é', 5000)", "'y'", "''"]),
    ("mt", "MEDIUMTEXT", &["REPEAT('x', 70000)", "'y'", "''"]),
    ("tt", "TINYTEXT", &["'tiny'", "'y'", "''"]),
    ("bin4", "BINARY(4)", &["0x61000000", "0x00000000", "0x61626364"]),
    ("bin16", "BINARY(16)", &["0x000102030405060708090A0B0C0D0E00", "0x00", "0xFF"]),
    ("vb", "VARBINARY(300)", &["0x6100", "''", "0xFF"]),
    ("bl", "BLOB", &["0x00FF00", "''", "REPEAT('x', 3000)"]),
    ("e", "ENUM('a','b','it''s, x','é')", &["'é'", "'it''s, x'", "'bad'"]),
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
        "JSON" => serde_json::from_str::<serde_json::Value>(&text).expect("valid JSON").to_string(),
        kind if kind.starts_with("VECTOR") => {
            let numbers: Vec<f32> = serde_json::from_str(&text).expect("numbers");
            format!("[{}]", numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(","))
        }
        _ => text,
    })
}

async fn every_type_reads_as_select_shows_it(metadata: &str, compression: &str) {
    let server = Mysql::gtids(&[&format!("--binlog-row-metadata={metadata}"), "--default-time-zone=+00:00"]).await;
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
            assert_eq!(as_selected(value), selected(&mut root, id, name, kind).await, "{name} {kind} of row {id}");
        }
    }
    let gs = table.column("gs").expect("gs");
    assert_eq!(changes[1].latest(gs), Some(&Value::Text("x1".into())));
    assert_eq!(changes[1].latest(gs + 1), Some(&Value::Int(7)));
    let i = table.column("i").expect("i");
    let update = &changes[4];
    assert_eq!(update.old().expect("before").cell(i), &Cell::Value(Value::Int(-2_147_483_648)));
    let differing: Vec<usize> = (0..table.columns.len()).filter(|column| update.column_differs(*column)).collect();
    assert_eq!(differing, [i]);
    let nulls: &Row = changes[5].row().expect("before");
    assert_eq!(nulls.cell(i), &Cell::Value(Value::Null));
}

#[tokio::test]
async fn every_type_reads_as_select_shows_it_with_full_metadata() {
    every_type_reads_as_select_shows_it("FULL", "OFF").await;
}

#[tokio::test]
async fn every_type_reads_as_select_shows_it_with_minimal_metadata_and_compression() {
    every_type_reads_as_select_shows_it("MINIMAL", "ON").await;
}

#[tokio::test]
async fn every_kind_of_transaction_comes_out_once_and_moves_the_position() {
    let server = Mysql::gtids(&["--binlog-row-metadata=FULL"]).await;
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
    assert_eq!(position.gtids.expect("gtids"), executed.expect("a set").parse().expect("a set"));
    let status: Option<(String, u64)> = root
        .query_first::<mysql_async::Row, _>("SHOW BINARY LOG STATUS")
        .await
        .expect("status")
        .map(|row| (row.get(0).expect("file"), row.get(1).expect("offset")));
    assert_eq!(status, Some((position.file.file.to_string(), position.file.offset)));
    loop {
        if matches!(reader.next().await.expect("no error"), SourceEvent::Idle) {
            break;
        }
    }
    assert_eq!(reader.metrics.changes_read.get(), 17);
}

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
                SourceEvent::Rows(changes) => rows.extend(changes),
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
    let whole = loop {
        match reader.next().await.expect("no error") {
            SourceEvent::Rows(rows) if &*rows[0].table.name == "a" => break named(&rows),
            _ => start = reader.position.clone().expect("a position"),
        }
    };
    let within = vec![Within { table: "test.a".into(), rows: 1 }];
    let mut reader = server.follow(source::From::Resume(Resume { position: start, within }));
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
    let server = Mysql::gtids(&[]).await;
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
    assert_eq!(position.gtids, Some(executed.clone().expect("a set").parse().expect("a set")));
    sql(&mut root, "INSERT INTO test.a VALUES (2, '')").await;
    sql(&mut root, "FLUSH BINARY LOGS").await;
    done(&mut root, 1).await;
    // In the middle of it.
    let mut reader = server.follow(at(offset));
    assert_eq!(reader.started().await.gtids, Some(executed.expect("a set").parse().expect("a set")));
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
async fn what_cannot_be_read_with_certainty_stops_with_a_message() {
    let server = Mysql::gtids(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, j JSON)").await;
    sql(&mut root, "CREATE TABLE test.g (n INT PRIMARY KEY, g VARCHAR(20) CHARACTER SET gbk)").await;
    sql(&mut root, "CREATE TABLE test.p (n INT PRIMARY KEY, p POINT)").await;
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
                "SET SESSION binlog_row_value_options = PARTIAL_JSON",
                "UPDATE test.a SET j = JSON_OBJECT('a', REPEAT('x', 200)) WHERE n = 1",
                "UPDATE test.a SET j = JSON_SET(j, '$.a', 'y') WHERE n = 1",
                "SET SESSION binlog_row_value_options = ''",
            ],
            "binlog_row_value_options",
        ),
        (
            &["XA START 'x'", "INSERT INTO test.a VALUES (3, '{}')", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'"],
            "XA",
        ),
        (&["INSERT INTO test.g VALUES (1, 'x')"], "gbk"),
        (&["INSERT INTO test.p VALUES (1, POINT(1, 2))"], "GEOMETRY"),
        (
            &[
                "SET SESSION binlog_format = STATEMENT",
                "LOAD DATA INFILE '/etc/hostname' INTO TABLE test.g LINES STARTING BY 'never'",
                "SET SESSION binlog_format = ROW",
            ],
            "LOAD DATA",
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
        assert!(matches!(&*reader.following.status.borrow(), Status::Stopped { error: Some(_) }));
    }
}

#[tokio::test]
async fn a_position_that_is_no_longer_safe_is_refused() {
    let server = Mysql::gtids(&[]).await;
    let other = Mysql::gtids(&[]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let position = server.follow(latest()).started().await;
    let error = other.follow(resume(&position)).error().await;
    assert!(matches!(error, Error::Ahead { .. }), "{error}");
    sql(&mut root, "INSERT INTO test.a VALUES (1)").await;
    sql(&mut root, "FLUSH BINARY LOGS").await;
    let file: mysql_async::Row = root.query_first("SHOW BINARY LOG STATUS").await.expect("status").expect("a row");
    sql(&mut root, &format!("PURGE BINARY LOGS TO '{}'", file.get::<String, _>(0).expect("a file"))).await;
    let error = server.follow(resume(&position)).error().await;
    assert!(matches!(error, Error::Purged { .. }), "{error}");
    // Earliest begins after what was purged.
    let mut reader = server.follow(source::From::Start(Start::Earliest));
    done(&mut root, 1).await;
    assert_eq!(reader.until_done(1).await, []);
    // The server forgot everything: what we have is ahead of it.
    let position = reader.position.clone().expect("a position");
    sql(&mut root, "RESET BINARY LOGS AND GTIDS").await;
    let error = server.follow(resume(&position)).error().await;
    assert!(matches!(error, Error::Ahead { .. }), "{error}");
    let mut by_file = Position { gtids: None, ..position };
    by_file.server_uuid = Uuid::new_v4();
    let error = server.follow(resume(&by_file)).error().await;
    assert!(matches!(error, Error::OtherServer { .. }), "{error}");
}

async fn dump_threads(root: &mut Conn) -> Vec<u64> {
    root.query("SELECT id FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'").await.expect("a list")
}

#[tokio::test]
async fn a_broken_connection_or_a_restarted_server_costs_and_repeats_nothing() {
    let mut server = Mysql::gtids(&["--binlog-row-metadata=FULL"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    for n in 0..10 {
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
        for id in dump_threads(&mut root).await {
            let _ = root.query_drop(format!("KILL {id}")).await;
        }
    }
    done(&mut root, 1).await;
    assert_eq!(ints(&reader.until_done(1).await), (0..10).collect::<Vec<_>>());
    drop(root);
    for (round, kill) in [(2, false), (3, true)] {
        server.restart(kill).await;
        let mut root = server.root().await;
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({})", round * 100)).await;
        done(&mut root, round).await;
        assert_eq!(ints(&reader.until_done(round).await), [round * 100]);
    }
    assert!(reader.metrics.reconnects.get() >= 2);
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
    let server = Mysql::gtids(&["--binlog-row-metadata=FULL", "--max-binlog-size=1G"]).await;
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
            SourceEvent::Rows(rows) if &*rows[0].table.name == "a" => {
                portions += 1;
                ordinals.extend(rows.iter().map(|change| change.ordinal));
                assert!(rows.iter().all(|change| change.latest(0) == Some(&Value::Int(change.ordinal as i64))));
                if portions % 20 == 5 && killed < 3 {
                    for id in dump_threads(&mut root).await {
                        let _ = root.query_drop(format!("KILL {id}")).await;
                        killed += 1;
                    }
                }
                // And a process that ends in the middle and resumes: the small compressed form may be over before a KILL.
                if portions == 50 {
                    let position = reader.position.clone().expect("a position");
                    let within = vec![Within { table: "test.a".into(), rows: ordinals.len() as u64 }];
                    reader = server.follow(source::From::Resume(Resume { position, within }));
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
async fn a_consumer_that_pauses_gets_everything_later() {
    let server = Mysql::gtids(&["--binlog-row-metadata=FULL"]).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY)").await;
    let mut settings = server.settings();
    settings.stall_timeout = Duration::from_millis(300);
    let mut reader = Reader::new(settings, latest());
    reader.started().await;
    for n in 0..200 {
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n})")).await;
    }
    let stalled = reader.following.status.wait_for(|status| matches!(status, Status::Stalled { .. }));
    timeout(DEADLINE, stalled).await.expect("in time").expect("a status");
    done(&mut root, 1).await;
    assert_eq!(ints(&reader.until_done(1).await), (0..200).collect::<Vec<_>>());
    assert_eq!(reader.metrics.reconnects.get(), 0, "back-pressure is no failure");
}

#[tokio::test]
async fn every_tls_mode_does_what_it_says() {
    let server = Mysql::gtids(&[]).await;
    let mut root = server.root().await;
    let attempt = async |mode: TlsMode, ca: Option<PathBuf>| {
        let mut settings = server.settings();
        settings.first_connect = FirstConnect::FailFast;
        settings.tls.mode = mode;
        settings.tls.ca = ca;
        Reader::new(settings, latest()).next().await.map(|_| ())
    };
    let ca = || Some(server.directory.path().join("data/ca.pem"));
    let wrong = || Some(server.directory.path().join("data/client-cert.pem"));
    // caching_sha2_password has no cached entry after this: without TLS it needs the server's RSA key.
    sql(&mut root, "FLUSH PRIVILEGES").await;
    attempt(TlsMode::Disabled, None).await.expect("plain");
    attempt(TlsMode::Preferred, None).await.expect("preferred");
    attempt(TlsMode::Required, None).await.expect("required");
    attempt(TlsMode::VerifyCa, ca()).await.expect("verify-ca");
    for (mode, file) in [(TlsMode::VerifyIdentity, ca()), (TlsMode::VerifyCa, wrong()), (TlsMode::VerifyCa, None)] {
        let error = attempt(mode, file).await.expect_err("a certificate that does not fit");
        assert!(matches!(error, Error::Tls { .. }), "{mode:?}: {error}");
    }
    sql(&mut root, "ALTER USER hook@'%' REQUIRE SSL").await;
    attempt(TlsMode::Preferred, None).await.expect("preferred is TLS where there is TLS");
    attempt(TlsMode::Disabled, None).await.expect_err("the account needs TLS");
}

#[tokio::test]
async fn a_server_without_tls_is_good_enough_for_preferred_only() {
    let server = Mysql::gtids(&["--tls-version="]).await;
    for (mode, is_enough) in [(TlsMode::Preferred, true), (TlsMode::Disabled, true), (TlsMode::Required, false)] {
        let mut settings = server.settings();
        settings.tls.mode = mode;
        let outcome = Reader::new(settings, latest()).next().await;
        assert_eq!(outcome.is_ok(), is_enough, "{mode:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_refused_login_is_final_at_first_and_a_refused_connection_is_not() {
    let mut server = Mysql::gtids(&[]).await;
    let mut settings = server.settings();
    settings.password = rowhook::source::Password("wrong".to_string());
    let error = Reader::new(settings, latest()).error().await;
    assert!(matches!(error, Error::Login { .. }), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let mut root = server.root().await;
    sql(&mut root, "CREATE USER bare@'%' IDENTIFIED BY ''").await;
    sql(&mut root, "GRANT REPLICATION CLIENT ON *.* TO bare@'%'").await;
    let mut settings = server.settings();
    settings.user = "bare".to_string();
    settings.password = rowhook::source::Password(String::new());
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
    server.restart(false).await;
    let mut root = server.root().await;
    done(&mut root, 1).await;
    reader.until_done(1).await;
}

#[tokio::test]
async fn of_two_readers_with_one_uuid_the_older_is_told_and_two_uuids_live_together() {
    let server = Mysql::gtids(&[]).await;
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

async fn wait_idle(reader: &mut Reader) {
    while !matches!(reader.next().await.expect("no error"), SourceEvent::Idle) {}
}

/// A connection in between that can go silent or flip a byte.
struct Proxy {
    address: SocketAddr,
    is_silent: Arc<AtomicBool>,
    /// The bytes beside which one is flipped; none: nothing is.
    flip_marker: Arc<std::sync::Mutex<Option<Vec<u8>>>>,
    /// Where the byte to flip stands, counted from the marker.
    flip_offset: Arc<AtomicI64>,
    flips: Arc<AtomicU64>,
    _task: tokio::task::JoinHandle<()>,
}

async fn proxy(port: u16) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let is_silent = Arc::new(AtomicBool::new(false));
    let flip_marker: Arc<std::sync::Mutex<Option<Vec<u8>>>> = Arc::default();
    let flips = Arc::new(AtomicU64::new(0));
    let flip_offset = Arc::new(AtomicI64::new(0));
    let offset = Arc::clone(&flip_offset);
    let (silent, marker, count) = (Arc::clone(&is_silent), Arc::clone(&flip_marker), Arc::clone(&flips));
    let task = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server");
            let (mut client_read, mut client_write) = client.into_split();
            let (mut server_read, mut server_write) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut client_read, &mut server_write).await });
            let (silent, marker, count) = (Arc::clone(&silent), Arc::clone(&marker), Arc::clone(&count));
            let offset = Arc::clone(&offset);
            // Silence belongs to the connections that live when it falls.
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length @ 1..) = server_read.read(&mut buffer).await {
                    if silent.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    let chunk = &mut buffer[..length];
                    let wanted = marker.lock().expect("a lock").clone();
                    if let Some(wanted) = wanted
                        && let Some(at) = chunk.windows(wanted.len()).position(|window| window == wanted)
                    {
                        chunk[at.checked_add_signed(offset.load(Ordering::SeqCst) as isize).expect("inside")] ^= 0x01;
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    if client_write.write_all(chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Proxy { address, is_silent, flip_marker, flip_offset, flips, _task: task }
}

#[tokio::test]
async fn silence_is_noticed_and_a_flipped_bit_is_never_taken_for_data() {
    let server = Mysql::gtids(&["--binlog-row-metadata=FULL"]).await;
    let proxy = proxy(server.port).await;
    let mut root = server.root().await;
    sql(&mut root, "CREATE TABLE test.a (n INT PRIMARY KEY, s VARCHAR(100))").await;
    let mut settings = server.settings();
    settings.port = proxy.address.port();
    settings.tls.mode = TlsMode::Disabled;
    let mut reader = Reader::new(settings.clone(), latest());
    reader.started().await;
    wait_idle(&mut reader).await;
    proxy.is_silent.store(true, Ordering::SeqCst);
    sql(&mut root, "INSERT INTO test.a VALUES (1, 'x')").await;
    let noticed = reader.following.status.wait_for(
        |status| matches!(status, Status::Connecting { last_error: Some(error), .. } if error.contains("silent")),
    );
    timeout(DEADLINE, noticed).await.expect("in time").expect("a status");
    proxy.is_silent.store(false, Ordering::SeqCst);
    done(&mut root, 1).await;
    assert_eq!(ints(&reader.until_done(1).await), [1]);
    // A bit flips once: read again.
    // The length in the event's header, 26 bytes before the text: the client library panics.
    for (n, compression, offset) in [(2, "OFF", 0), (3, "ON", 0), (5, "OFF", -26)] {
        proxy.flip_offset.store(offset, Ordering::SeqCst);
        sql(&mut root, &format!("SET SESSION binlog_transaction_compression = {compression}")).await;
        let marker = if compression == "ON" { vec![0x28, 0xb5, 0x2f, 0xfd] } else { b"marker-in-a-row".to_vec() };
        let before = proxy.flips.load(Ordering::SeqCst);
        *proxy.flip_marker.lock().expect("a lock") = Some(marker);
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n}, 'marker-in-a-row')")).await;
        while proxy.flips.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        *proxy.flip_marker.lock().expect("a lock") = None;
        done(&mut root, n).await;
        let changes = reader.until_done(n).await;
        assert_eq!(ints(&changes), [n]);
        assert_eq!(changes[0].latest(1), Some(&Value::Text("marker-in-a-row".into())));
    }
    proxy.flip_offset.store(0, Ordering::SeqCst);
    // It flips every time: given up, with the place.
    *proxy.flip_marker.lock().expect("a lock") = Some(b"marker-in-a-row".to_vec());
    sql(&mut root, "SET SESSION binlog_transaction_compression = OFF").await;
    sql(&mut root, "INSERT INTO test.a VALUES (4, 'marker-in-a-row')").await;
    let error = reader.error().await;
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
}

#[tokio::test]
async fn partial_row_images_and_schema_changes_under_minimal_metadata() {
    let server = Mysql::gtids(&[]).await;
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
        let cells = row.map(|row| row.0.to_vec()).unwrap_or_default().into_iter().enumerate();
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
    let columns = source::columns(&server.settings(), &watched()).await.expect("columns");
    assert_eq!(columns.iter().map(|table| table.to_string()).collect::<Vec<_>>(), ["test.a", "test.done"]);
}
