//! The dispatcher: carries deliveries to their outcomes.
//!
//! In: deliveries, in commit order. Out: each with its outcome, held until the caller says that the outcome is durable.
//! Owns all deliveries that are not resolved, the lanes they queue in and the times of their retries. Keeps promise 2
//! (order per key, through retries and replays) and the limits on attempts under way. It is a plain state machine that
//! its caller's loop drives: submitting never waits, so nothing can deadlock. Deliberately has no bound of its own on
//! what is inside (the caller's window is the bound) and writes nothing down.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::delivery::answer::Verdict;
use crate::delivery::attempt::{self, Ended, Sent, Unsent};
use crate::delivery::client::Client;
use crate::delivery::counters::AttemptCounters;
use crate::delivery::lane::{Lanes, Place, RuleNumber, Turn};
use crate::delivery::request::Prepared;
use crate::delivery::{Completed, Delivery, Failure, Origin, Outcome, Ticket};
use crate::failure::{Answer, Attempt, Reason};
use crate::ordering::Held;
use crate::retry::Waits;
use crate::rules::Rule;
use crate::telemetry::Metrics;

/// See the module's header. Must be used within a tokio runtime: attempts run as tasks on it, and one that is under way
/// when the dispatcher is dropped goes on to its end unheard.
#[derive(Debug)]
pub struct Dispatcher {
    client: Client,
    metrics: Arc<Metrics>,
    lanes: Lanes,
    /// By place; empty where the delivery was handed out as completed.
    under_way: Vec<Option<UnderWay>>,
    rules: HashMap<Box<str>, RuleNumber>,
    /// Rules of which nothing is started.
    paused: HashSet<Box<str>>,
    /// By rule number.
    counters: Vec<AttemptCounters>,
    /// When each waiting delivery is attempted again.
    retries: BinaryHeap<Reverse<(Instant, Place)>>,
    ended: UnboundedReceiver<Ended>,
    report: UnboundedSender<Ended>,
    completed: VecDeque<Completed>,
}

#[derive(Debug)]
struct UnderWay {
    delivery: Delivery,
    rule: RuleNumber,
    attempts: Vec<Attempt>,
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
    pub fn submit(&mut self, delivery: Delivery) {
        let rule = self.rule_number(&delivery.rule);
        let keys = delivery.rule.ordering_keys(&delivery.change);
        let turn = match delivery.origin {
            _ if delivery.undecided.is_some() => Turn::Pass,
            Origin::Stream => Turn::CallUnlessHeld,
            Origin::Replay { .. } => Turn::Call,
        };
        let place = self.lanes.enter(rule, keys, turn);
        let under_way = UnderWay { delivery, rule, attempts: Vec::new(), waits: None, prepared: None };
        match self.under_way.get_mut(place as usize) {
            Some(free) => *free = Some(under_way),
            None => self.under_way.push(Some(under_way)),
        }
        self.start_ready();
    }

    /// The next delivery that has its outcome; pending for ever when there is none to come. Also what makes retries
    /// happen, so it must be polled. Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Completed {
        loop {
            if let Some(completed) = self.try_next() {
                return completed;
            }
            let due = self.retries.peek().map(|Reverse((due, _))| *due);
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
        while let Ok(ended) = self.ended.try_recv() {
            self.settle(ended);
        }
        self.start_ready();
        self.completed.pop_front()
    }

    /// The outcome is durable: the next deliveries of its keys may start. Until then they wait.
    pub fn release(&mut self, ticket: Ticket) {
        self.lanes.release(ticket.0);
        self.start_ready();
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
        self.lanes.len()
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.lanes.running()
    }

    /// Deliveries that wait for their next attempt.
    pub fn in_retry(&self) -> usize {
        self.retries.len()
    }

    /// Attempts of this rule under way, and deliveries of it that wait for their next attempt. Looks at all deliveries.
    pub fn load_of(&self, rule: &str) -> (usize, usize) {
        let Some(number) = self.rules.get(rule).copied() else { return (0, 0) };
        let is_its = |place: &Place| self.under_way[*place as usize].as_ref().is_some_and(|at| at.rule == number);
        let in_retry = self.retries.iter().filter(|Reverse((_, place))| is_its(place)).count();
        (self.lanes.running_of(number), in_retry)
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
            if let Turn::Hold { behind } = self.lanes.turn(place) {
                self.complete(place, Outcome::Held { behind });
                continue;
            }
            let under_way = self.at(place);
            if let Some(problem) = &under_way.delivery.undecided {
                let failure = Failure { reason: Reason::Undecided, message: problem.clone() };
                self.complete(place, Outcome::Dead(failure));
                continue;
            }
            let (delivery, prepared) = (under_way.delivery.clone(), under_way.prepared.take());
            attempt::start(place, delivery, prepared, self.client.clone(), self.report.clone());
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

    /// An attempt is over: the delivery has its outcome, or waits for its retry.
    fn settle(&mut self, Ended { place, result }: Ended) {
        let Sent { attempt, verdict, retry_after, prepared } = match result {
            Ok(sent) => sent,
            Err(Unsent(message)) => {
                let failure = Failure { reason: Reason::Unrenderable, message };
                return self.complete(place, Outcome::Dead(failure));
            }
        };
        let under_way = self.at(place);
        let rule = under_way.rule;
        under_way.attempts.push(attempt);
        let attempts = under_way.attempts.len();
        let attempt = under_way.attempts.last().expect("it was just pushed");
        log(&under_way.delivery, attempts, attempt);
        let answer = &attempt.answer;
        let retries = attempts as u64 - 1;
        let outcome = match verdict {
            Verdict::Done { status } => Some(Outcome::Delivered { status }),
            Verdict::Retry if retries < u64::from(under_way.delivery.rule.retry.retries) => None,
            Verdict::Retry => Some(Outcome::Dead(exhausted(attempts, answer))),
            Verdict::GiveUp => Some(Outcome::Dead(refused(answer))),
        };
        let class = AttemptCounters::class(answer);
        match outcome {
            Some(outcome) => self.complete(place, outcome),
            None => {
                let wait = under_way.next_wait(retry_after);
                under_way.prepared = prepared;
                self.retries.push(Reverse((Instant::now() + wait, place)));
                self.lanes.rest(place);
            }
        }
        self.counters[rule as usize].count(class);
    }

    fn complete(&mut self, place: Place, outcome: Outcome) {
        self.lanes.end(place);
        let UnderWay { delivery, attempts, .. } =
            self.under_way[place as usize].take().expect("a delivery completes once");
        self.completed.push_back(Completed { delivery, outcome, attempts, ticket: Ticket(place) });
    }

    fn at(&mut self, place: Place) -> &mut UnderWay {
        self.under_way[place as usize].as_mut().expect("the delivery has not completed")
    }
}

impl UnderWay {
    /// The rule's own wait, or what the server asks for where that is longer.
    fn next_wait(&mut self, retry_after: Option<Duration>) -> Duration {
        let waits = self.waits.get_or_insert_with(|| self.delivery.rule.retry.waits());
        waits.next_wait().max(retry_after.unwrap_or_default())
    }
}

fn refused(answer: &Answer) -> Failure {
    Failure { reason: Reason::Refused, message: format!("{}, which a retry can't help", answer.in_words()) }
}

fn exhausted(attempts: usize, answer: &Answer) -> Failure {
    let message = match attempts {
        1 => format!("the only attempt failed: {}", answer.in_words()),
        _ => format!("all {attempts} attempts failed, the last: {}", answer.in_words()),
    };
    Failure { reason: Reason::Exhausted, message }
}

fn log(delivery: &Delivery, number: usize, attempt: &Attempt) {
    let (rule, id, duration_us) = (&delivery.rule.name, delivery.id, attempt.duration_us);
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
