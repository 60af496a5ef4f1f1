//! Opening what is there: nothing, another process's, a newer one's, a damaged one.

use super::*;

/// Every file with its bytes.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => files.push((path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    files.sort();
    files
}

async fn store_with_a_letter() -> TempDir {
    let directory = directory();
    let store = open(directory.path());
    store.write(Write { checkpoint: Some(set(1)), ..add([letter(1)]) }).await.expect("written");
    directory
}

pub(super) fn snapshots(directory: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("snap."))).collect()
}

/// Opens it again twice: sled writes its first snapshot when it opens a log that has something in it.
fn with_a_snapshot(directory: &Path) -> PathBuf {
    drop(open(directory));
    snapshots(directory).pop().expect("a snapshot")
}

fn assert_whole(store: &Store) {
    assert_eq!(main(store).expect("there"), resume(1));
    assert_eq!(numbers(store), [1]);
    assert_eq!(store.dead_letter_count(), 1);
}

#[tokio::test]
async fn directory_and_files_are_closed_to_other_users() {
    let parent = directory();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let made_by_others = parent.path().join("volume");
    fs::create_dir(&made_by_others).expect("a directory");
    fs::set_permissions(&made_by_others, fs::Permissions::from_mode(0o755)).expect("a mode");
    for path in [parent.path().join("new/deep"), made_by_others] {
        drop(open(&path));
        let store = open(&path);
        store.write(add([letter(1)])).await.expect("written");
        assert_eq!(mode(&path), 0o700);
        for (file, _) in contents(&path) {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
}

#[test]
fn a_directory_with_other_files_keeps_its_mode() {
    let directory = directory();
    fs::write(directory.path().join("theirs"), "x").expect("a file");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    drop(open(directory.path()));
    assert_eq!(fs::metadata(directory.path()).expect("there").permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn a_store_in_use_is_refused_with_the_process_and_free_at_once_when_dropped() {
    let directory = store_with_a_letter().await;
    for _ in 0..5 {
        let store = open(directory.path());
        match Store::open(directory.path()) {
            Err(Error::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        assert_whole(&store);
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_nothing_is_written() {
    let directory = store_with_a_letter().await;
    fs::write(directory.path().join("format"), "rowhook store format 9\n").expect("written");
    let before = contents(directory.path());
    let error = Store::open(directory.path()).expect_err("newer");
    assert!(matches!(error, Error::NewerFormat { found: 9, known: 8, .. }), "{error}");
    assert_eq!(contents(directory.path()), before);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_nothing_is_written() {
    let directory = store_with_a_letter().await;
    fs::remove_file(directory.path().join("tally")).expect("removed");
    for format in [Some("something else"), None] {
        let path = directory.path().join("format");
        match format {
            Some(text) => fs::write(&path, text).expect("written"),
            None => fs::remove_file(&path).expect("removed"),
        }
        let before = contents(directory.path());
        let error = Store::open(directory.path()).expect_err("not ours");
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert_eq!(contents(directory.path()), before);
    }
}

/// Sled takes what it reads again at an opening as it is.
#[tokio::test]
async fn after_an_orderly_end_nothing_is_read_again() {
    let directory = store_with_a_letter().await;
    let store = open(directory.path());
    let before = snapshots(directory.path());
    store.write(add([letter(2)])).await.expect("written");
    drop(store);
    let after = snapshots(directory.path());
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    let name = after[0].file_name().expect("a name");
    assert_eq!(fs::metadata(&after[0]).expect("there").permissions().mode() & 0o777, 0o600);
    let copy = fs::read(directory.path().join("kept").join(name)).expect("a copy");
    assert_eq!(copy, fs::read(&after[0]).expect("the snapshot"));
    let known = tally::read(directory.path()).expect("readable");
    assert!(
        matches!(&known, tally::StoredTally::Known(tally) if tally.is_closed
        && tally.snapshot.as_ref().is_some_and(|snapshot| snapshot.is(&copy))),
        "{known:?}"
    );
    drop(open(directory.path()));
    assert_eq!(snapshots(directory.path()), after, "there was nothing to read again");
}

#[tokio::test]
async fn an_orderly_end_leaves_a_damaged_log_as_it_is() {
    let directory = store_with_a_letter().await;
    let store = open(directory.path());
    for number in 2..=60 {
        store.write(add([sized_letter(number, 3000)])).await.expect("written");
    }
    let log = directory.path().join("db");
    let mut damaged = fs::read(&log).expect("the log");
    let middle = damaged.len() / 3;
    damaged[middle..middle + 4096].fill(0);
    fs::write(&log, &damaged).expect("written");
    drop(store);
    assert!(fs::read(&log).expect("the log") == damaged, "what is left may be wanted");
    Store::open(directory.path()).expect_err("letters are missing");
    assert!(fs::read(&log).expect("the log") == damaged);
}

#[tokio::test]
async fn an_orderly_end_touches_no_other_store_in_its_place() {
    let (parent, other) = (directory(), store_with_a_letter().await);
    let data = parent.path().join("data");
    let store = open(&data);
    store.write(add([letter(7), letter(8)])).await.expect("written");
    fs::rename(&data, parent.path().join("moved")).expect("moved");
    damage::copy_all(other.path(), &data);
    drop(store);
    assert_whole(&open(&data));
    assert_eq!(numbers(&open(&parent.path().join("moved"))), [1, 2]);
    let store = open(&data);
    fs::remove_dir_all(&data).expect("removed");
    drop(store);
    assert!(!data.exists(), "nothing is made where everything was removed");
}

#[tokio::test]
async fn a_half_written_snapshot_is_cleared_away() {
    let directory = store_with_a_letter().await;
    let snapshot = with_a_snapshot(directory.path());
    let half = directory.path().join("snap.FFFFFFFFFFFFFFF0.generating");
    fs::write(&half, &fs::read(&snapshot).expect("a snapshot")[..5]).expect("written");
    assert_whole(&open(directory.path()));
    assert!(!half.exists());
    assert!(!directory.path().join("set-aside").exists(), "the good snapshot was of use");
}

#[tokio::test]
async fn a_damaged_snapshot_is_replaced_by_its_copy_or_made_again() {
    let directory = store_with_a_letter().await;
    let snapshot = with_a_snapshot(directory.path());
    let mut bytes = fs::read(&snapshot).expect("a snapshot");
    bytes[3] ^= 0xff;
    fs::write(&snapshot, &bytes).expect("written");
    assert_whole(&open(directory.path()));
    assert!(!directory.path().join("set-aside").exists(), "the copy was of use");
    // And the copy, too: the log is read as a whole, which in a store as small as this one is enough.
    fs::write(&snapshot, &bytes).expect("written");
    fs::remove_dir_all(directory.path().join("kept")).expect("removed");
    assert_whole(&open(directory.path()));
    let aside = directory.path().join("set-aside").join(snapshot.file_name().expect("a name"));
    assert_eq!(fs::read(aside).expect("kept"), bytes);
    assert_whole(&open(directory.path()));
}

#[tokio::test]
async fn a_store_that_stays_corrupt_is_left_as_it_is_with_the_steps_to_take() {
    let directory = store_with_a_letter().await;
    with_a_snapshot(directory.path());
    let conf = directory.path().join("conf");
    fs::write(&conf, "this is not sled's configuration: it is too long to be empty").expect("written");
    fs::remove_dir_all(directory.path().join("kept")).expect("removed");
    let log = fs::read(directory.path().join("db")).expect("the log");
    let error = Store::open(directory.path()).expect_err("corrupt");
    assert!(matches!(error, Error::Incomplete { .. }), "{error}");
    assert!(error.to_string().contains("cp -a"), "{error}");
    assert_eq!(fs::read(directory.path().join("db")).expect("the log"), log);
    // It is unknown what it contained.
    fs::remove_file(directory.path().join("tally")).expect("removed");
    let error = Store::open(directory.path()).expect_err("corrupt");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("cp -a"), "{error}");
    assert_eq!(fs::read(directory.path().join("db")).expect("the log"), log);
}

#[tokio::test]
async fn numbers_that_contradict_the_letters_are_corruption() {
    let directory = store_with_a_letter().await;
    let store = open(directory.path());
    store.inner.trees.meta.insert(trees::NEXT_NUMBER, &1_u64.to_be_bytes()).expect("written");
    drop(store);
    let error = Store::open(directory.path()).expect_err("corrupt");
    assert!(error.to_string().contains("the last one is 1), and 1 are counted"), "{error}");
    // Also if it is unknown what it contained.
    fs::remove_file(directory.path().join("tally")).expect("removed");
    let error = Store::open(directory.path()).expect_err("corrupt");
    assert!(error.to_string().contains("dead letter 1 is there"), "{error}");
}

#[tokio::test]
async fn what_a_crash_left_of_a_large_letter_is_swept() {
    let directory = store_with_a_letter().await;
    let store = open(directory.path());
    let trees = &store.inner.trees;
    for chunk in 0..sweep::CHUNKS_MAX * 2 {
        trees.changes.insert(chunks::key(&2_u64.to_be_bytes(), chunk), &b"part"[..]).expect("written");
    }
    trees.meta.insert(sweep::mark(2), &[][..]).expect("written");
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.inner.trees.changes.len(), 0);
    assert_whole(&store);
    assert_eq!(store.write(add([letter(2)])).await.expect("written").added, [2]);
}

#[tokio::test]
async fn a_damaged_letter_is_named_and_the_others_stay_readable() {
    let directory = store_with_a_letter().await;
    let store = open(directory.path());
    store.write(add([letter(2), letter(3)])).await.expect("written");
    let key = chunks::key(&2_u64.to_be_bytes(), 0);
    store.inner.trees.heads.insert(&key, &b"\x01damaged beyond its frame"[..]).expect("written");
    let error = store.dead_letter(2).expect_err("damaged");
    assert!(error.to_string().contains("dead letter 2"), "{error}");
    let replay = FailedReplay { number: 2, failure: failure(Reason::Refused), replayed_at_us: 1 };
    let write = Write { letters_replayed: vec![replay], checkpoint: Some(set(2)), ..Write::default() };
    assert!(matches!(store.write(write).await, Err(Error::Record { .. })));
    assert_eq!(main(&store).expect("there"), resume(2), "the rest was written");
    assert!(store.dead_letter(3).expect("readable").is_some());
    assert_eq!(store.write(remove([2])).await.expect("written").removed, 1, "it can be discarded");
    assert_eq!(numbers(&store), [1, 3]);
}
