//! The tasks that make attempts, one for each that is under way at a time.
//!
//! In: attempts that begin. Out: what they report, on the dispatcher's channel. A task that has ended its attempt waits for
//! another one: a task of its own for each would be made, moved and freed for every delivery. There are as many as there were
//! attempts under way at a time; they end with the dispatcher, those that make an attempt after it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::future::poll_fn;
use futures_util::task::AtomicWaker;
use tokio::sync::mpsc::UnboundedSender;

use crate::delivery::attempt::{self, Begun, Ended};
use crate::delivery::sink::Sinks;

/// All tasks. Must be used within a tokio runtime.
#[derive(Debug)]
pub(super) struct Callers {
    sinks: Arc<Sinks>,
    /// Needs no bound: it holds at most one message for each attempt under way.
    report: UnboundedSender<Reported>,
    /// Those that wait. The last one ended last: its memory is in the processor's cache.
    idle: Vec<Arc<Caller>>,
}

/// An attempt that ended, with the task that made it.
#[derive(Debug)]
pub(super) struct Reported {
    pub ended: Ended,
    caller: Arc<Caller>,
}

/// What a task and the dispatcher share.
#[derive(Debug, Default)]
struct Caller {
    begun: Mutex<Option<Begun>>,
    has_ended: AtomicBool,
    waker: AtomicWaker,
}

impl Callers {
    pub fn new(sinks: Sinks, report: UnboundedSender<Reported>) -> Callers {
        Callers { sinks: Arc::new(sinks), report, idle: Vec::new() }
    }

    /// Has the attempt made.
    pub fn begin(&mut self, begun: Begun) {
        match self.idle.pop() {
            Some(caller) => caller.give(begun),
            None => {
                let caller = Arc::new(Caller { begun: Mutex::new(Some(begun)), ..Caller::default() });
                tokio::spawn(run(caller, Arc::clone(&self.sinks), self.report.clone()));
            }
        }
    }

    /// To be called with each report: its task may make another attempt.
    pub fn take(&mut self, Reported { ended, caller }: Reported) -> Ended {
        self.idle.push(caller);
        ended
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        for caller in &self.idle {
            caller.has_ended.store(true, Ordering::Release);
            caller.waker.wake();
        }
    }
}

impl Caller {
    fn give(&self, begun: Begun) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        self.waker.wake();
    }

    fn begun(&self) -> Option<Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The next attempt. None: there will be no other.
    async fn next(&self) -> Option<Begun> {
        poll_fn(|context| {
            if let Some(begun) = self.begun() {
                return Poll::Ready(Some(begun));
            }
            self.waker.register(context.waker());
            // What was given before the task could be woken is seen here.
            match self.begun() {
                None if !self.has_ended.load(Ordering::Acquire) => Poll::Pending,
                begun => Poll::Ready(begun),
            }
        })
        .await
    }
}

async fn run(caller: Arc<Caller>, sinks: Arc<Sinks>, report: UnboundedSender<Reported>) {
    while let Some(begun) = caller.next().await {
        let ended = attempt::make(begun, &sinks).await;
        // The dispatcher is gone: the delivery is attempted again after the restart.
        if report.send(Reported { ended, caller: Arc::clone(&caller) }).is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;
    use tokio::time::timeout;

    use super::*;
    use crate::delivery::Client;
    use crate::delivery::bundle::AttemptLoad;
    use crate::delivery::testing::{Api, DEADLINE, Reply, delivery, rule};

    #[tokio::test]
    async fn a_task_makes_one_attempt_after_another_and_ends_with_the_dispatcher() {
        let api = Api::start(|_| Reply::Status(200)).await;
        let rule = rule(&api.url(), |_| {});
        let (report, mut reported) = unbounded_channel();
        let mut callers = Callers::new(Sinks::new(Client::new().expect("a client"), None), report);
        let begun = |place| Begun { place, load: AttemptLoad::One(delivery(&rule, 1, 1)), prepared: None };
        for (places, tasks) in [(vec![1], 1), (vec![2], 1), (vec![3, 4], 2), (vec![5], 2)] {
            for place in &places {
                callers.begin(begun(*place));
            }
            let mut ended = Vec::new();
            for _ in &places {
                let next = timeout(DEADLINE, reported.recv()).await.expect("in time").expect("a report");
                ended.push(callers.take(next).place);
            }
            ended.sort();
            assert_eq!((ended, callers.idle.len()), (places, tasks));
        }
        drop(callers);
        assert!(timeout(DEADLINE, reported.recv()).await.expect("each task ends").is_none());
    }
}
