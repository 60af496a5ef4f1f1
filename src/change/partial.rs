//! Updates whose after images may contain differences in place of JSON documents
//! (`binlog_row_value_options=PARTIAL_JSON`).
//!
//! In: the bytes of an event of type 39 and the row before an update. Out: the row after it. A row is made when it is
//! needed and is not kept: a wide row of few bytes would take a thousand times its bytes (promise 6). The decoder that
//! finds the rows of the event also finds unreadable values, before it hands on any row (promise 7).

use std::sync::Arc;

use super::row::{Span, bit, count_bits};
use super::{Cell, Row, Value};
use crate::column::bytes::{Bytes, Truncated};
use crate::column::{ColumnKind, Fault, json_diff, value};

/// The form of the after images in one event.
#[derive(Clone)]
pub struct Updates {
    event: Arc<[u8]>,
    kinds: Arc<[ColumnKind]>,
    /// The bitmap of the columns that are in the images.
    present: Span,
}

impl Updates {
    pub fn new(event: Arc<[u8]>, kinds: Arc<[ColumnKind]>, present: Span) -> Updates {
        Updates { event, kinds, present }
    }

    /// The row after an update, whose image the bytes begin with.
    pub fn read(&self, before: &Row, data: &mut Bytes<'_>) -> Result<Row, Fault> {
        let present = self.bytes(self.present)?;
        let partial = json_diff::partial_columns(data, &self.kinds)?;
        let nulls = data.take(count_bits(present, self.kinds.len()).div_ceil(8))?;
        let mut places = 0..;
        let cells = self.kinds.iter().enumerate().map(|(column, kind)| {
            if !bit(present, column) {
                return Ok(Cell::Absent);
            }
            match (places.next().is_some_and(|place| bit(nulls, place)), kind) {
                (true, _) => Ok(Cell::Value(Value::Null)),
                (false, ColumnKind::Json { length_bytes }) if partial[column] => {
                    json_diff::cell(*length_bytes, &before.cell(column), data)
                }
                (false, kind) => value(kind, data).map(Cell::Value),
            }
            .map_err(|fault| fault.within(&format!("column {}", column + 1)))
        });
        cells.collect()
    }

    /// The same for an image that was read before.
    pub(super) fn again(&self, before: &Row, span: Span) -> Option<Row> {
        self.read(before, &mut Bytes(self.bytes(span).ok()?)).ok()
    }

    fn bytes(&self, span: Span) -> Result<&[u8], Truncated> {
        self.event.get(span.start as usize..span.end as usize).ok_or(Truncated)
    }
}

impl std::fmt::Debug for Updates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Updates").field("present", &self.present).finish_non_exhaustive()
    }
}
