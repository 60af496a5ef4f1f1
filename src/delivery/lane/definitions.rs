//! Which key definitions have calls in the lanes, and which calls wait for all calls of one.
//!
//! In: calls as they enter and leave, each with the definitions that its deliveries' keys are made by. Out: the other open
//! definitions of the same rule and table, under which a new call has to take its lanes, too; and the calls whose wait for
//! a whole definition is over. No call waits for a call that came later. Bounded by the calls in the lanes and, for tables
//! without any, by `TABLES_MAX`.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::Place;
use super::links::KeyHasher;
use crate::ordering::{DefinitionId, KeyDefinition};

/// Tables without an open call that are remembered, so that the next call costs no allocation.
const TABLES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct LaneDefinitions {
    tables: HashMap<u64, Vec<Open>, BuildHasherDefault<KeyHasher>>,
}

/// A definition with the calls made under it.
#[derive(Debug)]
struct Open {
    definition: Arc<KeyDefinition>,
    /// The calls in the order in which they came, divided into spans where a call waits for those before; never empty.
    spans: VecDeque<DefinitionSpan>,
    /// The number of the first span.
    first: u64,
}

#[derive(Debug, Default)]
struct DefinitionSpan {
    calls: u32,
    /// Calls of other definitions that wait until nothing of this span and of those before it is left.
    waiting: Vec<Place>,
}

/// A call's part in a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DefinitionPart {
    pub id: DefinitionId,
    span: u64,
}

/// The definitions of a call: one of each delivery, those without order left out.
#[derive(Debug, Default)]
pub(super) enum Under {
    #[default]
    None,
    One(DefinitionPart),
    Many(Box<[DefinitionPart]>),
}

impl Under {
    pub fn parts(&self) -> &[DefinitionPart] {
        match self {
            Under::None => &[],
            Under::One(part) => std::slice::from_ref(part),
            Under::Many(parts) => parts,
        }
    }
}

impl Open {
    fn new(definition: &Arc<KeyDefinition>) -> Open {
        Open { definition: Arc::clone(definition), spans: VecDeque::from([DefinitionSpan::default()]), first: 0 }
    }

    fn is_open(&self) -> bool {
        self.spans.iter().any(|span| span.calls > 0)
    }

    fn last(&mut self) -> &mut DefinitionSpan {
        self.spans.back_mut().expect("never empty")
    }

    fn join(&mut self) -> DefinitionPart {
        if !self.last().waiting.is_empty() {
            self.spans.push_back(DefinitionSpan::default());
        }
        self.last().calls += 1;
        DefinitionPart { id: self.definition.id(), span: self.first + self.spans.len() as u64 - 1 }
    }

    fn leave(&mut self, span: u64) -> Vec<Place> {
        self.spans[(span - self.first) as usize].calls -= 1;
        let mut woken = Vec::new();
        while self.spans[0].calls == 0 {
            if self.spans.len() == 1 {
                woken.append(&mut self.spans[0].waiting);
                break;
            }
            woken.extend(self.spans.pop_front().into_iter().flat_map(|span| span.waiting));
            self.first += 1;
        }
        woken
    }
}

impl LaneDefinitions {
    /// The definitions of this rule's table with calls in the lanes, besides this one.
    pub fn others(&self, own: DefinitionId) -> impl Iterator<Item = &Arc<KeyDefinition>> {
        let of_table = self.tables.get(&own.table).map_or(&[][..], Vec::as_slice);
        of_table.iter().filter(move |open| open.definition.id() != own && open.is_open()).map(|open| &open.definition)
    }

    /// Another call is made under this definition.
    pub fn join(&mut self, definition: &Arc<KeyDefinition>) -> DefinitionPart {
        let id = definition.id();
        if self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&id.table) {
            self.tables.retain(|_, of_table| of_table.iter().any(Open::is_open));
        }
        let of_table = self.tables.entry(id.table).or_default();
        let known = of_table.iter().position(|open| open.definition.id() == id).unwrap_or_else(|| {
            of_table.retain(Open::is_open);
            of_table.push(Open::new(definition));
            of_table.len() - 1
        });
        of_table[known].join()
    }

    /// A call that was made under this definition is released. Returns the calls whose wait for it is over.
    pub fn leave(&mut self, part: DefinitionPart) -> Vec<Place> {
        self.find(part.id).map(|open| open.leave(part.span)).unwrap_or_default()
    }

    /// Makes this call wait for all calls that are made under the definition so far; false: there are none.
    pub fn wait(&mut self, id: DefinitionId, place: Place) -> bool {
        let Some(open) = self.find(id).filter(|open| open.is_open()) else { return false };
        open.last().waiting.push(place);
        true
    }

    fn find(&mut self, id: DefinitionId) -> Option<&mut Open> {
        self.tables.get_mut(&id.table)?.iter_mut().find(|open| open.definition.id() == id)
    }
}
