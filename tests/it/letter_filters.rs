//! The conditions of `rowhook dead-letters`: which dead letters they mean, in each command, with a running rowhook and without.

use std::time::{Duration, SystemTime};

use rowhook::failure::Reason;
use serde_json::Value;

use crate::letters::{Letter, failed, fill, status};
use crate::support::program::{Finished, Home, Program};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

const HOUR: Duration = Duration::from_secs(3600);

/// Each differs from the others in what some condition asks for.
fn letters() -> Vec<Letter> {
    let refused = |rule, id, code: u16| Letter {
        reason: Reason::Refused,
        message: format!("answered {code}: not retried"),
        answers: vec![status(503), status(code)],
        ..Letter::of(rule, id)
    };
    let lost = |id, error: &str| Letter {
        message: format!("all 2 attempts failed, the last: {error}"),
        answers: vec![status(404), failed(error)],
        ..Letter::of("mail", id)
    };
    vec![
        refused("order-paid", 1, 404),
        refused("order-paid", 2, 410),
        Letter { age: 3 * HOUR, ..Letter::of("order-paid", 11) },
        lost(1, "connection refused"),
        lost(2, "no answer within 10s"),
        Letter {
            reason: Reason::Unrenderable,
            message: "the URL has no Host".to_owned(),
            answers: vec![],
            table: "users",
            age: 50 * HOUR,
            ..Letter::of("mail", 1)
        },
    ]
}

/// Conditions, and the numbers of the letters that fit.
const CONDITIONS: [(&[&str], &[u64]); 28] = [
    (&[], &[1, 2, 3, 4, 5, 6]),
    (&["--rule", "order-paid"], &[1, 2, 3]),
    (&["--table", "shop.users"], &[6]),
    (&["--table", "shop.user"], &[]),
    (&["--key", "1"], &[1, 4, 6]),
    (&["--key", "11"], &[3]),
    (&["--key", "1", "--rule", "mail"], &[4, 6]),
    (&["--key", "1", "--table", "shop.users"], &[6]),
    (&["--reason", "refused"], &[1, 2]),
    (&["--answer", "404"], &[1]),
    (&["--answer", "4xx"], &[1, 2]),
    (&["--answer", "503"], &[3]),
    (&["--answer", "5xx", "--rule", "mail"], &[]),
    (&["--answer", "network"], &[4, 5]),
    (&["--answer", "timeout"], &[5]),
    (&["--message", "NOT retried"], &[1, 2]),
    (&["--message", "host"], &[6]),
    (&["--message", "answered 4.."], &[]),
    (&["--since", "2h"], &[1, 2, 4, 5]),
    (&["--until", "2h"], &[3, 6]),
    (&["--since", "40h", "--until", "2h"], &[3]),
    (&["--newer-than", "2h"], &[1, 2, 4, 5]),
    (&["--older-than", "40h"], &[6]),
    (&["--until", "2001-01-01"], &[]),
    (&["--since", "2001-01-01T00:00:00+02:00"], &[1, 2, 3, 4, 5, 6]),
    (&["--number", "2-4"], &[2, 3, 4]),
    (&["--number", "5-"], &[5, 6]),
    (&["--number", "3-", "--answer", "network", "--since", "2h", "--message", "refused"], &[4]),
];

#[track_caller]
fn ended(finished: &Finished, code: i32) {
    assert_eq!(finished.code, code, "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
}

fn listed(home: &Home, args: &[&str]) -> Vec<u64> {
    let finished = home.run(&[&["dead-letters", "list", "--json"], args].concat());
    ended(&finished, 0);
    let listing: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let letters = listing["dead_letters"].as_array().expect("a list").iter();
    letters.map(|letter| letter["number"].as_u64().expect("a number")).collect()
}

fn home() -> Home {
    let rule = "table: shop.other\nrules: [{name: other, call: {url: \"http://127.0.0.1:1/\"}}]\n";
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", rule);
    fill(&home, &letters());
    home
}

fn daemon(home: &Home) -> Program {
    let daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("starts", DEADLINE);
    daemon
}

#[test]
fn every_condition_means_the_same_letters_with_a_running_rowhook_and_without() {
    let home = home();
    for (args, expected) in CONDITIONS {
        assert_eq!(listed(&home, args), expected, "{args:?} without");
    }
    let _daemon = daemon(&home);
    for (args, expected) in CONDITIONS {
        assert_eq!(listed(&home, args), expected, "{args:?} with");
    }
}

#[test]
fn a_time_is_compared_with_when_it_became_a_dead_letter() {
    let home = home();
    let ago = |hours: u32| humantime_text(SystemTime::now() - hours * HOUR);
    let (two, forty) = (ago(2), ago(40));
    assert_eq!(listed(&home, &["--since", &forty, "--until", &two]), [3]);
    assert_eq!(listed(&home, &["--since", &two]), [1, 2, 4, 5]);
}

/// RFC 3339 in UTC, to the second.
fn humantime_text(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    rowhook::admin::view::rfc3339(seconds * 1_000_000)
}

#[test]
fn each_command_acts_on_the_letters_that_fit_and_on_no_others() {
    for runs_daemon in [false, true] {
        let home = home();
        let _daemon = runs_daemon.then(|| daemon(&home));
        // No rule has this name any more, so that nothing is sent and each letter that is meant is named.
        let replayed = home.run(&["dead-letters", "replay", "--key", "1", "--answer", "network"]);
        ended(&replayed, 1);
        assert_eq!(replayed.stdout.lines().count(), 2, "{}", replayed.stdout);
        assert!(replayed.stdout.starts_with("4  mail  not replayed  no rule is named mail"), "{}", replayed.stdout);

        let discarded = home.run(&["dead-letters", "discard", "--answer", "410", "--number", "1-3", "--yes"]);
        ended(&discarded, 0);
        assert_eq!(discarded.stdout, "1 dead letter discarded\n");
        assert_eq!(listed(&home, &[]), [1, 3, 4, 5, 6]);

        let note = ["--note", "settled by hand"];
        let unconfirmed = home.run(&[&["dead-letters", "resolve", "--rule", "mail"], &note[..]].concat());
        ended(&unconfirmed, 1);
        let why = "3 dead letters fit, and all would be resolved: nothing was done; confirm with --yes";
        assert_eq!(unconfirmed.stderr, format!("rowhook: error: {why}\n"));
        let one = home.run(&[&["dead-letters", "resolve", "--answer", "timeout"], &note[..]].concat());
        ended(&one, 0);
        assert_eq!(one.stdout, "1 dead letter resolved; list --resolved shows them\n");
        let all = home.run(&[&["dead-letters", "resolve", "--rule", "mail", "--yes"], &note[..]].concat());
        ended(&all, 0);
        assert_eq!((listed(&home, &[]), listed(&home, &["--resolved"])), (vec![1, 3], vec![4, 5, 6]));
        assert_eq!(listed(&home, &["--resolved", "--key", "1"]), [4, 6]);

        let again = ["dead-letters", "resolve", "5", "6", "--note", "another", "--yes"];
        let both = home.run(&again);
        ended(&both, 1);
        let said = "0 dead letters resolved; list --resolved shows them\n5 is resolved already: its note stays as it was\n\
                    6 is resolved already: its note stays as it was\n";
        assert_eq!(both.stdout, said);
        let both = home.run(&[&again[..], &["--json"]].concat());
        let both: Value = serde_json::from_str(&both.stdout).expect("JSON");
        assert_eq!(both, serde_json::json!({"resolved": 0, "resolved_already": [5, 6]}));
        assert!(home.run(&["dead-letters", "show", "6"]).stdout.contains("s ago: settled by hand\n"));

        let missing = home.run(&[&["dead-letters", "resolve", "1", "9", "--yes"], &note[..]].concat());
        ended(&missing, 1);
        assert!(missing.stderr.contains("there is no dead letter 9"), "{}", missing.stderr);
        assert_eq!(listed(&home, &[]), [1, 3], "nothing was done about the other");
    }
}

#[test]
fn a_condition_that_can_not_be_read_says_what_is_expected() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"));
    for (args, part) in [
        (["--answer", "40"], "expected a status such as 404, a class such as 4xx, network or timeout"),
        (["--since", "yesterday"], "expected a time such as 2026-11-20T08:00:00Z, a date such as 2026-11-20, or 2h"),
        (["--until", "2026-13-01"], "expected a time such as 2026-11-20T08:00:00Z"),
        (["--number", "20-10"], "it ends before it begins; write 10-20"),
        (["--number", "last"], "expected numbers such as 10-20, or 10- for all from 10 on"),
        (["--reason", "404"], "expected one of refused, exhausted"),
    ] {
        let finished = home.run(&[&["dead-letters", "list"], &args[..]].concat());
        ended(&finished, 2);
        assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
    }
    ended(&home.run(&["dead-letters", "list", "--since", "2h", "--newer-than", "3h"]), 2);
}
