//! Connections to a server for questions and statements, through the client library.
//!
//! In: [`Settings`]. Out: an open connection whose session is set up. The session is opened by our own login (`link`); the
//! library gets it over a relay and never gets the password, which it would send to any server that asks in the right
//! way. The password is read again each time. Turns the client library's errors into ours. The binlog comes over `link`
//! itself.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use mysql_async::{Conn, Opts, OptsBuilder};

use super::connection::Connection;
use super::error::{Error, said};
use super::link::{self, PACKET_BYTES_MAX, Relay, UpdateCount};
use super::refused::{of_login_answer, quoted_account};
use super::session::{LIST_HIDDEN_KEYS_SQL, QUESTIONS_SQL, STATEMENTS_SQL};
use super::settings::Settings;

/// How long the session is set to wait for the next question.
const WAIT_TIMEOUT_S: usize = 28_800;

/// Opens a connection for our own questions, waiting at most `connect_timeout`.
pub(super) async fn connect(settings: &Settings) -> Result<Connection, Error> {
    let open = open(settings, QUESTIONS_SQL, |options| options.stmt_cache_size(0)).await?;
    let mut connection = Connection::new(open, settings.answer_timeout);
    let failed = |error| Error::of_client(error, &settings.address());
    match connection.query_drop(LIST_HIDDEN_KEYS_SQL).await {
        // A server that does not know the variable has no such keys.
        Ok(()) | Err(mysql_async::Error::Server(_)) => {}
        Err(error) => return Err(failed(error)),
    }
    let account: Option<String> = connection.query_first("SELECT CURRENT_USER()").await.map_err(failed)?;
    if let Some(account) = account {
        settings.learned.set_account(quoted_account(&account));
    }
    Ok(connection)
}

/// The same for statements of rules, with further options of the caller.
///
/// # Errors
/// Those of [`Error`] about settings, connections, TLS and logins.
pub async fn connect_with(
    settings: &Settings,
    adapt: impl Fn(OptsBuilder) -> OptsBuilder + Send + Sync,
) -> Result<Conn, Error> {
    open(settings, STATEMENTS_SQL, adapt).await
}

async fn open(
    settings: &Settings,
    set_up: &str,
    adapt: impl Fn(OptsBuilder) -> OptsBuilder + Send + Sync,
) -> Result<Conn, Error> {
    let password = settings.password.read().await?;
    let adapted: Opts = adapt(OptsBuilder::default()).into();
    let counts = if adapted.client_found_rows() { UpdateCount::FoundRows } else { UpdateCount::ChangedRows };
    let relay = link::relay(settings, &password, counts).await?;
    let attempt = Conn::new(options(OptsBuilder::from_opts(adapted), &relay, set_up));
    match tokio::time::timeout(settings.connect_timeout, AssertUnwindSafe(attempt).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome.map_err(|error| of_set_up(error, settings)),
        Ok(Err(_)) => {
            let problem = "the answers to the first statement could not be taken apart".to_string();
            Err(Error::Connect { server: settings.address(), problem })
        }
        Err(_) => Err(Error::Connect {
            server: settings.address(),
            problem: format!("no answer within {} s", settings.connect_timeout.as_secs()),
        }),
    }
}

/// Sorts an error of the statement that sets the session up: with an expired password the server refuses only that
/// statement.
fn of_set_up(error: mysql_async::Error, settings: &Settings) -> Error {
    match error {
        mysql_async::Error::Server(answer) => of_login_answer(answer.code, &said(&answer.message), settings),
        other => Error::of_client(other, &settings.address()),
    }
}

/// Checks that the files which the settings name exist, before a connection needs them.
///
/// # Errors
/// [`Error::Setting`]
pub fn require_files(settings: &Settings) -> Result<(), Error> {
    settings.password.require()?;
    link::require_files(&settings.tls)
}

/// The library sees only the relay, which accepts one password once.
fn options(options: OptsBuilder, relay: &Relay, set_up: &str) -> OptsBuilder {
    options
        .ip_or_hostname("127.0.0.1")
        .tcp_port(relay.port)
        .user(Some("rowhook"))
        .pass(Some(relay.password.as_str()))
        .prefer_socket(false)
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .tcp_nodelay(true)
        // Otherwise it asks the server, before the session is set up.
        .wait_timeout(Some(WAIT_TIMEOUT_S))
        .setup(vec![set_up])
}
