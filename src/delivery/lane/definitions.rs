//! Which key definitions have calls in the lanes, and who waits for all calls of one.
//!
//! In: calls as they enter and leave, each with the definitions that its deliveries' keys are made by. Out: the other open
//! definitions of the same rule and table, under which a new call has to take its lanes, too; and the calls whose wait for
//! a whole definition is over. Bounded by the calls in the lanes and, for tables without any, by `TABLES_MAX`.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::Place;
use super::links::KeyHasher;
use crate::ordering::{DefinitionId, KeyDefinition};

/// Tables without an open call that are remembered, so that the next call costs no allocation.
const TABLES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Definitions {
    tables: HashMap<u64, Vec<Open>, BuildHasherDefault<KeyHasher>>,
}

/// A definition with the calls made under it.
#[derive(Debug)]
struct Open {
    definition: Arc<KeyDefinition>,
    calls: u32,
    /// Calls of other definitions that wait until there are none.
    waiting: Vec<Place>,
}

/// The definitions of a call: one of each delivery, those without order left out.
#[derive(Debug, Default)]
pub(super) enum Under {
    #[default]
    None,
    One(DefinitionId),
    Many(Box<[DefinitionId]>),
}

impl Under {
    pub fn ids(&self) -> &[DefinitionId] {
        match self {
            Under::None => &[],
            Under::One(id) => std::slice::from_ref(id),
            Under::Many(ids) => ids,
        }
    }
}

impl Definitions {
    /// The definitions of this rule's table with calls in the lanes, besides this one.
    pub fn others(&self, own: DefinitionId) -> impl Iterator<Item = &Arc<KeyDefinition>> {
        let of_table = self.tables.get(&own.table).map_or(&[][..], Vec::as_slice);
        of_table.iter().filter(move |open| open.calls > 0 && open.definition.id() != own).map(|open| &open.definition)
    }

    /// Another call is made under this definition.
    pub fn join(&mut self, definition: &Arc<KeyDefinition>) {
        let id = definition.id();
        if self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&id.table) {
            self.tables.retain(|_, of_table| of_table.iter().any(|open| open.calls > 0));
        }
        let of_table = self.tables.entry(id.table).or_default();
        match of_table.iter_mut().find(|open| open.definition.id() == id) {
            Some(open) => open.calls += 1,
            None => {
                of_table.retain(|open| open.calls > 0);
                of_table.push(Open { definition: Arc::clone(definition), calls: 1, waiting: Vec::new() });
            }
        }
    }

    /// A call that was made under this definition is released; those whose wait is over thereby.
    pub fn leave(&mut self, id: DefinitionId) -> Vec<Place> {
        let Some(open) = self.find(id) else { return Vec::new() };
        open.calls -= 1;
        if open.calls > 0 { Vec::new() } else { std::mem::take(&mut open.waiting) }
    }

    /// Has this call wait for all that are made under the definition; false: there are none.
    pub fn wait(&mut self, id: DefinitionId, place: Place) -> bool {
        let Some(open) = self.find(id).filter(|open| open.calls > 0) else { return false };
        open.waiting.push(place);
        true
    }

    fn find(&mut self, id: DefinitionId) -> Option<&mut Open> {
        self.tables.get_mut(&id.table)?.iter_mut().find(|open| open.definition.id() == id)
    }
}
