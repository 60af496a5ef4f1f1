//! A delivery without its sink: the request is made and answers are judged as always, but a script gives the answers.
//!
//! In: a delivery, and answers one after another. Out: what it would send, and after each answer whether another attempt
//! follows, and when, or how the delivery ends. The same code as that of the dispatcher decides. Sends nothing unless it is asked to, waits for
//! nothing; waits are named without their random part. The target counts as available, whatever it answers.

mod call;

use std::time::Duration;

pub use call::{CallRehearsal, GatheredCall, RehearsedPart, RowEnd, gathered};

use super::admission::{AttemptEnd, RetryCounts};
use super::breaker::Availability;
use super::bundle::Bundle;
use super::scripted::ScriptedAnswer;
use super::sink::{Judged, Ready, ShownWork, Sinks};
use super::under_way::AttemptsUnderWay;
use super::{Delivery, Failure, Intent, Outcome};
use crate::failure::{Answer, Attempt, Reason};
use crate::retry::RetryPolicy;
use crate::saga::ActionResult;

/// See the module's header. Of a saga it is one action.
#[derive(Debug)]
pub struct Rehearsal {
    under_way: AttemptsUnderWay,
    ready: Ready,
}

/// What follows from an answer.
#[derive(Debug, PartialEq)]
pub enum AfterAnswer {
    /// Another attempt, after this wait.
    Again {
        wait: Duration,
    },
    Over(RehearsalEnd),
}

/// How a rehearsal ended.
#[derive(Debug, PartialEq)]
pub struct RehearsalEnd {
    pub outcome: Outcome,
    /// The result of a saga's action.
    pub acted: Option<ActionResult>,
}

impl Rehearsal {
    /// # Errors
    /// The end, when the row makes no request that could be sent.
    pub fn begin(delivery: Delivery) -> Result<Rehearsal, Box<RehearsalEnd>> {
        let ready = Ready::prepare_to_rehearse(&delivery);
        let exact = RetryPolicy { jitter: 0.0, ..delivery.action().retry.clone() };
        let mut under_way = AttemptsUnderWay::new(Bundle::One(delivery), 0, Intent::Durable);
        under_way.waits = Some(exact.waits_after(under_way.failed));
        match ready {
            Ok(ready) => Ok(Rehearsal { under_way, ready }),
            Err(message) => {
                let outcome = Outcome::Dead(Failure { reason: Reason::Unrenderable, message });
                let acted = under_way.acted(&outcome);
                Err(Box::new(RehearsalEnd { outcome, acted }))
            }
        }
    }

    /// What each attempt sends, with secrets masked.
    pub fn shown(&self) -> ShownWork {
        self.ready.shown()
    }

    /// Makes the next attempt, with this answer.
    ///
    /// # Errors
    /// A line for people when such an answer is none to what was sent.
    pub fn answer(&mut self, scripted: &ScriptedAnswer) -> Result<AfterAnswer, String> {
        let (answer, judged) = self.ready.rehearse(scripted, self.under_way.bundle.one(), 1)?;
        Ok(self.after(answer, judged))
    }

    /// Has it sent as one that tries a rule: `Rowhook-Preview: 1`.
    pub fn mark_as_preview(&mut self) {
        self.ready.mark_as_preview();
    }

    /// Makes the next attempt for real.
    ///
    /// # Errors
    /// A line for people when it can't be sent at all.
    pub async fn attempt(&mut self, sinks: &Sinks) -> Result<(Answer, AfterAnswer), String> {
        let (answer, judged) = self.ready.attempt(sinks, self.under_way.bundle.one(), 1).await?;
        Ok((answer.clone(), self.after(answer, judged)))
    }

    fn after(&mut self, answer: Answer, mut judged: Judged) -> AfterAnswer {
        let counts = RetryCounts::of(&AttemptEnd::of(0, &answer, &judged), false, Availability::Available);
        let (retry_after, results) = (judged.asked_wait(), judged.results.take());
        let attempt = Attempt { started_at_us: 0, duration_us: 0, answer };
        let mut outcome = self.under_way.conclude(attempt, judged, counts);
        if let Some(results) = results {
            // The only delivery of its call.
            outcome = self.under_way.conclude_items(&results).into_iter().next().flatten();
        }
        match outcome {
            Some(outcome) => {
                let acted = self.under_way.acted(&outcome);
                AfterAnswer::Over(RehearsalEnd { outcome, acted })
            }
            None => AfterAnswer::Again { wait: self.under_way.next_wait(counts, retry_after) },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::delivery::scripted::MissingAnswer;
    use crate::delivery::{SagaAction, testing};
    use crate::rules::RuleSet;
    use crate::saga::{ActionEnd, ActionId};

    fn delivery(rule: &str) -> Delivery {
        let text = format!("table: shop.orders\nrules:\n  - name: r\n{rule}\n");
        let rules = RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text)], &|_| None).expect("it loads");
        let mut delivery = testing::delivery(&rules.rules()[0], 1, 7);
        delivery.saga_action = delivery.rule.saga.as_ref().map(|saga| {
            let log = Arc::new(saga.definition.begin());
            SagaAction { action: ActionId::Step(0), log }
        });
        delivery
    }

    fn status(status: u16, headers: &[(&str, &str)], body: &str) -> ScriptedAnswer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ScriptedAnswer::Status { status, headers, body: body.into() }
    }

    /// In words: what follows each answer.
    fn after(rule: &str, answers: &[ScriptedAnswer]) -> Vec<String> {
        let mut rehearsal = Rehearsal::begin(delivery(rule)).expect("a request");
        let said = answers.iter().map(|answer| match rehearsal.answer(answer) {
            Ok(AfterAnswer::Again { wait }) => format!("again after {}", humantime::format_duration(wait)),
            Ok(AfterAnswer::Over(RehearsalEnd { outcome: Outcome::Dead(failure), .. })) => {
                format!("{}: {}", failure.reason.as_str(), failure.message)
            }
            Ok(AfterAnswer::Over(RehearsalEnd { outcome, .. })) => format!("{outcome:?}"),
            Err(problem) => problem,
        });
        said.collect()
    }

    const CALL: &str = "    call: {url: 'http://a.test/'}";

    #[test]
    fn answers_lead_where_the_dispatcher_would_go() {
        let unavailable = || status(503, &[], "");
        for (rule, answers, expected) in [
            (CALL.to_owned(), vec![status(201, &[], "")], vec!["Delivered { status: 201 }"]),
            (CALL.to_owned(), vec![status(400, &[], "no")], vec!["refused: answered 400: not retried"]),
            (
                CALL.to_owned(),
                vec![unavailable(), unavailable(), unavailable(), unavailable()],
                vec![
                    "again after 500ms",
                    "again after 1s",
                    "again after 2s",
                    "exhausted: all 4 attempts failed, the last: answered 503",
                ],
            ),
            (
                CALL.to_owned(),
                vec![status(503, &[("Retry-After", "7")], ""), status(429, &[("retry-after", "9")], "")],
                vec!["again after 7s", "again after 9s"],
            ),
            (
                format!("{CALL}\n    retry: {{retries: 0}}"),
                vec![status(429, &[("Retry-After", "9")], ""), ScriptedAnswer::None(MissingAnswer::Timeout)],
                vec!["again after 9s", "exhausted: all 2 attempts failed, the last: no answer within 10s"],
            ),
            (
                "    call: {url: 'http://a.test/', success: {when: answer.json.ok}}".to_owned(),
                vec![status(200, &[], r#"{"ok": false}"#)],
                vec!["refused: answered 200: not retried; `success.when` is false of this answer"],
            ),
            (
                "    call: {url: 'http://a.test/', idempotent: false}".to_owned(),
                vec![ScriptedAnswer::None(MissingAnswer::Unreachable), ScriptedAnswer::None(MissingAnswer::Lost)],
                vec![
                    "again after 500ms",
                    "unknown: connection closed before the answer: it is not known whether it happened, and it must not be repeated",
                ],
            ),
            (
                format!("{CALL}\n    batch: {{results: {{items: /items, status: /status}}}}"),
                vec![
                    status(200, &[], r#"{"items": [{"status": 503}]}"#),
                    status(200, &[], r#"{"items": [{"status": 400}]}"#),
                ],
                vec!["again after 500ms", "refused: the answer refuses this row of the call: answered 400"],
            ),
            (
                CALL.to_owned(),
                vec![ScriptedAnswer::Rows(1)],
                vec!["`rows` is an answer to a statement, and this is a call"],
            ),
            (
                "    steps: [{name: s, sql: {statement: 'DELETE FROM t WHERE id = 1', expect_rows: 1}}]".to_owned(),
                vec![ScriptedAnswer::None(MissingAnswer::Deadlock), ScriptedAnswer::Rows(0)],
                vec![
                    "again after 500ms",
                    "refused: the statement matched 0 rows, expected 1; rolled back: not retried",
                ],
            ),
            (
                "    steps: [{name: s, sql: {statement: 'DELETE FROM t WHERE id = 1'}}]".to_owned(),
                vec![status(200, &[], "")],
                vec![
                    "this is a statement: its answer is the number of `rows`, or deadlock, lost, unreachable or refused",
                ],
            ),
        ] {
            assert_eq!(after(&rule, &answers), expected, "{rule}");
        }
    }

    #[test]
    fn a_step_that_is_done_keeps_its_answer_for_later_ones() {
        let steps = "    steps:\n      - {name: a, call: {url: 'http://a.test/'}}\n      \
                     - {name: b, call: {url: 'http://a.test/{{ steps.a.json.id }}'}}";
        let mut rehearsal = Rehearsal::begin(delivery(steps)).expect("a request");
        let AfterAnswer::Over(end) = rehearsal.answer(&status(200, &[], r#"{"id": 7}"#)).expect("an answer") else {
            panic!("it is done")
        };
        let Some(ActionEnd::Done(Some(kept))) = end.acted.map(|acted| acted.end) else { panic!("an answer is kept") };
        assert_eq!(&*kept.body, br#"{"id": 7}"#);
    }

    #[test]
    fn what_could_not_be_sent_is_over_before_any_answer() {
        for (call, message) in [
            ("{url: 'http://a.test/{{ row.id / 0 }}'}", "`url`: "),
            ("{url: 'http://127.0.0.1/', egress: public_only}", "the host is no public address"),
        ] {
            let end = Rehearsal::begin(delivery(&format!("    call: {call}"))).expect_err("no request");
            let Outcome::Dead(Failure { reason: Reason::Unrenderable, message: said }) = &end.outcome else {
                panic!("{end:?}")
            };
            assert!(said.contains(message), "{said}");
        }
    }
}
