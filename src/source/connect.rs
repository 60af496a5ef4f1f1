//! Connections to a server for questions and statements, through the client library.
//!
//! In: [`Settings`]. Out: an open connection whose session is set up, over TLS as the mode says, never through a Unix socket
//! and never with LOCAL INFILE. The password is read anew each time. Turns the client library's errors into ours. The binlog comes over `link` instead.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use mysql_async::{ClientIdentity, Conn, DriverError, Opts, OptsBuilder, SslOpts};

use super::connection::Connection;
use super::error::Error;
use super::link::{self, PACKET_BYTES_MAX, Room};
use super::password::Password;
use super::refused::{of_clear_password, of_login_answer, of_plugin, quoted_account};
use super::session::{LIST_HIDDEN_KEYS_SQL, QUESTIONS_SQL, STATEMENTS_SQL};
use super::settings::{Settings, TlsMode};

/// Notices a dead peer while nothing is being read, for example during back-pressure.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// As long as the session is told to wait for the next question.
const WAIT_TIMEOUT_S: usize = 28_800;

/// The client library lets a certificate with another name pass where the text of the error holds the word
/// `NotValidForName`; rustls no longer writes that word, but it writes the name that was expected. Checked after the chain
/// of trust, so an unknown CA still fails; MySQL does not look at the name in the handshake.
const ANY_NAME: &str = "NotValidForName.invalid";

/// Opens a connection for our own questions, waiting at most `connect_timeout`.
pub(super) async fn connect(settings: &Settings) -> Result<Connection, Error> {
    let open = open(settings, QUESTIONS_SQL, |options| options).await?;
    let mut connection = Connection::new(open, settings.answer_timeout);
    let failed = |error| Error::of_client(error, &settings.address());
    match connection.query_drop(LIST_HIDDEN_KEYS_SQL).await {
        // A server that does not know them has none.
        Ok(()) | Err(mysql_async::Error::Server(_)) => {}
        Err(error) => return Err(failed(error)),
    }
    let account: Option<String> = connection.query_first("SELECT CURRENT_USER()").await.map_err(failed)?;
    if let Some(account) = account {
        settings.learned.set_account(quoted_account(&account));
    }
    Ok(connection)
}

/// The same for statements of rules, with options of one's own besides.
///
/// # Errors
/// What [`Error`] says of settings, connections, TLS and logins.
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
    // Our own login goes first: it answers the plugins of its own list alone, and knows why it is refused. The client library
    // panics at some plugins.
    if !settings.learned.has_logged_in() {
        link::open_with(settings, &password, Room::Usual, settings.connect_timeout).await?.quit().await;
        settings.learned.set_has_logged_in(true);
    }
    let opened = open_library(settings, &password, set_up, adapt).await;
    if opened.is_err() {
        settings.learned.set_has_logged_in(false);
    }
    opened
}

async fn open_library(
    settings: &Settings,
    password: &Password,
    set_up: &str,
    adapt: impl Fn(OptsBuilder) -> OptsBuilder + Send + Sync,
) -> Result<Conn, Error> {
    let options = |mode| Ok::<Opts, Error>(adapt(options(settings, password, mode)?.setup(vec![set_up])).into());
    let attempt = async {
        let first = Conn::new(options(settings.tls.mode)?).await;
        match first {
            // The client library knows no "preferred": it is "required", and plain where the server has no TLS.
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
                if settings.tls.mode == TlsMode::Preferred =>
            {
                Ok(Conn::new(options(TlsMode::Disabled)?).await)
            }
            other => Ok(other),
        }
    };
    let attempt = AssertUnwindSafe(attempt).catch_unwind();
    match tokio::time::timeout(settings.connect_timeout, attempt).await {
        Ok(Ok(outcome)) => outcome?.map_err(|error| of_login(error, settings)),
        Ok(Err(_)) => {
            let problem = "the answers to the login could not be taken apart".to_string();
            Err(Error::Connect { server: settings.address(), problem })
        }
        Err(_) => Err(Error::Connect {
            server: settings.address(),
            problem: format!("no answer within {} s", settings.connect_timeout.as_secs()),
        }),
    }
}

/// Sorts what the client library reports while it connects.
fn of_login(error: mysql_async::Error, settings: &Settings) -> Error {
    match error {
        mysql_async::Error::Server(answer) => of_login_answer(answer.code, &answer.message, settings),
        mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => of_plugin(name.as_bytes(), settings),
        mysql_async::Error::Driver(DriverError::CleartextPluginDisabled) => of_clear_password(settings),
        mysql_async::Error::Driver(DriverError::MysqlOldPasswordDisabled) => of_plugin(b"mysql_old_password", settings),
        other => Error::of_client(other, &settings.address()),
    }
}

/// Whether the files that the settings name are there, before a connection needs them.
///
/// # Errors
/// [`Error::Setting`]
pub fn require_files(settings: &Settings) -> Result<(), Error> {
    settings.password.require()?;
    tls(settings, settings.tls.mode).map(drop)
}

fn options(settings: &Settings, password: &Password, mode: TlsMode) -> Result<OptsBuilder, Error> {
    Ok(OptsBuilder::default()
        .ip_or_hostname(settings.host.clone())
        .tcp_port(settings.port)
        .user(Some(settings.user.clone()))
        .pass(Some(password.0.clone()))
        // The library would use it without TLS, too; in these modes there is none without.
        .enable_cleartext_plugin(mode.verifies())
        .prefer_socket(false)
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .tcp_nodelay(true)
        .stmt_cache_size(0)
        // Otherwise it asks the server, before the session is set up.
        .wait_timeout(Some(WAIT_TIMEOUT_S))
        .ssl_opts(tls(settings, mode)?))
}

fn tls(settings: &Settings, mode: TlsMode) -> Result<Option<SslOpts>, Error> {
    if mode == TlsMode::Disabled {
        return Ok(None);
    }
    let files = &settings.tls;
    for (setting, path) in [("tls ca", &files.ca), ("tls cert", &files.cert), ("tls key", &files.key)] {
        let problem = path.as_ref().and_then(|path| Some((path, std::fs::File::open(path).err()?)));
        if let Some((path, problem)) = problem {
            return Err(Error::Setting { setting, problem: format!("{}: {problem}", path.display()) });
        }
    }
    let mut tls = SslOpts::default()
        .with_danger_accept_invalid_certs(matches!(mode, TlsMode::Preferred | TlsMode::Required))
        .with_danger_skip_domain_validation(mode != TlsMode::VerifyIdentity);
    if mode == TlsMode::VerifyCa {
        tls = tls.with_danger_tls_hostname_override(Some(ANY_NAME));
    }
    if let Some(ca) = &files.ca {
        tls = tls.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
    }
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            tls = tls.with_client_identity(Some(ClientIdentity::new(cert.clone().into(), key.clone().into())));
        }
        (None, None) => {}
        _ => {
            let problem = "a client certificate needs both `cert` and `key`".to_string();
            return Err(Error::Setting { setting: "tls cert", problem });
        }
    }
    Ok(Some(tls))
}
