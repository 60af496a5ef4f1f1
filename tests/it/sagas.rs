//! Dead letters of deliveries that take several steps, and letters that a person closes, on a store that the test filled.

use rowhook::failure::Reason;
use rowhook::ordering::{LaneKey, LaneKeys};
use rowhook::saga::{ActionLog, ActionState, Direction, KeptAnswer, SagaLog, StepLog};
use serde_json::{Value, json};

use crate::letters::{Letter, fill, fill_with_saga};
use crate::support::program::{Finished, Home};
use crate::support::receiver::{Answer, Receiver};

/// Letter 1: an account was made, and it is uncertain whether its charge happened. Letter 2 takes only one call.
fn home(receiver: &Receiver) -> Home {
    let url = receiver.url("/orders/{{ row.id }}");
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: signup\n    call: {{url: \"{url}\"}}\n    retry: {{retries: 0}}\n"
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &rule);
    let lanes = LaneKeys::one(LaneKey(7));
    fill_with_saga(&home, &Letter { reason: Reason::Unknown, lanes: lanes.clone(), ..Letter::of("signup", 1) }, log());
    fill(&home, &[Letter { reason: Reason::Blocked, lanes, ..Letter::of("signup", 2) }, Letter::of("signup", 3)]);
    home
}

/// The rule that the log is of.
fn with_steps(receiver: &Receiver) -> String {
    let mut text = "table: shop.orders\nrules:\n  - name: signup\n    steps:\n".to_owned();
    for (step, settings) in [("account", ""), ("charge", ", idempotent: false"), ("mail", "")] {
        text += &format!(
            "      - name: {step}\n        call: {{url: \"{}\"{settings}}}\n",
            receiver.url(&format!("/{step}"))
        );
    }
    text
}

#[test]
fn an_undo_after_a_callback_that_failed_keeps_the_reason_and_says_what_is_not_undone() {
    let receiver = Receiver::start(|_| Answer::ok());
    let url = |path| receiver.url(path);
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: signup\n    steps:\n      - name: a\n        call: {{url: \"{}\"}}\n        \
         undo: {{call: {{method: DELETE, url: \"{}\"}}}}\n      - name: b\n        call: {{url: \"{}\"}}\n    \
         on_success: {{call: {{url: \"{}\"}}}}\n    on_failure: {{call: {{url: \"{}\"}}}}\n",
        url("/a"),
        url("/a"),
        url("/b"),
        url("/ok"),
        url("/fail")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &rule);
    let act = |state, attempts| ActionLog { state, attempts, message: "answered 200".to_owned(), ..ActionLog::WAITING };
    let done = |name: &str| StepLog {
        name: name.into(),
        act: act(ActionState::Done, 1),
        undo: ActionLog::WAITING,
        failed_calls: 0,
        answer: None,
    };
    let steps = vec![done("a"), done("b")];
    let callback = act(ActionState::Failed, 2);
    let log = SagaLog { steps, direction: Direction::Forward, callback, reason: None };
    fill_with_saga(&home, &Letter { reason: Reason::CallbackFailed, ..Letter::of("signup", 1) }, log);
    let page = home.run(&["dead-letters", "show", "1"]).stdout;
    for line in
        ["replay 1               calls `on_success` again", "replay 1 --undo        undoes `a`; without `undo`: `b`"]
    {
        assert!(page.contains(line), "{line:?} is missing in\n{page}");
    }
    let undone = home.run(&["dead-letters", "replay", "1", "--undo"]);
    assert!(undone.stdout.contains("still dead  an operator had it undone: not undone: b\n"), "{undone:?}");
    let letter = json_of(&home, &["dead-letters", "show", "1", "--json"]);
    assert_eq!((&letter["reason"], &letter["effect"]), (&json!("callback_failed"), &json!("partial")));
    assert_eq!(letter["saga"]["callback"], json!({"state": "done", "attempts": 1, "message": "answered 200"}));
}

fn log() -> SagaLog {
    let act =
        |state, attempts, said: &str| ActionLog { state, attempts, message: said.to_owned(), ..ActionLog::WAITING };
    let step =
        |name: &str, act, answer| StepLog { name: name.into(), act, undo: ActionLog::WAITING, failed_calls: 0, answer };
    let made = KeptAnswer {
        status: 201,
        headers: vec![],
        body: b"{\"id\":\"a7\"}".as_slice().into(),
        is_cut: false,
        problem: None,
    };
    SagaLog {
        steps: vec![
            step("account", act(ActionState::Done, 1, "answered 201"), Some(made)),
            step("charge", act(ActionState::Unknown, 1, "no answer within 10s"), None),
            step("mail", ActionLog::WAITING, None),
        ],
        direction: Direction::Stopped,
        callback: ActionLog::WAITING,
        reason: None,
    }
}

#[track_caller]
fn ended(finished: &Finished, code: i32) {
    assert_eq!(finished.code, code, "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
}

fn json_of(home: &Home, args: &[&str]) -> Value {
    let finished = home.run(args);
    serde_json::from_str(&finished.stdout).expect(&finished.stderr)
}

fn numbers(home: &Home, args: &[&str]) -> Vec<u64> {
    let listing = json_of(home, &[&["dead-letters", "list", "--json"], args].concat());
    listing["dead_letters"].as_array().unwrap().iter().map(|letter| letter["number"].as_u64().unwrap()).collect()
}

/// Dead letters, blocked ones, those that wait for a person.
fn counts(home: &Home) -> [Value; 3] {
    let status = json_of(home, &["status", "--json"]);
    ["dead_letters", "blocked", "awaiting"].map(|name| status[name].clone())
}

#[test]
fn a_letter_shows_its_steps_its_effect_and_what_a_person_can_do() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    let page = home.run(&["dead-letters", "show", "1"]).stdout;
    let replay = "    rowhook dead-letters replay 1 --from-start --yes  calls what the rule calls now\n";
    assert!(page.contains(replay), "the rule has no steps any more:\n{page}");
    let missing = home.run(&["dead-letters", "show", "1", "--rules", "elsewhere"]);
    assert!(missing.stdout.contains("  what a replay would do depends on the rule; --rules DIR"), "{missing:?}");
    home.write("rules/orders.yaml", &with_steps(&receiver));
    let page = home.run(&["dead-letters", "show", "1"]).stdout;
    let part = "
saga
  step     state    undo  attempts  message
  account  done     -     1         answered 201
  charge   unknown  -     1         no answer within 10s
  mail     waiting  -     0

  an operator must decide: it is unknown whether `charge` happened
  check the API, then
    rowhook dead-letters replay 1 --happened yes|no  states whether `charge` took effect, then goes on
    rowhook dead-letters resolve 1 --note TEXT       when it was settled by hand
";
    assert!(page.contains(part), "{page}");
    let letter = json_of(&home, &["dead-letters", "show", "1", "--json"]);
    let saga = &letter["saga"];
    assert_eq!((&saga["effect"], &saga["direction"]), (&json!("partial"), &json!("stopped")));
    let next = json!({"commands": [{"flags": "--happened yes|no", "then": "states whether `charge` took effect, then goes on"}]});
    assert_eq!(saga["next"], next);
    assert_eq!(saga["steps"][0]["answer"], json!({"status": 201, "body": "{\"id\":\"a7\"}", "cut": false}));
    let waiting = json!({"state": "waiting", "attempts": 0, "message": ""});
    let charge = json!({"name": "charge", "state": "unknown", "attempts": 1, "message": "no answer within 10s",
        "undo": waiting, "answer": null});
    assert_eq!((&saga["steps"][1], &saga["callback"]), (&charge, &waiting));

    let list = home.run(&["dead-letters", "list"]).stdout;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "number  age  rule    table        key  reason     effect   answer  attempts  message");
    assert_eq!(lines[1], "1       1m   signup  shop.orders  1    unknown    partial  503     1         answered 503");
    assert!(lines[3].starts_with("3       1m   signup  shop.orders  3    exhausted  -        503"), "{list}");
    let plain = json_of(&home, &["dead-letters", "show", "3", "--json"]);
    assert!(plain.get("saga").is_none() && plain.get("effect").is_none() && plain.get("resolved").is_none());
    assert_eq!(counts(&home), [2, 1, 1].map(Value::from));
    let status = home.run(&["status"]).stdout;
    assert!(
        status.contains("1 of them needs an operator: its effect is partial; 1 delivery waits behind them; rowhook dead-letters list\n"),
        "{status}"
    );
}

#[test]
fn a_letter_that_was_settled_by_hand_is_closed_with_a_note_and_stays_to_be_read() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    ended(&home.run(&["dead-letters", "resolve", "1"]), 2);
    ended(&home.run(&["dead-letters", "resolve", "1", "--note", ""]), 2);
    let blank = home.run(&["dead-letters", "resolve", "1", "--note", " \n"]);
    ended(&blank, 1);
    assert!(blank.stderr.contains("is closed with a note that says why"), "{}", blank.stderr);
    let missing = home.run(&["dead-letters", "resolve", "9", "--note", "x"]);
    ended(&missing, 1);
    assert!(missing.stderr.contains("there is no dead letter 9"), "{}", missing.stderr);
    assert_eq!(counts(&home), [2, 1, 1].map(Value::from), "nothing was closed");

    let finished = home.run(&["dead-letters", "resolve", "1", "--note", "charged;\nmailed by hand"]);
    ended(&finished, 0);
    assert_eq!(finished.stdout, "dead letter 1 resolved; list --resolved shows it\n");
    assert_eq!(counts(&home), [1, 1, 0].map(Value::from));
    assert_eq!((numbers(&home, &[]), numbers(&home, &["--resolved"])), (vec![2, 3], vec![1]));
    let list = home.run(&["dlq", "list", "--resolved"]).stdout;
    assert!(list.contains("resolved: charged; mailed by hand\n"), "{list}");
    let page = home.run(&["dlq", "show", "1"]).stdout;
    let resolved = page.lines().find(|line| line.starts_with("  resolved    ")).expect("a line");
    assert!(resolved.ends_with("s ago: charged; mailed by hand"), "{page}");
    assert!(page.contains("charge   unknown") && !page.contains("check the API"), "{page}");
    let letter = json_of(&home, &["dlq", "show", "1", "--json"]);
    assert_eq!(letter["resolved"]["note"], json!("charged; mailed by hand"));

    // Its note stays.
    let again = home.run(&["dead-letters", "resolve", "1", "--note", "refunded"]);
    ended(&again, 1);
    let why = "dead letter 1 is resolved already: nothing was done, its note stays as it was: charged; mailed by hand";
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("", format!("rowhook: error: {why}\n").as_str()));
    let letter = json_of(&home, &["dlq", "show", "1", "--json"]);
    assert_eq!(
        (&letter["resolved"]["note"], counts(&home)),
        (&json!("charged; mailed by hand"), [1, 1, 0].map(Value::from))
    );

    // It is not sent again, and what waited behind it goes out.
    let again = home.run(&["dead-letters", "replay", "1"]);
    ended(&again, 1);
    assert!(again.stdout.contains("1  signup  not replayed  resolved\n"), "{}", again.stdout);
    let all = home.run(&["dead-letters", "replay", "--all"]);
    ended(&all, 0);
    assert!(all.stdout.contains("2 delivered, 0 still dead"), "{}", all.stdout);
    let mut paths: Vec<String> = receiver.received().iter().map(|request| request.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, ["/orders/2", "/orders/3"]);

    ended(&home.run(&["dead-letters", "discard", "--all", "--yes"]), 0);
    assert_eq!(numbers(&home, &["--resolved"]), [1], "all means those that are open");
    ended(&home.run(&["dead-letters", "discard", "--resolved", "--yes"]), 2);
    let gone = home.run(&["dead-letters", "discard", "--all", "--resolved", "--yes"]);
    assert_eq!(gone.stdout, "1 dead letter discarded\n");
    assert_eq!(home.run(&["dead-letters", "list", "--resolved"]).stdout, "no resolved dead letters\n");
}

#[test]
fn saga_commands_exclude_each_other_and_need_letters_with_a_saga() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    for wrong in [
        &["1", "--from-start"][..],
        &["1", "--yes"],
        &["1", "--undo", "--happened", "yes"],
        &["1", "--from-start", "--yes", "--undo"],
        &["1", "--happened", "perhaps"],
        &["--all", "--happened", "no"],
        &["--rule", "signup", "--happened", "no"],
    ] {
        ended(&home.run(&[&["dead-letters", "replay"], wrong].concat()), 2);
    }
    for saga_command in [&["--undo"][..], &["--from-start", "--yes"], &["--happened", "no"]] {
        for dry_run in [&[][..], &["--dry-run"]] {
            let finished = home.run(&[&["dead-letters", "replay", "3"], saga_command, dry_run].concat());
            ended(&finished, 1);
            let why = "it has no saga log; replay it without --from-start, --undo and --happened\n";
            assert!(finished.stdout.contains(why), "{}", finished.stdout);
        }
    }
    assert_eq!(receiver.count(), 0);
}
