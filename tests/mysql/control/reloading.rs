//! New rules, gone rules and changed secrets while it runs.

use std::collections::HashSet;

use super::*;
use crate::support::receiver::Gate;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_moves_to_another_receiver_under_load_without_loss_or_repeat_and_broken_files_change_nothing() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let gate = Gate::closed();
    let (answers_gate, delayed_key) = (gate.clone(), KEYS - 1);
    // One key's call is under way at the old receiver when the rule moves.
    let old = Receiver::start(move |request| match key_and_version(request) {
        (key, 5) if key == delayed_key => Answer::ok().delayed_by(&answers_gate),
        _ => Answer::ok(),
    });
    let new = Receiver::start(|_| Answer::ok());
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "items", &old))
        .with_env("ROWHOOK_LOG", "warn,rowhook=info,rowhook::outcome=off");
    let program = run(&home, server, &[]);
    let writer = Writer::start(server, format!("{database}.items"));
    let is_delayed =
        |requests: &[Arc<Request>]| requests.iter().any(|request| key_and_version(request) == (delayed_key, 5));
    old.wait_until(is_delayed, DEADLINE).await;

    home.write("rules/a.yaml", "table: [");
    let line = program.wait_for_line("the rule files have problems", DEADLINE);
    assert!(line.contains("ERROR"), "{line}");
    program.wait_for_line("rules/a.yaml:1:", DEADLINE);
    let broken = wait_for_status(&home, |status| !status["rule_files"]["problems_since"].is_null());
    assert!(broken["rule_files"]["problems"][0].as_str().expect("a text").starts_with("rules/a.yaml:1:"), "{broken}");
    let finished = home.run(&["reload"]);
    assert!(finished.code == 1 && finished.stderr.contains("rules/a.yaml:1:"), "{finished:?}");
    old.wait_for_count(old.count() + 100, DEADLINE).await;

    home.write("rules/a.yaml", &rule(&database, "items", "items", &new));
    let line = program.wait_for_line("rules reloaded", DEADLINE);
    assert!(line.contains("changed=\"items\""), "{line}");
    new.wait_for_count(100, DEADLINE).await;
    gate.open();
    new.wait_until(|requests| requests.iter().any(|request| key_and_version(request).0 == delayed_key), DEADLINE).await;
    let written = writer.stop().await;
    let all = changes(&written);
    new.wait_until(|requests| requests.len() + old.count() >= all, DEADLINE).await;
    assert!(wait_for_status(&home, |_| true)["rule_files"]["problems_since"].is_null());
    let requests = [old.received(), new.received()].concat();
    let delivered_by_old = old.received().iter().any(|request| key_and_version(request) == (delayed_key, 5));
    assert!(delivered_by_old && !is_delayed(&new.received()), "what was under way ends where it began");
    all_arrived_once_and_in_order(requests, &written);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_come_and_go_while_it_runs() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    for name in ["first", "second"] {
        table(server, &database, name).await;
    }
    let (first, second) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let home = home().with_rule("first.yaml", &rule(&database, "first", "first", &first));
    let _program = run(&home, server, &["--no-watch"]);
    // Not the new rule's: it begins when it comes.
    server.query(&format!("INSERT INTO {database}.second VALUES (1, 1)")).await;
    server.query(&format!("INSERT INTO {database}.first VALUES (1, 1)")).await;
    first.wait_for_count(1, DEADLINE).await;

    home.write("rules/second.yaml", &rule(&database, "second", "second", &second));
    assert_eq!(done(&home.run(&["reload"])), "added    second\n1 rule unchanged\n");
    server.query(&format!("INSERT INTO {database}.second VALUES (2, 1)")).await;
    second.wait_for_count(1, DEADLINE).await;
    assert_eq!(key_and_version(&second.received()[0]), (2, 1));
    wait_for_status(&home, |status| of_rule(status, "second")["state"] == "attached");

    std::fs::remove_file(home.path("rules/first.yaml")).expect("a file of our own");
    let finished = home.run(&["reload", "--json"]);
    let reloaded: Value = serde_json::from_str(done(&finished)).expect("JSON");
    assert_eq!((&reloaded["removed"], &reloaded["unchanged"]), (&vec!["first"].into(), &vec!["second"].into()));
    server.query(&format!("INSERT INTO {database}.first VALUES (3, 1)")).await;
    server.query(&format!("INSERT INTO {database}.second VALUES (3, 1)")).await;
    second.wait_for_count(2, DEADLINE).await;
    wait_for_status(&home, |status| status["rules"].as_array().expect("a list").len() == 1);
    assert_eq!(first.count(), 1, "a rule that is gone calls no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_rules_and_ends_nothing() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (old, new) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let home = home().with_rule("a.yaml", &rule(&database, "items", "items", &old));
    let mut program = run(&home, server, &["--no-watch"]);
    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1)")).await;
    old.wait_for_count(1, DEADLINE).await;
    home.write("rules/a.yaml", &rule(&database, "items", "items", &new));
    program.hang_up();
    program.wait_for_line("rules reloaded", DEADLINE);
    server.query(&format!("INSERT INTO {database}.items VALUES (2, 1)")).await;
    new.wait_for_count(1, DEADLINE).await;
    assert_eq!(old.count(), 1);
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_changed_in_their_files_are_in_requests_after_the_next_load() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let call = format!(
        "{{url: \"{}\", auth: {{bearer: {{file: ../token}}}}, headers: {{X-Tenant: \"{{{{ env.TENANT }}}}\"}}}}",
        receiver.url("/")
    );
    let rule = format!("table: {database}.items\nrules:\n  - name: items\n    call: {call}\n");
    let home = home().with_rule("a.yaml", &rule);
    let tenant = home.path("tenant").display().to_string();
    let home = home.with_env("TENANT_FILE", &tenant);
    home.write("token", "one\n");
    home.write("tenant", "1\n");
    let program = run(&home, server, &["--no-watch"]);
    let sent = |number: usize| {
        let (receiver, database) = (&receiver, &database);
        async move {
            server.query(&format!("INSERT INTO {database}.items VALUES ({number}, 1)")).await;
            receiver.wait_for_count(number, DEADLINE).await;
            let request = &receiver.received()[number - 1];
            ["authorization", "x-tenant"].map(|name| request.header(name).unwrap_or_default().to_owned())
        }
    };
    assert_eq!(sent(1).await, ["Bearer one", "1"]);
    home.write("token", "two\n");
    program.hang_up();
    program.wait_for_line("rules reloaded", DEADLINE);
    assert_eq!(sent(2).await, ["Bearer two", "1"]);
    home.write("tenant", "2\n");
    assert_eq!(done(&home.run(&["reload"])), "changed  items\n0 rules unchanged\n");
    assert_eq!(sent(3).await, ["Bearer two", "2"]);
    home.write("token", "t\two\n");
    assert_ne!(home.run(&["reload"]).code, 0, "a secret that no header can carry is refused");
    assert_eq!(sent(4).await, ["Bearer two", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rule_that_goes_sends_nothing_of_its_queue_before_it_comes_back() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (paused, other) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let of_paused = rule(&database, "items", "paused", &paused);
    let home = home().with_rule("a.yaml", &of_paused).with_rule("b.yaml", &rule(&database, "items", "other", &other));
    let _program = run(&home, server, &["--no-watch"]);
    done(&home.run(&["pause", "paused"]));
    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1), (2, 1)")).await;
    other.wait_for_count(2, DEADLINE).await;
    assert_eq!(of_rule(&status(&home), "paused")["unresolved"], 2);

    std::fs::remove_file(home.path("rules/a.yaml")).expect("a file of our own");
    assert_eq!(done(&home.run(&["reload"])), "removed  paused\n1 rule unchanged\n");
    server.query(&format!("INSERT INTO {database}.items VALUES (3, 1)")).await;
    other.wait_for_count(3, DEADLINE).await;
    assert_eq!(paused.count(), 0);

    home.write("rules/a.yaml", &of_paused);
    assert_eq!(done(&home.run(&["reload"])), "added    paused\n1 rule unchanged\n");
    server.query(&format!("INSERT INTO {database}.items VALUES (4, 1)")).await;
    paused.wait_for_count(3, DEADLINE).await;
    let keys = paused.received().iter().map(|request| key_and_version(request).0).collect::<HashSet<_>>();
    assert_eq!(keys, HashSet::from([1, 2, 4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_delivered_of_a_removed_rule_is_said_at_the_reload_and_at_the_stop() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (down, other) = (Receiver::start(|_| Answer::status(503)), Receiver::start(|_| Answer::ok()));
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "gone", &down))
        .with_rule("b.yaml", &rule(&database, "items", "other", &other));
    let mut program = run(&home, server, &["--no-watch"]);
    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1), (2, 1), (3, 1)")).await;
    other.wait_for_count(3, DEADLINE).await;
    std::fs::remove_file(home.path("rules/a.yaml")).expect("a file of our own");
    assert_eq!(done(&home.run(&["reload"])), "removed  gone\n1 rule unchanged\n");
    let line = program.wait_for_line("the rule was removed while it had deliveries", DEADLINE);
    assert!(line.ends_with("rule=\"gone\" deliveries=3 paused=false"), "{line}");
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let line = program.wait_for_line("deliveries of a removed rule were not made", DEADLINE);
    assert!(line.ends_with("rule=\"gone\" deliveries=3"), "{line}");
}
