//! Which servers were reached encrypted, so that no attacker can make rowhook connect to them unencrypted.
//!
//! In: `host:port` of each connection that was encrypted. Out: whether one ever was. Owns a small file in the data
//! directory with one server per line, which a person may edit; lines are only added. Without a data directory it is
//! kept in memory. A file that can't be read is an error: to ignore it would help an attacker in the middle.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::Error;
use crate::file;

/// Its name in the data directory.
const FILE_NAME: &str = "encrypted-servers";

/// Enough for a thousand servers with long names.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Servers that were reached encrypted; settings of one process share it.
#[derive(Debug, Default)]
pub struct EncryptedServers {
    file: Option<PathBuf>,
    can_write: bool,
    known: Mutex<BTreeSet<String>>,
}

impl EncryptedServers {
    /// Reads the file of a data directory and adds to it.
    pub fn kept_in(data: &Path) -> EncryptedServers {
        EncryptedServers { file: Some(data.join(FILE_NAME)), can_write: true, known: Mutex::default() }
    }

    /// Reads the file of a data directory and leaves it as it is.
    pub fn read_from(data: &Path) -> EncryptedServers {
        EncryptedServers { can_write: false, ..EncryptedServers::kept_in(data) }
    }

    /// The file, for messages.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(super) fn has(&self, address: &str) -> Result<bool, Error> {
        let address = normal(address);
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&address) {
            return Ok(true);
        }
        let Some(path) = &self.file else { return Ok(false) };
        is_in(path, &address).map_err(|problem| Error::Setting {
            setting: "tls",
            problem: format!(
                "{}: {problem}; whether {address} was ever encrypted stands there; fix: make it readable, or give --tls \
                 required or disabled",
                path.display()
            ),
        })
    }

    /// Records an encrypted connection. If that fails, the connection is used all the same.
    pub(super) fn remember(&self, address: &str) {
        let address = normal(address);
        let is_new = self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone());
        let Some(path) = self.file.as_deref().filter(|_| is_new && self.can_write) else { return };
        let written = is_in(path, &address).and_then(|is_in| if is_in { Ok(()) } else { add(path, &address) });
        if let Err(error) = written {
            tracing::warn!(%error, file = %path.display(), "can't note that {address} was encrypted; --tls preferred may fall back there after a restart");
        }
    }
}

fn is_in(path: &Path, address: &str) -> io::Result<bool> {
    match file::read_text(path, FILE_BYTES_MAX) {
        Ok(text) => Ok(text.lines().any(|line| normal(line.trim()) == address)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn add(path: &Path, address: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // In one piece, so that two processes don't mix their lines.
    file.write_all(format!("{address}\n").as_bytes())?;
    file.sync_all()
}

/// Host names are equal in any case, and with or without a dot at the end.
fn normal(address: &str) -> String {
    let address = address.to_ascii_lowercase();
    match address.rsplit_once(':') {
        Some((host, port)) => format!("{}:{port}", host.trim_end_matches('.')),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_across_processes_until_its_line_is_removed() {
        let data = tempfile::tempdir().expect("a directory");
        let file = data.path().join(FILE_NAME);
        let first = EncryptedServers::kept_in(data.path());
        assert!(!first.has("db:3306").expect("nothing yet"));
        first.remember("DB.:3306");
        first.remember("db:3306");
        first.remember("::1:3307");
        assert_eq!(std::fs::read_to_string(&file).expect("written"), "db:3306\n::1:3307\n");
        let second = EncryptedServers::read_from(data.path());
        assert!(second.has("db:3306").expect("read") && second.has("Db.:3306").expect("read"));
        assert!(!second.has("db:3307").expect("read"));
        second.remember("other:1");
        assert!(second.has("other:1").expect("in this process"));
        std::fs::write(&file, "::1:3307\n").expect("edited");
        assert!(!EncryptedServers::read_from(data.path()).has("db:3306").expect("read"));
        assert!(!EncryptedServers::default().has("db:3306").expect("no file"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_and_not_an_empty_list() {
        let data = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(data.path().join(FILE_NAME)).expect("a directory in its place");
        let servers = EncryptedServers::kept_in(data.path());
        let error = servers.has("db:3306").expect_err("unreadable").to_string();
        assert!(error.contains("it is a directory") && error.contains("fix:"), "{error}");
        servers.remember("db:3306");
        assert!(servers.has("db:3306").expect("in this process"));
    }
}
