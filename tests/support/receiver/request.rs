//! One request as the receiver keeps it.
//!
//! Made when it has arrived completely; what became of it is filled in later.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hyper::{HeaderMap, Version};
use serde_json::Value;

use super::answer::{Answer, Ending};

/// One request that arrived.
pub struct Request {
    /// Place in the order of arrival, from 1.
    pub number: usize,
    /// Which request of this key it is, from 1.
    pub attempt: usize,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    pub method: String,
    /// With the query, as sent.
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub arrived_at: Instant,
    json: OnceLock<Value>,
    took_effect: AtomicBool,
    status: OnceLock<u16>,
    ended_at: OnceLock<Instant>,
}

impl Request {
    /// `number` and `attempt` count from 1.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request's head")]
    pub(super) fn new(
        number: usize,
        attempt: usize,
        key: Option<String>,
        method: String,
        path: String,
        version: Version,
        headers: HeaderMap,
        body: Bytes,
    ) -> Request {
        Request {
            number,
            attempt,
            key,
            method,
            path,
            version,
            headers,
            body,
            arrived_at: Instant::now(),
            json: OnceLock::new(),
            took_effect: AtomicBool::new(false),
            status: OnceLock::new(),
            ended_at: OnceLock::new(),
        }
    }

    /// What the script decided to do with it.
    pub(super) fn mark_answer(&self, answer: &Answer) {
        self.took_effect.store(answer.takes_effect(), Ordering::Relaxed);
        if answer.ending == Ending::Answer {
            self.status.get_or_init(|| answer.status);
        }
    }

    pub(super) fn mark_end(&self) {
        self.ended_at.get_or_init(Instant::now);
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of visible ASCII"))
    }

    /// The body as JSON; panics, saying what it was, when it is none.
    #[track_caller]
    pub fn json(&self) -> &Value {
        self.json.get_or_init(|| match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{self:?}: no JSON, {error}: {}", String::from_utf8_lossy(&self.body)),
        })
    }

    /// Whether the receiver carried it out, be it known to the caller or not.
    pub fn took_effect(&self) -> bool {
        self.took_effect.load(Ordering::Relaxed)
    }

    /// The status that it is answered with; `None` when it gets no whole answer.
    pub fn status(&self) -> Option<u16> {
        self.status.get().copied()
    }

    /// When it was answered or its connection given up; `None` while it is being worked on.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at.get().copied()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}", self.number, self.method, self.path)?;
        write!(f, " key {} attempt {}", self.key.as_deref().unwrap_or("none"), self.attempt)
    }
}
