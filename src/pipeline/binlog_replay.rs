//! Replay of a binlog range: it is delivered once more for one rule, because an operator asks for it.
//!
//! In: a rule, where to begin and where to end. Out: what was read and what came of it, while it goes on. Reads with a
//! reader of its own, as a replica of its own, and hands what the rule matches to the loop with the delivery ids of the first time,
//! in the binlog's order (promises 2 and 3); what is under way is bounded (`awaited`). Touches no checkpoint. Ends by itself, or
//! when the listener has gone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{Awaited, Command, heard};
use crate::change::Change;
use crate::delivery::{Delivery, Failure, Origin, Outcome};
use crate::pattern::TablePatterns;
use crate::position::{FileOffset, Position, Start};
use crate::rules::Rule;
use crate::source::{self, FirstConnect, Following, Settings, SourceEvent};
use crate::telemetry::Metrics;

/// How often progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Requests that a dry run shows; the rest is counted.
const SHOWN_MAX: u64 = 10;

/// What is to be delivered once more.
#[derive(Debug, Clone)]
pub struct BinlogRange {
    pub rule: Arc<Rule>,
    pub from: Start,
    /// None: where the main stream is.
    pub to: Option<Start>,
    pub mode: Mode,
}

/// Whether anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Send,
    /// Shows the first requests, and counts the others.
    Show,
}

/// What a replay of a binlog range reports while it goes on; `Ended` or `Failed` comes last.
#[derive(Debug, Clone, PartialEq)]
pub enum BinlogReplayEvent {
    Begun {
        from: Position,
        to: Position,
    },
    Progress(BinlogReplayTally),
    /// As a curl command with secrets masked.
    Request {
        curl: String,
    },
    Ended(BinlogReplayTally),
    Failed {
        message: String,
    },
}

/// Sums over a replay so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BinlogReplayTally {
    /// Changes of the rule's tables that were read.
    pub read: u64,
    /// Those that the rule matches.
    pub matched: u64,
    pub delivered: u64,
    /// Dead letters; in a dry run, deliveries for which no request can be made.
    pub dead: u64,
    /// Not sent: they wait in the store behind a dead letter of their key.
    pub blocked: u64,
    /// When the newest transaction read was committed, in microseconds since the Unix epoch.
    pub read_up_to_us: Option<u64>,
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

/// Why a replay ends early, in words for an operator.
type End = super::End<String>;

impl From<source::Error> for End {
    fn from(error: source::Error) -> End {
        End::Failed(error.to_string())
    }
}

impl RangeReplays {
    /// The server sees replicas of their own, whatever the settings say.
    pub fn new(settings: Settings, commands: mpsc::Sender<Command>, checkpoint: Option<Position>) -> RangeReplays {
        RangeReplays { settings, commands, checkpoint, turn: Arc::default() }
    }

    /// Delivers the binlog range, and reports how it goes.
    pub async fn run(&self, binlog_range: BinlogRange, listener: &mpsc::Sender<BinlogReplayEvent>) {
        let Ok(_turn) = self.turn.try_lock() else {
            let message = "another binlog range is being replayed; only one at a time".to_string();
            // A listener that has gone does not need the reason.
            let _ = listener.send(BinlogReplayEvent::Failed { message }).await;
            return;
        };
        let rule = binlog_range.rule.name.clone();
        let last = match self.deliver(binlog_range, listener).await {
            Ok(tally) => {
                let BinlogReplayTally { read, matched, delivered, dead, .. } = tally;
                tracing::info!(rule, read, matched, delivered, dead, "binlog range replayed");
                BinlogReplayEvent::Ended(tally)
            }
            Err(End::Failed(message)) => BinlogReplayEvent::Failed { message },
            Err(End::Unheard) => {
                return tracing::info!(rule, "replay of a binlog range ended early: the operator disconnected");
            }
        };
        let _ = listener.send(last).await;
    }

    async fn deliver(
        &self,
        binlog_range: BinlogRange,
        listener: &mpsc::Sender<BinlogReplayEvent>,
    ) -> Result<BinlogReplayTally, End> {
        let BinlogRange { rule, from, to, mode } = binlog_range;
        self.refuse_paused(&rule).await?;
        let settings = Settings {
            instance: Uuid::new_v4(),
            server_id: None,
            first_connect: FirstConnect::FailFast,
            names_tables: false,
            ..self.settings.clone()
        };
        let to = self.end(&settings, to).await?;
        let tables = TablePatterns(vec![rule.table.clone()]);
        // Not the daemon's metrics: what they say of the source is the main stream's.
        let mut following = source::follow(settings, source::From::Start(from), tables, Arc::new(Metrics::default()));
        let from = begin(&mut following).await?;
        if from.reaches(&to) {
            return Err(End::Failed(format!("there is nothing between {from} and {to}")));
        }
        heard(listener.send(BinlogReplayEvent::Begun { from: from.clone(), to: to.clone() }).await)?;
        let (under_way, tally) = (Awaited::new(listener), BinlogReplayTally::default());
        let run = Run { rule, mode, commands: &self.commands, listener, under_way, position: from, to, tally };
        run.finish(following).await
    }

    /// Deliveries of a paused rule would wait for an unknown time.
    async fn refuse_paused(&self, rule: &Rule) -> Result<(), End> {
        let status = self.status().await?;
        let of_rule = status.rules.iter().find(|status| status.rule == rule.name);
        match of_rule.and_then(|status| status.paused.as_ref()) {
            Some(_) => Err(End::Failed(format!("rule {0} is paused; rowhook resume {0} first", rule.name))),
            None => Ok(()),
        }
    }

    async fn status(&self) -> Result<super::LoopStatus, End> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Status { answer }).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    async fn end(&self, settings: &Settings, to: Option<Start>) -> Result<Position, End> {
        if let Some(to) = to {
            return Ok(source::locate(settings, &to).await?);
        }
        let position = self.status().await?.position.or_else(|| self.checkpoint.clone());
        position.ok_or_else(|| End::Failed("the main stream has not begun yet: say where to end with --to".to_string()))
    }
}

/// Waits for where the reader begins.
async fn begin(following: &mut Following) -> Result<Position, End> {
    loop {
        match following.events.recv().await {
            Some(event) => {
                if let SourceEvent::Started(resume) = event? {
                    return Ok(resume.position);
                }
            }
            None => return Err(vanished()),
        }
    }
}

/// One replay at work.
struct Run<'a> {
    rule: Arc<Rule>,
    mode: Mode,
    commands: &'a mpsc::Sender<Command>,
    listener: &'a mpsc::Sender<BinlogReplayEvent>,
    /// None where the loop ended before it had an outcome.
    under_way: Awaited<'a, BinlogReplayEvent, Option<Outcome>>,
    position: Position,
    to: Position,
    tally: BinlogReplayTally,
}

impl Run<'_> {
    async fn finish(mut self, mut following: Following) -> Result<BinlogReplayTally, End> {
        let mut ticks = tokio::time::interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_at_end = false;
        while !is_at_end || !self.under_way.is_empty() {
            tokio::select! {
                event = following.events.recv(), if !is_at_end => {
                    is_at_end = self.take(event.ok_or_else(vanished)??).await?;
                }
                ended = self.under_way.ended() => self.count(ended?)?,
                _ = ticks.tick() => heard(self.listener.send(BinlogReplayEvent::Progress(self.tally)).await)?,
            }
        }
        Ok(self.tally)
    }

    /// Takes an event. True: the end of the binlog range was reached.
    async fn take(&mut self, event: SourceEvent) -> Result<bool, End> {
        match event {
            SourceEvent::Tables(_) | SourceEvent::Started(_) | SourceEvent::Emptied(_) => Ok(false),
            SourceEvent::Rows(events) => {
                for change in events.into_iter().flatten() {
                    if self.holds(&change) {
                        self.tally.read += 1;
                        self.change(&change).await?;
                    }
                }
                Ok(false)
            }
            SourceEvent::Committed(committed) => {
                self.tally.read_up_to_us = Some(committed.committed_at_us);
                self.position.advance(&committed);
                Ok(self.position.reaches(&self.to))
            }
            // The server has nothing newer: transactions that the end names and that never came do not exist.
            SourceEvent::Idle => Ok(true),
        }
    }

    /// Whether the change lies within the binlog range: its transaction begins before the end.
    fn holds(&self, change: &Change) -> bool {
        let transaction = &change.transaction;
        self.to.takes_in(transaction.gtid.as_ref(), &transaction.begin())
    }

    async fn change(&mut self, change: &Arc<Change>) -> Result<(), End> {
        let decided = self.rule.decide(change);
        if decided != Ok(false)
            && let Some(lacks) = self.rule.lacks(&change.table)
        {
            let FileOffset { file, offset } = change.transaction.begin();
            let rest = "changes from there on are not replayed; choose an earlier end with --to, or change the rule";
            return Err(End::Failed(format!("{lacks} in rows from {file}:{offset} on; {rest}")));
        }
        let predetermined = match decided {
            Ok(false) => return Ok(()),
            Ok(true) => None,
            Err(reason) => Some(Outcome::Dead(Failure::undecided(reason))),
        };
        self.tally.matched += 1;
        let detached = change.detach().map_err(|fault| source::Error::unreadable(fault, &change.transaction))?;
        let (id, rule, change) = (change.delivery_id(&self.rule.name), self.rule.clone(), Arc::new(detached));
        let origin = Origin::BinlogReplay { number: 0 };
        let delivery = Delivery { id, rule, change, origin, predetermined, saga_action: None, more: None };
        match self.mode {
            Mode::Show => self.show(&delivery).await,
            Mode::Send => self.send(delivery).await,
        }
    }

    async fn show(&mut self, delivery: &Delivery) -> Result<(), End> {
        let shown = if delivery.predetermined.is_some() { None } else { delivery.preview().ok() };
        match shown {
            Some(shown) if self.tally.matched - self.tally.dead <= SHOWN_MAX => {
                Ok(heard(self.listener.send(BinlogReplayEvent::Request { curl: shown.to_string() }).await)?)
            }
            Some(_) => Ok(()),
            None => {
                self.tally.dead += 1;
                Ok(())
            }
        }
    }

    async fn send(&mut self, delivery: Delivery) -> Result<(), End> {
        while let Some(ended) = self.under_way.until_room().await? {
            self.count(ended)?;
        }
        let (answer, answered) = oneshot::channel();
        self.under_way.push(delivery.change.weight_bytes(), answered.map(Result::ok));
        self.commands.send(Command::ReplayBinlog { delivery, answer }).await.map_err(|_| stopping())
    }

    fn count(&mut self, outcome: Option<Outcome>) -> Result<(), End> {
        match outcome.ok_or_else(stopping)? {
            Outcome::Delivered { .. } => self.tally.delivered += 1,
            Outcome::Dead(_) => self.tally.dead += 1,
            Outcome::Blocked { .. } => self.tally.blocked += 1,
        }
        Ok(())
    }
}

fn stopping() -> End {
    End::Failed("rowhook is stopping; what was not delivered again was not sent".to_string())
}

fn vanished() -> End {
    End::Failed("the reader of the binlog ended without saying why".to_string())
}
