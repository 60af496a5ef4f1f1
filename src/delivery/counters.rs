//! The counters of attempts, found once per rule: counting an attempt is one atomic addition.

use prometheus_client::metrics::counter::Counter;

use crate::failure::Answer;
use crate::telemetry::{AttemptLabels, Metrics};

const CLASSES: [&str; 6] = ["2xx", "3xx", "4xx", "5xx", "other", "error"];

/// One rule's counters, one for each class of answers.
#[derive(Debug)]
pub(super) struct AttemptCounters([Counter; CLASSES.len()]);

/// An index into the classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerClass(usize);

impl AttemptCounters {
    pub fn new(metrics: &Metrics, rule: &str) -> AttemptCounters {
        AttemptCounters(
            CLASSES
                .map(|status| metrics.attempts.get_or_create_owned(&AttemptLabels { rule: rule.to_owned(), status })),
        )
    }

    pub fn class(answer: &Answer) -> AnswerClass {
        AnswerClass(match answer {
            Answer::Status { status: status @ 200..=599, .. } => usize::from(status / 100 - 2),
            Answer::Written { .. } => 0,
            Answer::Status { .. } => 4,
            Answer::Failed { .. } => 5,
        })
    }

    pub fn count(&self, class: AnswerClass) {
        self.0[class.0].inc();
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
