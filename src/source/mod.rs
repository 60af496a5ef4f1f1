//! The source: MySQL's binlog as a stream of changes; the only place with MySQL crates.
//!
//! In: [`Settings`], where to begin, which tables matter. Out: [`SourceEvent`]s over a bounded channel, in commit order,
//! from a task that reconnects by itself for ever and resumes without loss; and a [`ReadStatus`] for health checks. Keeps
//! promises 1 (with the caller's checkpoint), 3, 6 and 7. The files in the order in which bytes meet them: `settings`,
//! `connect`, `server`, `link`, `wire` (with `checksum`, `unpack`), `event`, `transaction` (with `group`, `statement` and
//! `writes` on `lexer`, `tables`, `table_map`, `tracking`), `decode`, `follow`. Knows nothing of rules and stores no position.

mod begin;
mod binlog_pin;
pub mod check;
mod checksum;
mod clock;
mod connect;
mod connection;
mod ddl;
mod declared;
mod decode;
mod emptied;
mod encrypted;
mod error;
mod event;
mod event_type;
mod follow;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod gtids_before;
mod keeping;
mod keys;
mod lexer;
mod link;
mod listed;
mod locate;
mod log_sizes;
mod logged;
mod missing;
mod named;
mod passing;
mod password;
mod place;
mod places;
mod platform;
mod progress;
mod prove;
mod refused;
mod scan;
mod schema;
mod sentinel;
mod server;
mod session;
mod settings;
mod shown;
mod statement;
mod stored_row;
mod table_map;
mod tables;
#[cfg(test)]
mod tests;
mod tracking;
mod transaction;
mod typed;
mod unpack;
mod wire;
mod writes;
mod xa;

use std::time::{Duration, Instant, SystemTime};

use crate::change::Changes;
use crate::position::{Committed, Resume, Retention, Start};
use crate::schema::NamedTables;

pub use binlog_pin::{PinnedBinlog, pin_binlog};
pub use check::{Finding, Level, check};
pub use connect::{connect_with, require_files};
pub use declared::{DeclaredColumn, DeclaredDefault, DeclaredTable, declared_tables, kind_of};
pub use emptied::Emptied;
pub use encrypted::EncryptedServers;
pub use error::{Error, Next};
pub use follow::{Following, Watch, follow};
pub use listed::{ListedColumn, ListedTable, list_tables, table_names};
pub use locate::locate;
pub use log_sizes::log_sizes;
pub use named::named_tables;
pub use passing::What;
pub use password::{Password, PasswordCommand, PasswordSource};
pub use places::{Between, Count, NextTransaction, NoPlace, Places};
pub use prove::Evidence;
pub use refused::quoted_account;
pub use settings::{FirstConnect, Learned, Settings, SourceTls, TlsMode};
pub use stored_row::{NoStoredRow, stored_row};

/// Where to begin.
#[derive(Debug, Clone)]
pub enum From {
    Start(Start),
    Resume(Resume),
}

/// An item that the reader hands on.
#[derive(Debug, Clone)]
pub enum SourceEvent {
    /// Once, before all else, if [`Settings::names_tables`] says so: the watched tables as they are now.
    Tables(NamedTables),
    /// Once, before any row: where reading begins. A checkpoint may be made of it.
    Started(Resume),
    /// Rows of watched tables, all of one transaction, in its order. A large transaction comes in several portions.
    Rows(Vec<Changes>),
    /// A transaction ended; also one without rows of watched tables.
    Committed(Committed),
    /// A statement removed or added rows of watched tables without row events.
    Emptied(Emptied),
    /// The server had nothing newer for a while.
    Idle,
}

/// The state of reading.
#[derive(Debug, Clone)]
pub enum ReadStatus {
    Connecting {
        /// From 1, counted since reading last made progress.
        attempt: u32,
        last_error: Option<String>,
        /// When the first of the attempts failed.
        since: Option<SystemTime>,
    },
    Streaming {
        last_packet_at: Instant,
        /// Between the commit of the newest transaction read and its being read; zero when idle; none before the first.
        lag: Option<Duration>,
    },
    /// The receiver takes no events; the connection stays closed until it does.
    Stalled { since: Instant },
    /// The reader gave up or was dropped; the error, if any, was the last item of the channel.
    Stopped { error: Option<String> },
}

/// The source sends a heartbeat every 2 s and counts as lost after three; this is a little longer, so that the reader's
/// own report comes first.
const SILENCE_MAX: Duration = Duration::from_secs(10);

impl ReadStatus {
    /// Whether the server sends something.
    pub fn is_streaming(&self) -> bool {
        matches!(self, ReadStatus::Streaming { last_packet_at, .. } if last_packet_at.elapsed() <= SILENCE_MAX)
    }

    /// The lag, while the server sends something and it is known.
    pub fn streaming_lag(&self) -> Option<Duration> {
        match self {
            ReadStatus::Streaming { lag, .. } if self.is_streaming() => *lag,
            _ => None,
        }
    }
}

/// What the server reported about itself at the last connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    pub version: String,
    /// None where it does not say.
    pub retention: Option<Retention>,
}
