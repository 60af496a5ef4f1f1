//! An outbox that empties itself, under concurrent writers and kill -9: the events of one aggregate arrive in the order of
//! their commits, each has its effect once, and no row is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use percent_encoding::percent_decode_str;

use super::{DEADLINE, status, wait_until_done};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::random::Random;
use crate::support::receiver::{Answer, Receiver, Request};

const WRITERS: u64 = 5;
const TRANSACTIONS: usize = 60;
const AGGREGATES: u64 = 7;
const KILLS: usize = 25;
/// The transactions make at least an event each, but for those rolled back.
const REQUESTS_CERTAIN: usize = WRITERS as usize * TRANSACTIONS / 2;
const TYPES: [&str; 4] = ["order.paid", "order placed", "größe/neu", "a?b&c=d"];

/// Now and then it fails in a way that is tried again, so that the order has to be kept through retries.
fn api(request: &Request) -> Answer {
    match (request.attempt, request.json()["n"].as_u64().expect("a number") % 10) {
        (1, 3) => Answer::status(500),
        (1, 5) => Answer::lose_the_answer(),
        (1, 7) => Answer::status(429).with_header("Retry-After", "0"),
        _ => Answer::ok(),
    }
}

fn rule(database: &str, receiver: &Receiver) -> String {
    let url = receiver.url("/{{ row.type }}/{{ row.aggregate }}");
    format!(
        r#"table: {database}.outbox
rules:
  - name: outbox
    on: [insert]
    order_by: [aggregate]
    retry: {{retries: 5, initial: 5ms, jitter: 0}}
    call:
      url: "{url}"
      headers:
        X-Event-Id: "{{{{ row.id }}}}"
        X-Trace: "{{{{ row.headers.trace }}}}"
      body: "{{{{ row.payload }}}}"
    on_success:
      sql:
        statement: DELETE FROM {database}.outbox WHERE id = :id
        params: {{id: "{{{{ row.id }}}}"}}
        expect_rows: 0..1
    on_dead_letter: hold_key
"#
    )
}

/// Each event has the number that its aggregate's counter gives it, under the counter's lock until the commit: so the
/// numbers of an aggregate are in the order of the commits. Now and then a transaction is rolled back.
async fn write(server: &MysqlServer, database: &str, writer: u64) {
    let mut random = Random::new();
    let mut conn = server.conn().await;
    for transaction in 0..TRANSACTIONS {
        // In this order, so that two writers don't wait for each other.
        let aggregates: BTreeSet<u64> = (0..1 + random.below(3)).map(|_| random.below(AGGREGATES)).collect();
        conn.query_drop("BEGIN").await.expect("a transaction");
        for aggregate in aggregates {
            let kind = TYPES[random.below(TYPES.len() as u64) as usize];
            conn.query_drop(format!("UPDATE {database}.counters SET n = n + 1 WHERE aggregate = {aggregate}"))
                .await
                .expect("a number");
            conn.query_drop(format!(
                "INSERT INTO {database}.outbox (aggregate, type, headers, payload)
                 SELECT '{aggregate}', '{kind}', JSON_OBJECT('trace', '{writer}-{transaction}'),
                 JSON_OBJECT('n', n, 'type', '{kind}', 'by', '{writer}-{transaction}') FROM {database}.counters WHERE aggregate = {aggregate}"
            ))
            .await
            .expect("an event");
        }
        let end = if random.below(10) == 0 { "ROLLBACK" } else { "COMMIT" };
        conn.query_drop(end).await.expect("an end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_empties_itself_in_order_and_each_event_has_its_effect_once() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let counters: Vec<String> = (0..AGGREGATES).map(|aggregate| format!("({aggregate}, 0)")).collect();
    server
        .query(&format!(
            "CREATE TABLE {database}.counters (aggregate INT PRIMARY KEY, n INT NOT NULL);
             INSERT INTO {database}.counters VALUES {};
             CREATE TABLE {database}.outbox (id BIGINT AUTO_INCREMENT PRIMARY KEY, aggregate VARCHAR(20) NOT NULL,
             type VARCHAR(40) NOT NULL, headers JSON NOT NULL, payload JSON NOT NULL)",
            counters.join(",")
        ))
        .await;
    let receiver = Receiver::start(api);
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_rule("outbox.yaml", &rule(&database, &receiver))
        .with_rule("targets.yaml", &format!("targets:\n  {}: {{breaker: off}}\n", receiver.url("")))
        .with_env("ROWHOOK_WRITE_URL", &server.root_url())
        .with_env("ROWHOOK_LOG", "warn,rowhook::source=info");
    let mut program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let database = database.clone();
            tokio::spawn(async move { write(server, &database, writer).await })
        })
        .collect();
    kill_again_and_again(&mut program, &receiver).await;
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }
    let written: Vec<(u64, u64)> =
        server.rows(&format!("SELECT aggregate, n FROM {database}.counters ORDER BY aggregate")).await;
    let all: usize = written.iter().map(|(_, n)| *n as usize).sum();
    receiver.wait_until(|requests| arrived(requests).values().map(BTreeMap::len).sum::<usize>() >= all, DEADLINE).await;
    program.wait_for_line("reading after", DEADLINE);
    wait_until_done(&program, "outbox", || true);

    assert_eq!(server.rows::<u64>(&format!("SELECT COUNT(*) FROM {database}.outbox")).await, [0]);
    let status = status(&program);
    assert_eq!((status["dead_letters"].as_u64(), status["blocked"].as_u64()), (Some(0), Some(0)), "{status:#}");
    let requests = receiver.received();
    let arrived = arrived(&requests);
    for (aggregate, last) in written {
        let events = &arrived[&aggregate];
        assert_eq!(events.keys().copied().collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>(), "{aggregate}");
        assert!(events.values().all(|keys| keys.len() == 1), "aggregate {aggregate}: {events:?}");
    }
    in_order(&requests);
    requests.iter().for_each(|request| as_in_its_columns(request));
}

async fn kill_again_and_again(program: &mut Program, receiver: &Receiver) {
    let mut random = Random::new();
    for _ in 0..KILLS {
        let next = receiver.count() + random.below(15) as usize;
        // Near the end there may be no more.
        receiver.wait_for_count(next.min(REQUESTS_CERTAIN), DEADLINE).await;
        program.kill_9();
        program.restart();
    }
}

/// By aggregate and number of the event: the keys under which it took effect.
fn arrived(requests: &[Arc<Request>]) -> BTreeMap<u64, BTreeMap<u64, BTreeSet<String>>> {
    let mut arrived: BTreeMap<u64, BTreeMap<u64, BTreeSet<String>>> = BTreeMap::new();
    for request in requests.iter().filter(|request| request.took_effect()) {
        let keys = arrived.entry(aggregate(request)).or_default().entry(number(request)).or_default();
        keys.insert(request.key.clone().expect("a key"));
    }
    arrived
}

/// An event may come again, but none after a later one of its aggregate.
fn in_order(requests: &[Arc<Request>]) {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for request in requests {
        let last = last.entry(aggregate(request)).or_insert(0);
        let number = number(request);
        assert!(number == *last || number == *last + 1, "{request:?}: event {number} came after event {last}");
        *last = number;
    }
}

fn as_in_its_columns(request: &Request) {
    let body = request.json();
    let kind = path(request).0;
    assert_eq!(Some(&*kind), body["type"].as_str(), "{request:?}");
    assert_eq!(request.header("x-trace"), body["by"].as_str(), "{request:?}");
    assert!(request.header("x-event-id").expect("an id").parse::<u64>().is_ok(), "{request:?}");
}

/// The event's type and its aggregate.
fn path(request: &Request) -> (String, u64) {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let [kind, aggregate] = parts[..] else { panic!("{}", request.path) };
    let kind = percent_decode_str(kind).decode_utf8().expect("UTF-8").into_owned();
    (kind, aggregate.parse().expect("a number"))
}

fn aggregate(request: &Request) -> u64 {
    path(request).1
}

fn number(request: &Request) -> u64 {
    request.json()["n"].as_u64().expect("a number")
}
