//! Lag: the time since the commit of the oldest change that is not resolved.
//!
//! In: what each stream knows of that change. Out: one number with one meaning, for the status, metrics, probes and alerts.
//! Dead letters and blocked changes are resolved, and counted apart; what a paused rule has before it is not. Pure.

use std::time::Duration;

/// The oldest change that is not resolved. Times are those of commits, in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OldestChange {
    /// All that the server has committed is resolved.
    None,
    At(u64),
    /// It is not read yet: if there is one, it was committed then or later.
    NotBefore(u64),
    /// Nothing is known yet.
    #[default]
    Unknown,
}

/// How long ago the oldest change was committed that is not resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    Unknown,
    Exactly(Duration),
    /// What lies in the log beyond the newest transaction read is not known.
    AtMost(Duration),
}

impl OldestChange {
    /// The older one of both.
    pub fn or_older(self, other: OldestChange) -> OldestChange {
        use OldestChange::{At, None, NotBefore, Unknown};
        let time = |oldest| match oldest {
            At(us) | NotBefore(us) => Some(us),
            None | Unknown => Option::None,
        };
        match (self, other, time(self), time(other)) {
            (.., Some(own), Some(theirs)) if theirs < own => other,
            (.., Some(_), _) => self,
            (.., Option::None, Some(_)) => other,
            (Unknown, ..) => Unknown,
            _ => other,
        }
    }

    /// Its age; never below zero, whatever the clocks say.
    pub fn lag(self, now_us: u64) -> Lag {
        let age = |us| Duration::from_micros(now_us.saturating_sub(us));
        match self {
            OldestChange::None => Lag::Exactly(Duration::ZERO),
            OldestChange::At(us) => Lag::Exactly(age(us)),
            OldestChange::NotBefore(us) => Lag::AtMost(age(us)),
            OldestChange::Unknown => Lag::Unknown,
        }
    }
}

impl Lag {
    /// The longest that it may be.
    pub fn longest(self) -> Option<Duration> {
        match self {
            Lag::Unknown => None,
            Lag::Exactly(time) | Lag::AtMost(time) => Some(time),
        }
    }

    /// As the metric says it.
    pub fn seconds(self) -> f64 {
        self.longest().map_or(f64::NAN, |time| time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::OldestChange::{At, NotBefore, Unknown};
    use super::*;

    #[test]
    fn of_two_the_older_one_counts_and_what_is_known_before_what_is_not() {
        for (one, other, expected) in [
            (At(5), At(7), At(5)),
            (At(7), NotBefore(5), NotBefore(5)),
            (NotBefore(7), At(5), At(5)),
            (OldestChange::None, NotBefore(5), NotBefore(5)),
            (OldestChange::None, OldestChange::None, OldestChange::None),
            (OldestChange::None, Unknown, Unknown),
            (Unknown, At(5), At(5)),
        ] {
            assert_eq!(one.or_older(other), expected, "{one:?} {other:?}");
            assert_eq!(other.or_older(one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_lag_is_never_below_zero_and_says_whether_it_is_exact() {
        for (oldest, expected) in [
            (OldestChange::None, Lag::Exactly(Duration::ZERO)),
            (At(4_000_000), Lag::Exactly(Duration::from_secs(6))),
            (At(11_000_000), Lag::Exactly(Duration::ZERO)),
            (NotBefore(1_000_000), Lag::AtMost(Duration::from_secs(9))),
            (Unknown, Lag::Unknown),
        ] {
            assert_eq!(oldest.lag(10_000_000), expected);
        }
        assert!(Lag::Unknown.seconds().is_nan());
    }
}
