//! `gtid_mode` changes, to and fro, while rowhook runs and while it does not: every row comes once and in order, what the
//! server does not send is waited for and said, and another server is followed only where its GTID set says enough.

use std::time::Duration;

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver};

const DEADLINE: Duration = Duration::from_secs(90);

/// From ON to OFF and back, by single steps as the server wants them.
const THERE_AND_BACK: [&str; 6] = ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];

struct Scene {
    server: MysqlServer,
    table: String,
    receiver: Receiver,
    home: Home,
    rows: u32,
}

impl Scene {
    async fn new(options: &[&str]) -> Scene {
        let server = MysqlServer::start(options);
        let table = format!("{}.items", server.fresh_database().await);
        server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)")).await;
        let receiver = Receiver::start(|_| Answer::ok());
        let rules = rule(&table, "all", &receiver);
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &rules);
        Scene { server, table, receiver, home, rows: 0 }
    }

    /// Reading from this server, or from where the checkpoint says.
    fn start(&self) -> Program {
        let program = self.start_on(&self.server);
        program.wait_for_line("reading after", DEADLINE);
        program
    }

    fn start_on(&self, server: &MysqlServer) -> Program {
        self.home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"])
    }

    async fn step(&self, mode: &str) {
        step(&self.server, mode).await;
    }

    /// One transaction with one row.
    async fn write(&mut self) {
        self.write_rows(1).await;
    }

    async fn write_rows(&mut self, rows: u32) {
        let first = self.rows + 1;
        self.rows += rows;
        let values: Vec<String> = (first..=self.rows).map(|id| format!("({id})")).collect();
        self.server.query(&format!("INSERT INTO {} VALUES {}", self.table, values.join(","))).await;
    }

    /// Every row that was written came once, in order.
    async fn all_came(&self) {
        all_came(&self.receiver, "all", self.rows).await;
    }

    async fn executed(&self) -> String {
        executed(&self.server).await
    }
}

fn rule(table: &str, name: &str, receiver: &Receiver) -> String {
    let url = receiver.url(&format!("/{name}/{{{{ row.id }}}}"));
    format!(
        "table: {table}\nrules:\n  - name: {name}\n    order_by: table\n    call: {{url: \"{url}\", timeout: 300s}}\n"
    )
}

async fn step(server: &MysqlServer, mode: &str) {
    server.query(&format!("SET GLOBAL gtid_mode = {mode}")).await;
}

async fn executed(server: &MysqlServer) -> String {
    server.rows::<String>("SELECT @@GLOBAL.gtid_executed").await.remove(0).replace('\n', "")
}

/// Rows whose answer was lost with a killed process may come again; the first time each came, it was in order.
async fn all_came(receiver: &Receiver, rule: &str, rows: u32) {
    let ids = |requests: &[std::sync::Arc<crate::support::receiver::Request>]| {
        let mut ids: Vec<u32> = Vec::new();
        for request in requests {
            let id = request.path.strip_prefix(&format!("/{rule}/")).map(|id| id.parse().expect("a number"));
            ids.extend(id.filter(|id| !ids.contains(id)));
        }
        ids
    };
    let requests = receiver.wait_until(|requests| ids(requests).len() as u32 >= rows, DEADLINE).await;
    assert_eq!(ids(&requests), (1..=rows).collect::<Vec<u32>>());
}

/// The position that `status` names, of a daemon or of the store.
fn position(home: &Home) -> Value {
    let status = home.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).expect("status prints JSON");
    status["position"].clone()
}

/// Waits until the running program's checkpoint has this set.
async fn until_set_is(home: &Home, wanted: &str) {
    let give_up_at = std::time::Instant::now() + DEADLINE;
    loop {
        let found = position(home);
        if found["gtids"].as_str() == Some(wanted) {
            return;
        }
        assert!(std::time::Instant::now() < give_up_at, "the set did not become {wanted}: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_written_while_gtid_mode_goes_to_off_and_back_come_once_and_in_order() {
    let mut scene = Scene::new(&[]).await;
    let mut program = scene.start();
    scene.write().await;
    for mode in THERE_AND_BACK {
        scene.step(mode).await;
        for _ in 0..3 {
            scene.write().await;
        }
        scene.all_came().await;
    }
    assert_eq!(scene.receiver.count() as u32, scene.rows, "none came twice");
    until_set_is(&scene.home, &scene.executed().await).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_written_while_rowhook_is_killed_at_each_step_of_gtid_mode_come_in_order() {
    let mut scene = Scene::new(&[]).await;
    let mut program = scene.start();
    scene.write().await;
    scene.all_came().await;
    for mode in THERE_AND_BACK {
        // What no checkpoint covers yet the server does not send again in every mode: the next test is about that.
        if ["OFF", "ON"].contains(&mode) {
            program.terminate();
            assert_eq!(program.wait(DEADLINE), 0);
        } else {
            program.kill_9();
        }
        scene.step(mode).await;
        scene.write().await;
        scene.server.query("FLUSH BINARY LOGS").await;
        scene.write_rows(2).await;
        program.restart();
        program.wait_for_line("reading after", DEADLINE);
        scene.write().await;
        scene.all_came().await;
    }
    until_set_is(&scene.home, &scene.executed().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_send_in_its_mode_is_waited_for() {
    // Unread at the start: with GTIDs while they are off; without while they are on, more than one file ago.
    let there: &[&str] = &["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"];
    let back: &[&str] = &["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
    let mut scene = Scene::new(&[]).await;
    let mut program = scene.start();
    scene.write().await;
    scene.all_came().await;
    for (modes, refusal, fix) in [
        (there, "the next transactions have GTIDs", "OFF_PERMISSIVE"),
        (back, "the next transactions have no GTIDs", "ON_PERMISSIVE"),
    ] {
        program.kill_9();
        for mode in modes {
            scene.write().await;
            scene.step(mode).await;
        }
        scene.write().await;
        let came = scene.receiver.count();
        program.restart();
        let line = program.wait_for_line(refusal, DEADLINE);
        assert!(line.contains(&format!("fix: SET GLOBAL gtid_mode = {fix}")), "{line}");
        assert!(scene.receiver.count() - came <= 3, "what lies before it may come, nothing behind");
        scene.step(fix).await;
        scene.all_came().await;
        scene.step(modes[2]).await;
        scene.write().await;
        scene.all_came().await;
    }
    until_set_is(&scene.home, &scene.executed().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gtids_that_are_switched_on_later_reach_the_checkpoint_and_another_server_takes_over() {
    let mut scene = Scene::new(&["--gtid-mode=OFF", "--enforce-gtid-consistency=ON"]).await;
    let mut program = scene.start();
    scene.write().await;
    scene.all_came().await;
    assert_eq!(position(&scene.home)["gtids"], Value::Null);
    for mode in ["OFF_PERMISSIVE", "ON_PERMISSIVE"] {
        scene.step(mode).await;
        scene.write().await;
    }
    let replica = replica_of(&scene.server).await;
    rows_are(&replica, &scene.table, scene.rows).await;
    for server in [&scene.server, &replica] {
        step(server, "ON").await;
    }
    scene.write().await;
    scene.all_came().await;
    until_set_is(&scene.home, &scene.executed().await).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    scene.write().await;
    caught_up(&replica, &scene.executed().await).await;
    replica.query("STOP REPLICA").await;
    let program = scene.start_on(&replica);
    program.wait_for_line("reading after gtid set", DEADLINE);
    scene.rows += 1;
    replica.query(&format!("INSERT INTO {} VALUES ({})", scene.table, scene.rows)).await;
    scene.all_came().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_refused_while_transactions_without_gtids_follow_the_last_gtid() {
    let mut scene = Scene::new(&[]).await;
    let mut program = scene.start();
    let replica = replica_of(&scene.server).await;
    scene.write().await;
    for server in [&scene.server, &replica] {
        step(server, "ON_PERMISSIVE").await;
        step(server, "OFF_PERMISSIVE").await;
    }
    scene.write().await;
    scene.all_came().await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    rows_are(&replica, &scene.table, scene.rows).await;
    for server in [&scene.server, &replica] {
        step(server, "ON_PERMISSIVE").await;
        step(server, "ON").await;
    }
    let mut program = scene.start_on(&replica);
    assert_eq!(program.wait(DEADLINE), 1);
    program.wait_for_line("transactions without GTIDs follow its last GTID", DEADLINE);
    // A transaction with a GTID after them, read from the server of before, and the other one may take over.
    let mut program = scene.start();
    scene.write().await;
    scene.all_came().await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    caught_up(&replica, &scene.executed().await).await;
    let program = scene.start_on(&replica);
    program.wait_for_line("reading after", DEADLINE);
    scene.write().await;
    scene.all_came().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_refused_where_it_would_leave_out_transactions_without_gtids() {
    let mut scene = Scene::new(&[]).await;
    let mut program = scene.start();
    let replica = replica_of(&scene.server).await;
    scene.write().await;
    scene.all_came().await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE"] {
        step(&scene.server, mode).await;
        step(&replica, mode).await;
    }
    scene.write().await;
    rows_are(&replica, &scene.table, scene.rows).await;
    for mode in ["ON_PERMISSIVE", "ON"] {
        step(&scene.server, mode).await;
        step(&replica, mode).await;
    }
    scene.write().await;
    caught_up(&replica, &scene.executed().await).await;
    let mut program = scene.start_on(&replica);
    assert_eq!(program.wait(DEADLINE), 1);
    program.wait_for_line("there are transactions without GTIDs", DEADLINE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_late_gets_every_row_of_each_gtid_mode() {
    let mut scene = Scene::new(&[]).await;
    let gate = Gate::closed();
    scene.receiver.set_script({
        let gate = gate.clone();
        move |request| if request.path.starts_with("/late/") { Answer::ok().delayed_by(&gate) } else { Answer::ok() }
    });
    scene.home.write("rules/late.yaml", &rule(&scene.table, "late", &scene.receiver));
    let program = scene.home.start(&["run", "--mysql", &scene.server.root_url(), "--admin", "off", "--window", "4"]);
    program.wait_for_line("reading after", DEADLINE);
    for mode in THERE_AND_BACK.iter().take(5) {
        scene.step(mode).await;
        for _ in 0..4 {
            scene.write().await;
        }
        scene.all_came().await;
    }
    program.wait_for_line("detached: ", DEADLINE);
    gate.open();
    all_came(&scene.receiver, "late", scene.rows).await;
    program.wait_for_line("attached to the main stream again", DEADLINE);
    scene.write().await;
    all_came(&scene.receiver, "late", scene.rows).await;
    scene.all_came().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_purged_end_nothing_as_long_as_gtids_say_that_nothing_is_missing() {
    let mut scene = Scene::new(&[]).await;
    let mut program = scene.start();
    scene.write().await;
    scene.all_came().await;
    until_set_is(&scene.home, &scene.executed().await).await;
    for (mode, ends) in [(None, false), (Some("OFF_PERMISSIVE"), true)] {
        program.terminate();
        assert_eq!(program.wait(DEADLINE), 0);
        if let Some(mode) = mode {
            scene.step("ON_PERMISSIVE").await;
            scene.step(mode).await;
            scene.write().await;
        }
        scene.server.purge().await;
        program.restart();
        if ends {
            program.wait_for_line("the server has purged binlogs that are still needed", DEADLINE);
            assert_eq!(program.wait(DEADLINE), 1);
        } else {
            program.wait_for_line("the binlog file of the checkpoint is purged", DEADLINE);
            scene.write().await;
            scene.all_came().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_by_set_is_refused_where_it_would_leave_something_out() {
    let mut scene = Scene::new(&[]).await;
    scene.write().await;
    let set = scene.executed().await;
    let start =
        |set: &str| scene.home.run(&["run", "--mysql", &scene.server.root_url(), "--admin", "off", "--start", set]);
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE"] {
        scene.step(mode).await;
        let ended = start(&set);
        let expected = format!("a GTID can't name a place with gtid_mode={mode}");
        assert!(ended.code == 1 && ended.stderr.contains(&expected), "{}", ended.stderr);
    }
    // With a row without GTID behind the set, and behind that nothing or one with.
    scene.server.query(&format!("INSERT INTO {} VALUES (90)", scene.table)).await;
    for mode in ["ON_PERMISSIVE", "ON"] {
        scene.step(mode).await;
    }
    for id in [91, 92] {
        let ended = start(&set);
        assert!(
            ended.code == 1 && ended.stderr.contains("leaves out the transactions without GTIDs"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("gtid_mode = ON "), "a remedy that leaves something out: {}", ended.stderr);
        scene.server.query(&format!("INSERT INTO {} VALUES ({id})", scene.table)).await;
    }
    // Behind the one with a GTID nothing is left out.
    let set = scene.executed().await;
    scene.server.query("FLUSH BINARY LOGS").await;
    let program = scene.home.start(&["run", "--mysql", &scene.server.root_url(), "--admin", "off", "--start", &set]);
    program.wait_for_line("reading after", DEADLINE);
    scene.server.query(&format!("INSERT INTO {} VALUES (93)", scene.table)).await;
    scene.receiver.wait_until(|requests| requests.iter().any(|request| request.path == "/all/93"), DEADLINE).await;
    assert_eq!(scene.receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_each_gtid_mode_means_and_the_next_step() {
    let scene = Scene::new(&[]).await;
    for (mode, meaning, next) in [
        ("ON", "gtid_mode = ON", None),
        ("ON_PERMISSIVE", "takes over only if it has gtid_mode = ON", Some("ON")),
        ("OFF_PERMISSIVE", "new transactions have no GTIDs", Some("ON_PERMISSIVE")),
        ("OFF", "those with GTIDs are not sent", Some("OFF_PERMISSIVE")),
    ] {
        if mode != "ON" {
            scene.step(mode).await;
        }
        let printed = scene.home.run(&["check", "--mysql", &scene.server.root_url()]);
        let printed = format!("{}{}", printed.stdout, printed.stderr);
        assert!(printed.contains(meaning), "{mode}: {printed}");
        assert_eq!(printed.contains("SET PERSIST gtid_mode"), next.is_some(), "{mode}: {printed}");
        if let Some(next) = next {
            assert!(printed.contains(&format!("SET PERSIST gtid_mode = {next},")), "{mode}: {printed}");
        }
    }
}

/// A server that replicates everything that this one has and gets.
async fn replica_of(source: &MysqlServer) -> MysqlServer {
    let mode = source.rows::<String>("SELECT @@GLOBAL.gtid_mode").await.remove(0);
    let replica = MysqlServer::start(&[&format!("--gtid-mode={mode}"), "--enforce-gtid-consistency=ON"]);
    let first: Vec<(String, u64, String)> = source.rows("SHOW BINARY LOGS").await;
    let file = &first[0].0;
    let change = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={}, SOURCE_USER='root', \
         GET_SOURCE_PUBLIC_KEY=1, SOURCE_AUTO_POSITION=0, SOURCE_LOG_FILE='{file}', SOURCE_LOG_POS=4, \
         SOURCE_CONNECT_RETRY=1; START REPLICA",
        source.port()
    );
    replica.query(&change).await;
    // One that connects while only one of the two has changed its mode gives up for good.
    let give_up_at = std::time::Instant::now() + DEADLINE;
    loop {
        let status: Vec<mysql_async::Row> = replica.rows("SHOW REPLICA STATUS").await;
        let running = status.first().and_then(|row| row.get::<String, _>("Replica_IO_Running"));
        if running.as_deref() == Some("Yes") {
            return replica;
        }
        let log = replica.log();
        assert!(std::time::Instant::now() < give_up_at, "the replica does not connect\n{}", last_lines(&log, 12));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn caught_up(replica: &MysqlServer, set: &str) {
    let question = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{set}', {})", DEADLINE.as_secs());
    assert_eq!(replica.rows::<u32>(&question).await, [0], "the replica does not catch up");
}

async fn rows_are(server: &MysqlServer, table: &str, rows: u32) {
    let give_up_at = std::time::Instant::now() + DEADLINE;
    let is_there = format!(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) = '{table}'"
    );
    let count = format!("SELECT COUNT(*) FROM {table}");
    while server.rows::<u32>(&is_there).await != [1] || server.rows::<u32>(&count).await != [rows] {
        if std::time::Instant::now() >= give_up_at {
            panic!("the replica does not get the rows; its log ends\n{}", last_lines(&server.log(), 12));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the server said of its replication.
fn last_lines(log: &str, count: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
