//! What a script may answer, be it an answer or one of the ways to give none.
//!
//! Plain data, built by chaining: `Answer::status(503).with_header("retry-after", "1").after(delay)`. Carried out by
//! `serve`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

/// What the receiver does with a request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) ending: Ending,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) after: Duration,
    pub(super) gate: Option<Gate>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ending {
    Answer,
    CutShort,
    Hang,
    Reset,
    Lose,
}

impl Answer {
    pub fn ok() -> Answer {
        Answer::status(200)
    }

    /// An answer with this status and no body.
    pub fn status(status: u16) -> Answer {
        Answer { status, ..Answer::ending(Ending::Answer) }
    }

    /// Never answers; the connection stays open until the caller closes it.
    pub fn hang() -> Answer {
        Answer::ending(Ending::Hang)
    }

    /// Does not carry the request out and resets the connection (RST).
    pub fn reset() -> Answer {
        Answer::ending(Ending::Reset)
    }

    /// Carries the request out, then closes the connection without an answer.
    pub fn lose_the_answer() -> Answer {
        Answer::ending(Ending::Lose)
    }

    /// Carries the request out, sends status and headers, and closes the connection before the end of the body.
    pub fn cut_short(status: u16) -> Answer {
        Answer { status, ..Answer::ending(Ending::CutShort) }
    }

    pub fn with_header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_body(mut self, body: impl Into<Bytes>) -> Answer {
        self.body = body.into();
        self
    }

    pub fn with_json(self, body: &Value) -> Answer {
        self.with_header("content-type", "application/json").with_body(body.to_string())
    }

    /// Does all this only after `delay`.
    pub fn after(mut self, delay: Duration) -> Answer {
        self.after = delay;
        self
    }

    /// Does all this only when the gate is open.
    pub fn delayed_by(mut self, gate: &Gate) -> Answer {
        self.gate = Some(gate.clone());
        self
    }

    fn ending(ending: Ending) -> Answer {
        Answer { ending, status: 200, headers: Vec::new(), body: Bytes::new(), after: Duration::ZERO, gate: None }
    }

    pub(super) fn takes_effect(&self) -> bool {
        match self.ending {
            Ending::Answer => (200..300).contains(&self.status),
            Ending::CutShort | Ending::Lose => true,
            Ending::Hang | Ending::Reset => false,
        }
    }
}

/// Holds answers back until a test lets them go. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub fn closed() -> Gate {
        Gate(watch::Sender::new(false))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub fn close(&self) {
        self.0.send_replace(false);
    }

    pub(super) async fn passed(&self) {
        let opened = self.0.subscribe().wait_for(|open| *open).await.is_ok();
        debug_assert!(opened, "the gate keeps its own sender alive");
    }
}
