//! Mistakes, each reported at its place: in files, rules, calls, targets and directories.

use super::*;

#[test]
fn a_batch_goes_to_one_host() {
    let text = "table: a.b\nrules:\n  - name: hooks\n    batch: {size: 5}\n    call: {url: \"{{ row.url }}\", allow_hosts: '*.example.com'}\n";
    let problems = load(text).expect_err("refused").to_string();
    assert!(problems.contains("the URL reads `row`, but with `batch` one request stands for many rows"), "{problems}");
}

#[test]
fn every_mistake_is_reported_at_its_place() {
    let call =
        |keys: &str| format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: http://a.test/, {keys}}}\n");
    let url = |url: &str| format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: \"{url}\"}}\n");
    let allowing = |url: &str, hosts: &str| {
        format!("table: shop.orders\nrules:\n  - name: r\n    call: {{url: \"{url}\", allow_hosts: {hosts}}}\n")
    };
    let two = "table: a.b\nrules:\n  - name: r\n    call: {url: http://a.test/}\n  - name: r\n    call: {url: http://a.test/}\n";
    let tables = |line: &str| format!("{line}\nrules: [{{name: r, call: {{url: http://a.test/}}}}]\n");
    let mut deep = "table: a.b\nrules: ".to_string();
    deep.push_str(&"[".repeat(40));
    deep.push_str(&"]".repeat(40));
    let cases: Vec<(String, usize, usize, &str)> = vec![
        // The file.
        ("rules: [{name: r, call: {url: http://a.test/}}]\n".into(), 1, 1, "`table` is missing"),
        ("table: a.b\n".into(), 1, 1, "`rules` is missing"),
        (tables("table: a.b\ntables: [c.d]"), 2, 9, "both say which rows are meant"),
        (tables("table: [a.b, c.d]"), 1, 8, "a list of them is called `tables`"),
        (tables("tables: []"), 1, 9, "an empty list"),
        (tables("tables: [a.b, c]"), 1, 15, "`c` is not a table"),
        (tables("tables: [a.b, a.b]"), 1, 15, "`a.b` is named twice"),
        ("table: a.b\nrules: []\n".into(), 2, 8, "at least one rule"),
        ("table: orders\nrules: [{name: r, call: {url: http://a.test/}}]\n".into(), 1, 8, "is not a table"),
        ("- a\n".into(), 1, 1, "a rule file must be a map of table, tables, vars, rules, not a list"),
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
        // Parts of a body.
        (call("multipart: [a]"), 4, 44, "`multipart` must be a map from name to value, not a list"),
        (call("multipart: {}"), 4, 44, "`multipart` has no parts"),
        (call("multipart: {a: {filename: x}}"), 4, 48, "part `a` has no `value`"),
        (call("multipart: {a: {value: x, json: 1}}"), 4, 65, "leave one of them out"),
        (call("multipart: {a: {vale: x, value: y}}"), 4, 49, "unknown key `vale` in a part; did you mean `value`?"),
        (call("multipart: {a: {value: x, type: csv}}"), 4, 65, "`type` is the literal media type"),
        (call("multipart: {a: [[x]]}"), 4, 49, "a list of parts holds single values and maps"),
        (call("multipart: {'{{ row.a }}': x}"), 4, 45, "the name of a part is literal"),
        (call("multipart: {a: '{{ rw.a }}'}"), 4, 52, "unknown name `rw`"),
        (
            call("multipart: {a: x}, headers: {Content-Type: multipart/form-data}"),
            4,
            62,
            "rowhook sets the `Content-Type`",
        ),
        (call("headers: {Content-Type: multipart/form-data}"), 4, 43, "write the parts under `multipart`"),
        (call("multipart: {a: x}, form: {a: x}"), 4, 58, "both say what is sent"),
        // The rule.
        ("table: a.b\nrules:\n  - call: {url: http://a.test/}\n".into(), 3, 5, "the rule has no `name`"),
        ("table: a.b\nrules:\n  - name: r\n".into(), 3, 5, "the rule has no `call`"),
        (
            "table: a.b\nrules:\n  - name: a b\n    call: {url: http://a.test/}\n".into(),
            3,
            11,
            "`name` is 1 to 64 characters",
        ),
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
        (rule("on: truncate\n    on_dead_letter: hold_key"), 4, 9, "and `on_dead_letter: hold_key` needs them"),
        (rule("on: [insert, truncate]\n    batch: {size: 10}"), 4, 9, "and `batch` needs them"),
        (rule("on: truncate\n    per: transaction"), 4, 9, "and `per` needs them"),
        (rule("coalesce: {within: 1s}\n    on: [truncate]"), 5, 9, "and `coalesce` needs them"),
        (rule("on: trunkate"), 4, 9, "did you mean `truncate`?"),
        (rule("batch: {size: 10}\n    on_dead_letter: hold_key"), 5, 21, "and `batch` don't go together"),
        (rule("per: transaction\n    on_dead_letter: hold_key"), 5, 21, "and `per` don't go together"),
        (rule("coalesce: {within: 1s}\n    on_dead_letter: hold_key"), 5, 21, "and `coalesce` don't go together"),
        (rule("in_flight: 0"), 4, 16, "from 1 to 1024"),
        (rule("rate: 50"), 4, 11, "`rate` is `none` or a rate such as `50/s`"),
        (rule("rate: 0/s"), 4, 11, "`rate` is `none` or a rate"),
        (rule("rate: 50/d"), 4, 11, "`rate` is `none` or a rate"),
        (rule("rate: 1.5/s"), 4, 11, "`rate` is `none` or a rate"),
        (rule("hold_binlog: true"), 4, 5, "`hold_binlog` is called `pin_binlog` now"),
        (rule("pin_binlog: maybe"), 4, 17, "`pin_binlog` is true or false, not `maybe`"),
        (rule("rate: 1000001/s"), 4, 11, "from 1 to 1000000"),
        (rule("retry: {retries: 1000001}"), 4, 22, "from 0 to 1000000, or `forever`"),
        (rule("retry: {retries: for ever}"), 4, 22, "or `forever`"),
        (
            rule("retry_on: [429, 6xx]"),
            4,
            21,
            "`retry_on` has statuses such as `429`, classes such as `5xx`, `network` and `timeout`, not `6xx`",
        ),
        (rule("retry_on: [network, 2xx]"), 4, 25, "is in `success`, too"),
        (rule("retry_on: [timeouts]"), 4, 16, "`network` and `timeout`, not `timeouts`"),
        (
            rule("retry: {initial: soon}"),
            4,
            22,
            "`initial` is a duration such as `500ms`, `10s` or `1m 30s`, not `soon`",
        ),
        (rule("retry: {max_delay: 2h}"), 4, 24, "between 1ms and 1h"),
        (rule("retry: {jitter: 1.5}"), 4, 21, "from 0 to 1"),
        (rule("retry: {multiplier: .nan}"), 4, 25, "from 1 to 10"),
        (rule("retry: {initial: 40s}"), 4, 12, "longer than `max_delay`"),
        (rule("retry: 3"), 4, 12, "must be a map of retries"),
        ("table: a.b\nrules:\n  - name: r\n    steps: []\n".into(), 4, 12, "`steps` is a list of 1 to 32 steps"),
        // The call.
        ("table: a.b\nrules:\n  - name: r\n    call: {method: POST}\n".into(), 4, 11, "the call has no `url`"),
        (call("method: post"), 4, 41, "did you mean `POST`?"),
        (call("method: GET, body: {a: 1}"), 4, 52, "a GET request has no body"),
        (call("timeout: 6m"), 4, 42, "between 1ms and 5m"),
        (call("success: [2xx, 99]"), 4, 48, "`success` has statuses"),
        (call("success: [6xx]"), 4, 43, "`success` has statuses"),
        (call("allow_hosts: ['*.x']"), 4, 17, "this one is literal"),
        (allowing("http://{{ row.h }}.a.test/", "'*.a.test', egress: any"), 4, 80, "at public addresses only"),
        (call("egress: private"), 4, 41, "`egress` is public_only or any, not `private`"),
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
        (call("success: {statuses: 200}"), 4, 43, "write `status`"),
        (call("success: {when: answer.ok}"), 4, 49, "`answer` has no `ok`"),
        (call("success: {when: steps.a.json.ok}"), 4, 49, "read from `answer`, and not from `steps`"),
        (rule("retry_on: {when: 'answer.json.x =='}"), 4, 37, "unexpected"),
        (rule("retry_on: {wait: answer.jsn}"), 4, 22, "did you mean `json`?"),
        (rule("retry_on: {status: [2xx]}"), 4, 25, "is in `success`, too"),
        (
            rule("when: answer.json.ok"),
            4,
            11,
            "`answer` is there in the `when` of `verify`, `success` and `retry_on` only",
        ),
        // What is sent, and its type.
        (call("body: {a: 1}, form: {a: 1}"), 4, 39, "`body` and `form` both say what is sent; leave one of them out"),
        (call("form: {a: 1}, text: a"), 4, 39, "`form` and `text` both say what is sent"),
        (call("method: GET, text: a"), 4, 52, "a GET request has no body; leave `text` out"),
        (call("form: a"), 4, 39, "`form` must be a map from field to value, not a single value"),
        (call("form: {}"), 4, 39, "`form` must be a map"),
        (call("form: {a: {b: ~}}"), 4, 47, "a form has no null; write `''`"),
        (call("form_lists: indices"), 4, 45, "there is no `form`"),
        (call("form: {a: 1}, form_lists: indexes"), 4, 59, "did you mean `indices`?"),
        (call("form: {a: [{b: 1}]}, form_lists: repeat"), 4, 44, "the elements of a list are single values"),
        (call("form: {a: '{{ row.x.y() }}'}"), 4, 50, "no methods"),
        (call("text: {a: 1}"), 4, 39, "`text` must be a single value"),
        (call("headers: {Content-Type: text/plain}, body: {a: 1}"), 4, 43, "write the text under `text`"),
        (call("headers: {Content-Type: text/plain}"), 4, 43, "write the text under `text`"),
        (call("headers: {content-type: application/x-www-form-urlencoded}, body: a"), 4, 43, "under `form`"),
        (call("headers: {Content-Type: application/soap+xml}, body: a"), 4, 43, "write the text under `text`"),
        (call("headers: {Content-Type: application/json}, text: a"), 4, 43, "write JSON under `body`"),
        (call("headers: {Content-Type: application/json}, form: {a: 1}"), 4, 43, "write JSON under `body`"),
        (call("headers: {Content-Type: text/plain}, form: {a: 1}"), 4, 43, "write the text under `text`"),
        (call("headers: {Content-Type: multipart/form-data}, text: a"), 4, 43, "write the parts under `multipart`"),
        (call("headers: {Content-Type: '{{ row.a }}'}, text: a"), 4, 43, "the `Content-Type` of a `text` is literal"),
        (call("headers: {Content-Type: text/xml}, text: '<a {{ row.a }}/>'"), 4, 78, "it could add attributes"),
        (rule_calling("batch: {size: 5}", "form: {a: 1}"), 4, 5, "`batch` joins JSON bodies, and `form` is none"),
        (rule("batch: {format: jsonl}"), 4, 21, "`format` is array, ndjson or lines, not `jsonl`"),
        (rule("batch: {format: lines}"), 4, 5, "write what is on a line as `text`"),
        (rule("batch: {line: {a: 1}}"), 4, 19, "`line` stands before each body of a batch with `format: ndjson` only"),
        (rule("batch: {format: ndjson, line: {a: '{{ row.x.y() }}'}}"), 4, 46, "no methods"),
        (rule_calling("batch: {format: ndjson}", "text: a"), 4, 5, "`batch` joins JSON bodies, and `text` is none"),
        (rule_calling("per: transaction", "text: a"), 4, 5, "`per` joins JSON bodies, and `text` is none"),
        (url("http://{{ row.host }}/"), 4, 25, "allow_hosts"),
        (url("{{ row.url }}"), 4, 18, "allow_hosts"),
        (url("http://u:p@a.test/"), 4, 25, "`Authorization` header"),
        (url("ftp://a.test/"), 4, 18, "use http or https"),
        (url("http://a.test/{{ rwo.id }}"), 4, 35, "did you mean `row`?"),
    ];
    each_has_one_mistake(cases, load);
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
        ("targets: {https://a.test: {rate: fast}}", 1, 34, "`rate` is a rate"),
        ("targets: {https://a.test: {in_flight: 0}}", 1, 39, "from 1 to 4096"),
        (
            "targets: {https://a.test: {breaker: on}}",
            1,
            37,
            "`breaker` is off or a map with failures, probe and max_probe, not `on`",
        ),
        ("targets: {https://a.test: {breaker: {failures: 0}}}", 1, 48, "from 1 to 1000"),
        ("targets: {https://a.test: {breaker: {probe: 1m}}}", 1, 37, "longer than `max_probe`"),
        ("targets: {https://a.test: {breaker: {max_probe: 2h}}}", 1, 49, "between 1ms and 1h"),
        ("targets:\n  https://a.test: {}\n  HTTPS://A.test:443/: {}", 3, 3, "is set already, at targets.yaml:2:3"),
    ];
    each_has_one_mistake(cases, |text| {
        let files = [("rules.yaml", rules.as_str()), ("targets.yaml", text)];
        let loaded = RuleSet::from_texts(&files.map(|(name, text)| (PathBuf::from(name), text.to_string())), &env);
        json_schema::assert_schema_agrees(text, &loaded);
        loaded
    });
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
b.yaml:4:13: unknown key `retires` in `retry`; did you mean `retries`?
   4 |     retry: {retires: 3}
     |             ^"
    );
}

#[test]
fn a_directory_or_file_without_rules_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let message = |dir: &Path| RuleSet::load(dir, &env).expect_err("nothing to load").to_string();
    assert!(message(dir.path()).contains("there is no rule file"));
    assert!(message(&dir.path().join("missing")).contains("there is no such directory of rules"));
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
fn omit_is_refused_in_what_is_always_sent() {
    let call = "url: http://a.test/";
    for keys in [
        "call: {url: 'http://a.test/{{ row.a or omit }}'}".to_owned(),
        format!("call: {{{call}, body: '{{{{ row.a or omit }}}}'}}"),
        format!("call: {{{call}, text: '{{{{ row.a or omit }}}}'}}"),
        format!("batch: {{format: ndjson, line: '{{{{ row.a or omit }}}}'}}\n    call: {{{call}}}"),
        format!("retry_on: {{wait: answer.json.wait or omit}}\n    call: {{{call}}}"),
        "steps: [{name: s, sql: {statement: 'DELETE FROM t WHERE id = :id', params: {id: '{{ row.a or omit }}'}}}]"
            .to_owned(),
    ] {
        let text = format!("table: a.b\nrules:\n  - name: r\n    {keys}\n");
        let problems = load(&text).expect_err(&keys).to_string();
        assert!(problems.contains("here nothing can be left out"), "{keys}: {problems}");
    }
}
