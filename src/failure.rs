//! How deliveries fail: attempts, the answers they got, and the reasons for giving up.
//!
//! The words that delivery, the store and the command line share. Plain data: the store decides how it is written to disk,
//! the command line how it is printed.

use std::sync::Arc;

mod last_answer;
mod similar;

pub use last_answer::{AnswerFilter, answer_word};
pub use similar::{similar, write_similar};

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The API answered with a status for which retrying can't help.
    Refused,
    /// Every attempt failed in a way that a retry might have fixed.
    Exhausted,
    /// The request could not be made from the row.
    Unrenderable,
    /// The rule's `when` could not be decided on the row.
    Undecided,
    /// Not given up: it waits behind the dead letter that blocks its ordering key. No attempt was made.
    Blocked,
    /// A call that must not be repeated may have happened; it is not known whether.
    Unknown,
    /// All steps are done, but the callback `on_success` was given up.
    CallbackFailed,
    /// Too many changes of one key in too short a time: perhaps a loop.
    Fuse,
    /// It was under way when its rule was removed, or became another.
    Interrupted,
}

impl Reason {
    pub const ALL: [Reason; 9] = [
        Reason::Refused,
        Reason::Exhausted,
        Reason::Unrenderable,
        Reason::Undecided,
        Reason::Blocked,
        Reason::Unknown,
        Reason::CallbackFailed,
        Reason::Fuse,
        Reason::Interrupted,
    ];

    /// The word on disk, in JSON and in the command line's output.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Refused => "refused",
            Reason::Exhausted => "exhausted",
            Reason::Unrenderable => "unrenderable",
            Reason::Undecided => "undecided",
            Reason::Blocked => "blocked",
            Reason::Unknown => "unknown",
            Reason::CallbackFailed => "callback_failed",
            Reason::Fuse => "fuse",
            Reason::Interrupted => "interrupted",
        }
    }

    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// One HTTP request or SQL statement, and its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Microseconds since the Unix epoch.
    pub started_at_us: u64,
    pub duration_us: u64,
    pub answer: Answer,
}

impl Attempt {
    fn without_excerpt(&self) -> Attempt {
        match self.answer {
            Answer::Status { status, .. } => {
                Attempt { answer: Answer::Status { status, excerpt: String::new() }, ..*self }
            }
            Answer::Written { .. } | Answer::Failed { .. } => self.clone(),
        }
    }
}

/// The attempts of one delivery: all are counted, the first and the last of them are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attempts {
    /// The deliveries of a call share them.
    kept: Arc<[Attempt]>,
    total: u64,
}

impl Attempts {
    /// So many of the first attempts are kept.
    const FIRST_KEPT: usize = 3;
    /// So many of the last attempts are kept.
    const LAST_KEPT: usize = 13;

    /// Attempts of which `kept` are known, the first and the last of `total`.
    pub fn new(kept: Vec<Attempt>, total: u64) -> Attempts {
        let total = total.max(kept.len() as u64);
        Attempts { kept: kept.into(), total }
    }

    pub fn push(&mut self, attempt: Attempt) {
        let is_full = self.kept.len() == Self::FIRST_KEPT + Self::LAST_KEPT;
        let (first, last) = self.kept.split_at(self.kept.len().min(Self::FIRST_KEPT));
        let last = &last[usize::from(is_full)..];
        self.kept = first.iter().chain(last).cloned().chain([attempt]).collect();
        self.total += 1;
    }

    /// The same for one delivery of the last call: with the part of the answer about this delivery in place of the
    /// whole answer.
    pub fn with_last_answer(&self, answer: &Answer) -> Attempts {
        let mut attempts = self.clone();
        if let Some(last) = Arc::make_mut(&mut attempts.kept).last_mut() {
            last.answer = answer.clone();
        }
        attempts
    }

    /// The same, with only the text of the last answer: for many deliveries that share them.
    pub fn with_last_excerpt_only(&self) -> Attempts {
        let Some((last, earlier)) = self.kept.split_last() else { return self.clone() };
        let kept = earlier.iter().map(Attempt::without_excerpt).chain([last.clone()]).collect();
        Attempts { kept, total: self.total }
    }

    /// The same, without the texts of the answers.
    pub fn without_excerpts(&self) -> Attempts {
        Attempts { kept: self.kept.iter().map(Attempt::without_excerpt).collect(), total: self.total }
    }

    /// Those that are kept, in the order they were made.
    pub fn kept(&self) -> &[Attempt] {
        &self.kept
    }

    /// All that were made.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// How attempts are numbered from 1 when only `kept` of `total` are there: where some are left out the numbers jump.
pub fn attempt_numbers(kept: usize, total: u64) -> impl Iterator<Item = u64> {
    let left_out = total.saturating_sub(kept as u64);
    (1..=kept as u64).map(move |n| if n > Attempts::FIRST_KEPT as u64 { n + left_out } else { n })
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The API's answer: its status and the beginning of its body.
    Status { status: u16, excerpt: String },
    /// A statement was carried out and committed; how many rows it matched.
    Written { rows: u64 },
    /// No answer came.
    Failed { error: String },
}

impl Answer {
    /// For a line to people; without anything of the answer's body.
    pub fn in_words(&self) -> String {
        match self {
            Answer::Status { status, .. } => format!("answered {status}"),
            Answer::Written { rows: 1 } => "matched 1 row".to_string(),
            Answer::Written { rows } => format!("matched {rows} rows"),
            Answer::Failed { error } => error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_attempts_the_first_three_and_the_last_thirteen_are_kept() {
        let mut attempts = Attempts::default();
        for n in 1..=1000 {
            let answer = Answer::Status { status: 503, excerpt: String::new() };
            attempts.push(Attempt { started_at_us: n, duration_us: 0, answer });
            let kept: Vec<u64> = attempts.kept().iter().map(|attempt| attempt.started_at_us).collect();
            let expected: Vec<u64> = (1..=n).filter(|one| *one <= 3 || *one + 13 > n).collect();
            assert_eq!((attempts.total(), &kept), (n, &expected));
            assert_eq!(attempt_numbers(kept.len(), n).collect::<Vec<_>>(), expected);
        }
    }
}
