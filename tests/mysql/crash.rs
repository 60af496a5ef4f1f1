//! Promises 1 to 4 under kill -9: nothing is lost, order is kept per key, identities are stable, and what a durable
//! checkpoint covers is not sent again. The oracles are the table itself and the program's own log of its checkpoints.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::random::Random;
use crate::support::receiver::{Answer, Receiver, Request};

/// Keys that belong to one writer each, which inserts, updates and deletes them.
const OWN_KEYS: u32 = 480;
/// Keys after those that all writers update, so that the order of commits decides.
const SHARED_KEYS: u32 = 20;
const WRITERS: u32 = 5;
const CHANGES: usize = 20_000;
const KILLS_MIN: usize = 10;
const DEADLINE: Duration = Duration::from_secs(120);

/// A row's version and what happened to it: with the row's key, the name of one change.
type Step = (u32, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_keeps_order_and_repeats_only_what_no_checkpoint_covered() {
    let server = MysqlServer::shared();
    let database = items(server).await;
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(20)));
    let mut program = start(server, &database, &receiver);
    program.wait_for_line("reading after", DEADLINE);
    let shared: Vec<String> = (OWN_KEYS..OWN_KEYS + SHARED_KEYS).map(|key| format!("({key}, 1, 0, '')")).collect();
    server.query(&format!("INSERT INTO {database}.items VALUES {}", shared.join(","))).await;
    let mut random = Random::new();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(server, database.clone(), writer, Random::seeded(random.next()))))
        .collect();

    let mut history = History::default();
    while history.kills() < KILLS_MIN || receiver.count() + 2000 < CHANGES {
        let next = receiver.count() + 50 + random.below(1700) as usize;
        receiver.wait_for_count(next.min(CHANGES - 500), DEADLINE).await;
        history.kill(&mut program, &receiver);
    }
    let mut written = HashMap::new();
    for writer in writers {
        written.extend(writer.await.expect("a writer ends well"));
    }
    written.extend(shared_steps(server, &database).await);
    let changes = written.values().map(Vec::len).sum();
    assert!(changes >= CHANGES, "only {changes} changes were written");
    let requests = all_arrived(&receiver, changes).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);

    nothing_is_lost_or_invented(&requests, &written);
    the_last_of_each_key_is_what_the_table_contains(server, &database, &requests).await;
    identities_are_stable(&requests);
    history.order_is_kept_per_key(&requests, &written);
    history.nothing_covered_came_again(&requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_inside_one_big_transaction_goes_on_inside_it() {
    let server = MysqlServer::shared();
    let database = items(server).await;
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(5)));
    let mut program = start(server, &database, &receiver);
    program.wait_for_line("reading after", DEADLINE);
    let rows = 12_000;
    let mut conn = server.conn().await;
    conn.query_drop("BEGIN").await.expect("begin");
    for from in (0..rows).step_by(1000) {
        let values: Vec<String> =
            (from..from + 1000).map(|id| format!("({id}, 1, 0, '{}')", "x".repeat(500))).collect();
        let insert = format!("INSERT INTO {database}.items VALUES {}", values.join(","));
        conn.query_drop(insert).await.expect("insert");
    }
    conn.query_drop("COMMIT").await.expect("commit");

    let mut history = History::default();
    for next in [2000, 5000, 9000] {
        receiver.wait_for_count(next, DEADLINE).await;
        history.kill(&mut program, &receiver);
    }
    let requests = all_arrived(&receiver, rows).await;
    let written = (0..rows as u32).map(|id| (id, vec![(1, "insert")])).collect();
    nothing_is_lost_or_invented(&requests, &written);
    identities_are_stable(&requests);
    history.nothing_covered_came_again(&requests);
}

async fn items(server: &MysqlServer) -> String {
    let database = server.fresh_database().await;
    let columns = "id INT PRIMARY KEY, version INT NOT NULL, writer INT NOT NULL, note VARCHAR(600) NOT NULL";
    server.query(&format!("CREATE TABLE {database}.items ({columns})")).await;
    database
}

fn start(server: &MysqlServer, database: &str, receiver: &Receiver) -> Program {
    let rule =
        format!("table: {database}.items\nrules:\n  - name: items\n    call:\n      url: {}\n", receiver.url("/items"));
    let log = "warn,rowhook::source=info,rowhook::outcome=info,rowhook::pipeline=debug";
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &rule).with_env("ROWHOOK_LOG", log).start(&[
        "run",
        "--mysql",
        &server.root_url(),
        "--admin",
        "off",
    ])
}

/// Writes its part of the changes, several in one transaction and sometimes of one key twice. Returns the steps of its
/// own keys.
async fn write(server: &MysqlServer, database: String, writer: u32, mut random: Random) -> HashMap<u32, Vec<Step>> {
    let mut conn = server.conn().await;
    let mut steps: HashMap<u32, Vec<Step>> = HashMap::new();
    let own: Vec<u32> = (0..OWN_KEYS).filter(|key| key % WRITERS == writer).collect();
    let mut written = 0;
    while written < CHANGES / WRITERS as usize {
        conn.query_drop("BEGIN").await.expect("begin");
        for _ in 0..=random.below(12) {
            let key = own[random.below(own.len() as u64) as usize];
            let known = steps.entry(key).or_default();
            let (version, what) = known.last().copied().unwrap_or((0, "delete"));
            let (sql, step) = match (what, random.below(10)) {
                ("delete", _) => {
                    let note = format!("note {version}");
                    let values = format!("({key}, {}, {writer}, '{note}')", version + 1);
                    (format!("INSERT INTO {database}.items VALUES {values}"), (version + 1, "insert"))
                }
                (_, 0) => (format!("DELETE FROM {database}.items WHERE id = {key}"), (version, "delete")),
                _ => {
                    let set = format!("version = version + 1, note = 'note {version}'");
                    (format!("UPDATE {database}.items SET {set} WHERE id = {key}"), (version + 1, "update"))
                }
            };
            conn.query_drop(sql).await.expect("write");
            known.push(step);
            written += 1;
        }
        let shared = OWN_KEYS + random.below(u64::from(SHARED_KEYS)) as u32;
        conn.query_drop(format!("UPDATE {database}.items SET version = version + 1 WHERE id = {shared}"))
            .await
            .expect("write");
        conn.query_drop("COMMIT").await.expect("commit");
        written += 1;
    }
    steps
}

/// The steps of the keys that all writers update: each version once, as the table says.
async fn shared_steps(server: &MysqlServer, database: &str) -> HashMap<u32, Vec<Step>> {
    let last: Vec<(u32, u32)> =
        server.rows(&format!("SELECT id, version FROM {database}.items WHERE id >= {OWN_KEYS}")).await;
    let steps = |last| (1..=last).map(|version| (version, if version == 1 { "insert" } else { "update" })).collect();
    last.into_iter().map(|(key, version)| (key, steps(version))).collect()
}

/// What happened between kills.
#[derive(Default)]
struct History {
    /// For each kill, how many requests had arrived by then.
    arrived_at_kill: Vec<usize>,
    /// Deliveries that a durable checkpoint covered, with the run in which it did.
    covered: Vec<(usize, String)>,
}

impl History {
    fn kills(&self) -> usize {
        self.arrived_at_kill.len()
    }

    fn kill(&mut self, program: &mut Program, receiver: &Receiver) {
        program.kill_9();
        // What the dead process had sent and was not read yet is lost with its connections.
        receiver.go_down();
        let run = self.kills();
        self.covered.extend(covered_ids(&program.lines()).into_iter().map(|id| (run, id)));
        self.arrived_at_kill.push(receiver.count());
        receiver.come_back();
        program.restart();
    }

    /// Promise 2: in each run the requests of a key come in commit order, and each change of a key arrives for the first
    /// time after the one before it.
    fn order_is_kept_per_key(&self, requests: &[Arc<Request>], written: &HashMap<u32, Vec<Step>>) {
        let places: HashMap<(u32, Step), usize> = written
            .iter()
            .flat_map(|(key, steps)| steps.iter().enumerate().map(|(place, step)| ((*key, *step), place)))
            .collect();
        let (mut run_before, mut place_in_run, mut furthest) = (usize::MAX, HashMap::new(), HashMap::new());
        for (arrived, request) in requests.iter().enumerate() {
            let run = self.arrived_at_kill.partition_point(|kill| *kill <= arrived);
            if run != run_before {
                place_in_run.clear();
                run_before = run;
            }
            let (key, step) = key_and_step(request);
            let place = places[&(key, step)];
            if let Some(before) = place_in_run.insert(key, place) {
                assert_eq!(place, before + 1, "key {key} in run {run}: {step:?} came after change {before}");
            }
            let furthest = furthest.entry(key).or_insert(0);
            assert!(place <= *furthest, "key {key}: {step:?} came when only {furthest} had come");
            *furthest = (*furthest).max(place + 1);
        }
    }

    /// Promise 4, exactly: what a durable checkpoint covered in one run does not come again in a later one.
    fn nothing_covered_came_again(&self, requests: &[Arc<Request>]) {
        assert!(!self.covered.is_empty(), "no checkpoint became durable in {} runs", self.kills());
        let mut last_run: HashMap<&str, usize> = HashMap::new();
        for (arrived, request) in requests.iter().enumerate() {
            let run = self.arrived_at_kill.partition_point(|kill| *kill <= arrived);
            last_run.insert(id(request), run);
        }
        for (run, id) in &self.covered {
            assert!(last_run[id.as_str()] <= *run, "{id} was covered by a checkpoint in run {run} and came again");
        }
    }
}

/// The deliveries that the program logged as delivered before it took a checkpoint that became durable.
pub(crate) fn covered_ids(lines: &[String]) -> Vec<String> {
    let (mut delivered, mut taken, mut durable) = (Vec::new(), 0, 0);
    for line in lines {
        if line.contains("checkpoint taken") {
            taken = delivered.len();
        } else if line.contains("checkpoint durable") {
            durable = taken;
        } else if line.contains(" delivered ")
            && let Some((_, rest)) = line.split_once(" id=")
        {
            delivered.push(rest.split(' ').next().expect("an id").to_string());
        }
    }
    delivered.truncate(durable);
    delivered
}

async fn all_arrived(receiver: &Receiver, changes: usize) -> Vec<Arc<Request>> {
    let distinct = |requests: &[Arc<Request>]| requests.iter().map(|r| id(r)).collect::<HashSet<_>>().len();
    receiver.wait_for_count(changes, DEADLINE).await;
    receiver.wait_until(|requests| distinct(requests) >= changes, DEADLINE).await
}

fn nothing_is_lost_or_invented(requests: &[Arc<Request>], written: &HashMap<u32, Vec<Step>>) {
    let wanted: HashSet<_> = written.iter().flat_map(|(key, steps)| steps.iter().map(|step| (*key, *step))).collect();
    let arrived: HashSet<_> = requests.iter().map(|request| key_and_step(request)).collect();
    let lost: Vec<_> = wanted.difference(&arrived).collect();
    let invented: Vec<_> = arrived.difference(&wanted).collect();
    assert!(lost.is_empty() && invented.is_empty(), "lost: {lost:?}; invented: {invented:?}");
}

async fn the_last_of_each_key_is_what_the_table_contains(server: &MysqlServer, db: &str, requests: &[Arc<Request>]) {
    let mut last = BTreeMap::new();
    for request in requests {
        let event = request.json();
        let (key, (version, what)) = key_and_step(request);
        let newest = last.get(&key).is_none_or(|(known, _, _)| (version, what == "delete") >= *known);
        if newest {
            let after = &event["after"];
            let row = (!after.is_null()).then(|| (version, after["note"].as_str().expect("a note").to_string()));
            last.insert(key, ((version, what == "delete"), what, row));
        }
    }
    let delivered: BTreeMap<u32, (u32, String)> =
        last.into_iter().filter_map(|(key, (_, _, row))| Some((key, row?))).collect();
    let rows: Vec<(u32, u32, String)> = server.rows(&format!("SELECT id, version, note FROM {db}.items")).await;
    let table: BTreeMap<u32, (u32, String)> =
        rows.into_iter().map(|(id, version, note)| (id, (version, note))).collect();
    assert_eq!(delivered, table);
}

/// Promise 3: one identity per change, one change per identity, whatever the run.
fn identities_are_stable(requests: &[Arc<Request>]) {
    let (mut by_id, mut by_change) = (HashMap::new(), HashMap::new());
    for request in requests {
        let change = key_and_step(request);
        assert_eq!(*by_id.entry(id(request)).or_insert(change), change, "one key for two changes");
        assert_eq!(*by_change.entry(change).or_insert(id(request)), id(request), "two keys for one change");
    }
}

pub(crate) fn id(request: &Request) -> &str {
    request.key.as_deref().expect("every call has an Idempotency-Key")
}

fn key_and_step(request: &Request) -> (u32, Step) {
    let event = request.json();
    let row = if event["after"].is_null() { &event["before"] } else { &event["after"] };
    let number = |name: &str| row[name].as_u64().expect("a number") as u32;
    let what = ["insert", "update", "delete"].into_iter().find(|op| event["op"] == *op).expect("a known op");
    (number("id"), (number("version"), what))
}
