//! What is decoded: a table of eleven columns, 210,000 rows inserted and then updated, in two binlog files of a real server.
//!
//! In: nothing. Out: the running server, and for inserts and updates each the file (a copy, so that peers read what no
//! server writes to) and where the same transactions begin and end on the wire. Metadata is FULL. The VARBINARY column
//! holds ASCII, because `mysql_cdc` ends at any other bytes and all peers are to read the same file.

use std::path::PathBuf;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::position::{Gtid, GtidSet};

use crate::support::mysql::MysqlServer;
use crate::support::process::Folder;

pub const ROWS: u64 = 210_000;
const ROWS_PER_STATEMENT: u64 = 1_000;

pub struct Captures {
    pub server: MysqlServer,
    pub version: String,
    pub inserts: Capture,
    pub updates: Capture,
    _folder: Folder,
}

/// One binlog file with `ROWS` rows, a thousand to a transaction.
pub struct Capture {
    pub path: PathBuf,
    /// Its name on the server.
    pub name: String,
    pub bytes: u64,
    /// What was committed before it.
    pub before: GtidSet,
    /// Its last transaction.
    pub last: Gtid,
}

impl Captures {
    pub async fn write() -> Captures {
        let server = MysqlServer::start(&["--binlog-row-metadata=FULL"]);
        let folder = Folder::new("rowhook-decode-");
        let mut conn = server.conn().await;
        conn.query_drop("CREATE DATABASE bench").await.expect("create the schema");
        conn.query_drop(TABLE).await.expect("create the table");
        let version = conn.query_first("SELECT version()").await.expect("ask").expect("a version");

        let capture = begin(&mut conn).await;
        for first in (0..ROWS).step_by(ROWS_PER_STATEMENT as usize) {
            let values: Vec<String> = (first..first + ROWS_PER_STATEMENT).map(row).collect();
            let insert = format!("INSERT INTO bench.rows_11 ({COLUMNS}) VALUES {}", values.join(","));
            conn.query_drop(insert).await.expect("insert");
        }
        let inserts = end(&mut conn, capture, &server, &folder).await;

        let capture = begin(&mut conn).await;
        for first in (0..ROWS).step_by(ROWS_PER_STATEMENT as usize) {
            let last = first + ROWS_PER_STATEMENT;
            let update =
                format!("UPDATE bench.rows_11 SET quantity = quantity + 1 WHERE id > {first} AND id <= {last}");
            conn.query_drop(update).await.expect("update");
        }
        let updates = end(&mut conn, capture, &server, &folder).await;
        Captures { server, version, inserts, updates, _folder: folder }
    }
}

/// Begins a file; its name and what was committed before.
async fn begin(conn: &mut Conn) -> (String, GtidSet) {
    conn.query_drop("FLUSH BINARY LOGS").await.expect("flush");
    let (name, _, _, _, executed): (String, u64, String, String, String) =
        conn.query_first("SHOW BINARY LOG STATUS").await.expect("ask").expect("the binlog is on");
    (name, executed.parse().expect("a GTID set"))
}

async fn end(conn: &mut Conn, (name, before): (String, GtidSet), server: &MysqlServer, folder: &Folder) -> Capture {
    let (_, executed) = begin(conn).await;
    let (uuid, tag, (_, number)) = executed.intervals().last().expect("transactions were committed");
    let last = Gtid { uuid, tag: tag.clone(), number };
    let path = folder.path().join(&name);
    let bytes = std::fs::copy(server.data_dir().join(&name), &path).expect("copy a binlog file");
    Capture { path, name, bytes, before, last }
}

/// About 150 bytes a row in the binlog.
const TABLE: &str = "CREATE TABLE bench.rows_11 (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, quantity INT, state ENUM('new', 'paid', 'sent'),
    total DECIMAL(12,2), note VARCHAR(200), at DATETIME(6), extra JSON, flags SET('a', 'b', 'c'),
    small SMALLINT, ratio DOUBLE, token VARBINARY(20))";

const COLUMNS: &str = "quantity, state, total, note, at, extra, flags, small, ratio, token";

fn row(n: u64) -> String {
    let state = ["new", "paid", "sent"][(n % 3) as usize];
    let flags = ["a", "a,b", "b,c", ""][(n % 4) as usize];
    format!(
        "({n}, '{state}', {}.{:02}, 'order number {n} of a customer who writes a note', \
         '2026-11-20 23:04:05.{:06}', '{{\"source\": \"web\", \"n\": {n}}}', '{flags}', {}, {n}.5, '{n:020}')",
        n % 100_000,
        n % 100,
        n % 1_000_000,
        n % 30_000,
    )
}
