//! The last answer of a delivery in one word, and which of them are meant.
//!
//! In: a status, or the text of why none came. Out: the word that lists show (`404`, `timeout`, `network`), and whether it fits what was
//! asked for. Only HTTP has statuses: a statement that failed counts as `network`. Pure.

use std::borrow::Cow;
use std::fmt;

/// No attempt, or one that has neither a status nor an error.
const NONE: &str = "-";

/// Which last answers are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerFilter {
    Status(u16),
    /// The first digit of the status.
    Class(u16),
    /// No answer came, for whatever reason.
    Network,
    /// No answer, or not all of it, came in time.
    Timeout,
}

impl AnswerFilter {
    /// What [`AnswerFilter::parse`] takes.
    pub const EXPECTED: &str = "expected a status such as 404, a class such as 4xx, network or timeout";

    pub fn parse(text: &str) -> Option<AnswerFilter> {
        match text.as_bytes() {
            b"network" => Some(AnswerFilter::Network),
            b"timeout" => Some(AnswerFilter::Timeout),
            [digit @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Some(AnswerFilter::Class(u16::from(digit - b'0'))),
            [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => text.parse().ok().map(AnswerFilter::Status),
            _ => None,
        }
    }

    /// Whether an attempt with this status, or this error, got such an answer.
    pub fn matches(self, status: Option<u16>, error: Option<&str>) -> bool {
        match self {
            AnswerFilter::Status(meant) => status == Some(meant),
            AnswerFilter::Class(meant) => status.is_some_and(|status| status / 100 == meant),
            AnswerFilter::Network => error.is_some(),
            AnswerFilter::Timeout => error.is_some_and(is_timeout),
        }
    }
}

impl fmt::Display for AnswerFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerFilter::Status(status) => write!(f, "{status}"),
            AnswerFilter::Class(digit) => write!(f, "{digit}xx"),
            AnswerFilter::Network => f.write_str("network"),
            AnswerFilter::Timeout => f.write_str("timeout"),
        }
    }
}

/// Every attempt that ended at a time limit of its own says so in the same words, which stored dead letters have, too: `no answer within
/// 10s`, `no connection within 5s`.
fn is_timeout(error: &str) -> bool {
    error.split(" within ").skip(1).any(|limit| limit.starts_with(|c: char| c.is_ascii_digit()))
}

/// An answer in the word that finds it: its status, `timeout` or `network`, or `-` where there is nothing of it.
pub fn answer_word(status: Option<u16>, error: Option<&str>) -> Cow<'static, str> {
    match (status, error) {
        (Some(status), _) => Cow::Owned(status.to_string()),
        (None, Some(error)) if is_timeout(error) => Cow::Borrowed("timeout"),
        (None, Some(_)) => Cow::Borrowed("network"),
        (None, None) => Cow::Borrowed(NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_word_that_finds_it() {
        for (status, error, word, fitting) in [
            (Some(404), None, "404", &["404", "4xx"][..]),
            (Some(503), None, "503", &["503", "5xx"]),
            (None, Some("connection refused"), "network", &["network"]),
            (None, Some("no answer within 10s"), "timeout", &["timeout", "network"]),
            (None, Some("no connection within 5s"), "timeout", &["timeout", "network"]),
            (None, Some("not found within the zone"), "network", &["network"]),
            (None, None, "-", &[]),
        ] {
            assert_eq!(answer_word(status, error), word);
            for text in ["404", "503", "4xx", "5xx", "network", "timeout"] {
                let filter = AnswerFilter::parse(text).expect(text);
                assert_eq!(filter.matches(status, error), fitting.contains(&text), "{text} {status:?} {error:?}");
                assert_eq!(filter.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in ["", "40", "4040", "xx", "4x", "x04", "6xx", "0xx", "none", "Timeout", " 404"] {
            assert_eq!(AnswerFilter::parse(text), None, "{text}");
        }
    }
}
