//! The store as its callers see it, on a real sled in a temporary directory; crashes and full disks in child processes.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};
use crate::failure::{Answer, Attempt, Attempts, Reason};
use crate::ordering::{BlockedQueue as HeldQueue, LaneKey, LaneKeys};
use crate::position::{FileOffset, FoundBy, Position, PositionParts, Proof, Within};
use crate::saga::{ActionLog, ActionState, Direction, KeptAnswer, StepLog};
use crate::schema::{Column, Definition, Family, Schema, TableName};

mod backups;
mod blocked_keys;
mod crash;
mod damage;
mod editing;
mod former;
mod lane_forms;
mod log_check;
mod losing;
mod opening;
mod pages;
mod resolving;
mod sagas;
mod sets;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod steps;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(directory: &Path) -> Store {
    Store::open(directory).expect("a store")
}

fn id(number: u64) -> DeliveryId {
    DeliveryId(Uuid::from_u128(u128::from(number)))
}

/// A position, with definitions that no other position has.
pub(super) fn resume(offset: u64) -> Resume {
    let file = FileOffset { file: "binlog.000001".into(), offset };
    let within = vec![Within { transaction: "t".into(), table: "shop.orders".into(), rows: offset }];
    let (undecided, proof) = (Arc::default(), Proof::default());
    let found_by = FoundBy::Place;
    let parts = PositionParts { server_uuid: Uuid::from_u128(1), gtids: None, file, undecided, found_by, proof };
    let position = Position::from_parts(parts);
    let mut schema = Schema::default();
    for table in ["orders", if offset.is_multiple_of(2) { "even" } else { "odd" }] {
        // Some take several chunks.
        let names = (0..=(offset % 3) * 200).map(|n| format!("a column of place {offset}, {n}").into());
        let family = Family::named("bit", None).expect("a family");
        let columns = names.map(|name| Column { name, family: family.clone() }).collect();
        schema.insert(
            TableName::new("shop", table),
            Definition { columns, primary_key: vec![0], charset: Some("latin1".into()) }.into(),
        );
    }
    Resume { position, within, schema: schema.into() }
}

/// A checkpoint without rules at other positions.
pub(super) fn set(offset: u64) -> CheckpointSet {
    CheckpointSet { main: resume(offset), rules: Vec::new(), known: vec!["rule-0".into()], former_ids: None }
}

fn entry(number: u64) -> LedgerEntry {
    LedgerEntry { id: id(number), rule: "rule-0".into() }
}

fn main(store: &Store) -> Option<Resume> {
    store.saved().expect("readable").checkpoint.map(|checkpoint| checkpoint.main)
}

/// The log of a saga of two steps, the first done and the second as given.
pub(super) fn log(second: ActionState) -> SagaLog {
    let act = |state| ActionLog { state, attempts: 1, ..ActionLog::WAITING };
    let step = |name: &str, state| StepLog {
        name: name.into(),
        act: act(state),
        undo: ActionLog::WAITING,
        failed_calls: 0,
        answer: None,
    };
    SagaLog {
        steps: vec![step("account", ActionState::Done), step("mail", second)],
        direction: Direction::Forward,
        callback: ActionLog::WAITING,
        reason: None,
    }
}

fn failure(reason: Reason) -> LetterFailure {
    let answer = Answer::Status { status: 503, excerpt: "busy".to_string() };
    let attempts = Attempts::new(vec![Attempt { started_at_us: 1, duration_us: 2, answer }], 1);
    LetterFailure { reason, message: "answered 503".to_string(), attempts }
}

fn change(table: &str, value: Value) -> Change {
    let columns = vec!["v".into()];
    let table = Table { schema: "shop".into(), name: table.into(), columns, primary_key: vec![0] };
    let transaction = Transaction { server_uuid: Uuid::from_u128(1), committed_at_us: 5, ..Transaction::example() };
    let after = Some(Row::from_iter([Cell::Value(value)]));
    let (table, transaction) = (Arc::new(table), Arc::new(transaction));
    Change { op: Op::Insert, table, before: None, after, transaction, ordinal: 1 }
}

/// Every second one has a change that is too long to stand with its head.
fn letter(number: u64) -> NewDeadLetter {
    sized_letter(number, if number.is_multiple_of(2) { 2_000 } else { 10 })
}

pub(super) fn sized_letter(number: u64, value_bytes: usize) -> NewDeadLetter {
    NewDeadLetter {
        delivery_id: id(number),
        rule: format!("rule-{}", number % 3).into(),
        change: Arc::new(change(&format!("t{}", number % 2), Value::Text("x".repeat(value_bytes).into()))),
        failure: failure(Reason::ALL[number as usize % 4]),
        lanes: LaneKeys::none(),
        created_at_us: number * 10,
        redacted: vec![],
    }
}

fn add(letters: impl IntoIterator<Item = NewDeadLetter>) -> Write {
    Write { letters_add: letters.into_iter().collect(), ..Write::default() }
}

fn remove(numbers: impl IntoIterator<Item = u64>) -> Write {
    Write { letters_remove: numbers.into_iter().collect(), ..Write::default() }
}

fn numbers(store: &Store) -> Vec<u64> {
    store.dead_letters(&Filter::default(), None, usize::MAX).expect("readable").iter().map(|h| h.number).collect()
}

#[tokio::test]
async fn what_was_written_is_stored_after_reopening() {
    let directory = directory();
    let store = open(directory.path());
    assert_eq!(store.saved().expect("readable"), Saved::default());
    let first = Write { ledger_add: vec![entry(1), entry(2)], checkpoint: Some(set(7)), ..add([letter(1)]) };
    assert_eq!(store.write(first).await.expect("written").added, [1]);
    let second = Write { ledger_remove: vec![id(1)], checkpoint: Some(set(8)), ..add([letter(2), letter(3)]) };
    assert_eq!(store.write(second).await.expect("written").added, [2, 3]);
    drop(store);

    let store = open(directory.path());
    let by_rule = HashMap::from([("rule-0".into(), HashSet::from([id(2)]))]);
    let ledger = Ledger { by_rule, ..Ledger::default() };
    let known = Some(vec!["rule-0".into()]);
    let checkpoint = SavedCheckpoint { main: resume(8), rules: Vec::new(), known, ledger, former_ids: None };
    assert_eq!(store.saved().expect("readable").checkpoint, Some(checkpoint));
    assert_eq!(store.dead_letter_count(), 3);
    let read = store.dead_letter(2).expect("readable").expect("there");
    let expected = letter(2);
    assert_eq!(read.change, *expected.change);
    assert_eq!(read.head.delivery_id, expected.delivery_id);
    assert_eq!(read.head.rule, expected.rule);
    assert_eq!(&*read.head.table, "shop.t0");
    assert_eq!(read.head.failure, expected.failure);
    assert_eq!((read.head.created_at_us, read.head.replays, read.head.replayed_at_us), (20, 0, None));
    assert_eq!(store.write(add([letter(4)])).await.expect("written").added, [4], "numbers go on");
}

#[tokio::test]
async fn the_counter_is_right_after_adds_and_removals_also_of_what_is_not_there() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add((1..=10).map(letter))).await.expect("written");
    assert_eq!(store.dead_letter_count(), 10);
    assert_eq!(store.write(remove([3, 3, 4, 99])).await.expect("written").removed, 2);
    assert_eq!(store.write(remove([3])).await.expect("written").removed, 0);
    assert_eq!(store.dead_letter_count(), 8);
    let both = Write { letters_remove: vec![11], ..add([letter(11)]) };
    let written = store.write(both).await.expect("written");
    assert_eq!((written.added, written.removed), (vec![11], 1), "added and removed in one write");
    assert_eq!(numbers(&store), [1, 2, 5, 6, 7, 8, 9, 10]);
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.dead_letter_count(), 8);
    assert_eq!(store.write(add([letter(12)])).await.expect("written").added, [12], "numbers are never used twice");
}

#[tokio::test]
async fn a_failed_replay_replaces_the_failure_and_restores_no_removed_letter() {
    let directory = directory();
    let store = open(directory.path());
    let long = LetterFailure { message: "m".repeat(20_000), ..failure(Reason::Exhausted) };
    store.write(add([NewDeadLetter { failure: long, ..letter(1) }, letter(2)])).await.expect("written");
    let replay = |number, at| FailedReplay { number, failure: failure(Reason::Refused), replayed_at_us: at };
    let write = Write {
        letters_replayed: vec![replay(1, 70), replay(1, 80), replay(2, 90), replay(9, 90)],
        letters_remove: vec![2],
        ..Write::default()
    };
    let written = store.write(write).await.expect("written");
    assert_eq!((written.replayed, written.removed), (3, 1));
    let gone = Write { letters_replayed: vec![replay(2, 95)], ..Write::default() };
    assert_eq!(store.write(gone).await.expect("written").replayed, 0);
    assert_eq!(store.dead_letter_count(), 1);
    assert_eq!(store.dead_letter(2).expect("readable"), None);
    let read = store.dead_letter(1).expect("readable").expect("there");
    assert_eq!((read.head.replays, read.head.replayed_at_us), (2, Some(80)));
    assert_eq!(read.head.failure, failure(Reason::Refused));
    assert_eq!(read.head.delivery_id, id(1));
    assert_eq!(read.change, *letter(1).change);
    assert_eq!(store.inner.trees.heads.len(), 1, "chunks of the longer head are gone");
}

#[tokio::test]
async fn ten_thousand_letters_are_paged_and_filtered_in_the_order_of_their_numbers() {
    let directory = directory();
    let store = open(directory.path());
    for first in (1..=10_000).step_by(500) {
        store.write(add((first..first + 500).map(letter))).await.expect("written");
    }
    store.write(remove((1..=10_000).filter(|number| number % 10 == 0))).await.expect("written");
    let any = Filter::default();
    type Fits = fn(u64) -> bool;
    let range = |from, to| NumberRange(from..=to);
    let fits: [(Filter, Fits); 9] = [
        (any.clone(), |_| true),
        (Filter { rule: Some("rule-1".to_string()), ..any.clone() }, |n| n % 3 == 1),
        (Filter { table: Some("shop.t1".to_string()), ..any.clone() }, |n| n % 2 == 1),
        (Filter { reason: Some(Reason::Undecided), ..any.clone() }, |n| n % 4 == 3),
        (Filter { created_from_us: Some(50_000), created_before_us: Some(60_000), ..any.clone() }, |n| {
            (5000..6000).contains(&n)
        }),
        (Filter { number_range: range(4_995, 5_005), ..any.clone() }, |n| (4_995..=5_005).contains(&n)),
        (Filter { number_range: range(9_990, u64::MAX), ..any.clone() }, |n| n >= 9_990),
        (Filter { message: Some("503".into()), number_range: range(0, 9), ..any.clone() }, |n| n < 10),
        (Filter { numbers: Some(BTreeSet::from([3, 7, 10, 4321, 99_999])), rule: Some("rule-1".into()), ..any }, |n| {
            [7, 4321].contains(&n)
        }),
    ];
    for (filter, fits) in fits {
        let expected: Vec<u64> = (1..=10_000).filter(|n| n % 10 != 0 && fits(*n)).collect();
        let in_pages = |order| {
            let mut found = Vec::new();
            loop {
                let page = store.dead_letters_in(order, &filter, found.last().copied(), 777).expect("readable");
                found.extend(page.iter().map(|head| head.number));
                if page.len() < 777 {
                    return found;
                }
            }
        };
        assert_eq!(in_pages(LetterOrder::OldestFirst), expected, "{filter:?}");
        let newest_first: Vec<u64> = expected.iter().rev().copied().collect();
        assert_eq!(in_pages(LetterOrder::NewestFirst), newest_first, "{filter:?}");
        let parts = store.fold_letters(&filter, Vec::new, |part, facts| part.push(facts.number)).expect("readable");
        assert_eq!(parts.concat(), expected, "{filter:?}");
    }
    assert!(
        store.dead_letters_in(LetterOrder::NewestFirst, &Filter::default(), Some(1), 5).expect("readable").is_empty()
    );
    assert!(store.dead_letters(&Filter::default(), Some(u64::MAX), 5).expect("readable").is_empty());
}

#[tokio::test]
async fn large_letters_read_back_and_leave_nothing_behind() {
    let directory = directory();
    let store = open(directory.path());
    // Around one chunk, around one transaction, far beyond both.
    let sizes = [3_000, 5_000, TRANSACTION_BYTES_MAX - 1_000, TRANSACTION_BYTES_MAX, 1 << 20, 5 << 20];
    let write = Write { checkpoint: Some(set(1)), ..add((1..).zip(sizes).map(|(n, size)| sized_letter(n, size))) };
    store.write(write).await.expect("written");
    drop(store);
    let store = open(directory.path());
    for (number, size) in (1..).zip(sizes) {
        let read = store.dead_letter(number).expect("readable").expect("there");
        assert!(read.change == *sized_letter(number, size).change, "{number}");
    }
    for number in 7..=30 {
        store.write(add([sized_letter(number, 1 << 20)])).await.expect("written");
        store.write(remove([number])).await.expect("written");
    }
    store.write(remove(1..=6)).await.expect("written");
    drop(store);
    let store = open(directory.path());
    let trees = &store.inner.trees;
    assert_eq!((trees.heads.len(), trees.changes.len()), (0, 0));
    assert_eq!(trees.meta.len(), 5, "three counters, the store's id and the form of keys, no marks");
    let blobs = fs::read_dir(directory.path().join("blobs")).expect("sled's directory").count();
    assert_eq!(blobs, 0);
}

#[tokio::test]
async fn writes_are_carried_out_in_the_order_of_the_calls_even_if_no_caller_waits() {
    let directory = directory();
    let store = open(directory.path());
    for offset in 1..=500 {
        drop(store.write(Write { checkpoint: Some(set(offset)), ..add([letter(offset)]) }));
    }
    let last = store.write(Write { checkpoint: Some(set(501)), ..Write::default() });
    drop(store);
    last.await.expect("dropping the store waits for what was queued");
    let store = open(directory.path());
    assert_eq!(main(&store).expect("there"), resume(501));
    let ids: Vec<DeliveryId> =
        (1..=500).map(|n| store.dead_letter(n).expect("ok").expect("there").head.delivery_id).collect();
    assert_eq!(ids, (1..=500).map(id).collect::<Vec<_>>());
}

#[tokio::test]
async fn readers_never_see_a_letter_half_replaced() {
    let directory = directory();
    let store = open(directory.path());
    let long = |letter: char| LetterFailure { message: letter.to_string().repeat(30_000), ..failure(Reason::Refused) };
    store.write(add([NewDeadLetter { failure: long('a'), ..letter(1) }])).await.expect("written");
    let reader = tokio::task::spawn_blocking({
        let store = store.clone();
        move || {
            let mut seen = HashSet::new();
            while seen.len() < 20 {
                let head = store.dead_letter(1).expect("readable").expect("there").head;
                let first = head.failure.message.chars().next().expect("not empty");
                assert!(head.failure.message.chars().all(|c| c == first));
                seen.insert(first);
            }
        }
    });
    let mut letters = ('a'..='z').cycle();
    while !reader.is_finished() {
        let failure = long(letters.next().expect("endless"));
        let replay = FailedReplay { number: 1, failure, replayed_at_us: 1 };
        store.write(Write { letters_replayed: vec![replay], ..Write::default() }).await.expect("written");
    }
    reader.await.expect("whole letters only");
}
