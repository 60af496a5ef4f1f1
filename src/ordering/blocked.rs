//! Which ordering keys are blocked by dead letters, and by which.
//!
//! In: dead letters that enter and leave the queue of a key, from the store's one writer, before it answers that they
//! are durable. So a key is blocked before its dead letter is known to be durable. Out: whether a delivery may be
//! attempted; dead letters that came to the front of a queue and may have to be sent; and the key definitions of dead
//! letters that block keys. Clones are the same. Bounded by the blocked keys on disk: about 50 bytes for a key, for any
//! length of its queue, and about 100 for each definition.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{DefinitionId, KeyDefinition, LaneKey, LaneKeys};

/// See the module's header.
#[derive(Debug, Clone, Default)]
pub struct BlockedKeys {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The number of blocked keys, to be read without the lock: mostly 0.
    keys: AtomicUsize,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<LaneKey, BlockedQueue>,
    /// By the table of a rule: the definitions that its dead letters which block keys were made under, with their
    /// number. The front here is not next to be sent: dead letters of one definition do not wait for one another.
    definitions: HashMap<u64, Vec<(Arc<KeyDefinition>, BlockedQueue)>>,
    /// Dead letters that may have to be sent; at most one for each key.
    moved: BTreeSet<u64>,
}

/// The dead letters of one blocked key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockedQueue {
    /// The lowest number: the one that all others wait behind.
    pub front: u64,
    pub letters: u32,
}

impl BlockedKeys {
    /// As a store holds them when it is opened, with the definitions of the dead letters.
    pub fn new(
        queues: HashMap<LaneKey, BlockedQueue>,
        definitions: Vec<(Arc<KeyDefinition>, BlockedQueue)>,
    ) -> BlockedKeys {
        let blocked = BlockedKeys::default();
        blocked.shared.keys.store(queues.len(), Ordering::Release);
        let mut state = blocked.lock();
        state.queues = queues;
        for (definition, queue) in definitions {
            state.definitions.entry(definition.id().table).or_default().push((definition, queue));
        }
        drop(state);
        blocked
    }

    /// The dead letter that blocks one of these keys, or was made under one of the definitions; the oldest of several.
    pub fn blocker(&self, keys: impl IntoIterator<Item = LaneKey>, definitions: &[DefinitionId]) -> Option<u64> {
        if self.keys() == 0 {
            return None;
        }
        let state = self.lock();
        let keys = keys.into_iter().filter_map(|key| state.queues.get(&key)).map(|queue| queue.front).min();
        let whole =
            definitions.iter().filter_map(|definition| state.members(*definition)).map(|queue| queue.front).min();
        [keys, whole].into_iter().flatten().min()
    }

    /// The dead letters that this one, which is in the queues of these keys, waits behind; none when it is the next.
    pub fn ahead_of(&self, number: u64, keys: &LaneKeys) -> impl Iterator<Item = u64> + use<> {
        let mut ahead = Vec::new();
        if !keys.is_empty() {
            let state = self.lock();
            let queues = keys.iter().filter_map(|key| state.queues.get(&key).copied());
            let whole = keys.definitions().iter().filter_map(|definition| state.members(*definition));
            ahead.extend(queues.chain(whole).map(|queue| queue.front).filter(|front| *front < number));
        }
        ahead.into_iter()
    }

    /// The definitions that dead letters which block keys of this rule's table were made under, besides this one.
    pub fn other_definitions(&self, own: DefinitionId) -> Vec<Arc<KeyDefinition>> {
        if self.keys() == 0 {
            return Vec::new();
        }
        let state = self.lock();
        let of_table = state.definitions.get(&own.table).into_iter().flatten();
        of_table.map(|(definition, _)| definition).filter(|definition| definition.id() != own).cloned().collect()
    }

    /// How many keys are blocked.
    pub fn keys(&self) -> usize {
        self.shared.keys.load(Ordering::Acquire)
    }

    /// A dead letter that came to the front of a queue since the last call, and may have to be sent. Each is returned
    /// once.
    pub fn take_moved(&self) -> Option<u64> {
        self.lock().moved.pop_first()
    }

    /// Lists a dead letter as moved again, to be checked later.
    pub fn name_again(&self, number: u64) {
        self.lock().moved.insert(number);
        self.shared.moved.notify_one();
    }

    /// Whether this dead letter is listed as moved and not taken yet.
    pub fn is_moved(&self, number: u64) -> bool {
        self.lock().moved.contains(&number)
    }

    pub fn has_moved(&self) -> bool {
        !self.lock().moved.is_empty()
    }

    /// Resolves when there may be something for [`BlockedKeys::take_moved`]. Cancel-safe.
    pub async fn moved(&self) {
        loop {
            let notified = self.shared.moved.notified();
            if self.has_moved() {
                return;
            }
            notified.await;
        }
    }

    /// Lists every front as moved: after a start, and after a reload, when a rule may be able to send it now.
    pub fn inspect_all(&self) {
        let mut state = self.lock();
        let State { queues, moved, definitions: _ } = &mut *state;
        moved.extend(queues.values().map(|queue| queue.front));
        drop(state);
        self.shared.moved.notify_one();
    }

    /// Adds a durable dead letter to the end of these keys' queues. `waits`: it is a blocked delivery; if its queues
    /// are empty, it is listed as moved.
    pub fn add(&self, number: u64, keys: &LaneKeys, waits: bool) {
        if keys.is_empty() {
            return;
        }
        let mut state = self.lock();
        let mut is_next = waits;
        for key in keys.iter() {
            let queue = state.queues.entry(key).or_insert(BlockedQueue { front: number, letters: 0 });
            queue.letters += 1;
            is_next &= queue.front == number;
        }
        for definition in keys.definitions() {
            is_next &= state.members(*definition).is_none_or(|queue| queue.front > number);
        }
        if let Some(definition) = keys.made_under() {
            state.join(definition, number);
        }
        if is_next {
            state.moved.insert(number);
            self.shared.moved.notify_one();
        }
        self.shared.keys.store(state.queues.len(), Ordering::Release);
    }

    /// A dead letter has left these keys' queues; `next` finds the lowest number left in one. A key without dead letters is
    /// no longer blocked.
    ///
    /// # Errors
    ///
    /// Those of `next`; the queue stays as it was then.
    pub fn remove<E>(
        &self,
        number: u64,
        keys: &LaneKeys,
        next: impl Fn(LaneKey) -> Result<Option<u64>, E>,
    ) -> Result<(), E> {
        for key in keys.iter() {
            let Some(queue) = self.lock().queues.get(&key).copied() else { continue };
            // Outside the lock, because it reads from the disk; no other code changes queues meanwhile.
            let front = if queue.front == number { next(key)? } else { Some(queue.front) };
            let mut state = self.lock();
            match front {
                Some(front) => {
                    state.queues.insert(key, BlockedQueue { front, letters: queue.letters.saturating_sub(1) });
                    if front != queue.front {
                        state.moved.insert(front);
                        self.shared.moved.notify_one();
                    }
                }
                None => {
                    state.queues.remove(&key);
                }
            }
            self.shared.keys.store(state.queues.len(), Ordering::Release);
        }
        keys.made_under().map_or(Ok(()), |definition| self.leave(number, definition, next))
    }

    /// Removes a dead letter that was made under this definition. Those that wait for all dead letters of it may be
    /// next.
    fn leave<E>(
        &self,
        number: u64,
        definition: &KeyDefinition,
        next: impl Fn(LaneKey) -> Result<Option<u64>, E>,
    ) -> Result<(), E> {
        let id = definition.id();
        let Some(queue) = self.lock().members(id) else { return Ok(()) };
        let front = if queue.front == number { next(id.definition)? } else { Some(queue.front) };
        let mut state = self.lock();
        let left = front.map(|front| BlockedQueue { front, letters: queue.letters.saturating_sub(1) });
        state.set_members(id, left);
        let waiting = state.queues.get(&id.waiting()).map(|queue| queue.front);
        if let Some(waiting) = waiting.filter(|_| front != Some(queue.front)) {
            state.moved.insert(waiting);
            self.shared.moved.notify_one();
        }
        Ok(())
    }

    /// The queue of a key, if it is blocked.
    pub fn queue(&self, key: LaneKey) -> Option<BlockedQueue> {
        self.lock().queues.get(&key).copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic halfway through a change.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The dead letters that were made under a definition.
    fn members(&self, definition: DefinitionId) -> Option<BlockedQueue> {
        let mut of_table = self.definitions.get(&definition.table)?.iter();
        of_table.find(|(known, _)| known.id() == definition).map(|(_, queue)| *queue)
    }

    fn join(&mut self, definition: &Arc<KeyDefinition>, number: u64) {
        let of_table = self.definitions.entry(definition.id().table).or_default();
        match of_table.iter_mut().find(|(known, _)| known.id() == definition.id()) {
            Some((_, queue)) => queue.letters += 1,
            None => of_table.push((Arc::clone(definition), BlockedQueue { front: number, letters: 1 })),
        }
    }

    /// None: no dead letter is left.
    fn set_members(&mut self, id: DefinitionId, left: Option<BlockedQueue>) {
        let Some(of_table) = self.definitions.get_mut(&id.table) else { return };
        match (left, of_table.iter_mut().find(|(known, _)| known.id() == id)) {
            (Some(left), Some((_, queue))) => *queue = left,
            _ => of_table.retain(|(known, _)| known.id() != id),
        }
        if of_table.is_empty() {
            self.definitions.remove(&id.table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const A: LaneKey = LaneKey(1);
    const B: LaneKey = LaneKey(2);

    fn moved(blocked: &BlockedKeys) -> Vec<u64> {
        std::iter::from_fn(|| blocked.take_moved()).collect()
    }

    fn remove(blocked: &BlockedKeys, number: u64, keys: LaneKeys, next: Option<u64>) {
        blocked.remove(number, &keys, |_| Ok::<_, Infallible>(next)).expect("infallible");
    }

    #[test]
    fn a_key_is_blocked_by_its_oldest_letter_until_its_last_one_is_gone() {
        let blocked = BlockedKeys::default();
        blocked.add(17, &LaneKeys::one(A), false);
        blocked.add(18, &LaneKeys::one(A), true);
        assert_eq!(
            (blocked.blocker(LaneKeys::one(A).iter(), &[]), blocked.blocker(LaneKeys::one(B).iter(), &[])),
            (Some(17), None)
        );
        assert_eq!(blocked.ahead_of(18, &LaneKeys::one(A)).collect::<Vec<_>>(), [17]);
        moved(&blocked);
        remove(&blocked, 17, LaneKeys::one(A), Some(18));
        assert_eq!((blocked.blocker(LaneKeys::one(A).iter(), &[]), moved(&blocked)), (Some(18), vec![18]));
        assert_eq!(blocked.ahead_of(18, &LaneKeys::one(A)).count(), 0);
        remove(&blocked, 18, LaneKeys::one(A), None);
        assert_eq!((blocked.blocker(LaneKeys::one(A).iter(), &[]), blocked.keys()), (None, 0));
    }

    #[test]
    fn a_letter_that_leaves_the_middle_of_a_queue_moves_no_other() {
        let blocked = BlockedKeys::default();
        blocked.add(1, &LaneKeys::one(A), false);
        blocked.add(2, &LaneKeys::one(A), true);
        blocked.add(3, &LaneKeys::one(A), true);
        moved(&blocked);
        remove(&blocked, 2, LaneKeys::one(A), None);
        assert_eq!((blocked.queue(A), moved(&blocked)), (Some(BlockedQueue { front: 1, letters: 2 }), vec![]));
    }

    #[test]
    fn a_letter_of_two_keys_waits_in_both_queues() {
        let blocked = BlockedKeys::default();
        blocked.add(1, &LaneKeys::one(A), false);
        blocked.add(2, &LaneKeys::one(B), false);
        blocked.add(3, &LaneKeys::two(A, B), true);
        assert_eq!(blocked.ahead_of(3, &LaneKeys::two(A, B)).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(blocked.blocker(LaneKeys::two(B, A).iter(), &[]), Some(1), "the older one is named");
        remove(&blocked, 1, LaneKeys::one(A), Some(3));
        assert_eq!(blocked.ahead_of(3, &LaneKeys::two(A, B)).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_letter_with_nothing_left_to_wait_for_is_named_as_moved() {
        let blocked = BlockedKeys::default();
        blocked.add(1, &LaneKeys::one(A), false);
        remove(&blocked, 1, LaneKeys::one(A), None);
        blocked.add(2, &LaneKeys::one(A), true);
        assert_eq!(moved(&blocked), [2]);
    }

    #[tokio::test]
    async fn a_waiter_for_moves_is_woken_by_one_made_before_and_by_one_made_after() {
        let blocked = BlockedKeys::new(HashMap::from([(A, BlockedQueue { front: 4, letters: 2 })]), Vec::new());
        blocked.inspect_all();
        blocked.moved().await;
        assert_eq!(moved(&blocked), [4]);
        let (waiting, ()) = tokio::join!(blocked.moved(), async {
            tokio::task::yield_now().await;
            blocked.inspect_all();
        });
        assert_eq!((waiting, moved(&blocked)), ((), vec![4]));
    }
}
