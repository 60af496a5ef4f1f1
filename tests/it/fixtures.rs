//! `rowhook test`, run as a person would: the example rules' fixtures, failures, problems, and what `--update` writes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::program::{Finished, Home};

const RULE: &str = "\
table: shop.orders
rules:
  - name: order-paid
    on: [insert, update]
    when: row.status == 'paid'
    call:
      url: \"http://127.0.0.1:1/orders/{{ row.id }}\"
      headers: {Authorization: \"Bearer {{ env.NOT_SET_HERE }}\"}
      body: {id: \"{{ row.id }}\", total: \"{{ row.total }}\"}
      sign: {webhook: {env: NOR_IS_THIS}}
  - name: order-audit
    on: delete
    call: {url: \"http://127.0.0.1:1/audit\", auth: {bearer: {file: /no/such/token}}}
";

const SCHEMA: &str = "\
tables:
  shop.orders:
    columns:
      id: int not null
      status: enum('new','paid') not null default 'new'
      total: decimal(10,2)
    primary_key: [id]
";

const FIXTURES: &str = "\
tests:
  - name: a paid order is sent
    insert: {id: 42, status: paid, total: 12.3}   # the total is exact
    expect:
      order-paid:
        url: http://127.0.0.1:1/orders/42
        headers: {Authorization: \"***\"}
        json: {id: 42, total: \"12.30\"}
";

fn home(fixtures: &str) -> Home {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", RULE);
    fs::create_dir(home.path("rules/tests")).expect("making a folder");
    home.with_rule("tests/schema.yaml", SCHEMA).with_rule("tests/orders.yaml", fixtures)
}

/// What it printed, without the time that it took.
fn shown(finished: &Finished) -> String {
    let end = finished.stdout.rfind(" in ").unwrap_or(finished.stdout.len());
    finished.stdout[..end].to_owned()
}

/// The folders of example rules.
fn examples() -> [PathBuf; 2] {
    ["rules", "rules/write-back"].map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

#[test]
fn every_example_rule_has_fixtures_that_pass() {
    for folder in examples() {
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook"));
        let finished = home.run(&["test", "--rules", folder.to_str().expect("UTF-8")]);
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        assert!(!finished.stdout.contains("note:"), "{}", finished.stdout);
        assert!(finished.stdout.contains(" passed in 0."), "{}", finished.stdout);
    }
}

#[test]
fn a_fixture_that_passes_has_a_line_and_a_rule_without_one_a_note() {
    let finished = home(FIXTURES).run(&["test"]);
    let expected = "rules/tests/orders.yaml\n  ok       a paid order is sent\n\
                    note: no fixture has a change that rule order-audit matches (rules/orders.yaml)\n1 passed";
    assert_eq!((finished.code, shown(&finished).as_str()), (0, expected), "{finished:?}");
    let finished = home(FIXTURES).run(&["test", "rules/tests/orders.yaml"]);
    assert!(!finished.stdout.contains("note:"), "{}", finished.stdout);
}

#[test]
fn a_fixture_that_fails_shows_each_part_that_differs_and_why() {
    let text = FIXTURES.replace("12.30", "12.31").replace("orders/42\n", "orders/43\n")
        + "  - name: a new order is sent, too\n    insert: {id: 1}\n    expect:\n      order-paid: {method: POST}\n";
    let home = home(&text);
    let finished = home.run(&["test"]);
    let expected = "\
rules/tests/orders.yaml
  FAILED   a paid order is sent
    rules/tests/orders.yaml:2:5
    order-paid: url
      expected  http://127.0.0.1:1/orders/43
      actual    http://127.0.0.1:1/orders/42
    order-paid: json.total
      expected  \"12.31\"
      actual    \"12.30\"
  FAILED   a new order is sent, too
    rules/tests/orders.yaml:9:5
    order-paid: result
      expected  a request
      actual    no match, by `when`
      why       `row.status == 'paid'` is false: row.status is \"new\"
note: no fixture has a change that rule order-audit matches (rules/orders.yaml)
0 passed, 2 failed";
    assert_eq!((finished.code, shown(&finished).as_str()), (1, expected));
    let json: Value = serde_json::from_str(&home.run(&["test", "--json"]).stdout).expect("JSON");
    assert_eq!((&json["ok"], &json["failed"]), (&false.into(), &2.into()));
    assert_eq!(json["fixtures"][0]["differences"][1]["part"], "json.total");
    assert_eq!(json["rules_without_fixture"][0], "order-audit");
}

#[test]
fn a_fixture_without_the_answer_that_the_rule_reads_is_told_so() {
    let rule = "table: shop.orders\nrules:\n  - {name: judged, call: {url: 'http://127.0.0.1:1/', success: {when: answer.json.ok}}}\n";
    let fixture = "tests:\n  - {name: a, insert: {id: 1, total: 1}, expect: {judged: {outcome: delivered}}}\n";
    let home = home(fixture).with_rule("orders.yaml", rule);
    let finished = home.run(&["test"]);
    assert_eq!(finished.code, 1);
    assert!(finished.stdout.contains("      why       its answer is empty; write `answer`\n"), "{}", finished.stdout);
    let json: Value = serde_json::from_str(&home.run(&["test", "--json"]).stdout).expect("JSON");
    assert_eq!(json["fixtures"][0]["differences"][0]["why"], "its answer is empty; write `answer`");
}

#[test]
fn update_writes_what_the_rules_do_now_and_keeps_the_rest() {
    let home = home(&FIXTURES.replace("12.30", "12.31"));
    let finished = home.run(&["test", "--update"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.stdout.contains("  updated  a paid order is sent\n"), "{}", finished.stdout);
    assert!(shown(&finished).ends_with("0 passed, 1 updated"), "{}", finished.stdout);
    assert_eq!(fs::read_to_string(home.path("rules/tests/orders.yaml")).expect("a file"), FIXTURES);
    assert_eq!(home.run(&["test"]).code, 0);
}

#[test]
fn update_that_cant_be_written_leaves_the_file_as_it_was() {
    let before = FIXTURES.replace("12.30", "1.30");
    let home = home(&before);
    // As a full disk does, so long a name lets nothing be written beside the file.
    let name = format!("rules/tests/{}.yaml", "x".repeat(245));
    fs::rename(home.path("rules/tests/orders.yaml"), home.path(&name)).expect("renaming");
    let finished = home.run(&["test", "--update"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains(&format!("{name}: File name too long")), "{}", finished.stderr);
    assert_eq!(fs::read_to_string(home.path(&name)).expect("reading"), before);
}

#[test]
fn problems_of_files_are_shown_with_their_places_and_other_fixtures_are_tried() {
    let text = FIXTURES.to_owned() + "  - name: b\n    insert: {id: 1, stat: paid}\n    expect: none\n";
    let finished = home(&text).run(&["test"]);
    let expected = "\
rules/tests/orders.yaml
  ok       a paid order is sent
rules/tests/orders.yaml:10:21: table shop.orders has no column `stat`; did you mean `status`?; known are id, status, total
  10 |     insert: {id: 1, stat: paid}
     |                     ^
note: no fixture has a change that rule order-audit matches (rules/orders.yaml)
1 passed, 1 problem";
    assert_eq!((finished.code, shown(&finished).as_str()), (1, expected));
    let home =
        home(FIXTURES).with_rule("tests/schema.yaml", &SCHEMA.replace("total: decimal(10,2)", "sum: decimal(10,2)"));
    let finished = home.run(&["test"]);
    assert_eq!(finished.code, 1);
    assert!(finished.stdout.contains("rules/orders.yaml:9:"), "{}", finished.stdout);
    assert!(finished.stdout.contains("table shop.orders has no column `total`"), "{}", finished.stdout);
    let home = home.with_rule("orders.yaml", &RULE.replace("when:", "wen:"));
    let finished = home.run(&["test"]);
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("unknown key `wen`"), "{finished:?}");
}

#[test]
fn without_fixtures_or_tables_it_says_how_to_begin() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", RULE);
    let finished = home.run(&["test"]);
    assert_eq!(finished.code, 1);
    assert!(
        finished
            .stderr
            .contains("there are no fixtures; first make rules/tests/schema.yaml: `rowhook test --save-schema"),
        "{finished:?}"
    );
    assert!(finished.stderr.contains("; then write one into rules/tests, for example"), "{finished:?}");
    fs::create_dir(home.path("rules/tests")).expect("making a folder");
    let finished = home.with_rule("tests/a.yaml", FIXTURES).run(&["test"]);
    assert!(finished.stderr.contains("there is no rules/tests/schema.yaml"), "{finished:?}");
}
