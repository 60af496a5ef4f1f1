//! The state of the source, in the types of the admin stage.
//!
//! In: a reader's status. Out: the same as plain data at any time, for health checks and status. Only a reader that has
//! reported recently counts as connected.

use std::sync::Arc;

use tokio::sync::watch;

use crate::admin::{SourceNow, SourceWatch};
use crate::source::{self, ReadStatus};

/// Watches the current reader, also after it was replaced.
pub(super) fn of(address: String, reader: watch::Receiver<Option<source::Watch>>) -> SourceWatch {
    Arc::new(move || {
        let starting = SourceNow {
            address: address.clone(),
            version: None,
            retention: None,
            problem: Some("starting".to_string()),
        };
        let Some(reader) = reader.borrow().clone() else { return starting };
        let problem = problem(&reader.status.borrow());
        let facts = reader.server.borrow().clone();
        let (version, retention) = facts.map_or((None, None), |facts| (Some(facts.version), facts.retention));
        SourceNow { version, retention, problem, ..starting }
    })
}

/// Why nothing is read.
fn problem(status: &ReadStatus) -> Option<String> {
    if status.is_streaming() {
        return None;
    }
    Some(match status {
        ReadStatus::Streaming { last_packet_at, .. } => {
            format!("nothing was read from MySQL for {} s", last_packet_at.elapsed().as_secs())
        }
        ReadStatus::Connecting { attempt, last_error, since } => {
            let since = since.map(|since| format!(" (failing since {})", humantime::format_rfc3339_seconds(since)));
            let error = last_error.as_ref().map(|error| format!(": {error}"));
            let (since, error) = (since.unwrap_or_default(), error.unwrap_or_default());
            format!("connecting to MySQL, attempt {attempt}{since}{error}")
        }
        ReadStatus::Stalled { since } => {
            format!("reading has paused for {} s: deliveries wait for an API", since.elapsed().as_secs())
        }
        ReadStatus::Stopped { error } => format!("stopped: {}", error.as_deref().unwrap_or("asked to")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn only_a_source_that_reported_recently_is_ready() {
        let streaming = |ago| ReadStatus::Streaming { last_packet_at: Instant::now() - ago, lag: None };
        assert_eq!(problem(&streaming(Duration::ZERO)), None);
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
            let reason = problem(&status).expect("not ready");
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
