//! The loop that carries changes from the source to their outcomes: the only place that knows all stages.
//!
//! In: source events, completed deliveries, durable writes, commands and the stop. Out: deliveries submitted, checkpoints
//! written. Owns the main stream and the stream of each rule. Keeps promise 1 (nothing is passed that is not resolved),
//! promise 5 (no rule waits for another: one that can't keep up gets its own reader, see `catching_up`) and promise 6 (a
//! rule takes changes only while its window has room). It never waits inside a branch, so nothing can stand still behind it.

mod beginning;
mod binlog_pin;
mod binlog_replay;
mod blocked_keys;
mod command;
mod commands;
mod counts;
mod coverage;
mod deliveries;
mod detach_timeout;
mod feed;
mod fuse;
mod granting;
mod lacking;
mod letters;
mod reading;
mod replay;
mod replays;
mod rule_stream;
mod sagas;
mod settling;
mod streams;
mod writes;

pub use binlog_replay::{BinlogRange, BinlogReplayEvent, RangeReplays};
pub use command::{
    BinlogPinStatus, Command, CommandRefused, LetterUpdate, LoopStatus, NotReplayed, Paused, RuleStatus, SentAs,
    StreamStatus, TargetStatus, UpdatedLetters,
};
pub use granting::{KnownSaga, grant};
pub use letters::delivery_of;
pub use reading::ChangeSource;
pub use replay::{
    ReplayDelivery, ReplayEnd, ReplayEvent, ReplayItem, ReplayListener, ReplayMode, ReplayTally, SendLimits, Unheard,
    replay, replay_within,
};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use crate::change::Change;
use crate::delivery::{DeliveryEvent, Dispatcher};
use crate::journal::Journal;
use crate::outcome::DeliveryLog;
use crate::position::Position;
use crate::rules::{Diagnostics, RuleSet};
use crate::saga::SagaCommand;
use crate::source;
use crate::store::{self, PausedRule, Saved, Store};
use crate::telemetry::Metrics;

use binlog_pin::BinlogPin;
use blocked_keys::InspectedLetter;
use deliveries::Deliveries;
use lacking::Needs;
use replays::ReplaysUnderWay;
use rule_stream::Window;
use streams::{Filled, News, Streams};
use writes::Writes;

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

/// The loop, and the owners of all that it works on.
pub struct Pipeline {
    streams: Streams,
    deliveries: Deliveries,
    replays: ReplaysUnderWay,
    writes: Writes,
    needs: Needs,
    binlog_pin: BinlogPin,
    log: DeliveryLog,
    metrics: Arc<Metrics>,
    limits: Limits,
}

impl Pipeline {
    pub fn new(
        rules: Arc<RuleSet>,
        store: Store,
        mut dispatcher: Dispatcher,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Pipeline {
        dispatcher.set_blocked_keys(store.blocked_keys().clone());
        let window = Window { deliveries: limits.window_deliveries, bytes: limits.window_bytes };
        Pipeline {
            streams: Streams::new(rules, window, Arc::clone(&metrics)),
            deliveries: Deliveries::new(dispatcher),
            replays: ReplaysUnderWay::new(store.clone()),
            writes: Writes::new(store),
            needs: Needs::default(),
            binlog_pin: BinlogPin::default(),
            log: DeliveryLog::default(),
            metrics,
            limits,
        }
    }

    /// Every outcome goes into this journal.
    pub fn keep_journal(&mut self, journal: Journal) {
        self.writes.keep_journal(journal);
    }

    /// What is logged of deliveries, if not each.
    pub fn set_log(&mut self, log: DeliveryLog) {
        self.log = log;
    }

    /// Continues at the positions of the store's checkpoints. Without any, the source's first event says where it begins.
    pub fn resume(&mut self, saved: Saved) {
        self.needs = Needs::of(&saved);
        let Saved { checkpoint, paused, restored_until_us, .. } = saved;
        if let Some(checkpoint) = checkpoint {
            self.streams.restart(checkpoint);
        }
        self.resume_without_source(paused, restored_until_us);
    }

    /// What of [`Pipeline::resume`] counts for commands alone: rules that are paused, and until when calls may have been made
    /// that the store knows nothing of.
    pub fn resume_without_source(&mut self, paused: Vec<PausedRule>, restored_until_us: Option<u64>) {
        self.deliveries.sagas.restored_until_us = restored_until_us;
        for paused in paused {
            self.streams.restore_pause(paused, &mut self.deliveries.dispatcher);
        }
    }

    /// The log's end, as it is seen first after an upgrade.
    pub fn note_end_of_log(&mut self, end: Position) {
        self.streams.note_end_of_log(end);
    }

    /// Runs until `stop` turns true, then lets attempts under way finish and writes a last checkpoint. Without a source it
    /// serves commands alone. An error leaves the store as it was at the last checkpoint.
    pub async fn run(
        mut self,
        reading: Option<ChangeSource>,
        mut commands: mpsc::Receiver<Command>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        if let Some(reading) = reading {
            self.streams.open(reading);
            self.deliveries.sagas.recall(self.writes.store())?;
            // A command without a source sends only what it is asked to, and what follows from that.
            self.replays.releases.inspect_all();
        }
        self.deliveries.dispatcher.adopt(self.streams.rule_set().rules());
        let ended = self.run_loop(&mut commands, &mut stop).await;
        self.streams.close();
        let ended = match ended {
            Err(Error::Store(error)) => Err(error.into()),
            ended => self.wind_down().await.and(ended),
        };
        self.log.log_all(Instant::now().into_std());
        ended
    }

    async fn run_loop(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mut ticks = tokio::time::interval(self.limits.checkpoint_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_more = self.read()?;
            let detach_at = self.streams.detach_at();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                event = self.deliveries.dispatcher.next() => self.handle_events(event),
                Some(written) = self.writes.next() => self.written(written?),
                inspected = self.replays.releases.next() => self.release(inspected),
                Some(command) = commands.recv() => self.apply(command),
                event = std::future::poll_fn(|context| self.streams.poll_event(context)), if !has_more && !self.writes.journal_is_full() => {
                    if let Some(news) = self.streams.take_event(event, &mut self.deliveries)? {
                        self.act_on(news)?;
                    }
                }
                () = std::future::ready(()), if has_more => {}
                () = sleep_until(detach_at.unwrap_or_else(Instant::now)), if detach_at.is_some() => {}
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    /// Takes what the streams have ready, as far as the rules have room. True: there is more.
    fn read(&mut self) -> Result<bool, Error> {
        self.streams.let_go_of_gathered(&mut self.deliveries.dispatcher);
        if self.writes.journal_is_full() {
            return Ok(false);
        }
        // Detached rules first: they meet the main stream where it is now, not where it is about to be.
        let feeds_have_more = self.streams.catch_up(&mut self.deliveries);
        loop {
            match self.streams.fill(&mut self.deliveries)? {
                Filled::All => return Ok(feeds_have_more),
                Filled::Part => return Ok(true),
                Filled::News(news) => self.act_on(news)?,
            }
        }
    }

    fn act_on(&mut self, news: News) -> Result<(), Error> {
        match news {
            News::Begun => self.checkpoint(),
            News::Tables(tables) => {
                let if_missing = self.streams.tables_named();
                if let Some(needs) = self.needs.judge(self.streams.rule_set(), &tables, if_missing)? {
                    self.writes.write(needs);
                }
            }
        }
        Ok(())
    }

    /// Takes this event of the dispatcher, and all that are ready.
    fn handle_events(&mut self, event: DeliveryEvent) {
        self.handle_event(event);
        while let Some(event) = self.deliveries.dispatcher.try_next() {
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: DeliveryEvent) {
        if let DeliveryEvent::Withdrawn(origin) = event {
            return self.replays.given_back(origin);
        }
        if let Some(completed) = self.deliveries.handle_event(event, &mut self.writes) {
            self.settle(completed);
        }
    }

    /// Sends a blocked delivery whose turn has come.
    fn release(&mut self, inspected: InspectedLetter) {
        let Some(letter) = self.replays.releases.inspected(inspected) else { return };
        let (number, rule) = (letter.head.number, letter.head.rule.clone());
        // It may have been edited after it was read. One that can't be read again is sent as it was.
        if let Ok(Some(now)) = self.writes.store().open_head(number)
            && now.edit != letter.head.edit
        {
            return self.replays.releases.outdated(number);
        }
        let sagas = &self.deliveries.sagas;
        let delivery = delivery_of(letter, self.streams.rule_set());
        match delivery.and_then(|delivery| sagas.resume(self.writes.store(), delivery, SagaCommand::Resume)) {
            Ok(delivery) => self.deliveries.dispatcher.submit(delivery),
            Err(why) => self.replays.releases.cannot_go(number, &rule, why),
        }
    }

    fn tick(&mut self) {
        let store = self.writes.store();
        self.metrics.dead_letters.set(store.dead_letter_count() as i64);
        self.metrics.blocked_deliveries.set(store.blocked_count() as i64);
        self.metrics.blocked_keys.set(store.blocked_keys().keys() as i64);
        self.metrics.dead_letters_awaiting.set(store.awaiting_count() as i64);
        self.replays.releases.review();
        self.withdraw_paused();
        self.log.log_minutes(Instant::now().into_std());
        self.streams.report_metrics(&self.deliveries.dispatcher);
        self.streams.forget_what_never_came();
        self.streams.manage_readers();
        let why_over = |saga: &store::StoredSaga| self.streams.why_over(saga);
        self.deliveries.sagas.give_up_interrupted(why_over, &mut self.writes);
        self.streams.forget_former_ids();
        if !self.writes.has_checkpoint()
            && let Some((streams, reading)) = self.streams.with_reading()
        {
            self.binlog_pin.follow(streams, reading);
            self.metrics.binlog_pinned.set(i64::from(self.binlog_pin.is_pinned()));
        }
        self.checkpoint();
    }

    /// Writes down what moved since the last time, unless that is still under way.
    fn checkpoint(&mut self) {
        if !self.writes.has_checkpoint() {
            self.checkpoint_now();
        }
    }

    /// As [`Pipeline::checkpoint`], whether another is under way or not: it is durable no later than any later write.
    fn checkpoint_now(&mut self) {
        if let Some(write) = self.streams.take_checkpoint() {
            self.writes.checkpoint(write);
        }
    }

    /// Lets attempts under way finish, and makes durable what came of them.
    async fn wind_down(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + self.limits.shutdown_timeout;
        for event in self.deliveries.finish(deadline).await {
            self.handle_event(event);
        }
        while let Some(written) = self.writes.next().await {
            self.written(written?);
        }
        for (rule, deliveries) in self.deliveries.dispatcher.unresolved_besides(self.streams.rule_set().rules()) {
            tracing::warn!(rule, deliveries, "deliveries of a removed rule were not made, and will not be");
        }
        self.replays.releases.finish().await;
        self.streams.forget_former_ids();
        if let Some(write) = self.streams.take_checkpoint() {
            self.writes.store().write(self.writes.after_journal(write)).await?;
        }
        Ok(())
    }
}

/// The change as it may be kept.
fn keep(change: &Change) -> Result<Arc<Change>, Error> {
    let kept = change.detach().map_err(|fault| source::Error::unreadable(fault, &change.transaction))?;
    Ok(Arc::new(kept))
}
