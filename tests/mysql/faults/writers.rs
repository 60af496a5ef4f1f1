//! The tables and those who write to them.
//!
//! `items_0` and `items_1` are watched. `versions` says of each of their rows how many changes it has had and whether it is
//! there; it is written in the same transactions, so whatever was committed, the server itself knows it. A row is known by
//! `who`; its key changes value and type.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder};
use tokio::task::JoinHandle;

use crate::support::random::Random;

pub const TABLES: usize = 2;
const ROWS: u64 = 40;
const WRITERS: usize = 4;
const LARGE_ROUNDS: u64 = 40;
const DEADLINE: Duration = Duration::from_secs(120);
/// Longer than a large transaction takes on a busy machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Lock waits, deadlocks, definitions that were changed meanwhile, a server that goes, connections and statements that
/// were killed, a `gtid_mode` that waits for transactions.
const PASSING: [u16; 12] = [1040, 1053, 1094, 1158, 1160, 1161, 1205, 1213, 1317, 1412, 3024, 3111];

/// `ER_DUP_ENTRY`.
const DUPLICATE: u16 = 1062;

/// Where the tables are.
pub struct Site {
    options: Opts,
    pub database: String,
    /// Place in `GTID_MODES`.
    pub gtid_mode: AtomicUsize,
    /// The next writer makes its transaction a large one.
    pub large_wanted: AtomicBool,
    large: AtomicU64,
    rollbacks: AtomicU64,
    next_id: AtomicU64,
    is_over: AtomicBool,
}

/// How many changes a row has had.
#[derive(Debug, Clone, Copy)]
pub struct Versions {
    pub table: usize,
    pub who: u64,
    pub version: u64,
    is_there: bool,
    /// The value of its key, also after it was deleted: what is put in its place has the same.
    id: u64,
}

/// As the table `versions` has them.
type Columns = (usize, u64, u64, bool, u64);

impl From<Columns> for Versions {
    fn from((table, who, version, is_there, id): Columns) -> Versions {
        Versions { table, who, version, is_there, id }
    }
}

/// A row of a watched table, its columns as text.
#[derive(Debug, Clone)]
pub struct Row {
    pub table: usize,
    pub who: u64,
    pub columns: Vec<(String, Option<String>)>,
}

impl Site {
    pub fn new(port: u16, database: String) -> Site {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .user(Some("root"))
            .db_name(Some(database.clone()))
            .prefer_socket(Some(false))
            .into();
        Site {
            options,
            database,
            gtid_mode: AtomicUsize::new(3),
            large_wanted: AtomicBool::new(true),
            large: AtomicU64::new(0),
            rollbacks: AtomicU64::new(0),
            next_id: AtomicU64::new(1000),
            is_over: AtomicBool::new(false),
        }
    }

    /// The watched tables, empty, and those that are not.
    pub async fn set_up(&self) {
        for table in 0..TABLES {
            let columns = "id INT NOT NULL, who INT NOT NULL, note VARCHAR(50) NOT NULL DEFAULT 'n', v BIGINT NOT NULL, \
                           filler VARCHAR(300) NOT NULL DEFAULT '', PRIMARY KEY (id), KEY who (who)";
            self.insist(&format!("CREATE TABLE items_{table} ({columns})")).await;
        }
        self.insist("CREATE TABLE unwatched (n INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(100))").await;
        let columns =
            "t INT, who INT, v BIGINT NOT NULL, is_there BOOL NOT NULL, id BIGINT NOT NULL, PRIMARY KEY (t, who)";
        self.insist(&format!("CREATE TABLE versions ({columns})")).await;
        let rows: Vec<String> =
            (0..TABLES).flat_map(|table| (0..ROWS).map(move |who| format!("({table}, {who}, 0, 0, {who})"))).collect();
        self.insist(&format!("INSERT INTO versions VALUES {}", rows.join(", "))).await;
    }

    pub fn table(&self, table: usize) -> String {
        format!("{}.items_{table}", self.database)
    }

    pub fn large_and_rollbacks(&self) -> (u64, u64) {
        (self.large.load(Ordering::Relaxed), self.rollbacks.load(Ordering::Relaxed))
    }

    pub async fn conn(&self) -> Result<Conn, Error> {
        let mut conn = Conn::new(self.options.clone()).await?;
        conn.query_drop(
            "SET innodb_lock_wait_timeout = 3, lock_wait_timeout = 5, transaction_isolation = 'READ-COMMITTED'",
        )
        .await?;
        Ok(conn)
    }

    /// Runs it once; that it fails because of a fault is nothing special.
    pub async fn try_once(&self, sql: &str) {
        passing(in_time(async { self.conn().await?.query_drop(sql).await }).await, sql);
    }

    /// Runs it until it is done.
    pub async fn insist(&self, sql: &str) {
        let give_up_at = Instant::now() + DEADLINE;
        while passing(in_time(async { self.conn().await?.query_drop(sql).await }).await, sql).is_none() {
            assert!(Instant::now() < give_up_at, "not done in {DEADLINE:?}: {sql}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn ask<T: mysql_async::prelude::FromRow + Send + 'static>(&self, sql: &str) -> Vec<T> {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            if let Some(rows) = passing(in_time(async { self.conn().await?.query(sql).await }).await, sql) {
                return rows;
            }
            assert!(Instant::now() < give_up_at, "not answered in {DEADLINE:?}: {sql}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn versions(&self) -> Vec<Versions> {
        let rows: Vec<Columns> = self.ask("SELECT * FROM versions").await;
        rows.into_iter().map(Versions::from).collect()
    }

    /// One more change for each row that is there, each table in one transaction.
    pub async fn change_every_row(&self) {
        for table in 0..TABLES {
            let mut conn = self.conn().await.expect("nothing fails now");
            let update = format!(
                "BEGIN; UPDATE items_{table} SET v = v + 1; \
                 UPDATE versions SET v = v + 1 WHERE t = {table} AND is_there; COMMIT"
            );
            conn.query_drop(update).await.expect("nothing fails now");
        }
    }

    /// All rows of the watched tables, after a check that `versions` says the same.
    pub async fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for table in 0..TABLES {
            let columns: Vec<String> = self.columns(table).await.into_iter().map(|(name, _)| name).collect();
            let casts: Vec<String> = columns.iter().map(|name| format!("CAST({name} AS CHAR)")).collect();
            let select = format!("SELECT who, v, JSON_ARRAY({}) FROM items_{table}", casts.join(", "));
            let versions: Vec<(u64, u64)> =
                self.ask(&format!("SELECT who, v FROM versions WHERE t = {table} AND is_there ORDER BY who")).await;
            let mut found: Vec<(u64, u64)> = Vec::new();
            for (who, version, values) in self.ask::<(u64, u64, String)>(&select).await {
                let values: Vec<Option<String>> = serde_json::from_str(&values).expect("an array of texts");
                found.push((who, version));
                rows.push(Row { table, who, columns: columns.iter().cloned().zip(values).collect() });
            }
            found.sort_unstable();
            assert_eq!(found, versions, "the writers of this test are wrong about table {table}");
        }
        rows
    }

    /// Names and types of a watched table's columns.
    pub async fn columns(&self, table: usize) -> Vec<(String, String)> {
        let select = format!(
            "SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = 'items_{table}' ORDER BY ORDINAL_POSITION",
            self.database
        );
        self.ask(&select).await
    }
}

/// What an answer that does not come is worth: a server that kills a connection while it sends to it may write the rest to
/// a connection made at that moment, which gets the same socket's number and never understands what it reads.
async fn in_time<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let answer = tokio::time::timeout(ANSWER_DEADLINE, asking).await;
    answer.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// The result; `None` when a fault took it.
#[track_caller]
fn passing<T>(result: Result<T, Error>, sql: &str) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Io(_) | Error::Driver(_)) => None,
        Err(Error::Server(error)) if PASSING.contains(&error.code) => None,
        // The server says so of rows that are deleted and inserted while it rebuilds their table, to who rebuilds it, and seldom
        // to who writes. Whether the tables are as `versions` says is checked at the end.
        Err(Error::Server(error)) if error.code == DUPLICATE => None,
        Err(error) => panic!("{error}\nin: {sql}"),
    }
}

/// Those who write.
pub struct Writers {
    site: Arc<Site>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub fn start(site: &Arc<Site>, random: &mut Random) -> Writers {
        site.is_over.store(false, Ordering::Relaxed);
        site.large_wanted.store(true, Ordering::Relaxed);
        let tasks =
            (0..WRITERS).map(|_| tokio::spawn(write(Arc::clone(site), Random::seeded(random.next())))).collect();
        Writers { site: Arc::clone(site), tasks }
    }

    pub async fn stop(self) {
        self.site.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer ends well");
        }
    }
}

async fn write(site: Arc<Site>, mut random: Random) {
    let mut open = None;
    let mut failed_since: Option<Instant> = None;
    while !site.is_over.load(Ordering::Relaxed) {
        // The load, not a wait for something.
        tokio::time::sleep(Duration::from_millis(random.below(40))).await;
        let result = async {
            let mut conn = match open.take() {
                Some(conn) => conn,
                None => site.conn().await?,
            };
            transaction(&site, &mut conn, &mut random).await?;
            open = Some(conn);
            Ok(())
        };
        // What became of a COMMIT without an answer the next transaction reads in `versions`.
        failed_since = match passing(in_time(result).await, "a writer's transaction") {
            Some(()) => None,
            None => failed_since.or(Some(Instant::now())),
        };
        assert!(failed_since.is_none_or(|since| since.elapsed() < DEADLINE), "no transaction for {DEADLINE:?}");
    }
}

/// One transaction: locks some rows, changes each of them at least once, and writes down their versions.
async fn transaction(site: &Site, conn: &mut Conn, random: &mut Random) -> Result<(), Error> {
    if random.below(10) == 0 {
        let compression = ["ON", "OFF"][random.below(2) as usize];
        conn.query_drop(format!("SET binlog_transaction_compression = {compression}")).await?;
    }
    let is_large = site.large_wanted.swap(false, Ordering::Relaxed);
    conn.query_drop("BEGIN").await?;
    for table in 0..TABLES {
        if !is_large && random.below(TABLES as u64 + 1) > 1 {
            continue;
        }
        let count = if is_large { ROWS } else { [1, 1, 1, 2, 5, 12][random.below(6) as usize] };
        let first = random.below(ROWS);
        let wanted: Vec<String> = (0..count).map(|n| ((first + n) % ROWS).to_string()).collect();
        // In the order of the key, so that writers wait for each other in one direction, and before the table itself,
        // so that no statement on it waits for them both.
        let lock = format!(
            "SELECT * FROM versions WHERE t = {table} AND who IN ({}) ORDER BY who FOR UPDATE",
            wanted.join(", ")
        );
        let locked: Vec<Columns> = conn.query(lock).await?;
        let mut rows: Vec<Versions> = locked.into_iter().map(Versions::from).collect();
        for round in 0..if is_large { LARGE_ROUNDS } else { 1 + random.below(3) / 2 } {
            if is_large || random.below(3) == 0 {
                update_all(conn, table, &mut rows, round, random).await?;
            } else {
                for row in &mut rows {
                    change(site, conn, row, random).await?;
                }
            }
        }
        let values: Vec<String> = rows
            .iter()
            .map(|row| format!("({table}, {}, {}, {}, {})", row.who, row.version, row.is_there, row.id))
            .collect();
        let write_down = "ON DUPLICATE KEY UPDATE v = new.v, is_there = new.is_there, id = new.id";
        conn.query_drop(format!("INSERT INTO versions VALUES {} AS new {write_down}", values.join(", "))).await?;
    }
    if random.below(4) == 0 {
        conn.query_drop("INSERT INTO unwatched (text) VALUES ('not'), ('watched')").await?;
    }
    if random.below(if is_large { 3 } else { 12 }) == 0 {
        conn.query_drop("ROLLBACK").await?;
        site.rollbacks.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    conn.query_drop("COMMIT").await?;
    site.large.fetch_add(u64::from(is_large), Ordering::Relaxed);
    Ok(())
}

/// One statement for all rows that are there.
async fn update_all(
    conn: &mut Conn,
    table: usize,
    rows: &mut [Versions],
    round: u64,
    random: &mut Random,
) -> Result<(), Error> {
    let there: Vec<String> = rows.iter().filter(|row| row.is_there).map(|row| row.who.to_string()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let filler = format!("REPEAT('{}', {})", round % 10, random.below(300));
    let set = format!("UPDATE items_{table} SET v = v + 1, filler = {filler} WHERE who IN ({})", there.join(", "));
    conn.query_drop(set).await?;
    assert_eq!(conn.affected_rows() as usize, there.len(), "rows that `versions` knows");
    rows.iter_mut().filter(|row| row.is_there).for_each(|row| row.version += 1);
    Ok(())
}

/// Inserts it, updates it, moves it to another key, deletes it, or puts another in its place.
async fn change(site: &Site, conn: &mut Conn, row: &mut Versions, random: &mut Random) -> Result<(), Error> {
    let Versions { table, who, version, is_there, id } = *row;
    let next_id = site.next_id.fetch_add(1, Ordering::Relaxed);
    let delete = format!("DELETE FROM items_{table} WHERE who = {who}");
    let insert = |version| format!("INSERT INTO items_{table} (id, who, v) VALUES ({id}, {who}, {version})");
    let (statements, changes, stays, id) = match (is_there, random.below(12)) {
        (false, _) => (vec![insert(version + 1)], 1, true, id),
        (true, 0) => (vec![delete], 1, false, id),
        (true, 1) => (vec![delete, insert(version + 2)], 2, true, id),
        (true, 2) => {
            (vec![format!("UPDATE items_{table} SET v = v + 1, id = {next_id} WHERE who = {who}")], 1, true, next_id)
        }
        (true, _) => (vec![format!("UPDATE items_{table} SET v = v + 1 WHERE who = {who}")], 1, true, id),
    };
    for statement in statements {
        conn.query_drop(&statement).await?;
        assert_eq!(conn.affected_rows(), 1, "{statement}");
    }
    (row.version, row.is_there, row.id) = (version + changes, stays, id);
    Ok(())
}
