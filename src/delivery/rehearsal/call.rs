//! Calls of a rule that merges or gathers changes, without their sink.
//!
//! In: deliveries of one rule with the times between them, and answers. Out: the calls that they become, what each request has in it,
//! and for each of its rows how it ends. The gatherer, the bundle and the rules for answers are those of the dispatcher. Sends
//! nothing, waits for nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::admission::{AttemptEnd, RetryCounts};
use super::super::breaker::Availability;
use super::super::bundle::{Bundle, Item, Parts, RenderedArray, Unready};
use super::super::gather::Gatherer;
use super::super::scripted::ScriptedAnswer;
use super::super::sink::{Ready, ShownWork};
use super::super::under_way::AttemptsUnderWay;
use super::super::{Delivery, Failure, Intent, Outcome};
use crate::failure::{Attempt, Reason};
use crate::retry::RetryPolicy;
use crate::rules::Rule;

/// Deliveries that are sent together: at least one, in commit order.
#[derive(Debug)]
pub struct GatheredCall {
    items: Vec<Item>,
}

/// The calls that a rule's deliveries become. Each delivery is with the time since the first one; they are in commit order, and
/// with the last one of a transaction the transaction is over.
pub fn gathered(rule: &Arc<Rule>, deliveries: Vec<(Duration, Delivery)>) -> Vec<GatheredCall> {
    if !rule.gathers() {
        return deliveries.into_iter().map(|(_, one)| GatheredCall { items: vec![Item::alone(one)] }).collect();
    }
    let (mut gatherer, mut closed) = (Gatherer::new(rule), Vec::new());
    let began = Instant::now();
    let mut now = began;
    let mut deliveries = deliveries.into_iter().peekable();
    while let Some((since_first, delivery)) = deliveries.next() {
        now = began + since_first;
        while let Some(due) = gatherer.due().filter(|due| *due <= now) {
            gatherer.close_due(due, &mut closed);
        }
        let transaction = Arc::clone(&delivery.change.transaction);
        gatherer.add(delivery, now, &mut closed);
        let is_last =
            deliveries.peek().is_none_or(|(_, next)| next.change.transaction.identity() != transaction.identity());
        if is_last {
            gatherer.transaction_ended(&transaction, &mut closed);
        }
    }
    while let Some(due) = gatherer.due() {
        now = due;
        gatherer.close_due(due, &mut closed);
    }
    gatherer.close(now, &mut closed);
    closed.into_iter().map(|items| GatheredCall { items }).collect()
}

impl GatheredCall {
    /// Stands for all where they are the same.
    pub fn first(&self) -> &Delivery {
        &self.items[0].delivery
    }

    /// The delivery, where the rule sends each by itself; perhaps with others merged into it.
    ///
    /// # Errors
    /// The call again, whose request has several rows, or one in the form for several.
    pub fn alone(mut self) -> Result<Delivery, GatheredCall> {
        match self.items.len() {
            1 if self.items[0].delivery.rule.batch.is_none() => Ok(self.items.remove(0).delivery),
            _ => Err(self),
        }
    }
}

/// See the module's header. A call may be split: each part has a request of its own.
#[derive(Debug)]
pub struct CallRehearsal {
    /// None: all parts are over.
    under_way: Option<AttemptsUnderWay>,
}

/// One request of a call, and how each of its rows ends.
#[derive(Debug)]
pub struct RehearsedPart {
    /// An error: there is no request.
    pub work: Result<ShownWork, String>,
    /// Of the answers that were given.
    pub answers_taken: usize,
    /// One for each row, in commit order.
    pub ends: Vec<RowEnd>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RowEnd {
    Over(Outcome),
    /// It is sent again, after this wait.
    Again(Duration),
    /// The call is sent again in two halves, which are the next parts.
    Split,
    /// No answer was given.
    Unanswered,
    /// An answer is none to what was sent; a line for people.
    Unanswerable(String),
}

impl CallRehearsal {
    pub fn begin(call: GatheredCall) -> CallRehearsal {
        let bundle = Bundle::Many(Box::new(Parts::new(call.items)));
        CallRehearsal { under_way: Some(AttemptsUnderWay::new(bundle, 0, Intent::Durable)) }
    }

    /// Tries the next part with these answers, one for each attempt. None: there is no other part.
    pub fn next_part(&mut self, answers: &[ScriptedAnswer]) -> Option<RehearsedPart> {
        let under_way = self.under_way.as_mut()?;
        let exact = RetryPolicy { jitter: 0.0, ..under_way.bundle.action().retry.clone() };
        under_way.waits = Some(exact.waits());
        let RenderedArray { unfit, ready } = prepare_part(under_way);
        let mut rows = Rows::new(under_way.parts().current().len());
        let unfit_message = unfit.first().map_or_else(String::new, |(_, failure)| failure.message.clone());
        if !unfit.is_empty() {
            under_way.parts().take(|row| unfit.iter().any(|(unfit, _)| *unfit == row));
            rows.end_unfit(unfit);
        }
        let (mut answers_taken, mut is_split) = (0, false);
        let work = match ready {
            Ok(ready) => {
                let work = ready.shown();
                (answers_taken, is_split) = answer_part(under_way, ready, answers, &mut rows);
                Ok(work)
            }
            Err(Unready::Nothing) => Err(unfit_message),
            Err(Unready::TooLarge { fitting }) => {
                under_way.split(fitting);
                is_split = true;
                rows.end_open(&RowEnd::Split);
                Err(unfit_message)
            }
            Err(Unready::Unrenderable(message)) => {
                rows.end_open(&RowEnd::Over(unrenderable(&message)));
                Err(message)
            }
        };
        if !is_split && !under_way.advance() {
            self.under_way = None;
        }
        Some(RehearsedPart { work, answers_taken, ends: rows.ends })
    }
}

/// Prepares as many rows as one request takes; the part is split until it does.
fn prepare_part(under_way: &mut AttemptsUnderWay) -> RenderedArray<Ready> {
    loop {
        let rendered = Ready::prepare_all_to_rehearse(under_way.parts().current());
        match rendered.ready {
            Err(Unready::TooLarge { fitting }) if rendered.unfit.is_empty() => under_way.split(fitting),
            _ => return rendered,
        }
    }
}

/// Attempts with these answers. Returns how many were taken, and whether the part was split into the next ones.
fn answer_part(
    under_way: &mut AttemptsUnderWay,
    mut ready: Ready,
    answers: &[ScriptedAnswer],
    rows: &mut Rows,
) -> (usize, bool) {
    for (n, scripted) in answers.iter().enumerate() {
        let items = Arc::clone(under_way.parts().current());
        let (answer, mut judged) = match ready.rehearse(scripted, &items[0].delivery, items.len()) {
            Ok(judged) => judged,
            Err(problem) => {
                rows.end_open(&RowEnd::Unanswerable(problem));
                return (n, false);
            }
        };
        let is_split = under_way.bundle.is_split_by(judged.verdict, &answer);
        let counts = RetryCounts::of(&AttemptEnd::of(0, &answer, &judged), false, Availability::Available);
        let (retry_after, results) = (judged.asked_wait(), judged.results.take());
        let outcome = under_way.conclude(Attempt { started_at_us: 0, duration_us: 0, answer }, judged, counts);
        let wait = match (outcome, results) {
            _ if is_split => {
                under_way.split(items.len().div_ceil(2));
                rows.end_open(&RowEnd::Split);
                return (n + 1, true);
            }
            (_, Some(results)) => {
                let outcomes = under_way.conclude_items(&results);
                under_way.parts().take(|row| outcomes[row].is_some());
                rows.end_some(outcomes);
                under_way.next_wait(RetryCounts::Fully, retry_after)
            }
            (Some(outcome), None) => {
                rows.end_open(&RowEnd::Over(outcome));
                return (n + 1, false);
            }
            (None, None) => under_way.next_wait(counts, retry_after),
        };
        rows.wait(wait);
        if rows.open.is_empty() {
            return (n + 1, false);
        }
        if rows.open.len() < items.len() {
            // Only those that have no outcome are sent again.
            match Ready::prepare_all_to_rehearse(under_way.parts().current()).ready {
                Ok(rest) => ready = rest,
                Err(_) => return (n + 1, false),
            }
        }
    }
    (answers.len(), false)
}

fn unrenderable(message: &str) -> Outcome {
    Outcome::Dead(Failure { reason: Reason::Unrenderable, message: message.to_owned() })
}

/// How the rows of a part end.
struct Rows {
    ends: Vec<RowEnd>,
    /// Those that are still in the part, in its order.
    open: Vec<usize>,
}

impl Rows {
    fn new(count: usize) -> Rows {
        Rows { ends: vec![RowEnd::Unanswered; count], open: (0..count).collect() }
    }

    fn end_unfit(&mut self, unfit: Vec<(usize, Failure)>) {
        for (row, failure) in unfit {
            self.ends[row] = RowEnd::Over(Outcome::Dead(failure));
            self.open.retain(|open| *open != row);
        }
    }

    fn end_open(&mut self, end: &RowEnd) {
        for row in self.open.drain(..) {
            self.ends[row] = end.clone();
        }
    }

    /// `outcomes` are those of the open ones; None: it stays open.
    fn end_some(&mut self, outcomes: Vec<Option<Outcome>>) {
        let mut outcomes = outcomes.into_iter();
        self.open.retain(|row| match outcomes.next().flatten() {
            Some(outcome) => {
                self.ends[*row] = RowEnd::Over(outcome);
                false
            }
            None => true,
        });
    }

    fn wait(&mut self, wait: Duration) {
        for row in &self.open {
            self.ends[*row] = RowEnd::Again(wait);
        }
    }
}
