//! Serves a router on a listener, with limits that axum's own loop does not have.
//!
//! In: a bound listener (TCP or Unix), a router, a stop. Out: answers. Keeps promise 6: so many connections at a time, so
//! long for a request's head, so long to finish at the stop. Knows nothing of what the router answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections served at a time; more wait in the listener's backlog. Far above what probes and operators need.
const CONNECTIONS_MAX: usize = 64;

/// A client that has not sent a request's head by then is let go; so is one that keeps an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long answers under way may take once the stop is given.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves until `stop` turns true.
pub(super) async fn serve(mut listener: impl Listener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await.0, place)
        };
        let (io, place) = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (service, mut stop) = (TowerToHyperService::new(router.clone()), stop.clone());
        connections.spawn(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(io), service));
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the admin port ended early");
            }
            drop(place);
        });
    }
    let all_finished = async { while connections.join_next().await.is_some() {} };
    // What is still under way after that is dropped with the set.
    let _ = tokio::time::timeout(FINISH_TIMEOUT, all_finished).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could give the stop has gone: that is one, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
