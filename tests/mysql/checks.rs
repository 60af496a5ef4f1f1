//! What `rowhook check` says of rules beside the tables of a real server, each with its place and what to do.

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::Home;

const RULES: &str = "table: DATABASE.orders
rules:
  - name: by-status
    order_by: [status]
    call: {url: \"http://127.0.0.1:1/{{ row.note }}\"}
  - name: never
    when: row.status == 'new' and row.status == 'paid'
    call: {url: \"http://127.0.0.1:1/{{ row.id }}\"}
  - name: filled
    when: row.status is none
    call: {url: \"http://127.0.0.1:1/{{ row.id }}\"}
  - name: sound
    changed: status
    when: row.note is not none
    order_by: [customer]
    call: {url: \"http://127.0.0.1:1/{{ row.note }}\"}
";

#[tokio::test]
async fn check_says_what_the_tables_make_doubtful_with_places_and_fixes() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let orders = "id INT PRIMARY KEY, status ENUM('new', 'paid') NOT NULL, note VARCHAR(20), customer INT NOT NULL, KEY (customer)";
    server.query(&format!("USE {database}; CREATE TABLE orders ({orders}); CREATE TABLE log (line TEXT)")).await;
    let log = "table: DATABASE.log\nrules:\n  - name: logged\n    call: {url: 'http://127.0.0.1:1/'}\n";
    let nothing = "table: DATABASE_none_*.orders\nrules:\n  - name: nothing\n    call: {url: 'http://127.0.0.1:1/'}\n";
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_rule("log.yaml", &log.replace("DATABASE", &database))
        .with_rule("none.yaml", &nothing.replace("DATABASE", &database))
        .with_rule("orders.yaml", &RULES.replace("DATABASE", &database));
    let checked = home.run(&["check", "--json", "--mysql", &server.root_url()]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let report: Value = serde_json::from_str(&checked.stdout).expect("a JSON document");
    let findings = report["findings"].as_array().expect("a list").iter();
    let of_files: Vec<String> = findings
        .filter(|finding| finding["level"] == "warning" && finding["file"].is_string())
        .map(|finding| {
            let what = finding["what"].as_str().expect("a text").replace(&database, "DATABASE");
            let place =
                format!("{}:{}:{}: ", finding["file"].as_str().expect("a path"), finding["line"], finding["column"]);
            assert!(finding["fix"].is_string() && what.starts_with(&place), "{finding}");
            what
        })
        .collect();
    let expected = [
        "rules/orders.yaml:7:35: `when` is never true: `row.status == 'new'` and `row.status == 'paid'` exclude each other",
        "rules/none.yaml:1:8: no table fits DATABASE_none_*.orders, or the account may not see it",
        "rules/log.yaml:3:5: rule logged: no primary key in table DATABASE.log, so its calls are made one after another",
        "rules/orders.yaml:4:16: `order_by`: column `status` is in no key of table DATABASE.orders",
        "rules/orders.yaml:5:40: `url` reads column `note` of table DATABASE.orders, which may be NULL",
        "rules/orders.yaml:10:25: `when` is never true: column `status` is NOT NULL",
    ];
    assert_eq!(of_files.len(), expected.len(), "{of_files:#?}");
    for (found, expected) in of_files.iter().zip(expected) {
        assert!(found.starts_with(expected), "{expected}\n{of_files:#?}");
    }
}
