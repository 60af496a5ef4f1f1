//! Crashes and full disks: this very test program runs again as a child process that is killed or limited.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Set in the child: the data directory.
const CHILD_DIRECTORY: &str = "ROWHOOK_TEST_STORE";

pub(super) fn child_directory() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIRECTORY).map(PathBuf::from)
}

/// Runs the test of this name again, in a process of its own.
fn child(test: &str, directory: &Path) -> Child {
    child_with(test, directory, &[])
}

fn child_with(test: &str, directory: &Path, settings: &[(&str, String)]) -> Child {
    child_command(&format!("crash::{test}"), directory, settings).spawn().expect("a child")
}

/// Runs one of the store's tests again.
pub(super) fn child_command(test: &str, directory: &Path, settings: &[(&str, String)]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["--exact", "--nocapture", &format!("store::tests::{test}")])
        .env(CHILD_DIRECTORY, directory)
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The child's log of what was answered: one number per write. It outlives the child, being with the kernel.
fn acknowledged_path(directory: &Path) -> PathBuf {
    directory.with_extension("acknowledged")
}

pub(super) fn log_as_acknowledged(directory: &Path, number: u64) {
    fs::write(acknowledged_path(directory), format!("{number}\n")).expect("logged");
}

fn acknowledged(directory: &Path) -> u64 {
    let text = fs::read_to_string(acknowledged_path(directory)).unwrap_or_default();
    let whole_lines = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole_lines.lines().last().map_or(0, |line| line.parse().expect("a number"))
}

/// Write n adds dead letter n and ledger entry n, removes entry n - 1, and moves the checkpoint to n; every fourth dead letter
/// takes several transactions, every third one is removed by the write after it. So at any moment, for the checkpoint
/// at n: dead letters up to n, ledger exactly {n}.
pub(super) fn numbered_write(n: u64) -> Write {
    let size = if n.is_multiple_of(4) { 1_500_000 } else { 100 };
    Write {
        checkpoint: Some(set(n)),
        ledger_add: vec![entry(n)],
        ledger_remove: vec![id(n - 1)],
        letters_add: vec![sized_letter(n, size)],
        letters_remove: if (n - 1).is_multiple_of(3) { vec![n - 1] } else { vec![] },
        ..Write::default()
    }
}

async fn write_until_killed(directory: PathBuf) {
    let store = open(&directory);
    let last = main(&store).map_or(0, |main| main.position.place().offset);
    // What was written but not answered when the last child was killed may have left a dead letter above the checkpoint.
    let above = numbers(&store).into_iter().filter(|number| *number > last);
    assert_eq!(above.count(), 0, "a letter stands above its checkpoint");
    let mut log = fs::OpenOptions::new().create(true).append(true).open(acknowledged_path(&directory)).expect("a log");
    let mut waiting = std::collections::VecDeque::new();
    for n in last + 1.. {
        waiting.push_back((n, store.write(numbered_write(n))));
        if waiting.len() == 8 {
            let (n, answer) = waiting.pop_front().expect("eight");
            answer.await.expect("written");
            log.write_all(format!("{n}\n").as_bytes()).expect("logged");
        }
    }
}

pub(super) fn check_after_kill(directory: &Path) -> u64 {
    let store = open(directory);
    let acknowledged = acknowledged(directory);
    let Some(saved) = store.saved().expect("readable").checkpoint else {
        assert_eq!(acknowledged, 0);
        return 0;
    };
    let n = saved.main.position.place().offset;
    assert!(n >= acknowledged, "checkpoint {n} is behind {acknowledged}, which was answered");
    assert_eq!(saved.ledger.by_rule, HashMap::from([("rule-0".into(), HashSet::from([id(n)]))]));
    assert!(saved.main == resume(n), "definitions of another place than the checkpoint's");
    let removed = |number: u64| number.is_multiple_of(3) && number < n;
    let expected: Vec<u64> = (1..=n).filter(|number| !removed(*number)).collect();
    assert_eq!(numbers(&store), expected, "checkpoint {n}");
    assert_eq!(store.dead_letter_count(), expected.len() as u64);
    let changes = walk::all(&store.inner.trees.changes)
        .keys()
        .map(|key| trees::number_of(&key.expect("a key")).expect("a number"));
    let expected_set = expected.iter().copied().collect();
    assert!(changes.collect::<BTreeSet<u64>>().is_subset(&expected_set), "a change without its letter");
    for &number in expected.iter().rev().take(30) {
        let letter = store.dead_letter(number).expect("readable").expect("there");
        let written = numbered_write(number).letters_add.remove(0);
        assert!(letter.change == *written.change && letter.head.delivery_id == written.delivery_id, "{number}");
    }
    n
}

#[test]
fn every_answered_write_survives_kill_9_and_no_checkpoint_passes_a_letter() {
    if let Some(directory) = child_directory() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(write_until_killed(directory));
        return;
    }
    let parent = directory();
    let data = parent.path().join("data");
    for round in 0..20_u64 {
        let before = acknowledged(&data);
        let mut child = child("every_answered_write_survives_kill_9_and_no_checkpoint_passes_a_letter", &data);
        let deadline = Instant::now() + Duration::from_secs(30);
        while acknowledged(&data) <= before + round {
            assert!(Instant::now() < deadline && child.try_wait().expect("a child").is_none(), "the child stopped");
            std::thread::yield_now();
        }
        // From "just answered" to anywhere in what comes next: each round tests another moment.
        std::thread::sleep(Duration::from_millis(round * 7 % 20));
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(check_after_kill(&data) > before);
    }
}

/// A file may grow no further than this in the child: as if the disk were full.
const FILE_BYTES_MAX: u64 = 3 << 20;

/// Set in the child: how far its files may grow.
const FILE_LIMIT: &str = "ROWHOOK_TEST_LIMIT";

/// As if the disk were full beyond it. Within a runtime.
fn limit_files_to(bytes: u64) {
    // The kernel sends SIGXFSZ before it answers EFBIG, and without a handler that ends the process.
    let size_signal = tokio::signal::unix::SignalKind::from_raw(25);
    drop(tokio::signal::unix::signal(size_signal).expect("a handler"));
    let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).expect("a limit");
}

#[test]
fn a_full_disk_fails_all_later_writes_and_loses_nothing_answered() {
    if let Some(directory) = child_directory() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(write_until_full(directory));
        return;
    }
    let parent = directory();
    let data = parent.path().join("data");
    let status = child("a_full_disk_fails_all_later_writes_and_loses_nothing_answered", &data).wait().expect("a child");
    assert!(status.success(), "{status}");
    let store = open(&data);
    let expected: Vec<u64> = (1..=acknowledged(&data)).collect();
    assert!(!expected.is_empty());
    assert!(numbers(&store).starts_with(&expected));
}

async fn write_until_full(directory: PathBuf) {
    limit_files_to(FILE_BYTES_MAX);
    let store = open(&directory);
    let mut log = fs::OpenOptions::new().create(true).append(true).open(acknowledged_path(&directory)).expect("a log");
    let mut n = 0;
    let error = loop {
        n += 1;
        match store.write(add([sized_letter(n, 20_000)])).await {
            Ok(_) => log.write_all(format!("{n}\n").as_bytes()).expect("logged"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(error.to_string().contains("free some"), "{error}");
    assert_eq!(store.failed().await.to_string(), error.to_string());
    for write in [add([letter(1)]), Write { checkpoint: Some(set(9)), ..Write::default() }] {
        assert_eq!(store.write(write).await.expect_err("poisoned").to_string(), error.to_string());
    }
    assert!(store.dead_letter(1).expect("reading goes on").is_some());
}

/// Write n adds dead letters 2n - 1 and 2n, together more than fits in a transaction, each with its ledger entry and in the
/// queue of a key; and removes the second dead letter of the write before.
fn holding_write(n: u64) -> Write {
    let letters = [2 * n - 1, 2 * n].map(|number| {
        let lanes = LaneKeys::two(LaneKey(number % 3), LaneKey(100));
        NewDeadLetter { lanes, ..sized_letter(number, 60_000 + (number as usize % 5) * 60_000) }
    });
    let letters_remove = if n > 1 { vec![2 * n - 2] } else { vec![] };
    Write { ledger_add: [2 * n - 1, 2 * n].map(entry).into(), letters_remove, ..add(letters) }
}

async fn hold_until_killed(directory: PathBuf) {
    let store = open(&directory);
    // What the last child began is finished or begun again: dead letters that it left at the end do not matter.
    let mut written = store.inner.trees.counter(trees::NEXT_NUMBER).expect("readable").unwrap_or(1) - 1;
    if written % 2 == 1 {
        let odd = holding_write(written.div_ceil(2)).letters_add.remove(1);
        let ledger_add = vec![entry(written + 1)];
        store.write(Write { ledger_add, ..add([odd]) }).await.expect("written");
        written += 1;
    }
    let mut log = fs::OpenOptions::new().create(true).append(true).open(acknowledged_path(&directory)).expect("a log");
    let mut waiting = std::collections::VecDeque::new();
    for n in written / 2 + 1.. {
        waiting.push_back((n, store.write(holding_write(n))));
        if waiting.len() == 8 {
            let (n, answer) = waiting.pop_front().expect("eight");
            answer.await.expect("written");
            log.write_all(format!("{n}\n").as_bytes()).expect("logged");
        }
    }
}

fn check_holds_after_kill(directory: &Path) -> u64 {
    let store = open(directory);
    let trees = &store.inner.trees;
    let last = trees.counter(trees::NEXT_NUMBER).expect("readable").unwrap_or(1) - 1;
    assert!(last >= 2 * acknowledged(directory));
    let ledger: BTreeSet<Vec<u8>> = walk::all(&trees.ledger).keys().map(|key| key.expect("a key").to_vec()).collect();
    let expected = (1..=last).map(|number| id(number).0.as_bytes().to_vec()).collect();
    assert!(ledger == expected, "the ledger names other letters than the {last} that were written");
    let there = numbers(&store);
    let mut entries = BTreeSet::new();
    for number in &there {
        entries.extend(
            [LaneKey(number % 3), LaneKey(100)].map(|key| super::super::blocked_keys::entry(key, *number).to_vec()),
        );
    }
    let found: BTreeSet<Vec<u8>> = walk::all(&trees.holds).keys().map(|key| key.expect("a key").to_vec()).collect();
    assert!(found == entries, "an entry without its letter, or a letter without its entry");
    let front = store.blocked_keys().queue(LaneKey(100)).map(|queue| (queue.front, queue.letters as usize));
    assert_eq!(front, there.first().map(|first| (*first, there.len())));
    acknowledged(directory)
}

#[test]
fn a_letter_its_ledger_entry_and_its_blocked_key_are_stored_together_or_not_at_all_after_kill_9() {
    if let Some(directory) = child_directory() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(hold_until_killed(directory));
        return;
    }
    let parent = directory();
    let data = parent.path().join("data");
    for round in 0..20_u64 {
        let before = acknowledged(&data);
        let name = "a_letter_its_ledger_entry_and_its_blocked_key_are_stored_together_or_not_at_all_after_kill_9";
        let mut child = child(name, &data);
        let deadline = Instant::now() + Duration::from_secs(60);
        while acknowledged(&data) <= before + round % 4 {
            assert!(Instant::now() < deadline && child.try_wait().expect("a child").is_none(), "the child stopped");
            std::thread::yield_now();
        }
        // From "just answered" to anywhere in what comes next: each round tests another moment.
        std::thread::sleep(Duration::from_millis(round * 3 % 20));
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(check_holds_after_kill(&data) > before);
    }
}

/// Ids of sagas that are under way, apart from those of dead letters.
const UNDER_WAY: u64 = 1 << 40;

/// Write n adds dead letter n with its saga and ledger entry, more than fits in a transaction; starts saga n, some with a
/// change of several transactions; ends saga n - 1 with a ledger entry; and removes some dead letters.
fn operating_write(n: u64) -> Write {
    let body = vec![b'x'; KeptAnswer::BODY_BYTES_MAX].into();
    let kept = KeptAnswer { status: 200, headers: vec![], body, is_cut: false, problem: None };
    let mut of_letter = log(if n.is_multiple_of(2) { ActionState::Unknown } else { ActionState::Done });
    of_letter.steps[0].answer = Some(kept);
    let put = |number, log: SagaLog, change| SagaPut {
        id: id(number),
        rule: "rule-0".into(),
        log: log.into(),
        change,
        letter: None,
    };
    let change = sized_letter(UNDER_WAY + n, if n.is_multiple_of(3) { 600_000 } else { 100 }).change;
    Write {
        ledger_add: vec![entry(n), entry(UNDER_WAY + n - 1)],
        sagas_put: vec![put(n, of_letter, None), put(UNDER_WAY + n, log(ActionState::Begun), Some(change))],
        sagas_remove: vec![id(UNDER_WAY + n - 1)],
        letters_remove: if n.is_multiple_of(4) { vec![n - 1, n - 2] } else { vec![] },
        ..add([sized_letter(n, 200_000)])
    }
}

async fn operate_until_killed(directory: PathBuf) {
    let store = open(&directory);
    let written = store.inner.trees.counter(trees::NEXT_NUMBER).expect("readable").unwrap_or(1) - 1;
    let mut log = fs::OpenOptions::new().create(true).append(true).open(acknowledged_path(&directory)).expect("a log");
    let mut waiting = std::collections::VecDeque::new();
    for n in written + 1.. {
        waiting.push_back((n, store.write(operating_write(n))));
        if waiting.len() == 8 {
            let (n, answer) = waiting.pop_front().expect("eight");
            answer.await.expect("written");
            log.write_all(format!("{n}\n").as_bytes()).expect("logged");
        }
    }
}

fn check_sagas_after_kill(directory: &Path) -> u64 {
    let store = open(directory);
    let trees = &store.inner.trees;
    let last = trees.counter(trees::NEXT_NUMBER).expect("readable").unwrap_or(1) - 1;
    assert!(last >= acknowledged(directory));
    let ids = |tree: &sled::Tree| -> BTreeSet<u64> {
        let number = |key: sled::IVec| Uuid::from_slice(&key[..16]).expect("an id").as_u128() as u64;
        walk::all(tree).keys().map(|key| number(key.expect("a key"))).collect()
    };
    let letters: BTreeSet<u64> = numbers(&store).into_iter().collect();
    let ledger: BTreeSet<u64> = (1..=last).chain((0..last).map(|n| UNDER_WAY + n)).collect();
    assert!(ids(&trees.ledger) == ledger, "the ledger says something else than the {last} letters");
    assert_eq!(ids(&trees.saga_letters), letters, "a letter without its operation, or the other way round");
    let under_way = store.sagas().expect("readable");
    let found: BTreeSet<u64> = under_way.iter().map(|saga| saga.id.0.as_u128() as u64).collect();
    // The next saga is under way before the dead letter of its write.
    let next = UNDER_WAY + last + 1;
    let expected = [UNDER_WAY + last, next].into_iter().filter(|n| *n != next || found.contains(&next)).collect();
    assert_eq!(found, expected, "an operation that ended, or one that was lost");
    assert_eq!(ids(&trees.saga_changes), found, "a change without its operation");
    assert_eq!(ids(&trees.sagas), &letters | &found);
    for saga in &under_way {
        let n = saga.id.0.as_u128() as u64 - UNDER_WAY;
        assert!(Some(&saga.change) == operating_write(n).sagas_put[1].change.as_ref(), "{n}");
    }
    assert_eq!(store.awaiting_count(), letters.iter().filter(|n| n.is_multiple_of(2)).count() as u64);
    acknowledged(directory)
}

#[test]
fn a_saga_is_removed_with_its_letter_or_its_ledger_entry_also_after_kill_9() {
    if let Some(directory) = child_directory() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(operate_until_killed(directory));
        return;
    }
    let parent = directory();
    let data = parent.path().join("data");
    for round in 0..20_u64 {
        let before = acknowledged(&data);
        let mut child = child("a_saga_is_removed_with_its_letter_or_its_ledger_entry_also_after_kill_9", &data);
        let deadline = Instant::now() + Duration::from_secs(60);
        while acknowledged(&data) <= before + round % 4 {
            assert!(Instant::now() < deadline && child.try_wait().expect("a child").is_none(), "the child stopped");
            std::thread::yield_now();
        }
        // From "just answered" to anywhere in what comes next: each round tests another moment.
        std::thread::sleep(Duration::from_millis(round * 3 % 20));
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(check_sagas_after_kill(&data) > before);
    }
}

/// Writes, and after each write opens the store again, compacts it, or restores it from a backup made just before.
async fn keep_up_until_killed(directory: PathBuf) {
    let backup = directory.with_extension("backup");
    let mut log = fs::OpenOptions::new().create(true).append(true).open(acknowledged_path(&directory)).expect("a log");
    loop {
        let store = open(&directory);
        let n = main(&store).map_or(0, |main| main.position.place().offset) + 1;
        store.write(numbered_write(n)).await.expect("written");
        log.write_all(format!("{n}\n").as_bytes()).expect("logged");
        if n % 3 == 1 {
            // A backup that a kill left is of an earlier state.
            drop(fs::remove_file(&backup));
            store.backup(backup.clone()).await.expect("made");
        }
        drop(store);
        match n % 3 {
            0 => drop(Store::compact(&directory).expect("compacted")),
            1 => drop(Store::restore(&directory, &backup).expect("restored")),
            _ => {}
        }
    }
}

#[test]
fn a_store_that_is_killed_while_it_is_opened_compacted_or_restored_keeps_what_was_answered() {
    const NAME: &str = "a_store_that_is_killed_while_it_is_opened_compacted_or_restored_keeps_what_was_answered";
    if let Some(directory) = child_directory() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(keep_up_until_killed(directory));
        return;
    }
    let parent = directory();
    let data = parent.path().join("data");
    for round in 0..30_u64 {
        let before = acknowledged(&data);
        let mut child = child(NAME, &data);
        let deadline = Instant::now() + Duration::from_secs(30);
        while acknowledged(&data) <= before + round % 3 {
            assert!(Instant::now() < deadline && child.try_wait().expect("a child").is_none(), "the child stopped");
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(round * 17 % 120));
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(check_after_kill(&data) > before);
    }
}

/// Within a runtime. Compacts and restores with files that may grow no further than the limit; an error is right, too.
fn keep_up_on_a_full_disk(directory: PathBuf) {
    limit_files_to(std::env::var(FILE_LIMIT).expect("a limit").parse().expect("a number"));
    let backup = directory.with_extension("backup");
    let done = [Store::compact(&directory).map(drop), Store::restore(&directory, &backup).map(drop)];
    for error in done.into_iter().filter_map(Result::err) {
        let is_of_space =
            matches!(error, Error::Full { .. } | Error::Directory { .. } | Error::Open { .. } | Error::Write { .. });
        assert!(is_of_space, "{error}");
    }
}

#[tokio::test]
async fn a_full_disk_at_any_step_of_compaction_and_restore_loses_nothing() {
    const NAME: &str = "a_full_disk_at_any_step_of_compaction_and_restore_loses_nothing";
    if let Some(directory) = child_directory() {
        keep_up_on_a_full_disk(directory);
        return;
    }
    let parent = directory();
    let data = parent.path().join("data");
    let store = open(&data);
    for n in 1..=40 {
        store.write(numbered_write(n)).await.expect("written");
    }
    store.backup(data.with_extension("backup")).await.expect("made");
    drop(store);
    log_as_acknowledged(&data, 40);
    for step in 0..14 {
        let bytes = (8_u64 << 10) << step;
        let mut child = child_with(NAME, &data, &[(FILE_LIMIT, bytes.to_string())]);
        let status = child.wait().expect("a child");
        assert!(status.success(), "{bytes} bytes: {status}");
        assert_eq!(check_after_kill(&data), 40, "{bytes} bytes");
    }
}
