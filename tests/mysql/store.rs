//! The store's commands beside a running rowhook and after it: backup, restore, damage, loss.

use std::time::Duration;

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

/// One rule whose calls may be repeated, one whose calls may not, and one whose API refuses.
struct Scene {
    server: &'static MysqlServer,
    database: String,
    receiver: Receiver,
    program: Program,
}

fn api(request: &Request) -> Answer {
    if request.path.starts_with("/refuses") { Answer::status(422) } else { Answer::ok() }
}

impl Scene {
    async fn start() -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        server.query(&format!("CREATE TABLE {database}.orders (id INT PRIMARY KEY)")).await;
        let receiver = Receiver::start(api);
        let rule = |name: &str, more: &str| {
            let url = receiver.url(&format!("/{name}/{{{{ row.id }}}}"));
            format!("  - name: {name}\n    on: [insert]\n    call: {{url: \"{url}\"{more}}}\n")
        };
        let rules = [rule("mail", ""), rule("charge", ", idempotent: false"), rule("refuses", "")].concat();
        let rules = format!("table: {database}.orders\nrules:\n{rules}");
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &rules);
        let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
        program.wait_for_line("reading after", DEADLINE);
        Scene { server, database, receiver, program }
    }

    /// Writes a row and waits for its three calls.
    async fn insert(&self, id: u64) {
        let calls = self.receiver.count();
        self.server.query(&format!("INSERT INTO {}.orders VALUES ({id})", self.database)).await;
        self.receiver.wait_for_count(calls + 3, DEADLINE).await;
    }

    /// Writes a row and waits for the call that may be repeated.
    async fn insert_and_mail(&self, id: u64) {
        self.server.query(&format!("INSERT INTO {}.orders VALUES ({id})", self.database)).await;
        let path = format!("/mail/{id}");
        self.receiver.wait_until(|received| received.iter().any(|one| one.path == path), DEADLINE).await;
    }

    fn stop(&mut self) {
        self.program.terminate();
        assert_eq!(self.program.wait(DEADLINE), 0);
    }

    /// How often the API was called for a row by a rule.
    fn calls(&self, rule: &str, id: u64) -> usize {
        let path = format!("/{rule}/{id}");
        self.receiver.received().iter().filter(|request| request.path == path).count()
    }

    fn letters(&self) -> Vec<(String, u64, String)> {
        let list = self.json(&["dead-letters", "list", "--json"]);
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        let letters = list["dead_letters"].as_array().expect("a list").iter();
        letters
            .map(|one| (text(&one["rule"]), one["key"]["id"].as_u64().expect("a key"), text(&one["reason"])))
            .collect()
    }

    fn json(&self, args: &[&str]) -> Value {
        let finished = self.program.home().run(args);
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
    }
}

#[tokio::test]
async fn after_a_restore_what_may_be_repeated_is_and_the_rest_waits_for_a_person() {
    let mut scene = Scene::start().await;
    scene.insert(1).await;
    let home = scene.program.home().clone();
    let file = home.path("backup");
    let file = file.to_str().expect("a path");
    // The letter of row 1 is there when this says so.
    while scene.letters().is_empty() {}
    let made = scene.json(&["store", "backup", file, "--json"]);
    assert_eq!(made["dead_letters"], 1, "{made}");
    let verified = scene.json(&["store", "verify", "--json"]);
    assert_eq!((&verified["is_whole"], &verified["dead_letters"]), (&Value::from(true), &Value::from(1)), "{verified}");
    scene.insert(2).await;
    let in_use = home.run(&["store", "restore", file, "--yes"]);
    assert!(in_use.code == 1 && in_use.stderr.contains("is in use by process"), "{in_use:?}");
    while scene.letters().len() < 2 {}
    scene.stop();

    let asked = home.run(&["store", "restore", file]);
    assert!(asked.code == 1 && asked.stdout.contains("--yes"), "{asked:?}");
    let restored = home.run(&["store", "restore", file, "--yes"]);
    assert!(restored.code == 0 && restored.stdout.contains("delivered once more"), "{restored:?}");
    assert_eq!(scene.letters().len(), 1);

    scene.program.restart();
    scene.program.wait_for_line("reading after", DEADLINE);
    scene
        .receiver
        .wait_until(|received| received.iter().filter(|one| one.path == "/mail/2").count() == 2, DEADLINE)
        .await;
    // Row 3 is written after the 5 s by which clocks may differ: it is charged as any other.
    let charged = async || {
        for id in 3.. {
            scene.server.query(&format!("INSERT INTO {}.orders VALUES ({id})", scene.database)).await;
            let refused = format!("/refuses/{id}");
            scene.receiver.wait_until(|received| received.iter().any(|one| one.path == refused), DEADLINE).await;
            if (3..=id).any(|id| scene.calls("charge", id) == 1) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, charged()).await.expect("charges go on");
    let row_2: Vec<_> =
        scene.letters().into_iter().filter(|(_, id, _)| *id == 2).map(|(rule, _, why)| (rule, why)).collect();
    assert!(row_2.contains(&("charge".to_string(), "unknown".to_string())), "{row_2:?}");
    assert_eq!(scene.calls("charge", 2), 1, "no row is charged twice");
    scene.stop();
}

#[tokio::test]
async fn a_used_data_directory_never_begins_from_the_start_by_itself() {
    let mut scene = Scene::start().await;
    scene.insert(1).await;
    scene.stop();
    let home = scene.program.home().clone();
    std::fs::remove_file(home.path("data/db")).expect("removed");
    let url = scene.server.root_url();
    let run = ["run", "--mysql", &url, "--admin", "off"];
    let refused = home.run(&run);
    assert!(refused.code == 1 && refused.stderr.contains("the store is incomplete"), "{refused:?}");
    let asked = home.run(&["store", "accept-loss"]);
    assert!(asked.code == 1 && asked.stdout.contains("--yes"), "{asked:?}");
    let accepted = home.run(&["store", "accept-loss", "--yes"]);
    assert!(accepted.code == 0 && accepted.stdout.contains("dead letters 1 to 1 are lost"), "{accepted:?}");
    let refused = home.run(&run);
    assert!(refused.code == 1 && refused.stderr.contains("its checkpoint is lost"), "{refused:?}");
    let place = refused.stderr.split("--start ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a place");
    scene.program = home.start(&[&run[..], &["--start", place]].concat());
    scene.program.wait_for_line("reading after", DEADLINE);
    scene.insert_and_mail(2).await;
    scene.stop();
    let compacted = home.run(&["store", "compact"]);
    assert!(compacted.code == 0 && compacted.stdout.contains("before"), "{compacted:?}");
    scene.program = home.start(&run);
    scene.program.wait_for_line("reading after", DEADLINE);
    scene.insert_and_mail(3).await;
    assert_eq!((scene.calls("mail", 2), scene.calls("mail", 3)), (1, 1));
    scene.stop();
}

/// What is in doubt after a restore is undone, also when rowhook ends in the middle of that.
#[tokio::test]
async fn an_undo_after_a_restore_goes_on_over_a_restart() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.orders (id INT PRIMARY KEY)")).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let url = |path: &str| receiver.url(path);
    let rule = format!(
        "table: {database}.orders\nrules:\n  - name: book\n    on: [insert]\n    retry: {{retries: forever, initial: 20ms, max_delay: 50ms}}\n    \
         steps:\n      - name: a\n        call: {{url: \"{}\", idempotent: false}}\n        undo: {{call: {{url: \"{}\"}}}}\n",
        url("/book"),
        url("/undo")
    );
    let targets = format!("targets:\n  {}: {{breaker: off}}\n", receiver.url(""));
    let home =
        Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &rule).with_rule("targets.yaml", &targets);
    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    let file = home.path("backup");
    let made = home.run(&["store", "backup", file.to_str().expect("a path")]);
    assert_eq!(made.code, 0, "{made:?}");
    server.query(&format!("INSERT INTO {database}.orders VALUES (1)")).await;
    receiver.wait_for_count(1, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let restored = home.run(&["store", "restore", file.to_str().expect("a path"), "--yes"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    receiver.set_script(|_| Answer::status(503));
    for _ in 0..3 {
        let calls = receiver.count();
        program.restart();
        receiver.wait_for_count(calls + 2, DEADLINE).await;
        program.kill_9();
    }
    receiver.set_script(|_| Answer::ok());
    program.restart();
    let give_up_at = std::time::Instant::now() + DEADLINE;
    loop {
        let list = home.run(&["dead-letters", "list", "--json"]).stdout;
        let list: Value = serde_json::from_str(&list).unwrap_or_default();
        if list["dead_letters"][0]["reason"] == "unknown" {
            break;
        }
        assert!(std::time::Instant::now() < give_up_at, "{list:#}");
    }
    assert_eq!(receiver.received().iter().filter(|one| one.path == "/book").count(), 1, "no row is booked twice");
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
}
