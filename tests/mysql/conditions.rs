//! Conditions against the server: `when` decides as `SELECT … WHERE` does, or is refused before the first row.
//!
//! Rows of a table with a column of every type are read from the binlog; each pair of column and literal in `conditions::table` is asked
//! of the server and of rowhook with the same rows. What is written beside a pair says whether both agree (which is then so on every
//! row, NULL included), whether it is refused with a message, or whether it is one of the differences of docs/rules.md.

mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::timeout;
use uuid::Uuid;

use rowhook::change::{Change, Value};
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::Start;
use rowhook::schema::TypedTable;
use rowhook::source::{self, Settings};
use rowhook::telemetry::Metrics;
use rowhook::template::Condition;

use crate::stream;
use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Receiver};
use table::{COLUMNS, EXPRESSIONS, OPERATORS, ROWS, Verdict, sql_of};

const DEADLINE: Duration = Duration::from_secs(60);

/// The issue asks for 120; the table has far more.
const PAIRS_MIN: usize = 1_000;

#[tokio::test]
async fn every_pair_of_column_and_literal_decides_as_the_server_or_is_refused() {
    let server = MysqlServer::shared();
    let mut world = World::new(server).await;
    let (mut surprises, mut counts) = (String::new(), BTreeMap::new());
    for (when, sql, verdict) in pairs() {
        let found = match world.compare(&when, &sql).await {
            Ok(found) => found,
            Err(difference) => {
                let _ = writeln!(surprises, "{when}  (SQL: {sql})\n    {difference}");
                continue;
            }
        };
        *counts.entry(format!("{found:?}")).or_insert(0usize) += 1;
        if !verdict.allows(found) {
            let _ = writeln!(surprises, "{when}  (SQL: {sql})\n    is {found:?}, not {verdict:?}: {}", world.said);
        }
    }
    assert!(surprises.is_empty(), "{counts:?}\n{surprises}");
    assert!(counts.values().sum::<usize>() >= PAIRS_MIN, "{counts:?}");
}

/// Each `when` with its SQL, and what is expected of the two.
fn pairs() -> Vec<(String, String, Verdict)> {
    let mut pairs = Vec::new();
    for column in COLUMNS {
        for (literal, equality, order) in column.literals {
            for operator in OPERATORS {
                let verdict = if ["==", "!="].contains(operator) { *equality } else { *order };
                let when = format!("row.{} {operator} {literal}", column.name);
                pairs.push((when.clone(), sql_of(&when), verdict));
            }
            let list = format!("row.{} in [{literal}, {literal}]", column.name);
            pairs.push((list.clone(), sql_of(&list), *equality));
        }
        for test in ["is none", "is not none", "== none", "!= none"] {
            let when = format!("row.{} {test}", column.name);
            pairs.push((when.clone(), sql_of(&when), Verdict::Same));
        }
    }
    pairs.extend(EXPRESSIONS.iter().map(|(when, sql, verdict)| {
        let sql = if sql.is_empty() { sql_of(when) } else { (*sql).to_string() };
        ((*when).to_string(), sql, *verdict)
    }));
    pairs
}

/// The rows as the server has them and as the binlog brought them.
struct World {
    session: Conn,
    table: TypedTable,
    rows: BTreeMap<i64, Arc<Change>>,
    /// Why the last condition was refused.
    said: String,
}

impl World {
    async fn new(server: &MysqlServer) -> World {
        let database = server.fresh_database().await;
        let mut session = server.conn().await;
        let set_up = format!("USE {database}; SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'");
        session.query_drop(set_up).await.expect("a session");
        let definitions: Vec<String> =
            COLUMNS.iter().map(|column| format!("`{}` {}", column.name, column.definition)).collect();
        let create = format!("CREATE TABLE t (id INT PRIMARY KEY, {})", definitions.join(", "));
        session.query_drop(create).await.expect("a table");
        let mut settings = Settings::from_url(&server.root_url(), Uuid::new_v4()).expect("a URL");
        settings.tls.mode = source::TlsMode::Disabled;
        let patterns = TablePatterns(vec![TablePattern::parse(&format!("{database}.t")).expect("a pattern")]);
        let from = source::From::Start(Start::Latest);
        let mut following = source::follow(settings.clone(), from, patterns.clone(), Arc::new(Metrics::default()));
        timeout(DEADLINE, following.events.recv()).await.expect("a start in time").expect("a start").expect("a start");
        for row in 0..ROWS {
            // The last one is NULL in every column.
            let value = |values: &[&'static str]| if row + 1 == ROWS { "NULL" } else { values[row % values.len()] };
            let values: Vec<&str> = COLUMNS.iter().map(|column| value(column.values)).collect();
            session.query_drop(format!("INSERT INTO t VALUES ({row}, {})", values.join(", "))).await.expect("a row");
        }
        let mut rows = BTreeMap::new();
        while rows.len() < ROWS {
            let event = timeout(DEADLINE, following.events.recv()).await.expect("rows in time").expect("an event");
            for change in event.and_then(stream::changes).expect("changes") {
                let Some(Value::Int(id)) = change.latest(0) else { panic!("a row without a number") };
                rows.insert(id, Arc::new(change));
            }
        }
        let tables = source::named_tables(&settings, &patterns).await.expect("the types").found;
        let [table] = <[TypedTable; 1]>::try_from(tables).expect("one table");
        World { session, table, rows, said: String::new() }
    }

    /// How the two compare; an error where they differ without a word.
    async fn compare(&mut self, when: &str, sql: &str) -> Result<Verdict, String> {
        let answers: Result<Vec<(i64, Option<bool>)>, _> =
            self.session.query(format!("SELECT id, ({sql}) <> 0 FROM t")).await;
        let no_env = |_: &str| Ok(None);
        let compiled =
            [when.to_string(), format!("not ({when})")].map(|source| Condition::compile(&source, "r", &no_env));
        let [Ok(condition), Ok(negated)] = compiled else {
            self.said = format!("{compiled:?}");
            return Ok(Verdict::Refused);
        };
        let flaws = condition.misfits("t", &self.table.columns);
        if let Some(flaw) = flaws.first() {
            self.said = flaw.message.clone();
            return Ok(Verdict::Refused);
        }
        let answers = answers.map_err(|error| format!("the server refuses it, rowhook does not: {error}"))?;
        let mut verdict = Verdict::Same;
        for (id, expected) in answers {
            let row = &self.rows[&id];
            let decided = condition.holds(row).and_then(|is_true| Ok((is_true, negated.holds(row)?)));
            let decided = match decided {
                Ok((true, false)) => Some(true),
                Ok((false, true)) => Some(false),
                Ok((false, false)) => None,
                Ok((true, true)) => return Err(format!("row {id}: both it and its opposite hold")),
                Err(error) => {
                    self.said = error.to_string();
                    return Ok(Verdict::RefusedOnTheRow);
                }
            };
            if decided != expected {
                self.said = format!("row {id}: the server says {expected:?}, rowhook {decided:?}");
                verdict = Verdict::Differs;
            }
        }
        Ok(verdict)
    }
}

/// A table `shop` with a row for conditions to decide on.
async fn shop(server: &MysqlServer) -> String {
    let database = server.fresh_database().await;
    let columns = "id INT PRIMARY KEY, paid_at DATETIME, ts TIMESTAMP NULL, tm TIME, tags SET('a','b'), size ENUM('s','m','l'), \
                   note VARCHAR(20), n INT, required INT NOT NULL DEFAULT 0";
    server.query(&format!("CREATE TABLE {database}.t ({columns})")).await;
    database
}

fn rules(database: &str, receiver: &Receiver, conditions: &[&str]) -> String {
    let mut text = format!("table: {database}.t\nrules:\n");
    for (n, condition) in conditions.iter().enumerate() {
        let url = receiver.url(&format!("/{n}"));
        let _ = write!(
            text,
            "  - name: r{n}\n    when: \"{condition}\"\n    call: {{url: \"{url}\", body: {{id: \"{{{{ row.id }}}}\"}}}}\n"
        );
    }
    text
}

fn run(home: &Home, server: &MysqlServer) -> Program {
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off", "--no-watch"]);
    program.wait_for_line("reading after", DEADLINE);
    program
}

/// What was called, each as rule and row.
async fn calls(receiver: &Receiver, count: usize) -> Vec<(String, i64)> {
    receiver.wait_for_count(count, DEADLINE).await;
    let called = receiver.received();
    let mut called: Vec<(String, i64)> =
        called.iter().map(|request| (request.path.clone(), request.json()["id"].as_i64().expect("a number"))).collect();
    called.sort();
    called
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_a_running_rowhook_read_literals_as_the_column_does_and_null_calls_nothing() {
    let server = MysqlServer::shared();
    let (database, receiver) = (shop(server).await, Receiver::start(|_| Answer::ok()));
    let conditions = [
        "row.paid_at >= '2026-11-20 12:00:00'",
        "row.ts < '2026-11-20 12:00:00'",
        "row.tm > '9:00:00'",
        "row.tags == 'a'",
        "row.paid_at != '2026-11-20 08:00:00'",
        "row.ts == '2026-11-20 10:00:00+02:00'",
        "row.tm < '10:30:01' and row.size == 'm'",
        "not (row.note == 'x' or row.n > '5')",
        "row.note not in ['x', 'y']",
        "row.n is none",
        // The last rule tells when all before have been decided.
        "row.id == 3 or row.required == 0",
    ];
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", &rules(&database, &receiver, &conditions));
    let program = run(&home, server);
    let full = "'2026-11-20 08:00:00', '2026-11-20 08:00:00', '10:30:00', 'a', 'm', 'abc', 1";
    server.query(&format!("SET time_zone = '+00:00'; INSERT INTO {database}.t VALUES (1, {full}, 0)")).await;
    server.query(&format!("INSERT INTO {database}.t (id) VALUES (2)")).await;
    let called = calls(&receiver, 10).await;
    let expected = [(1, 1), (2, 1), (3, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 2), (10, 1), (10, 2)];
    let expected = expected.map(|(rule, row)| (format!("/{rule}"), row)).to_vec();
    let sorted = |mut calls: Vec<(String, i64)>| {
        calls.sort();
        calls
    };
    assert_eq!(called, sorted(expected));
    let dead = home.run(&["dead-letters", "list", "--json"]);
    let dead: serde_json::Value = serde_json::from_str(&dead.stdout).expect("JSON");
    assert_eq!(dead["dead_letters"], serde_json::json!([]), "a NULL makes no dead letter");
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_never_holds_is_an_error_of_check_of_the_start_and_of_a_reload() {
    let server = MysqlServer::shared();
    let (database, receiver) = (shop(server).await, Receiver::start(|_| Answer::ok()));
    let good = rules(&database, &receiver, &["row.id == 1", "row.note != 'x'", "row.required != 1"]);
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", &good);
    let url = server.root_url();
    let check = home.run(&["check", "--mysql", &url]);
    assert_eq!(check.code, 0, "{check:?}");
    assert!(check.stdout.contains("warning  rules/t.yaml:7:12: `!=` on the nullable column `note`"), "{check:?}");
    assert!(!check.stdout.contains("required"), "a column that is never NULL: {check:?}");

    let program = run(&home, server);
    let bad = rules(
        &database,
        &receiver,
        &[
            "row.id == 'one'",
            "row.size == 'huge'",
            "row.id == 2",
            "row.paid_at == row.ts",
            "row.size < 'm'",
            "row.n == 1.5",
        ],
    );
    home.write("rules/t.yaml", &bad);
    let said = [
        "rules/t.yaml:4:12: table ",
        "a number is compared with numbers, such as 12.5",
        "rules/t.yaml:7:12: table ",
        "has no label 'huge'; its labels are 's', 'm', 'l'",
        "rules/t.yaml:13:12: table ",
        "a TIMESTAMP is a moment and a DATETIME has no zone",
        "rules/t.yaml:16:12: table ",
        "labels have no order in conditions",
        "rules/t.yaml:19:12: table ",
        "is never 1.5: it holds whole numbers",
    ];
    let all_said = |finished: &Finished| {
        assert_eq!(finished.code, 1, "{finished:?}");
        let text = format!("{}{}", finished.stdout, finished.stderr);
        said.iter().for_each(|part| assert!(text.contains(part), "no {part:?} in {text}"));
        assert!(!text.contains("t.yaml:10:"), "the third rule is sound: {text}");
    };
    all_said(&home.run(&["reload"]));
    all_said(&home.run(&["check", "--mysql", &url]));
    server.query(&format!("INSERT INTO {database}.t (id) VALUES (1)")).await;
    assert_eq!(
        calls(&receiver, 2).await,
        [("/0".to_string(), 1), ("/2".to_string(), 1)],
        "the previous rules stay active"
    );
    program.terminate();
    let mut program = program;
    assert_eq!(program.wait(DEADLINE), 0);
    all_said(&home.run(&["run", "--mysql", &url, "--admin", "off"]));

    home.write("rules/t.yaml", &good);
    let program = run(&home, server);
    server.query(&format!("INSERT INTO {database}.t (id, note) VALUES (2, 'y')")).await;
    receiver.wait_for_count(4, DEADLINE).await;
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_becomes_another_type_is_compared_by_its_type_or_said_to_be_undecided() {
    let server = MysqlServer::shared();
    let (database, receiver) = (shop(server).await, Receiver::start(|_| Answer::ok()));
    let conditions = ["row.paid_at == '2026-11-20 12:00:00'", "row.n >= 5", "row.required == 0"];
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", &rules(&database, &receiver, &conditions));
    let program = run(&home, server);
    let insert = |id: i64| format!("INSERT INTO {database}.t (id, paid_at, n) VALUES ({id}, '2026-11-20 12:00:00', 9)");
    server.query(&insert(1)).await;
    for (id, paid_at, n) in
        [(2, "TIMESTAMP(3) NULL", "BIGINT UNSIGNED"), (3, "VARCHAR(30)", "DECIMAL(10,2)"), (4, "DATE", "VARCHAR(9)")]
    {
        server.query(&format!("ALTER TABLE {database}.t MODIFY paid_at {paid_at}, MODIFY n {n}")).await;
        server.query(&insert(id)).await;
    }
    // As text, `2026-11-20 12:00:00` is what it is; as a DATE it is midnight; a text is no number, and that is said.
    let mut expected = vec![];
    for id in 1..=4 {
        expected.push(("/2".to_string(), id));
        if id < 4 {
            expected.extend([("/0".to_string(), id), ("/1".to_string(), id)]);
        }
    }
    expected.sort();
    assert_eq!(calls(&receiver, expected.len()).await, expected);
    let line = program.wait_for_line("dead letter", DEADLINE);
    assert!(line.contains("rule=\"r1\"") && line.contains("a text is compared with texts"), "{line}");
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_in_an_answer_repeats_no_call_that_may_have_happened() {
    let (server, receiver) = (MysqlServer::shared(), Receiver::start(|_| Answer::ok()));
    let database = shop(server).await;
    receiver.set_script(|request| match request.method.as_str() {
        "POST" => Answer::lose_the_answer(),
        _ => Answer::ok().with_json(&serde_json::json!({"paid": null})),
    });
    let mut rules = format!("table: {database}.t\nrules:\n");
    for (n, when) in
        ["answer.json.paid == true", "not (answer.json.paid == true)", "answer.json.paid", "row.note != 'x'"]
            .iter()
            .enumerate()
    {
        let (call, query) = (receiver.url(&format!("/call/{n}")), receiver.url(&format!("/query/{n}")));
        let _ = write!(
            rules,
            "  - name: r{n}\n    retry: {{initial: 5ms, jitter: 0, retries: 1}}\n    call:\n      url: {call}\n      idempotent: false\n      \
             verify: {{call: {{url: \"{query}\"}}, when: \"{when}\"}}\n"
        );
    }
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_rule("t.yaml", &rules)
        .with_rule("targets.yaml", &format!("targets:\n  {}: {{breaker: off}}\n", receiver.url("")));
    let program = run(&home, server);
    server.query(&format!("INSERT INTO {database}.t (id) VALUES (1)")).await;
    for n in 0..4 {
        program.wait_for_line(&format!("dead letter rule=\"r{n}\""), DEADLINE);
    }
    for n in 0..4 {
        let count = |path: String| receiver.received().iter().filter(|request| request.path == path).count();
        assert_eq!(count(format!("/call/{n}")), 1, "rule r{n} called once");
        assert!(count(format!("/query/{n}")) >= 2, "rule r{n} asked again");
    }
    let shown = home.run(&["dead-letters", "show", "1"]).stdout;
    assert!(shown.contains("`verify.when` compares with NULL"), "{shown}");
    drop(program);
}
