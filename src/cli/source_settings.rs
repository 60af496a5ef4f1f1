//! The source's settings as its own stage wants them.
//!
//! In: the checked settings of the command line. Out: `source::Settings`, the password taken from its file where one is
//! named. The identity of the data directory is set by the command.

use std::path::Path;

use anyhow::{anyhow, bail};
use uuid::Uuid;

use crate::config::SourceSettings;
use crate::source::{Password, Settings, Tls};

pub(super) fn of(given: SourceSettings) -> anyhow::Result<Settings> {
    let mut settings = Settings::from_url(&given.mysql, Uuid::nil())?;
    if let Some(path) = &given.mysql_password_file {
        if settings.password != Password::default() {
            bail!("--mysql has a password and --mysql-password-file names another; take one away");
        }
        settings.password = read_password(path)?;
    }
    settings.tls = Tls { mode: given.tls, ca: given.tls_ca, cert: given.tls_cert, key: given.tls_key };
    settings.server_id = given.server_id;
    Ok(settings)
}

/// The file's text without the line end that editors add.
fn read_password(path: &Path) -> anyhow::Result<Password> {
    let text = std::fs::read_to_string(path).map_err(|error| anyhow!("password file {}: {error}", path.display()))?;
    Ok(Password(text.trim_end_matches(['\r', '\n']).to_string()))
}
