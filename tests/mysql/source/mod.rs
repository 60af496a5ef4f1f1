//! The source stage alone against a real server: what it reads equals what SELECT shows, also after breaks, and what it
//! cannot read with certainty stops it. Each test has a server of its own, because it restarts or damages it.

mod another_log;
mod breaks;
mod differential;
mod json;
mod link;
mod partial_json;
mod refusals;
mod resume;
mod schema;
mod statements;
mod tls;
mod transactions;
mod types;
mod xa;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::change::{Change, Changes, Op, Value};
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::{Position, PositionParts, Resume, Start};
use rowhook::schema::Schema;
use rowhook::source::{self, Error, Following, Settings, SourceEvent};
use rowhook::telemetry::Metrics;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::mysql::MysqlServer;

const DEADLINE: Duration = Duration::from_secs(40);

/// A server with the tables and the reader's account that these tests share.
struct Mysql {
    server: MysqlServer,
    arguments: Vec<String>,
}

impl Mysql {
    async fn start(arguments: &[&str]) -> Mysql {
        let server = MysqlServer::start(arguments);
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        server
            .query(
                "CREATE DATABASE test; CREATE TABLE test.done (n INT PRIMARY KEY);
                 CREATE USER hook@'%' IDENTIFIED BY 'p@ss/w';
                 GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO hook@'%'",
            )
            .await;
        Mysql { server, arguments }
    }

    async fn root(&self) -> Conn {
        let mut root = self.server.conn().await;
        sql(&mut root, "SET time_zone = '+00:00', sql_mode = ''").await;
        root
    }

    fn restart(&mut self, kill: bool) {
        if kill {
            self.server.kill_9();
        }
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.server.restart(&arguments);
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::from_url(&self.server.url("hook", "p@ss/w"), Uuid::new_v4()).expect("a URL");
        settings.heartbeat = Duration::from_millis(500);
        settings.reconnect.initial = Duration::from_millis(50);
        settings
    }

    fn follow(&self, from: source::From) -> Reader {
        Reader::new(self.settings(), from)
    }
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
    /// The definitions known there.
    schema: Arc<Schema>,
    metrics: Arc<Metrics>,
}

impl Reader {
    fn new(settings: Settings, from: source::From) -> Reader {
        let metrics = Arc::new(Metrics::default());
        let following = source::follow(settings, from, watched(), Arc::clone(&metrics));
        Reader { following, position: None, schema: Arc::default(), metrics }
    }

    async fn next(&mut self) -> Result<SourceEvent, Error> {
        let event =
            timeout(DEADLINE, self.following.events.recv()).await.expect("an event in time").expect("an item")?;
        match &event {
            SourceEvent::Started(resume) => {
                self.position = Some(resume.position.clone());
                self.schema = Arc::clone(&resume.schema);
            }
            SourceEvent::Committed(committed) => {
                self.position.as_mut().expect("started").advance(committed);
                self.schema = committed.schema.clone().unwrap_or_else(|| Arc::clone(&self.schema));
            }
            _ => {}
        }
        Ok(event)
    }

    /// Reading began: what is written from now on must come.
    async fn started(&mut self) -> Position {
        match self.next().await.expect("a start") {
            SourceEvent::Started(resume) => resume.position,
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
                    for change in taken(rows) {
                        if &*change.table.name == "done" {
                            is_done |= change.latest(0) == Some(Value::Int(n));
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
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
            assert!(Instant::now() < give_up_at, "no error came");
        }
    }
}

/// The changes of row events, as who keeps them sees them. That a table was truncated is no row.
fn taken(events: Vec<Changes>) -> Vec<Change> {
    let of_rows = events.into_iter().filter(|changes| changes.op() != Op::Truncate);
    of_rows.flatten().map(|change| change.detach().expect("readable values")).collect()
}

async fn done(connection: &mut Conn, n: i64) {
    sql(connection, &format!("INSERT INTO test.done VALUES ({n})")).await;
}

fn ints(changes: &[Change]) -> Vec<i64> {
    let number = |change: &Change| match change.latest(0) {
        Some(Value::Int(number)) => number,
        other => panic!("{other:?}"),
    };
    changes.iter().map(number).collect()
}

/// The same position, but for what is edited.
fn edited(position: &Position, edit: impl FnOnce(&mut PositionParts)) -> Position {
    let mut parts = position.parts().clone();
    edit(&mut parts);
    Position::from_parts(parts)
}

fn resume(position: &Position) -> source::From {
    source::From::Resume(Resume { position: position.clone(), within: Vec::new(), schema: Default::default() })
}

async fn dump_threads(root: &mut Conn) -> Vec<u64> {
    root.query("SELECT id FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'").await.expect("a list")
}

async fn wait_idle(reader: &mut Reader) {
    while !matches!(reader.next().await.expect("no error"), SourceEvent::Idle) {}
}
