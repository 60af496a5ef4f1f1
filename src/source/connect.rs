//! Connections to a server for questions and statements, through the client library.
//!
//! In: [`Settings`]. Out: an open connection, over TLS as the mode says, never through a Unix socket and never with
//! LOCAL INFILE. Turns the client library's errors into ours. The binlog comes over `link` instead.

use std::time::Duration;

use mysql_async::{ClientIdentity, Conn, DriverError, Opts, OptsBuilder, SslOpts};

use super::error::Error;
use super::link::PACKET_BYTES_MAX;
use super::settings::{Settings, TlsMode};

/// Notices a dead peer while nothing is being read, for example during back-pressure.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// The client library lets a certificate with another name pass where the text of the error holds the word
/// `NotValidForName`; rustls no longer writes that word, but it writes the name that was expected. Checked after the chain
/// of trust, so an unknown CA still fails; MySQL does not look at the name in the handshake.
const ANY_NAME: &str = "NotValidForName.invalid";

/// Opens a connection, waiting at most `connect_timeout`.
pub(super) async fn connect(settings: &Settings) -> Result<Conn, Error> {
    connect_with(settings, |options| options).await
}

/// The same with options of one's own besides; for who writes.
///
/// # Errors
/// What [`Error`] says of settings, connections, TLS and logins.
pub async fn connect_with(
    settings: &Settings,
    adapt: impl Fn(OptsBuilder) -> OptsBuilder + Send + Sync,
) -> Result<Conn, Error> {
    let options = |mode| Ok::<Opts, Error>(adapt(options(settings, mode)?).into());
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
    match tokio::time::timeout(settings.connect_timeout, attempt).await {
        Ok(outcome) => outcome?.map_err(|error| Error::of_client(error, &settings.address())),
        Err(_) => Err(Error::Connect {
            server: settings.address(),
            problem: format!("no answer within {} s", settings.connect_timeout.as_secs()),
        }),
    }
}

/// Whether the files that the settings name are there, before a connection needs them.
///
/// # Errors
/// [`Error::Setting`]
pub fn require_files(settings: &Settings) -> Result<(), Error> {
    tls(settings, settings.tls.mode).map(drop)
}

fn options(settings: &Settings, mode: TlsMode) -> Result<OptsBuilder, Error> {
    Ok(OptsBuilder::default()
        .ip_or_hostname(settings.host.clone())
        .tcp_port(settings.port)
        .user(Some(settings.user.clone()))
        .pass(Some(settings.password.0.clone()))
        .prefer_socket(false)
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .tcp_nodelay(true)
        .stmt_cache_size(0)
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
