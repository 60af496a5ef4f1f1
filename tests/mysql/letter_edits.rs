//! A dead letter with an edited body, from the row in MySQL to the API that takes it. The oracle is what the receiver gets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_dHJ5LW91dC1rZXktbm90LWEtc2VjcmV0LWF0LWFsbA==";

/// An API that takes no negative amount.
fn api(request: &Request) -> Answer {
    match request.json()["amount"].as_i64() {
        Some(0..) => Answer::ok(),
        _ => Answer::status(422).with_body("amount must not be negative"),
    }
}

fn json_of(program: &Program, args: &[&str]) -> Value {
    let finished = program.home().run(args);
    assert_eq!(finished.code, 0, "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[track_caller]
fn wait_for_letters(program: &Program, count: usize) -> Value {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let listing = json_of(program, &["dead-letters", "list", "--json"]);
        if listing["dead_letters"].as_array().map(Vec::len) == Some(count) {
            return listing;
        }
        assert!(Instant::now() < give_up_at, "not {count} dead letters: {listing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_refused_for_its_body_is_edited_and_taken_also_after_a_kill() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.refunds (id INT PRIMARY KEY, amount INT)")).await;
    let receiver = Receiver::start(api);
    let rule = format!(
        "table: {database}.refunds\nrules:\n  - name: refunds\n    on_dead_letter: hold_key\n    order_by: table\n    call:\n      \
         url: {}\n      headers: {{X-Id: '{{{{ row.id }}}}'}}\n      \
         body: {{id: '{{{{ event.id }}}}', amount: '{{{{ row.amount }}}}'}}\n      sign: {{webhook: {SECRET}}}\n",
        receiver.url("/refunds")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("refunds.yaml", &rule);
    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.refunds VALUES (1, -5), (2, -7), (3, 9)")).await;
    let listing = wait_for_letters(&program, 3);
    let id = listing["dead_letters"][0]["id"].as_str().expect("an id").to_owned();

    // The one in front, and one that is blocked behind it.
    for (number, amount) in [("1", 5), ("2", 7)] {
        let id = &json_of(&program, &["dead-letters", "show", number, "--json"])["id"];
        let body = json!({"id": id, "amount": amount}).to_string();
        program.home().write("body.json", &body);
        let file = program.home().path("body.json").display().to_string();
        json_of(&program, &["dead-letters", "edit", number, "--body", &file, "--json"]);
    }
    let edit = json_of(&program, &["dead-letters", "show", "1", "--json"])["edit"].clone();
    program.kill_9();
    program.restart();
    program.wait_for_line("reading after", DEADLINE);
    assert_eq!(json_of(&program, &["dead-letters", "show", "1", "--json"])["edit"], edit);
    let replayed = program.home().run(&["dead-letters", "replay", "1"]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    wait_for_letters(&program, 0);

    let requests = receiver.received();
    let keys: Vec<&str> = requests.iter().map(|request| request.key.as_deref().expect("a key")).collect();
    assert_eq!(requests.len(), 4, "{keys:?}");
    assert_eq!((keys[0], Some(keys[1])), (&*id, edit["idempotency_key"].as_str()));
    let amounts: Vec<i64> = requests.iter().map(|request| request.json()["amount"].as_i64().expect("one")).collect();
    assert_eq!(amounts, [-5, 5, 7, 9]);
    assert_eq!(requests[1].json()["id"], json!(id), "the delivery keeps its id");
    assert_eq!(keys[2], key_of_edit(&listing, 1, 1, &requests[2].body), "of a blocked delivery, too");
    assert_eq!(requests[1].headers["x-id"], "1");
    let webhook = Webhook::new(SECRET).expect("a secret");
    for request in &requests {
        webhook.verify(&request.body, &request.headers).expect("signed as it was sent");
    }
}

/// The key of an edit, as a receiver computes it.
fn key_of_edit(listing: &Value, letter: usize, edit: u32, body: &[u8]) -> String {
    let space = uuid::Uuid::parse_str("5b1f3c0e-7a54-4c1b-9d0e-2f6a8c4371d9").expect("a name space");
    let id = listing["dead_letters"][letter]["id"].as_str().expect("an id");
    uuid::Uuid::new_v5(&space, &[format!("{id}//edit/{edit}/").as_bytes(), body].concat()).to_string()
}
