//! The checkpoint as it is on disk.
//!
//! In: a `Resume`. Out: a record with the position as text (a GTID set as MySQL prints it), and back; definitions are
//! records of their own (`definitions`). One record for the main stream, one for each rule whose low-water mark is another, one for
//! the names of all rules, one for those that are paused. Knows nothing of when a checkpoint may move.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chunks::{self, Damage, Framed};
use super::proof_records::ProofRecord;
use crate::position::{FileOffset, FoundBy, GtidSet, Position, PositionParts, Resume, Within};
use crate::schema::Schema;

/// Name of the main stream's record.
pub(super) const MAIN: &[u8] = b"main";
/// Name of the record of all rules that have begun. Stores of earlier versions have none.
pub(super) const KNOWN: &[u8] = b"known";
/// Name of the record of rules that are paused.
pub(super) const PAUSED: &[u8] = b"paused";
/// What the names of rules' records begin with.
pub(super) const RULE_PREFIX: &[u8] = b"rule/";

/// Up to where ids of the former form may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormerIds {
    /// The end of the log has not been seen yet since the upgrade.
    Everywhere,
    /// In transactions up to here.
    UpTo(Position),
}

/// How far each rule is resolved. Replaces the set that was written before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSet {
    /// How far the main stream was read: valid for every rule that is not in `rules`.
    pub main: Resume,
    pub rules: Vec<RuleCheckpoint>,
    /// Every rule that has begun, also those in `rules`.
    pub known: Vec<Arc<str>>,
    /// None: every id that is stored has the current form.
    pub former_ids: Option<FormerIds>,
}

/// The low-water mark of a rule that is not at the position of the main stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCheckpoint {
    pub rule: Arc<str>,
    pub resume: Resume,
    /// Since when the rule is detached, in microseconds since the Unix epoch; none: it is attached.
    pub detached_since_us: Option<u64>,
}

/// A rule that is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedRule {
    pub rule: Arc<str>,
    /// In microseconds since the Unix epoch.
    pub since_us: u64,
    /// One line for people, without row values.
    pub why: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CheckpointRecord {
    server_uuid: String,
    gtids: Option<String>,
    file: String,
    offset: u64,
    within: Vec<WithinRecord>,
    /// The stored table definitions are valid at this position. An earlier version, which does not move them, leaves this
    /// out.
    #[serde(default)]
    has_definitions: bool,
    #[serde(default)]
    undecided: Vec<PlaceRecord>,
    /// Format 3 and before have none: there a position was found by its GTID set only, if there was one.
    #[serde(default)]
    found_by: Option<FoundByRecord>,
    /// Format 3 and before have none.
    #[serde(default)]
    proof: ProofRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FoundByRecord {
    Set,
    Place,
    Either,
}

#[derive(Serialize, Deserialize)]
struct RuleRecord {
    resume: CheckpointRecord,
    behind_since_us: Option<u64>,
    /// Its definitions are stored beside it; else they are the main stream's.
    has_own_definitions: bool,
}

/// A rule's record as it was read.
pub(super) struct StoredRule {
    pub resume: Resume,
    pub detached_since_us: Option<u64>,
    pub has_own_definitions: bool,
}

#[derive(Serialize, Deserialize)]
struct PausedRecord {
    rule: Box<str>,
    since_us: u64,
    why: String,
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

pub(super) fn rule_name(rule: &str) -> Vec<u8> {
    [RULE_PREFIX, rule.as_bytes()].concat()
}

pub(super) fn encode(resume: &Resume) -> Framed {
    Framed::json(&record(resume))
}

pub(super) fn encode_rule(rule: &RuleCheckpoint, has_own_definitions: bool) -> Framed {
    let RuleCheckpoint { resume, detached_since_us, .. } = rule;
    Framed::json(&RuleRecord { resume: record(resume), behind_since_us: *detached_since_us, has_own_definitions })
}

pub(super) fn encode_known(known: &[Arc<str>]) -> Framed {
    Framed::json(&known.iter().map(|rule| &**rule).collect::<Vec<&str>>())
}

pub(super) fn decode_known(content: &[u8]) -> Result<Vec<Arc<str>>, Damage> {
    Ok(chunks::decode::<Vec<Box<str>>>(content)?.into_iter().map(Arc::from).collect())
}

pub(super) fn encode_paused(paused: &[PausedRule]) -> Framed {
    let record = |PausedRule { rule, since_us, why }: &PausedRule| PausedRecord {
        rule: (**rule).into(),
        since_us: *since_us,
        why: why.clone(),
    };
    Framed::json(&paused.iter().map(record).collect::<Vec<_>>())
}

pub(super) fn decode_paused(content: &[u8]) -> Result<Vec<PausedRule>, Damage> {
    let rule = |PausedRecord { rule, since_us, why }| PausedRule { rule: rule.into(), since_us, why };
    Ok(chunks::decode::<Vec<PausedRecord>>(content)?.into_iter().map(rule).collect())
}

pub(super) fn record(resume: &Resume) -> CheckpointRecord {
    let position = resume.position.parts();
    CheckpointRecord {
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
        found_by: Some(match position.found_by {
            FoundBy::Set => FoundByRecord::Set,
            FoundBy::Place => FoundByRecord::Place,
            FoundBy::Either => FoundByRecord::Either,
        }),
        proof: ProofRecord::of(&position.proof),
    }
}

/// `schema` is what is stored beside the record.
pub(super) fn decode(content: &[u8], schema: Arc<Schema>) -> Result<Resume, Damage> {
    resume_of(chunks::decode(content)?, schema)
}

/// The definitions are left out: they may be the rule's own, or the main stream's.
pub(super) fn decode_rule(content: &[u8]) -> Result<StoredRule, Damage> {
    let RuleRecord { resume, behind_since_us: detached_since_us, has_own_definitions } = chunks::decode(content)?;
    Ok(StoredRule { resume: resume_of(resume, Arc::default())?, detached_since_us, has_own_definitions })
}

pub(super) fn resume_of(record: CheckpointRecord, schema: Arc<Schema>) -> Result<Resume, Damage> {
    let content = |error: &dyn std::fmt::Display| Damage::Content(error.to_string());
    let found_by = match record.found_by {
        Some(FoundByRecord::Place) => FoundBy::Place,
        Some(FoundByRecord::Either) => FoundBy::Either,
        Some(FoundByRecord::Set) => FoundBy::Set,
        None if record.gtids.is_some() => FoundBy::Set,
        None => FoundBy::Place,
    };
    Ok(Resume {
        position: Position::from_parts(PositionParts {
            server_uuid: Uuid::try_parse(&record.server_uuid).map_err(|error| content(&error))?,
            gtids: record.gtids.map(|text| text.parse()).transpose().map_err(|error| content(&error))?,
            file: FileOffset { file: record.file.into(), offset: record.offset },
            undecided: record
                .undecided
                .into_iter()
                .map(|PlaceRecord { file, offset }| FileOffset { file: file.into(), offset })
                .collect(),
            found_by,
            proof: record.proof.read().map_err(|error| content(&error))?,
        }),
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
    use crate::position::{Anchor, Proof};

    #[test]
    fn a_checkpoint_reads_back_the_same() {
        let uuid = Uuid::from_u128(7);
        let within = vec![Within { transaction: "t".into(), table: "shop.orders".into(), rows: u64::MAX }];
        for (gtids, found_by, within) in [
            (None, FoundBy::Place, vec![]),
            (Some(GtidSet::new()), FoundBy::Set, within.clone()),
            (Some(format!("{uuid}:1-5:9").parse().expect("a set")), FoundBy::Place, within.clone()),
            (Some(format!("{uuid}:1-5:9:tag:3").parse().expect("a set")), FoundBy::Either, within),
        ] {
            let file = FileOffset { file: "binlog.000007".into(), offset: u64::MAX };
            let undecided = [file.clone(), FileOffset { offset: 4, ..file.clone() }].into();
            let newest = gtids.iter().flat_map(GtidSet::newest).map(Some).chain([None]);
            let proof = Proof::new(newest.map(|gtid| Anchor::of_test(gtid, u64::MAX)).collect(), Some(u32::MAX));
            let resume = Resume {
                position: Position::from_parts(PositionParts {
                    server_uuid: uuid,
                    gtids,
                    file,
                    undecided,
                    found_by,
                    proof,
                }),
                within,
                schema: Default::default(),
            };
            let framed = encode(&resume);
            let read = chunks::read::<Damage>(|chunk| Ok(framed.chunks().nth(chunk as usize).map(|(_, c)| c.into())));
            assert_eq!(decode(&read.expect("whole").expect("there"), Arc::default()).as_ref(), Ok(&resume));
            let rule = RuleCheckpoint { rule: "r".into(), resume, detached_since_us: Some(5) };
            let framed = encode_rule(&rule, true);
            let read = chunks::read::<Damage>(|chunk| Ok(framed.chunks().nth(chunk as usize).map(|(_, c)| c.into())));
            let read = decode_rule(&read.expect("whole").expect("there")).expect("a rule's record");
            assert_eq!((read.resume, read.detached_since_us, read.has_own_definitions), (rule.resume, Some(5), true));
        }
    }

    #[test]
    fn a_position_of_an_earlier_version_is_found_by_its_set_if_it_has_one() {
        for (gtids, found_by) in [("null", FoundBy::Place), ("\"\"", FoundBy::Set)] {
            let text = format!(
                r#"{{"server_uuid":"00000000-0000-0000-0000-000000000007","gtids":{gtids},"file":"b.1","offset":4,"within":[]}}"#
            );
            let read = decode(text.as_bytes(), Arc::default()).expect("a checkpoint");
            assert_eq!(read.position.parts().found_by, found_by, "{gtids}");
        }
    }

    #[test]
    fn definitions_beside_a_checkpoint_of_an_earlier_version_are_not_taken_for_those_of_its_place() {
        let mut schema = Schema::default();
        let definition = crate::schema::Definition::default();
        schema.insert(crate::schema::TableName::new("shop", "orders"), definition.into());
        let schema = Arc::new(schema);
        let text =
            r#"{"server_uuid":"00000000-0000-0000-0000-000000000007","gtids":null,"file":"b.1","offset":4,"within":[]"#;
        let decoded = |end: &str| decode(format!("{text}{end}").as_bytes(), Arc::clone(&schema)).expect("a checkpoint");
        assert_eq!(decoded("}").schema, Arc::default());
        assert_eq!(decoded(r#","has_definitions":true}"#).schema, schema);
    }
}
