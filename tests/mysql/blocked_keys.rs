//! `on_dead_letter: hold_key` and `pause`, with the whole program: what the first failure of a key blocks, what goes on
//! beside it, and how both go on together, also over kill -9 and without a running rowhook.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

struct Scene {
    database: String,
    receiver: Receiver,
    program: Program,
}

/// A call as the tests see it: the row's key and its version.
type Call = (u64, u64);

fn call(request: &Request) -> Call {
    let after = &request.json()["after"];
    (after["id"].as_u64().expect("a key"), after["version"].as_u64().expect("a version"))
}

impl Scene {
    async fn start(on_dead_letter: &str, api: fn(&Request) -> Answer) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        server.query(&format!("CREATE TABLE {database}.items (id INT PRIMARY KEY, version INT NOT NULL)")).await;
        let receiver = Receiver::start(api);
        let rule = format!(
            "table: {database}.items\nrules:\n  - name: items\n    on_dead_letter: {on_dead_letter}\n    call:\n      \
             url: {}\n    retry: {{initial: 10ms, multiplier: 1, jitter: 0}}\n",
            receiver.url("/items")
        );
        let program = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &rule).start(&[
            "run",
            "--mysql",
            &server.root_url(),
            "--admin",
            "off",
        ]);
        program.wait_for_line("reading after", DEADLINE);
        Scene { database, receiver, program }
    }

    async fn insert(&self, id: u64) {
        self.sql(&format!("INSERT INTO {}.items VALUES ({id}, 1)", self.database)).await;
    }

    /// Counts the row's version up.
    async fn update(&self, id: u64) {
        self.sql(&format!("UPDATE {}.items SET version = version + 1 WHERE id = {id}", self.database)).await;
    }

    async fn sql(&self, statement: &str) {
        MysqlServer::shared().query(statement).await;
    }

    fn run(&self, args: &[&str]) -> Finished {
        let finished = self.program.home().run(args);
        assert_eq!(finished.code, 0, "{args:?}\n{}{}", finished.stdout, finished.stderr);
        finished
    }

    /// Number, reason and who is ahead.
    fn letters(&self) -> Vec<(u64, String, Option<u64>)> {
        let list: Value = serde_json::from_str(&self.run(&["dead-letters", "list", "--json"]).stdout).expect("JSON");
        let letters = list["dead_letters"].as_array().expect("a list").iter();
        letters
            .map(|letter| {
                let reason = letter["reason"].as_str().expect("a reason").to_owned();
                (letter["number"].as_u64().expect("a number"), reason, letter["blocked_by"].as_u64())
            })
            .collect()
    }

    /// Asks until there are so many letters.
    fn wait_for_letters(&self, count: usize) -> Vec<(u64, String, Option<u64>)> {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let letters = self.letters();
            if letters.len() == count {
                return letters;
            }
            assert!(Instant::now() < give_up_at, "{count} letters were expected: {letters:?}");
        }
    }

    fn calls_of(&self, id: u64) -> Vec<Call> {
        self.receiver.received().iter().map(|request| call(request)).filter(|(key, _)| *key == id).collect()
    }

    /// Key 1 fails and is blocked, with two changes behind it; key 2 goes on.
    async fn blocked_behind_the_first(&self) {
        self.insert(1).await;
        self.insert(2).await;
        for _ in 0..2 {
            self.update(1).await;
            self.update(2).await;
        }
        self.receiver.wait_for_count(4, DEADLINE).await;
        let blocked = |number| (number, "blocked".to_owned(), Some(1));
        assert_eq!(self.wait_for_letters(3), [(1, "refused".to_owned(), None), blocked(2), blocked(3)]);
        assert_eq!(self.calls_of(1), [(1, 1)]);
        assert_eq!(self.calls_of(2), [(2, 1), (2, 2), (2, 3)]);
    }
}

fn refuse_key_1(request: &Request) -> Answer {
    if call(request).0 == 1 { Answer::status(400).with_body("no such item") } else { Answer::ok() }
}

#[tokio::test(flavor = "multi_thread")]
async fn later_changes_of_a_key_follow_its_dead_letter_in_order_when_that_is_replayed() {
    let scene = Scene::start("hold_key", refuse_key_1).await;
    scene.blocked_behind_the_first().await;
    scene.receiver.set_script(|_| Answer::ok());
    scene.update(1).await;
    scene.wait_for_letters(4);
    let replay = scene.run(&["dead-letters", "replay", "1"]);
    assert!(replay.stdout.contains("1 delivered, 0 still dead"), "{}", replay.stdout);
    scene.receiver.wait_for_count(8, DEADLINE).await;
    assert_eq!(scene.wait_for_letters(0), []);
    scene.update(1).await;
    scene.receiver.wait_for_count(9, DEADLINE).await;
    assert_eq!(scene.calls_of(1), [(1, 1), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]);
    assert_eq!(scene.receiver.effects().values().max(), Some(&1), "nothing is carried out twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_key_stays_blocked_over_kill_9_and_goes_on_where_it_was() {
    let mut scene = Scene::start("hold_key", refuse_key_1).await;
    scene.blocked_behind_the_first().await;
    scene.program.kill_9();
    scene.program.restart();
    scene.program.wait_for_line("reading after", DEADLINE);
    scene.update(1).await;
    assert_eq!(scene.wait_for_letters(4).last(), Some(&(4, "blocked".to_owned(), Some(1))));
    assert_eq!(scene.calls_of(1), [(1, 1)], "nothing passed the dead letter");

    // The queue is cut in the middle: 2 fails, and with it the program.
    scene.receiver.set_script(|request| if call(request) == (1, 2) { Answer::status(404) } else { Answer::ok() });
    scene.run(&["dead-letters", "replay", "1"]);
    let give_up_at = Instant::now() + DEADLINE;
    while scene.letters().first() != Some(&(2, "refused".to_owned(), None)) {
        assert!(Instant::now() < give_up_at, "{:?}", scene.letters());
    }
    scene.program.kill_9();
    scene.receiver.set_script(|_| Answer::ok());
    scene.program.restart();
    scene.program.wait_for_line("reading after", DEADLINE);
    scene.run(&["dead-letters", "discard", "2", "--yes"]);
    assert_eq!(scene.wait_for_letters(0), []);
    scene.update(1).await;
    let give_up_at = Instant::now() + DEADLINE;
    while scene.calls_of(1).last() != Some(&(1, 5)) {
        assert!(Instant::now() < give_up_at, "{:?}", scene.calls_of(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.calls_of(1), [(1, 1), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_front_was_discarded_while_nothing_ran_goes_out_at_the_next_start() {
    let mut scene = Scene::start("hold_key", refuse_key_1).await;
    scene.blocked_behind_the_first().await;
    scene.program.terminate();
    assert_eq!(scene.program.wait(DEADLINE), 0);
    scene.run(&["dead-letters", "discard", "1", "--yes"]);
    assert_eq!(scene.letters(), [(2, "blocked".to_owned(), None), (3, "blocked".to_owned(), Some(2))]);
    scene.receiver.set_script(|_| Answer::ok());
    scene.update(1).await;
    scene.program.restart();
    scene.receiver.wait_for_count(7, DEADLINE).await;
    assert_eq!(scene.wait_for_letters(0), []);
    assert_eq!(scene.calls_of(1), [(1, 1), (1, 2), (1, 3), (1, 4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_rowhook_a_replay_sends_the_blocked_ones_too_and_the_next_start_goes_on_behind_them() {
    let mut scene = Scene::start("hold_key", refuse_key_1).await;
    scene.blocked_behind_the_first().await;
    scene.program.terminate();
    assert_eq!(scene.program.wait(DEADLINE), 0);
    scene.receiver.set_script(|_| Answer::ok());
    scene.update(1).await;
    let replay = scene.run(&["dead-letters", "replay", "1"]);
    assert!(replay.stdout.ends_with("1 delivered, 0 still dead; 2 blocked deliveries followed\n"), "{}", replay.stdout);
    assert_eq!(scene.letters(), []);
    scene.program.restart();
    scene.receiver.wait_for_count(8, DEADLINE).await;
    assert_eq!(scene.calls_of(1), [(1, 1), (1, 1), (1, 2), (1, 3), (1, 4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_changes_the_key_waits_for_the_blocked_key_and_blocks_the_other() {
    let scene = Scene::start("hold_key", refuse_key_1).await;
    scene.blocked_behind_the_first().await;
    scene.sql(&format!("UPDATE {}.items SET id = 3 WHERE id = 1", scene.database)).await;
    scene.update(3).await;
    scene.insert(4).await;
    scene.receiver.wait_for_count(5, DEADLINE).await;
    let letters = scene.wait_for_letters(5);
    assert_eq!(letters[3..], [(4, "blocked".to_owned(), Some(1)), (5, "blocked".to_owned(), Some(4))]);
    scene.receiver.set_script(|_| Answer::ok());
    scene.run(&["dead-letters", "replay", "--all"]);
    assert_eq!(scene.wait_for_letters(0), []);
    assert_eq!(scene.calls_of(1), [(1, 1), (1, 1), (1, 2), (1, 3)]);
    assert_eq!(scene.calls_of(3), [(3, 3), (3, 4)]);
    let all: Vec<Call> = scene.receiver.received().iter().map(|request| call(request)).collect();
    let at = |wanted: Call| all.iter().rposition(|call| *call == wanted).expect("it came");
    assert!(at((1, 3)) < at((3, 3)), "the row had its old key first: {all:?}");
}

const KEYS: u64 = 12;
const VERSIONS: u64 = 40;
const KILLS: usize = 6;

/// A third of all changes is refused when it is first asked for.
fn refuse_some_at_first(request: &Request) -> Answer {
    let (id, version) = call(request);
    let answer =
        if (id + version).is_multiple_of(3) && request.attempt == 1 { Answer::status(422) } else { Answer::ok() };
    answer.after(Duration::from_millis(3))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_each_key_holds_through_dead_letters_replays_and_kill_9() {
    let mut scene = Scene::start("hold_key", refuse_some_at_first).await;
    for id in 1..=KEYS {
        scene.insert(id).await;
    }
    let database = scene.database.clone();
    let writer = tokio::spawn(async move {
        for _ in 1..VERSIONS {
            let update = format!("UPDATE {database}.items SET version = version + 1");
            MysqlServer::shared().query(&update).await;
        }
    });
    let mut arrived_at_kill = Vec::new();
    for kill in 0..KILLS {
        let goal = scene.receiver.count() + 30 + 7 * kill;
        let give_up_at = Instant::now() + DEADLINE;
        while scene.receiver.count() < goal {
            scene.program.home().run(&["dead-letters", "replay", "--all"]);
            assert!(Instant::now() < give_up_at, "{:?}", scene.letters());
        }
        // The kill comes in the middle of a replay, if one finds letters.
        let mut replay = scene.program.home().start(&["dead-letters", "replay", "--all"]);
        let before = scene.receiver.count();
        while scene.receiver.count() == before && !replay.has_ended() {
            tokio::task::yield_now().await;
        }
        scene.program.kill_9();
        // What the dead process had sent and was not read yet is lost with its connections.
        scene.receiver.go_down();
        arrived_at_kill.push(scene.receiver.count());
        // Before it would open the store itself.
        drop(replay);
        scene.receiver.come_back();
        scene.program.restart();
        scene.program.wait_for_line("reading after", DEADLINE);
    }
    writer.await.expect("the writer ends well");
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        scene.program.home().run(&["dead-letters", "replay", "--all"]);
        let last: Vec<_> = (1..=KEYS).map(|id| scene.calls_of(id).last().map_or(0, |(_, version)| *version)).collect();
        if scene.letters().is_empty() && last.iter().all(|version| *version == VERSIONS) {
            break;
        }
        assert!(Instant::now() < give_up_at, "{last:?} and {:?}", scene.letters());
    }
    let requests = scene.receiver.received();
    for id in 1..=KEYS {
        let (mut furthest, mut before) = (0, (usize::MAX, 0));
        for (arrived, request) in requests.iter().enumerate() {
            let (key, version) = call(request);
            if key != id || !request.took_effect() {
                continue;
            }
            let run = arrived_at_kill.partition_point(|kill| *kill <= arrived);
            assert!(version <= furthest + 1, "key {id}: {version} took effect when {furthest} had been the last");
            assert!(run != before.0 || version > before.1, "key {id}: {version} after {} in run {run}", before.1);
            furthest = furthest.max(version);
            before = (run, version);
        }
        assert_eq!((furthest, before.1), (VERSIONS, VERSIONS), "key {id}");
    }
}

/// Beside the rule that pauses, one that goes on shows how far changes were read.
const WITNESS: &str = "witness";

fn of_rule(receiver: &Receiver, rule: &str) -> Vec<Call> {
    let requests = receiver.received();
    requests.iter().filter(|request| request.json()["rule"] == rule).map(|request| call(request)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_pauses_its_rule_and_no_other_also_over_a_restart() {
    let mut scene = Scene::start("pause", |request| match (&request.json()["rule"], call(request)) {
        (rule, (1, _)) if rule == "items" => Answer::status(400),
        _ => Answer::ok(),
    })
    .await;
    let witness = format!(
        "table: {}.items\nrules:\n  - name: {WITNESS}\n    call: {{url: \"{}\"}}\n",
        scene.database,
        scene.receiver.url("/witness")
    );
    scene.program.home().write("rules/witness.yaml", &witness);
    scene.program.restart();
    scene.program.wait_for_line("reading after", DEADLINE);
    scene.insert(1).await;
    let line = scene.program.wait_for_line("the rule is paused; fix what is wrong, then", DEADLINE);
    assert!(line.contains("ERROR") && line.contains("dead letter 1: answered 400"), "{line}");
    assert!(line.contains("`rowhook resume items`"), "{line}");
    for restarts in [false, true] {
        if restarts {
            scene.program.kill_9();
            scene.program.restart();
            scene.program.wait_for_line("reading after", DEADLINE);
        }
        let read = of_rule(&scene.receiver, WITNESS).len();
        for id in 2..5 {
            scene.insert(id + if restarts { 10 } else { 0 }).await;
        }
        let enough = |requests: &[std::sync::Arc<Request>]| {
            requests.iter().filter(|request| request.json()["rule"] == WITNESS).count() >= read + 3
        };
        scene.receiver.wait_until(enough, DEADLINE).await;
        assert_eq!(of_rule(&scene.receiver, "items"), [(1, 1)]);
    }
    assert_eq!(scene.letters(), [(1, "refused".to_owned(), None)]);
}
