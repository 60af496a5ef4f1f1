//! One process owns the store: the file `lock` in the data directory.
//!
//! In: the data directory. Out: a guard that holds an exclusive lock of the operating system for as long as it lives, or
//! the number of the process that has it. The number in the file is for people and messages only: the lock itself ends
//! with its process, however that ends, so the number that a killed process left is overwritten.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use super::Error;

pub(super) const FILE_NAME: &str = "lock";

/// The owner writes its number right after it took the lock; a reader in between reads the file again this often.
const PID_READS: u32 = 20;
const PID_READ_PAUSE: Duration = Duration::from_millis(5);

/// Dropping it gives the lock back.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    pub(super) fn acquire(directory: &Path) -> Result<Lock, Error> {
        let failed = |attempt| Error::directory(directory, attempt);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(FILE_NAME))
            .map_err(failed("open the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse { directory: directory.to_path_buf(), pid: owner(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock the lock file")(source)),
        }
        file.set_len(0).map_err(failed("write the lock file"))?;
        writeln!(file, "{}", std::process::id()).map_err(failed("write the lock file"))?;
        Ok(Lock { file })
    }

    /// Whether the locked file is still the one in this directory.
    pub(super) fn is_of(&self, directory: &Path) -> bool {
        let file = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let there = fs::metadata(directory.join(FILE_NAME)).map(file).ok();
        there.is_some() && self.file.metadata().map(file).ok() == there
    }
}

impl Drop for Lock {
    /// Closing the handle is not enough: a child process that is just being started has a copy of the handle until it runs
    /// its own program.
    fn drop(&mut self) {
        // If this fails, the lock ends with the last handle.
        let _ = self.file.unlock();
    }
}

fn owner(file: &mut File) -> Option<u32> {
    for _ in 0..PID_READS {
        let mut text = String::new();
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        if let Some(pid) = text.strip_suffix('\n').and_then(|pid| pid.parse().ok()) {
            return Some(pid);
        }
        std::thread::sleep(PID_READ_PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_with_the_process_that_has_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let lock = Lock::acquire(directory.path()).expect("free");
        match Lock::acquire(directory.path()) {
            Err(Error::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        Lock::acquire(directory.path()).expect("free again");
    }

    #[test]
    fn a_number_left_behind_by_a_dead_process_does_not_matter() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, "4194304999\n").expect("a stale file");
        let _lock = Lock::acquire(directory.path()).expect("it is free");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), format!("{}\n", std::process::id()));
    }
}
