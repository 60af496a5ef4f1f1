//! Column definitions and primary keys inside CREATE TABLE and ALTER TABLE.
//!
//! In: the tokens of one element of a column list. Out: the column's name, its family and whether it says PRIMARY KEY;
//! or the columns of a key; or nothing, where an index or a constraint is meant. Attributes that change neither are
//! stepped over. An unknown type is an [`Unclear`], never a guess.

use crate::column::charset::Charset;
use crate::column::types::ColumnType;
use crate::schema::{Family, Labels};

use super::super::lexer::{SqlToken, group, position_outside, split_at_commas};
use super::Unclear;

/// A column as a statement defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct ColumnDefinition {
    pub name: String,
    /// With labels as they are written: what the server makes of them depends on the character set.
    pub family: Family,
    /// The character set that it names; an inner none where that is a default.
    pub charset: Option<Option<Box<str>>>,
    /// The bytes of its labels are those of UTF-8, which matters where they are kept as bytes.
    pub is_utf8: bool,
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

pub(super) fn begins_key_or_constraint(token: &SqlToken) -> bool {
    token.is_any(KEYS_AND_CONSTRAINTS)
}

pub(super) fn element(tokens: &[SqlToken]) -> Result<Element, Unclear> {
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
fn key_columns(tokens: &[SqlToken]) -> Result<Vec<String>, Unclear> {
    let open = tokens.iter().position(|token| token.is_sign('(')).ok_or(Unclear)?;
    let (inside, _) = group(&tokens[open..]).ok_or(Unclear)?;
    let parts = split_at_commas(inside).ok_or(Unclear)?;
    parts.into_iter().map(|part| part.first().and_then(SqlToken::name).map(str::to_string).ok_or(Unclear)).collect()
}

pub(super) fn column(tokens: &[SqlToken]) -> Result<ColumnDefinition, Unclear> {
    let (name, rest) = tokens.split_first().ok_or(Unclear)?;
    let name = name.name().ok_or(Unclear)?.to_string();
    let family = family(rest)?;
    // `UNIQUE KEY` is another key; `KEY` by itself is short for `PRIMARY KEY`.
    let key = position_outside(rest, |tokens| tokens[0].is("KEY"));
    let is_key = key.is_some_and(|at| at == 0 || !rest[at - 1].is("UNIQUE"))
        || position_outside(rest, |tokens| tokens[0].is("PRIMARY")).is_some();
    Ok(ColumnDefinition { name, family, charset: named_charset(rest), is_utf8: true, is_key })
}

/// That of the type which the tokens begin with.
fn family(tokens: &[SqlToken]) -> Result<Family, Unclear> {
    let Some((SqlToken::Word(word), rest)) = tokens.split_first() else { return Err(Unclear) };
    Family::of(ColumnType::in_statement(word).ok_or(Unclear)?, || labels(rest))
}

fn labels(tokens: &[SqlToken]) -> Result<Labels, Unclear> {
    let (inside, _) = group(tokens).ok_or(Unclear)?;
    let parts = split_at_commas(inside).ok_or(Unclear)?;
    parts.into_iter().map(label).collect()
}

fn label(part: &[SqlToken]) -> Result<Box<str>, Unclear> {
    match part {
        [SqlToken::Text(text)] if !text.contains('\u{fffd}') => Ok(text.as_str().into()),
        _ => Err(Unclear),
    }
}

/// The labels as the server keeps them in this character set. It drops spaces at the end, except from binary labels,
/// and turns characters that the set does not have into question marks; labels with such characters are read from
/// `information_schema`.
pub(super) fn settled(labels: &Labels, charset: Option<&str>, is_utf8: bool) -> Result<Labels, Unclear> {
    let settled = |label: &str| -> Result<Box<str>, Unclear> {
        if label.is_ascii() && !label.ends_with(' ') {
            return Ok(label.into());
        }
        match charset.ok_or(Unclear)? {
            "binary" if label.is_ascii() || is_utf8 => Ok(label.into()),
            "binary" => Err(Unclear),
            charset => {
                let label = label.trim_end_matches(' ');
                if Charset::can_encode(charset, label) { Ok(label.into()) } else { Err(Unclear) }
            }
        }
    };
    labels.iter().map(|label| settled(label)).collect()
}

/// The character set that a column's attributes or a table's options name, by itself or by a collation of it; an inner none
/// where they say DEFAULT.
pub(super) fn named_charset(tokens: &[SqlToken]) -> Option<Option<Box<str>>> {
    let value = |tokens: &[SqlToken]| {
        let rest = if tokens.first().is_some_and(|token| token.is_sign('=')) { &tokens[1..] } else { tokens };
        match rest.first()? {
            SqlToken::Word(word) if word.eq_ignore_ascii_case("DEFAULT") => Some(None),
            SqlToken::Word(name) | SqlToken::Name(name) | SqlToken::Text(name) => Some(Some(name.to_ascii_lowercase())),
            _ => None,
        }
    };
    let named = |keywords: &[&str]| {
        let begins = |tokens: &[SqlToken]| {
            tokens.len() > keywords.len() && keywords.iter().zip(tokens).all(|(keyword, token)| token.is(keyword))
        };
        position_outside(tokens, begins).and_then(|at| value(&tokens[at + keywords.len()..]))
    };
    let by_itself = named(&["CHARSET"]).or_else(|| named(&["CHARACTER", "SET"])).or_else(|| named(&["CHAR", "SET"]));
    let short = |keyword: &str, name: &str| {
        let is_there = position_outside(tokens, |tokens| tokens[0].is(keyword)).is_some_and(|at| at > 0);
        is_there.then(|| Some(name.to_string()))
    };
    // The name of a collation begins with that of its character set.
    let of_collation = || named(&["COLLATE"]).map(|name| name.map(|name| charset_of_collation(&name).to_string()));
    let found = by_itself.or_else(of_collation).or_else(|| short("BYTE", "binary"))?;
    Some(found.map(|name| if name == "utf8" { "utf8mb3".into() } else { name.into() }))
}

fn charset_of_collation(name: &str) -> &str {
    name.split_once('_').map_or(name, |(charset, _)| charset)
}
