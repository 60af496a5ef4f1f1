//! Whether the machine's clock was set: then lags and ages are wrong by as much, until what was read before is resolved.
//!
//! In: the time of day and the time that has passed, once a second. Out: by how much the clock jumped. A machine that slept
//! looks the same. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that is corrected slowly, and a busy machine, differ by less.
const JUMP_MIN: Duration = Duration::from_secs(2);

/// See the module's header.
#[derive(Debug)]
pub(super) struct ClockWatch {
    at: Instant,
    /// Microseconds since the Unix epoch.
    clock_us: u64,
}

/// The clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClockJump {
    Forward(Duration),
    Back(Duration),
}

impl ClockWatch {
    pub fn new(at: Instant, clock_us: u64) -> ClockWatch {
        ClockWatch { at, clock_us }
    }

    /// What happened since the last call.
    pub fn look(&mut self, at: Instant, clock_us: u64) -> Option<ClockJump> {
        let expected_us = self.clock_us.saturating_add(at.duration_since(self.at).as_micros() as u64);
        *self = ClockWatch { at, clock_us };
        let by = Duration::from_micros(clock_us.abs_diff(expected_us));
        let jump = if clock_us > expected_us { ClockJump::Forward(by) } else { ClockJump::Back(by) };
        (by >= JUMP_MIN).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_goes_on_is_not() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut watch = ClockWatch::new(start, 1_000_000_000);
        assert_eq!(watch.look(start + second, 1_001_000_000), None);
        assert_eq!(watch.look(start + 2 * second, 1_003_000_000), None, "less than is told");
        assert_eq!(watch.look(start + 3 * second, 4_604_000_000), Some(ClockJump::Forward(3_600 * second)));
        assert_eq!(watch.look(start + 4 * second, 4_605_000_000), None);
        assert_eq!(watch.look(start + 5 * second, 4_600_000_000), Some(ClockJump::Back(6 * second)));
    }
}
