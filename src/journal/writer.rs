//! The one thread that writes the journal.
//!
//! In: batches from the queue. Out: rows, each batch committed before its barrier falls. A batch that can't be written is counted
//! and forgotten, and the file is opened again later: one ERROR says that it began, one line that it is over, and a row in
//! `gap` what is missing. Deletes old entries between batches.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Error;
use super::batch::OpenJournal;
use super::queue::{JournalQueue, JournalWork, Missed};
use super::record::JournalEntry;
use super::retention::{self, STEP_ENTRIES};
use super::status::JournalStatus;
use crate::clock::now_us;
use crate::config::JournalSettings;
use crate::telemetry::Metrics;

/// Without entries, old ones are looked for so often.
const INSPECTION_INTERVAL: Duration = Duration::from_secs(5);

/// A file that can't be written is opened again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The reason of a gap after a failure.
const NOT_WRITTEN: &str = "the journal could not be written";

pub(super) struct JournalWriter {
    path: PathBuf,
    settings: JournalSettings,
    queue: Arc<JournalQueue>,
    metrics: Arc<Metrics>,
    open: Option<Opened>,
    /// What is to be noted as a gap.
    missed: Missed,
    /// The same of entries that are in a file which was moved away.
    left_since_us: Option<u64>,
    /// The file, as it was when it could be written last.
    written: JournalStatus,
    /// What the last failure was.
    problem: Option<String>,
    /// Since the last failure; none where all is well.
    failed_at: Option<Instant>,
    pub retry_after: Duration,
}

struct Opened {
    journal: OpenJournal,
    /// To notice that the file was moved away.
    inode: Option<u64>,
}

impl Drop for JournalWriter {
    /// Also where its thread panics.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl JournalWriter {
    pub fn new(
        path: PathBuf,
        settings: JournalSettings,
        queue: Arc<JournalQueue>,
        metrics: Arc<Metrics>,
    ) -> JournalWriter {
        JournalWriter {
            path,
            settings,
            queue,
            metrics,
            open: None,
            missed: Missed::default(),
            left_since_us: None,
            written: JournalStatus::default(),
            problem: None,
            failed_at: None,
            retry_after: RETRY_AFTER,
        }
    }

    /// Writes until the queue is closed and empty.
    pub fn run(mut self) {
        self.queue.begin_work();
        self.write(&[]);
        self.delete_old(0);
        self.queue.end_work();
        let mut has_more = true;
        loop {
            match self.queue.take(if has_more { Duration::ZERO } else { INSPECTION_INTERVAL }) {
                JournalWork::Write { entries, through, missed } => {
                    self.missed.add(missed);
                    self.write(&entries);
                    self.queue.done(through);
                    has_more = self.delete_old(entries.len());
                }
                JournalWork::Idle => {
                    self.queue.begin_work();
                    has_more = self.delete_old(0);
                }
                JournalWork::End => break,
            }
            self.queue.end_work();
        }
        if self.missed.deliveries > 0 {
            self.write(&[]);
        }
        if let Some(opened) = self.open.take()
            && let Err(error) = opened.journal.end()
        {
            tracing::warn!(%error, "the journal could not note that it ended in order");
        }
    }

    fn write(&mut self, entries: &[JournalEntry]) {
        match self.try_write(entries) {
            Ok(true) => {
                if self.failed_at.take().is_some() {
                    let missed = self.missed.deliveries;
                    tracing::info!(missed, "the journal is written again; table `gap` says what is missing");
                }
                self.missed = Missed::default();
            }
            // It is not time yet to open the file again.
            Ok(false) => self.missed.add(self.queue.miss(entries)),
            Err(error) => {
                self.missed.add(self.queue.miss(entries));
                self.fail(&error);
            }
        }
    }

    fn try_write(&mut self, entries: &[JournalEntry]) -> Result<bool, Error> {
        if self.failed_at.is_some_and(|at| at.elapsed() < self.retry_after) {
            return Ok(false);
        }
        if self.open.as_ref().is_some_and(|opened| opened.inode != inode(&self.path)) {
            tracing::warn!(path = %self.path.display(), "the journal's file was moved away; making a new one");
            self.left_since_us = self.open.take().and_then(|opened| opened.journal.leave()).or(self.left_since_us);
        }
        if self.open.is_none() {
            let mut journal = OpenJournal::open(&self.path)?;
            if let Some(since_us) = self.left_since_us {
                journal.note_left(since_us)?;
                self.left_since_us = None;
            }
            self.open = Some(Opened { journal, inode: inode(&self.path) });
        }
        let opened = self.open.as_mut().expect("it was just opened");
        if !entries.is_empty() || self.missed.deliveries > 0 {
            opened.journal.write(entries, self.missed, NOT_WRITTEN)?;
        }
        Ok(true)
    }

    fn fail(&mut self, error: &Error) {
        // What the connection knows of names may not be in the file.
        self.open = None;
        self.problem = Some(error.to_string());
        self.report_missed();
        if self.failed_at.replace(Instant::now()).is_none() {
            tracing::error!(%error, "the journal can't be written: deliveries go on and are not journaled");
        }
    }

    /// Reports what is missing beside what the file says.
    fn report_missed(&self) {
        let missed = self.written.missed + self.missed.deliveries;
        self.queue.report(JournalStatus { missed, problem: self.problem.clone(), ..self.written.clone() });
    }

    /// True: there is more to delete.
    fn delete_old(&mut self, written: usize) -> bool {
        let Some(Opened { journal, .. }) = &mut self.open else {
            self.report_missed();
            return false;
        };
        // Twice as many as came: else a file that is too large stays so.
        let entries_max = STEP_ENTRIES.max(2 * written as i64);
        let deleted = retention::step(&mut journal.connection, &self.settings, now_us(), entries_max);
        let now = deleted.and_then(|has_more| Ok((has_more, JournalStatus::of(&journal.connection)?)));
        match now.map_err(Error::of(&self.path)) {
            Ok((has_more, status)) => {
                self.metrics.journal_bytes.set(i64::try_from(status.bytes).unwrap_or(i64::MAX));
                self.written = status.clone();
                self.queue.report(status);
                has_more
            }
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }
}

fn inode(path: &std::path::Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{completed, delivered};
    use super::super::{JournalFilter, JournalReader, journal_file};
    use super::*;

    #[test]
    fn after_a_full_disk_the_journal_goes_on_with_the_names_that_are_in_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let metrics = Arc::new(Metrics::default());
        let path = journal_file(directory.path());
        let settings = JournalSettings { keep: Duration::MAX, bytes_max: u64::MAX };
        let queue = Arc::new(JournalQueue::new(Arc::clone(&metrics)));
        let mut writer = JournalWriter::new(path.clone(), settings, queue, Arc::clone(&metrics));
        writer.retry_after = Duration::ZERO;
        writer.write(&[]);
        let connection = &writer.open.as_ref().expect("open").journal.connection;
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("pages");
        connection.pragma_update(None, "max_page_count", pages + 2).expect("a limit");
        let entries: Vec<JournalEntry> = (1..=500)
            .flat_map(|id| JournalEntry::all_of(&completed("", id, &["id"], &[0], delivered())).collect::<Vec<_>>())
            .collect();
        writer.write(&entries);
        assert_eq!((writer.missed.deliveries, metrics.journal_deliveries_missed.get()), (500, 500));
        // The limit is of the connection: a new one finds room.
        writer.write(&entries[..1]);
        assert_eq!(writer.missed, Missed::default());
        let reader = JournalReader::open(&path).expect("readable").expect("a journal");
        let rows = reader.list(&JournalFilter::default(), 10).expect("a page").rows;
        assert_eq!(rows.iter().map(|row| row.rule.as_str()).collect::<Vec<_>>(), ["paid"]);
        let gaps = reader.gaps(0, u64::MAX).expect("gaps");
        assert_eq!(gaps.iter().map(|gap| gap.deliveries).collect::<Vec<_>>(), [Some(500)]);
    }
}
