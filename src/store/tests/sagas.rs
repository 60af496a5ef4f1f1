//! Sagas: which are under way, which belong to a dead letter, and which wait for a person.

use super::*;

fn put(number: u64, second: ActionState) -> SagaPut {
    sized_put(number, second, 10)
}

fn sized_put(number: u64, second: ActionState, value_bytes: usize) -> SagaPut {
    let NewDeadLetter { delivery_id: id, rule, change, .. } = sized_letter(number, value_bytes);
    SagaPut { id, rule: rule.into(), log: log(second).into(), change: Some(change), letter: None }
}

fn of_letter(number: u64, second: ActionState) -> SagaPut {
    SagaPut { change: None, letter: Some(number), ..put(number, second) }
}

fn puts(sagas: impl IntoIterator<Item = SagaPut>) -> Write {
    Write { sagas_put: sagas.into_iter().collect(), ..Write::default() }
}

/// By number of the delivery: what is under way.
fn under_way(store: &Store) -> Vec<(u128, SagaLog)> {
    let mut all: Vec<_> = store.sagas().expect("readable").into_iter().map(|o| (o.id.0.as_u128(), o.log)).collect();
    all.sort_by_key(|(number, _)| *number);
    all
}

/// Logs, changes, dead letters of sagas, sweep marks.
fn left(store: &Store) -> [usize; 4] {
    let trees = &store.inner.trees;
    let marks = walk::prefix(&trees.meta, b"sweep").count();
    [trees.sagas.len(), trees.saga_changes.len(), trees.saga_letters.len(), marks]
}

#[tokio::test]
async fn a_saga_under_way_is_stored_until_it_ends() {
    let directory = directory();
    let store = open(directory.path());
    store.write(puts([put(1, ActionState::Waiting), put(2, ActionState::Waiting)])).await.expect("written");
    let again = SagaPut { change: None, ..put(1, ActionState::Begun) };
    store.write(puts([again])).await.expect("written");
    drop(store);
    let store = open(directory.path());
    assert_eq!(under_way(&store), [(1, log(ActionState::Begun)), (2, log(ActionState::Waiting))]);
    let found = store.sagas().expect("readable").into_iter().find(|found| found.id == id(1)).expect("there");
    assert_eq!((&*found.rule, &found.change), ("rule-1", &letter(1).change));
    assert_eq!(store.saga(id(1)).expect("readable"), Some(log(ActionState::Begun)));
    assert_eq!((store.awaiting_count(), store.effect(id(1)).expect("readable")), (0, None), "no person has to act yet");

    let ends = Write { sagas_remove: vec![id(1), id(9)], ledger_add: vec![entry(1)], ..Write::default() };
    store.write(ends).await.expect("written");
    assert_eq!(under_way(&store), [(2, log(ActionState::Waiting))]);
    assert_eq!((store.saga(id(1)).expect("readable"), left(&store)), (None, [1, 1, 0, 0]));
}

#[tokio::test]
async fn a_letters_saga_is_not_under_way_and_is_removed_with_the_letter() {
    let directory = directory();
    let store = open(directory.path());
    store.write(puts([put(1, ActionState::Begun)])).await.expect("written");
    let dead = Write { sagas_put: vec![put(1, ActionState::Unknown)], ..add([letter(1)]) };
    store.write(dead).await.expect("written");
    assert_eq!((under_way(&store), left(&store)), (vec![], [1, 0, 1, 0]), "the change is the letter's");
    assert_eq!(store.saga(id(1)).expect("readable"), Some(log(ActionState::Unknown)));
    assert_eq!((store.awaiting_count(), store.effect(id(1)).expect("readable")), (1, Some(SagaEffect::Partial)));

    // It is sent again.
    store.write(puts([of_letter(1, ActionState::Begun)])).await.expect("written");
    drop(store);
    let store = open(directory.path());
    assert_eq!((under_way(&store), store.awaiting_count()), (vec![], 1), "after a crash it waits for a person");
    let failed = FailedReplay { number: 1, failure: failure(Reason::Refused), replayed_at_us: 1 };
    let dead = Write { letters_replayed: vec![failed], ..puts([of_letter(1, ActionState::Done)]) };
    store.write(dead).await.expect("written");
    assert_eq!((store.awaiting_count(), store.effect(id(1)).expect("readable")), (0, Some(SagaEffect::Complete)));
    let ended = Write { sagas_remove: vec![id(1)], ..Write::default() };
    store.write(ended).await.expect("written");
    assert_eq!(left(&store), [1, 0, 1, 0], "it stays with its letter");
    store.write(remove([1])).await.expect("written");
    assert_eq!(left(&store), [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_blocked_letter_gets_its_saga_when_it_is_sent_and_a_removed_one_gets_none() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([letter(1)])).await.expect("written");
    store.write(puts([of_letter(1, ActionState::Begun), of_letter(7, ActionState::Begun)])).await.expect("written");
    assert_eq!((left(&store), store.awaiting_count()), ([1, 0, 1, 0], 1));
    let both = Write { letters_remove: vec![1], ..puts([of_letter(1, ActionState::Done)]) };
    store.write(both).await.expect("written");
    assert_eq!((left(&store), store.awaiting_count()), ([0, 0, 0, 0], 0));
}

#[tokio::test]
async fn a_saga_that_two_letters_have_stays_until_both_are_removed() {
    let directory = directory();
    let store = open(directory.path());
    store.write(Write { sagas_put: vec![put(1, ActionState::Failed)], ..add([letter(1)]) }).await.expect("written");
    let again = NewDeadLetter { created_at_us: 99, ..letter(1) };
    store.write(add([again])).await.expect("written");
    // A replay of a binlog range with a saga that a dead letter has writes no change that would be left.
    store.write(puts([put(1, ActionState::Begun)])).await.expect("written");
    assert_eq!((left(&store), store.awaiting_count()), ([1, 0, 1, 0], 1), "one delivery waits");
    store.write(remove([1])).await.expect("written");
    assert_eq!((store.saga(id(1)).expect("readable"), store.awaiting_count()), (Some(log(ActionState::Begun)), 1));
    store.write(remove([2])).await.expect("written");
    assert_eq!((left(&store), store.awaiting_count()), ([0, 0, 0, 0], 0));
}

#[tokio::test]
async fn large_sagas_read_back_and_leave_nothing_behind() {
    let directory = directory();
    let store = open(directory.path());
    let sizes = [5_000, TRANSACTION_BYTES_MAX, 1 << 20, 6 << 20];
    let body = |letter: char| letter.to_string().repeat(KeptAnswer::BODY_BYTES_MAX);
    for (number, size) in (1..).zip(sizes) {
        let mut put = sized_put(number, ActionState::Begun, size);
        let mut log = log(ActionState::Begun);
        log.steps[0].answer = Some(KeptAnswer {
            status: 200,
            headers: vec![],
            body: body('x').into_bytes().into(),
            is_cut: true,
            problem: None,
        });
        put.log = log.into();
        store.write(puts([put])).await.expect("written");
    }
    drop(store);
    let store = open(directory.path());
    let mut found = store.sagas().expect("readable");
    found.sort_by_key(|saga| saga.id);
    for ((number, size), saga) in (1..).zip(sizes).zip(&found) {
        assert!(saga.change == sized_letter(number, size).change, "{number}");
        assert_eq!(saga.log.steps[0].answer.as_ref().map(|kept| kept.body.len()), Some(KeptAnswer::BODY_BYTES_MAX));
    }
    // A dead letter gets one of them, the others end; one write removes the longest and puts it again.
    let dead = Write { sagas_put: vec![put(3, ActionState::Failed)], ..add([sized_letter(3, 1 << 20)]) };
    store.write(dead).await.expect("written");
    let ended = store.write(Write { sagas_remove: vec![id(1), id(2), id(4)], ..Write::default() });
    let again = store.write(puts([sized_put(4, ActionState::Begun, 6 << 20)]));
    ended.await.expect("written");
    again.await.expect("written");
    let found = store.sagas().expect("readable");
    assert!(found.len() == 1 && found[0].change == sized_letter(4, 6 << 20).change);
    store.write(Write { sagas_remove: vec![id(4)], ..remove([1]) }).await.expect("written");
    // What is too long to be removed at once is swept after the answer.
    drop(store);
    assert_eq!(left(&open(directory.path())), [0, 0, 0, 0]);
    let blobs = fs::read_dir(directory.path().join("blobs")).expect("sled's directory").count();
    assert_eq!(blobs, 0);
}

#[tokio::test]
async fn what_a_crash_left_of_a_large_change_is_swept() {
    let directory = directory();
    let store = open(directory.path());
    store.write(puts([put(1, ActionState::Begun)])).await.expect("written");
    let trees = &store.inner.trees;
    for chunk in 0..sweep::CHUNKS_MAX * 2 {
        trees.saga_changes.insert(super::super::sagas::chunk_key(id(2), chunk), &b"part"[..]).expect("ok");
    }
    trees.meta.insert(sweep::saga_mark(id(2)), &[][..]).expect("written");
    drop(store);
    let store = open(directory.path());
    assert_eq!((under_way(&store).len(), left(&store)), (1, [1, 1, 0, 0]));
}

#[tokio::test]
async fn a_saga_that_can_not_be_read_is_named() {
    let directory = directory();
    let store = open(directory.path());
    store.write(puts([put(1, ActionState::Begun)])).await.expect("written");
    store.inner.trees.saga_changes.clear().expect("cleared");
    let error = store.sagas().expect_err("damaged").to_string();
    assert!(error.contains(&format!("the change of saga {}", id(1))), "{error}");
}
