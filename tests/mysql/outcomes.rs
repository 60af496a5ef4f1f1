//! How deliveries end against an API that refuses, delays, hangs, resets, or does the work and loses the answer: one
//! attempt and at most three retries, the right waits between them, the right end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

/// A row's `kind` says what the API does with its calls.
const KINDS: [(&str, usize, &str); 9] = [
    // kind, attempts, outcome
    ("ok", 1, "delivered"),
    ("always-500", 4, "exhausted"),
    ("500-twice", 3, "delivered"),
    ("429-with-retry-after", 2, "delivered"),
    ("hangs", 4, "exhausted"),
    ("resets", 4, "exhausted"),
    ("400", 1, "refused"),
    ("302", 1, "refused"),
    ("loses-the-answer-once", 2, "delivered"),
];

fn api(request: &Request) -> Answer {
    let kind = request.json()["after"]["kind"].as_str().expect("a kind").to_string();
    match (kind.as_str(), request.attempt) {
        ("always-500", _) | ("500-twice", 1 | 2) => Answer::status(500).with_body("the database is away"),
        ("429-with-retry-after", 1) => Answer::status(429).with_header("Retry-After", "1"),
        ("hangs", _) => Answer::hang(),
        ("resets", _) => Answer::reset(),
        ("400", _) => Answer::status(400).with_body("no such product"),
        ("302", _) => Answer::status(302).with_header("Location", "/elsewhere"),
        ("loses-the-answer-once", 1) => Answer::lose_the_answer(),
        _ => Answer::ok(),
    }
}

struct Scene {
    database: String,
    receiver: Receiver,
    program: Program,
}

impl Scene {
    async fn start(api: fn(&Request) -> Answer) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY, kind VARCHAR(40))")).await;
        let receiver = Receiver::start(api);
        let rule = format!(
            "table: {database}.jobs\nrules:\n  - name: jobs\n    call:\n      url: {}\n      timeout: 300ms\n    \
             retry: {{initial: 40ms, multiplier: 2, max_delay: 1s, jitter: 0}}\n",
            receiver.url("/jobs")
        );
        // So many failures on purpose are no sign that the API is unavailable.
        let targets = format!("targets:\n  {}: {{breaker: off}}\n", receiver.url(""));
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("jobs.yaml", &rule);
        let program =
            home.with_rule("targets.yaml", &targets).start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
        program.wait_for_line("reading after", DEADLINE);
        Scene { database, receiver, program }
    }

    async fn insert(&self, id: usize, kind: &str) {
        MysqlServer::shared().query(&format!("INSERT INTO {}.jobs VALUES ({id}, '{kind}')", self.database)).await;
    }

    fn dead_letters(&self) -> Vec<Value> {
        let finished = self.program.home().run(&["dead-letters", "list", "--json"]);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let list: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        list["dead_letters"].as_array().expect("a list").clone()
    }
}

fn of_kind(requests: &[Arc<Request>], kind: &str) -> Vec<Arc<Request>> {
    requests.iter().filter(|request| request.json()["after"]["kind"] == kind).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_gets_its_attempts_its_waits_and_its_end() {
    let scene = Scene::start(api).await;
    for (id, (kind, _, _)) in KINDS.iter().enumerate() {
        scene.insert(id, kind).await;
    }
    let expected: usize = KINDS.iter().map(|(_, attempts, _)| attempts).sum();
    scene.receiver.wait_for_count(expected, DEADLINE).await;
    let dead = KINDS.iter().filter(|(_, _, outcome)| *outcome != "delivered").count();
    let letters = scene.settled_letters(dead);
    let requests = scene.receiver.received();
    assert_eq!(requests.len(), expected, "one attempt and at most three retries");

    let reasons: BTreeMap<String, &str> = letters
        .iter()
        .map(|letter| {
            let call = requests.iter().find(|call| call.key.as_deref() == letter["id"].as_str()).expect("its call");
            let kind = call.json()["after"]["kind"].as_str().expect("a kind").to_string();
            (kind, letter["reason"].as_str().expect("a reason"))
        })
        .collect();
    for (kind, attempts, outcome) in KINDS {
        let calls = of_kind(&requests, kind);
        assert_eq!(calls.len(), attempts, "{kind}");
        assert_eq!(reasons.get(kind).copied().unwrap_or("delivered"), outcome, "{kind}");
        let keys: std::collections::HashSet<_> = calls.iter().map(|call| call.key.clone()).collect();
        assert_eq!(keys.len(), 1, "{kind}: every attempt carries the same key");
        for (n, pair) in calls.windows(2).enumerate() {
            // Waits are 40, 80 and 160 ms and never shorter; the one with Retry-After is a second at least. Taken from
            // arrival to arrival: that is sound however late this machine runs, because the wait begins after both.
            let wait_min = if kind.starts_with("429") { 1000 } else { 40 << n };
            let waited = pair[1].arrived_at.duration_since(pair[0].arrived_at);
            assert!(waited >= Duration::from_millis(wait_min), "{kind}: waited {waited:?} before attempt {}", n + 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_asked_for_again_with_the_same_key_so_the_api_can_tell() {
    let scene = Scene::start(api).await;
    scene.insert(1, "loses-the-answer-once").await;
    scene.receiver.wait_for_count(2, DEADLINE).await;
    let effects = scene.receiver.effects();
    assert_eq!(effects.into_values().collect::<Vec<_>>(), [2], "one key, carried out twice by an API that ignores it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_shown_replayed_and_gone() {
    let scene = Scene::start(|request| match request.attempt {
        1 => Answer::status(400).with_body("not yet"),
        _ => Answer::ok(),
    })
    .await;
    scene.insert(7, "later").await;
    let letters = scene.settled_letters(1);
    let number = letters[0]["number"].to_string();
    let home = scene.program.home();
    let shown = home.run(&["dead-letters", "show", &number]);
    assert!(shown.code == 0 && shown.stdout.contains("not yet"), "{}", shown.stdout);

    let dry = home.run(&["dead-letters", "replay", &number, "--dry-run"]);
    assert!(dry.stdout.contains("curl") && dry.stdout.contains("Idempotency-Key"), "{}{}", dry.stdout, dry.stderr);
    assert_eq!(scene.receiver.count(), 1, "a dry run sends nothing");

    let replay = home.run(&["dead-letters", "replay", &number]);
    assert_eq!(replay.code, 0, "{}", replay.stderr);
    let requests = scene.receiver.received();
    assert_eq!(requests.len(), 2);
    assert_eq!((&requests[0].key, &requests[0].body), (&requests[1].key, &requests[1].body), "the very same call");
    assert_eq!(scene.dead_letters().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_program_s_dead_letters_are_replayed_by_the_command_alone() {
    let mut scene = Scene::start(|request| match request.attempt {
        1 => Answer::status(400),
        _ => Answer::ok(),
    })
    .await;
    for id in 0..20 {
        scene.insert(id, "later").await;
    }
    scene.settled_letters(20);
    scene.program.terminate();
    assert_eq!(scene.program.wait(DEADLINE), 0);
    let home = scene.program.home();
    let some = home.run(&["dead-letters", "discard", "1", "2", "--yes"]);
    assert_eq!(some.code, 0, "{}", some.stderr);
    let replay = home.run(&["dead-letters", "replay", "--all"]);
    assert_eq!(replay.code, 0, "{}", replay.stderr);
    assert_eq!(scene.receiver.count(), 20 + 18);
    assert_eq!(scene.dead_letters().len(), 0);
}

impl Scene {
    /// Asks until so many dead letters are in the store.
    fn settled_letters(&self, count: usize) -> Vec<Value> {
        let give_up_at = std::time::Instant::now() + DEADLINE;
        loop {
            let letters = self.dead_letters();
            if letters.len() >= count {
                return letters;
            }
            assert!(std::time::Instant::now() < give_up_at, "{} of {count} dead letters", letters.len());
        }
    }
}
