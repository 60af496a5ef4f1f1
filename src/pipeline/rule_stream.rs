//! The stream of one rule: what it has in memory, how far it is resolved, and where its changes come from.
//!
//! In: changes that match, ends of transactions, outcomes. Out: its low-water mark and its status. Owns the rule's tracker and
//! window (promise 6), and its own feed while it is detached, so that it does not delay another rule (promise 5).

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::command::{Paused, StreamStatus};
use super::counts::RuleMetrics;
use super::coverage::Coverage;
use super::detach_timeout::DetachTimeout;
use super::feed::Feed;
use crate::change::{Change, DeliveryId};
use crate::clock::now_us;
use crate::delivery::RuleUnderWay;
use crate::lag::{Lag, OldestChange};
use crate::outcome::reached::Reached;
use crate::outcome::tracker::{Opening, Tracker};
use crate::position::{Committed, Position, Resume, Start};
use crate::rules::{Rule, RuleSet};
use crate::schema::Schema;
use crate::telemetry::Metrics;

/// Deliveries that may stand above a rule's low-water mark, resolved or not. With one key in retry the others go on for
/// this long; each costs about 100 bytes.
const ABOVE_MARK_MAX: usize = 1 << 18;

/// What a delivery holds besides its change: lane, tracker entry, request under way.
const DELIVERY_WEIGHT_BYTES: usize = 512;

/// What one rule may hold in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub deliveries: usize,
    pub bytes: usize,
}

#[derive(Debug)]
pub(super) struct RuleStream {
    pub rule: Arc<Rule>,
    pub name: Arc<str>,
    pub tracker: Tracker,
    /// What it has had already, and its feed brings once more.
    pub coverage: Option<Coverage>,
    /// Its own feed; none while it is attached to the main stream.
    pub detached: Option<DetachedStream>,
    pub paused: Option<Paused>,
    pub detach_timeout: DetachTimeout,
    /// The oldest delivery that is not resolved, and since when it is known as that; used for rules that pin the binlog.
    pub oldest: Option<(DeliveryId, Instant)>,
    /// Deliveries seen since the start.
    pub opened: u64,
    /// The definitions at its mark that were stored last, whole and cut to its own tables.
    own_schema: Option<(Arc<Schema>, Arc<Schema>)>,
    /// Looked up when they are first needed.
    counts: Option<RuleMetrics>,
}

/// A rule that the main stream goes on without.
#[derive(Debug)]
pub(super) struct DetachedStream {
    /// Microseconds since the Unix epoch.
    pub since_us: u64,
    pub feed: Feed,
    /// Where its next reader begins, if not at its feed's position.
    pub start: Option<Start>,
    /// Whether its position is in the store: until then a crash would begin again at a newer `latest`.
    pub is_recorded: bool,
    /// Why its reader gave up.
    pub error: Option<String>,
    /// Set when it is paused before a row whose table lacks a column that it needs.
    pub lacks: Option<Paused>,
}

impl DetachedStream {
    /// Continues from a position.
    pub fn at(rule: &Arc<Rule>, place: Reached, since_us: u64) -> DetachedStream {
        let feed = Feed::new(alone(rule), Some(place));
        DetachedStream { since_us, feed, start: None, is_recorded: true, error: None, lacks: None }
    }

    /// Has not begun yet, and will here.
    pub fn from_start(rule: &Arc<Rule>, start: Start, since_us: u64) -> DetachedStream {
        let feed = Feed::new(alone(rule), None);
        DetachedStream { since_us, feed, start: Some(start), is_recorded: false, error: None, lacks: None }
    }

    /// Whether its reader may bring anything.
    pub fn is_reading(&self) -> bool {
        self.feed.is_open() && self.is_recorded
    }
}

pub(super) fn alone(rule: &Arc<Rule>) -> Arc<RuleSet> {
    Arc::new(RuleSet::new(vec![Arc::clone(rule)]))
}

impl RuleStream {
    /// Attached to the main stream, at this position.
    pub fn new(rule: &Arc<Rule>, place: Reached, ledger: HashSet<DeliveryId>) -> RuleStream {
        RuleStream {
            rule: Arc::clone(rule),
            name: rule.name.as_str().into(),
            tracker: Tracker::new(place, ledger),
            coverage: None,
            detached: None,
            paused: None,
            detach_timeout: DetachTimeout::new(Instant::now()),
            oldest: None,
            opened: 0,
            own_schema: None,
            counts: None,
        }
    }

    /// A rule that has no position of its own yet: it begins where it says, or where the main stream does.
    pub fn not_begun(rule: &Arc<Rule>, main: Option<&Reached>) -> RuleStream {
        let place = main.cloned().unwrap_or_else(Reached::nowhere);
        let mut stream = RuleStream::new(rule, place, HashSet::new());
        stream.detached = rule.settings.start.clone().map(|start| DetachedStream::from_start(rule, start, now_us()));
        stream
    }

    pub fn counts(&mut self, metrics: &Metrics) -> &RuleMetrics {
        self.counts.get_or_insert_with(|| RuleMetrics::of(metrics, &self.name))
    }

    /// Takes in a delivery of the change. False: it is resolved already, and must not be made again.
    pub fn open(&mut self, id: DeliveryId, change: &Change) -> bool {
        self.opened += 1;
        self.tracker.open(Opening {
            id,
            transaction: Arc::clone(&change.transaction),
            table: Arc::clone(&change.table),
            ordinal: change.ordinal,
            weight_bytes: change.weight_bytes() + DELIVERY_WEIGHT_BYTES,
        })
    }

    /// Reports its state in the metrics.
    pub fn report_metrics(&mut self, metrics: &Metrics, lag: Lag, under_way: RuleUnderWay) {
        let (unresolved, is_detached) = (self.tracker.unresolved(), self.detached.is_some());
        let lacks_column = self.lacks().is_some();
        let is_stopped = self.detached.as_ref().is_some_and(|detached| detached.error.is_some());
        let is_paused = self.paused.is_some() || lacks_column;
        let counts = self.counts(metrics);
        counts.unresolved.set(unresolved as i64);
        counts.detached.set(i64::from(is_detached));
        counts.paused.set(i64::from(is_paused));
        counts.lacks_column.set(i64::from(lacks_column));
        counts.stopped.set(i64::from(is_stopped));
        counts.in_flight.set(under_way.in_flight as i64);
        counts.in_retry.set(under_way.in_retry as i64);
        counts.lag_seconds.set(lag.seconds());
    }

    pub fn has_room(&self, window: Window) -> bool {
        let unresolved = self.tracker.unresolved();
        unresolved == 0
            || (unresolved < window.deliveries
                && self.tracker.unresolved_bytes() < window.bytes
                && self.tracker.above_mark() < ABOVE_MARK_MAX)
    }

    /// Whether it uses less than one part in so many of its window.
    pub fn uses_less_than(&self, part: usize, window: Window) -> bool {
        self.tracker.unresolved() < window.deliveries.div_ceil(part)
            && self.tracker.unresolved_bytes() < window.bytes.div_ceil(part)
            && self.tracker.above_mark() < ABOVE_MARK_MAX / part
    }

    /// Whether a change of the main stream is for it.
    pub fn takes(&mut self, change: &Change) -> bool {
        self.detached.is_none() && !self.has_had(change)
    }

    pub fn has_had(&mut self, change: &Change) -> bool {
        self.coverage.as_mut().is_some_and(|coverage| coverage.holds(change))
    }

    /// Whether its mark is its own: else the mark is its feed's position.
    pub fn has_own_mark(&self) -> bool {
        !self.tracker.is_empty() || self.coverage.is_some()
    }

    /// Takes note of the end of a transaction that its feed brought; `main` is the main stream's position if that is its feed.
    pub fn commit(&mut self, committed: &Committed, main: Option<&Position>) {
        let is_covered = self.coverage.as_ref().is_some_and(|coverage| coverage.holds_commit(committed));
        if !is_covered && self.has_own_mark() {
            self.tracker.commit(committed);
        }
        let own = || self.detached.as_ref().and_then(|detached| detached.feed.reached()).map(Reached::position);
        let place = main.or_else(own);
        if self.coverage.as_ref().zip(place).is_some_and(|(coverage, place)| coverage.is_passed_by(place)) {
            self.coverage = None;
        }
    }

    /// Everything before is resolved. None: the mark is the main stream's position, or the rule has not begun.
    pub fn own_mark(&self) -> Option<&Reached> {
        if self.has_own_mark() {
            return Some(self.tracker.mark());
        }
        self.detached.as_ref().and_then(|detached| detached.feed.reached())
    }

    /// Its mark as the store needs it: with the main stream's definitions where it knows the same, else with those of its own
    /// tables alone.
    pub fn own_resume(&mut self, main: &Arc<Schema>) -> Option<Resume> {
        let mut resume = self.own_mark()?.resume();
        if Arc::ptr_eq(&resume.schema, main) || resume.schema == *main {
            resume.schema = Arc::clone(main);
            return Some(resume);
        }
        if !self.own_schema.as_ref().is_some_and(|(whole, _)| Arc::ptr_eq(whole, &resume.schema)) {
            let mut own = (*resume.schema).clone();
            own.forget(|name| !self.rule.tables.match_any(&name.schema, &name.table));
            self.own_schema = Some((Arc::clone(&resume.schema), Arc::new(own)));
        }
        if let Some((_, own)) = &self.own_schema {
            resume.schema = Arc::clone(own);
        }
        Some(resume)
    }

    /// The oldest change that may be in the log and that it has not taken; `main` is that of the main stream.
    pub fn oldest_unread(&self, main: OldestChange, now_us: u64) -> OldestChange {
        self.detached.as_ref().map_or(main, |detached| detached.feed.oldest_unread(now_us))
    }

    /// The oldest change that is not resolved, taken or not.
    pub fn oldest(&self, unread: OldestChange) -> OldestChange {
        self.tracker.oldest_unresolved_us().map_or(unread, OldestChange::At)
    }

    /// That it is paused before a row whose table lacks a column that it needs.
    pub fn lacks(&self) -> Option<&Paused> {
        self.detached.as_ref()?.lacks.as_ref()
    }

    pub fn feed_status(&self) -> StreamStatus {
        match &self.detached {
            None => StreamStatus::Attached,
            Some(detached) => StreamStatus::Detached {
                since_us: detached.since_us,
                is_reading: detached.is_reading(),
                read_up_to_us: detached.feed.read_up_to_us,
                error: detached.error.clone(),
            },
        }
    }
}
