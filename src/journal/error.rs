//! What can go wrong with the journal's file, with the sentence that fixes it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::printable::one_line;

/// SQLite names a table with the statement that made it.
const TEXT_CHARS_MAX: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("journal {}: {source}; fix: let the user of rowhook read and write a file there", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("journal {}: {}; fix: {}", path.display(), one_line(&source.to_string(), TEXT_CHARS_MAX), remedy(source))]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error(
        "journal {} has version {found}, and this rowhook knows version {known}; fix: use the rowhook that made it, or move \
         its files away: a new one is made",
        path.display()
    )]
    Version { path: PathBuf, found: i64, known: i64 },
}

impl Error {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    }

    pub(super) fn of(path: &Path) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = path.to_path_buf();
        move |source| Error::Sqlite { path: path.clone(), source }
    }
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space, or lower `max` of the journal",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "move its files away (a new one is made), and check the disk"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "end the program that keeps the file locked",
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            "let the user of rowhook read and write the file, and its directory"
        }
        _ => "check the disk, or move its files away: a new one is made",
    }
}
