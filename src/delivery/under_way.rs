//! One call under way: its stage, and the results of its attempts.
//!
//! In: attempts as they ended. Out: the outcome after the last attempt, the wait before the next one, and for a saga's
//! action whether it may have happened. Plain state of the dispatcher, and of a rehearsal, without clock and I/O.

use std::time::Duration;

use crate::delivery::admission::RetryCounts;
use crate::delivery::answer::{self, Effect, ItemResult, Lack, Verdict};
use crate::delivery::bundle::{Bundle, Parts};
use crate::delivery::lane::{AttemptKind, RuleNumber};
use crate::delivery::sink::{Judged, Ready};
use crate::delivery::{Delivery, Failure, Intent, Origin, Outcome, SagaAction};
use crate::failure::{Answer, Attempt, Attempts, Reason};
use crate::retry::Waits;
use crate::saga::{ActionEnd, ActionId, ActionResult};

#[derive(Debug)]
pub(super) struct AttemptsUnderWay {
    pub bundle: Bundle,
    pub rule: RuleNumber,
    /// The target of its attempt, while one is under way.
    pub target: usize,
    pub attempts: Attempts,
    /// How many of the attempts were made by the larger call that this one was split from.
    pub inherited: u64,
    /// Failed attempts that count against the rule's retries.
    pub failed: u64,
    pub waits: Option<Waits>,
    pub prepared: Option<Box<Ready>>,
    /// The action may have happened, though no attempt proved it.
    pub may_have_happened: bool,
    /// How a saga's action was done.
    pub end: Option<ActionEnd>,
    /// For a saga's action: whether its next attempt may be made without being due first.
    pub intent: Intent,
}

impl AttemptsUnderWay {
    pub fn new(bundle: Bundle, rule: RuleNumber, intent: Intent) -> AttemptsUnderWay {
        let attempts = Attempts::default();
        let failed = failed_before(&bundle);
        let (target, inherited, may_have_happened) = (0, 0, false);
        let (waits, prepared, end) = (None, None, None);
        AttemptsUnderWay {
            bundle,
            rule,
            target,
            attempts,
            inherited,
            failed,
            waits,
            prepared,
            may_have_happened,
            end,
            intent,
        }
    }

    /// What its next attempt is to its target's breaker.
    pub fn next_attempt(&self) -> AttemptKind {
        let is_replayed = |delivery: &Delivery| matches!(delivery.origin, Origin::Replay { .. });
        let (action, is_replayed) = match &self.bundle {
            Bundle::One(delivery) => {
                (delivery.saga_action.as_ref().map(|current| current.action), is_replayed(delivery))
            }
            Bundle::Many(parts) => (None, parts.all().any(|item| is_replayed(&item.delivery))),
        };
        match action {
            _ if self.attempts.total() > self.inherited => AttemptKind::Again,
            Some(ActionId::Undo(_) | ActionId::Verify(_)) => AttemptKind::UndoOrVerify,
            _ if is_replayed => AttemptKind::Replayed,
            _ if self.failed > 0 => AttemptKind::Again,
            _ => AttemptKind::First,
        }
    }

    /// Adds an attempt. The outcome, if it was the last one; None: another follows.
    pub fn conclude(&mut self, attempt: Attempt, judged: Judged, counts: RetryCounts) -> Option<Outcome> {
        let Judged { lack, verdict, end, retry_after, hint, .. } = judged;
        let answer = &attempt.answer;
        let is_done = matches!(verdict, Verdict::Done { .. });
        let effect = answer::effect(answer, lack, retry_after);
        self.end = end;
        self.may_have_happened |= !is_done && effect == Effect::Possible;
        let outcome = match verdict {
            Verdict::Done { status } => Some(Outcome::Delivered { status }),
            _ if effect == Effect::Possible && !self.bundle.action().is_repeatable => {
                Some(Outcome::Dead(unknown(answer)))
            }
            Verdict::GiveUp => Some(Outcome::Dead(refused(answer, lack))),
            Verdict::Retry => self.failed(counts, answer),
        };
        self.attempts.push(attempt);
        outcome.map(|outcome| with_hint(outcome, hint.as_deref()))
    }

    /// After a success that contains a result for each delivery: the outcome of each; None: it is sent again.
    pub fn conclude_items(&mut self, results: &[ItemResult]) -> Vec<Option<Outcome>> {
        self.failed += u64::from(results.iter().any(|item| item.verdict == Verdict::Retry));
        let may_retry = self.bundle.action().retry.retries.allow_another(self.failed);
        let tries = self.attempts.total() - self.inherited;
        let outcome = |ItemResult { verdict, answer }: &ItemResult| match verdict {
            Verdict::Done { status } => Some(Outcome::Delivered { status: *status }),
            Verdict::Retry if may_retry => None,
            Verdict::Retry => Some(Outcome::Dead(exhausted(tries, answer))),
            Verdict::GiveUp => Some(Outcome::Dead(refused_item(answer))),
        };
        results.iter().map(outcome).collect()
    }

    /// An attempt failed in a way that a retry may fix; the outcome, if it was the last one.
    fn failed(&mut self, counts: RetryCounts, answer: &Answer) -> Option<Outcome> {
        self.failed += match counts {
            RetryCounts::Fully | RetryCounts::ButNeverAsTheLast => 1,
            RetryCounts::Not { .. } => 0,
        };
        let is_last = counts == RetryCounts::Fully && !self.bundle.action().retry.retries.allow_another(self.failed);
        let attempts = failed_before(&self.bundle) + self.attempts.total() + 1 - self.inherited;
        is_last.then(|| Outcome::Dead(exhausted(attempts, answer)))
    }

    /// The result of a saga's action, where it was tried.
    pub fn acted(&mut self, outcome: &Outcome) -> Option<ActionResult> {
        let Bundle::One(Delivery { saga_action: Some(_), predetermined: None, .. }) = self.bundle else { return None };
        let said = match (outcome, self.attempts.kept().last()) {
            (Outcome::Blocked { .. }, _) => return None,
            (Outcome::Dead(failure), _) => failure.message.clone(),
            (Outcome::Delivered { .. }, last) => {
                last.map_or_else(String::new, |attempt| said(&attempt.answer, self.end.as_ref()))
            }
        };
        let given_up = if self.may_have_happened { ActionEnd::Unknown } else { ActionEnd::Failed };
        let (attempts, failed_calls) = (self.attempts.total(), self.failed);
        Some(ActionResult { end: self.end.take().unwrap_or(given_up), attempts, failed_calls, message: said })
    }

    /// The wait before the first attempt: that of a retry, where a query found that an earlier call had not happened.
    pub fn first_wait(&mut self) -> Duration {
        if self.failed == 0 { Duration::ZERO } else { self.own_wait() }
    }

    /// The wait before the next attempt: the rule's own, or what the server asks for if that is longer. After an attempt that
    /// does not count, only the wait that admission names.
    pub fn next_wait(&mut self, counts: RetryCounts, retry_after: Option<Duration>) -> Duration {
        if let RetryCounts::Not { wait } = counts {
            return wait;
        }
        self.own_wait().max(retry_after.unwrap_or_default())
    }

    /// The rule's own wait after the attempts that failed.
    fn own_wait(&mut self) -> Duration {
        let waited = self.failed.saturating_sub(1);
        self.waits.get_or_insert_with(|| self.bundle.action().retry.waits_after(waited)).next_wait()
    }
}

/// Of a call that carries several deliveries.
impl AttemptsUnderWay {
    pub fn parts(&mut self) -> &mut Parts {
        match &mut self.bundle {
            Bundle::Many(parts) => parts,
            Bundle::One(_) => unreachable!("a call of one delivery has no parts"),
        }
    }

    /// Takes the current part apart: its first `at` deliveries are sent next, and the others after them.
    pub fn split(&mut self, at: usize) {
        let attempts = std::mem::take(&mut self.attempts);
        self.parts().split(at, &attempts);
        self.begin_part(attempts);
    }

    /// Goes on with the next part; false: there is none.
    pub fn advance(&mut self) -> bool {
        let Some(attempts) = self.parts().advance() else { return false };
        self.begin_part(attempts);
        true
    }

    fn begin_part(&mut self, attempts: Attempts) {
        self.inherited = attempts.total();
        self.attempts = attempts;
        self.failed = 0;
        self.waits = None;
        self.prepared = None;
    }
}

/// Failed calls of earlier turns of the same step that count against its retries.
fn failed_before(bundle: &Bundle) -> u64 {
    match bundle {
        Bundle::One(Delivery { saga_action: Some(SagaAction { action: ActionId::Step(n), log }), .. }) => {
            log.steps.get(*n).map_or(0, |step| u64::from(step.failed_calls))
        }
        _ => 0,
    }
}

/// The result of an action that is done, as a line for people.
fn said(answer: &Answer, end: Option<&ActionEnd>) -> String {
    let answered = answer.in_words();
    match end {
        Some(ActionEnd::Verified { happened: true, .. }) => format!("asked whether it happened, {answered}: it did"),
        Some(ActionEnd::Verified { happened: false, .. }) => {
            format!("asked whether it happened, {answered}: it did not")
        }
        _ => answered,
    }
}

/// The failure of an action that must not be repeated, when it is unknown whether it happened.
fn unknown(answer: &Answer) -> Failure {
    let message = format!("{}: it is not known whether it happened, and it must not be repeated", answer.in_words());
    Failure { reason: Reason::Unknown, message }
}

fn refused_item(answer: &Answer) -> Failure {
    let message = format!("the answer refuses this row of the call: {}", answer.in_words());
    Failure { reason: Reason::Refused, message }
}

fn refused(answer: &Answer, lack: Option<Lack>) -> Failure {
    let why = match answer {
        Answer::Failed { .. } if lack != Some(Lack::Refused) => "not retried (`retry_on`)",
        _ => "not retried",
    };
    Failure { reason: Reason::Refused, message: format!("{}: {why}", answer.in_words()) }
}

/// The same, and what explains the last answer.
fn with_hint(mut outcome: Outcome, hint: Option<&str>) -> Outcome {
    if let (Outcome::Dead(failure), Some(hint)) = (&mut outcome, hint) {
        failure.message += &format!("; {hint}");
    }
    outcome
}

fn exhausted(attempts: u64, answer: &Answer) -> Failure {
    let message = match attempts {
        1 => format!("the only attempt failed: {}", answer.in_words()),
        _ => format!("all {attempts} attempts failed, the last: {}", answer.in_words()),
    };
    Failure { reason: Reason::Exhausted, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::testing::{delivery, rule, rule_of_steps, saga};

    #[test]
    fn what_a_breaker_takes_an_attempt_for_depends_on_why_it_is_made() {
        let (plain, steps) = (rule("http://a.test/", |_| {}), rule_of_steps(&["http://a.test/"], |_| {}));
        let replay = Origin::Replay { dead_letter: 1 };
        let range = Origin::BinlogReplay { number: 1 };
        for (delivery, expected) in [
            (delivery(&plain, 1, 1), AttemptKind::First),
            (Delivery { origin: range, ..delivery(&plain, 1, 1) }, AttemptKind::First),
            (Delivery { origin: replay, ..delivery(&plain, 1, 1) }, AttemptKind::Replayed),
            (saga(&steps, 1, 1, ActionId::Step(0)), AttemptKind::First),
            (saga(&steps, 1, 1, ActionId::OnSuccess), AttemptKind::First),
            (saga(&steps, 1, 1, ActionId::OnFailure), AttemptKind::First),
            (saga(&steps, 1, 1, ActionId::Undo(0)), AttemptKind::UndoOrVerify),
            (saga(&steps, 1, 1, ActionId::Verify(0)), AttemptKind::UndoOrVerify),
        ] {
            let described = format!("{:?}, {:?}", delivery.origin, delivery.saga_action);
            let mut under_way = AttemptsUnderWay::new(Bundle::One(delivery), 0, Intent::Durable);
            assert_eq!(under_way.next_attempt(), expected, "{described}");
            let answer = Answer::Status { status: 500, excerpt: String::new() };
            under_way.attempts.push(Attempt { started_at_us: 0, duration_us: 0, answer });
            assert_eq!(under_way.next_attempt(), AttemptKind::Again, "{described}");
        }
    }
}
