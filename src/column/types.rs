//! The table of MySQL's column types: what each is called, how it is logged, how its values are read, what it is on disk.
//!
//! In: a type's code in the binlog, its name, or a [`ColumnKind`]. Out: its entry. All code that depends on the list of
//! types uses this table: TABLE_MAP events, `information_schema`, statements, the store, JSON documents. A new type is
//! an entry here, the function that reads it, and a case in tests/mysql/cases. It is also a variant of [`ColumnKind`]
//! if conditions compare it, or if a row stores it in a form of its own. The table is not used per row: a table's kinds
//! are made once, with its TABLE_MAP. Pure.

use super::charset::Charset;
use super::temporal::JsonForm;
use super::{ColumnKind, Fault, ValueReader, geometry, vector};

/// A type as it is logged. Several names may share one: TINYTEXT and LONGBLOB are logged in the same way.
#[derive(Debug)]
pub struct ColumnType {
    /// In a TABLE_MAP and in JSON documents (`enum_field_types` of the server's `include/field_types.h`).
    pub code: u8,
    pub metadata: Metadata,
    pub listed: Listed,
    pub in_json: InJson,
    /// `DATA_TYPE` in `information_schema.COLUMNS`, in lower case.
    pub names: &'static [&'static str],
    /// The same of columns in the binary character set, where these have names of their own.
    pub binary_names: &'static [&'static str],
    /// What statements may say besides (MySQL manual, "Data Types" and "Using Data Types from Other Database Engines").
    pub synonyms: &'static [&'static str],
    /// The word of its [family](crate::schema::Family) on disk, so it must never change. Types between which a definition
    /// need no distinction have one word.
    pub word: &'static str,
    /// How its values are read, with the widths that are the greatest and no other parameters.
    pub form: ColumnKind,
}

/// What the first part of a TABLE_MAP says of each column of the type (`Field::save_field_metadata` of `sql/field.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    Nothing,
    /// The width of a FLOAT or DOUBLE, which its code says already.
    Width,
    /// Fraction digits.
    Digits,
    /// How many bytes hold a value's length.
    LengthBytes,
    /// Bits beyond whole bytes, whole bytes.
    Bits,
    PrecisionAndScale,
    /// The declared length in bytes.
    Length,
    /// The same of a CHAR or BINARY; or, under its code, the real code of an ENUM or SET and its width.
    CharLength,
    /// The real code, the width of a value.
    LabelBytes {
        max: usize,
    },
}

impl Metadata {
    /// Bytes that it takes.
    pub fn len_bytes(self) -> usize {
        match self {
            Metadata::Nothing => 0,
            Metadata::Width | Metadata::Digits | Metadata::LengthBytes => 1,
            Metadata::Bits | Metadata::PrecisionAndScale => 2,
            Metadata::Length | Metadata::CharLength | Metadata::LabelBytes { .. } => 2,
        }
    }
}

/// Which list of a TABLE_MAP's optional part counts the columns of the type (`Table_map_log_event::init_metadata_fields`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    Nowhere,
    /// The signedness bits.
    Sign,
    /// The character sets. The server counts VECTOR, which derives from BLOB.
    Charset,
    /// The labels of ENUMs, and the character sets of ENUMs and SETs.
    EnumLabels,
    /// The labels of SETs, and the character sets of ENUMs and SETs.
    SetLabels,
}

/// What a value of the type is inside a JSON document, where JSON itself has no such value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InJson {
    /// Bytes, given as base64.
    Base64,
    Decimal,
    Moment(JsonForm),
}

/// What differs between columns of one type.
#[derive(Debug, Clone)]
pub struct Parameters {
    pub unsigned: bool,
    pub charset: Charset,
    pub labels: Option<Box<[Box<str>]>>,
    /// Of a value's length, or of a number of labels; none: the greatest.
    pub width_bytes: Option<usize>,
    pub octets_max: Option<usize>,
    /// Of a DECIMAL; the bits of a BIT.
    pub precision: usize,
    pub scale: usize,
    /// Fraction digits.
    pub digits: usize,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            unsigned: false,
            charset: Charset::Binary,
            labels: None,
            width_bytes: None,
            octets_max: None,
            precision: 0,
            scale: 0,
            digits: 0,
        }
    }
}

impl ColumnType {
    /// The type with this code.
    pub fn of_code(code: u8) -> Option<&'static ColumnType> {
        TYPES.get(usize::from(PLACES[usize::from(code)]))
    }

    /// The type with this name in `information_schema`, and the character set as far as the name implies it; in lower
    /// case.
    pub fn of_name(name: &str) -> Option<(&'static ColumnType, Charset)> {
        TYPES.iter().find_map(|known| {
            let is_text = known.names.contains(&name);
            let charset = if is_text { Charset::Utf8 } else { Charset::Binary };
            (is_text || known.binary_names.contains(&name)).then_some((known, charset))
        })
    }

    /// The type that a statement calls so, in any case.
    pub fn in_statement(word: &str) -> Option<&'static ColumnType> {
        let is_word = |name: &&&str| name.eq_ignore_ascii_case(word);
        TYPES.iter().find(|known| known.all_names().any(|name| is_word(&name)))
    }

    /// A type whose values are read so, whatever the kind's parameters. VARCHAR stands for all that is text.
    pub fn of_kind(kind: &ColumnKind) -> Option<&'static ColumnType> {
        TYPES.iter().find(|known| match (&known.form, kind) {
            (ColumnKind::Int { bytes: known, .. }, ColumnKind::Int { bytes, .. }) => known == bytes,
            (ColumnKind::Opaque { reader: known, .. }, ColumnKind::Opaque { reader, .. }) => known == reader,
            (form, kind) => std::mem::discriminant(form) == std::mem::discriminant(kind),
        })
    }

    /// All that it may be called in a statement.
    pub fn all_names(&self) -> impl Iterator<Item = &'static &'static str> {
        self.names.iter().chain(self.binary_names).chain(self.synonyms)
    }

    /// Its columns have labels.
    pub fn has_labels(&self) -> bool {
        matches!(self.listed, Listed::EnumLabels | Listed::SetLabels)
    }

    /// How the values of one column stand in a row.
    pub fn kind(&self, with: Parameters) -> ColumnKind {
        let Parameters { unsigned, charset, labels, width_bytes, octets_max, precision, scale, digits } = with;
        let width = |greatest: usize| width_bytes.unwrap_or(greatest);
        match self.form {
            ColumnKind::Int { bytes, .. } => ColumnKind::Int { bytes, unsigned },
            ColumnKind::Decimal { .. } => ColumnKind::Decimal { precision, scale },
            ColumnKind::Bit { .. } => ColumnKind::Bit { bits: precision },
            ColumnKind::Time { .. } => ColumnKind::Time { digits },
            ColumnKind::DateTime { .. } => ColumnKind::DateTime { digits },
            ColumnKind::Timestamp { .. } => ColumnKind::Timestamp { digits },
            ColumnKind::Text { length_bytes, .. } => {
                let is_padded = self.metadata == Metadata::CharLength && charset == Charset::Binary;
                let pad = octets_max.filter(|_| is_padded);
                ColumnKind::Text { length_bytes: width(length_bytes), charset, pad, octets_max }
            }
            ColumnKind::Enum { bytes, .. } => ColumnKind::Enum { bytes: width(bytes), charset, labels },
            ColumnKind::Set { bytes, .. } => ColumnKind::Set { bytes: width(bytes), charset, labels },
            ColumnKind::Json { length_bytes } => ColumnKind::Json { length_bytes: width(length_bytes) },
            ColumnKind::Opaque { length_bytes, reader } => {
                ColumnKind::Opaque { length_bytes: width(length_bytes), reader }
            }
            ColumnKind::Float
            | ColumnKind::Double
            | ColumnKind::Year
            | ColumnKind::Date
            | ColumnKind::Unsupported { .. } => self.form.clone(),
        }
    }
}

/// The index of each code in [`TYPES`], or one beyond its end.
static PLACES: [u8; 256] = {
    let mut places = [u8::MAX; 256];
    let mut at = 0;
    while at < TYPES.len() {
        places[TYPES[at].code as usize] = at as u8;
        at += 1;
    }
    places
};

const fn int(bytes: usize) -> ColumnKind {
    ColumnKind::Int { bytes, unsigned: false }
}

const TEXT: ColumnKind = ColumnKind::Text { length_bytes: 4, charset: Charset::Binary, pad: None, octets_max: None };

const fn opaque(name: &'static str, read: fn(&[u8]) -> Result<String, Fault>) -> ColumnKind {
    ColumnKind::Opaque { length_bytes: 4, reader: ValueReader { name, read } }
}

/// Date and time in the format of MySQL 5.5, with the code that JSON documents still have for the type.
const fn old(bytes: usize) -> ColumnKind {
    let type_name = "date and time in the format of MySQL 5.5";
    ColumnKind::Unsupported { bytes, type_name, fix: "rebuild the table: ALTER TABLE ... FORCE" }
}

/// In the order of their codes.
#[rustfmt::skip]
pub static TYPES: [ColumnType; 26] = [
    ColumnType {
        code: 1, metadata: Metadata::Nothing, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["tinyint"], binary_names: &[], synonyms: &["int1", "bool", "boolean"],
        word: "int1", form: int(1),
    },
    ColumnType {
        code: 2, metadata: Metadata::Nothing, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["smallint"], binary_names: &[], synonyms: &["int2"],
        word: "int2", form: int(2),
    },
    ColumnType {
        code: 3, metadata: Metadata::Nothing, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["int"], binary_names: &[], synonyms: &["int4", "integer"],
        word: "int4", form: int(4),
    },
    ColumnType {
        code: 4, metadata: Metadata::Width, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["float"], binary_names: &[], synonyms: &["float4"],
        word: "float", form: ColumnKind::Float,
    },
    ColumnType {
        code: 5, metadata: Metadata::Width, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["double"], binary_names: &[], synonyms: &["float8", "real"],
        word: "float", form: ColumnKind::Double,
    },
    // In rows it is refused when a value comes, so any family does; stores have this one.
    ColumnType {
        code: 7, metadata: Metadata::Nothing, listed: Listed::Nowhere, in_json: InJson::Moment(JsonForm::DateTime),
        names: &[], binary_names: &[], synonyms: &[],
        word: "geometry", form: old(4),
    },
    ColumnType {
        code: 8, metadata: Metadata::Nothing, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["bigint"], binary_names: &[], synonyms: &["int8", "serial"],
        word: "int8", form: int(8),
    },
    ColumnType {
        code: 9, metadata: Metadata::Nothing, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["mediumint"], binary_names: &[], synonyms: &["int3", "middleint"],
        word: "int3", form: int(3),
    },
    ColumnType {
        code: 10, metadata: Metadata::Nothing, listed: Listed::Nowhere, in_json: InJson::Moment(JsonForm::Date),
        names: &["date"], binary_names: &[], synonyms: &[],
        word: "date", form: ColumnKind::Date,
    },
    // Refused like 7.
    ColumnType {
        code: 11, metadata: Metadata::Nothing, listed: Listed::Nowhere, in_json: InJson::Moment(JsonForm::Time),
        names: &[], binary_names: &[], synonyms: &[],
        word: "geometry", form: old(3),
    },
    // Refused like 7.
    ColumnType {
        code: 12, metadata: Metadata::Nothing, listed: Listed::Nowhere, in_json: InJson::Moment(JsonForm::DateTime),
        names: &[], binary_names: &[], synonyms: &[],
        word: "geometry", form: old(8),
    },
    ColumnType {
        code: 13, metadata: Metadata::Nothing, listed: Listed::Sign, in_json: InJson::Base64,
        names: &["year"], binary_names: &[], synonyms: &[],
        word: "year", form: ColumnKind::Year,
    },
    // A DATE, too.
    ColumnType {
        code: 14, metadata: Metadata::Nothing, listed: Listed::Nowhere, in_json: InJson::Base64,
        names: &[], binary_names: &[], synonyms: &[],
        word: "date", form: ColumnKind::Date,
    },
    ColumnType {
        code: 15, metadata: Metadata::Length, listed: Listed::Charset, in_json: InJson::Base64,
        names: &["varchar"], binary_names: &["varbinary"], synonyms: &["varcharacter", "nvarchar"],
        word: "text", form: TEXT,
    },
    ColumnType {
        code: 16, metadata: Metadata::Bits, listed: Listed::Nowhere, in_json: InJson::Base64,
        names: &["bit"], binary_names: &[], synonyms: &[],
        word: "bit", form: ColumnKind::Bit { bits: 0 },
    },
    ColumnType {
        code: 17, metadata: Metadata::Digits, listed: Listed::Nowhere, in_json: InJson::Base64,
        names: &["timestamp"], binary_names: &[], synonyms: &[],
        word: "timestamp", form: ColumnKind::Timestamp { digits: 0 },
    },
    ColumnType {
        code: 18, metadata: Metadata::Digits, listed: Listed::Nowhere, in_json: InJson::Base64,
        names: &["datetime"], binary_names: &[], synonyms: &[],
        word: "datetime", form: ColumnKind::DateTime { digits: 0 },
    },
    ColumnType {
        code: 19, metadata: Metadata::Digits, listed: Listed::Nowhere, in_json: InJson::Base64,
        names: &["time"], binary_names: &[], synonyms: &[],
        word: "time", form: ColumnKind::Time { digits: 0 },
    },
    ColumnType {
        code: 242, metadata: Metadata::LengthBytes, listed: Listed::Charset, in_json: InJson::Base64,
        names: &["vector"], binary_names: &[], synonyms: &[],
        word: "vector", form: opaque("vector", vector),
    },
    ColumnType {
        code: 245, metadata: Metadata::LengthBytes, listed: Listed::Nowhere, in_json: InJson::Base64,
        names: &["json"], binary_names: &[], synonyms: &[],
        word: "json", form: ColumnKind::Json { length_bytes: 4 },
    },
    ColumnType {
        code: 246, metadata: Metadata::PrecisionAndScale, listed: Listed::Sign, in_json: InJson::Decimal,
        names: &["decimal"], binary_names: &[], synonyms: &["dec", "numeric", "fixed"],
        word: "decimal", form: ColumnKind::Decimal { precision: 0, scale: 0 },
    },
    ColumnType {
        code: 247, metadata: Metadata::LabelBytes { max: 2 }, listed: Listed::EnumLabels, in_json: InJson::Base64,
        names: &["enum"], binary_names: &[], synonyms: &[],
        word: "enum", form: ColumnKind::Enum { bytes: 2, charset: Charset::Binary, labels: None },
    },
    ColumnType {
        code: 248, metadata: Metadata::LabelBytes { max: 8 }, listed: Listed::SetLabels, in_json: InJson::Base64,
        names: &["set"], binary_names: &[], synonyms: &[],
        word: "set", form: ColumnKind::Set { bytes: 8, charset: Charset::Binary, labels: None },
    },
    ColumnType {
        code: 252, metadata: Metadata::LengthBytes, listed: Listed::Charset, in_json: InJson::Base64,
        names: &["tinytext", "text", "mediumtext", "longtext"],
        binary_names: &["tinyblob", "blob", "mediumblob", "longblob"],
        // LONG [VARCHAR] is a MEDIUMTEXT, LONG VARBINARY a MEDIUMBLOB.
        synonyms: &["long"],
        word: "text", form: TEXT,
    },
    ColumnType {
        code: 254, metadata: Metadata::CharLength, listed: Listed::Charset, in_json: InJson::Base64,
        // NATIONAL begins NATIONAL CHAR and NATIONAL VARCHAR.
        names: &["char"], binary_names: &["binary"], synonyms: &["character", "nchar", "national"],
        word: "text", form: TEXT,
    },
    ColumnType {
        code: 255, metadata: Metadata::LengthBytes, listed: Listed::Nowhere, in_json: InJson::Base64,
        // The last is what servers before MySQL 8.0 call the last but one.
        names: &[
            "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
            "geomcollection", "geometrycollection",
        ],
        binary_names: &[], synonyms: &[],
        word: "geometry", form: opaque("geometry", geometry::geojson),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use mysql_common::constants::ColumnType as Peer;

    #[test]
    fn each_code_and_each_name_stands_in_one_entry_and_leads_to_it() {
        assert!(TYPES.is_sorted_by_key(|known| known.code));
        let (mut codes, mut names) = (BTreeSet::new(), BTreeSet::new());
        for known in &TYPES {
            assert!(codes.insert(known.code), "code {} stands in two entries", known.code);
            let found = ColumnType::of_code(known.code).expect("an entry");
            assert_eq!(found.code, known.code);
            for name in known.all_names() {
                assert!(names.insert(name), "{name} stands in two entries");
                assert_eq!(**name, name.to_lowercase());
                for written in [name.to_string(), name.to_uppercase()] {
                    assert_eq!(ColumnType::in_statement(&written).expect(name).code, known.code);
                }
            }
            for (shown, charset) in [(known.names, Charset::Utf8), (known.binary_names, Charset::Binary)] {
                for name in shown {
                    let (found, of_name) = ColumnType::of_name(name).expect(name);
                    assert_eq!((found.code, of_name), (known.code, charset), "{name}");
                }
            }
            assert!(known.synonyms.iter().all(|name| ColumnType::of_name(name).is_none()));
        }
        for unknown in ["", "unknown", "int(11)"] {
            assert!(ColumnType::of_name(unknown).is_none() && ColumnType::in_statement(unknown).is_none());
        }
        let codes_known = (0..=u8::MAX).filter(|code| ColumnType::of_code(*code).is_some()).count();
        assert_eq!(codes_known, TYPES.len());
    }

    #[test]
    fn a_kind_leads_back_to_its_family_whatever_its_parameters() {
        for known in &TYPES {
            let parameters = Parameters { unsigned: true, width_bytes: Some(1), digits: 3, ..Parameters::default() };
            for kind in [known.form.clone(), known.kind(Parameters::default()), known.kind(parameters)] {
                let found = ColumnType::of_kind(&kind).expect("a type");
                assert_eq!((found.word, found.has_labels()), (known.word, known.has_labels()), "code {}", known.code);
            }
        }
    }

    #[test]
    fn types_of_one_word_have_labels_all_or_none() {
        for (known, other) in TYPES.iter().flat_map(|known| TYPES.iter().map(move |other| (known, other))) {
            assert!(known.word != other.word || known.has_labels() == other.has_labels(), "{}", known.word);
        }
    }

    /// Stores of earlier versions have these, and nothing else.
    #[test]
    fn the_words_on_disk_are_those_that_they_have_always_been() {
        let words: BTreeSet<&str> = TYPES.iter().map(|known| known.word).collect();
        let expected = [
            "bit",
            "date",
            "datetime",
            "decimal",
            "enum",
            "float",
            "geometry",
            "int1",
            "int2",
            "int3",
            "int4",
            "int8",
            "json",
            "set",
            "text",
            "time",
            "timestamp",
            "vector",
            "year",
        ];
        assert_eq!(words.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_codes_are_those_of_mysql_common_that_a_server_logs() {
        let peer: Vec<Peer> = (0..=u8::MAX).filter_map(|code| Peer::try_from(code).ok()).collect();
        assert!(TYPES.iter().all(|known| Peer::try_from(known.code).is_ok()), "a code that mysql_common does not know");
        let mut not_logged = peer;
        not_logged.retain(|known| ColumnType::of_code(*known as u8).is_none());
        use Peer::*;
        assert_eq!(
            not_logged,
            [
                // Of MySQL before 5.0.
                MYSQL_TYPE_DECIMAL,
                MYSQL_TYPE_NULL,
                // Of indexes over JSON arrays.
                MYSQL_TYPE_TYPED_ARRAY,
                MYSQL_TYPE_UNKNOWN,
                // Results of queries; in a TABLE_MAP all are BLOB, VARCHAR or STRING.
                MYSQL_TYPE_TINY_BLOB,
                MYSQL_TYPE_MEDIUM_BLOB,
                MYSQL_TYPE_LONG_BLOB,
                MYSQL_TYPE_VAR_STRING,
            ]
        );
    }
}
