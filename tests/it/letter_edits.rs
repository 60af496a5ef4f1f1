//! `rowhook dead-letters edit`, with and without a daemon. The oracles are what the receiver gets, and what `show` and `list` say.

use std::fs;
use std::time::Duration;

use rowhook::failure::Reason;
use serde_json::{Value, json};

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Gate, Receiver};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

const RIGHT: &str = r#"{"order": 1, "status": "paid"}"#;

/// Two dead letters of a rule that sends JSON to the receiver.
fn home(receiver: &Receiver) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: order-paid\n    call: {{url: \"{}\", body: {{order: \"{{{{ row.id }}}}\"}}}}\n",
        receiver.url("/orders/{{ row.id }}")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", &rule);
    let refused = |id| Letter { reason: Reason::Refused, ..Letter::of("order-paid", id) };
    fill(&home, &[refused(1), refused(2)]);
    home.write("right.json", RIGHT);
    home.write("wrong.json", "{\"wrong\": 1}\n");
    home
}

/// An API that takes no body but this one.
fn strict() -> Receiver {
    Receiver::start(|request| match &*request.body == RIGHT.as_bytes() {
        true => Answer::ok(),
        false => Answer::status(422).with_body("status is missing"),
    })
}

fn path(home: &Home, name: &str) -> String {
    home.path(name).display().to_string()
}

#[track_caller]
fn ended(finished: &Finished, code: i32) {
    assert_eq!(finished.code, code, "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
}

#[track_caller]
fn json_of(home: &Home, args: &[&str]) -> Value {
    let finished = home.run(args);
    ended(&finished, 0);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

fn shown(home: &Home, number: &str) -> Value {
    json_of(home, &["dlq", "show", number, "--json"])
}

/// Edits, replays, reverts and edits again; the same with a daemon and without.
fn edit_and_replay(home: &Home, receiver: &Receiver) {
    let id = shown(home, "1")["id"].as_str().expect("an id").to_owned();
    let edited = home.run(&["dlq", "edit", "1", "--body", &path(home, "wrong.json")]);
    ended(&edited, 0);
    assert!(edited.stdout.starts_with("dead letter 1 edited (1): rowhook dead-letters replay 1 sends this body"));
    let replayed = home.run(&["dlq", "replay", "1"]);
    ended(&replayed, 1);
    assert!(replayed.stdout.contains("still dead  answered 422"), "{}", replayed.stdout);

    let letter = shown(home, "1");
    let first_key = letter["edit"]["idempotency_key"].as_str().expect("a key");
    assert_eq!((&letter["edit"]["number"], &letter["edit"]["body"]), (&json!(1), &json!("{\"wrong\": 1}\n")));
    assert_eq!((&letter["id"], &letter["replays"]), (&json!(id), &json!(1)));
    let page = home.run(&["dlq", "show", "1"]).stdout;
    assert!(page.contains("edited body\n  {\"wrong\": 1}"), "{page}");
    assert!(page.contains(&format!("sends the body below under Idempotency-Key {first_key}")), "{page}");
    let listing = home.run(&["dlq", "list"]).stdout;
    assert!(listing.lines().nth(1).expect("a line").contains("edited: "), "{listing}");
    assert!(!listing.lines().nth(2).expect("a line").contains("edited"), "{listing}");
    let listing = json_of(home, &["dlq", "list", "--json"]);
    assert_eq!(listing["dead_letters"][0]["edit"]["body"], json!(null), "only `show` and `export` have the body");

    let reverted = json_of(home, &["dlq", "edit", "1", "--revert", "--json"]);
    assert_eq!(reverted, json!({"edit": 1, "idempotency_key": id}));
    ended(&home.run(&["dlq", "edit", "1", "--revert"]), 1);
    ended(&home.run(&["dlq", "replay", "1"]), 1);
    let second = json_of(home, &["dlq", "edit", "1", "--body", &path(home, "right.json"), "--json"]);
    assert_eq!(second["edit"], json!(2));
    let dry = home.run(&["dlq", "replay", "1", "--dry-run"]).stdout;
    assert!(dry.contains(&format!("--data-raw '{RIGHT}'")), "{dry}");
    ended(&home.run(&["dlq", "replay", "--all"]), 1);

    let requests = receiver.received();
    let sent: Vec<(Option<&str>, &[u8])> =
        requests.iter().map(|request| (request.key.as_deref(), &*request.body)).collect();
    let second_key = second["idempotency_key"].as_str();
    assert_eq!(sent[0], (Some(first_key), &b"{\"wrong\": 1}\n"[..]));
    assert_eq!(sent[1], (Some(&*id), &b"{\"order\":1}"[..]), "as the rule makes it");
    assert!(sent[2..].contains(&(second_key, RIGHT.as_bytes())), "{sent:?}");
    assert!(second_key != Some(first_key) && second_key != Some(&*id));
    assert!(requests.iter().all(|request| request.headers["content-type"] == "application/json"));
    // It is delivered; the other one was not edited.
    let left = json_of(home, &["dlq", "list", "--json"]);
    assert_eq!(
        (&left["dead_letters"][0]["number"], left["dead_letters"].as_array().map(Vec::len)),
        (&json!(2), Some(1))
    );
}

#[test]
fn an_edited_letter_goes_out_with_its_new_body_and_key_without_a_daemon() {
    let receiver = strict();
    edit_and_replay(&home(&receiver), &receiver);
}

#[test]
fn an_edited_letter_goes_out_with_its_new_body_and_key_by_a_daemon() {
    let receiver = strict();
    let home = home(&receiver);
    let daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("starts", DEADLINE);
    edit_and_replay(&home, &receiver);
}

#[test]
fn a_letter_that_is_being_sent_is_not_edited_and_one_that_waits_is_not_sent_as_it_was() {
    let gate = Gate::closed();
    let closed = gate.clone();
    let receiver = Receiver::start(move |request| match request.path.as_str() {
        "/orders/1" => Answer::ok().delayed_by(&closed),
        _ => Answer::ok(),
    });
    let home = home(&receiver);
    let rule = fs::read_to_string(home.path("rules/a.yaml")).expect("the rule");
    let home = home.with_rule("a.yaml", &format!("{rule}    in_flight: 1\n"));
    let daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("starts", DEADLINE);
    let mut replay = home.start(&["dlq", "replay", "--all"]);
    while receiver.count() == 0 {
        std::thread::yield_now();
    }
    let body = path(&home, "right.json");
    let edited = home.run(&["dlq", "edit", "1", "--body", &body]);
    ended(&edited, 1);
    assert!(edited.stderr.contains("dead letter 1 is being sent now: it is not edited"), "{edited:?}");
    ended(&home.run(&["dlq", "edit", "2", "--body", &body]), 0);
    gate.open();
    assert_eq!(replay.wait(DEADLINE), 1);
    let lines = replay.lines().join("\n");
    assert!(lines.contains("its body was edited meanwhile; replay it again"), "{lines}");
    assert_eq!(receiver.count(), 1, "the second one was not sent");
    ended(&home.run(&["dlq", "replay", "--all"]), 0);
    assert_eq!(&*receiver.received()[1].body, RIGHT.as_bytes());
}

#[test]
fn what_can_not_be_sent_or_stored_is_refused_in_one_line_and_changes_nothing() {
    let receiver = strict();
    let home = home(&receiver);
    home.write("no.json", "{\"order\": ");
    home.write("large.json", &format!("\"{}\"", "x".repeat(1 << 20)));
    fs::write(home.path("bytes.json"), [b'"', 0xff, b'"']).expect("written");
    fill(&home, &[Letter::of("gone", 3), Letter { redacted: &["id"], ..Letter::of("order-paid", 4) }]);
    ended(&home.run(&["dlq", "resolve", "2", "--note", "by hand"]), 0);
    let right = path(&home, "right.json");
    for (args, why) in [
        (["1", "--body", &path(&home, "no.json")], "can't be edited: the rule sends JSON, and the body is none: EOF"),
        (
            ["1", "--body", &path(&home, "large.json")],
            "large.json has more than 1048576 bytes, the most that a body may",
        ),
        (["1", "--body", &path(&home, "bytes.json")], "can't be edited: the body is not UTF-8"),
        (["1", "--body", &path(&home, "none.json")], "none.json: No such file"),
        (["2", "--body", &right], "dead letter 2 can't be edited: it is resolved"),
        (["3", "--body", &right], "dead letter 3 can't be edited: no rule is named gone"),
        (["4", "--body", &right], "dead letter 4 can't be edited: rule order-paid needs column id"),
        (["9", "--body", &right], "there is no dead letter 9"),
    ] {
        let refused = home.run(&[&["dlq", "edit"][..], &args].concat());
        ended(&refused, 1);
        assert!(refused.stderr.contains(why) && refused.stderr.lines().count() == 1, "{args:?}: {}", refused.stderr);
    }
    for (args, why) in [
        (vec!["1"], "give --body FILE, or --body - for stdin"),
        (vec!["1", "--revert"], "can't be edited: its body is the one that its rule makes"),
    ] {
        let refused = home.run(&[&["dlq", "edit"][..], &args].concat());
        ended(&refused, 1);
        assert!(refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
    for number in ["1", "2", "3", "4"] {
        assert_eq!(shown(&home, number)["edit"], json!(null), "{number}");
    }
}

#[test]
fn an_edit_that_the_rule_can_not_send_any_more_is_not_replayed_and_can_be_reverted() {
    let receiver = strict();
    let home = home(&receiver);
    ended(&home.run(&["dlq", "edit", "1", "--body", &path(&home, "right.json")]), 0);
    let exported = home.run(&["dlq", "export", "--number", "1-1", "--format", "csv"]);
    assert!(
        exported.stdout.trim_end().ends_with(",\"{\"\"order\"\": 1, \"\"status\"\": \"\"paid\"\"}\""),
        "{}",
        exported.stdout
    );
    let rule = fs::read_to_string(home.path("rules/a.yaml")).expect("the rule");
    let home = home.with_rule("a.yaml", &format!("{rule}    redact: [note]\n"));
    let replay = home.run(&["dlq", "replay", "1"]);
    ended(&replay, 1);
    assert!(replay.stdout.contains("rowhook dead-letters edit 1 --revert takes the edit back"), "{}", replay.stdout);
    assert_eq!(receiver.count(), 0);
    ended(&home.run(&["dlq", "edit", "1", "--revert"]), 0);
    ended(&home.run(&["dlq", "replay", "1"]), 1);
    assert_eq!(receiver.count(), 1);
}
