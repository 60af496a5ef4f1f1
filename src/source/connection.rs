//! A connection for questions, of which none waits for ever.
//!
//! In: SQL. Out: the client library's answers, or an error where none comes in time: a server that hangs behind its login must not
//! keep the reader, and with it every rule, waiting without a word. Owns the library's connection and gives it up with the
//! first answer that is late, because that one might still come, and be taken for the answer to the next question.

use std::io;
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Error, Params};

/// An open connection for our own questions.
#[derive(Debug)]
pub(super) struct Connection {
    open: Option<Conn>,
    /// How long one answer may take.
    patience: Duration,
}

impl Connection {
    pub fn new(open: Conn, patience: Duration) -> Connection {
        Connection { open: Some(open), patience }
    }

    /// All rows of an answer.
    pub async fn query<T: FromRow + Send + 'static>(&mut self, sql: &str) -> Result<Vec<T>, Error> {
        self.ask(async |open| open.query(sql).await).await
    }

    pub async fn query_first<T: FromRow + Send + 'static>(&mut self, sql: &str) -> Result<Option<T>, Error> {
        self.ask(async |open| open.query_first(sql).await).await
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
        self.ask(async |open| open.exec(sql, parameters).await).await
    }

    async fn ask<T>(&mut self, question: impl AsyncFnOnce(&mut Conn) -> Result<T, Error>) -> Result<T, Error> {
        let Some(open) = &mut self.open else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "an earlier answer did not come").into());
        };
        let patience = self.patience;
        match tokio::time::timeout(patience, question(open)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.open = None;
                let problem =
                    format!("it took the login, and did not answer a question within {} s", patience.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, problem).into())
            }
        }
    }
}
