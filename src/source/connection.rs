//! A connection for questions; no question waits for ever.
//!
//! In: SQL. Out: the client library's answers, or an error where none comes in time: a server that hangs after its
//! login must not keep the reader, and with it every rule, waiting without a message. Owns the library's connection and
//! closes it after the first late answer, because that answer might still come and be taken for the answer to the next
//! question.

use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use mysql_async::prelude::{FromRow, Protocol, Queryable as _};
use mysql_async::{Conn, Error, FromRowError, Params, QueryResult, from_row_opt};

/// An open connection for our own questions.
#[derive(Debug)]
pub(super) struct Connection {
    open: Option<Conn>,
    /// How long one answer may take.
    timeout: Duration,
}

impl Connection {
    pub fn new(open: Conn, timeout: Duration) -> Connection {
        Connection { open: Some(open), timeout }
    }

    /// All rows of an answer.
    pub async fn query<T: FromRow + Send + 'static>(&mut self, sql: &str) -> Result<Vec<T>, Error> {
        self.ask(async |open| rows(open.query_iter(sql).await?).await).await
    }

    pub async fn query_first<T: FromRow + Send + 'static>(&mut self, sql: &str) -> Result<Option<T>, Error> {
        let first = async |open: &mut Conn| {
            let mut answer = open.query_iter(sql).await?;
            let first = answer.next().await?.map(from_row_opt).transpose().map_err(|error| of_row(&error))?;
            answer.drop_result().await?;
            Ok(first)
        };
        self.ask(first).await
    }

    pub async fn query_drop(&mut self, sql: &str) -> Result<(), Error> {
        self.ask(async |open| open.query_drop(sql).await).await
    }

    /// All rows of the answer to a question with parameters.
    pub async fn exec<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        parameters: impl Into<Params> + Send,
    ) -> Result<Vec<T>, Error> {
        let parameters = parameters.into();
        self.ask(async |open| rows(open.exec_iter(sql, parameters).await?).await).await
    }

    async fn ask<T>(&mut self, question: impl AsyncFnOnce(&mut Conn) -> Result<T, Error>) -> Result<T, Error> {
        let Some(open) = &mut self.open else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "an earlier answer did not come").into());
        };
        let timeout = self.timeout;
        let (kind, problem) = match tokio::time::timeout(timeout, AssertUnwindSafe(question(open)).catch_unwind()).await
        {
            Ok(Ok(answer)) => return answer,
            // Values of types that the library does not know.
            Ok(Err(_)) => (io::ErrorKind::InvalidData, "its answer can't be taken apart".to_string()),
            Err(_) => {
                let silent = format!("it took the login, and did not answer a question within {} s", timeout.as_secs());
                (io::ErrorKind::TimedOut, silent)
            }
        };
        self.open = None;
        Err(io::Error::new(kind, problem).into())
    }
}

/// The library's own way panics at a row of other columns than were asked for.
async fn rows<T: FromRow + Send + 'static>(answer: QueryResult<'_, '_, impl Protocol>) -> Result<Vec<T>, Error> {
    let rows = answer.try_collect_and_drop().await?;
    rows.into_iter().collect::<Result<_, _>>().map_err(|error| of_row(&error))
}

fn of_row(_: &FromRowError) -> Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer has other columns than were asked for").into()
}
