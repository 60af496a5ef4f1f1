//! Barriers: what must have happened on another thread before something goes on.
//!
//! In: items that are given to a thread, each with the next number of a sequence. Out: for a number, whether the thread is done
//! with all items up to it. Knows neither the items nor who waits. A thread that hangs holds up who waits for it for a limited
//! time, no longer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far a thread has got with what it was given. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct SequenceProgress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The thread is done with the items up to this number.
    reached: u64,
    /// The highest number that is waited for.
    wanted: u64,
}

impl SequenceProgress {
    /// The thread is done with all items up to this number.
    pub fn reach(&self, number: u64) {
        let mut state = self.lock();
        state.reached = state.reached.max(number);
        drop(state);
        self.0.changed.notify_all();
    }

    /// What stands until the items up to this number are done.
    pub fn barrier(&self, number: u64) -> Barrier {
        Barrier { progress: self.clone(), number }
    }

    /// For the thread itself, which gathers items: waits until it must go on because a barrier waits for an item that is not
    /// done, for `longest` at most.
    pub fn wait_for_want(&self, longest: Duration) {
        let state = self.lock();
        let is_idle = |state: &mut State| state.wanted <= state.reached;
        drop(self.0.changed.wait_timeout_while(state, longest, is_idle).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic halfway through a change.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands until a thread is done with an item and all before it.
#[derive(Debug, Clone)]
pub struct Barrier {
    progress: SequenceProgress,
    number: u64,
}

impl Barrier {
    /// Blocks until the thread is done, for `longest` at most. Whether it is.
    pub fn wait(&self, longest: Duration) -> bool {
        let mut state = self.progress.lock();
        if state.reached >= self.number {
            return true;
        }
        state.wanted = state.wanted.max(self.number);
        let changed = &self.progress.0.changed;
        changed.notify_all();
        let not_yet = |state: &mut State| state.reached < self.number;
        let (state, _) = changed.wait_timeout_while(state, longest, not_yet).unwrap_or_else(PoisonError::into_inner);
        state.reached >= self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_barrier_falls_when_its_item_is_done_and_wakes_the_thread_that_gathers() {
        let progress = SequenceProgress::default();
        let thread = std::thread::spawn({
            let progress = progress.clone();
            move || {
                progress.wait_for_want(LONG);
                progress.reach(7);
            }
        });
        assert!(progress.barrier(7).wait(LONG));
        thread.join().expect("it ends well");
        assert!(progress.barrier(3).wait(Duration::ZERO), "earlier items are done, too");
        assert!(!progress.barrier(8).wait(Duration::ZERO), "nothing is waited for longer than allowed");
    }
}
