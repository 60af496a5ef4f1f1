//! Files of the data directory: read, copied and put in place so that a crash leaves the old one or the new one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Error;

/// Behind the name of a file that is not whole yet.
pub(super) const UNFINISHED: &str = ".unfinished";

/// None: it is not there.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a file in place, whole and durable, over the one of that name if there is one. The name with [`UNFINISHED`]
/// behind it must be free for it.
pub(super) fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = unfinished_of(path);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync(path.parent().unwrap_or(Path::new(".")))
}

/// Copies a file of any size, whole and durable, over the one of that name if there is one.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let unfinished = unfinished_of(to);
    fs::copy(from, &unfinished)?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, to)?;
    sync(to.parent().unwrap_or(Path::new(".")))
}

/// The name that a file has until it is whole.
pub(super) fn unfinished_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(UNFINISHED);
    name.into()
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
