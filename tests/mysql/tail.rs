//! `rowhook tail` beside a real server: what rules match, what was decoded, and a calm end whichever way it comes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};

const DEADLINE: Duration = Duration::from_secs(60);

const RULE: &str = "table: DATABASE.orders
rules:
  - name: order-paid
    on: [insert, update]
    when: row.status == 'paid'
    call: {url: \"http://127.0.0.1:1/never-called\"}
  - name: order-any
    call: {url: \"http://127.0.0.1:1/never-called\"}
";

async fn shop(server: &MysqlServer) -> (String, Home) {
    let database = server.fresh_database().await;
    let orders = "id INT PRIMARY KEY, status VARCHAR(10), total DECIMAL(10,2)";
    server.query(&format!("USE {database}; CREATE TABLE orders ({orders}); CREATE TABLE notes (id INT)")).await;
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &RULE.replace("DATABASE", &database));
    (database, home)
}

/// The JSON lines of a run that has ended.
fn json_lines(program: &Program) -> Vec<Value> {
    let lines = program.lines();
    let json = lines.iter().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).expect("a JSON document on each line")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_match_of_a_rule_is_a_line_with_the_event_that_would_be_sent() {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    let mut program = home.start(&["tail", "--mysql", &server.root_url(), "--count", "3"]);
    program.wait_for_line("reading after", DEADLINE);
    let changes = "INSERT INTO notes VALUES (1); INSERT INTO orders VALUES (1, 'new', 1.5); \
                   UPDATE orders SET status = 'paid'; DELETE FROM orders";
    server.query(&format!("USE {database}; {changes}")).await;
    assert_eq!(program.wait(DEADLINE), 0);
    let lines = json_lines(&program);
    let printed: Vec<_> = lines.iter().map(|line| (line["rule"].as_str(), line["op"].as_str())).collect();
    let expected = [("order-any", "insert"), ("order-paid", "update"), ("order-any", "update")];
    assert_eq!(printed, expected.map(|(rule, op)| (Some(rule), Some(op))));
    assert_eq!(lines[1]["after"]["total"], "1.50");
    assert_eq!(lines[1]["changed"], serde_json::json!(["status"]));
    assert!(lines[1]["id"].is_string());
    assert!(!home.path("data").exists(), "no store was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_shows_every_change_of_the_tables_named_where_reading_began_and_where_transactions_end() {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    let start: Vec<String> = server.rows("SELECT REPLACE(@@global.gtid_executed, '\n', '')").await;
    let changes = "BEGIN; INSERT INTO notes VALUES (1); INSERT INTO orders VALUES (1, 'new', 1.5), (2, 'new', 2); COMMIT; \
                   INSERT INTO notes VALUES (2)";
    server.query(&format!("USE {database}; {changes}")).await;
    let tables = format!("{database}.*");
    let arguments = ["tail", "--raw", "--table", &tables, "--from", &start[0], "--count", "4", "--mysql"];
    // Without rule files: the tables are named.
    std::fs::remove_dir_all(home.path("rules")).expect("a folder of our own");
    let mut program = home.start(&[&arguments[..], &[&server.root_url()]].concat());
    assert_eq!(program.wait(DEADLINE), 0);
    // Other tests write to this server too: their transactions have no rows here.
    let lines: Vec<Value> = json_lines(&program).into_iter().filter(|line| line["rows"] != 0).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["started", "change", "change", "change", "committed", "change"]);
    assert_eq!(lines[0]["gtids"], start[0]);
    let printed: Vec<_> = lines[1..4].iter().map(|line| (line["table"].as_str(), line["ordinal"].as_u64())).collect();
    assert_eq!(printed, [(Some("notes"), Some(1)), (Some("orders"), Some(1)), (Some("orders"), Some(2))]);
    let committed = &lines[4];
    assert_eq!((&committed["rows"], &committed["gtid"]), (&Value::from(3), &lines[1]["source"]["gtid"]));
    assert_eq!(committed["committed_at"], lines[1]["committed_at"]);
    // Where this transaction ended the next one began; both stand in a file and offset that can be begun from.
    let place = format!("{}:{}", lines[1]["source"]["file"].as_str().expect("a file"), lines[1]["source"]["offset"]);
    let arguments = ["tail", "--raw", "--table", &tables, "--from", &place, "--count", "1", "--mysql"];
    let finished = home.run(&[&arguments[..], &[&server.root_url()]].concat());
    assert_eq!(finished.code, 0, "{finished:?}");
    let again: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(again[1], lines[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tables_asked_for_are_shown_and_ctrl_c_ends_with_0() {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    let rule = format!("table: {database}.*\nrules:\n  - name: any\n    call: {{url: \"http://127.0.0.1:1/never\"}}\n");
    let home = home.with_rule("orders.yaml", &rule);
    let notes = format!("{database}.notes");
    let mut program = home.start(&["tail", "--mysql", &server.root_url(), "--table", &notes]);
    program.wait_for_line("reading after", DEADLINE);
    server
        .query(&format!("USE {database}; INSERT INTO orders VALUES (1, 'paid', 1); INSERT INTO notes VALUES (7)"))
        .await;
    let line = program.wait_for_line("{", DEADLINE);
    assert!(line.contains("\"table\":\"notes\""), "{line}");
    program.interrupt();
    assert_eq!(program.wait(DEADLINE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_calmly_when_its_reader_closes_the_pipe() {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    let mut tail = Command::new(env!("CARGO_BIN_EXE_rowhook"))
        .args(["tail", "--raw", "--log", "error", "--mysql", &server.root_url(), "--rules"])
        .arg(home.path("rules"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(tail.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert!(line.starts_with("{\"kind\":\"started\""), "{line}");
    drop(stdout);
    server.query(&format!("INSERT INTO {database}.orders VALUES (1, 'paid', 1)")).await;
    let output = tokio::task::spawn_blocking(move || tail.wait_with_output()).await.expect("a thread").expect("an end");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rowhook_that_runs_is_not_disturbed() {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    let home = home.with_env("ROWHOOK_SERVER_ID", "4242");
    let running = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    running.wait_for_line("reading after", DEADLINE);
    let mut program = home.start(&["tail", "--mysql", &server.root_url(), "--count", "2"]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.orders VALUES (1, 'new', 1)")).await;
    program.wait_for_line("{", DEADLINE);
    let replicas: Vec<(u32, String)> = server
        .rows::<mysql_async::Row>("SHOW REPLICAS")
        .await
        .into_iter()
        .map(|row| (row.get(0).expect("an id"), row.get("Replica_UUID").expect("a uuid")))
        .collect();
    // The server keeps one replica per id, the one that came last.
    let instance = std::fs::read_to_string(home.path("data/instance")).expect("a running rowhook has one");
    assert!(replicas.contains(&(4242, instance.trim().to_owned())), "{instance} in {replicas:?}");
    server.query(&format!("INSERT INTO {database}.orders VALUES (2, 'new', 1)")).await;
    assert_eq!(program.wait(DEADLINE), 0);
    // No process listens where its rules call.
    running.wait_for_line("target unavailable", DEADLINE);
    let lines = running.lines();
    assert!(!lines.iter().any(|line| line.contains("another replica")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_rule_cannot_be_decided_on_is_reported_without_its_values() {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    let home = home.with_rule("orders.yaml", &RULE.replace("DATABASE", &database).replace("row.status", "row.state"));
    let mut program = home.start(&["tail", "--mysql", &server.root_url(), "--count", "1"]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.orders VALUES (1, 'secret', 1)")).await;
    let line = program.wait_for_line("has no column `state`", DEADLINE);
    assert!(line.contains("order-paid") && !line.contains("secret"), "{line}");
    assert_eq!(program.wait(DEADLINE), 0);
}
