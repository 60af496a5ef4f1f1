//! `dead-letters replay` with `--rate`, `--limit` and `--stop-after-failures`: what is sent, what is left, and the command that goes on.
//! The oracle is what the receiver gets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

/// A rule that sends the row's id, once, one at a time; dead letters of the ids from 1 on, and one of another rule before the last.
fn home(receiver: &Receiver, letters: i64) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: order-paid\n    in_flight: 1\n    call: {{url: \"{}\"}}\n    retry: {{retries: 0}}\n",
        receiver.url("/orders/{{ row.id }}")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", &rule);
    let mut all: Vec<Letter> = (1..=letters).map(|id| Letter::of("order-paid", id)).collect();
    all.insert(letters as usize - 1, Letter::of("gone", 99));
    fill(&home, &all);
    home
}

fn daemon(home: &Home) -> Program {
    let daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("starts", DEADLINE);
    daemon
}

fn listed(home: &Home) -> Vec<u64> {
    let finished = home.run(&["dead-letters", "list", "--json"]);
    let listing: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let letters = listing["dead_letters"].as_array().expect("a list").iter();
    letters.map(|letter| letter["number"].as_u64().expect("a number")).collect()
}

fn paths(receiver: &Receiver) -> Vec<String> {
    let mut paths: Vec<String> = receiver.received().iter().map(|request| request.path.clone()).collect();
    paths.sort();
    paths
}

/// Runs what the last line says, as a person copies it.
fn go_on(home: &Home, finished: &Finished) -> Finished {
    let next = finished.stdout.lines().last().and_then(|line| line.strip_prefix("  rowhook "));
    let args: Vec<&str> = next.unwrap_or_else(|| panic!("no command in {finished:?}")).split(' ').collect();
    home.run(&args)
}

#[test]
fn a_limit_is_kept_and_the_last_line_sends_the_next_ones() {
    for runs_daemon in [false, true] {
        let receiver = Receiver::start(|_| Answer::ok());
        let home = home(&receiver, 5);
        let _daemon = runs_daemon.then(|| daemon(&home));
        let first = home.run(&["dead-letters", "replay", "--all", "--limit", "2"]);
        assert_eq!(first.code, 0, "{first:?}");
        assert_eq!(paths(&receiver), ["/orders/1", "/orders/2"]);
        let expected = "2 delivered, 0 still dead\nthe limit is reached: 4 dead letters not sent; to go on:\n  \
                        rowhook dead-letters replay --limit 2 --number 3-\n";
        assert!(first.stdout.ends_with(expected), "{}", first.stdout);
        let second = go_on(&home, &first);
        assert_eq!((second.code, paths(&receiver).len()), (0, 4), "{second:?}");
        // The last two are one of a rule that is gone, and the last of ours: nothing is left.
        let third = go_on(&home, &second);
        assert_eq!(third.code, 1, "{third:?}");
        assert_eq!(third.stdout.lines().last(), Some("1 delivered, 0 still dead, 1 not replayed"), "{third:?}");
        assert_eq!((listed(&home), paths(&receiver).len()), (vec![5], 5));
    }
}

#[test]
fn a_limit_leaves_the_end_of_a_range_of_numbers() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver, 5);
    let args = ["dead-letters", "replay", "--number", "2-4", "--limit", "1", "--json"];
    let finished = home.run(&args);
    let ended: Value = serde_json::from_str(finished.stdout.lines().last().expect("a line")).expect("JSON");
    let expected = json!({"delivered": 1, "still_dead": 0, "not_replayed": 0, "followed": 0, "left": 2, "left_from": 3, "ended_by": "limit"});
    assert_eq!(ended["ended"], expected);
    let shown = home.run(&["dead-letters", "replay", "--number", "2-4", "--limit", "1", "--dry-run"]);
    assert_eq!(shown.stdout.lines().filter(|line| line.starts_with("# ")).collect::<Vec<_>>(), ["# 3 order-paid"]);
    let finished = home.run(&["dead-letters", "replay", "--number", "2-4", "--limit", "1"]);
    assert!(finished.stdout.ends_with("  rowhook dead-letters replay --limit 1 --number 4-4\n"), "{}", finished.stdout);
}

#[test]
fn a_replay_stops_after_so_many_failures_in_a_row_and_goes_on_where_it_stopped() {
    for runs_daemon in [false, true] {
        // 1, 2 and 4 to 6 fail: three in a row are the last of these.
        let receiver = Receiver::start(|request| match request.path.as_str() {
            "/orders/1" | "/orders/2" | "/orders/4" | "/orders/5" | "/orders/6" => Answer::status(404),
            _ => Answer::ok(),
        });
        let home = home(&receiver, 9);
        let _daemon = runs_daemon.then(|| daemon(&home));
        // One call at a time, so that it is certain which are in a row.
        let rate = ["--rate", "1000/s"];
        let stopped = home.run(
            &[&["dead-letters", "replay", "--rule", "order-paid", "--stop-after-failures", "3"], &rate[..]].concat(),
        );
        assert_eq!(stopped.code, 1, "{stopped:?}");
        assert_eq!(paths(&receiver).last().map(String::as_str), Some("/orders/6"), "{stopped:?}");
        assert_eq!(listed(&home), [1, 2, 4, 5, 6, 7, 8, 9, 10]);
        let expected = "1 delivered, 5 still dead\ntoo many failed in a row: 3 dead letters not sent; to go on:\n  rowhook \
                        dead-letters replay --rule order-paid --stop-after-failures 3 --rate 1000/s --number 7-\n";
        assert!(stopped.stdout.ends_with(expected), "{}", stopped.stdout);
        let on = go_on(&home, &stopped);
        assert_eq!((on.code, on.stdout.lines().last()), (0, Some("3 delivered, 0 still dead")), "{on:?}");
        assert_eq!(listed(&home), [1, 2, 4, 5, 6, 9]);
    }
}

#[test]
fn a_replay_with_a_rate_sends_every_letter_and_a_rate_that_can_not_be_read_none() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver, 6);
    for rate in ["20", "0/s", "20/day", "fast"] {
        let wrong = home.run(&["dead-letters", "replay", "--all", "--rate", rate]);
        assert_eq!((wrong.code, receiver.count()), (2, 0));
        assert!(wrong.stderr.contains("expected a rate such as 20/s, 100/m or 500/h"), "{}", wrong.stderr);
    }
    let finished = home.run(&["dead-letters", "replay", "--rule", "order-paid", "--rate", "50/s"]);
    assert_eq!((finished.code, receiver.count()), (0, 6), "{finished:?}");
}
