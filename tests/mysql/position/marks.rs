//! Places that are named, and the marks of rules that are not where the others are.

use super::{DEADLINE, GTIDS_OFF, GTIDS_ON, Scene, stop};

async fn newest_place(scene: &Scene) -> String {
    let rows: Vec<(String, u64, String, String, String)> = scene.server.rows("SHOW BINARY LOG STATUS").await;
    format!("{}:{}", rows[0].0, rows[0].1)
}

async fn newest_gtid(scene: &Scene) -> String {
    let executed: Vec<String> = scene.server.rows("SELECT @@GLOBAL.gtid_executed").await;
    let (uuid, numbers) = executed[0].split_once(':').expect("a set");
    format!("{uuid}:{}", numbers.rsplit('-').next().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_continues_directly_after_a_gtid_in_any_file() {
    let scene = Scene::new(GTIDS_ON).await;
    let program = scene.run();
    scene.insert([1]).await;
    scene.wait_for("all", &[1]).await;
    stop(program);
    let mut gtids = Vec::new();
    for id in 2..=9 {
        scene.insert([id]).await;
        gtids.push(newest_gtid(&scene).await);
        if id % 2 == 0 {
            scene.server.query("FLUSH BINARY LOGS").await;
        }
    }
    // Ahead, and back again.
    for (id, said) in [(4, "skips 3 transactions, "), (7, "skips 3 transactions, "), (5, "repeats 2 transactions, ")] {
        let text = scene.moved(&["--after", &gtids[id - 2]]);
        assert!(text.contains(said), "{text}");
    }
    let _program = scene.run();
    scene.wait_for("all", &[6, 7, 8, 9]).await;
    assert_eq!(scene.got("all"), [1, 6, 7, 8, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_a_file_a_set_and_both_ends_of_the_log_are_gone_to() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::new(options).await;
        let program = scene.run();
        scene.insert([1]).await;
        scene.wait_for("all", &[1]).await;
        stop(program);
        scene.insert([2, 3]).await;
        let place = newest_place(&scene).await;
        scene.insert([4, 5]).await;
        let text = scene.moved(&["--to", &place]);
        assert!(text.contains("skips 2 transactions, ") && text.contains("the log has 2 transactions, "), "{text}");
        let program = scene.run();
        scene.wait_for("all", &[4, 5]).await;
        stop(program);
        let text = scene.moved(&["--to", &place]);
        assert!(text.contains("repeats 2 transactions, "), "{text}");
        scene.insert([6]).await;
        let text = scene.moved(&["--to", "latest"]);
        assert!(text.contains("skips 3 transactions, ") && text.contains("the log has 0 transactions"), "{text}");
        assert!(scene.moved(&["--to", "latest"]).contains("nothing is to be done"));
        if options == GTIDS_ON {
            let gtid = newest_gtid(&scene).await;
            let text = scene.moved(&["--to", &gtid.replacen(':', ":1-", 1)]);
            assert!(text.contains("skips and repeats nothing"), "{text}");
        }
        scene.insert([7]).await;
        let _program = scene.run();
        scene.wait_for("all", &[7]).await;
        assert_eq!(scene.got("all"), [1, 4, 5, 7]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_has_not_come_as_far_loses_the_bad_transaction_and_no_other() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::with_rules(options, &["quick", "slow"]).await;
        let mut program = scene.run();
        let paused = scene.home.run(&["pause", "slow"]);
        assert_eq!(paused.code, 0, "{paused:?}");
        scene.insert([1, 2]).await;
        scene.wait_for("quick", &[1, 2]).await;
        scene.insert_as_statement(3).await;
        scene.insert([4]).await;
        assert_eq!(program.wait(DEADLINE), 1);

        scene.moved(&["--skip-transaction"]);
        let mut program = scene.run();
        scene.wait_for("quick", &[4]).await;
        let resumed = scene.home.run(&["resume", "slow"]);
        assert_eq!(resumed.code, 0, "it is paused still: {resumed:?}");
        scene.wait_for("slow", &[1, 2]).await;
        if options == GTIDS_OFF {
            // Without GTIDs nothing says what one transaction is that lies ahead: the rule comes to it alone.
            program.wait_for_line("`rowhook position set --rule slow --skip-transaction`", DEADLINE);
            stop(program);
            let said = scene.moved(&["--rule", "slow", "--skip-transaction"]);
            assert!(said.contains("rule slow: from "), "{said}");
            program = scene.run();
        }
        scene.wait_for("slow", &[4]).await;
        scene.insert([5]).await;
        scene.wait_for("quick", &[5]).await;
        scene.wait_for("slow", &[5]).await;
        stop(program);
        assert_eq!((scene.got("quick"), scene.got("slow")), (vec![1, 2, 4, 5], vec![1, 2, 4, 5]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rule_is_moved_and_the_others_stay() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::with_rules(options, &["one", "other"]).await;
        let program = scene.run();
        scene.insert([1]).await;
        scene.wait_for("one", &[1]).await;
        scene.wait_for("other", &[1]).await;
        stop(program);
        scene.insert([2, 3]).await;
        let place = newest_place(&scene).await;
        scene.insert([4]).await;
        scene.moved(&["--rule", "one", "--to", &place]);
        let shown = scene.show();
        assert_eq!((&shown["rules"][0]["rule"], &shown["log"][0]["moves"][0]["rule"]), (&"one".into(), &"one".into()));
        let program = scene.run();
        scene.insert([5]).await;
        scene.wait_for("one", &[4, 5]).await;
        scene.wait_for("other", &[2, 3, 4, 5]).await;
        stop(program);
        assert_eq!((scene.got("one"), scene.got("other")), (vec![1, 4, 5], vec![1, 2, 3, 4, 5]));

        // Back: it gets again what it had, the other does not.
        scene.moved(&["--rule", "one", "--to", &place]);
        let program = scene.run();
        scene.insert([6]).await;
        scene.wait_for("one", &[6]).await;
        scene.wait_for("other", &[6]).await;
        stop(program);
        assert_eq!((scene.got("one"), scene.got("other")), (vec![1, 4, 4, 5, 5, 6], vec![1, 2, 3, 4, 5, 6]));
    }
}
