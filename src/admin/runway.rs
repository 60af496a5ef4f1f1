//! The runway: the time until the server purges the binlog that is still needed.
//!
//! In: the status of the rules and of the source, the time. Out: an estimate; and one warning when it has become short
//! while a rule is detached. The server purges a file by the time of its end, so it may keep a position longer than
//! estimated, and never shorter unless a person purges by hand.

use std::time::Duration;

use super::SourceNow;
use crate::pipeline::{LoopStatus, StreamStatus};
use crate::position::Retention;

/// Less than this is short: a person may need so long to react.
const SHORT: Duration = Duration::from_secs(24 * 3600);

/// Where the server keeps its binlog for a few days only, a part of that time.
const SHORT_PART: u32 = 5;

/// How long what is needed is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runway {
    /// MySQL has not answered yet, or does not say.
    Unknown,
    /// The server purges nothing by age.
    Endless,
    /// Zero: it may be gone at any moment.
    Left(Duration),
}

impl Runway {
    /// As the metric says it.
    pub fn seconds(self) -> f64 {
        match self {
            Runway::Unknown => f64::NAN,
            Runway::Endless => f64::INFINITY,
            Runway::Left(time) => time.as_secs_f64(),
        }
    }
}

/// The estimate at this moment, in microseconds since the Unix epoch.
pub fn runway(status: &LoopStatus, source: &SourceNow, now_us: u64) -> Runway {
    let time = match source.retention {
        None => return Runway::Unknown,
        Some(Retention::ForEver) => return Runway::Endless,
        Some(Retention::For(time)) => time,
    };
    let Some(needed_us) = oldest_needed_us(status, source, now_us) else { return Runway::Unknown };
    let kept_until_us = needed_us.saturating_add(time.as_micros() as u64);
    Runway::Left(Duration::from_micros(kept_until_us.saturating_sub(now_us)))
}

/// The commit time of the oldest transaction that must be read, or read again after a restart.
fn oldest_needed_us(status: &LoopStatus, source: &SourceNow, now_us: u64) -> Option<u64> {
    // Where there is nothing newer, the newest transaction read may be days old, and its file is in use.
    let main_us = match source.lag {
        Some(lag) => Some(now_us.saturating_sub(lag.as_micros() as u64)),
        None => status.read_up_to_us,
    };
    let unresolved = status.rules.iter().filter_map(|rule| rule.oldest_unresolved_us);
    let behind = status.rules.iter().filter_map(|rule| match &rule.stream {
        StreamStatus::Attached => None,
        StreamStatus::Detached { since_us, read_up_to_us, .. } => Some(read_up_to_us.unwrap_or(*since_us)),
    });
    unresolved.chain(behind).chain(main_us).min()
}

/// Remembers whether it has warned.
#[derive(Debug, Default)]
pub struct Alarm {
    is_raised: bool,
}

impl Alarm {
    /// Whether to warn now: a rule is detached and the runway has become short. Again only after it was not.
    pub fn is_due(&mut self, runway: Runway, status: &LoopStatus, source: &SourceNow) -> bool {
        let is_detached = status.rules.iter().any(|rule| rule.stream != StreamStatus::Attached);
        let is_short = match (runway, source.retention) {
            // If the server keeps no closed file, the binlog of a late rule may be purged at any moment.
            (Runway::Left(_), Some(Retention::For(Duration::ZERO))) => true,
            // Where a file is kept for less than a day, that alone is no alarm.
            (Runway::Left(left), Some(Retention::For(time))) if time <= SHORT => left < time / SHORT_PART,
            (Runway::Left(left), Some(Retention::For(time))) => left < SHORT.max(time / SHORT_PART),
            _ => false,
        };
        let was_raised = std::mem::replace(&mut self.is_raised, is_detached && is_short);
        self.is_raised && !was_raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::RuleStatus;

    const HOUR_US: u64 = 3_600_000_000;
    const NOW_US: u64 = 1_000 * HOUR_US;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    fn source(retention: Option<Retention>, lag: Option<Duration>) -> SourceNow {
        SourceNow { address: String::new(), version: None, retention, lag, problem: None }
    }

    fn rule(stream: StreamStatus, oldest_unresolved_us: Option<u64>) -> RuleStatus {
        RuleStatus {
            rule: "r".to_string(),
            target: String::new(),
            stream,
            paused: None,
            lacks: None,
            unresolved: 0,
            in_flight: 0,
            in_retry: 0,
            low_water_mark: None,
            oldest_unresolved_us,
        }
    }

    fn behind(read_up_to_us: Option<u64>) -> StreamStatus {
        StreamStatus::Detached { since_us: NOW_US - 2 * HOUR_US, is_reading: true, read_up_to_us, error: None }
    }

    fn status(read_up_to_us: Option<u64>, rules: Vec<RuleStatus>) -> LoopStatus {
        LoopStatus { position: None, read_up_to_us, rules, targets: Vec::new(), binlog_pin: None }
    }

    #[test]
    fn the_runway_counts_from_the_oldest_transaction_that_is_still_needed() {
        let kept = Some(Retention::For(hours(72)));
        let ago = |hours: u64| Some(NOW_US - hours * HOUR_US);
        let idle = Some(Duration::ZERO);
        for (what, status, source, expected) in [
            ("idle for 50 hours", status(ago(50), vec![]), source(kept, idle), Runway::Left(hours(72))),
            ("reading 3 hours late", status(ago(3), vec![]), source(kept, Some(hours(3))), Runway::Left(hours(69))),
            ("disconnected", status(ago(50), vec![]), source(kept, None), Runway::Left(hours(22))),
            (
                "waiting for an API",
                status(ago(0), vec![rule(StreamStatus::Attached, ago(10)), rule(StreamStatus::Attached, ago(5))]),
                source(kept, idle),
                Runway::Left(hours(62)),
            ),
            ("behind", status(ago(0), vec![rule(behind(ago(40)), None)]), source(kept, idle), Runway::Left(hours(32))),
            (
                "not read yet",
                status(ago(0), vec![rule(behind(None), None)]),
                source(kept, idle),
                Runway::Left(hours(70)),
            ),
            ("too late", status(ago(80), vec![]), source(kept, None), Runway::Left(Duration::ZERO)),
            ("never purged", status(ago(80), vec![]), source(Some(Retention::ForEver), None), Runway::Endless),
            ("nothing known", status(None, vec![]), source(kept, None), Runway::Unknown),
            ("no server yet", status(ago(1), vec![]), source(None, None), Runway::Unknown),
        ] {
            assert_eq!(runway(&status, &source, NOW_US), expected, "{what}");
        }
    }

    #[test]
    fn a_short_runway_is_reported_once_and_only_while_a_rule_is_detached() {
        let late = status(None, vec![rule(behind(None), None)]);
        let attached = status(None, vec![rule(StreamStatus::Attached, None)]);
        let (month, half_day) = (hours(720), hours(12));
        let mut alarm = Alarm::default();
        for (kept, left, status, expected) in [
            (month, 200, &late, false),
            (month, 143, &attached, false),
            (month, 143, &late, true),
            (month, 100, &late, false),
            (month, 200, &late, false),
            (month, 100, &late, true),
            (hours(48), 30, &late, false),
            (hours(48), 23, &late, true),
            (half_day, 11, &late, false),
            (half_day, 2, &late, true),
        ] {
            let source = source(Some(Retention::For(kept)), None);
            assert_eq!(alarm.is_due(Runway::Left(hours(left)), status, &source), expected, "{kept:?} {left}");
        }
        assert!(!Alarm::default().is_due(Runway::Unknown, &late, &source(None, None)));
        let at_once = source(Some(Retention::For(Duration::ZERO)), None);
        assert!(Alarm::default().is_due(Runway::Left(Duration::ZERO), &late, &at_once));
        assert!(!Alarm::default().is_due(Runway::Left(Duration::ZERO), &attached, &at_once));
    }
}
