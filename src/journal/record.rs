//! Entries: what the journal keeps of a delivery.
//!
//! In: a completed delivery. Out: one entry for it, and one for each delivery that was merged into it, without row values
//! other than the primary key. Keeps promise 8 with its rule: a key column that the rule redacts is `***`. Pure but for the time.

use std::sync::Arc;

use crate::change::key_text::key_in_a_line;
use crate::change::{DeliveryId, Op};
use crate::clock::now_us;
use crate::delivery::{Completed, Merged, Origin, Outcome};
use crate::failure::{Answer, Attempt, attempt_numbers};
use crate::printable::one_line;
use crate::rules::{OrderBy, Rule, Target};
use crate::schema::Table;

/// Longer errors are shortened.
const ERROR_CHARS_MAX: usize = 200;

/// What came of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalOutcome {
    Delivered,
    Dead,
    /// Not attempted: it waits behind a dead letter.
    Blocked,
    /// It became a part of a later delivery of its key.
    Coalesced,
}

impl JournalOutcome {
    pub const ALL: [JournalOutcome; 4] =
        [JournalOutcome::Delivered, JournalOutcome::Dead, JournalOutcome::Blocked, JournalOutcome::Coalesced];

    pub fn as_str(self) -> &'static str {
        match self {
            JournalOutcome::Delivered => "delivered",
            JournalOutcome::Dead => "dead",
            JournalOutcome::Blocked => "blocked",
            JournalOutcome::Coalesced => "coalesced",
        }
    }

    pub fn parse(word: &str) -> Option<JournalOutcome> {
        JournalOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// In the file; never to change.
    pub fn code(self) -> i64 {
        match self {
            JournalOutcome::Delivered => 0,
            JournalOutcome::Dead => 1,
            JournalOutcome::Blocked => 2,
            JournalOutcome::Coalesced => 3,
        }
    }
}

/// The number of an op in the file; never to change.
pub fn op_code(op: Op) -> i64 {
    match op {
        Op::Insert => 0,
        Op::Update => 1,
        Op::Delete => 2,
        Op::Read => 3,
        Op::Truncate => 4,
    }
}

/// One resolved delivery.
#[derive(Debug, Clone)]
pub(super) struct JournalEntry {
    pub id: DeliveryId,
    /// Whether it came from the binlog stream, where each comes once; not by a replay.
    pub is_of_stream: bool,
    pub rule: Arc<Rule>,
    pub table: Arc<Table>,
    /// None for a merged delivery: it is not known.
    pub op: Option<Op>,
    /// As `dead-letters list` shows keys. None: the table has no primary key, or it is not known.
    pub key: Option<Box<str>>,
    pub target: Arc<Target>,
    pub outcome: JournalOutcome,
    /// The reason of a dead letter.
    pub reason: Option<&'static str>,
    pub merged_into: Option<DeliveryId>,
    pub committed_us: u64,
    pub resolved_us: u64,
    pub last_attempt: Option<JournalAttempt>,
    pub earlier_attempts: Box<[JournalAttempt]>,
    /// All that were made; of many not all are kept.
    pub attempts_total: u64,
}

#[derive(Debug, Clone)]
pub(super) struct JournalAttempt {
    /// From 1.
    pub number: u64,
    pub started_us: u64,
    pub duration_us: u64,
    /// None: no answer came, or it was a statement.
    pub status: Option<u16>,
    pub error: Option<Box<str>>,
}

impl JournalEntry {
    /// The entry of the delivery, and those of the deliveries merged into it.
    pub fn all_of(completed: &Completed) -> impl Iterator<Item = JournalEntry> {
        let entry = JournalEntry::of(completed);
        let merged: Vec<JournalEntry> = completed.merged.iter().map(|part| entry.merged(part)).collect();
        merged.into_iter().chain([entry])
    }

    fn of(completed: &Completed) -> JournalEntry {
        let delivery = &completed.delivery;
        let (outcome, reason) = match &completed.outcome {
            Outcome::Delivered { .. } => (JournalOutcome::Delivered, None),
            Outcome::Dead(failure) => (JournalOutcome::Dead, Some(failure.reason.as_str())),
            Outcome::Blocked { .. } => (JournalOutcome::Blocked, None),
        };
        let (kept, attempts_total) = (completed.attempts.kept(), completed.attempts.total());
        let mut attempts = attempt_numbers(kept.len(), attempts_total).zip(kept).map(attempt);
        let earlier_attempts = attempts.by_ref().take(kept.len().saturating_sub(1)).collect();
        JournalEntry {
            id: delivery.id,
            is_of_stream: delivery.origin == Origin::Stream,
            rule: Arc::clone(&delivery.rule),
            table: Arc::clone(&delivery.change.table),
            op: Some(delivery.change.op),
            key: key_in_a_line(&delivery.change, |column| delivery.rule.redacts(column)).map(Into::into),
            target: Arc::clone(&delivery.action().target),
            outcome,
            reason,
            merged_into: None,
            committed_us: delivery.change.transaction.committed_at_us,
            resolved_us: now_us(),
            last_attempt: attempts.next(),
            earlier_attempts,
            attempts_total,
        }
    }

    fn merged(&self, part: &Merged) -> JournalEntry {
        // Ordered by anything else, other rows are merged, too.
        let has_same_key = matches!(self.rule.order_by, OrderBy::PrimaryKey);
        JournalEntry {
            id: part.id,
            is_of_stream: part.origin == Origin::Stream,
            op: None,
            key: self.key.clone().filter(|_| has_same_key),
            outcome: JournalOutcome::Coalesced,
            reason: None,
            merged_into: Some(self.id),
            committed_us: part.committed_at_us,
            last_attempt: None,
            earlier_attempts: Box::default(),
            attempts_total: 0,
            ..self.clone()
        }
    }

    /// The memory that it takes, exact enough for the queue's limit.
    pub fn weight_bytes(&self) -> usize {
        let attempts = self.earlier_attempts.iter().chain(&self.last_attempt);
        let errors: usize = attempts.filter_map(|attempt| attempt.error.as_deref()).map(str::len).sum();
        let texts = self.key.as_deref().map_or(0, str::len) + errors;
        size_of::<JournalEntry>() + self.earlier_attempts.len() * size_of::<JournalAttempt>() + texts
    }
}

fn attempt((number, attempt): (u64, &Attempt)) -> JournalAttempt {
    let (status, error) = match &attempt.answer {
        Answer::Status { status, .. } => (Some(*status), None),
        Answer::Written { .. } => (None, None),
        Answer::Failed { error } => (None, Some(one_line(error, ERROR_CHARS_MAX).into())),
    };
    JournalAttempt { number, started_us: attempt.started_at_us, duration_us: attempt.duration_us, status, error }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{completed, dead, delivered};
    use super::*;

    #[test]
    fn a_key_is_kept_as_dead_letters_show_it_and_a_redacted_column_as_stars() {
        for (settings, columns, primary_key, expected) in [
            ("", &["id", "shop"][..], &[0][..], Some("7")),
            ("", &["id", "shop"], &[1, 0], Some("shop=\"berlin\", id=7")),
            ("", &["id", "shop"], &[], None),
            (", redact: [shop]", &["id", "shop"], &[1, 0], Some("shop=***, id=7")),
            (", redact: [id]", &["id", "shop"], &[0], Some("***")),
        ] {
            let completed = completed(settings, 7, columns, primary_key, delivered());
            let entry = JournalEntry::of(&completed);
            assert_eq!(entry.key.as_deref(), expected, "{settings} {primary_key:?}");
        }
    }

    #[test]
    fn merged_deliveries_have_entries_of_their_own_that_name_the_one_they_became_a_part_of() {
        let id = DeliveryId(uuid::Uuid::from_u128(1));
        for (settings, key) in [("", Some("7")), (", order_by: [shop]", None)] {
            let mut completed = completed(settings, 7, &["id", "shop"], &[0], dead());
            completed.merged.push(Merged { id, origin: Origin::Stream, committed_at_us: 3 });
            let entries: Vec<JournalEntry> = JournalEntry::all_of(&completed).collect();
            let [merged, entry] = &entries[..] else { panic!("{entries:?}") };
            assert_eq!((entry.outcome, entry.reason), (JournalOutcome::Dead, Some("exhausted")));
            assert_eq!(
                (merged.id, merged.outcome, merged.merged_into),
                (id, JournalOutcome::Coalesced, Some(entry.id))
            );
            assert_eq!((merged.key.as_deref(), merged.op, merged.last_attempt.is_none()), (key, None, true));
        }
    }
}
