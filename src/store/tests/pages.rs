//! Damage to single pages of a store that was closed in order: it is refused with what is damaged, and what is left can be used.

use std::sync::mpsc;
use std::time::Duration;

use super::damage::copy_of;
use super::files::LOG_FILE;
use super::*;

const LETTERS: u64 = 400;
const DAMAGED_BYTES: usize = 64;

/// Dead letters, every second one with a saga and a change of its own, and sagas under way.
async fn closed_store() -> TempDir {
    let directory = directory();
    let store = open(directory.path());
    for first in (1..=LETTERS).step_by(20) {
        let letters = (first..first + 20).map(spread);
        let sagas_put = (first..first + 20).filter(|n| n % 2 == 0).map(|n| put(n, Some(n)));
        let under_way = (first..first + 20).map(|n| put(n + LETTERS, None));
        let write = Write {
            checkpoint: Some(set(first)),
            sagas_put: sagas_put.chain(under_way).collect(),
            ledger_add: vec![entry(first)],
            ..add(letters)
        };
        store.write(write).await.expect("written");
    }
    drop(store);
    directory
}

/// Ids all over the space of ids, as they are.
fn spread_id(number: u64) -> DeliveryId {
    DeliveryId(Uuid::from_u128(u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)))
}

fn spread(number: u64) -> NewDeadLetter {
    let lanes = LaneKeys::one(LaneKey(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    NewDeadLetter { delivery_id: spread_id(number), lanes, ..letter(number) }
}

fn put(number: u64, letter: Option<u64>) -> SagaPut {
    let change = letter.is_none().then(|| letter_change(number));
    SagaPut { id: spread_id(number), rule: "r".into(), log: log(ActionState::Unknown).into(), change, letter }
}

fn letter_change(number: u64) -> Arc<Change> {
    sized_letter(number, 100).change
}

fn flip(log: &Path, at: usize) {
    let mut content = fs::read(log).expect("the log");
    content[at..at + DAMAGED_BYTES].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(log, content).expect("written");
}

/// Fails where the loss takes for ever.
fn accept_loss(directory: &Path) -> Loss {
    let (sender, receiver) = mpsc::channel();
    let directory = directory.to_path_buf();
    std::thread::spawn(move || drop(sender.send(Store::accept_loss(&directory))));
    receiver.recv_timeout(Duration::from_secs(60)).expect("it ends").expect("accepted")
}

/// Each with damage to its pages that is found by name.
const TREES: [&str; 3] = ["dead letters: ", "changes of dead letters: ", "sagas: "];

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_of_any_tree_is_refused_and_what_is_left_can_be_used() {
    let whole = closed_store().await;
    let length = fs::metadata(whole.path().join(LOG_FILE)).expect("there").len() as usize;
    let mut missed = BTreeSet::from(TREES);
    // Far from each other at first, so that few tries meet all trees.
    let steps = (0..2000).map(|nth| nth * 733 % 2000);
    for at in steps.map(|step| 4096 + step * (length - 8192) / 2000) {
        let copy = copy_of(whole.path());
        flip(&copy.path().join(LOG_FILE), at);
        let Err(error) = Store::open(copy.path()) else { continue };
        let text = error.to_string();
        assert!(matches!(error, Error::Incomplete { .. }), "{at}: {text}");
        assert!(text.contains("damaged") && text.contains("rowhook store accept-loss"), "{at}: {text}");
        assert!(!text.contains("Some(") && !text.contains("backtrace"), "{at}: {text}");
        let missed_before = missed.len();
        missed.retain(|tree| !text.contains(&format!(": {tree}")));
        let loss = accept_loss(copy.path());
        assert!(loss.letters_left > 0 || missed_before == missed.len(), "{at}: {text}");
        check_what_is_left(copy.path(), &loss).await;
        if missed.is_empty() {
            return;
        }
    }
    panic!("no damage to {missed:?}");
}

async fn check_what_is_left(directory: &Path, loss: &Loss) {
    let store = open(directory);
    let found = store.verify().await.expect("read");
    assert!(found.is_whole(), "{:?}", found.problems);
    assert_eq!((found.letters, numbers(&store).len() as u64), (loss.letters_left, loss.letters_left));
    assert_eq!(store.blocked_keys().keys() as u64, loss.letters_left, "each blocks a key of its own");
    assert!(store.saved().expect("readable").restored_until_us.is_some());
    let added = store.write(add([letter(1)])).await.expect("written").added;
    assert_eq!(added, [LETTERS + 1], "numbers are not given again");
    store.write(remove(numbers(&store))).await.expect("each page can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_decoded_keeps_nothing_else_back_and_goes_with_the_loss() {
    let directory = closed_store().await;
    let store = open(directory.path());
    let key = chunks::key(&2_u64.to_be_bytes(), 0);
    store.inner.trees.changes.insert(&key, &b"\x01damaged beyond its frame"[..]).expect("written");
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.dead_letter_count(), LETTERS);
    let found = store.verify().await.expect("read");
    assert_eq!((found.unreadable.to_string(), found.is_incomplete), ("2".to_string(), false));
    drop(store);
    let loss = accept_loss(directory.path());
    assert_eq!((loss.unreadable.to_string(), loss.letters_left), ("2".to_string(), LETTERS - 1));
    assert_eq!((loss.sagas, loss.place.clone()), (0, None), "its saga is lost with it");
    assert_eq!(main(&open(directory.path())), Some(resume(LETTERS - 19)));
    check_what_is_left(directory.path(), &loss).await;
}

/// Of the positions of all rules none may be missing: its rule would leave changes out.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_damaged_in_part_is_no_checkpoint_and_what_is_paused_stays_so() {
    let directory = closed_store().await;
    let store = open(directory.path());
    let paused = vec![PausedRule { rule: "rule-1".into(), since_us: 3, why: "moving house".to_string() }];
    store.write(Write { paused: Some(paused.clone()), ..Write::default() }).await.expect("written");
    let key = chunks::key(b"rule/rule-1", 0);
    store.inner.trees.checkpoints.insert(key, &b"\x01damaged beyond its frame"[..]).expect("written");
    drop(store);
    let text = Store::open(directory.path()).expect_err("damaged").to_string();
    assert!(text.contains("the checkpoint of rule rule-1") && text.contains("accept-loss"), "{text}");
    let loss = accept_loss(directory.path());
    assert_eq!((loss.place.as_deref(), loss.letters_left), (Some("binlog.000001:381"), LETTERS));
    let saved = open(directory.path()).saved().expect("readable");
    assert_eq!((saved.checkpoint, saved.paused, saved.lost), (None, paused, loss.place.clone()));
    check_what_is_left(directory.path(), &loss).await;
}

/// What is paused would be sent again, and what rules need be taken for new.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_records_beside_the_checkpoint_a_damaged_one_goes_alone() {
    let names = [checkpoint::PAUSED, needs::NEEDS, position_log::POSITION_LOG];
    let whole = closed_store().await;
    let paused = vec![PausedRule { rule: "rule-1".into(), since_us: 3, why: "moving house".to_string() }];
    let rule_needs = vec![RuleNeeds { rule: "rule-1".into(), needs: "shop.a: id".to_string() }];
    let moved = vec![PositionChange {
        at_us: 7,
        by: "root".to_string(),
        how: "--to latest".to_string(),
        note: None,
        moves: Vec::new(),
    }];
    let store = open(whole.path());
    let write = Write {
        paused: Some(paused.clone()),
        needs: Some(rule_needs.clone()),
        position_log: Some(moved.clone()),
        ..Write::default()
    };
    store.write(write).await.expect("written");
    drop(store);
    for damaged in names {
        let directory = copy_of(whole.path());
        let store = open(directory.path());
        let insert = |value: &[u8]| store.inner.trees.checkpoints.insert(chunks::key(damaged, 0), value);
        insert(b"\x01damaged beyond its frame").expect("written");
        drop(store);
        if let Ok(store) = Store::open(directory.path()) {
            assert!(store.positions().is_err(), "the damage is named where it is read");
            assert_eq!(store.saved().expect("the others can be read").paused, paused);
        }
        accept_loss(directory.path());
        let store = open(directory.path());
        let (saved, positions) = (store.saved().expect("readable"), store.positions().expect("readable"));
        let or_none = |name: &[u8], is_there: bool| if name == damaged { !is_there } else { is_there };
        assert_eq!(saved.checkpoint.map(|checkpoint| checkpoint.main), Some(resume(LETTERS - 19)), "{damaged:?}");
        assert!(or_none(checkpoint::PAUSED, saved.paused == paused), "{damaged:?}: {:?}", saved.paused);
        assert!(or_none(needs::NEEDS, saved.needs == rule_needs), "{damaged:?}: {:?}", saved.needs);
        assert!(or_none(position_log::POSITION_LOG, positions.log == moved), "{damaged:?}: {:?}", positions.log);
    }
}
