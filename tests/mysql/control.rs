//! What operators do with a running rowhook: status, pause and resume, new rules while it works, a stretch of binlog once
//! more. The oracles are what receivers got, in which order, and the table itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::mysql::MysqlServer;
use crate::support::process::free_port;
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(90);
const KEYS: u32 = 12;

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("ROWHOOK_ADMIN", "off")
}

/// A rule file of this table with one rule that calls this receiver, and waits for answers longer than tests hold them.
fn rule(database: &str, table: &str, name: &str, receiver: &Receiver) -> String {
    let call = format!("{{url: \"{}\", timeout: 2m}}", receiver.url("/"));
    format!("table: {database}.{table}\nrules:\n  - name: {name}\n    call: {call}\n")
}

async fn table(server: &MysqlServer, database: &str, table: &str) {
    server.query(&format!("CREATE TABLE {database}.{table} (id INT PRIMARY KEY, version INT NOT NULL)")).await;
}

fn run(home: &Home, server: &MysqlServer, args: &[&str]) -> Program {
    let url = server.root_url();
    let program = home.start(&[&["run", "--mysql", &url], args].concat());
    program.wait_for_line("reading after", DEADLINE);
    program
}

#[track_caller]
fn done(finished: &Finished) -> &str {
    assert_eq!(finished.code, 0, "{finished:?}");
    &finished.stdout
}

fn status(home: &Home) -> Value {
    let finished = home.run(&["status", "--json"]);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

fn of_rule(status: &Value, name: &str) -> Value {
    let rules = status["rules"].as_array().expect("a list");
    rules.iter().find(|rule| rule["rule"] == name).unwrap_or_else(|| panic!("no rule {name} in {status}")).clone()
}

/// Asks until the status is as wanted.
#[track_caller]
fn wait_for_status(home: &Home, wanted: impl Fn(&Value) -> bool) -> Value {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let status = status(home);
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < give_up_at, "the status never was as wanted: {status:#}");
    }
}

fn key_and_version(request: &Request) -> (u32, u32) {
    let row = &request.json()["after"];
    let number = |name: &str| row[name].as_u64().expect("a number") as u32;
    (number("id"), number("version"))
}

/// Inserts and updates the rows of a table until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<HashMap<u32, u32>>,
}

impl Writer {
    fn start(server: &'static MysqlServer, table: String) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let task = tokio::spawn(async move {
            let mut conn = server.conn().await;
            let mut versions = HashMap::new();
            while !told.load(Ordering::Relaxed) {
                for key in 0..KEYS {
                    let version = versions.entry(key).or_insert(0);
                    *version += 1;
                    let sql = match *version {
                        1 => format!("INSERT INTO {table} VALUES ({key}, 1)"),
                        version => format!("UPDATE {table} SET version = {version} WHERE id = {key}"),
                    };
                    conn.query_drop(sql).await.expect("a write");
                }
            }
            versions
        });
        Writer { stop, task }
    }

    /// The last version of each key.
    async fn stop(self) -> HashMap<u32, u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("a writer ends well")
    }
}

/// Every version of every key arrived exactly once, in order; requests of several receivers are taken together.
fn all_arrived_once_and_in_order(mut requests: Vec<Arc<Request>>, written: &HashMap<u32, u32>) {
    requests.sort_by_key(|request| request.arrived_at);
    let mut arrived: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for request in &requests {
        let (key, version) = key_and_version(request);
        arrived.entry(key).or_default().push(version);
    }
    let expected: BTreeMap<u32, Vec<u32>> = written.iter().map(|(key, last)| (*key, (1..=*last).collect())).collect();
    assert_eq!(arrived, expected);
}

fn changes(written: &HashMap<u32, u32>) -> usize {
    written.values().sum::<u32>() as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rule_calls_no_more_also_after_a_restart_and_goes_on_in_order_when_it_is_resumed() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (moving, other) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "moving", &moving))
        .with_rule("b.yaml", &rule(&database, "items", "other", &other));
    let mut program = run(&home, server, &[]);
    let writer = Writer::start(server, format!("{database}.items"));
    moving.wait_for_count(200, DEADLINE).await;

    let finished = home.run(&["pause", "movin"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("no rule is named movin; did you mean `moving`?"), "{}", finished.stderr);
    let finished = home.run(&["pause", "moving", "--why", "their API is moving house"]);
    assert_eq!(done(&finished), "moving is paused; rowhook resume moving lets it go on\n");
    // What was under way comes to its end.
    let paused = wait_for_status(&home, |status| of_rule(status, "moving")["in_flight"] == 0);
    let paused = of_rule(&paused, "moving");
    assert_eq!((&paused["state"], &paused["why"]), (&"paused".into(), &"their API is moving house".into()));
    let count = moving.count();
    other.wait_for_count(other.count() + 300, DEADLINE).await;
    assert_eq!(moving.count(), count, "nothing is called after the answer but what was under way");
    let again = home.run(&["pause", "moving"]);
    assert!(again.code == 1 && again.stderr.contains("moving is paused already"), "{again:?}");

    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let stored = status(&home);
    assert_eq!((stored["running"].as_bool(), &of_rule(&stored, "moving")["state"]), (Some(false), &"paused".into()));
    program.restart();
    other.wait_for_count(other.count() + 300, DEADLINE).await;
    assert_eq!(of_rule(&status(&home), "moving")["state"], "paused");
    assert_eq!(moving.count(), count, "it stays paused over a restart");

    assert_eq!(done(&home.run(&["resume", "moving"])), "moving goes on where it was\n");
    let written = writer.stop().await;
    moving.wait_for_count(changes(&written), DEADLINE).await;
    other.wait_for_count(changes(&written), DEADLINE).await;
    all_arrived_once_and_in_order(moving.received(), &written);
    all_arrived_once_and_in_order(other.received(), &written);
    wait_for_status(&home, |status| of_rule(status, "moving")["state"] == "attached");
    let finished = home.run(&["resume", "moving"]);
    assert!(finished.code == 1 && finished.stderr.contains("moving is not paused"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_paused_and_resumed_while_no_daemon_runs() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "a", &receiver))
        .with_rule("b.yaml", &rule(&database, "items", "b", &receiver));
    let mut program = run(&home, server, &[]);
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    done(&home.run(&["pause", "a", "--why", "not before Monday"]));
    let finished = home.run(&["pause", "a"]);
    assert!(finished.code == 1 && finished.stderr.contains("paused already"), "{finished:?}");
    let finished = home.run(&["pause", "c"]);
    assert!(finished.code == 1 && finished.stderr.contains("no rule is named c"), "{finished:?}");
    assert_eq!(of_rule(&status(&home), "a")["why"], "not before Monday");

    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1)")).await;
    program.restart();
    receiver.wait_for_count(1, DEADLINE).await;
    assert_eq!(receiver.received()[0].json()["rule"], "b");
    assert_eq!(of_rule(&status(&home), "a")["state"], "paused");
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);

    done(&home.run(&["resume", "a"]));
    let finished = home.run(&["resume", "a"]);
    assert!(finished.code == 1 && finished.stderr.contains("not paused"), "{finished:?}");
    program.restart();
    receiver.wait_for_count(2, DEADLINE).await;
    assert_eq!(receiver.received()[1].json()["rule"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_moves_to_another_receiver_under_load_without_loss_or_repeat_and_broken_files_change_nothing() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let gate = Gate::closed();
    let (held, held_key) = (gate.clone(), KEYS - 1);
    // One key's call is under way at the old receiver when the rule moves.
    let old = Receiver::start(move |request| match key_and_version(request) {
        (key, 5) if key == held_key => Answer::ok().held_by(&held),
        _ => Answer::ok(),
    });
    let new = Receiver::start(|_| Answer::ok());
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "items", &old))
        .with_env("ROWHOOK_LOG", "warn,rowhook=info,rowhook::outcome=off");
    let program = run(&home, server, &[]);
    let writer = Writer::start(server, format!("{database}.items"));
    let is_held = |requests: &[Arc<Request>]| requests.iter().any(|request| key_and_version(request) == (held_key, 5));
    old.wait_until(is_held, DEADLINE).await;

    home.write("rules/a.yaml", "table: [");
    let line = program.wait_for_line("the rule files have problems", DEADLINE);
    assert!(line.contains("ERROR"), "{line}");
    program.wait_for_line("rules/a.yaml:1:", DEADLINE);
    let broken = wait_for_status(&home, |status| !status["rule_files"]["problems_since"].is_null());
    assert!(broken["rule_files"]["problems"][0].as_str().expect("a text").starts_with("rules/a.yaml:1:"), "{broken}");
    let finished = home.run(&["reload"]);
    assert!(finished.code == 1 && finished.stderr.contains("rules/a.yaml:1:"), "{finished:?}");
    old.wait_for_count(old.count() + 100, DEADLINE).await;

    home.write("rules/a.yaml", &rule(&database, "items", "items", &new));
    let line = program.wait_for_line("rules reloaded", DEADLINE);
    assert!(line.contains("changed=\"items\""), "{line}");
    new.wait_for_count(100, DEADLINE).await;
    gate.open();
    new.wait_until(|requests| requests.iter().any(|request| key_and_version(request).0 == held_key), DEADLINE).await;
    let written = writer.stop().await;
    let all = changes(&written);
    new.wait_until(|requests| requests.len() + old.count() >= all, DEADLINE).await;
    assert!(wait_for_status(&home, |_| true)["rule_files"]["problems_since"].is_null());
    let requests = [old.received(), new.received()].concat();
    let delivered_by_old = old.received().iter().any(|request| key_and_version(request) == (held_key, 5));
    assert!(delivered_by_old && !is_held(&new.received()), "what was under way ends where it began");
    all_arrived_once_and_in_order(requests, &written);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_come_and_go_while_it_runs() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    for name in ["first", "second"] {
        table(server, &database, name).await;
    }
    let (first, second) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let home = home().with_rule("first.yaml", &rule(&database, "first", "first", &first));
    let _program = run(&home, server, &["--no-watch"]);
    // Not the new rule's: it begins when it comes.
    server.query(&format!("INSERT INTO {database}.second VALUES (1, 1)")).await;
    server.query(&format!("INSERT INTO {database}.first VALUES (1, 1)")).await;
    first.wait_for_count(1, DEADLINE).await;

    home.write("rules/second.yaml", &rule(&database, "second", "second", &second));
    assert_eq!(done(&home.run(&["reload"])), "added    second\n1 rule unchanged\n");
    server.query(&format!("INSERT INTO {database}.second VALUES (2, 1)")).await;
    second.wait_for_count(1, DEADLINE).await;
    assert_eq!(key_and_version(&second.received()[0]), (2, 1));
    wait_for_status(&home, |status| of_rule(status, "second")["state"] == "attached");

    std::fs::remove_file(home.path("rules/first.yaml")).expect("a file of our own");
    let finished = home.run(&["reload", "--json"]);
    let reloaded: Value = serde_json::from_str(done(&finished)).expect("JSON");
    assert_eq!((&reloaded["removed"], &reloaded["unchanged"]), (&vec!["first"].into(), &vec!["second"].into()));
    server.query(&format!("INSERT INTO {database}.first VALUES (3, 1)")).await;
    server.query(&format!("INSERT INTO {database}.second VALUES (3, 1)")).await;
    second.wait_for_count(2, DEADLINE).await;
    wait_for_status(&home, |status| status["rules"].as_array().expect("a list").len() == 1);
    assert_eq!(first.count(), 1, "a rule that is gone calls no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rule_that_goes_sends_nothing_of_its_queue_before_it_comes_back() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (paused, other) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let of_paused = rule(&database, "items", "paused", &paused);
    let home = home().with_rule("a.yaml", &of_paused).with_rule("b.yaml", &rule(&database, "items", "other", &other));
    let _program = run(&home, server, &["--no-watch"]);
    done(&home.run(&["pause", "paused"]));
    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1), (2, 1)")).await;
    other.wait_for_count(2, DEADLINE).await;
    assert_eq!(of_rule(&status(&home), "paused")["unresolved"], 2);

    std::fs::remove_file(home.path("rules/a.yaml")).expect("a file of our own");
    assert_eq!(done(&home.run(&["reload"])), "removed  paused\n1 rule unchanged\n");
    server.query(&format!("INSERT INTO {database}.items VALUES (3, 1)")).await;
    other.wait_for_count(3, DEADLINE).await;
    assert_eq!(paused.count(), 0);

    home.write("rules/a.yaml", &of_paused);
    assert_eq!(done(&home.run(&["reload"])), "added    paused\n1 rule unchanged\n");
    server.query(&format!("INSERT INTO {database}.items VALUES (4, 1)")).await;
    paused.wait_for_count(3, DEADLINE).await;
    let keys = paused.received().iter().map(|request| key_and_version(request).0).collect::<HashSet<_>>();
    assert_eq!(keys, HashSet::from([1, 2, 4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_loads_the_rules_anew_and_ends_nothing() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (old, new) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let home = home().with_rule("a.yaml", &rule(&database, "items", "items", &old));
    let mut program = run(&home, server, &["--no-watch"]);
    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1)")).await;
    old.wait_for_count(1, DEADLINE).await;
    home.write("rules/a.yaml", &rule(&database, "items", "items", &new));
    program.hang_up();
    program.wait_for_line("rules reloaded", DEADLINE);
    server.query(&format!("INSERT INTO {database}.items VALUES (2, 1)")).await;
    new.wait_for_count(1, DEADLINE).await;
    assert_eq!(old.count(), 1);
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_changed_in_their_files_are_in_requests_after_the_next_load() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let call = format!(
        "{{url: \"{}\", auth: {{bearer: {{file: ../token}}}}, headers: {{X-Tenant: \"{{{{ env.TENANT }}}}\"}}}}",
        receiver.url("/")
    );
    let rule = format!("table: {database}.items\nrules:\n  - name: items\n    call: {call}\n");
    let home = home().with_rule("a.yaml", &rule);
    let tenant = home.path("tenant").display().to_string();
    let home = home.with_env("TENANT_FILE", &tenant);
    home.write("token", "one\n");
    home.write("tenant", "1\n");
    let program = run(&home, server, &["--no-watch"]);
    let sent = |number: usize| {
        let (receiver, database) = (&receiver, &database);
        async move {
            server.query(&format!("INSERT INTO {database}.items VALUES ({number}, 1)")).await;
            receiver.wait_for_count(number, DEADLINE).await;
            let request = &receiver.received()[number - 1];
            ["authorization", "x-tenant"].map(|name| request.header(name).unwrap_or_default().to_owned())
        }
    };
    assert_eq!(sent(1).await, ["Bearer one", "1"]);
    home.write("token", "two\n");
    program.hang_up();
    program.wait_for_line("rules reloaded", DEADLINE);
    assert_eq!(sent(2).await, ["Bearer two", "1"]);
    home.write("tenant", "2\n");
    assert_eq!(done(&home.run(&["reload"])), "changed  items\n0 rules unchanged\n");
    assert_eq!(sent(3).await, ["Bearer two", "2"]);
    home.write("token", "t\two\n");
    assert_ne!(home.run(&["reload"]).code, 0, "a secret that no header can carry is refused");
    assert_eq!(sent(4).await, ["Bearer two", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runway_is_known_while_it_runs() {
    let server = MysqlServer::start(&["--binlog-expire-logs-seconds=36000"]);
    let database = server.fresh_database().await;
    table(&server, &database, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home().with_rule("a.yaml", &rule(&database, "items", "items", &receiver));
    let admin = format!("127.0.0.1:{}", free_port());
    let _program = run(&home, &server, &["--admin", &admin]);
    let status = wait_for_status(&home, |status| !status["runway_seconds"].is_null());
    let runway = status["runway_seconds"].as_u64().expect("a number");
    assert!((35_000..=36_000).contains(&runway), "{runway}");
    assert_eq!(status["source"]["binlog_kept_seconds"], 36_000);
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let text = metrics(&admin);
        let line = text.lines().find_map(|line| line.strip_prefix("rowhook_runway_seconds ")).expect("the metric");
        let seconds: f64 = line.parse().expect("a number");
        if seconds > 35_000.0 {
            break assert!(seconds <= 36_000.0, "{seconds}");
        }
        assert!(Instant::now() < give_up_at && (seconds.is_nan()), "{seconds}");
    }
    let page = home.run(&["status"]);
    assert!(done(&page).contains(" until the server may purge what is still needed\n"), "{}", page.stdout);
}

fn metrics(address: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).expect("the admin port answers");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// What one stretch of binlog brought, and where it lies.
struct History {
    database: String,
    receiver: Receiver,
    home: Home,
    program: Program,
    /// Where the second of three inserts begins, and the third.
    from: String,
    to: String,
}

impl History {
    /// Three transactions of three rows each; the second is the stretch.
    async fn start(server: &MysqlServer) -> History {
        let database = server.fresh_database().await;
        table(server, &database, "items").await;
        let receiver = Receiver::start(|_| Answer::ok());
        let home = home().with_rule("a.yaml", &rule(&database, "items", "items", &receiver)).with_rule(
            "b.yaml",
            &rule(&database, "items", "others", &receiver).replace("- name", "- on: [delete]\n    name"),
        );
        let program = run(&home, server, &[]);
        let mut places = Vec::new();
        for first in [1, 4, 7] {
            places.push(place(server).await);
            let values: Vec<String> = (first..first + 3).map(|id| format!("({id}, 1)")).collect();
            server.query(&format!("INSERT INTO {database}.items VALUES {}", values.join(","))).await;
        }
        receiver.wait_for_count(9, DEADLINE).await;
        let (from, to) = (places[1].clone(), places[2].clone());
        History { database, receiver, home, program, from, to }
    }

    fn replay(&self, args: &[&str]) -> Finished {
        let stretch = ["replay-binlog", "--rule", "items", "--from", &self.from, "--to", &self.to];
        self.home.run(&[&stretch, args].concat())
    }
}

async fn place(server: &MysqlServer) -> String {
    let rows: Vec<(String, u64, String, String, String)> = server.rows("SHOW BINARY LOG STATUS").await;
    format!("{}:{}", rows[0].0, rows[0].1)
}

fn keys(requests: &[Arc<Request>]) -> HashSet<(u32, String)> {
    requests.iter().map(|request| (key_and_version(request).0, request.key.clone().expect("a key"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stretch_of_the_binlog_is_delivered_again_with_the_same_keys_and_nothing_else() {
    // A server of its own: others' transactions would lie between.
    let server = MysqlServer::start(&[]);
    let history = History::start(&server).await;
    let first = keys(&history.receiver.received());
    let finished = history.replay(&[]);
    assert!(finished.code == 2 && finished.stderr.contains("--yes"), "{finished:?}");
    let finished = history.replay(&["--dry-run"]);
    let shown = done(&finished);
    assert_eq!(
        (shown.matches("curl -X POST").count(), shown.ends_with("3 requests would be sent\n")),
        (3, true),
        "{shown}"
    );
    assert_eq!(history.receiver.count(), 9, "neither sends anything");

    let finished = history.replay(&["--yes"]);
    assert!(done(&finished).ends_with("3 changes, 3 matched, 3 delivered, 0 dead\n"), "{}", finished.stdout);
    let again = &history.receiver.received()[9..];
    assert_eq!(
        again.iter().map(|request| key_and_version(request).0).collect::<HashSet<_>>(),
        HashSet::from([4, 5, 6])
    );
    assert!(keys(again).is_subset(&first), "the same keys");

    // What comes of it is as of any delivery, and the stream goes on beside it.
    history.receiver.set_script(|request| match key_and_version(request) {
        (5, _) => Answer::status(400),
        _ => Answer::ok(),
    });
    let finished = history.replay(&["--yes", "--json"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines[0]["begun"]["from"]["file"].is_string(), "{lines:?}");
    let ended = &lines.last().expect("lines")["ended"];
    assert_eq!((&ended["delivered"], &ended["dead"]), (&2.into(), &1.into()), "{ended}");
    let listed = history.home.run(&["dead-letters", "list", "--json"]);
    let listed: Value = serde_json::from_str(done(&listed)).expect("JSON");
    assert_eq!(listed["dead_letters"][0]["key"]["id"], 5, "{listed}");
    let count = history.receiver.count();
    server.query(&format!("INSERT INTO {}.items VALUES (10, 1)", history.database)).await;
    history.receiver.wait_for_count(count + 1, DEADLINE).await;

    let nothing =
        history.home.run(&["replay-binlog", "--rule", "items", "--from", &history.to, "--to", &history.from, "--yes"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("there is nothing between"), "{nothing:?}");
    let unknown = history.home.run(&["replay-binlog", "--rule", "itms", "--from", "earliest", "--yes"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `items`?"), "{unknown:?}");
    done(&history.home.run(&["pause", "items"]));
    let paused = history.replay(&["--yes"]);
    assert!(paused.code == 1 && paused.stderr.contains("items is paused"), "{paused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stretch_is_delivered_again_without_a_daemon_and_moves_no_checkpoint() {
    let server = MysqlServer::start(&[]);
    let mut history = History::start(&server).await;
    wait_for_status(&history.home, |status| of_rule(status, "items")["unresolved"] == 0);
    history.program.terminate();
    assert_eq!(history.program.wait(DEADLINE), 0);
    let before = status(&history.home);
    server.query(&format!("INSERT INTO {}.items VALUES (10, 1)", history.database)).await;
    let url = server.root_url();
    // Up to the checkpoint: what came after is not a redelivery.
    let finished =
        history.home.run(&["replay-binlog", "--rule", "items", "--from", &history.from, "--yes", "--mysql", &url]);
    assert!(done(&finished).ends_with("6 changes, 6 matched, 6 delivered, 0 dead\n"), "{}", finished.stdout);
    assert_eq!(history.receiver.count(), 15);
    assert_eq!(status(&history.home)["position"], before["position"]);
    history.program.restart();
    history.receiver.wait_for_count(16, DEADLINE).await;
    assert_eq!(key_and_version(&history.receiver.received()[15]), (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_redelivery_starts_nothing_more() {
    let server = MysqlServer::start(&[]);
    let history = History::start(&server).await;
    let gate = Gate::closed();
    let held = gate.clone();
    history.receiver.set_script(move |_| Answer::ok().held_by(&held));
    // One after the other, so that two of them wait behind the first.
    history.home.write(
        "rules/a.yaml",
        &rule(&history.database, "items", "items", &history.receiver).replace("    call", "    in_flight: 1\n    call"),
    );
    done(&history.home.run(&["reload"]));
    let mut replay = history.home.start(&[
        "replay-binlog",
        "--rule",
        "items",
        "--from",
        &history.from,
        "--to",
        &history.to,
        "--yes",
    ]);
    history.receiver.wait_for_count(10, DEADLINE).await;
    replay.interrupt();
    assert_eq!(replay.wait(DEADLINE), 1);
    gate.open();
    // The daemon finishes what it was handed, and takes up another one.
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let finished = history.replay(&["--yes"]);
        if finished.code == 0 {
            break;
        }
        assert!(finished.stderr.contains("one at a time"), "{finished:?}");
        assert!(Instant::now() < give_up_at);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stretch_named_by_gtids_is_those_transactions_and_no_others() {
    let server = MysqlServer::start(&[]);
    let history = History::start(&server).await;
    let executed: Vec<String> = server.rows("SELECT @@GLOBAL.gtid_executed").await;
    let (uuid, last) = executed[0].rsplit_once(":1-").expect("one interval");
    let last: u64 = last.parse().expect("a number");
    // Without the second of the three inserts.
    let (from, to) = (format!("{uuid}:1-{}", last - 3), format!("{uuid}:1-{}:{last}", last - 2));
    let finished = history.home.run(&["replay-binlog", "--rule", "items", "--from", &from, "--to", &to, "--yes"]);
    assert!(done(&finished).ends_with("6 changes, 6 matched, 6 delivered, 0 dead\n"), "{}", finished.stdout);
    let again: HashSet<u32> =
        history.receiver.received()[9..].iter().map(|request| key_and_version(request).0).collect();
    assert_eq!(again, HashSet::from([1, 2, 3, 7, 8, 9]));
}
