//! How deliveries fail: attempts, the answers they got, and the reasons for giving up.
//!
//! The words that delivery, the store and the command line share. Plain data; how it stands on disk is the store's affair,
//! how it is printed the command line's.

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The API answered with a status for which retrying can't help.
    Refused,
    /// Every attempt failed in a way that a retry might have mended.
    Exhausted,
    /// The request could not be made from the row.
    Unrenderable,
    /// The rule's `when` could not be decided on the row.
    Undecided,
    /// Not given up: it waits behind the dead letter that holds its ordering key, without an attempt.
    Held,
}

impl Reason {
    pub const ALL: [Reason; 5] =
        [Reason::Refused, Reason::Exhausted, Reason::Unrenderable, Reason::Undecided, Reason::Held];

    /// The word on disk and in the command line's output; never to change.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Refused => "refused",
            Reason::Exhausted => "exhausted",
            Reason::Unrenderable => "unrenderable",
            Reason::Undecided => "undecided",
            Reason::Held => "held",
        }
    }

    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// One HTTP request and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Microseconds since the Unix epoch.
    pub started_at_us: u64,
    pub duration_us: u64,
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The API's answer: its status and the beginning of its body.
    Status { status: u16, excerpt: String },
    /// No answer came.
    Failed { error: String },
}

impl Answer {
    /// For a line to people; without anything of the answer's body.
    pub fn in_words(&self) -> String {
        match self {
            Answer::Status { status, .. } => format!("answered {status}"),
            Answer::Failed { error } => error.clone(),
        }
    }
}
