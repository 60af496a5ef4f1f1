//! Data-driven tests of what the source reads: each file of `tests/mysql/cases` is SQL with the expected changes, as JSON,
//! below each statement. A new case needs no code.
//!
//! Each file runs on a database of its own, with FULL and with MINIMAL `binlog_row_metadata`, with and without
//! `binlog_transaction_compression`, unless a directive at its top says otherwise (cases/script.rs lists them). Sessions
//! begin with `sql_mode = ''` and UTC. A change stands below the statement that commits it: what a transaction did stands
//! below its COMMIT. Compared are op, table, key, before, after and changed of the default event, as exact text.
//! `ROWHOOK_CASES=json cargo test --test mysql cases` runs the files whose names contain `json`; `ROWHOOK_CASES_UPDATE=1`
//! writes what came into the files, to be checked by a person.

mod compare;
mod script;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowhook::change::{Change, Value};
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::Start;
use rowhook::source::{self, Following, Settings, SourceEvent, TlsMode};
use rowhook::telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::stream;
use crate::support::mysql::MysqlServer;
use script::{Expected, Script, Statement};

const DEADLINE: Duration = Duration::from_secs(60);

/// A row here, written by another session after each statement, separates the changes of the statements.
const STEP_TABLE: &str = "rowhook_case_step";

/// Fewer means that files are missing.
const FILES_MIN: usize = 90;

#[tokio::test]
async fn every_case_reads_as_written_with_full_metadata() {
    every_case("FULL").await;
}

#[tokio::test]
async fn every_case_reads_as_written_with_minimal_metadata() {
    every_case("MINIMAL").await;
}

async fn every_case(metadata: &str) {
    let mut servers = BTreeMap::new();
    let mut failures = String::new();
    for path in files() {
        let text = fs::read_to_string(&path).expect("a readable case");
        let name = format!("tests/mysql/cases/{}", path.file_name().unwrap_or_default().display());
        let script = match script::parse(&text) {
            Ok(script) => script,
            Err(problem) => {
                let _ = writeln!(failures, "{name}: {problem}\n");
                continue;
            }
        };
        if script.metadata.as_ref().is_some_and(|only| only != metadata) {
            continue;
        }
        if is_updating() && (metadata == "MINIMAL" && script.metadata.is_none()) {
            continue;
        }
        let server = servers.entry(script.server_options.clone()).or_insert_with(|| start(metadata, &script));
        for compression in ["OFF", "ON"] {
            if script.compression.as_ref().is_some_and(|only| only != compression) {
                continue;
            }
            let setting = format!("binlog_row_metadata={metadata}, binlog_transaction_compression={compression}");
            match Run::start(server, &script, compression).await.finish(&script).await {
                Ok(outcomes) if is_updating() => {
                    fs::write(&path, rewritten(&text, &script, &outcomes)).expect("a writable case");
                    break;
                }
                Ok(outcomes) => failures += &report(&name, &setting, &script, &outcomes),
                Err(problem) => failures += &format!("{name}:{problem}\n  with {setting}\n\n"),
            }
        }
    }
    assert!(failures.is_empty(), "cases that read otherwise than written:\n\n{failures}");
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mysql/cases");
    let entries = fs::read_dir(folder).expect("the folder of cases").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "sql")).collect();
    assert!(files.len() >= FILES_MIN, "only {} case files", files.len());
    files.sort();
    if let Ok(part) = std::env::var("ROWHOOK_CASES") {
        files.retain(|path| path.file_stem().is_some_and(|name| name.to_string_lossy().contains(&part)));
        assert!(!files.is_empty(), "no case file has {part} in its name");
    }
    files
}

fn start(metadata: &str, script: &Script) -> MysqlServer {
    let metadata = format!("--binlog-row-metadata={metadata}");
    let usual = [metadata.as_str(), "--max-allowed-packet=64M"];
    let options: Vec<&str> = usual.into_iter().chain(script.server_options.iter().map(String::as_str)).collect();
    MysqlServer::start(&options)
}

/// What one statement brought.
#[derive(Debug, Default)]
struct Outcome {
    lines: Vec<String>,
    /// The source ended here.
    stopped: Option<String>,
}

/// One file under way on one server.
struct Run {
    session: Conn,
    marker: Conn,
    reader: JoinHandle<Vec<Outcome>>,
    steps_read: watch::Receiver<usize>,
}

impl Run {
    async fn start(server: &MysqlServer, script: &Script, compression: &str) -> Run {
        let database = server.fresh_database().await;
        let (mut session, mut marker) = (server.conn().await, server.conn().await);
        for connection in [&mut session, &mut marker] {
            let begin = format!("USE {database}; SET time_zone = '+00:00', sql_mode = ''");
            connection.query_drop(begin).await.expect("a session");
        }
        marker.query_drop(format!("CREATE TABLE {STEP_TABLE} (n INT PRIMARY KEY)")).await.expect("a table");
        let compression = format!("SET SESSION binlog_transaction_compression = {compression}");
        session.query_drop(compression).await.expect("a setting");
        let mut settings = Settings::from_url(&server.root_url(), Uuid::new_v4()).expect("a URL");
        // Handshakes would take longer than the cases.
        settings.tls.mode = TlsMode::Disabled;
        let patterns = TablePatterns(vec![TablePattern::parse(&format!("{database}.*")).expect("a pattern")]);
        let from = source::From::Start(Start::Latest);
        let mut following = source::follow(settings, from, patterns, Arc::new(Metrics::default()));
        let first = timeout(DEADLINE, following.events.recv()).await.expect("a start in time").expect("a start");
        assert!(matches!(first, Ok(SourceEvent::Started(_))), "{first:?} before the start");
        let (steps, steps_read) = watch::channel(0);
        let reader = tokio::spawn(read(following, script.statements.len(), steps));
        Run { session, marker, reader, steps_read }
    }

    /// An error begins with the line of the statement.
    async fn finish(mut self, script: &Script) -> Result<Vec<Outcome>, String> {
        for (step, statement) in (1..).zip(&script.statements) {
            let answer = self.session.query_drop(&statement.sql).await;
            match answer {
                Err(error) if !statement.fails => return Err(format!("{}: {error}", statement.first_line)),
                Ok(()) if statement.fails => return Err(format!("{}: the server did it", statement.first_line)),
                _ => {}
            }
            let mark = format!("INSERT INTO {STEP_TABLE} VALUES ({step})");
            self.marker.query_drop(mark).await.expect("a mark");
            if script.is_read_in_step {
                // A closed channel means that the source stopped; the report says so.
                let _ = timeout(DEADLINE, self.steps_read.wait_for(|read| *read >= step)).await.expect("read in time");
            }
        }
        Ok(timeout(DEADLINE, self.reader).await.expect("read in time").expect("the reader ends well"))
    }
}

/// Reads until the last step's mark, or until the source stops.
async fn read(mut following: Following, steps: usize, read: watch::Sender<usize>) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::default()];
    while outcomes.len() <= steps {
        let event = following.events.recv().await.expect("the source says why it ends");
        match event.and_then(stream::changes) {
            Ok(changes) => {
                changes.iter().for_each(|change| take(change, &mut outcomes));
                read.send_replace(outcomes.len() - 1);
            }
            Err(error) => {
                outcomes.last_mut().expect("one is open").stopped = Some(error.to_string());
                return outcomes;
            }
        }
    }
    outcomes
}

fn take(change: &Change, outcomes: &mut Vec<Outcome>) {
    let open = outcomes.last_mut().expect("one is open");
    if &*change.table.name != STEP_TABLE {
        open.lines.push(compare::line_of(change));
        return;
    }
    assert_eq!(change.latest(0), Some(Value::Int(outcomes.len() as i64)), "each step is marked once");
    outcomes.push(Outcome::default());
}

/// The failures of one run; empty when all is as written.
fn report(name: &str, setting: &str, script: &Script, outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let nothing = Outcome::default();
    for (place, statement) in script.statements.iter().enumerate() {
        let outcome = outcomes.get(place).unwrap_or(&nothing);
        let differing = differing(statement, outcome);
        if !differing.is_empty() {
            let first = statement.sql.lines().next().unwrap_or_default();
            let _ = writeln!(text, "{name}:{}: {first}\n  with {setting}\n{differing}", statement.first_line);
        }
        if outcome.stopped.is_some() {
            break;
        }
    }
    text
}

fn differing(statement: &Statement, outcome: &Outcome) -> String {
    let mut text = String::new();
    let expected: Vec<String> = statement.expected.iter().map(|expected| compare::shortened(&expected.json)).collect();
    let same_at_start = expected.iter().zip(&outcome.lines).take_while(|(expected, got)| expected == got).count();
    let pairs = expected[same_at_start..].iter().rev().zip(outcome.lines[same_at_start..].iter().rev());
    let same_at_end = pairs.take_while(|(expected, got)| expected == got).count();
    let expected_lines = &statement.expected[same_at_start..statement.expected.len() - same_at_end];
    let expected = &expected[same_at_start..expected.len() - same_at_end];
    let got = &outcome.lines[same_at_start..outcome.lines.len() - same_at_end];
    let are_pairs = expected.len() == got.len();
    for place in 0..expected.len().max(got.len()) {
        if are_pairs && expected[place] == got[place] {
            continue;
        }
        if let Some((json, Expected { line, .. })) = expected.get(place).zip(expected_lines.get(place)) {
            let _ = writeln!(text, "  - {json}    (line {line})");
        }
        if let Some(json) = got.get(place) {
            let _ = writeln!(text, "  + {json}");
        }
        if let Some((expected, got)) = expected.get(place).zip(got.get(place)) {
            compare::differences(expected, got).iter().for_each(|difference| text += &format!("      {difference}\n"));
        }
    }
    match (&statement.stops, &outcome.stopped) {
        (None, Some(error)) => text += &format!("  the source stopped: {error}\n"),
        (Some(part), None) => text += &format!("  the source did not stop with {part}\n"),
        (Some(part), Some(error)) if !error.contains(part) => {
            text += &format!("  the source stopped without {part}: {error}\n");
        }
        _ => {}
    }
    text
}

fn is_updating() -> bool {
    std::env::var_os("ROWHOOK_CASES_UPDATE").is_some()
}

fn rewritten(text: &str, script: &Script, outcomes: &[Outcome]) -> String {
    let got: Vec<Vec<String>> = outcomes.iter().map(|outcome| outcome.lines.clone()).collect();
    script::rewritten(text, script, &got)
}
