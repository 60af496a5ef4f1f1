//! What `rowhook check` says of statements, and who refuses to work without a server for them.

use super::*;
use crate::support::program::{Finished, Home};

const RULES: &str = "\
table: test.t
rules:
  - name: good
    call: {url: \"http://127.0.0.1:9/\"}
    on_success: {sql: {statement: \"UPDATE test.t SET n = :n WHERE id = :id\", params: {n: 5, id: \"{{ row.id }}\"}}}
  - name: bad
    steps:
      - name: first
        sql: {statement: \"UPDATE test.t SET m = 1\"}
        undo: {sql: {statement: \"DELETE FROM test.nothing\"}}
      - name: second
        sql: {statement: \"DELETE FROM test.t WHERE id = :id\", params: {id: \"{{ row.id }}\"}}
";

fn run(home: &Home, arguments: &[&str]) -> Finished {
    tokio::task::block_in_place(|| home.run(arguments))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_lets_the_server_check_every_statement_of_the_rules() {
    let server = MysqlServer::start(&[]);
    let settings = account(&server, "writer", TAGGING).await;
    server.query("CREATE TABLE test.t (id INT PRIMARY KEY, n INT); INSERT INTO test.t VALUES (1, 1)").await;
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", RULES);
    home.write("password", "p@ss/w\n");
    let url = format!("mysql://writer@127.0.0.1:{}", settings.port);
    let writing = ["--write-url", &url, "--write-password-file", "password"];
    let finished = run(&home, &[&["check", "--mysql", &server.root_url()][..], &writing].concat());
    assert_eq!(finished.code, 1, "{finished:?}");
    for line in [
        "can be written to, own transactions are marked by the GTID tag `rowhook`",
        "ok       rule good, on_success: the server takes the statement",
        "problem  rule bad, step first: error 1054 (42S22): Unknown column 'm' in 'field list'",
        "problem  rule bad, undo of step first: error 1146 (42S02): Table 'test.nothing' doesn't exist",
        "ok       rule bad, step second: the server takes the statement",
    ] {
        assert!(finished.stdout.contains(line), "{line}\n{}", finished.stdout);
    }
    assert_eq!(server.rows::<i32>("SELECT n FROM test.t").await, [1]);
    let wrong = ["check", "--mysql", &server.root_url(), "--write-url", "mysql://writer:other@", "--offline"];
    assert_eq!(run(&home, &wrong).code, 0, "offline no server is looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_write_back_are_problems_where_no_server_is_named() {
    let server = MysqlServer::start(&[]);
    server.query("CREATE DATABASE test; CREATE TABLE test.t (id INT PRIMARY KEY, n INT)").await;
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", RULES);
    let check = run(&home, &["check", "--mysql", &server.root_url()]);
    assert_eq!(check.code, 1, "{check:?}");
    let start = run(&home, &["run", "--mysql", &server.root_url(), "--admin", "off"]);
    assert_ne!(start.code, 0, "{start:?}");
    for said in [check.stdout, start.stderr] {
        assert!(said.contains("t.yaml:5:") && said.contains("--write-url mysql://user:password@host:3306"), "{said}");
    }
    let twice =
        ["check", "--mysql", &server.root_url(), "--write-url", "mysql://a:s3cret@h", "--write-password-file", "f"];
    let refused = run(&home, &twice);
    assert!(refused.stderr.contains("--write-password-file names another") && !refused.stderr.contains("s3cret"));
    let wrong = run(&home, &["check", "--mysql", &server.root_url(), "--write-url", "mysql://a:s3cret@h/db"]);
    assert!(wrong.stderr.contains("--write-url ***: ") && !wrong.stderr.contains("s3cret"), "{wrong:?}");
}
