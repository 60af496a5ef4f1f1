//! Table definitions as they are on disk, beside the checkpoint at whose position they are valid: those of the main stream, and
//! those of rules at a position with other definitions.
//!
//! In: two schemas. Out: the records that turn the first into the second on disk, one for each table that differs, so that
//! a statement costs what it changes; and back. Knows nothing of SQL, nor of when a definition is valid.

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

/// The owner of the definitions that a record's key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    Main,
    /// A rule whose position has other definitions than the main stream's.
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

/// No name contains a zero byte, and none is empty: a key that begins with one belongs to a rule.
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
        let (family, labels) = (column.family.word().into(), column.family.labels().cloned());
        ColumnRecord { name: column.name.clone(), family, labels }
    };
    let columns = definition.columns.iter().map(column).collect();
    Framed::json(&Record { columns, primary_key: definition.primary_key.clone(), charset: definition.charset.clone() })
}

pub(super) fn decode(content: &[u8]) -> Result<Definition, Damage> {
    let record: Record = chunks::decode(content)?;
    let column = |ColumnRecord { name, family: word, labels }| match Family::named(&word, labels) {
        Some(family) => Ok(Column { name, family }),
        None => Err(Damage::Content(format!("the column family {word} is not known"))),
    };
    let columns = record.columns.into_iter().map(column).collect::<Result<Vec<_>, Damage>>()?;
    if record.primary_key.iter().any(|at| *at >= columns.len()) {
        return Err(Damage::Content("a primary key over columns that do not exist".to_string()));
    }
    Ok(Definition { columns, primary_key: record.primary_key, charset: record.charset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::types::TYPES;

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
        let labels: Labels = ["größe".into(), "".into()].into();
        let families = TYPES.iter().filter_map(|known| Family::named(known.word, Some(labels.clone())));
        let columns: Vec<(&str, Family)> = families.map(|family| ("c", family)).collect();
        assert_eq!(columns.len(), TYPES.len());
        let written = schema(&[("orders", &columns)]);
        let changes = between(Owner::Main, &Arc::default(), &written);
        let [(name, record)] = &changes.put[..] else { panic!("one table") };
        assert!(changes.len_bytes() > columns.len());
        let read = chunks::read::<Damage>(|chunk| Ok(record.chunks().nth(chunk as usize).map(|(_, c)| c.into())));
        let definition = decode(&read.expect("whole").expect("there")).expect("a definition");
        assert_eq!(name_of(name), Ok((Owner::Main, TableName::new("shop", "orders"))));
        assert_eq!(Some(&Arc::new(definition)), written.get(&TableName::new("shop", "orders")));
    }

    /// Stores of earlier versions contain these texts.
    #[test]
    fn a_definition_is_written_as_it_has_always_been() {
        let mut columns = Vec::new();
        let mut texts = Vec::new();
        for word in ["int1", "int8", "float", "decimal", "datetime", "text", "enum", "set", "geometry"] {
            let labels: Option<Labels> = (word == "enum").then(|| ["a".into()].into());
            columns.push((word, Family::named(word, labels).expect("a family")));
            let labels = match word {
                "enum" => r#","labels":["a"]"#,
                "set" => r#","labels":[]"#,
                _ => "",
            };
            texts.push(format!(r#"{{"name":"{word}","family":"{word}"{labels}}}"#));
        }
        let texts = texts.join(",");
        let text = format!(r#"{{"columns":[{texts}],"primary_key":[8],"charset":"latin1"}}"#);
        let written = schema(&[("t", &columns)]);
        let definition = written.get(&TableName::new("shop", "t")).expect("the table");
        let content: Vec<u8> = encode(definition).chunks().flat_map(|(_, chunk)| chunk.to_vec()).collect();
        assert!(content.ends_with(text.as_bytes()), "{}", String::from_utf8_lossy(&content));
        assert_eq!(decode(text.as_bytes()).as_ref(), Ok(&**definition));
        let other = decode(text.replace("\"float\"", "\"another\"").as_bytes());
        assert_eq!(other, Err(Damage::Content("the column family another is not known".to_string())));
    }

    #[test]
    fn only_what_differs_is_written() {
        let bit = || Family::named("bit", None).expect("a family");
        let before = schema(&[("a", &[("x", bit())]), ("b", &[("x", bit())]), ("c", &[("x", bit())])]);
        let after = schema(&[("a", &[("x", bit())]), ("b", &[("y", bit())]), ("d", &[("x", bit())])]);
        for (owner, gone) in [(Owner::Main, &b"shop\0c"[..]), (Owner::Rule("r"), b"\0r\0shop\0c")] {
            let changes = between(owner, &before, &after);
            let names: Vec<_> = changes.put.iter().map(|(name, _)| name_of(name).expect("a name")).collect();
            assert_eq!(names, [(owner, TableName::new("shop", "b")), (owner, TableName::new("shop", "d"))]);
            assert_eq!(changes.remove, [gone]);
        }
        assert_eq!(between(Owner::Main, &after, &after.clone()).len_bytes(), 0);
    }
}
