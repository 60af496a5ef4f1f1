//! What a failed link means to the code that uses it.
//!
//! In: a connection that broke, a command that was not done. Out: [`Error`], sorted by the moment: a socket that fails
//! at the login means that no server answers at this address; one that fails later means that a connection was lost.
//! Pure.

use super::super::error::Error;
use super::ServerRefusal;
use super::packet::Broken;

impl Error {
    /// A login that broke off.
    pub(in crate::source) fn of_broken_login(broken: &Broken, server: &str) -> Error {
        match broken {
            Broken::Socket(problem) => Error::of_socket(problem, server),
            other => Error::Connect { server: server.to_string(), problem: other.to_string() },
        }
    }

    /// A connection that broke while it was used.
    pub(in crate::source) fn of_broken(broken: Broken) -> Error {
        match broken {
            Broken::Silent(timeout) => Error::Silent { seconds: timeout.as_secs() },
            Broken::TooLarge => Error::TooLarge(broken.to_string()),
            Broken::Socket(_) | Broken::Closed | Broken::OutOfOrder => Error::Lost(broken.to_string()),
        }
    }

    /// A command of a replica that was not done. The login succeeded before, so a denial is of the command, even if the
    /// text is that of a denied login.
    pub(in crate::source) fn of_refusal(refusal: ServerRefusal, server: &str) -> Error {
        match refusal {
            ServerRefusal::Broken(broken) => Error::of_broken(broken),
            ServerRefusal::Unclear => Error::Lost("unexpected packet".to_string()),
            ServerRefusal::Answer { code, message } => match Error::of_answer(code, &message, server.to_string()) {
                Error::Connect { problem, .. } => Error::Lost(problem),
                Error::Login { problem, .. } => Error::replication_privilege(problem),
                other => other,
            },
        }
    }
}
