//! The loop that carries changes from the source to their outcomes: the only place that knows all stages.
//!
//! In: source events, completed deliveries, durable writes, commands and the stop. Out: deliveries submitted, checkpoints
//! written. Owns the main stream and the stream of each rule. Keeps promise 1 (nothing is passed that is not resolved),
//! promise 5 (no rule waits for another: one that can't keep up is read for by itself, see `catching_up`) and promise 6 (a
//! rule takes changes only while its window has room). It never waits inside a branch, so nothing can stand still behind it.

mod beginning;
mod binlog_hold;
mod catching_up;
mod checkpointing;
mod command;
mod counts;
mod coverage;
mod feed;
mod former_ids;
mod fuse;
mod holds;
mod lacking;
mod letters;
mod main_stream;
mod obeying;
mod operations;
mod patience;
mod redelivery;
mod rule_stream;
mod writes;

pub use catching_up::ChangeSource;
pub use command::{
    BinlogPinStatus, Command, CommandRefused, LoopStatus, NotReplayed, Paused, RuleStatus, StreamStatus, TargetStatus,
};
pub use letters::delivery_of;
pub use redelivery::{Mode, Redeliveries, Stretch, Tally, Told};

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use crate::change::{Change, DeliveryId};
use crate::clock::now_us;
use crate::delivery::{Completed, Delivery, DeliveryEvent, Dispatcher, Failure, Origin, Outcome};
use crate::outcome;
use crate::outcome::tracker::{Opening, Tracker};
use crate::rules::{Diagnostics, Match, Rule, RuleSet};
use crate::source;
use crate::store::{self, FormerIds, Saved, Store};
use crate::telemetry::Metrics;

use beginning::Beginning;
use binlog_hold::BinlogHold;
use counts::RuleMetrics;
use feed::Feed;
use fuse::Fuse;
use holds::Releases;
use lacking::Needs;
use operations::Operations;
use rule_stream::{RuleStream, Streams, Window};
use writes::{PendingWrite, Written};

/// Limits of the loop; each bounds memory or repeats.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Deliveries of one rule that may be unresolved before it takes no more.
    pub window_deliveries: usize,
    /// Memory that unresolved deliveries of all rules together may hold; each rule has its share. A single delivery may
    /// exceed it.
    pub window_bytes: usize,
    /// Time between checkpoints; what was delivered since the last one may be repeated after a crash.
    pub checkpoint_interval: Duration,
    /// Time that attempts under way have at shutdown.
    pub shutdown_timeout: Duration,
}

/// A ledger entry from before a restart that has not come again after this many deliveries of its rule no longer matches:
/// far more than a window can hold.
const REPEATS_EXPECTED_WITHIN: u64 = 1 << 20;

/// What a delivery holds besides its change: lane, tracker entry, request under way.
const DELIVERY_WEIGHT_BYTES: usize = 512;

/// Why the loop ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Rules name what the server does not have.
    #[error("{0}")]
    Rules(Diagnostics),
    #[error("the reader of the binlog ended without saying why")]
    SourceVanished,
}

/// The loop and all it owns.
pub struct Pipeline {
    store: Store,
    dispatcher: Dispatcher,
    metrics: Arc<Metrics>,
    limits: Limits,
    /// Each rule's.
    window: Window,
    reading: Option<ChangeSource>,
    binlog_hold: BinlogHold,
    /// The main stream, and all rules.
    main: Feed,
    streams: Streams,
    /// The rules that are behind, in turn.
    behind: Vec<usize>,
    /// The attached rules whose marks are their own: they need to know of every commit.
    own_marks: Vec<usize>,
    /// A change of the main stream that not all who want it can take.
    held: Option<Arc<Change>>,
    /// Whose it is.
    matches: Vec<Match>,
    /// Room for working out who takes a change: streams with the number of their match, and those that are full.
    takers: Vec<(usize, usize)>,
    full: Vec<usize>,
    alone: Vec<Match>,
    /// When the patience with a rule that the main stream waits for ends.
    patience_ends_at: Option<Instant>,
    writes: FuturesUnordered<PendingWrite>,
    /// Rules that the checkpoints under way know, of each.
    recording: VecDeque<Vec<Arc<str>>>,
    /// Whether any place moved since the last checkpoint.
    has_moved: bool,
    /// In the ledger, of rules that are no more.
    orphans: Vec<DeliveryId>,
    /// Up to where deliveries may be known by the ids that they had before an upgrade.
    former_ids: Option<FormerIds>,
    /// Whether the store holds a checkpoint. Until then nothing is taken: a crash would begin again at a newer `latest`.
    has_begun: bool,
    /// By number, who waits for the outcome of a redelivery.
    answers: HashMap<u64, oneshot::Sender<Outcome>>,
    /// Redeliveries since the start.
    redelivered: u64,
    /// Dead letters that are sent again.
    releases: Releases,
    operations: Operations,
    needs: Needs,
    /// The work ends: nothing more is begun.
    is_ending: bool,
    fuse: Fuse,
}

impl Pipeline {
    pub fn new(
        rules: Arc<RuleSet>,
        store: Store,
        mut dispatcher: Dispatcher,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Pipeline {
        dispatcher.heed(store.blocked_keys().clone());
        let releases = Releases::new(store.clone());
        let mut pipeline = Pipeline {
            store,
            dispatcher,
            metrics,
            window: window_of(&limits, rules.rules().len()),
            limits,
            reading: None,
            binlog_hold: BinlogHold::default(),
            streams: rules.rules().iter().map(|rule| RuleStream::not_begun(rule, None)).collect(),
            main: Feed::new(rules, None),
            behind: Vec::new(),
            own_marks: Vec::new(),
            held: None,
            matches: Vec::new(),
            takers: Vec::new(),
            full: Vec::new(),
            alone: Vec::new(),
            patience_ends_at: None,
            writes: FuturesUnordered::new(),
            recording: VecDeque::new(),
            has_moved: false,
            orphans: Vec::new(),
            has_begun: false,
            answers: HashMap::new(),
            redelivered: 0,
            releases,
            operations: Operations::default(),
            needs: Needs::default(),
            is_ending: false,
            fuse: Fuse::default(),
            former_ids: None,
        };
        pipeline.relist();
        pipeline
    }

    /// Goes on where the store's checkpoints stand. Without any the source's first word says where it begins.
    pub fn resume(&mut self, saved: Saved) {
        self.needs = Needs::of(&saved);
        self.operations.restored_until_us = saved.restored_until_us;
        if let Some(checkpoint) = saved.checkpoint {
            self.former_ids = checkpoint.former_ids.clone();
            let Beginning { main, streams, orphans } = beginning::begin(self.main.rules(), checkpoint, now_us());
            self.main.leap(main.into());
            self.streams = streams;
            self.orphans = orphans;
            self.has_begun = true;
            self.has_moved = true;
            self.relist();
        }
        for paused in saved.paused {
            if let Some(stream) = self.streams.get_mut(&paused.rule) {
                stream.paused = Some(Paused { since_us: paused.since_us, why: paused.why });
                self.dispatcher.set_paused(&paused.rule, true);
            }
        }
    }

    /// Runs until `stop` turns true, then lets attempts under way finish and writes a last checkpoint. Without a source it
    /// serves commands alone. An error leaves the store as it was at the last checkpoint.
    pub async fn run(
        mut self,
        reading: Option<ChangeSource>,
        mut commands: mpsc::Receiver<Command>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        if let Some(reading) = &reading {
            let reader = reading.follow(self.main.reached(), self.main.rules(), self.metrics.clone());
            self.main.open(reader);
            self.recall_operations()?;
            // A command by itself sends what it is asked to, and what follows from that.
            self.releases.look_at_all();
        }
        self.reading = reading;
        self.dispatcher.adopt(self.main.rules().rules());
        let ended = self.turn(&mut commands, &mut stop).await;
        self.main.close();
        for stream in &mut self.streams.list {
            if let Some(behind) = &mut stream.behind {
                behind.feed.close();
            }
        }
        match ended {
            Err(Error::Store(error)) => Err(error.into()),
            ended => self.wind_down().await.and(ended),
        }
    }

    async fn turn(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mut ticks = tokio::time::interval(self.limits.checkpoint_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.let_go_of_gathered();
            // Rules that are behind first: they meet the main stream where it stands, not where it is about to be.
            let feeds_have_more = self.catch_up();
            let has_more = self.fill()? || feeds_have_more;
            let main_waits = self.main_takes();
            let patience_ends_at = self.patience_ends_at;
            let (streams, behind, window) = (&mut self.streams.list, &self.behind, self.window);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                event = self.dispatcher.next() => {
                    self.heed(event);
                    while let Some(event) = self.dispatcher.try_next() {
                        self.heed(event);
                    }
                }
                Some(written) = self.writes.next(), if !self.writes.is_empty() => self.written(written?),
                looked = self.releases.next() => self.release(looked),
                Some(command) = commands.recv() => self.obey(command),
                event = std::future::poll_fn(|context| self.main.poll_event(context)), if main_waits && !has_more => {
                    if let Some(read) = self.main.take(event?) {
                        self.take(read)?;
                    }
                }
                (at, event) = std::future::poll_fn(|context| Pipeline::poll_readers(streams, behind, window, context)),
                    if !has_more && !behind.is_empty() => self.take_event_behind(at, event),
                () = std::future::ready(()), if has_more => {}
                () = sleep_until(patience_ends_at.unwrap_or_else(Instant::now)), if patience_ends_at.is_some() => {}
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    /// A rule whose window is full of what it gathers gets nothing more: what it has must go.
    fn let_go_of_gathered(&mut self) {
        if self.dispatcher.gathers() {
            for stream in self.streams.list.iter().filter(|stream| !stream.has_room(self.window)) {
                self.dispatcher.close_gathering(Some(&stream.name));
            }
        }
    }

    /// Submits what a rule calls for on a change.
    fn deliver(&mut self, at: usize, rule: Arc<Rule>, change: &Arc<Change>, undecided: Option<String>) {
        let id = self.id_of(at, &rule, change);
        let stream = &mut self.streams.list[at];
        stream.counts(&self.metrics).matched.inc();
        let opening = Opening {
            id,
            transaction: Arc::clone(&change.transaction),
            table: Arc::clone(&change.table),
            ordinal: change.ordinal,
            weight_bytes: change.weight_bytes() + DELIVERY_WEIGHT_BYTES,
        };
        stream.opened += 1;
        if stream.tracker.open(opening) {
            let doomed = undecided.map(Failure::undecided).or_else(|| self.blow_fuse(&rule, change));
            let change = Arc::clone(change);
            let predetermined = doomed.map(Outcome::Dead);
            let delivery = Delivery {
                id,
                rule,
                change,
                origin: Origin::Stream,
                predetermined: predetermined,
                saga_action: None,
                more: None,
            };
            let delivery = self.begin_operation(delivery);
            self.dispatcher.submit(delivery);
        }
    }

    fn heed(&mut self, event: DeliveryEvent) {
        match event {
            DeliveryEvent::Completed(completed) => self.acted(completed),
            DeliveryEvent::Due(due) => self.due(due),
            DeliveryEvent::NotDone(delivery) => self.not_done(&delivery),
        }
    }

    /// Why the change must not be delivered, where the rule has a fuse and the change's key has had too many.
    fn blow_fuse(&mut self, rule: &Rule, change: &Change) -> Option<Failure> {
        let limit = rule.settings.fuse?;
        self.fuse.blow(rule.ordering_keys(change), change.transaction.committed_at_us, limit)
    }

    fn settle(&mut self, completed: Completed) {
        let rule = &completed.delivery.rule.name;
        let stream = self.streams.find(rule);
        match stream {
            Some(at) => self.streams.list[at].counts(&self.metrics).settled(&completed),
            None => RuleMetrics::of(&self.metrics, rule).settled(&completed),
        }
        if outcome::begins_a_hold(&completed) {
            self.checkpoint_now();
        }
        match outcome::settle(&completed) {
            None => self.conclude(stream, completed, Tracker::resolve),
            Some(mut write) => {
                // In one write with the letter: no crash leaves the letter without the pause.
                if self.pause_for_letter(&completed) {
                    write.paused = Some(self.paused_rules());
                }
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
            Written::Checkpoint => self.checkpointed(),
            Written::Answered => {}
            Written::Begun(due) => self.intent_written(*due),
            Written::Acted { ticket, delivery, intent } => self.dispatcher.proceed(ticket, *delivery, intent),
            Written::Settled(completed, letter) => {
                if let Some(number) = letter {
                    self.name_letter(&completed, number);
                }
                let stream = self.streams.find(&completed.delivery.rule.name);
                self.conclude(stream, *completed, Tracker::resolve_in_ledger);
            }
        }
    }

    /// Nothing more must become durable: who waits for the outcome is told, and the lanes move on. `stream` is the place
    /// of its rule's stream, if the rule is there still.
    fn conclude(&mut self, stream: Option<usize>, completed: Completed, resolve: fn(&mut Tracker, &DeliveryId)) {
        for part in completed.parts() {
            match part.origin {
                Origin::Stream => {
                    if let Some(at) = stream {
                        resolve(&mut self.streams.list[at].tracker, &part.id);
                    }
                }
                Origin::Replay { dead_letter } => self.releases.ended(dead_letter, completed.outcome.clone()),
                Origin::Redelivery { number } => {
                    if let Some(answer) = self.answers.remove(&number) {
                        // The operator may have gone; what must be in the store is there all the same.
                        let _ = answer.send(completed.outcome.clone());
                    }
                }
            }
        }
        self.dispatcher.release(completed.ticket);
    }

    fn tick(&mut self) {
        self.metrics.dead_letters.set(self.store.dead_letter_count() as i64);
        self.metrics.blocked_deliveries.set(self.store.blocked_count() as i64);
        self.metrics.blocked_keys.set(self.store.blocked_keys().keys() as i64);
        self.metrics.dead_letters_awaiting.set(self.store.awaiting_count() as i64);
        self.releases.review();
        let (mut deliveries, mut bytes) = (0, 0);
        let now_us = now_us();
        for stream in &mut self.streams.list {
            deliveries += stream.tracker.unresolved();
            bytes += stream.tracker.unresolved_bytes();
            stream.tell(&self.metrics, now_us);
            if stream.opened > REPEATS_EXPECTED_WITHIN && stream.tracker.expects_repeats() {
                stream.tracker.forget_what_never_came();
            }
        }
        self.metrics.window_deliveries.set(deliveries as i64);
        self.metrics.window_bytes.set(bytes as i64);
        self.manage_readers();
        self.give_up_interrupted();
        self.forget_former_ids();
        if self.recording.is_empty() {
            self.pin_binlog();
        }
        self.checkpoint();
    }

    /// Lets attempts under way finish, and makes durable what came of them.
    async fn wind_down(&mut self) -> Result<(), Error> {
        self.is_ending = true;
        let deadline = Instant::now() + self.limits.shutdown_timeout;
        for event in self.dispatcher.finish_in_flight(deadline).await {
            self.heed(event);
        }
        while let Some(written) = self.writes.next().await {
            self.written(written?);
        }
        self.releases.finish().await;
        self.forget_former_ids();
        if let Some(write) = self.take_checkpoint() {
            self.store.write(write).await?;
        }
        Ok(())
    }
}

/// Each rule's share.
fn window_of(limits: &Limits, rules: usize) -> Window {
    Window { deliveries: limits.window_deliveries, bytes: limits.window_bytes / rules.max(1) }
}

/// The change as it may be kept.
fn keep(change: &Change) -> Result<Arc<Change>, Error> {
    let kept = change.detach().map_err(|fault| source::Error::unreadable(fault, &change.transaction))?;
    Ok(Arc::new(kept))
}
