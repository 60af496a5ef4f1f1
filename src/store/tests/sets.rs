//! Checkpoints as sets: rules at other positions, their definitions, and stores from before there were any.

use super::*;

/// Name, position, and since when it is detached.
type Elsewhere = (&'static str, u64, Option<u64>);

fn rule(name: &str, resume: Resume, detached_since_us: Option<u64>) -> RuleCheckpoint {
    RuleCheckpoint { rule: name.into(), resume, detached_since_us }
}

fn write_set(main: &Resume, rules: &[RuleCheckpoint]) -> Write {
    let known = vec!["a".into(), "b".into(), "idle".into()];
    Write {
        checkpoint: Some(CheckpointSet { main: main.clone(), rules: rules.to_vec(), known, former_ids: None }),
        ..Write::default()
    }
}

fn saved(store: &Store) -> SavedCheckpoint {
    store.saved().expect("readable").checkpoint.expect("a checkpoint")
}

#[tokio::test]
async fn a_checkpoint_replaces_the_one_before_with_the_definitions_of_each_position() {
    let directory = directory();
    // A definition that changes between positions, which `resume` has; a rule may be where the main stream was, is, or
    // somewhere else, and stay there while that moves on.
    let steps: [(u64, &[Elsewhere]); 6] = [
        (1, &[("a", 1, None)]),
        (2, &[("a", 1, Some(7)), ("b", 2, None)]),
        (3, &[("a", 1, Some(7)), ("b", 2, Some(8))]),
        (4, &[("a", 3, Some(7)), ("b", 2, Some(8))]),
        (5, &[("b", 5, None)]),
        (5, &[]),
    ];
    for (main, rules) in steps {
        let rules: Vec<RuleCheckpoint> =
            rules.iter().map(|(name, at, since)| rule(name, resume(*at), *since)).collect();
        let store = open(directory.path());
        store.write(write_set(&resume(main), &rules)).await.expect("written");
        // The same again changes nothing.
        store.write(write_set(&resume(main), &rules)).await.expect("written");
        drop(store);
        let store = open(directory.path());
        let saved = saved(&store);
        assert_eq!((saved.main, saved.rules), (resume(main), rules), "main at {main}");
        assert_eq!(saved.known, Some(vec!["a".into(), "b".into(), "idle".into()]));
    }
    let store = open(directory.path());
    let first_chunks = walk::all(&store.inner.trees.definitions)
        .keys()
        .filter(|key| key.as_ref().expect("readable").ends_with(&[0, 0, 0, 0]));
    assert_eq!(first_chunks.count(), resume(5).schema.len(), "no definition of a rule is left behind");
    assert_eq!(walk::prefix(&store.inner.trees.checkpoints, b"rule/").count(), 0);
}

#[tokio::test]
async fn only_what_differs_is_written() {
    let mut recorded = recorded::Recorded::default();
    let set = |main, rules| CheckpointSet { main: resume(main), rules, known: vec!["a".into()], former_ids: None };
    let put = |edits: &recorded::SetEdits| edits.checkpoints.put.len();
    assert_eq!(put(&recorded.replace(set(1, vec![rule("a", resume(1), None)]))), 3, "main, rule, names");
    assert_eq!(recorded.replace(set(1, vec![rule("a", resume(1), None)])).len_bytes(), 0);
    let edits = recorded.replace(set(2, vec![rule("a", resume(1), None)]));
    assert_eq!(put(&edits), 2, "the rule's definitions are its own now");
    let edits = recorded.replace(set(3, vec![rule("a", resume(1), None)]));
    assert_eq!(put(&edits), 1, "the main stream's place alone");
}

#[tokio::test]
async fn paused_rules_are_kept_also_before_anything_was_read() {
    let directory = directory();
    let paused = vec![PausedRule { rule: "a".into(), since_us: 5, why: "the API moves".into() }];
    let store = open(directory.path());
    store.write(Write { paused: Some(paused.clone()), ..Write::default() }).await.expect("written");
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.saved().expect("readable"), Saved { checkpoint: None, paused, ..Saved::default() });
    store.write(Write { paused: Some(vec![]), ..Write::default() }).await.expect("written");
    drop(store);
    assert_eq!(open(directory.path()).saved().expect("readable"), Saved::default());
}

#[tokio::test]
async fn a_store_of_format_1_is_read_and_gets_the_current_format() {
    let directory = directory();
    let store = open(directory.path());
    let trees = &store.inner.trees;
    for (chunk, bytes) in checkpoint::encode(&resume(4)).chunks() {
        trees.checkpoints.insert(chunks::key(checkpoint::MAIN, chunk), bytes).expect("written");
    }
    let definitions = definitions::between(definitions::Owner::Main, &Arc::default(), &resume(4).schema);
    for (name, record) in &definitions.put {
        for (chunk, bytes) in record.chunks() {
            trees.definitions.insert(chunks::key(name, chunk), bytes).expect("written");
        }
    }
    trees.ledger.insert(id(7).0.as_bytes(), &[][..]).expect("written");
    drop(store);
    let format = directory.path().join("format");
    fs::write(&format, "rowhook store format 1\n").expect("written");

    let store = open(directory.path());
    let saved = saved(&store);
    assert_eq!((&saved.main, saved.known.as_ref(), saved.rules.len()), (&resume(4), None, 0));
    assert_eq!(saved.ledger, Ledger { of_any_rule: HashSet::from([id(7)]), ..Ledger::default() });
    assert_eq!(saved.former_ids, Some(FormerIds::Everywhere));
    assert_eq!(fs::read_to_string(format).expect("there"), "rowhook store format 8\n");
    // It goes on as any other.
    let write = Write { ledger_remove: vec![id(7)], ..write_set(&resume(5), &[rule("a", resume(4), None)]) };
    store.write(write).await.expect("written");
    drop(store);
    let saved = super::sets::saved(&open(directory.path()));
    assert_eq!((saved.main, saved.rules), (resume(5), vec![rule("a", resume(4), None)]));
    assert_eq!(saved.ledger, Ledger::default());
}
