//! Gathering: deliveries of one rule that wait for others to be sent with them. A pure state machine over a clock that
//! is handed in.
//!
//! In: deliveries in commit order, the time, the ends of transactions. Out: calls, each a list of items in commit order,
//! to be queued in the order in which they come out. Owns what waits. Keeps commit order per key (promise 2): a delivery
//! comes out after all earlier changes of its keys. Every wait has an end: a timer, the end of the transaction, or `close`
//! when nothing more can come.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::bundle::Item;
use super::coalesce::BufferedRule;
use super::{Delivery, Origin};
use crate::change::Transaction;
use crate::ordering::LaneKey;
use crate::rules::{Batch, Rule, Until};

/// See the module's header.
#[derive(Debug)]
pub(super) struct Gatherer {
    rule: Arc<Rule>,
    /// Changes that later ones of their keys are merged into.
    buffered: BufferedRule,
    open: Option<Open>,
}

/// A call that is not full yet.
#[derive(Debug, Default)]
struct Open {
    items: Vec<Item>,
    bytes: usize,
    closes_at: Option<Instant>,
    /// Kept only where a call may carry a key only once.
    keys: HashSet<LaneKey>,
}

impl Gatherer {
    /// For a rule that gathers.
    pub fn new(rule: &Arc<Rule>) -> Gatherer {
        Gatherer { rule: Arc::clone(rule), buffered: BufferedRule::default(), open: None }
    }

    /// The rule as it was when the gathering began; a call never carries deliveries of two versions of a rule.
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// Takes a delivery in, after all earlier ones; `out` gets the calls that are complete now.
    pub fn add(&mut self, delivery: Delivery, now: Instant, out: &mut Vec<Vec<Item>>) {
        let Some(within) = self.rule.coalesce else {
            return self.enter(Item::alone(delivery), now, out);
        };
        let mut ready = Vec::new();
        self.buffered.add(delivery, now + within, &mut ready);
        for item in ready {
            self.enter(item, now, out);
        }
    }

    /// When the next call is due.
    pub fn due(&self) -> Option<Instant> {
        let closes_at = self.open.as_ref().and_then(|open| open.closes_at);
        [closes_at, self.buffered.due()].into_iter().flatten().min()
    }

    /// Puts what is due into `out`.
    pub fn close_due(&mut self, now: Instant, out: &mut Vec<Vec<Item>>) {
        while let Some(item) = self.buffered.pop_due(now) {
            self.enter(item, now, out);
        }
        if self.open.as_ref().and_then(|open| open.closes_at).is_some_and(|closes_at| closes_at <= now) {
            self.close_open(out);
        }
    }

    /// No more rows of this transaction will come.
    pub fn transaction_ended(&mut self, transaction: &Arc<Transaction>, out: &mut Vec<Vec<Item>>) {
        if self.open_transaction().is_some_and(|open| is_same(open, transaction)) {
            self.close_open(out);
        }
    }

    /// Puts everything into `out`: nothing more can come meanwhile.
    pub fn close(&mut self, now: Instant, out: &mut Vec<Vec<Item>>) {
        while let Some(item) = self.buffered.pop_first() {
            self.enter(item, now, out);
        }
        self.close_open(out);
    }

    /// Takes what is meant out of the call that is not full yet. What later changes are merged into is of streams only.
    pub fn withdraw(&mut self, is_meant: impl Fn(Origin) -> bool) -> Vec<Origin> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let taken: Vec<Item> = open.items.extract_if(.., |item| is_meant(item.delivery.origin)).collect();
        open.bytes -= taken.iter().map(|item| item.delivery.change.weight_bytes()).sum::<usize>();
        if open.items.is_empty() {
            self.open = None;
        }
        taken.into_iter().map(|item| item.delivery.origin).collect()
    }

    /// Hands an item on: into the open call of a rule that sends batches, else out.
    fn enter(&mut self, item: Item, now: Instant, out: &mut Vec<Vec<Item>>) {
        let rule = Arc::clone(&self.rule);
        let Some(batch) = &rule.batch else { return out.push(vec![item]) };
        let keys: Vec<LaneKey> = match &batch.results {
            Some(_) => rule.ordering_keys(&item.delivery.change).iter().collect(),
            None => Vec::new(),
        };
        let bytes = item.delivery.change.weight_bytes();
        if !self.takes(batch, &item.delivery, &keys, bytes) {
            self.close_open(out);
        }
        let waits_for_end = batch.until == Until::TransactionEnd;
        if waits_for_end && comes_again(&item.delivery) {
            // Its transaction ended long ago.
            return out.push(vec![item]);
        }
        let open = self.open.get_or_insert_with(|| Open {
            closes_at: match batch.until {
                Until::Wait(wait) => Some(now + wait),
                Until::TransactionEnd => None,
            },
            ..Open::default()
        });
        open.items.push(item);
        open.bytes += bytes;
        open.keys.extend(keys);
        if open.items.len() >= batch.size || open.bytes >= batch.bytes {
            self.close_open(out);
        }
    }

    /// Whether the open call may carry this delivery, too. Where results come per item, a call carries a key only once: else a
    /// change that is sent again would come after the next one of its key, which was accepted already.
    fn takes(&self, batch: &Batch, delivery: &Delivery, keys: &[LaneKey], bytes: usize) -> bool {
        let Some(open) = &self.open else { return true };
        let is_of_transaction = match batch.until {
            Until::Wait(_) => true,
            Until::TransactionEnd => {
                let transaction = self.open_transaction();
                !comes_again(delivery) && transaction.is_some_and(|open| is_same(open, &delivery.change.transaction))
            }
        };
        is_of_transaction && open.bytes + bytes <= batch.bytes && !keys.iter().any(|key| open.keys.contains(key))
    }

    fn open_transaction(&self) -> Option<&Arc<Transaction>> {
        let per_transaction = self.rule.batch.as_ref().is_some_and(|batch| batch.until == Until::TransactionEnd);
        let open = self.open.as_ref().filter(|_| per_transaction)?;
        Some(&open.items[0].delivery.change.transaction)
    }

    fn close_open(&mut self, out: &mut Vec<Vec<Item>>) {
        out.extend(self.open.take().map(|open| open.items));
    }
}

fn comes_again(delivery: &Delivery) -> bool {
    delivery.origin != Origin::Stream
}

fn is_same(one: &Arc<Transaction>, other: &Arc<Transaction>) -> bool {
    Arc::ptr_eq(one, other) || one.identity() == other.identity()
}

#[cfg(test)]
mod tests;
