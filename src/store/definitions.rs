//! Table definitions as they are on disk, beside the checkpoint at whose place they hold: the main stream's, and those of
//! rules that are at a place with others.
//!
//! In: two schemas. Out: the records that turn the first into the second on disk, one for each table that differs, so that
//! a statement costs what it changes; and back. Knows nothing of SQL, nor of when a definition holds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunks::{self, Damage, Edits, Framed};
use crate::schema::{Column, Definition, Family, Labels, Schema, TableName};

#[derive(Serialize, Deserialize)]
struct Record {
    columns: Vec<ColumnRecord>,
    primary_key: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charset: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
struct ColumnRecord {
    name: Box<str>,
    family: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Labels>,
}

/// Whose definitions a record's key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    Main,
    /// A rule whose place has other definitions than the main stream's.
    Rule(&'a str),
}

/// What must be written so that the owner's definitions become these.
pub(super) fn between(owner: Owner<'_>, before: &Arc<Schema>, after: &Arc<Schema>) -> Edits {
    let mut edits = Edits::default();
    if Arc::ptr_eq(before, after) {
        return edits;
    }
    for (name, definition) in after.iter() {
        let is_same = |known: &Arc<Definition>| Arc::ptr_eq(known, definition) || known == definition;
        if !before.get(name).is_some_and(is_same) {
            edits.put.push((key(owner, name), encode(definition)));
        }
    }
    let gone = before.iter().filter(|(name, _)| after.get(name).is_none());
    edits.remove.extend(gone.map(|(name, _)| key(owner, name)));
    edits
}

/// No name holds a zero byte, and none is empty: a key that begins with one belongs to a rule.
fn key(owner: Owner<'_>, name: &TableName) -> Vec<u8> {
    let table = [name.schema.as_bytes(), b"\0", name.table.as_bytes()].concat();
    match owner {
        Owner::Main => table,
        Owner::Rule(rule) => [b"\0", rule.as_bytes(), b"\0", &table].concat(),
    }
}

pub(super) fn name_of(key: &[u8]) -> Result<(Owner<'_>, TableName), Damage> {
    let parts = || {
        let text = std::str::from_utf8(key).ok()?;
        let (owner, table) = match text.strip_prefix('\0') {
            None => (Owner::Main, text),
            Some(rest) => rest.split_once('\0').map(|(rule, table)| (Owner::Rule(rule), table))?,
        };
        let (schema, table) = table.split_once('\0')?;
        Some((owner, TableName::new(schema, table)))
    };
    parts().ok_or_else(|| Damage::Content("its key names no table".to_string()))
}

fn encode(definition: &Definition) -> Framed {
    let column = |column: &Column| {
        let (family, labels) = family_text(&column.family);
        ColumnRecord { name: column.name.clone(), family: family.into(), labels: labels.cloned() }
    };
    let columns = definition.columns.iter().map(column).collect();
    Framed::json(&Record { columns, primary_key: definition.primary_key.clone(), charset: definition.charset.clone() })
}

pub(super) fn decode(content: &[u8]) -> Result<Definition, Damage> {
    let record: Record = chunks::decode(content)?;
    let column = |column: ColumnRecord| Ok(Column { family: family(&column)?, name: column.name });
    let columns = record.columns.into_iter().map(column).collect::<Result<Vec<_>, Damage>>()?;
    if record.primary_key.iter().any(|at| *at >= columns.len()) {
        return Err(Damage::Content("a primary key over columns that do not exist".to_string()));
    }
    Ok(Definition { columns, primary_key: record.primary_key, charset: record.charset })
}

fn family_text(family: &Family) -> (&'static str, Option<&Labels>) {
    let text = match family {
        Family::Int { bytes: 1 } => "int1",
        Family::Int { bytes: 2 } => "int2",
        Family::Int { bytes: 3 } => "int3",
        Family::Int { bytes: 4 } => "int4",
        Family::Int { .. } => "int8",
        Family::Float => "float",
        Family::Decimal => "decimal",
        Family::Bit => "bit",
        Family::Year => "year",
        Family::Date => "date",
        Family::Time => "time",
        Family::DateTime => "datetime",
        Family::Timestamp => "timestamp",
        Family::Text => "text",
        Family::Enum(labels) => return ("enum", Some(labels)),
        Family::Set(labels) => return ("set", Some(labels)),
        Family::Json => "json",
        Family::Vector => "vector",
        Family::Geometry => "geometry",
    };
    (text, None)
}

fn family(column: &ColumnRecord) -> Result<Family, Damage> {
    let labels = || column.labels.clone().unwrap_or_default();
    Ok(match &*column.family {
        "int1" => Family::Int { bytes: 1 },
        "int2" => Family::Int { bytes: 2 },
        "int3" => Family::Int { bytes: 3 },
        "int4" => Family::Int { bytes: 4 },
        "int8" => Family::Int { bytes: 8 },
        "float" => Family::Float,
        "decimal" => Family::Decimal,
        "bit" => Family::Bit,
        "year" => Family::Year,
        "date" => Family::Date,
        "time" => Family::Time,
        "datetime" => Family::DateTime,
        "timestamp" => Family::Timestamp,
        "text" => Family::Text,
        "enum" => Family::Enum(labels()),
        "set" => Family::Set(labels()),
        "json" => Family::Json,
        "vector" => Family::Vector,
        "geometry" => Family::Geometry,
        other => return Err(Damage::Content(format!("the column family {other} is not known"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(tables: &[(&str, &[(&str, Family)])]) -> Arc<Schema> {
        let mut schema = Schema::default();
        for (table, columns) in tables {
            let column = |(name, family): &(&str, Family)| Column { name: (*name).into(), family: family.clone() };
            let primary_key = vec![columns.len() - 1];
            let columns = columns.iter().map(column).collect();
            let definition = Definition { columns, primary_key, charset: Some("latin1".into()) };
            schema.insert(TableName::new("shop", table), definition.into());
        }
        schema.into()
    }

    #[test]
    fn every_definition_reads_back_the_same() {
        let labels: Box<[Box<str>]> = ["größe".into(), "".into()].into();
        let mut families: Vec<Family> = [1, 2, 3, 4, 8].map(|bytes| Family::Int { bytes }).into();
        families.extend([Family::Enum(labels.clone()), Family::Set(labels), Family::Float, Family::Decimal]);
        families.extend([Family::Bit, Family::Year, Family::Date, Family::Time, Family::DateTime, Family::Timestamp]);
        families.extend([Family::Text, Family::Json, Family::Vector, Family::Geometry]);
        let columns: Vec<(&str, Family)> = families.into_iter().map(|family| ("c", family)).collect();
        let written = schema(&[("orders", &columns)]);
        let changes = between(Owner::Main, &Arc::default(), &written);
        let [(name, record)] = &changes.put[..] else { panic!("one table") };
        assert!(changes.len_bytes() > columns.len());
        let read = chunks::read::<Damage>(|chunk| Ok(record.chunks().nth(chunk as usize).map(|(_, c)| c.into())));
        let definition = decode(&read.expect("whole").expect("there")).expect("a definition");
        assert_eq!(name_of(name), Ok((Owner::Main, TableName::new("shop", "orders"))));
        assert_eq!(Some(&Arc::new(definition)), written.get(&TableName::new("shop", "orders")));
    }

    #[test]
    fn only_what_differs_is_written() {
        let before =
            schema(&[("a", &[("x", Family::Bit)]), ("b", &[("x", Family::Bit)]), ("c", &[("x", Family::Bit)])]);
        let after = schema(&[("a", &[("x", Family::Bit)]), ("b", &[("y", Family::Bit)]), ("d", &[("x", Family::Bit)])]);
        for (owner, gone) in [(Owner::Main, &b"shop\0c"[..]), (Owner::Rule("r"), b"\0r\0shop\0c")] {
            let changes = between(owner, &before, &after);
            let names: Vec<_> = changes.put.iter().map(|(name, _)| name_of(name).expect("a name")).collect();
            assert_eq!(names, [(owner, TableName::new("shop", "b")), (owner, TableName::new("shop", "d"))]);
            assert_eq!(changes.remove, [gone]);
        }
        assert_eq!(between(Owner::Main, &after, &after.clone()).len_bytes(), 0);
    }
}
