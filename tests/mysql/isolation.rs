//! Promise 5: a rule whose API is slow or unavailable stops neither the reading nor the other rules. Three rules on one table, of
//! which one is not answered at all, one slowly, one at once; also under kill -9, and inside a large transaction.

mod binlog_pin;
mod commands;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;

use crate::crash::{covered_ids, id};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(120);
const RULES: [&str; 3] = ["healthy", "slow", "stuck"];
const GTIDS_OFF: &[&str] = &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];

struct Scene {
    server: MysqlServer,
    database: String,
    receiver: Receiver,
    /// Delays the answers to the rule `stuck`.
    gate: Gate,
    program: Program,
    /// For each kill, how many requests had arrived by then.
    kills: Vec<usize>,
    /// Deliveries that a durable checkpoint covered, with the run in which it did.
    covered: Vec<(usize, String)>,
}

impl Scene {
    async fn start(options: &[&str]) -> Scene {
        let server = MysqlServer::start(options);
        let database = server.fresh_database().await;
        let columns = "id INT PRIMARY KEY, version INT NOT NULL, note VARCHAR(2100) NOT NULL";
        server.query(&format!("CREATE TABLE {database}.items ({columns})")).await;
        let gate = Gate::closed();
        let receiver = Receiver::start({
            let gate = gate.clone();
            move |request| match request.path.as_str() {
                "/stuck" => Answer::ok().delayed_by(&gate),
                "/slow" => Answer::ok().after(Duration::from_millis(2)),
                _ => Answer::ok(),
            }
        });
        let mut rules = format!("table: {database}.items\nrules:\n");
        for rule in RULES {
            let url = receiver.url(&format!("/{rule}"));
            let in_flight = if rule == "slow" { 2 } else { 32 };
            rules += &format!(
                "  - name: {rule}\n    in_flight: {in_flight}\n    call:\n      url: {url}\n      timeout: 300s\n      body:\n        \
                 id: \"{{{{ row.id }}}}\"\n        version: \"{{{{ row.version }}}}\"\n        note: \"{{{{ row.note }}}}\"\n"
            );
        }
        let log = "warn,rowhook::source=info,rowhook::outcome=info,rowhook::pipeline=debug";
        let arguments = ["run", "--mysql", &server.root_url(), "--admin", "off", "--window", "64"];
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &rules);
        let program = home.with_env("ROWHOOK_LOG", log).start(&arguments);
        program.wait_for_line("checkpoint durable", DEADLINE);
        Scene { server, database, receiver, gate, program, kills: Vec::new(), covered: Vec::new() }
    }

    /// Gives each of these keys one more version, in transactions of some rows.
    async fn write(&self, keys: std::ops::Range<u32>, rows_max: usize, note: &str) {
        let mut conn = self.server.conn().await;
        let keys: Vec<u32> = keys.collect();
        for keys in keys.chunks(rows_max) {
            conn.query_drop("BEGIN").await.expect("begin");
            for keys in keys.chunks(500) {
                let values: Vec<String> = keys.iter().map(|key| format!("({key}, 1, '{note}')")).collect();
                let insert = format!(
                    "INSERT INTO {}.items VALUES {} ON DUPLICATE KEY UPDATE version = version + 1",
                    self.database,
                    values.join(",")
                );
                conn.query_drop(insert).await.expect("insert");
            }
            conn.query_drop("COMMIT").await.expect("commit");
        }
    }

    /// Waits until a rule has had so many different changes.
    async fn has_had(&self, rule: &str, changes: usize) {
        let path = format!("/{rule}");
        let different = |requests: &[Arc<Request>]| {
            requests
                .iter()
                .filter(|request| request.path == path)
                .map(|request| id(request))
                .collect::<HashSet<_>>()
                .len()
        };
        self.receiver.wait_until(|requests| different(requests) >= changes, DEADLINE).await;
    }

    fn kill(&mut self) {
        self.program.kill_9();
        // What the dead process had sent and was not read yet is lost with its connections.
        self.receiver.go_down();
        let run = self.kills.len();
        self.covered.extend(covered_ids(&self.program.lines()).into_iter().map(|id| (run, id)));
        self.kills.push(self.receiver.count());
        self.receiver.come_back();
        self.program.restart();
    }

    /// Everything came to every rule, in order, and at last what the table contains.
    async fn everything_is_well(&self, changes: usize) {
        for rule in RULES {
            self.has_had(rule, changes).await;
        }
        let requests = self.receiver.received();
        self.order_is_kept_per_rule_and_key(&requests);
        self.nothing_covered_came_again(&requests);
        let table: BTreeMap<u32, u32> =
            self.server.rows(&format!("SELECT id, version FROM {}.items", self.database)).await.into_iter().collect();
        for rule in RULES {
            let mut delivered = BTreeMap::new();
            for (key, version) in requests.iter().filter(|request| of(request) == rule).map(|request| row(request)) {
                let newest = delivered.entry(key).or_insert(version);
                *newest = version.max(*newest);
            }
            assert_eq!(delivered, table, "rule {rule}");
        }
    }

    /// The first arrivals of a key's versions are in order without a gap, and in each run nothing goes back.
    fn order_is_kept_per_rule_and_key(&self, requests: &[Arc<Request>]) {
        let (mut newest, mut in_run) = (HashMap::new(), HashMap::new());
        for (arrived, request) in requests.iter().enumerate() {
            let (key, version) = row(request);
            let run = self.kills.partition_point(|kill| *kill <= arrived);
            let newest = newest.entry((of(request), key)).or_insert(0);
            assert!(version <= *newest + 1, "{}: key {key} came as {version} after {newest}", of(request));
            *newest = version.max(*newest);
            if let Some(before) = in_run.insert((run, of(request), key), version) {
                assert!(version > before, "{}: key {key} came as {version} after {before} in run {run}", of(request));
            }
        }
    }

    /// Promise 4, also of late rules.
    fn nothing_covered_came_again(&self, requests: &[Arc<Request>]) {
        let mut last_run: HashMap<&str, usize> = HashMap::new();
        for (arrived, request) in requests.iter().enumerate() {
            last_run.insert(id(request), self.kills.partition_point(|kill| *kill <= arrived));
        }
        for (run, id) in &self.covered {
            assert!(last_run[id.as_str()] <= *run, "{id} was covered by a checkpoint in run {run} and came again");
        }
    }
}

fn of(request: &Request) -> &str {
    &request.path[1..]
}

fn row(request: &Request) -> (u32, u32) {
    let body = request.json();
    let number = |name: &str| body[name].as_u64().expect("a number") as u32;
    (number("id"), number("version"))
}

async fn a_rule_that_is_not_answered_stops_no_other(options: &[&str]) {
    let scene = Scene::start(options).await;
    for _ in 0..3 {
        scene.write(0..400, 10, "short").await;
    }
    scene.has_had("healthy", 1200).await;
    scene.has_had("slow", 1200).await;
    scene.program.wait_for_line("rule=\"stuck\"", DEADLINE);
    scene.gate.open();
    scene.everything_is_well(1200).await;
    scene.program.wait_for_line("caught up; attached to the main stream again rule=\"stuck\"", DEADLINE);
    // Attached again, it is fed like the others.
    scene.write(0..50, 10, "short").await;
    scene.everything_is_well(1250).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_not_answered_stops_no_other_with_gtids() {
    a_rule_that_is_not_answered_stops_no_other(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_not_answered_stops_no_other_without_gtids() {
    a_rule_that_is_not_answered_stops_no_other(GTIDS_OFF).await;
}

/// Rows of a transaction that is too large to be buffered until its commit.
const LARGE_ROWS: usize = 4000;

async fn kill_9_loses_and_repeats_nothing_of_rules_that_are_late(options: &[&str]) {
    let mut scene = Scene::start(options).await;
    scene.write(0..200, 10, "short").await;
    scene.has_had("healthy", 200).await;
    scene.kill();
    // It is detached in the middle of this one.
    scene.write(0..LARGE_ROWS as u32, LARGE_ROWS, &"x".repeat(2000)).await;
    scene.has_had("healthy", 200 + LARGE_ROWS / 2).await;
    scene.kill();
    scene.has_had("healthy", 200 + LARGE_ROWS).await;
    scene.write(0..300, 10, "short").await;
    scene.gate.open();
    scene.has_had("stuck", 700).await;
    scene.kill();
    scene.has_had("stuck", 2500).await;
    scene.kill();
    scene.everything_is_well(500 + LARGE_ROWS).await;
    assert!(!scene.covered.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_and_repeats_nothing_of_detached_rules_with_gtids() {
    kill_9_loses_and_repeats_nothing_of_rules_that_are_late(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_and_repeats_nothing_of_detached_rules_without_gtids() {
    kill_9_loses_and_repeats_nothing_of_rules_that_are_late(GTIDS_OFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_stream_waits_for_a_slow_rule_that_is_the_only_one() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.items (id INT PRIMARY KEY)")).await;
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(10)));
    let url = receiver.url("/slow");
    let rule = format!("table: {database}.items\nrules:\n  - {{name: slow, in_flight: 2, call: {{url: \"{url}\"}}}}\n");
    let arguments = ["run", "--mysql", &server.root_url(), "--admin", "off", "--window", "4"];
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &rule);
    let mut program = home.start(&arguments);
    program.wait_for_line("reading after", DEADLINE);
    let values: Vec<String> = (0..100).map(|id| format!("({id})")).collect();
    server.query(&format!("INSERT INTO {database}.items VALUES {}", values.join(","))).await;
    receiver.wait_for_count(100, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    assert!(!program.lines().iter().any(|line| line.contains("detached")), "{:#?}", program.lines());
    assert_eq!(receiver.count(), 100);
}
