//! The file `alerts.json` of the data directory: what each alert has reported.
//!
//! In: the ledgers, after each alert that arrived. Out: the same after a restart. Without the file, or with one that can't be read,
//! what holds is reported once more: no call is lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::ledger::AlertLedger;
use crate::file;

const NAME: &str = "alerts.json";
const VERSION: u32 = 1;
/// Some hundred bytes for each rule that an alert named.
const BYTES_MAX: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    /// By the name of the alert.
    alerts: BTreeMap<String, AlertLedger>,
}

/// The file; it is written by one task at a time.
pub(super) struct LedgerFile(Mutex<PathBuf>);

impl LedgerFile {
    /// What the file says; nothing where there is none.
    pub(super) fn open(data: &Path) -> (LedgerFile, BTreeMap<String, AlertLedger>) {
        let path = data.join(NAME);
        let read = || -> Result<BTreeMap<String, AlertLedger>, String> {
            let text = match file::read_text(&path, BYTES_MAX) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
                text => text.map_err(|error| error.to_string())?,
            };
            let record: Record = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if record.version == VERSION { Ok(record.alerts) } else { Err("it is of another version".to_owned()) }
        };
        let reported = read().unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), error, "what was reported by alerts is not known; it is reported again");
            BTreeMap::new()
        });
        (LedgerFile(Mutex::new(path)), reported)
    }

    /// Durable when it returns. `alerts` is asked once no other write is under way. An error is logged: alerts go on, and are reported again after a restart.
    pub(super) async fn write(&self, alerts: impl FnOnce() -> BTreeMap<String, AlertLedger>) {
        let path = self.0.lock().await;
        let (target, record) = (path.clone(), Record { version: VERSION, alerts: alerts() });
        let write = move || file::put(&target, &serde_json::to_vec(&record).map_err(std::io::Error::other)?);
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(file = %path.display(), %error, "what alerts reported can't be kept"),
            Err(_) => tracing::warn!("what alerts reported was not written"),
        }
    }
}
