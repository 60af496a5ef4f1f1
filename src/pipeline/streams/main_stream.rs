//! The main stream: what all attached rules are fed from.
//!
//! In: what its feed brings. Out: deliveries of every attached rule that matches a change. Owns its pending change. All rules
//! that a change is for take it, or none takes it yet: a rule without room delays the stream, until it has room or its detach
//! timeout ends; then the stream goes on without the rule, at exactly that change (promise 5). It also goes on without a rule
//! that needs a column that the change's table lacks. Ends of transactions are reported only to rules that have something
//! above their low-water marks; the mark of any other is the stream's position.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::{News, Streams};
use crate::change::{Change, Op};
use crate::lag::OldestChange;
use crate::pipeline::deliveries::Deliveries;
use crate::pipeline::feed::{Feed, StreamRead};
use crate::pipeline::{Error, keep};
use crate::rules::{Match, Rule, RuleSet, TableRules};
use crate::schema::TableName;
use crate::source::{Emptied, Following};

/// Changes and ends of transactions taken in one turn, so that completions and the stop get theirs.
const TAKEN_PER_TURN: usize = 256;

/// A rule that uses less than one part in so many of its window is about to run out of work.
const DRY_PART: usize = 4;

/// The main stream, and its pending change.
#[derive(Debug)]
pub(super) struct MainStream {
    pub feed: Feed,
    /// A change that not all rules that want it can take.
    pending: Option<Arc<Change>>,
    /// The rules that want it.
    matches: Vec<Match>,
    /// Buffers to work out which rules take a change: streams with the number of their match, and those that are full.
    takes_it: Vec<(usize, usize)>,
    full: Vec<usize>,
    /// When a rule that the stream waits for is detached.
    detach_at: Option<Instant>,
}

/// How much the main stream has brought.
pub(in crate::pipeline) enum Filled {
    /// All that is there, or all that there is room for.
    All,
    /// There is more.
    Part,
    /// There may be more, once the loop has acted on this.
    News(News),
}

impl MainStream {
    /// Has no position yet.
    pub fn new(rules: Arc<RuleSet>) -> MainStream {
        let feed = Feed::new(rules, None);
        let (matches, takes_it, full) = (Vec::new(), Vec::new(), Vec::new());
        MainStream { feed, pending: None, matches, takes_it, full, detach_at: None }
    }

    /// Continues with other rules from its position; a reader of other tables must be opened then.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) {
        self.matches.clear();
        if let Some(change) = &self.pending {
            rules.matches(change, &mut self.matches);
        }
        self.feed.set_rules(rules);
    }

    /// Continues with this reader from its position. The reader brings the pending change again.
    pub fn open(&mut self, reader: Following) {
        self.pending = None;
        self.detach_at = None;
        self.feed.open(reader);
    }

    /// The oldest change that may be in the log and that no rule has taken.
    pub fn oldest_unread(&self, now_us: u64) -> OldestChange {
        match &self.pending {
            Some(change) => OldestChange::NotBefore(change.transaction.committed_at_us),
            None => self.feed.oldest_unread(now_us),
        }
    }
}

impl Streams {
    /// Takes what the main stream has ready, as far as the rules have room.
    pub fn fill(&mut self, out: &mut Deliveries) -> Result<Filled, Error> {
        for _ in 0..TAKEN_PER_TURN {
            if self.main.pending.is_some() && !self.take_pending(out)? {
                return Ok(Filled::All);
            }
            if !self.main_takes() {
                return Ok(Filled::All);
            }
            let Some(read) = self.main.feed.try_read()? else { return Ok(Filled::All) };
            if let Some(news) = self.take(read, out)? {
                return Ok(Filled::News(news));
            }
        }
        Ok(Filled::Part)
    }

    /// When the main stream will wait no longer for a rule; none: it waits for none, or that harms no rule.
    pub fn detach_at(&self) -> Option<Instant> {
        self.main.detach_at
    }

    /// Whether the next event may be taken.
    pub(super) fn main_takes(&self) -> bool {
        self.main.pending.is_none() && (self.has_begun || self.main.feed.reached().is_none())
    }

    /// Takes in what its feed brought, in the order in which it came.
    pub(super) fn take(&mut self, read: StreamRead, out: &mut Deliveries) -> Result<Option<News>, Error> {
        match read {
            StreamRead::Tables(tables) => return Ok(Some(News::Tables(tables))),
            StreamRead::Started(resume) => {
                if self.main.feed.reached().is_none() {
                    self.main.feed.leap(resume.into());
                    self.has_moved = true;
                    return Ok(Some(News::Begun));
                }
                self.has_moved |= self.main.feed.adopt_proof(&resume.position);
            }
            StreamRead::Change(change, rules) => self.take_change(change, &rules, out)?,
            StreamRead::Committed(committed, ended) => {
                if let Some(transaction) = &ended {
                    out.dispatcher.transaction_ended(transaction);
                }
                self.has_moved = true;
                self.rules.commit(&committed, self.main.feed.reached().map(|place| place.position()));
            }
            StreamRead::Emptied(emptied) => self.warn_of(&emptied),
            StreamRead::Idle => {}
        }
        Ok(None)
    }

    /// Rows of watched tables were removed or added for which no rule can be called.
    fn warn_of(&self, emptied: &Emptied) {
        let is_about = |table: &TableName, rule: &Rule| {
            rule.on.contains(&Op::Truncate) && rule.tables.match_any(&table.schema, &table.table)
        };
        let is_delivered = emptied
            .truncated()
            .is_some_and(|table| self.main.feed.rules().rules().iter().any(|rule| is_about(table, rule)));
        if !is_delivered {
            self.metrics.rows_without_events.inc();
            let place = &emptied.place;
            warn!(%place, "{emptied}: rows were removed or added without row events; no rule is called for them");
        }
    }

    fn take_change(&mut self, change: Arc<Change>, rules: &TableRules, out: &mut Deliveries) -> Result<(), Error> {
        self.main.matches.clear();
        rules.matches(&change, &mut self.main.matches);
        if self.main.matches.is_empty() {
            self.pass(&change);
            return Ok(());
        }
        self.main.pending = Some(change);
        self.take_pending(out).map(drop)
    }

    fn pass(&mut self, change: &Change) {
        self.main.feed.pass(change);
        self.has_moved = true;
    }

    /// Gives the pending change to the rules that it is for. False: one of them has no room.
    fn take_pending(&mut self, out: &mut Deliveries) -> Result<bool, Error> {
        let Some(change) = self.main.pending.take() else { return Ok(true) };
        self.part_with_lacking(&change);
        loop {
            self.find_who_takes_it(&change);
            if self.main.full.is_empty() {
                break;
            }
            if !self.part_with_full(out) {
                self.main.pending = Some(change);
                return Ok(false);
            }
        }
        if self.main.detach_at.take().is_some() {
            let now = Instant::now();
            self.main.takes_it.iter().for_each(|(at, _)| self.rules[*at].detach_timeout.rest(now));
        }
        if !self.main.takes_it.is_empty() {
            let kept = keep(&change)?;
            for n in 0..self.main.takes_it.len() {
                let (at, found) = self.main.takes_it[n];
                self.begin_mark(at);
                let found = &mut self.main.matches[found];
                let (rule, undecided) = (Arc::clone(&found.rule), found.undecided.take());
                self.deliver(at, rule, &kept, undecided, out);
            }
        }
        self.pass(&change);
        Ok(true)
    }

    /// Pauses the rules of the change's matches that can't work on its table, at the main stream's position, before this
    /// row. The main stream goes on without them.
    fn part_with_lacking(&mut self, change: &Change) {
        for n in 0..self.main.matches.len() {
            let found = &self.main.matches[n];
            let (Some(lacks), Some(at)) = (found.lacks.clone(), self.rules.find(&found.rule.name)) else { continue };
            if self.rules[at].takes(change) && self.leave_main_stream(at).is_some() {
                self.pause_at(at, change, &lacks);
            }
        }
    }

    fn find_who_takes_it(&mut self, change: &Change) {
        let window = self.rules.window();
        self.main.takes_it.clear();
        self.main.full.clear();
        for (found, Match { rule, .. }) in self.main.matches.iter().enumerate() {
            let Some(at) = self.rules.find(&rule.name) else { continue };
            let stream = &mut self.rules[at];
            if stream.takes(change) {
                self.main.takes_it.push((at, found));
                if !stream.has_room(window) {
                    self.main.full.push(at);
                }
            }
        }
    }

    /// A rule is about to have something above its mark.
    fn begin_mark(&mut self, at: usize) {
        let place = self.main.feed.reached().expect("changes come after the source has said where it begins");
        self.rules.begin_mark(at, place);
    }

    /// Detaches those of the rules without room that the main stream must not wait for. False: it waits for all of them.
    fn part_with_full(&mut self, out: &Deliveries) -> bool {
        let now = Instant::now();
        let harms = self.another_rule_runs_dry(out);
        let mut has_parted = false;
        self.main.detach_at = None;
        for at in std::mem::take(&mut self.main.full) {
            let stream = &mut self.rules[at];
            let is_blocked = out.dispatcher.is_blocked(&stream.name);
            if is_blocked || !stream.detach_timeout.bears(now, harms) {
                let why =
                    if is_blocked { "its window is full and nothing of it can start" } else { "its window stays full" };
                self.detach(at, why);
                has_parted = true;
                continue;
            }
            let ends_at = stream.detach_timeout.ends_at();
            self.main.detach_at = self.main.detach_at.into_iter().chain(ends_at).min();
        }
        has_parted
    }

    /// Whether waiting harms a rule that could do something meanwhile.
    fn another_rule_runs_dry(&self, out: &Deliveries) -> bool {
        self.rules.iter().any(|stream| {
            stream.detached.is_none()
                && stream.uses_less_than(DRY_PART, self.rules.window())
                && !out.dispatcher.is_blocked(&stream.name)
        })
    }
}
