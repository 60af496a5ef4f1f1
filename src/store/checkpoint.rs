//! The checkpoint as it is on disk.
//!
//! In: a `Resume`. Out: a record with the position as text (a GTID set as MySQL prints it), and back; definitions are
//! records of their own (`definitions`). The tree has room
//! for one record per rule that is behind; this version keeps the main stream's alone. Knows nothing of when a
//! checkpoint may move.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chunks::{self, Damage, Framed};
use crate::position::{FileOffset, GtidSet, Position, Resume, Within};
use crate::schema::Schema;

/// Name of the main stream's record.
pub(super) const MAIN: &[u8] = b"main";

#[derive(Serialize, Deserialize)]
struct Record {
    server_uuid: String,
    gtids: Option<String>,
    file: String,
    offset: u64,
    within: Vec<WithinRecord>,
    /// The table definitions that are stored hold at this place. An earlier version, which does not move them, leaves this
    /// out.
    #[serde(default)]
    has_definitions: bool,
    #[serde(default)]
    undecided: Vec<PlaceRecord>,
}

#[derive(Serialize, Deserialize)]
struct PlaceRecord {
    file: String,
    offset: u64,
}

#[derive(Serialize, Deserialize)]
struct WithinRecord {
    transaction: Box<str>,
    table: Box<str>,
    rows: u64,
}

pub(super) fn encode(resume: &Resume) -> Framed {
    let position = &resume.position;
    Framed::json(&Record {
        server_uuid: position.server_uuid.to_string(),
        gtids: position.gtids.as_ref().map(GtidSet::to_string),
        file: position.file.file.to_string(),
        offset: position.file.offset,
        within: resume
            .within
            .iter()
            .map(|Within { transaction, table, rows }| WithinRecord {
                transaction: transaction.clone(),
                table: table.clone(),
                rows: *rows,
            })
            .collect(),
        has_definitions: true,
        undecided: position
            .undecided
            .iter()
            .map(|FileOffset { file, offset }| PlaceRecord { file: file.to_string(), offset: *offset })
            .collect(),
    })
}

/// `schema` is what is stored beside the record.
pub(super) fn decode(content: &[u8], schema: Arc<Schema>) -> Result<Resume, Damage> {
    let record: Record = chunks::decode(content)?;
    let content = |error: &dyn std::fmt::Display| Damage::Content(error.to_string());
    Ok(Resume {
        position: Position {
            server_uuid: Uuid::try_parse(&record.server_uuid).map_err(|error| content(&error))?,
            gtids: record.gtids.map(|text| text.parse()).transpose().map_err(|error| content(&error))?,
            file: FileOffset { file: record.file.into(), offset: record.offset },
            undecided: record
                .undecided
                .into_iter()
                .map(|PlaceRecord { file, offset }| FileOffset { file: file.into(), offset })
                .collect(),
        },
        within: record
            .within
            .into_iter()
            .map(|WithinRecord { transaction, table, rows }| Within { transaction, table, rows })
            .collect(),
        schema: if record.has_definitions { schema } else { Arc::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_the_same() {
        let uuid = Uuid::from_u128(7);
        let within = vec![Within { transaction: "t".into(), table: "shop.orders".into(), rows: u64::MAX }];
        for (gtids, within) in [
            (None, vec![]),
            (Some(GtidSet::new()), within.clone()),
            (Some(format!("{uuid}:1-5:9:tag:3").parse().expect("a set")), within),
        ] {
            let file = FileOffset { file: "binlog.000007".into(), offset: u64::MAX };
            let undecided = [file.clone(), FileOffset { offset: 4, ..file.clone() }].into();
            let resume = Resume {
                position: Position { server_uuid: uuid, gtids, file, undecided },
                within,
                schema: Default::default(),
            };
            let framed = encode(&resume);
            let read = chunks::read::<Damage>(|chunk| Ok(framed.chunks().nth(chunk as usize).map(|(_, c)| c.into())));
            assert_eq!(decode(&read.expect("whole").expect("there"), Arc::default()), Ok(resume));
        }
    }

    #[test]
    fn definitions_beside_a_checkpoint_of_an_earlier_version_are_not_taken_for_those_of_its_place() {
        let mut schema = Schema::default();
        let definition = crate::schema::Definition { columns: Vec::new(), primary_key: Vec::new() };
        schema.insert(crate::schema::TableName::new("shop", "orders"), definition.into());
        let schema = Arc::new(schema);
        let text =
            r#"{"server_uuid":"00000000-0000-0000-0000-000000000007","gtids":null,"file":"b.1","offset":4,"within":[]"#;
        let decoded = |end: &str| decode(format!("{text}{end}").as_bytes(), Arc::clone(&schema)).expect("a checkpoint");
        assert_eq!(decoded("}").schema, Arc::default());
        assert_eq!(decoded(r#","has_definitions":true}"#).schema, schema);
    }
}
