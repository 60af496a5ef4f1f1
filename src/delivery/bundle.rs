//! What one call carries: a delivery, or several of one rule.
//!
//! In: deliveries, and the results of their attempts. Out: the part of a bundle that is to be sent next. Splitting is a
//! pure state machine: a part that is refused as a whole is split into halves, which are sent one after the other in their
//! order, down to the single delivery that is the reason. Keeps the order of deliveries (promise 2); a bundle of n
//! deliveries is split at most n - 1 times, each delivery at most log2(n) + 1 times.

use std::sync::Arc;

use super::answer::Verdict;
use super::{Delivery, Failure, Merged, Origin};
use crate::change::DeliveryId;
use crate::failure::{Answer, Attempts};
use crate::rules::{Action, Rule};

/// Answers for which the reason may be a single delivery among many: bad request, too large, unprocessable.
const SPLITTING: [u16; 3] = [400, 413, 422];

/// A delivery under way, with those that were merged into it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub delivery: Delivery,
    pub merged: Vec<Merged>,
}

impl Item {
    pub fn alone(delivery: Delivery) -> Item {
        Item { delivery, merged: Vec::new() }
    }
}

/// What one call carries.
#[derive(Debug)]
pub(super) enum Bundle {
    /// A rule that sends each change by itself.
    One(Delivery),
    /// A rule that merges or gathers changes.
    Many(Box<Parts>),
}

/// The part of a bundle that an attempt's task needs.
#[derive(Debug, Clone)]
pub(super) enum AttemptLoad {
    One(Delivery),
    Many(Arc<[Item]>),
}

/// The result of preparing several deliveries as one call.
pub(super) struct RenderedArray<T> {
    /// Items that fit into no call, by index: dead before any attempt. The prepared call carries the others.
    pub unfit: Vec<(usize, Failure)>,
    pub ready: Result<T, Unready>,
}

/// Why no call could be prepared for all.
pub(super) enum Unready {
    /// No item is left.
    Nothing,
    /// A call may carry only so many of the fit items.
    TooLarge { fitting: usize },
    /// No call can be made, whatever items it carries; a line for people.
    Unrenderable(String),
}

impl<T> RenderedArray<T> {
    pub fn map<U>(self, wrap: impl FnOnce(T) -> U) -> RenderedArray<U> {
        RenderedArray { unfit: self.unfit, ready: self.ready.map(wrap) }
    }
}

impl AttemptLoad {
    /// The delivery, or the first of those that are sent together.
    pub fn first(&self) -> &Delivery {
        match self {
            AttemptLoad::One(delivery) => delivery,
            AttemptLoad::Many(items) => &items[0].delivery,
        }
    }

    pub fn count(&self) -> usize {
        match self {
            AttemptLoad::One(_) => 1,
            AttemptLoad::Many(items) => items.len(),
        }
    }
}

impl Bundle {
    pub fn rule(&self) -> &Arc<Rule> {
        match self {
            Bundle::One(delivery) => &delivery.rule,
            Bundle::Many(parts) => &parts.current[0].delivery.rule,
        }
    }

    /// The delivery of a saga, which is never sent with others.
    pub fn one(&self) -> &Delivery {
        match self {
            Bundle::One(delivery) => delivery,
            Bundle::Many(_) => unreachable!("a saga's action is sent by itself"),
        }
    }

    /// Of all deliveries that have no outcome.
    pub fn origins(&self) -> Vec<Origin> {
        match self {
            Bundle::One(delivery) => vec![delivery.origin],
            Bundle::Many(parts) => parts.all().map(|item| item.delivery.origin).collect(),
        }
    }

    /// The action to do now.
    pub fn action(&self) -> &Action {
        match self {
            Bundle::One(delivery) => delivery.action(),
            Bundle::Many(parts) => parts.current[0].delivery.action(),
        }
    }

    /// For a log line: the delivery, or the first of those that are sent together.
    pub fn first_id(&self) -> DeliveryId {
        match self {
            Bundle::One(delivery) => delivery.id,
            Bundle::Many(parts) => parts.current[0].delivery.id,
        }
    }

    /// Whether the answer is likely about one of the deliveries rather than about all.
    pub fn is_split_by(&self, verdict: Verdict, answer: &Answer) -> bool {
        let Bundle::Many(parts) = self else { return false };
        verdict == Verdict::GiveUp
            && parts.current.len() > 1
            && matches!(answer, Answer::Status { status, .. } if SPLITTING.contains(status))
    }

    /// Goes on under the current rule, if that can take over. True: the request may be another one now.
    pub fn renew(&mut self, now: &Arc<Rule>) -> bool {
        if Arc::ptr_eq(self.rule(), now) || !now.takes_over_from(self.rule()) {
            return false;
        }
        match self {
            Bundle::One(delivery) => delivery.rule = Arc::clone(now),
            Bundle::Many(parts) => {
                let later = parts.later.iter_mut().map(|part| &mut part.items);
                for items in std::iter::once(&mut parts.current).chain(later) {
                    let delivery = |item: &Item| Delivery { rule: Arc::clone(now), ..item.delivery.clone() };
                    *items = items
                        .iter()
                        .map(|item| Item { delivery: delivery(item), merged: item.merged.clone() })
                        .collect();
                }
            }
        }
        true
    }

    pub fn load(&self) -> AttemptLoad {
        match self {
            Bundle::One(delivery) => AttemptLoad::One(delivery.clone()),
            Bundle::Many(parts) => AttemptLoad::Many(Arc::clone(&parts.current)),
        }
    }
}

/// A bundle's deliveries without an outcome: those sent now, and those sent after them. The first part is never empty.
#[derive(Debug)]
pub(super) struct Parts {
    current: Arc<[Item]>,
    /// The next one last.
    later: Vec<Part>,
}

/// Deliveries to be sent, with the attempts of larger calls that carried them before.
#[derive(Debug)]
struct Part {
    items: Arc<[Item]>,
    attempts: Attempts,
}

impl Parts {
    /// All in one part; at least one item.
    pub fn new(items: Vec<Item>) -> Parts {
        assert!(!items.is_empty(), "a call carries at least one delivery");
        Parts { current: items.into(), later: Vec::new() }
    }

    /// The part whose turn it is.
    pub fn current(&self) -> &Arc<[Item]> {
        &self.current
    }

    /// All that has no outcome.
    pub fn all(&self) -> impl Iterator<Item = &Item> {
        self.current.iter().chain(self.later.iter().rev().flat_map(|part| part.items.iter()))
    }

    /// Leaves out those for which `stays` says no, before any attempt: in one part again. At least one stays.
    pub fn keep(&mut self, stays: impl Fn(&Item) -> bool) {
        *self = Parts::new(self.all().filter(|item| stays(item)).cloned().collect());
    }

    /// Takes the current part apart before its n-th item: the first half is sent now, the other after it. Both have
    /// been carried by these attempts.
    pub fn split(&mut self, at: usize, attempts: &Attempts) {
        assert!((1..self.current.len()).contains(&at), "both halves hold something");
        let (first, second) = self.current.split_at(at);
        let (first, second): (Arc<[Item]>, Arc<[Item]>) = (first.into(), second.into());
        self.later.push(Part { items: second, attempts: attempts.clone() });
        self.current = first;
    }

    /// Takes the items for which `goes` is true out of the current part, in order. The rest is sent again; false: there is no
    /// rest.
    pub fn take(&mut self, mut goes: impl FnMut(usize) -> bool) -> (Vec<(usize, Item)>, bool) {
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for (index, item) in self.current.iter().enumerate() {
            match goes(index) {
                true => taken.push((index, item.clone())),
                false => left.push(item.clone()),
            }
        }
        let is_left = !left.is_empty();
        if is_left && !taken.is_empty() {
            self.current = left.into();
        }
        (taken, is_left)
    }

    /// Goes on with the next part. Returns the attempts that carried it before; None: that was the last part.
    pub fn advance(&mut self) -> Option<Attempts> {
        let Part { items, attempts } = self.later.pop()?;
        self.current = items;
        Some(attempts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::delivery::testing;

    fn parts(count: u128) -> Parts {
        let rule = testing::rule("http://a.test/", |_| {});
        Parts::new((0..count).map(|number| Item::alone(testing::delivery(&rule, number, 1))).collect())
    }

    fn numbers(items: &[Item]) -> Vec<u128> {
        items.iter().map(|item| item.delivery.id.0.as_u128()).collect()
    }

    /// An API that refuses every request with a bad row in it. Returns what it accepted, what was given up, and how many
    /// requests it got.
    fn carry(count: u128, bad: &BTreeSet<u128>) -> (Vec<u128>, Vec<u128>, usize) {
        let mut parts = parts(count);
        let (mut delivered, mut dead, mut requests) = (Vec::new(), Vec::new(), 0);
        loop {
            requests += 1;
            let sent = numbers(parts.current());
            if !sent.iter().any(|number| bad.contains(number)) {
                delivered.extend(sent);
            } else if sent.len() == 1 {
                dead.extend(sent);
            } else {
                parts.split(sent.len().div_ceil(2), &Attempts::default());
                continue;
            }
            if parts.advance().is_none() {
                return (delivered, dead, requests);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_rows_are_bad_exactly_they_are_given_up_and_the_others_are_sent_in_order(
            count in 1..300u128,
            bad in prop::collection::btree_set(0..300u128, 0..40),
        ) {
            let bad: BTreeSet<u128> = bad.into_iter().filter(|number| *number < count).collect();
            let (delivered, dead, requests) = carry(count, &bad);
            prop_assert_eq!(dead, bad.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(delivered, (0..count).filter(|number| !bad.contains(number)).collect::<Vec<_>>());
            prop_assert!(requests < 2 * count as usize);
            let depth = (count as f64).log2().ceil() as usize;
            prop_assert!(requests <= 1 + 2 * bad.len() * depth, "{} requests for {} bad rows", requests, bad.len());
        }
    }

    #[test]
    fn items_taken_out_leave_the_others_in_their_order() {
        let mut parts = parts(5);
        let (taken, is_left) = parts.take(|index| index % 2 == 1);
        assert_eq!(taken.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 3]);
        assert!(is_left);
        assert_eq!(numbers(parts.current()), [0, 2, 4]);
        let (taken, is_left) = parts.take(|_| true);
        assert_eq!((taken.len(), is_left), (3, false));
        assert!(parts.advance().is_none());
    }
}
