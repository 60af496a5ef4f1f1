//! The settings of MySQL connections, in the types of the stages that use them.
//!
//! In: the checked settings of the command line, and which servers were encrypted before. Out: the settings of the
//! source, and the database to write back to. They contain where the passwords come from; these are read at every
//! connect. The identity of the data directory is set by the command.

use std::sync::Arc;

use anyhow::bail;
use uuid::Uuid;

#[cfg(test)]
use crate::config::TlsMode;
use crate::config::{Error, SourceSettings, TlsSettings, WriteSettings};
use crate::source::{self, EncryptedServers, Password, PasswordCommand, PasswordSource, Settings, SourceTls};
use crate::write_back::Database;

pub(super) fn of(given: SourceSettings, encrypted: &Arc<EncryptedServers>) -> anyhow::Result<Settings> {
    let mut settings = Settings::from_parts(&given.mysql, given.mysql_user.as_deref(), Uuid::nil())?;
    let command = given.mysql_password_command.as_deref().map(|line| {
        PasswordCommand::parse(line)
            .map_err(|problem| source::Error::Setting { setting: "mysql-password-command", problem })
    });
    let given_apart =
        [given.mysql_password_file.map(PasswordSource::File), command.transpose()?.map(PasswordSource::Command)];
    take_password(&mut settings, given_apart, "mysql")?;
    settings.tls = tls(given.tls);
    settings.encrypted = Arc::clone(encrypted);
    settings.server_id = given.server_id;
    Ok(settings)
}

/// The database to write back to, where one is named.
pub(super) fn database(
    given: Option<WriteSettings>,
    encrypted: &Arc<EncryptedServers>,
) -> anyhow::Result<Option<Database>> {
    let Some(given) = given else { return Ok(None) };
    let mut settings = Settings::from_url(&given.url, Uuid::nil())
        .map_err(|error| Error::invalid("write-url", "***", &error.to_string()))?;
    take_password(&mut settings, [given.password_file.map(PasswordSource::File), None], "write")?;
    settings.tls = tls(given.tls);
    settings.encrypted = Arc::clone(encrypted);
    Ok(Some(Database::new(settings)?))
}

fn tls(given: TlsSettings) -> SourceTls {
    SourceTls { mode: given.mode, ca: given.ca, cert: given.cert, key: given.key, public_key: given.public_key }
}

/// `of` is the first word of the flags. A file or command is checked now and read at every connect.
fn take_password(settings: &mut Settings, given_apart: [Option<PasswordSource>; 2], of: &str) -> anyhow::Result<()> {
    let mut given_apart = given_apart.into_iter().flatten();
    let Some(password) = given_apart.next() else { return Ok(()) };
    if given_apart.next().is_some() {
        bail!("--{of}-password-file and --{of}-password-command both name a password; take one away");
    }
    if settings.password != Password::default().into() {
        let url = if of == "mysql" { "--mysql" } else { "--write-url" };
        let other = if matches!(password, PasswordSource::Command(_)) { "command" } else { "file" };
        bail!("{url} has a password and --{of}-password-{other} names another; take one away");
    }
    password.require()?;
    settings.password = password;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(mysql: &str, file: Option<&str>, command: Option<&str>) -> anyhow::Result<Settings> {
        let given = SourceSettings {
            mysql: mysql.to_string(),
            mysql_user: None,
            mysql_password_file: file.map(Into::into),
            mysql_password_command: command.map(Into::into),
            tls: TlsSettings { mode: TlsMode::Preferred, ca: None, cert: None, key: None, public_key: None },
            server_id: None,
        };
        of(given, &Arc::default())
    }

    #[test]
    fn a_password_comes_from_one_place() {
        let file = Some("Cargo.toml");
        assert!(matches!(given("mysql://u@h", file, None).expect("a file").password, PasswordSource::File(_)));
        assert!(matches!(
            given("mysql://u@h", None, Some("cat x")).expect("a command").password,
            PasswordSource::Command(_)
        ));
        for (url, file, command, part) in [
            ("mysql://u:s3cret@h", file, None, "take one away"),
            ("mysql://u:s3cret@h", None, Some("cat x"), "--mysql-password-command"),
            ("mysql://u@h", file, Some("cat x"), "take one away"),
            ("mysql://u@h", Some("no/such/file"), None, "no/such/file"),
            ("mysql://u@h", None, Some("cat x | head"), "without a shell"),
            ("mysql://u@h", None, Some(" "), "names no program"),
        ] {
            let error = given(url, file, command).expect_err(part).to_string();
            assert!(error.contains(part) && !error.contains("s3cret"), "{error}");
        }
    }
}
