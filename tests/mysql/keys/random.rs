//! Statements on the key's columns drawn at random, and rules that order by others, while rows change and the API fails:
//! each row's changes succeed in their order, none before the one before it has. A row is known by a column that is in no
//! key at first; what the key says of it changes all the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::random::Random;

const SEEDS: [u64; 2] = [11, 20_261_128];
const STEPS: usize = 150;
const ROWS: u64 = 6;

/// What the receiver knows of each row.
#[derive(Default)]
struct Ledger {
    done: HashMap<u64, u64>,
    attempts: HashMap<(u64, u64), u64>,
    broken: Vec<String>,
    /// What was done may come again from now on.
    was_killed: bool,
    calm: bool,
}

impl Ledger {
    /// Fails now and then, never calls a version done before the one before it.
    fn answer(&mut self, seed: u64, (row, version): (u64, u64)) -> Answer {
        let done = self.done.entry(row).or_default();
        if version > *done + 1 || (version <= *done && !self.was_killed) {
            self.broken.push(format!("version {version} of row {row} came when {done} were done"));
        }
        let attempt = self.attempts.entry((row, version)).or_default();
        *attempt += 1;
        let mut dice = Random::seeded(seed ^ (row << 32) ^ (version << 8) ^ *attempt);
        match dice.below(10) {
            _ if self.calm => {}
            0..=3 => return Answer::status(409),
            4 if *attempt == 1 => return Answer::status(400),
            _ => {}
        }
        *done = version.max(*done);
        Answer::ok()
    }
}

/// The table as the test knows it, so that every statement drawn is one that the server takes.
struct Shape {
    id: &'static str,
    primary_key: Option<&'static str>,
    extra: bool,
}

impl Shape {
    /// The next statement.
    fn draw(&mut self, random: &mut Random) -> String {
        match random.below(10) {
            0..=3 => {
                let types =
                    ["INT", "BIGINT", "BIGINT UNSIGNED", "DECIMAL(12,2)", "DECIMAL(14,4)", "VARCHAR(20)", "CHAR(12)"];
                format!("MODIFY {} {} NOT NULL", self.id, types[random.below(types.len() as u64) as usize])
            }
            4..=6 => {
                let keys = [Some("ID"), Some("ID, region"), Some("region, ID"), Some("who"), None];
                let next = keys[random.below(keys.len() as u64) as usize];
                let drop = self.primary_key.map(|_| "DROP PRIMARY KEY".to_owned());
                let add = next.map(|key| format!("ADD PRIMARY KEY ({})", key.replace("ID", self.id)));
                self.primary_key = next;
                let parts: Vec<String> = drop.into_iter().chain(add).collect();
                if parts.is_empty() { "COMMENT 'as it was'".to_owned() } else { parts.join(", ") }
            }
            7 => {
                let (before, after) = if self.id == "id" { ("id", "number") } else { ("number", "id") };
                self.id = after;
                format!("RENAME COLUMN {before} TO {}", self.id)
            }
            8 => {
                self.extra = !self.extra;
                if self.extra { "ADD extra INT".to_owned() } else { "DROP extra".to_owned() }
            }
            _ => "MODIFY region VARCHAR(9) NOT NULL".replace('9', ["8", "9", "12"][random.below(3) as usize]),
        }
    }
}

fn rule(database: &str, url: &str, order_by: &str) -> String {
    format!(
        "table: {database}.t\nrules:\n  - name: r\n    on: update\n    order_by: {order_by}\n    \
         on_dead_letter: hold_key\n    in_flight: 20\n    call: {{url: \"{url}\"}}\n    \
         retry: {{retries: forever, initial: 5ms, multiplier: 1, jitter: 0}}\n    retry_on: [409]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_keep_their_order_through_any_change_of_the_key() {
    for seed in SEEDS {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let columns = "id INT NOT NULL, region VARCHAR(8) NOT NULL, who INT NOT NULL, v INT NOT NULL, PRIMARY KEY (id)";
    server.query(&format!("CREATE TABLE {database}.t ({columns})")).await;
    for row in 0..ROWS {
        server.query(&format!("INSERT INTO {database}.t VALUES ({}, 'eu', {row}, 0)", 10 + row)).await;
    }
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let asked = Arc::clone(&ledger);
    let receiver = Receiver::start(move |request: &Request| {
        let after = &request.json()["after"];
        let number = |name: &str| after[name].as_u64().expect("a number");
        asked.lock().expect("no panic under it").answer(seed, (number("who"), number("v")))
    });
    let url = receiver.url("/r");
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("r.yaml", &rule(&database, &url, "primary_key"));
    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off", "--no-watch"]);
    program.wait_for_line("reading after", DEADLINE);

    let mut random = Random::seeded(seed);
    let mut shape = Shape { id: "id", primary_key: Some("ID"), extra: false };
    let mut versions = vec![0_u64; ROWS as usize];
    let (mut steps, mut reloads) = (Vec::new(), 0);
    for step in 0..STEPS {
        match random.below(12) {
            0..=2 => {
                let alter = format!("ALTER TABLE {database}.t {}", shape.draw(&mut random));
                server.query(&alter).await;
                steps.push(alter);
            }
            3 => {
                let order_by = ["primary_key", "table", "[who]", "[region, who]"][random.below(4) as usize];
                home.write("rules/r.yaml", &rule(&database, &url, order_by));
                let finished = home.run(&["reload"]);
                assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
                steps.push(format!("order_by: {order_by}"));
                reloads += 1;
            }
            4 if step > STEPS / 2 => {
                ledger.lock().expect("no panic under it").was_killed = true;
                program.kill_9();
                program.restart();
                program.wait_for_line("reading after", DEADLINE);
                steps.push("kill -9".to_owned());
            }
            5 => {
                let finished = home.run(&["dead-letters", "replay", "--all"]);
                steps.push(format!("replay: {}", finished.stdout.lines().last().unwrap_or_default()));
            }
            drawn => {
                let row = random.below(ROWS);
                versions[row as usize] += 1;
                let version = versions[row as usize];
                // Now and then the row moves to another key, too.
                let moved = match drawn {
                    6 => ", region = IF(region = 'eu', 'us', 'eu')".to_owned(),
                    7 => format!(", {} = {}", shape.id, 1000 + step),
                    _ => String::new(),
                };
                server.query(&format!("UPDATE {database}.t SET v = {version}{moved} WHERE who = {row}")).await;
            }
        }
    }
    assert!(
        steps.iter().any(|step| step.contains("PRIMARY KEY")) && reloads > 0,
        "the seed draws too little: {steps:?}"
    );
    ledger.lock().expect("no panic under it").calm = true;
    let give_up_at = Instant::now() + 2 * DEADLINE;
    loop {
        home.run(&["dead-letters", "replay", "--all"]);
        let (done, broken): (Vec<u64>, _) = {
            let state = ledger.lock().expect("no panic under it");
            let done = (0..ROWS).map(|row| state.done.get(&row).copied().unwrap_or_default()).collect();
            (done, format!("{:?}", state.broken))
        };
        let report = || format!("seed {seed}: {broken}\n{steps:#?}\n{}", program.lines().join("\n"));
        assert_eq!(broken, "[]", "{}", report());
        if done == versions {
            break;
        }
        assert!(Instant::now() < give_up_at, "{done:?} of {versions:?}; {}", report());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
}
