//! The pulse of the loop: its newest status, and whether it still answers; known at any time without a request.
//!
//! In: an answer of the loop every second, the state of the source. Out: the newest status and its age, for health
//! checks; the metric and the warning of the runway. A hanging loop does not answer, and so its pulse grows old.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::SourceWatch;
use super::clock_watch::{ClockJump, ClockWatch};
use super::runway::{Alarm, Runway, runway};
use crate::clock::now_us;
use crate::pipeline::{Command, LoopStatus, StreamStatus};
use crate::telemetry::Metrics;

const INTERVAL: Duration = Duration::from_secs(1);

/// A turn of the loop takes milliseconds; a busy machine makes it a second.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// The newest answer of the loop; clones are the same.
#[derive(Debug, Clone)]
pub struct Pulse(watch::Receiver<Beat>);

#[derive(Debug, Clone)]
struct Beat {
    at: Instant,
    status: Option<Arc<LoopStatus>>,
}

impl Pulse {
    /// The pulse, and the task that updates it until the loop has ended.
    pub fn new(
        commands: mpsc::Sender<Command>,
        source: SourceWatch,
        metrics: Arc<Metrics>,
    ) -> (Pulse, impl Future<Output = ()> + Send) {
        let (sender, receiver) = watch::channel(Beat { at: Instant::now(), status: None });
        metrics.runway_seconds.set(Runway::Unknown.seconds());
        (Pulse(receiver), feel(commands, source, metrics, sender))
    }

    /// For how long the loop has not answered at this moment; None if that is not too long.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(self.0.borrow().at);
        (silence > SILENCE_MAX).then_some(silence)
    }

    /// None before the first answer.
    pub fn status(&self) -> Option<Arc<LoopStatus>> {
        self.0.borrow().status.clone()
    }
}

async fn feel(commands: mpsc::Sender<Command>, source: SourceWatch, metrics: Arc<Metrics>, beats: watch::Sender<Beat>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alarm = Alarm::default();
    let mut clock = ClockWatch::new(Instant::now(), now_us());
    loop {
        ticks.tick().await;
        if let Some(jump) = clock.look(Instant::now(), now_us()) {
            metrics.clock_jumps.inc();
            tell(jump);
        }
        let (answer, answered) = oneshot::channel();
        if commands.send(Command::Status { answer }).await.is_err() {
            return;
        }
        // A loop that ends drops its commands unanswered.
        let Ok(status) = answered.await else { continue };
        let source = source();
        let left = runway(&status, &source, now_us());
        metrics.runway_seconds.set(left.seconds());
        if alarm.is_due(left, &status, &source) {
            warn(left, &status);
        }
        beats.send_replace(Beat { at: Instant::now(), status: Some(Arc::new(status)) });
    }
}

fn tell(jump: ClockJump) {
    let (way, by) = match jump {
        ClockJump::Forward(by) => ("forward", by),
        ClockJump::Back(by) => ("back", by),
    };
    let by = humantime::format_duration(Duration::from_secs(by.as_secs()));
    tracing::warn!(
        way,
        %by,
        "the clock of this machine was set, or the machine slept: lags and ages are wrong by as much for changes from before"
    );
}

fn warn(left: Runway, status: &LoopStatus) {
    let behind = status.rules.iter().filter(|rule| rule.stream != StreamStatus::Attached);
    let rules: Vec<&str> = behind.map(|rule| rule.rule.as_str()).collect();
    let minutes = Duration::from_secs(left.seconds() as u64 / 60 * 60);
    tracing::warn!(
        runway = %humantime::format_duration(minutes),
        rules = rules.join(","),
        "the server will soon purge binlogs that late rules still need"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::SourceNow;

    fn source() -> SourceWatch {
        Arc::new(|| SourceNow { address: String::new(), version: None, retention: None, problem: None })
    }

    #[tokio::test]
    async fn a_loop_that_hangs_is_noticed_and_one_that_answers_is_not() {
        let (commands, mut received) = mpsc::channel(1);
        let begun_at = Instant::now();
        let (pulse, feeling) = Pulse::new(commands, source(), Arc::default());
        let feeling = tokio::spawn(feeling);
        assert_eq!(pulse.silence(begun_at + SILENCE_MAX / 2), None);
        assert!(pulse.silence(Instant::now() + 2 * SILENCE_MAX).is_some(), "it has not answered at all");

        let Some(Command::Status { answer }) = received.recv().await else { panic!("only status is asked") };
        let status = LoopStatus { read_up_to_us: Some(7), ..LoopStatus::default() };
        answer.send(status).expect("it waits");
        // Asking again means that the answer was taken.
        let unanswered = received.recv().await.expect("it asks again");
        assert_eq!(pulse.status().expect("answered").read_up_to_us, Some(7));
        assert_eq!(pulse.silence(begun_at + INTERVAL + SILENCE_MAX / 2), None);
        assert!(pulse.silence(Instant::now() + 2 * SILENCE_MAX).is_some());
        assert!(!feeling.is_finished());
        drop((received, unanswered));
        feeling.await.expect("it ends with the loop");
    }
}
