//! `rowhook preview` beside a real server: the verdict of each rule, with its reason and its request; nothing is sent.

use std::time::Duration;

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(60);

const RULES: &str = "table: DATABASE.orders
rules:
  - name: order-paid
    on: update
    changed: status
    when: row.status == 'paid' and row.total >= 100
    rate: 5/s
    redact: note
    call:
      url: \"http://127.0.0.1:1/orders/{{ row.id }}\"
      headers: {X-Key: \"{{ env.PREVIEW_KEY }}\"}
      form: {status: \"{{ row.status }}\", total: \"{{ row.total }}\"}
  - name: order-note
    when: row.note is not none and row.note != 'x'
    redact: note
    call: {url: \"http://127.0.0.1:1/notes/{{ row.note }}\", method: PUT, text: \"{{ row.id }}\"}
  - name: order-old
    when: old.status == 'new'
    call: {url: \"http://127.0.0.1:1/\"}
";

async fn shop(server: &MysqlServer) -> (String, Home) {
    let database = server.fresh_database().await;
    let orders = "id INT PRIMARY KEY, status VARCHAR(10), total DECIMAL(10,2), note VARCHAR(20)";
    server.query(&format!("USE {database}; CREATE TABLE orders ({orders})")).await;
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &RULES.replace("DATABASE", &database));
    (database, home.with_env("PREVIEW_KEY", "s3cret"))
}

/// Runs it over these changes, and returns what it printed.
async fn previewed(arguments: &[&str], changes: &str) -> Vec<String> {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    let url = server.root_url();
    let mut program: Program = home.start(&[&["preview", "--mysql", &url][..], arguments].concat());
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("USE {database}; {changes}")).await;
    assert_eq!(program.wait(DEADLINE), 0);
    assert!(!home.path("data").exists(), "no store was touched");
    let lines = program.lines().into_iter().map(|line| line.replace(&database, "DATABASE"));
    lines.filter(|line| !line.contains("reading after")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_says_whether_it_matches_and_which_clause_says_no() {
    let changes = "INSERT INTO orders VALUES (1, 'new', 12.3, NULL); UPDATE orders SET total = 50; \
                   UPDATE orders SET status = 'paid'; UPDATE orders SET status = 'paid', note = 'secret', total = 100; \
                   UPDATE orders SET status = 'new'; UPDATE orders SET status = 'paid'";
    let lines = previewed(&["--count", "6", "--json"], changes).await;
    let rules: Vec<Vec<(String, String, String)>> = lines
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a JSON document on each line");
            assert!(!line["change"].to_string().contains("secret"), "a rule redacts it: {}", line["change"]);
            let text = |rule: &Value, member: &str| rule[member].as_str().unwrap_or_default().to_owned();
            let of_rule = |rule: &Value| (text(rule, "verdict"), text(rule, "clause"), text(rule, "why"));
            line["rules"].as_array().expect("a list").iter().map(of_rule).collect()
        })
        .collect();
    let no = |clause: &str, why: &str| ("does_not_match".to_owned(), clause.to_owned(), why.to_owned());
    let yes = || ("matches".to_owned(), String::new(), String::new());
    let note = || no("when", "`row.note is not none` is false: row.note is ***");
    let no_old =
        "`when`: there is no old row for an insert, so `old.status` has no value; guard it with `old is none or …`";
    assert_eq!(
        rules,
        [
            vec![
                no("on", "it is for update, and this is an insert"),
                note(),
                ("dead_letter".into(), String::new(), no_old.into())
            ],
            vec![no("changed", "status is the same, \"new\""), note(), yes()],
            vec![no("when", "`row.total >= 100` is false: row.total is \"50.00\""), note(), yes()],
            vec![
                no("changed", "status is the same, \"paid\""),
                yes(),
                no("when", "`old.status == 'new'` is false: old.status is \"paid\"")
            ],
            vec![
                no("when", "`row.status == 'paid'` is false: row.status is \"new\""),
                yes(),
                no("when", "`old.status == 'new'` is false: old.status is \"paid\""),
            ],
            vec![yes(), yes(), yes()],
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_shows_the_request_with_its_secrets_masked() {
    let changes = "INSERT INTO orders VALUES (7, 'new', 100, 'a b'); UPDATE orders SET status = 'paid'";
    let lines = previewed(&["order-paid", "order-note", "--count", "2"], changes).await;
    let text = lines.join("\n");
    for expected in [
        "insert DATABASE.orders {\"id\":7}",
        "  order-paid  does not match, `on`: it is for update, and this is an insert",
        "  order-note  matches",
        "    PUT http://127.0.0.1:1/notes/***",
        "    Content-Type: text/plain; charset=utf-8",
        "  order-paid  matches",
        "    POST http://127.0.0.1:1/orders/7",
        "    X-Key: ***",
        "    Content-Type: application/x-www-form-urlencoded",
        "    status=paid&total=100.00",
        "    - in order with other changes of id = 7",
        "    - up to 3 retries, the first after 500ms",
        "    - at most 5 in 1s",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("s3cret") && !text.contains("a b") && !text.contains("order-old"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_be_shown_as_a_command() {
    let changes = "INSERT INTO orders VALUES (7, 'new', 100, 'it''s')";
    let text = previewed(&["order-note", "--curl"], changes).await.join("\n");
    assert!(text.contains("\ncurl -X PUT 'http://127.0.0.1:1/notes/***' \\\n  -H "), "{text}");
    assert!(text.contains("--data-raw '7'"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_does_not_exist_is_an_error() {
    let server = MysqlServer::shared();
    let (_, home) = shop(server).await;
    let mut program = home.start(&["preview", "order-payd", "--mysql", &server.root_url()]);
    assert_ne!(program.wait(DEADLINE), 0);
    let lines = program.lines().join("\n");
    assert!(lines.contains("no rule is named order-payd; did you mean `order-paid`?"), "{lines}");
}

/// What is printed of a stored row of the shop, after this statement.
async fn of_row(statement: &str, arguments: &[&str]) -> (i32, String) {
    let server = MysqlServer::shared();
    let (database, home) = shop(server).await;
    server.query(&format!("USE {database}; {statement}")).await;
    let url = server.root_url();
    let mut program: Program = home.start(&[&["preview", "--mysql", &url][..], arguments].concat());
    let code = program.wait(DEADLINE);
    assert!(!home.path("data").exists(), "no store was touched");
    (code, program.lines().join("\n").replace(&database, "DATABASE"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_row_is_shown_as_an_insert_an_update_or_a_delete() {
    let insert = "INSERT INTO orders VALUES (42, 'new', 120.5, 'a'), (43, 'new', 1, NULL)";
    for (arguments, expected) in [
        (
            &["--row", "id=42"][..],
            &["insert DATABASE.orders {\"id\":42}\n", "it is for update, and this is an insert"][..],
        ),
        (
            &["--row", "id=42", "--set", "status=paid"],
            &["update DATABASE.orders {\"id\":42}\n", "    status=paid&total=120.50", "order-old   matches"],
        ),
        (
            &["--row", "id=42", "--set", "status=paid", "--set", "total=99.99"],
            &["`row.total >= 100` is false: row.total is \"99.99\""],
        ),
        (
            &["--row", "id=42", "--set", "note=NULL"],
            &["status is the same, \"new\"", "`row.note is not none` is false"],
        ),
        (&["--row", "id=42", "--delete"], &["delete DATABASE.orders", "order-old   matches"]),
        (&["--row", "status=new", "--row", "total=1"], &["insert DATABASE.orders {\"id\":43}"]),
        (&["order-note", "--row", "id=42", "--curl"], &["curl -X PUT 'http://127.0.0.1:1/notes/***'"]),
    ] {
        let (code, printed) = of_row(insert, arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {printed}");
        for expected in expected {
            assert!(printed.contains(expected), "{arguments:?}: {expected} is not in\n{printed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_row_is_an_error_that_says_why() {
    let insert = "INSERT INTO orders VALUES (1, 'new', 1, NULL), (2, 'new', 1, NULL)";
    for (arguments, expected) in [
        (&["--row", "id=9"][..], "table DATABASE.orders has no such row"),
        (&["--row", "status=new"], "several rows of table DATABASE.orders are like that; name the primary key"),
        (&["--row", "ids=1"], "table DATABASE.orders has no column `ids`; did you mean `id`?"),
        (&["--row", "id"], "write it as COLUMN=VALUE, for example id=42"),
        (
            &["--row", "id=1", "--set", "total=1.234"],
            "column total takes a number with up to 8 digits before and 2 behind the point",
        ),
        (&["--row", "id=1", "--table", "DATABASE.nothing"], "fix: correct the name, or create the table;"),
        (&["--row", "id=1", "--row", "id=2"], "--row names column id twice; give it one value"),
        (
            &["--row", "id=1", "--set", "total=1", "--set", "total=2"],
            "--set names column total twice; give it one value",
        ),
        (&["--row", "id=1", "id=2"], "write --row or --set before each COLUMN=VALUE"),
        (&["--set", "id=1"], "--row"),
    ] {
        let (code, printed) = of_row(insert, arguments).await;
        assert_ne!(code, 0, "{arguments:?}: {printed}");
        assert!(printed.contains(expected), "{arguments:?}: {expected} is not in\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_a_file_is_shown_as_if_it_had_happened() {
    let server = MysqlServer::shared();
    let (_, home) = shop(server).await;
    let event = |text: &str| {
        home.write("change.json", text);
        let path = home.path("change.json");
        home.run(&["preview", "--mysql", &server.root_url(), "--event", path.to_str().expect("a path")])
    };
    let update = event(
        r#"{"op": "update", "before": {"status": "new"}, "after": {"id": 7, "status": "paid", "total": "100.50", "note": null}}"#,
    );
    assert_eq!(update.code, 0, "{update:?}");
    for expected in ["{\"id\":7}", "order-paid  matches", "    status=paid&total=100.50", "order-old   matches"] {
        assert!(update.stdout.contains(expected), "{expected} is not in\n{}", update.stdout);
    }
    for (text, expected) in [
        ("[]", "no JSON object"),
        (r#"{"op": "udpate", "after": {}}"#, "`op` is insert, update or delete"),
        (r#"{"op": "insert", "before": {}}"#, "it has no `after`"),
        (r#"{"op": "insert", "after": {"idd": 1}}"#, "has no column `idd`; did you mean `id`?"),
        (r#"{"op": "insert", "after": {"total": [1]}}"#, "column total takes a single value"),
        (r#"{"op": "insert", "after": {"total": 1.234}}"#, "column total takes a number with up to 8 digits before"),
    ] {
        let finished = event(text);
        assert!(finished.code != 0 && finished.stderr.contains(expected), "{text}: {finished:?}");
        assert!(finished.stderr.contains("--event") && finished.stderr.lines().count() == 1, "{text}: {finished:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_sent_for_real_and_marked() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.orders (id INT PRIMARY KEY)")).await;
    server.query(&format!("INSERT INTO {database}.orders VALUES (1), (2), (3)")).await;
    let receiver = Receiver::start(|request| match &*request.path {
        "/orders/1" => Answer::ok(),
        "/orders/2" => Answer::status(503),
        _ => Answer::status(400).with_body("no such order"),
    });
    let rules = format!(
        "table: {database}.orders\nrules:\n  - name: first\n    on: insert\n    call: {{url: '{}/{{{{ row.id }}}}'}}\n  - name: second\n    on: \
         delete\n    call: {{url: '{0}/{{{{ row.id }}}}'}}\n  - name: third\n    on: delete\n    call: {{url: '{0}'}}\n",
        receiver.url("/orders")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("orders.yaml", &rules);
    let send =
        |arguments: &[&str]| home.run(&[&["preview", "--mysql", &server.root_url(), "--send"], arguments].concat());
    for (id, code, expected) in [
        ("id=1", 0, "sent for rule first: answered 200\ndelivered\n"),
        ("id=2", 1, "sent for rule first: answered 503\nanother attempt would follow after 500ms\n"),
        (
            "id=3",
            1,
            "sent for rule first: answered 400\n  no such order\nit would become a dead letter (refused): not retried\n",
        ),
    ] {
        let finished = send(&["--row", id, "--yes"]);
        assert_eq!(finished.code, code, "{finished:?}");
        assert!(finished.stdout.contains(expected), "{finished:?}");
    }
    let sent = receiver.received();
    assert_eq!(sent.len(), 3, "each once");
    let keys: std::collections::BTreeSet<_> = sent.iter().map(|request| request.key.clone().expect("an id")).collect();
    assert_eq!(keys.len(), 3, "each with an id of its own");
    assert!(sent.iter().all(|request| request.headers["rowhook-preview"] == "1"));

    for (arguments, expected) in [
        (&["--row", "id=1"][..], "there is no terminal to ask on; confirm with --yes"),
        (&["--row", "id=1", "--delete", "--yes"], "several rules match; name one of second, third"),
        (&["second", "--row", "id=1", "--yes"], "no rule matches"),
        (&["--yes"], "name it with --row or --event"),
    ] {
        let finished = send(arguments);
        assert!(finished.code != 0 && finished.stderr.contains(expected), "{arguments:?}: {finished:?}");
    }
    assert_eq!(receiver.count(), 3, "nothing more was sent");
    assert!(!home.path("data").exists(), "no store was touched");
}
