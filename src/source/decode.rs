//! Row events: where the images of each row are.
//!
//! In: the body of a WRITE, UPDATE or DELETE event and the kinds of its table's columns. Out: [`Rows`], which point into
//! the event; values stay bytes until a rule reads one. One walk checks every length. Decodes by itself instead of
//! using `mysql_common`'s `BinlogRow`, which returns wrong values for MEDIUMINT, TIME, YEAR and padded binaries and
//! takes quadratic time to find columns. Keeps no state; never guesses (promise 7).

use std::sync::Arc;

use crate::change::partial::Updates;
use crate::change::row::{Image, Span, Unreadable, count_bits, skip_image};
use crate::change::{Op, Row, Rows, Spans};
use crate::column::bytes::{Bytes, Truncated};
use crate::column::{ColumnKind, Fault};

use super::event_type as event;

/// A row event whose fixed part was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsEvent<'a> {
    pub table_id: u64,
    pub op: Op,
    /// After images may contain differences in place of JSON documents.
    is_partial: bool,
    body: &'a [u8],
    columns: usize,
    before: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    data: Bytes<'a>,
}

impl<'a> RowsEvent<'a> {
    /// Reads the fixed part of the event.
    pub fn parse(event_type: u8, body: &'a [u8]) -> Result<RowsEvent<'a>, Fault> {
        let mut bytes = Bytes(body);
        let table_id = bytes.le(6)?;
        bytes.take(2)?;
        let (op, has_extra) = match event_type {
            event::WRITE_ROWS => (Op::Insert, true),
            event::UPDATE_ROWS | event::PARTIAL_UPDATE_ROWS => (Op::Update, true),
            event::DELETE_ROWS => (Op::Delete, true),
            event::WRITE_ROWS_V1 => (Op::Insert, false),
            event::UPDATE_ROWS_V1 => (Op::Update, false),
            event::DELETE_ROWS_V1 => (Op::Delete, false),
            other => return Err(Fault::new(format!("row event type {other}"), "")),
        };
        if has_extra {
            // The length counts its own two bytes.
            let extra = bytes.le(2)?.checked_sub(2).ok_or(Truncated)?;
            bytes.take(extra as usize)?;
        }
        let columns = usize::try_from(bytes.lenenc()?).map_err(|_| Truncated)?;
        let mut bitmap = || bytes.take(columns.div_ceil(8));
        let before = if op == Op::Insert { None } else { Some(bitmap()?) };
        let after = if op == Op::Delete { None } else { Some(bitmap()?) };
        let is_partial = event_type == event::PARTIAL_UPDATE_ROWS;
        Ok(RowsEvent { table_id, op, is_partial, body, columns, before, after, data: bytes })
    }

    /// Finds the rows. The bytes are copied, so that a row that is kept keeps no buffer of the connection.
    pub fn rows(&self, kinds: &Arc<[ColumnKind]>) -> Result<Rows, Fault> {
        if self.columns != kinds.len() {
            return Err(Fault::new(format!("{} columns in a row of {}", self.columns, kinds.len()), ""));
        }
        let event: Arc<[u8]> = self.body.into();
        if self.is_partial {
            return self.partial_updates(&event, kinds);
        }
        let first = |bits: Option<&[u8]>| {
            let image =
                bits.map(|bits| Image::new(event.clone(), kinds.clone(), self.partial_at(bits), Span::default()));
            image.map(Row::from)
        };
        Ok(Rows::Images { first: (first(self.before), first(self.after)), spans: self.spans(kinds)? })
    }

    /// Updates whose after images may contain differences in place of documents. Each is read once here, so that it is
    /// known to be readable.
    fn partial_updates(&self, event: &Arc<[u8]>, kinds: &Arc<[ColumnKind]>) -> Result<Rows, Fault> {
        let (Some(before_bits), Some(after_bits)) = (self.before, self.after) else { return Err(Truncated.into()) };
        let present = self.partial_at(before_bits);
        let image = Image::new(event.clone(), kinds.clone(), present, Span::default());
        let after_at = (after_bits.as_ptr() as usize - self.body.as_ptr() as usize) as u32;
        let after_present = Span { start: after_at, end: after_at + after_bits.len() as u32 };
        let updates = Updates::new(event.clone(), kinds.clone(), after_present);
        let mut before = Row::from(image);
        let mut spans = Vec::new();
        let mut data = self.data;
        while !data.is_empty() {
            let span = self.span(&mut data, Some(present.map(|_| before_bits)), kinds)?;
            before.move_to(span);
            let start = self.offset(&data);
            updates.read(&before, &mut data)?;
            spans.push(Spans { before: span, after: Span { start, end: self.offset(&data) } });
        }
        Ok(Rows::Updates { before, updates, spans })
    }

    fn spans(&self, kinds: &[ColumnKind]) -> Result<Vec<Spans>, Fault> {
        let bits = |bitmap: Option<&'a [u8]>| bitmap.map(|bits| self.partial_at(bits).map(|_| bits));
        let (before, after) = (bits(self.before), bits(self.after));
        let mut spans = Vec::new();
        let mut data = self.data;
        while !data.is_empty() {
            let begin = data.0.len();
            let span =
                Spans { before: self.span(&mut data, before, kinds)?, after: self.span(&mut data, after, kinds)? };
            if data.0.len() == begin {
                return Err(Fault::new("a row without bytes", ""));
            }
            spans.push(span);
        }
        Ok(spans)
    }

    fn span(&self, data: &mut Bytes<'_>, image: Option<Option<&[u8]>>, kinds: &[ColumnKind]) -> Result<Span, Fault> {
        let Some(present) = image else { return Ok(Span::default()) };
        let start = self.offset(data);
        skip_image(data, present, kinds).map_err(|Unreadable { column, fault }| of_column(column, fault))?;
        Ok(Span { start, end: self.offset(data) })
    }

    fn offset(&self, rest: &Bytes<'_>) -> u32 {
        (self.body.len() - rest.0.len()) as u32
    }

    /// Offset of a bitmap that leaves columns out; None where all are present.
    fn partial_at(&self, bits: &[u8]) -> Option<u32> {
        let is_partial = count_bits(bits, self.columns) < self.columns;
        is_partial.then(|| (bits.as_ptr() as usize - self.body.as_ptr() as usize) as u32)
    }
}

fn of_column(column: usize, fault: Fault) -> Fault {
    fault.within(&format!("column {}", column + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::table_map::TableMap;
    use crate::change::{Changes, Table, Transaction};
    use crate::column::charset::{Charset, Charsets};
    use crate::column::json;
    use crate::column::types::{ColumnType, Parameters, TYPES};

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_the_decoder_panic(
            definition in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            types in proptest::collection::vec(proptest::sample::select(known_codes()), 1..6),
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            let _ = TableMap::parse(&definition, &Charsets::default());
            let mut well_begun = vec![types.len() as u8];
            well_begun.extend(&types);
            well_begun.push(definition.len().min(250) as u8);
            well_begun.extend(&definition);
            let _ = TableMap::parse(&well_begun, &Charsets::default());
            let kinds = types.iter().map(|code| kind_of(*code)).collect::<Vec<_>>();
            let kinds: Arc<[ColumnKind]> = kinds.into();
            let mut whole = vec![0; 8];
            whole.extend([2, 0, kinds.len() as u8, 0xff, 0xff]);
            whole.extend(&body);
            for body in [&body, &whole] {
                let events = [event::UPDATE_ROWS, event::PARTIAL_UPDATE_ROWS, event::WRITE_ROWS];
                let rows = events.map(|kind| RowsEvent::parse(kind, body).and_then(|event| event.rows(&kinds)));
                for rows in rows.into_iter().flatten() {
                    for row in Changes::new(Op::Update, table(), transaction(), rows, 1) {
                        let _ = row.detach().map(|row| row.after.map(|after| after.cells()));
                    }
                }
            }
            let _ = json::text(&body);
        }
    }

    fn table() -> Arc<Table> {
        Arc::new(Table { schema: "s".into(), name: "t".into(), columns: vec![], primary_key: vec![] })
    }

    fn transaction() -> Arc<Transaction> {
        Arc::new(Transaction::example())
    }

    fn known_codes() -> Vec<u8> {
        TYPES.iter().map(|known| known.code).collect()
    }

    /// Lengths of one byte, so that random values often end within the body.
    fn kind_of(code: u8) -> ColumnKind {
        let (charset, width_bytes) = (Charset::Utf8, Some(1));
        let parameters =
            Parameters { charset, width_bytes, precision: 64, scale: 30, digits: 5, ..Parameters::default() };
        ColumnType::of_code(code).expect("a type").kind(parameters)
    }
}
