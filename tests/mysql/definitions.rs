//! The whole program on a server with MySQL's default metadata: the names of columns survive kill -9 between a statement
//! that changes them and the rows before and after it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::mysql::MysqlServer;
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn names_survive_kill_9_between_a_statement_that_changes_them_and_its_rows() {
    let server = MysqlServer::start(&["--binlog-row-metadata=MINIMAL"]);
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY, a INT, b INT, e ENUM('p','q'))")).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let rule =
        format!("table: {database}.jobs\nrules:\n  - name: jobs\n    call:\n      url: {}\n", receiver.url("/jobs"));
    let mut program = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_rule("jobs.yaml", &rule)
        .with_env("ROWHOOK_LOG", "warn,rowhook::source=info,rowhook::pipeline=debug")
        .start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("checkpoint durable", DEADLINE);
    for round in 0..6 {
        // No row was read yet, or the last one had another definition. A stop writes the known definitions, a kill leaves
        // what an earlier checkpoint had.
        if round % 3 == 1 {
            program.wait_for_line("reading after", DEADLINE);
            program.terminate();
            assert_eq!(program.wait(DEADLINE), 0);
        } else {
            program.kill_9();
        }
        let id = 2 * round;
        let alter = match round % 3 {
            0 => "RENAME COLUMN a TO b, RENAME COLUMN b TO a",
            1 => "MODIFY e ENUM('q','p')",
            _ => "MODIFY e ENUM('p','q')",
        };
        let insert = |id| format!("INSERT INTO {database}.jobs VALUES ({id}, 1, 2, 'q')");
        server.query(&insert(id)).await;
        server.query(&format!("ALTER TABLE {database}.jobs {alter}")).await;
        server.query(&insert(id + 1)).await;
        program.restart();
        if round % 2 == 0 {
            receiver.wait_for_count(1, DEADLINE).await;
            program.kill_9();
            program.restart();
        }
        // Rows of different keys overtake each other.
        let has_come = |requests: &[Arc<Request>], id| requests.iter().any(|request| after(request)["id"] == json!(id));
        let both = |requests: &[Arc<Request>]| has_come(requests, id) && has_come(requests, id + 1);
        receiver.wait_until(both, DEADLINE).await;
    }
    let mut seen = std::collections::BTreeMap::new();
    for request in receiver.received() {
        let row = after(&request).clone();
        let id = row["id"].as_i64().expect("an id");
        let before = seen.insert(id, row.clone());
        assert!(before.is_none_or(|before| before == row), "row {id} came with other names the second time");
    }
    assert_eq!(seen.len(), 12);
    for (id, row) in seen {
        // The names change places in rounds 0 and 3, behind their first row.
        let is_swapped = (1..=6).contains(&id);
        let (a, b) = if is_swapped { (2, 1) } else { (1, 2) };
        assert_eq!(row, json!({"id": id, "a": a, "b": b, "e": "q"}));
    }
}

fn after(request: &Request) -> &Value {
    &request.json()["after"]
}
