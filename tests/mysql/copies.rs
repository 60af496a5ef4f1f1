//! One rule that keeps a copy of a table by a call for each op, with an API that fails now and then. The oracle is the table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable as _;
use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(90);
const ROUNDS: u32 = 40;
const USERS: u32 = 12;

/// What the API holds, and what it was asked that makes no sense.
#[derive(Default)]
struct Copy {
    contacts: BTreeMap<u32, String>,
    surprises: Vec<String>,
}

impl Copy {
    fn take(&mut self, request: &Request) {
        let email = |body: &Value| body["email"].as_str().expect("an email").to_owned();
        let id_of_path = || request.path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
        let is_sound = match request.method.as_str() {
            "POST" => {
                let id = request.json()["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
                self.contacts.insert(id, email(request.json())).is_none()
            }
            "PUT" => self.contacts.insert(id_of_path(), email(request.json())).is_some(),
            "DELETE" => self.contacts.remove(&id_of_path()).is_some() && request.body.is_empty(),
            _ => false,
        };
        if !is_sound {
            self.surprises.push(format!("{request:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_equals_the_table_although_calls_are_repeated() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.users (id INT PRIMARY KEY, email VARCHAR(40) NOT NULL)")).await;
    let copy = Arc::new(Mutex::new(Copy::default()));
    let taking = Arc::clone(&copy);
    let receiver = Receiver::start(move |request| {
        // Of every third delivery the first attempt fails, half of them with the answer lost.
        match (request.attempt, request.number % 6) {
            (1, 0) => Answer::status(503),
            (1, 3) => Answer::reset(),
            _ => {
                taking.lock().expect("no panic").take(request);
                Answer::ok()
            }
        }
    });
    let url = receiver.url("/users");
    let rule = format!(
        "table: {database}.users\nrules:\n  - name: copy\n    retry: {{retries: 20, initial: 10ms}}\n    calls:\n      \
         insert: {{url: \"{url}\", body: {{id: \"{{{{ row.id }}}}\", email: \"{{{{ row.email }}}}\"}}}}\n      \
         update: {{method: PUT, url: \"{url}/{{{{ row.id }}}}\", body: {{email: \"{{{{ row.email }}}}\"}}}}\n      \
         delete: {{method: DELETE, url: \"{url}/{{{{ row.id }}}}\"}}\n"
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("ROWHOOK_ADMIN", "off").with_rule("users.yaml", &rule);
    let program = home.start(&["run", "--mysql", &server.root_url()]);
    program.wait_for_line("reading after", DEADLINE);

    let (mut is_there, mut conn, mut changes) = ([false; USERS as usize], server.conn().await, 0);
    for round in 0..ROUNDS {
        for id in 0..USERS {
            let exists = &mut is_there[id as usize];
            let statement = match (*exists, (round * 7 + id * 5) % 4) {
                (false, _) => format!("INSERT INTO {database}.users VALUES ({id}, 'new {round}')"),
                (true, 0 | 2) => format!("UPDATE {database}.users SET email = 'changed {round}' WHERE id = {id}"),
                (true, _) => format!("DELETE FROM {database}.users WHERE id = {id}"),
            };
            *exists = !statement.starts_with("DELETE");
            changes += 1;
            conn.query_drop(statement).await.expect("a statement");
        }
    }
    let is_done =
        |requests: &[Arc<Request>]| requests.iter().filter(|request| request.took_effect()).count() == changes;
    receiver.wait_until(is_done, DEADLINE).await;
    let rows: Vec<(u32, String)> = server.rows(&format!("SELECT id, email FROM {database}.users")).await;
    let copy = copy.lock().expect("no panic");
    assert_eq!(copy.surprises, Vec::<String>::new());
    assert_eq!(copy.contacts, BTreeMap::from_iter(rows));
    assert!(receiver.count() > changes + changes / 8, "some were repeated: {} of {changes}", receiver.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_whose_op_has_no_call_any_more_is_not_replayed() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.users (id INT PRIMARY KEY)")).await;
    let receiver = Receiver::start(|_| Answer::status(400));
    let rule = |calls: &[&str]| {
        let calls: String =
            calls.iter().map(|op| format!("      {op}: {{url: \"{}\"}}\n", receiver.url("/"))).collect();
        format!("table: {database}.users\nrules:\n  - name: copy\n    calls:\n{calls}")
    };
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_env("ROWHOOK_ADMIN", "off")
        .with_rule("users.yaml", &rule(&["insert", "delete"]));
    let program = home.start(&["run", "--mysql", &server.root_url()]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.users VALUES (1)")).await;
    server.query(&format!("DELETE FROM {database}.users")).await;
    let letters = || program.home().run(&["dead-letters", "list", "--json"]).stdout.matches("\"number\"").count();
    let give_up_at = Instant::now() + DEADLINE;
    while letters() < 2 {
        assert!(Instant::now() < give_up_at, "{} dead letters", letters());
    }

    receiver.set_script(|_| Answer::ok());
    program.home().write("rules/users.yaml", &rule(&["insert"]));
    program.hang_up();
    program.wait_for_line("rules reloaded", DEADLINE);
    let replay = program.home().run(&["dead-letters", "replay", "--all"]);
    assert!(replay.stdout.contains("rule copy has no call for delete any more (`calls`)"), "{replay:?}");
    assert!(replay.stdout.ends_with("1 delivered, 0 still dead, 1 not replayed\n"), "{replay:?}");
    assert_eq!((replay.code, receiver.count()), (1, 3));
}
