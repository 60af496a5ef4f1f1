//! Personal data at rest: what a rule redacts is sent, and then nowhere on the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(60);
const EMAIL: &str = "ada-4711@example.com";
const NOTE: &str = "a note that is kept";

/// Whether any file below the directory contains the text.
fn contains(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).expect("readable").any(|entry| {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => contains(&path, text),
            // Sockets and files that the store has just removed can't be read, and contain nothing.
            false => std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes())),
        }
    })
}

fn json_of(finished: &Finished) -> Value {
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_column_is_sent_and_is_on_no_disk_in_no_log_and_in_nothing_shown() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.users (id INT PRIMARY KEY, email TEXT, note TEXT)")).await;
    // The API repeats what it was sent, as APIs do.
    let receiver = Receiver::start(|request| match request.attempt {
        1 => Answer::status(422).with_body(format!("can't take {}", String::from_utf8_lossy(&request.body))),
        _ => Answer::ok(),
    });
    let rule = |name: &str, body: &str| {
        format!("  - {{name: {name}, redact: [email], call: {{url: {}, body: {body}}}}}\n", receiver.url("/users"))
    };
    let rules = [
        format!("table: {database}.users\nrules:\n"),
        rule("mail", "{to: '{{ row.email }}'}"),
        rule("whole-row", "{user: '{{ row }}'}"),
        rule("count", "{id: '{{ row.id }}', note: '{{ row.note }}'}"),
    ];
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("users.yaml", &rules.concat());
    let args = ["run", "--mysql", &server.root_url(), "--admin", "off", "--log", "debug"];
    let mut program = home.start(&args);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.users VALUES (7, '{EMAIL}', '{NOTE}')")).await;

    let list = || json_of(&home.run(&["dead-letters", "list", "--json"]))["dead_letters"].clone();
    let give_up_at = Instant::now() + DEADLINE;
    while list().as_array().expect("a list").len() < 3 {
        assert!(Instant::now() < give_up_at, "{}", list());
    }
    let sent = receiver.received();
    assert!(sent.iter().any(|request| *request.json() == json!({"to": EMAIL})), "the API gets the value");
    for letter in list().as_array().expect("a list") {
        let number = letter["number"].to_string();
        let shown = json_of(&home.run(&["dead-letters", "show", &number, "--json"]));
        assert_eq!(shown["change"]["after"], json!({"id": 7, "email": "***", "note": NOTE}));
        assert_eq!(shown["redacted"], json!(["email"]));
        assert_eq!((&shown["attempts"][0]["status"], &shown["attempts"][0]["excerpt"]), (&json!(422), &json!("")));
        let page = home.run(&["dead-letters", "show", &number]).stdout;
        assert!(page.contains("redacted    email") && !page.contains(EMAIL), "{page}");
    }
    let data = home.path("data");
    assert!(contains(&data, NOTE), "what is kept is found, so that the next line means something");
    assert!(!contains(&data, EMAIL) && !contains(&data, "ada-4711"));

    let dry = home.run(&["dead-letters", "replay", "--all", "--dry-run"]).stdout;
    assert!(!dry.contains("***") && dry.contains(NOTE), "{dry}");
    let replay = home.run(&["dead-letters", "replay", "--all"]);
    assert!(replay.stdout.ends_with("1 delivered, 0 still dead, 2 not replayed\n"), "{}", replay.stdout);
    assert!(replay.stdout.contains("needs column email, whose value was not kept"), "{}", replay.stdout);
    assert_eq!(*receiver.received()[3].json(), json!({"id": 7, "note": NOTE}), "the same as the first time");
    assert_eq!(receiver.count(), 4);

    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let log = program.lines().join("\n");
    assert!(log.contains("attempt answered") && !log.contains("ada-4711"), "{log}");
    assert!(!contains(&data, "ada-4711"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_a_redacted_column_that_the_table_lacks() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.users (id INT PRIMARY KEY, email TEXT)")).await;
    let rule =
        format!("table: {database}.users\nrules:\n  - {{name: r, redact: [emial], call: {{url: 'http://a.test/'}}}}\n");
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("users.yaml", &rule);
    let finished = home.run(&["check", "--mysql", &server.root_url()]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    let expected = "users.yaml:3:24: table";
    assert!(
        finished.stdout.contains(expected) && finished.stdout.contains("no column `emial`; did you mean `email`?"),
        "{}",
        finished.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_tables_and_keys_only_where_they_are_asked_for_and_never_redacted_ones() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let table = format!("{database}.people");
    server.query(&format!("CREATE TABLE {table} (id INT, code VARCHAR(20), PRIMARY KEY (id, code))")).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let call = format!("call: {{url: '{}'}}", receiver.url("/"));
    let rules =
        format!("table: {table}\nrules:\n  - {{name: all, {call}}}\n  - {{name: some, redact: [code], {call}}}\n");
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("people.yaml", &rules);
    let (url, mut next) = (server.root_url(), 1);
    for (args, of_all, of_some) in [
        (&[][..], format!("rule=\"all\" table={table} id="), format!("rule=\"some\" table={table} id=")),
        (
            &["--log-keys"],
            format!("rule=\"all\" table={table} key=\"id=2, code=\\\"AB-2\\\"\" id="),
            format!("rule=\"some\" table={table} key=\"id=2, code=***\" id="),
        ),
    ] {
        let mut program = home.start(&[&["run", "--mysql", &url, "--admin", "off"], args].concat());
        program.wait_for_line("reading after", DEADLINE);
        server.query(&format!("INSERT INTO {table} VALUES ({next}, 'AB-{next}')")).await;
        program.wait_for_line(&of_all, DEADLINE);
        program.wait_for_line(&of_some, DEADLINE);
        let named = program.lines().iter().filter(|line| line.contains("AB-")).count();
        assert_eq!(named, usize::from(!args.is_empty()), "{:?}", program.lines());
        program.terminate();
        assert_eq!(program.wait(DEADLINE), 0);
        next += 1;
    }

    // One in three, and the others only as far as they needed a retry.
    let mut program = home.start(&["run", "--mysql", &url, "--admin", "off", "--log-deliveries", "1/3"]);
    program.wait_for_line("reading after", DEADLINE);
    let before = receiver.count();
    server.query(&format!("INSERT INTO {table} VALUES (3, 'c'), (4, 'd'), (5, 'e')")).await;
    receiver.wait_for_count(before + 6, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let lines: Vec<String> = program.lines().into_iter().filter(|line| line.contains(" delivered ")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.ends_with("attempts=1 one_in=3")), "{lines:?}");
}
