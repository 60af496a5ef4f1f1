//! The documented JSON of `rowhook position show`.
//!
//! In: what the store contains. Out: plain records. A member that is not known is null, never left out.

use serde::{Deserialize, Serialize};

use super::status::PositionView;

/// Where reading goes on after a restart, and who moved that by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PositionsView {
    /// The main stream's; null before the first checkpoint.
    pub position: Option<PositionView>,
    /// Rules that are not where the main stream is.
    pub rules: Vec<RulePositionView>,
    /// The oldest first.
    pub log: Vec<PositionChangeView>,
}

/// The position of a rule that is not where the main stream is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulePositionView {
    pub rule: String,
    pub position: PositionView,
    /// Since when the main stream goes on without it; null where it does not.
    pub detached_since: Option<String>,
}

/// One command that moved positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionChangeView {
    pub at: String,
    /// The user of the operating system who did it.
    pub by: String,
    /// The option that said where to.
    pub how: String,
    pub note: Option<String>,
    pub moves: Vec<PositionMoveView>,
}

/// One position that was moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionMoveView {
    /// Null: the main stream's.
    pub rule: Option<String>,
    pub from: String,
    pub to: String,
    /// Null, as in the three others: not known.
    pub skipped_transactions: Option<u64>,
    pub skipped_bytes: Option<u64>,
    pub repeated_transactions: Option<u64>,
    pub repeated_bytes: Option<u64>,
}
