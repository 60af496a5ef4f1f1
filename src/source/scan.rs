//! The definitions in a binlog range that the stream has not read yet.
//!
//! In: two places. Out: whether a statement between them gave a table another definition. Reads ahead over a connection of
//! its own, each range once: what was found there is kept, in bounded number, for later tables. A range that can't be
//! read is an error, never a "nothing was found" (promise 7).

use std::cmp::Ordering;
use std::sync::Arc;

use uuid::Uuid;

use crate::column::charset::Charsets;
use crate::position::FileOffset;
use crate::schema::TableName;

use super::ddl::{self, DdlEffect, Mentions};
use super::error::Error;
use super::event::Query;
use super::event_type as event;
use super::place;
use super::server::{FILE_START, Server};
use super::settings::Settings;
use super::statement::{self, QueryStatement};
use super::wire::{Begin, Wire};
use super::writes::Hidden;

/// Statements kept. A range with more of them counts as one in which every table was redefined.
const FOUND_MAX: usize = 10_000;

/// Heartbeats that may be missed before the connection counts as dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;

pub(super) struct Scan {
    settings: Settings,
    server_uuid: Uuid,
    charsets: Arc<Charsets>,
    ignores_case: bool,
    span: Option<KnownSpan>,
}

/// What is known about the log between two places.
struct KnownSpan {
    from: FileOffset,
    to: FileOffset,
    found: Vec<Found>,
    hidden: Vec<(FileOffset, Hidden)>,
    is_full: bool,
}

struct Found {
    /// Where the statement ends.
    end: FileOffset,
    effect: DdlEffect,
}

impl KnownSpan {
    /// After this place nothing is known yet.
    fn at(place: &FileOffset) -> KnownSpan {
        KnownSpan { from: place.clone(), to: place.clone(), found: Vec::new(), hidden: Vec::new(), is_full: false }
    }

    /// Whether everything after a place is known.
    fn serves(&self, since: &FileOffset) -> bool {
        let begins_before = self.from.order(since) != Ordering::Greater;
        // After the last kept statement there may be others that were not kept.
        let is_ahead = |found: &Found| found.end.order(since) == Ordering::Greater;
        begins_before && (!self.is_full || self.found.last().is_some_and(is_ahead))
    }

    /// Removes what lies before a place that the stream has reached: the stream only moves forward.
    fn pass(&mut self, since: &FileOffset) {
        self.found.retain(|found| found.end.order(since) == Ordering::Greater);
        self.hidden.retain(|(end, _)| end.order(since) == Ordering::Greater);
        self.from = since.clone();
        if self.to.order(since) == Ordering::Less {
            self.to = since.clone();
        }
    }

    fn note(&mut self, end: &FileOffset, mut effect: DdlEffect) {
        if self.is_full || matches!(effect, DdlEffect::Nothing | DdlEffect::Create { .. }) {
            return;
        }
        if self.found.len() == FOUND_MAX {
            self.is_full = true;
        }
        if self.is_full {
            effect = DdlEffect::Unclear(Mentions::All);
        }
        self.found.push(Found { end: end.clone(), effect });
    }

    fn note_hidden(&mut self, end: &FileOffset, hidden: Hidden) {
        if self.hidden.len() < FOUND_MAX {
            self.hidden.push((end.clone(), hidden));
        } else {
            self.hidden.push((end.clone(), Hidden::OfAny));
            self.is_full = true;
        }
    }

    fn last_redefinition(&self, name: &TableName) -> Option<FileOffset> {
        self.found.iter().rev().find(|found| found.effect.redefines(name)).map(|found| found.end.clone())
    }
}

impl Scan {
    /// `settings` are those of the stream, which goes on meanwhile: the server ends the older one of two connections with
    /// one uuid, so this one has its own.
    pub fn new(settings: &Settings, server: &Server) -> Scan {
        let instance = Uuid::new_v5(&settings.instance, b"reading ahead");
        Scan {
            settings: Settings { instance, ..settings.clone() },
            server_uuid: server.uuid,
            charsets: Arc::clone(&server.charsets),
            ignores_case: server.ignores_case(),
            span: None,
        }
    }

    /// The end of the last statement between two places that may have given the table another definition.
    pub async fn last_redefinition(
        &mut self,
        name: &TableName,
        since: &FileOffset,
        until: &FileOffset,
    ) -> Result<Option<FileOffset>, Error> {
        let mut span = self.span.take().filter(|known| known.serves(since)).unwrap_or_else(|| KnownSpan::at(since));
        span.pass(since);
        if span.to.order(until) == Ordering::Less {
            self.read(&mut span, until).await?;
        }
        let last = span.last_redefinition(name);
        self.span = Some(span);
        Ok(last)
    }

    /// Whether a statement between two places may have removed a trigger, view or foreign key that an earlier write to the table used.
    pub async fn may_have_hidden(
        &mut self,
        name: &TableName,
        since: &FileOffset,
        until: &FileOffset,
    ) -> Result<bool, Error> {
        let redefined = self.last_redefinition(name, since, until).await?;
        let hidden = self.span.iter().flat_map(|span| &span.hidden);
        Ok(redefined.is_some() || hidden.into_iter().any(|(_, hidden)| hidden.concerns(name)))
    }

    /// Reads on from the end of the range.
    async fn read(&self, span: &mut KnownSpan, until: &FileOffset) -> Result<(), Error> {
        tracing::info!(from = %shown(&span.to), to = %shown(until), "looking ahead in the binlog for statements that define tables");
        let mut at = span.to.clone();
        // The protocol has 32 bits for the offset; what lies before the range is left out below.
        if at.offset > u64::from(u32::MAX) {
            at.offset = FILE_START;
        }
        let begin = Begin::At(at.clone());
        let timeout = self.settings.heartbeat * HEARTBEATS_MISSED_MAX;
        let mut wire = Wire::open(&self.settings, self.server_uuid, begin, timeout).await?;
        while at.order(until) == Ordering::Less {
            let next = wire.next().await?;
            match next.kind {
                // The server has sent all there is.
                event::HEARTBEAT => break,
                event::ROTATE => {
                    at =
                        place::after_rotate(&next.body).ok_or_else(|| damaged(&at, "a ROTATE event without a file"))?;
                }
                _ if next.is_inner || next.is_artificial() || next.log_pos == 0 => {}
                kind => {
                    if !place::move_to(&mut at, next.log_pos) {
                        return Err(damaged(&at, "an offset that no file can have"));
                    }
                    if kind == event::QUERY && at.order(&span.to) == Ordering::Greater {
                        let query = Query::of(&next).map_err(|error| damaged(&at, &error.to_string()))?;
                        self.note(&query, &at, span);
                    }
                }
            }
        }
        span.to = until.clone();
        Ok(())
    }

    fn note(&self, query: &Query<'_>, end: &FileOffset, span: &mut KnownSpan) {
        let (statement, tokens) = statement::read(query, &self.charsets);
        if matches!(
            statement,
            QueryStatement::Definition | QueryStatement::DefinitionWithRows | QueryStatement::RowChange
        ) {
            if let Some(hidden) = tokens.as_deref().and_then(Hidden::of) {
                span.note_hidden(end, hidden);
            }
            span.note(end, ddl::read_logged(query, &self.charsets, self.ignores_case));
        }
    }
}

fn shown(place: &FileOffset) -> String {
    format!("{}:{}", place.file, place.offset)
}

fn damaged(place: &FileOffset, problem: &str) -> Error {
    Error::Damaged { place: shown(place), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> FileOffset {
        FileOffset { file: "b.000001".into(), offset }
    }

    fn drop_of(table: &str) -> DdlEffect {
        DdlEffect::Drop(vec![TableName::new("s", table)])
    }

    #[test]
    fn the_last_statement_on_a_table_counts_until_the_stream_has_passed_it() {
        let (t, u) = (TableName::new("s", "t"), TableName::new("s", "u"));
        let mut span = KnownSpan::at(&place(4));
        span.to = place(1000);
        for (end, effect) in [(100, drop_of("t")), (200, drop_of("u")), (300, drop_of("t")), (400, DdlEffect::Nothing)]
        {
            span.note(&place(end), effect);
        }
        assert_eq!(span.last_redefinition(&t), Some(place(300)));
        assert_eq!(span.last_redefinition(&u), Some(place(200)));
        span.pass(&place(200));
        assert_eq!(span.last_redefinition(&t), Some(place(300)));
        assert_eq!(span.last_redefinition(&u), None);
        assert!(!span.serves(&place(199)) && span.serves(&place(200)) && span.serves(&place(2000)));
    }

    #[test]
    fn in_a_range_with_too_many_statements_every_table_counts_as_redefined() {
        let mut span = KnownSpan::at(&place(4));
        for end in 0..FOUND_MAX as u64 + 10 {
            span.note(&place(100 + end), drop_of("t"));
        }
        span.to = place(1_000_000);
        assert_eq!(span.found.len(), FOUND_MAX + 1);
        let last = place(100 + FOUND_MAX as u64);
        assert_eq!(span.last_redefinition(&TableName::new("s", "other")), Some(last.clone()));
        assert!(span.serves(&place(5000)));
        assert!(!span.serves(&last), "what came after the last one kept has to be read again");
    }
}
