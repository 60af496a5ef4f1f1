//! What the log says of dead letters: each while there are few, their number while there are many.
//!
//! In: each dead letter as it comes, and the time. Out: whether it gets an ERROR of its own, which the first of a rule and a minute gets;
//! for the others one line per rule and minute, with the most frequent cause. Owns the counts of these minutes. Memory is bounded by the
//! number of rules. No I/O.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::failure::similar;
use crate::in_words::count;
use crate::printable::shortened;

/// So long the further dead letters of a rule are only counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Causes of a rule that are told apart; more in one minute are of no use to anyone.
const CAUSES_MAX: usize = 20;

/// Of a message that a cause is known by.
const CAUSE_CHARACTERS_MAX: usize = 200;

/// Dead letters since the last lines about them.
#[derive(Debug, Default)]
pub struct LetterLog {
    by_rule: HashMap<Box<str>, LetterMinute>,
}

/// Of one rule, since the dead letter that got a line of its own.
#[derive(Debug)]
struct LetterMinute {
    began: Instant,
    more: u64,
    by_cause: HashMap<String, u64>,
}

/// The dead letters of a rule that got no line of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoreLetters {
    pub rule: Box<str>,
    pub more: u64,
    pub within: Duration,
    /// The most frequent one; none if there were too many.
    pub cause: Option<(String, u64)>,
}

impl LetterLog {
    /// Whether this dead letter gets a line of its own. `cause` is its message.
    pub fn is_first(&mut self, rule: &str, cause: &str, now: Instant) -> bool {
        let Some(minute) = self.by_rule.get_mut(rule) else {
            let minute = LetterMinute { began: now, more: 0, by_cause: HashMap::new() };
            self.by_rule.insert(rule.into(), minute);
            return true;
        };
        minute.more += 1;
        let cause = shortened(&similar(cause), CAUSE_CHARACTERS_MAX);
        let is_full = minute.by_cause.len() == CAUSES_MAX;
        match minute.by_cause.get_mut(&cause) {
            Some(count) => *count += 1,
            None if is_full => {}
            None => drop(minute.by_cause.insert(cause, 1)),
        }
        false
    }

    /// What is to be said of minutes that are over; the next dead letter of these rules gets a line again.
    pub fn take_over(&mut self, now: Instant) -> Vec<MoreLetters> {
        self.take_where(now, |minute| now.saturating_duration_since(minute.began) >= MINUTE)
    }

    /// What is to be said of all minutes, because the log ends.
    pub fn take_all(&mut self, now: Instant) -> Vec<MoreLetters> {
        self.take_where(now, |_| true)
    }

    fn take_where(&mut self, now: Instant, is_over: impl Fn(&LetterMinute) -> bool) -> Vec<MoreLetters> {
        let over = self.by_rule.extract_if(|_, minute| is_over(minute));
        let counted = over.filter(|(_, minute)| minute.more > 0).map(|(rule, minute)| MoreLetters {
            rule,
            more: minute.more,
            within: now.saturating_duration_since(minute.began),
            // Of equals the first by name, so that the line does not depend on chance.
            cause: minute.by_cause.into_iter().min_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b))),
        });
        let mut counted: Vec<MoreLetters> = counted.collect();
        counted.sort_by(|a, b| a.rule.cmp(&b.rule));
        counted
    }
}

impl fmt::Display for MoreLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MoreLetters { rule, more, within, cause } = self;
        write!(f, "{} of rule {rule} in the last ", count(*more, "more dead letter", "more dead letters"))?;
        match within.as_secs() {
            60..=61 => write!(f, "minute")?,
            seconds => write!(f, "{} s", seconds.max(1))?,
        }
        match cause {
            Some((cause, count)) => write!(f, ", most: {cause} ({count})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_rule_and_a_minute_is_logged_and_the_others_are_counted_with_their_main_cause() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut log = LetterLog::default();
        assert!(log.is_first("mail", "answered 404: not retried", at(0)));
        assert!(log.is_first("order-paid", "no order 1", at(1)), "each rule has its own");
        for order in 2..40 {
            assert!(!log.is_first("order-paid", &format!("no order {order}"), at(1)));
        }
        for seconds in [2, 30, 59] {
            assert!(!log.is_first("mail", "answered 404: not retried", at(seconds)));
        }
        for _ in 0..2 {
            assert!(!log.is_first("mail", "answered 410: not retried", at(59)));
        }
        assert_eq!(log.take_over(at(59)), []);
        let said: Vec<String> = log.take_over(at(60)).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["5 more dead letters of rule mail in the last minute, most: answered 404: not retried (3)"]);
        assert!(!log.is_first("order-paid", "answered 500", at(60)), "its minute is not over");
        assert!(log.is_first("mail", "answered 404: not retried", at(61)), "a minute begins again");
        let said: Vec<String> = log.take_all(at(75)).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["39 more dead letters of rule order-paid in the last 74 s, most: no order <n> (38)"]);
        assert_eq!(log.take_all(at(76)), [], "nothing is said twice");
        assert!(log.by_rule.is_empty());
    }

    #[test]
    fn a_minute_with_one_dead_letter_has_one_line_and_causes_are_bounded() {
        let began = Instant::now();
        let mut log = LetterLog::default();
        assert!(log.is_first("r", "one", began));
        assert_eq!(log.take_over(began + MINUTE), []);
        assert!(log.is_first("r", "one", began));
        for n in 0..100 {
            assert!(!log.is_first("r", &"x".repeat(n), began));
        }
        assert_eq!(log.by_rule["r"].by_cause.len(), CAUSES_MAX);
        let said = log.take_all(began + Duration::from_secs(5));
        assert_eq!(said[0].more, 100);
    }
}
