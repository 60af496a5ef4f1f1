//! Replays of dead letters that have to wait, or that others overtake. The oracles are the exit code, what is printed, and
//! which letters are left.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver};

const DEADLINE: Duration = Duration::from_secs(90);

/// A table `items` and rules about it, which all call one receiver that refuses all at first.
struct Scene {
    database: String,
    receiver: Receiver,
    program: Program,
}

impl Scene {
    async fn start(rules: &[&str]) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        server.query(&format!("CREATE TABLE {database}.items (id INT PRIMARY KEY, version INT NOT NULL)")).await;
        let receiver = Receiver::start(|_| Answer::status(400));
        let call = format!("call: {{url: \"{}\", timeout: 2m}}", receiver.url("/"));
        let rules: String = rules.iter().map(|rule| format!("  - {{{rule}, {call}}}\n")).collect();
        let file = format!("table: {database}.items\nrules:\n{rules}");
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("ROWHOOK_ADMIN", "off").with_rule("a.yaml", &file);
        let program = home.start(&["run", "--mysql", &server.root_url()]);
        program.wait_for_line("reading after", DEADLINE);
        Scene { database, receiver, program }
    }

    async fn insert(&self, ids: std::ops::Range<u32>) {
        let rows: Vec<String> = ids.map(|id| format!("({id}, 1)")).collect();
        let statement = format!("INSERT INTO {}.items VALUES {}", self.database, rows.join(","));
        MysqlServer::shared().query(&statement).await;
    }

    fn run(&self, args: &[&str]) -> Finished {
        self.program.home().run(args)
    }

    fn letters(&self) -> usize {
        let listing = self.run(&["dead-letters", "list", "--limit", "1000", "--json"]);
        let listing: Value =
            serde_json::from_str(&listing.stdout).unwrap_or_else(|error| panic!("{error}: {listing:?}"));
        listing["dead_letters"].as_array().expect("a list").len()
    }

    #[track_caller]
    fn wait_for_letters(&self, count: usize) {
        let give_up_at = Instant::now() + DEADLINE;
        while self.letters() != count {
            assert!(Instant::now() < give_up_at, "{} letters, not {count}", self.letters());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_rule_that_is_paused_are_not_replayed_and_it_says_so() {
    let scene = Scene::start(&["name: one", "name: two"]).await;
    scene.insert(1..2).await;
    scene.wait_for_letters(2);
    assert_eq!(scene.run(&["pause", "one"]).code, 0);
    scene.receiver.set_script(|_| Answer::ok());
    let replay = scene.run(&["dead-letters", "replay", "--all"]);
    assert!(replay.stdout.contains("not replayed  rule one is paused; rowhook resume one first"), "{replay:?}");
    assert!(replay.stdout.ends_with("1 delivered, 0 still dead, 1 not replayed\n"), "{replay:?}");
    assert_eq!((replay.code, scene.letters()), (1, 1));
    assert_eq!(scene.run(&["resume", "one"]).code, 0);
    assert_eq!(scene.run(&["dead-letters", "replay", "--all"]).code, 0);
    assert_eq!(scene.letters(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_waits_stops_no_other_when_its_operator_has_gone() {
    let scene = Scene::start(&["name: one", "name: two"]).await;
    scene.insert(1..2).await;
    scene.wait_for_letters(2);
    let gate = Gate::closed();
    let answers_gate = gate.clone();
    scene.receiver.set_script(move |request| match request.json()["rule"] == "one" {
        true => Answer::ok().delayed_by(&answers_gate),
        false => Answer::ok(),
    });
    let mut waits = scene.program.home().start(&["dead-letters", "replay", "--rule", "one"]);
    scene.receiver.wait_for_count(3, DEADLINE).await;
    waits.interrupt();
    assert_eq!(waits.wait(DEADLINE), 1);
    let replay = scene.run(&["dead-letters", "replay", "--rule", "two"]);
    assert_eq!((replay.code, replay.stdout.lines().last()), (0, Some("1 delivered, 0 still dead")), "{replay:?}");
    let again = scene.run(&["dead-letters", "replay", "--rule", "one"]);
    assert!(again.stdout.contains("it is being replayed already"), "{again:?}");
    gate.open();
    scene.wait_for_letters(0);
    assert_eq!(scene.receiver.effects().values().max(), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_letters_that_are_sent_before_a_replay_comes_to_them_are_no_failures() {
    let scene = Scene::start(&["name: one, order_by: table, on_dead_letter: hold_key, in_flight: 1"]).await;
    scene.insert(1..401).await;
    scene.wait_for_letters(400);
    scene.receiver.set_script(|_| Answer::ok());
    let replay = scene.run(&["dead-letters", "replay", "1"]);
    assert_eq!(replay.code, 0, "{replay:?}");
    // The rest is on its way by itself, and this one runs after it.
    let replay = scene.run(&["dead-letters", "replay", "--all"]);
    assert!(!replay.stdout.contains("not replayed"), "{replay:?}");
    scene.wait_for_letters(0);
    assert_eq!(scene.receiver.count(), 401);
}
