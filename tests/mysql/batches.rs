//! Several changes in one call against a real server: bad rows among good ones, order per key over many calls, kill -9,
//! results for each row, merged changes, whole transactions, and windows too small for what is gathered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(90);

/// A row's key and the version that one change gave it.
type Version = (u64, u64);

struct Scene {
    server: &'static MysqlServer,
    database: String,
    receiver: Receiver,
    program: Program,
}

impl Scene {
    /// A table `items` and a rule over it with these keys, in a program with these flags besides the usual ones.
    async fn start(rule_keys: &str, flags: &[&str], api: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        let columns = "id INT PRIMARY KEY, version INT NOT NULL, kind VARCHAR(20) NOT NULL";
        server.query(&format!("CREATE TABLE {database}.items ({columns})")).await;
        let receiver = Receiver::start(api);
        let rule = format!(
            "table: {database}.items\nrules:\n  - name: items\n{rule_keys}    call: {{url: '{}'}}\n    \
             retry: {{initial: 20ms, max_delay: 100ms}}\n",
            receiver.url("/in")
        );
        let url = server.root_url();
        let mut args = vec!["run", "--mysql", &url, "--admin", "off"];
        args.extend_from_slice(flags);
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &rule);
        let program = home.start(&args);
        program.wait_for_line("reading after", DEADLINE);
        Scene { server, database, receiver, program }
    }

    async fn insert(&self, rows: impl IntoIterator<Item = (u64, &str)>) {
        let rows: Vec<String> = rows.into_iter().map(|(id, kind)| format!("({id}, 1, '{kind}')")).collect();
        self.server.query(&format!("INSERT INTO {}.items VALUES {}", self.database, rows.join(","))).await;
    }

    /// The dead letters, by the row and version that each is about, once there are so many.
    fn dead_letters(&self, count: usize) -> BTreeMap<Version, Value> {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let finished = self.program.home().run(&["dead-letters", "list", "--limit", "10000", "--json"]);
            assert_eq!(finished.code, 0, "{}", finished.stderr);
            let list: Value = serde_json::from_str(&finished.stdout).expect("JSON");
            let letters = list["dead_letters"].as_array().expect("a list");
            if letters.len() >= count {
                let received = self.receiver.received();
                let ids: HashMap<String, Version> = received.iter().flat_map(|call| identities(call)).collect();
                return letters
                    .iter()
                    .map(|letter| (ids[letter["id"].as_str().expect("an id")], letter.clone()))
                    .collect();
            }
            assert!(Instant::now() < give_up_at, "{} of {count} dead letters", letters.len());
        }
    }
}

fn events(request: &Request) -> &[Value] {
    request.json().as_array().expect("an array")
}

fn version(event: &Value) -> Version {
    let row = if event["after"].is_null() { &event["before"] } else { &event["after"] };
    (row["id"].as_u64().expect("an id"), row["version"].as_u64().expect("a version"))
}

fn versions(request: &Request) -> Vec<Version> {
    events(request).iter().map(version).collect()
}

fn kind(event: &Value) -> &str {
    event["after"]["kind"].as_str().expect("a kind")
}

fn identities(request: &Request) -> Vec<(String, Version)> {
    events(request).iter().map(|event| (event["id"].as_str().expect("an id").to_owned(), version(event))).collect()
}

/// All that requests with success carried, in order of arrival.
fn accepted(requests: &[Arc<Request>]) -> Vec<Version> {
    requests.iter().filter(|request| request.status() == Some(200)).flat_map(|request| versions(request)).collect()
}

/// Inserts and updates its own rows, a few in each transaction; returns the last version of each.
async fn write(server: &MysqlServer, database: String, writer: u64, rounds: u64) -> Vec<Version> {
    let mut conn = server.conn().await;
    let own: Vec<u64> = (0..12).map(|n| writer * 100 + n).collect();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for round in 0..rounds {
        conn.query_drop("BEGIN").await.expect("begin");
        for n in 0..1 + round % 5 {
            let id = own[((round * 7 + n * 5) % own.len() as u64) as usize];
            let version = last.entry(id).or_insert(0);
            *version += 1;
            // About one in fifty.
            let kind = if is_bad(&(id, *version)) { "bad" } else { "good" };
            let values = format!("({id}, {version}, '{kind}')");
            let sql = format!("REPLACE INTO {database}.items VALUES {values}");
            let update = format!("UPDATE {database}.items SET version = {version}, kind = '{kind}' WHERE id = {id}");
            conn.query_drop(if *version == 1 { sql } else { update }).await.expect("write");
        }
        conn.query_drop("COMMIT").await.expect("commit");
    }
    last.into_iter().collect()
}

async fn write_all(scene: &Scene, writers: u64, rounds: u64) -> BTreeSet<Version> {
    let tasks: Vec<_> =
        (0..writers).map(|writer| tokio::spawn(write(scene.server, scene.database.clone(), writer, rounds))).collect();
    let mut all = BTreeSet::new();
    for task in tasks {
        for (id, last) in task.await.expect("a writer ends well") {
            all.extend((1..=last).map(|version| (id, version)));
        }
    }
    all
}

fn is_bad(version: &Version) -> bool {
    (version.0 * 31 + version.1 * 17).is_multiple_of(50)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_in_batches_are_the_dead_letters_and_all_others_arrive_in_order() {
    let api = |request: &Request| match events(request).iter().any(|event| kind(event) == "bad") {
        true => Answer::status(422).with_body("one of these is bad"),
        false => Answer::ok().after(Duration::from_millis(3)),
    };
    let scene = Scene::start("    batch: {size: 40, wait: 30ms}\n    in_flight: 6\n", &[], api).await;
    let all = write_all(&scene, 5, 300).await;
    let (bad, good): (BTreeSet<Version>, BTreeSet<Version>) = all.into_iter().partition(is_bad);
    assert!(bad.len() > 20, "{}", bad.len());
    let requests = scene.receiver.wait_until(|requests| accepted(requests).len() >= good.len(), DEADLINE).await;
    let letters = scene.dead_letters(bad.len());
    assert_eq!(letters.keys().copied().collect::<BTreeSet<_>>(), bad);
    assert!(letters.values().all(|letter| letter["reason"] == "refused"), "{letters:?}");
    let arrived = accepted(&requests);
    assert_eq!(arrived.iter().copied().collect::<BTreeSet<_>>(), good);
    assert_eq!(arrived.len(), good.len(), "none twice");
    let mut last: HashMap<u64, u64> = HashMap::new();
    for (id, version) in arrived {
        let before = last.insert(id, version).unwrap_or(0);
        assert!(before < version, "row {id}: version {version} came after {before}");
    }
    assert!(requests.len() < good.len() / 3, "{} requests for {} rows", requests.len(), good.len());
    // What a person sees of one: every attempt of a call that carried it.
    let number = letters.values().next().expect("one")["number"].to_string();
    let shown = scene.program.home().run(&["dead-letters", "show", &number]);
    assert!(shown.stdout.contains("422") && shown.stdout.contains("one of these is bad"), "{}", shown.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_among_batches_loses_nothing_and_keeps_the_order_of_each_key() {
    let slow = |_: &Request| Answer::ok().after(Duration::from_millis(15));
    let mut scene = Scene::start("    batch: {size: 20, wait: 20ms}\n    in_flight: 4\n", &[], slow).await;
    let writing = {
        let (server, database) = (scene.server, scene.database.clone());
        tokio::spawn(async move { write(server, database, 0, 600).await })
    };
    let mut arrived_at_kill = Vec::new();
    for _ in 0..5 {
        let seen = scene.receiver.count();
        scene.receiver.wait_for_count(seen + 4, DEADLINE).await;
        scene.program.kill_9();
        scene.receiver.go_down();
        arrived_at_kill.push(scene.receiver.count());
        scene.receiver.come_back();
        scene.program.restart();
    }
    let last = writing.await.expect("the writer ends well");
    let all: BTreeSet<Version> =
        last.into_iter().flat_map(|(id, last)| (1..=last).map(move |version| (id, version))).collect();
    let everything = |requests: &[Arc<Request>]| {
        requests.iter().flat_map(|request| versions(request)).collect::<BTreeSet<_>>().len() >= all.len()
    };
    let requests = scene.receiver.wait_until(everything, DEADLINE).await;
    let carried: BTreeSet<Version> = requests.iter().flat_map(|request| versions(request)).collect();
    assert_eq!(carried, all);

    let (mut in_run, mut furthest, mut run) = (HashMap::new(), HashMap::new(), 0);
    let mut by_id: HashMap<String, Version> = HashMap::new();
    let mut by_key: HashMap<&str, Vec<Version>> = HashMap::new();
    for (arrived, request) in requests.iter().enumerate() {
        let now = arrived_at_kill.partition_point(|kill| *kill <= arrived);
        if now != run {
            in_run.clear();
            run = now;
        }
        for (id, version) in versions(request) {
            if let Some(before) = in_run.insert(id, version) {
                assert_eq!(version, before + 1, "row {id} in run {run}");
            }
            let furthest = furthest.entry(id).or_insert(0);
            assert!(version <= *furthest + 1, "row {id}: version {version} came when {furthest} was the newest");
            *furthest = version.max(*furthest);
        }
        for (id, version) in identities(request) {
            assert_eq!(*by_id.entry(id).or_insert(version), version, "one id for two changes");
        }
        let key = request.key.as_deref().expect("every call has a key");
        let content = versions(request);
        assert_eq!(*by_key.entry(key).or_insert(content.clone()), content, "one key for two contents");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_for_each_row_make_dead_letters_of_the_refused_and_send_the_others_again() {
    let earlier: std::sync::Mutex<HashMap<u64, usize>> = std::sync::Mutex::default();
    let api = move |request: &Request| {
        let mut earlier = earlier.lock().expect("not poisoned");
        let results: Vec<Value> = events(request)
            .iter()
            .map(|event| {
                let before = earlier.entry(version(event).0).or_insert(0);
                *before += 1;
                match (kind(event), *before) {
                    ("bad", _) => json!({"status": 409, "detail": "no such customer"}),
                    ("later", 1) => json!({"status": 503}),
                    ("never", _) => json!({"status": 503}),
                    _ => json!({"status": 201}),
                }
            })
            .collect();
        Answer::ok().with_json(&json!({ "results": results }))
    };
    let keys = "    batch: {size: 10, wait: 50ms, results: {items: /results, status: /status}}\n";
    let scene = Scene::start(keys, &[], api).await;
    let kinds = ["good", "bad", "later", "never", "good"];
    scene.insert((0..25).map(|id| (id, kinds[id as usize % 5]))).await;
    let letters = scene.dead_letters(10);
    let reasons: BTreeMap<u64, &str> =
        letters.iter().map(|((id, _), letter)| (*id, letter["reason"].as_str().expect("a reason"))).collect();
    let expected: BTreeMap<u64, &str> = (0..25)
        .filter_map(|id| match kinds[id as usize % 5] {
            "bad" => Some((id, "refused")),
            "never" => Some((id, "exhausted")),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, expected);
    let sent: Vec<u64> = scene.receiver.received().iter().flat_map(|call| versions(call)).map(|(id, _)| id).collect();
    for (id, kind) in (0..25).map(|id| (id, kinds[id as usize % 5])) {
        let times = sent.iter().filter(|sent| **sent == id).count();
        assert_eq!(
            times,
            if kind == "later" {
                2
            } else if kind == "never" {
                4
            } else {
                1
            },
            "{kind} row {id}"
        );
    }
    let number = letters[&(1, 1)]["number"].to_string();
    let shown = scene.program.home().run(&["dead-letters", "show", &number]);
    assert!(shown.stdout.contains("409") && shown.stdout.contains("no such customer"), "{}", shown.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_key_are_merged_into_the_latest_and_none_is_missing() {
    let keys = "    coalesce: {within: 300ms}\n    batch: {size: 50, wait: 20ms}\n";
    let scene = Scene::start(keys, &[], |_| Answer::ok()).await;
    let all = write_all(&scene, 3, 200).await;
    scene.server.query(&format!("DELETE FROM {}.items WHERE id = 0", scene.database)).await;
    let is_deleted = |requests: &[Arc<Request>]| {
        requests
            .iter()
            .flat_map(|request| events(request))
            .any(|event| event["op"] == "delete" && version(event).0 == 0)
    };
    // A delete that was merged holds the row as it was sent last.
    let newest: BTreeMap<u64, u64> = all.iter().copied().filter(|(id, _)| *id != 0).collect();
    let is_all = |requests: &[Arc<Request>]| {
        let seen: BTreeMap<u64, u64> = accepted(requests).into_iter().filter(|(id, _)| *id != 0).collect();
        seen == newest && is_deleted(requests)
    };
    let requests = scene.receiver.wait_until(is_all, DEADLINE).await;
    let mut known: HashMap<u64, Value> = HashMap::new();
    for event in requests.iter().flat_map(|request| events(request)) {
        let (id, _) = version(event);
        let before = known.insert(id, event["after"].clone());
        // A row that came and went within the time is one delete, which holds the row as it was last.
        if before.is_some() || event["op"] != "delete" {
            let before = before.unwrap_or(Value::Null);
            assert_eq!(event["before"], before, "what was sent of row {id} goes on where the last ended");
        }
    }
    let sent = requests.iter().map(|request| events(request).len()).sum::<usize>();
    assert!(sent < all.len() / 2, "{sent} deliveries of {} changes", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_one_call_or_as_many_as_it_must() {
    let scene = Scene::start("    per: transaction\n    order_by: table\n", &[], |_| Answer::ok()).await;
    let rows = |range: std::ops::Range<u64>| range.map(|id| (id, "good"));
    scene.insert(rows(0..2500)).await;
    scene.insert(rows(3000..3010)).await;
    let mut conn = scene.server.conn().await;
    let update = |set: &str, ids: &str| format!("UPDATE {}.items SET {set} WHERE id IN ({ids})", scene.database);
    for sql in ["BEGIN", &update("version = 2", "1, 2"), &update("version = 3", "2"), "COMMIT"] {
        conn.query_drop(sql).await.expect("write");
    }
    let requests = scene.receiver.wait_until(|requests| requests.len() >= 5, DEADLINE).await;
    let sizes: Vec<usize> = requests.iter().map(|request| events(request).len()).collect();
    assert_eq!(sizes, [1000, 1000, 500, 10, 3]);
    assert_eq!(versions(&requests[4]), [(1, 2), (2, 2), (2, 3)]);
    for request in &requests {
        let transactions: BTreeSet<String> =
            events(request).iter().map(|event| event["source"]["offset"].to_string()).collect();
        assert_eq!(transactions.len(), 1, "{request:?}");
    }
    let in_order: Vec<u64> = requests[..3].iter().flat_map(|request| versions(request)).map(|(id, _)| id).collect();
    assert_eq!(in_order, (0..2500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_too_small_for_what_is_gathered_stops_nothing() {
    for keys in [
        "    per: transaction\n",
        "    batch: {size: 1000, wait: 1m}\n",
        "    coalesce: {within: 10m}\n    batch: {size: 1000, wait: 1m}\n",
    ] {
        let scene = Scene::start(keys, &["--window", "64"], |_| Answer::ok()).await;
        scene.insert((0..640).map(|id| (id, "good"))).await;
        let requests = scene.receiver.wait_until(|requests| accepted(requests).len() >= 640, DEADLINE).await;
        let sent: BTreeSet<Version> = accepted(&requests).into_iter().collect();
        assert_eq!(sent, (0..640).map(|id| (id, 1)).collect(), "{keys}");
        assert!(requests.len() < 100, "{}", requests.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gathered_when_the_program_stops_comes_after_the_restart() {
    let mut scene = Scene::start("    batch: {wait: 1m}\n", &[], |_| Answer::ok()).await;
    scene.insert((0..100).map(|id| (id, "good"))).await;
    scene.receiver.wait_for_count(1, DEADLINE).await;
    scene.insert((100..150).map(|id| (id, "good"))).await;
    scene.program.terminate();
    assert_eq!(scene.program.wait(DEADLINE), 0);
    assert_eq!(accepted(&scene.receiver.received()).len(), 100, "fifty of a hundred wait");
    scene.program.restart();
    scene.program.wait_for_line("reading after", DEADLINE);
    scene.insert((150..200).map(|id| (id, "good"))).await;
    let requests = scene.receiver.wait_until(|requests| accepted(requests).len() >= 200, DEADLINE).await;
    let sent: BTreeSet<Version> = accepted(&requests).into_iter().collect();
    assert_eq!(sent, (0..200).map(|id| (id, 1)).collect());
    assert_eq!(requests.len(), 2, "none again");
}
