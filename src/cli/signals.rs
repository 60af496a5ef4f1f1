//! Signals: the first SIGTERM or SIGINT asks for an orderly end, a second one more than a second later ends a process that
//! takes its time at once; SIGHUP asks a daemon to reload its rules.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// Signals that come so soon after the first count as the same one: supervisors and shells send one to the process and one to
/// its group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Turns true with the first signal. A second one exits with 1, without waiting for anything: what is unresolved is
/// sent again at the next start.
pub(super) fn stop_on_signal(shutdown_timeout: Duration) -> std::io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let name = next(&mut terminate, &mut interrupt).await;
        let timeout = humantime::format_duration(shutdown_timeout);
        tracing::info!("{name}: stopping, attempts under way have {timeout} to finish; a second signal exits at once");
        stop.send_replace(true);
        let counts_from = Instant::now() + SAME_SIGNAL;
        let mut name = next(&mut terminate, &mut interrupt).await;
        while Instant::now() < counts_from {
            name = next(&mut terminate, &mut interrupt).await;
        }
        tracing::warn!("{name} again: exiting at once; what is unresolved is sent again at the next start");
        std::process::exit(1);
    });
    Ok(stopped)
}

/// SIGHUP: reload the rule files. From now on it no longer ends the process.
pub(super) fn reload() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Completes with the first SIGTERM or SIGINT, from now on; for commands that may end at any moment.
pub(super) fn first() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        next(&mut terminate, &mut interrupt).await;
    })
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
