//! The commands of the journal, on one that a rowhook without MySQL has made: names of rules, times, gaps.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::program::{Finished, Home};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

/// With a rule, one that is disabled, and an empty journal.
fn home() -> Home {
    let url = "call: {url: \"http://127.0.0.1:1/\"}";
    let rules =
        format!("table: shop.orders\nrules:\n  - {{name: mail, {url}}}\n  - {{name: stock, enabled: false, {url}}}\n");
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", &rules).with_env("ROWHOOK_JOURNAL", "1");
    let mut daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("connection to mysql failed", DEADLINE);
    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);
    home
}

/// Has the journal lack deliveries of this moment.
fn lack(home: &Home, at_us: u64, deliveries: u64) {
    let journal = Connection::open(home.path("data/journal.sqlite")).expect("a journal");
    let gap = "INSERT INTO gap (from_us, until_us, deliveries, reason) VALUES (?1, ?1, ?2, 'the disk was full')";
    journal.execute(gap, (at_us, deliveries)).expect("written");
}

#[track_caller]
fn said(finished: &Finished, code: i32, stdout: &str, stderr: &str) {
    assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (code, stdout, stderr));
}

#[test]
fn a_rule_that_neither_the_journal_nor_the_files_know_is_an_error() {
    let home = home();
    let journal = Connection::open(home.path("data/journal.sqlite")).expect("a journal");
    journal.execute("INSERT INTO rule (name) VALUES ('gone-from-the-files')", ()).expect("written");
    let none = "no such deliveries in the journal\n";
    for command in [&["deliveries", "list"][..], &["stats"]] {
        let of_rule = |name: &str, more: &[&str]| home.run(&[command, &["--rule", name], more].concat());
        for known in ["mail", "stock", "gone-from-the-files"] {
            said(&of_rule(known, &[]), 0, none, "");
        }
        let meant = |name: &str| format!("; did you mean `{name}`?");
        for (typed, hint) in
            [("mial", meant("mail")), ("gone-from-the-file", meant("gone-from-the-files")), ("x", String::new())]
        {
            let error = format!("rowhook: error: no rule is named {typed}{hint}\n");
            said(&of_rule(typed, &["--json"]), 1, "", &error);
        }
        let elsewhere = of_rule("mail", &["--rules", "nowhere"]);
        let error = "rowhook: error: no rule is named mail; the journal has no delivery of it, and the rule files in nowhere can't be \
                     loaded: --rules names their directory\n";
        said(&elsewhere, 1, "", error);
    }
}

#[test]
fn the_status_says_how_the_journal_is_with_a_running_rowhook_and_without() {
    let home = home();
    lack(&home, u64::try_from(i64::MAX).expect("positive"), 3);
    let is_as_expected = |status: &Value| {
        let journal = &status["journal"];
        let facts = [&journal["since"], &journal["missed"], &journal["problem"]];
        journal["bytes"].as_u64() > Some(4096) && facts == [&Value::Null, &json!(3), &Value::Null]
    };
    let without = status(&home);
    assert!(is_as_expected(&without), "{without:#}");
    let page = home.run(&["status"]).stdout;
    assert!(page.contains(" kB, no entries yet; 3 deliveries are missing\n"), "{page}");

    let mut daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("connection to mysql failed", DEADLINE);
    let give_up_at = Instant::now() + DEADLINE;
    let with = loop {
        let status = status(&home);
        if status["running"] == true && is_as_expected(&status) {
            break status;
        }
        assert!(Instant::now() < give_up_at, "{status:#}");
    };
    assert_eq!(with["journal"], without["journal"]);
    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);

    std::fs::write(home.path("data/journal.sqlite"), "no database ".repeat(100)).expect("written");
    let damaged = status(&home);
    let problem = damaged["journal"]["problem"].as_str().expect("a problem");
    assert!(problem.contains("move its files away"), "{problem}");
    std::fs::remove_file(home.path("data/journal.sqlite")).expect("removed");
    assert_eq!(status(&home)["journal"], Value::Null);
}

fn status(home: &Home) -> Value {
    let finished = home.run(&["status", "--json"]);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[test]
fn list_and_stats_show_the_gaps_of_the_time_that_is_asked_for() {
    let home = home();
    // 2025-11-20T23:06:40Z.
    lack(&home, 1_763_680_000_000_000, 3);
    let gap = "gap 2025-11-20 23:06:40Z to 2025-11-20 23:06:40Z: the disk was full; 3 deliveries not journaled\n";
    let none = "no such deliveries in the journal\n";
    for (args, expected) in [
        (&["stats"][..], none.to_owned()),
        (&["stats", "--since", "2025-11-20"], format!("{none}{gap}")),
        (&["stats", "--since", "2025-11-20", "--until", "2025-11-20 23:06:40"], none.to_owned()),
        (&["stats", "--until", "2025-11-21T23:06:00Z"], format!("{none}{gap}")),
        (&["stats", "--until", "2025-11-21T23:07:00Z"], none.to_owned()),
        (&["stats", "--newer-than", "87600h", "--older-than", "1h"], format!("{none}{gap}")),
        (&["deliveries", "list"], format!("{none}{gap}")),
        (
            &["deliveries", "list", "--newer-than", "1h", "--answer", "timeout", "--reason", "exhausted"],
            none.to_owned(),
        ),
        (&["deliveries", "list", "--older-than", "1h"], format!("{none}{gap}")),
    ] {
        said(&home.run(args), 0, &expected, "");
    }
    let finished = home.run(&["stats", "--since", "2025-11-20T23:00:00+01:00", "--until", "2025-11-21", "--json"]);
    let stats: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let at = "2025-11-20T23:06:40.000000Z";
    let gap = json!({"from": at, "until": at, "deliveries": 3, "reason": "the disk was full"});
    let expected = json!({
        "since": "2025-11-20T22:00:00.000000Z", "until": "2025-11-21T00:00:00.000000Z", "by": "hour", "stats": [], "gaps": [gap]
    });
    assert_eq!(stats, expected);
}
