//! A store from before delivery ids contained the time of the commit: deliveries that it names by former ids keep these.
//!
//! The store is written here as that version left it when it was killed: half of a large transaction done, a ledger with
//! holes, a saga between two steps. Nothing of it is done again under any id; later deliveries have the current ids.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rowhook::change::Change;
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::{Resume, Start, Within};
use rowhook::rules::RuleSet;
use rowhook::saga::{ActionEnd, ActionId, ActionResult, KeptAnswer, SagaLog};
use rowhook::source::{self, Settings, SourceEvent};
use rowhook::store::{CheckpointSet, LedgerEntry, SagaPut, Store, Write};
use uuid::Uuid;

use crate::support::mysql::MysqlServer;
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(60);
const ROWS: u64 = 200;
/// Below the mark, inside the transaction.
const DONE: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_an_older_store_names_by_former_ids_are_not_done_again() {
    let server = MysqlServer::start(&[]);
    server.query("CREATE DATABASE shop; CREATE TABLE shop.items (id INT PRIMARY KEY); CREATE TABLE shop.users (id INT PRIMARY KEY)").await;
    let receiver = Receiver::start(|_| Answer::ok().with_json(&serde_json::json!({"id": 1})));
    let items =
        format!("table: shop.items\nrules:\n  - name: items\n    call: {{url: \"{}\"}}\n", receiver.url("/items"));
    let users = format!(
        "table: shop.users\nrules:\n  - name: users\n    steps:\n      - name: account\n        call: {{url: \"{}\"}}\n      - name: card\n        call: {{url: \"{}\", body: {{account: \"{{{{ steps.account.json.id }}}}\"}}}}\n",
        receiver.url("/account"),
        receiver.url("/card")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("items.yaml", &items).with_rule("users.yaml", &users);

    let settings = Settings::from_url(&server.root_url(), Uuid::new_v4()).expect("a URL");
    let patterns = TablePatterns(vec![TablePattern::parse("shop.*").expect("a pattern")]);
    let from = source::From::Start(Start::Latest);
    let mut following = source::follow(settings, from, patterns, Arc::default());
    let Some(Ok(SourceEvent::Started(start))) = following.events.recv().await else { panic!("no start") };
    let values: Vec<String> = (1..=ROWS).map(|id| format!("({id})")).collect();
    server
        .query(&format!(
            "BEGIN; INSERT INTO shop.users VALUES (1), (2); INSERT INTO shop.items VALUES {}; COMMIT",
            values.join(",")
        ))
        .await;
    let changes = changes(&mut following, ROWS as usize + 2).await;
    drop(following);

    let rules = RuleSet::load(&home.path("rules"), &|_| None).expect("rules");
    let (user, done_above) = store_of_before(&home, &rules, start, &changes).await;

    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    server.query("INSERT INTO shop.items VALUES (1001)").await;
    // Rows neither below the mark nor in the ledger, the new one, the card of user 1, both steps of user 2.
    let left = ROWS - DONE - done_above.len() as u64;
    receiver.wait_for_count(left as usize + 1 + 1 + 2, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);

    let mut keys = BTreeMap::new();
    for request in receiver.received() {
        let body = request.json();
        let id = body["after"]["id"].as_u64().or(body["account"].as_u64());
        let earlier = keys.insert((request.path.clone(), id), request.key.clone().expect("a key"));
        assert_eq!(earlier, None, "{} {id:?} was called twice", request.path);
    }
    for change in changes.iter().filter(|change| &*change.table.name == "items") {
        let id = change.ordinal;
        let is_left = id > DONE && !done_above.contains(&id);
        let expected = is_left.then(|| change.delivery_id("items").to_string());
        assert_eq!(keys.get(&("/items".to_owned(), Some(id))), expected.as_ref(), "row {id}");
    }
    let accounts: Vec<_> = keys.keys().filter(|(path, _)| path == "/account").collect();
    assert_eq!(accounts, [&("/account".to_owned(), Some(2))], "the account of user 1 was there");
    let cards =
        receiver.received().iter().filter(|request| request.path == "/card").map(|r| r.key.clone()).collect::<Vec<_>>();
    let card = user.former_delivery_id("users").of_action("card", 0).to_string();
    assert!(cards.contains(&Some(card)), "the saga goes on under the id that it began with: {cards:?}");

    // Once all has passed the log's end of the upgrade, nothing is looked up any more.
    let saved = Store::open(&home.path("data")).expect("a store").saved().expect("read").checkpoint.expect("there");
    assert_eq!(saved.former_ids, None);
    assert!(saved.ledger.by_rule.is_empty() && saved.ledger.of_any_rule.is_empty());
}

async fn changes(following: &mut source::Following, count: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    while changes.len() < count {
        if let SourceEvent::Rows(rows) = following.events.recv().await.expect("an event").expect("no error") {
            changes.extend(rows.into_iter().flatten().map(|change| change.detach().expect("readable")));
        }
    }
    changes
}

/// The store as the version before left it. Returns the user whose saga is under way, and the rows that the ledger names.
async fn store_of_before(home: &Home, rules: &RuleSet, start: Resume, changes: &[Change]) -> (Change, Vec<u64>) {
    let of = |table: &'static str| changes.iter().filter(move |change| &*change.table.name == table);
    let user = of("users").next().expect("a user").clone();
    let done_above: Vec<u64> = (DONE + 1..=ROWS).filter(|id| id % 3 == 0).collect();
    let rule = rules.rule("users").expect("the rule");
    let saga = rule.saga.as_ref().expect("steps");
    let mut log: SagaLog = saga.definition.begin();
    saga.definition.begin_action(&mut log, ActionId::Step(0));
    let kept =
        KeptAnswer { status: 200, headers: Vec::new(), body: (*br#"{"id": 77}"#).into(), is_cut: false, problem: None };
    let acted =
        ActionResult { end: ActionEnd::Done(Some(kept)), attempts: 1, failed_calls: 0, message: "200".to_string() };
    saga.definition.record(&mut log, ActionId::Step(0), acted);

    let mut position = start.position.clone();
    position.prove_by(Default::default());
    let within = vec![Within { transaction: user.transaction.name().into(), table: "shop.items".into(), rows: DONE }];
    let resume = Resume { position, within, schema: start.schema };
    let users = Resume { within: Vec::new(), ..resume.clone() };
    let users = rowhook::store::RuleCheckpoint { rule: "users".into(), resume: users, detached_since_us: None };
    let ledger = of("items").filter(|change| done_above.contains(&change.ordinal));
    let store = Store::open(&home.path("data")).expect("a store");
    let write = Write {
        checkpoint: Some(CheckpointSet {
            main: resume,
            rules: vec![users],
            known: vec!["items".into(), "users".into()],
            former_ids: None,
        }),
        ledger_add: ledger
            .map(|change| LedgerEntry { id: change.former_delivery_id("items"), rule: "items".into() })
            .collect(),
        sagas_put: vec![SagaPut {
            id: user.former_delivery_id("users"),
            rule: "users".into(),
            log: Arc::new(log),
            change: Some(Arc::new(user.clone())),
            letter: None,
        }],
        ..Write::default()
    };
    store.write(write).await.expect("written");
    drop(store);
    fs::write(home.path("data/format"), "rowhook store format 3\n").expect("the file of the format");
    (user, done_above)
}
