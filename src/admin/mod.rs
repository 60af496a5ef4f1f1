//! Admin: what probes, Prometheus and operators can ask of rowhook.
//!
//! In: HTTP over TCP (health and metrics, read only) and over a Unix socket in the data directory (dead letters). Out:
//! text and JSON; replays go to the pipeline as commands. Each operation is one function, called by the daemon's socket and
//! by the command line when no daemon runs. Knows the store and the rules; nothing of the command line.

mod api;
mod client;
mod health;
mod http;
mod operations;
mod replay;
mod serve;
pub mod view;

pub use api::{ControlSocket, Error as SocketError};
pub use client::{Daemon, Error as DaemonError};
pub use health::Health;
pub use http::{Error as PortError, Port, Token};
pub use operations::{DeadLetters, Error};
pub use replay::Replays;

/// The control socket's name in the data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// The kernel's limit for a socket's path (`sun_path`, without its closing NUL).
const SOCKET_PATH_BYTES_MAX: usize = 107;
