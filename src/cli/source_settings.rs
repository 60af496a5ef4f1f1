//! The settings of MySQL's connections as their own stages want them.
//!
//! In: the checked settings of the command line. Out: those of the source, and the database to write back to; passwords
//! are taken from their files where such are named. The identity of the data directory is set by the command.

use std::path::Path;

use anyhow::{anyhow, bail};
use uuid::Uuid;

use crate::config::{SourceSettings, TlsSettings, WriteSettings};
use crate::source::{Password, Settings, Tls};
use crate::write_back::Database;

pub(super) fn of(given: SourceSettings) -> anyhow::Result<Settings> {
    let mut settings = Settings::from_url(&given.mysql, Uuid::nil())?;
    take_password(&mut settings, given.mysql_password_file.as_deref(), "mysql")?;
    settings.tls = tls(given.tls);
    settings.server_id = given.server_id;
    Ok(settings)
}

/// The database to write back to, where one is named.
pub(super) fn database(given: Option<WriteSettings>) -> anyhow::Result<Option<Database>> {
    let Some(given) = given else { return Ok(None) };
    let mut settings = Settings::from_url(&given.url, Uuid::nil()).map_err(|error| anyhow!("--write-url: {error}"))?;
    take_password(&mut settings, given.password_file.as_deref(), "write")?;
    settings.tls = tls(given.tls);
    Ok(Some(Database::new(settings)?))
}

fn tls(given: TlsSettings) -> Tls {
    Tls { mode: given.mode, ca: given.ca, cert: given.cert, key: given.key }
}

/// `of` is what the flags begin with.
fn take_password(settings: &mut Settings, path: Option<&Path>, of: &str) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    if settings.password != Password::default() {
        let url = if of == "mysql" { "--mysql" } else { "--write-url" };
        bail!("{url} has a password and --{of}-password-file names another; take one away");
    }
    settings.password = read_password(path)?;
    Ok(())
}

/// The file's text without the line end that editors add.
fn read_password(path: &Path) -> anyhow::Result<Password> {
    let text = std::fs::read_to_string(path).map_err(|error| anyhow!("password file {}: {error}", path.display()))?;
    Ok(Password(text.trim_end_matches(['\r', '\n']).to_string()))
}
