//! The identity of one data directory towards MySQL: a UUID that is drawn once and kept.
//!
//! In: the data directory. Out: its UUID, from which the source draws the replica's server id and uuid; the same after each
//! restart, so that the server recognises its replica. Made only by the process that has the store open.

use std::io;
use std::path::Path;

use anyhow::{anyhow, bail};
use uuid::Uuid;

use crate::file;

const FILE_NAME: &str = "instance";

/// A UUID and a line end take less.
const FILE_BYTES_MAX: u64 = 1 << 10;

/// The UUID of a data directory that has one.
pub(super) fn find(data: &Path) -> anyhow::Result<Option<Uuid>> {
    let path = data.join(FILE_NAME);
    match file::read_text(&path, FILE_BYTES_MAX) {
        Ok(text) => match text.trim().parse() {
            Ok(uuid) => Ok(Some(uuid)),
            Err(_) => bail!("{}: holds no UUID; delete it and a new one is drawn", path.display()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => bail!("{}: {error}", path.display()),
    }
}

/// The UUID of a data directory, drawn now if it has none.
pub(super) fn find_or_draw(data: &Path) -> anyhow::Result<Uuid> {
    if let Some(uuid) = find(data)? {
        return Ok(uuid);
    }
    let uuid = Uuid::new_v4();
    let path = data.join(FILE_NAME);
    file::put(&path, format!("{uuid}\n").as_bytes())
        .map_err(|error| anyhow!("{}: cannot be written: {error}", path.display()))?;
    Ok(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_is_drawn_once_and_kept_private() {
        let data = tempfile::tempdir().expect("a directory");
        assert_eq!(find(data.path()).expect("no file yet"), None);
        let drawn = find_or_draw(data.path()).expect("drawn");
        assert_eq!(find_or_draw(data.path()).expect("kept"), drawn);
        let mode = std::fs::metadata(data.path().join(FILE_NAME)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_identity_is_not_replaced_silently() {
        let data = tempfile::tempdir().expect("a directory");
        std::fs::write(data.path().join(FILE_NAME), "gone").expect("a file");
        let error = find_or_draw(data.path()).expect_err("damaged").to_string();
        assert!(error.contains("delete it"), "{error}");
    }
}
