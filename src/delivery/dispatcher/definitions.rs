//! Key definitions of the deliveries that come in: which further lanes a delivery takes while deliveries are open whose keys
//! were made under another definition of its table's key.
//!
//! In: a delivery. Out: the same, with its lanes under each other open definition, or that definition to be waited for as a
//! whole. Owns the definitions of the tables of each rule. Where only one definition is open, as nearly always, a delivery
//! costs two searches in hash maps.

use std::sync::Arc;

use super::Dispatcher;
use crate::change::{Change, Row, Table};
use crate::column::ColumnKind;
use crate::delivery::Delivery;
use crate::delivery::lane::RuleNumber;
use crate::ordering::{DefinitionId, KeyDefinition, LaneKey, MoreKeys};
use crate::rules::{OrderBy, Rule};

/// The definitions of so many tables are kept. Each replayed dead letter may bring one.
const TABLES_MAX: usize = 32;

/// The current key definitions of one rule, by table.
#[derive(Debug, Default)]
pub(super) struct KeyDefinitions {
    rule: Option<Arc<Rule>>,
    tables: Vec<Known>,
    /// The definitions of the changes that were gathered last, one for each table.
    gathered: Vec<DefinitionId>,
}

#[derive(Debug)]
struct Known {
    table: Arc<Table>,
    kinds: Option<Arc<[ColumnKind]>>,
    definition: Arc<KeyDefinition>,
}

impl KeyDefinitions {
    /// None: the rule keeps no order.
    pub fn definition(&mut self, rule: &Arc<Rule>, change: &Change) -> Option<&Arc<KeyDefinition>> {
        if rule.order_by == OrderBy::None {
            return None;
        }
        if self.rule.as_ref().is_none_or(|known| !Arc::ptr_eq(known, rule)) {
            self.tables.clear();
            self.rule = Some(Arc::clone(rule));
        }
        let kinds = change.row().and_then(Row::kinds);
        let known = self.tables.iter().position(|known| known.is_of(&change.table, kinds));
        let known = match known {
            Some(known) => known,
            None => {
                if self.tables.len() >= TABLES_MAX {
                    self.tables.clear();
                }
                let definition = Arc::new(rule.key_definition(&change.table, change.row())?);
                self.tables.push(Known { table: Arc::clone(&change.table), kinds: kinds.cloned(), definition });
                self.tables.len() - 1
            }
        };
        Some(&self.tables[known].definition)
    }

    /// Whether the changes of this definition's table that were gathered last were made under another one. This definition
    /// is kept from now on.
    fn begins_another(&mut self, id: DefinitionId) -> bool {
        if let Some(known) = self.gathered.iter_mut().find(|known| known.table == id.table) {
            return std::mem::replace(known, id) != id;
        }
        let is_full = self.gathered.len() >= TABLES_MAX;
        if is_full {
            self.gathered.clear();
        }
        self.gathered.push(id);
        is_full
    }
}

impl Known {
    fn is_of(&self, table: &Arc<Table>, kinds: Option<&Arc<[ColumnKind]>>) -> bool {
        let is_same = match (&self.kinds, kinds) {
            (Some(own), Some(kinds)) => Arc::ptr_eq(own, kinds),
            (own, kinds) => own.is_none() && kinds.is_none(),
        };
        is_same && Arc::ptr_eq(&self.table, table)
    }
}

impl Dispatcher {
    /// Makes the delivery wait for all earlier ones that may be of the same row and whose keys were made under another
    /// definition of the table's key: those in the lanes, and dead letters that block their keys.
    pub(super) fn take_lanes_of_other_definitions(&mut self, rule: RuleNumber, delivery: &mut Delivery) {
        let keys = &mut self.known[rule as usize].keys;
        let Some(id) = keys.definition(&delivery.rule, &delivery.change).map(|definition| definition.id()) else {
            return;
        };
        if delivery.rule.gathers() && keys.begins_another(id) {
            // The deliveries that were gathered before have no place in the lanes yet.
            self.end_gathering(rule);
        }
        let others = self.lanes.other_definitions(id);
        if others.is_empty() {
            return;
        }
        let Some(definition) = self.known[rule as usize].keys.definition(&delivery.rule, &delivery.change) else {
            return;
        };
        delivery.more = MoreKeys::union(delivery.more.take(), more_keys(delivery, definition, &others));
    }
}

fn more_keys(delivery: &Delivery, own: &KeyDefinition, others: &[Arc<KeyDefinition>]) -> Option<Arc<MoreKeys>> {
    let Delivery { rule, change, .. } = delivery;
    let own_keys = rule.ordering_keys(change);
    let mut more = MoreKeys::default();
    for other in others {
        match other.lanes_of(change, own) {
            Some(lanes) => more.keys.extend(lanes.iter().filter(|key: &LaneKey| own_keys.position(*key).is_none())),
            None => more.definitions.push(other.id()),
        }
    }
    more.keys.sort_unstable();
    more.keys.dedup();
    (more != MoreKeys::default()).then(|| Arc::new(more))
}
