//! The targets that rules call: their list, and an operator's word that one is available again.

use super::*;

fn targets(home: &Home) -> Vec<Value> {
    let listed: Value = serde_json::from_str(done(&home.run(&["target", "list", "--json"]))).expect("JSON");
    listed["targets"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_target_is_listed_with_its_next_probe_and_called_again_after_a_reset() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (failing, other) = (Receiver::start(|_| Answer::status(500)), Receiver::start(|_| Answer::ok()));
    let (target, other_target) = (failing.url(""), other.url(""));
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "orders", &failing))
        .with_rule("b.yaml", &rule(&database, "items", "mails", &other))
        .with_rule("t.yaml", &format!("targets:\n  \"{target}\": {{breaker: {{probe: 1h, max_probe: 1h}}}}\n"));
    let mut program = run(&home, server, &[]);
    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)")).await;
    other.wait_for_count(6, DEADLINE).await;
    let of = |target: &str| {
        let all = targets(&home);
        all.iter().find(|listed| listed["target"] == target).unwrap_or_else(|| panic!("{all:?}")).clone()
    };
    let give_up_at = Instant::now() + DEADLINE;
    while of(&target)["state"] != "unavailable" || of(&target)["in_flight"] != 0 {
        assert!(Instant::now() < give_up_at, "{:#}", of(&target));
    }
    let listed = of(&target);
    assert!(listed["unavailable_since"].is_string() && listed["next_probe"].is_string(), "{listed:#}");
    assert_eq!((&listed["last_answer"], &listed["rules"]), (&"answered 500".into(), &vec!["orders"].into()));
    let available = of(&other_target);
    assert_eq!((&available["state"], &available["next_probe"]), (&"available".into(), &Value::Null));
    let table = home.run(&["target", "list"]);
    let line = done(&table).lines().find(|line| line.starts_with(&target)).expect("its line");
    let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!((cells[1], cells[3], cells[5], cells[6]), ("unavailable", "500", "0", "orders"), "{line}");

    let unknown = home.run(&["target", "reset", &target["http://".len()..]]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains(&format!("did you mean `{target}`?")), "{}", unknown.stderr);
    let count = failing.count();
    failing.set_script(|_| Answer::ok());
    let reset = home.run(&["target", "reset", &format!("{target}/v1/orders")]);
    assert_eq!(done(&reset), format!("{target} counts as available: what waits for it starts now\n"));
    // Six were not delivered; those that were attempted wait for their retry.
    failing.wait_for_count(count + 6, DEADLINE).await;
    wait_for_status(&home, |status| of_rule(status, "orders")["unresolved"] == 0);
    assert_eq!(of(&target)["state"], "available");
    let again = home.run(&["target", "reset", &target]);
    assert_eq!(done(&again), format!("{target} was available already: nothing changed\n"));
    assert_eq!(status(&home)["dead_letters"], 0);

    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    for args in [&["target", "list"][..], &["target", "reset", &target]] {
        let finished = home.run(args);
        assert!(finished.code == 1 && finished.stderr.contains("no rowhook runs on data directory"), "{finished:?}");
    }
}
