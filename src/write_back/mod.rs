//! Writing back: statements that rules send to MySQL, each a transaction of its own.
//!
//! In: a statement with `?` where values go, and the values. Out: how many rows it matched, committed; or why not, with
//! what that proves. Owns a small pool of connections. Every transaction is marked as rowhook's own, so that the source
//! knows it again. A future that is dropped closes its connection, which rolls back what is open. Keeps promise 8: values
//! are in no message. Knows neither rules nor deliveries, and tries nothing twice but a connection that died unused.

mod failed;
mod session;
mod value;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub use failed::{Failed, WriteFailureKind, as_expected};

use crate::source::{Error, Settings, require_files};
use failed::TransactionStage;
use session::WriteSession;

/// Statements under way at the same time; more would only wait for one another's locks.
const CONNECTIONS_MAX: usize = 16;

/// A connection that was not used for this long is closed; servers and firewalls do the same without a notice.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A connection of the pool that does not begin a transaction in this time is dead.
const WAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// A server to write to; clones share their connections.
#[derive(Debug, Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    slots: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    session: WriteSession,
    since: Instant,
}

impl Database {
    /// Connects when there is something to write.
    ///
    /// # Errors
    /// [`Error::Setting`] when a file that the settings name cannot be read.
    pub fn new(settings: Settings) -> Result<Database, Error> {
        require_files(&settings)?;
        let inner = Inner { settings, slots: Semaphore::new(CONNECTIONS_MAX), idle: Mutex::default() };
        Ok(Database { inner: Arc::new(inner) })
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        self.inner.settings.address()
    }

    /// Runs the statement with these values, one for each `?`, in a transaction of its own, and commits it if the number of
    /// rows that it matched is one of `expect_rows`. For an UPDATE these are the rows that it found, also those that had
    /// the new values already. `timeout` is for all of it, from waiting for a connection to the commit's answer.
    ///
    /// # Errors
    /// [`Failed`]; unless its kind is [`WriteFailureKind::Lost`], nothing was changed.
    pub async fn execute(
        &self,
        statement: &str,
        values: Vec<serde_json::Value>,
        expect_rows: Option<&RangeInclusive<u64>>,
        timeout: Duration,
    ) -> Result<u64, Failed> {
        let mut stage = TransactionStage::Connecting;
        let transaction = self.transact(&mut stage, statement, values, expect_rows, timeout);
        match tokio::time::timeout(timeout, transaction).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failed::late(stage, timeout, &self.address())),
        }
    }

    /// How transactions are marked as rowhook's own on this server, for people.
    ///
    /// # Errors
    /// [`Failed`], also where the account may not mark them: then with the privilege that it lacks.
    pub async fn inspect(&self) -> Result<String, Failed> {
        let session = WriteSession::open(&self.inner.settings).await?;
        let said = session.mark().to_string();
        self.keep(session);
        Ok(said)
    }

    /// Lets the server check a statement without running it; the number of values that it takes.
    ///
    /// # Errors
    /// [`Failed`] with what the server objects to: syntax, names, privileges.
    pub async fn prepare(&self, statement: &str) -> Result<usize, Failed> {
        let idle = self.wake();
        let mut session = match idle {
            Some(session) => session,
            None => WriteSession::open(&self.inner.settings).await?,
        };
        let prepared = session.prepare(statement).await?;
        self.keep(session);
        Ok(usize::from(prepared.num_params()))
    }

    async fn transact(
        &self,
        stage: &mut TransactionStage,
        statement: &str,
        values: Vec<serde_json::Value>,
        expect_rows: Option<&RangeInclusive<u64>>,
        timeout: Duration,
    ) -> Result<u64, Failed> {
        let _slot = self.inner.slots.acquire().await.expect("the semaphore is never closed");
        let mut session = self.begun(timeout).await?;
        *stage = TransactionStage::Working;
        let matched = session.run(statement, values).await.and_then(|rows| failed::as_expected(rows, expect_rows));
        match matched {
            Ok(rows) => {
                *stage = TransactionStage::Committing;
                session.commit().await?;
                self.keep(session);
                Ok(rows)
            }
            Err(failed) => {
                if failed.kind == WriteFailureKind::Unavailable {
                    // The name may lead to another server by now.
                    self.forget();
                } else if session.roll_back().await.is_ok() {
                    self.keep(session);
                }
                Err(failed)
            }
        }
    }

    /// A connection with an open transaction; what dies before that never did anything.
    async fn begun(&self, timeout: Duration) -> Result<WriteSession, Failed> {
        if let Some(mut session) = self.wake() {
            if let Ok(Ok(())) = tokio::time::timeout(WAKE_TIMEOUT, session.begin(timeout)).await {
                return Ok(session);
            }
            self.forget();
        }
        let mut session = WriteSession::open(&self.inner.settings).await?;
        session.begin(timeout).await?;
        Ok(session)
    }

    fn wake(&self) -> Option<WriteSession> {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_MAX);
        idle.pop().map(|idle| idle.session)
    }

    fn keep(&self, session: WriteSession) {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < CONNECTIONS_MAX {
            idle.push(Idle { session, since: Instant::now() });
        }
    }

    fn forget(&self) {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
