//! The journal against a real server: what was delivered is found, also after kill -9, and a journal that can't be written stops
//! nothing. The oracle is the table itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::random::Random;
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

fn json_of(home: &Home, args: &[&str]) -> Value {
    let finished = home.run(args);
    assert_eq!(finished.code, 0, "{args:?}: {}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

/// Waits until so many deliveries of the program's journal fit, and returns them.
fn listed(home: &Home, filter: &[&str], count: usize) -> Vec<Value> {
    let give_up_at = Instant::now() + DEADLINE;
    let args = [&["deliveries", "list", "--json"], filter].concat();
    loop {
        let found = json_of(home, &args)["deliveries"].as_array().expect("a list").clone();
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < give_up_at, "{} of {count} deliveries {filter:?}", found.len());
    }
}

async fn jobs() -> String {
    let database = MysqlServer::shared().fresh_database().await;
    MysqlServer::shared().query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY, kind VARCHAR(40))")).await;
    database
}

fn start(database: &str, receiver: &Receiver, home: &Home) -> Program {
    let rule = format!(
        "table: {database}.jobs\nrules:\n  - name: jobs\n    call: {{url: '{}'}}\n    \
         retry: {{initial: 20ms, multiplier: 1, jitter: 0}}\n",
        receiver.url("/jobs")
    );
    home.write("rules/jobs.yaml", &rule);
    home.write("rules/targets.yaml", &format!("targets:\n  {}: {{breaker: off}}\n", receiver.url("")));
    let program = home.start(&["run", "--mysql", &MysqlServer::shared().root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    program
}

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("ROWHOOK_JOURNAL", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_retried_and_dead_deliveries_are_listed_shown_and_counted() {
    let (server, database) = (MysqlServer::shared(), jobs().await);
    let receiver = Receiver::start(|request| match (request.json()["after"]["kind"].as_str(), request.attempt) {
        (Some("retried"), 1 | 2) => Answer::status(503),
        (Some("dead"), 1) => Answer::status(400).with_body("a body that is not kept"),
        _ => Answer::ok(),
    });
    let program = start(&database, &receiver, &home());
    let home = program.home();
    let rows = "(10006, 'delivered'), (10007, 'retried'), (10008, 'dead')";
    server.query(&format!("INSERT INTO {database}.jobs VALUES {rows}")).await;
    listed(home, &[], 3);

    let delivered = listed(home, &["--key", "10006"], 1).remove(0);
    let request = receiver.received().into_iter().find(|request| request.json()["after"]["id"] == 10_006);
    assert_eq!(delivered["id"].as_str(), request.expect("its call").key.as_deref());
    let facts = ["rule", "op", "key", "outcome", "status", "attempts_total", "times"].map(|name| &delivered[name]);
    assert_eq!(json!(facts), json!(["jobs", "insert", "10006", "delivered", 200, 1, 1]));
    assert_eq!(delivered["table"], format!("{database}.jobs"));
    assert!(receiver.url("").starts_with(delivered["target"].as_str().expect("a target")));

    let retried = listed(home, &["--answer", "5xx"], 1);
    assert_eq!((retried.len(), &retried[0]["key"]), (1, &json!("10007")));
    let shown = json_of(home, &["deliveries", "show", retried[0]["id"].as_str().expect("an id"), "--json"]);
    let statuses: Vec<&Value> =
        shown["attempts"].as_array().expect("attempts").iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(json!(statuses), json!([503, 503, 200]));
    let page = home.run(&["deliveries", "show", &retried[0]["number"].to_string()]).stdout;
    assert!(page.contains("outcome     delivered\n") && page.contains("attempts (3)\n"), "{page}");

    let dead = listed(home, &["--outcome", "dead", "--rule", "jobs", "--since", "1h"], 1);
    assert_eq!(
        (&dead[0]["key"], &dead[0]["reason"], &dead[0]["status"]),
        (&json!("10008"), &json!("refused"), &json!(400))
    );
    let stats = &json_of(home, &["stats", "--rule", "jobs", "--by", "day", "--json"])["stats"];
    let counts = |name: &str| stats.as_array().expect("days").iter().filter_map(|day| day[name].as_u64()).sum::<u64>();
    assert_eq!((counts("delivered"), counts("retried"), counts("dead")), (2, 1, 1));
    assert!(stats[0]["duration_ms"]["p95"].as_f64().expect("a duration") > 0.0);

    let same = listed(home, &["--reason", "refused", "--answer", "4xx", "--newer-than", "1h"], 1);
    assert_eq!(same, dead);
    let misspelt = home.run(&["deliveries", "list", "--rule", "jbos"]);
    assert_eq!(
        (misspelt.code, misspelt.stderr.as_str()),
        (1, "rowhook: error: no rule is named jbos; did you mean `jobs`?\n")
    );

    // A replay is the same delivery.
    assert_eq!(home.run(&["dead-letters", "replay", "--all"]).code, 0);
    let replayed = listed(home, &["--key", "10008", "--outcome", "delivered"], 1);
    assert_eq!(
        (&replayed[0]["id"], &replayed[0]["times"], &replayed[0]["attempts_total"]),
        (&dead[0]["id"], &json!(2), &json!(2))
    );
    assert!(listed(home, &["--outcome", "dead"], 0).is_empty());

    // The same without a daemon, also a replay.
    server.query(&format!("INSERT INTO {database}.jobs VALUES (10009, 'dead')")).await;
    listed(home, &["--key", "10009", "--outcome", "dead"], 1);
    program.terminate();
    let mut program = program;
    assert_eq!(program.wait(DEADLINE), 0);
    let list = program.home().run(&["deliveries", "list"]).stdout;
    assert_eq!(list.lines().count(), 5, "{list}");
    assert_eq!(program.home().run(&["dead-letters", "replay", "--all"]).code, 0);
    let replayed = listed(program.home(), &["--key", "10009"], 1);
    assert_eq!((&replayed[0]["outcome"], &replayed[0]["times"]), (&json!("delivered"), &json!(2)));
    for text in ["a body that is not kept", "retried"] {
        assert!(!contains(&program.home().path("data/journal.sqlite"), text), "{text}");
    }
}

fn contains(path: &Path, text: &str) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_key_is_stars_in_the_journal() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server
        .query(&format!("CREATE TABLE {database}.users (shop INT, email VARCHAR(90), PRIMARY KEY (shop, email))"))
        .await;
    let receiver = Receiver::start(|_| Answer::ok());
    let rule = format!("  - {{name: mail, redact: [email], call: {{url: {}}}}}\n", receiver.url("/users"));
    let home = home().with_rule("users.yaml", &format!("table: {database}.users\nrules:\n{rule}"));
    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off", "--journal-keep", "1d"]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.users VALUES (7, 'ada-4711@example.com')")).await;
    assert_eq!(listed(&home, &[], 1)[0]["key"], "shop=7, email=***");
    assert_eq!(listed(&home, &["--key", "shop=7, email=***"], 1).len(), 1);
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let file = home.path("data/journal.sqlite");
    assert!(contains(&file, "shop=7") && !contains(&file, "ada-4711"));
}

fn api(request: &Request) -> Answer {
    let id = request.json()["after"]["id"].as_u64().expect("an id");
    let answer = if id.is_multiple_of(50) { Answer::status(400) } else { Answer::ok() };
    answer.after(Duration::from_millis(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_every_row_has_exactly_one_entry() {
    const ROWS: usize = 6000;
    let (server, database) = (MysqlServer::shared(), jobs().await);
    let receiver = Receiver::start(api);
    let mut program = start(&database, &receiver, &home());
    let mut random = Random::new();
    let inserted = tokio::spawn({
        let database = database.clone();
        async move {
            for from in (1..=ROWS).step_by(20) {
                let rows: Vec<String> = (from..from + 20).map(|id| format!("({id}, 'a')")).collect();
                server.query(&format!("INSERT INTO {database}.jobs VALUES {}", rows.join(","))).await;
            }
        }
    });
    for kill in 1..=6 {
        let until = kill * ROWS / 7 + random.below(300) as usize;
        receiver.wait_for_count(until, DEADLINE).await;
        program.restart();
        program.wait_for_line("reading after", DEADLINE);
    }
    inserted.await.expect("inserted");
    receiver.wait_until(|requests| keys_of(requests) == ROWS, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);

    let path = program.home().path("data/journal.sqlite");
    let journal = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a journal");
    let mut rows = journal.prepare("SELECT key, outcome, times FROM deliveries").expect("a view");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).expect("rows");
    let rows: Vec<(String, (String, i64))> = rows.collect::<rusqlite::Result<_>>().expect("rows");
    assert_eq!(rows.len(), ROWS, "one entry for each row");
    let entries: BTreeMap<String, (String, i64)> = rows.into_iter().collect();
    for (id,) in server.rows::<(u64,)>(&format!("SELECT id FROM {database}.jobs")).await {
        let (outcome, _) = entries.get(&id.to_string()).unwrap_or_else(|| panic!("no entry for row {id}"));
        assert_eq!(outcome, if id.is_multiple_of(50) { "dead" } else { "delivered" }, "row {id}");
    }
    let attempts: usize = journal.query_row("SELECT count(*) FROM attempt", [], |row| row.get(0)).expect("a count");
    assert!(attempts >= ROWS && attempts <= receiver.count(), "{attempts} attempts, {} calls", receiver.count());
    let gaps: i64 = journal.query_row("SELECT count(*) FROM gap", [], |row| row.get(0)).expect("a count");
    assert_eq!(gaps, 0, "a killed process leaves no gap");
}

fn keys_of(requests: &[std::sync::Arc<Request>]) -> usize {
    let keys: std::collections::HashSet<&str> = requests.iter().filter_map(|request| request.key.as_deref()).collect();
    keys.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_written_stops_no_delivery_and_is_one_error() {
    let (server, database) = (MysqlServer::shared(), jobs().await);
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home();
    std::fs::create_dir_all(home.path("data/journal.sqlite")).expect("a directory where the file would be");
    let mut program = start(&database, &receiver, &home);
    for id in 1..=20 {
        server.query(&format!("INSERT INTO {database}.jobs VALUES ({id}, 'a')")).await;
    }
    receiver.wait_for_count(20, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let lines = program.lines();
    let errors: Vec<&String> = lines.iter().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.len() == 1 && errors[0].contains("the journal can't be written: deliveries go on"), "{errors:?}");

    // The checkpoint passed them all the same.
    program.restart();
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.jobs VALUES (21, 'a')")).await;
    receiver.wait_for_count(21, DEADLINE).await;
    assert_eq!(receiver.received()[20].json()["after"]["id"], 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_the_commands_say_how_to_turn_it_on() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"));
    for args in [&["deliveries", "list"][..], &["deliveries", "show", "7"], &["stats", "--json"]] {
        let finished = home.run(args);
        assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{args:?}");
        assert!(
            finished.stderr.contains("write `journal: {keep: 7d, max: 10 GiB}` into rowhook.yaml"),
            "{}",
            finished.stderr
        );
        assert_eq!(finished.stderr.lines().count(), 1);
    }
}
