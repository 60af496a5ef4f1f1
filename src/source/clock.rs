//! Clocks of a reader: when to refresh its status, and how long ago a transaction was committed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// Time since a commit; zero when there was none yet or the clocks disagree.
pub(super) fn age(commit_us: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if commit_us == 0 { Duration::ZERO } else { now.saturating_sub(Duration::from_micros(commit_us)) }
}
