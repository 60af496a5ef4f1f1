//! What the control socket and `--json` say: the documented JSON of dead letters, selections and replays.
//!
//! In: letters from the store, outcomes of replays. Out: plain records of their own, so that the store's format and the
//! contract with scripts can change apart. Times are RFC 3339 in UTC, durations say their unit. Enums are written with
//! their name as the only key: serde's other forms do not read numbers back when they must be exact.

pub mod binlog_replay;
mod edit;
mod listing;
pub mod position;
mod replay;
pub mod saga;
mod selection;
pub mod status;
pub mod store;

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use saga::SagaView;

pub use edit::{EditRequest, EditView, EditedLetter, LetterBody};
pub use listing::{ExportReport, GroupsRequest, GroupsView, LetterField, LetterGroup, ListRequest, ListSort, Listing};
pub use replay::{Preview, ReplayEndedBy, ReplayProgress, ReplayReport, ReplayRequest, Replayed, SendRate, Totals};
pub use selection::Selection;

/// One dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterView {
    pub number: u64,
    /// The delivery id, sent as `Idempotency-Key`.
    pub id: String,
    pub rule: String,
    pub op: String,
    /// `schema.table`.
    pub table: String,
    /// The row's primary key: an object from column to value, null for a table without one. As text, so that columns stay
    /// in their order and numbers exact.
    #[serde(default)]
    pub key: Option<Box<RawValue>>,
    /// `refused`, `exhausted`, `unrenderable`, `undecided`, `blocked`, `unknown`, `callback_failed`, `fuse` or `interrupted`.
    pub reason: String,
    /// What its saga leaves behind: `complete`, `none` or `partial`. Absent where it takes only one repeatable call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub effect: Option<String>,
    /// Set when a person has closed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved: Option<ResolvedView>,
    /// Set when its body was edited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edit: Option<EditView>,
    /// The dead letter that this one waits behind. Absent when it waits for none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blocked_by: Option<u64>,
    pub message: String,
    /// Those of the first delivery, or of the newest replay; of many the first and the last.
    pub attempts: Vec<AttemptView>,
    /// How many were made.
    #[serde(default)]
    pub attempts_total: u64,
    pub created_at: String,
    /// Replays that failed.
    pub replays: u32,
    pub last_replayed_at: Option<String>,
    /// The columns whose values were not kept; `***` stands in their place.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub redacted: Vec<String>,
    /// Only in `show`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub saga: Option<SagaView>,
    /// Only in `show`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction: Option<TransactionView>,
    /// The change event, as a rule without a body of its own sends it. Only in `show`. As text, so that columns stay in
    /// their order and numbers exact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change: Option<Box<RawValue>>,
}

/// One HTTP request and its result: either a status or an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    pub at: String,
    pub duration_ms: u64,
    pub status: Option<u16>,
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub excerpt: Option<String>,
}

/// The transaction that made the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransactionView {
    pub gtid: Option<String>,
    pub file: String,
    pub offset: u64,
}

/// The note of the person who closed a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedView {
    pub note: String,
    pub at: String,
}

/// The request of `resolve`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    pub selection: Selection,
    /// For people, one line: the same for all.
    pub note: String,
    /// Without this no more than one dead letter is resolved.
    #[serde(default)]
    pub is_confirmed: bool,
}

/// What `resolve` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedLetters {
    pub resolved: u64,
    /// Those that are as they were, because their replay is under way; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub being_sent: Vec<u64>,
    /// Those that keep the note with which they were resolved before; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_already: Vec<u64>,
}

/// What `discard` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    pub discarded: u64,
    /// Those that stay, because their replay is under way; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub being_sent: Vec<u64>,
}

/// A moment as RFC 3339 in UTC, to the microsecond.
pub fn rfc3339(at_us: u64) -> String {
    // humantime ends with the year 9999; no clock is set that far.
    let at = UNIX_EPOCH + Duration::from_micros(at_us.min(253_402_300_799_000_000));
    humantime::format_rfc3339_micros(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_to_the_microsecond() {
        assert_eq!(rfc3339(1_763_680_000_123_456), "2025-11-20T23:06:40.123456Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.000000Z");
    }
}
