//! Ordering keys as values: two deliveries with a common key are sent one after the other (promise 2).
//!
//! A key is a hash of the values of a row's key columns, in a form that does not depend on their types. Delivery queues
//! by it; the store keeps it with dead letters that block it. A change also waits in the lanes that it has under
//! earlier key definitions with deliveries that are still open; where such lanes can't be determined, it waits for all
//! of those deliveries.
//! Plain data; `blocked` says which keys are blocked by dead letters.

use std::sync::Arc;

mod blocked;
mod definition;
mod form;

pub use blocked::{BlockedKeys, BlockedQueue};
pub use definition::{Declared, DefinitionId, KeyColumn, KeyDefinition, OrderedBy, lane};
pub use form::KeyHash;

/// To be increased when keys are computed in another way: the store then computes the keys of its dead letters again.
pub const LANE_FORM: u64 = 2;

/// Identity of a lane: rule, table and the values that deliveries are ordered by. Stands on disk, see [`LANE_FORM`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey(pub u64);

/// The lanes that a delivery has to wait in: none, one, or both of an update that changes its key, and those of earlier
/// key definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneKeys {
    own: [Option<LaneKey>; 2],
    more: Option<Arc<MoreKeys>>,
}

/// Further lanes that a delivery takes, and definitions that it waits for, besides the lanes of its own key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MoreKeys {
    /// Its lanes under other key definitions.
    pub keys: Vec<LaneKey>,
    /// It waits for all earlier deliveries whose keys were made under these definitions.
    pub definitions: Vec<DefinitionId>,
    /// For a dead letter: the definition that its own key was made under.
    pub made_under: Option<Arc<KeyDefinition>>,
}

impl LaneKeys {
    pub fn none() -> LaneKeys {
        LaneKeys { own: [None, None], more: None }
    }

    pub fn one(key: LaneKey) -> LaneKeys {
        LaneKeys { own: [Some(key), None], more: None }
    }

    /// Both keys; equal ones are one.
    pub fn two(old: LaneKey, new: LaneKey) -> LaneKeys {
        LaneKeys { own: [Some(old), (old != new).then_some(new)], more: None }
    }

    /// As they stand on disk: any number of keys, each once.
    pub fn stored(
        keys: Vec<LaneKey>,
        definitions: Vec<DefinitionId>,
        made_under: Option<Arc<KeyDefinition>>,
    ) -> LaneKeys {
        let mut keys = keys.into_iter();
        let own = [keys.next(), keys.next()];
        LaneKeys { own, more: None }.with(MoreKeys { keys: keys.collect(), definitions, made_under })
    }

    /// The same and more.
    pub fn with(self, more: MoreKeys) -> LaneKeys {
        match more == MoreKeys::default() {
            true => LaneKeys { more: None, ..self },
            false => LaneKeys { more: Some(Arc::new(more)), ..self },
        }
    }

    pub fn with_shared(self, more: Option<Arc<MoreKeys>>) -> LaneKeys {
        LaneKeys { more, ..self }
    }

    /// Only the lanes of the own key.
    pub fn own(&self) -> LaneKeys {
        LaneKeys { own: self.own, more: None }
    }

    pub fn is_empty(&self) -> bool {
        self.own[0].is_none()
    }

    /// Whether there are only keys of its own.
    pub fn is_plain(&self) -> bool {
        self.more.is_none()
    }

    /// All its lanes.
    pub fn iter(&self) -> impl Iterator<Item = LaneKey> {
        self.own.into_iter().flatten().chain(self.more.iter().flat_map(|more| more.keys.iter().copied()))
    }

    /// The definitions that it waits for as a whole.
    pub fn definitions(&self) -> &[DefinitionId] {
        self.more.as_ref().map_or(&[], |more| &more.definitions)
    }

    /// The definition that the own key of a dead letter was made under.
    pub fn made_under(&self) -> Option<&Arc<KeyDefinition>> {
        self.more.as_ref()?.made_under.as_ref()
    }

    /// The index of a key among its own keys.
    pub fn position(&self, key: LaneKey) -> Option<usize> {
        self.own.iter().position(|own| *own == Some(key))
    }
}

impl MoreKeys {
    /// Both together; None where both are empty.
    pub fn union(one: Option<Arc<MoreKeys>>, other: Option<Arc<MoreKeys>>) -> Option<Arc<MoreKeys>> {
        let (one, other) = match (one, other) {
            (Some(one), Some(other)) => (one, other),
            (one, other) => return one.or(other),
        };
        let mut both = (*one).clone();
        both.keys.extend(&other.keys);
        both.definitions.extend(&other.definitions);
        both.keys.sort_unstable();
        both.keys.dedup();
        both.definitions.sort_unstable();
        both.definitions.dedup();
        Some(Arc::new(both))
    }
}
