//! What operators ask of detached rules, and what reloading does to them: the loop in this process, driven over its
//! command channel, against a real server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rowhook::delivery::{Client, Dispatcher, Sinks};
use rowhook::pipeline::{
    self, ChangeSource, Command, CommandRefused, Limits, LoopStatus, Pipeline, RuleStatus, StreamStatus,
};
use rowhook::position::Start;
use rowhook::rules::{IfMissing, RuleSet};
use rowhook::source::Settings;
use rowhook::store::Store;
use rowhook::telemetry::Metrics;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::mysql::MysqlServer;
use crate::support::receiver::{Answer, Gate, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);
/// Deliveries of one rule.
const WINDOW: usize = 4;

struct Loop {
    data: TempDir,
    settings: Settings,
    running: Option<Running>,
}

struct Running {
    commands: mpsc::Sender<Command>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), pipeline::Error>>,
}

impl Loop {
    async fn start(server: &MysqlServer, rules: &RuleSet) -> Loop {
        let mut settings = Settings::from_url(&server.root_url(), Uuid::new_v4()).expect("a URL");
        settings.heartbeat = Duration::from_millis(200);
        let data = tempfile::tempdir().expect("a directory");
        let mut this = Loop { data, settings, running: None };
        this.go(rules).await;
        this
    }

    /// Starts it, again or for the first time, and waits until it reads.
    async fn go(&mut self, rules: &RuleSet) {
        let rules = Arc::new(RuleSet::new(rules.rules().to_vec()));
        let store = Store::open(self.data.path()).expect("a store");
        let metrics = Arc::new(Metrics::default());
        let dispatcher = Dispatcher::new(Sinks::new(Client::new().expect("a client"), None), metrics.clone());
        let limits = Limits {
            window_deliveries: WINDOW,
            window_bytes: 64 << 20,
            checkpoint_interval: Duration::from_millis(20),
            shutdown_timeout: Duration::from_millis(100),
        };
        let mut pipeline = Pipeline::new(rules, store.clone(), dispatcher, metrics, limits);
        pipeline.resume(store.saved().expect("readable"));
        let (commands, received) = mpsc::channel(8);
        let (stop, stopped) = watch::channel(false);
        let (status, _) = watch::channel(None);
        let reading = ChangeSource {
            settings: self.settings.clone(),
            start: Start::Latest,
            if_missing: IfMissing::Refuse,
            status,
        };
        let task = tokio::spawn(pipeline.run(Some(reading), received, stopped));
        self.running = Some(Running { commands, stop, task });
        self.until(|status| status.position.is_some()).await;
    }

    async fn stop(&mut self) {
        let Running { stop, task, commands } = self.running.take().expect("it runs");
        drop(commands);
        stop.send_replace(true);
        task.await.expect("no panic").expect("an orderly end");
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> T {
        let (answer, answered) = oneshot::channel();
        let running = self.running.as_ref().expect("it runs");
        running.commands.send(command(answer)).await.expect("the loop runs");
        answered.await.expect("an answer")
    }

    async fn pause(&self, rule: &str) -> Result<(), CommandRefused> {
        self.ask(|answer| Command::Pause { rule: rule.into(), why: "a test".into(), answer }).await
    }

    async fn resume(&self, rule: &str, from: Option<Start>) -> Result<(), CommandRefused> {
        self.ask(|answer| Command::Resume { rule: rule.into(), from, answer }).await
    }

    async fn reload(&self, rules: RuleSet) {
        let rules = Arc::new(rules);
        self.ask(|answer| Command::Reload { rules, answer }).await;
    }

    async fn until(&self, enough: impl Fn(&LoopStatus) -> bool) -> LoopStatus {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let status = self.ask(|answer| Command::Status { answer }).await;
            if enough(&status) {
                return status;
            }
            assert!(Instant::now() < give_up_at, "{status:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_rule(&self, rule: &str, enough: impl Fn(&RuleStatus) -> bool) -> RuleStatus {
        let of = |status: &LoopStatus| status.rules.iter().find(|known| known.rule == rule).expect("the rule").clone();
        of(&self.until(|status| enough(&of(status))).await)
    }
}

fn rules(table: &str, names: &[&str], receiver: &Receiver) -> (PathBuf, String) {
    let mut text = format!("table: {table}\nrules:\n");
    for name in names {
        let url = receiver.url(&format!("/{name}"));
        text += &format!("  - name: {name}\n    call:\n      url: {url}\n      timeout: 300s\n");
    }
    (PathBuf::from(format!("{table}.yaml")), text)
}

fn load(files: &[(PathBuf, String)]) -> RuleSet {
    RuleSet::from_texts(files, &|_| None).expect("rules that load")
}

fn is_detached(rule: &RuleStatus) -> bool {
    matches!(rule.stream, StreamStatus::Detached { .. })
}

fn error_of(rule: &RuleStatus) -> Option<&str> {
    match &rule.stream {
        StreamStatus::Detached { error, .. } => error.as_deref(),
        StreamStatus::Attached => None,
    }
}

async fn table(server: &MysqlServer) -> String {
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY, a INT, b INT)")).await;
    format!("{database}.jobs")
}

async fn insert(server: &MysqlServer, table: &str, ids: std::ops::Range<u32>) {
    for id in ids {
        server.query(&format!("INSERT INTO {table} VALUES ({id}, 1, 2)")).await;
    }
}

/// The rows that a rule was called with, by id.
fn rows(requests: &[Arc<Request>], rule: &str) -> Vec<Value> {
    let path = format!("/{rule}");
    let mut rows: Vec<Value> =
        requests.iter().filter(|request| request.path == path).map(|request| request.json()["after"].clone()).collect();
    rows.sort_by_key(|row| row["id"].as_u64());
    rows
}

fn ids(requests: &[Arc<Request>], rule: &str) -> Vec<u64> {
    rows(requests, rule).iter().map(|row| row["id"].as_u64().expect("an id")).collect()
}

async fn until_had(receiver: &Receiver, rule: &str, expected: impl IntoIterator<Item = u64>) {
    let expected: Vec<u64> = expected.into_iter().collect();
    receiver.wait_until(|requests| ids(requests, rule).len() >= expected.len(), DEADLINE).await;
    assert_eq!(ids(&receiver.received(), rule), expected, "rule {rule}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rule_is_detached_and_gets_old_rows_with_their_old_names_also_after_a_restart() {
    let server = MysqlServer::start(&["--binlog-row-metadata=MINIMAL"]);
    let table = table(&server).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let rules = load(&[rules(&table, &["paused", "other"], &receiver)]);
    let mut work = Loop::start(&server, &rules).await;

    assert_eq!(work.pause("missing").await, Err(CommandRefused::NoSuchRule { rule: "missing".into() }));
    assert_eq!(work.resume("paused", None).await, Err(CommandRefused::NotPaused { rule: "paused".into() }));
    assert_eq!(
        work.resume("paused", Some(Start::Latest)).await,
        Err(CommandRefused::NotDetached { rule: "paused".into() })
    );
    assert_eq!(work.pause("paused").await, Ok(()));
    assert_eq!(work.pause("paused").await, Err(CommandRefused::AlreadyPaused { rule: "paused".into() }));

    insert(&server, &table, 0..10).await;
    until_had(&receiver, "other", 0..10).await;
    let status = work.until_rule("paused", is_detached).await;
    assert_eq!((status.unresolved, status.in_flight), (WINDOW as u64, 0));
    assert_eq!(status.paused.expect("paused").why, "a test");
    server.query(&format!("ALTER TABLE {table} RENAME COLUMN a TO b, RENAME COLUMN b TO a")).await;
    insert(&server, &table, 10..20).await;
    until_had(&receiver, "other", 0..20).await;

    work.stop().await;
    work.go(&rules).await;
    let status = work.until_rule("paused", is_detached).await;
    assert_eq!(status.paused.expect("still paused").why, "a test");
    insert(&server, &table, 20..22).await;
    until_had(&receiver, "other", 0..22).await;
    assert!(ids(&receiver.received(), "paused").is_empty());

    assert_eq!(work.resume("paused", None).await, Ok(()));
    until_had(&receiver, "paused", 0..22).await;
    for row in rows(&receiver.received(), "paused") {
        let is_old = row["id"].as_u64() < Some(10);
        let (a, b) = if is_old { (1, 2) } else { (2, 1) };
        assert_eq!(row, json!({"id": row["id"], "a": a, "b": b}));
    }
    work.until_rule("paused", |rule| !is_detached(rule) && rule.unresolved == 0).await;
    insert(&server, &table, 22..24).await;
    until_had(&receiver, "paused", 0..24).await;
    until_had(&receiver, "other", 0..24).await;
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_whose_binlog_is_purged_stays_detached_with_the_error_until_it_may_skip_that() {
    let server = MysqlServer::start(&[]);
    let table = table(&server).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let rules = load(&[rules(&table, &["paused", "other"], &receiver)]);
    let mut work = Loop::start(&server, &rules).await;
    work.pause("paused").await.expect("paused");
    insert(&server, &table, 0..10).await;
    work.until_rule("paused", is_detached).await;
    until_had(&receiver, "other", 0..10).await;
    server.query("FLUSH BINARY LOGS").await;
    insert(&server, &table, 10..11).await;
    until_had(&receiver, "other", 0..11).await;
    server.purge_all_but_newest().await;

    work.resume("paused", None).await.expect("resumed");
    let status = work.until_rule("paused", |rule| error_of(rule).is_some()).await;
    assert!(error_of(&status).is_some_and(|error| error.contains("purged")), "{status:?}");
    // What it had in memory it still delivers, and the other goes on. The same after a restart.
    until_had(&receiver, "paused", 0..4).await;
    work.stop().await;
    work.go(&rules).await;
    insert(&server, &table, 11..20).await;
    until_had(&receiver, "other", 0..20).await;
    work.until_rule("paused", |rule| error_of(rule).is_some()).await;

    let before = work.until_rule("other", |rule| rule.unresolved == 0).await;
    work.resume("paused", Some(Start::Latest)).await.expect("resumed");
    work.until_rule("paused", |rule| !is_detached(rule)).await;
    insert(&server, &table, 20..30).await;
    until_had(&receiver, "other", 0..30).await;
    until_had(&receiver, "paused", (0..4).chain(20..30)).await;
    let after = work.until_rule("paused", |rule| rule.unresolved == 0).await;
    assert!(after.low_water_mark.expect("a mark").reaches(&before.low_water_mark.expect("a mark")));
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloading_keeps_streams_by_name_and_ends_what_was_begun() {
    let server = MysqlServer::start(&[]);
    let (old, new) = (table(&server).await, table(&server).await);
    let gate = Gate::closed();
    let receiver = Receiver::start({
        let gate = gate.clone();
        move |request| match request.path.as_str() {
            "/kept" | "/gone" => Answer::ok().delayed_by(&gate),
            _ => Answer::ok(),
        }
    });
    let files = |names: &[&str]| rules(&old, names, &receiver);
    let mut work = Loop::start(&server, &load(&[files(&["kept", "gone", "other"])])).await;
    insert(&server, &old, 0..10).await;
    until_had(&receiver, "other", 0..10).await;
    work.until_rule("kept", is_detached).await;
    work.until_rule("gone", is_detached).await;

    let reloaded = load(&[files(&["kept", "other"]), rules(&new, &["new"], &receiver)]);
    work.reload(RuleSet::new(reloaded.rules().to_vec())).await;
    insert(&server, &new, 0..3).await;
    insert(&server, &old, 10..12).await;
    until_had(&receiver, "new", 0..3).await;
    until_had(&receiver, "other", 0..12).await;
    let status = work.until_rule("kept", is_detached).await;
    assert_eq!(status.unresolved, WINDOW as u64);
    gate.open();
    until_had(&receiver, "kept", 0..12).await;
    // What it had begun, and nothing more.
    until_had(&receiver, "gone", 0..WINDOW as u64).await;
    work.until_rule("kept", |rule| !is_detached(rule) && rule.unresolved == 0).await;

    // The rule that had gone is a new one when it comes back.
    work.reload(load(&[files(&["kept", "gone", "other"])])).await;
    insert(&server, &old, 12..14).await;
    insert(&server, &new, 3..4).await;
    until_had(&receiver, "gone", (0..WINDOW as u64).chain(12..14)).await;
    until_had(&receiver, "kept", 0..14).await;
    until_had(&receiver, "new", 0..3).await;
    work.stop().await;
}

/// One rule `jobs` that does this after a dead letter.
fn after_dead_letter(table: &str, on_dead_letter: &str, receiver: &Receiver) -> RuleSet {
    let url = receiver.url("/jobs");
    load(&[(
        PathBuf::from("jobs.yaml"),
        format!(
            "table: {table}\nrules:\n  - name: jobs\n    on_dead_letter: {on_dead_letter}\n    call:\n      url: {url}\n"
        ),
    )])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_its_dead_letter_paused_goes_on_when_it_is_resumed() {
    let server = MysqlServer::shared();
    let table = table(server).await;
    let receiver = Receiver::start(|request| match request.json()["after"]["id"].as_u64() {
        Some(0 | 1) => Answer::status(400),
        _ => Answer::ok(),
    });
    let rules = after_dead_letter(&table, "pause", &receiver);
    let mut work = Loop::start(server, &rules).await;
    // Both are under way when the first of them fails: the rule is paused once.
    server.query(&format!("INSERT INTO {table} VALUES (0, 1, 2), (1, 1, 2)")).await;
    let status = work.until_rule("jobs", |rule| rule.paused.is_some() && rule.unresolved == 0).await;
    let why = status.paused.expect("paused").why;
    assert!(["dead letter 1: answered 400", "dead letter 2: answered 400"].contains(&&*why), "{why}");
    insert(server, &table, 2..4).await;
    work.until_rule("jobs", |rule| rule.unresolved == 2).await;

    work.stop().await;
    work.go(&rules).await;
    work.until_rule("jobs", |rule| rule.unresolved == 2).await;
    assert_eq!(work.until_rule("jobs", |rule| rule.paused.is_some()).await.paused.expect("paused").why, why);
    assert_eq!(ids(&receiver.received(), "jobs"), [0, 1]);
    work.resume("jobs", None).await.expect("resumed");
    until_had(&receiver, "jobs", 0..4).await;
    work.until_rule("jobs", |rule| rule.paused.is_none() && rule.unresolved == 0).await;
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_key_never_fills_its_rule_s_window_and_waits_for_a_rule_that_comes_back() {
    let server = MysqlServer::shared();
    let table = table(server).await;
    let receiver = Receiver::start(|request| match request.json()["after"]["a"].as_u64() {
        Some(1) => Answer::status(400),
        _ => Answer::ok(),
    });
    let other = load(&[rules(&table, &["other"], &receiver)]);
    let rules = after_dead_letter(&table, "hold_key", &receiver);
    let mut work = Loop::start(server, &rules).await;
    insert(server, &table, 0..1).await;
    for a in 2..30 {
        server.query(&format!("UPDATE {table} SET a = {a}")).await;
    }
    server.query(&format!("INSERT INTO {table} VALUES (1, 2, 2)")).await;
    until_had(&receiver, "jobs", 0..2).await;
    let status = work.until_rule("jobs", |rule| rule.unresolved == 0).await;
    assert_eq!(status.stream, StreamStatus::Attached, "30 changes of one key went through a window of {WINDOW}");

    // Its front is discarded while no rule of that name is there.
    work.stop().await;
    {
        let store = Store::open(work.data.path()).expect("a store");
        assert_eq!((store.dead_letter_count(), store.blocked_count()), (1, 28));
        let discard = rowhook::store::Write { letters_remove: vec![1], ..Default::default() };
        store.write(discard).await.expect("written");
    }
    work.go(&other).await;
    server.query(&format!("UPDATE {table} SET b = 3 WHERE id = 1")).await;
    until_had(&receiver, "other", 1..2).await;
    work.reload(RuleSet::new(rules.rules().to_vec())).await;
    receiver.wait_until(|requests| rows(requests, "jobs").len() == 30, DEADLINE).await;
    let sent: Vec<Value> = receiver
        .received()
        .iter()
        .filter(|request| request.path == "/jobs")
        .map(|r| r.json()["after"]["a"].clone())
        .collect();
    assert_eq!(sent[2..], (2..30).map(Value::from).collect::<Vec<_>>());
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_begins_where_it_says_and_a_known_one_goes_on() {
    let server = MysqlServer::start(&[]);
    let table = table(&server).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let (path, text) = rules(&table, &["first", "second", "third"], &receiver);
    let starting = |name: &str, start: &str, text: &str| {
        text.replace(&format!("- name: {name}\n"), &format!("- name: {name}\n    start: {start}\n"))
    };
    insert(&server, &table, 0..5).await;
    let logs: Vec<(String, u64, String)> = server.rows("SHOW BINARY LOGS").await;
    let (file, offset, _) = logs.last().expect("a log");
    insert(&server, &table, 5..10).await;
    let text = starting("second", "earliest", &text);
    let text = starting("third", &format!("{file}:{offset}"), &text);
    let all = load(&[(path, text)]);
    let only_first = RuleSet::new(vec![all.rules()[0].clone()]);
    let mut work = Loop::start(&server, &only_first).await;
    insert(&server, &table, 10..12).await;
    until_had(&receiver, "first", 10..12).await;

    work.reload(RuleSet::new(all.rules().to_vec())).await;
    until_had(&receiver, "second", 0..12).await;
    until_had(&receiver, "third", 5..12).await;
    for rule in ["second", "third"] {
        work.until_rule(rule, |rule| !is_detached(rule)).await;
    }
    work.stop().await;
    work.go(&all).await;
    insert(&server, &table, 12..14).await;
    until_had(&receiver, "first", 10..14).await;
    until_had(&receiver, "second", 0..14).await;
    until_had(&receiver, "third", 5..14).await;
    work.stop().await;

    // New at a start: the others are known and stay where they are.
    let (path, text) = rules(&table, &["first", "fourth"], &receiver);
    work.go(&load(&[(path, starting("first", "earliest", &starting("fourth", "earliest", &text)))])).await;
    until_had(&receiver, "fourth", 0..14).await;
    insert(&server, &table, 14..15).await;
    until_had(&receiver, "first", 10..15).await;
    until_had(&receiver, "fourth", 0..15).await;
    work.stop().await;
}
