//! The fuse: a key that is written again and again is not called for without end, and no other key pays for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::process::POLL_INTERVAL;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(60);

fn letters(program: &Program) -> Vec<Value> {
    let finished = program.home().run(&["dead-letters", "list", "--json"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let list: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    list["dead_letters"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_written_again_and_again_becomes_dead_letters_without_a_call() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.loops (id INT PRIMARY KEY, n INT)")).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let rule = format!(
        "table: {database}.loops\nrules:\n  - name: loops\n    fuse: 3/m\n    call: {{url: '{}'}}\n",
        receiver.url("/")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("loops.yaml", &rule);
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.loops VALUES (1, 0), (2, 0)")).await;
    for n in 1..=5 {
        server.query(&format!("UPDATE {database}.loops SET n = {n} WHERE id = 1")).await;
    }
    server.query(&format!("UPDATE {database}.loops SET n = 9 WHERE id = 2")).await;

    receiver.wait_for_count(5, DEADLINE).await;
    let give_up_at = Instant::now() + DEADLINE;
    while letters(&program).len() < 3 {
        assert!(Instant::now() < give_up_at, "{:?}", letters(&program));
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let mut calls: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for request in receiver.received() {
        let row = &request.json()["after"];
        calls.entry(row["id"].as_i64().expect("a key")).or_default().push(row["n"].as_i64().expect("a number"));
    }
    assert_eq!(calls, BTreeMap::from([(1, vec![0, 1, 2]), (2, vec![0, 9])]));
    let letters = letters(&program);
    assert_eq!(letters.len(), 3);
    for letter in &letters {
        assert_eq!((letter["reason"].as_str(), letter["attempts_total"].as_u64()), (Some("fuse"), Some(0)), "{letter}");
    }
    // An operator has checked, and replays one of them.
    let number = letters[0]["number"].as_u64().expect("a number").to_string();
    let replayed = program.home().run(&["dead-letters", "replay", &number]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    receiver.wait_for_count(6, DEADLINE).await;
}

/// Each call makes the API write the row that it was called for.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_through_the_api_ends_in_a_dead_letter() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.loops (id INT PRIMARY KEY, n INT)")).await;
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let receiver = Receiver::start(move |request| {
        calls.send(request.json()["after"]["id"].as_i64().expect("a key")).expect("the API works until the end");
        Answer::ok()
    });
    let api = tokio::spawn({
        let database = database.clone();
        async move {
            while let Some(id) = called.recv().await {
                server.query(&format!("UPDATE {database}.loops SET n = n + 1 WHERE id = {id}")).await;
            }
        }
    });
    let rule = format!(
        "table: {database}.loops\nrules:\n  - name: loops\n    fuse: 8/h\n    steps:\n      - name: first\n        \
         call: {{url: '{}'}}\n",
        receiver.url("/")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("loops.yaml", &rule);
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.loops VALUES (1, 0)")).await;
    let give_up_at = Instant::now() + DEADLINE;
    while letters(&program).is_empty() {
        assert!(Instant::now() < give_up_at, "{} calls and no dead letter", receiver.count());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let letters = letters(&program);
    assert_eq!((letters.len(), letters[0]["reason"].as_str()), (1, Some("fuse")), "{letters:?}");
    assert_eq!(receiver.count(), 8);
    assert_eq!(server.rows::<u64>(&format!("SELECT n FROM {database}.loops")).await, [8]);
    drop(receiver);
    api.await.expect("the API does not panic");
}
