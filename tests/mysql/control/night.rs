//! What `rowhook status` says through a night: an outage with more rows than a window holds, a pause, refused calls. At each
//! moment it is compared with what is true, by the table's own rows and their times.

use std::collections::HashSet;

use super::*;

/// Rows that a rule may have in memory; fewer than wait.
const WINDOW: u64 = 64;
const ROWS: u32 = 300;

/// The status, its exit code, and what is told first.
#[derive(Debug)]
struct Told {
    code: i32,
    status: Value,
}

impl Told {
    fn now(home: &Home) -> Told {
        let finished = home.run(&["status", "--json", "--late-after", "2s"]);
        let status = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
        Told { code: finished.code, status }
    }

    #[track_caller]
    fn until(home: &Home, wanted: impl Fn(&Told) -> bool) -> Told {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let told = Told::now(home);
            if wanted(&told) {
                return told;
            }
            assert!(Instant::now() < give_up_at, "the status never was as wanted: {} {:#}", told.code, told.status);
        }
    }

    fn is_well(&self) -> bool {
        self.code == 0 && self.status["attention"].as_array().is_some_and(Vec::is_empty)
    }

    fn kinds(&self) -> Vec<&str> {
        let lines = self.status["attention"].as_array().expect("a list");
        lines.iter().map(|line| line["kind"].as_str().expect("a word")).collect()
    }

    fn headline(&self) -> &str {
        self.status["attention"][0]["text"].as_str().unwrap_or_default()
    }

    fn rule(&self) -> Value {
        of_rule(&self.status, "order-paid")
    }
}

/// Seconds since the first of these rows was inserted, by the clock of this machine, which is the server's.
async fn age_of_first(server: &MysqlServer, table: &str) -> f64 {
    let sql = format!("SELECT CAST(TIMESTAMPDIFF(MICROSECOND, MIN(at), NOW(6)) / 1e6 AS DOUBLE) FROM {table}");
    server.rows::<f64>(&sql).await[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_true_at_each_moment_of_a_night() {
    let server = MysqlServer::start(&[]);
    let database = server.fresh_database().await;
    let table = format!("{database}.orders");
    server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, at DATETIME(6) NOT NULL DEFAULT NOW(6))")).await;
    let api = Receiver::start(|_| Answer::ok());
    let home = home().with_rule("orders.yaml", &rule(&database, "orders", "order-paid", &api));
    let window = WINDOW.to_string();
    let mut program = run(&home, &server, &["--rules", "rules", "--window", &window]);
    Told::until(&home, Told::is_well);

    // The API is down: what waits is more than the window, and its lag is the age of the first row.
    api.set_script(|_| Answer::status(503));
    let values: Vec<String> = (0..ROWS).map(|id| format!("({id})")).collect();
    for chunk in values.chunks(50) {
        server.query(&format!("INSERT INTO {table} (id) VALUES {}", chunk.join(","))).await;
    }
    let full = |told: &Told| told.rule()["unresolved"] == WINDOW && told.kinds().first() == Some(&"late");
    Told::until(&home, full);
    let before = age_of_first(&server, &table).await;
    let told = Told::now(&home);
    let after = age_of_first(&server, &table).await;
    let lag = told.status["lag_seconds"].as_f64().expect("a number");
    // The commit comes a little after the row's own time.
    assert!(before - 0.5 <= lag && lag <= after, "{before} {lag} {after}: {:#}", told.status);
    assert_eq!((told.code, told.status["lag_is_bound"].as_bool()), (3, Some(false)));
    assert_eq!((told.rule()["has_unread"].as_bool(), told.rule()["lag_is_bound"].as_bool()), (Some(true), Some(false)));
    let headline = told.headline();
    assert!(headline.starts_with("order-paid late by "), "{headline}");
    assert!(headline.contains(" answered 503, unavailable since "), "{headline}");
    let told = Told::until(&home, |told| told.status["backlog"]["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000));
    assert_eq!(told.rule()["backlog_bytes"], told.status["backlog"]["bytes"]);
    let page = home.run(&["status", "--late-after", "2s"]).stdout;
    assert!(page.contains(&format!("  {WINDOW}+  ")), "{page}");

    // The API is back: a command that waits for it ends when every row has arrived.
    let mut waiting = home.start(&["status", "--wait", "caught-up"]);
    api.set_script(|_| Answer::ok());
    assert_eq!(waiting.wait(DEADLINE), 0, "{:?}", waiting.lines());
    let delivered: HashSet<u64> = api.received().iter().map(|request| id_of(request)).collect();
    assert_eq!(delivered.len(), ROWS as usize);
    Told::until(&home, Told::is_well);

    // A paused rule is late by what waits for it, however few.
    done(&home.run(&["pause", "order-paid", "--why", "moving house"]));
    server.query(&format!("DELETE FROM {table}")).await;
    let told = Told::until(&home, |told| told.kinds() == ["late"]);
    assert_eq!(told.code, 3);
    assert!(told.headline().ends_with(" UTC (moving house)"), "{}", told.headline());
    let finished = home.run(&["status", "--wait", "caught-up", "--timeout", "1s"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (1, ""));
    assert!(finished.stderr.contains("not caught up after 1s: order-paid "), "{}", finished.stderr);

    // What was refused is resolved, and waits for a person.
    api.set_script(|request| if id_of(request).is_multiple_of(100) { Answer::status(404) } else { Answer::ok() });
    done(&home.run(&["resume", "order-paid"]));
    done(&home.run(&["status", "--wait", "caught-up"]));
    let told = Told::now(&home);
    assert_eq!((told.code, told.kinds(), told.headline()), (3, vec!["dead_letters"], "3 dead letters"));
    assert_eq!(told.status["lag_seconds"], 0.0);
    done(&home.run(&["dead-letters", "discard", "--all", "--yes"]));
    let told = Told::until(&home, Told::is_well);
    assert!(told.status["checkpointed_at"].is_string() && told.status["storage"]["free_bytes"].is_u64(), "{told:#?}");

    program.kill_9();
    let told = Told::now(&home);
    assert_eq!((told.code, told.headline()), (1, "not running"));
}

fn id_of(request: &Request) -> u64 {
    let event = request.json();
    let row = if event["after"].is_null() { &event["before"] } else { &event["after"] };
    row["id"].as_u64().expect("an id")
}

/// Refusals that no retry helps, one in five rows; 200 rows of each.
const REFUSALS: [u16; 10] = [400, 401, 403, 404, 405, 406, 410, 415, 422, 451];
const MANY_ROWS: u64 = 10_000;

fn refusal_of(id: u64) -> Option<u16> {
    id.is_multiple_of(5).then(|| REFUSALS[(id / 5 % 10) as usize])
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_that_wait_and_two_thousand_refusals_of_ten_kinds_are_counted_as_they_are() {
    let server = MysqlServer::start(&[]);
    let database = server.fresh_database().await;
    let table = format!("{database}.orders");
    server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, at DATETIME(6) NOT NULL DEFAULT NOW(6))")).await;
    let api = Receiver::start(|_| Answer::status(503));
    let home = home().with_rule("orders.yaml", &rule(&database, "orders", "order-paid", &api));
    let _program = run(&home, &server, &["--rules", "rules", "--log-deliveries", "none"]);
    let values: Vec<String> = (0..MANY_ROWS).map(|id| format!("({id})")).collect();
    for chunk in values.chunks(500) {
        server.query(&format!("INSERT INTO {table} (id) VALUES {}", chunk.join(","))).await;
    }

    // The window is full: the number is a lower bound and shown as such, the lag is that of the first row.
    let told = Told::until(&home, |told| {
        told.rule()["unresolved"] == 8192 && told.rule()["has_unread"] == true && told.kinds().first() == Some(&"late")
    });
    assert!(told.headline().contains(" answered 503, unavailable since "), "{}", told.headline());
    let (before, told) = (age_of_first(&server, &table).await, Told::now(&home));
    let (lag, after) = (told.status["lag_seconds"].as_f64().expect("a number"), age_of_first(&server, &table).await);
    assert!(before - 0.5 <= lag && lag <= after, "{before} {lag} {after}");
    assert_eq!((told.code, told.status["dead_letters"].as_u64()), (3, Some(0)), "an outage makes no dead letters");
    assert!(home.run(&["status", "--late-after", "2s"]).stdout.contains("  8192+  "));

    // Back, with refusals. Whatever is said on the way is no more than what is true.
    api.set_script(|request| refusal_of(id_of(request)).map_or_else(Answer::ok, Answer::status));
    let refused = (0..MANY_ROWS).filter(|id| refusal_of(*id).is_some()).count() as u64;
    assert_eq!(refused, 2_000);
    let told = Told::until(&home, |told| {
        let letters = told.status["dead_letters"].as_u64().expect("a number");
        assert!(letters <= refused, "{letters} dead letters");
        letters == refused && told.rule()["unresolved"] == 0 && told.rule()["dead_letters"] == refused
    });
    assert_eq!(told.headline(), "2000 dead letters");
    done(&home.run(&["status", "--wait", "caught-up"]));

    // Each kind is counted, and what is no dead letter has arrived.
    let groups = home.run(&["dead-letters", "list", "--group-by", "answer", "--json"]);
    let groups: Value = serde_json::from_str(done(&groups)).expect("JSON");
    let groups = groups["groups"].as_array().expect("a list");
    let mut counted: Vec<(String, u64)> = groups
        .iter()
        .map(|group| {
            (
                group["answer"].as_str().map_or_else(|| group["answer"].to_string(), str::to_owned),
                group["count"].as_u64().expect("a number"),
            )
        })
        .collect();
    counted.sort();
    let expected: Vec<(String, u64)> = REFUSALS.iter().map(|status| (status.to_string(), 200)).collect();
    assert_eq!(counted, expected);
    let effects: HashSet<u64> =
        api.received().iter().filter(|request| request.status() == Some(200)).map(|request| id_of(request)).collect();
    let delivered: HashSet<u64> = server
        .rows::<u64>(&format!("SELECT id FROM {table}"))
        .await
        .into_iter()
        .filter(|id| refusal_of(*id).is_none())
        .collect();
    assert_eq!(effects, delivered);
    let of_404 = home.run(&["dead-letters", "discard", "--answer", "404", "--yes"]);
    assert_eq!(of_404.code, 0, "{of_404:?}");
    Told::until(&home, |told| told.status["dead_letters"] == 1_800 && told.rule()["dead_letters"] == 1_800);
}
