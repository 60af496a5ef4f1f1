//! Answers that a script gives instead of a sink, for rehearsals.
//!
//! Plain data: what an API or a server would answer. The sinks turn it into what they would have received.

use std::fmt;

/// What one attempt is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptedAnswer {
    /// An API's answer.
    Status { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// A statement matched so many rows.
    Rows(u64),
    /// There is none.
    None(MissingAnswer),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingAnswer {
    /// It did not come in time. Only of a call.
    Timeout,
    /// The connection broke after the request was sent, or while a statement was committed.
    Lost,
    /// No connection could be made.
    Unreachable,
    /// The server rolled a statement back, and another try may succeed.
    Deadlock,
    /// The server refuses a statement: a duplicate key, for example.
    Refused,
}

impl MissingAnswer {
    pub const ALL: [MissingAnswer; 5] = [
        MissingAnswer::Timeout,
        MissingAnswer::Lost,
        MissingAnswer::Unreachable,
        MissingAnswer::Deadlock,
        MissingAnswer::Refused,
    ];

    /// The word in fixtures.
    pub fn as_str(self) -> &'static str {
        match self {
            MissingAnswer::Timeout => "timeout",
            MissingAnswer::Lost => "lost",
            MissingAnswer::Unreachable => "unreachable",
            MissingAnswer::Deadlock => "deadlock",
            MissingAnswer::Refused => "refused",
        }
    }

    pub fn parse(text: &str) -> Option<MissingAnswer> {
        MissingAnswer::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

impl fmt::Display for MissingAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
