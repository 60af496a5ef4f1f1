//! Coalescing: the changes of a key within some time as one delivery. A pure state machine over a clock that is handed
//! in.
//!
//! In: deliveries of one rule in commit order, each with the time until which it may be buffered. Out: items in an order that
//! keeps each key's; an item names the deliveries that were merged into it, which share its outcome. Owns what is buffered.
//! A change is never merged with one of another row by mistake: after equal hashes the values are compared, too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::bundle::Item;
use super::{Delivery, Merged, Origin};
use crate::change::{Change, Op};
use crate::ordering::LaneKey;
use crate::rules::{OrderBy, Rule};

/// What is buffered of one rule.
#[derive(Debug, Default)]
pub(super) struct BufferedRule {
    by_key: HashMap<LaneKey, Waiting>,
    /// By the time at which they are due, and in order of arrival where that is the same.
    keys: BTreeMap<Due, LaneKey>,
    /// Items ever buffered.
    count: u64,
}

type Due = (Instant, u64);

#[derive(Debug)]
struct Waiting {
    due: Due,
    item: Item,
    /// The first change was an insert: the receiver does not know the row, whatever happened to it since.
    is_new: bool,
}

impl BufferedRule {
    /// Takes a delivery in. It is buffered until `due`, unless an earlier change of its key is buffered: it is merged with that
    /// one and keeps its time. What can't be merged or buffered goes into `ready`, after what was buffered of its keys.
    pub fn add(&mut self, delivery: Delivery, due: Instant, ready: &mut Vec<Item>) {
        let keys = delivery.rule.ordering_keys(&delivery.change);
        let mut each_key = keys.iter();
        let key = match (each_key.next(), each_key.next()) {
            (Some(key), None) if may_be_buffered(&delivery) => key,
            // An update to another key among them: it ends the waiting of both.
            _ => {
                keys.iter().for_each(|key| ready.extend(self.remove(key)));
                return ready.push(Item::alone(delivery));
            }
        };
        if let Some(waiting) = self.by_key.get_mut(&key) {
            if waiting.merge(&delivery) {
                return;
            }
            ready.extend(self.remove(key));
        }
        let due = (due, self.count);
        self.count += 1;
        self.keys.insert(due, key);
        let is_new = delivery.change.op == Op::Insert;
        self.by_key.insert(key, Waiting { due, item: Item::alone(delivery), is_new });
    }

    /// When the first one is due.
    pub fn due(&self) -> Option<Instant> {
        self.keys.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next one that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<Item> {
        if self.due()? > now { None } else { self.pop_first() }
    }

    /// The next one, due or not.
    pub fn pop_first(&mut self) -> Option<Item> {
        let (_, key) = self.keys.pop_first()?;
        self.by_key.remove(&key).map(|waiting| waiting.item)
    }

    fn remove(&mut self, key: LaneKey) -> Option<Item> {
        let Waiting { due, item, .. } = self.by_key.remove(&key)?;
        self.keys.remove(&due);
        Some(item)
    }
}

impl Waiting {
    /// Merges a later change into the buffered one; false: they have to stay apart. Where several rows have the key, a
    /// change of another row replaces the buffered one as it is.
    fn merge(&mut self, later: &Delivery) -> bool {
        let buffered = &self.item.delivery.change;
        let change = if is_same_row(buffered, &later.change) {
            let Some(mut merged) = buffered.merged_with(&later.change) else { return false };
            if self.is_new && merged.op == Op::Update {
                (merged.op, merged.before) = (Op::Insert, None);
            }
            Arc::new(merged)
        } else if is_same_key(&later.rule, buffered, &later.change) {
            self.is_new = later.change.op == Op::Insert;
            Arc::clone(&later.change)
        } else {
            return false;
        };
        let latest = Delivery { change, ..later.clone() };
        let earlier = std::mem::replace(&mut self.item.delivery, latest);
        let committed_at_us = earlier.change.transaction.committed_at_us;
        self.item.merged.push(Merged { id: earlier.id, origin: earlier.origin, committed_at_us });
        true
    }
}

/// Whether a delivery may be buffered. Not a replay, which sends the dead letter as it is; not a delivery with a
/// predetermined outcome, which needs no call; not a row of a table without a primary key, which is not distinguishable from other
/// rows; not a delivery that also waits in lanes of an earlier key definition.
fn may_be_buffered(delivery: &Delivery) -> bool {
    matches!(delivery.origin, Origin::Stream)
        && delivery.predetermined.is_none()
        && delivery.more.is_none()
        && delivery.rule.has_key_for(&delivery.change)
}

/// Whether two changes of different rows have one key, by its values.
fn is_same_key(rule: &Rule, buffered: &Change, later: &Change) -> bool {
    match &rule.order_by {
        OrderBy::Table => buffered.table.schema == later.table.schema && buffered.table.name == later.table.name,
        OrderBy::Columns(names) => names.iter().all(|name| {
            let value = |change: &Change| change.table.column(name).and_then(|column| change.latest(column));
            value(buffered).is_some() && value(buffered) == value(later)
        }),
        // Two rows whose keys have the same hash.
        OrderBy::PrimaryKey | OrderBy::None => false,
    }
}

fn is_same_row(buffered: &Change, later: &Change) -> bool {
    let key = &later.table.primary_key;
    !key.is_empty()
        && *key == buffered.table.primary_key
        && buffered.table.schema == later.table.schema
        && buffered.table.name == later.table.name
        && key.iter().all(|column| {
            // An update in place has one value on both sides; of a partial after image the before image has it.
            let value = buffered.latest(*column);
            value.is_some() && value == later.latest(*column) && !later.column_differs(*column)
        })
}

#[cfg(test)]
mod tests;
