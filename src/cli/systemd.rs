//! What the supervisor is told over `NOTIFY_SOCKET`: that rowhook serves, that its loop answers, that it stops.
//!
//! In: the health, the stop, and systemd's variables (sd_notify(3), sd_watchdog_enabled(3)). Out: `READY=1` once,
//! `WATCHDOG=1` only while rowhook is alive, a `STATUS=` line for `systemctl status`, `STOPPING=1` once. Does nothing where
//! `NOTIFY_SOCKET` is not set. Never tells more than `/readyz` does, so no secrets (promise 8).

use std::io;
use std::time::Duration;

use sd_notify::{NotifyState, notify};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, timeout};

use crate::admin::Health;

/// How often the status line is renewed where systemd asks for no watchdog.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// More often than this helps no one.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A datagram takes microseconds; a supervisor that takes none must not keep rowhook from stopping.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports until the loop has `ended`. To be started when everything serves: rowhook is ready without MySQL, too, because
/// it keeps connecting; a start that waited for MySQL would be cut off and repeated.
pub(super) async fn report(health: Health, mut stop: watch::Receiver<bool>, mut ended: watch::Receiver<bool>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    // Half of what systemd waits for: one report may be late.
    let mut ticks = tokio::time::interval(watchdog.map_or(STATUS_INTERVAL, |limit| limit / 2).max(INTERVAL_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tell(|| notify(&[NotifyState::Ready])).await;
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // An end without a stop comes of an error.
            () = turns_true(&mut ended) => break,
            () = turns_true(&mut stop), if !is_stopping => {
                is_stopping = true;
                tell(|| notify(&[NotifyState::Stopping])).await;
            }
            _ = ticks.tick() => {
                let (status, is_alive) = state(&health);
                tell(move || beat(&status, is_alive && watchdog.is_some())).await;
            }
        }
    }
    if !is_stopping {
        tell(|| notify(&[NotifyState::Stopping])).await;
    }
}

/// Completes also where its sender has gone.
async fn turns_true(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_true| *is_true).await;
}

/// What `/readyz` says, on one line, because another line would be another message to systemd; and whether the loop answers.
fn state(health: &Health) -> (String, bool) {
    let status = health.ready().map_or_else(|problem| problem, |lag| format!("ready{lag}"));
    (status.replace(['\n', '\r'], " "), health.alive().is_ok())
}

/// A loop that hangs is not said to be alive: then systemd ends the process and starts it again.
fn beat(status: &str, is_alive: bool) -> io::Result<()> {
    let status = NotifyState::Status(status);
    if is_alive { notify(&[status, NotifyState::Watchdog]) } else { notify(&[status]) }
}

/// Sends on a thread that may block, because the socket of a system that hangs takes nothing.
async fn tell(send: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let sent = timeout(TELL_TIMEOUT, tokio::task::spawn_blocking(send)).await;
    if let Ok(Ok(Err(error))) = sent {
        tracing::debug!(%error, "the supervisor could not be told over NOTIFY_SOCKET");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::admin::{Pulse, SourceNow, SourceWatch};
    use crate::store::Store;

    #[tokio::test]
    async fn a_loop_that_does_not_answer_is_not_alive_and_the_status_is_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let problem = Some("connecting to MySQL:\nrefused".to_owned());
        let source: SourceWatch = Arc::new(move || SourceNow {
            address: String::new(),
            version: None,
            retention: None,
            problem: problem.clone(),
        });
        let (commands, received) = mpsc::channel(1);
        let (pulse, _feeling) = Pulse::new(commands.clone(), source.clone(), Arc::default());
        let store = Store::open(folder.path()).expect("a new store");
        let (_stop, stopping) = watch::channel(false);
        let health = Health { commands, pulse, store, source, stopping };
        assert_eq!(state(&health), ("source: connecting to MySQL: refused".to_owned(), true));
        drop(received);
        assert_eq!(state(&health), ("the delivery loop has ended".to_owned(), false));
    }
}
