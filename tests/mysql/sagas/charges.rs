//! An API that charges again whenever it is asked again: under kill -9 and lost answers no row is charged twice, and each
//! is charged, refused, or visibly unknown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{DEADLINE, insert_any, letters, status, wait_until_done};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::random::Random;
use crate::support::receiver::{Answer, Receiver, Request};

const ROWS: usize = 2000;
const KILLS: usize = 40;
const KINDS: [&str; 10] =
    ["ok", "ok", "ok", "ok", "ok", "ok", "loses-the-answer", "too-many-once", "later-once", "declined"];

#[derive(Default)]
struct Books {
    /// By row.
    charges: BTreeMap<u64, u32>,
    asked: BTreeMap<u64, u32>,
}

fn api(request: &Request, books: &mut Books) -> Answer {
    let body = request.json();
    let row = body["id"].as_u64().expect("an id");
    if request.path.starts_with("/charged") {
        let charges = books.charges.get(&row).copied().unwrap_or(0);
        return Answer::ok().with_json(&serde_json::json!({ "charges": charges }));
    }
    let asked = books.asked.entry(row).or_insert(0);
    *asked += 1;
    match (body["kind"].as_str().expect("a kind"), *asked) {
        ("declined", _) => return Answer::status(402),
        ("too-many-once", 1) => return Answer::status(429).with_header("Retry-After", "0"),
        ("later-once", 1) => return Answer::status(503).with_header("Retry-After", "1"),
        _ => {}
    }
    *books.charges.entry(row).or_insert(0) += 1;
    match body["kind"].as_str() {
        Some("loses-the-answer") => Answer::lose_the_answer(),
        _ => Answer::ok(),
    }
}

struct Scene {
    books: Arc<Mutex<Books>>,
    receiver: Receiver,
    program: Program,
    kinds: Vec<&'static str>,
    random: Random,
}

impl Scene {
    async fn start(verify: &str) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        let table = format!("{database}.charges");
        server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, kind VARCHAR(40))")).await;
        let books: Arc<Mutex<Books>> = Arc::default();
        let receiver = Receiver::start({
            let books = Arc::clone(&books);
            move |request| api(request, &mut books.lock().expect("not poisoned"))
        });
        let body = "{id: '{{ row.id }}', kind: '{{ row.kind }}'}";
        let verify = verify.replace("URL", &receiver.url("/charged"));
        let rule = format!(
            "table: {table}\nrules:\n  - name: charge\n    on: [insert]\n    in_flight: 8\n    retry: {{initial: 5ms, jitter: 0}}\n    call:\n      \
             url: {}\n      idempotent: false\n      body: {body}\n{verify}",
            receiver.url("/charge")
        );
        let targets = format!("targets:\n  {}: {{breaker: off}}\n", receiver.url(""));
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
            .with_rule("charges.yaml", &rule)
            .with_rule("targets.yaml", &targets)
            .with_env("ROWHOOK_LOG", "warn,rowhook::source=info");
        let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
        program.wait_for_line("reading after", DEADLINE);
        let mut random = Random::new();
        let kinds = insert_any(server, &table, ROWS, &KINDS, &mut random).await;
        Scene { books, receiver, program, kinds, random }
    }

    fn asked(&self) -> usize {
        self.books.lock().expect("not poisoned").asked.len()
    }

    async fn kill_again_and_again(&mut self) {
        for _ in 0..KILLS {
            let next = self.receiver.count() + self.random.below(2 * (ROWS / KILLS) as u64) as usize;
            // Rows that were cut off before their call are never requested.
            let enough = next.min(ROWS / 2);
            self.receiver.wait_until(|requests| requests.len() >= enough, DEADLINE).await;
            self.program.kill_9();
            self.program.restart();
        }
        self.program.wait_for_line("reading after", DEADLINE);
        wait_until_done(&self.program, "charge", || self.asked() + letters(&self.program).len() >= ROWS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_charged_twice_and_each_is_charged_declined_or_visibly_uncertain() {
    let mut scene = Scene::start("").await;
    scene.kill_again_and_again().await;
    let books = scene.books.lock().expect("not poisoned");
    let letters = letters(&scene.program);
    let mut unknown = 0;
    for (row, kind) in (0..).zip(&scene.kinds) {
        let charges = books.charges.get(&row).copied().unwrap_or(0);
        assert!(charges <= 1, "row {row} ({kind}) was charged {charges} times");
        let reason = letters.get(&row).map(|letter| letter["reason"].as_str().expect("a reason"));
        match (charges, reason, *kind) {
            (1, None, "ok" | "too-many-once" | "later-once") => {}
            (0, Some("refused"), "declined") => {}
            (0 | 1, Some("unknown"), _) => unknown += 1,
            other => panic!("row {row}: {other:?}"),
        }
    }
    let lost = scene.kinds.iter().filter(|kind| **kind == "loses-the-answer").count();
    assert!(unknown >= lost, "{unknown} unknown, though {lost} answers were lost");
    let status = status(&scene.program);
    assert_eq!(status["awaiting"].as_u64(), Some(unknown as u64), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_query_nothing_stays_uncertain_and_each_row_is_charged_once() {
    let verify =
        "      verify:\n        call: {url: URL, body: {id: '{{ row.id }}'}}\n        when: answer.json.charges > 0\n";
    let mut scene = Scene::start(verify).await;
    scene.kill_again_and_again().await;
    let books = scene.books.lock().expect("not poisoned");
    let letters = letters(&scene.program);
    for (row, kind) in (0..).zip(&scene.kinds) {
        let charges = books.charges.get(&row).copied().unwrap_or(0);
        let reason = letters.get(&row).map(|letter| letter["reason"].as_str().expect("a reason"));
        match (charges, reason, *kind) {
            (0, Some("refused"), "declined") | (1, None, _) => {}
            other => panic!("row {row}: {other:?}"),
        }
    }
}
