//! Reloads the rules of a running rowhook without a request over the socket: on SIGHUP, and when files have changed.
//!
//! In: signals, the time. Out: calls of `LiveRules`, which logs the results. The system is not asked for notices of
//! changes: a check of a few small files every second finds a changed ConfigMap and a copied file.

use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::MissedTickBehavior;

use crate::admin::LiveRules;

/// Time between two checks of the files. A change is taken when two checks agree, so after one to two of these.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reloads for ever. Without `watch` only SIGHUP counts.
pub(super) async fn keep(rules: LiveRules, mut hangup: Signal, watch: bool) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // The result is in the log and in the status.
            Some(()) = hangup.recv() => {
                let _ = rules.reload().await;
            }
            _ = ticks.tick(), if watch => {
                let _ = rules.inspect().await;
            }
        }
    }
}
