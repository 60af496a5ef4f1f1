//! Questions to the journal: which deliveries fit, and all about one of them.
//!
//! In: conditions. Out: rows, the newest first, page by page, and the gaps of the time asked for. Opens the file for reading only,
//! beside a process that writes or without one. Keys and ids are looked up part by part, see [`schema`](super::schema).

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};
use uuid::Uuid;

use super::Error;
use super::record::JournalOutcome;
use super::rows::bytes;
use super::schema::{self, FAILED, PART_ENTRIES};
use super::status::JournalStatus;
use crate::change::DeliveryId;
use crate::change::key_text::shortened_key;
use crate::failure::{AnswerFilter, Reason};

/// Which deliveries are meant: those that fit every condition that is set.
#[derive(Debug, Clone, Default)]
pub struct JournalFilter {
    pub rule: Option<String>,
    /// `schema.table`.
    pub table: Option<String>,
    /// As the list shows it; quotes around a text may be left out.
    pub key: Option<String>,
    pub outcome: Option<JournalOutcome>,
    /// It was given up for this reason.
    pub reason: Option<Reason>,
    /// One of its attempts got this.
    pub answer: Option<AnswerFilter>,
    /// Resolved at this moment or later, in microseconds since the Unix epoch.
    pub since_us: Option<u64>,
    /// Resolved before this moment, in microseconds since the Unix epoch.
    pub until_us: Option<u64>,
    /// Only those after this one in the list.
    pub after: Option<i64>,
}

impl JournalFilter {
    /// Whether an index finds what fits, without the rule.
    fn has_index(&self) -> bool {
        let has_rare_answer = self.answer.is_some_and(|answer| !is_common(answer));
        self.key.is_some() || self.reason.is_some() || self.outcome.is_some_and(is_rare) || has_rare_answer
    }
}

/// One delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// Names it in this journal, until it comes again.
    pub number: i64,
    pub id: Uuid,
    pub rule: String,
    /// `schema.table`.
    pub table: String,
    pub target: String,
    /// None: not known.
    pub op: Option<&'static str>,
    pub key: Option<String>,
    pub outcome: &'static str,
    pub reason: Option<String>,
    pub merged_into: Option<Uuid>,
    /// Of the last attempt.
    pub status: Option<u16>,
    /// None: there was no attempt.
    pub last_error: Option<String>,
    pub attempts: u64,
    /// How often it was resolved.
    pub times: u64,
    pub committed_us: u64,
    pub resolved_us: u64,
    /// Of the last attempt.
    pub duration_us: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct JournaledAttempt {
    pub number: u64,
    pub started_us: u64,
    pub duration_us: u64,
    pub status: Option<u16>,
    pub error: Option<String>,
}

/// A time of which deliveries are missing.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalGap {
    pub from_us: u64,
    pub until_us: u64,
    /// None: it is not known how many.
    pub deliveries: Option<u64>,
    pub reason: String,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalPage {
    pub rows: Vec<JournalRow>,
    /// There are more after this one.
    pub next: Option<i64>,
}

/// An open journal, for reading.
#[derive(Debug)]
pub struct JournalReader {
    pub(super) connection: Connection,
    path: PathBuf,
}

/// The last attempt is an earlier one where the newest outcome had none. The view `attempt` would be read as a whole for each row here,
/// because of the LIMIT.
const COLUMNS: &str = "d.number, d.id, r.name, w.name, t.name, d.op, d.key, d.outcome, d.reason, d.merged_into, d.status, \
     d.attempts, d.times, d.committed_us, d.resolved_us, \
     coalesce(d.duration_us, \
        (SELECT duration_us FROM earlier_attempt a WHERE a.delivery = d.number ORDER BY a.number DESC LIMIT 1)), \
     CASE WHEN d.started_us IS NOT NULL THEN d.error ELSE \
        (SELECT error FROM earlier_attempt a WHERE a.delivery = d.number ORDER BY a.number DESC LIMIT 1) END";
const NAMES: &str = "JOIN rule r ON r.number = d.rule JOIN watched_table w ON w.number = d.watched_table \
     JOIN target t ON t.number = d.target";

/// An entry that was replaced is found no more.
pub(super) const BY_ID: &str =
    "SELECT d.number FROM delivery_id i CROSS JOIN delivery d ON d.number = i.delivery WHERE i.id = ?1 LIMIT 1";

/// All attempts of one delivery.
pub(super) const ATTEMPTS: &str =
    "SELECT number, started_us, duration_us, status, error FROM attempt WHERE delivery = ?1 ORDER BY number";

impl JournalReader {
    /// None: there is no journal.
    ///
    /// # Errors
    /// When the file can't be read, or another version made it.
    pub fn open(path: &Path) -> Result<Option<JournalReader>, Error> {
        let connection = schema::open_to_read(path)?;
        Ok(connection.map(|connection| JournalReader { connection, path: path.to_path_buf() }))
    }

    /// The deliveries that fit, the newest first, `limit` at most.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn list(&self, filter: &JournalFilter, limit: usize) -> Result<JournalPage, Error> {
        let rows = self.rows(filter, limit.saturating_add(1)).map_err(self.failed())?;
        let next = rows.get(limit.wrapping_sub(1)).filter(|_| rows.len() > limit).map(|row| row.number);
        Ok(JournalPage { rows: rows.into_iter().take(limit).collect(), next })
    }

    fn rows(&self, filter: &JournalFilter, limit: usize) -> rusqlite::Result<Vec<JournalRow>> {
        let Some((sql, values)) = self.sql(filter, limit)? else { return Ok(Vec::new()) };
        let mut statement = self.connection.prepare(&sql)?;
        statement.query_map(params_from_iter(values), row)?.collect()
    }

    /// The statement that finds these, with its values. None: nothing fits.
    pub(super) fn sql(&self, filter: &JournalFilter, limit: usize) -> rusqlite::Result<Option<(String, Vec<Value>)>> {
        let mut question = Question::default();
        let Some(()) = question.narrow(&self.connection, filter)? else { return Ok(None) };
        let Question { from, order, conditions, values } = question;
        let conditions = if conditions.is_empty() { "1".to_string() } else { conditions.join(" AND ") };
        // Names are joined to what is shown, not to all that fits.
        let found = format!("SELECT d.number FROM {from} WHERE {conditions} ORDER BY {order} LIMIT {limit}");
        let sql = format!(
            "SELECT {COLUMNS} FROM ({found}) found CROSS JOIN delivery d USING (number) {NAMES} ORDER BY d.number DESC"
        );
        Ok(Some((sql, values)))
    }

    /// The delivery with its attempts.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn show(&self, id: DeliveryId) -> Result<Option<(JournalRow, Vec<JournaledAttempt>)>, Error> {
        let found: rusqlite::Result<Option<i64>> =
            self.connection.query_row(BY_ID, [bytes(&id)], |row| row.get(0)).optional();
        match found.map_err(self.failed())? {
            Some(number) => self.show_number(number),
            None => Ok(None),
        }
    }

    /// The same by its number.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn show_number(&self, number: i64) -> Result<Option<(JournalRow, Vec<JournaledAttempt>)>, Error> {
        self.read(number).map_err(self.failed())
    }

    fn read(&self, number: i64) -> rusqlite::Result<Option<(JournalRow, Vec<JournaledAttempt>)>> {
        let sql = format!("SELECT {COLUMNS} FROM delivery d {NAMES} WHERE d.number = ?1");
        let Some(delivery) = self.connection.query_row(&sql, [number], row).optional()? else { return Ok(None) };
        let mut attempts = self.connection.prepare(ATTEMPTS)?;
        let attempts = attempts.query_map([number], |row| {
            Ok(JournaledAttempt {
                number: row.get(0)?,
                started_us: row.get(1)?,
                duration_us: row.get(2)?,
                status: row.get(3)?,
                error: row.get(4)?,
            })
        })?;
        Ok(Some((delivery, attempts.collect::<rusqlite::Result<_>>()?)))
    }

    /// How the journal is, as far as its file says it.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn status(&self) -> Result<JournalStatus, Error> {
        JournalStatus::of(&self.connection).map_err(self.failed())
    }

    /// Names of the rules that have, or had, an entry.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn rules(&self) -> Result<Vec<String>, Error> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut names = self.connection.prepare("SELECT name FROM rule ORDER BY name")?;
            names.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(self.failed())
    }

    /// The gaps within this time, the oldest first.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn gaps(&self, since_us: u64, until_us: u64) -> Result<Vec<JournalGap>, Error> {
        let read = || -> rusqlite::Result<Vec<JournalGap>> {
            let mut gaps = self.connection.prepare(
                "SELECT from_us, until_us, deliveries, reason FROM gap WHERE until_us >= ?1 AND from_us < ?2 ORDER BY number",
            )?;
            let gap = |row: &Row<'_>| {
                Ok(JournalGap {
                    from_us: row.get(0)?,
                    until_us: row.get(1)?,
                    deliveries: row.get(2)?,
                    reason: row.get(3)?,
                })
            };
            gaps.query_map([since_us, until_us.min(i64::MAX as u64)], gap)?.collect()
        };
        read().map_err(self.failed())
    }

    pub(super) fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        Error::of(&self.path)
    }
}

/// The SQL of a filter.
#[derive(Debug, Default)]
struct Question {
    from: String,
    order: &'static str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Question {
    /// None: nothing fits, because a name does not occur.
    fn narrow(&mut self, connection: &Connection, filter: &JournalFilter) -> rusqlite::Result<Option<()>> {
        (self.from, self.order) = ("delivery d".to_string(), "d.number DESC");
        for (column, name) in [("rule", &filter.rule), ("watched_table", &filter.table)] {
            let Some(name) = name else { continue };
            let number: Option<i64> = connection
                .query_row(&format!("SELECT number FROM {column} WHERE name = ?1"), [name], |row| row.get(0))
                .optional()?;
            let Some(number) = number else { return Ok(None) };
            self.conditions.push(format!("d.{column} = {number}"));
            if column == "rule" && !filter.has_index() {
                self.from = format!(
                    "part_rule p CROSS JOIN delivery d ON p.rule = {number} AND d.number >= p.part * {PART_ENTRIES} \
                     AND d.number < (p.part + 1) * {PART_ENTRIES}"
                );
                self.order = "p.part DESC, d.number DESC";
            }
        }
        if let Some(key) = &filter.key {
            let key = shortened_key(key);
            self.from = "delivery_key k CROSS JOIN delivery d ON d.number = k.delivery".to_string();
            self.conditions.push("k.key IN (?, ?)".to_string());
            self.values.extend([Value::Text(serde_json::Value::from(key.as_str()).to_string()), Value::Text(key)]);
        }
        // Only what is dead has a reason.
        for outcome in filter.outcome.into_iter().chain(filter.reason.map(|_| JournalOutcome::Dead)) {
            let by_index = if is_rare(outcome) { " AND d.outcome <> 0" } else { "" };
            self.conditions.push(format!("d.outcome = {}{by_index}", outcome.code()));
        }
        self.conditions.extend(filter.reason.map(|reason| format!("d.reason = '{}'", reason.as_str())));
        if let Some(answer) = filter.answer {
            let condition = attempt_condition(answer);
            self.conditions.push(match is_common(answer) || filter.key.is_some() {
                true => format!("EXISTS (SELECT 1 FROM attempt WHERE delivery = d.number AND {condition})"),
                false => format!("d.number IN (SELECT delivery FROM attempt WHERE {condition})"),
            });
        }
        if let Some(us) = filter.since_us.map(in_sqlite) {
            let Some(first) = first_number_since(connection, us)? else { return Ok(None) };
            self.conditions.push(format!("d.number >= {first} AND d.resolved_us >= {us}"));
        }
        if let Some(us) = filter.until_us.map(in_sqlite) {
            let last_part = "SELECT max(number) FROM part WHERE from_us < ?1";
            let last_part: Option<i64> = connection.query_row(last_part, [us], |row| row.get(0))?;
            let Some(last_part) = last_part else { return Ok(None) };
            let end = (last_part + 1) * PART_ENTRIES;
            self.conditions.push(format!("d.number < {end} AND d.resolved_us < {us}"));
        }
        self.conditions.extend(filter.after.map(|after| format!("d.number < {after}")));
        Ok(Some(()))
    }
}

/// A moment as SQLite can hold it: later ones are its last.
pub(super) fn in_sqlite(us: u64) -> u64 {
    us.min(i64::MAX as u64)
}

/// Entries with lower numbers were all resolved before this moment. None: all entries were.
pub(super) fn first_number_since(connection: &Connection, us: u64) -> rusqlite::Result<Option<i64>> {
    let part = "SELECT min(number) FROM part WHERE until_us >= ?1";
    let part: Option<i64> = connection.query_row(part, [us], |row| row.get(0))?;
    Ok(part.map(|part| part * PART_ENTRIES))
}

/// Whether few deliveries have it, so that an index finds them.
fn is_rare(outcome: JournalOutcome) -> bool {
    outcome != JournalOutcome::Delivered
}

/// What [`AnswerFilter::matches`] says, of a row of `attempt`.
fn attempt_condition(answer: AnswerFilter) -> String {
    match answer {
        AnswerFilter::Status(status @ 200..=299) => format!("status = {status}"),
        AnswerFilter::Status(status) => format!("status = {status} AND {FAILED}"),
        AnswerFilter::Class(2) => "status BETWEEN 200 AND 299".to_string(),
        AnswerFilter::Class(class) => format!("status BETWEEN {class}00 AND {class}99 AND {FAILED}"),
        AnswerFilter::Network => format!("status IS NULL AND error IS NOT NULL AND {FAILED}"),
        AnswerFilter::Timeout => format!("status IS NULL AND error GLOB '* within [0-9]*' AND {FAILED}"),
    }
}

/// Whether most attempts have it, so that reading from the newest on finds enough at once.
fn is_common(answer: AnswerFilter) -> bool {
    matches!(answer, AnswerFilter::Class(2) | AnswerFilter::Status(200..=299))
}

fn row(row: &Row<'_>) -> rusqlite::Result<JournalRow> {
    let uuid = |bytes: Vec<u8>| Uuid::from_slice(&bytes).unwrap_or_default();
    let word = |words: &[&'static str], code: i64| usize::try_from(code).ok().and_then(|code| words.get(code)).copied();
    let op: Option<i64> = row.get(5)?;
    Ok(JournalRow {
        number: row.get(0)?,
        id: uuid(row.get(1)?),
        rule: row.get(2)?,
        table: row.get(3)?,
        target: row.get(4)?,
        op: op.and_then(|code| word(&["insert", "update", "delete", "read", "truncate"], code)),
        key: row.get(6)?,
        outcome: word(&JournalOutcome::ALL.map(JournalOutcome::as_str), row.get(7)?).unwrap_or("?"),
        reason: row.get(8)?,
        merged_into: row.get::<_, Option<Vec<u8>>>(9)?.map(uuid),
        status: row.get(10)?,
        attempts: row.get(11)?,
        times: row.get(12)?,
        committed_us: row.get(13)?,
        resolved_us: row.get(14)?,
        duration_us: row.get(15)?,
        last_error: row.get(16)?,
    })
}
