//! The documented JSON of `rowhook store verify` and `backup`.
//!
//! In: what was read of the store. Out: plain records.

use serde::{Deserialize, Serialize};

use super::rfc3339;
use crate::store::{Backup, Verified};

/// What a store contains, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedView {
    pub is_whole: bool,
    /// Including those that are blocked or resolved.
    pub dead_letters: u64,
    pub blocked: u64,
    pub resolved: u64,
    /// What is known of deliveries with several steps.
    pub sagas: u64,
    pub entries: u64,
    pub bytes: u64,
    /// The first 20.
    pub problems: Vec<String>,
    pub problem_count: u64,
}

impl VerifiedView {
    pub fn of(found: &Verified) -> VerifiedView {
        VerifiedView {
            is_whole: found.is_whole(),
            dead_letters: found.letters,
            blocked: found.blocked,
            resolved: found.resolved,
            sagas: found.sagas,
            entries: found.entries,
            bytes: found.bytes,
            problems: found.problems.clone(),
            problem_count: found.problem_count,
        }
    }
}

/// Where a backup is to be written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// An absolute path on the daemon's machine.
    pub file: String,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupView {
    pub file: String,
    pub made_at: String,
    /// Including those that are blocked or resolved.
    pub dead_letters: u64,
    /// `file:offset` of the main stream; null before the first checkpoint.
    pub place: Option<String>,
    pub entries: u64,
    /// Of the file.
    pub bytes: u64,
}

impl BackupView {
    pub fn of(file: &str, backup: &Backup) -> BackupView {
        let Backup { head, entries, bytes } = backup;
        BackupView {
            file: file.to_string(),
            made_at: rfc3339(head.made_at_us),
            dead_letters: head.letters,
            place: head.place.clone(),
            entries: *entries,
            bytes: *bytes,
        }
    }
}
