//! The main stream: what all attached rules are fed from.
//!
//! In: what its feed brings. Out: deliveries of every attached rule that a change matches. A change is taken by all of them
//! or by none yet: a rule without room holds the stream up, until it has room or the patience with it ends; then the stream
//! goes on without it, at exactly that change (promise 5). So it does where a rule needs a column that the change's table lacks. Ends of transactions are told only to rules that have something
//! above their marks; the mark of any other is where the stream stands.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::feed::Read;
use super::{Error, Pipeline, keep};
use crate::change::{Change, Op};
use crate::position::Committed;
use crate::rules::{Match, Rule, TableRules};
use crate::schema::TableName;
use crate::source::Emptied;

/// Changes and ends of transactions taken in one turn, so that completions and the stop get theirs.
const TAKEN_PER_TURN: usize = 256;

/// A rule that uses less than one part in so many of its window is about to run out of work.
const DRY_PART: usize = 4;

impl Pipeline {
    /// Takes what the source has ready, as far as the rules have room. True: there is more.
    pub(super) fn fill(&mut self) -> Result<bool, Error> {
        for _ in 0..TAKEN_PER_TURN {
            if self.held.is_some() && !self.take_held()? {
                return Ok(false);
            }
            if !self.main_takes() {
                return Ok(false);
            }
            match self.main.try_read()? {
                Some(read) => self.take(read)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether the next event may be taken.
    pub(super) fn main_takes(&self) -> bool {
        self.held.is_none() && (self.has_begun || self.main.reached().is_none())
    }

    pub(super) fn take(&mut self, read: Read) -> Result<(), Error> {
        match read {
            Read::Tables(tables) => self.judge(&tables)?,
            Read::Started(resume) => {
                if self.main.reached().is_none() {
                    self.main.leap(resume.into());
                    self.has_moved = true;
                    self.checkpoint();
                } else if self.main.adopt_proof(&resume.position) {
                    self.has_moved = true;
                }
            }
            Read::Change(change, rules) => self.take_change(change, &rules)?,
            Read::Committed(committed, ended) => {
                if let Some(transaction) = &ended {
                    self.dispatcher.transaction_ended(transaction);
                }
                self.commit(&committed);
            }
            Read::Emptied(emptied) => self.tell_of(&emptied),
            Read::Idle => {}
        }
        Ok(())
    }

    /// Rows of watched tables went, or came, that no rule can be called for.
    fn tell_of(&self, emptied: &Emptied) {
        let is_about = |table: &TableName, rule: &Rule| {
            rule.on.contains(&Op::Truncate) && rule.table.matches(&table.schema, &table.table)
        };
        let is_delivered =
            emptied.truncated().is_some_and(|table| self.main.rules().rules().iter().any(|rule| is_about(table, rule)));
        if !is_delivered {
            self.metrics.rows_without_events.inc();
            let place = &emptied.place;
            warn!(%place, "{emptied}: rows were removed or added without row events; no rule is called for them");
        }
    }

    fn commit(&mut self, committed: &Committed) {
        self.has_moved = true;
        let list = &mut self.streams.list;
        let place = self.main.reached().map(|place| place.position());
        self.own_marks.retain(|at| {
            let stream = &mut list[*at];
            let is_fed = stream.behind.is_none() && stream.has_own_mark();
            if is_fed {
                stream.commit(committed, place);
            }
            is_fed
        });
    }

    fn take_change(&mut self, change: Arc<Change>, rules: &TableRules) -> Result<(), Error> {
        self.matches.clear();
        rules.matches(&change, &mut self.matches);
        if self.matches.is_empty() {
            self.pass(&change);
            return Ok(());
        }
        self.held = Some(change);
        self.take_held().map(drop)
    }

    fn pass(&mut self, change: &Change) {
        self.main.pass(change);
        self.has_moved = true;
    }

    /// Gives the change that is held to the rules that it is for. False: one of them has no room.
    fn take_held(&mut self) -> Result<bool, Error> {
        let Some(change) = self.held.take() else { return Ok(true) };
        self.part_with_lacking(&change);
        loop {
            self.find_takers(&change);
            if self.full.is_empty() {
                break;
            }
            if !self.part_with_full() {
                self.held = Some(change);
                return Ok(false);
            }
        }
        if self.patience_ends_at.take().is_some() {
            let now = Instant::now();
            self.takers.iter().for_each(|(at, _)| self.streams.list[*at].patience.rest(now));
        }
        if !self.takers.is_empty() {
            let kept = keep(&change)?;
            for n in 0..self.takers.len() {
                let (at, found) = self.takers[n];
                self.feed(at);
                let found = &mut self.matches[found];
                let (rule, undecided) = (Arc::clone(&found.rule), found.undecided.take());
                self.deliver(at, rule, &kept, undecided);
            }
        }
        self.pass(&change);
        Ok(true)
    }

    fn find_takers(&mut self, change: &Change) {
        self.takers.clear();
        self.full.clear();
        for (found, Match { rule, .. }) in self.matches.iter().enumerate() {
            let Some(at) = self.streams.find(&rule.name) else { continue };
            let stream = &mut self.streams.list[at];
            if stream.takes(change) {
                self.takers.push((at, found));
                if !stream.has_room(self.window) {
                    self.full.push(at);
                }
            }
        }
    }

    /// A rule is about to have something above its mark.
    fn feed(&mut self, at: usize) {
        let stream = &mut self.streams.list[at];
        if !stream.has_own_mark() {
            let place = self.main.reached().expect("changes come after the source has said where it begins");
            stream.tracker.go_on_from(place.clone());
            self.follow_commits(at);
        }
    }

    pub(super) fn follow_commits(&mut self, at: usize) {
        if !self.own_marks.contains(&at) {
            self.own_marks.push(at);
        }
    }

    /// Detaches those of the rules without room that the main stream must not wait for. False: it waits for all of them.
    fn part_with_full(&mut self) -> bool {
        let now = Instant::now();
        let harms = self.somebody_runs_dry();
        let mut has_parted = false;
        self.patience_ends_at = None;
        for at in std::mem::take(&mut self.full) {
            let stream = &mut self.streams.list[at];
            let is_blocked = self.dispatcher.is_blocked(&stream.name);
            if is_blocked || !stream.patience.bears(now, harms) {
                let why =
                    if is_blocked { "its window is full and nothing of it can start" } else { "its window stays full" };
                self.detach(at, why);
                has_parted = true;
                continue;
            }
            let ends_at = stream.patience.ends_at();
            self.patience_ends_at = self.patience_ends_at.into_iter().chain(ends_at).min();
        }
        has_parted
    }

    /// Whether waiting harms a rule that could do something meanwhile.
    fn somebody_runs_dry(&self) -> bool {
        self.streams.list.iter().any(|stream| {
            stream.behind.is_none()
                && stream.uses_less_than(DRY_PART, self.window)
                && !self.dispatcher.is_blocked(&stream.name)
        })
    }

    /// Lists the streams anew that need more than the rest.
    pub(super) fn relist(&mut self) {
        let list = &self.streams.list;
        self.behind = (0..list.len()).filter(|at| list[*at].behind.is_some()).collect();
        self.own_marks = (0..list.len()).filter(|at| list[*at].behind.is_none() && list[*at].has_own_mark()).collect();
    }
}
