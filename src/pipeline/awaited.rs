//! Deliveries that are sent again, from the moment that the loop has them until they have an outcome.
//!
//! In: outcomes to wait for, each with the memory that its delivery holds. Out: the outcomes as they come. Owns what is under
//! way, and bounds it in number and bytes (promise 6). Ends early when the listener has gone: what is under way then comes
//! to its end in the loop. The replay decides which deliveries are sent, how, and what is reported of them.

use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::future::FutureExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

/// Deliveries under way at a time, far above what rules allow in flight.
const UNDER_WAY_MAX: usize = 256;

/// Memory of the changes under way; a single one may be larger.
const UNDER_WAY_BYTES_MAX: usize = 32 << 20;

/// The listener for the reports has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheard;

/// Why a replay ends early.
#[derive(Debug)]
pub enum End<E> {
    /// What went wrong, for the listener.
    Failed(E),
    /// The listener has gone.
    Unheard,
}

impl<E> From<Unheard> for End<E> {
    fn from(_: Unheard) -> End<E> {
        End::Unheard
    }
}

/// With the memory that its delivery holds until then.
type Outcome<T> = Pin<Box<dyn Future<Output = (usize, T)> + Send>>;

/// Outcomes `T` that are awaited, for a listener that gets reports `R`.
pub struct Awaited<'a, R, T> {
    listener: &'a mpsc::Sender<R>,
    outcomes: FuturesUnordered<Outcome<T>>,
    /// Of the changes under way.
    bytes: usize,
}

impl<R, T: 'static> Awaited<'_, R, T> {
    /// Nothing is under way.
    pub fn new(listener: &mpsc::Sender<R>) -> Awaited<'_, R, T> {
        Awaited { listener, outcomes: FuturesUnordered::new(), bytes: 0 }
    }

    /// Whether every outcome has come.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Takes a delivery of so many bytes in, which was sent or will be now. There should be room, see [`Awaited::until_room`].
    pub fn push(&mut self, bytes: usize, outcome: impl Future<Output = T> + Send + 'static) {
        self.bytes += bytes;
        self.outcomes.push(Box::pin(outcome.map(move |outcome| (bytes, outcome))));
    }

    /// Waits for an outcome while there is no room for another delivery. None: there is room.
    pub async fn until_room(&mut self) -> Result<Option<T>, Unheard> {
        if self.outcomes.len() < UNDER_WAY_MAX && self.bytes < UNDER_WAY_BYTES_MAX {
            return Ok(None);
        }
        self.next().await
    }

    /// Waits for the next outcome. None: nothing is under way.
    pub async fn next(&mut self) -> Result<Option<T>, Unheard> {
        if self.is_empty() { Ok(None) } else { self.ended().await.map(Some) }
    }

    /// Waits for the next outcome, for ever while nothing is under way. It may take as long as a target is unavailable, and others
    /// wait for their replays meanwhile, so the wait ends when the listener has gone. Cancel-safe.
    pub async fn ended(&mut self) -> Result<T, Unheard> {
        tokio::select! {
            Some((bytes, outcome)) = self.outcomes.next() => {
                self.bytes -= bytes;
                Ok(outcome)
            }
            () = self.listener.closed() => Err(Unheard),
        }
    }

    /// An outcome that has come already.
    pub fn ready(&mut self) -> Option<T> {
        let (bytes, outcome) = self.outcomes.next().now_or_never()??;
        self.bytes -= bytes;
        Some(outcome)
    }
}

/// Whether what was sent has a listener.
pub fn heard<T>(sent: Result<(), mpsc::error::SendError<T>>) -> Result<(), Unheard> {
    sent.map_err(|_| Unheard)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn there_is_room_until_there_are_too_many_or_too_large_ones() {
        for (deliveries, bytes, has_room) in [
            (0, 0, true),
            (1, UNDER_WAY_BYTES_MAX - 1, true),
            (1, UNDER_WAY_BYTES_MAX, false),
            (1, UNDER_WAY_BYTES_MAX * 2, false),
            (UNDER_WAY_MAX - 1, 1, true),
            (UNDER_WAY_MAX, 1, false),
        ] {
            let (listener, _reports) = mpsc::channel::<()>(1);
            let mut awaited = Awaited::new(&listener);
            (0..deliveries).for_each(|n| awaited.push(bytes, ready(n)));
            let ended = awaited.until_room().await;
            assert_eq!(ended.map(|ended| ended.is_none()), Ok(has_room), "{deliveries} of {bytes} bytes");
            assert_eq!(awaited.until_room().await, Ok(None), "one of {deliveries} has made room");
        }
    }

    #[tokio::test]
    async fn outcomes_come_as_they_are_ready_until_none_is_under_way() {
        let (listener, _reports) = mpsc::channel::<()>(1);
        let mut awaited = Awaited::new(&listener);
        assert_eq!((awaited.ready(), awaited.next().await), (None, Ok(None)));
        awaited.push(1, ready(1));
        awaited.push(1, ready(2));
        assert_eq!((awaited.ready(), awaited.next().await), (Some(1), Ok(Some(2))));
        assert!(awaited.is_empty());
    }

    #[tokio::test]
    async fn nothing_is_waited_for_when_nobody_listens() {
        let (listener, reports) = mpsc::channel::<()>(1);
        let mut awaited = Awaited::<_, ()>::new(&listener);
        awaited.push(UNDER_WAY_BYTES_MAX, pending());
        drop(reports);
        assert_eq!(awaited.until_room().await, Err(Unheard));
        assert_eq!(awaited.next().await, Err(Unheard));
        assert_eq!(heard(listener.send(()).await), Err(Unheard));
    }
}
