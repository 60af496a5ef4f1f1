//! The state of the source, in the types of the admin stage.
//!
//! In: a reader's status. Out: the same as plain data at any time, for health checks and status. Only a reader that has
//! reported recently counts as connected.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::admin::{SourceNow, SourceWatch};
use crate::source::{self, ReadStatus};

/// The source sends a heartbeat every 2 s and counts as lost after three; this is a little longer, so that the reader's
/// own report comes first.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Watches the current reader, also after it was replaced.
pub(super) fn of(address: String, reader: watch::Receiver<Option<source::Watch>>) -> SourceWatch {
    Arc::new(move || {
        let starting = SourceNow {
            address: address.clone(),
            version: None,
            retention: None,
            lag: None,
            problem: Some("starting".to_string()),
        };
        let Some(reader) = reader.borrow().clone() else { return starting };
        let (problem, lag) = match source_state(&reader.status.borrow()) {
            Ok(lag) => (None, Some(lag)),
            Err(problem) => (Some(problem), None),
        };
        let facts = reader.server.borrow().clone();
        let (version, retention) = facts.map_or((None, None), |facts| (Some(facts.version), facts.retention));
        SourceNow { version, retention, lag, problem, ..starting }
    })
}

/// The age of the newest transaction read, or why nothing is read.
fn source_state(status: &ReadStatus) -> Result<Duration, String> {
    match status {
        ReadStatus::Streaming { last_packet_at, lag } if last_packet_at.elapsed() <= SILENCE_MAX => Ok(*lag),
        ReadStatus::Streaming { last_packet_at, .. } => {
            Err(format!("nothing was read from MySQL for {} s", last_packet_at.elapsed().as_secs()))
        }
        ReadStatus::Connecting { attempt, last_error, since } => {
            let since = since.map(|since| format!(" (failing since {})", humantime::format_rfc3339_seconds(since)));
            let error = last_error.as_ref().map(|error| format!(": {error}"));
            let (since, error) = (since.unwrap_or_default(), error.unwrap_or_default());
            Err(format!("connecting to MySQL, attempt {attempt}{since}{error}"))
        }
        ReadStatus::Stalled { since } => {
            Err(format!("reading has paused for {} s: deliveries wait for an API", since.elapsed().as_secs()))
        }
        ReadStatus::Stopped { error } => Err(format!("stopped: {}", error.as_deref().unwrap_or("asked to"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn only_a_source_that_reported_recently_is_ready() {
        let streaming = |ago| ReadStatus::Streaming { last_packet_at: Instant::now() - ago, lag: Duration::ZERO };
        assert_eq!(source_state(&streaming(Duration::ZERO)), Ok(Duration::ZERO));
        for (status, expected) in [
            (streaming(Duration::from_secs(11)), "nothing was read from MySQL for 11 s"),
            (ReadStatus::Connecting { attempt: 1, last_error: None, since: None }, "connecting to MySQL, attempt 1"),
            (
                ReadStatus::Connecting {
                    attempt: 2,
                    last_error: Some("refused".into()),
                    since: Some(std::time::UNIX_EPOCH + Duration::from_secs(1_795_000_000)),
                },
                "connecting to MySQL, attempt 2 (failing since 2026-11-18T11:06:40Z): refused",
            ),
            (ReadStatus::Stalled { since: Instant::now() }, "deliveries wait"),
            (ReadStatus::Stopped { error: Some("purged".into()) }, "stopped: purged"),
        ] {
            let reason = source_state(&status).expect_err("not ready");
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
