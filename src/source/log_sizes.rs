//! The ends of the server's binlog files, for the size of a backlog.

use super::connect::connect;
use super::error::Error;
use super::server;
use super::settings::Settings;
use crate::position::FileOffset;

/// The ends of all binlog files, the oldest first. Opens a connection of its own, and asks for nothing else: it is asked every few seconds
/// while something is late.
///
/// # Errors
/// What [`Error`] says of connections, logins and privileges.
pub async fn log_sizes(settings: &Settings) -> Result<Vec<FileOffset>, Error> {
    let mut connection = connect(settings).await?;
    server::files(&mut connection, &settings.address()).await
}
