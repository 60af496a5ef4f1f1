//! All streams: the main one, which attached rules are fed from, and that of each rule.
//!
//! In: what readers of the binlog bring, and what becomes of rules and deliveries. Out: deliveries in the order of each
//! stream, checkpoints, and the few events that the loop must act on. Owns every position that was reached, the readers and the
//! pending change of the main stream. Keeps promise 1 (nothing is passed that is not resolved), promise 5 (no rule waits
//! for another: one that can't keep up gets its own reader, see `catching_up`) and promise 6 (a rule takes changes only
//! while its window has room). Writes nothing down, and never waits.

mod catching_up;
mod checkpoint;
mod former_ids;
mod list;
mod main_stream;
mod pausing;
mod readers;
mod reloading;
mod status;

pub(super) use main_stream::Filled;
pub(super) use reloading::Vanished;

use std::sync::Arc;

use list::RuleStreams;
use main_stream::MainStream;

use super::beginning::{self, Beginning};
use super::counts::RuleMetrics;
use super::coverage::Coverage;
use super::deliveries::Deliveries;
use super::reading::ChangeSource;
use super::rule_stream::{RuleStream, Window};
use crate::change::{Change, DeliveryId};
use crate::clock::now_us;
use crate::delivery::{Completed, Dispatcher};
use crate::outcome::tracker::Tracker;
use crate::rules::{IfMissing, Match, Rule, RuleSet};
use crate::schema::NamedTables;
use crate::store::{self, FormerIds, SavedCheckpoint};
use crate::telemetry::Metrics;

/// A ledger entry from before a restart whose delivery has not come again after this many deliveries of its rule no longer
/// matches: far more than a window can hold.
const REPEATS_EXPECTED_WITHIN: u64 = 1 << 20;

/// See the module's header.
pub(super) struct Streams {
    main: MainStream,
    rules: RuleStreams,
    /// Room for the match of a change that a rule's own reader brings.
    alone: Vec<Match>,
    /// Where changes come from; none while commands alone are served.
    reading: Option<ChangeSource>,
    /// Whether any position moved since the last checkpoint.
    has_moved: bool,
    /// Whether the store holds a checkpoint. Until then nothing is taken: a crash would begin again at a newer `latest`.
    has_begun: bool,
    /// When the last checkpoint was made durable, in microseconds since the Unix epoch.
    checkpointed_at_us: Option<u64>,
    /// In the ledger, of rules that no longer exist.
    orphans: Vec<DeliveryId>,
    /// Up to where deliveries may be known by the ids that they had before an upgrade.
    former_ids: Option<FormerIds>,
    metrics: Arc<Metrics>,
}

/// What the main stream brings that the loop must act on.
#[derive(Debug)]
pub(super) enum News {
    /// The tables as the server has them now.
    Tables(NamedTables),
    /// It has a position for the first time: nothing more is taken before that is durable.
    Begun,
}

impl Streams {
    /// Not begun. `limit` is for each rule in number, and for all together in bytes.
    pub fn new(rules: Arc<RuleSet>, limit: Window, metrics: Arc<Metrics>) -> Streams {
        let list = rules.rules().iter().map(|rule| RuleStream::not_begun(rule, None)).collect();
        Streams {
            main: MainStream::new(rules),
            rules: RuleStreams::new(list, limit),
            alone: Vec::new(),
            reading: None,
            has_moved: false,
            has_begun: false,
            checkpointed_at_us: None,
            orphans: Vec::new(),
            former_ids: None,
            metrics,
        }
    }

    /// Continues at the positions of the store's checkpoint.
    pub fn restart(&mut self, checkpoint: SavedCheckpoint) {
        self.former_ids = checkpoint.former_ids.clone();
        let Beginning { main, streams, orphans } = beginning::begin(self.rule_set(), checkpoint, now_us());
        self.main.feed.leap(main.into());
        self.rules.replace(streams);
        self.orphans = orphans;
        self.has_begun = true;
        self.has_moved = true;
    }

    /// Begins to read.
    pub fn open(&mut self, reading: ChangeSource) {
        let feed = &self.main.feed;
        let reader = reading.follow(feed.reached(), feed.rules(), Arc::clone(&self.metrics));
        self.main.open(reader);
        self.reading = Some(reading);
    }

    /// The current rules.
    pub fn rule_set(&self) -> &Arc<RuleSet> {
        self.main.feed.rules()
    }

    /// The server has named its tables: later readers need not ask for them. Returns what it means that one is missing.
    pub fn tables_named(&mut self) -> IfMissing {
        let Some(reading) = &mut self.reading else { return IfMissing::Refuse };
        reading.settings.names_tables = false;
        reading.if_missing
    }

    /// The streams of all rules, with where their changes come from; none while commands alone are served.
    pub fn with_reading(&mut self) -> Option<(&mut [RuleStream], &ChangeSource)> {
        Some((self.rules.as_mut_slice(), self.reading.as_ref()?))
    }

    /// A rule whose window is full of buffered changes gets nothing more: what it has must be sent.
    pub fn let_go_of_gathered(&self, dispatcher: &mut Dispatcher) {
        if dispatcher.gathers() {
            let window = self.rules.window();
            for stream in self.rules.iter().filter(|stream| !stream.has_room(window)) {
                dispatcher.close_gathering(Some(&stream.name));
            }
        }
    }

    /// Hands on what a rule calls for on a change.
    fn deliver(
        &mut self,
        at: usize,
        rule: Arc<Rule>,
        change: &Arc<Change>,
        undecided: Option<String>,
        out: &mut Deliveries,
    ) {
        let id = self.id_of(at, &rule, change, &out.sagas);
        let stream = &mut self.rules[at];
        stream.counts(&self.metrics).matched.inc();
        if stream.open(id, change) {
            out.deliver(id, rule, change, undecided);
        }
    }

    /// Counts the outcome of a delivery. Returns the index of its rule's stream, if the rule still exists.
    pub fn count(&mut self, completed: &Completed) -> Option<usize> {
        let rule = &completed.delivery.rule.name;
        let stream = self.find(rule);
        match stream {
            Some(at) => self.rules[at].counts(&self.metrics).settled(completed, &self.metrics),
            None => RuleMetrics::of(&self.metrics, rule).settled(completed, &self.metrics),
        }
        stream
    }

    /// The index of a rule's stream, until rules are reloaded.
    pub fn find(&self, rule: &str) -> Option<usize> {
        self.rules.find(rule)
    }

    /// A delivery of the stream at this index has its outcome; `resolve` says whether the ledger has it already.
    pub fn resolve(&mut self, at: usize, id: &DeliveryId, resolve: fn(&mut Tracker, &DeliveryId)) {
        resolve(&mut self.rules[at].tracker, id);
    }

    /// Ledger entries from before a restart that never came again are of no use.
    pub fn forget_what_never_came(&mut self) {
        for stream in self.rules.iter_mut() {
            if stream.opened > REPEATS_EXPECTED_WITHIN && stream.tracker.expects_repeats() {
                stream.tracker.forget_what_never_came();
            }
        }
    }

    /// Why a saga that was under way will not come again; none: its change is not passed yet, and a rule that comes
    /// back until then goes on with it. Of a rule that is gone, by the main stream.
    pub fn why_over(&self, saga: &store::StoredSaga) -> Option<&'static str> {
        let stream = self.rules.get(&saga.rule);
        let is_attached = stream.is_none_or(|stream| stream.detached.is_none());
        let own_mark = stream.and_then(RuleStream::own_mark);
        let mark = own_mark.or_else(|| self.main.feed.reached().filter(|_| is_attached))?;
        let is_passed = Coverage::new(&mark.resume()).holds(&saga.change);
        let why = if stream.is_none() { "the rule is gone" } else { "the rule no longer means this change" };
        is_passed.then_some(why)
    }
}
