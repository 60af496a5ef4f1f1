//! Random tables, random rows: whatever is inserted, updated and deleted, what the stream says equals what SELECT shows.
//!
//! A replica of each table is kept from the stream alone, by key; in the end it must be the same as the table, every value
//! byte for byte in the form of docs/data-format.md. The table's side is made by the server's own conversions (types.rs). With
//! FULL and MINIMAL metadata, with and without compression, with all three kinds of row image. A failure prints the seed;
//! `ROWHOOK_SEED=… cargo test --test mysql random_tables` runs it again.

mod types;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::change::json::write_value;
use rowhook::change::{Cell, Change, Op, Row};
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::Start;
use rowhook::source::{self, Following, Settings, SourceEvent, TlsMode};
use rowhook::telemetry::Metrics;
use tokio::time::timeout;
use uuid::Uuid;

use crate::stream;
use crate::support::mysql::MysqlServer;
use types::{TYPES, Type, Values};
use values::{Random, json_of, literal};

/// Changes over all four runs.
const CHANGES_MIN: usize = 100_000;
/// Every type comes up several times over that many tables of 5 to 40 columns.
const TABLES: usize = 10;
const ROWS_PER_STATEMENT: usize = 150;
/// Of each table, read one by one.
const STORED_ROWS: usize = 10;
/// For reading what is left when all is written.
const DEADLINE: Duration = Duration::from_secs(60);

const METADATA: [&str; 2] = ["FULL", "MINIMAL"];
const COMPRESSION: [&str; 2] = ["OFF", "ON"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_made_of_the_stream_equals_the_tables_with_full_metadata() {
    replicas_equal_the_tables(METADATA[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_made_of_the_stream_equals_the_tables_with_minimal_metadata() {
    replicas_equal_the_tables(METADATA[1]).await;
}

async fn replicas_equal_the_tables(metadata: &str) {
    let given = std::env::var("ROWHOOK_SEED").ok().map(|text| text.parse().expect("ROWHOOK_SEED is a number"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seed: u64 = given.unwrap_or(now.as_nanos() as u64);
    let _teller = SeedTeller(seed);
    let server = MysqlServer::start(&[&format!("--binlog-row-metadata={metadata}"), "--default-time-zone=+00:00"]);
    for (run, compression) in (0..).zip(COMPRESSION) {
        let changes = one_run(&server, compression, Random(seed.wrapping_add(run))).await;
        let least = CHANGES_MIN / METADATA.len() / COMPRESSION.len();
        assert!(changes >= least, "only {changes} changes, not {least}");
    }
}

/// Says the seed when its test fails, wherever it fails.
struct SeedTeller(u64);

impl Drop for SeedTeller {
    #[allow(clippy::print_stderr, reason = "the test harness shows it with the failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with ROWHOOK_SEED={}", self.0);
        }
    }
}

/// One random table: an `id`, perhaps a second key column, and columns of random types.
struct RandomTable {
    name: String,
    /// Name and type, in order.
    columns: Vec<(String, Option<&'static Type>)>,
    key: &'static str,
    /// Ids given so far.
    ids: usize,
}

const ID: &str = "id";
const SECOND_KEY: &str = "k";

/// Returns the number of changes that came.
async fn one_run(server: &MysqlServer, compression: &str, mut random: Random) -> usize {
    let database = server.fresh_database().await;
    let mut session = server.conn().await;
    let (partial, images) =
        *random.pick(&[("PARTIAL_JSON", &["FULL"][..]), ("", &["FULL", "FULL", "MINIMAL", "NOBLOB"])]);
    let setup = format!(
        "USE {database}; SET sql_mode = '', SESSION binlog_transaction_compression = {compression}, \
         SESSION binlog_row_value_options = '{partial}'; CREATE TABLE done (n INT PRIMARY KEY)"
    );
    session.query_drop(setup).await.expect("a session");
    let mut tables: Vec<RandomTable> = (0..TABLES).map(|place| RandomTable::draw(place, &mut random)).collect();
    for table in &tables {
        let sql = table.create_sql();
        session.query_drop(&sql).await.unwrap_or_else(|error| panic!("{error} in: {sql}"));
    }
    let mut following = follow(server, &database);
    let first = timeout(DEADLINE, following.events.recv()).await.expect("a start in time").expect("a start");
    assert!(matches!(first, Ok(SourceEvent::Started(_))), "{first:?} before the start");
    let reader = tokio::spawn(read(following));
    for _ in 0..WRITES {
        let place = random.below(tables.len());
        write(&mut session, &mut tables[place], images, &mut random).await;
    }
    session.query_drop("COMMIT; INSERT INTO done VALUES (1)").await.expect("an end");
    let replica = timeout(DEADLINE, reader).await.expect("read in time").expect("the reader ends well");
    for table in &tables {
        let selected = select(&mut session, table).await;
        let nothing = BTreeMap::new();
        compare(table, &selected, replica.tables.get(&table.name).unwrap_or(&nothing));
        compare_stored(server, &database, table, &selected).await;
    }
    replica.changes
}

/// Statements per run; each changes a hundred rows and more.
const WRITES: usize = 260;

impl RandomTable {
    fn draw(place: usize, random: &mut Random) -> RandomTable {
        let count = 5 + random.below(36);
        let mut columns: Vec<_> = (0..count).map(|n| (format!("c{n}"), Some(random.pick(TYPES)))).collect();
        columns.insert(random.below(count), (ID.to_string(), None));
        columns.insert(random.below(count), (SECOND_KEY.to_string(), None));
        let key = random.pick(&["id", "id, k", "k, id"]);
        RandomTable { name: format!("t{place}"), columns, key, ids: 0 }
    }

    fn create_sql(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {}", kind.map_or("SMALLINT NOT NULL", |kind| kind.sql)))
            .collect();
        format!("CREATE TABLE {} ({}, PRIMARY KEY ({}))", self.name, columns.join(", "), self.key)
    }

    fn row(&self, id: usize, second: usize, random: &mut Random) -> String {
        let values: Vec<String> = self
            .columns
            .iter()
            .map(|(name, kind)| match kind {
                Some(kind) => literal(random, kind.values),
                None if name == ID => id.to_string(),
                None => second.to_string(),
            })
            .collect();
        format!("({})", values.join(", "))
    }

    fn value_columns(&self) -> Vec<(&String, &'static Type)> {
        self.columns.iter().filter_map(|(name, kind)| Some((name, (*kind)?))).collect()
    }
}

/// One statement, sometimes in a larger transaction.
async fn write(session: &mut Conn, table: &mut RandomTable, images: &[&str], random: &mut Random) {
    let image = *random.pick(images);
    let name = table.name.clone();
    let known = table.ids;
    let columns = table.value_columns();
    let statement = match random.below(10) {
        choice if known == 0 || (choice < 5 && known < 1200) => {
            let rows: Vec<String> = (known..known + ROWS_PER_STATEMENT).map(|id| table.row(id, 0, random)).collect();
            table.ids += ROWS_PER_STATEMENT;
            format!("INSERT INTO {name} VALUES {}", rows.join(", "))
        }
        // Rows that are there get other values, rows that are not come back.
        0..=6 => {
            let verb = *random.pick(&["REPLACE", "INSERT"]);
            let ids: Vec<usize> = (0..ROWS_PER_STATEMENT).map(|_| random.below(known)).collect();
            let rows: Vec<String> = ids.into_iter().map(|id| table.row(id, 0, random)).collect();
            let mut statement = format!("{verb} INTO {name} VALUES {}", rows.join(", "));
            if verb == "INSERT" {
                let updates: Vec<String> =
                    columns.iter().map(|(column, _)| format!("{column} = new.{column}")).collect();
                statement += &format!(" AS new ON DUPLICATE KEY UPDATE {}", updates.join(", "));
            }
            statement
        }
        7 | 8 => {
            let (column, kind) = *random.pick(&columns);
            let value = match kind.values {
                Values::Json if random.one_in(2) => json_change(column, random),
                values => literal(random, values),
            };
            let key = *random.pick(&["", "", ", k = (k + 1) % 100"]);
            format!("UPDATE IGNORE {name} SET {column} = {value}{key} WHERE id % 5 = {}", random.below(5))
        }
        _ => format!("DELETE FROM {name} WHERE id % 9 = {}", random.below(9)),
    };
    let begin = if random.one_in(4) { "BEGIN" } else { "COMMIT" };
    session.query_drop(format!("SET SESSION binlog_row_image = {image}")).await.expect("a setting");
    session.query_drop(&statement).await.unwrap_or_else(|error| {
        panic!("{error} in: {}", statement.chars().take(2000).collect::<String>());
    });
    session.query_drop(begin).await.expect("a transaction's border");
}

/// A change that the server may log as a partial one.
fn json_change(column: &str, random: &mut Random) -> String {
    let path = *random.pick(&["$[0]", "$[1]", "$.a", "$.b[0]", "$[last]"]);
    match random.below(4) {
        0 => format!("JSON_REMOVE({column}, '{path}')").replace("$[last]", "$[0]"),
        1 => format!("JSON_REPLACE({column}, '{path}', NULL)"),
        2 => format!("JSON_SET({column}, '{path}', CAST('1.10' AS DECIMAL(5,2)), '$.z', 'é')"),
        _ => format!("JSON_SET({column}, '{path}', JSON_OBJECT('é', {}))", random.below(100_000)),
    }
}

fn settings(server: &MysqlServer) -> Settings {
    let mut settings = Settings::from_url(&server.root_url(), Uuid::new_v4()).expect("a URL");
    settings.tls.mode = TlsMode::Disabled;
    settings
}

fn follow(server: &MysqlServer, database: &str) -> Following {
    let patterns = TablePatterns(vec![TablePattern::parse(&format!("{database}.*")).expect("a pattern")]);
    source::follow(settings(server), source::From::Start(Start::Latest), patterns, Arc::new(Metrics::default()))
}

/// Key to the row's values, both as JSON text.
type Rows = BTreeMap<String, Vec<String>>;

#[derive(Default)]
struct Replica {
    tables: BTreeMap<String, Rows>,
    changes: usize,
}

async fn read(mut following: Following) -> Replica {
    let mut replica = Replica::default();
    loop {
        let event = following.events.recv().await.expect("the source says why it ends");
        for change in event.and_then(stream::changes).expect("no error") {
            if &*change.table.name == "done" {
                return replica;
            }
            replica.apply(&change);
        }
    }
}

impl Replica {
    fn apply(&mut self, change: &Change) {
        self.changes += 1;
        let rows = self.tables.entry(change.table.name.to_string()).or_default();
        let old_key = change.before.as_ref().map(|before| key_of(change, before, None));
        let old = old_key.map(|key| rows.remove(&key).unwrap_or_else(|| panic!("{} of {key}, unknown", change.op)));
        let Some(after) = &change.after else { return };
        // With MINIMAL and NOBLOB images an insert leaves NULLs out, an update what did not change.
        let mut values = old.unwrap_or_else(|| vec!["null".to_string(); change.table.columns.len()]);
        for (value, cell) in values.iter_mut().zip(after.cells()) {
            if let Cell::Value(present) = cell {
                *value = json(&present);
            }
        }
        let replaced = rows.insert(key_of(change, after, change.before.as_ref()), values);
        assert!(replaced.is_none() && change.op != Op::Read, "an insert of a row that is there");
    }
}

fn json(value: &rowhook::change::Value) -> String {
    let mut out = Vec::new();
    write_value(value, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// The key of a row image; what a MINIMAL image after lacks stands in the one before.
fn key_of(change: &Change, image: &Row, before: Option<&Row>) -> String {
    let part = |column: &usize| match (image.cell(*column), before.map(|before| before.cell(*column))) {
        (Cell::Value(value), _) | (Cell::Absent, Some(Cell::Value(value))) => json(&value),
        _ => panic!("{}: a row without its key", change.table),
    };
    change.table.primary_key.iter().map(part).collect::<Vec<_>>().join(",")
}

async fn select(session: &mut Conn, table: &RandomTable) -> Rows {
    let number = "CAST({} AS CHAR)";
    let expressions: Vec<String> =
        table.columns.iter().map(|(name, kind)| kind.map_or(number, |kind| kind.select).replace("{}", name)).collect();
    let key: Vec<usize> = table
        .key
        .split(", ")
        .map(|part| table.columns.iter().position(|(name, _)| name == part).expect("a key column"))
        .collect();
    let question = format!("SELECT {} FROM {}", expressions.join(", "), table.name);
    let answer: Vec<mysql_async::Row> = session.query(&question).await.unwrap_or_else(|error| panic!("{error}"));
    let mut rows = Rows::new();
    for row in answer {
        let values: Vec<String> = row
            .unwrap()
            .into_iter()
            .zip(&table.columns)
            .map(|(value, (_, kind))| match value {
                mysql_async::Value::NULL => "null".to_string(),
                mysql_async::Value::Bytes(text) => {
                    let text = String::from_utf8(text).expect("the server answers in UTF-8");
                    kind.map_or(text.clone(), |kind| json_of(kind.answer, &text))
                }
                other => panic!("{other:?} is no text"),
            })
            .collect();
        let key: Vec<&str> = key.iter().map(|column| values[*column].as_str()).collect();
        rows.insert(key.join(","), values);
    }
    rows
}

/// Some rows, read one by one as a preview reads them.
async fn compare_stored(server: &MysqlServer, database: &str, table: &RandomTable, selected: &Rows) {
    let settings = settings(server);
    let pattern = TablePattern::parse(&format!("{database}.{}", table.name)).expect("a pattern");
    let named = source::named_tables(&settings, &TablePatterns(vec![pattern])).await.expect("the tables");
    for (key, expected) in selected.iter().take(STORED_ROWS) {
        let names = table.key.split(", ").map(Box::from);
        let named_by: Vec<(Box<str>, String)> = names.zip(key.split(',').map(str::to_owned)).collect();
        let stored = source::stored_row(&settings, &named.found[0], &named_by).await;
        let stored: Vec<String> = stored.unwrap_or_else(|error| panic!("{error}")).iter().map(json).collect();
        for ((got, expected), (name, kind)) in stored.iter().zip(expected).zip(&table.columns) {
            let kind = kind.map_or("SMALLINT", |kind| kind.sql);
            assert_eq!(got, expected, "{}.{name} {kind} of key {key}: stored, selected", table.name);
        }
    }
}

fn compare(table: &RandomTable, selected: &Rows, replica: &Rows) {
    let keys = |rows: &Rows| rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(replica), keys(selected), "keys of {}", table.create_sql());
    for (key, expected) in selected {
        for ((got, expected), (name, kind)) in replica[key].iter().zip(expected).zip(&table.columns) {
            let kind = kind.map_or("SMALLINT", |kind| kind.sql);
            assert_eq!(got, expected, "{}.{name} {kind} of key {key}: from the stream, selected", table.name);
        }
    }
}
