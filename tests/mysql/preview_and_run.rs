//! What `preview` says of a change is what `run` does with it: random rules, random changes, each verdict and each request compared.
//!
//! `ROWHOOK_PREVIEW_CHANGES=100000 cargo test --test mysql preview_and_run` runs it with more changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::Home;
use crate::support::random::Random;
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(600);
const RULES: usize = 10;
/// A transaction changes so many rows at most.
const ROWS_MAX: u64 = 50;

const ATOMS: [&str; 16] = [
    "row.status == 'paid'",
    "row.status != old.status",
    "row.total >= 50",
    "row.total is not none and row.total < 10.5",
    "row.note is none",
    "row.note == 'a'",
    "row.note in ['a', 'b b', '']",
    "row.n in [1, 2, 3]",
    "row.n > old.n",
    "row.flag",
    "op == 'insert'",
    "old is none or old.n != row.n",
    "row.note is not none and row.note | length > 1",
    "row.total == row.n",
    "row.at >= '2026-01-01'",
    "row.status in changed",
];

const CLAUSES: [&str; 5] =
    ["on: [insert]", "on: [update, delete]", "changed: [status]", "changed: [total, note]", "in_flight: 16"];

const BODIES: [&str; 6] = [
    "method: PUT",
    "method: DELETE",
    "body: {id: '{{ row.id }}', note: '{{ row.note }}', old: '{{ old.total }}'}",
    "form: {note: \"{{ row.note or '-' }}\", total: '{{ row.total }}'}",
    "text: '{{ row.note }} {{ row.n }}'",
    "headers: {X-Status: '{{ row.status }}'}, format: row",
];

fn pick<'a>(random: &mut Random, of: &[&'a str]) -> &'a str {
    of[random.below(of.len() as u64) as usize]
}

fn condition(random: &mut Random, depth: u32) -> String {
    match random.below(if depth == 0 { 1 } else { 5 }) {
        1 => format!("({} and {})", condition(random, depth - 1), condition(random, depth - 1)),
        2 => format!("({} or {})", condition(random, depth - 1), condition(random, depth - 1)),
        3 => format!("not ({})", condition(random, depth - 1)),
        _ => format!("({})", pick(random, &ATOMS)),
    }
}

fn rules(random: &mut Random, table: &str, receiver: &Receiver) -> String {
    let mut text = format!("table: {table}\nrules:\n");
    for number in 0..RULES {
        let path = pick(random, &["", "/{{ row.id }}", "/{{ row.note }}", "?n={{ row.n }}"]);
        let url = receiver.url(&format!("/r{number}{path}"));
        let (clause, body) = (pick(random, &CLAUSES), pick(random, &BODIES));
        let when = condition(random, 2);
        writeln!(text, "  - name: r{number}\n    {clause}\n    when: {when:?}\n    call: {{url: \"{url}\", {body}}}")
            .expect("a String takes all");
    }
    text
}

/// Statements that change rows, and how many changes they make.
struct Changes {
    next_id: u64,
    ids: Vec<u64>,
}

impl Changes {
    fn values(random: &mut Random) -> [&'static str; 6] {
        let mut of = |values: &[&'static str]| pick(random, values);
        [
            of(&["NULL", "'new'", "'paid'", "'sent'"]),
            of(&["NULL", "0", "10.49", "50", "2", "99999999.99"]),
            of(&["NULL", "''", "'a'", "'b b'", "'ü&='", "'..'", "'/x?'"]),
            of(&["NULL", "0", "1", "2", "3", "-5"]),
            of(&["NULL", "0", "1"]),
            of(&["NULL", "'2025-12-31 23:59:59.999'", "'2026-01-01'"]),
        ]
    }

    fn transaction(&mut self, random: &mut Random, table: &str) -> (String, usize) {
        let count = 1 + random.below(ROWS_MAX);
        let mut sql = String::from("BEGIN; ");
        for _ in 0..count {
            let kind = if self.ids.is_empty() { 0 } else { random.below(5) };
            let [status, total, note, n, flag, at] = Changes::values(random);
            match kind {
                0 | 1 => {
                    self.next_id += 1;
                    self.ids.push(self.next_id);
                    let id = self.next_id;
                    write!(sql, "INSERT INTO {table} VALUES ({id}, {status}, {total}, {note}, {n}, {flag}, {at}, 0); ")
                }
                2 | 3 => {
                    let id = self.ids[random.below(self.ids.len() as u64) as usize];
                    write!(
                        sql,
                        "UPDATE {table} SET status = {status}, total = {total}, note = IF({flag} IS NULL, note, {note}), n = {n}, \
                         rev = rev + 1 WHERE id = {id}; "
                    )
                }
                _ => {
                    let id = self.ids.swap_remove(random.below(self.ids.len() as u64) as usize);
                    write!(sql, "DELETE FROM {table} WHERE id = {id}; ")
                }
            }
            .expect("a String takes all");
        }
        (sql + "COMMIT", count as usize)
    }
}

/// What preview says: of each request its identity, method, target and body; and how often each rule does what.
#[derive(Default)]
struct Said {
    requests: BTreeMap<String, (String, String, String)>,
    dead: BTreeMap<String, usize>,
    refused: usize,
}

impl Said {
    fn take(&mut self, rule: &Value, origin: &str) {
        match rule["verdict"].as_str().expect("a verdict") {
            "matches" => {
                let request = &rule["request"];
                let text = |member: &str| request[member].as_str().expect("a text").to_owned();
                let headers = request["headers"].as_array().expect("headers");
                let key = headers.iter().find(|header| header[0] == "Idempotency-Key").expect("an id");
                let target = text("url").strip_prefix(origin).expect("the receiver").to_owned();
                let was = self
                    .requests
                    .insert(key[1].as_str().expect("a text").to_owned(), (text("method"), target, text("body")));
                assert_eq!(was, None, "ids are unique");
            }
            "dead_letter" => *self.dead.entry(rule["rule"].as_str().expect("a name").to_owned()).or_default() += 1,
            "does_not_match" => self.refused += 1,
            other => panic!("{other}: {rule}"),
        }
    }
}

/// How many there are of each rule that has any.
fn dead_letters(home: &Home, rules: &str) -> BTreeMap<String, usize> {
    let list = home.run(&["dead-letters", "list", "--group-by", "rule", "--json"]);
    assert_eq!(list.code, 0, "{}\n{rules}", list.stderr);
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    let groups = list["groups"].as_array().expect("a list").iter().map(|group| {
        let count = group["count"].as_u64().expect("a number") as usize;
        (group["rule"].as_str().expect("a name").to_owned(), count)
    });
    groups.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_preview_says_of_a_change_is_what_run_does_with_it() {
    let wanted = std::env::var("ROWHOOK_PREVIEW_CHANGES").map_or(3_000, |count| count.parse().expect("a number"));
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let table = format!("{database}.t");
    server
        .query(&format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, status ENUM('new', 'paid', 'sent'), total DECIMAL(10,2), note VARCHAR(20), \
             n BIGINT, flag TINYINT(1), at DATETIME(3), rev INT NOT NULL)"
        ))
        .await;
    let receiver = Receiver::start(|_| Answer::ok());
    let mut random = Random::new();
    let rules = rules(&mut random, &table, &receiver);
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", &rules);
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    let place = server.rows::<String>("SELECT @@GLOBAL.gtid_executed").await.concat().replace('\n', "");

    let mut changes = Changes { next_id: 0, ids: Vec::new() };
    let mut count = 0;
    while count < wanted {
        let (sql, made) = changes.transaction(&mut random, &table);
        server.query(&sql).await;
        count += made;
    }

    // A million verdicts take a minute.
    let preview = home.run_within(
        DEADLINE,
        &["preview", "--mysql", &server.root_url(), "--from", &place, "--count", &count.to_string(), "--json"],
    );
    assert_eq!(preview.code, 0, "{}\n{rules}", preview.stderr);
    let mut said = Said::default();
    let mut lines = 0;
    for line in preview.stdout.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        for rule in line["rules"].as_array().expect("a list") {
            said.take(rule, &receiver.url(""));
        }
        lines += 1;
    }
    assert_eq!(lines, count);
    let dead: usize = said.dead.values().sum();
    assert_eq!(said.requests.len() + dead + said.refused, count * RULES);

    receiver.wait_for_count(said.requests.len(), DEADLINE).await;
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let found = dead_letters(&home, &rules);
        if found == said.dead {
            break;
        }
        assert!(found.values().sum::<usize>() < dead, "dead letters {found:?}, said {:?}\n{rules}", said.dead);
        assert!(Instant::now() < give_up_at, "{found:?} of {:?}", said.dead);
    }
    let sent = receiver.received();
    assert_eq!(sent.len(), said.requests.len(), "{rules}");
    let mut seen = BTreeSet::new();
    for request in sent {
        let key = request.key.clone().expect("an id");
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let of_preview = said.requests.get(&key).unwrap_or_else(|| panic!("preview does not know {key}\n{rules}"));
        assert_eq!((&request.method, &request.path, &body), (&of_preview.0, &of_preview.1, &of_preview.2), "{rules}");
        seen.insert(key);
    }
    assert_eq!(seen.len(), said.requests.len(), "each once");
}
