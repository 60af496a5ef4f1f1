//! `rowhook dead-letters list` over many dead letters: pages, their order, and groups; with a running rowhook and without.

use std::time::Duration;

use rowhook::failure::Reason;
use serde_json::{Value, json};

use crate::letters::{Letter, failed, fill, status};
use crate::support::program::{Finished, Home, Program};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

fn home(letters: &[Letter]) -> Home {
    let rule = "table: shop.other\nrules: [{name: other, call: {url: \"http://127.0.0.1:1/\"}}]\n";
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", rule);
    fill(&home, letters);
    home
}

fn daemon(home: &Home) -> Program {
    let daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("starts", DEADLINE);
    daemon
}

#[track_caller]
fn done(finished: Finished) -> String {
    assert_eq!(finished.code, 0, "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
    finished.stdout
}

fn list(home: &Home, args: &[&str]) -> String {
    done(home.run(&[&["dead-letters", "list"], args].concat()))
}

fn listed(home: &Home, args: &[&str]) -> (Vec<u64>, Value, Value) {
    let listing: Value = serde_json::from_str(&list(home, &[&["--json"], args].concat())).expect("JSON");
    let letters = listing["dead_letters"].as_array().expect("a list").iter();
    let numbers = letters.map(|letter| letter["number"].as_u64().expect("a number")).collect();
    (numbers, listing["more"].clone(), listing["next"].clone())
}

/// Follows the last line of each page, as a person copies it.
fn pages(home: &Home, args: &[&str]) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    let mut command: Vec<String> = ["dead-letters", "list"].iter().chain(args).map(|arg| arg.to_string()).collect();
    loop {
        let text = done(home.run(&command.iter().map(String::as_str).collect::<Vec<_>>()));
        let number = |line: &str| line.split(' ').next().and_then(|number| number.parse().ok());
        pages.push(text.lines().filter_map(number).collect());
        let Some((_, next)) = text.lines().last().and_then(|line| line.split_once(": rowhook ")) else {
            return pages;
        };
        command = next.split(' ').map(|arg| arg.trim_matches('\'').to_string()).collect();
        assert!(pages.len() < 10, "{pages:?}");
    }
}

#[test]
fn each_page_ends_with_the_command_for_the_next_one_until_all_were_shown() {
    let letters: Vec<Letter> =
        (1..=7).map(|id| Letter::of(if id % 2 == 0 { "order-paid" } else { "mail" }, id)).collect();
    let home = home(&letters);
    for runs_daemon in [false, true] {
        let _daemon = runs_daemon.then(|| daemon(&home));
        assert_eq!(pages(&home, &["--limit", "3"]), [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
        assert_eq!(pages(&home, &["--limit", "3", "--sort", "newest"]), [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
        assert_eq!(pages(&home, &["--rule", "mail", "--limit", "2"]), [vec![1, 3], vec![5, 7]]);
        assert_eq!(
            pages(&home, &["--rule", "mail", "--limit", "1", "--sort", "newest", "--number", "2-6"]),
            [vec![5], vec![3]]
        );
        // How many there are is known of all, and not of those that fit.
        assert_eq!(listed(&home, &["--limit", "3"]), (vec![1, 2, 3], json!(4), json!(3)));
        assert_eq!(listed(&home, &["--limit", "3", "--after", "3"]), (vec![4, 5, 6], Value::Null, json!(6)));
        assert_eq!(listed(&home, &["--limit", "3", "--rule", "mail"]), (vec![1, 3, 5], Value::Null, json!(5)));
        assert_eq!(listed(&home, &["--limit", "3", "--after", "6"]), (vec![7], json!(0), Value::Null));
        assert_eq!(list(&home, &["--after", "7"]), "no more dead letters\n");
        let last = list(&home, &["--message", "answered 503", "--limit", "1"]).lines().last().map(str::to_owned);
        let next = "… and more: rowhook dead-letters list --message 'answered 503' --limit 1 --after 1";
        assert_eq!(last.as_deref(), Some(next));
    }
}

#[test]
fn dead_letters_are_counted_by_what_they_have_in_common() {
    let refused = |rule, id: i64, code: u16, age| Letter {
        reason: Reason::Refused,
        message: format!("order {id} of 'customer {id}': answered {code}: not retried"),
        answers: vec![status(code)],
        age: Duration::from_secs(age),
        ..Letter::of(rule, id)
    };
    let home = home(&[
        refused("order-paid", 1, 404, 7_300),
        refused("mail", 2, 404, 60),
        refused("order-paid", 33, 404, 600),
        refused("order-paid", 4, 410, 60),
        Letter { answers: vec![failed("no answer within 10s")], message: "late".to_owned(), ..Letter::of("mail", 5) },
        refused("order-paid", 666, 404, 120),
    ]);
    for runs_daemon in [false, true] {
        let _daemon = runs_daemon.then(|| daemon(&home));
        let table = list(&home, &["--group-by", "rule,answer,message"]);
        let expected = "\
count  oldest  newest  example  rule        answer   message
    3      2h      2m        1  order-paid  404      order <n> of <value>: answered 404: not retried
    1      1m      1m        2  mail        404      order <n> of <value>: answered 404: not retried
    1      1m      1m        4  order-paid  410      order <n> of <value>: answered 410: not retried
    1      1m      1m        5  mail        timeout  late
";
        assert_eq!(table, expected);
        let groups = list(&home, &["--group-by", "answer", "--rule", "order-paid", "--limit", "1", "--json"]);
        let groups: Value = serde_json::from_str(&groups).expect("JSON");
        let mut group = groups["groups"][0].clone();
        for time in ["oldest", "newest"] {
            group.as_object_mut().expect("an object").remove(time).expect("a time");
        }
        assert_eq!(group, json!({"answer": "404", "count": 3, "example": 1}));
        let sums = [&groups["dead_letters"], &groups["more_groups"], &groups["other"]];
        assert_eq!(sums, [&json!(4), &json!(1), &json!(0)]);
        let more = "… and 1 more group; --limit shows more of them\n";
        assert!(list(&home, &["--group-by", "answer", "--rule", "order-paid", "--limit", "1"]).ends_with(more));
        let none = list(&home, &["--group-by", "op,table,reason", "--key", "7"]);
        assert_eq!(none, "no dead letters\n");
    }
    let wrong = home.run(&["dead-letters", "list", "--group-by", "rule,status"]);
    assert_eq!(wrong.code, 2);
    let expected = "expected one or several of rule, table, reason, answer, message, op, such as rule,answer";
    assert!(wrong.stderr.contains(expected), "{}", wrong.stderr);
}
