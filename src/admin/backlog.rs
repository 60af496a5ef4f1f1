//! The backlog: how much binlog lies between what is resolved and the end of the log, and how fast it shrinks.
//!
//! In: the pulse, and the sizes of the server's binlog files, asked only while something is late. Out: bytes for the whole and
//! for each rule, and the time to go; none where nothing is late, or nothing is left. Sizes count all tables, also those that no rule names; how many changes they hold is
//! not known before they are read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::pulse::Pulse;
use super::view::status::BacklogView;
use crate::clock::now_us;
use crate::pipeline::{LoopStatus, RuleStatus};
use crate::position::{FileOffset, file_number};
use crate::telemetry::Metrics;

/// Asks the server for the ends of its binlog files; none where it does not say.
pub type LogSizes = Arc<dyn Fn() -> BoxFuture<'static, Option<Vec<FileOffset>>> + Send + Sync>;

const INTERVAL: Duration = Duration::from_secs(5);

/// A server that does not answer by then is asked again at the next turn.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What is late for less is on its way: not worth a question, and not shown.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// The speed is that over the last minute.
const SAMPLES_MAX: usize = 12;

/// The newest sizes and speed; clones are the same.
#[derive(Debug, Clone)]
pub struct Backlog(watch::Receiver<Option<SizedLog>>);

/// The log as it was measured last.
#[derive(Debug, Clone)]
pub(super) struct SizedLog {
    files: Vec<FileOffset>,
    shrinks_by_bytes_per_second: Option<f64>,
}

impl Backlog {
    /// The backlog, and the task that updates it until it is dropped.
    pub fn new(pulse: Pulse, sizes: LogSizes, metrics: Arc<Metrics>) -> (Backlog, impl Future<Output = ()> + Send) {
        let (sender, receiver) = watch::channel(None);
        (Backlog(receiver), measure(pulse, sizes, metrics, sender))
    }

    /// What the backlogs at this moment are read from; none while nothing is late.
    pub(super) fn measured(&self, status: &LoopStatus, now_us: u64) -> Option<SizedLog> {
        self.0.borrow().clone().filter(|_| is_late(status, now_us))
    }
}

impl SizedLog {
    /// That of the rule that is furthest behind.
    pub(super) fn of_all(&self, status: &LoopStatus) -> Option<BacklogView> {
        let bytes = bytes_of_all(&self.files, status).filter(|bytes| *bytes > 0)?;
        let speed = self.shrinks_by_bytes_per_second;
        let seconds_left = speed.filter(|speed| *speed >= 1.0).map(|speed| (bytes as f64 / speed).ceil() as u64);
        Some(BacklogView { bytes, shrinks_by_bytes_per_second: speed, seconds_left })
    }

    /// That of one rule.
    pub(super) fn of_rule(&self, rule: &RuleStatus) -> Option<u64> {
        let mark = rule.low_water_mark.as_ref()?;
        bytes_after(&self.files, mark.place()).filter(|bytes| *bytes > 0)
    }
}

async fn measure(pulse: Pulse, sizes: LogSizes, metrics: Arc<Metrics>, sender: watch::Sender<Option<SizedLog>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples = VecDeque::new();
    loop {
        ticks.tick().await;
        let Some(status) = pulse.status().filter(|status| is_late(status, now_us())) else {
            samples.clear();
            metrics.backlog_bytes.set(0);
            sender.send_replace(None);
            continue;
        };
        // While the server does not answer, what it said last is shown.
        let Ok(Some(files)) = tokio::time::timeout(ANSWER_TIMEOUT, sizes()).await else { continue };
        let bytes = bytes_of_all(&files, &status).unwrap_or(0);
        metrics.backlog_bytes.set(bytes as i64);
        samples.push_back((Instant::now(), bytes));
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
        sender.send_replace(Some(SizedLog { files, shrinks_by_bytes_per_second: speed(&samples) }));
    }
}

fn is_late(status: &LoopStatus, now_us: u64) -> bool {
    status.oldest.lag(now_us).longest().is_some_and(|lag| lag > LATE_AFTER)
}

/// By how much the backlog has shrunk in a second, from the first to the last sample.
fn speed(samples: &VecDeque<(Instant, u64)>) -> Option<f64> {
    let ((began, before), (ended, after)) = (samples.front()?, samples.back()?);
    let seconds = ended.duration_since(*began).as_secs_f64();
    (seconds > 0.0).then(|| (*before as f64 - *after as f64) / seconds)
}

fn bytes_of_all(files: &[FileOffset], status: &LoopStatus) -> Option<u64> {
    let marks = status.rules.iter().filter_map(|rule| rule.low_water_mark.as_ref());
    marks.chain(&status.position).filter_map(|position| bytes_after(files, position.place())).max()
}

/// What the files hold behind a place; of one that is purged, all that they hold.
fn bytes_after(files: &[FileOffset], place: &FileOffset) -> Option<u64> {
    let at = file_number(&place.file)?;
    let behind = files.iter().map(|end| match file_number(&end.file) {
        Some(number) if number == at => end.offset.saturating_sub(place.offset),
        Some(number) if number > at => end.offset,
        _ => 0,
    });
    Some(behind.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::OldestChange;
    use crate::position::{FoundBy, Position, PositionParts, Proof};
    use uuid::Uuid;

    fn end(file: &str, offset: u64) -> FileOffset {
        FileOffset { file: file.into(), offset }
    }

    #[test]
    fn what_lies_behind_a_place_is_counted_over_all_later_files() {
        let files = [end("b.000008", 100), end("b.000009", 200), end("b.000010", 50)];
        for (place, expected) in [
            (end("b.000008", 40), Some(310)),
            (end("b.000009", 200), Some(50)),
            (end("b.000010", 50), Some(0)),
            // Rotated, or read further, since the sizes were asked for.
            (end("b.000010", 70), Some(0)),
            (end("b.000011", 4), Some(0)),
            (end("b.000007", 4), Some(350)),
            (end("nowhere", 4), None),
        ] {
            assert_eq!(bytes_after(&files, &place), expected, "{place:?}");
        }
    }

    #[test]
    fn there_is_a_backlog_only_while_something_is_late_and_something_is_left() {
        const NOW_US: u64 = 1_000_000_000;
        let (sender, receiver) = watch::channel(None);
        let backlog = Backlog(receiver);
        let position = |offset| {
            Position::from_parts(PositionParts {
                server_uuid: Uuid::nil(),
                gtids: None,
                file: end("b.000010", offset),
                undecided: [].into(),
                found_by: FoundBy::Place,
                proof: Proof::default(),
            })
        };
        let rule = |offset| RuleStatus { low_water_mark: Some(position(offset)), ..RuleStatus::of_test("r") };
        let late_by = |seconds: u64, offset| LoopStatus {
            oldest: OldestChange::At(NOW_US - seconds * 1_000_000),
            rules: vec![rule(offset)],
            ..LoopStatus::default()
        };
        let shown = |status: &LoopStatus| {
            let sized = backlog.measured(status, NOW_US)?;
            Some((sized.of_all(status).map(|all| all.bytes), sized.of_rule(&status.rules[0])))
        };
        assert_eq!(shown(&late_by(9, 40)), None, "not measured yet");
        sender.send_replace(Some(SizedLog { files: vec![end("b.000010", 50)], shrinks_by_bytes_per_second: None }));
        assert_eq!(shown(&late_by(9, 40)), Some((Some(10), Some(10))));
        assert_eq!(shown(&late_by(9, 50)), Some((None, None)), "nothing is left");
        assert_eq!(shown(&late_by(1, 40)), None, "it is on its way");
    }

    #[test]
    fn the_speed_is_that_between_the_first_and_the_last_sample() {
        let now = Instant::now();
        let at = |seconds: u64, bytes: u64| (now + Duration::from_secs(seconds), bytes);
        assert_eq!(speed(&VecDeque::from([at(0, 1_000)])), None);
        assert_eq!(speed(&VecDeque::from([at(0, 1_000), at(5, 1_200), at(10, 500)])), Some(50.0));
        assert_eq!(speed(&VecDeque::from([at(0, 500), at(10, 1_000)])), Some(-50.0));
    }
}
