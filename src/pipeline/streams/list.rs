//! The streams of all rules, in the order of the files, and what is derived from them.
//!
//! In: rules that are attached and detached, ends of transactions. Out: which stream is meant, which rule's turn it is, which
//! rules have room. Owns the lists that spare the loop a check of every rule in each turn: only this module keeps them in step.

use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::outcome::reached::Reached;
use crate::pipeline::Error;
use crate::pipeline::coverage::Coverage;
use crate::pipeline::rule_stream::{DetachedStream, RuleStream, Window};
use crate::position::{Committed, Position};
use crate::source::SourceEvent;

/// See the module's header. Streams are named by their index in the list, until it is replaced.
#[derive(Debug)]
pub(super) struct RuleStreams {
    list: Vec<RuleStream>,
    by_name: HashMap<Arc<str>, usize>,
    /// The detached rules, in turn.
    detached: Vec<usize>,
    /// The attached rules whose low-water marks may be their own: they need to know of every commit.
    own_marks: Vec<usize>,
    /// For each rule in number, and for all together in bytes.
    limit: Window,
    /// Each rule's share.
    window: Window,
}

impl RuleStreams {
    /// `limit` is for each rule in number, and for all together in bytes.
    pub fn new(list: Vec<RuleStream>, limit: Window) -> RuleStreams {
        let by_name = list.iter().enumerate().map(|(at, stream)| (Arc::clone(&stream.name), at)).collect();
        let detached = (0..list.len()).filter(|at| list[*at].detached.is_some()).collect();
        let is_own = |at: &usize| list[*at].detached.is_none() && list[*at].has_own_mark();
        let own_marks = (0..list.len()).filter(is_own).collect();
        let window = Window { deliveries: limit.deliveries, bytes: limit.bytes / list.len().max(1) };
        RuleStreams { list, by_name, detached, own_marks, limit, window }
    }

    /// Goes on with other streams.
    pub fn replace(&mut self, list: Vec<RuleStream>) {
        *self = RuleStreams::new(list, self.limit);
    }

    /// Takes all streams out, to be given back with [`RuleStreams::replace`].
    pub fn take(&mut self) -> Vec<RuleStream> {
        std::mem::replace(self, RuleStreams::new(Vec::new(), self.limit)).list
    }

    /// The index of a rule's stream.
    pub fn find(&self, rule: &str) -> Option<usize> {
        self.by_name.get(rule).copied()
    }

    /// A rule's stream.
    pub fn get(&self, rule: &str) -> Option<&RuleStream> {
        self.find(rule).map(|at| &self.list[at])
    }

    /// As [`RuleStreams::get`].
    pub fn get_mut(&mut self, rule: &str) -> Option<&mut RuleStream> {
        self.find(rule).map(|at| &mut self.list[at])
    }

    /// All streams, in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &RuleStream> {
        self.list.iter()
    }

    /// As [`RuleStreams::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut RuleStream> {
        self.list.iter_mut()
    }

    /// As [`RuleStreams::iter`]; their indexes are those of the list.
    pub fn as_mut_slice(&mut self) -> &mut [RuleStream] {
        &mut self.list
    }

    /// What each rule may hold in memory.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Whether the window of the rule at this index has room.
    pub fn has_room(&self, at: usize) -> bool {
        self.list[at].has_room(self.window)
    }

    /// The rule has its own reader from now on.
    pub fn detach(&mut self, at: usize, detached: DetachedStream) {
        self.list[at].detached = Some(detached);
        if !self.detached.contains(&at) {
            self.detached.push(at);
        }
    }

    /// The main stream feeds the rule again. Its own feed is at `place`; `coverage` is what that feed has brought and the
    /// main stream brings once more.
    pub fn attach(&mut self, at: usize, place: Reached, coverage: Option<Coverage>) {
        let stream = &mut self.list[at];
        if coverage.is_some() && !stream.has_own_mark() {
            stream.tracker.go_on_from(place);
        }
        stream.coverage = coverage;
        stream.detached = None;
        self.detached.retain(|detached| *detached != at);
        self.follow_commits(at);
    }

    /// How many rules are detached.
    pub fn detached(&self) -> usize {
        self.detached.len()
    }

    /// The detached rule whose turn it is; it is the last one again after that.
    pub fn next_detached(&mut self) -> Option<usize> {
        if !self.detached.is_empty() {
            self.detached.rotate_left(1);
        }
        self.detached.last().copied()
    }

    /// The next event of a reader of a detached rule that has room.
    pub fn poll_readers(&mut self, context: &mut Context<'_>) -> Poll<(usize, Result<SourceEvent, Error>)> {
        for at in self.detached.iter().copied() {
            let stream = &mut self.list[at];
            if stream.has_room(self.window)
                && let Some(detached) = &mut stream.detached
                && !detached.feed.has_rows()
                && (detached.is_recorded || detached.feed.reached().is_none())
                && let Poll::Ready(event) = detached.feed.poll_event(context)
            {
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    }

    /// An attached rule is about to have something above its mark: until now that was `place`, the main stream's position.
    pub fn begin_mark(&mut self, at: usize, place: &Reached) {
        let stream = &mut self.list[at];
        if !stream.has_own_mark() {
            stream.tracker.go_on_from(place.clone());
            self.follow_commits(at);
        }
    }

    /// Reports the end of a transaction of the main stream, which is at `place` now, to the attached rules that need it.
    pub fn commit(&mut self, committed: &Committed, place: Option<&Position>) {
        let list = &mut self.list;
        self.own_marks.retain(|at| {
            let stream = &mut list[*at];
            let is_fed = stream.detached.is_none() && stream.has_own_mark();
            if is_fed {
                stream.commit(committed, place);
            }
            is_fed
        });
    }

    fn follow_commits(&mut self, at: usize) {
        if !self.own_marks.contains(&at) {
            self.own_marks.push(at);
        }
    }
}

impl Index<usize> for RuleStreams {
    type Output = RuleStream;

    fn index(&self, at: usize) -> &RuleStream {
        &self.list[at]
    }
}

impl IndexMut<usize> for RuleStreams {
    fn index_mut(&mut self, at: usize) -> &mut RuleStream {
        &mut self.list[at]
    }
}
