//! Rules that are paused call nothing, over restarts too, and go on in order.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rule_calls_no_more_also_after_a_restart_and_goes_on_in_order_when_it_is_resumed() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let (moving, other) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "moving", &moving))
        .with_rule("b.yaml", &rule(&database, "items", "other", &other));
    let mut program = run(&home, server, &[]);
    let writer = Writer::start(server, format!("{database}.items"));
    moving.wait_for_count(200, DEADLINE).await;

    let finished = home.run(&["pause", "movin"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("no rule is named movin; did you mean `moving`?"), "{}", finished.stderr);
    let finished = home.run(&["pause", "moving", "--why", "their API is moving house"]);
    assert_eq!(done(&finished), "moving is paused; rowhook resume moving lets it go on\n");
    // What was under way comes to its end.
    let paused = wait_for_status(&home, |status| of_rule(status, "moving")["in_flight"] == 0);
    let paused = of_rule(&paused, "moving");
    assert_eq!((&paused["state"], &paused["why"]), (&"paused".into(), &"their API is moving house".into()));
    let count = moving.count();
    other.wait_for_count(other.count() + 300, DEADLINE).await;
    assert_eq!(moving.count(), count, "nothing is called after the answer but what was under way");
    let again = home.run(&["pause", "moving"]);
    assert!(again.code == 1 && again.stderr.contains("moving is paused already"), "{again:?}");

    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let stored = status(&home);
    assert_eq!((stored["running"].as_bool(), &of_rule(&stored, "moving")["state"]), (Some(false), &"paused".into()));
    program.restart();
    other.wait_for_count(other.count() + 300, DEADLINE).await;
    assert_eq!(of_rule(&status(&home), "moving")["state"], "paused");
    assert_eq!(moving.count(), count, "it stays paused over a restart");

    assert_eq!(done(&home.run(&["resume", "moving"])), "moving is resumed: it continues where it stopped\n");
    let written = writer.stop().await;
    moving.wait_for_count(changes(&written), DEADLINE).await;
    other.wait_for_count(changes(&written), DEADLINE).await;
    all_arrived_once_and_in_order(moving.received(), &written);
    all_arrived_once_and_in_order(other.received(), &written);
    wait_for_status(&home, |status| of_rule(status, "moving")["state"] == "attached");
    let finished = home.run(&["resume", "moving"]);
    assert!(finished.code == 1 && finished.stderr.contains("moving is not paused"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_paused_and_resumed_while_no_daemon_runs() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    table(server, &database, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home()
        .with_rule("a.yaml", &rule(&database, "items", "a", &receiver))
        .with_rule("b.yaml", &rule(&database, "items", "b", &receiver));
    let mut program = run(&home, server, &[]);
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    done(&home.run(&["pause", "a", "--why", "not before Monday"]));
    let finished = home.run(&["pause", "a"]);
    assert!(finished.code == 1 && finished.stderr.contains("paused already"), "{finished:?}");
    let finished = home.run(&["pause", "c"]);
    assert!(finished.code == 1 && finished.stderr.contains("no rule is named c"), "{finished:?}");
    assert_eq!(of_rule(&status(&home), "a")["why"], "not before Monday");

    server.query(&format!("INSERT INTO {database}.items VALUES (1, 1)")).await;
    program.restart();
    receiver.wait_for_count(1, DEADLINE).await;
    assert_eq!(receiver.received()[0].json()["rule"], "b");
    assert_eq!(of_rule(&status(&home), "a")["state"], "paused");
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);

    done(&home.run(&["resume", "a"]));
    let finished = home.run(&["resume", "a"]);
    assert!(finished.code == 1 && finished.stderr.contains("not paused"), "{finished:?}");
    program.restart();
    receiver.wait_for_count(2, DEADLINE).await;
    assert_eq!(receiver.received()[1].json()["rule"], "a");
}
