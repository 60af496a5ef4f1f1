//! `dead_letters` of a rule, by a daemon: what will be dropped is announced in the log, in the status and nowhere else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::letters::{Letter, fill};
use crate::support::program::Home;

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

fn status(home: &Home) -> Value {
    serde_json::from_str(&home.run(&["status", "--json"]).stdout).expect("JSON")
}

#[test]
fn what_is_too_old_at_a_start_is_announced_and_not_dropped_before_an_hour_has_gone_by() {
    let rules = "table: shop.orders\nrules:\n  - {name: order-paid, dead_letters: {keep: 30d}, call: {url: \"http://127.0.0.1:1/\"}}\n  \
                 - {name: mail, call: {url: \"http://127.0.0.1:1/\"}}\n";
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", rules);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let old = |rule, id, age| Letter { age: days(age), ..Letter::of(rule, id) };
    fill(&home, &[old("order-paid", 1, 40), old("mail", 2, 400), old("order-paid", 3, 30), old("order-paid", 4, 28)]);
    let mut daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    let line = daemon.wait_for_line("dead letters will be dropped", DEADLINE);
    assert!(line.contains("WARN") && line.contains("rule=\"order-paid\"") && line.contains("letters=2"), "{line}");
    assert!(line.contains("older than 30d by then"), "{line}");
    let give_up_at = Instant::now() + DEADLINE;
    while status(&home)["rules"][0]["retention"]["to_drop"] != json!(2) {
        assert!(Instant::now() < give_up_at, "{}", status(&home));
    }
    assert_eq!(status(&home)["rules"][1]["retention"], json!(null), "a rule without limits has nothing to say");
    let page = home.run(&["status"]).stdout;
    assert!(page.contains("\n2 dead letters of order-paid will be dropped from 20"), "{page}");
    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);
    assert_eq!(daemon.lines().iter().filter(|line| line.contains("will be dropped")).count(), 1);
    let left: Value = serde_json::from_str(&home.run(&["dlq", "list", "--json"]).stdout).expect("JSON");
    assert_eq!(left["dead_letters"].as_array().map(Vec::len), Some(4));
}
