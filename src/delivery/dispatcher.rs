//! The dispatcher: carries deliveries to their outcomes.
//!
//! In: deliveries, in commit order. Out: each with its outcome, kept until the caller says that the outcome is durable.
//! Owns all deliveries that are not resolved, the lanes they queue in, the admission of their attempts and the times of
//! their retries. Keeps promise 2 (order per key, through retries and replays) and the limits on attempts under way. It
//! is a plain state machine that its caller's loop drives: submitting never waits, so nothing can deadlock. Deliberately
//! has no bound of its own on what is inside (the caller's window is the bound) and writes nothing down.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::delivery::admission::{Admission, AttemptEnd};
use crate::delivery::attempt::{Begun, Ended, Sent};
use crate::delivery::bundle::Bundle;
use crate::delivery::callers::{Callers, Reported};
use crate::delivery::gather::Gatherer;
use crate::delivery::lane::{Lanes, Place, RuleNumber, RuleUnderWay, Turn};
use crate::delivery::sink::Sinks;
use crate::delivery::under_way::AttemptsUnderWay;
use crate::delivery::{Completed, Delivery, DeliveryEvent, DueAction, DueTicket, Intent, Origin, Outcome, Ticket};
use crate::failure::{Answer, Attempt};
use crate::ordering::BlockedKeys;
use crate::rules::Rule;
use crate::telemetry::Metrics;
use target_queues::KnownRule;
pub use withdrawal::Withdraw;

mod bundles;
mod definitions;
mod target_queues;
mod withdrawal;

/// See the module's header. Must be used within a tokio runtime: attempts run as tasks on it, and one that is under way
/// when the dispatcher is dropped goes on to its end; its result is lost.
#[derive(Debug)]
pub struct Dispatcher {
    callers: Callers,
    metrics: Arc<Metrics>,
    lanes: Lanes,
    admission: Admission,
    /// By place; None where all deliveries of the call were handed out as completed.
    under_way: Vec<Option<AttemptsUnderWay>>,
    rules: HashMap<Box<str>, RuleNumber>,
    /// By rule number.
    known: Vec<KnownRule>,
    /// Names of paused rules: nothing of them is started.
    paused: HashSet<Box<str>>,
    /// Deliveries that wait for others to be sent together, by rule.
    gatherers: BTreeMap<RuleNumber, Gatherer>,
    /// By place: how many tickets of the call were not given back yet.
    shares: Vec<usize>,
    /// By rule number: deliveries submitted and not released, without those merged into completed ones.
    unresolved: Vec<usize>,
    /// When each waiting call is attempted again.
    retries: BinaryHeap<Reverse<(Instant, Place)>>,
    reported: UnboundedReceiver<Reported>,
    events: VecDeque<DeliveryEvent>,
    /// Saga actions that were reported as due and for which [`begin`](Dispatcher::begin) was not called yet.
    due: usize,
}

impl Dispatcher {
    pub fn new(sinks: Sinks, metrics: Arc<Metrics>) -> Dispatcher {
        let (report, reported) = unbounded_channel();
        Dispatcher {
            callers: Callers::new(sinks, report),
            admission: Admission::new(Arc::clone(&metrics)),
            metrics,
            lanes: Lanes::default(),
            under_way: Vec::new(),
            rules: HashMap::new(),
            known: Vec::new(),
            paused: HashSet::new(),
            gatherers: BTreeMap::new(),
            shares: Vec::new(),
            unresolved: Vec::new(),
            retries: BinaryHeap::new(),
            reported,
            events: VecDeque::new(),
            due: 0,
        }
    }

    /// From now on deliveries whose keys are blocked are not attempted when their turn comes; replays are.
    pub fn set_blocked_keys(&mut self, blocked: BlockedKeys) {
        self.lanes.set_blocked_keys(blocked);
    }

    /// Takes a delivery in, after all earlier ones of its keys. Never blocks; what can start starts now.
    pub fn submit(&mut self, mut delivery: Delivery) {
        let rule = self.rule_of(&mut delivery);
        self.unresolved[rule as usize] += 1;
        self.take_lanes_of_other_definitions(rule, &mut delivery);
        if delivery.rule.gathers() {
            return self.gather(rule, delivery);
        }
        if !self.gatherers.is_empty() {
            self.end_gathering(rule);
        }
        self.enter(rule, delivery);
        self.start_ready();
    }

    fn enter(&mut self, rule: RuleNumber, delivery: Delivery) {
        let keys = delivery.lanes();
        let turn = if delivery.predetermined.is_some() { Turn::Pass } else { turn(delivery.origin) };
        let queue = self.queue(rule, delivery.action());
        let definition = self.known[rule as usize].keys.definition(&delivery.rule, &delivery.change);
        let place = self.lanes.enter_under(queue, keys, definition, turn);
        self.set_under_way(place, AttemptsUnderWay::new(Bundle::One(delivery), rule, Intent::ToBeWritten), 1);
    }

    fn set_under_way(&mut self, place: Place, under_way: AttemptsUnderWay, shares: usize) {
        self.lanes.set_attempt(place, under_way.next_attempt());
        let place = place as usize;
        if place >= self.under_way.len() {
            self.under_way.resize_with(place + 1, || None);
            self.shares.resize(place + 1, 0);
        }
        self.under_way[place] = Some(under_way);
        self.shares[place] = shares;
    }

    /// The next event; pending for ever when there is none to come. It also starts retries, so it must be polled.
    /// Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> DeliveryEvent {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            let retry = self.retries.peek().map(|Reverse((due, _))| *due);
            let due = retry.into_iter().chain(self.admission.next_wake()).chain(self.gathering_due()).min();
            tokio::select! {
                reported = self.reported.recv() => {
                    self.settle(reported.expect("the dispatcher itself keeps the channel open"));
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// As [`next`](Dispatcher::next), without waiting.
    pub fn try_next(&mut self) -> Option<DeliveryEvent> {
        // A call of many deliveries ends at once: neither clock nor channel is asked for each of them.
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        self.resume_due();
        self.close_due();
        self.admission.wake(Instant::now);
        while let Ok(reported) = self.reported.try_recv() {
            // What may start, starts before the end of the next attempt is handled, which may restrict a target queue.
            self.start_ready();
            self.settle(reported);
        }
        self.start_ready();
        self.events.pop_front()
    }

    /// Makes the call of a saga's action, after the intent to make it is durable. The call is not made once
    /// [`finish_in_flight`](Dispatcher::finish_in_flight) has begun, or while its rule is paused: then a
    /// [`DeliveryEvent::NotDone`] follows, and a paused rule's action is due again when the rule is resumed.
    pub fn begin(&mut self, ticket: DueTicket) {
        let DueTicket(place) = ticket;
        self.due -= 1;
        let under_way = self.under_way[place as usize].as_ref().expect("the call has not ended");
        let is_paused = self.paused.contains(&*under_way.bundle.rule().name);
        if !is_paused && !self.lanes.is_closed() {
            return self.attempt(place);
        }
        let (target, delivery) = (under_way.target, under_way.bundle.one().clone());
        self.admission.cancelled(target, place, &self.lanes, Instant::now());
        self.events.push_back(DeliveryEvent::NotDone(delivery));
        self.queue_again(place);
        self.start_ready();
    }

    /// Instead of [`release`](Dispatcher::release): the same place in the lanes does its saga's next action. A step that a query
    /// found not to have happened is called again after the wait of a retry.
    /// `delivery` is the completed one with another `saga_action`.
    pub fn proceed(&mut self, ticket: Ticket, delivery: Delivery, intent: Intent) {
        let Ticket(place) = ticket;
        let rule = self.lanes.rule_of(place);
        let queue = self.queue(rule, delivery.action());
        let mut under_way = AttemptsUnderWay::new(Bundle::One(delivery), rule, intent);
        let wait = under_way.first_wait();
        self.set_under_way(place, under_way, 1);
        match wait.is_zero() {
            true => self.lanes.proceed(place, queue),
            false => {
                self.lanes.proceed_after_wait(place, queue);
                self.retries.push(Reverse((Instant::now() + wait, place)));
            }
        }
        self.start_ready();
    }

    /// The outcome is durable: the next deliveries of its keys may start. Until then they wait.
    pub fn release(&mut self, ticket: Ticket) {
        let Ticket(place) = ticket;
        self.unresolved[self.lanes.rule_of(place) as usize] -= 1;
        if self.is_last_share(place) {
            self.lanes.release(place);
            self.start_ready();
        }
    }

    /// Pauses the rule of this name, or resumes it: while it is paused no attempt of it is started, and what is under
    /// way ends as usual. Replays wait, too. A rule that [a dead letter pauses](Completed::pauses_its_rule) is paused
    /// when that is handed out.
    pub fn set_paused(&mut self, rule: &str, is_paused: bool) {
        self.note_paused(rule, is_paused);
        self.start_ready();
    }

    fn note_paused(&mut self, rule: &str, is_paused: bool) {
        match is_paused {
            true => self.paused.insert(rule.into()),
            false => self.paused.remove(rule),
        };
        if let Some(number) = self.rules.get(rule) {
            self.lanes.set_paused(*number, is_paused);
        }
    }

    /// Whether the rule makes no progress for a reason that may last: it is paused, or one of its targets is unavailable and
    /// gets only probes.
    pub fn is_blocked(&self, rule: &str) -> bool {
        self.paused.contains(rule) || self.rules.get(rule).is_some_and(|number| self.awaits_target(*number))
    }

    /// Takes over the settings of these rules and their targets at once, instead of with their next delivery.
    pub fn adopt(&mut self, rules: &[Arc<Rule>]) {
        for rule in rules {
            self.rule_number(rule);
        }
        self.start_ready();
    }

    /// What is under way of the rule of this name.
    pub fn counts(&self, rule: &str) -> RuleUnderWay {
        let Some(number) = self.rules.get(rule).copied() else { return RuleUnderWay::default() };
        RuleUnderWay { unresolved: self.unresolved[number as usize], ..self.lanes.counts(number) }
    }

    /// The rules besides these that have deliveries that were not released, with their number, by name.
    pub fn unresolved_besides(&self, rules: &[Arc<Rule>]) -> BTreeMap<&str, usize> {
        let is_known = |name: &str| rules.iter().any(|rule| rule.name == name);
        let of_each = self.rules.iter().map(|(name, number)| (&**name, self.unresolved[*number as usize]));
        of_each.filter(|(name, unresolved)| *unresolved > 0 && !is_known(name)).collect()
    }

    /// Deliveries submitted and not released.
    pub fn unresolved(&self) -> usize {
        self.unresolved.iter().sum()
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.lanes.running() - self.due
    }

    /// Deliveries that wait for their next attempt.
    pub fn in_retry(&self) -> usize {
        self.retries.len()
    }

    /// Ends the work: from now on nothing is started. Waits for the attempts under way, at most until the deadline, and
    /// returns their events. All other deliveries are interrupted and have no outcome, also those that are due.
    /// Cancel-safe.
    pub async fn finish_in_flight(&mut self, deadline: Instant) -> Vec<DeliveryEvent> {
        self.lanes.close();
        while self.in_flight() > 0 {
            match timeout_at(deadline, self.reported.recv()).await {
                Ok(Some(reported)) => self.settle(reported),
                Ok(None) | Err(_) => break,
            }
        }
        self.events.drain(..).filter(|event| !matches!(event, DeliveryEvent::Due(_))).collect()
    }

    fn next_start(&mut self) -> Option<Place> {
        loop {
            if let Some(place) = self.lanes.pop_start() {
                return Some(place);
            }
            if !self.admission.admit(&mut self.lanes, Instant::now) {
                return None;
            }
        }
    }

    fn start_ready(&mut self) {
        while let Some(place) = self.next_start() {
            match self.lanes.turn(place) {
                Turn::Block { by } => {
                    self.complete(place, Outcome::Blocked { by });
                    continue;
                }
                Turn::Withdrawn => {
                    self.give_back(place);
                    continue;
                }
                Turn::Call | Turn::CallUnlessBlocked | Turn::Pass => {}
            }
            let under_way = self.under_way[place as usize].as_mut().expect("the call has not ended");
            if let Bundle::One(Delivery { predetermined: Some(outcome), .. }) = &under_way.bundle {
                let outcome = outcome.clone();
                self.complete(place, outcome);
                continue;
            }
            if under_way.bundle.renew(self.known[under_way.rule as usize].rule()) {
                under_way.prepared = None;
            }
            let (rule, entered) = (under_way.rule, self.lanes.queue_of(place));
            let target = self.admission.started(place, &self.lanes);
            let under_way = self.under_way[place as usize].as_ref().expect("the call has not ended");
            let queue = self.queue(rule, under_way.bundle.action());
            if queue != entered {
                // It calls another target now, whose turn it waits for.
                self.admission.cancelled(target, place, &self.lanes, Instant::now());
                self.lanes.requeue(place, queue);
                continue;
            }
            let under_way = self.at(place);
            under_way.target = target;
            match &under_way.bundle {
                Bundle::One(delivery) if delivery.saga_action.is_some() && under_way.intent == Intent::ToBeWritten => {
                    let (delivery, ticket) = (delivery.clone(), DueTicket(place));
                    self.due += 1;
                    self.events.push_back(DeliveryEvent::Due(DueAction { delivery, ticket }));
                }
                _ => self.attempt(place),
            }
        }
    }

    fn attempt(&mut self, place: Place) {
        let under_way = self.under_way[place as usize].as_mut().expect("the call has not ended");
        under_way.intent = match under_way.bundle.action().is_repeatable {
            true => Intent::Durable,
            false => Intent::ToBeWritten,
        };
        let (load, prepared) = (under_way.bundle.load(), under_way.prepared.take());
        self.callers.begin(Begun { place, load, prepared });
    }

    fn resume_due(&mut self) {
        if self.retries.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(Reverse((due, place))) = self.retries.peek().copied()
            && due <= now
        {
            self.retries.pop();
            self.lanes.resume(place);
        }
    }

    /// An attempt is over: its deliveries have their outcomes, wait for their retry, or are sent in smaller calls.
    fn settle(&mut self, reported: Reported) {
        let Ended { place, unfit, result } = self.callers.take(reported);
        let target = self.at(place).target;
        let Sent { attempt, mut judged, prepared } = match result {
            Ok(sent) => sent,
            Err(unsent) => {
                self.admission.cancelled(target, place, &self.lanes, Instant::now());
                return self.settle_unsent(place, unfit, unsent);
            }
        };
        if !unfit.is_empty() {
            self.give_up_unfit(place, unfit);
        }
        let of_target = AttemptEnd::of(place, &attempt.answer, &judged);
        let counts = self.admission.ended(target, &of_target, &mut self.lanes, Instant::now);
        let under_way = self.under_way[place as usize].as_mut().expect("the call has not ended");
        log(&under_way.bundle, under_way.attempts.total() + 1, &attempt);
        self.known[under_way.rule as usize].counters.count(&attempt, under_way.attempts.total());
        let is_split = under_way.bundle.is_split_by(judged.verdict, &attempt.answer);
        let retry_after = judged.asked_wait();
        let results = judged.results.take();
        let outcome = under_way.conclude(attempt, judged, counts);
        match (outcome, results) {
            _ if is_split => self.halve(place),
            (_, Some(results)) => self.settle_items(place, &results, retry_after),
            (Some(outcome), None) => self.complete(place, outcome),
            (None, None) => {
                let wait = under_way.next_wait(counts, retry_after);
                under_way.prepared = prepared;
                if !under_way.bundle.action().is_repeatable {
                    self.events.push_back(DeliveryEvent::NotDone(under_way.bundle.one().clone()));
                }
                self.wait_for_retry(place, wait);
            }
        }
    }

    fn wait_for_retry(&mut self, place: Place, wait: Duration) {
        self.lanes.rest(place);
        match wait.is_zero() {
            true => self.lanes.resume(place),
            false => self.retries.push(Reverse((Instant::now() + wait, place))),
        }
    }

    fn complete(&mut self, place: Place, outcome: Outcome) {
        if let Bundle::Many(_) = self.at(place).bundle {
            return self.complete_part(place, &outcome);
        }
        let mut under_way = self.under_way[place as usize].take().expect("a call ends once");
        let acted = under_way.acted(&outcome);
        if let AttemptsUnderWay { bundle: Bundle::One(delivery), attempts, .. } = under_way {
            let (merged, ticket) = (Vec::new(), Ticket(place));
            self.hand_over(Completed { delivery, outcome, attempts, merged, acted, ticket });
        }
        self.lanes.end(place);
    }

    /// To be called before the slot is given up, so that a rule that this outcome pauses starts nothing in that slot. The
    /// caller of the dispatcher gets the outcome later.
    fn hand_over(&mut self, completed: Completed) {
        // A saga is not over with this action: what was done before may have to be undone.
        if completed.acted.is_none() && completed.pauses_its_rule() {
            self.note_paused(&completed.delivery.rule.name, true);
        }
        self.events.push_back(DeliveryEvent::Completed(completed));
    }

    fn at(&mut self, place: Place) -> &mut AttemptsUnderWay {
        self.under_way[place as usize].as_mut().expect("the call has not ended")
    }
}

/// Only what an operator replays is sent while a dead letter blocks its key.
fn turn(origin: Origin) -> Turn {
    match origin {
        Origin::Stream | Origin::BinlogReplay { .. } => Turn::CallUnlessBlocked,
        Origin::Replay { .. } => Turn::Call,
    }
}

/// The id is that of the first delivery where a call carries several.
fn log(bundle: &Bundle, number: u64, attempt: &Attempt) {
    let (rule, id, duration_us) = (&bundle.rule().name, bundle.first_id(), attempt.duration_us);
    match &attempt.answer {
        Answer::Status { status, .. } => {
            tracing::debug!(rule, %id, attempt = number, status, duration_us, "attempt answered");
        }
        Answer::Written { rows } => {
            tracing::debug!(rule, %id, attempt = number, rows, duration_us, "statement committed");
        }
        Answer::Failed { error } => {
            tracing::debug!(rule, %id, attempt = number, error, duration_us, "attempt failed");
        }
    }
}

#[cfg(test)]
mod tests;
