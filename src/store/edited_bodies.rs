//! Bodies that operators have edited, each in the place of the one that its dead letter's rule makes.
//!
//! In: a body, and the number of its edit. Out: a record with both, so that a body is never taken for that of another edit, which may be
//! written between two reads. A dead letter has one record at most, and none after its edit was reverted.

use bytes::Bytes;
use sled::transaction::UnabortableTransactionError;

use super::chunks::{self, Damage, Framed};
use super::dead_letters::{DeadLetterHead, LetterEdit, NewBody};
use super::trees::Trees;
use super::{Error, transaction};

/// The number of the edit (4 bytes, big-endian), the body. A body has at most the bytes that a rule may make
/// (`TEXT_BYTES_MAX`), which one transaction takes.
fn encode(edit: u32, body: &[u8]) -> Framed {
    Framed::new(|bytes| {
        bytes.extend_from_slice(&edit.to_be_bytes());
        bytes.extend_from_slice(body);
    })
}

fn decode(content: Vec<u8>) -> Option<(u32, Bytes)> {
    let edit = u32::from_be_bytes(*content.first_chunk::<4>()?);
    Some((edit, Bytes::from(content).slice(4..)))
}

impl Trees {
    /// The edited body that the dead letter is sent with, if there is one.
    pub(super) fn edited_body(&self, head: &DeadLetterHead) -> Result<Result<Option<Bytes>, Damage>, Error> {
        let Some(edit) = head.standing_edit() else { return Ok(Ok(None)) };
        let called = || format!("the edited body of dead letter {}", head.number);
        let content = self.record(&self.bodies, &head.number.to_be_bytes(), called)?;
        Ok(match content.and_then(decode) {
            Some((number, body)) if number == edit.number => Ok(Some(body)),
            _ => Err(Damage::Content(format!("the body of its edit {} is missing", edit.number))),
        })
    }
}

impl transaction::View<'_> {
    /// Gives a dead letter another body, or the one that its rule makes; one that is resolved, or was edited meanwhile, stays as it is.
    pub(super) fn edit(&self, new: &NewBody) -> Result<transaction::StepResult, UnabortableTransactionError> {
        let NewBody { number, body, at_us, base } = new;
        let is_meant = |head: &DeadLetterHead| head.resolved.is_none() && head.newest_edit() == *base;
        let mut record = match self.head(*number)? {
            Ok(Some(record)) if is_meant(&record.head) => record,
            Ok(_) => return Ok(Ok(None)),
            Err(damage) => return Ok(Err(Error::record(format!("dead letter {number}"), damage))),
        };
        let before = record.head.edit.take();
        record.head.edit = match body {
            Some(body) => {
                let edit = before.map_or(1, |before| before.number.saturating_add(1));
                chunks::put(self.bodies, &number.to_be_bytes(), &encode(edit, body))?;
                Some(LetterEdit { number: edit, at_us: *at_us, is_reverted: false })
            }
            None => {
                self.drop_body(*number)?;
                before.map(|before| LetterEdit { at_us: *at_us, is_reverted: true, ..before })
            }
        };
        self.put_head(&record)?;
        Ok(Ok(Some(record.head.lanes)))
    }

    pub(super) fn drop_body(&self, number: u64) -> Result<(), UnabortableTransactionError> {
        chunks::remove(self.bodies, &number.to_be_bytes(), 0..u32::MAX).map(drop)
    }
}
