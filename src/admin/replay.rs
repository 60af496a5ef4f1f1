//! Replays: dead letters sent again, or shown as the requests they would be.
//!
//! In: a selection. Out: a report when each dead letter has ended. Letters go to the pipeline in ascending number, so that a key's
//! changes are sent in commit order (promise 2), and only those that were there at the start, so that it ends. The pipeline
//! bounds what is under way, and writes the outcome down before it says so (`pipeline::replay`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};

use super::dead_letters::{DeadLetters, Error, Pages};
use super::selecting::filter;
use super::view::saga::SagaCommandView;
use super::view::{
    Preview, ReplayEndedBy, ReplayProgress, ReplayReport, ReplayRequest, Replayed, Selection, SendRate, Totals,
};
use crate::delivery::{Origin, Outcome, SagaAction};
use crate::failure::Reason;
use crate::ordering::BlockedKeys;
use crate::pipeline::{
    self, Command, KnownSaga, NotReplayed, ReplayDelivery, ReplayEvent, ReplayItem, ReplayListener, ReplayMode,
    ReplayTally, SendLimits, SentAs, Unheard, delivery_of, grant, replay, replay_within,
};
use crate::rules::RuleSet;
use crate::saga::{NextAction, SagaCommand};
use crate::store::{self, DeadLetterHead, Store};

/// The rules as they are when it is asked.
pub type RulesNow = Arc<dyn Fn() -> Arc<RuleSet> + Send + Sync>;

/// Replays with the current rules; clones are the same.
#[derive(Clone)]
pub struct Replays {
    letters: DeadLetters,
    rules: RulesNow,
    commands: mpsc::Sender<Command>,
    /// One replay at a time: two would read a letter before either has sent it.
    turn: Arc<tokio::sync::Mutex<()>>,
    end: WithLast,
}

/// When a replay is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WithLast {
    /// With the last letter that was selected: the running rowhook sends what is blocked behind it.
    Selected,
    /// When the last blocked delivery has followed, too: no other process would send it.
    Followed,
}

/// A letter that was read, with its delivery, or why it is not sent.
type ReadLetter = (DeadLetterHead, Result<ReplayDelivery, NotReplayed>);

/// Why a replay ends early.
type ReplayEnd = pipeline::ReplayEnd<Error>;

impl From<Error> for ReplayEnd {
    fn from(error: Error) -> ReplayEnd {
        ReplayEnd::Failed(error)
    }
}

impl Replays {
    pub fn new(store: Store, rules: RulesNow, commands: mpsc::Sender<Command>) -> Replays {
        Replays { letters: DeadLetters::new(store), rules, commands, turn: Arc::default(), end: WithLast::Selected }
    }

    /// As [`Replays::new`], for a pipeline that runs for this replay only: it ends when all blocked deliveries that follow
    /// the letters have followed.
    pub fn alone(store: Store, rules: RulesNow, commands: mpsc::Sender<Command>) -> Replays {
        Replays { end: WithLast::Followed, ..Replays::new(store, rules, commands) }
    }

    /// Sends the letters that fit and reports each, after any other replay has ended. When the listener has gone, no further
    /// letter is sent; the pipeline finishes those under way.
    pub async fn replay(&self, request: &ReplayRequest, reports: &mpsc::Sender<ReplayReport>) {
        let _turn = self.turn.lock().await;
        let last = match self.replay_each(request, reports).await {
            Ok(totals) => {
                let Totals { delivered, still_dead, not_replayed, followed, left, .. } = totals;
                tracing::info!(delivered, still_dead, not_replayed, followed, left, "replay ended");
                ReplayReport::Ended(totals)
            }
            Err(ReplayEnd::Failed(error)) => ReplayReport::Failed { message: error.to_string() },
            Err(ReplayEnd::Stopping) => ReplayReport::Failed { message: Error::Stopping.to_string() },
            Err(ReplayEnd::Paused { rule }) => {
                ReplayReport::Failed { message: NotReplayed::Paused { rule }.to_string() }
            }
            Err(ReplayEnd::Unheard) => return tracing::info!("replay ended early: the operator disconnected"),
        };
        // A listener that has gone does not need the last report.
        let _ = reports.send(last).await;
    }

    /// Shows the requests that a replay would send, with secrets masked. Sends none.
    pub async fn preview(&self, request: &ReplayRequest, previews: &mpsc::Sender<Preview>) {
        if let Err(ReplayEnd::Failed(error)) = self.preview_each(request, previews).await {
            // A listener that has gone does not need the last report.
            let _ = previews.send(Preview::Failed { message: error.to_string() }).await;
        }
    }

    async fn replay_each(
        &self,
        request: &ReplayRequest,
        reports: &mpsc::Sender<ReplayReport>,
    ) -> Result<Totals, ReplayEnd> {
        let ReplayRequest { selection, rate, limit, failures_in_a_row_max } = request;
        let (letters, last) = self.letters.survey(selection).await?;
        reports.send(ReplayReport::Started { letters }).await.map_err(|_| Unheard)?;
        let saga_command = SagaCommandView::of(selection.saga_command);
        let (taken, last_taken) = (AtomicU64::new(0), AtomicU64::new(0));
        let found = self.found(selection, last, saga_command)?.take(limit_of(*limit)).map_ok(|(head, again)| {
            taken.fetch_add(1, Ordering::Relaxed);
            last_taken.store(head.number, Ordering::Relaxed);
            ReplayItem::Delivery(head, again)
        });
        let limits =
            SendLimits { interval: rate.map(SendRate::interval), failures_in_a_row_max: *failures_in_a_row_max };
        let listener = ReplayListener { reports, form: report };
        let tally = replay_within(limits, found, ReplayMode::Send, &self.commands, listener).await?;
        let ReplayTally { delivered, dead, blocked, not_sent, is_given_up, .. } = tally;
        let taken = taken.into_inner();
        let ended_by = match limit {
            _ if taken >= letters => None,
            _ if is_given_up => Some(ReplayEndedBy::Failures),
            Some(limit) if taken == *limit => Some(ReplayEndedBy::Limit),
            // The others were removed meanwhile.
            _ => None,
        };
        let left = if ended_by.is_some() { letters - taken } else { 0 };
        let left_from = ended_by.map(|_| last_taken.into_inner() + 1);
        let followed = match self.end {
            WithLast::Selected => None,
            WithLast::Followed => {
                let (answer, answered) = oneshot::channel();
                let _ = self.commands.send(Command::AwaitReleases { answer }).await;
                answered.await.ok()
            }
        };
        Ok(Totals {
            delivered,
            still_dead: dead,
            not_replayed: blocked + not_sent,
            followed,
            left,
            left_from,
            ended_by,
        })
    }

    async fn preview_each(&self, request: &ReplayRequest, previews: &mpsc::Sender<Preview>) -> Result<(), ReplayEnd> {
        let ReplayRequest { selection, limit, .. } = request;
        let (_, last) = self.letters.survey(selection).await?;
        let saga_command = SagaCommandView::of(selection.saga_command);
        let mut foresight = self.foresee().await?;
        let found = self.found(selection, last, saga_command)?.take(limit_of(*limit)).and_then(move |(head, again)| {
            let again = again.and_then(|again| match foresight.refusal(&again, saga_command) {
                Some(why) => Err(why),
                None => Ok(again),
            });
            async move {
                let again = match again {
                    Ok(again) => self.with_next_action(again, saga_command).await?,
                    Err(why) => Err(why),
                };
                Ok(ReplayItem::Delivery(head, again))
            }
        });
        let mode = ReplayMode::Show { requests_max: u64::MAX };
        replay(found, mode, &self.commands, ReplayListener { reports: previews, form: preview }).await?;
        Ok(())
    }

    /// The letters that fit, in ascending number up to the last one, each with its delivery, or why it is not sent.
    fn found<'a>(
        &'a self,
        selection: &Selection,
        last: u64,
        saga_command: SagaCommand,
    ) -> Result<impl Stream<Item = Result<ReadLetter, Error>> + 'a, Error> {
        let pages = Pages::new(&self.letters, filter(selection)?, last);
        let pages = stream::try_unfold(pages, |mut pages| async {
            Ok::<_, Error>(pages.next().await?.map(|page| (stream::iter(page.into_iter().map(Ok)), pages)))
        });
        Ok(pages.try_flatten().and_then(move |head| async move {
            let again = match self.again(&head, saga_command).await? {
                Err(NotReplayed::Gone) if is_blocked(&head) => Err(NotReplayed::Followed),
                again => again,
            };
            Ok((head, again))
        }))
    }

    async fn foresee(&self) -> Result<Foresight, Error> {
        self.letters
            .read(|store| {
                let paused = store.paused_rules()?.into_iter().map(|paused| paused.rule).collect();
                Ok(Foresight { paused, blocked: store.blocked_keys().clone(), fronts: HashSet::new() })
            })
            .await
    }

    /// With the action of its saga that a replay would begin with.
    async fn with_next_action(
        &self,
        mut again: ReplayDelivery,
        saga_command: SagaCommand,
    ) -> Result<Result<ReplayDelivery, NotReplayed>, Error> {
        let id = again.delivery.id;
        let known = self.letters.read(move |store| KnownSaga::read(store, id));
        let log = match grant(&again.delivery, known.await?, saga_command) {
            Ok(log) => log,
            Err(why) => return Ok(Err(NotReplayed::Unsendable(why))),
        };
        let rule = Arc::clone(&again.delivery.rule);
        if let (Some(saga), Some(mut log)) = (&rule.saga, log) {
            match saga.definition.next(&mut log) {
                NextAction::Do(action) => {
                    again.delivery.saga_action = Some(SagaAction { action, log: Arc::new(log) });
                }
                NextAction::End(_) => return Ok(Err(unsendable("there is nothing left to call"))),
            }
        }
        Ok(Ok(again))
    }

    /// The letter's delivery under the rule of its name with the ordering keys that it is stored with, or why there is none.
    async fn again(
        &self,
        head: &DeadLetterHead,
        saga_command: SagaCommand,
    ) -> Result<Result<ReplayDelivery, NotReplayed>, Error> {
        let (number, id) = (head.number, head.delivery_id);
        let read = move |store: &Store| Ok((store.dead_letter(number)?, store.effect(id)?));
        let letter = match self.letters.read(read).await {
            Ok((Some(_), None)) if saga_command != SagaCommand::Resume => {
                let why = "it has no saga log; replay it without --from-start, --undo and --happened";
                return Ok(Err(unsendable(why)));
            }
            Ok((Some(letter), _)) => letter,
            Ok((None, _)) => return Ok(Err(NotReplayed::Gone)),
            // The others can still be sent.
            Err(Error::Store(error @ store::Error::Record { .. })) => return Ok(Err(unsendable(&error.to_string()))),
            Err(error) => return Err(error),
        };
        let lanes = letter.head.lanes.clone();
        let delivery = delivery_of(letter, &(self.rules)());
        let sent_as = SentAs::Letter { lanes, saga_command };
        let was_blocked = is_blocked(head);
        Ok(delivery.map(|delivery| ReplayDelivery { delivery, sent_as, was_blocked }).map_err(NotReplayed::Unsendable))
    }
}

/// How many letters are taken.
fn limit_of(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// What the loop would refuse of a replay, if each letter that it sends is delivered.
struct Foresight {
    paused: HashSet<Arc<str>>,
    blocked: BlockedKeys,
    /// Letters at the front of a queue that would be sent.
    fronts: HashSet<u64>,
}

impl Foresight {
    fn refusal(&mut self, again: &ReplayDelivery, saga_command: SagaCommand) -> Option<NotReplayed> {
        let rule = &again.delivery.rule.name;
        if self.paused.contains(rule.as_str()) {
            return Some(NotReplayed::Paused { rule: rule.clone() });
        }
        let (SentAs::Letter { lanes, .. }, Origin::Replay { dead_letter }) = (&again.sent_as, again.delivery.origin)
        else {
            return None;
        };
        let mut ahead = self.blocked.ahead_of(dead_letter, lanes);
        if let Some(ahead) = ahead.find(|ahead| saga_command != SagaCommand::Resume || !self.fronts.contains(ahead)) {
            return Some(NotReplayed::BlockedBy(ahead));
        }
        if lanes.iter().any(|key| self.blocked.queue(key).is_some_and(|queue| queue.front == dead_letter)) {
            self.fronts.insert(dead_letter);
        }
        None
    }
}

fn is_blocked(head: &DeadLetterHead) -> bool {
    head.failure.reason == Reason::Blocked
}

fn report(event: ReplayEvent<DeadLetterHead>) -> Option<ReplayReport> {
    let ReplayEvent::Ended(head, result) = event else { return None };
    let not_replayed = |why: NotReplayed| Replayed::NotReplayed { why: why.to_string() };
    let result = match result {
        Ok(Outcome::Delivered { status }) => Replayed::Delivered { status },
        Ok(Outcome::Dead(failure)) => Replayed::StillDead { message: failure.message },
        Ok(Outcome::Blocked { by }) => not_replayed(NotReplayed::BlockedBy(by)),
        Err(why) => not_replayed(why),
    };
    let (id, rule) = (head.delivery_id.to_string(), head.rule.to_string());
    Some(ReplayReport::Progress(ReplayProgress { number: head.number, id, rule, result }))
}

fn preview(event: ReplayEvent<DeadLetterHead>) -> Option<Preview> {
    let ReplayEvent::Shown(head, request) = event else { return None };
    let (number, rule) = (head.number, head.rule.to_string());
    Some(match request {
        Ok(curl) => Preview::Request { number, rule, curl },
        Err(why) => Preview::NotReplayed { number, rule, why },
    })
}

fn unsendable(why: &str) -> NotReplayed {
    NotReplayed::Unsendable(why.to_string())
}
