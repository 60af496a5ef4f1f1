//! How to reach the source: address, account, TLS, and timeouts.
//!
//! In: a `mysql://` URL and the settings around it. Out: [`Settings`], checked. The password prints as `***` and appears
//! in no error (promise 8). Opens no connection.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;
use uuid::Uuid;

use crate::retry::RetryPolicy;

use super::encrypted::EncryptedServers;
use super::error::Error;
use super::password::{Password, PasswordSource};
pub use crate::config::TlsMode;

/// TLS mode and PEM files.
#[derive(Debug, Clone, Default)]
pub struct SourceTls {
    pub mode: TlsMode,
    /// Without it the public CAs are trusted.
    pub ca: Option<PathBuf>,
    /// Client certificate; needs `key`.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The server's RSA key: without TLS the password is sent only encrypted with this key.
    pub public_key: Option<PathBuf>,
}

/// What to do when the very first connection fails for a reason that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstConnect {
    #[default]
    Wait,
    FailFast,
}

/// All settings of a reader; make them with [`Settings::from_url`] and change fields as needed.
#[derive(Debug, Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Read again at every connect.
    pub password: PasswordSource,
    pub tls: SourceTls,
    /// The replica's server id; None: derived from `instance`, in the upper half of the range, where other servers
    /// rarely are.
    pub server_id: Option<u32>,
    /// Identity towards the server, stable for a data directory. Two readers of one server at the same time need two:
    /// the server ends the older one of a pair with the same uuid.
    pub instance: Uuid,
    /// The interval of heartbeats of an idle server. After three intervals of silence the connection is opened again.
    pub heartbeat: Duration,
    pub connect_timeout: Duration,
    /// How long the server may take for one answer. A server with very many tables needs some time.
    pub answer_timeout: Duration,
    pub first_connect: FirstConnect,
    /// Whether the reader reports the current definitions of the watched tables, before it reports where it begins.
    pub names_tables: bool,
    /// The waits between reconnects; these never end, so `retries` is ignored.
    pub reconnect: RetryPolicy,
    /// How long the reader waits for room in the event channel before it gives its connection back to the server.
    pub stall_timeout: Duration,
    /// What earlier connections learned; clones share it.
    pub learned: Arc<Learned>,
    /// The servers for which `preferred` means `required` now.
    pub encrypted: Arc<EncryptedServers>,
}

/// What connections learned about the account.
#[derive(Debug, Default)]
pub struct Learned {
    /// Whether a reader has got anything from the binlog.
    has_streamed: AtomicBool,
    account: Mutex<Option<String>>,
}

impl Learned {
    pub(super) fn has_streamed(&self) -> bool {
        self.has_streamed.load(Ordering::Relaxed)
    }

    pub(super) fn set_has_streamed(&self) {
        self.has_streamed.store(true, Ordering::Relaxed);
    }

    /// The account as statements name it, `'user'@'host'`; None before the first connection.
    pub(super) fn account(&self) -> Option<String> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_account(&self, account: String) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = Some(account);
    }
}

impl Settings {
    /// The same for a reader beside the one of the data directory: a replica of its own to the server, which does not wait for a
    /// server that is not there.
    pub fn of_another_reader(self) -> Settings {
        let (instance, first_connect) = (Uuid::new_v4(), FirstConnect::FailFast);
        Settings { instance, server_id: None, first_connect, ..self }
    }

    /// Reads `mysql://user:password@host:port`; user and password may be percent-encoded, the port defaults to 3306.
    pub fn from_url(text: &str, instance: Uuid) -> Result<Settings, Error> {
        Settings::from_parts(text, None, instance)
    }

    /// The same where the user may be given apart from the URL.
    pub fn from_parts(text: &str, user: Option<&str>, instance: Uuid) -> Result<Settings, Error> {
        let wrong = |problem: &str| setting("url", format!("{problem}; expected mysql://user:password@host:3306"));
        if has_delimiter_in_password(text) {
            return Err(wrong(
                "a user or password with `/`, `#` or `?` must be written percent-encoded (`/` is %2F, `#` is %23, `?` is %3F, \
                 `@` is %40, `%` is %25), or be given apart from the URL (--mysql-user, --mysql-password-file or \
                 --mysql-password-command)",
            ));
        }
        // The parser's own error may quote the text with the password, so it is not passed on.
        let url = Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
        if url.scheme() != "mysql" {
            return Err(wrong("the scheme is not mysql"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        if url.username().is_empty() && user.is_none() {
            return Err(wrong("it names no user, and --mysql-user names none either"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it goes on after the port; databases and options do not belong there"));
        }
        let decoded = |part: &str, name: &'static str| {
            let bytes = percent_encoding::percent_decode_str(part);
            bytes.decode_utf8().map(|text| text.into_owned()).map_err(|_| setting(name, "it is not UTF-8".to_string()))
        };
        let (in_url, password) =
            (decoded(url.username(), "user")?, decoded(url.password().unwrap_or_default(), "password")?);
        if user.is_some_and(|user| !in_url.is_empty() && in_url != user) {
            return Err(setting("user", "the URL and --mysql-user name two; take one away".to_string()));
        }
        Ok(Settings {
            host: host.trim_start_matches('[').trim_end_matches(']').to_string(),
            port: url.port().unwrap_or(3306),
            user: user.map_or(in_url, ToString::to_string),
            password: Password(password).into(),
            tls: SourceTls::default(),
            server_id: None,
            instance,
            heartbeat: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            first_connect: FirstConnect::default(),
            names_tables: false,
            reconnect: RetryPolicy::default(),
            stall_timeout: Duration::from_secs(30),
            learned: Arc::default(),
            encrypted: Arc::default(),
        })
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub fn is_local(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    pub(super) fn effective_server_id(&self) -> u32 {
        let drawn = (self.instance.as_u128() as u32) | 0x8000_0000;
        self.server_id.unwrap_or(drawn)
    }
}

/// Whether the part before the host goes on after a character that ends it in a URL: an unencoded password, most likely.
fn has_delimiter_in_password(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.find(['/', '#', '?']).is_some_and(|end| rest[end..].contains('@'))
}

fn setting(setting: &'static str, problem: String) -> Error {
    Error::Setting { setting, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_with_its_percent_signs_decoded() {
        let settings = Settings::from_url("mysql://ho%40ok:p%2Fw%3A1@db.example:3307", Uuid::nil()).expect("a URL");
        assert_eq!((settings.user.as_str(), settings.password), ("ho@ok", Password("p/w:1".to_string()).into()));
        let settings = Settings::from_url("mysql://u@db.example:3307", Uuid::nil()).expect("a URL");
        assert_eq!(settings.address(), "db.example:3307");
        // The last `@` ends the password: no host holds one.
        let settings = Settings::from_url("mysql://u:p@ss@h", Uuid::nil()).expect("a URL");
        assert_eq!((settings.host.as_str(), settings.password), ("h", Password("p@ss".to_string()).into()));
        assert_eq!(Settings::from_url("mysql://u@[::1]", Uuid::nil()).expect("a URL").address(), "::1:3306");
    }

    #[test]
    fn a_wrong_url_is_refused_without_showing_the_password() {
        for text in [
            "mysql://user:s3cret@",
            "mysql://:s3cret@host",
            "http://u:s3cret@h",
            "mysql://u:s3cret@h:99999",
            "mysql://u:s3cret@h/db",
            "s3cret",
        ] {
            let error = Settings::from_url(text, Uuid::nil()).expect_err(text).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let settings = Settings::from_url("mysql://u:s3cret@h", Uuid::nil()).expect("a URL");
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn a_password_that_a_url_cannot_hold_as_it_is_is_refused_with_the_way_to_write_it() {
        for password in ["s3c/ret", "s3c#ret", "s3c?ret", "12/s3cret", "s3cr@t/ret", "s3cret/", "?s3cret", "//s3cret"] {
            for text in [format!("mysql://u:{password}@h:3306"), format!("mysql://{password}:u@h")] {
                let error = Settings::from_url(&text, Uuid::nil()).expect_err(&text).to_string();
                assert!(error.contains("%2F") && error.contains("--mysql-password-file"), "{text}: {error}");
                assert!(!error.contains("s3c") && !error.contains("ret/"), "{error}");
            }
        }
    }

    #[test]
    fn the_user_may_be_given_apart_from_the_url() {
        let of = |text: &str, user| Settings::from_parts(text, user, Uuid::nil()).map(|settings| settings.user);
        assert_eq!(of("mysql://h", Some("a@b/c")).expect("a user"), "a@b/c");
        assert_eq!(of("mysql://u@h", Some("u")).expect("the same user"), "u");
        assert_eq!(of("mysql://u@h", None).expect("a user"), "u");
        assert!(of("mysql://u@h", Some("v")).expect_err("two users").to_string().contains("take one away"));
        assert!(of("mysql://h", None).expect_err("no user").to_string().contains("--mysql-user"));
    }
}
