//! The disk under the data directory: what the store takes, and what is free.
//!
//! In: the data directory. Out: both numbers every ten seconds, as metrics, in the status, and one warning before the disk is
//! full. A full disk ends the process with a clear error; what is stored by then stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::view::status::StorageView;
use crate::telemetry::Metrics;

const INTERVAL: Duration = Duration::from_secs(10);

/// Less than this, or less than the data directory takes itself, is short: the store grows with dead letters, and is written
/// again as a whole when it is compacted.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// The newest numbers; clones are the same.
#[derive(Debug, Clone)]
pub struct Storage(watch::Receiver<Option<StorageView>>);

impl Storage {
    /// The numbers, and the task that updates them until it is dropped.
    pub fn new(data: PathBuf, metrics: Arc<Metrics>) -> (Storage, impl Future<Output = ()> + Send) {
        let (sender, receiver) = watch::channel(None);
        (Storage(receiver), measure(data, metrics, sender))
    }

    pub(super) fn now(&self) -> Option<StorageView> {
        *self.0.borrow()
    }
}

async fn measure(data: PathBuf, metrics: Arc<Metrics>, sender: watch::Sender<Option<StorageView>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut was_short = false;
    loop {
        ticks.tick().await;
        let data = data.clone();
        let Ok(Ok(storage)) = tokio::task::spawn_blocking(move || inspect(&data)).await else { continue };
        metrics.data_bytes.set(storage.used_bytes as i64);
        metrics.disk_free_bytes.set(storage.free_bytes as i64);
        if storage.is_short && !std::mem::replace(&mut was_short, true) {
            tracing::warn!(
                free_bytes = storage.free_bytes,
                data_bytes = storage.used_bytes,
                "the disk under the data directory is nearly full; without room for a checkpoint rowhook stops"
            );
        }
        was_short = storage.is_short;
        sender.send_replace(Some(storage));
    }
}

fn inspect(data: &Path) -> io::Result<StorageView> {
    let used_bytes = bytes_of(data)?;
    let disk = rustix::fs::statvfs(data)?;
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok(StorageView { used_bytes, free_bytes, is_short: free_bytes < FREE_BYTES_MIN.max(used_bytes) })
}

/// What the files of a directory take. One that is removed meanwhile takes nothing.
fn bytes_of(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { bytes_of(&entry.path()).unwrap_or(0) } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_all_folders_count() {
        let data = tempfile::tempdir().expect("a folder");
        fs::create_dir(data.path().join("store")).expect("a folder");
        fs::write(data.path().join("store/db"), [0; 1_000]).expect("written");
        fs::write(data.path().join("instance"), [0; 24]).expect("written");
        let storage = inspect(data.path()).expect("it is there");
        assert_eq!(storage.used_bytes, 1_024);
        assert!(storage.free_bytes > 0);
        assert_eq!(storage.is_short, storage.free_bytes < FREE_BYTES_MIN);
        inspect(&data.path().join("none")).expect_err("not there");
    }
}
