//! Replays: dead letters sent again, or shown as the requests they would be.
//!
//! In: a selection. Out: a report when each dead letter has ended. Letters go to the pipeline in ascending number, so that a key's
//! changes are sent in commit order (promise 2), and only those that were there at the start, so that it ends. What is
//! under way is bounded (`pipeline::Awaited`). The pipeline writes the outcome down before it says so.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::dead_letters::{DeadLetters, Error, Pages, filter};
use super::view::saga::SagaCommandView;
use super::view::{Preview, ReplayProgress, ReplayReport, Replayed, Selection, Totals};
use crate::delivery::{Delivery, Outcome, SagaAction};
use crate::failure::Reason;
use crate::ordering::LaneKeys;
use crate::pipeline::{self, Awaited, Command, NotReplayed, Unheard, delivery_of, heard};
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
    turn: Arc<Mutex<()>>,
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

/// What becomes of a letter that was handed to the pipeline.
type Answered = oneshot::Receiver<Result<Outcome, NotReplayed>>;

/// Why a replay ends early.
type End = pipeline::End<Error>;

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Failed(error)
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
    pub async fn replay(&self, selection: &Selection, reports: &mpsc::Sender<ReplayReport>) {
        let _turn = self.turn.lock().await;
        let last = match self.replay_each(selection, reports).await {
            Ok(totals) => {
                let Totals { delivered, still_dead, not_replayed, followed } = totals;
                tracing::info!(delivered, still_dead, not_replayed, followed, "replay ended");
                ReplayReport::Ended(totals)
            }
            Err(End::Failed(error)) => ReplayReport::Failed { message: error.to_string() },
            Err(End::Unheard) => return tracing::info!("replay ended early: the operator disconnected"),
        };
        // A listener that has gone does not need the last report.
        let _ = reports.send(last).await;
    }

    /// Shows the requests that a replay would send, with secrets masked. Sends none.
    pub async fn preview(&self, selection: &Selection, previews: &mpsc::Sender<Preview>) {
        if let Err(End::Failed(error)) = self.preview_each(selection, previews).await {
            // A listener that has gone does not need the last report.
            let _ = previews.send(Preview::Failed { message: error.to_string() }).await;
        }
    }

    async fn replay_each(&self, selection: &Selection, reports: &mpsc::Sender<ReplayReport>) -> Result<Totals, End> {
        let (letters, last) = self.letters.survey(selection).await?;
        heard(reports.send(ReplayReport::Started { letters }).await)?;
        let mut under_way = Awaited::new(reports);
        let mut pages = Pages::new(&self.letters, filter(selection)?, last);
        let saga_command = SagaCommandView::of(selection.saga_command);
        let mut totals = Totals::default();
        'pages: while let Some(page) = pages.next().await? {
            for head in page {
                if self.commands.is_closed() {
                    break 'pages;
                }
                while let Some(ended) = under_way.until_room().await? {
                    count(ended, &mut totals, reports).await?;
                }
                match self.submit(&head, saga_command).await? {
                    Ok((answer, bytes)) => under_way.push(bytes, ended(head, answer)),
                    Err(why) => {
                        let result = not_replayed(&head, &why);
                        count(Ended { result, head }, &mut totals, reports).await?;
                    }
                }
                while let Some(ended) = under_way.ready() {
                    count(ended, &mut totals, reports).await?;
                }
            }
        }
        while let Some(ended) = under_way.next().await? {
            count(ended, &mut totals, reports).await?;
        }
        if self.end == WithLast::Followed {
            let (answer, answered) = oneshot::channel();
            let _ = self.commands.send(Command::AwaitReleases { answer }).await;
            totals.followed = answered.await.ok();
        }
        if totals.sum() < letters && self.commands.is_closed() {
            return Err(End::Failed(Error::Stopping));
        }
        Ok(totals)
    }

    /// Hands a letter's delivery to the pipeline. Returns the receiver of the outcome, and the bytes that it needs until then.
    async fn submit(
        &self,
        head: &DeadLetterHead,
        saga_command: SagaCommand,
    ) -> Result<Result<(Answered, usize), NotReplayed>, Error> {
        let (delivery, lanes) = match self.delivery(head, saga_command).await? {
            Ok(delivery) => delivery,
            Err(why) => return Ok(Err(why)),
        };
        let bytes = delivery.change.weight_bytes();
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Command::Replay { delivery, lanes, saga_command, answer }).await;
        Ok(sent.map(|()| (answered, bytes)).map_err(|_| unsendable("rowhook is stopping")))
    }

    async fn preview_each(&self, selection: &Selection, previews: &mpsc::Sender<Preview>) -> Result<(), End> {
        let saga_command = SagaCommandView::of(selection.saga_command);
        let (_, last) = self.letters.survey(selection).await?;
        let mut pages = Pages::new(&self.letters, filter(selection)?, last);
        while let Some(page) = pages.next().await? {
            for head in page {
                let request = match self.delivery(&head, saga_command).await? {
                    Ok((delivery, _)) => self.next_call(delivery, saga_command).await?,
                    Err(why) => Err(why.to_string()),
                };
                let (number, rule) = (head.number, head.rule.to_string());
                heard(
                    previews
                        .send(match request {
                            Ok(curl) => Preview::Request { number, rule, curl },
                            Err(why) => Preview::NotReplayed { number, rule, why },
                        })
                        .await,
                )?;
            }
        }
        Ok(())
    }

    /// The call that a replay would begin with, as a curl command; of a saga the next of its actions.
    async fn next_call(
        &self,
        mut delivery: Delivery,
        saga_command: SagaCommand,
    ) -> Result<Result<String, String>, Error> {
        let rule = Arc::clone(&delivery.rule);
        if let Some(saga) = &rule.saga {
            let id = delivery.id;
            let known = self.letters.read(move |store| store.saga(id)).await?;
            let mut log = known.unwrap_or_else(|| saga.definition.begin());
            if let Err(refusal) = saga.definition.grant(&mut log, saga_command) {
                return Ok(Err(refusal.to_string()));
            }
            match saga.definition.next(&mut log) {
                NextAction::Do(action) => delivery.saga_action = Some(SagaAction { action, log: Arc::new(log) }),
                NextAction::End(_) => return Ok(Err("there is nothing left to call".to_string())),
            }
        }
        Ok(delivery.preview().map(|shown| shown.to_string()))
    }

    /// The letter's delivery under the rule of its name with the ordering keys that it is stored with, or why there is none.
    async fn delivery(
        &self,
        head: &DeadLetterHead,
        saga_command: SagaCommand,
    ) -> Result<Result<(Delivery, LaneKeys), NotReplayed>, Error> {
        let (number, id) = (head.number, head.delivery_id);
        let read = move |store: &Store| Ok((store.dead_letter(number)?, store.effect(id)?));
        let letter = match self.letters.read(read).await {
            Ok((Some(_), None)) if saga_command != SagaCommand::Resume => {
                let why = "no steps of it are written down; replay it without --from-start, --undo and --happened";
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
        Ok(delivery.map(|delivery| (delivery, lanes)).map_err(NotReplayed::Unsendable))
    }
}

/// A letter whose replay is over.
struct Ended {
    head: DeadLetterHead,
    /// None: there is nothing to say.
    result: Option<Replayed>,
}

async fn ended(head: DeadLetterHead, answer: Answered) -> Ended {
    let result = match answer.await {
        Ok(Ok(Outcome::Delivered { status })) => Some(Replayed::Delivered { status }),
        Ok(Ok(Outcome::Dead(failure))) => Some(Replayed::StillDead { message: failure.message }),
        Ok(Ok(Outcome::Blocked { by })) => not_replayed(&head, &NotReplayed::BlockedBy(by)),
        Ok(Err(why)) => not_replayed(&head, &why),
        Err(_) => not_replayed(&head, &unsendable("rowhook stopped before it had an outcome")),
    };
    Ended { head, result }
}

/// A blocked delivery that has gone is no failure: it was sent by itself after the one in front.
fn not_replayed(head: &DeadLetterHead, why: &NotReplayed) -> Option<Replayed> {
    let has_followed = head.failure.reason == Reason::Blocked && *why == NotReplayed::Gone;
    (!has_followed).then(|| Replayed::NotReplayed { why: why.to_string() })
}

fn unsendable(why: &str) -> NotReplayed {
    NotReplayed::Unsendable(why.to_string())
}

/// Counts and reports a letter whose replay is over.
async fn count(ended: Ended, totals: &mut Totals, reports: &mpsc::Sender<ReplayReport>) -> Result<(), Unheard> {
    let Ended { head, result } = ended;
    let Some(result) = result else { return Ok(()) };
    totals.count(&result);
    let (id, rule) = (head.delivery_id.to_string(), head.rule.to_string());
    heard(reports.send(ReplayReport::Progress(ReplayProgress { number: head.number, id, rule, result })).await)
}
