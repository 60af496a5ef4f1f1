//! Operations against real parts: steps that are undone, charges that must not happen twice, accounts written back, an
//! outbox. The program is killed at random; the oracles are the table and the books of the API, which count what it did
//! and not what it was asked.

mod charges;
mod operator;
mod outbox;
mod rules_change;
mod saga;
mod write_back;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::Program;
use crate::support::random::Random;

const DEADLINE: Duration = Duration::from_secs(180);

/// What a command prints as JSON.
fn json(program: &Program, args: &[&str]) -> Value {
    let finished = program.home().run(args);
    assert_eq!(finished.code, 0, "{args:?}: {}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
}

/// What `status` says; its exit code says whether all is well, which is not asked here.
fn status(program: &Program) -> Value {
    let finished = program.home().run(&["status", "--json"]);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

/// The dead letters by the row's id.
fn letters(program: &Program) -> std::collections::BTreeMap<u64, Value> {
    let list = json(program, &["dead-letters", "list", "--json", "--limit", "10000"]);
    let letters = list["dead_letters"].as_array().expect("a list").clone();
    letters.into_iter().map(|letter| (letter["key"]["id"].as_u64().expect("a key"), letter)).collect()
}

/// Waits until the rule has dealt with all that the server has.
fn wait_until_done(program: &Program, rule: &str, is_all: impl Fn() -> bool) {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        // Just started, it may not answer yet.
        let answer = program.home().run(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&answer).unwrap_or_default();
        let of_rule = status["rules"].as_array().into_iter().flatten().find(|one| one["rule"] == rule).cloned();
        let unresolved = of_rule.as_ref().and_then(|rule| rule["unresolved"].as_u64());
        if unresolved == Some(0) && is_all() {
            return;
        }
        assert!(Instant::now() < give_up_at, "{status:#}");
    }
}

/// Writes so many rows, numbered from 0, each of any of these kinds, some at a time; returns the kinds that were drawn.
async fn insert_any(
    server: &MysqlServer,
    table: &str,
    rows: usize,
    kinds: &[&'static str],
    random: &mut Random,
) -> Vec<&'static str> {
    let drawn: Vec<&str> = (0..rows).map(|_| kinds[random.below(kinds.len() as u64) as usize]).collect();
    for (first, kinds) in (0..).step_by(50).zip(drawn.chunks(50)) {
        let row = |(n, kind): (usize, &&str)| format!("({}, '{kind}')", first + n);
        let rows: Vec<String> = kinds.iter().enumerate().map(row).collect();
        server.query(&format!("INSERT INTO {table} (id, kind) VALUES {}", rows.join(","))).await;
    }
    drawn
}
