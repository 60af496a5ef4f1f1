//! `rowhook position`: a place that is moved by hand. The oracles are what the receiver got after the move, and what the
//! command said before it.

mod kinds;
mod marks;
mod refusals;

use std::time::Duration;

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(90);

const GTIDS_ON: &[&str] = &[];
const GTIDS_OFF: &[&str] = &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];

/// A server, a table `shop.t` and one rule that calls a receiver.
struct Scene {
    server: MysqlServer,
    receiver: Receiver,
    home: Home,
}

impl Scene {
    async fn new(options: &[&str]) -> Scene {
        Scene::with_rules(options, &["all"]).await
    }

    /// Each rule calls a path of its name.
    async fn with_rules(options: &[&str], rules: &[&str]) -> Scene {
        let server = MysqlServer::start(options);
        server.query("CREATE DATABASE shop").await;
        server.query("CREATE TABLE shop.t (id INT PRIMARY KEY, version INT NOT NULL DEFAULT 1)").await;
        let receiver = Receiver::start(|_| Answer::ok());
        let calls = rules.iter().map(|rule| {
            let url = receiver.url(&format!("/{rule}"));
            format!("  - {{name: {rule}, call: {{url: \"{url}\"}}}}\n")
        });
        let text = format!("table: shop.t\nrules:\n{}", calls.collect::<String>());
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("ROWHOOK_ADMIN", "off");
        let home = home.with_env("ROWHOOK_MYSQL", &server.root_url()).with_rule("shop.t.yaml", &text);
        Scene { server, receiver, home }
    }

    fn run(&self) -> Program {
        let program = self.home.start(&["run"]);
        program.wait_for_line("reading after", DEADLINE);
        program
    }

    async fn insert(&self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            self.server.query(&format!("INSERT INTO shop.t (id) VALUES ({id})")).await;
        }
    }

    /// A row that a session changes by statement, which is all that the binlog has of it.
    async fn insert_as_statement(&self, id: u32) {
        self.server
            .query(&format!("SET SESSION binlog_format = 'STATEMENT'; INSERT INTO shop.t (id) VALUES ({id})"))
            .await;
    }

    fn set(&self, args: &[&str]) -> Finished {
        self.home.run(&[&["position", "set"], args].concat())
    }

    /// Does it, and returns what was said of it.
    #[track_caller]
    fn moved(&self, args: &[&str]) -> String {
        let finished = self.set(&[args, &["--yes"]].concat());
        assert_eq!(finished.code, 0, "{finished:?}");
        finished.stdout
    }

    fn show(&self) -> Value {
        let finished = self.home.run(&["position", "show", "--json"]);
        assert_eq!(finished.code, 0, "{finished:?}");
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
    }

    /// Ids that a rule's receiver got, in ascending order: rows do not wait for each other.
    fn got(&self, rule: &str) -> Vec<u64> {
        let path = format!("/{rule}");
        let requests = self.receiver.received();
        let of_rule = requests.iter().filter(|request| request.path == path);
        let mut ids: Vec<u64> =
            of_rule.map(|request| request.json()["after"]["id"].as_u64().expect("a number")).collect();
        ids.sort_unstable();
        ids
    }

    async fn wait_for(&self, rule: &str, ids: &[u64]) {
        let has_all = || ids.iter().all(|id| self.got(rule).contains(id));
        let give_up_at = std::time::Instant::now() + DEADLINE;
        while !has_all() {
            assert!(std::time::Instant::now() < give_up_at, "{rule} got {:?}, wanted {ids:?}", self.got(rule));
            let count = self.receiver.count();
            let more = self.receiver.wait_for_count(count + 1, Duration::from_secs(1));
            let _ = tokio::time::timeout(Duration::from_millis(500), more).await;
        }
    }
}

/// Ends it in good order.
#[track_caller]
fn stop(mut program: Program) {
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_everything_of_the_new_log_is_delivered_and_old_dead_letters_can_be_replayed() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::new(options).await;
        scene.receiver.set_script(|request| match request.json()["after"]["id"].as_u64() {
            Some(2) => Answer::status(400),
            _ => Answer::ok(),
        });
        let program = scene.run();
        scene.insert([1, 2, 3]).await;
        scene.wait_for("all", &[1, 2, 3]).await;
        stop(program);
        scene.server.query("RESET BINARY LOGS AND GTIDS").await;
        scene.insert(11..=20).await;

        let before = scene.show();
        let refused = scene.set(&["--to", "earliest"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stdout.contains("nothing is changed; to do it: rowhook position set --to earliest --yes"));
        assert!(refused.stdout.contains("the log has 10 transactions"), "{refused:?}");
        assert_eq!(scene.show(), before);
        scene.moved(&["--to", "earliest", "--note", "the log was reset"]);
        let shown = scene.show();
        assert_eq!(
            (&shown["log"][0]["how"], &shown["log"][0]["note"]),
            (&"--to earliest".into(), &"the log was reset".into())
        );

        scene.receiver.set_script(|_| Answer::ok());
        let program = scene.run();
        scene.wait_for("all", &(11..=20).collect::<Vec<_>>()).await;
        stop(program);
        assert_eq!(scene.got("all")[3..], (11..=20).collect::<Vec<_>>());
        assert_eq!(scene.got("all")[..3], [1, 2, 3]);
        let replayed = scene.home.run(&["dead-letters", "replay", "--all"]);
        assert_eq!(replayed.code, 0, "{replayed:?}");
        assert_eq!(scene.got("all")[..4], [1, 2, 2, 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_stops_the_reader_is_passed_over_and_nothing_else() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::new(options).await;
        let mut program = scene.run();
        scene.insert([1]).await;
        scene.wait_for("all", &[1]).await;
        scene.insert_as_statement(2).await;
        scene.insert([3, 4]).await;
        assert_eq!(program.wait(DEADLINE), 1);
        program.wait_for_line("`rowhook position set --skip-transaction`", DEADLINE);

        let before = scene.show();
        let refused = scene.set(&["--skip-transaction"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stdout.contains("a statement that changes rows, logged as text"), "{refused:?}");
        assert!(refused.stdout.contains("skips 1 transaction, "), "{refused:?}");
        assert!(!refused.stdout.contains("INSERT"), "no text of a statement, which holds values: {refused:?}");
        assert_eq!(scene.show(), before);

        scene.moved(&["--skip-transaction"]);
        let shown = scene.show();
        let moved = &shown["log"][0]["moves"][0];
        assert_eq!((&moved["rule"], &moved["skipped_transactions"]), (&Value::Null, &1.into()));
        assert_ne!(shown["position"], before["position"]);
        let _program = scene.run();
        scene.wait_for("all", &[3, 4]).await;
        assert_eq!(scene.got("all"), [1, 3, 4]);
    }
}
