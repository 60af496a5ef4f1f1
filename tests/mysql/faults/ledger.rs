//! What the API knows of each row, and how it answers.
//!
//! In: each request, as it arrives. Out: an answer as the weather has it, and what was wrong with the requests so far.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::support::random::Random;
use crate::support::receiver::{Answer, Request};

use super::writers::{Row, TABLES, Versions};

/// How the API feels.
#[derive(Debug, Clone, Copy)]
pub enum Weather {
    Fine,
    Slow,
    Errors,
    Lossy,
    Hangs,
    Out,
}

impl Weather {
    pub fn draw(random: &mut Random) -> Weather {
        use Weather::*;
        [Fine, Slow, Errors, Lossy, Hangs, Out][random.below(6) as usize]
    }

    fn answer(self, random: &mut Random) -> (Answer, Fate) {
        let short = Duration::from_millis(random.below(40));
        let answer = match (self, random.below(100)) {
            (Weather::Errors, 0..=14) | (Weather::Out, 0..=79) => Answer::status(503),
            (Weather::Errors, 15..=24) => Answer::status(429),
            (Weather::Errors, 25) => Answer::status(429).with_header("retry-after", "1"),
            (Weather::Errors, 26..=32) => Answer::status(500).after(short),
            (Weather::Lossy, 0..=9) => Answer::reset(),
            (Weather::Hangs, 0..=2) => Answer::hang(),
            (Weather::Lossy, 10..=19) => return (Answer::lose_the_answer(), Fate::Lost),
            (Weather::Lossy, 20..=24) => return (Answer::lose_the_answer().after(short), Fate::Lost),
            (Weather::Slow, _) => return (Answer::ok().after(short), Fate::Done),
            _ => return (Answer::ok(), Fate::Done),
        };
        (answer, Fate::Failed)
    }
}

/// What becomes of a call.
#[derive(PartialEq)]
enum Fate {
    Done,
    /// It is carried out, and the answer is lost.
    Lost,
    Failed,
}

/// One entry per row that was called for.
pub struct Ledger {
    /// For each table.
    pub weather: [Weather; TABLES],
    /// What was wrong, in the order in which it was seen.
    pub broken: Vec<String>,
    pub calls: u64,
    /// Calls for changes that were carried out before.
    pub repeats: u64,
    random: Random,
    rows: HashMap<(usize, u64), Known>,
    changes_by_id: HashMap<Box<str>, (usize, u64, u64)>,
    /// Goes up when answers may have been lost.
    epoch: u64,
}

#[derive(Default)]
struct Known {
    /// The newest version that was carried out.
    done: u64,
    /// With the epoch in which it was: the newest version that was answered with a success.
    answered: (u64, u64),
    /// The delivery id of each version, from 1.
    ids: Vec<Box<str>>,
    last: Value,
}

impl Ledger {
    pub fn new(random: Random) -> Ledger {
        Ledger {
            weather: [Weather::Fine; TABLES],
            broken: Vec::new(),
            calls: 0,
            repeats: 0,
            random,
            rows: HashMap::new(),
            changes_by_id: HashMap::new(),
            epoch: 0,
        }
    }

    /// What is under way now may come again.
    pub fn answers_were_lost(&mut self) {
        self.epoch += 1;
    }

    pub fn answer(&mut self, request: &Request) -> Answer {
        let event = request.json();
        let Some((table, who, version)) = change(request) else {
            self.broken.push(format!("no change of a row: {event}"));
            return Answer::ok();
        };
        let id = request.key.as_deref().unwrap_or_default();
        self.calls += 1;
        let known = self.rows.entry((table, who)).or_default();
        let name = format!("version {version} of row {who} in table {table}, id {id}");
        if version > known.done + 1 {
            self.broken.push(format!("{name}: came when only {} were done: {event}", known.done));
            return Answer::ok();
        }
        if version <= known.done {
            self.repeats += 1;
        }
        let (epoch, answered) = known.answered;
        if epoch == self.epoch && version <= answered {
            self.broken.push(format!("{name}: came again, though its success was answered and nothing failed since"));
        }
        match known.ids.get(version as usize - 1) {
            Some(before) if **before != *id => self.broken.push(format!("{name}: its id was {before}")),
            Some(_) => {}
            None => known.ids.push(id.into()),
        }
        let named = *self.changes_by_id.entry(id.into()).or_insert((table, who, version));
        if named != (table, who, version) {
            self.broken.push(format!("{name}: the id is that of {named:?}, too"));
        }
        known.last = event.clone();
        let (answer, fate) = self.weather[table].answer(&mut self.random);
        if fate != Fate::Failed {
            known.done = known.done.max(version);
        }
        if fate == Fate::Done {
            known.answered = (self.epoch, version);
        }
        answer
    }

    /// Some of what was written and not carried out yet; `None` when all was.
    pub fn missing(&self, written: &[Versions]) -> Option<String> {
        let done = |row: &Versions| self.rows.get(&(row.table, row.who)).map_or(0, |known| known.done);
        let open: Vec<_> = written.iter().filter(|row| done(row) != row.version).collect();
        let named = |row: &&Versions| format!("table {} row {}: {} of {}", row.table, row.who, done(row), row.version);
        (!open.is_empty())
            .then(|| format!("{} rows, of them {:?}", open.len(), open.iter().take(5).map(named).collect::<Vec<_>>()))
    }

    pub fn changes_called(&self) -> u64 {
        self.changes_by_id.len() as u64
    }

    /// The last call for each row says what the table contains: all columns of it, or that it was deleted.
    #[track_caller]
    pub fn last_calls_equal(&self, rows: &[Row]) {
        let mut deleted = 0;
        let in_tables: HashMap<(usize, u64), &Row> = rows.iter().map(|row| ((row.table, row.who), row)).collect();
        for (name, known) in &self.rows {
            let after = &known.last["after"];
            match in_tables.get(name) {
                None => {
                    assert!(after.is_null(), "table and row {name:?} is gone, its last call is {}", known.last);
                    deleted += 1;
                }
                Some(row) => {
                    let columns = after.as_object().unwrap_or_else(|| panic!("{name:?}: no row in {}", known.last));
                    let called: Vec<(String, Option<String>)> =
                        columns.iter().map(|(name, value)| (name.clone(), text(value))).collect();
                    let mut expected = row.columns.clone();
                    expected.sort();
                    let mut called = called;
                    called.sort();
                    assert_eq!(called, expected, "table and row {name:?}: {}", known.last);
                }
            }
        }
        assert_eq!(self.rows.len(), rows.len() + deleted, "rows that no call was made for");
    }
}

/// Table, row and version: a deletion is a version of its own, after that of the row which it deletes.
fn change(request: &Request) -> Option<(usize, u64, u64)> {
    let event = request.json();
    let (row, more) = if event["op"] == "delete" { (&event["before"], 1) } else { (&event["after"], 0) };
    Some((request.path.strip_prefix('/')?.parse().ok()?, row["who"].as_u64()?, row["v"].as_u64()? + more))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
