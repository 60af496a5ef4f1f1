//! Letters that wait behind another one of their ordering key, on a store that the test filled, with no daemon running.

use rowhook::failure::Reason;
use rowhook::ordering::{LaneKey, LaneKeys};
use serde_json::{Value, json};

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Receiver, Request};

/// Letter 1 failed and blocks its key, 2 to 4 wait behind it; 5 failed and blocks another key, 6 waits behind that.
fn home(receiver: &Receiver) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: order-paid\n    on_dead_letter: hold_key\n    call:\n      url: {}\n    \
         retry: {{retries: 0}}\n",
        receiver.url("/orders/{{ row.id }}/{{ row.note }}")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &rule);
    let letter = |id: i64, note, reason| Letter {
        note,
        reason,
        lanes: LaneKeys::one(LaneKey(id as u64)),
        ..Letter::of("order-paid", id)
    };
    let blocked = Reason::Blocked;
    let of_1 = [("b", blocked), ("c", blocked), ("d", blocked)].map(|(note, reason)| letter(1, note, reason));
    fill(&home, &[letter(1, "a", Reason::Refused)]);
    fill(&home, &of_1);
    fill(&home, &[letter(2, "a", Reason::Refused), letter(2, "b", blocked)]);
    home
}

#[track_caller]
fn ended(finished: &Finished, code: i32) {
    assert_eq!(finished.code, code, "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
}

/// Number, reason and who is ahead.
fn listed(home: &Home) -> Vec<(u64, String, Option<u64>)> {
    let finished = home.run(&["dead-letters", "list", "--json"]);
    ended(&finished, 0);
    let list: Value = serde_json::from_str(&finished.stdout).unwrap();
    let letters = list["dead_letters"].as_array().unwrap().iter();
    letters
        .map(|letter| {
            let reason = letter["reason"].as_str().unwrap().to_owned();
            (letter["number"].as_u64().unwrap(), reason, letter["blocked_by"].as_u64())
        })
        .collect()
}

fn paths(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|request| request.path.clone()).collect()
}

fn blocked(number: u64, behind: u64) -> (u64, String, Option<u64>) {
    (number, "blocked".to_owned(), Some(behind))
}

fn refused(number: u64) -> (u64, String, Option<u64>) {
    (number, "refused".to_owned(), None)
}

#[test]
fn a_list_says_what_a_blocked_letter_waits_behind() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    assert_eq!(listed(&home), [refused(1), blocked(2, 1), blocked(3, 1), blocked(4, 1), refused(5), blocked(6, 5)]);
    let finished = home.run(&["dead-letters", "list", "--reason", "blocked", "--limit", "1"]);
    ended(&finished, 0);
    assert!(finished.stdout.contains("waits behind dead letter 1\n"), "{}", finished.stdout);
    let page = home.run(&["dead-letters", "show", "6"]).stdout;
    assert!(page.contains("waits behind dead letter 5"), "{page}");
}

#[test]
fn deliveries_blocked_behind_a_replayed_letter_follow_in_order_and_other_keys_stay_blocked() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    let finished = home.run(&["dead-letters", "replay", "1"]);
    ended(&finished, 0);
    assert!(
        finished.stdout.ends_with("1 delivered, 0 still dead; 3 blocked deliveries followed\n"),
        "{}",
        finished.stdout
    );
    assert_eq!(paths(&receiver), ["/orders/1/a", "/orders/1/b", "/orders/1/c", "/orders/1/d"]);
    assert_eq!(listed(&home), [refused(5), blocked(6, 5)]);
}

#[test]
fn a_blocked_letter_that_fails_when_its_turn_comes_blocks_those_behind_it() {
    let answer = |request: &Request| if request.path.ends_with("/c") { Answer::status(400) } else { Answer::ok() };
    let receiver = Receiver::start(answer);
    let home = home(&receiver);
    let finished = home.run(&["dead-letters", "replay", "1", "--json"]);
    ended(&finished, 0);
    let last: Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({"ended": {"delivered": 1, "still_dead": 0, "not_replayed": 0, "followed": 1}}));
    assert_eq!(paths(&receiver), ["/orders/1/a", "/orders/1/b", "/orders/1/c"]);
    assert_eq!(listed(&home), [refused(3), blocked(4, 3), refused(5), blocked(6, 5)]);
}

#[test]
fn a_letter_behind_another_is_replayed_only_together_with_it() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    let finished = home.run(&["dead-letters", "replay", "2", "6"]);
    ended(&finished, 1);
    let why = "2  order-paid  not replayed  waits behind dead letter 1; replay, resolve or discard that one first\n";
    assert!(finished.stdout.contains(why), "{}", finished.stdout);
    assert_eq!(receiver.count(), 0);

    let finished = home.run(&["dead-letters", "replay", "--all"]);
    ended(&finished, 0);
    assert!(finished.stdout.contains("6 delivered, 0 still dead"), "{}", finished.stdout);
    let of_1: Vec<String> = paths(&receiver).into_iter().filter(|path| path.starts_with("/orders/1")).collect();
    assert_eq!(of_1, ["/orders/1/a", "/orders/1/b", "/orders/1/c", "/orders/1/d"]);
    assert_eq!(receiver.count(), 6);
    assert_eq!(listed(&home), []);
}

#[test]
fn a_dry_run_says_of_which_letters_that_they_would_wait() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    let finished = home.run(&["dead-letters", "replay", "2", "6", "--dry-run"]);
    ended(&finished, 1);
    let waits = |number, ahead| {
        format!(
            "# {number} order-paid would not be sent: waits behind dead letter {ahead}; replay, resolve or discard that one \
             first\n"
        )
    };
    assert_eq!(finished.stdout, waits(2, 1) + &waits(6, 5));
    let finished = home.run(&["dead-letters", "replay", "--all", "--dry-run"]);
    ended(&finished, 0);
    assert_eq!(finished.stdout.matches("curl ").count(), 6, "{}", finished.stdout);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn a_replay_of_a_whole_queue_ends_at_the_letter_that_fails() {
    let answer = |request: &Request| if request.path == "/orders/1/b" { Answer::status(400) } else { Answer::ok() };
    let receiver = Receiver::start(answer);
    let home = home(&receiver);
    let finished = home.run(&["dead-letters", "replay", "--all"]);
    ended(&finished, 1);
    for line in
        ["2  order-paid  still dead", "3  order-paid  not replayed  waits behind dead letter 2", "4  order-paid  not"]
    {
        assert!(finished.stdout.contains(line), "{line}:\n{}", finished.stdout);
    }
    assert_eq!(listed(&home), [refused(2), blocked(3, 2), blocked(4, 2)]);
}

#[test]
fn letters_are_discarded_from_the_front_and_from_the_middle_and_nothing_is_sent() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    ended(&home.run(&["dead-letters", "discard", "1", "3", "--yes"]), 0);
    assert_eq!(listed(&home), [(2, "blocked".to_owned(), None), blocked(4, 2), refused(5), blocked(6, 5)]);
    assert_eq!(receiver.count(), 0, "no process runs that could send it");
    let finished = home.run(&["dead-letters", "replay", "2"]);
    ended(&finished, 0);
    assert_eq!(paths(&receiver), ["/orders/1/b", "/orders/1/d"]);
    ended(&home.run(&["dead-letters", "discard", "--all", "--yes"]), 0);
    assert_eq!((listed(&home), receiver.count()), (vec![], 2));
}

#[test]
fn a_rule_that_is_gone_keeps_its_queue_and_a_replay_says_so() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    std::fs::remove_file(home.path("rules/orders.yaml")).unwrap();
    let other = format!("table: shop.users\nrules:\n  - name: mail\n    call: {{url: \"{}\"}}\n", receiver.url("/"));
    home.write("rules/users.yaml", &other);
    let finished = home.run(&["dead-letters", "replay", "1", "2"]);
    ended(&finished, 1);
    assert!(
        finished.stdout.contains("1  order-paid  not replayed  no rule is named order-paid"),
        "{}",
        finished.stdout
    );
    assert_eq!(listed(&home).len(), 6);
}
