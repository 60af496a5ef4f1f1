//! The tally: what is lost is reported, and nothing starts from scratch by itself.

use super::*;

async fn store_with_letters(count: u64) -> TempDir {
    let directory = directory();
    let store = open(directory.path());
    for number in 1..=count {
        store.write(Write { checkpoint: Some(set(number)), ..add([letter(number)]) }).await.expect("written");
    }
    directory
}

fn refusal(directory: &Path) -> String {
    let error = Store::open(directory).expect_err("something is missing");
    assert!(matches!(error, Error::Incomplete { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_store_whose_log_is_gone_is_not_new() {
    let directory = store_with_letters(3).await;
    for name in ["db", "format", "conf"] {
        fs::remove_file(directory.path().join(name)).expect("removed");
        let text = refusal(directory.path());
        assert!(
            text.contains("it contained 3 writes and 3 dead letters; reading had got to binlog.000001:3"),
            "{text}"
        );
        assert!(text.contains("rowhook store restore") && text.contains("rowhook store accept-loss"), "{text}");
        assert!(Store::is_in(directory.path()));
    }
}

#[tokio::test]
async fn an_older_log_lacks_what_was_acknowledged_since() {
    let directory = store_with_letters(3).await;
    let older = self::directory();
    damage::copy_all(directory.path(), older.path());
    let store = open(directory.path());
    store.write(Write { checkpoint: Some(set(5)), ..add([letter(4), letter(5)]) }).await.expect("written");
    drop(store);
    // With its own snapshot it can be read.
    fs::copy(directory.path().join("tally"), older.path().join("tally")).expect("copied");
    let text = refusal(older.path());
    assert!(text.contains("1 of 4 writes are missing, among them 2 new dead letters, from number 4 on"), "{text}");

    fs::copy(older.path().join("db"), directory.path().join("db")).expect("copied");
    let text = refusal(directory.path());
    assert!(text.contains("it contained 4 writes and 5 dead letters; reading had got to binlog.000001:5"), "{text}");

    let loss = Store::accept_loss(directory.path()).expect("accepted");
    let old_store = loss.old_store.clone();
    assert_eq!(loss, Loss { writes: 1, letters: 4..6, letters_left: 3, old_store, ..Loss::default() });
    let store = open(directory.path());
    assert_eq!(numbers(&store), [1, 2, 3]);
    assert_eq!(main(&store), Some(resume(3)));
    assert!(store.verify().await.expect("read").is_whole());
    // The numbers of those that are lost are not given again.
    assert_eq!(store.write(add([letter(9)])).await.expect("written").added, [6]);
}

#[tokio::test]
async fn only_low_water_marks_may_be_a_little_old_and_letters_never_are() {
    let directory = store_with_letters(1).await;
    let store = open(directory.path());
    let before = |directory: &Path| match tally::read(directory).expect("readable") {
        tally::StoredTally::Known(tally) => tally.writes,
        other => panic!("{other:?}"),
    };
    assert_eq!(before(directory.path()), 1);
    for offset in 2..5 {
        let write = Write { checkpoint: Some(set(offset)), ..Write::default() };
        store.write(write).await.expect("written");
    }
    store.write(add([letter(2)])).await.expect("written");
    assert_eq!(before(directory.path()), 5);
    drop(store);
    let known = tally::read(directory.path()).expect("readable");
    assert!(matches!(known, tally::StoredTally::Known(tally) if tally.is_closed), "an orderly end says so");
}

#[tokio::test]
async fn without_a_checkpoint_the_position_of_the_lost_one_is_known() {
    let directory = store_with_letters(2).await;
    fs::remove_file(directory.path().join("db")).expect("removed");
    let loss = Store::accept_loss(directory.path()).expect("accepted");
    let place = Some("binlog.000001:2".to_string());
    assert_eq!((loss.writes, loss.letters, loss.letters_left), (2, 1..3, 0));
    assert_eq!(loss.place, place);
    for _ in 0..2 {
        let store = open(directory.path());
        let saved = store.saved().expect("readable");
        assert_eq!((saved.checkpoint, saved.lost), (None, place.clone()), "it does not begin by itself");
    }
    let store = open(directory.path());
    let write = Write { checkpoint: Some(set(7)), ..Write::default() };
    store.write(write).await.expect("written");
    assert_eq!(store.saved().expect("readable").lost, None);
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_marked_and_protected_from_then_on() {
    let directory = store_with_letters(4).await;
    let store = open(directory.path());
    for key in [trees::STORE_ID, trees::WRITE_COUNT] {
        store.inner.trees.meta.remove(key).expect("removed");
    }
    drop(store);
    fs::remove_dir_all(directory.path().join("kept")).expect("removed");
    fs::remove_file(directory.path().join("tally")).expect("removed");

    let store = open(directory.path());
    assert_eq!(numbers(&store), [1, 2, 3, 4]);
    store.write(add([letter(5)])).await.expect("written");
    drop(store);
    assert_eq!(numbers(&open(directory.path())), [1, 2, 3, 4, 5]);
    fs::remove_file(directory.path().join("db")).expect("removed");
    refusal(directory.path());
}

#[tokio::test]
async fn everything_is_read_and_what_is_damaged_is_named() {
    let directory = store_with_letters(3).await;
    let store = open(directory.path());
    let found = store.verify().await.expect("read");
    assert!(found.is_whole(), "{found:?}");
    assert_eq!((found.letters, found.blocked, found.resolved), (3, 0, 0));
    let key = chunks::key(&2_u64.to_be_bytes(), 0);
    store.inner.trees.changes.insert(&key, &b"\x01damaged beyond its frame"[..]).expect("written");
    let found = store.verify().await.expect("read");
    assert_eq!(found.problem_count, 1, "{found:?}");
    assert!(found.problems[0].contains("dead letter 2"), "{found:?}");
    assert!(!found.is_incomplete);
    store.inner.trees.heads.remove(chunks::key(&3_u64.to_be_bytes(), 0)).expect("removed");
    let found = store.verify().await.expect("read");
    assert!(found.is_incomplete && found.in_short().contains("2 dead letters are there"), "{:?}", found.problems);
}

#[tokio::test]
async fn a_refusal_leaves_the_files_as_they_were() {
    for is_closed in [true, false] {
        let directory = store_with_letters(30).await;
        let store = open(directory.path());
        store.write(add([letter(31)])).await.expect("written");
        let copy = directory.path().with_extension("copy");
        let data = if is_closed {
            drop(store);
            directory.path()
        } else {
            damage::copy_all(directory.path(), &copy);
            &copy
        };
        let log = data.join("db");
        let whole = fs::read(&log).expect("the log");
        let mut refused = 0;
        let written = whole.iter().rposition(|byte| *byte != 0).expect("not empty");
        for at in (64..written).rev().step_by(1_499) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            fs::write(&log, &damaged).expect("written");
            if let Err(error) = Store::open(data) {
                assert!(matches!(error, Error::Incomplete { .. }), "{error}");
                assert!(fs::read(&log).expect("the log") == damaged, "byte {at}: it was changed");
                assert!(!data.join("set-aside").exists());
                refused += 1;
            }
            // Whatever the damage did: once repaired, the store is whole, if nothing was written since.
            if Store::open(data).is_err() {
                fs::write(&log, &whole).expect("written");
                assert_eq!(open(data).dead_letter_count(), 31);
            }
            if refused == 3 {
                break;
            }
        }
        assert!(refused > 0, "nothing was refused");
        drop(fs::remove_dir_all(copy));
    }
}

/// A killed opening has changed log and snapshots; the next opening, and accepting a loss, begin with them as they were.
#[tokio::test]
async fn what_a_killed_opening_changed_is_as_it_was_before() {
    for accepts_loss in [false, true] {
        let directory = store_with_letters(5).await;
        drop(open(directory.path()));
        let known = match tally::read(directory.path()).expect("readable") {
            tally::StoredTally::Known(tally) => tally,
            other => panic!("{other:?}"),
        };
        original::Original::of(directory.path(), Some(&known)).make().expect("copied");
        fs::write(directory.path().join("db"), vec![0; 1 << 20]).expect("written");
        for path in kept::paths(directory.path()).expect("readable") {
            fs::remove_file(path).expect("removed");
        }
        fs::write(directory.path().join("snap.FFFFFFFFFFFFFF00"), "of the opening that was killed").expect("written");
        if accepts_loss {
            let loss = Store::accept_loss(directory.path()).expect("accepted");
            assert_eq!((loss.writes, loss.letters_left), (0, 5));
        }
        assert_eq!(numbers(&open(directory.path())), [1, 2, 3, 4, 5]);
        let aside = fs::read_dir(directory.path().join("set-aside")).map(Iterator::count).unwrap_or(0);
        assert_eq!(aside, usize::from(accepts_loss), "the store before the loss, and no copies");
    }
}

#[tokio::test]
async fn lost_deliveries_may_have_been_called() {
    let directory = store_with_letters(3).await;
    assert_eq!(open(directory.path()).saved().expect("readable").restored_until_us, None);
    fs::remove_file(directory.path().join("db")).expect("removed");
    Store::accept_loss(directory.path()).expect("accepted");
    assert!(open(directory.path()).saved().expect("readable").restored_until_us.is_some());
}

/// Also if all writes are there, and only a part of them is missing.
#[tokio::test]
async fn deliveries_of_a_store_that_contradicts_its_counters_may_have_been_called() {
    let directory = store_with_letters(3).await;
    let store = open(directory.path());
    store.inner.trees.heads.remove(chunks::key(&2_u64.to_be_bytes(), 0)).expect("removed");
    drop(store);
    let loss = Store::accept_loss(directory.path()).expect("accepted");
    assert_eq!((loss.writes, loss.letters_left), (0, 2));
    let store = open(directory.path());
    assert!(store.saved().expect("readable").restored_until_us.is_some());
    assert_eq!((store.dead_letter_count(), store.verify().await.expect("read").is_whole()), (2, true));
}

#[tokio::test]
async fn a_used_directory_without_log_and_tally_is_not_new() {
    let directory = store_with_letters(3).await;
    for name in ["db", "tally"] {
        fs::remove_file(directory.path().join(name)).expect("removed");
    }
    let error = Store::open(directory.path()).expect_err("it was used");
    assert!(matches!(error, Error::Foreign { .. }) && error.to_string().contains("it was used"), "{error}");
}
