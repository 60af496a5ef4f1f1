//! Calls that carry several deliveries: gathered before they enter the lanes, split where an answer requires it.
//!
//! In: deliveries of rules that gather, and the results of their attempts. Out: completed deliveries, each with its own
//! outcome. They share one place in the lanes, which is given up when every share was given back. Deliveries that are
//! gathered and not sent when the work ends are interrupted, as queued ones are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{AttemptsUnderWay, Dispatcher, turn};
use crate::change::Transaction;
use crate::delivery::admission::RetryCounts;
use crate::delivery::answer::ItemResult;
use crate::delivery::attempt::Unsent;
use crate::delivery::bundle::{Bundle, Item, Parts};
use crate::delivery::gather::Gatherer;
use crate::delivery::lane::{Place, RuleNumber, RuleUnderWay, Turn};
use crate::delivery::{Completed, Delivery, Failure, Intent, Outcome, Ticket};
use crate::failure::{Attempts, Reason};
use crate::ordering::LaneKey;

impl Dispatcher {
    /// No more rows of this transaction will come: calls of any rule that wait for its end are queued. Calls that wait for
    /// another transaction are not touched.
    pub fn transaction_ended(&mut self, transaction: &Arc<Transaction>) {
        if self.gatherers.is_empty() {
            return;
        }
        self.let_go(|_, gatherer, _, out| gatherer.transaction_ended(transaction, out));
    }

    /// Whether any rule gathers deliveries into calls.
    pub fn gathers(&self) -> bool {
        !self.gatherers.is_empty()
    }

    /// Queues what the rule of this name has gathered, or without a name what each rule has, if nothing of it is under way.
    /// To be called whenever the window is full: gathered deliveries keep it full, and then only sending them makes room.
    pub fn close_gathering(&mut self, rule: Option<&str>) {
        if self.gatherers.is_empty() {
            return;
        }
        self.let_go(|counts, gatherer, now, out| {
            let is_meant = rule.is_none_or(|name| gatherer.rule().name == name);
            if is_meant && counts.in_flight == 0 {
                gatherer.close(now, out);
            }
        });
    }

    /// Takes in a delivery of a rule that gathers; it has a place in the lanes when its call is complete.
    pub(super) fn gather(&mut self, rule: RuleNumber, delivery: Delivery) {
        // A rule that blocked keys before a reload and gathers now: a delivery that waits for such a key is not gathered.
        if self.lanes.is_blocked(|| delivery.lanes()) {
            self.end_gathering(rule);
            return self.enter_closed(rule, vec![vec![Item::alone(delivery)]]);
        }
        let (now, mut closed) = (Instant::now(), Vec::new());
        let gatherer = self.gatherers.entry(rule).or_insert_with(|| Gatherer::new(&delivery.rule));
        if !Arc::ptr_eq(gatherer.rule(), &delivery.rule) {
            gatherer.close(now, &mut closed);
            *gatherer = Gatherer::new(&delivery.rule);
        }
        gatherer.add(delivery, now, &mut closed);
        self.enter_closed(rule, closed);
    }

    /// A rule that gathered before a reload gathers no more.
    pub(super) fn end_gathering(&mut self, rule: RuleNumber) {
        let Some(mut gatherer) = self.gatherers.remove(&rule) else { return };
        let mut closed = Vec::new();
        gatherer.close(Instant::now(), &mut closed);
        self.enter_closed(rule, closed);
    }

    /// When the next gathered call is due.
    pub(super) fn gathering_due(&self) -> Option<Instant> {
        self.gatherers.values().filter_map(Gatherer::due).min()
    }

    pub(super) fn close_due(&mut self) {
        if self.gathering_due().is_some_and(|due| due <= Instant::now()) {
            self.let_go(|_, gatherer, now, out| gatherer.close_due(now, out));
        }
    }

    fn let_go(&mut self, close: impl Fn(RuleUnderWay, &mut Gatherer, Instant, &mut Vec<Vec<Item>>)) {
        let now = Instant::now();
        let mut all = Vec::new();
        for (rule, gatherer) in &mut self.gatherers {
            let mut closed = Vec::new();
            close(self.lanes.counts(*rule), gatherer, now, &mut closed);
            if !closed.is_empty() {
                all.push((*rule, closed));
            }
        }
        for (rule, closed) in all {
            self.enter_closed(rule, closed);
        }
    }

    fn enter_closed(&mut self, rule: RuleNumber, closed: Vec<Vec<Item>>) {
        for items in closed {
            self.enter_call(rule, items);
        }
        self.start_ready();
    }

    fn enter_call(&mut self, rule: RuleNumber, mut items: Vec<Item>) {
        if items.len() == 1 && items[0].merged.is_empty() && items[0].delivery.rule.batch.is_none() {
            let Item { delivery, .. } = items.remove(0);
            return self.enter(rule, delivery);
        }
        let count = items.len();
        let mut keys: Vec<LaneKey> = Vec::with_capacity(count);
        let (mut under, mut behind) = (Vec::new(), Vec::new());
        for Item { delivery, .. } in &items {
            let lanes = delivery.lanes();
            keys.extend(lanes.iter());
            behind.extend_from_slice(lanes.definitions());
            let definition = self.known[rule as usize].keys.definition(&delivery.rule, &delivery.change);
            if let Some(definition) = definition
                && under.last().is_none_or(|last| !Arc::ptr_eq(last, definition))
            {
                under.push(Arc::clone(definition));
            }
        }
        let is_replayed = items.iter().any(|item| turn(item.delivery.origin) == Turn::Call);
        let turn = if is_replayed { Turn::Call } else { Turn::CallUnlessBlocked };
        let queue = self.queue(rule, items[0].delivery.action());
        let place = self.lanes.enter_many_under(queue, keys, &under, behind, turn);
        let bundle = Bundle::Many(Box::new(Parts::new(items)));
        self.set_under_way(place, AttemptsUnderWay::new(bundle, rule, Intent::Durable), count);
    }

    /// Gives back a share of a place; true: it was the last one. A call of one delivery has one share.
    pub(super) fn is_last_share(&mut self, place: Place) -> bool {
        let shares = &mut self.shares[place as usize];
        *shares -= 1;
        *shares == 0
    }

    /// Sends the first half of the call next, and the second after it.
    pub(super) fn halve(&mut self, place: Place) {
        let count = self.at(place).parts().current().len();
        self.split(place, count.div_ceil(2));
    }

    /// Sends the first `at` deliveries of the call next, and the others after them.
    pub(super) fn split(&mut self, place: Place, at: usize) {
        self.at(place).split(at);
        self.queue_again(place);
    }

    /// Handles a call for which no attempt was made. To be called after admission knows of it.
    pub(super) fn settle_unsent(&mut self, place: Place, unfit: Vec<(usize, Failure)>, unsent: Unsent) {
        if !unfit.is_empty() {
            self.give_up_unfit(place, unfit);
        }
        match unsent {
            Unsent::Nothing => self.end_part(place),
            Unsent::Split { at } => self.split(place, at),
            Unsent::Panicked => {
                self.at(place).may_have_happened = true;
                let message = "rendering or sending panicked: a defect of rowhook, please report it".to_owned();
                self.complete(place, Outcome::Dead(Failure { reason: Reason::Unrenderable, message }));
            }
            Unsent::Unrenderable(message) => {
                let failure = Failure { reason: Reason::Unrenderable, message };
                self.complete(place, Outcome::Dead(failure));
            }
        }
    }

    /// Items that fit into no request are dead; the others are what the attempt was of.
    pub(super) fn give_up_unfit(&mut self, place: Place, unfit: Vec<(usize, Failure)>) {
        let (items, _) = self.at(place).parts().take(|index| unfit.iter().any(|(unfit, _)| *unfit == index));
        let attempts = self.at(place).attempts.clone();
        for ((_, item), (_, failure)) in items.into_iter().zip(unfit) {
            self.hand_out(place, item, Outcome::Dead(failure), attempts.clone());
        }
    }

    /// Handles a success that contains a result for each delivery.
    pub(super) fn settle_items(&mut self, place: Place, results: &[ItemResult], retry_after: Option<Duration>) {
        let under_way = self.at(place);
        let mut outcomes = under_way.conclude_items(results);
        let (items, is_left) = under_way.parts().take(|index| outcomes[index].is_some());
        let attempts = under_way.attempts.clone();
        for (index, item) in items {
            let outcome = outcomes[index].take().expect("only those with an outcome were taken");
            self.hand_out(place, item, outcome, attempts.with_last_answer(&results[index].answer));
        }
        match is_left {
            true => {
                let wait = self.at(place).next_wait(RetryCounts::Fully, retry_after);
                self.wait_for_retry(place, wait);
            }
            false => self.end_part(place),
        }
    }

    /// All deliveries of the part that was sent have this outcome.
    pub(super) fn complete_part(&mut self, place: Place, outcome: &Outcome) {
        let under_way = self.at(place);
        let items = Arc::clone(under_way.parts().current());
        // The outcome may become up to ten thousand dead letters at once.
        let attempts = match items.len() {
            1 => under_way.attempts.clone(),
            _ => under_way.attempts.with_last_excerpt_only(),
        };
        for item in items.iter() {
            let outcome = match (outcome, &item.delivery.predetermined) {
                // Only for a dead letter, not for a blocked delivery, it is checked again whether the rule matches.
                (Outcome::Blocked { .. }, Some(predetermined)) => predetermined.clone(),
                _ => outcome.clone(),
            };
            self.hand_out(place, item.clone(), outcome, attempts.clone());
        }
        self.end_part(place);
    }

    fn hand_out(&mut self, place: Place, item: Item, outcome: Outcome, attempts: Attempts) {
        let Item { delivery, merged } = item;
        self.unresolved[self.lanes.rule_of(place) as usize] -= merged.len();
        self.hand_over(Completed { delivery, outcome, attempts, merged, acted: None, ticket: Ticket(place) });
    }

    /// Goes on with the next part, or ends the call.
    fn end_part(&mut self, place: Place) {
        match self.at(place).advance() {
            true => self.queue_again(place),
            false => {
                self.lanes.end(place);
                self.under_way[place as usize] = None;
            }
        }
    }

    /// The slot goes to the call that is first in the target queue.
    pub(super) fn queue_again(&mut self, place: Place) {
        let next = self.at(place).next_attempt();
        self.lanes.rest(place);
        self.lanes.set_attempt(place, next);
        self.lanes.resume(place);
    }
}

#[cfg(test)]
mod tests;
