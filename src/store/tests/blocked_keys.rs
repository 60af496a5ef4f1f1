//! Dead letters that block their ordering keys: what the store reports of the queues, at once and after reopening.

use super::*;
use crate::ordering::{Declared, DefinitionId, KeyColumn, KeyDefinition, MoreKeys, OrderedBy};

const A: LaneKey = LaneKey(u64::MAX);
const B: LaneKey = LaneKey(0);

fn holding(number: u64, lanes: LaneKeys, reason: Reason) -> NewDeadLetter {
    NewDeadLetter { lanes, failure: failure(reason), ..letter(number) }
}

fn front(store: &Store, key: LaneKey) -> Option<(u64, u32)> {
    store.blocked_keys().queue(key).map(|HeldQueue { front, letters }| (front, letters))
}

fn moved(store: &Store) -> Vec<u64> {
    std::iter::from_fn(|| store.blocked_keys().take_moved()).collect()
}

#[tokio::test]
async fn a_key_is_blocked_from_the_moment_its_letter_is_durable_until_its_queue_is_empty() {
    let directory = directory();
    let store = open(directory.path());
    let first = add([holding(1, LaneKeys::one(A), Reason::Refused), letter(2)]);
    store.write(first).await.expect("written");
    assert_eq!((front(&store, A), front(&store, B)), (Some((1, 1)), None));
    let blocked = [3, 4].map(|number| holding(number, LaneKeys::two(A, B), Reason::Blocked));
    store.write(add(blocked)).await.expect("written");
    assert_eq!((front(&store, A), front(&store, B)), (Some((1, 3)), Some((3, 2))));
    assert_eq!((store.dead_letter_count(), store.blocked_count()), (2, 2));
    assert_eq!(moved(&store), [0; 0], "they wait");

    store.write(remove([1, 2])).await.expect("written");
    assert_eq!((front(&store, A), moved(&store)), (Some((3, 2)), vec![3]));
    drop(store);
    let store = open(directory.path());
    assert_eq!((front(&store, A), front(&store, B), store.blocked_count()), (Some((3, 2)), Some((3, 2)), 2));
    assert_eq!(moved(&store), [0; 0], "opening a store sends nothing by itself");
    let head = store.dead_letter(4).expect("readable").expect("there").head;
    assert_eq!((head.lanes, head.failure.reason), (LaneKeys::two(A, B), Reason::Blocked));

    store.write(remove([4])).await.expect("written");
    assert_eq!((front(&store, A), moved(&store)), (Some((3, 1)), vec![]), "one from the middle moves no other");
    store.write(remove([3])).await.expect("written");
    assert_eq!((store.blocked_keys().keys(), store.blocked_count(), store.dead_letter_count()), (0, 0, 0));
    assert_eq!(walk::all(&store.inner.trees.holds).count(), 0);
}

#[tokio::test]
async fn a_blocked_letter_that_fails_is_a_dead_letter_in_its_place_and_was_not_replayed() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([holding(1, LaneKeys::one(A), Reason::Blocked)])).await.expect("written");
    for (replays, replayed_at_us) in [(0, None), (1, Some(70))] {
        let again = FailedReplay { number: 1, failure: failure(Reason::Refused), replayed_at_us: 70 };
        store.write(Write { letters_replayed: vec![again], ..Write::default() }).await.expect("written");
        let head = store.dead_letter(1).expect("readable").expect("there").head;
        assert_eq!(
            (head.replays, head.replayed_at_us, head.failure.reason),
            (replays, replayed_at_us, Reason::Refused)
        );
        assert_eq!((store.dead_letter_count(), store.blocked_count(), front(&store, A)), (1, 0, Some((1, 1))));
    }
}

#[tokio::test]
async fn a_letter_that_goes_in_the_write_that_brings_another_leaves_the_key_blocked() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([holding(1, LaneKeys::one(A), Reason::Refused)])).await.expect("written");
    let both = Write { letters_remove: vec![1], ..add([holding(2, LaneKeys::one(A), Reason::Blocked)]) };
    store.write(both).await.expect("written");
    assert_eq!((front(&store, A), moved(&store)), (Some((2, 1)), vec![2]));
}

#[tokio::test]
async fn an_entry_without_a_letter_blocks_nothing() {
    let directory = directory();
    let store = open(directory.path());
    let letters = [1, 2].map(|number| holding(number, LaneKeys::two(A, B), Reason::Refused));
    store.write(add(letters)).await.expect("written");
    // As a release leaves it that does not know blocked keys.
    store.inner.trees.heads.remove(chunks::key(&1_u64.to_be_bytes(), 0)).expect("removed");
    store.inner.trees.meta.insert(trees::LETTER_COUNT, &1_u64.to_be_bytes()).expect("inserted");
    store.inner.trees.holds.insert(super::super::blocked_keys::entry(LaneKey(7), 99), &[][..]).expect("inserted");
    drop(store);
    fs::write(directory.path().join("format"), "rowhook store format 6\n").expect("written");
    let store = open(directory.path());
    assert_eq!(front(&store, A).map(|(front, _)| front), Some(2));
    assert_eq!((front(&store, LaneKey(7)), store.blocked_keys().keys()), (None, 2));
    store.write(remove([2])).await.expect("written");
    assert_eq!(store.blocked_keys().keys(), 0);
}

#[tokio::test]
async fn the_definition_of_a_key_is_known_from_its_dead_letter_also_after_an_upgrade() {
    let directory = directory();
    let key = vec![KeyColumn { name: "id".into(), declared: Declared::Int }];
    let made_under = Arc::new(KeyDefinition::new("r", "s", "t", OrderedBy::Columns { key, all: vec!["id".into()] }));
    let id = made_under.id();
    let lanes = LaneKeys::one(A).with(MoreKeys { made_under: Some(Arc::clone(&made_under)), ..MoreKeys::default() });
    let store = open(directory.path());
    store.write(add([1, 2].map(|number| holding(number, lanes.clone(), Reason::Refused)))).await.expect("written");
    drop(store);
    for format in [None, Some("rowhook store format 6\n")] {
        let store = open(directory.path());
        assert_eq!(store.blocked_keys().blocker([], &[id]), Some(1), "{format:?}");
        assert_eq!(
            store.blocked_keys().other_definitions(DefinitionId { definition: A, ..id }),
            [Arc::clone(&made_under)]
        );
        // As a release of format 6 wrote it: with the definition itself.
        let entry = super::super::blocked_keys::entry(id.definition, 1);
        store.inner.trees.holds.insert(entry, &b"{\"rule\":\"r\"}"[..]).expect("inserted");
        drop(store);
        if let Some(format) = format {
            fs::write(directory.path().join("format"), format).expect("written");
        }
    }
    let store = open(directory.path());
    assert_eq!(store.blocked_keys().blocker([], &[id]), Some(1));
    store.write(remove([1, 2])).await.expect("written");
    assert_eq!((store.blocked_keys().blocker([], &[id]), walk::all(&store.inner.trees.holds).count()), (None, 0));
}
