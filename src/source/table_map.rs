//! The TABLE_MAP event: which columns a row image has, of which type, and, with full metadata, their names.
//!
//! In: the body of the event. Out: a [`TableMap`] computed once per table, so that decoding a row is one walk over
//! prepared columns. Follows the server's `Table_map_log_event` (MySQL Internals, `libs/mysql/binlog/event/rows_event.h`).
//! An unknown column type or metadata field is an error (promise 7). Does no I/O: names that the event lacks are filled in
//! by `schema`.

use crate::column::bytes::{Bytes, Truncated};
use crate::column::charset::{Charset, Charsets};
use crate::column::types::{ColumnType, Listed, Metadata, Parameters};
use crate::column::{ColumnKind, Fault, binary_label, unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableMap {
    pub kinds: Vec<ColumnKind>,
    /// With `binlog_row_metadata=FULL` only.
    pub names: Option<Vec<Box<str>>>,
    /// Column indexes in the key's own order; empty without full metadata.
    pub primary_key: Vec<usize>,
}

/// `MAX_FIELDS` of the server's `sql/sql_const.h`. It bounds the work per row, also where the row has no bytes for most
/// columns.
const COLUMNS_MAX: usize = 4096;

/// The names at the head of the event: (table id, schema, table, the rest of the body).
pub(super) fn heading(body: &[u8]) -> Result<(u64, &str, &str, &[u8]), Fault> {
    let mut bytes = Bytes(body);
    let id = bytes.le(6)?;
    bytes.take(2)?;
    let mut name = || -> Result<&str, Fault> {
        let length = usize::from(bytes.u8()?);
        let text = std::str::from_utf8(bytes.take(length)?);
        bytes.take(1)?;
        text.map_err(|_| Fault::new("a table name that is not UTF-8", ""))
    };
    let (schema, table) = (name()?, name()?);
    Ok((id, schema, table, bytes.0))
}

impl TableMap {
    /// Reads the part of the body that follows the names.
    pub fn parse(rest: &[u8], charsets: &Charsets) -> Result<TableMap, Fault> {
        let mut bytes = Bytes(rest);
        let count = usize::try_from(bytes.lenenc()?).map_err(|_| Truncated)?;
        if count > COLUMNS_MAX {
            return Err(Fault::new(format!("{count} columns, more than any server gives a table"), ""));
        }
        let types = bytes.take(count)?;
        let mut metadata = Bytes(bytes.lenenc_bytes()?);
        let mut columns = Vec::with_capacity(count);
        for code in types {
            columns.push(Raw::parse(*code, &mut metadata)?);
        }
        bytes.take(count.div_ceil(8))?;
        let optional = Optional::parse(bytes)?;
        let kinds = kinds(&columns, &optional, charsets)?;
        let names = match optional.names {
            Some(list) => Some(strings(list, count)?),
            None => None,
        };
        let primary_key = optional.primary_key.unwrap_or_default();
        if primary_key.iter().any(|column| *column >= count) {
            return Err(Fault::new("a primary key over columns that do not exist", ""));
        }
        // A body repeats each key column: a long one that is named many times would make a huge body.
        if (1..primary_key.len()).any(|place| primary_key[..place].contains(&primary_key[place])) {
            return Err(Fault::new("a primary key that names a column twice", ""));
        }
        Ok(TableMap { kinds, names, primary_key })
    }
}

/// A column as in the first part of the event: real type and metadata.
#[derive(Debug, Clone, Copy)]
struct Raw {
    column_type: &'static ColumnType,
    first: u8,
    second: u8,
}

impl Raw {
    fn parse(type_code: u8, metadata: &mut Bytes<'_>) -> Result<Raw, Fault> {
        let column_type = ColumnType::of_code(type_code).ok_or_else(|| {
            let fix = "this server writes a column type that this version of rowhook does not know; upgrade rowhook";
            Fault::new(format!("column type {type_code}"), fix)
        })?;
        let bytes = metadata.take(column_type.metadata.len_bytes())?;
        let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
        let (first, second) = (at(0), at(1));
        // CHAR, ENUM and SET share a type code; the real one stands in the metadata.
        if column_type.metadata == Metadata::CharLength && first != 0 {
            let code = first | 0x30;
            let column_type = ColumnType::of_code(code).ok_or_else(|| senseless(code, first, second))?;
            return Ok(Raw { column_type, first, second });
        }
        Ok(Raw { column_type, first, second })
    }

    /// What the metadata says.
    fn parameters(self) -> Result<Parameters, Fault> {
        let (first, second) = (usize::from(self.first), usize::from(self.second));
        let of_length = |length: usize| {
            let width_bytes = Some(if length < 256 { 1 } else { 2 });
            Parameters { width_bytes, octets_max: Some(length), ..Parameters::default() }
        };
        Ok(match self.column_type.metadata {
            Metadata::Nothing | Metadata::Width => Parameters::default(),
            Metadata::Digits => Parameters { digits: self.digits()?, ..Parameters::default() },
            Metadata::LengthBytes => {
                Parameters { width_bytes: Some(self.blob_length_bytes()?), ..Parameters::default() }
            }
            Metadata::Length => of_length(first | second << 8),
            Metadata::CharLength => of_length(self.string_length()),
            Metadata::Bits if first < 8 && second * 8 + first <= 64 => {
                Parameters { precision: second * 8 + first, ..Parameters::default() }
            }
            Metadata::PrecisionAndScale if second <= first && first <= 65 => {
                Parameters { precision: first, scale: second, ..Parameters::default() }
            }
            Metadata::LabelBytes { max } if (1..=max).contains(&second) => {
                Parameters { width_bytes: Some(second), ..Parameters::default() }
            }
            Metadata::Bits | Metadata::PrecisionAndScale | Metadata::LabelBytes { .. } => {
                return Err(senseless(self.column_type.code, self.first, self.second));
            }
        })
    }

    /// Declared length in bytes of a CHAR or BINARY: above 255 its high bits hide in the type byte (MySQL bug 37426).
    fn string_length(self) -> usize {
        let high = if self.first & 0x30 == 0x30 { 0 } else { usize::from((self.first & 0x30) ^ 0x30) << 4 };
        usize::from(self.second) | high
    }

    fn digits(self) -> Result<usize, Fault> {
        match self.first {
            digits @ 0..=6 => Ok(usize::from(digits)),
            more => Err(Fault::new(format!("a time with {more} fraction digits"), "")),
        }
    }

    fn blob_length_bytes(self) -> Result<usize, Fault> {
        match self.first {
            length @ 1..=4 => Ok(usize::from(length)),
            other => Err(Fault::new(format!("a blob with {other} length bytes"), "")),
        }
    }
}

fn senseless(code: u8, first: u8, second: u8) -> Fault {
    Fault::new(format!("column type {code} with metadata {first}, {second}"), "")
}

/// The optional metadata fields that matter here, still as bytes.
#[derive(Debug, Default)]
struct Optional<'a> {
    signedness: Option<&'a [u8]>,
    charsets: CharsetList<'a>,
    enum_and_set_charsets: CharsetList<'a>,
    names: Option<&'a [u8]>,
    set_labels: Option<Bytes<'a>>,
    enum_labels: Option<Bytes<'a>>,
    primary_key: Option<Vec<usize>>,
}

#[derive(Debug, Default, Clone, Copy)]
enum CharsetList<'a> {
    #[default]
    Missing,
    /// A default, then pairs of index and exception.
    Default(Bytes<'a>),
    Each(Bytes<'a>),
}

impl<'a> Optional<'a> {
    fn parse(mut bytes: Bytes<'a>) -> Result<Optional<'a>, Fault> {
        let mut optional = Optional::default();
        while !bytes.is_empty() {
            let field = bytes.u8()?;
            let value = bytes.lenenc_bytes()?;
            match field {
                1 => optional.signedness = Some(value),
                2 => optional.charsets = CharsetList::Default(Bytes(value)),
                3 => optional.charsets = CharsetList::Each(Bytes(value)),
                4 => optional.names = Some(value),
                5 => optional.set_labels = Some(Bytes(value)),
                6 => optional.enum_labels = Some(Bytes(value)),
                8 => optional.primary_key = Some(key_columns(Bytes(value), false)?),
                9 => optional.primary_key = Some(key_columns(Bytes(value), true)?),
                10 => optional.enum_and_set_charsets = CharsetList::Default(Bytes(value)),
                11 => optional.enum_and_set_charsets = CharsetList::Each(Bytes(value)),
                // Geometry types, visibility of columns, vector dimensions: nothing here depends on them.
                7 | 12 | 13 => {}
                other => {
                    let fix =
                        "this server writes table metadata that this version of rowhook does not know; upgrade rowhook";
                    return Err(Fault::new(format!("table metadata field {other}"), fix));
                }
            }
        }
        Ok(optional)
    }
}

fn key_columns(mut bytes: Bytes<'_>, with_prefix: bool) -> Result<Vec<usize>, Fault> {
    let mut columns = Vec::new();
    while !bytes.is_empty() {
        columns.push(usize::try_from(bytes.lenenc()?).map_err(|_| Truncated)?);
        if with_prefix {
            bytes.lenenc()?;
        }
    }
    Ok(columns)
}

impl CharsetList<'_> {
    /// The collation of each of `count` columns; empty when the event has none.
    fn collations(self, count: usize) -> Result<Vec<u64>, Fault> {
        match self {
            CharsetList::Missing => Ok(Vec::new()),
            CharsetList::Each(mut bytes) => {
                let list = (0..count).map(|_| bytes.lenenc()).collect::<Result<Vec<u64>, Truncated>>()?;
                if bytes.is_empty() {
                    Ok(list)
                } else {
                    Err(Fault::new("more character sets than character columns", ""))
                }
            }
            CharsetList::Default(mut bytes) => {
                let mut list = vec![bytes.lenenc()?; count];
                while !bytes.is_empty() {
                    let (index, collation) = (bytes.lenenc()?, bytes.lenenc()?);
                    let slot = usize::try_from(index).ok().and_then(|index| list.get_mut(index));
                    *slot.ok_or_else(|| Fault::new("a character set for a column that does not exist", ""))? =
                        collation;
                }
                Ok(list)
            }
        }
    }
}

fn kinds(columns: &[Raw], optional: &Optional<'_>, charsets: &Charsets) -> Result<Vec<ColumnKind>, Fault> {
    let counted =
        |is_counted: fn(&ColumnType) -> bool| columns.iter().filter(|column| is_counted(column.column_type)).count();
    let character_count = counted(|of_column| of_column.listed == Listed::Charset);
    let mut collations = optional.charsets.collations(character_count)?.into_iter();
    let mut label_collations = optional.enum_and_set_charsets.collations(counted(ColumnType::has_labels))?.into_iter();
    let (mut enum_labels, mut set_labels) = (optional.enum_labels, optional.set_labels);
    let mut numeric_index = 0;
    let mut kinds = Vec::with_capacity(columns.len());
    for column in columns {
        let Raw { column_type, .. } = column;
        let mut unsigned = false;
        if column_type.listed == Listed::Sign {
            let bits = optional.signedness.ok_or_else(|| {
                Fault::new("a table without signedness metadata", "upgrade the server to MySQL 8.0 or later")
            })?;
            let byte = bits.get(numeric_index / 8).ok_or(Truncated)?;
            unsigned = byte & (0x80 >> (numeric_index % 8)) != 0;
            numeric_index += 1;
        }
        let charset = match column_type.listed {
            Listed::Nowhere | Listed::Sign => Charset::Binary,
            Listed::Charset => {
                charsets.of(collations.next().ok_or_else(|| Fault::new("a table without character sets", ""))?)
            }
            Listed::EnumLabels | Listed::SetLabels => {
                label_collations.next().map_or(Charset::Binary, |collation| charsets.of(collation))
            }
        };
        let labels = match column_type.listed {
            Listed::EnumLabels => enum_labels.as_mut(),
            Listed::SetLabels => set_labels.as_mut(),
            _ => None,
        };
        let labels = labels.map(|bytes| next_labels(bytes, &charset)).transpose()?;
        kinds.push(column_type.kind(Parameters { unsigned, charset, labels, ..column.parameters()? }));
    }
    Ok(kinds)
}

fn next_labels(bytes: &mut Bytes<'_>, charset: &Charset) -> Result<Box<[Box<str>]>, Fault> {
    let count = bytes.lenenc()?;
    let mut labels = Vec::new();
    for _ in 0..count {
        let label = bytes.lenenc_bytes()?;
        labels.push(match charset {
            Charset::Binary => binary_label(label),
            charset => charset.decode(label).map_err(|problem| unreadable(&problem))?,
        });
    }
    Ok(labels.into())
}

fn strings(list: &[u8], count: usize) -> Result<Vec<Box<str>>, Fault> {
    let mut bytes = Bytes(list);
    let mut names = Vec::with_capacity(count);
    while !bytes.is_empty() {
        let name = std::str::from_utf8(bytes.lenenc_bytes()?);
        names.push(name.map_err(|_| Fault::new("a column name that is not UTF-8", ""))?.into());
    }
    if names.len() == count { Ok(names) } else { Err(Fault::new("not as many names as columns", "")) }
}
