//! Dead letters that a person has closed: they stay to be read, are not counted and block nothing.

use super::*;

const A: LaneKey = LaneKey(7);

fn resolve(number: u64, note: &str) -> Write {
    let resolution = Resolution { number, note: note.into(), at_us: 50 };
    Write { letters_resolve: vec![resolution], ..Write::default() }
}

fn holding(number: u64, reason: Reason) -> NewDeadLetter {
    NewDeadLetter { lanes: LaneKeys::one(A), failure: failure(reason), ..letter(number) }
}

fn counts(store: &Store) -> (u64, u64, u64) {
    (store.dead_letter_count(), store.blocked_count(), store.awaiting_count())
}

fn front(store: &Store) -> Option<u64> {
    store.blocked_keys().queue(A).map(|queue| queue.front)
}

#[tokio::test]
async fn a_resolved_letter_stays_with_its_note_and_its_saga_and_counts_no_more() {
    let directory = directory();
    let store = open(directory.path());
    let saga =
        SagaPut { id: id(1), rule: "r".into(), log: log(ActionState::Unknown).into(), change: None, letter: None };
    let dead = Write { sagas_put: vec![saga], ..add([holding(1, Reason::Unknown), letter(2)]) };
    store.write(dead).await.expect("written");
    store.write(add([holding(3, Reason::Blocked)])).await.expect("written");
    assert_eq!((counts(&store), front(&store)), ((2, 1, 1), Some(1)));

    assert_eq!(store.write(resolve(1, "refunded by hand")).await.expect("written").resolved, 1);
    assert_eq!((counts(&store), front(&store), store.blocked_keys().take_moved()), ((1, 1, 0), Some(3), Some(3)));
    assert_eq!(store.write(resolve(1, "refunded twice")).await.expect("written").resolved, 0);
    assert_eq!(store.write(resolve(9, "who?")).await.expect("written").resolved, 0);
    drop(store);
    let store = open(directory.path());
    assert_eq!((counts(&store), front(&store)), ((1, 1, 0), Some(3)));
    let head = store.dead_letter(1).expect("readable").expect("there").head;
    assert_eq!(
        (head.resolved, head.lanes),
        (Some(Resolved { note: "refunded by hand".into(), at_us: 50 }), LaneKeys::none())
    );
    assert_eq!(store.saga(id(1)).expect("readable"), Some(log(ActionState::Unknown)));

    assert_eq!(store.write(remove([1])).await.expect("written").removed, 1);
    assert_eq!((counts(&store), store.saga(id(1)).expect("readable")), ((1, 1, 0), None));
}

#[tokio::test]
async fn a_blocked_letter_that_is_resolved_does_not_count_as_blocked_any_more() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([holding(1, Reason::Refused), holding(2, Reason::Blocked)])).await.expect("written");
    store.write(resolve(2, "not needed")).await.expect("written");
    assert_eq!(counts(&store), (1, 0, 0));
    // It was on its way when it was resolved.
    let failed = FailedReplay { number: 2, failure: failure(Reason::Refused), replayed_at_us: 1 };
    store.write(Write { letters_replayed: vec![failed], ..Write::default() }).await.expect("written");
    assert_eq!(counts(&store), (1, 0, 0));
    store.write(remove([1, 2])).await.expect("written");
    assert_eq!((counts(&store), store.blocked_keys().keys()), ((0, 0, 0), 0));
    drop(store);
    assert_eq!(counts(&open(directory.path())), (0, 0, 0));
}

#[tokio::test]
async fn resolved_letters_are_listed_only_when_they_are_asked_for() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add((1..=4).map(letter))).await.expect("written");
    store.write(resolve(2, "done by hand")).await.expect("written");
    for (closed, expected) in
        [(Closed::Without, vec![1, 3, 4]), (Closed::Only, vec![2]), (Closed::With, vec![1, 2, 3, 4])]
    {
        let filter = Filter { closed, ..Filter::default() };
        let found = store.dead_letters(&filter, None, 9).expect("readable");
        assert_eq!(found.iter().map(|head| head.number).collect::<Vec<u64>>(), expected, "{closed:?}");
    }
}
