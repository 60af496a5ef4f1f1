//! Column definitions and primary keys inside CREATE TABLE and ALTER TABLE.
//!
//! In: the tokens of one element of a column list. Out: the column's name, its family and whether it says PRIMARY KEY;
//! or the columns of a key; or nothing, where an index or a constraint is meant. Attributes that change neither are
//! stepped over. An unknown type is an [`Unclear`], never a guess.

use crate::schema::{Family, Labels};

use super::super::lexer::{Token, group, position_outside, split_at_commas};
use super::Unclear;

/// A column as a statement defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct ColumnDefinition {
    pub name: String,
    pub family: Family,
    /// It is the primary key by itself.
    pub is_key: bool,
}

/// An element of the list of a CREATE TABLE or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    Column(ColumnDefinition),
    PrimaryKey(Vec<String>),
    /// Another key or a constraint.
    Other,
}

/// Reserved words that begin keys and constraints, so that no column without quotes is called so.
const KEYS_AND_CONSTRAINTS: &[&str] =
    &["INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK", "PRIMARY", "CONSTRAINT"];

pub(super) fn begins_key_or_constraint(token: &Token) -> bool {
    token.is_any(KEYS_AND_CONSTRAINTS)
}

pub(super) fn element(tokens: &[Token]) -> Result<Element, Unclear> {
    let first = tokens.first().ok_or(Unclear)?;
    if !begins_key_or_constraint(first) {
        return column(tokens).map(Element::Column);
    }
    let primary = match tokens {
        [constraint, rest @ ..] if constraint.is("CONSTRAINT") => match rest {
            [primary, ..] if primary.is("PRIMARY") => Some(rest),
            [_, rest @ ..] if rest.first().is_some_and(|token| token.is("PRIMARY")) => Some(rest),
            _ => None,
        },
        [primary, ..] if primary.is("PRIMARY") => Some(tokens),
        _ => None,
    };
    match primary {
        Some([_, key, rest @ ..]) if key.is("KEY") => key_columns(rest).map(Element::PrimaryKey),
        Some(_) => Err(Unclear),
        None => Ok(Element::Other),
    }
}

/// The columns of `PRIMARY KEY [name] [USING ...] (a, b(5) DESC) ...`.
fn key_columns(tokens: &[Token]) -> Result<Vec<String>, Unclear> {
    let open = tokens.iter().position(|token| token.is_sign('(')).ok_or(Unclear)?;
    let (inside, _) = group(&tokens[open..]).ok_or(Unclear)?;
    let parts = split_at_commas(inside).ok_or(Unclear)?;
    parts.into_iter().map(|part| part.first().and_then(Token::name).map(str::to_string).ok_or(Unclear)).collect()
}

pub(super) fn column(tokens: &[Token]) -> Result<ColumnDefinition, Unclear> {
    let (name, rest) = tokens.split_first().ok_or(Unclear)?;
    let name = name.name().ok_or(Unclear)?.to_string();
    let family = family(rest)?;
    // `UNIQUE KEY` is another key; `KEY` by itself is short for `PRIMARY KEY`.
    let key = position_outside(rest, |tokens| tokens[0].is("KEY"));
    let is_key = key.is_some_and(|at| at == 0 || !rest[at - 1].is("UNIQUE"))
        || position_outside(rest, |tokens| tokens[0].is("PRIMARY")).is_some();
    Ok(ColumnDefinition { name, family, is_key })
}

/// Type names and their synonyms (MySQL manual, "Data Types" and "Using Data Types from Other Database Engines").
fn family(tokens: &[Token]) -> Result<Family, Unclear> {
    let Some((Token::Word(word), rest)) = tokens.split_first() else { return Err(Unclear) };
    Ok(match word.to_ascii_uppercase().as_str() {
        "TINYINT" | "INT1" | "BOOL" | "BOOLEAN" => Family::Int { bytes: 1 },
        "SMALLINT" | "INT2" => Family::Int { bytes: 2 },
        "MEDIUMINT" | "INT3" | "MIDDLEINT" => Family::Int { bytes: 3 },
        "INT" | "INT4" | "INTEGER" => Family::Int { bytes: 4 },
        "BIGINT" | "INT8" | "SERIAL" => Family::Int { bytes: 8 },
        "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "REAL" => Family::Float,
        "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" => Family::Decimal,
        "BIT" => Family::Bit,
        "YEAR" => Family::Year,
        "DATE" => Family::Date,
        "TIME" => Family::Time,
        "DATETIME" => Family::DateTime,
        "TIMESTAMP" => Family::Timestamp,
        "CHAR" | "CHARACTER" | "VARCHAR" | "VARCHARACTER" | "NCHAR" | "NVARCHAR" | "NATIONAL" | "BINARY"
        | "VARBINARY" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB"
        | "LONGBLOB" | "LONG" => Family::Text,
        "ENUM" => Family::Enum(labels(rest)?),
        "SET" => Family::Set(labels(rest)?),
        "JSON" => Family::Json,
        "VECTOR" => Family::Vector,
        "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON"
        | "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => Family::Geometry,
        _ => return Err(Unclear),
    })
}

fn labels(tokens: &[Token]) -> Result<Labels, Unclear> {
    let (inside, _) = group(tokens).ok_or(Unclear)?;
    let parts = split_at_commas(inside).ok_or(Unclear)?;
    parts.into_iter().map(label).collect()
}

/// The server drops spaces at the end of a label. It converts labels to the character set of the column, where other
/// letters than ASCII may become question marks: those are left to `information_schema`.
fn label(part: &[Token]) -> Result<Box<str>, Unclear> {
    match part {
        [Token::Text(text)] if text.is_ascii() => Ok(text.trim_end_matches(' ').into()),
        _ => Err(Unclear),
    }
}
