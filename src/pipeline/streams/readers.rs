//! The readers of all streams: which are open, and what they bring next.
//!
//! In: which rules are detached and can take something. Out: open readers, and their events. Owns the number of readers
//! (promise 6). The stream of an event decides what becomes of it.

use std::task::{Context, Poll};

use super::{News, Streams};
use crate::pipeline::Error;
use crate::pipeline::deliveries::Deliveries;
use crate::pipeline::rule_stream::{DetachedStream, RuleStream, Window};
use crate::source::SourceEvent;

/// Readers of detached rules, at the same time; each is a connection, and a thread of the server.
const READERS_MAX: usize = 64;

/// What a reader brought, or that it failed.
#[derive(Debug)]
pub(in crate::pipeline) enum ReaderEvent {
    /// The main stream's.
    Main(Result<SourceEvent, Error>),
    /// That of the rule at this index of the list.
    Rule(usize, Result<SourceEvent, Error>),
}

impl Streams {
    /// Waits for the next event of the main stream, while it may be taken, or of a detached rule that has room. To be
    /// taken with [`Streams::take_event`].
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<ReaderEvent> {
        if self.main_takes()
            && let Poll::Ready(event) = self.main.feed.poll_event(context)
        {
            return Poll::Ready(ReaderEvent::Main(event));
        }
        self.rules.poll_readers(context).map(|(at, event)| ReaderEvent::Rule(at, event))
    }

    /// Takes an event in. An error is the main stream's.
    pub fn take_event(&mut self, event: ReaderEvent, out: &mut Deliveries) -> Result<Option<News>, Error> {
        match event {
            ReaderEvent::Main(event) => match self.main.feed.take(event?) {
                Some(read) => self.take(read, out),
                None => Ok(None),
            },
            ReaderEvent::Rule(at, event) => {
                self.take_detached_event(at, event, out);
                Ok(None)
            }
        }
    }

    /// Ends all reading.
    pub fn close(&mut self) {
        self.main.feed.close();
        for detached in self.rules.iter_mut().filter_map(|stream| stream.detached.as_mut()) {
            detached.feed.close();
        }
    }

    /// Opens readers for the rules that can take something, and closes those of rules that can't while others wait.
    pub fn manage_readers(&mut self) {
        let Some(reading) = self.reading.as_ref().filter(|_| self.rules.detached() > 0) else { return };
        let (window, list) = (self.rules.window(), self.rules.as_mut_slice());
        let mut waiting: Vec<usize> = (0..list.len()).filter(|at| wants_reader(&list[*at], window)).collect();
        let mut open = list.iter().filter(|stream| has_reader(stream)).count();
        if waiting.is_empty() {
            return;
        }
        waiting.sort_by_key(|at| list[*at].detached.as_ref().map(|detached| detached.since_us));
        for at in waiting {
            if open >= READERS_MAX {
                let idle = list.iter_mut().find(|stream| has_reader(stream) && !stream.has_room(window));
                let Some(detached) = idle.and_then(|stream| stream.detached.as_mut()) else { break };
                detached.feed.close();
                open -= 1;
            }
            let stream = &list[at];
            let reader = stream.detached.as_ref().and_then(|detached| reading.follow_alone(stream, detached));
            if let (Some(reader), Some(detached)) = (reader, &mut list[at].detached) {
                detached.feed.open(reader);
                open += 1;
            }
        }
    }
}

fn has_reader(stream: &RuleStream) -> bool {
    stream.detached.as_ref().is_some_and(|detached| detached.feed.is_open())
}

fn wants_reader(stream: &RuleStream, window: Window) -> bool {
    let can_read =
        |detached: &DetachedStream| !detached.feed.is_open() && detached.error.is_none() && detached.lacks.is_none();
    stream.paused.is_none() && stream.detached.as_ref().is_some_and(can_read) && stream.uses_less_than(2, window)
}
