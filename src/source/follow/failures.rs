//! What has failed since reading last got further.
//!
//! Plain data: the reader counts here, and says from it how it goes.

use std::time::SystemTime;

use crate::source::ReadStatus;

/// Failures since reading last got further.
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
