//! A replay that goes on, in the daemon or in this process, until it ends or is interrupted.
//!
//! In: its reports as they come, and the first signal. Out: each report to what shows it; at the end the totals, or why there are none.
//! An interrupt ends it in order: the reports go on until the attempts under way have finished.

use anyhow::anyhow;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::output;
use crate::pipeline;

pub(super) type PipelineTask = JoinHandle<Result<(), pipeline::Error>>;

/// Items that come while a command runs, and the pipeline that runs it when that is in this process.
pub(super) struct RunningReplay<T> {
    pub items: mpsc::Receiver<T>,
    pipeline: Option<PipelineTask>,
    stop: watch::Sender<bool>,
}

/// What a report says.
pub(super) enum ReportKind<R, T> {
    /// It goes on.
    Interim(R),
    Ended(T),
    Failed(String),
}

/// How it ended.
pub(super) struct ReplayEnding<T> {
    pub totals: anyhow::Result<T>,
    pub is_interrupted: bool,
}

impl<R> RunningReplay<R> {
    pub(super) fn of_daemon(items: mpsc::Receiver<R>) -> RunningReplay<R> {
        RunningReplay { items, pipeline: None, stop: watch::Sender::new(false) }
    }

    pub(super) fn here(
        items: mpsc::Receiver<R>,
        pipeline: PipelineTask,
        stop: watch::Sender<bool>,
    ) -> RunningReplay<R> {
        RunningReplay { items, pipeline: Some(pipeline), stop }
    }

    /// Hands each report to `show`, until there are no more. `rest`: what becomes of the rest when it is interrupted.
    ///
    /// # Errors
    /// Those of `show`.
    pub(super) async fn follow<T>(
        &mut self,
        interrupted: &mut watch::Receiver<bool>,
        rest: &str,
        kind: impl Fn(R) -> ReportKind<R, T>,
        mut show: impl FnMut(R) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReplayEnding<T>> {
        let mut totals = Err("the running rowhook broke off".to_owned());
        let mut is_interrupted = false;
        loop {
            let report = tokio::select! {
                report = self.items.recv() => report,
                // A daemon gets no more requests then; a pipeline of our own lets attempts under way finish.
                _ = interrupted.wait_for(|stop| *stop), if !is_interrupted => {
                    output::complain(&format!("stopping: attempts under way finish, {rest}"));
                    is_interrupted = true;
                    totals = Err("interrupted".to_owned());
                    self.stop();
                    continue;
                }
            };
            match report.map(&kind) {
                Some(ReportKind::Interim(report)) => show(report)?,
                Some(ReportKind::Ended(ended)) => totals = Ok(ended),
                // What an interruption leads to is no other problem.
                Some(ReportKind::Failed(_)) if is_interrupted => {}
                Some(ReportKind::Failed(message)) => totals = Err(message),
                None => break,
            }
        }
        Ok(ReplayEnding { totals: totals.map_err(|message| anyhow!("{message}")), is_interrupted })
    }

    /// Asks for an orderly end. A daemon gets no more requests: it finishes by itself what it has under way.
    fn stop(&mut self) {
        self.stop.send_replace(true);
        if self.pipeline.is_none() {
            self.items.close();
        }
    }

    /// Waits for the pipeline to end, once all items have come.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        match self.pipeline {
            Some(pipeline) => Ok(pipeline.await.map_err(|_| anyhow!("the delivery loop was aborted"))??),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number from 100 on is the total.
    type Report = Result<u64, &'static str>;

    fn kind(report: Report) -> ReportKind<Report, u64> {
        match report {
            Ok(0..100) => ReportKind::Interim(report),
            Ok(total) => ReportKind::Ended(total),
            Err(message) => ReportKind::Failed(message.to_owned()),
        }
    }

    /// What is shown of these reports, of which the last ones come after an interrupt, and how it ended.
    async fn followed(
        reports: &[Report],
        after_interrupt: &[Report],
        is_interrupted: bool,
    ) -> (Vec<u64>, Result<u64, String>, bool) {
        let (sender, items) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let mut seen = stopped.clone();
        let pipeline = tokio::spawn(async { Ok(()) });
        let mut running = RunningReplay::here(items, pipeline, stop);
        let (interrupt, mut interrupted) = watch::channel(false);
        for report in reports {
            sender.send(*report).await.expect("room");
        }
        let after_interrupt = after_interrupt.to_vec();
        let sending = tokio::spawn(async move {
            if is_interrupted {
                interrupt.send_replace(true);
                seen.wait_for(|stop| *stop).await.expect("it is told to stop");
            }
            for report in after_interrupt {
                sender.send(report).await.expect("room");
            }
            // Kept, for without its sender the receiver would never wait.
            interrupt
        });
        let mut shown = Vec::new();
        let show = |report: Report| {
            shown.extend(report);
            Ok(())
        };
        let ending = running.follow(&mut interrupted, "no more are started", kind, show).await.expect("shown");
        sending.await.expect("no panic");
        running.finish().await.expect("the pipeline ended");
        (shown, ending.totals.map_err(|error| error.to_string()), ending.is_interrupted)
    }

    #[tokio::test]
    async fn reports_are_shown_until_the_last_and_an_interrupt_ends_a_replay_in_order() {
        let message = |text: &str| Err(text.to_owned());
        for (reports, later, is_interrupted, expected) in [
            (&[Ok(1), Ok(2), Ok(100)][..], &[][..], false, (vec![1, 2], Ok(100), false)),
            (&[Ok(1), Err("no store")], &[], false, (vec![1], message("no store"), false)),
            (&[Ok(1)], &[], false, (vec![1], message("the running rowhook broke off"), false)),
            (&[Ok(1)], &[Ok(2), Err("stopping")], true, (vec![1, 2], message("interrupted"), true)),
            (&[], &[Ok(2), Ok(100)], true, (vec![2], Ok(100), true)),
        ] {
            assert_eq!(followed(reports, later, is_interrupted).await, expected, "{reports:?} {later:?}");
        }
    }
}
