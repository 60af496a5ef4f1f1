//! Replay of a binlog range: it is delivered once more for one rule, because an operator asks for it.
//!
//! In: a rule, where to begin and where to end. Out: what was read and what came of it, while it goes on. Reads with a
//! reader of its own, as a replica of its own; what the rule matches has the delivery ids of the first time and goes out in
//! the binlog's order (promises 2 and 3). Touches no checkpoint. Ends by itself, or when the listener has gone.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{Stream, stream};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::command::{Command, LoopStatus, NotReplayed, SentAs};
use super::replay::{
    self, ReplayDelivery, ReplayEnd, ReplayEvent, ReplayItem, ReplayListener, ReplayMode, ReplayTally, Unheard,
};
use crate::change::Change;
use crate::delivery::{Delivery, Failure, Origin, Outcome};
use crate::position::{FileOffset, Position, Start};
use crate::rules::Rule;
use crate::source::{self, Following, Settings, SourceEvent};
use crate::telemetry::Metrics;

/// What is to be delivered once more.
#[derive(Debug, Clone)]
pub struct BinlogRange {
    pub rule: Arc<Rule>,
    pub from: Start,
    /// None: where the main stream is.
    pub to: Option<Start>,
    pub mode: ReplayMode,
}

/// What a replay of a binlog range reports while it goes on; `Ended` or `Failed` comes last.
#[derive(Debug, Clone, PartialEq)]
pub enum BinlogReplayEvent {
    Begun {
        from: Position,
        to: Position,
        /// The rule sends several changes in one call.
        gathers: bool,
    },
    Progress(ReplayTally),
    /// As a curl command with secrets masked.
    Request {
        curl: String,
    },
    Ended(ReplayTally),
    Failed {
        message: String,
    },
}

/// Replays of binlog ranges, one at a time; clones are the same.
#[derive(Debug, Clone)]
pub struct RangeReplays {
    settings: Settings,
    commands: mpsc::Sender<Command>,
    /// Where the main stream is taken to be when the loop reads none.
    checkpoint: Option<Position>,
    turn: Arc<Mutex<()>>,
}

/// Why what lies in the binlog range can't be read, in words for an operator.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Source(source::Error),
    #[error(
        "position {file}:{offset} cannot be read from: {problem}; fix: give --from and --to the beginning of a transaction \
         (SHOW BINLOG EVENTS IN '{file}')"
    )]
    BadPosition { file: String, offset: u64, problem: String },
    #[error("there is nothing between {from} and {to}")]
    Empty { from: Box<Position>, to: Box<Position> },
    #[error(transparent)]
    NotReplayed(#[from] NotReplayed),
    #[error("the main stream has not begun yet: say where to end with --to")]
    NoEnd,
    #[error(
        "{lacks} in rows from {}:{} on; changes from there on are not replayed; choose an earlier end with --to, or change \
         the rule",
        at.file,
        at.offset
    )]
    Lacks { lacks: String, at: FileOffset },
    #[error("the reader of the binlog ended without saying why")]
    Vanished,
}

/// The advice of the source is for checkpoints, which a replay does not touch.
impl From<source::Error> for Error {
    fn from(error: source::Error) -> Error {
        match error {
            source::Error::BadPosition { file, offset, problem } => Error::BadPosition { file, offset, problem },
            error => Error::Source(error),
        }
    }
}

impl From<Error> for ReplayEnd<Error> {
    fn from(error: Error) -> ReplayEnd<Error> {
        ReplayEnd::Failed(error)
    }
}

impl RangeReplays {
    /// The server sees replicas of their own, whatever the settings say.
    pub fn new(settings: Settings, commands: mpsc::Sender<Command>, checkpoint: Option<Position>) -> RangeReplays {
        RangeReplays { settings, commands, checkpoint, turn: Arc::default() }
    }

    /// Delivers the binlog range, and reports in this form how it goes.
    pub async fn run<R>(
        &self,
        binlog_range: BinlogRange,
        reports: &mpsc::Sender<R>,
        form: impl Fn(BinlogReplayEvent) -> R,
    ) {
        let Ok(_turn) = self.turn.try_lock() else {
            let message = "another binlog range is being replayed; only one at a time".to_string();
            // A listener that has gone does not need the reason.
            let _ = reports.send(form(BinlogReplayEvent::Failed { message })).await;
            return;
        };
        let rule = binlog_range.rule.name.clone();
        let failed = |message| BinlogReplayEvent::Failed { message };
        let last = match self.deliver(binlog_range, reports, &form).await {
            Ok(tally) => {
                let ReplayTally { read, matched, delivered, dead, .. } = tally;
                tracing::info!(rule, read, matched, delivered, dead, "binlog range replayed");
                BinlogReplayEvent::Ended(tally)
            }
            Err(ReplayEnd::Failed(error)) => failed(error.to_string()),
            Err(ReplayEnd::Stopping) => {
                failed("rowhook is stopping; what was not delivered again was not sent".to_owned())
            }
            Err(ReplayEnd::Paused { rule }) => failed(NotReplayed::Paused { rule }.to_string()),
            Err(ReplayEnd::Unheard) => {
                return tracing::info!(rule, "replay of a binlog range ended early: the operator disconnected");
            }
        };
        let _ = reports.send(form(last)).await;
    }

    async fn deliver<R>(
        &self,
        binlog_range: BinlogRange,
        reports: &mpsc::Sender<R>,
        form: impl Fn(BinlogReplayEvent) -> R,
    ) -> Result<ReplayTally, ReplayEnd<Error>> {
        let BinlogRange { rule, from, to, mode } = binlog_range;
        self.refuse_paused(&rule).await?;
        let settings = Settings { names_tables: false, ..self.settings.clone().of_another_reader() };
        let to = self.end(&settings, to).await?;
        let tables = rule.tables.clone();
        // Not the daemon's metrics: what they say of the source is the main stream's.
        let mut following = source::follow(settings, source::From::Start(from), tables, Arc::new(Metrics::default()));
        let from = begin(&mut following).await?;
        if from.reaches(&to) {
            return Err(Error::Empty { from: Box::new(from), to: Box::new(to) }.into());
        }
        let begun = form(BinlogReplayEvent::Begun { from: from.clone(), to: to.clone(), gathers: rule.gathers() });
        reports.send(begun).await.map_err(|_| Unheard)?;
        let reading = Reading { rule, following, rows: VecDeque::new(), position: from, to, is_at_end: false };
        let form = |event| event_of(event).map(&form);
        replay::replay(reading.found(), mode, &self.commands, ReplayListener { reports, form }).await
    }

    /// Deliveries of a paused rule would wait for an unknown time.
    async fn refuse_paused(&self, rule: &Rule) -> Result<(), ReplayEnd<Error>> {
        let status = self.status().await?;
        let of_rule = status.rules.iter().find(|status| status.rule == rule.name);
        match of_rule.and_then(|status| status.paused.as_ref()) {
            Some(_) => Err(Error::from(NotReplayed::Paused { rule: rule.name.clone() }).into()),
            None => Ok(()),
        }
    }

    async fn status(&self) -> Result<LoopStatus, ReplayEnd<Error>> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Status { answer }).await.map_err(|_| ReplayEnd::Stopping)?;
        answered.await.map_err(|_| ReplayEnd::Stopping)
    }

    async fn end(&self, settings: &Settings, to: Option<Start>) -> Result<Position, ReplayEnd<Error>> {
        if let Some(to) = to {
            return Ok(source::locate(settings, &to).await.map_err(Error::from)?);
        }
        let position = self.status().await?.position.or_else(|| self.checkpoint.clone());
        Ok(position.ok_or(Error::NoEnd)?)
    }
}

/// What is reported of an event. Single outcomes are not: they may be millions.
fn event_of(event: ReplayEvent<()>) -> Option<BinlogReplayEvent> {
    match event {
        ReplayEvent::Progress(tally) => Some(BinlogReplayEvent::Progress(tally)),
        ReplayEvent::Shown((), Ok(curl)) => Some(BinlogReplayEvent::Request { curl }),
        ReplayEvent::Shown((), Err(_)) | ReplayEvent::Ended(..) => None,
    }
}

/// Waits for where the reader begins.
async fn begin(following: &mut Following) -> Result<Position, Error> {
    loop {
        if let SourceEvent::Started(resume) = following.events.recv().await.ok_or(Error::Vanished)?? {
            return Ok(resume.position);
        }
    }
}

/// A binlog range that is being read.
struct Reading {
    rule: Arc<Rule>,
    following: Following,
    /// Read, and not yet compared with the rule.
    rows: VecDeque<Arc<Change>>,
    position: Position,
    to: Position,
    is_at_end: bool,
}

impl Reading {
    fn found(self) -> impl Stream<Item = Result<ReplayItem<()>, Error>> {
        stream::try_unfold(self, |mut reading| async { Ok(reading.next().await?.map(|found| (found, reading))) })
    }

    async fn next(&mut self) -> Result<Option<ReplayItem<()>>, Error> {
        loop {
            while let Some(change) = self.rows.pop_front() {
                if self.holds(&change) {
                    return self.matched(&change).map(Some);
                }
            }
            if self.is_at_end {
                return Ok(None);
            }
            match self.following.events.recv().await.ok_or(Error::Vanished)?? {
                SourceEvent::Tables(_) | SourceEvent::Started(_) | SourceEvent::Emptied(_) => {}
                SourceEvent::Rows(changes) => self.rows.extend(changes.into_iter().flatten()),
                SourceEvent::Committed(committed) => {
                    self.position.advance(&committed);
                    self.is_at_end = self.position.reaches(&self.to);
                    return Ok(Some(ReplayItem::Committed { at_us: committed.committed_at_us }));
                }
                // The server has nothing newer: transactions that the end names and that never came do not exist.
                SourceEvent::Idle => self.is_at_end = true,
            }
        }
    }

    /// Whether the change lies within the binlog range: its transaction begins before the end.
    fn holds(&self, change: &Change) -> bool {
        let transaction = &change.transaction;
        self.to.takes_in(transaction.gtid.as_ref(), &transaction.begin())
    }

    fn matched(&self, change: &Arc<Change>) -> Result<ReplayItem<()>, Error> {
        let decided = self.rule.decide(change);
        if decided != Ok(false)
            && let Some(lacks) = self.rule.lacks(&change.table)
        {
            return Err(Error::Lacks { lacks: lacks.to_string(), at: change.transaction.begin() });
        }
        let predetermined = match decided {
            Ok(false) => return Ok(ReplayItem::Unmatched),
            Ok(true) => None,
            Err(reason) => Some(Outcome::Dead(Failure::undecided(reason))),
        };
        let detached = change.detach().map_err(|fault| source::Error::unreadable(fault, &change.transaction))?;
        let (id, rule, change) = (change.delivery_id(&self.rule.name), self.rule.clone(), Arc::new(detached));
        let origin = Origin::BinlogReplay { number: 0 };
        let delivery =
            Delivery { id, rule, change, origin, predetermined, saga_action: None, more: None, edited: None };
        Ok(ReplayItem::Delivery((), Ok(ReplayDelivery { delivery, sent_as: SentAs::Change, was_blocked: false })))
    }
}
