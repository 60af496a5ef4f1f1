//! Backup, restore and compaction: the same content, in one piece or not at all.

use super::*;

async fn filled(letters: u64) -> TempDir {
    let directory = directory();
    let store = open(directory.path());
    for number in 1..=letters {
        let size = if number % 7 == 0 { 30_000 } else { 200 };
        let write = Write {
            checkpoint: Some(set(number)),
            ledger_add: vec![entry(number)],
            ..add([sized_letter(number, size)])
        };
        store.write(write).await.expect("written");
    }
    let paused = vec![PausedRule { rule: "rule-1".into(), since_us: 5, why: "the API moves".into() }];
    store.write(Write { paused: Some(paused), ..remove(2..=letters / 2) }).await.expect("written");
    directory
}

/// All entries of all trees, except two that each store has of its own: the count of writes and the time of the restore.
fn content(store: &Store) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    for (name, tree) in store.inner.trees.named() {
        for entry in walk::all(tree) {
            let (key, value) = entry.expect("readable");
            if ![trees::WRITE_COUNT, trees::RESTORED_UNTIL_US].contains(&&*key) {
                entries.push((name, key.to_vec(), value.to_vec()));
            }
        }
    }
    entries
}

#[tokio::test]
async fn a_backup_that_is_restored_contains_what_the_store_contained_then() {
    let directory = filled(40).await;
    let store = open(directory.path());
    let outside = self::directory();
    let file = outside.path().join("backup");
    let made = store.backup(file.clone()).await.expect("made");
    assert_eq!(made.head.letters, 21);
    assert_eq!(made.head.place.as_deref(), Some("binlog.000001:40"));
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let then = content(&store);
    store.write(Write { checkpoint: Some(set(50)), ..add([letter(41)]) }).await.expect("written");
    let again = store.backup(file.clone()).await.expect_err("it is there");
    assert!(again.to_string().contains("choose another"), "{again}");
    let error = Store::restore(directory.path(), &file).expect_err("in use");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(store);

    let restored = Store::restore(directory.path(), &file).expect("restored");
    assert_eq!(restored.place_before.as_deref(), Some("binlog.000001:50"));
    assert!(restored.old_store.is_some_and(|old| old.join("db").exists()));
    let store = open(directory.path());
    assert_eq!(content(&store), then);
    assert!(store.saved().expect("readable").restored_until_us.is_some());
    assert!(store.verify().await.expect("read").is_whole());
    assert_eq!(store.write(add([letter(41)])).await.expect("written").added, [41]);
    drop(store);

    let elsewhere = self::directory();
    let restored = Store::restore(&elsewhere.path().join("new"), &file).expect("restored");
    assert_eq!((restored.place_before, restored.old_store), (None, None));
    assert_eq!(content(&open(&elsewhere.path().join("new"))), then);
}

#[tokio::test]
async fn a_backup_that_is_not_whole_is_refused_and_nothing_changes_unless_it_says_the_same() {
    let directory = filled(30).await;
    let store = open(directory.path());
    let outside = self::directory();
    let file = outside.path().join("backup");
    store.backup(file.clone()).await.expect("made");
    let before = content(&store);
    drop(store);
    let whole = fs::read(&file).expect("the backup");
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).step_by(whole.len() / 40).map(|at| whole[..at].to_vec()).collect();
    damaged.extend((0..whole.len()).step_by(3).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        bytes
    }));
    damaged.push(b"no backup at all".to_vec());
    for bytes in damaged {
        fs::write(&file, &bytes).expect("written");
        match Store::restore(directory.path(), &file) {
            Err(Error::Backup { .. }) => assert!(!directory.path().join("new-store").exists()),
            Err(error) => panic!("{error}"),
            // A frame has bits that mean nothing, such as a larger window.
            Ok(_) => assert_eq!(content(&open(directory.path())), before),
        }
    }
    assert_eq!(content(&open(directory.path())), before);
}

#[tokio::test]
async fn compaction_keeps_all_and_gives_the_disk_back() {
    let directory = directory();
    let store = open(directory.path());
    for number in 1..=60 {
        store.write(add([sized_letter(number, 100_000)])).await.expect("written");
    }
    store.write(Write { checkpoint: Some(set(1)), ..remove(1..=58) }).await.expect("written");
    let before = content(&store);
    drop(store);
    let (bytes_before, bytes_now) = Store::compact(directory.path()).expect("compacted");
    assert!(bytes_now * 4 < bytes_before, "{bytes_before} to {bytes_now}");
    let store = open(directory.path());
    assert_eq!(content(&store), before);
    assert!(!directory.path().join("new-store").exists() && !directory.path().join("set-aside").exists());
    assert_eq!(store.write(add([letter(61)])).await.expect("written").added, [61]);
}

/// A kill leaves what was done up to it. Each state between two renames is made by hand, and the next opening finishes.
#[tokio::test]
async fn a_swap_that_was_cut_short_at_any_step_is_finished_or_undone() {
    let directory = filled(20).await;
    let store = open(directory.path());
    let outside = self::directory();
    let file = outside.path().join("backup");
    store.backup(file.clone()).await.expect("made");
    let then = content(&store);
    store.write(add([letter(21)])).await.expect("written");
    let now = content(&store);
    drop(store);

    // The store that is being made has no marker file yet: the old store stays.
    let copy = copy_of(directory.path());
    fs::create_dir(copy.path().join("new-store")).expect("made");
    fs::write(copy.path().join("new-store/db"), "half").expect("written");
    assert_eq!(content(&open(copy.path())), now);
    assert!(!copy.path().join("new-store").exists());

    // With its marker file it replaces the old one, wherever the swap stopped.
    let made = self::directory();
    drop(Store::restore(&made.path().join("store"), &file).expect("restored"));
    for stopped_at in 0..30 {
        let copy = copy_of(directory.path());
        let folder = copy.path().join("new-store");
        damage::copy_all(&made.path().join("store"), &folder);
        fs::remove_file(folder.join("lock")).expect("removed");
        swap::begin(copy.path(), swap::Old::Remove).expect("begun");
        let finished = swap::finish_until(copy.path(), stopped_at).expect("no error");
        let store = open(copy.path());
        assert_eq!(content(&store), then, "stopped at {stopped_at}");
        assert!(!folder.exists());
        if finished {
            break;
        }
        assert!(stopped_at < 29, "more steps than are tried");
    }
}

fn copy_of(directory: &Path) -> TempDir {
    let copy = self::directory();
    damage::copy_all(directory, copy.path());
    copy
}

#[tokio::test]
async fn a_marker_file_without_a_store_replaces_no_store() {
    let directory = filled(20).await;
    let before = content(&open(directory.path()));
    let folder = directory.path().join("new-store");
    for (mark, text) in [("whole", ""), ("whole", "set-aside/before-restore-1"), ("old-is-away", "")] {
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join(mark), text).expect("written");
        if mark == "old-is-away" {
            fs::write(folder.join("db"), "").expect("written");
        }
        assert_eq!(content(&open(directory.path())), before, "{mark} {text}");
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn each_restore_keeps_the_store_that_was_there_by_itself() {
    let directory = filled(20).await;
    let backup = self::directory().keep().join("backup");
    open(directory.path()).backup(backup.clone()).await.expect("made");
    let restored: Vec<PathBuf> = (0..3)
        .map(|_| Store::restore(directory.path(), &backup).expect("restored").old_store.expect("there"))
        .collect();
    assert!(restored[0] != restored[1] && restored.iter().all(|old| old.join("db").exists()), "{restored:?}");
    fs::remove_dir_all(backup.parent().expect("a folder")).expect("removed");
}

/// A kill in the middle of an opening leaves a copy of the log; the store that is restored then may have the same turn.
#[tokio::test]
async fn a_copy_of_the_old_log_is_not_put_back_into_a_restored_store() {
    let directory = filled(20).await;
    let outside = self::directory();
    let backup = outside.path().join("backup");
    let store = open(directory.path());
    store.backup(backup.clone()).await.expect("made");
    let then = content(&store);
    let id = store.inner.trees.store_id().expect("readable").expect("it has one");
    drop(store);
    Store::restore(directory.path(), &backup).expect("restored");
    let turn = match tally::read(directory.path()).expect("readable") {
        tally::StoredTally::Known(tally) => tally.turn,
        other => panic!("{other:?}"),
    };
    let stale = directory.path().join(format!("set-aside/before-opening-{id}-{turn}"));
    fs::create_dir_all(&stale).expect("made");
    fs::write(stale.join("db"), "the log of another store").expect("written");
    Store::restore(directory.path(), &backup).expect("restored");
    assert!(!stale.exists());
    assert_eq!(content(&open(directory.path())), then);
}

#[tokio::test]
async fn a_restore_touches_no_directory_of_others_and_a_backup_no_data_directory() {
    let directory = filled(20).await;
    let elsewhere = self::directory();
    let backup = elsewhere.path().join("backup");
    let store = open(directory.path());
    let within = store.backup(directory.path().join("new-store")).await.expect_err("within");
    assert!(within.to_string().contains("choose another place"), "{within}");
    store.backup(backup.clone()).await.expect("made");
    let error = Store::restore(elsewhere.path(), &backup).expect_err("not ours");
    assert!(error.to_string().contains("it holds other files and no store"), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("a directory").count(), 1);
}
