//! Row images: bytes of a row event until a value is read.
//!
//! In: a row event's bytes and the kinds of its columns, or cells that were read before. Out: cells, each converted
//! when it is read, so that a row that no rule matches costs very little. Owns no bytes that others change.
//! Everything that keeps a row calls [`Row::detach`] first: after it every value is known to be readable (promise 7)
//! and the memory of the event's other rows is released (promise 6).

use std::fmt;
use std::sync::Arc;

use super::{Cell, Table, Value};
use crate::column::bytes::{Bytes, Truncated};
use crate::column::{self, ColumnKind, Fault};

/// The replacement for a value that is not to be kept.
const REDACTED: &str = "***";

/// A row image: one cell per column of [`super::Table::columns`].
#[derive(Clone)]
pub struct Row(Form);

#[derive(Clone)]
enum Form {
    /// With their kinds, where these are known.
    Cells(Box<[Cell]>, Option<Arc<[ColumnKind]>>),
    Image(Image),
}

/// Where a row image lies in the body of its event.
#[derive(Clone)]
pub struct Image {
    event: Arc<[u8]>,
    kinds: Arc<[ColumnKind]>,
    /// Where the bitmap of the columns that are present begins; none: all are.
    present_at: Option<u32>,
    span: Span,
}

/// A range of bytes of an event. Events are at most 1 GiB long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// A value that cannot be read with certainty: the index of its column, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub column: usize,
    pub fault: Fault,
}

/// The content of an image at the place of a column.
enum Place<'i> {
    Absent,
    Null,
    At(Bytes<'i>),
}

impl From<Box<[Cell]>> for Row {
    fn from(cells: Box<[Cell]>) -> Row {
        Row(Form::Cells(cells, None))
    }
}

impl FromIterator<Cell> for Row {
    fn from_iter<T: IntoIterator<Item = Cell>>(cells: T) -> Row {
        Row(Form::Cells(cells.into_iter().collect(), None))
    }
}

impl From<Image> for Row {
    fn from(image: Image) -> Row {
        Row(Form::Image(image))
    }
}

impl Row {
    /// Of cells whose columns have these kinds, as far as they are known.
    pub fn typed(cells: Box<[Cell]>, kinds: Option<Arc<[ColumnKind]>>) -> Row {
        Row(Form::Cells(cells, kinds))
    }

    /// The cell of a column. A value that cannot be read counts as absent; a row that was detached has none such.
    pub fn cell(&self, column: usize) -> Cell {
        match &self.0 {
            Form::Cells(cells, _) => cells.get(column).cloned().unwrap_or(Cell::Absent),
            Form::Image(image) => image.read(column).unwrap_or(Cell::Absent),
        }
    }

    /// The form of a column's values in the log; None for cells of which it is not known.
    pub fn kind(&self, column: usize) -> Option<&ColumnKind> {
        match &self.0 {
            Form::Cells(_, kinds) => kinds.as_ref()?.get(column),
            Form::Image(image) => image.kinds.get(column),
        }
    }

    /// All cells, in the order of the columns.
    pub fn cells(&self) -> Box<[Cell]> {
        match &self.0 {
            Form::Cells(cells, _) => cells.clone(),
            Form::Image(image) => (0..image.kinds.len()).map(|column| self.cell(column)).collect(),
        }
    }

    /// The forms of all columns' values; None for cells of which they are not known.
    pub fn kinds(&self) -> Option<&Arc<[ColumnKind]>> {
        match &self.0 {
            Form::Cells(_, kinds) => kinds.as_ref(),
            Form::Image(image) => Some(&image.kinds),
        }
    }

    /// Whether every column is in the image.
    pub(super) fn is_complete(&self) -> bool {
        match &self.0 {
            Form::Cells(cells, _) => !cells.contains(&Cell::Absent),
            Form::Image(image) => (0..image.kinds.len()).all(|column| image.is_present(column)),
        }
    }

    /// A copy that owns its bytes and shares none with the event; every value of it can be read.
    pub fn detach(&self) -> Result<Row, Unreadable> {
        match &self.0 {
            Form::Cells(cells, kinds) => Ok(Row(Form::Cells(cells.clone(), kinds.clone()))),
            Form::Image(image) => image.detach().map(Row::from),
        }
    }

    /// A copy in which `***` stands for the values of these columns, NULL included; absent columns stay absent.
    pub(super) fn redacted(&self, table: &Table, is_redacted: impl Fn(&str) -> bool) -> Row {
        let cells = self.cells().into_iter().enumerate().map(|(index, cell)| match (&cell, table.columns.get(index)) {
            (Cell::Value(_), Some(name)) if is_redacted(name) => Cell::Value(Value::Text(REDACTED.into())),
            _ => cell,
        });
        cells.collect()
    }

    /// Calls `write` for each column that is in the image, with the column's index and value.
    pub(super) fn each_present(&self, mut write: impl FnMut(usize, StoredValue<'_>)) {
        match &self.0 {
            Form::Cells(cells, _) => {
                for (column, cell) in cells.iter().enumerate() {
                    if let Cell::Value(value) = cell {
                        write(column, StoredValue::Value(value));
                    }
                }
            }
            Form::Image(image) => image.each(|column, place| match place {
                Place::Absent => {}
                Place::Null => write(column, StoredValue::Value(&Value::Null)),
                Place::At(bytes) => write(column, StoredValue::Bytes(&image.kinds[column], bytes)),
            }),
        }
    }

    /// Whether this image and `after` have different values in a column. A column that `after` lacks was not changed; a
    /// column that only this image lacks was changed: the server leaves unchanged columns out of partial images, never
    /// changed ones. A value that cannot be read counts as different.
    pub(super) fn differs(&self, after: &Row, column: usize) -> bool {
        if let (Form::Image(old), Form::Image(new)) = (&self.0, &after.0)
            && let (Ok(Place::At(old)), Ok(Place::At(new))) = (old.place(column), new.place(column))
            && old.0 == new.0
        {
            return false;
        }
        match (self.cell(column), after.cell(column)) {
            (Cell::Value(old), Cell::Value(new)) => old != new,
            (_, Cell::Absent) => after.is_unreadable(column),
            (Cell::Absent, Cell::Value(_)) => true,
        }
    }

    fn is_unreadable(&self, column: usize) -> bool {
        matches!(&self.0, Form::Image(image) if image.read(column).is_err())
    }

    /// The memory that the row takes, exact enough for a window's limit.
    pub(super) fn weight_bytes(&self) -> usize {
        match &self.0 {
            Form::Cells(cells, _) => cells.iter().map(cell_weight_bytes).sum(),
            Form::Image(image) => image.span.len() + std::mem::size_of::<Image>(),
        }
    }

    /// Points at another image of the same event.
    pub fn move_to(&mut self, span: Span) {
        if let Form::Image(image) = &mut self.0 {
            image.span = span;
        }
    }
}

/// A value as it is kept.
pub(super) enum StoredValue<'r> {
    Value(&'r Value),
    /// The column's kind, and bytes that begin with the value.
    Bytes(&'r ColumnKind, Bytes<'r>),
}

impl Span {
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl Image {
    /// The image at `span` of the event. `present_at` is the offset of the bitmap that says which columns are in it.
    pub fn new(event: Arc<[u8]>, kinds: Arc<[ColumnKind]>, present_at: Option<u32>, span: Span) -> Image {
        Image { event, kinds, present_at, span }
    }

    fn present(&self) -> &[u8] {
        self.present_at.and_then(|at| self.event.get(at as usize..)).unwrap_or_default()
    }

    fn is_present(&self, column: usize) -> bool {
        self.present_at.is_none() || bit(self.present(), column)
    }

    /// The bitmap of NULLs, which counts present columns only, and the values.
    fn parts(&self) -> Result<(&[u8], Bytes<'_>), Truncated> {
        let count = match self.present_at {
            None => self.kinds.len(),
            Some(_) => count_bits(self.present(), self.kinds.len()),
        };
        let mut values = Bytes(self.event.get(self.span.start as usize..self.span.end as usize).ok_or(Truncated)?);
        let nulls = values.take(count.div_ceil(8))?;
        Ok((nulls, values))
    }

    /// The place of one column, cut to the value.
    fn place(&self, column: usize) -> Result<Place<'_>, Truncated> {
        if column >= self.kinds.len() || !self.is_present(column) {
            return Ok(Place::Absent);
        }
        let (nulls, mut values) = self.parts()?;
        let mut at = 0;
        for (index, kind) in self.kinds[..column].iter().enumerate() {
            if !self.is_present(index) {
                continue;
            }
            if !bit(nulls, at) {
                kind.skip(&mut values)?;
            }
            at += 1;
        }
        if bit(nulls, at) {
            return Ok(Place::Null);
        }
        let begin = values.0;
        self.kinds[column].skip(&mut values)?;
        Ok(Place::At(Bytes(&begin[..begin.len() - values.0.len()])))
    }

    fn read(&self, column: usize) -> Result<Cell, Fault> {
        Ok(match self.place(column)? {
            Place::Absent => Cell::Absent,
            Place::Null => Cell::Value(Value::Null),
            Place::At(mut bytes) => Cell::Value(column::value(&self.kinds[column], &mut bytes)?),
        })
    }

    /// Calls `visit` with each column in one walk; ends where the bytes end, which they do not in a detached image.
    fn each<'i>(&'i self, mut visit: impl FnMut(usize, Place<'i>)) {
        let Ok((nulls, mut values)) = self.parts() else { return };
        let mut at = 0;
        for (column, kind) in self.kinds.iter().enumerate() {
            if !self.is_present(column) {
                visit(column, Place::Absent);
                continue;
            }
            let is_null = bit(nulls, at);
            at += 1;
            if is_null {
                visit(column, Place::Null);
                continue;
            }
            let value = values;
            if kind.skip(&mut values).is_err() {
                return;
            }
            visit(column, Place::At(value));
        }
    }

    fn detach(&self) -> Result<Image, Unreadable> {
        let mut outcome = Ok(());
        self.each(|column, place| {
            if let (Ok(()), Place::At(mut bytes)) = (&outcome, place) {
                outcome = column::check(&self.kinds[column], &mut bytes).map_err(|fault| Unreadable { column, fault });
            }
        });
        outcome?;
        let bitmap_bytes = if self.present_at.is_some() { self.kinds.len().div_ceil(8) } else { 0 };
        let bitmap = &self.present()[..bitmap_bytes.min(self.present().len())];
        let values = self.event.get(self.span.start as usize..self.span.end as usize).unwrap_or_default();
        let event: Arc<[u8]> = if bitmap.is_empty() { values.into() } else { [bitmap, values].concat().into() };
        let span = Span { start: bitmap.len() as u32, end: event.len() as u32 };
        let present_at = self.present_at.map(|_| 0);
        Ok(Image { event, kinds: Arc::clone(&self.kinds), present_at, span })
    }
}

/// Walks over one row image, so that the next begins where it ends; every length in it is checked.
pub fn skip_image(bytes: &mut Bytes<'_>, present: Option<&[u8]>, kinds: &[ColumnKind]) -> Result<(), Unreadable> {
    let truncated = |column| move |problem: Truncated| Unreadable { column, fault: problem.into() };
    let count = present.map_or(kinds.len(), |bits| count_bits(bits, kinds.len()));
    let nulls = bytes.take(count.div_ceil(8)).map_err(truncated(0))?;
    let mut at = 0;
    for (column, kind) in kinds.iter().enumerate() {
        if present.is_some_and(|bits| !bit(bits, column)) {
            continue;
        }
        if !bit(nulls, at) {
            kind.skip(bytes).map_err(truncated(column))?;
        }
        at += 1;
    }
    Ok(())
}

/// Whether a bitmap, lowest bit first, has this bit set.
pub fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// How many of the first `count` bits are set.
pub fn count_bits(bits: &[u8], count: usize) -> usize {
    let whole: u32 = bits.iter().take(count / 8).map(|byte| byte.count_ones()).sum();
    whole as usize + (count / 8 * 8..count).filter(|index| bit(bits, *index)).count()
}

fn cell_weight_bytes(cell: &Cell) -> usize {
    let heap = match cell {
        Cell::Value(Value::Decimal(text) | Value::Text(text) | Value::Json(text)) => text.len(),
        Cell::Value(Value::Bytes(bytes)) => bytes.len(),
        Cell::Value(Value::Labels(labels)) => labels.iter().map(|label| label.len() + 16).sum(),
        _ => 0,
    };
    heap + std::mem::size_of::<Cell>()
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.cells() == other.cells()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cells()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: ColumnKind = ColumnKind::Int { bytes: 1, unsigned: false };

    fn image(event: &[u8], present_at: Option<u32>, start: u32, kinds: &[ColumnKind]) -> Row {
        let span = Span { start, end: event.len() as u32 };
        Row::from(Image::new(event.into(), kinds.into(), present_at, span))
    }

    #[test]
    fn a_null_bitmap_counts_present_columns_only() {
        let row = image(&[0b101, 0b01, 9], Some(0), 1, &[TINY, TINY, TINY]);
        let expected = [Cell::Value(Value::Null), Cell::Absent, Cell::Value(Value::Int(9))];
        assert_eq!(*row.cells(), expected);
        assert_eq!(*row.detach().expect("readable").cells(), expected);
    }

    #[test]
    fn a_row_with_an_unreadable_value_can_not_be_kept() {
        let text =
            ColumnKind::Text { length_bytes: 1, charset: column::charset::Charset::Utf8, pad: None, octets_max: None };
        let row = image(&[0, 7, 1, 0xe9], None, 0, &[TINY, text]);
        assert_eq!(row.cell(0), Cell::Value(Value::Int(7)));
        assert_eq!(row.cell(1), Cell::Absent);
        assert_eq!(row.detach().expect_err("unreadable").column, 1);
        assert!(row.differs(&image(&[0, 7, 1, 0xe8], None, 0, &[TINY, TINY]), 1));
    }

    #[test]
    fn an_image_that_ends_early_is_refused_by_the_walk() {
        let kinds = [TINY, ColumnKind::Double];
        let full = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        for length in 0..full.len() {
            skip_image(&mut Bytes(&full[..length]), None, &kinds).expect_err("cut short");
        }
        skip_image(&mut Bytes(&full), None, &kinds).expect("whole");
    }
}
