//! The trees of the store, and reads from them.
//!
//! In: an opened database. Out: checkpoint, definitions, ledger, single dead letters as they are at this moment; many are
//! read in `letter_reads.rs`, sagas in `sagas.rs`. A read may run beside the writer: a record that the writer is replacing is recognised by its
//! checksum and read again. Writes nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::checkpoint::RuleCheckpoint;
use super::chunks::{self, Damage};
use super::dead_letters::{DeadLetter, DeadLetterHead};
use super::definitions::Owner;
use super::letter_records::HeadRecord;
use super::recorded::{Recorded, RecordedRule};
use super::{Error, Ledger, Saved, SavedCheckpoint, checkpoint, definitions, former_ids, letter_records, walk};
use crate::change::DeliveryId;
use crate::schema::Schema;

pub(super) const NEXT_NUMBER: &[u8] = b"dead_letters_next";
pub(super) const LETTER_COUNT: &[u8] = b"dead_letters_count";
pub(super) const BLOCKED_COUNT: &[u8] = b"dead_letters_held";
pub(super) const RESOLVED_COUNT: &[u8] = b"dead_letters_resolved";
pub(super) const AWAITING_COUNT: &[u8] = b"operations_awaiting";
/// Transactions of the writer.
pub(super) const WRITE_COUNT: &[u8] = b"writes";
/// Up to when calls may have been made that the store does not know, because it was restored.
pub(super) const RESTORED_UNTIL_US: &[u8] = b"restored_until_us";
/// Which store it is (16 bytes); earlier versions gave none.
pub(super) const STORE_ID: &[u8] = b"store_id";
/// The form of the ordering keys of all dead letters.
pub(super) const LANE_FORM_STORED: &[u8] = b"lane_form";

/// So many times a record with a wrong checksum is read before it counts as damaged. The writer replaces a record
/// within microseconds, and the same one once per replay, so the second read is enough in practice.
const READS_MAX: usize = 5;

#[derive(Debug, Clone)]
pub(super) struct Trees {
    pub directory: PathBuf,
    /// Counters.
    pub meta: sled::Tree,
    /// Records of `checkpoint.rs` by name.
    pub checkpoints: sled::Tree,
    /// Records of `definitions.rs` by table.
    pub definitions: sled::Tree,
    /// Names of rules by delivery id (16 bytes); entries of earlier versions are empty.
    pub ledger: sled::Tree,
    /// Heads of dead letters by number, with their changes where these are short.
    pub heads: sled::Tree,
    /// Long changes of dead letters by number; in formats up to 7, all.
    pub changes: sled::Tree,
    /// Bodies of dead letters that were edited, by number (`edited_bodies.rs`).
    pub bodies: sled::Tree,
    /// Entries of `blocked_keys.rs`.
    pub holds: sled::Tree,
    /// Saga logs by delivery id (16 bytes).
    pub sagas: sled::Tree,
    /// Changes of sagas that no dead letter has, by delivery id.
    pub saga_changes: sled::Tree,
    /// Which dead letters a saga belongs to, by delivery id.
    pub saga_letters: sled::Tree,
}

impl Trees {
    pub(super) fn open(db: &sled::Db, directory: &Path) -> Result<Trees, sled::Error> {
        Ok(Trees {
            directory: directory.to_path_buf(),
            meta: db.open_tree("meta")?,
            checkpoints: db.open_tree("checkpoints")?,
            definitions: db.open_tree("definitions")?,
            ledger: db.open_tree("ledger")?,
            heads: db.open_tree("dead_letter_heads")?,
            changes: db.open_tree("dead_letter_changes")?,
            bodies: db.open_tree("dead_letter_bodies")?,
            holds: db.open_tree("holds")?,
            sagas: db.open_tree("operations")?,
            saga_changes: db.open_tree("operation_changes")?,
            saga_letters: db.open_tree("operation_letters")?,
        })
    }

    /// Each with what it contains, in words. Backups number the trees in this order.
    pub(super) fn named(&self) -> [(&'static str, &sled::Tree); 11] {
        [
            ("counters", &self.meta),
            ("checkpoints", &self.checkpoints),
            ("table definitions", &self.definitions),
            ("ledger", &self.ledger),
            ("dead letters", &self.heads),
            ("changes of dead letters", &self.changes),
            ("blocked keys", &self.holds),
            ("sagas", &self.sagas),
            ("changes of sagas", &self.saga_changes),
            ("which dead letters have sagas", &self.saga_letters),
            ("edited bodies of dead letters", &self.bodies),
        ]
    }

    pub(super) fn store_id(&self) -> Result<Option<Uuid>, Error> {
        let Some(value) = walk::get(&self.meta, STORE_ID).map_err(Error::read(&self.directory))? else {
            return Ok(None);
        };
        Uuid::from_slice(&value).map(Some).map_err(|error| Error::record("the store's id", error))
    }

    pub(super) fn paused(&self) -> Result<Vec<checkpoint::PausedRule>, Error> {
        let paused = self.record(&self.checkpoints, checkpoint::PAUSED, || "the list of paused rules".to_string())?;
        let paused = paused.map(|content| checkpoint::decode_paused(&content)).transpose();
        Ok(paused.map_err(|damage| Error::record("the list of paused rules", damage))?.unwrap_or_default())
    }

    pub(super) fn saved(&self) -> Result<Saved, Error> {
        let paused = self.paused()?;
        let Recorded { main, rules, known, former_ids, schema: _ } = self.recorded()?;
        let needs = self.needs()?;
        let restored_until_us = self.counter(RESTORED_UNTIL_US)?;
        let Some(main) = main else { return Ok(Saved { paused, needs, restored_until_us, ..Saved::default() }) };
        let mut rules: Vec<RuleCheckpoint> = rules.into_values().map(|rule| rule.checkpoint).collect();
        rules.sort_by(|one, other| one.rule.cmp(&other.rule));
        let checkpoint = SavedCheckpoint { main, rules, known, ledger: self.ledger()?, former_ids };
        Ok(Saved { checkpoint: Some(checkpoint), paused, needs, lost: None, restored_until_us })
    }

    fn ledger(&self) -> Result<Ledger, Error> {
        let mut ledger = Ledger::default();
        for entry in walk::all(&self.ledger) {
            let (key, rule) = entry.map_err(Error::read(&self.directory))?;
            let id = Uuid::from_slice(&key).map_err(|error| Error::record("a ledger entry", error))?;
            let rule = std::str::from_utf8(&rule).map_err(|error| Error::record("a ledger entry", error))?;
            let of_rule = match (rule, ledger.by_rule.get_mut(rule)) {
                ("", _) => &mut ledger.of_any_rule,
                (_, Some(known)) => known,
                (_, None) => ledger.by_rule.entry(rule.into()).or_default(),
            };
            of_rule.insert(DeliveryId(id));
        }
        Ok(ledger)
    }

    /// Checkpoints and definitions as they are stored.
    pub(super) fn recorded(&self) -> Result<Recorded, Error> {
        let (schema, mut own) = self.definitions()?;
        let schema = Arc::new(schema);
        let mut recorded = Recorded { schema: Arc::clone(&schema), ..Recorded::default() };
        let damaged = |name: &'static str| move |damage: Damage| Error::record(name, damage);
        if let Some(content) = self.record(&self.checkpoints, checkpoint::MAIN, || "the checkpoint".to_string())? {
            recorded.main = Some(checkpoint::decode(&content, schema).map_err(damaged("the checkpoint"))?);
        }
        if let Some(content) = self.record(&self.checkpoints, checkpoint::KNOWN, || "the list of rules".to_string())? {
            recorded.known = Some(checkpoint::decode_known(&content).map_err(damaged("the list of rules"))?);
        }
        let called = "up to where delivery ids have the former form";
        if let Some(content) = self.record(&self.checkpoints, former_ids::FORMER_IDS, || called.to_string())? {
            recorded.former_ids = Some(former_ids::decode(&content).map_err(damaged(called))?);
        }
        for rule in self.recorded_rules()? {
            let name = Arc::clone(&rule.checkpoint.rule);
            recorded.rules.insert(name, rule);
        }
        let main = recorded.main.as_ref().map(|main| Arc::clone(&main.schema)).unwrap_or_default();
        for (name, rule) in &mut recorded.rules {
            let schema = match &mut rule.own {
                Some(schema) => {
                    *schema = Arc::new(own.remove(name).unwrap_or_default());
                    schema
                }
                None => &main,
            };
            rule.checkpoint.resume.schema = Arc::clone(schema);
        }
        Ok(recorded)
    }

    /// Without their definitions.
    pub(super) fn recorded_rules(&self) -> Result<Vec<RecordedRule>, Error> {
        let mut rules = Vec::new();
        for key in walk::prefix(&self.checkpoints, checkpoint::RULE_PREFIX).keys() {
            let key = key.map_err(Error::read(&self.directory))?;
            let Some((name, [0, 0, 0, 0])) = key.split_last_chunk::<4>() else { continue };
            let rule: Arc<str> = String::from_utf8_lossy(&name[checkpoint::RULE_PREFIX.len()..]).into();
            let called = || format!("the checkpoint of rule {rule}");
            if let Some(content) = self.record(&self.checkpoints, name, called)? {
                let stored = checkpoint::decode_rule(&content).map_err(|damage| Error::record(called(), damage))?;
                let own = stored.has_own_definitions.then(Arc::default);
                let (resume, detached_since_us) = (stored.resume, stored.detached_since_us);
                let checkpoint = RuleCheckpoint { rule, resume, detached_since_us };
                rules.push(RecordedRule { checkpoint, own });
            }
        }
        Ok(rules)
    }

    /// All definitions that are stored: the main stream's, and by rule those that are a rule's own.
    pub(super) fn definitions(&self) -> Result<(Schema, HashMap<Arc<str>, Schema>), Error> {
        let (mut main, mut own) = (Schema::default(), HashMap::<Arc<str>, Schema>::new());
        for key in walk::all(&self.definitions).keys() {
            let key = key.map_err(Error::read(&self.directory))?;
            let Some((name, [0, 0, 0, 0])) = key.split_last_chunk::<4>() else { continue };
            let damaged = |damage| Error::record("a table definition", damage);
            let (owner, table) = definitions::name_of(name).map_err(damaged)?;
            let called = || format!("the definition of {table}");
            if let Some(content) = self.record(&self.definitions, name, called)? {
                let definition = definitions::decode(&content).map_err(|damage| Error::record(called(), damage))?;
                let schema = match owner {
                    Owner::Main => &mut main,
                    Owner::Rule(rule) => own.entry(rule.into()).or_default(),
                };
                schema.insert(table, Arc::new(definition));
            }
        }
        Ok((main, own))
    }

    pub(super) fn letter(&self, number: u64) -> Result<Option<DeadLetter>, Error> {
        let Some(HeadRecord { head, change }) = self.head_record(number)? else { return Ok(None) };
        let of_its_own =
            || self.record(&self.changes, &number.to_be_bytes(), || format!("dead letter {number}'s change"));
        let change = if change.is_empty() { of_its_own()? } else { Some(change) };
        let Some(change) = change else {
            // Removed between the two reads; a head without a change is damage.
            return match self.head(number)? {
                None => Ok(None),
                Some(_) => Err(Error::record(format!("dead letter {number}"), "its change is missing")),
            };
        };
        let change = letter_records::decode_change(&change)
            .map_err(|damage| Error::record(format!("dead letter {number}"), damage))?;
        let body = match self.edited_body(&head)? {
            Ok(body) => body,
            // Edited or reverted between the two reads.
            Err(_) if self.head(number)?.is_none_or(|now| now.edit != head.edit) => return self.letter(number),
            Err(damage) => return Err(Error::record(format!("dead letter {number}"), damage)),
        };
        Ok(Some(DeadLetter { head, change, body }))
    }

    pub(super) fn head(&self, number: u64) -> Result<Option<DeadLetterHead>, Error> {
        Ok(self.head_record(number)?.map(|record| record.head))
    }

    pub(super) fn head_record(&self, number: u64) -> Result<Option<HeadRecord>, Error> {
        let name = || format!("dead letter {number}");
        let Some(content) = self.record(&self.heads, &number.to_be_bytes(), name)? else { return Ok(None) };
        letter_records::decode_head(number, &content).map(Some).map_err(|damage| Error::record(name(), damage))
    }

    pub(super) fn counter(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        let Some(value) = walk::get(&self.meta, key).map_err(Error::read(&self.directory))? else { return Ok(None) };
        let bytes = <[u8; 8]>::try_from(&*value)
            .map_err(|_| Error::record(String::from_utf8_lossy(key), format!("it has {} bytes", value.len())))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    pub(super) fn record(
        &self,
        tree: &sled::Tree,
        name: &[u8],
        called: impl Fn() -> String,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut reads = 0;
        loop {
            reads += 1;
            match chunks::read(|chunk| Ok::<_, ReadError>(walk::get(tree, chunks::key(name, chunk))?)) {
                Ok(content) => return Ok(content),
                Err(ReadError::Damage(_)) if reads < READS_MAX => {}
                Err(ReadError::Damage(damage)) => return Err(Error::record(called(), damage)),
                Err(ReadError::Sled(source)) => return Err(Error::read(&self.directory)(source)),
            }
        }
    }
}

/// The number in a chunk's key.
pub(super) fn number_of(key: &[u8]) -> Result<u64, Error> {
    match key.split_first_chunk::<8>() {
        Some((number, _)) => Ok(u64::from_be_bytes(*number)),
        None => Err(Error::record("a dead letter", format!("its key has {} bytes", key.len()))),
    }
}

enum ReadError {
    Damage(Damage),
    Sled(sled::Error),
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> ReadError {
        ReadError::Damage(damage)
    }
}

impl From<sled::Error> for ReadError {
    fn from(error: sled::Error) -> ReadError {
        ReadError::Sled(error)
    }
}
