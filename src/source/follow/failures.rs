//! The failures since reading last made progress.
//!
//! Plain data: the reader counts here and reports its status from it.

use std::time::SystemTime;

use crate::source::ReadStatus;

/// The failures since reading last made progress.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub attempts: u32,
    pub silences: u32,
    pub damages: u32,
    pub last: Option<String>,
    pub since: Option<SystemTime>,
}

impl Failures {
    pub fn status(&self) -> ReadStatus {
        ReadStatus::Connecting { attempt: self.attempts + 1, last_error: self.last.clone(), since: self.since }
    }
}
