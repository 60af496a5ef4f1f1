//! A column's type as `information_schema.COLUMNS` shows it.
//!
//! In: what that view says of one column's type. Out: its family, how its values are logged, as far as a definition shows it,
//! and whether they were logged so; the labels of an ENUM or SET. Which type a name means stands in `column::types`. Asks
//! no server: `schema` and `typed` do. Pure.

use crate::column::charset::Charset;
use crate::column::types::{ColumnType, Metadata, Parameters};
use crate::column::{ColumnKind, binary_label};
use crate::schema::{Family, Labels};

#[derive(Debug, Clone, Default)]
pub(super) struct ShownType {
    /// `DATA_TYPE` in lower case: `int`, `varchar`, ...
    pub name: String,
    /// `COLUMN_TYPE`: `int unsigned`, `enum('a','b')`, ...
    pub sql: String,
    pub octets_max: Option<u64>,
    pub precision: Option<u64>,
    pub scale: Option<u64>,
    /// Fraction digits.
    pub digits: Option<u64>,
}

impl ShownType {
    /// One without numbers.
    pub fn new(name: &str, sql: String) -> ShownType {
        ShownType { name: name.to_ascii_lowercase(), sql, ..ShownType::default() }
    }

    /// The family of a column of this name. An error says what is not understood.
    pub fn family(&self, column: &str) -> Result<Family, String> {
        let (column_type, _) = ColumnType::of_name(&self.name)
            .ok_or_else(|| format!("column {column} is of type {}, which is not known", self.name))?;
        Family::of(column_type, || labels(&self.sql))
    }

    /// How its values are logged, with any lengths; None for an unknown type.
    pub fn kind(&self) -> Option<ColumnKind> {
        let (column_type, charset) = ColumnType::of_name(&self.name)?;
        let number = |value: Option<u64>| usize::try_from(value.unwrap_or(0)).unwrap_or(0);
        // The length of a TEXT or BLOB is not logged.
        let has_length = column_type.metadata != Metadata::LengthBytes;
        Some(column_type.kind(Parameters {
            unsigned: self.sql.contains("unsigned"),
            charset,
            labels: if column_type.has_labels() { labels(&self.sql).ok() } else { None },
            width_bytes: None,
            octets_max: self.octets_max.filter(|_| has_length).map(|octets| number(Some(octets))),
            precision: number(self.precision),
            scale: number(self.scale),
            digits: number(self.digits),
        }))
    }

    /// Whether values that are logged so can be those of such a column.
    pub fn is_of(&self, logged: &ColumnKind) -> bool {
        // A value of it is refused when it comes; the name does not matter.
        let is_refused = matches!(logged, ColumnKind::Unsupported { .. });
        is_refused || self.kind().is_some_and(|now| declared(&now) == declared(logged))
    }
}

/// The kind without the parts that the log and a definition write differently: widths, labels, and all of a character
/// set but whether it is binary.
fn declared(kind: &ColumnKind) -> ColumnKind {
    match kind {
        ColumnKind::Text { charset, octets_max, .. } => {
            let charset = if *charset == Charset::Binary { Charset::Binary } else { Charset::Utf8 };
            ColumnKind::Text { length_bytes: 0, charset, pad: None, octets_max: *octets_max }
        }
        ColumnKind::Enum { .. } => ColumnKind::Enum { bytes: 0, charset: Charset::Binary, labels: None },
        ColumnKind::Set { .. } => ColumnKind::Set { bytes: 0, charset: Charset::Binary, labels: None },
        ColumnKind::Json { .. } => ColumnKind::Json { length_bytes: 0 },
        ColumnKind::Opaque { reader, .. } => ColumnKind::Opaque { length_bytes: 0, reader: *reader },
        ColumnKind::Int { .. }
        | ColumnKind::Float
        | ColumnKind::Double
        | ColumnKind::Decimal { .. }
        | ColumnKind::Bit { .. } => kind.clone(),
        ColumnKind::Year
        | ColumnKind::Date
        | ColumnKind::Time { .. }
        | ColumnKind::DateTime { .. }
        | ColumnKind::Timestamp { .. } => kind.clone(),
        ColumnKind::Unsupported { .. } => kind.clone(),
    }
}

/// The labels of `enum('a','it''s')`.
fn labels(column_type: &str) -> Result<Labels, String> {
    let wrong = || format!("the labels of {column_type} cannot be read");
    let list = column_type.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).ok_or_else(wrong)?;
    if list == "?" {
        return Err("a label is listed with a question mark, which may stand for another character".to_string());
    }
    let mut labels = Vec::new();
    let mut rest = list;
    loop {
        let (label, tail) = if let Some(quoted) = rest.strip_prefix('\'') {
            let (label, tail) = until_quote(quoted).ok_or_else(wrong)?;
            (label.into(), tail)
        } else if let Some(digits) = rest.strip_prefix("x'") {
            let (digits, tail) = digits.split_once('\'').ok_or_else(wrong)?;
            (binary_label(&hex(digits).ok_or_else(wrong)?), tail)
        } else {
            break;
        };
        labels.push(label);
        rest = tail.strip_prefix(',').unwrap_or(tail);
    }
    if rest.is_empty() { Ok(labels.into()) } else { Err(wrong()) }
}

/// The form in which the server lists bytes that are no `utf8mb3` text, in labels of the binary character set.
fn hex(digits: &str) -> Option<Box<[u8]>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// The text up to the closing quote, and what follows. The server doubles quotes and puts a backslash before what would
/// upset its client (`append_unescaped` in `sql/sql_show.cc`).
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut label = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\'' if text[at + 1..].starts_with('\'') => {
                signs.next();
                label.push('\'');
            }
            '\'' => return Some((label, &text[at + 1..])),
            '\\' => label.push(match signs.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                '0' => '\0',
                other => other,
            }),
            other => label.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type as SQL, and after a bar the numbers that are shown of it.
    fn shown(text: &str) -> ShownType {
        let (sql, numbers) = text.split_once('|').unwrap_or((text, ""));
        let name = sql.split(['(', ' ']).next().expect("a name");
        let number = |word: &str| {
            let found = numbers.split(' ').find_map(|part| part.strip_prefix(word));
            found.map(|digits| digits.parse().expect("a number"))
        };
        ShownType {
            octets_max: number("octets:"),
            precision: number("precision:"),
            scale: number("scale:"),
            digits: number("digits:"),
            ..ShownType::new(name, sql.to_string())
        }
    }

    fn text(charset: Charset, octets_max: Option<usize>) -> ColumnKind {
        ColumnKind::Text {
            length_bytes: 1,
            charset,
            pad: octets_max.filter(|_| charset == Charset::Binary),
            octets_max,
        }
    }

    fn opaque(code: u8) -> ColumnKind {
        let parameters = Parameters { width_bytes: Some(3), ..Parameters::default() };
        ColumnType::of_code(code).expect("a type").kind(parameters)
    }

    #[test]
    fn a_column_fits_the_kinds_that_its_type_is_logged_as() {
        use Charset::{Ascii, Binary, Utf8};
        let labels = |texts: &[&str]| Some(texts.iter().map(|text| (*text).into()).collect());
        for (defined, kind, is_of) in [
            ("int unsigned", ColumnKind::Int { bytes: 4, unsigned: true }, true),
            ("INT", ColumnKind::Int { bytes: 4, unsigned: false }, true),
            ("int", ColumnKind::Int { bytes: 4, unsigned: true }, false),
            ("mediumint", ColumnKind::Int { bytes: 4, unsigned: false }, false),
            ("float", ColumnKind::Float, true),
            ("float", ColumnKind::Double, false),
            ("decimal(9,2)|precision:9 scale:2", ColumnKind::Decimal { precision: 9, scale: 2 }, true),
            ("decimal(9,3)|precision:9 scale:3", ColumnKind::Decimal { precision: 9, scale: 2 }, false),
            ("bit(9)|precision:9", ColumnKind::Bit { bits: 9 }, true),
            ("bit(9)|precision:9", ColumnKind::Bit { bits: 8 }, false),
            ("datetime(3)|digits:3", ColumnKind::DateTime { digits: 3 }, true),
            ("datetime|digits:0", ColumnKind::DateTime { digits: 3 }, false),
            ("timestamp|digits:0", ColumnKind::DateTime { digits: 0 }, false),
            ("char(5)|octets:5", text(Ascii, Some(5)), true),
            ("varchar(5)|octets:5", text(Ascii, Some(5)), true),
            ("varchar(5)|octets:20", text(Utf8, Some(5)), false),
            ("varbinary(5)|octets:5", text(Utf8, Some(5)), false),
            ("binary(5)|octets:5", text(Binary, Some(5)), true),
            ("text|octets:65535", text(Utf8, None), true),
            ("longtext|octets:4294967295", text(Utf8, None), true),
            ("blob|octets:65535", text(Utf8, None), false),
            ("tinyblob|octets:255", text(Binary, None), true),
            ("tinytext|octets:255", text(Utf8, Some(255)), false),
            ("enum('a','b')", ColumnKind::Enum { bytes: 1, charset: Ascii, labels: labels(&["x"]) }, true),
            ("enum('a','b')", ColumnKind::Set { bytes: 1, charset: Ascii, labels: labels(&["a", "b"]) }, false),
            ("set('a','b')", ColumnKind::Set { bytes: 1, charset: Binary, labels: None }, true),
            ("json", ColumnKind::Json { length_bytes: 4 }, true),
            ("json", text(Utf8, None), false),
            ("vector(3)", opaque(242), true),
            ("geomcollection", opaque(255), true),
            ("geomcollection", opaque(242), false),
            ("another", opaque(255), false),
            ("another", ColumnKind::Unsupported { bytes: 8, type_name: "old", fix: "" }, true),
        ] {
            assert_eq!(shown(defined).is_of(&kind), is_of, "{defined} {kind:?}");
        }
    }

    #[test]
    fn labels_and_lengths_come_with_the_kind_and_families_have_labels_only() {
        let labels: Labels = ["a".into(), "b".into()].into();
        let kind = ColumnKind::Enum { bytes: 2, charset: Charset::Utf8, labels: Some(labels.clone()) };
        assert_eq!(shown("enum('a','b')").kind(), Some(kind));
        let kind = ColumnKind::Text { length_bytes: 4, charset: Charset::Utf8, pad: None, octets_max: Some(20) };
        assert_eq!(shown("varchar(5)|octets:20").kind(), Some(kind));
        assert_eq!(shown("another").kind(), None);
        assert_eq!(shown("set('a','b')").family("c").ok(), Family::named("set", Some(labels)));
        assert_eq!(shown("varchar(5)|octets:20").family("c").ok(), Family::named("text", None));
        assert_eq!(shown("another").family("c"), Err("column c is of type another, which is not known".to_string()));
        shown("enum(?)").family("c").expect_err("labels that were left out");
    }

    #[test]
    fn labels_are_read_with_their_quotes_and_commas() {
        let read = labels(r"enum('a','it''s','x,y','','b\\s\n')").expect("labels");
        assert_eq!(read.iter().map(|label| &**label).collect::<Vec<_>>(), ["a", "it's", "x,y", "", "b\\s\n"]);
        let read = labels("enum('a  ',x'e9',x'656d6f6a69f09f9880','x')").expect("labels");
        assert_eq!(read.iter().map(|label| &**label).collect::<Vec<_>>(), ["a  ", "6Q==", "emoji😀", "x"]);
        labels("enum(x'e')").expect_err("half a byte");
        labels("int").expect_err("no labels");
        labels("enum(?)").expect_err("labels that were left out");
    }
}
