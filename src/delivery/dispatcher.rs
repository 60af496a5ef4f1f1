//! The dispatcher: carries deliveries to their outcomes.
//!
//! In: deliveries, in commit order. Out: each with its outcome, held until the caller says that the outcome is durable.
//! Owns all deliveries that are not resolved, the lanes they queue in, the gate that their attempts pass and the times of
//! their retries. Keeps promise 2 (order per key, through retries and replays) and the limits on attempts under way. It
//! is a plain state machine that its caller's loop drives: submitting never waits, so nothing can deadlock. Deliberately
//! has no bound of its own on what is inside (the caller's window is the bound) and writes nothing down.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::delivery::answer::Verdict;
use crate::delivery::attempt::{self, Ended, Sent};
use crate::delivery::bundle::Bundle;
use crate::delivery::client::Client;
use crate::delivery::counters::AttemptCounters;
use crate::delivery::gate::{Counts, End, Gate};
use crate::delivery::gather::Gatherer;
use crate::delivery::lane::{Lanes, Place, RuleCounts, RuleNumber, Turn};
use crate::delivery::request::Prepared;
use crate::delivery::{Completed, Delivery, Failure, Origin, Outcome, TargetStatus, Ticket};
use crate::failure::{Answer, Attempt, Attempts, Reason};
use crate::ordering::Held;
use crate::retry::Waits;
use crate::rules::Rule;
use crate::telemetry::Metrics;

mod bundles;

/// See the module's header. Must be used within a tokio runtime: attempts run as tasks on it, and one that is under way
/// when the dispatcher is dropped goes on to its end unheard.
#[derive(Debug)]
pub struct Dispatcher {
    client: Client,
    metrics: Arc<Metrics>,
    lanes: Lanes,
    gate: Gate,
    /// By place; empty where all was handed out as completed.
    under_way: Vec<Option<UnderWay>>,
    rules: HashMap<Box<str>, RuleNumber>,
    /// By rule number: the rule as it was last seen.
    known: Vec<Arc<Rule>>,
    /// Rules of which nothing is started.
    paused: HashSet<Box<str>>,
    /// By rule number.
    counters: Vec<AttemptCounters>,
    /// What waits for others to be sent with, by rule.
    gatherers: BTreeMap<RuleNumber, Gatherer>,
    /// By place: how many tickets of the call were not given back.
    shares: Vec<usize>,
    /// By rule number: deliveries submitted and not released, without those merged into completed ones.
    unresolved: Vec<usize>,
    /// When each waiting call is attempted again.
    retries: BinaryHeap<Reverse<(Instant, Place)>>,
    ended: UnboundedReceiver<Ended>,
    report: UnboundedSender<Ended>,
    completed: VecDeque<Completed>,
}

#[derive(Debug)]
struct UnderWay {
    bundle: Bundle,
    rule: RuleNumber,
    /// The target of its attempt, while one is under way; none: one that its rule calls no more.
    target: Option<usize>,
    attempts: Attempts,
    /// How many of the attempts were of larger calls, of which this is a part.
    inherited: u64,
    /// Failed attempts that count against the rule's retries.
    failed: u64,
    waits: Option<Waits>,
    prepared: Option<Box<Prepared>>,
}

impl Dispatcher {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Dispatcher {
        let (report, ended) = unbounded_channel();
        Dispatcher {
            client,
            gate: Gate::new(Arc::clone(&metrics)),
            metrics,
            lanes: Lanes::default(),
            under_way: Vec::new(),
            rules: HashMap::new(),
            known: Vec::new(),
            paused: HashSet::new(),
            counters: Vec::new(),
            gatherers: BTreeMap::new(),
            shares: Vec::new(),
            unresolved: Vec::new(),
            retries: BinaryHeap::new(),
            ended,
            report,
            completed: VecDeque::new(),
        }
    }

    /// From now on deliveries whose keys are held are not attempted when their turn comes; replays are.
    pub fn heed(&mut self, held: Held) {
        self.lanes.heed(held);
    }

    /// Takes a delivery in, behind all earlier ones of its keys. Never blocks; what can start starts now.
    pub fn submit(&mut self, mut delivery: Delivery) {
        let rule = self.rule_of(&mut delivery);
        self.unresolved[rule as usize] += 1;
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
        let keys = delivery.rule.ordering_keys(&delivery.change);
        let turn = if delivery.undecided.is_some() { Turn::Pass } else { turn(delivery.origin) };
        let place = self.lanes.enter(rule, keys, turn);
        self.set_under_way(place, UnderWay::new(Bundle::One(delivery), rule), 1);
    }

    fn set_under_way(&mut self, place: Place, under_way: UnderWay, shares: usize) {
        let place = place as usize;
        if place >= self.under_way.len() {
            self.under_way.resize_with(place + 1, || None);
            self.shares.resize(place + 1, 0);
        }
        self.under_way[place] = Some(under_way);
        self.shares[place] = shares;
    }

    /// The next delivery that has its outcome; pending for ever when there is none to come. Also what makes retries
    /// happen, so it must be polled. Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Completed {
        loop {
            if let Some(completed) = self.try_next() {
                return completed;
            }
            let retry = self.retries.peek().map(|Reverse((due, _))| *due);
            let due = retry.into_iter().chain(self.gate.next_wake()).chain(self.gathering_due()).min();
            tokio::select! {
                ended = self.ended.recv() => {
                    self.settle(ended.expect("the dispatcher itself keeps the channel open"));
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// As [`next`](Dispatcher::next), without waiting.
    pub fn try_next(&mut self) -> Option<Completed> {
        // A call of many deliveries ends at once: neither clock nor channel is asked for each of them.
        if let Some(completed) = self.completed.pop_front() {
            return Some(completed);
        }
        self.resume_due();
        self.close_due();
        self.gate.wake(Instant::now);
        while let Ok(ended) = self.ended.try_recv() {
            // What may start, starts before the next attempt is heard of, which may close a gate.
            self.start_ready();
            self.settle(ended);
        }
        self.start_ready();
        self.completed.pop_front()
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

    /// Stops the rule of this name, or lets it go on: while it is paused no attempt of it is started, and what is under
    /// way ends as ever. Replays wait, too. A rule that [a dead letter pauses](Completed::pauses_its_rule) is stopped
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

    /// Whether nothing of this rule would be started now, for a reason that may last: it is paused, or its target is away
    /// and gets nothing but probes.
    pub fn is_blocked(&self, rule: &str) -> bool {
        self.paused.contains(rule) || self.rules.get(rule).is_some_and(|number| self.gate.is_open(*number))
    }

    /// Takes over the settings of these rules and their targets at once, instead of with their next delivery.
    pub fn adopt(&mut self, rules: &[Arc<Rule>]) {
        for rule in rules {
            self.rule_number(rule);
        }
        self.start_ready();
    }

    /// How the targets are doing that were called, or adopted with their rules.
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.gate.statuses(Instant::now())
    }

    /// What is under way of the rule of this name.
    pub fn counts(&self, rule: &str) -> RuleCounts {
        let Some(number) = self.rules.get(rule).copied() else { return RuleCounts::default() };
        RuleCounts { unresolved: self.unresolved[number as usize], ..self.lanes.counts(number) }
    }

    /// Deliveries submitted and not released.
    pub fn unresolved(&self) -> usize {
        self.unresolved.iter().sum()
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.lanes.running()
    }

    /// Deliveries that wait for their next attempt.
    pub fn in_retry(&self) -> usize {
        self.retries.len()
    }

    /// Ends the work: from now on nothing is started. Waits for the attempts under way, at most until the deadline, and
    /// returns every delivery that has its outcome; the others are interrupted and have none. Cancel-safe.
    pub async fn finish_in_flight(&mut self, deadline: Instant) -> Vec<Completed> {
        self.lanes.close();
        while self.lanes.running() > 0 {
            match timeout_at(deadline, self.ended.recv()).await {
                Ok(Some(ended)) => self.settle(ended),
                Ok(None) | Err(_) => break,
            }
        }
        self.completed.drain(..).collect()
    }

    /// What comes again may have been made from the rules before a reload; the stream's deliveries come with the newest.
    fn rule_of(&mut self, delivery: &mut Delivery) -> RuleNumber {
        let number = self.rules.get(&*delivery.rule.name).copied();
        let Some(number) = number.filter(|_| delivery.origin != Origin::Stream) else {
            return self.rule_number(&delivery.rule);
        };
        let known = &self.known[number as usize];
        if known.takes_over_from(&delivery.rule) {
            delivery.rule = Arc::clone(known);
        }
        number
    }

    fn rule_number(&mut self, rule: &Arc<Rule>) -> RuleNumber {
        // By name and not by address: after a reload the rule of this name goes on with its lanes.
        let number = match self.rules.get(&*rule.name).copied() {
            Some(number) if Arc::ptr_eq(&self.known[number as usize], rule) => return number,
            Some(number) => {
                self.known[number as usize] = Arc::clone(rule);
                self.lanes.set_in_flight_max(number, rule.in_flight);
                number
            }
            None => {
                let number = self.lanes.add_rule(rule.in_flight);
                self.lanes.set_paused(number, self.paused.contains(&*rule.name));
                self.rules.insert(rule.name.as_str().into(), number);
                self.known.push(Arc::clone(rule));
                self.unresolved.push(0);
                self.counters.push(AttemptCounters::new(&self.metrics, &rule.name));
                number
            }
        };
        self.gate.set_rule(number, rule, &mut self.lanes, Instant::now());
        number
    }

    fn next_start(&mut self) -> Option<Place> {
        loop {
            if let Some(place) = self.lanes.pop_start() {
                return Some(place);
            }
            if !self.gate.admit(&mut self.lanes, Instant::now) {
                return None;
            }
        }
    }

    fn start_ready(&mut self) {
        while let Some(place) = self.next_start() {
            if let Turn::Hold { behind } = self.lanes.turn(place) {
                self.complete(place, Outcome::Held { behind });
                continue;
            }
            let under_way = self.under_way[place as usize].as_mut().expect("the call has not ended");
            if let Bundle::One(Delivery { undecided: Some(problem), .. }) = &under_way.bundle {
                let failure = Failure { reason: Reason::Undecided, message: problem.clone() };
                self.complete(place, Outcome::Dead(failure));
                continue;
            }
            let known = &self.known[under_way.rule as usize];
            if under_way.bundle.renew(known) {
                under_way.prepared = None;
            }
            let target = self.gate.started(under_way.rule);
            under_way.target = Some(target);
            if under_way.bundle.rule().target.origin != known.target.origin {
                // What comes of it says nothing about the target that the rule calls now.
                self.gate.cancelled(target, place, Instant::now());
                under_way.target = None;
            }
            let (load, prepared) = (under_way.bundle.load(), under_way.prepared.take());
            attempt::start(place, load, prepared, self.client.clone(), self.report.clone());
        }
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
    fn settle(&mut self, Ended { place, unfit, result }: Ended) {
        let target = self.at(place).target;
        let Sent { attempt, verdict, results, health, retry_after, quota, prepared } = match result {
            Ok(sent) => sent,
            Err(unsent) => {
                if let Some(target) = target {
                    self.gate.cancelled(target, place, Instant::now());
                }
                return self.settle_unsent(place, unfit, unsent);
            }
        };
        if !unfit.is_empty() {
            self.give_up_unfit(place, unfit);
        }
        let end = End { place, answer: &attempt.answer, health, retry_after, quota };
        let counts = match target {
            Some(target) => self.gate.ended(target, &end, &mut self.lanes, Instant::now),
            None => Counts::Fully,
        };
        let under_way = self.under_way[place as usize].as_mut().expect("the call has not ended");
        log(&under_way.bundle, under_way.attempts.total() + 1, &attempt);
        self.counters[under_way.rule as usize].count(AttemptCounters::class(&attempt.answer));
        let outcome = match verdict {
            Verdict::Done { status } => Some(Outcome::Delivered { status }),
            Verdict::GiveUp => Some(Outcome::Dead(refused(&attempt.answer))),
            Verdict::Retry => under_way.failed(counts, &attempt.answer),
        };
        let is_split = under_way.bundle.is_split_by(verdict, &attempt.answer);
        under_way.attempts.push(attempt);
        match (outcome, results) {
            _ if is_split => self.halve(place),
            (_, Some(results)) => self.settle_items(place, &results, retry_after),
            (Some(outcome), None) => self.complete(place, outcome),
            (None, None) => {
                let wait = under_way.next_wait(counts, retry_after);
                under_way.prepared = prepared;
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
        let under_way = self.under_way[place as usize].take().expect("a call ends once");
        if let UnderWay { bundle: Bundle::One(delivery), attempts, .. } = under_way {
            let (merged, ticket) = (Vec::new(), Ticket(place));
            self.hand_over(Completed { delivery, outcome, attempts, merged, ticket });
        }
        self.lanes.end(place);
    }

    /// To be called before the slot is given up: a rule that the outcome pauses starts nothing with it. Whoever drives this
    /// hears of the outcome later.
    fn hand_over(&mut self, completed: Completed) {
        if completed.pauses_its_rule() {
            self.note_paused(&completed.delivery.rule.name, true);
        }
        self.completed.push_back(completed);
    }

    fn at(&mut self, place: Place) -> &mut UnderWay {
        self.under_way[place as usize].as_mut().expect("the call has not ended")
    }
}

impl UnderWay {
    fn new(bundle: Bundle, rule: RuleNumber) -> UnderWay {
        let attempts = Attempts::default();
        UnderWay { bundle, rule, target: None, attempts, inherited: 0, failed: 0, waits: None, prepared: None }
    }

    /// An attempt failed in a way that a retry may mend; the outcome, if it was the last one.
    fn failed(&mut self, counts: Counts, answer: &Answer) -> Option<Outcome> {
        self.failed += match counts {
            Counts::Fully | Counts::ButNeverAsTheLast => 1,
            Counts::Not { .. } => 0,
        };
        let is_last = counts == Counts::Fully && !self.bundle.rule().retry.retries.allow_another(self.failed);
        is_last.then(|| Outcome::Dead(exhausted(self.attempts.total() + 1 - self.inherited, answer)))
    }

    /// The rule's own wait, or what the server asks for where that is longer; none but the gate's for an attempt that
    /// does not count.
    fn next_wait(&mut self, counts: Counts, retry_after: Option<Duration>) -> Duration {
        if let Counts::Not { wait } = counts {
            return wait;
        }
        let waits = self.waits.get_or_insert_with(|| self.bundle.rule().retry.waits());
        waits.next_wait().max(retry_after.unwrap_or_default())
    }
}

/// Only what an operator replays goes out while a dead letter holds its key.
fn turn(origin: Origin) -> Turn {
    match origin {
        Origin::Stream | Origin::Redelivery { .. } => Turn::CallUnlessHeld,
        Origin::Replay { .. } => Turn::Call,
    }
}

fn refused(answer: &Answer) -> Failure {
    let why = match answer {
        Answer::Status { .. } => "which a retry can't help",
        Answer::Failed { .. } => "which `retry_on` leaves out",
    };
    Failure { reason: Reason::Refused, message: format!("{}, {why}", answer.in_words()) }
}

fn exhausted(attempts: u64, answer: &Answer) -> Failure {
    let message = match attempts {
        1 => format!("the only attempt failed: {}", answer.in_words()),
        _ => format!("all {attempts} attempts failed, the last: {}", answer.in_words()),
    };
    Failure { reason: Reason::Exhausted, message }
}

/// The id is that of the first delivery where a call carries several.
fn log(bundle: &Bundle, number: u64, attempt: &Attempt) {
    let (rule, id, duration_us) = (&bundle.rule().name, bundle.first_id(), attempt.duration_us);
    match &attempt.answer {
        Answer::Status { status, .. } => {
            tracing::debug!(rule, %id, attempt = number, status, duration_us, "attempt answered");
        }
        Answer::Failed { error } => {
            tracing::debug!(rule, %id, attempt = number, error, duration_us, "attempt failed");
        }
    }
}

#[cfg(test)]
mod tests;
