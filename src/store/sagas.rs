//! Sagas: the logs of deliveries that take more than one call, or one that must not happen twice.
//!
//! In: what the pipeline writes down before and after each action. Out: the sagas under way, for a restart; and the saga of a
//! dead letter. One tree has the logs, another the changes of sagas that no dead letter has; a third says which dead letters
//! a saga belongs to, and stays short however long the log is. Reads only; the writer alone writes. Decides nothing.

use std::sync::Arc;

use uuid::Uuid;

use super::Error;
use super::chunks;
use super::letter_records;
use super::saga_records::{self, OfLetters};
use super::trees::Trees;
use super::walk;
use crate::change::{Change, DeliveryId};
use crate::saga::{SagaEffect, SagaLog};

/// A saga log to be stored.
#[derive(Debug, Clone)]
pub struct SagaPut {
    pub id: DeliveryId,
    pub rule: Arc<str>,
    pub log: Arc<SagaLog>,
    /// With the first put of a saga that no dead letter has: kept until the saga is removed or a dead letter has it.
    pub change: Option<Arc<Change>>,
    /// The dead letter that it belongs to; nothing is written if that one is gone. A dead letter of the same write is found by
    /// its delivery id.
    pub letter: Option<u64>,
}

/// A saga that was under way.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSaga {
    pub id: DeliveryId,
    pub rule: Arc<str>,
    pub log: SagaLog,
    pub change: Arc<Change>,
}

impl Trees {
    /// The sagas that no dead letter has.
    pub(super) fn sagas_under_way(&self) -> Result<Vec<StoredSaga>, Error> {
        let mut sagas = Vec::new();
        for key in walk::all(&self.sagas).keys() {
            let key = key.map_err(Error::read(&self.directory))?;
            let Some((name, [0, 0, 0, 0])) = key.split_last_chunk::<4>() else { continue };
            let id = Uuid::from_slice(name).map_err(|error| Error::record("a saga", error))?;
            if self.of_letters(DeliveryId(id))?.is_none() {
                sagas.extend(self.under_way(DeliveryId(id))?);
            }
        }
        Ok(sagas)
    }

    /// None: there is no such saga.
    pub(super) fn under_way(&self, id: DeliveryId) -> Result<Option<StoredSaga>, Error> {
        let Some((rule, log)) = self.saga(id)? else { return Ok(None) };
        let called = || format!("the change of saga {id}");
        let content = self.record(&self.saga_changes, id.0.as_bytes(), called)?;
        let content = content.ok_or_else(|| Error::record(called(), "it is missing"))?;
        let change = letter_records::decode_change(&content).map_err(|damage| Error::record(called(), damage))?;
        Ok(Some(StoredSaga { id, rule: rule.into(), log, change: Arc::new(change) }))
    }

    /// The name of its rule, and its log.
    pub(super) fn saga(&self, id: DeliveryId) -> Result<Option<(Box<str>, SagaLog)>, Error> {
        let called = || format!("saga {id}");
        let Some(content) = self.record(&self.sagas, id.0.as_bytes(), called)? else { return Ok(None) };
        saga_records::decode_log(&content).map(Some).map_err(|damage| Error::record(called(), damage))
    }

    /// The effect of the saga; none if no dead letter has it.
    pub(super) fn effect(&self, id: DeliveryId) -> Result<Option<SagaEffect>, Error> {
        Ok(self.of_letters(id)?.map(|of| of.effect))
    }

    pub(super) fn of_letters(&self, id: DeliveryId) -> Result<Option<OfLetters>, Error> {
        let called = || format!("the dead letters of saga {id}");
        let Some(content) = self.record(&self.saga_letters, id.0.as_bytes(), called)? else { return Ok(None) };
        saga_records::decode_of_letters(&content).map(Some).map_err(|damage| Error::record(called(), damage))
    }
}

/// The key of one chunk of a saga's records.
pub(super) fn chunk_key(id: DeliveryId, chunk: u32) -> Vec<u8> {
    chunks::key(id.0.as_bytes(), chunk)
}
