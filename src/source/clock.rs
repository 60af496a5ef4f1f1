//! Clocks of a reader: when to refresh its status, and how long ago a transaction was committed.

use std::time::{Duration, Instant};

use crate::clock::now_us;

/// How often a busy stream refreshes its status.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct StatusClock {
    next: Instant,
}

impl StatusClock {
    pub fn new() -> StatusClock {
        StatusClock { next: Instant::now() }
    }

    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + STATUS_INTERVAL;
        }
        is_due
    }
}

/// Time since a commit; none when there was none yet, zero when the clocks disagree.
pub(super) fn age(commit_us: u64) -> Option<Duration> {
    (commit_us != 0).then(|| Duration::from_micros(now_us().saturating_sub(commit_us)))
}
