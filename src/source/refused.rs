//! Why a server refuses a login or a connection, in plain words with a fix that works.
//!
//! In: the server's error code and text, the settings; or what the TLS library objects to. Out: [`Error`]. Before the login
//! the server does not say which of its accounts it took, so the fixes first show how to ask for it. Pure; opens nothing.

use rustls::{AlertDescription, CertificateError};

use super::error::Error;
use super::settings::{Settings, TlsMode};

/// Connections that the reader of one server may have open at the same time: the stream, the questions at a connect, those
/// while it runs, reading ahead for definitions, and one that the server has not yet noticed to be closed.
pub(super) const CONNECTIONS_MAX: usize = 5;

/// `user@host`, as CURRENT_USER() says it, as statements take it.
pub fn quoted_account(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    format!("{}@{}", quoted(user), quoted(host))
}

/// As a string of SQL in the server's default mode.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Sorts an error that the server answers a connection or a login with.
pub(super) fn of_login_answer(code: u16, message: &str, settings: &Settings) -> Error {
    let server = settings.address();
    let user = quoted(&settings.user);
    let said = format!("{message} (error {code})");
    let accounts =
        format!("SELECT user, host, plugin, account_locked, password_expired FROM mysql.user WHERE user = {user}");
    let login =
        |what: &str, fix: String| Error::Login { server: server.clone(), problem: format!("{what}: {said}"), fix };
    let connect = |what: &str, fix: String| Error::Connect {
        server: server.clone(),
        problem: format!("{what}: {said}; fix: {fix}"),
    };
    match code {
        // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR; the server does not say which of both is wrong.
        1045 | 1698 => {
            let what = if message.contains("using password: NO") {
                "no password was given"
            } else {
                "user, password or host is wrong"
            };
            let give = "give the account's user and password (--mysql-user, --mysql-password-file)";
            login(what, format!("{give}; an administrator sees which accounts there are with: {accounts}"))
        }
        // ER_HOST_NOT_PRIVILEGED
        1130 => {
            let host = message.split('\'').nth(1).unwrap_or("%");
            let account = format!("{user}@{}", quoted(host));
            login(
                "no account of the server may connect from this machine",
                format!(
                    "an administrator makes one: CREATE USER {account} IDENTIFIED BY 'a new password'; GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO {account}"
                ),
            )
        }
        // ER_ACCOUNT_HAS_BEEN_LOCKED
        3118 => login(
            "the account is locked",
            format!(
                "an administrator looks up its host with {accounts} and runs ALTER USER {user}@'that host' ACCOUNT UNLOCK"
            ),
        ),
        // ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
        3955 => login(
            "the account is locked for some days, after too many wrong passwords",
            format!(
                "give the right password; an administrator looks up its host with {accounts} and runs ALTER USER {user}@'that host' ACCOUNT UNLOCK"
            ),
        ),
        // ER_MUST_CHANGE_PASSWORD, ER_MUST_CHANGE_PASSWORD_LOGIN
        1820 | 1862 => login(
            "the password has expired",
            format!(
                "an administrator looks up the account's host with {accounts} and runs \
                 ALTER USER {user}@'that host' IDENTIFIED BY 'a new password' PASSWORD EXPIRE NEVER; then give rowhook the new password"
            ),
        ),
        // ER_NOT_SUPPORTED_AUTH_MODE, ER_PLUGIN_IS_NOT_LOADED
        1251 | 1524 => login("the server cannot check the account's password", other_plugin(&user)),
        // ER_CON_COUNT_ERROR
        1040 => connect(
            "the server has no connection left for anybody",
            format!(
                "rowhook needs up to {CONNECTIONS_MAX} at a time; end idle ones (SHOW PROCESSLIST), or let it have more: \
                 SET PERSIST max_connections = 500"
            ),
        ),
        // ER_TOO_MANY_USER_CONNECTIONS
        1203 => connect(
            "the account has no connection left (max_user_connections of the server)",
            format!(
                "rowhook needs up to {CONNECTIONS_MAX} at a time; an administrator runs SET PERSIST max_user_connections = 0"
            ),
        ),
        // ER_USER_LIMIT_REACHED
        1226 => {
            let limit = message.split('\'').nth(3).unwrap_or("max_user_connections");
            let option = match limit {
                "max_connections_per_hour" => "MAX_CONNECTIONS_PER_HOUR 0".to_string(),
                "max_questions" => "MAX_QUERIES_PER_HOUR 0".to_string(),
                "max_updates" => "MAX_UPDATES_PER_HOUR 0".to_string(),
                _ => format!("MAX_USER_CONNECTIONS {}", 2 * CONNECTIONS_MAX),
            };
            // Known, where an earlier connection of this process succeeded.
            let (host_hint, account) = match settings.learned.account() {
                Some(account) => (String::new(), account),
                None => (format!("looks up the account's host with {accounts} and "), format!("{user}@'that host'")),
            };
            connect(
                "the account has used up what it may have",
                format!(
                    "rowhook needs up to {CONNECTIONS_MAX} connections at a time; an administrator {host_hint}runs ALTER USER {account} WITH {option}"
                ),
            )
        }
        // ER_HOST_IS_BLOCKED
        1129 => connect(
            "the server has blocked this machine after too many connections that broke off",
            "an administrator runs TRUNCATE TABLE performance_schema.host_cache".to_string(),
        ),
        // ER_SERVER_OFFLINE_MODE
        3032 => {
            connect("the server is in offline mode", "an administrator runs SET GLOBAL offline_mode = OFF".to_string())
        }
        // ER_SECURE_TRANSPORT_REQUIRED
        3159 => Error::Tls {
            server,
            problem: format!("the server takes encrypted connections only: {said}; fix: --tls required, or stricter"),
        },
        _ => Error::of_answer(code, message, server),
    }
}

/// The fix for an account with a login plugin that rowhook does not support.
fn other_plugin(user: &str) -> String {
    format!(
        "an administrator looks up the account's host with SELECT user, host, plugin FROM mysql.user WHERE user = {user} and runs \
         ALTER USER {user}@'that host' IDENTIFIED WITH caching_sha2_password BY 'a new password'"
    )
}

/// The account has a login plugin that rowhook does not support.
pub(super) fn of_plugin(name: &[u8], settings: &Settings) -> Error {
    let name: String = String::from_utf8_lossy(name).chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    Error::Login {
        server: settings.address(),
        problem: format!("the account uses the login plugin {name}, which rowhook does not know"),
        fix: other_plugin(&quoted(&settings.user)),
    }
}

/// The account's password would be sent in clear text, which needs a verified server.
pub(super) fn of_clear_password(settings: &Settings) -> Error {
    Error::Login {
        server: settings.address(),
        problem: format!(
            "the account uses the login plugin mysql_clear_password, which sends the password as it is; rowhook does so only \
             over TLS to a server that it has verified, and --tls is {}",
            settings.tls.mode.name()
        ),
        fix: "--tls verify-identity (or verify-ca) with --tls-ca FILE, the authority of the server's certificate"
            .to_string(),
    }
}

/// The server requires the password itself, and without encryption an attacker in between could read it.
pub(super) fn of_bare_password(settings: &Settings) -> Error {
    Error::PasswordKept {
        server: settings.address(),
        problem: format!(
            "the connection is not encrypted (--tls is {}, and without TLS anybody on the way can offer an RSA key of their own)",
            settings.tls.mode.name()
        ),
        fix: "TLS (--tls verify-identity with --tls-ca FILE), or the server's key: --mysql-public-key FILE, with what SHOW STATUS LIKE \
              'Caching_sha2_password_rsa_public_key' shows on the server"
            .to_string(),
    }
}

/// The server was reached encrypted before and now offers no TLS.
pub(super) fn of_removed_tls(settings: &Settings) -> Error {
    let address = settings.address();
    let undo = match settings.encrypted.file() {
        Some(file) => {
            format!("take the line {address} out of {} and start again, or give --tls disabled", file.display())
        }
        None => "start again, or give --tls disabled".to_string(),
    };
    Error::Tls {
        server: address,
        problem: format!(
            "the server offers no TLS, and was encrypted before: --tls preferred does not fall back, because an attacker in between could be the reason; fix: enable TLS on the server; if it is to have none, {undo}"
        ),
    }
}

/// A problem with encryption, in plain words for the most frequent ones.
pub(super) fn of_tls(problem: &rustls::Error, settings: &Settings) -> Error {
    let (what, fix) = match problem {
        rustls::Error::InvalidCertificate(flaw) => of_certificate(flaw, settings),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => (
            "the server wants to see a client certificate".to_string(),
            "--tls-cert FILE and --tls-key FILE".to_string(),
        ),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => (
            "the server speaks no TLS that is still safe".to_string(),
            "let it offer TLSv1.2 or TLSv1.3: SELECT @@tls_version shows what it offers".to_string(),
        ),
        other => (
            other.to_string(),
            "look at the server's certificate files: SHOW GLOBAL VARIABLES LIKE 'ssl_%'".to_string(),
        ),
    };
    Error::Tls { server: settings.address(), problem: format!("{what}; fix: {fix}") }
}

fn of_certificate(flaw: &CertificateError, settings: &Settings) -> (String, String) {
    let host = &settings.host;
    let ca = settings.tls.ca.as_ref();
    match flaw {
        CertificateError::UnknownIssuer => match ca {
            None => (
                "the server's certificate is self-signed, or its authority is not a public one".to_string(),
                // MySQL makes its own authority at its first start; what it issues names no host.
                "give the authority that issued it: --tls-ca FILE (MySQL makes one at its first start, ca.pem in the data directory: \
                 use that with --tls verify-ca; providers of clouds offer theirs for download)"
                    .to_string(),
            ),
            Some(path) => (
                format!("the server's certificate comes from none of the authorities in {}", path.display()),
                "give the authority that issued it: --tls-ca FILE (on the server, SELECT @@datadir, @@ssl_ca says where it is)".to_string(),
            ),
        },
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the server's certificate does not name the host {host}"),
            "connect by a name that it names, or --tls verify-ca, which does not look at the name (certificates that MySQL makes itself \
             name no host)"
                .to_string(),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "the server's certificate has expired".to_string(),
            "renew it on the server and run ALTER INSTANCE RELOAD TLS there; look at this machine's clock, too".to_string(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "the server's certificate is not valid yet".to_string(),
            "look at the clocks of this machine and of the server".to_string(),
        ),
        // webpki: an authority's own certificate is what the server shows.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            "the server shows the certificate of an authority (self-signed, with CA:TRUE) as its own".to_string(),
            "issue a certificate for the server from that authority; until then --tls required encrypts without verifying".to_string(),
        ),
        other => (
            rustls::Error::InvalidCertificate(other.clone()).to_string(),
            "give the server a certificate of X.509 version 3 with its host name, and --tls-ca the authority that issued it".to_string(),
        ),
    }
}

impl TlsMode {
    /// As the flag has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            TlsMode::Disabled => "disabled",
            TlsMode::Preferred => "preferred",
            TlsMode::Required => "required",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyIdentity => "verify-identity",
        }
    }

    /// Whether the server's certificate is verified.
    pub(super) fn verifies(self) -> bool {
        matches!(self, TlsMode::VerifyCa | TlsMode::VerifyIdentity)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::super::error::Next;
    use super::*;

    fn settings() -> Settings {
        Settings::from_parts("mysql://db.example", Some(r"o'ne\il"), Uuid::nil()).expect("settings")
    }

    #[test]
    fn an_account_is_quoted_as_statements_take_it() {
        for (account, expected) in [
            ("rowhook@%", "'rowhook'@'%'"),
            ("a@b@10.0.0.%", "'a@b'@'10.0.0.%'"),
            ("o'neil@localhost", "'o''neil'@'localhost'"),
            ("@%", "''@'%'"),
        ] {
            assert_eq!(quoted_account(account), expected);
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong_and_what_to_do() {
        for (code, message, what, fix, next) in [
            (
                1045,
                "Access denied for user 'x'@'h' (using password: YES)",
                "user, password or host",
                r"'o''ne\\il'",
                Next::Login,
            ),
            (
                1045,
                "Access denied for user 'x'@'h' (using password: NO)",
                "no password was given",
                "--mysql-password-file",
                Next::Login,
            ),
            (
                1130,
                "Host '10.1.2.3' is not allowed to connect to this MySQL server",
                "from this machine",
                r"CREATE USER 'o''ne\\il'@'10.1.2.3'",
                Next::Login,
            ),
            (3118, "Access denied for user 'x'@'h'. Account is locked.", "is locked", "ACCOUNT UNLOCK", Next::Login),
            (1862, "Your password has expired.", "has expired", "IDENTIFIED BY 'a new password'", Next::Login),
            (1820, "You must reset your password", "has expired", "IDENTIFIED BY", Next::Login),
            (1040, "Too many connections", "no connection left", "max_connections", Next::Reconnect),
            (
                1203,
                "User x already has more than 'max_user_connections' active connections",
                "no connection left",
                "max_user_connections = 0",
                Next::Reconnect,
            ),
            (
                1226,
                "User 'x' has exceeded the 'max_user_connections' resource (current value: 1)",
                "used up",
                "WITH MAX_USER_CONNECTIONS 10",
                Next::Reconnect,
            ),
            (
                1226,
                "User 'x' has exceeded the 'max_connections_per_hour' resource (current value: 1)",
                "used up",
                "MAX_CONNECTIONS_PER_HOUR 0",
                Next::Reconnect,
            ),
            (1129, "Host 'x' is blocked because of many connection errors", "blocked", "host_cache", Next::Reconnect),
            (
                3159,
                "Connections using insecure transport are prohibited",
                "encrypted connections only",
                "--tls required",
                Next::Login,
            ),
        ] {
            let error = of_login_answer(code, message, &settings());
            let text = error.to_string();
            assert!(text.contains(what) && text.contains(&format!("(error {code})")), "{text}");
            let (_, after) = text.split_once("fix: ").unwrap_or_else(|| panic!("no fix: {text}"));
            assert!(after.contains(fix), "{text}");
            assert_eq!(error.next(), next, "{text}");
        }
    }

    #[test]
    fn a_certificate_that_does_not_fit_is_reported_in_plain_words() {
        let name = rustls::pki_types::ServerName::try_from("db.example").expect("a name");
        let context = CertificateError::NotValidForNameContext { expected: name, presented: vec![] };
        for (flaw, ca, part, fix) in [
            (CertificateError::UnknownIssuer, None, "self-signed", "--tls-ca FILE"),
            (CertificateError::UnknownIssuer, Some("/ca.pem"), "/ca.pem", "--tls-ca FILE"),
            (context, None, "does not name the host db.example", "verify-ca"),
            (CertificateError::Expired, None, "has expired", "RELOAD TLS"),
            (CertificateError::NotValidYet, None, "not valid yet", "clocks"),
        ] {
            let mut settings = settings();
            settings.tls.ca = ca.map(Into::into);
            let text = of_tls(&rustls::Error::InvalidCertificate(flaw), &settings).to_string();
            assert!(text.contains(part) && text.contains(fix), "{text}");
        }
        let other = CertificateError::Other(rustls::OtherError(Arc::new(std::io::Error::other("CaUsedAsEndEntity"))));
        let text = of_tls(&rustls::Error::InvalidCertificate(other), &settings()).to_string();
        assert!(text.contains("certificate of an authority"), "{text}");
    }
}
