//! A replay: deliveries that are sent again, from the first that is read until the last has an outcome.
//!
//! In: what a reading finds, in the order in which it is to be sent. Out: events, as reports for the listener, and the tally.
//! Hands each delivery to the loop, which gives it its turn and writes down its outcome. Owns what is under way, and bounds
//! it in number and bytes (promise 6). Ends when all that was found has an outcome, or when the listener has gone: then the loop
//! begins nothing more of it, and attempts under way come to their end. What is found, and how events are reported, is its callers' business:
//! dead letters (`admin::replay`) and binlog ranges (`binlog_replay`).

mod send_limits;

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::Stream;
use futures_util::StreamExt as _;
use futures_util::future::FutureExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::command::{Command, NotReplayed, SentAs};
use crate::delivery::{Delivery, Outcome};

pub use send_limits::SendLimits;

use send_limits::SendState;

/// Deliveries under way at a time, far above what rules allow in flight.
const UNDER_WAY_MAX: usize = 256;

/// Memory of the changes under way; a single one may be larger.
const UNDER_WAY_BYTES_MAX: usize = 32 << 20;

/// How often progress is reported at most: what an operator who interrupts a replay is told is no older.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// What a reading finds; `L` says which one it is, for reports.
#[derive(Debug)]
pub enum ReplayItem<L> {
    /// To be sent, or why it is not.
    Delivery(L, Result<ReplayDelivery, NotReplayed>),
    /// A change that the rule does not match.
    Unmatched,
    /// All changes of a transaction that was committed at this moment were found, in microseconds since the Unix epoch.
    Committed { at_us: u64 },
}

/// A delivery to send again.
#[derive(Debug)]
pub struct ReplayDelivery {
    pub delivery: Delivery,
    pub sent_as: SentAs,
    /// It was read as a blocked delivery: the loop may send it by itself before this replay does.
    pub was_blocked: bool,
}

/// Whether anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayMode {
    Send,
    /// Shows so many requests, and counts the others.
    Show {
        requests_max: u64,
    },
}

/// What happens while a replay goes on.
#[derive(Debug)]
pub enum ReplayEvent<L> {
    /// What was sent has a durable outcome, or was not sent.
    Ended(L, Result<Outcome, NotReplayed>),
    /// What would be sent, as text with secrets masked; or why nothing would be.
    Shown(L, Result<String, String>),
    /// Now and then, if something happened since.
    Progress(ReplayTally),
}

/// Sums over a replay so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayTally {
    /// Changes that were read.
    pub read: u64,
    /// Those for which the rule makes a delivery.
    pub matched: u64,
    pub delivered: u64,
    /// Dead letters; where requests are only shown, deliveries for which none can be made.
    pub dead: u64,
    /// Not delivered: they wait in the store behind a dead letter of their key.
    pub blocked: u64,
    /// Not sent for another reason.
    pub not_sent: u64,
    /// When the newest transaction read was committed, in microseconds since the Unix epoch.
    pub read_up_to_us: Option<u64>,
    /// So many failed in a row as its limit is: no others were sent.
    pub is_given_up: bool,
}

/// Why a replay ends early.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplayEnd<E> {
    /// What to send could not be read.
    Failed(E),
    /// The loop ends: what was not reported was not sent, or has no outcome yet.
    Stopping,
    /// The rule whose binlog range is replayed was paused: what was not sent until then is not.
    Paused { rule: String },
    /// The listener has gone.
    Unheard,
}

/// The listener for the reports has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheard;

impl<E> From<Unheard> for ReplayEnd<E> {
    fn from(_: Unheard) -> ReplayEnd<E> {
        ReplayEnd::Unheard
    }
}

/// Who gets the reports of a replay, and which report an event makes. None: that event makes no report.
pub struct ReplayListener<'a, R, F> {
    pub reports: &'a mpsc::Sender<R>,
    pub form: F,
}

/// Sends what is found, each delivery when there is room for it, and reports what comes of it.
///
/// # Errors
/// When it ends early. What was reported until then is so.
pub async fn replay<L, R, E>(
    found: impl Stream<Item = Result<ReplayItem<L>, E>>,
    mode: ReplayMode,
    commands: &mpsc::Sender<Command>,
    listener: ReplayListener<'_, R, impl Fn(ReplayEvent<L>) -> Option<R>>,
) -> Result<ReplayTally, ReplayEnd<E>>
where
    L: Send + 'static,
{
    replay_within(SendLimits::default(), found, mode, commands, listener).await
}

/// As [`replay`], within limits.
///
/// # Errors
/// When it ends early. What was reported until then is so.
pub async fn replay_within<L, R, E>(
    limits: SendLimits,
    found: impl Stream<Item = Result<ReplayItem<L>, E>>,
    mode: ReplayMode,
    commands: &mpsc::Sender<Command>,
    listener: ReplayListener<'_, R, impl Fn(ReplayEvent<L>) -> Option<R>>,
) -> Result<ReplayTally, ReplayEnd<E>>
where
    L: Send + 'static,
{
    let (outcomes, tally) = (FuturesUnordered::new(), ReplayTally::default());
    let (is_stopped, paused, reported, sending) = (false, None, tally, SendState::new(limits));
    let mut replay =
        Replay { mode, commands, listener, sending, outcomes, bytes: 0, tally, reported, is_stopped, paused };
    let ended = replay.run(found).await;
    if let Err(ReplayEnd::Unheard) = ended {
        // A loop that has ended begins nothing either.
        let _ = commands.send(Command::WithdrawUnheard).await;
    }
    ended
}

/// What came of a delivery that was sent.
struct Ended<L> {
    label: L,
    result: Result<Outcome, NotReplayed>,
    /// The memory that it needed until then.
    bytes: usize,
    /// It is of a binlog range, which is of one rule.
    is_of_range: bool,
}

/// One replay at work.
struct Replay<'a, L, R, F> {
    mode: ReplayMode,
    commands: &'a mpsc::Sender<Command>,
    listener: ReplayListener<'a, R, F>,
    sending: SendState,
    outcomes: FuturesUnordered<Pin<Box<dyn Future<Output = Ended<L>> + Send>>>,
    /// Of the changes under way.
    bytes: usize,
    tally: ReplayTally,
    /// What the last progress said.
    reported: ReplayTally,
    /// The loop ends.
    is_stopped: bool,
    /// The rule of a binlog range was paused.
    paused: Option<String>,
}

impl<L: Send + 'static, R, F: Fn(ReplayEvent<L>) -> Option<R>> Replay<'_, L, R, F> {
    async fn run<E>(
        &mut self,
        found: impl Stream<Item = Result<ReplayItem<L>, E>>,
    ) -> Result<ReplayTally, ReplayEnd<E>> {
        let (mut found, mut is_read) = (pin!(found), false);
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_read || !self.outcomes.is_empty() {
            let has_room = !is_read && self.has_room();
            let wait_until = self.sending.wait_until(Instant::now()).filter(|_| has_room);
            let goes_on = has_room && wait_until.is_none();
            tokio::select! {
                next = found.next(), if goes_on => match next {
                    Some(next) => self.take(next.map_err(ReplayEnd::Failed)?).await?,
                    None => is_read = true,
                },
                Some(ended) = self.outcomes.next() => self.take_outcome(ended).await?,
                () = sleep_until(wait_until.unwrap_or_else(Instant::now)), if wait_until.is_some() => {}
                _ = ticks.tick() => self.report_progress().await?,
                () = self.commands.closed(), if !is_read && self.mode == ReplayMode::Send => self.is_stopped = true,
                // The wait may be as long as a target is unavailable, and others wait for their replays meanwhile.
                () = self.listener.reports.closed() => return Err(ReplayEnd::Unheard),
            }
            is_read |= self.is_stopped || self.paused.is_some() || self.tally.is_given_up;
        }
        if !self.is_stopped && self.paused.is_none() {
            return Ok(self.tally);
        }
        self.report_progress().await?;
        Err(match self.paused.take() {
            Some(rule) if !self.is_stopped => ReplayEnd::Paused { rule },
            _ => ReplayEnd::Stopping,
        })
    }

    fn has_room(&self) -> bool {
        let under_way = self.outcomes.len();
        under_way < UNDER_WAY_MAX && self.bytes < UNDER_WAY_BYTES_MAX && self.sending.has_room(under_way)
    }

    async fn take(&mut self, found: ReplayItem<L>) -> Result<(), Unheard> {
        let (label, again) = match found {
            ReplayItem::Committed { at_us } => {
                self.tally.read_up_to_us = Some(at_us);
                return Ok(());
            }
            ReplayItem::Unmatched => {
                self.tally.read += 1;
                return Ok(());
            }
            ReplayItem::Delivery(label, again) => (label, again),
        };
        self.tally.read += 1;
        self.tally.matched += 1;
        match (self.mode, again) {
            (ReplayMode::Send, Ok(again)) => {
                self.send(label, again).await;
                Ok(())
            }
            (ReplayMode::Send, Err(why)) => self.ended(label, Err(why)).await,
            (ReplayMode::Show { requests_max }, again) => self.show(label, again, requests_max).await,
        }
    }

    async fn send(&mut self, label: L, again: ReplayDelivery) {
        let ReplayDelivery { delivery, sent_as, was_blocked } = again;
        let (bytes, is_of_range) = (delivery.change.weight_bytes(), matches!(sent_as, SentAs::Change));
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Command::Replay { delivery, sent_as, answer }).await.is_err() {
            self.is_stopped = true;
            return;
        }
        self.sending.sent(Instant::now());
        self.bytes += bytes;
        self.outcomes.push(Box::pin(answered.map(move |answer| {
            let result = match answer {
                Ok(Err(NotReplayed::Gone)) if was_blocked => Err(NotReplayed::Followed),
                Ok(result) => result,
                Err(_) => Err(NotReplayed::Stopped),
            };
            Ended { label, result, bytes, is_of_range }
        })));
    }

    async fn show(
        &mut self,
        label: L,
        again: Result<ReplayDelivery, NotReplayed>,
        requests_max: u64,
    ) -> Result<(), Unheard> {
        let request = match &again {
            Ok(ReplayDelivery { delivery, .. }) if delivery.predetermined.is_none() => delivery.preview(),
            Ok(_) => Err("it becomes a dead letter, because it can't be decided whether the rule matches".to_owned()),
            Err(why) => Err(why.to_string()),
        };
        if request.is_err() {
            self.tally.dead += 1;
        } else if self.tally.matched - self.tally.dead > requests_max {
            return Ok(());
        }
        self.report(ReplayEvent::Shown(label, request.map(|request| request.to_string()))).await
    }

    async fn take_outcome(&mut self, ended: Ended<L>) -> Result<(), Unheard> {
        let Ended { label, result, bytes, is_of_range } = ended;
        self.bytes -= bytes;
        if let Err(NotReplayed::Paused { rule }) = &result
            && is_of_range
        {
            self.paused = Some(rule.clone());
        }
        self.ended(label, result).await
    }

    async fn report_progress(&mut self) -> Result<(), Unheard> {
        if self.tally == std::mem::replace(&mut self.reported, self.tally) {
            return Ok(());
        }
        self.report(ReplayEvent::Progress(self.tally)).await
    }

    async fn ended(&mut self, label: L, result: Result<Outcome, NotReplayed>) -> Result<(), Unheard> {
        if let Ok(outcome) = &result {
            self.sending.ended(outcome);
            self.tally.is_given_up = self.sending.is_given_up();
        }
        match &result {
            Ok(Outcome::Delivered { .. }) => self.tally.delivered += 1,
            Ok(Outcome::Dead(_)) => self.tally.dead += 1,
            Ok(Outcome::Blocked { .. }) => self.tally.blocked += 1,
            // What became of it is the business of whom it followed.
            Err(NotReplayed::Followed) => return Ok(()),
            Err(why) => {
                self.tally.not_sent += 1;
                self.is_stopped |= *why == NotReplayed::Stopped;
            }
        }
        self.report(ReplayEvent::Ended(label, result)).await
    }

    async fn report(&mut self, event: ReplayEvent<L>) -> Result<(), Unheard> {
        match (self.listener.form)(event) {
            Some(report) => self.listener.reports.send(report).await.map_err(|_| Unheard),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
