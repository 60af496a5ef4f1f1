//! What is not done, with what exit code, and that nothing is changed then.

use super::{GTIDS_OFF, GTIDS_ON, Scene, stop};

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::with_rules(options, &["orders", "payments"]).await;
        let empty = scene.set(&["--to", "latest"]);
        assert_eq!(empty.code, 1, "{empty:?}");
        let program = scene.run();
        scene.insert([1]).await;
        scene.wait_for("orders", &[1]).await;
        let of_daemon = scene.show();
        let running = scene.set(&["--skip-transaction", "--yes"]);
        assert_eq!(running.code, 1, "{running:?}");
        assert!(running.stderr.contains("stop it, then type `rowhook position set --skip-transaction`"), "{running:?}");
        stop(program);

        let before = scene.show();
        assert_eq!(before["position"]["server_uuid"], of_daemon["position"]["server_uuid"]);
        let rows: Vec<(String, u64)> = scene.server.rows("SHOW BINARY LOGS").await.into_iter().map(first_two).collect();
        let (file, end) = rows.last().expect("a file").clone();
        let never = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1";
        let (inside, beyond) = (format!("{file}:{}", end - 31), format!("{file}:{}", end + 100));
        let gone = "binlog.000999:4";
        for (args, code, part) in [
            (&["--rule", "oders", "--to", "latest"][..], 1, "no rule is named oders; did you mean `orders`?"),
            (&["--after", "x"], 2, "expected one GTID"),
            (&["--after", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"], 2, "expected one GTID"),
            (&["--to", "yesterday"], 2, "expected latest, earliest"),
            (&["--to", "latest", "--skip-transaction"], 2, "cannot be used with"),
            (&[], 2, "required"),
            (&["--after", never], 1, if options == GTIDS_ON { "has not executed" } else { "gtid_mode=OFF" }),
            (&["--to", never], 1, if options == GTIDS_ON { "lacks transactions" } else { "gtid_mode=OFF" }),
            (&["--to", &inside], 1, "cannot be read from"),
            (&["--to", &beyond], 1, "cannot be read from"),
            (&["--to", gone], 1, "binlog.000999"),
        ] {
            let finished = scene.set(&[args, &["--yes"]].concat());
            assert_eq!(finished.code, code, "{args:?}: {finished:?}");
            assert!(finished.stderr.contains(part), "{args:?}: {finished:?}");
            assert_eq!(scene.show(), before, "{args:?}");
        }
    }
}

fn first_two(row: (String, u64, String)) -> (String, u64) {
    (row.0, row.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_position_can_not_be_found_and_the_oldest_one_left_can() {
    let scene = Scene::new(GTIDS_ON).await;
    let program = scene.run();
    scene.insert([1]).await;
    scene.wait_for("all", &[1]).await;
    stop(program);
    scene.insert([2, 3]).await;
    let executed: Vec<String> = scene.server.rows("SELECT @@GLOBAL.gtid_executed").await;
    let (uuid, numbers) = executed[0].split_once(':').expect("a set");
    let gtid = format!("{uuid}:{}", numbers.rsplit('-').next().expect("a number"));
    scene.server.purge().await;
    scene.insert([4]).await;
    let finished = scene.set(&["--after", &gtid, "--yes"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(
        finished.stderr.contains("the server has purged") && finished.stderr.contains("--to earliest"),
        "{finished:?}"
    );
    let finished = scene.set(&["--skip-transaction", "--yes"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("rowhook position set --to earliest"), "{finished:?}");

    let mut program = scene.home.start(&["run"]);
    assert_eq!(program.wait(super::DEADLINE), 1);
    program.wait_for_line("accept the gap with `rowhook position set --to earliest`", super::DEADLINE);
    let said = scene.moved(&["--to", "earliest"]);
    assert!(said.contains("can't be counted: the server has purged binlogs"), "{said}");
    let _program = scene.run();
    scene.wait_for("all", &[4]).await;
    assert_eq!(scene.got("all"), [1, 4]);
}
