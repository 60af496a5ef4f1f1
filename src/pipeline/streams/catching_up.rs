//! Detached rules: their own readers, and the way back to the main stream.
//!
//! In: rules that were detached, what their readers bring. Out: deliveries of these rules alone, at their own speed, and in
//! the end rules that are attached again. A reader that fails leaves its rule detached with the reason; nothing else is
//! affected (promise 5). `readers` decides when readers are opened and closed.

use std::sync::Arc;

use super::Streams;
use crate::change::Change;
use crate::clock::now_us;
use crate::outcome::reached::Reached;
use crate::pipeline::coverage::{Handover, handover};
use crate::pipeline::deliveries::Deliveries;
use crate::pipeline::feed::StreamRead;
use crate::pipeline::rule_stream::DetachedStream;
use crate::pipeline::{Error, keep};
use crate::position::Position;
use crate::rules::{Match, TableRules};
use crate::source::SourceEvent;

/// What one feed may take in a turn: more than the main stream does, so that it catches up with it under load.
const TAKEN_PER_TURN: usize = 512;

/// What all feeds together may take in a turn, so that completions and the main stream get theirs.
const TAKEN_PER_TURN_BY_ALL: usize = 2048;

impl Streams {
    /// The main stream goes on without this rule, from its current position.
    pub(super) fn detach(&mut self, at: usize, why: &str) {
        if let Some(place) = self.leave_main_stream(at) {
            let rule = &*self.rules[at].name;
            tracing::warn!(rule, %place, "detached: {why}; the other rules go on without it");
        }
    }

    /// From here on the rule has its own reader. None: the main stream has no position yet.
    pub(super) fn leave_main_stream(&mut self, at: usize) -> Option<Position> {
        let place = self.main.feed.reached().cloned()?;
        let position = place.position().clone();
        let mut detached = DetachedStream::at(&self.rules[at].rule, place, now_us());
        detached.feed.is_complete_up_to(self.main.feed.complete_up_to_us());
        self.rules.detach(at, detached);
        self.has_moved = true;
        Some(position)
    }

    /// Takes what the readers of detached rules have ready, and attaches those that have caught up. True: there is
    /// more.
    pub fn catch_up(&mut self, out: &mut Deliveries) -> bool {
        let mut left = TAKEN_PER_TURN_BY_ALL;
        let mut has_more = false;
        for _ in 0..self.rules.detached() {
            // In turn, because the last ones may find nothing left to take.
            let Some(at) = self.rules.next_detached().filter(|_| left > 0) else { return true };
            has_more |= self.take_from(at, &mut left, out);
            self.attach_if_level(at);
        }
        has_more
    }

    fn take_from(&mut self, at: usize, left: &mut usize, out: &mut Deliveries) -> bool {
        for _ in 0..TAKEN_PER_TURN.min(*left) {
            let has_room = self.rules.has_room(at);
            let Some(detached) = self.rules[at].detached.as_mut().filter(|detached| has_room && detached.is_reading())
            else {
                return false;
            };
            match detached.feed.try_read() {
                Ok(Some(read)) => self.take_detached(at, read, out),
                Ok(None) => return false,
                Err(error) => {
                    self.give_up(at, &error);
                    return false;
                }
            }
            *left -= 1;
        }
        true
    }

    /// Takes what the feed of a detached rule brought.
    fn take_detached(&mut self, at: usize, read: StreamRead, out: &mut Deliveries) {
        match read {
            // Only the main stream's reader reports them.
            StreamRead::Tables(_) => {}
            StreamRead::Started(resume) => self.begun(at, resume.into()),
            StreamRead::Change(change, rules) => {
                if let Err(error) = self.take_detached_change(at, &change, &rules, out) {
                    self.give_up(at, &error);
                }
            }
            StreamRead::Committed(committed, ended) => {
                if let Some(transaction) = &ended {
                    out.dispatcher.transaction_ended(transaction);
                }
                self.has_moved = true;
                self.rules[at].commit(&committed, None);
            }
            // The main stream has reported it.
            StreamRead::Emptied(_) | StreamRead::Idle => {}
        }
    }

    fn take_detached_change(
        &mut self,
        at: usize,
        change: &Arc<Change>,
        rules: &TableRules,
        out: &mut Deliveries,
    ) -> Result<(), Error> {
        if !self.rules[at].has_had(change) {
            self.alone.clear();
            rules.matches(change, &mut self.alone);
            if let Some(Match { rule, undecided, lacks }) = self.alone.pop() {
                if let Some(lacks) = lacks {
                    self.pause_at(at, change, &lacks);
                    return Ok(());
                }
                let kept = keep(change)?;
                let stream = &mut self.rules[at];
                if !stream.has_own_mark()
                    && let Some(place) = stream.detached.as_ref().and_then(|detached| detached.feed.reached()).cloned()
                {
                    stream.tracker.go_on_from(place);
                }
                self.deliver(at, rule, &kept, undecided, out);
            }
        }
        if let Some(detached) = &mut self.rules[at].detached {
            detached.feed.pass(change);
        }
        Ok(())
    }

    /// A reader has said where it begins.
    fn begun(&mut self, at: usize, place: Reached) {
        let stream = &mut self.rules[at];
        let Some(detached) = &mut stream.detached else { return };
        if detached.start.take().is_none() {
            return;
        }
        if let Some(before) = detached.feed.reached() {
            tracing::warn!(
                rule = &*stream.name,
                from = %before.position(),
                to = %place.position(),
                "changes between these positions are skipped, as an operator asked"
            );
        }
        detached.feed.leap(place.clone());
        stream.coverage = None;
        stream.tracker.go_on_from(place);
        self.has_moved = true;
    }

    /// Attaches a rule whose feed has brought all that the main stream has.
    fn attach_if_level(&mut self, at: usize) {
        let Some(main) = self.main.feed.reached() else { return };
        let stream = &self.rules[at];
        // A rule that is half full would be detached again at once.
        if stream.coverage.is_some() || !stream.uses_less_than(2, self.rules.window()) {
            return;
        }
        let may_join =
            |detached: &&DetachedStream| detached.start.is_none() && detached.is_recorded && detached.lacks.is_none();
        let own = stream.detached.as_ref().filter(may_join);
        let Some(place) = own.and_then(|detached| detached.feed.reached()) else { return };
        let Some(Handover { coverage }) = handover(main, place) else { return };
        tracing::info!(rule = &*stream.name, place = %place.position(), "caught up; attached to the main stream again");
        let place = place.clone();
        self.rules.attach(at, place, coverage);
        self.has_moved = true;
    }

    fn give_up(&mut self, at: usize, error: &Error) {
        let stream = &mut self.rules[at];
        let Some(detached) = &mut stream.detached else { return };
        detached.feed.close();
        let error = for_rule(&error.to_string(), &stream.name);
        detached.error = Some(error.clone());
        let place = detached.feed.reached().map(|place| place.position().to_string()).unwrap_or_default();
        tracing::error!(
            rule = &*stream.name,
            place,
            %error,
            "the rule stays detached, the others go on; fix the error and run `rowhook resume {0}`, or skip what lies between: `rowhook resume {0} --from latest`",
            stream.name
        );
    }

    /// Takes what the reader of a detached rule brought, or that it failed.
    pub(super) fn take_detached_event(&mut self, at: usize, event: Result<SourceEvent, Error>, out: &mut Deliveries) {
        match event {
            Ok(event) => {
                let read = self.rules[at].detached.as_mut().and_then(|detached| detached.feed.take(event));
                if let Some(read) = read {
                    self.take_detached(at, read, out);
                }
                self.attach_if_level(at);
            }
            Err(error) => self.give_up(at, &error),
        }
    }
}

/// The error's advice for all rules, worded for this one.
fn for_rule(error: &str, rule: &str) -> String {
    // A running rowhook moves no position, but resumes a rule elsewhere.
    let error = error.replace("rowhook position set --to ", &format!("rowhook resume {rule} --from "));
    error.replace("rowhook position set ", &format!("rowhook position set --rule {rule} "))
}
