//! Files of the data directory: read, and copied so that a crash leaves the old one or the new one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::Error;
use crate::file;

/// sled's log, and the file whose presence says that there is a database.
pub(super) const LOG_FILE: &str = "db";
/// A plain file, because sled writes when it is opened: a newer store must be recognised before.
pub(super) const FORMAT_FILE: &str = "format";
/// The identity towards MySQL, made when the store is there.
pub(super) const INSTANCE_FILE: &str = "instance";

/// None: it is not there.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies a file of any size, whole and durable, over the one of that name if there is one.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let unfinished = file::unfinished_of(to);
    fs::copy(from, &unfinished)?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, to)?;
    file::sync_parent(to)
}

/// Makes a directory for us alone, if it is not there.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(super) fn sync_directory(directory: &Path) -> Result<(), Error> {
    sync(directory).map_err(Error::directory(directory, "sync it"))
}

pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
