//! Rule files as people write them, well and badly; matching; ordering keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::change::{Cell, Change, Row, Table, Transaction, Value};
use crate::ordering::LaneKey;
use crate::retry::Retries;

mod attacks;

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "s3cret".to_string())
}

fn load(text: &str) -> Result<RuleSet, Diagnostics> {
    RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text.to_string())], &env)
}

/// A file with one rule, whose keys besides `name` and `call` are given.
fn rule(keys: &str) -> String {
    format!("table: shop.orders\nrules:\n  - name: r\n    {keys}\n    call: {{url: http://a.test/}}\n")
}

fn rule_set(keys: &str) -> RuleSet {
    load(&rule(keys)).expect("the rule loads")
}

fn change(op: Op, before: Option<[Value; 3]>, after: Option<[Value; 3]>) -> Arc<Change> {
    let row = |values: [Value; 3]| Row::from_iter(values.map(Cell::Value));
    Arc::new(Change {
        op,
        table: Arc::new(Table {
            schema: "shop".into(),
            name: "orders".into(),
            columns: vec!["id".into(), "status".into(), "customer".into()],
            primary_key: vec![0],
        }),
        before: before.map(row),
        after: after.map(row),
        transaction: Arc::new(Transaction {
            server_uuid: Uuid::nil(),
            gtid: None,
            file: "binlog.000001".into(),
            offset: 4,
            committed_at_us: 0,
        }),
        ordinal: 1,
    })
}

fn values(id: u64, status: &str, customer: i64) -> [Value; 3] {
    [Value::Uint(id), Value::Text(status.into()), Value::Int(customer)]
}

fn matched(rules: &RuleSet, change: &Arc<Change>) -> Vec<(String, Option<String>)> {
    let mut out = Vec::new();
    rules.matches(change, &mut out);
    out.into_iter().map(|found| (found.rule.name.clone(), found.undecided)).collect()
}

#[test]
fn a_full_rule_is_read_with_all_its_keys() {
    let text = "
table: shop_*.orders
rules:
  - name: order-paid
    on: [insert, update]
    changed: [status]
    when: row.status == 'paid'
    order_by: [customer]
    call:
      method: PUT
      url: https://fulfilment.example.com/orders/{{ row.id }}
      headers:
        Authorization: Bearer {{ env.TOKEN }}
      body: {order_id: \"{{ row.id }}\"}
      timeout: 1m 30s
      success: [2xx, 409]
    retry: {retries: 2, initial: 1s, multiplier: 3, max_delay: 1m, jitter: 0}
    on_dead_letter: continue
    hold_binlog: true
    in_flight: 8
";
    let rules = load(text).expect("loads");
    let rule = rules.rule("order-paid").expect("exists");
    assert_eq!(rule.on, [Op::Insert, Op::Update]);
    assert_eq!(rule.changed, ["status"]);
    assert_eq!(rule.order_by, OrderBy::Columns(vec!["customer".into()]));
    assert_eq!((rule.call.method, rule.call.timeout), (Method::Put, Duration::from_secs(90)));
    assert!(rule.call.success.contains(204) && rule.call.success.contains(409) && !rule.call.success.contains(404));
    assert_eq!(
        (rule.retry.retries, rule.retry.initial, rule.retry.jitter),
        (Retries::AtMost(2), Duration::from_secs(1), 0.0)
    );
    assert_eq!(rule.in_flight, 8);
    assert!(rule.hold_binlog && !rule_set("in_flight: 1").rules()[0].hold_binlog);
    assert!(rules.patterns().match_any("shop_de", "orders"));
    let columns: Vec<_> = rule.columns.iter().map(|used| (&*used.name, used.line, used.column)).collect();
    assert_eq!(columns, [("status", 6, 15), ("customer", 8, 16), ("status", 7, 11), ("id", 11, 53), ("id", 14, 28)]);
}

#[test]
fn a_rule_says_how_often_and_on_what_it_retries() {
    for (text, expected) in
        [("0", Retries::AtMost(0)), ("1000000", Retries::AtMost(1_000_000)), ("forever", Retries::Forever)]
    {
        let rules = rule_set(&format!("retry: {{retries: {text}}}"));
        assert_eq!(rules.rules()[0].retry.retries, expected);
    }
    let rules = rule_set("retry_on: [404, 5xx, network]");
    let expected = RetryOn { statuses: vec![(404, 404), (500, 599)], network: true, timeout: false };
    assert_eq!(rules.rules()[0].retry_on, expected);
    let rules = rule_set("retry_on: timeout");
    assert_eq!(rules.rules()[0].retry_on, RetryOn { statuses: vec![], network: false, timeout: true });
}

#[test]
fn a_rule_calls_the_target_of_its_url() {
    let target = |url: &str| {
        let text = format!("table: a.b\nrules:\n  - name: r\n    call: {{url: \"{url}\"}}\n");
        load(&text).expect("loads").rules()[0].target.origin.clone()
    };
    assert_eq!(target("https://API.example.com:443/a/{{ row.id }}"), "https://api.example.com");
    assert_eq!(target("http://10.0.0.1:8080"), "http://10.0.0.1:8080");
}

#[test]
fn the_hosts_that_rows_choose_are_one_target_of_their_rule_that_is_never_away() {
    let text =
        "table: a.b\nrules:\n  - name: hooks\n    call: {url: \"{{ row.url }}\", allow_hosts: '*.example.com'}\n";
    let rules = load(text).expect("loads");
    let target = &rules.rules()[0].target;
    assert_eq!((target.origin.as_str(), &target.breaker, target.is_many_hosts), ("hosts of hooks", &None, true));
}

#[test]
fn a_batch_goes_to_one_host() {
    let text = "table: a.b\nrules:\n  - name: hooks\n    batch: {size: 5}\n    call: {url: \"{{ row.url }}\", allow_hosts: '*.example.com'}\n";
    let problems = load(text).expect_err("refused").to_string();
    assert!(problems.contains("the URL reads `row`, but with `batch` one request stands for many rows"), "{problems}");
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let rules = rule_set("on: [insert, update, delete]");
    let rule = &rules.rules()[0];
    assert_eq!(
        (rule.call.timeout, rule.in_flight, &rule.order_by),
        (Duration::from_secs(10), 32, &OrderBy::PrimaryKey)
    );
    assert_eq!(rule.retry, RetryPolicy::default());
    assert!(matches!((rule.call.method, &rule.call.body), (Method::Post, Body::Change)));
}

/// Each text has one mistake: its place and a part of the message.
#[test]
fn every_mistake_is_reported_at_its_place() {
    let call =
        |keys: &str| format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: http://a.test/, {keys}}}\n");
    let url = |url: &str| format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: \"{url}\"}}\n");
    let allowing = |url: &str, hosts: &str| {
        format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: \"{url}\", allow_hosts: {hosts}}}\n")
    };
    let two = "table: a.b\nrules:\n  - name: r\n    call: {url: http://a.test/}\n  - name: r\n    call: {url: http://a.test/}\n";
    let mut deep = "table: a.b\nrules: ".to_string();
    deep.push_str(&"[".repeat(40));
    deep.push_str(&"]".repeat(40));
    let cases: Vec<(String, usize, usize, &str)> = vec![
        // The file.
        ("rules: [{name: r, call: {url: http://a.test/}}]\n".into(), 1, 1, "`table` is missing"),
        ("table: a.b\n".into(), 1, 1, "`rules` is missing"),
        ("table: a.b\nrules: []\n".into(), 2, 8, "at least one rule"),
        ("table: orders\nrules: [{name: r, call: {url: http://a.test/}}]\n".into(), 1, 8, "is not a table"),
        ("- a\n".into(), 1, 1, "a rule file must be a map of table, rules, not a list"),
        (
            "tabel: a.b\ntable: a.b\nrules: [{name: r, call: {url: http://a.test/}}]\n".into(),
            1,
            1,
            "did you mean `table`?",
        ),
        (
            "table: a.b\ntable: c.d\nrules: [{name: r, call: {url: http://a.test/}}]\n".into(),
            2,
            1,
            "given twice; the first is in line 1",
        ),
        ("table: a.b\nrules: [{name: r, call: {url: http://a.test/}}]\n---\nx: 1\n".into(), 3, 1, "one document"),
        ("table: a.b\nrules: [\n".into(), 2, 8, "not YAML"),
        ("table: &t a.b\nrules: [{name: r, call: {url: http://a.test/}}]\n".into(), 1, 11, "anchors"),
        ("table: *t\nrules: [{name: r, call: {url: http://a.test/}}]\n".into(), 1, 8, "aliases"),
        ("table: !t a.b\nrules: [{name: r, call: {url: http://a.test/}}]\n".into(), 1, 11, "tags"),
        (deep, 2, 39, "more than 32 levels"),
        // The rule.
        ("table: a.b\nrules:\n  - call: {url: http://a.test/}\n".into(), 3, 5, "the rule has no `name`"),
        ("table: a.b\nrules:\n  - name: r\n".into(), 3, 5, "the rule has no `call`"),
        ("table: a.b\nrules:\n  - name: a b\n    call: {url: http://a.test/}\n".into(), 3, 11, "1 to 64 characters"),
        (two.into(), 5, 5, "rule `r` exists already, at f.yaml:3:5"),
        (rule("retires: 3"), 4, 5, "unknown key `retires` in a rule; did you mean `retry`?"),
        (rule("on: [insert, updaet]"), 4, 18, "did you mean `update`?"),
        (rule("on: [insert, insert]"), 4, 18, "named twice"),
        (rule("on: []"), 4, 9, "an empty list"),
        (rule("on: {a: 1}"), 4, 9, "must be a single value, not a map"),
        (rule("on: delete\n    changed: [a]"), 5, 14, "which `on` leaves out"),
        (rule("when: row.a = 1"), 4, 17, "unexpected"),
        (rule("when: \"row.a == rwo.b\""), 4, 21, "did you mean `row`?"),
        (rule("when: |\n      row.a == 1 and\n        odl.a == 2"), 6, 9, "did you mean `old`?"),
        (rule("when: row.a | uper == 'A'"), 4, 19, "did you mean `upper`?"),
        (rule("when:"), 4, 9, "`when` must be a single value, not nothing"),
        (rule("order_by: primarykey"), 4, 15, "did you mean `primary_key`?"),
        (rule("start: yesterday"), 4, 12, "expected latest, earliest, a GTID set"),
        (rule("start: binlog.000001:x"), 4, 12, "the offset must be a number"),
        (rule("on_dead_letter: paused"), 4, 21, "not `paused`; did you mean `pause`?"),
        (rule("order_by: none\n    on_dead_letter: hold_key"), 5, 21, "needs an order to keep"),
        (rule("batch: {size: 10}\n    on_dead_letter: hold_key"), 5, 21, "and `batch` don't go together"),
        (rule("per: transaction\n    on_dead_letter: hold_key"), 5, 21, "and `per` don't go together"),
        (rule("coalesce: {within: 1s}\n    on_dead_letter: hold_key"), 5, 21, "and `coalesce` don't go together"),
        (rule("in_flight: 0"), 4, 16, "from 1 to 1024"),
        (rule("rate: 50"), 4, 11, "is no rate; write one as `50/s`"),
        (rule("rate: 0/s"), 4, 11, "is no rate"),
        (rule("rate: 50/d"), 4, 11, "is no rate"),
        (rule("rate: 1.5/s"), 4, 11, "is no rate"),
        (rule("hold_binlog: maybe"), 4, 18, "`hold_binlog` is true or false"),
        (rule("rate: 1000001/s"), 4, 11, "from 1 to 1000000"),
        (rule("retry: {retries: 1000001}"), 4, 22, "from 0 to 1000000, or `forever`"),
        (rule("retry: {retries: for ever}"), 4, 22, "or `forever`"),
        (rule("retry_on: [429, 6xx]"), 4, 21, "is nothing to retry on"),
        (rule("retry_on: [network, 2xx]"), 4, 25, "is in `success`, too"),
        (rule("retry_on: [timeouts]"), 4, 16, "`network` or `timeout`"),
        (rule("retry: {initial: soon}"), 4, 22, "is no duration"),
        (rule("retry: {max_delay: 2h}"), 4, 24, "between 1ms and 1h"),
        (rule("retry: {jitter: 1.5}"), 4, 21, "from 0 to 1"),
        (rule("retry: {multiplier: .nan}"), 4, 25, "from 1 to 10"),
        (rule("retry: {initial: 40s}"), 4, 12, "longer than `max_delay`"),
        (rule("retry: 3"), 4, 12, "must be a map of retries"),
        ("table: a.b\nrules:\n  - name: r\n    steps: []\n".into(), 4, 5, "`steps` is not supported by this version"),
        // The call.
        ("table: a.b\nrules:\n  - name: r\n    call: {method: POST}\n".into(), 4, 11, "the call has no `url`"),
        (call("method: post"), 4, 41, "did you mean `POST`?"),
        (call("method: GET, body: {a: 1}"), 4, 52, "a GET request has no body"),
        (call("timeout: 6m"), 4, 42, "between 1ms and 5m"),
        (call("success: [2xx, 99]"), 4, 48, "is no status"),
        (call("success: [6xx]"), 4, 43, "is no status"),
        (call("allow_hosts: ['*.x']"), 4, 17, "this one is literal"),
        (call("egress: private"), 4, 41, "`egress` is `public_only` or left out, not `private`"),
        (allowing("{{ row.url }}", "[a.test, 'b.*.test']"), 4, 56, "`b.*.test` is no pattern of hosts"),
        (allowing("{{ row.url }}", "[]"), 4, 47, "an empty list"),
        (allowing("{{ row.url }}.a.test/", "[a.test]"), 4, 18, "comes `/`, `?` or nothing"),
        (allowing("{{ row.url }}{{ row.path }}", "[a.test]"), 4, 18, "comes `/`, `?` or nothing"),
        (allowing("ftp://{{ row.host }}/", "[a.test]"), 4, 18, "or a value that is a URL"),
        (allowing("{{ row.scheme }}://a.test/", "[a.test]"), 4, 18, "comes `/`, `?` or nothing"),
        (allowing("https://u:p@{{ row.host }}/", "[a.test]"), 4, 18, "without user and password"),
        (allowing("https://[{{ row.host }}]/", "[a.test]"), 4, 18, "letters, digits"),
        (allowing("https://{{ row.host }}%2e.test/", "[a.test]"), 4, 18, "letters, digits"),
        (allowing("https://{{ row.host }}/a#b", "[a.test]"), 4, 18, "fragment"),
        (allowing("https://{{ row.host }}/../b", "[a.test]"), 4, 18, "without `.` and `..`"),
        (allowing("https://{% if true %}a{% endif %}/", "[a.test]"), 4, 18, "takes `{{ }}` only"),
        (call("headers: {Host: a}"), 4, 43, "set by rowhook"),
        (call("headers: {idempotency-key: a}"), 4, 43, "set by rowhook"),
        (call("headers: {'a b': c}"), 4, 43, "a header's name is literal"),
        (call("headers: {X-A: a, x-a: b}"), 4, 51, "given twice"),
        (call("headers: {X-A: \"a\\r\\nb\"}"), 4, 43, "line breaks"),
        (call("headers: {X-A: '{{ env.MISSING }}'}"), 4, 52, "environment variable `MISSING` is not set"),
        (call("headers: [a]"), 4, 42, "must be a map from name to value"),
        (call("body: {a: '{{ row.x.y() }}'}"), 4, 50, "no methods"),
        (call("body: {'{{ row.a }}': 1}"), 4, 40, "a key of a body is literal"),
        (call("body: {a: '{% include \"x\" %}'}"), 4, 47, "only `if`, `for` and `set`"),
        (url("http://{{ row.host }}/"), 4, 25, "allow_hosts"),
        (url("{{ row.url }}"), 4, 18, "allow_hosts"),
        (url("http://u:p@a.test/"), 4, 25, "`Authorization` header"),
        (url("ftp://a.test/"), 4, 18, "use http or https"),
        (url("http://a.test/{{ rwo.id }}"), 4, 35, "did you mean `row`?"),
    ];
    let mut surprises = String::new();
    for (text, line, column, expected) in cases {
        let shown = match load(&text) {
            Err(Diagnostics(problems)) if problems.len() == 1 && problems[0].message.contains(expected) => {
                if problems[0].place == Some(Place { line, column }) {
                    continue;
                }
                problems[0].to_string()
            }
            Err(problems) => problems.to_string(),
            Ok(_) => "loads".to_string(),
        };
        surprises += &format!("expected {line}:{column}: {expected}\nfound {shown}\nin\n{text}\n");
    }
    assert!(surprises.is_empty(), "{surprises}");
}

#[test]
fn what_is_set_for_a_target_holds_for_all_rules_that_call_it() {
    let targets = "targets:\n  https://a.test:\n    rate: 90/m\n    in_flight: 64\n    breaker: {failures: 9, probe: 2s}\n  \
                   http://B.test:8080/: {breaker: off}\n  http://unused.test: {}\n";
    let rules = "table: a.b\nrules:\n  - name: a1\n    rate: 5/s\n    call: {url: https://a.test/1}\n  - name: a2\n    \
                 call: {url: https://a.test:443/2}\n  - name: b\n    call: {url: http://b.test:8080/}\n  - name: c\n    \
                 call: {url: http://a.test/}\n";
    let files = [("rules.yaml", rules), ("targets.yaml", targets)];
    let files = files.map(|(name, text)| (PathBuf::from(name), text.to_string()));
    let rules = RuleSet::from_texts(&files, &env).expect("loads");
    let rule = |name: &str| rules.rule(name).expect("exists");
    let a = Target {
        origin: "https://a.test".to_string(),
        rate: Some(Rate { count: 90, per: Duration::from_secs(60) }),
        in_flight: Some(64),
        breaker: Some(BreakerPolicy { failures: 9, probe: Duration::from_secs(2), ..BreakerPolicy::default() }),
        is_many_hosts: false,
    };
    assert_eq!((&*rule("a1").target, &*rule("a2").target), (&a, &a));
    assert_eq!(rule("a1").rate, Some(Rate { count: 5, per: Duration::from_secs(1) }));
    assert_eq!((rule("b").target.origin.as_str(), &rule("b").target.breaker), ("http://b.test:8080", &None));
    assert_eq!(rules.unused_targets(), ["targets.yaml:7:3: no rule calls http://unused.test"]);
    let unset = Target {
        origin: "http://a.test".to_string(),
        rate: None,
        in_flight: None,
        breaker: Some(BreakerPolicy::default()),
        is_many_hosts: false,
    };
    assert_eq!((&*rule("c").target, rule("c").rate), (&unset, None));
}

#[test]
fn every_mistake_about_targets_is_reported_at_its_place() {
    let rules = rule("on: insert");
    let cases = [
        ("targets: [a]", 1, 10, "must be a map from origin"),
        ("targets: {}\ntable: a.b", 2, 1, "unknown key `table` in a file of targets"),
        ("targets: {https://a.test/v1: {}}", 1, 11, "scheme, host and port alone: `https://a.test`"),
        ("targets: {https://u:p@a.test: {}}", 1, 11, "scheme, host and port alone"),
        ("targets: {'https://a.test/?b': {}}", 1, 11, "scheme, host and port alone"),
        ("targets: {a.test: {}}", 1, 11, "is no origin"),
        ("targets: {ftp://a.test: {}}", 1, 11, "is no origin"),
        ("targets: {https://a.test: 50/s}", 1, 27, "a target must be a map of rate, in_flight, breaker"),
        ("targets: {https://a.test: {rat: 50/s}}", 1, 28, "did you mean `rate`?"),
        ("targets: {https://a.test: {rate: fast}}", 1, 34, "is no rate"),
        ("targets: {https://a.test: {in_flight: 0}}", 1, 39, "from 1 to 4096"),
        ("targets: {https://a.test: {breaker: on}}", 1, 37, "unless it is `off`"),
        ("targets: {https://a.test: {breaker: {failures: 0}}}", 1, 48, "from 1 to 1000"),
        ("targets: {https://a.test: {breaker: {probe: 1m}}}", 1, 37, "longer than `max_probe`"),
        ("targets: {https://a.test: {breaker: {max_probe: 2h}}}", 1, 49, "between 1ms and 1h"),
        ("targets:\n  https://a.test: {}\n  HTTPS://A.test:443/: {}", 3, 3, "is set already, at targets.yaml:2:3"),
    ];
    let mut surprises = String::new();
    for (text, line, column, expected) in cases {
        let files = [("rules.yaml", rules.as_str()), ("targets.yaml", text)];
        let files = files.map(|(name, text)| (PathBuf::from(name), text.to_string()));
        let place = Some(Place { line, column });
        let shown = match RuleSet::from_texts(&files, &env) {
            Err(Diagnostics(found)) if matches!(&found[..], [one] if one.place == place && one.message.contains(expected)) =>
            {
                continue;
            }
            Err(problems) => problems.to_string(),
            Ok(_) => "loads".to_string(),
        };
        surprises += &format!("expected {line}:{column}: {expected}\nfound {shown}\nin\n{text}\n");
    }
    assert!(surprises.is_empty(), "{surprises}");
    let alone = load("targets: {https://a.test: {}}").expect_err("no rules");
    assert_eq!(alone.to_string(), "f.yaml: there are targets, but no file with rules");
}

#[test]
fn all_problems_of_all_files_come_at_once_in_order_with_their_lines() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    write("b.yaml", "table: a.b\nrules:\n  - name: same\n    retry: {retires: 3}\n    call: {url: http://a.test/}\n");
    write(
        "a.yml",
        "table: a.b\nrules:\n  - name: same\n    in_flight: x\n    when: row.a ==\n    call: {url: http://a.test/}\n",
    );
    write("notes.txt", "not: [a rule file");
    write(".hidden.yaml", "not: [a rule file");
    let shown = RuleSet::load(dir.path(), &env).expect_err("problems").to_string();
    let shown = shown.replace(&format!("{}/", dir.path().display()), "");
    assert_eq!(
        shown,
        "a.yml:4:16: `in_flight` must be a whole number from 1 to 1024
   4 |     in_flight: x
     |                ^
a.yml:5:17: template: unexpected end of input, expected expression
   5 |     when: row.a ==
     |                 ^
b.yaml:4:13: unknown key `retires` in `retry`; did you mean `retries`?; known are retries, initial, multiplier, max_delay, jitter
   4 |     retry: {retires: 3}
     |             ^"
    );
}

#[test]
fn a_directory_or_file_that_is_no_use_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let message = |dir: &Path| RuleSet::load(dir, &env).expect_err("nothing to load").to_string();
    assert!(message(dir.path()).contains("there is no rule file"));
    assert!(message(&dir.path().join("missing")).contains("can't be read"));
    std::fs::write(dir.path().join("big.yaml"), " ".repeat((1 << 20) + 1)).expect("written");
    std::fs::write(dir.path().join("bytes.yaml"), b"table: a.b\n\xff").expect("written");
    std::fs::write(dir.path().join("empty.yaml"), b"").expect("written");
    let shown = message(dir.path());
    for expected in ["larger than 1048576 bytes", "line 2 is not UTF-8", "empty.yaml"] {
        assert!(shown.contains(expected), "`{expected}` is not in\n{shown}");
    }
}

#[test]
fn two_rules_of_one_name_in_two_files_name_both_places() {
    let text = rule("on: insert");
    let files = [(PathBuf::from("a.yaml"), text.clone()), (PathBuf::from("b.yaml"), text)];
    let shown = RuleSet::from_texts(&files, &env).expect_err("same name").to_string();
    assert!(shown.starts_with("b.yaml:3:5: rule `r` exists already, at a.yaml:3:5"), "{shown}");
}

#[test]
fn columns_that_a_table_lacks_are_found_with_their_places() {
    let rules = rule_set("when: row.sttaus == 'paid' and old.id == 1");
    let columns: Vec<Box<str>> = vec!["id".into(), "status".into()];
    let flaws = rules.rules()[0].unknown_columns("shop.orders", &columns);
    assert_eq!(flaws.len(), 1);
    assert_eq!((flaws[0].line, flaws[0].column), (4, 11));
    assert_eq!(flaws[0].message, "table shop.orders has no column `sttaus`; did you mean `status`?");
}

#[test]
fn a_change_matches_by_operation_changed_columns_and_condition() {
    let (new, paid) = (values(1, "new", 5), values(1, "paid", 5));
    let insert = change(Op::Insert, None, Some(paid.clone()));
    let update = change(Op::Update, Some(new.clone()), Some(paid.clone()));
    let same = change(Op::Update, Some(paid.clone()), Some(paid.clone()));
    let delete = change(Op::Delete, Some(paid), None);
    let read = change(Op::Read, None, Some(new));
    for (keys, expected) in [
        ("in_flight: 1", [true, true, true, true, false]),
        ("on: read", [false, false, false, false, true]),
        ("changed: [status]", [true, true, false, true, false]),
        ("changed: [id, customer]", [true, false, false, true, false]),
        ("when: row.status == 'paid'", [true, true, true, true, false]),
        ("when: old is none or old.status != row.status", [true, true, false, false, false]),
        ("on: [update]\n    when: \"'status' in changed\"", [false, true, false, false, false]),
    ] {
        let rules = rule_set(keys);
        for (change, expected) in [&insert, &update, &same, &delete, &read].into_iter().zip(expected) {
            let expected: Vec<_> = expected.then(|| ("r".to_string(), None)).into_iter().collect();
            assert_eq!(matched(&rules, change), expected, "{keys} on {}", change.op);
        }
    }
}

#[test]
fn what_cant_be_decided_matches_with_the_reason() {
    let update = change(Op::Update, Some(values(1, "new", 5)), Some(values(1, "paid", 5)));
    for (keys, expected) in [
        ("when: row.state == 'paid'", "`when`: table shop.orders has no column `state`"),
        ("when: row.status > 5", "`when`: `>` can't be used with a string and a number"),
        ("changed: [state]", "no column `state`, which `changed` names"),
        ("order_by: [state]", "no column `state`, which `order_by` names"),
    ] {
        let found = matched(&rule_set(keys), &update);
        let reason = found[0].1.as_deref().expect(keys);
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains("paid"), "{reason}");
    }
    // Cheap tests come first: what `on` leaves out is never evaluated.
    assert_eq!(matched(&rule_set("on: delete\n    when: row.state == 'paid'"), &update), []);
}

#[test]
fn rules_match_by_table_pattern_in_file_order() {
    let text = "table: shop.*\nrules:\n  - {name: b, call: {url: http://a.test/}}\n  - {name: a, call: {url: http://a.test/}}\n";
    let other = "table: other.orders\nrules:\n  - {name: c, call: {url: http://a.test/}}\n";
    let files = [(PathBuf::from("1.yaml"), text.to_string()), (PathBuf::from("2.yaml"), other.to_string())];
    let rules = RuleSet::from_texts(&files, &env).expect("loads");
    let insert = change(Op::Insert, None, Some(values(1, "new", 5)));
    for _ in 0..2 {
        let names: Vec<String> = matched(&rules, &insert).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "a"]);
    }
    assert_eq!(rules.patterns().0.len(), 2);
}

#[test]
fn ordering_keys_follow_the_row_and_an_update_that_moves_it_has_both() {
    let keys = |order_by: &str, change: &Arc<Change>| {
        rule_set(&format!("order_by: {order_by}")).rules()[0].ordering_keys(change).iter().collect::<Vec<_>>()
    };
    let insert = |id, customer| change(Op::Insert, None, Some(values(id, "new", customer)));
    let update = |from: [Value; 3], to: [Value; 3]| change(Op::Update, Some(from), Some(to));
    let moved = update(values(1, "new", 5), values(2, "new", 5));

    assert_eq!(keys("none", &moved), []);
    assert_eq!(keys("primary_key", &insert(1, 5)), keys("primary_key", &insert(1, 6)));
    assert_ne!(keys("primary_key", &insert(1, 5)), keys("primary_key", &insert(2, 5)));
    let both = [keys("primary_key", &insert(1, 5)), keys("primary_key", &insert(2, 5))].concat();
    assert_eq!(keys("primary_key", &moved), both);
    assert_eq!(keys("[customer]", &moved), keys("[customer]", &insert(9, 5)));
    assert_eq!(keys("table", &moved), keys("table", &insert(7, 7)));
    let delete = change(Op::Delete, Some(values(1, "new", 5)), None);
    assert_eq!(keys("primary_key", &delete), keys("primary_key", &insert(1, 5)));

    let mut keyless = (*insert(1, 5)).clone();
    keyless.table = Arc::new(Table { primary_key: vec![], ..(*keyless.table).clone() });
    assert_eq!(keys("primary_key", &Arc::new(keyless)), keys("table", &insert(7, 7)));
}

/// Held deliveries stand on disk under their keys: a key that changes lets later changes pass them.
#[test]
fn ordering_keys_are_the_same_for_ever() {
    // Computed apart from this program, from the description in `lane.rs`.
    let key = |order_by: &str, status: Value| {
        let change = change(Op::Insert, None, Some([Value::Uint(1), status, Value::Int(-5)]));
        let keys = rule_set(&format!("order_by: {order_by}")).rules()[0].ordering_keys(&change);
        let [LaneKey(key)] = keys.iter().collect::<Vec<_>>()[..] else { panic!("one key") };
        format!("{key:016x}")
    };
    for (order_by, status, expected) in [
        ("table", Value::Null, "9ad47861c1b36541"),
        ("primary_key", Value::Null, "36b0e71ff0f9d8bc"),
        ("[customer]", Value::Null, "ec829372a641202a"),
        ("[customer, id]", Value::Null, "d44dfb8e61c1014f"),
        ("[status]", Value::Null, "325ceb57efd06049"),
        ("[status]", Value::Float(1.5), "4982fe320e40f795"),
        ("[status]", Value::Double(-0.0), "f51fac4154e25f2b"),
        ("[status]", Value::Decimal("1.50".into()), "4700c3e38ba48ead"),
        ("[status]", Value::Text("new".into()), "4444b1d2a9526864"),
        ("[status]", Value::Bytes([0, 255].into()), "982ec00374dc9289"),
        ("[status]", Value::Labels(["a".into(), "b".into()].into()), "62ec3e889ffc5984"),
        ("[status]", Value::Json("{}".into()), "5b82bc6344a726cd"),
    ] {
        assert_eq!(key(order_by, status.clone()), expected, "{order_by} {status:?}");
    }
}

#[test]
fn two_rules_never_share_a_lane() {
    let text = "table: shop.orders\nrules:\n  - {name: a, call: {url: http://a.test/}}\n  - {name: b, call: {url: http://a.test/}}\n";
    let rules = load(text).expect("loads");
    let insert = change(Op::Insert, None, Some(values(1, "new", 5)));
    assert_ne!(rules.rules()[0].ordering_keys(&insert), rules.rules()[1].ordering_keys(&insert));
}

#[test]
fn the_example_rules_load() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let example_env = |_: &str| Some("x".to_string());
    let rules = RuleSet::load(&dir, &example_env).unwrap_or_else(|problems| panic!("{problems}"));
    let mut files: Vec<_> = rules.rules().iter().filter_map(|rule| rule.path.file_name()?.to_str()).collect();
    files.dedup();
    assert_eq!(
        files,
        [
            "shop.order_lines.yaml",
            "shop.orders.yaml",
            "shop.outbox.yaml",
            "shop.payments.yaml",
            "shop.products.yaml",
            "shop.stock.yaml",
            "shop.subscriptions.yaml",
            "shop.users.yaml"
        ]
    );
}

#[test]
fn rules_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&rule_set("when: row.id == 1"));
}

#[test]
fn what_a_rule_needs_of_a_row_is_known_column_by_column() {
    let table = Table {
        schema: "shop".into(),
        name: "orders".into(),
        columns: vec!["id".into(), "status".into(), "customer".into()],
        primary_key: vec![0],
    };
    let needs = |keys: &str, call: &str| {
        let text =
            format!("table: shop.orders\nrules:\n  - name: r\n    {keys}\n    call: {{url: http://a.test/, {call}}}\n");
        let rules = load(&text).expect("the rule loads");
        let rule = &rules.rules()[0];
        let columns = |reads: &dyn Fn(&str) -> bool| {
            table.columns.iter().filter(|column| reads(column)).map(|column| &**column).collect::<Vec<_>>().join(" ")
        };
        (columns(&|column| rule.sends(&table, column)), columns(&|column| rule.decides_by(column)))
    };
    let all = "id status customer";
    for (keys, call, sends, decides) in [
        ("order_by: none", "timeout: 1s", all, ""),
        ("order_by: none", "method: GET", "", ""),
        ("order_by: primary_key", "method: GET", "id", ""),
        ("order_by: table", "method: GET", "", ""),
        ("order_by: [customer]", "method: GET", "customer", ""),
        ("order_by: none", "body: {a: '{{ row.id }}', b: ['x {{ old.status }}']}", "id status", ""),
        ("order_by: none", "body: {a: \"{{ row['customer'] }}\"}", "customer", ""),
        ("order_by: none", "body: {a: '{{ row }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ key }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ changed }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ row[table] }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ old[table] }}'}", all, ""),
        ("order_by: none", "body: {a: '{% for c in row %}{{ c }}{% endfor %}'}", all, ""),
        ("order_by: none", "body: {a: '{{ op }} {{ event.id }}'}", "", ""),
        ("order_by: none", "body: {a: '{{ row.id if old is none else 0 }}'}", "id", ""),
        ("order_by: none", "body: 1, headers: {X-A: '{{ row.status }}'}", "status", ""),
        (
            "{order_by: none, changed: customer, when: \"row.status == 'x' and old is not none\"}",
            "body: 1",
            "",
            "status customer",
        ),
    ] {
        // Flow style keeps keys of a rule on one line.
        let keys = keys.trim_matches(['{', '}']).replace(", ", "\n    ");
        assert_eq!(needs(&keys, call), (sends.to_string(), decides.to_string()), "{keys} {call}");
    }
}
