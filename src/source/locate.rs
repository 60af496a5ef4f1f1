//! The position that a start means on the server.
//!
//! In: settings, a start as people name it. Out: the position that it is at this moment. Opens a connection of its own
//! and changes nothing on the server.

use super::connect::connect;
use super::error::Error;
use super::server::Server;
use super::settings::Settings;
use crate::position::{Position, Start};

/// The position of a start. Of [`Start::At`] it is the place alone, without GTIDs.
pub async fn locate(settings: &Settings, start: &Start) -> Result<Position, Error> {
    let mut connection = connect(settings).await?;
    let server = Server::inspect(&mut connection, &settings.address()).await?;
    server.require()?;
    server.begin(&mut connection, start).await
}
