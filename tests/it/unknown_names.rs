//! Commands that name a dead letter or a rule that does not exist: exit code 1, one line, and nothing is done.

use rowhook::store::{RuleNeeds, Store, Write};

use crate::letters::{Letter, fill};
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver};

const GONE: &str = "it may have been replayed or discarded";

#[track_caller]
fn fails(home: &Home, args: &[&str], said: &str) {
    let finished = home.run(args);
    assert_eq!((finished.code, &*finished.stdout), (1, ""), "{args:?}: {finished:?}");
    assert_eq!(finished.stderr, format!("rowhook: error: {said}\n"), "{args:?}");
}

fn home_with(letters: &[Letter], rules: &[&str]) -> (Home, Receiver) {
    let receiver = Receiver::start(|_| Answer::ok());
    let url = receiver.url("/");
    let rule = format!("table: shop.orders\nrules:\n  - name: mail\n    call: {{url: \"{url}\"}}\n");
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", &rule);
    fill(&home, letters);
    let needs = rules.iter().map(|rule| RuleNeeds { rule: (*rule).into(), needs: "shop.orders: ".to_owned() });
    let store = Store::open(&home.path("data")).expect("a store");
    let write = store.write(Write { needs: Some(needs.collect()), ..Write::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(write).expect("written");
    (home, receiver)
}

#[test]
fn a_number_that_does_not_exist_fails_and_nothing_is_done_about_the_others() {
    let (home, receiver) = home_with(&[Letter::of("mail", 1), Letter::of("mail", 2)], &["mail"]);
    let one = format!("there is no dead letter 7; {GONE}");
    let among = format!("there is no dead letter 3, 9; {GONE}; nothing was done about the others");
    for (args, said) in [
        (&["discard", "7", "--yes"][..], &one),
        (&["discard", "7", "--yes", "--json"], &one),
        (&["discard", "1", "9", "3", "--yes"], &among),
        (&["replay", "7"], &one),
        (&["replay", "1", "9", "2", "3"], &among),
        (&["replay", "7", "--dry-run"], &one),
        (&["replay", "7", "--undo"], &one),
        (&["show", "7"], &one),
        (&["resolve", "7", "--note", "x"], &one),
    ] {
        fails(&home, &[&["dead-letters"], args].concat(), said);
    }
    assert_eq!(receiver.count(), 0);
    let listed = home.run(&["dead-letters", "list"]);
    assert_eq!(listed.stdout.lines().count(), 3, "both are there still: {listed:?}");
    // What is there is acted on, also where no condition fits anything.
    for args in [&["discard", "2", "--yes"][..], &["replay", "1"], &["discard", "--all", "--yes"], &["replay", "--all"]]
    {
        let finished = home.run(&[&["dead-letters"], args].concat());
        assert_eq!(finished.code, 0, "{args:?}: {finished:?}");
    }
}

#[test]
fn the_name_of_a_rule_that_does_not_exist_fails_and_that_of_one_with_letters_does_not() {
    let (home, receiver) = home_with(&[Letter::of("gone-from-the-files", 1)], &["mail", "order-paid"]);
    for (name, hint) in [("mial", "; did you mean `mail`?"), ("order-payd", "; did you mean `order-paid`?"), ("x", "")]
    {
        let said = format!("no rule is named {name}{hint}");
        for args in [
            &["dead-letters", "list", "--rule", name][..],
            &["dead-letters", "list", "--rule", name, "--resolved", "--json"],
            &["dead-letters", "discard", "--rule", name, "--yes"],
            &["dead-letters", "replay", "--rule", name],
            &["dead-letters", "replay", "--rule", name, "--dry-run"],
        ] {
            fails(&home, args, &said);
        }
    }
    for (name, lines) in
        [("mail", "no dead letters"), ("order-paid", "no dead letters"), ("gone-from-the-files", "number")]
    {
        let finished = home.run(&["dead-letters", "list", "--rule", name]);
        assert!(finished.code == 0 && finished.stdout.starts_with(lines), "{name}: {finished:?}");
    }
    assert_eq!(receiver.count(), 0);
}
