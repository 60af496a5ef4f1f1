//! What operators do with a running rowhook: status, pause and resume, new rules while it works, a binlog range
//! once more. The oracles are what receivers got, in which order, and the table itself.

mod binlog_replay;
mod columns;
mod night;
mod pausing;
mod reloading;
mod runway;
mod targets;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(90);
const KEYS: u32 = 12;

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("ROWHOOK_ADMIN", "off")
}

/// A rule file of this table with one rule that calls this receiver, and waits for answers longer than tests delay them.
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

/// Inserts and updates the rows of a table until it is stopped.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<HashMap<u32, u32>>,
}

impl Writer {
    fn start(server: &'static MysqlServer, table: String) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut conn = server.conn().await;
            let mut versions = HashMap::new();
            while !stopped.load(Ordering::Relaxed) {
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
