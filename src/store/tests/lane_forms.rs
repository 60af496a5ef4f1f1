//! Dead letters that an earlier release stored, with ordering keys that depended on the types of columns.

use super::*;
use crate::ordering::{OrderedBy, lane};
use crate::store::lane_forms;

/// A dead letter as format 3 had it: its keys made of these columns, without a definition.
fn old(number: u64, change: Change, columns: &[usize]) -> NewDeadLetter {
    let lanes = lane_forms::old_keys("r", &change, columns);
    NewDeadLetter { rule: "r".into(), change: Arc::new(change), lanes, ..letter(number) }
}

fn row(id: Value, customer: Value, note: &str) -> Row {
    [id, customer, Value::Text(note.into())].into_iter().map(Cell::Value).collect()
}

fn change(before: Option<Row>, after: Option<Row>) -> Change {
    let columns = ["id", "customer", "note"].map(Box::from).into();
    let table = Table { schema: "shop".into(), name: "orders".into(), columns, primary_key: vec![0] };
    Change { table: Arc::new(table), before, after, ..(*letter(1).change).clone() }
}

/// As an earlier release left the directory.
fn make_old(directory: &Path) {
    let store = open(directory);
    store.inner.trees.meta.remove(trees::LANE_FORM_STORED).expect("removed");
    drop(store);
    fs::write(directory.join("format"), "rowhook store format 3\n").expect("written");
}

fn key_of(values: &[Value]) -> LaneKey {
    lane("r", &change(None, None).table, values)
}

#[tokio::test]
async fn the_keys_of_stored_letters_are_computed_again_and_block_the_same_rows() {
    let directory = directory();
    let (int, uint, decimal) = (Value::Int(5), Value::Uint(9), Value::Decimal("1.50".into()));
    let insert = change(None, Some(row(int.clone(), uint.clone(), "a")));
    let moved = change(Some(row(int.clone(), uint.clone(), "a")), Some(row(Value::Int(6), uint.clone(), "b")));
    let of_customer = change(None, Some(row(Value::Int(1), decimal.clone(), "a")));
    let store = open(directory.path());
    let letters = [
        old(1, insert.clone(), &[0]),
        old(2, moved, &[0]),
        old(3, of_customer.clone(), &[1]),
        old(4, of_customer.clone(), &[2, 1]),
        old(5, insert, &[]),
        NewDeadLetter { lanes: LaneKeys::one(LaneKey(77)), ..old(6, of_customer, &[0]) },
    ];
    store.write(add(letters)).await.expect("written");
    store.write(add([letter(7)])).await.expect("written");
    drop(store);
    make_old(directory.path());

    for _ in 0..2 {
        let store = open(directory.path());
        let lanes = |number: u64| store.dead_letter(number).expect("readable").expect("there").head.lanes;
        let keys = |number: u64| lanes(number).iter().collect::<Vec<_>>();
        assert_eq!(keys(1), [key_of(std::slice::from_ref(&int))]);
        assert_eq!(keys(2), [key_of(&[Value::Uint(5)]), key_of(&[Value::Decimal("6.00".into())])]);
        assert_eq!(keys(3), [key_of(&[Value::Double(1.5)])]);
        assert_eq!(keys(4), [key_of(&[Value::Text("a".into()), decimal.clone()])]);
        assert_eq!(keys(5), [key_of(&[])]);
        assert_eq!(keys(6), [LaneKey(77)], "of values that give no such key");
        assert!(lanes(7).is_empty());
        let by = |number: u64| match &lanes(number).made_under().expect("a definition").by {
            OrderedBy::Columns { key, .. } => {
                key.iter().map(|column| column.name.to_string()).collect::<Vec<_>>().join(",")
            }
            other => format!("{other:?}"),
        };
        assert_eq!([1, 2, 3, 4, 5, 6].map(by), ["id", "id", "customer", "note,customer", "Table", "Unknown"]);
        let blocked = store.blocked_keys();
        let front = |key: LaneKey| blocked.queue(key).map(|queue| (queue.front, queue.letters));
        assert_eq!(front(key_of(std::slice::from_ref(&int))), Some((1, 2)));
        assert_eq!(walk::all(&store.inner.trees.holds).count(), 7 + 6, "the old entries are gone");
        let own = lanes(1).made_under().expect("a definition").id();
        assert_eq!(blocked.other_definitions(own).len(), 4);
        assert_eq!(fs::read_to_string(directory.path().join("format")).expect("there"), "rowhook store format 8\n");
    }
    let store = open(directory.path());
    store.write(remove(1..=7)).await.expect("written");
    assert_eq!((store.blocked_keys().keys(), walk::all(&store.inner.trees.holds).count()), (0, 0));
}

#[tokio::test]
async fn an_upgrade_that_a_crash_ended_goes_on_with_the_letters_that_are_left() {
    let directory = directory();
    let store = open(directory.path());
    let of = |id: i64| change(None, Some(row(Value::Int(id), Value::Null, "a")));
    store.write(add((1..=3).map(|number| old(number, of(number as i64), &[0])))).await.expect("written");
    let trees = &store.inner.trees;
    let damaged = chunks::key(&2_u64.to_be_bytes(), 0);
    trees.heads.insert(&damaged, &b"\x01damaged beyond its frame"[..]).expect("inserted");
    drop(store);
    make_old(directory.path());
    drop(open(directory.path()));
    // As if the entry that says it is done had not been written; a dead letter that can't be read keeps its queue.
    make_old(directory.path());
    let store = open(directory.path());
    for number in [1, 3] {
        let lanes = store.dead_letter(number).expect("readable").expect("there").head.lanes;
        assert_eq!(lanes.iter().collect::<Vec<_>>(), [key_of(&[Value::Int(number as i64)])]);
    }
    assert_eq!(walk::all(&store.inner.trees.holds).count(), 2 * 2 + 1);
}
