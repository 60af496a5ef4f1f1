//! The time of day as records, answers and dead letters write it.
//!
//! Out: microseconds since the Unix epoch. To measure a duration, use a monotonic clock instead.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in microseconds since the Unix epoch.
pub fn now_us() -> u64 {
    since_epoch_us(SystemTime::now())
}

/// In microseconds since the Unix epoch; zero for an earlier time.
pub fn since_epoch_us(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
