//! The counters of attempts, found once per rule: counting an attempt is one atomic addition.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::failure::{Answer, Attempt};
use crate::telemetry::{AttemptLabels, Metrics, RuleLabel};

const CLASSES: [&str; 6] = ["2xx", "3xx", "4xx", "5xx", "other", "error"];

/// One rule's counters.
#[derive(Debug)]
pub(super) struct AttemptCounters {
    by_class: [Counter; CLASSES.len()],
    retries: Counter,
    durations: Histogram,
}

/// An index into the classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AnswerClass(usize);

impl AttemptCounters {
    pub fn new(metrics: &Metrics, rule: &str) -> AttemptCounters {
        let label = |status| AttemptLabels { rule: rule.to_owned(), status };
        AttemptCounters {
            by_class: CLASSES.map(|status| metrics.attempts.get_or_create_owned(&label(status))),
            retries: metrics.retries.get_or_create_owned(&RuleLabel { rule: rule.to_owned() }),
            durations: metrics.attempt_duration.of(rule),
        }
    }

    fn class(answer: &Answer) -> AnswerClass {
        AnswerClass(match answer {
            Answer::Status { status: status @ 200..=599, .. } => usize::from(status / 100 - 2),
            Answer::Written { .. } => 0,
            Answer::Status { .. } => 4,
            Answer::Failed { .. } => 5,
        })
    }

    /// `earlier`: attempts of the same call before this one.
    pub fn count(&self, attempt: &Attempt, earlier: u64) {
        self.by_class[AttemptCounters::class(&attempt.answer).0].inc();
        self.durations.observe(attempt.duration_us as f64 / 1e6);
        if earlier > 0 {
            self.retries.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_class() {
        for (status, expected) in [
            (101, "other"),
            (200, "2xx"),
            (299, "2xx"),
            (302, "3xx"),
            (404, "4xx"),
            (503, "5xx"),
            (599, "5xx"),
            (600, "other"),
        ] {
            let AnswerClass(class) = AttemptCounters::class(&Answer::Status { status, excerpt: String::new() });
            assert_eq!(CLASSES[class], expected, "{status}");
        }
        let AnswerClass(class) = AttemptCounters::class(&Answer::Failed { error: String::new() });
        assert_eq!(CLASSES[class], "error");
    }
}
