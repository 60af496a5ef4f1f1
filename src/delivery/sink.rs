//! Sinks: where the calls and statements for a change go. There are two: an HTTP API and a MySQL server.
//!
//! In: a delivery whose turn has come. Out: what its sink sends (`Ready`); after an attempt, the answer and its meaning
//! (`Judged`). The set is closed: a sink is a variant of the rules' `Work`, one of `Ready`, a field of `Sinks` for its
//! connections, and a file or folder below this one with the same verbs in the same order: prepare, prepare_all, attempt, judge.
//! Owns the connections. Knows neither lanes nor retries nor the time.

mod http;
mod sql;

pub use http::ShownRequest;
pub use sql::ShownStatement;

use std::fmt;
use std::time::Duration;

#[doc(hidden)]
pub use http::fuzzing;
pub use http::{Client, Destination, Handshake, ShownCertificate};

use crate::delivery::Delivery;
use crate::delivery::answer::{ItemResult, Lack, TargetHealth, Verdict};
use crate::delivery::bundle::{Item, RenderedArray, Unready};
use crate::delivery::scripted::ScriptedAnswer;
use crate::delivery::server_limit::ServerLimit;
use crate::failure::Answer;
use crate::rules::Work;
use crate::saga::ActionEnd;
use crate::write_back::Database;

/// The connections of all sinks.
#[derive(Debug)]
pub struct Sinks {
    http: http::Connections,
    /// None: statements can't be sent.
    sql: Option<Database>,
}

/// What every attempt of a call sends; a retry sends the same bytes.
#[derive(Debug)]
pub(super) enum Ready {
    Http(http::HttpReady),
    Sql(sql::SqlReady),
}

/// What an answer means.
#[derive(Debug)]
pub(super) struct Judged {
    /// Why there is no answer, where there is none.
    pub lack: Option<Lack>,
    pub verdict: Verdict,
    /// The result of each item, where the answer was a success and contains them.
    pub results: Option<Vec<ItemResult>>,
    /// For a saga's action that is done: how it ended, with what is kept of its answer.
    pub end: Option<ActionEnd>,
    pub health: TargetHealth,
    /// Of the header: with a 503 it shows that nothing was done.
    pub retry_after: Option<Duration>,
    /// What the rule reads as a wait from the answer's body.
    pub answer_wait: Option<Duration>,
    pub server_limit: Option<ServerLimit>,
    /// What else explains the answer, for people; without anything of its body.
    pub hint: Option<String>,
}

impl Judged {
    /// The wait that the answer asks for, wherever it says so.
    pub fn asked_wait(&self) -> Option<Duration> {
        self.retry_after.max(self.answer_wait)
    }
}

impl Sinks {
    /// With a server to write back to, where there is one.
    pub fn new(client: Client, database: Option<Database>) -> Sinks {
        Sinks { http: http::Connections::new(client), sql: database }
    }
}

impl Ready {
    /// What the delivery's attempts send now.
    ///
    /// # Errors
    /// A line for people, without row values. It is final, for the row will not change.
    pub fn prepare(delivery: &Delivery) -> Result<Ready, String> {
        match &delivery.action().work {
            Work::Call(call) => http::prepare(delivery, call).map(Ready::Http),
            Work::Sql(sql) => sql::prepare(delivery, sql).map(Ready::Sql),
        }
    }

    /// The same for a delivery that is not sent; also what is found only when it is sent is an error then.
    ///
    /// # Errors
    /// As those of [`prepare`](Ready::prepare) and [`attempt`](Ready::attempt).
    pub fn prepare_to_rehearse(delivery: &Delivery) -> Result<Ready, String> {
        let ready = Ready::prepare(delivery)?;
        if let Ready::Http(ready) = &ready {
            http::require_sendable(ready)?;
        }
        Ok(ready)
    }

    /// Says to an API that the call only tries a rule.
    pub fn mark_as_preview(&mut self) {
        if let Ready::Http(ready) = self {
            ready.mark_as_preview();
        }
    }

    /// The same for deliveries that are sent as one call.
    pub fn prepare_all_to_rehearse(items: &[Item]) -> RenderedArray<Ready> {
        let RenderedArray { unfit, ready } = Ready::prepare_all(items);
        let ready = ready.and_then(|ready| match &ready {
            Ready::Http(request) => match http::require_sendable(request) {
                Ok(()) => Ok(ready),
                Err(message) => Err(Unready::Unrenderable(message)),
            },
            Ready::Sql(_) => Ok(ready),
        });
        RenderedArray { unfit, ready }
    }

    /// Instead of an attempt: the answer of a script, and its meaning. It carries `count` deliveries; `first` stands for all.
    ///
    /// # Errors
    /// A line for people when that is no answer to what would be sent.
    pub fn rehearse(
        &self,
        scripted: &ScriptedAnswer,
        first: &Delivery,
        count: usize,
    ) -> Result<(Answer, Judged), String> {
        match self {
            Ready::Http(ready) => Ok(http::judge(ready, http::scripted(ready, scripted, first)?, first, count)),
            Ready::Sql(ready) => Ok(sql::judge(sql::scripted(ready, scripted)?, first)),
        }
    }

    /// What is sent, for people, with secrets masked.
    pub fn shown(&self) -> ShownWork {
        match self {
            Ready::Http(ready) => ShownWork::Request(ready.shown()),
            Ready::Sql(ready) => ShownWork::Statement(ready.shown()),
        }
    }

    /// The same for deliveries that are sent as one call; at least one.
    pub fn prepare_all(items: &[Item]) -> RenderedArray<Ready> {
        match &items[0].delivery.action().work {
            Work::Call(call) => http::prepare_all(items, call).map(Ready::Http),
            Work::Sql(sql) => sql::prepare_all(items, sql).map(Ready::Sql),
        }
    }

    /// Sends it once and returns the answer and its meaning. It carries `count` deliveries; `first` stands for all.
    ///
    /// # Errors
    /// A line for people when it cannot be sent at all, by this or any later attempt.
    pub async fn attempt(&self, sinks: &Sinks, first: &Delivery, count: usize) -> Result<(Answer, Judged), String> {
        match self {
            Ready::Http(ready) => {
                let received = http::attempt(ready, &sinks.http, first).await?;
                Ok(http::judge(ready, received, first, count))
            }
            Ready::Sql(ready) => {
                let written = sql::attempt(ready, sinks.sql.as_ref()).await?;
                Ok(sql::judge(written, first))
            }
        }
    }
}

/// What an action sends, with its values; `***` stands for secrets.
#[derive(Debug, Clone, PartialEq)]
pub enum ShownWork {
    Request(ShownRequest),
    Statement(ShownStatement),
}

/// What a delivery would send, for people, with secrets masked: the text is made when it is shown.
pub struct Shown(Ready);

impl Shown {
    /// What the delivery would send now.
    ///
    /// # Errors
    /// As [`Ready::prepare`].
    pub(super) fn of(delivery: &Delivery) -> Result<Shown, String> {
        Ready::prepare(delivery).map(Shown)
    }

    /// Its parts, to be shown in another form.
    pub fn work(&self) -> ShownWork {
        self.0.shown()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.work() {
            ShownWork::Request(request) => f.write_str(&request.to_curl()),
            ShownWork::Statement(statement) => {
                write!(f, "# a statement: {}", statement.statement.replace('\n', "\n# "))?;
                statement.shown_params().try_for_each(|(name, value)| write!(f, "\n# {name}: {value}"))
            }
        }
    }
}
