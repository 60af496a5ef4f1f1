//! Rules that are behind: their own readers, and the way back to the main stream.
//!
//! In: rules that were detached, what their readers bring. Out: deliveries of these rules alone, at their own pace, and in
//! the end rules that are attached again. Owns the number of readers (promise 6). A reader that fails leaves its rule behind
//! with the reason; nothing else notices (promise 5).

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::coverage::{Handover, handover};
use super::feed::Read;
use super::rule_stream::{Behind, RuleStream, Window};
use super::{Error, Pipeline};
use crate::change::Change;
use crate::clock::now_us;
use crate::outcome::reached::Reached;
use crate::position::{Position, Start};
use crate::rules::{IfMissing, Match, RuleSet, TableRules};
use crate::source::{self, Following, Hold, Settings, SourceEvent};
use crate::telemetry::Metrics;

/// Readers of rules that are behind, at the same time; each is a connection, and a thread of the server.
const READERS_MAX: usize = 64;

/// What one feed may take in a turn: more than the main stream does, so that it catches up with it under load.
const TAKEN_PER_TURN: usize = 512;

/// What all feeds together may take in a turn, so that completions and the main stream get theirs.
const TAKEN_PER_TURN_BY_ALL: usize = 2048;

/// Where changes come from.
#[derive(Debug)]
pub struct ChangeSource {
    pub settings: Settings,
    /// Where the very first start begins.
    pub start: Start,
    /// What it means for the start that a table is missing.
    pub if_missing: IfMissing,
    /// Gets what the main stream's reader says of itself, and each that takes its place.
    pub status: watch::Sender<Option<source::Watch>>,
}

impl ChangeSource {
    /// A reader for the main stream.
    pub(super) fn follow(&self, place: Option<&Reached>, rules: &RuleSet, metrics: Arc<Metrics>) -> Following {
        let from = match place {
            Some(place) => source::From::Resume(place.resume()),
            None => source::From::Start(self.start.clone()),
        };
        let reader = source::follow(self.settings.clone(), from, rules.patterns(), metrics);
        self.status.send_replace(Some(reader.watch()));
        reader
    }

    /// A reader for a rule alone. The server ends the older one of two readers with the same identity, so it has its own,
    /// the same one each time. What it counts is not the main stream's.
    fn follow_alone(&self, stream: &RuleStream, behind: &Behind) -> Option<Following> {
        let from = match (&behind.start, behind.feed.reached()) {
            (Some(start), _) => source::From::Start(start.clone()),
            (None, Some(place)) => source::From::Resume(place.resume()),
            (None, None) => return None,
        };
        Some(source::follow(self.settings_of(&stream.name), from, behind.feed.rules().patterns(), Arc::default()))
    }

    /// Keeps the server from purging from this place on. Two at a time have different files, and so two identities; no
    /// rule's name has a colon.
    pub(super) fn hold(&self, place: &Position) -> Hold {
        let name = format!("pin_binlog:{}:{}", place.server_uuid(), place.oldest_needed().file);
        source::hold(self.settings_of(&name), place.clone())
    }

    /// For a connection beside the main stream's.
    fn settings_of(&self, name: &str) -> Settings {
        let instance = uuid::Uuid::new_v5(&self.settings.instance, name.as_bytes());
        // A server id that was set is the main stream's.
        let first_connect = source::FirstConnect::Wait;
        Settings { instance, server_id: None, first_connect, names_tables: false, ..self.settings.clone() }
    }
}

impl Pipeline {
    /// The main stream goes on without this rule, from the place where it stands.
    pub(super) fn detach(&mut self, at: usize, why: &str) {
        if let Some(place) = self.leave_main_stream(at) {
            let rule = &*self.streams.list[at].name;
            tracing::warn!(rule, %place, "detached: {why}; the other rules go on without it");
        }
    }

    /// From here on the rule is read for by itself. None: the main stream stands nowhere yet.
    pub(super) fn leave_main_stream(&mut self, at: usize) -> Option<Position> {
        let place = self.main.reached().cloned()?;
        let position = place.position().clone();
        let stream = &mut self.streams.list[at];
        stream.behind = Some(Behind::at(&stream.rule, place, now_us()));
        if !self.behind.contains(&at) {
            self.behind.push(at);
        }
        self.has_moved = true;
        Some(position)
    }

    /// Takes what the readers of rules that are behind have ready, and attaches those that have caught up. True: there is
    /// more.
    pub(super) fn catch_up(&mut self) -> bool {
        let mut left = TAKEN_PER_TURN_BY_ALL;
        let mut has_more = false;
        let turns = self.behind.len();
        for _ in 0..turns {
            // In turn, because the last ones may find nothing left to take.
            self.behind.rotate_left(1);
            let Some(at) = self.behind.last().copied().filter(|_| left > 0) else { return true };
            has_more |= self.take_from(at, &mut left);
            self.attach_if_level(at);
        }
        let list = &self.streams.list;
        self.behind.retain(|at| list[*at].behind.is_some());
        has_more
    }

    fn take_from(&mut self, at: usize, left: &mut usize) -> bool {
        for _ in 0..TAKEN_PER_TURN.min(*left) {
            let stream = &mut self.streams.list[at];
            let has_room = stream.has_room(self.window);
            let Some(behind) = stream.behind.as_mut().filter(|behind| has_room && behind.is_reading()) else {
                return false;
            };
            match behind.feed.try_read() {
                Ok(Some(read)) => self.take_behind(at, read),
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

    /// What the feed of a rule that is behind brought.
    fn take_behind(&mut self, at: usize, read: Read) {
        match read {
            // Only the main stream's reader says it.
            Read::Tables(_) => {}
            Read::Started(resume) => self.begun(at, resume.into()),
            Read::Change(change, rules) => {
                if let Err(error) = self.take_change_behind(at, &change, &rules) {
                    self.give_up(at, &error);
                }
            }
            Read::Committed(committed, ended) => {
                if let Some(transaction) = &ended {
                    self.dispatcher.transaction_ended(transaction);
                }
                self.has_moved = true;
                self.streams.list[at].commit(&committed, None);
            }
            // The main stream has told of it.
            Read::Emptied(_) | Read::Idle => {}
        }
    }

    fn take_change_behind(&mut self, at: usize, change: &Arc<Change>, rules: &TableRules) -> Result<(), Error> {
        if !self.streams.list[at].has_had(change) {
            self.alone.clear();
            rules.matches(change, &mut self.alone);
            if let Some(Match { rule, undecided, lacks }) = self.alone.pop() {
                if let Some(lacks) = lacks {
                    self.pause_at(at, change, &lacks);
                    return Ok(());
                }
                let kept = super::keep(change)?;
                let stream = &mut self.streams.list[at];
                if !stream.has_own_mark()
                    && let Some(place) = stream.behind.as_ref().and_then(|behind| behind.feed.reached()).cloned()
                {
                    stream.tracker.go_on_from(place);
                }
                self.deliver(at, rule, &kept, undecided);
            }
        }
        if let Some(behind) = &mut self.streams.list[at].behind {
            behind.feed.pass(change);
        }
        Ok(())
    }

    /// A reader has said where it begins.
    fn begun(&mut self, at: usize, place: Reached) {
        let stream = &mut self.streams.list[at];
        let Some(behind) = &mut stream.behind else { return };
        if behind.start.take().is_none() {
            return;
        }
        if let Some(before) = behind.feed.reached() {
            tracing::warn!(
                rule = &*stream.name,
                from = %before.position(),
                to = %place.position(),
                "changes between these positions are skipped, as an operator asked"
            );
        }
        behind.feed.leap(place.clone());
        stream.coverage = None;
        stream.tracker.go_on_from(place);
        self.has_moved = true;
    }

    /// Attaches a rule whose feed has brought all that the main stream has.
    fn attach_if_level(&mut self, at: usize) {
        let Some(main) = self.main.reached() else { return };
        let stream = &mut self.streams.list[at];
        // A rule that is half full would be detached again at once.
        if stream.coverage.is_some() || !stream.uses_less_than(2, self.window) {
            return;
        }
        let may_join = |behind: &&Behind| behind.start.is_none() && behind.is_recorded && behind.lacks.is_none();
        let own = stream.behind.as_ref().filter(may_join);
        let Some(place) = own.and_then(|behind| behind.feed.reached()) else { return };
        let Some(Handover { coverage }) = handover(main, place) else { return };
        tracing::info!(rule = &*stream.name, place = %place.position(), "caught up; attached to the main stream again");
        if coverage.is_some() && !stream.has_own_mark() {
            stream.tracker.go_on_from(place.clone());
        }
        stream.coverage = coverage;
        stream.behind = None;
        self.follow_commits(at);
        self.has_moved = true;
    }

    fn give_up(&mut self, at: usize, error: &Error) {
        let stream = &mut self.streams.list[at];
        let Some(behind) = &mut stream.behind else { return };
        behind.feed.close();
        let error = for_rule(&error.to_string(), &stream.name);
        behind.error = Some(error.clone());
        let place = behind.feed.reached().map(|place| place.position().to_string()).unwrap_or_default();
        tracing::error!(
            rule = &*stream.name,
            place,
            %error,
            "the rule stays behind, the others go on; fix it and `rowhook resume {0}`, or leave out what lies between: \
             `rowhook resume {0} --from latest`",
            stream.name
        );
    }

    /// Opens readers for the rules that can take something, and closes those of rules that can't while others wait.
    pub(super) fn manage_readers(&mut self) {
        let Some(reading) = self.reading.as_ref().filter(|_| !self.behind.is_empty()) else { return };
        let window = self.window;
        let list = &mut self.streams.list;
        let mut waiting: Vec<usize> = (0..list.len()).filter(|at| wants_reader(&list[*at], window)).collect();
        let mut open = list.iter().filter(|stream| has_reader(stream)).count();
        if waiting.is_empty() {
            return;
        }
        waiting.sort_by_key(|at| list[*at].behind.as_ref().map(|behind| behind.since_us));
        for at in waiting {
            if open >= READERS_MAX {
                let idle = list.iter_mut().find(|stream| has_reader(stream) && !stream.has_room(window));
                let Some(behind) = idle.and_then(|stream| stream.behind.as_mut()) else { break };
                behind.feed.close();
                open -= 1;
            }
            let stream = &list[at];
            let reader = stream.behind.as_ref().and_then(|behind| reading.follow_alone(stream, behind));
            if let (Some(reader), Some(behind)) = (reader, &mut list[at].behind) {
                behind.feed.open(reader);
                open += 1;
            }
        }
    }

    /// The next event of a reader of a rule that is behind and has room.
    pub(super) fn poll_readers(
        streams: &mut [RuleStream],
        behind: &[usize],
        window: Window,
        context: &mut Context<'_>,
    ) -> Poll<(usize, Result<SourceEvent, Error>)> {
        for at in behind.iter().copied() {
            let stream = &mut streams[at];
            if stream.has_room(window)
                && let Some(behind) = &mut stream.behind
                && !behind.feed.has_rows()
                && (behind.is_recorded || behind.feed.reached().is_none())
                && let Poll::Ready(event) = behind.feed.poll_event(context)
            {
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    }

    pub(super) fn take_event_behind(&mut self, at: usize, event: Result<SourceEvent, Error>) {
        match event {
            Ok(event) => {
                let read = self.streams.list[at].behind.as_mut().and_then(|behind| behind.feed.take(event));
                if let Some(read) = read {
                    self.take_behind(at, read);
                }
                self.attach_if_level(at);
            }
            Err(error) => self.give_up(at, &error),
        }
    }
}

/// What the error advises for all rules, said for this one.
fn for_rule(error: &str, rule: &str) -> String {
    error.replace("rowhook position set ", &format!("rowhook position set --rule {rule} "))
}

fn has_reader(stream: &RuleStream) -> bool {
    stream.behind.as_ref().is_some_and(|behind| behind.feed.is_open())
}

fn wants_reader(stream: &RuleStream, window: Window) -> bool {
    let can_read = |behind: &Behind| !behind.feed.is_open() && behind.error.is_none() && behind.lacks.is_none();
    stream.paused.is_none() && stream.behind.as_ref().is_some_and(can_read) && stream.uses_less_than(2, window)
}
