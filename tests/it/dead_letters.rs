//! `rowhook dead-letters` on a store that the test filled, with no daemon running.

use std::time::Duration;

use rowhook::failure::Reason;
use serde_json::{Value, json};

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Gate, Receiver};

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook"))
}

/// A rule of this name that sends the row's id to the receiver, once, without retries.
fn with_rule(home: Home, name: &str, receiver: &Receiver) -> Home {
    let url = receiver.url("/orders/{{ row.id }}");
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: {name}\n    call:\n      url: {url}\n      headers:\n        \
         Authorization: Bearer {{{{ env.API_TOKEN }}}}\n    retry: {{retries: 0}}\n"
    );
    home.with_env("API_TOKEN", "s3cret-token").with_rule(&format!("{name}.yaml"), &rule)
}

#[track_caller]
fn ended(finished: &Finished, code: i32) {
    assert_eq!(finished.code, code, "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
}

fn listed(home: &Home, args: &[&str]) -> Value {
    let finished = home.run(&[&["dead-letters", "list", "--json"], args].concat());
    ended(&finished, 0);
    serde_json::from_str(&finished.stdout).unwrap()
}

fn numbers(listing: &Value) -> Vec<u64> {
    listing["dead_letters"].as_array().unwrap().iter().map(|letter| letter["number"].as_u64().unwrap()).collect()
}

#[test]
fn a_list_is_a_table_for_people_that_says_how_many_more_there_are() {
    let home = home();
    fill(&home, &[Letter::of("order-paid", 1), Letter::of("order-paid", 2), Letter::of("mail", 3)]);
    let finished = home.run(&["dead-letters", "list", "--limit", "2"]);
    ended(&finished, 0);
    assert_eq!(
        finished.stdout,
        "number  age  rule        table        key  reason     answer  attempts  message\n\
         1       1m   order-paid  shop.orders  1    exhausted  503     1         answered 503\n\
         2       1m   order-paid  shop.orders  2    exhausted  503     1         answered 503\n\
         … and 1 more: rowhook dead-letters list --limit 2 --after 2\n"
    );
    assert_eq!(finished.stderr, "");
}

#[test]
fn every_condition_of_a_list_holds() {
    let home = home();
    let old = Letter { age: Duration::from_secs(3 * 3600), ..Letter::of("order-paid", 2) };
    let refused = Letter { reason: Reason::Refused, ..Letter::of("mail", 3) };
    fill(&home, &[Letter::of("order-paid", 1), old, refused]);
    for (args, expected) in [
        (vec![], vec![1, 2, 3]),
        (vec!["--rule", "order-paid"], vec![1, 2]),
        (vec!["--rule", "order-paid", "--older-than", "2h"], vec![2]),
        (vec!["--newer-than", "2h"], vec![1, 3]),
        (vec!["--reason", "refused"], vec![3]),
        (vec!["--table", "shop.orders"], vec![1, 2, 3]),
        (vec!["--table", "shop.users"], vec![]),
    ] {
        assert_eq!(numbers(&listed(&home, &args)), expected, "{args:?}");
    }
    let listing = listed(&home, &["--limit", "1"]);
    assert_eq!((numbers(&listing), &listing["more"]), (vec![1], &json!(2)));
    assert_eq!(listing["dead_letters"][0]["key"], json!({"id": 1}));
}

#[test]
fn a_letter_is_shown_with_its_attempts_and_its_row() {
    let home = home();
    fill(&home, &[Letter { note: "tea \u{1b}[31m", ..Letter::of("order-paid", 42) }]);
    let finished = home.run(&["dlq", "show", "1", "--json"]);
    ended(&finished, 0);
    let letter: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(letter["change"]["after"], json!({"id": 42, "note": "tea \u{1b}[31m"}));
    assert_eq!(letter["change"]["id"], letter["id"]);
    assert_eq!(letter["transaction"], json!({"gtid": null, "file": "binlog.000003", "offset": 1042}));
    assert_eq!(letter["attempts"][0]["status"], json!(503));
    assert_eq!(letter["attempts"][0]["duration_ms"], json!(12));

    let page = home.run(&["dlq", "show", "1"]).stdout;
    for part in ["dead letter 1\n", "  rule        order-paid\n", "try later", "42", "binlog.000003:1042"] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}");
    }
    assert!(!page.contains('\u{1b}'), "the row must not steer the terminal:\n{page}");

    let finished = home.run(&["dlq", "show", "2"]);
    ended(&finished, 1);
    assert_eq!(finished.stderr, "rowhook: error: there is no dead letter 2; it may have been replayed or discarded\n");
}

#[test]
fn discarding_needs_yes_and_takes_only_what_was_named() {
    let home = home();
    fill(&home, &[Letter::of("order-paid", 1), Letter::of("mail", 2), Letter::of("mail", 3)]);
    ended(&home.run(&["dead-letters", "discard", "--all"]), 2);
    ended(&home.run(&["dead-letters", "discard", "--yes"]), 2);
    assert_eq!(numbers(&listed(&home, &[])), [1, 2, 3]);
    let finished = home.run(&["dead-letters", "discard", "--rule", "mail", "--yes"]);
    ended(&finished, 0);
    assert_eq!(finished.stdout, "2 dead letters discarded\n");
    assert_eq!(numbers(&listed(&home, &[])), [1]);
    let finished = home.run(&["dead-letters", "discard", "--all", "--yes", "--json"]);
    assert_eq!(finished.stdout, "{\n  \"discarded\": 1\n}\n");
}

#[test]
fn a_replay_sends_letters_under_their_own_ids_and_keeps_those_that_fail_again() {
    let receiver = Receiver::start(|request| match request.path.as_str() {
        "/orders/2" => Answer::status(404).with_body("no such order"),
        _ => Answer::ok(),
    });
    let home = with_rule(home(), "order-paid", &receiver);
    let letters: Vec<Letter> = (1..=3).map(|id| Letter::of("order-paid", id)).collect();
    fill(&home, &letters);
    fill(&home, &[Letter::of("renamed-since", 4)]);
    let ids: Vec<Value> =
        listed(&home, &[])["dead_letters"].as_array().unwrap().iter().map(|l| l["id"].clone()).collect();

    let finished = home.run(&["dead-letters", "replay", "--all"]);
    ended(&finished, 1);
    assert!(finished.stdout.ends_with("2 delivered, 1 still dead, 1 not replayed\n"), "{}", finished.stdout);
    assert!(finished.stdout.contains("2  order-paid  still dead  answered 404"), "{}", finished.stdout);
    assert!(finished.stdout.contains("4  renamed-since  not replayed  no rule is named"), "{}", finished.stdout);
    let requests = receiver.received();
    assert_eq!(requests.len(), 3);
    let mut keys: Vec<&str> = requests.iter().map(|request| request.key.as_deref().unwrap()).collect();
    let mut sent: Vec<&str> = ids[..3].iter().map(|id| id.as_str().unwrap()).collect();
    keys.sort_unstable();
    sent.sort_unstable();
    assert_eq!(keys, sent);
    assert!(requests.iter().all(|request| request.header("authorization") == Some("Bearer s3cret-token")));

    let left = listed(&home, &[]);
    assert_eq!(numbers(&left), [2, 4]);
    let again = &left["dead_letters"][0];
    assert_eq!((&again["replays"], &again["reason"]), (&json!(1), &json!("refused")));
    assert_eq!(again["attempts"][0]["excerpt"], json!("no such order"));
    assert_eq!(left["dead_letters"][1]["replays"], json!(0));

    receiver.set_script(|_| Answer::ok());
    let finished = home.run(&["dead-letters", "replay", "2", "--json"]);
    ended(&finished, 0);
    let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"started": {"letters": 1}}));
    assert_eq!(lines[1]["progress"]["result"], json!({"delivered": {"status": 200}}));
    assert_eq!(lines[2], json!({"ended": {"delivered": 1, "still_dead": 0, "not_replayed": 0, "followed": 0}}));
}

#[test]
fn letters_of_one_key_are_replayed_one_after_another() {
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(5)));
    let home = with_rule(home(), "order-paid", &receiver);
    let letters: Vec<Letter> =
        ["a", "b", "c", "d", "e", "f"].map(|note| Letter { note, ..Letter::of("order-paid", 1) }).into_iter().collect();
    fill(&home, &letters);
    ended(&home.run(&["dead-letters", "replay", "--all"]), 0);
    let requests = receiver.received();
    let notes: Vec<&str> = requests.iter().map(|request| request.json()["after"]["note"].as_str().unwrap()).collect();
    assert_eq!(notes, ["a", "b", "c", "d", "e", "f"]);
    for pair in requests.windows(2) {
        assert!(pair[0].ended_at().unwrap() <= pair[1].arrived_at, "{:?} did not wait for {:?}", pair[1], pair[0]);
    }
}

#[test]
fn an_interrupted_replay_finishes_what_is_under_way_and_leaves_the_rest() {
    let gate = Gate::closed();
    let answers_gate = gate.clone();
    let receiver = Receiver::start(move |_| Answer::ok().delayed_by(&answers_gate));
    let home = with_rule(home(), "order-paid", &receiver);
    fill(&home, &["a", "b", "c"].map(|note| Letter { note, ..Letter::of("order-paid", 1) }));
    let mut replay = home.start(&["dead-letters", "replay", "--all"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(receiver.wait_for_count(1, Duration::from_secs(20)));
    replay.interrupt();
    replay.wait_for_line("stopping: attempts under way finish", Duration::from_secs(20));
    gate.open();
    assert_eq!(replay.wait(Duration::from_secs(20)), 1);
    assert_eq!(receiver.count(), 1);
    assert_eq!(numbers(&listed(&home, &[])), [2, 3]);
}

#[test]
fn a_dry_run_shows_the_requests_without_secrets_and_sends_none() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = with_rule(home(), "order-paid", &receiver);
    fill(&home, &[Letter::of("order-paid", 1), Letter::of("gone", 2)]);
    let finished = home.run(&["dead-letters", "replay", "--all", "--dry-run"]);
    ended(&finished, 1);
    assert!(finished.stdout.starts_with("# 1 order-paid\ncurl -X POST"), "{}", finished.stdout);
    assert!(finished.stdout.contains("/orders/1"), "{}", finished.stdout);
    assert!(finished.stdout.contains("Authorization: ***"), "{}", finished.stdout);
    assert!(finished.stdout.contains("# 2 gone would not be sent: no rule is named gone"), "{}", finished.stdout);
    assert!(!finished.stdout.contains("s3cret-token"), "{}", finished.stdout);
    assert_eq!(receiver.count(), 0);
    assert_eq!(numbers(&listed(&home, &[])), [1, 2]);
}

#[test]
fn an_undecided_letter_is_only_sent_when_its_rule_means_the_row() {
    let receiver = Receiver::start(|_| Answer::ok());
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: big\n    when: row.id > 10\n    call: {{url: \"{}\"}}\n",
        receiver.url("/")
    );
    let home = home().with_rule("big.yaml", &rule);
    let undecided = |id| Letter { reason: Reason::Undecided, ..Letter::of("big", id) };
    fill(&home, &[undecided(1), undecided(11)]);
    let finished = home.run(&["dead-letters", "replay", "--all"]);
    ended(&finished, 1);
    assert!(
        finished.stdout.contains("1  big  not replayed  rule big does not match this change"),
        "{}",
        finished.stdout
    );
    assert_eq!(numbers(&listed(&home, &[])), [1]);
    assert_eq!(receiver.received()[0].json()["after"]["id"], json!(11));
}
