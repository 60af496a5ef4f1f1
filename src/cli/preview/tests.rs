//! What a preview prints of a change: what rules redact is masked, a statement has its values.

use std::path::PathBuf;

use super::*;
use crate::change::{Cell, Op, Row, Table, Transaction, Value};

const EMAIL: &str = "ada@example.com";

fn change() -> Arc<Change> {
    let cells = [Value::Uint(7), Value::Text(EMAIL.into()), Value::Text("x".into())].map(Cell::Value);
    let table = Table {
        schema: "shop".into(),
        name: "users".into(),
        columns: vec!["id".into(), "email".into(), "note".into()],
        primary_key: vec![1],
    };
    Arc::new(Change {
        op: Op::Insert,
        table: Arc::new(table),
        before: None,
        after: Some(Row::from_iter(cells)),
        transaction: Arc::new(Transaction::example()),
        ordinal: 1,
    })
}

/// What is printed, as text and as JSON, under these rules.
fn shown(rules: &str) -> [String; 2] {
    let made = Made::of(&loaded(rules), &change(), None);
    [false, true].map(|json| printed(&made, &change(), RequestForm::Plain, json).expect("it is printed"))
}

fn loaded(rules: &str) -> Vec<Arc<Rule>> {
    let text = format!("table: shop.users\nrules:\n{rules}");
    let targets = "targets:\n  http://b.test: {proxy: 'http://me:s3cret@of-b:3128'}\n  http://c.test: {proxy: none}\n";
    let files =
        [("r.yaml", text), ("targets.yaml", targets.to_owned())].map(|(name, text)| (PathBuf::from(name), text));
    let rules = RuleSet::from_texts(&files, &|_| Some("s3cret".to_owned()));
    chosen(&rules.expect("the rules load"), &[]).expect("all of them")
}

#[test]
fn the_proxy_that_a_call_would_take_is_named_without_its_login() {
    let rules = loaded(
        "  - {name: a, call: {url: 'http://a.test/'}}\n  - {name: b, call: {url: 'http://b.test/'}}\n  - {name: c, call: {url: \
         'http://c.test/'}}\n",
    );
    let proxy = Arc::new(ProxyServer::parse("http://set:3128").expect("a proxy"));
    let shown = |proxy: Option<&Arc<ProxyServer>>, form, json| {
        let made = Made::of(&rules, &change(), proxy);
        let printed = printed(&made, &change(), form, json).expect("it is printed");
        assert!(!printed.contains("s3cret") && !printed.contains("me:"), "{printed}");
        printed
    };
    let text = shown(Some(&proxy), RequestForm::Plain, false);
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("proxy")).collect();
    assert_eq!(lines, ["    - through the proxy http://set:3128", "    - through the proxy http://of-b:3128"]);
    assert_eq!(shown(None, RequestForm::Plain, false).matches("proxy").count(), 1);
    let curl = shown(Some(&proxy), RequestForm::Curl, false);
    assert!(curl.contains(" \\\n  --proxy 'http://set:3128'\n"), "{curl}");
    assert!(curl.contains(" \\\n  --proxy 'http://***:***@of-b:3128'\n"), "{curl}");
    assert_eq!(curl.matches("--proxy").count(), 2);
    let json = shown(Some(&proxy), RequestForm::Plain, true);
    assert!(
        json.contains("through the proxy http://set:3128") && json.contains("--proxy 'http://***:***@of-b:3128'"),
        "{json}"
    );
}

#[test]
fn a_command_can_be_pasted_with_a_body_of_several_lines() {
    let rules = loaded(
        "  - name: a\n    call:\n      url: http://a.test/\n      headers: {Content-Type: text/plain}\n      text: |\n        one\n          two\n",
    );
    let made = Made::of(&rules, &change(), None);
    let printed = printed(&made, &change(), RequestForm::Curl, false).expect("it is printed");
    assert!(printed.contains("\ncurl -X POST 'http://a.test/' \\\n  -H "), "{printed}");
    assert!(printed.contains(" \\\n  --data-raw 'one\n  two\n'\n"), "{printed}");
}

#[test]
fn what_a_chosen_rule_redacts_is_shown_nowhere() {
    let [text, json] = shown(
        "  - {name: a, redact: email, when: row.note == 'y', call: {url: 'http://a.test/'}}
  - {name: b, redact: email, call: {url: 'http://a.test/{{ row.email }}', form: {to: '{{ row.email }}', id: '{{ row.id }}'}}}
  - {name: c, redact: email, call: {url: 'http://a.test/', body: {hash: '{{ row.email | sha256 }}'}}}
  - {name: d, redact: email, call: {url: 'http://a.test/', body: {mail: '{{ row.email.x | default(row.email) }}'}}}
",
    );
    for shown in [&text, &json] {
        assert!(!shown.contains(EMAIL) && !shown.contains("ada"), "{shown}");
    }
    assert!(text.starts_with("insert shop.users {\"email\":\"***\"}"), "{text}");
    for expected in ["    POST http://a.test/***\n", "    to=***&id=7\n", "in order with other changes of email = ***"]
    {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&json).expect("a document");
    assert_eq!(json["change"]["after"], serde_json::json!({"id": 7, "email": "***", "note": "x"}));
    assert_eq!(json["change"]["key"], serde_json::json!({"email": "***"}));
}

#[test]
fn what_is_made_from_a_redacted_column_and_not_from_stars_is_not_shown() {
    let [text, _] = shown("  - {name: a, redact: id, call: {url: 'http://a.test/', body: {n: '{{ row.id + 1 }}'}}}\n");
    assert!(
        text.contains("  a  matches: what is sent can't be shown, because it is made from a redacted column"),
        "{text}"
    );
}

#[test]
fn a_statement_is_shown_with_its_values() {
    let [text, json] = shown(
        "  - name: a
    steps:
      - name: s
        sql:
          statement: UPDATE t SET a = :note, b = :key WHERE id = :id
          params: {note: '{{ row.note }}', key: '{{ env.KEY }}', id: '{{ row.id }}'}
",
    );
    let expected =
        "    UPDATE t SET a = :note, b = :key WHERE id = :id\n      note: \"x\"\n      key: ***\n      id: 7\n";
    assert!(text.contains(expected), "{text}");
    let json: serde_json::Value = serde_json::from_str(&json).expect("a document");
    let statement = &json["rules"][0]["statement"];
    assert_eq!(statement["sql"], "UPDATE t SET a = :note, b = :key WHERE id = :id");
    assert_eq!(statement["params"], serde_json::json!([["note", "\"x\""], ["key", "***"], ["id", "7"]]));
}
