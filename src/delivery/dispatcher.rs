//! The dispatcher: carries deliveries to their outcomes.
//!
//! In: deliveries, in commit order. Out: each with its outcome, held until the caller says that the outcome is durable.
//! Owns all deliveries that are not resolved, the lanes they queue in and the times of their retries. Keeps promise 2
//! (order per key, through retries and replays) and the limits on attempts under way. It is a plain state machine that
//! its caller's loop drives: submitting never waits, so nothing can deadlock. Deliberately has no bound of its own on
//! what is inside (the caller's window is the bound) and writes nothing down.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::delivery::answer::Verdict;
use crate::delivery::attempt::{self, Ended, Sent, Unsent};
use crate::delivery::bundle::Bundle;
use crate::delivery::client::Client;
use crate::delivery::counters::AttemptCounters;
use crate::delivery::gather::Gatherer;
use crate::delivery::lane::{Lanes, Place, RuleNumber, Turn};
use crate::delivery::request::Prepared;
use crate::delivery::{Completed, Delivery, Failure, Outcome, Ticket};
use crate::failure::{Answer, Attempt, Reason};
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
    /// By place; empty where all was handed out as completed.
    under_way: Vec<Option<UnderWay>>,
    rules: HashMap<Box<str>, RuleNumber>,
    /// Rules of which nothing is started.
    paused: HashSet<Box<str>>,
    /// By rule number.
    counters: Vec<AttemptCounters>,
    /// What waits for others to be sent with, by rule.
    gatherers: BTreeMap<RuleNumber, Gatherer>,
    /// Of calls with several deliveries, how many tickets were not given back.
    shares: HashMap<Place, usize>,
    /// Deliveries submitted and not released, without those merged into completed ones.
    unresolved: usize,
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
    attempts: Vec<Attempt>,
    /// How many of the attempts were of a larger call, of which this is a part.
    inherited: usize,
    waits: Option<Waits>,
    prepared: Option<Box<Prepared>>,
}

impl Dispatcher {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Dispatcher {
        let (report, ended) = unbounded_channel();
        Dispatcher {
            client,
            metrics,
            lanes: Lanes::default(),
            under_way: Vec::new(),
            rules: HashMap::new(),
            paused: HashSet::new(),
            counters: Vec::new(),
            gatherers: BTreeMap::new(),
            shares: HashMap::new(),
            unresolved: 0,
            retries: BinaryHeap::new(),
            ended,
            report,
            completed: VecDeque::new(),
        }
    }

    /// Takes a delivery in, behind all earlier ones of its keys. Never blocks; what can start starts now.
    pub fn submit(&mut self, delivery: Delivery) {
        let rule = self.rule_number(&delivery.rule);
        self.unresolved += 1;
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
        let turn = if delivery.undecided.is_some() { Turn::Pass } else { Turn::Call };
        let place = self.lanes.enter(rule, keys, turn);
        self.set_under_way(place, rule, Bundle::One(delivery));
    }

    fn set_under_way(&mut self, place: Place, rule: RuleNumber, bundle: Bundle) {
        let under_way = UnderWay { bundle, rule, attempts: Vec::new(), inherited: 0, waits: None, prepared: None };
        match self.under_way.get_mut(place as usize) {
            Some(free) => *free = Some(under_way),
            None => self.under_way.push(Some(under_way)),
        }
    }

    /// The next delivery that has its outcome; pending for ever when there is none to come. Also what makes retries
    /// happen, so it must be polled. Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Completed {
        loop {
            if let Some(completed) = self.try_next() {
                return completed;
            }
            let due = self.retries.peek().map(|Reverse((due, _))| *due);
            let due = due.into_iter().chain(self.gathering_due()).min();
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
        self.resume_due();
        self.close_due();
        while let Ok(ended) = self.ended.try_recv() {
            self.settle(ended);
        }
        self.start_ready();
        self.completed.pop_front()
    }

    /// The outcome is durable: the next deliveries of its keys may start. Until then they wait.
    pub fn release(&mut self, ticket: Ticket) {
        self.unresolved -= 1;
        if self.is_last_share(ticket.0) {
            self.lanes.release(ticket.0);
            self.start_ready();
        }
    }

    /// Stops the rule of this name, or lets it go on: while it is paused no attempt of it is started, and what is under
    /// way ends as ever. Replays wait, too.
    pub fn set_paused(&mut self, rule: &str, is_paused: bool) {
        match is_paused {
            true => self.paused.insert(rule.into()),
            false => self.paused.remove(rule),
        };
        if let Some(number) = self.rules.get(rule) {
            self.lanes.set_paused(*number, is_paused);
            self.start_ready();
        }
    }

    /// Whether nothing of this rule would be started now, for a reason that may last.
    pub fn is_blocked(&self, rule: &str) -> bool {
        self.paused.contains(rule)
    }

    /// Deliveries submitted and not released.
    pub fn unresolved(&self) -> usize {
        self.unresolved
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

    fn rule_number(&mut self, rule: &Rule) -> RuleNumber {
        // By name and not by address: after a reload the rule of this name goes on with its lanes.
        if let Some(number) = self.rules.get(&*rule.name) {
            self.lanes.set_in_flight_max(*number, rule.in_flight);
            return *number;
        }
        let number = self.lanes.add_rule(rule.in_flight);
        self.lanes.set_paused(number, self.paused.contains(&*rule.name));
        self.rules.insert(rule.name.as_str().into(), number);
        self.counters.push(AttemptCounters::new(&self.metrics, &rule.name));
        number
    }

    fn start_ready(&mut self) {
        while let Some(place) = self.lanes.pop_start() {
            let under_way = self.at(place);
            if let Bundle::One(Delivery { undecided: Some(problem), .. }) = &under_way.bundle {
                let failure = Failure { reason: Reason::Undecided, message: problem.clone() };
                self.complete(place, Outcome::Dead(failure));
                continue;
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
        if !unfit.is_empty() && !self.give_up_unfit(place, unfit) {
            return;
        }
        let Sent { attempt, verdict, results, retry_after, prepared } = match result {
            Ok(sent) => sent,
            Err(Unsent::Nothing) => unreachable!("all items were unfit"),
            Err(Unsent::Split { at }) => return self.split(place, at),
            Err(Unsent::Unrenderable(message)) => {
                let failure = Failure { reason: Reason::Unrenderable, message };
                return self.complete(place, Outcome::Dead(failure));
            }
        };
        let under_way = self.at(place);
        let rule = under_way.rule;
        under_way.attempts.push(attempt);
        let attempts = under_way.tries();
        let attempt = under_way.attempts.last().expect("it was just pushed");
        log(&under_way.bundle, attempts, attempt);
        let answer = &attempt.answer;
        let outcome = match verdict {
            Verdict::Done { status } => Some(Outcome::Delivered { status }),
            Verdict::Retry if under_way.may_retry() => None,
            Verdict::Retry => Some(Outcome::Dead(exhausted(attempts, answer))),
            Verdict::GiveUp => Some(Outcome::Dead(refused(answer))),
        };
        let class = AttemptCounters::class(answer);
        let is_split = under_way.bundle.is_split_by(verdict, answer);
        match (outcome, results) {
            _ if is_split => self.halve(place),
            (_, Some(results)) => self.settle_items(place, &results, retry_after),
            (Some(outcome), None) => self.complete(place, outcome),
            (None, None) => self.wait_for_retry(place, retry_after, prepared),
        }
        self.counters[rule as usize].count(class);
    }

    fn wait_for_retry(&mut self, place: Place, retry_after: Option<Duration>, prepared: Option<Box<Prepared>>) {
        let under_way = self.at(place);
        let wait = under_way.next_wait(retry_after);
        under_way.prepared = prepared;
        self.retries.push(Reverse((Instant::now() + wait, place)));
        self.lanes.rest(place);
    }

    fn complete(&mut self, place: Place, outcome: Outcome) {
        if let Bundle::Many(_) = self.at(place).bundle {
            return self.complete_part(place, &outcome);
        }
        self.lanes.end(place);
        let Some(UnderWay { bundle: Bundle::One(delivery), attempts, .. }) = self.under_way[place as usize].take()
        else {
            unreachable!("a delivery completes once")
        };
        self.completed.push_back(Completed { delivery, outcome, attempts, merged: Vec::new(), ticket: Ticket(place) });
    }

    fn at(&mut self, place: Place) -> &mut UnderWay {
        self.under_way[place as usize].as_mut().expect("the call has not ended")
    }
}

impl UnderWay {
    /// The rule's own wait, or what the server asks for where that is longer.
    fn next_wait(&mut self, retry_after: Option<Duration>) -> Duration {
        let waits = self.waits.get_or_insert_with(|| self.bundle.rule().retry.waits());
        waits.next_wait().max(retry_after.unwrap_or_default())
    }

    /// Attempts of this very call.
    fn tries(&self) -> usize {
        self.attempts.len() - self.inherited
    }

    /// Whether another attempt may follow those that were made.
    fn may_retry(&self) -> bool {
        self.tries() <= self.bundle.rule().retry.retries as usize
    }
}

fn refused(answer: &Answer) -> Failure {
    Failure { reason: Reason::Refused, message: format!("{}, which a retry can't help", in_words(answer)) }
}

fn exhausted(attempts: usize, answer: &Answer) -> Failure {
    let message = match attempts {
        1 => format!("the only attempt failed: {}", in_words(answer)),
        _ => format!("all {attempts} attempts failed, the last: {}", in_words(answer)),
    };
    Failure { reason: Reason::Exhausted, message }
}

fn in_words(answer: &Answer) -> String {
    match answer {
        Answer::Status { status, .. } => format!("answered {status}"),
        Answer::Failed { error } => error.clone(),
    }
}

/// The id is that of the first delivery where a call carries several.
fn log(bundle: &Bundle, number: usize, attempt: &Attempt) {
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
