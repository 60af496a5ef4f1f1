//! Where the password of a MySQL account comes from, and reading it.
//!
//! In: a text, a file or a command. Out: the password, read again at every connect, so that a rotated one needs no restart.
//! The time and the size of what is read are limited. The text appears in no error and in no log line (promise 8).

mod command;
mod text;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use command::PasswordCommand;
pub use text::Password;

use super::error::Error;
use crate::file;
use text::{PASSWORD_BYTES_MAX, password};

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    Given(Password),
    File(PathBuf),
    Command(PasswordCommand),
}

impl From<Password> for PasswordSource {
    fn from(password: Password) -> PasswordSource {
        PasswordSource::Given(password)
    }
}

impl PasswordSource {
    /// The password as it is now.
    ///
    /// # Errors
    /// [`Error::Password`], without what was read.
    pub async fn read(&self) -> Result<Password, Error> {
        let read = match self {
            PasswordSource::Given(password) => return Ok(password.clone()),
            PasswordSource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.unwrap_or_else(|_| Err("reading the password file was aborted".to_string()))
            }
            PasswordSource::Command(command) => command.run().await,
        };
        read.map_err(|problem| Error::Password { problem })
    }

    /// Checks a password file before a connection needs it. A command is not run.
    ///
    /// # Errors
    /// [`Error::Setting`]
    pub fn require(&self) -> Result<(), Error> {
        let PasswordSource::File(path) = self else { return Ok(()) };
        read_file(path).map(drop).map_err(|problem| Error::Setting { setting: "password", problem })
    }
}

fn read_file(path: &Path) -> Result<Password, String> {
    let failed = |problem: &dyn fmt::Display| format!("password file {}: {problem}", path.display());
    let bytes = file::read(path, PASSWORD_BYTES_MAX).map_err(|error| match error.kind() {
        // It is read at every connect, and a process substitution can be read only once.
        io::ErrorKind::InvalidInput => failed(&format!("{error}; for what a program prints: --mysql-password-command")),
        _ => failed(&error),
    })?;
    password(bytes).map_err(|problem| failed(&problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_file_is_read_again_each_time_and_its_text_is_in_no_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("password");
        let source = PasswordSource::File(path.clone());
        for (written, expected) in [
            (&b"old\n"[..], Some("old")),
            (b"new\r\n", Some("new")),
            (b" with blanks ", Some(" with blanks ")),
            (b"", Some("")),
            (b"s3cret\xff", None),
            (b"s3cret\0x", None),
        ] {
            std::fs::write(&path, written).expect("written");
            match (source.read().await, expected) {
                (Ok(read), Some(expected)) => assert_eq!(read.0, expected),
                (Err(error), None) => assert!(!error.to_string().contains("s3cret"), "{error}"),
                (read, expected) => panic!("{read:?}, expected {expected:?}"),
            }
        }
        std::fs::write(&path, vec![b'x'; 65 << 10]).expect("written");
        source.read().await.expect_err("too long");
        std::fs::remove_file(&path).expect("removed");
        let error = source.read().await.expect_err("no file").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(source.require().is_err());
    }
}
