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

use super::ddl::{self, Effect};
use super::error::Error;
use super::event::Query;
use super::event_type as event;
use super::place;
use super::schema::connect_to;
use super::server::{FILE_START, Server};
use super::settings::Settings;
use super::statement::{Statement, classify};
use super::wire::{Begin, Wire};

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
    is_full: bool,
}

struct Found {
    /// Where the statement ends.
    end: FileOffset,
    effect: Effect,
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
        self.cover(since, until).await?;
        let found = self.stretch.as_ref().map_or(&[][..], |stretch| &stretch.found);
        let is_later = |found: &&Found| place::order(&found.end, since) == Ordering::Greater;
        Ok(found
            .iter()
            .rev()
            .filter(is_later)
            .find(|found| found.effect.redefines(name))
            .map(|found| found.end.clone()))
    }

    async fn cover(&mut self, since: &FileOffset, until: &FileOffset) -> Result<(), Error> {
        let is_of_use = |stretch: &Stretch| {
            let has_room = !stretch.is_full || place::order(since, &stretch.to) == Ordering::Less;
            place::order(&stretch.from, since) != Ordering::Greater && has_room
        };
        let mut stretch = self.stretch.take().filter(is_of_use).unwrap_or_else(|| Stretch {
            from: since.clone(),
            to: since.clone(),
            found: Vec::new(),
            is_full: false,
        });
        // The stream has passed them, and only moves forward.
        stretch.found.retain(|found| place::order(&found.end, since) == Ordering::Greater);
        if place::order(&stretch.to, since) == Ordering::Less {
            stretch.to = since.clone();
        }
        if place::order(&stretch.to, until) == Ordering::Less {
            self.read(&mut stretch, until).await?;
        }
        self.stretch = Some(stretch);
        Ok(())
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
        let connection = connect_to(&self.settings, self.server_uuid).await?;
        let patience = self.settings.heartbeat * HEARTBEATS_MISSED_MAX;
        let mut wire = Wire::open(connection, &self.settings, begin, patience).await?;
        while place::order(&at, until) == Ordering::Less {
            let next = wire.next(&self.settings).await?;
            match next.kind {
                // The server has sent all there is.
                event::HEARTBEAT => break,
                event::ROTATE => {
                    at =
                        place::after_rotate(&next.body).ok_or_else(|| damaged(&at, "a ROTATE event without a file"))?;
                }
                _ if next.is_inner || next.is_artificial() || next.log_pos == 0 => {}
                kind => {
                    place::move_to(&mut at, next.log_pos);
                    if kind == event::QUERY && place::order(&at, &stretch.to) == Ordering::Greater {
                        let query = Query::parse(&next.body).map_err(|error| damaged(&at, &error.to_string()))?;
                        self.note(&query, &at, stretch);
                    }
                }
            }
        }
        stretch.to = until.clone();
        Ok(())
    }

    fn note(&self, query: &Query<'_>, end: &FileOffset, stretch: &mut Stretch) {
        let is_other = !matches!(
            classify(query.text),
            Statement::Definition | Statement::DefinitionWithRows | Statement::RowChange
        );
        if is_other || stretch.is_full {
            return;
        }
        let mut effect = ddl::read_logged(query, &self.charsets, self.ignores_case);
        if matches!(effect, Effect::Nothing | Effect::Create { .. }) {
            return;
        }
        if stretch.found.len() == FOUND_MAX {
            stretch.is_full = true;
            effect = Effect::Unclear(ddl::Mentions::All);
        }
        stretch.found.push(Found { end: end.clone(), effect });
    }
}

fn shown(place: &FileOffset) -> String {
    format!("{}:{}", place.file, place.offset)
}

fn damaged(place: &FileOffset, problem: &str) -> Error {
    Error::Damaged { place: shown(place), problem: problem.to_string() }
}
