//! Dead letters with their rows, one after the other, for a file.
//!
//! In: a selection. Out: a record of each letter that fits and was there when it began, in ascending number. Reads ahead of its reader by
//! some letters only (promise 6). What a rule redacts was never stored, so it is in no record.

use tokio::sync::mpsc;

use super::dead_letters::{DeadLetters, Error, Pages};
use super::letter_view::whole_view;
use super::selecting::filter;
use super::view::{ExportReport, LetterView, Selection};
use crate::store::DeadLetterHead;

/// Text of changes that is read at once; a single one may be longer.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Why an export ends early.
enum ExportEnd {
    Failed(Error),
    /// The reader has gone.
    Unread,
}

impl From<Error> for ExportEnd {
    fn from(error: Error) -> ExportEnd {
        ExportEnd::Failed(error)
    }
}

impl DeadLetters {
    /// Sends the letters that fit, then how many there were, or why not all. An empty selection means all of them here.
    pub async fn export(&self, selection: &Selection, reports: &mpsc::Sender<ExportReport>) {
        let last = match self.export_each(selection, reports).await {
            Ok(letters) => ExportReport::Ended { letters },
            Err(ExportEnd::Failed(error)) => ExportReport::Failed { message: error.to_string() },
            Err(ExportEnd::Unread) => return,
        };
        // A reader that has gone does not need the last report.
        let _ = reports.send(last).await;
    }

    async fn export_each(&self, selection: &Selection, reports: &mpsc::Sender<ExportReport>) -> Result<u64, ExportEnd> {
        let filter = filter(selection).map_err(Error::from)?;
        self.require_rule(selection).await?;
        let mut pages = Pages::new(self, filter, self.newest().await?);
        let mut letters = 0;
        while let Some(page) = pages.next().await? {
            let mut heads = page;
            while !heads.is_empty() {
                let (views, rest) = self.read_some(heads).await?;
                heads = rest;
                for view in views {
                    letters += 1;
                    let report = ExportReport::Letter(Box::new(view));
                    reports.send(report).await.map_err(|_| ExportEnd::Unread)?;
                }
            }
        }
        Ok(letters)
    }

    /// The first of these letters, and the heads of those that were not read yet.
    async fn read_some(&self, mut heads: Vec<DeadLetterHead>) -> Result<(Vec<LetterView>, Vec<DeadLetterHead>), Error> {
        let some = self.read(move |store| {
            let (mut views, mut bytes, mut read) = (Vec::new(), 0, 0);
            for head in &heads {
                if bytes > BATCH_BYTES_MAX {
                    break;
                }
                read += 1;
                // It may have been removed meanwhile.
                let Some(letter) = store.dead_letter(head.number)? else { continue };
                let effect = store.effect(head.delivery_id)?.map(|effect| effect.as_str().to_string());
                let view = LetterView { effect, ..whole_view(store, &letter) };
                bytes += view.change.as_ref().map_or(0, |change| change.get().len());
                views.push(view);
            }
            Ok((views, heads.split_off(read)))
        });
        some.await
    }
}
