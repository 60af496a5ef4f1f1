//! What makes a running rowhook reload its rules without a request over the socket: SIGHUP, and files that changed.
//!
//! In: signals, the time. Out: calls of `LiveRules`, which says in the log what came of them. A ConfigMap that is mounted and
//! a file that is copied need no notice from the system: a check of a few small files every second sees both.

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
            // What came of it is in the log, and in the status.
            Some(()) = hangup.recv() => {
                let _ = rules.reload().await;
            }
            _ = ticks.tick(), if watch => {
                let _ = rules.inspect().await;
            }
        }
    }
}
