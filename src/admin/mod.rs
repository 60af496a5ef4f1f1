//! Admin: the interfaces for probes, Prometheus and operators.
//!
//! In: HTTP over TCP (health and metrics, read only) and over a Unix socket in the data directory (status, rules, dead
//! letters). Out: text and JSON; what concerns deliveries goes to the pipeline as commands. Each command is one function,
//! called by the daemon's socket and by the command line when no daemon runs. Knows the store and the rules; nothing of the
//! command line.

mod advice;
mod alerts;
mod api;
mod attention;
mod backlog;
mod binlog_replay;
mod client;
mod clock_watch;
mod control;
mod dead_letters;
mod edit;
mod export;
mod grouping;
mod health;
mod http;
mod letter_view;
mod live_rules;
mod position;
mod pulse;
mod replay;
mod retention;
mod runway;
mod selecting;
mod serve;
mod status;
mod storage;
mod stored_pause;
mod typed;
pub mod view;

use std::sync::Arc;

use crate::position::Retention;

pub use alerts::{Alerts, rehearse as rehearse_alert, send as send_alert};
pub use api::{AdminApi, ControlSocket, Error as SocketError};
pub use attention::{LATE_AFTER, attention};
pub use backlog::{Backlog, LogSizes};
pub use binlog_replay::BinlogReplays;
pub use client::{Daemon, Error as DaemonError};
pub use control::{Control, ControlError};
pub use dead_letters::{DeadLetters, Error};
pub use health::Health;
pub use http::{AdminToken, Error as PortError, Port};
pub use live_rules::{LiveRules, ReloadError, RuleSource};
pub use position::{move_in_store, positions_of_store, require_rule};
pub use pulse::Pulse;
pub use replay::{Replays, RulesNow};
pub use retention::{DropTimes, LetterDrops};
pub use status::of_store as status_of_store;
pub use storage::Storage;
pub use stored_pause::{pause_in_store, resume_in_store};
pub use typed::no_such_rule_among;

/// Returns the current state of the source.
pub type SourceWatch = Arc<dyn Fn() -> SourceNow + Send + Sync>;

/// The state of the source.
#[derive(Debug, Clone)]
pub struct SourceNow {
    /// `host:port`.
    pub address: String,
    /// None before MySQL has answered for the first time, as is `retention`.
    pub version: Option<String>,
    pub retention: Option<Retention>,
    /// Why changes do not arrive right now, without secrets.
    pub problem: Option<String>,
}

/// Where the control socket answers whatever else goes on, and says whether the delivery loop does, too.
const ALIVE_PATH: &str = "/alive";

/// The control socket's name in the data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// The kernel's limit for a socket's path (`sun_path`, without its closing NUL).
const SOCKET_PATH_BYTES_MAX: usize = 107;
