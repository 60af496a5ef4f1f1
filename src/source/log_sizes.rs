//! The ends of the server's binlog files, for the size of a backlog.

use super::connect::connect;
use super::error::Error;
use super::server::Server;
use super::settings::Settings;
use crate::position::FileOffset;

/// The ends of all binlog files, the oldest first. Opens a connection of its own.
///
/// # Errors
/// What [`Error`] says of connections, logins and privileges.
pub async fn log_sizes(settings: &Settings) -> Result<Vec<FileOffset>, Error> {
    let mut connection = connect(settings).await?;
    let server = Server::inspect(&mut connection, &settings.address()).await?;
    server.files(&mut connection).await
}
