//! Tests of gathering with a clock of their own: sizes, times, transactions, order.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::change::Op;
use crate::delivery::testing::{made_of, rule, versions};
use crate::rules::{ItemVerdict, OrderBy, Results};

const WAIT: Duration = Duration::from_millis(200);

fn batch(size: usize, until: Until) -> Batch {
    Batch { size, bytes: 1 << 20, until, format: Default::default(), results: None }
}

struct Scene {
    gatherer: Gatherer,
    begin: Instant,
    out: Vec<Vec<Item>>,
}

impl Scene {
    fn new(edit: impl FnOnce(&mut Rule)) -> Scene {
        let rule = rule("http://a.test/", edit);
        Scene { gatherer: Gatherer::new(&rule), begin: Instant::now(), out: Vec::new() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.begin + Duration::from_millis(ms)
    }

    /// An insert of a row with this number as its key.
    fn delivery(&self, number: i64, transaction: u64) -> Delivery {
        made_of(self.gatherer.rule(), number as u128, versions(Op::Insert, None, Some([number, 0]), transaction))
    }

    fn add(&mut self, at_ms: u64, number: i64, transaction: u64) {
        let delivery = self.delivery(number, transaction);
        self.add_delivery(at_ms, delivery);
    }

    fn add_delivery(&mut self, at_ms: u64, delivery: Delivery) {
        let now = self.at(at_ms);
        self.gatherer.add(delivery, now, &mut self.out);
    }

    fn close_due(&mut self, at_ms: u64) {
        let now = self.at(at_ms);
        self.gatherer.close_due(now, &mut self.out);
    }

    fn ended(&mut self, transaction: u64) {
        let transaction = self.delivery(0, transaction).change.transaction.clone();
        self.gatherer.transaction_ended(&transaction, &mut self.out);
    }

    /// The calls that came out since the last check.
    fn calls(&mut self) -> Vec<Vec<u128>> {
        let number = |item: &Item| item.delivery.id.0.as_u128();
        self.out.drain(..).map(|items| items.iter().map(number).collect()).collect()
    }
}

#[test]
fn a_call_is_closed_when_it_is_full_or_when_its_first_delivery_has_waited() {
    let mut scene = Scene::new(|rule| rule.batch = Some(batch(3, Until::Wait(WAIT))));
    for number in 1..=4 {
        scene.add(number as u64 * 10, number, 4);
    }
    assert_eq!(scene.calls(), [[1, 2, 3]]);
    assert_eq!(scene.gatherer.due(), Some(scene.at(240)));
    scene.add(239, 5, 4);
    scene.close_due(239);
    assert!(scene.calls().is_empty());
    scene.close_due(240);
    assert_eq!(scene.calls(), [[4, 5]]);
    assert_eq!(scene.gatherer.due(), None);
}

#[test]
fn a_call_is_closed_before_its_rows_are_too_many_bytes() {
    let weight = |scene: &Scene| scene.delivery(1, 4).change.weight_bytes();
    let probe = Scene::new(|rule| rule.batch = Some(batch(1, Until::Wait(WAIT))));
    let bytes = 2 * weight(&probe) + 1;
    let mut scene = Scene::new(|rule| rule.batch = Some(Batch { bytes, ..batch(100, Until::Wait(WAIT)) }));
    for number in 1..=5 {
        scene.add(0, number, 4);
    }
    assert_eq!(scene.calls(), [[1, 2], [3, 4]]);
    let mut small = Scene::new(|rule| rule.batch = Some(Batch { bytes: 1, ..batch(100, Until::Wait(WAIT)) }));
    small.add(0, 1, 4);
    small.add(0, 2, 4);
    assert_eq!(small.calls(), [[1], [2]], "one that is too large by itself goes alone");
}

#[test]
fn a_call_per_transaction_carries_rows_of_one_only_and_waits_for_its_end() {
    let mut scene = Scene::new(|rule| rule.batch = Some(batch(3, Until::TransactionEnd)));
    for number in 1..=4 {
        scene.add(0, number, 100);
    }
    assert_eq!(scene.calls(), [[1, 2, 3]], "a transaction that is too large takes several calls");
    assert_eq!(scene.gatherer.due(), None);
    scene.ended(99);
    assert!(scene.calls().is_empty(), "another transaction has ended");
    scene.ended(100);
    assert_eq!(scene.calls(), [[4]]);
    scene.add(0, 5, 200);
    scene.add(0, 6, 300);
    assert_eq!(scene.calls(), [[5]], "the end of the one before was not reported");
    let now = scene.at(0);
    scene.gatherer.close(now, &mut scene.out);
    assert_eq!(scene.calls(), [[6]], "a full window");
}

#[test]
fn a_replay_waits_for_no_transaction_and_overtakes_nothing() {
    let mut scene = Scene::new(|rule| rule.batch = Some(batch(3, Until::TransactionEnd)));
    scene.add(0, 1, 100);
    let replay = Delivery { origin: Origin::Replay { dead_letter: 1 }, ..scene.delivery(2, 100) };
    scene.add_delivery(0, replay);
    assert_eq!(scene.calls(), [[1], [2]]);
}

#[test]
fn with_results_a_call_carries_a_key_once() {
    let results = Results { items: "/r".to_owned(), verdict: ItemVerdict::Status("/s".to_owned()) };
    let with = |results| move |rule: &mut Rule| rule.batch = Some(Batch { results, ..batch(9, Until::Wait(WAIT)) });
    for (results, expected) in [(Some(results), vec![vec![1, 2], vec![1]]), (None, vec![vec![1, 2, 1]])] {
        let mut scene = Scene::new(with(results));
        for number in [1, 2, 1] {
            scene.add(0, number, 4);
        }
        scene.close_due(200);
        assert_eq!(scene.calls(), expected);
    }
}

#[test]
fn merged_changes_are_gathered_afterwards() {
    let mut scene = Scene::new(|rule| {
        rule.coalesce = Some(Duration::from_secs(1));
        rule.batch = Some(batch(100, Until::Wait(WAIT)));
    });
    for number in [1, 2] {
        scene.add(0, number, 4);
    }
    let update = made_of(scene.gatherer.rule(), 9, versions(Op::Update, Some([1, 0]), Some([1, 1]), 8));
    scene.add_delivery(500, update);
    assert_eq!(scene.gatherer.due(), Some(scene.at(1000)));
    scene.close_due(1000);
    assert_eq!(scene.gatherer.due(), Some(scene.at(1200)));
    scene.close_due(1200);
    assert_eq!(scene.calls(), [[9, 2]]);
}

proptest! {
    #[test]
    fn every_delivery_comes_out_once_and_in_order_within_all_limits(
        steps in prop::collection::vec((0..120u64, 0..3u64), 0..80),
        size in 1..6usize,
        per_transaction in any::<bool>(),
    ) {
        let until = if per_transaction { Until::TransactionEnd } else { Until::Wait(WAIT) };
        let mut scene = Scene::new(|rule| {
            rule.batch = Some(batch(size, until));
            rule.order_by = OrderBy::Table;
        });
        let (mut now, mut transaction) = (0, 1);
        for (number, (wait, ends)) in steps.iter().enumerate() {
            now += wait;
            scene.close_due(now);
            prop_assert!(scene.gatherer.due().is_none_or(|due| due > scene.at(now) && due <= scene.at(now) + WAIT));
            scene.add(now, number as i64, transaction);
            if *ends == 0 {
                scene.ended(transaction);
                transaction += 1;
            }
        }
        let end = scene.at(now);
        scene.gatherer.close(end, &mut scene.out);
        if per_transaction {
            for call in &scene.out {
                let first = &call[0].delivery.change.transaction;
                prop_assert!(call.iter().all(|item| item.delivery.change.transaction == *first));
            }
        }
        let calls = scene.calls();
        prop_assert!(calls.iter().all(|call| (1..=size).contains(&call.len())));
        prop_assert_eq!(calls.concat(), (0..steps.len() as u128).collect::<Vec<_>>());
    }
}
