//! `pin_binlog`: the server keeps what a late rule needs, against purging by hand and by age, for longer than its
//! `net_write_timeout`, over a broken connection and kill -9; and purges again when the rule has caught up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::{DEADLINE, GTIDS_OFF};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver, Request};

/// The server gives a connection that takes nothing so many seconds, unless its session says otherwise.
const NET_WRITE_TIMEOUT_S: u64 = 2;

/// `ER_WARN_PURGE_LOG_IN_USE`.
const IN_USE: u32 = 1867;

struct Scene {
    server: MysqlServer,
    table: String,
    receiver: Receiver,
    /// Delays the answers to the rule `late`.
    gate: Gate,
    rules: String,
    program: Program,
}

impl Scene {
    async fn start(options: &[&str], pin: &str) -> Scene {
        let timeout = format!("--net-write-timeout={NET_WRITE_TIMEOUT_S}");
        let options: Vec<&str> = options.iter().copied().chain([&*timeout]).collect();
        let server = MysqlServer::start(&options);
        let table = format!("{}.items", server.fresh_database().await);
        server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, note VARCHAR(2100) NOT NULL)")).await;
        let account = "CREATE USER rowhook IDENTIFIED BY 'secret'; GRANT SELECT ON *.* TO rowhook; \
             GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO rowhook";
        server.query(account).await;
        let gate = Gate::closed();
        let receiver = Receiver::start({
            let gate = gate.clone();
            move |request| match request.path.as_str() {
                "/late" => Answer::ok().delayed_by(&gate),
                _ => Answer::ok(),
            }
        });
        let call = |name: &str| format!("{{url: \"{}\", timeout: 300s}}", receiver.url(&format!("/{name}")));
        let rules = format!(
            "table: {table}\nrules:\n  - {{name: late, {pin}call: {}}}\n  - {{name: other, call: {}}}\n",
            call("late"),
            call("other")
        );
        let arguments = ["run", "--mysql", &server.url("rowhook", "secret"), "--admin", "off", "--window", "64"];
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &rules);
        let program = home
            .with_env("ROWHOOK_LOG", "info,rowhook::pipeline=debug,rowhook::source::binlog_pin=debug")
            .start(&arguments);
        program.wait_for_line("checkpoint durable", DEADLINE);
        Scene { server, table, receiver, gate, rules, program }
    }

    /// Rows of 2 KB each; of 40 and more the binlog is larger than what a connection takes in unread.
    async fn insert(&self, ids: std::ops::Range<u32>) {
        let values: Vec<String> = ids.map(|id| format!("({id}, REPEAT('x', 2000))")).collect();
        for values in values.chunks(10) {
            self.server.query(&format!("INSERT INTO {} VALUES {}", self.table, values.join(","))).await;
        }
    }

    async fn has_had(&self, rule: &str, rows: usize) {
        let path = format!("/{rule}");
        let different = |requests: &[_]| delivered(requests, &path).len() >= rows;
        self.receiver.wait_until(different, DEADLINE).await;
    }

    fn status(&self) -> Value {
        let printed = self.program.home().run(&["status", "--json"]).stdout;
        serde_json::from_str(&printed).expect("JSON")
    }

    async fn until<T>(&self, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            assert!(Instant::now() < give_up_at, "never: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The pinned file, as soon as it is pinned and the server has filled the connection.
    async fn pinned_file(&self) -> String {
        let is_pinned = async || Some(self.status()["binlog_pin"].clone()).filter(|pin| pin["pinned"] == true);
        let pin = self.until("the binlog is pinned", is_pinned).await;
        assert_eq!(pin["rules"], serde_json::json!(["late"]));
        self.until("the server waits", async || self.stuck_s(self.pinning_thread()?).await).await;
        pin["file"].as_str().expect("a file").to_string()
    }

    /// The thread that sends into the connection that is not read.
    fn pinning_thread(&self) -> Option<u64> {
        let lines = self.program.lines();
        let line = lines.iter().rev().find(|line| line.contains("the binlog is requested and not read"))?;
        line.rsplit_once("thread=").map(|(_, thread)| thread.parse().expect("a number"))
    }

    /// How old a thread is that can't get rid of what it sends to a replica. Those that look at a transaction again are in
    /// this state, too, but only for a moment.
    async fn stuck_s(&self, thread: u64) -> Option<u64> {
        let sql = format!(
            "SELECT TIME FROM information_schema.PROCESSLIST WHERE ID = {thread} AND COMMAND LIKE 'Binlog Dump%' \
             AND STATE LIKE 'Sending%'"
        );
        self.server.rows(&sql).await.pop()
    }

    async fn files(&self) -> Vec<String> {
        let logs: Vec<(String, u64, String)> = self.server.rows("SHOW BINARY LOGS").await;
        logs.into_iter().map(|(file, ..)| file).collect()
    }

    /// Purges all files but the newest, of which there are some more afterwards. True: the server says that one is in use.
    async fn purge(&self) -> bool {
        for _ in 0..3 {
            self.server.query("FLUSH BINARY LOGS").await;
        }
        let newest = self.files().await.pop().expect("a file");
        let mut conn = self.server.conn().await;
        conn.query_drop(format!("PURGE BINARY LOGS TO '{newest}'")).await.expect("purged");
        let warnings: Vec<(String, u32, String)> = conn.query("SHOW WARNINGS").await.expect("warnings");
        warnings.iter().any(|(_, code, _)| *code == IN_USE)
    }

    async fn everything_arrives(&self) {
        let ids: Vec<u32> = self.server.rows(&format!("SELECT id FROM {}", self.table)).await;
        let expected: BTreeMap<u64, u64> = ids.into_iter().map(|id| (u64::from(id), 2000)).collect();
        for rule in ["late", "other"] {
            self.has_had(rule, expected.len()).await;
            assert_eq!(delivered(&self.receiver.received(), &format!("/{rule}")), expected, "rule {rule}");
        }
    }
}

/// The rows that came, with the length of their notes.
fn delivered(requests: &[Arc<Request>], path: &str) -> BTreeMap<u64, u64> {
    let of_rule = requests.iter().filter(|request| request.path == path);
    let row = |row: Value| (row["id"].as_u64().expect("an id"), row["note"].as_str().expect("a note").len() as u64);
    of_rule.map(|request| row(request.json()["after"].clone())).collect()
}

async fn what_a_late_rule_needs_stays_until_it_has_it(options: &[&str]) {
    let mut scene = Scene::start(options, "pin_binlog: true, ").await;
    scene.insert(0..300).await;
    scene.has_had("other", 300).await;
    let file = scene.pinned_file().await;
    let warned = scene.program.wait_for_line("the binlog is pinned from this file on", DEADLINE);
    assert!(warned.contains("WARN") && warned.contains(&file) && warned.contains("rules=\"late\""), "{warned}");

    // Longer than the server waits for others.
    let thread = scene.pinning_thread().expect("a thread");
    let since_s = scene.stuck_s(thread).await.expect("it waits");
    let is_old = async || scene.stuck_s(thread).await.filter(|age_s| *age_s >= since_s + 3 * NET_WRITE_TIMEOUT_S);
    scene.until("it waits for long", is_old).await;
    assert!(scene.purge().await);
    assert!(scene.files().await.contains(&file), "purged by hand");
    scene.server.query("SET GLOBAL binlog_expire_logs_seconds = 1").await;
    scene.server.query("FLUSH BINARY LOGS").await;
    assert!(scene.files().await.contains(&file), "purged by age");

    scene.server.query(&format!("KILL {thread}")).await;
    let is_another = async || scene.stuck_s(scene.pinning_thread().filter(|another| *another != thread)?).await;
    scene.until("it is pinned again", is_another).await;
    assert!(scene.purge().await);
    assert!(scene.files().await.contains(&file), "purged after the connection had broken");

    scene.insert(300..400).await;
    scene.has_had("other", 400).await;
    scene.program.kill_9();
    scene.receiver.go_down();
    scene.receiver.come_back();
    scene.program.restart();
    scene.program.wait_for_line("reading after", DEADLINE);
    assert_eq!(scene.pinned_file().await, file);
    assert!(scene.purge().await);
    assert!(scene.files().await.contains(&file), "purged after a restart");

    scene.gate.open();
    scene.everything_arrives().await;
    scene.program.wait_for_line("the binlog is not pinned any more", DEADLINE);
    assert_eq!(scene.status()["binlog_pin"], Value::Null);
    let is_purged = async || {
        scene.server.query("FLUSH BINARY LOGS").await;
        (!scene.files().await.contains(&file)).then_some(())
    };
    scene.until("the server purges again", is_purged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_rule_needs_stays_until_it_has_it_with_gtids() {
    what_a_late_rule_needs_stays_until_it_has_it(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_rule_needs_stays_until_it_has_it_without_gtids() {
    what_a_late_rule_needs_stays_until_it_has_it(GTIDS_OFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloading_pins_the_binlog_and_unpins_it() {
    let scene = Scene::start(&[], "").await;
    let reload = |rules: &str| {
        scene.program.home().write("rules/items.yaml", rules);
        assert_eq!(scene.program.home().run(&["reload"]).code, 0);
    };
    scene.insert(0..300).await;
    scene.has_had("other", 300).await;
    scene.program.wait_for_line("the other rules go on without it", DEADLINE);
    assert_eq!(scene.status()["binlog_pin"], Value::Null);

    let pinning = scene.rules.replace("name: late,", "name: late, pin_binlog: true,");
    reload(&pinning);
    let file = scene.pinned_file().await;
    assert!(scene.purge().await);
    assert!(scene.files().await.contains(&file));

    reload(&scene.rules);
    scene.program.wait_for_line("the binlog is not pinned any more", DEADLINE);
    // Streams that end keep a file for a moment longer.
    let is_purged = async || {
        scene.purge().await;
        (!scene.files().await.contains(&file)).then_some(())
    };
    scene.until("nothing keeps the server from purging", is_purged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_too_small_to_be_pinned_is_reported_and_not_called_pinned() {
    let scene = Scene::start(&[], "pin_binlog: true, ").await;
    let values: Vec<String> = (0..200).map(|id| format!("({id}, 'short')")).collect();
    scene.server.query(&format!("INSERT INTO {} VALUES {}", scene.table, values.join(","))).await;
    scene.has_had("other", 200).await;
    // As long as it is the newest one, the server keeps it by itself.
    let pinned = async |expected: bool| (scene.status()["binlog_pin"]["pinned"] == expected).then_some(());
    scene.until("it is pinned", async || pinned(true).await).await;
    scene.server.query("FLUSH BINARY LOGS").await;
    scene.until("it is not called pinned", async || pinned(false).await).await;
    scene.program.wait_for_line("can't be pinned", DEADLINE);
}
