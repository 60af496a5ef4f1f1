//! The loop that carries changes from the source to their outcomes: the only place that knows all stages.
//!
//! In: source events, completed deliveries, durable writes, replays and the stop. Out: deliveries submitted, checkpoints
//! written. Owns the tracker and the window. Keeps promise 1 (nothing is passed that is not resolved) and promise 6 (it
//! reads only while the window has room). It never waits inside a branch, so nothing can stand still behind it.

mod command;
mod holds;
mod letters;

pub use command::{Command, FeedStatus, NotReplayed, Paused, Refused, RuleStatus, Status, TargetStatus};
pub use letters::delivery_of;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::debug;

use self::holds::{Looked, Releases};
use crate::change::{Change, Changes};
use crate::delivery::{Completed, Delivery, Dispatcher, Origin, Outcome};
use crate::outcome;
use crate::outcome::tracker::{Checkpoint, Opening, Tracker};
use crate::rules::{Match, RuleSet, TableRules};
use crate::source::{self, Following, SourceEvent};
use crate::store::{self, Store};
use crate::telemetry::{Metrics, OutcomeLabels, RuleLabel};

/// Limits of the loop; each bounds memory or repeats.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Deliveries that may be unresolved before reading waits.
    pub window_deliveries: usize,
    /// Memory that unresolved deliveries may hold before reading waits.
    pub window_bytes: usize,
    /// Time between checkpoints; what was delivered since the last one may be repeated after a crash.
    pub checkpoint_interval: Duration,
    /// Time that attempts under way have at shutdown.
    pub shutdown_timeout: Duration,
}

/// Deliveries that may stand above the low-water mark, resolved or not. With one key in retry the others go on for this
/// long; each costs about 100 bytes.
const ABOVE_MARK_MAX: usize = 1 << 18;

/// A ledger entry from before a restart that has not come again after this many deliveries belongs to a rule that no
/// longer matches: far more than a window can hold.
const REPEATS_EXPECTED_WITHIN: u64 = 4 * ABOVE_MARK_MAX as u64;

/// Changes and events taken in one turn, so that completions and the stop get theirs.
const TAKEN_PER_TURN: usize = 256;

/// What a delivery holds besides its change: lane, tracker entry, request under way.
const DELIVERY_WEIGHT_BYTES: usize = 512;

/// Why the loop ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the reader of the binlog ended without saying why")]
    SourceVanished,
}

/// The loop and all it owns.
pub struct Pipeline {
    rules: Arc<RuleSet>,
    store: Store,
    dispatcher: Dispatcher,
    metrics: Arc<Metrics>,
    counts: Counts,
    limits: Limits,
    /// None until the source has said where it begins.
    tracker: Option<Tracker>,
    /// Changes read and not yet taken, because the window filled up; no event is read past them.
    rows: Unread,
    matches: Vec<Match>,
    writes: FuturesUnordered<PendingWrite>,
    checkpoint_is_under_way: bool,
    /// Whether the store holds a checkpoint. Until then nothing is taken: a crash would begin again at a newer `latest`.
    has_begun: bool,
    /// Dead letters that are sent again.
    releases: Releases,
    /// Deliveries seen since the start.
    opened: u64,
}

/// Row events whose rows were not all taken.
#[derive(Default)]
struct Unread {
    events: std::vec::IntoIter<Changes>,
    /// The event whose turn it is, and the rules of its table.
    open: Option<(Changes, Arc<TableRules>)>,
}

impl Unread {
    fn is_empty(&self) -> bool {
        self.open.is_none() && self.events.as_slice().is_empty()
    }

    /// The next change that some rule may want, with the rules of its table. Events that no rule wants go by as a whole.
    fn next(&mut self, rules: &RuleSet) -> Option<(Arc<Change>, Arc<TableRules>)> {
        loop {
            if let Some((changes, rules)) = &mut self.open {
                match changes.next() {
                    Some(change) => return Some((change, Arc::clone(rules))),
                    None => self.open = None,
                }
            }
            let changes = self.events.next()?;
            let rules = rules.of_table(changes.table());
            if rules.concern(changes.op()) {
                self.open = Some((changes, rules));
            }
        }
    }
}

/// A write on its way to disk.
type PendingWrite = Pin<Box<dyn Future<Output = Result<Written, store::Error>> + Send>>;

/// A write that became durable, and what waited for it.
enum Written {
    Checkpoint,
    /// With the number of the letter that was made, if one was.
    Settled(Box<Completed>, Option<u64>),
}

impl Pipeline {
    pub fn new(
        rules: Arc<RuleSet>,
        store: Store,
        mut dispatcher: Dispatcher,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Pipeline {
        dispatcher.heed(store.held().clone());
        let releases = Releases::new(store.clone());
        Pipeline {
            rules,
            store,
            dispatcher,
            counts: Counts { metrics: metrics.clone(), by_rule: HashMap::new() },
            metrics,
            limits,
            tracker: None,
            rows: Unread::default(),
            matches: Vec::new(),
            writes: FuturesUnordered::new(),
            checkpoint_is_under_way: false,
            has_begun: false,
            releases,
            opened: 0,
        }
    }

    /// Goes on where the store's checkpoint stands. Without this the source's first word says where it begins.
    pub fn resume(&mut self, saved: store::Saved) {
        self.tracker = Some(Tracker::new(saved.resume, saved.ledger));
        self.has_begun = true;
    }

    /// Runs until `stop` turns true, then lets attempts under way finish and writes a last checkpoint. Without a source it
    /// serves commands alone. An error leaves the store as it was at the last checkpoint.
    pub async fn run(
        mut self,
        mut source: Option<Following>,
        mut commands: mpsc::Receiver<Command>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        if source.is_some() {
            // A command by itself sends what it is asked to, and what follows from that.
            self.releases.look_at_all();
        }
        let ended = self.turn(source.as_mut(), &mut commands, &mut stop).await;
        drop(source);
        match ended {
            Err(Error::Store(error)) => Err(error.into()),
            ended => self.wind_down().await.and(ended),
        }
    }

    async fn turn(
        &mut self,
        mut source: Option<&mut Following>,
        commands: &mut mpsc::Receiver<Command>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mut ticks = tokio::time::interval(self.limits.checkpoint_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(source) = &mut source {
                self.fill(source)?;
            }
            let has_room = self.has_room();
            let rows_wait = has_room && !self.rows.is_empty();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                completed = self.dispatcher.next() => {
                    self.settle(completed);
                    while let Some(completed) = self.dispatcher.try_next() {
                        self.settle(completed);
                    }
                }
                Some(written) = self.writes.next(), if !self.writes.is_empty() => self.written(written?),
                looked = self.releases.next() => self.release(looked),
                Some(command) = commands.recv() => self.obey(command),
                event = next_event(&mut source), if has_room && !rows_wait => self.take_event(event?),
                () = std::future::ready(()), if rows_wait => {}
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    /// Takes what the source has ready, as far as the window has room.
    fn fill(&mut self, source: &mut Following) -> Result<(), Error> {
        for _ in 0..TAKEN_PER_TURN {
            if !self.has_room() {
                break;
            }
            match self.rows.next(&self.rules) {
                Some((change, rules)) => self.take(change, &rules)?,
                None => match source.events.try_recv() {
                    Ok(event) => self.take_event(event?),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return Err(Error::SourceVanished),
                },
            }
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        let Some(tracker) = &self.tracker else { return true };
        self.has_begun
            && tracker.unresolved() < self.limits.window_deliveries
            && tracker.unresolved_bytes() < self.limits.window_bytes
            && tracker.above_mark() < ABOVE_MARK_MAX
    }

    fn take_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Started(resume) => {
                if self.tracker.is_none() {
                    self.tracker = Some(Tracker::new(resume.clone(), HashSet::new()));
                    self.write_checkpoint(store::Write { checkpoint: Some(resume), ..store::Write::default() });
                }
            }
            SourceEvent::Rows(rows) => {
                self.rows = Unread { events: rows.into_iter(), open: None };
            }
            SourceEvent::Committed(committed) => {
                if let Some(tracker) = &mut self.tracker {
                    tracker.commit(committed);
                }
            }
            SourceEvent::Idle => {}
        }
    }

    /// Matches one change and submits what it calls for.
    fn take(&mut self, change: Arc<Change>, rules: &TableRules) -> Result<(), Error> {
        self.matches.clear();
        rules.matches(&change, &mut self.matches);
        if self.matches.is_empty() {
            return Ok(());
        }
        let change = Arc::new(change.detach().map_err(|fault| source::Error::unreadable(fault, &change.transaction))?);
        let tracker = self.tracker.as_mut().expect("rows come after the source has said where it begins");
        let weight_bytes = change.weight_bytes() + DELIVERY_WEIGHT_BYTES;
        let mut left = self.matches.len();
        for Match { rule, undecided } in self.matches.drain(..) {
            left -= 1;
            self.counts.of(&rule.name).matched.inc();
            let id = change.delivery_id(&rule.name);
            let opening = Opening {
                id,
                transaction: change.transaction.clone(),
                table: change.table.clone(),
                ordinal: change.ordinal,
                weight_bytes,
                change_continues: left > 0,
            };
            if let Some(sequence) = tracker.open(opening) {
                let change = change.clone();
                let origin = Origin::Stream { sequence };
                self.dispatcher.submit(Delivery { id, rule, change, origin, undecided });
            }
            self.opened += 1;
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Replay { delivery, lanes, answer } => {
                let Origin::Replay { dead_letter } = delivery.origin else {
                    unreachable!("only dead letters are replayed")
                };
                if self.releases.replay(dead_letter, lanes, answer) {
                    self.dispatcher.submit(delivery);
                }
            }
            Command::AwaitReleases { answer } => self.releases.when_quiet(answer),
            // The rest is answered by dropping the request's channel.
            Command::Pause { .. } | Command::Resume { .. } | Command::Status { .. } | Command::Reload { .. } => {}
        }
    }

    /// Sends a held delivery whose turn has come.
    fn release(&mut self, looked: Looked) {
        let Some(letter) = self.releases.looked(looked) else { return };
        let (number, rule) = (letter.head.number, letter.head.rule.clone());
        match delivery_of(letter, &self.rules) {
            Ok(delivery) => self.dispatcher.submit(delivery),
            Err(why) => self.releases.cannot_go(number, &rule, why),
        }
    }

    fn settle(&mut self, completed: Completed) {
        let counts = self.counts.of(&completed.delivery.rule.name);
        match completed.outcome {
            Outcome::Delivered { .. } => counts.delivered.inc(),
            Outcome::Dead(_) => counts.dead.inc(),
            Outcome::Held { .. } => counts.held.inc(),
        };
        if outcome::begins_a_hold(&completed)
            && let Some(checkpoint) = self.tracker.as_mut().and_then(Tracker::checkpoint)
        {
            self.write_checkpoint(checkpoint.into());
        }
        match outcome::settle(&completed) {
            None => {
                if let (Some(tracker), Origin::Stream { sequence }) = (&mut self.tracker, completed.delivery.origin) {
                    tracker.resolve(sequence);
                }
                self.dispatcher.release(completed.ticket);
            }
            Some(write) => {
                let written = self.store.write(write);
                self.writes.push(Box::pin(async move {
                    let letter = written.await?.added.first().copied();
                    Ok(Written::Settled(Box::new(completed), letter))
                }));
            }
        }
    }

    fn written(&mut self, written: Written) {
        match written {
            Written::Checkpoint => {
                debug!("checkpoint durable");
                self.checkpoint_is_under_way = false;
                self.has_begun = true;
                self.metrics.checkpoints.inc();
            }
            Written::Settled(completed, letter) => {
                if let Some(why) = letter.and_then(|number| outcome::pause(&completed, number)) {
                    self.pause(&completed.delivery.rule.name, why);
                }
                match completed.delivery.origin {
                    Origin::Stream { sequence } => {
                        let tracker = self.tracker.as_mut().expect("a delivery of the stream was opened");
                        tracker.resolve_in_ledger(sequence);
                    }
                    Origin::Replay { dead_letter } => self.releases.ended(dead_letter, completed.outcome),
                }
                self.dispatcher.release(completed.ticket);
            }
        }
    }

    /// Pauses a rule as its dead letter demands, unless it is paused.
    fn pause(&mut self, rule: &str, why: String) {
        if !self.dispatcher.is_blocked(rule) {
            tracing::error!(rule, why, "the rule is paused; mend what is wrong, then `rowhook resume {rule}`");
            self.dispatcher.set_paused(rule, true);
        }
    }

    fn tick(&mut self) {
        self.metrics.dead_letters.set(self.store.dead_letter_count() as i64);
        self.metrics.held_deliveries.set(self.store.held_count() as i64);
        self.metrics.held_keys.set(self.store.held().keys() as i64);
        self.releases.review();
        let Some(tracker) = &mut self.tracker else { return };
        self.metrics.window_deliveries.set(tracker.unresolved() as i64);
        self.metrics.window_bytes.set(tracker.unresolved_bytes() as i64);
        if self.opened > REPEATS_EXPECTED_WITHIN && tracker.expects_repeats() {
            tracker.forget_what_never_came();
        }
        if self.checkpoint_is_under_way {
            return;
        }
        if let Some(checkpoint) = tracker.checkpoint() {
            self.write_checkpoint(checkpoint.into());
        }
    }

    fn write_checkpoint(&mut self, write: store::Write) {
        debug!("checkpoint taken");
        let written = self.store.write(write);
        self.checkpoint_is_under_way = true;
        self.writes.push(Box::pin(async move { written.await.map(|_| Written::Checkpoint) }));
    }

    /// Lets attempts under way finish, and makes durable what came of them.
    async fn wind_down(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + self.limits.shutdown_timeout;
        for completed in self.dispatcher.finish_in_flight(deadline).await {
            self.settle(completed);
        }
        while let Some(written) = self.writes.next().await {
            self.written(written?);
        }
        if let Some(checkpoint) = self.tracker.as_mut().and_then(Tracker::checkpoint) {
            self.store.write(checkpoint.into()).await?;
        }
        Ok(())
    }
}

impl From<Checkpoint> for store::Write {
    fn from(checkpoint: Checkpoint) -> store::Write {
        store::Write {
            checkpoint: Some(checkpoint.resume),
            ledger_add: checkpoint.ledger_add,
            ledger_remove: checkpoint.ledger_remove,
            ..store::Write::default()
        }
    }
}

async fn next_event(source: &mut Option<&mut Following>) -> Result<SourceEvent, Error> {
    match source {
        Some(source) => Ok(source.events.recv().await.ok_or(Error::SourceVanished)??),
        None => std::future::pending().await,
    }
}

/// The counters of each rule, found once instead of built anew for each delivery.
struct Counts {
    metrics: Arc<Metrics>,
    by_rule: HashMap<String, RuleCounts>,
}

struct RuleCounts {
    matched: Counter,
    delivered: Counter,
    dead: Counter,
    held: Counter,
}

impl Counts {
    fn of(&mut self, rule: &str) -> &RuleCounts {
        if !self.by_rule.contains_key(rule) {
            let name = rule.to_string();
            let outcome = |outcome| OutcomeLabels { rule: name.clone(), outcome };
            let counts = RuleCounts {
                matched: self.metrics.changes_matched.get_or_create_owned(&RuleLabel { rule: name.clone() }),
                delivered: self.metrics.deliveries.get_or_create_owned(&outcome("delivered")),
                dead: self.metrics.deliveries.get_or_create_owned(&outcome("dead")),
                held: self.metrics.deliveries.get_or_create_owned(&outcome("held")),
            };
            self.by_rule.insert(name, counts);
        }
        &self.by_rule[rule]
    }
}
