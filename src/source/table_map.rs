//! The TABLE_MAP event: which columns a row image has, of which type, and, with full metadata, their names.
//!
//! In: the body of the event. Out: a [`TableMap`] computed once per table, so that decoding a row is one walk over
//! prepared columns. Follows the server's `Table_map_log_event` (MySQL Internals, `libs/mysql/binlog/event/rows_event.h`).
//! An unknown column type or metadata field is an error (promise 7). Does no I/O: names that the event lacks are filled in
//! by `schema`.

use crate::column::bytes::{Bytes, Truncated};
use crate::column::charset::{Charset, Charsets};
use crate::column::{ColumnKind, Fault, binary_label, unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableMap {
    pub kinds: Vec<ColumnKind>,
    /// With `binlog_row_metadata=FULL` only.
    pub names: Option<Vec<Box<str>>>,
    /// Column indexes in the key's own order; empty without full metadata.
    pub primary_key: Vec<usize>,
}

/// `MAX_FIELDS` of the server's `sql/sql_const.h`. What is done for each column of a row must have an end, also where the
/// row has no bytes for most of them.
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
        // A body has each key column once more than the row: named often, a long one would make a huge body.
        if (1..primary_key.len()).any(|place| primary_key[..place].contains(&primary_key[place])) {
            return Err(Fault::new("a primary key that names a column twice", ""));
        }
        Ok(TableMap { kinds, names, primary_key })
    }
}

/// A column as the first part of the event gives it: real type code and metadata.
#[derive(Debug, Clone, Copy)]
struct Raw {
    code: u8,
    first: u8,
    second: u8,
}

mod code {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const TIMESTAMP_OLD: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME_OLD: u8 = 11;
    pub const DATETIME_OLD: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP: u8 = 17;
    pub const DATETIME: u8 = 18;
    pub const TIME: u8 = 19;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const DECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const BLOB: u8 = 252;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

impl Raw {
    fn parse(type_code: u8, metadata: &mut Bytes<'_>) -> Result<Raw, Fault> {
        use code::*;
        let length = match type_code {
            TINY | SHORT | LONG | LONGLONG | INT24 | DATE | NEWDATE | YEAR => 0,
            TIMESTAMP_OLD | TIME_OLD | DATETIME_OLD => 0,
            FLOAT | DOUBLE | TIMESTAMP | DATETIME | TIME | JSON | BLOB | GEOMETRY | VECTOR => 1,
            VARCHAR | BIT | DECIMAL | STRING | ENUM | SET => 2,
            other => {
                let fix =
                    "this server writes a column type that this version of rowhook does not know; upgrade rowhook";
                return Err(Fault::new(format!("column type {other}"), fix));
            }
        };
        let bytes = metadata.take(length)?;
        let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
        let mut raw = Raw { code: type_code, first: at(0), second: at(1) };
        // CHAR, ENUM and SET share a type code; the real one stands in the metadata.
        if type_code == STRING && raw.first != 0 {
            raw.code = raw.first | 0x30;
        }
        Ok(raw)
    }

    /// Columns that the signedness bits count (YEAR is among them).
    fn is_numeric(self) -> bool {
        use code::*;
        matches!(self.code, TINY | SHORT | INT24 | LONG | LONGLONG | DECIMAL | FLOAT | DOUBLE | YEAR)
    }

    /// Columns that the character-set list counts. The server counts VECTOR, which derives from BLOB.
    fn is_character(self) -> bool {
        matches!(self.code, code::STRING | code::VARCHAR | code::BLOB | code::VECTOR)
    }

    fn is_enum_or_set(self) -> bool {
        matches!(self.code, code::ENUM | code::SET)
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
    /// The collation of each of `count` columns; empty when the event does not tell.
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
    let character_count = columns.iter().filter(|column| column.is_character()).count();
    let mut collations = optional.charsets.collations(character_count)?.into_iter();
    let label_count = columns.iter().filter(|column| column.is_enum_or_set()).count();
    let mut label_collations = optional.enum_and_set_charsets.collations(label_count)?.into_iter();
    let (mut enum_labels, mut set_labels) = (optional.enum_labels, optional.set_labels);
    let mut numeric_index = 0;
    let mut kinds = Vec::with_capacity(columns.len());
    for column in columns {
        let mut unsigned = false;
        if column.is_numeric() {
            let bits = optional.signedness.ok_or_else(|| {
                Fault::new("a table without signedness metadata", "upgrade the server to MySQL 8.0 or later")
            })?;
            let byte = bits.get(numeric_index / 8).ok_or(Truncated)?;
            unsigned = byte & (0x80 >> (numeric_index % 8)) != 0;
            numeric_index += 1;
        }
        let mut charset = Charset::Binary;
        if column.is_character() {
            let collation = collations.next().ok_or_else(|| Fault::new("a table without character sets", ""))?;
            charset = charsets.of(collation);
        } else if column.is_enum_or_set() {
            charset = label_collations.next().map_or(Charset::Binary, |collation| charsets.of(collation));
        }
        let labels = match column.code {
            code::ENUM => enum_labels.as_mut(),
            code::SET => set_labels.as_mut(),
            _ => None,
        };
        let labels = labels.map(|bytes| next_labels(bytes, &charset)).transpose()?;
        kinds.push(kind(*column, unsigned, charset, labels)?);
    }
    Ok(kinds)
}

fn kind(column: Raw, unsigned: bool, charset: Charset, labels: Option<Box<[Box<str>]>>) -> Result<ColumnKind, Fault> {
    use code::*;
    let (first, second) = (usize::from(column.first), usize::from(column.second));
    let length_bytes = |length: usize| if length < 256 { 1 } else { 2 };
    Ok(match column.code {
        TINY => ColumnKind::Int { bytes: 1, unsigned },
        SHORT => ColumnKind::Int { bytes: 2, unsigned },
        INT24 => ColumnKind::Int { bytes: 3, unsigned },
        LONG => ColumnKind::Int { bytes: 4, unsigned },
        LONGLONG => ColumnKind::Int { bytes: 8, unsigned },
        FLOAT => ColumnKind::Float,
        DOUBLE => ColumnKind::Double,
        DECIMAL if second <= first && first <= 65 => ColumnKind::Decimal { precision: first, scale: second },
        BIT if first < 8 && second * 8 + first <= 64 => ColumnKind::Bit { bits: second * 8 + first },
        YEAR => ColumnKind::Year,
        DATE | NEWDATE => ColumnKind::Date,
        TIME => ColumnKind::Time { digits: column.digits()? },
        DATETIME => ColumnKind::DateTime { digits: column.digits()? },
        TIMESTAMP => ColumnKind::Timestamp { digits: column.digits()? },
        VARCHAR => {
            let length = first | second << 8;
            ColumnKind::Text { length_bytes: length_bytes(length), charset, pad: None, octets_max: Some(length) }
        }
        STRING => {
            let length = column.string_length();
            let pad = (charset == Charset::Binary).then_some(length);
            ColumnKind::Text { length_bytes: length_bytes(length), charset, pad, octets_max: Some(length) }
        }
        BLOB => ColumnKind::Text { length_bytes: column.blob_length_bytes()?, charset, pad: None, octets_max: None },
        ENUM if second == 1 || second == 2 => ColumnKind::Enum { bytes: second, charset, labels },
        SET if (1..=8).contains(&second) => ColumnKind::Set { bytes: second, charset, labels },
        JSON => ColumnKind::Json { length_bytes: column.blob_length_bytes()? },
        VECTOR => ColumnKind::Vector { length_bytes: column.blob_length_bytes()? },
        GEOMETRY => ColumnKind::Geometry { length_bytes: column.blob_length_bytes()? },
        TIMESTAMP_OLD | TIME_OLD | DATETIME_OLD => ColumnKind::Unsupported {
            bytes: match column.code {
                TIME_OLD => 3,
                TIMESTAMP_OLD => 4,
                _ => 8,
            },
            type_name: "date and time in the format of MySQL 5.5",
            fix: "rebuild the table: ALTER TABLE ... FORCE",
        },
        other => return Err(Fault::new(format!("column type {other} with metadata {first}, {second}"), "")),
    })
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
