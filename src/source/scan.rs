//! What was defined in a stretch of the binlog that the stream has yet to read.
//!
//! In: two places. Out: whether a statement between them gave a table another definition. Reads ahead over a connection of
//! its own, each stretch once: what was found there is kept, in bounded number, for the tables that are asked about
//! later. Anything that keeps it from reading is an error, never a "nothing was found" (promise 7).

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

/// Statements kept. A stretch with more of them counts as one in which every table was defined anew.
const FOUND_MAX: usize = 10_000;

/// Heartbeats that may be missed before the connection counts as dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;

pub(super) struct Scan {
    settings: Settings,
    server_uuid: Uuid,
    charsets: Arc<Charsets>,
    ignores_case: bool,
    stretch: Option<Stretch>,
}

/// What is known of the log between two places.
struct Stretch {
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

impl Stretch {
    /// Nothing is known yet behind this place.
    fn at(place: &FileOffset) -> Stretch {
        Stretch { from: place.clone(), to: place.clone(), found: Vec::new(), hidden: Vec::new(), is_full: false }
    }

    /// Whether it can say what comes after a place.
    fn serves(&self, since: &FileOffset) -> bool {
        let begins_before = self.from.order(since) != Ordering::Greater;
        // Behind the last one kept there may be others that were not.
        let is_ahead = |found: &Found| found.end.order(since) == Ordering::Greater;
        begins_before && (!self.is_full || self.found.last().is_some_and(is_ahead))
    }

    /// Forgets what lies before a place that the stream has reached: it only moves forward.
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
            stretch: None,
        }
    }

    /// The end of the last statement between two places that may have given the table another definition.
    pub async fn last_redefinition(
        &mut self,
        name: &TableName,
        since: &FileOffset,
        until: &FileOffset,
    ) -> Result<Option<FileOffset>, Error> {
        let mut stretch = self.stretch.take().filter(|known| known.serves(since)).unwrap_or_else(|| Stretch::at(since));
        stretch.pass(since);
        if stretch.to.order(until) == Ordering::Less {
            self.read(&mut stretch, until).await?;
        }
        let last = stretch.last_redefinition(name);
        self.stretch = Some(stretch);
        Ok(last)
    }

    /// Whether a statement between two places may have taken away what a write to the table set off before it.
    pub async fn may_have_hidden(
        &mut self,
        name: &TableName,
        since: &FileOffset,
        until: &FileOffset,
    ) -> Result<bool, Error> {
        let redefined = self.last_redefinition(name, since, until).await?;
        let hidden = self.stretch.iter().flat_map(|stretch| &stretch.hidden);
        Ok(redefined.is_some() || hidden.into_iter().any(|(_, hidden)| hidden.concerns(name)))
    }

    /// Reads on from the end of the stretch.
    async fn read(&self, stretch: &mut Stretch, until: &FileOffset) -> Result<(), Error> {
        tracing::info!(from = %shown(&stretch.to), to = %shown(until), "looking ahead in the binlog for statements that define tables");
        let mut at = stretch.to.clone();
        // The protocol has 32 bits for the offset; what lies before the stretch is left out below.
        if at.offset > u64::from(u32::MAX) {
            at.offset = FILE_START;
        }
        let begin = Begin::At(at.clone());
        let deadline = self.settings.heartbeat * HEARTBEATS_MISSED_MAX;
        let mut wire = Wire::open(&self.settings, self.server_uuid, begin, deadline).await?;
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
                    if kind == event::QUERY && at.order(&stretch.to) == Ordering::Greater {
                        let query = Query::of(&next).map_err(|error| damaged(&at, &error.to_string()))?;
                        self.note(&query, &at, stretch);
                    }
                }
            }
        }
        stretch.to = until.clone();
        Ok(())
    }

    fn note(&self, query: &Query<'_>, end: &FileOffset, stretch: &mut Stretch) {
        let (statement, tokens) = statement::read(query, &self.charsets);
        if matches!(
            statement,
            QueryStatement::Definition | QueryStatement::DefinitionWithRows | QueryStatement::RowChange
        ) {
            if let Some(hidden) = tokens.as_deref().and_then(Hidden::of) {
                stretch.note_hidden(end, hidden);
            }
            stretch.note(end, ddl::read_logged(query, &self.charsets, self.ignores_case));
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
        let mut stretch = Stretch::at(&place(4));
        stretch.to = place(1000);
        for (end, effect) in [(100, drop_of("t")), (200, drop_of("u")), (300, drop_of("t")), (400, DdlEffect::Nothing)]
        {
            stretch.note(&place(end), effect);
        }
        assert_eq!(stretch.last_redefinition(&t), Some(place(300)));
        assert_eq!(stretch.last_redefinition(&u), Some(place(200)));
        stretch.pass(&place(200));
        assert_eq!(stretch.last_redefinition(&t), Some(place(300)));
        assert_eq!(stretch.last_redefinition(&u), None);
        assert!(!stretch.serves(&place(199)) && stretch.serves(&place(200)) && stretch.serves(&place(2000)));
    }

    #[test]
    fn a_stretch_with_too_many_statements_says_that_every_table_was_defined_anew() {
        let mut stretch = Stretch::at(&place(4));
        for end in 0..FOUND_MAX as u64 + 10 {
            stretch.note(&place(100 + end), drop_of("t"));
        }
        stretch.to = place(1_000_000);
        assert_eq!(stretch.found.len(), FOUND_MAX + 1);
        let last = place(100 + FOUND_MAX as u64);
        assert_eq!(stretch.last_redefinition(&TableName::new("s", "other")), Some(last.clone()));
        assert!(stretch.serves(&place(5000)));
        assert!(!stretch.serves(&last), "what came after the last one kept has to be read again");
    }
}
