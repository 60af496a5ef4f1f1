//! Rules that become others, or go, while sagas of theirs are under way: after a kill what can't go on becomes a dead
//! letter that says how far it was, and in a reload what is under way ends as it began.

use std::time::Instant;

use serde_json::Value;

use super::{DEADLINE, letters, status, wait_until_done};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver};

/// A table and its rule of two steps; the API delays the second.
struct Scene {
    database: String,
    receiver: Receiver,
    gate: Gate,
    program: Program,
}

/// `rest` is what stands below the rule's name.
fn file(database: &str, rest: &str, receiver: &Receiver) -> String {
    format!("table: {database}.orders\nrules:\n  - name: order\n{rest}").replace("URL", &receiver.url(""))
}

const STEPS: &str = r#"    steps:
      - name: reserve
        call: {url: "URL/reserve/{{ row.id }}"}
        undo: {call: {method: DELETE, url: "URL/free/{{ row.id }}"}}
      - name: ship
        call: {url: "URL/ship/{{ row.id }}", timeout: 2m}
    on_success: {call: {url: "URL/told/{{ row.id }}"}}
"#;

impl Scene {
    async fn start() -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        server.query(&format!("CREATE TABLE {database}.orders (id INT PRIMARY KEY)")).await;
        let gate = Gate::closed();
        let receiver = Receiver::start({
            let gate = gate.clone();
            move |request| match request.path.starts_with("/ship/") {
                true => Answer::ok().delayed_by(&gate),
                false => Answer::ok(),
            }
        });
        // Another rule, so that there is one when this is gone; its table never comes.
        let other =
            format!("table: {database}.other\nrules:\n  - name: other\n    call: {{url: '{}'}}\n", receiver.url("/"));
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
            .with_env("ROWHOOK_ADMIN", "off")
            .with_rule("orders.yaml", &file(&database, STEPS, &receiver))
            .with_rule("other.yaml", &other);
        let program = home.start(&["run", "--mysql", &server.root_url(), "--no-watch", "--allow-missing-table"]);
        program.wait_for_line("reading after", DEADLINE);
        Scene { database, receiver, gate, program }
    }

    async fn insert(&self, id: u32) {
        MysqlServer::shared().query(&format!("INSERT INTO {}.orders VALUES ({id})", self.database)).await;
    }

    async fn wait_for_call(&self, path: &str) {
        self.receiver.wait_until(|requests| requests.iter().any(|request| request.path == path), DEADLINE).await;
    }

    fn write_rule(&self, rest: &str) {
        self.program.home().write("rules/orders.yaml", &file(&self.database, rest, &self.receiver));
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.receiver.received().iter().map(|request| request.path.clone()).collect();
        self.receiver.forget();
        asked
    }

    /// Without what the rule calls when it has no steps.
    fn asked_of_steps(&self) -> Vec<String> {
        self.asked().into_iter().filter(|path| path != "/once").collect()
    }

    /// The dead letter of the first row, when there is one.
    fn wait_for_letter(&self) -> Value {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            if let Some(letter) = letters(&self.program).remove(&1) {
                return letter;
            }
            assert!(Instant::now() < give_up_at, "no dead letter; {:#}", status(&self.program));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_under_way_whose_rule_was_removed_or_changed_is_a_dead_letter_and_can_continue_when_the_rule_is_back() {
    let other_steps = STEPS.replace("name: ship", "name: send");
    let narrower = format!("    when: row.id > 100\n{STEPS}");
    for (rule, why) in [
        (None, "the rule is gone"),
        (Some("    call: {url: \"URL/once\"}\n"), "the rule has no steps any more"),
        (Some(&*narrower), "the rule no longer means this change"),
        (Some(&*other_steps), "the rule's steps became others"),
    ] {
        let mut scene = Scene::start().await;
        scene.insert(1).await;
        scene.wait_for_call("/ship/1").await;
        assert_eq!(scene.asked(), ["/reserve/1", "/ship/1"]);
        scene.program.kill_9();
        match rule {
            None => std::fs::remove_file(scene.program.home().path("rules/orders.yaml")).expect("a file of our own"),
            Some(rule) => scene.write_rule(rule),
        }
        scene.program.restart();
        // Before that a command would take the store for its own.
        scene.program.wait_for_line("reading after", DEADLINE);
        let letter = scene.wait_for_letter();
        let message = letter["message"].as_str().expect("a message");
        assert!(letter["reason"] == "interrupted" && message.contains(why), "{why}: {letter:#}");
        assert!(message.contains("reserve, ship"), "what stands is named: {message}");
        assert_eq!(letter["effect"], "partial", "{why}");
        assert_eq!(status(&scene.program)["awaiting"], 1, "{why}");
        let page = scene.program.home().run(&["dead-letters", "show", "1"]).stdout;
        assert!(page.contains("rowhook stopped; done: `reserve`; unknown: `ship`\n"), "{why}: {page}");
        // A restart makes no second letter of it.
        scene.program.restart();
        scene.program.wait_for_line("reading after", DEADLINE);
        assert_eq!(letters(&scene.program).len(), 1, "{why}");

        assert_eq!(scene.asked_of_steps(), [""; 0], "{why}");
        // What a rule means is asked of changes that come, not of what an operator names.
        if why != "the rule no longer means this change" {
            let refused = scene.program.home().run(&["dead-letters", "replay", "1"]);
            assert_eq!(refused.code, 1, "{why}: {refused:?}");
            assert_eq!(scene.asked_of_steps(), [""; 0], "{why}");
            scene.write_rule(STEPS);
            assert_eq!(scene.program.home().run(&["reload"]).code, 0);
        }
        scene.gate.open();
        let replayed = scene.program.home().run(&["dead-letters", "replay", "1"]);
        assert_eq!(replayed.code, 0, "{why}: {replayed:?}");
        assert_eq!(scene.asked_of_steps(), ["/ship/1", "/told/1"], "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_in_a_reload_ends_under_its_old_rule() {
    let scene = Scene::start().await;
    scene.insert(1).await;
    scene.wait_for_call("/ship/1").await;
    scene.write_rule(
        r#"    steps:
      - name: ship_at_once
        call: {url: "URL/at-once/{{ row.id }}"}
    on_success: {call: {url: "URL/new-told/{{ row.id }}"}}
"#,
    );
    let reloaded = scene.program.home().run(&["reload"]);
    assert!(reloaded.code == 0 && reloaded.stdout.contains("changed"), "{reloaded:?}");
    scene.insert(2).await;
    scene.wait_for_call("/new-told/2").await;
    scene.gate.open();
    scene.wait_for_call("/told/1").await;
    wait_until_done(&scene.program, "order", || true);
    let asked = scene.asked();
    assert_eq!(asked, ["/reserve/1", "/ship/1", "/at-once/2", "/new-told/2", "/told/1"]);
    assert_eq!(letters(&scene.program).len(), 0);
}
