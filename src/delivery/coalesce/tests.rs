//! Tests of coalescing: the cases by hand, and any sequence of changes against what the last of each key leaves.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::change::{Cell, Op, Value};
use crate::delivery::testing::{made_of, rule, versions};

const WITHIN: Duration = Duration::from_secs(5);

struct Scene {
    rule: Arc<Rule>,
    buffered: BufferedRule,
    begin: Instant,
    count: u128,
}

impl Scene {
    fn new(order_by: OrderBy) -> Scene {
        let rule = rule("http://a.test/", |rule| {
            rule.order_by = order_by;
            rule.coalesce = Some(WITHIN);
        });
        Scene { rule, buffered: BufferedRule::default(), begin: Instant::now(), count: 0 }
    }

    /// Adds a change so many seconds after the beginning; the numbers of those that are let go thereby.
    fn add(&mut self, at_s: u64, op: Op, before: Option<[i64; 2]>, after: Option<[i64; 2]>) -> Vec<u128> {
        self.count += 1;
        let delivery = made_of(&self.rule, self.count, versions(op, before, after, 4));
        self.add_delivery(at_s, delivery)
    }

    fn add_delivery(&mut self, at_s: u64, delivery: Delivery) -> Vec<u128> {
        let mut ready = Vec::new();
        self.buffered.add(delivery, self.begin + Duration::from_secs(at_s) + WITHIN, &mut ready);
        ready.iter().map(number).collect()
    }

    fn pop(&mut self, at_s: u64) -> Option<Item> {
        self.buffered.pop_due(self.begin + Duration::from_secs(at_s))
    }
}

fn number(item: &Item) -> u128 {
    item.delivery.id.0.as_u128()
}

fn merged(item: &Item) -> Vec<u128> {
    item.merged.iter().map(|merged| merged.id.0.as_u128()).collect()
}

#[test]
fn later_changes_of_a_key_are_merged_into_one_that_is_sent_when_the_first_is_due() {
    let mut scene = Scene::new(OrderBy::PrimaryKey);
    assert!(scene.add(0, Op::Insert, None, Some([7, 1])).is_empty());
    assert!(scene.add(1, Op::Insert, None, Some([8, 1])).is_empty());
    assert!(scene.add(4, Op::Update, Some([7, 1]), Some([7, 2])).is_empty());
    assert!(scene.pop(4).is_none());
    let item = scene.pop(5).expect("due");
    assert_eq!((number(&item), merged(&item)), (3, vec![1]));
    let change = &item.delivery.change;
    assert_eq!((change.op, &change.before), (Op::Insert, &None));
    assert_eq!(change.after.as_ref().map(|row| row.cell(1)), Some(Cell::Value(Value::Int(2))));
    assert_eq!(scene.buffered.due(), Some(scene.begin + Duration::from_secs(6)));
    assert_eq!(scene.pop(6).as_ref().map(number), Some(2));
    assert!(scene.pop(100).is_none());
}

#[test]
fn an_insert_that_was_not_sent_yet_stays_an_insert() {
    let mut scene = Scene::new(OrderBy::PrimaryKey);
    scene.add(0, Op::Insert, None, Some([7, 1]));
    scene.add(1, Op::Delete, Some([7, 1]), None);
    scene.add(2, Op::Insert, None, Some([7, 2]));
    let change = scene.pop(5).expect("due").delivery.change;
    assert_eq!((change.op, &change.before), (Op::Insert, &None));
}

#[test]
fn a_change_after_its_key_was_sent_is_buffered_again() {
    let mut scene = Scene::new(OrderBy::PrimaryKey);
    scene.add(0, Op::Update, Some([7, 1]), Some([7, 2]));
    scene.pop(5).expect("due");
    scene.add(5, Op::Update, Some([7, 2]), Some([7, 3]));
    assert!(scene.pop(9).is_none());
    assert_eq!(scene.pop(10).as_ref().map(number), Some(2));
}

#[test]
fn an_update_to_another_key_ends_the_buffering_of_both_and_is_not_buffered() {
    let mut scene = Scene::new(OrderBy::PrimaryKey);
    scene.add(0, Op::Update, Some([7, 1]), Some([7, 2]));
    scene.add(0, Op::Update, Some([9, 1]), Some([9, 2]));
    scene.add(0, Op::Delete, Some([8, 1]), None);
    assert_eq!(scene.add(1, Op::Update, Some([7, 2]), Some([8, 2])), [1, 3, 4]);
    assert_eq!(scene.pop(5).as_ref().map(number), Some(2));
}

#[test]
fn replays_and_undecided_deliveries_end_the_buffering_of_their_key_and_are_not_merged() {
    let mut scene = Scene::new(OrderBy::PrimaryKey);
    scene.add(0, Op::Update, Some([7, 1]), Some([7, 2]));
    let update = |number| made_of(&scene.rule, number, versions(Op::Update, Some([7, 2]), Some([7, 3]), 4));
    let replay = Delivery { origin: Origin::Replay { dead_letter: 1 }, ..update(20) };
    let undecided = Delivery {
        predetermined: Some(crate::delivery::Outcome::Dead(crate::delivery::Failure::undecided(
            "no such column".to_owned(),
        ))),
        ..update(21)
    };
    assert_eq!(scene.add_delivery(1, replay), [1, 20]);
    assert_eq!(scene.add_delivery(1, undecided), [21]);
}

#[test]
fn rows_without_a_key_of_their_own_are_not_merged() {
    let mut scene = Scene::new(OrderBy::PrimaryKey);
    for number in [1, 2] {
        let mut change = versions(Op::Insert, None, Some([number, 1]), 4);
        Arc::make_mut(&mut change.table).primary_key.clear();
        let delivery = made_of(&scene.rule, number as u128, change);
        assert_eq!(scene.add_delivery(0, delivery), [number as u128]);
    }
}

#[test]
fn where_many_rows_share_a_key_the_latest_change_of_any_row_is_sent() {
    for order_by in [OrderBy::Table, OrderBy::Columns(vec!["v".to_owned()])] {
        let mut scene = Scene::new(order_by);
        scene.add(0, Op::Update, Some([1, 5]), Some([1, 5]));
        scene.add(1, Op::Delete, Some([2, 5]), None);
        let item = scene.pop(5).expect("due");
        assert_eq!((number(&item), merged(&item)), (2, vec![1]));
        assert_eq!((item.delivery.change.op, item.delivery.change.before.is_some()), (Op::Delete, true));
    }
}

/// A random life of a few rows: what is done to which key, and how much time goes by before.
fn steps() -> impl Strategy<Value = Vec<(i64, u64, bool)>> {
    prop::collection::vec((0..4i64, 0..4u64, any::<bool>()), 0..60)
}

proptest! {
    #[test]
    fn every_change_comes_out_once_and_each_key_from_one_state_to_the_next(steps in steps()) {
        let mut scene = Scene::new(OrderBy::PrimaryKey);
        let mut rows: HashMap<i64, i64> = HashMap::new();
        let (mut out, mut now) = (Vec::new(), 0);
        for (version, (id, wait, is_delete)) in steps.iter().enumerate() {
            now += wait;
            out.extend(std::iter::from_fn(|| scene.pop(now)));
            let (before, new) = (rows.get(id).map(|v| [*id, *v]), [*id, version as i64]);
            let (op, after) = match (before, is_delete) {
                (None, _) => (Op::Insert, Some(new)),
                (Some(_), true) => (Op::Delete, None),
                (Some(_), false) => (Op::Update, Some(new)),
            };
            match after {
                Some([_, version]) => rows.insert(*id, version),
                None => rows.remove(id),
            };
            prop_assert!(scene.add(now, op, before, after).is_empty());
        }
        out.extend(std::iter::from_fn(|| scene.buffered.pop_first()));
        prop_assert!(scene.buffered.by_key.is_empty() && scene.buffered.keys.is_empty());

        let mut numbers: Vec<u128> = out.iter().flat_map(|item| merged(item).into_iter().chain([number(item)])).collect();
        numbers.sort();
        prop_assert_eq!(numbers, (1..=steps.len() as u128).collect::<Vec<_>>());
        let mut known: HashMap<i64, Option<i64>> = HashMap::new();
        for item in &out {
            let change = &item.delivery.change;
            let version = |row: &Option<crate::change::Row>| match row.as_ref()?.cell(1) {
                Cell::Value(Value::Int(version)) => Some(version),
                cell => panic!("{cell:?}"),
            };
            let Some(Value::Int(id)) = change.latest(0) else { panic!("{change:?}") };
            let before = known.insert(id, version(&change.after)).flatten();
            // An insert that was deleted again comes out as a delete of a row that the receiver does not know.
            if change.op != Op::Delete || before.is_some() {
                prop_assert_eq!(version(&change.before), before, "{:?}", change);
            }
        }
        for (id, version) in known {
            prop_assert_eq!(rows.get(&id).copied(), version);
        }
    }
}
