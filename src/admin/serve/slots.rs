//! Which clients are connected, and which connection is closed when there is no slot.
//!
//! In: where a connection comes from; that its request's head is whole. Out: a slot, or none. Owns the list of connections, the oldest
//! first, and ends those that make room. Two limits: all connections together, and those of one network that have sent no
//! whole head, so that one client can't push out the half requests of others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// Far above what probes and operators need, far below what a process may open.
const CONNECTIONS_MAX: usize = 256;

/// Connections of one network without a whole head. No ordinary client has so many.
const WAITING_MAX: usize = 32;

/// What happens when all have sent their heads, and are being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Answers are short: the oldest one is for a client that does not read.
    EndOldest,
    /// Each answer is for an operator's command, so none is ended.
    RefuseNew,
}

#[derive(Debug, Default)]
pub(super) struct ConnectionSlots {
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    last: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    network: Option<IpAddr>,
    has_head: bool,
    /// None while it is being started.
    task: Option<AbortHandle>,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    places: Arc<ConnectionSlots>,
    number: u64,
}

impl ConnectionSlot {
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.places.lock().open.remove(&self.number);
    }
}

impl ConnectionSlots {
    /// Makes room and starts a connection's task, which keeps its slot as long as it runs. Without room it is not started.
    pub fn take(
        self: &Arc<ConnectionSlots>,
        network: Option<IpAddr>,
        when_full: WhenFull,
        start: impl FnOnce(ConnectionSlot) -> AbortHandle,
    ) {
        let Some(number) = self.lock().add(network, when_full) else { return };
        let task = start(ConnectionSlot { places: Arc::clone(self), number });
        match self.lock().open.get_mut(&number) {
            Some(open) => open.task = Some(task),
            // It has ended, or was closed already.
            None => task.abort(),
        }
    }

    pub fn head_is_whole(&self, number: u64) {
        if let Some(open) = self.lock().open.get_mut(&number) {
            open.has_head = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// The number of one more; none if there is no room for it.
    fn add(&mut self, network: Option<IpAddr>, when_full: WhenFull) -> Option<u64> {
        if !self.make_room(network, when_full) {
            return None;
        }
        self.last += 1;
        self.open.insert(self.last, Open { network, has_head: false, task: None });
        Some(self.last)
    }

    /// Whether there is room for one more, if need be after another connection was closed.
    fn make_room(&mut self, network: Option<IpAddr>, when_full: WhenFull) -> bool {
        let waiting = |open: &Open| !open.has_head;
        let mut of_network = self.open.iter().filter(|(_, open)| waiting(open) && open.network == network);
        let oldest_of_network = of_network.next().map(|(number, _)| *number);
        if network.is_some() && of_network.count() + 1 >= WAITING_MAX {
            return self.end(oldest_of_network);
        }
        if self.open.len() < CONNECTIONS_MAX {
            return true;
        }
        let oldest_waiting = self.open.iter().find(|(_, open)| waiting(open)).map(|(number, _)| *number);
        let oldest = self.open.keys().next().copied().filter(|_| when_full == WhenFull::EndOldest);
        self.end(oldest_waiting.or(oldest))
    }

    /// Ends a connection; false where there is none.
    fn end(&mut self, number: Option<u64>) -> bool {
        let ended = number.and_then(|number| self.open.remove(&number));
        ended.map(|open| open.task.inspect(AbortHandle::abort)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that last, and those that are open after they came.
    fn open_after(came: &[(u8, bool)], when_full: WhenFull) -> Vec<usize> {
        let places = Arc::new(ConnectionSlots::default());
        for (network, has_head) in came {
            let network = (*network > 0).then(|| IpAddr::from([10, 0, 0, *network]));
            let mut number = None;
            places.take(network, when_full, |place| {
                number = Some(place.number());
                tokio::spawn(async move {
                    let _place = place;
                    std::future::pending::<()>().await;
                })
                .abort_handle()
            });
            if let Some(number) = number.filter(|_| *has_head) {
                places.head_is_whole(number);
            }
        }
        places.lock().open.keys().map(|number| *number as usize - 1).collect()
    }

    #[tokio::test]
    async fn one_network_may_have_a_limited_number_of_half_requests_and_any_number_of_whole_ones() {
        let came = [&[(2, false); 2][..], &[(1, false); WAITING_MAX], &[(1, true); 5], &[(1, false); 3]].concat();
        let open = open_after(&came, WhenFull::EndOldest);
        // The first whole one, and two of the last three, replaced the oldest of their network.
        let expected: Vec<usize> = (0..came.len()).filter(|at| ![2, 3, 4].contains(at)).collect();
        assert_eq!(open, expected);
    }

    #[tokio::test]
    async fn when_all_are_being_answered_short_ones_end_and_long_ones_stay() {
        let mut came = vec![(0, true); CONNECTIONS_MAX + 1];
        let open = open_after(&came, WhenFull::EndOldest);
        assert!(open.len() == CONNECTIONS_MAX && !open.contains(&0));
        let open = open_after(&came, WhenFull::RefuseNew);
        assert_eq!(open, (0..CONNECTIONS_MAX).collect::<Vec<_>>());
        // A half one goes first, also if it is not the oldest.
        came[9] = (0, false);
        for when_full in [WhenFull::EndOldest, WhenFull::RefuseNew] {
            let open = open_after(&came, when_full);
            assert!(open.len() == CONNECTIONS_MAX && !open.contains(&9), "{when_full:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_gives_its_slot_back() {
        let places = Arc::new(ConnectionSlots::default());
        places.take(None, WhenFull::RefuseNew, |place| tokio::spawn(async move { drop(place) }).abort_handle());
        while !places.lock().open.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
