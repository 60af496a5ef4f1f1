//! A store as the release with format 4 left it (tests/fixtures/stores), and its backup: what they contained is there, and continues.

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stores");

/// The store, unpacked where it may be written to.
fn former() -> TempDir {
    let directory = directory();
    damage::copy_all(&Path::new(FIXTURES).join("format-4"), directory.path());
    let packed = directory.path().join("db.zst");
    let log = zstd::decode_all(fs::File::open(&packed).expect("a log")).expect("packed");
    fs::write(directory.path().join("db"), log).expect("written");
    fs::remove_file(packed).expect("removed");
    directory
}

fn assert_holds_what_was_written(store: &Store) {
    let saved = store.saved().expect("readable");
    let checkpoint = saved.checkpoint.expect("there");
    assert_eq!(checkpoint.main, resume(9));
    let rules: Vec<_> = checkpoint.rules.iter().map(|rule| (&*rule.rule, &rule.resume)).collect();
    assert_eq!(rules, [("rule-2", &resume(3))]);
    assert_eq!(checkpoint.ledger.by_rule, HashMap::from([("rule-0".into(), HashSet::from([id(41)]))]));
    let paused: Vec<_> = saved.paused.iter().map(|paused| (&*paused.rule, &*paused.why)).collect();
    assert_eq!(paused, [("rule-1", "the API moves")]);

    let letters: Vec<_> = (1..=10).map(|number| store.dead_letter(number).expect("readable").expect("there")).collect();
    assert_eq!(letters[0].head.delivery_id, id(100));
    for (letter, reason) in letters[1..].iter().zip(Reason::ALL) {
        let number = letter.head.number - 1;
        assert_eq!((letter.head.delivery_id, letter.head.failure.reason), (id(number), reason));
        assert_eq!(letter.change, *sized_letter(number, 10).change);
        assert_eq!(letter.head.failure.attempts, failure(reason).attempts);
    }
    assert_eq!(letters[8].head.resolved.as_ref().map(|resolved| &*resolved.note), Some("refunded by hand"));
    assert_eq!(store.blocked_keys().queue(LaneKey(7)).map(|queue| (queue.front, queue.letters)), Some((1, 2)));
    assert_eq!((store.dead_letter_count(), store.blocked_count(), store.awaiting_count()), (8, 1, 1));

    assert_eq!(store.effect(id(7)).expect("readable"), Some(SagaEffect::Partial));
    let mut under_way: Vec<_> = store.sagas().expect("readable").into_iter().map(|found| found.id).collect();
    under_way.sort();
    assert_eq!(under_way, [id(31), id(32)]);
    for (number, second) in [(7, ActionState::Unknown), (31, ActionState::Waiting), (32, ActionState::Begun)] {
        assert_eq!(store.saga(id(number)).expect("readable"), Some(log(second)));
    }
}

#[tokio::test]
async fn a_store_of_format_4_keeps_its_keys_blocked_and_goes_on() {
    let directory = former();
    let store = open(directory.path());
    assert_holds_what_was_written(&store);
    assert!(store.verify().await.expect("read").is_whole());
    drop(store);
    let store = open(directory.path());
    assert_holds_what_was_written(&store);
    assert_eq!(store.write(add([letter(50)])).await.expect("written").added, [11]);
}

#[tokio::test]
async fn a_backup_of_format_4_is_restored() {
    let directory = directory();
    let data = directory.path().join("data");
    Store::restore(&data, &Path::new(FIXTURES).join("format-4.backup")).expect("restored");
    assert_holds_what_was_written(&open(&data));
}
