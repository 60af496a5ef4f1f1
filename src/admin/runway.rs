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
pub(super) const SHORT: Duration = Duration::from_secs(24 * 3600);

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

/// The estimate at this moment, in microseconds since the Unix epoch. What is needed begins with the oldest change that is
/// not resolved; where there is none, the newest file is in use.
pub fn runway(status: &LoopStatus, source: &SourceNow, now_us: u64) -> Runway {
    let time = match source.retention {
        None => return Runway::Unknown,
        Some(Retention::ForEver) => return Runway::Endless,
        Some(Retention::For(time)) => time,
    };
    match status.oldest.lag(now_us).longest() {
        Some(lag) => Runway::Left(time.saturating_sub(lag)),
        None => Runway::Unknown,
    }
}

/// Whether so little is left, of the time for which the server keeps its binlog, that a person should act: less than `least`. Asked only while
/// a rule is late: a server that keeps no closed file may purge at any moment what a late rule needs, and leaves nothing at any time.
pub fn is_short(left: Duration, kept: Duration, least: Duration) -> bool {
    match kept {
        Duration::ZERO => true,
        // Where a file is kept for no longer than that, this alone is no alarm.
        kept if kept <= least => left < kept / 2,
        _ => left < least,
    }
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
            (Runway::Left(left), Some(Retention::For(kept))) => is_short(left, kept, SHORT),
            _ => false,
        };
        let was_raised = std::mem::replace(&mut self.is_raised, is_detached && is_short);
        self.is_raised && !was_raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::OldestChange;
    use crate::pipeline::RuleStatus;

    const HOUR_US: u64 = 3_600_000_000;
    const NOW_US: u64 = 1_000 * HOUR_US;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    fn source(retention: Option<Retention>) -> SourceNow {
        SourceNow { address: String::new(), version: None, retention, problem: None }
    }

    fn status(oldest: OldestChange, rules: Vec<RuleStatus>) -> LoopStatus {
        LoopStatus { oldest, rules, ..LoopStatus::default() }
    }

    #[test]
    fn the_runway_counts_from_the_oldest_change_that_is_not_resolved() {
        let kept = Some(Retention::For(hours(72)));
        let ago = |hours: u64| NOW_US - hours * HOUR_US;
        for (what, oldest, retention, expected) in [
            ("idle", OldestChange::None, kept, Runway::Left(hours(72))),
            ("reading 3 hours late", OldestChange::NotBefore(ago(3)), kept, Runway::Left(hours(69))),
            ("waiting for an API", OldestChange::At(ago(10)), kept, Runway::Left(hours(62))),
            ("too late", OldestChange::At(ago(80)), kept, Runway::Left(Duration::ZERO)),
            ("never purged", OldestChange::At(ago(80)), Some(Retention::ForEver), Runway::Endless),
            ("nothing known", OldestChange::Unknown, kept, Runway::Unknown),
            ("no server yet", OldestChange::At(ago(1)), None, Runway::Unknown),
        ] {
            assert_eq!(runway(&status(oldest, vec![]), &source(retention), NOW_US), expected, "{what}");
        }
    }

    #[test]
    fn a_runway_is_short_below_a_day_or_below_half_of_what_is_kept_for_a_day_or_less() {
        let minute = Duration::from_secs(60);
        for (kept, left, expected) in [
            (hours(720), hours(24), false),
            (hours(720), hours(24) - minute, true),
            (hours(25), hours(24), false),
            (hours(25), hours(24) - minute, true),
            (hours(24), hours(12), false),
            (hours(24), hours(12) - minute, true),
            (hours(1), minute * 30, false),
            (hours(1), minute * 29, true),
            (hours(1), Duration::ZERO, true),
            // The server keeps no closed file.
            (Duration::ZERO, Duration::ZERO, true),
        ] {
            assert_eq!(is_short(left, kept, SHORT), expected, "{left:?} of {kept:?}");
        }
    }

    #[test]
    fn a_short_runway_is_reported_once_and_only_while_a_rule_is_detached() {
        let is_reading = true;
        let detached = StreamStatus::Detached { since_us: 1, is_reading, read_up_to_us: None, error: None };
        let rule = |stream| RuleStatus { stream, ..RuleStatus::of_test("r") };
        let late = status(OldestChange::None, vec![rule(detached)]);
        let attached = status(OldestChange::None, vec![rule(StreamStatus::Attached)]);
        let (month, half_day) = (hours(720), hours(12));
        let mut alarm = Alarm::default();
        for (kept, left, status, expected) in [
            (month, 100, &late, false),
            (month, 23, &attached, false),
            (month, 23, &late, true),
            (month, 20, &late, false),
            (month, 100, &late, false),
            (month, 20, &late, true),
            (half_day, 11, &late, false),
            (half_day, 2, &late, true),
        ] {
            let source = source(Some(Retention::For(kept)));
            assert_eq!(alarm.is_due(Runway::Left(hours(left)), status, &source), expected, "{kept:?} {left}");
        }
        assert!(!Alarm::default().is_due(Runway::Unknown, &late, &source(None)));
        let at_once = source(Some(Retention::For(Duration::ZERO)));
        assert!(Alarm::default().is_due(Runway::Left(Duration::ZERO), &late, &at_once));
        assert!(!Alarm::default().is_due(Runway::Left(Duration::ZERO), &attached, &at_once));
    }
}
