//! Checks a stream without events: whether it is at the end of the log.
//!
//! In: heartbeats of a stream that stands still, and how far it was read. Out: whether the stream is at the end of the
//! log; an error where the log has become another one. A server reports a reset to a reader late, and never reports a
//! new log that has grown as far as the reader's place. So the server's newest file, its transactions and its count of
//! resets are compared with what was read, and the transactions themselves are checked again. Owns a connection for
//! these queries, opened for the first one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::position::{FileOffset, GtidSet, Position};

use super::connect::connect;
use super::connection::Connection;
use super::error::Error;
use super::prove::{Evidence, Prover, not_backwards};
use super::server::{EXECUTED_GRACE, Server, newest};
use super::settings::Settings;

/// How often the transactions that prove the position are checked again while nothing hints that the log is another one.
const PROVED_EVERY: Duration = Duration::from_secs(60);

/// Counts RESET statements, those of binlogs among them. Any account may ask.
const RESETS_SQL: &str = "SHOW GLOBAL STATUS LIKE 'Com_reset'";

/// After so many checks in a row in which the server has newer events than its stream sends, the stream is opened
/// again.
const STANDS_STILL_MAX: u32 = 5;

pub(super) struct Sentinel {
    settings: Settings,
    connection: Option<Connection>,
    last: Option<StreamEnds>,
    stands_still: u32,
    /// How many RESET statements the server had counted when the position was proven last, and when that was.
    proven: Option<(u64, Instant)>,
    /// Since when the server is known to have more than was read.
    behind_since: Option<Instant>,
    may_ask: bool,
}

/// Where the stream stood, and where the log ended then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StreamEnds {
    stream: FileOffset,
    end: FileOffset,
}

/// What the server reports about its log.
struct LogAnswer {
    end: FileOffset,
    executed: GtidSet,
    resets: u64,
}

/// Whether a stream that stands still is at the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamLag {
    AtEnd,
    /// The server has had more for this long.
    Behind(Duration),
}

impl Sentinel {
    pub fn new(settings: &Settings) -> Sentinel {
        Sentinel {
            settings: settings.clone(),
            connection: None,
            last: None,
            stands_still: 0,
            proven: None,
            behind_since: None,
            may_ask: true,
        }
    }

    /// The stream sends events again.
    pub fn moved(&mut self) {
        self.behind_since = None;
        self.stands_still = 0;
    }

    /// Inspects the server while the stream stands at this place of the log; everything up to the position was read.
    pub async fn inspect(
        &mut self,
        server: &Server,
        stream: &FileOffset,
        position: &mut Position,
    ) -> Result<StreamLag, Error> {
        if !self.may_ask {
            return Ok(StreamLag::AtEnd);
        }
        let LogAnswer { end, executed, resets } = match self.ask(server).await {
            Ok(answer) => answer,
            Err(Error::Privilege { problem, .. }) => {
                tracing::warn!(
                    problem,
                    "the account may not ask how far the binlog goes: a reset is noticed only at the next connection"
                );
                self.may_ask = false;
                return Ok(StreamLag::AtEnd);
            }
            // Checked again at the next heartbeat; if the server is gone, the stream notices.
            Err(error) => {
                tracing::debug!(%error, "how far the binlog goes could not be asked");
                self.connection = None;
                return Ok(self.lag());
            }
        };
        not_backwards(std::slice::from_ref(&end), stream)?;
        self.require_executed(server, position, executed).await?;
        if is_same_place(stream, &end) {
            // A new log may have grown to exactly this place.
            let is_proven = |(before, at): (u64, Instant)| before == resets && at.elapsed() < PROVED_EVERY;
            if !self.proven.is_some_and(is_proven) {
                self.prove(server, position).await?;
                self.proven = Some((resets, Instant::now()));
            }
            self.moved();
            self.last = None;
            return Ok(StreamLag::AtEnd);
        }
        self.behind_since.get_or_insert_with(Instant::now);
        let now = StreamEnds { stream: stream.clone(), end };
        let stood_still = self.last.as_ref().is_some_and(|last| last.stream == now.stream);
        self.last = Some(now);
        if stood_still {
            self.prove(server, position).await?;
            self.stands_still += 1;
            if self.stands_still >= STANDS_STILL_MAX {
                return Err(Error::Lost("the server has newer transactions and sends none".to_string()));
            }
        }
        Ok(self.lag())
    }

    fn lag(&self) -> StreamLag {
        self.behind_since.map_or(StreamLag::AtEnd, |since| StreamLag::Behind(since.elapsed()))
    }

    async fn ask(&mut self, server: &Server) -> Result<LogAnswer, Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.settings).await?),
        };
        let failed = |error| Error::of_client(error, &server.address);
        let uuid: Option<String> = connection.query_first("SELECT @@GLOBAL.server_uuid").await.map_err(failed)?;
        let uuid = uuid.unwrap_or_default();
        if uuid != server.uuid.hyphenated().to_string() {
            return Err(Error::Lost(format!("server {} was read, now {uuid} answers", server.uuid)));
        }
        let resets: Option<(String, u64)> = connection.query_first(RESETS_SQL).await.map_err(failed)?;
        let (end, executed) = newest(connection, &server.address).await?;
        Ok(LogAnswer { end, executed, resets: resets.map_or(0, |(_, resets)| resets) })
    }

    /// The server must have executed every transaction that was read.
    async fn require_executed(&mut self, server: &Server, position: &Position, executed: GtidSet) -> Result<(), Error> {
        let Some(read) = position.parts().gtids.as_ref().filter(|set| !set.is_subset_of(&executed)) else {
            return Ok(());
        };
        tokio::time::sleep(EXECUTED_GRACE).await;
        let Ok(LogAnswer { executed, .. }) = self.ask(server).await else { return Ok(()) };
        let ahead = read.missing_from(&executed);
        if ahead.is_empty() { Ok(()) } else { Err(Error::Ahead { ahead: ahead.to_string() }) }
    }

    async fn prove(&mut self, server: &Server, position: &mut Position) -> Result<(), Error> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let evidence = Prover::new(&self.settings, server).prove_over(connection, position).await?;
        if let Evidence::Unproven(why) = &evidence {
            tracing::debug!(why, "the position is not proven while the stream stands still");
        }
        Ok(())
    }
}

/// A heartbeat has 32 bits for the offset.
fn is_same_place(stream: &FileOffset, end: &FileOffset) -> bool {
    stream.file == end.file && stream.offset as u32 == end.offset as u32
}

/// The place of the stream by a heartbeat; None where the heartbeat has none.
pub(super) fn place_of_heartbeat(body: &[u8], log_pos: u32) -> Option<FileOffset> {
    let file: Arc<str> = std::str::from_utf8(body).ok()?.into();
    crate::position::file_number(&file)?;
    Some(FileOffset { file, offset: u64::from(log_pos) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_gives_the_place_in_32_bits() {
        let place = place_of_heartbeat(b"binlog.000007", 0x10).expect("a place");
        assert_eq!(place, FileOffset { file: "binlog.000007".into(), offset: 0x10 });
        let beyond = FileOffset { offset: 0x1_0000_0010, ..place.clone() };
        assert!(is_same_place(&place, &beyond) && !is_same_place(&place, &FileOffset { offset: 0x11, ..beyond }));

        for body in [&b""[..], b"binlog", b"\xff.000001"] {
            assert_eq!(place_of_heartbeat(body, 4), None);
        }
    }
}
