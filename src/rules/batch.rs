//! What a rule says about several deliveries in one call.
//!
//! Plain data, checked at load: how many deliveries a call gathers and for how long, and where its answer contains the
//! result of each. The delivery stage acts on it.

use std::time::Duration;

/// Deliveries of a rule that are sent together, as one body of their bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Deliveries in one call, at most.
    pub size: usize,
    /// Bytes of one body. Only a single delivery that is larger by itself exceeds it.
    pub bytes: usize,
    pub until: Until,
    pub format: BatchFormat,
    pub results: Option<Results>,
}

/// How the bodies of the deliveries become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BatchFormat {
    /// A JSON array.
    #[default]
    Array,
    /// A line of JSON for each, perhaps after another one.
    Ndjson,
    /// A line of text for each.
    Lines,
}

/// When a call is sent that is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// This time after its first delivery came.
    Wait(Duration),
    /// At the end of the transaction; a call carries rows of one transaction only.
    TransactionEnd,
}

/// Where the answer to a batch contains the result of each of its deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// JSON pointer (RFC 6901) to an array with one element for each delivery, in the order in which they were sent.
    pub items: String,
    pub verdict: ItemVerdict,
}

/// JSON pointers into one element of the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemVerdict {
    /// A status, which counts as that of a whole answer does.
    Status(String),
    Error(ItemError),
}

/// Where an element shows an error; absent, null, false or empty it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    pub error: String,
    /// A status, which counts as that of a whole answer does; but with an error nothing is a success.
    pub status: Option<String>,
    /// Errors after which it is sent again.
    pub retry: Vec<String>,
}
