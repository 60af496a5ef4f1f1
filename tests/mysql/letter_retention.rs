//! Retention of dead letters that a real MySQL and a refusing API made. The oracle is which of them are left.
//!
//! The notice of an hour is shortened: what drops them runs in this process, on the store of a rowhook that was stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowhook::admin::{DeadLetters, DropTimes, LetterDrops};
use rowhook::rules::RuleSet;
use rowhook::store::Store;
use rowhook::telemetry::Metrics;
use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(60);

#[track_caller]
fn listing(program: &Program) -> Vec<Value> {
    let finished = program.home().run(&["dead-letters", "list", "--json"]);
    let listing: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    listing["dead_letters"].as_array().expect("a list").clone()
}

/// The keys of each rule's dead letters, in the order of their numbers.
fn keys_of(letters: &[Value], rule: &str) -> Vec<u64> {
    let of_rule = letters.iter().filter(|letter| letter["rule"] == rule);
    of_rule.map(|letter| letter["key"]["id"].as_u64().expect("a key")).collect()
}

#[track_caller]
fn wait_for_letters(program: &Program, count: usize) -> Vec<Value> {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let letters = listing(program);
        if letters.len() == count {
            return letters;
        }
        assert!(Instant::now() < give_up_at, "{} letters, not {count}", letters.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_above_the_limit_go_and_blocked_keys_keep_their_queue_and_its_order() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY)")).await;
    let receiver = Receiver::start(|_| Answer::status(400));
    let rule = |name: &str, settings: &str| {
        format!("  - {{name: {name}, {settings}, order_by: table, call: {{url: \"{}\"}}}}\n", receiver.url("/"))
    };
    let rules = format!(
        "table: {database}.jobs\nrules:\n{}{}{}",
        rule("mail", "dead_letters: {max: 2}"),
        rule("copy", "dead_letters: {max: 2}, on_dead_letter: hold_key"),
        rule("kept", "in_flight: 1"),
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("jobs.yaml", &rules);
    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    for id in 1..=5 {
        server.query(&format!("INSERT INTO {database}.jobs VALUES ({id})")).await;
        wait_for_letters(&program, 3 * id);
    }
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);

    let data = home.path("data");
    let (store, metrics) = (Store::open(&data).expect("it was closed"), Arc::new(Metrics::default()));
    let loaded = Arc::new(RuleSet::load(&home.path("rules"), &|_| None).expect("rules"));
    let times = DropTimes {
        check: Duration::from_millis(20),
        walk: Duration::from_millis(20),
        notice: Duration::from_millis(100),
        ..DropTimes::default()
    };
    let letters = DeadLetters::new(store.clone());
    let (drops, task) = LetterDrops::new(letters, Arc::new(move || Arc::clone(&loaded)), metrics, times);
    let task = tokio::spawn(task);
    let dropped = drops.wait_for(|views| views.get("mail").is_some_and(|view| view.dropped == 3));
    assert!(tokio::time::timeout(DEADLINE, dropped).await.expect("in time"));
    task.abort();
    assert!(task.await.expect_err("it goes on for ever").is_cancelled());
    drop((drops, store));

    // The first start after that announces nothing: nothing is above the limits.
    program.restart();
    program.wait_for_line("reading after", DEADLINE);
    let left = listing(&program);
    assert_eq!(keys_of(&left, "mail"), [4, 5]);
    assert_eq!((keys_of(&left, "copy"), keys_of(&left, "kept")), (vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5]));
    receiver.forget();
    receiver.set_script(|_| Answer::ok());
    let front = left.iter().find(|letter| letter["rule"] == "copy").expect("the front")["number"].to_string();
    assert_eq!(program.home().run(&["dead-letters", "replay", &front]).code, 0);
    wait_for_letters(&program, 7);
    let sent: Vec<u64> =
        receiver.received().iter().map(|request| request.json()["after"]["id"].as_u64().expect("an id")).collect();
    assert_eq!(sent, [1, 2, 3, 4, 5], "the queue was sent in its order");
}
