//! Three steps with undos, an API that fails at each of them in each way, and kill -9: every row ends all done, all
//! undone, or visibly waiting for a person, and nothing happened twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::{DEADLINE, insert_any, letters};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::random::Random;
use crate::support::receiver::{Answer, Receiver, Request};

const ROWS: usize = 2000;
const KILLS: usize = 100;
const STEPS: [&str; 3] = ["account", "stock", "mail"];

/// How a row's calls go: `ok`, or how the step of this number fails.
const KINDS: [&str; 16] = [
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok-lost-once",
    "refuse-0",
    "refuse-1",
    "refuse-2",
    "lose-0",
    "lose-1",
    "lose-2",
    "hang-1",
    "hang-2",
    "undo-refused-2",
];

/// What the API did, by its own books: an idempotent API, which does a thing once for each key.
#[derive(Default)]
struct Books {
    /// By row and what was done: the keys for which it was done.
    done: BTreeMap<(u64, String), BTreeSet<String>>,
    /// By row: what was done and undone, in the order in which it first happened.
    order: BTreeMap<u64, Vec<String>>,
    asked: BTreeMap<String, u32>,
    called_back: BTreeMap<u64, BTreeSet<String>>,
}

impl Books {
    fn enter(&mut self, row: u64, what: &str, key: &str) {
        let order = self.order.entry(row).or_default();
        if self.done.entry((row, what.to_string())).or_default().insert(key.to_string()) {
            order.push(what.to_string());
        }
    }

    fn has(&self, row: u64, what: &str) -> bool {
        self.done.contains_key(&(row, what.to_string()))
    }
}

/// The path is `/do/account/17/kind`, `/undo/...` or `/told/...`.
fn api(request: &Request, books: &mut Books) -> Answer {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let [verb, what, row, kind] = parts[..] else { panic!("{}", request.path) };
    let row: u64 = row.parse().expect("a row");
    let key = request.key.clone().expect("every call has a key");
    let asked = books.asked.entry(key.clone()).or_insert(0);
    *asked += 1;
    let is_first = *asked == 1;
    if verb == "told" {
        books.called_back.entry(row).or_default().insert(what.to_string());
        return Answer::ok();
    }
    let name = format!("{verb} {what}");
    let number = STEPS.iter().position(|step| *step == what).expect("a step");
    let (how, at) =
        kind.rsplit_once('-').and_then(|(how, at)| Some((how, at.parse::<usize>().ok()?))).unwrap_or((kind, 9));
    let answer = Answer::ok().with_json(&serde_json::json!({"id": format!("{what}-{row}")}));
    match (verb, how) {
        ("do", "refuse") if at == number => return Answer::status(409),
        ("do", "hang") if at == number => return Answer::hang(),
        ("do", "undo-refused") if at == number => return Answer::status(422),
        ("undo", "undo-refused") if number == 0 => return Answer::status(403),
        _ => books.enter(row, &name, &key),
    }
    match (verb, how) {
        ("do", "lose") if at == number => Answer::lose_the_answer(),
        ("do", "ok-lost-once") | ("undo", "lose") if is_first => Answer::lose_the_answer(),
        _ => answer,
    }
}

fn rule(table: &str, receiver: &Receiver) -> String {
    let step = |name: &str| {
        let path = |verb: &str| receiver.url(&format!("/{verb}/{name}/{{{{ row.id }}}}/{{{{ row.kind }}}}"));
        format!(
            "      - name: {name}\n        call:\n          url: {}\n          timeout: 400ms\n          body: {{account: \"{{{{ {} }}}}\"}}\n        \
             undo: {{call: {{method: DELETE, url: '{}', timeout: 10s}}}}\n",
            path("do"),
            if name == "account" { "row.id" } else { "steps.account.json.id" },
            path("undo"),
        )
    };
    let called_back = |how: &str| receiver.url(&format!("/told/{how}/{{{{ row.id }}}}/{{{{ row.kind }}}}"));
    format!(
        "table: {table}\nrules:\n  - name: signup\n    on: [insert]\n    retry: {{retries: 1, initial: 5ms, jitter: 0}}\n    steps:\n{}    \
         on_success: {{call: {{url: '{}'}}}}\n    on_failure: {{call: {{url: '{}'}}}}\n",
        STEPS.map(step).concat(),
        called_back("success"),
        called_back("failure"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_or_is_killed_every_row_is_complete_undone_or_waits_for_a_person() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let table = format!("{database}.signups");
    server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, kind VARCHAR(40))")).await;
    let books: Arc<Mutex<Books>> = Arc::default();
    let receiver = Receiver::start({
        let books = Arc::clone(&books);
        move |request| api(request, &mut books.lock().expect("not poisoned"))
    });
    // So many failures on purpose are no sign that the API is unavailable.
    let targets = format!("targets:\n  {}: {{breaker: off}}\n", receiver.url(""));
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_rule("signups.yaml", &rule(&table, &receiver))
        .with_rule("targets.yaml", &targets)
        .with_env("ROWHOOK_LOG", "warn,rowhook::source=info");
    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    let mut random = Random::new();
    let kinds = insert_any(server, &table, ROWS, &KINDS, &mut random).await;

    for _ in 0..KILLS {
        let next = receiver.count() + random.below(90) as usize;
        let is_there = |requests: &[Arc<Request>]| {
            requests.len() >= next || books.lock().expect("not poisoned").called_back.len() >= ROWS
        };
        receiver.wait_until(is_there, DEADLINE).await;
        program.kill_9();
        program.restart();
    }
    receiver.wait_until(|_| books.lock().expect("not poisoned").called_back.len() >= ROWS, DEADLINE).await;
    program.wait_for_line("reading after", DEADLINE);
    super::wait_until_done(&program, "signup", || true);
    every_row_ended_as_it_should(&kinds, &books.lock().expect("not poisoned"), &program);
}

fn every_row_ended_as_it_should(kinds: &[&str], books: &Books, program: &Program) {
    let letters = letters(program);
    for (what, keys) in &books.done {
        assert_eq!(keys.len(), 1, "{what:?} happened under several keys");
    }
    for (row, kind) in (0..).zip(kinds) {
        let did: Vec<&str> = STEPS.into_iter().filter(|step| books.has(row, &format!("do {step}"))).collect();
        let undone: Vec<&str> = STEPS.into_iter().filter(|step| books.has(row, &format!("undo {step}"))).collect();
        let letter = letters.get(&row);
        let called_back: Vec<&str> = books.called_back[&row].iter().map(String::as_str).collect();
        if kind.starts_with("ok") {
            assert_eq!((did, undone, letter), (STEPS.to_vec(), vec![], None), "row {row}: {kind}");
            assert_eq!(called_back, ["success"], "row {row}: {kind}");
            continue;
        }
        let letter = letter.unwrap_or_else(|| panic!("row {row} ({kind}) has no dead letter; done: {did:?}"));
        assert_eq!(called_back, ["failure"], "row {row}: {kind}");
        let open: Vec<&str> = did.iter().copied().filter(|step| !undone.contains(step)).collect();
        if *kind == "undo-refused-2" {
            assert_eq!((open, &letter["effect"]), (vec!["account"], &"partial".into()), "row {row}: {kind} {letter:#}");
        } else {
            assert_eq!((open, &letter["effect"]), (vec![], &"none".into()), "row {row}: {kind} {letter:#}");
        }
        undone_in_reverse(row, books);
    }
}

/// Undos go from the last step to the first, and come after what they undo.
fn undone_in_reverse(row: u64, books: &Books) {
    let Some(order) = books.order.get(&row) else { return };
    let undos: Vec<usize> = order
        .iter()
        .filter_map(|what| STEPS.iter().position(|step| Some(*step) == what.strip_prefix("undo ")))
        .collect();
    assert!(undos.is_sorted_by(|one, next| one > next), "row {row}: {order:?}");
    let first_undo = order.iter().position(|what| what.starts_with("undo")).unwrap_or(order.len());
    assert!(order[first_undo..].iter().all(|what| what.starts_with("undo")), "row {row}: {order:?}");
}
