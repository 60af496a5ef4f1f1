//! A key column that is declared in another way, a key of other columns, and a rule that orders by others: the later
//! changes of a row follow the one in retry, and the dead letter that blocks its key.

mod random;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

/// What happens to a table between two changes of a row.
struct Case {
    /// The columns of the table besides `v`.
    columns: &'static str,
    /// Their values in the row that fails, and in another one.
    rows: [&'static str; 2],
    alter: &'static str,
    /// The other row's change waits, too: which row is which is not known any more.
    whole: bool,
}

const fn case(columns: &'static str, rows: [&'static str; 2], alter: &'static str) -> Case {
    Case { columns, rows, alter, whole: false }
}

const fn whole(columns: &'static str, rows: [&'static str; 2], alter: &'static str) -> Case {
    Case { columns, rows, alter, whole: true }
}

const CASES: &[Case] = &[
    case("id INT PRIMARY KEY", ["1", "2"], "ADD x INT"),
    case("id INT PRIMARY KEY", ["1", "2"], "MODIFY id BIGINT"),
    case("id INT PRIMARY KEY", ["1", "2"], "MODIFY id INT UNSIGNED"),
    case("id INT PRIMARY KEY", ["1", "2"], "MODIFY id BIGINT UNSIGNED"),
    case("id INT PRIMARY KEY", ["1", "2"], "MODIFY id VARCHAR(20)"),
    case("id INT(5) ZEROFILL PRIMARY KEY", ["1", "2"], "MODIFY id VARCHAR(20)"),
    case("id INT PRIMARY KEY", ["1", "2"], "MODIFY id DECIMAL(12,3)"),
    case("id DECIMAL(10,2) PRIMARY KEY", ["1.50", "2"], "MODIFY id DECIMAL(12,4)"),
    case("id DECIMAL(10,2) PRIMARY KEY", ["1.50", "20"], "MODIFY id VARCHAR(20)"),
    case("id DOUBLE PRIMARY KEY", ["1.5", "1e20"], "MODIFY id VARCHAR(40)"),
    case("id YEAR PRIMARY KEY", ["2026", "2027"], "MODIFY id INT"),
    case("id BIT(8) PRIMARY KEY", ["1", "2"], "MODIFY id INT"),
    case("id DATETIME PRIMARY KEY", ["'2026-01-01'", "'2026-01-02'"], "MODIFY id DATETIME(3)"),
    case("id DATETIME(3) PRIMARY KEY", ["'2026-01-01 09:30:00.5'", "'2026-01-02'"], "MODIFY id DATETIME(6)"),
    case("id DATE PRIMARY KEY", ["'2026-01-01'", "'2026-01-02'"], "MODIFY id DATETIME"),
    case("id DATETIME PRIMARY KEY", ["'2026-01-01 09:30'", "'2026-01-02'"], "MODIFY id VARCHAR(30)"),
    case("id TIMESTAMP PRIMARY KEY", ["'2026-01-01'", "'2026-01-02'"], "MODIFY id TIMESTAMP(3)"),
    case("id TIME PRIMARY KEY", ["'09:00:00'", "'-10:00:00'"], "MODIFY id TIME(2)"),
    case("id CHAR(10) PRIMARY KEY", ["'a'", "'b'"], "MODIFY id VARCHAR(20)"),
    case("id CHAR(10) CHARACTER SET latin1 PRIMARY KEY", ["'é'", "'b'"], "MODIFY id CHAR(10) CHARACTER SET utf8mb4"),
    case("id ENUM('a','b') PRIMARY KEY", ["'b'", "'a'"], "MODIFY id VARCHAR(9)"),
    case("id ENUM('a','b') PRIMARY KEY", ["'b'", "'a'"], "MODIFY id ENUM('b','c','a')"),
    case("id VARBINARY(16) PRIMARY KEY", ["'a'", "'b'"], "MODIFY id BINARY(16)"),
    case(
        "id INT, r CHAR(2) DEFAULT 'eu', PRIMARY KEY (id)",
        ["1,'eu'", "2,'eu'"],
        "DROP PRIMARY KEY, ADD PRIMARY KEY (id, r)",
    ),
    case("id INT, r CHAR(2), PRIMARY KEY (id, r)", ["1,'eu'", "2,'eu'"], "DROP PRIMARY KEY, ADD PRIMARY KEY (r, id)"),
    case("id INT, r CHAR(2), PRIMARY KEY (id, r)", ["1,'eu'", "2,'eu'"], "DROP PRIMARY KEY, ADD PRIMARY KEY (id)"),
    case("id INT, u INT NOT NULL UNIQUE, PRIMARY KEY (id)", ["1,7", "2,8"], "DROP PRIMARY KEY, ADD PRIMARY KEY (u)"),
    whole("id INT NOT NULL, u INT NOT NULL UNIQUE, PRIMARY KEY (id)", ["1,7", "2,8"], "DROP PRIMARY KEY"),
    whole("id INT NOT NULL", ["1", "2"], "ADD PRIMARY KEY (id)"),
    whole("id INT PRIMARY KEY", ["1", "2"], "RENAME COLUMN id TO number"),
    whole("id INT PRIMARY KEY", ["1", "2"], "CHANGE id number BIGINT FIRST"),
    whole("id INT, u INT NOT NULL UNIQUE, PRIMARY KEY (id)", ["1,7", "2,8"], "DROP id, ADD PRIMARY KEY (u)"),
    whole(
        "id INT PRIMARY KEY, u INT NOT NULL",
        ["1,7", "2,8"],
        "DROP id, CHANGE u id INT NOT NULL, ADD PRIMARY KEY (id)",
    ),
    whole("id INT, u INT, PRIMARY KEY (id)", ["1,2", "2,1"], "RENAME COLUMN id TO u, RENAME COLUMN u TO id"),
    whole("id VARCHAR(20) PRIMARY KEY", ["'1'", "'2'"], "MODIFY id INT"),
    whole("id DATETIME(3) PRIMARY KEY", ["'2026-01-01 09:30:00.6'", "'2026-01-02'"], "MODIFY id DATETIME"),
    whole("id DECIMAL(10,2) PRIMARY KEY", ["1.56", "2"], "MODIFY id DECIMAL(10,1)"),
    whole("id TIMESTAMP PRIMARY KEY", ["'2026-01-01'", "'2026-01-02'"], "MODIFY id DATETIME"),
    whole("id FLOAT PRIMARY KEY", ["0.1", "2"], "MODIFY id DOUBLE"),
];

/// Table, row and version.
type Call = (usize, u64, u64);

fn call(request: &Request) -> Call {
    let event = request.json();
    let table = event["table"].as_str().expect("a table").trim_start_matches('t').parse().expect("a number");
    (table, event["after"]["who"].as_u64().expect("a row"), event["after"]["v"].as_u64().expect("a version"))
}

struct Scene {
    database: String,
    receiver: Receiver,
    program: Program,
}

impl Scene {
    async fn start(keys: &str, api: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        for (n, case) in CASES.iter().enumerate() {
            let Case { columns, rows: [one, other], .. } = case;
            let table = format!("{database}.t{n}");
            let create = format!("CREATE TABLE {table} ({columns}, who INT, v INT)");
            server.query(&format!("{create}; INSERT INTO {table} VALUES ({one}, 1, 0), ({other}, 2, 0)")).await;
        }
        let receiver = Receiver::start(api);
        let rule = format!(
            "table: {database}.*\nrules:\n  - name: r\n    on: update\n{keys}    call: {{url: \"{}\"}}\n    \
             retry: {{retries: forever, initial: 20ms, multiplier: 1, jitter: 0}}\n    retry_on: [409]\n",
            receiver.url("/r")
        );
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &rule);
        let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
        program.wait_for_line("reading after", DEADLINE);
        Scene { database, receiver, program }
    }

    async fn update(&self, row: u64, version: u64) {
        for n in 0..CASES.len() {
            let update = format!("UPDATE {}.t{n} SET v = {version} WHERE who = {row}", self.database);
            MysqlServer::shared().query(&update).await;
        }
    }

    async fn alter(&self) {
        for (n, case) in CASES.iter().enumerate() {
            let alter = format!("SET sql_mode = ''; ALTER TABLE {}.t{n} {}", self.database, case.alter);
            MysqlServer::shared().query(&alter).await;
        }
    }

    async fn wait_for_calls(&self, what: &str, expected: impl Fn(&[Call]) -> bool) {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let calls = self.calls();
            if expected(&calls) {
                return;
            }
            assert!(Instant::now() < give_up_at, "{what}: {calls:?}\n{}", self.program.lines().join("\n"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn calls(&self) -> Vec<Call> {
        self.receiver.received().iter().map(|request| call(request)).collect()
    }

    fn run(&self, args: &[&str]) -> String {
        let finished = self.program.home().run(args);
        assert_eq!(finished.code, 0, "{args:?}\n{}{}", finished.stdout, finished.stderr);
        finished.stdout
    }

    async fn wait_for_letters(&self, count: usize) {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let list: Value =
                serde_json::from_str(&self.run(&["dead-letters", "list", "--limit", "1000", "--json"])).expect("JSON");
            let letters = list["dead_letters"].as_array().expect("a list");
            if letters.len() == count {
                return;
            }
            assert!(Instant::now() < give_up_at, "{count} letters were expected: {list:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn describe(n: usize) -> String {
    format!("t{n} ({}), {}", CASES[n].columns, CASES[n].alter)
}

/// Each row has its versions in order, and each of them at least once.
fn assert_in_order(calls: &[Call], versions: [u64; 2]) {
    for n in 0..CASES.len() {
        for (row, last) in [(1, versions[0]), (2, versions[1])] {
            let mut seen: Vec<u64> =
                calls.iter().filter(|call| (call.0, call.1) == (n, row)).map(|call| call.2).collect();
            assert!(seen.is_sorted(), "row {row} of {}: {seen:?}", describe(n));
            seen.dedup();
            assert_eq!(seen.last(), Some(&last), "row {row} of {}: {seen:?}", describe(n));
        }
    }
}

fn has_all(calls: &[Call], row: u64, version: u64, meant: impl Fn(&Case) -> bool) -> bool {
    let of = |n: usize| calls.contains(&(n, row, version));
    CASES.iter().enumerate().filter(|(_, case)| meant(case)).all(|(n, _)| of(n))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_retry_is_not_overtaken_when_the_key_is_declared_in_another_way() {
    let busy = |request: &Request| match call(request) {
        (_, 1, 1) => Answer::status(409),
        _ => Answer::ok(),
    };
    let scene = Scene::start("    in_flight: 50\n", busy).await;
    scene.update(1, 1).await;
    scene.wait_for_calls("the first change is tried", |calls| has_all(calls, 1, 1, |_| true)).await;
    scene.alter().await;
    scene.update(1, 2).await;
    scene.update(2, 3).await;
    let others = |calls: &[Call]| has_all(calls, 2, 3, |case| !case.whole);
    scene.wait_for_calls("other rows go on, where they are known", others).await;
    let calls = scene.calls();
    let overtaken = calls.iter().find(|(n, row, version)| *version == 2 || (*row == 2 && CASES[*n].whole));
    assert_eq!(overtaken.map(|(n, ..)| describe(*n)), None);
    scene.receiver.set_script(|_| Answer::ok());
    let all = |calls: &[Call]| has_all(calls, 1, 2, |_| true) && has_all(calls, 2, 3, |_| true);
    scene.wait_for_calls("all is delivered", all).await;
    assert_in_order(&scene.calls(), [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_blocks_its_key_is_not_passed_when_the_key_is_declared_in_another_way() {
    let refuse = |request: &Request| match call(request) {
        (_, 1, 1) => Answer::status(400),
        _ => Answer::ok(),
    };
    let mut scene = Scene::start("    on_dead_letter: hold_key\n", refuse).await;
    scene.update(1, 1).await;
    scene.wait_for_letters(CASES.len()).await;
    scene.alter().await;
    scene.update(1, 2).await;
    scene.update(2, 3).await;
    let whole = CASES.iter().filter(|case| case.whole).count();
    scene.wait_for_letters(2 * CASES.len() + whole).await;
    // The blocked keys are found again on the disk.
    scene.program.kill_9();
    scene.program.restart();
    scene.program.wait_for_line("reading after", DEADLINE);
    scene.update(1, 4).await;
    scene.wait_for_letters(3 * CASES.len() + whole).await;
    let others = |calls: &[Call]| has_all(calls, 2, 3, |case| !case.whole);
    scene.wait_for_calls("other rows go on, where they are known", others).await;
    let passed = scene.calls().into_iter().find(|(_, row, version)| *row == 1 && *version > 1);
    assert_eq!(passed.map(|(n, ..)| describe(n)), None);
    scene.receiver.set_script(|_| Answer::ok());
    scene.run(&["dead-letters", "replay", "--all"]);
    let all = |calls: &[Call]| has_all(calls, 1, 4, |_| true) && has_all(calls, 2, 3, |_| true);
    scene.wait_for_calls("all is delivered", all).await;
    scene.wait_for_letters(0).await;
    assert_in_order(&scene.calls(), [4, 3]);
}
