//! Commands for a running rowhook besides those on dead letters: status, pause, resume, reload.
//!
//! In: requests of the control socket. Out: views, or the reason of a refusal, in one line. The loop carries out what
//! concerns rules; the wait for its answer has a limit, so that a hanging loop is reported (promise 6).

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::SourceWatch;
use super::alerts::Alerts;
use super::attention::{LATE_AFTER, attention};
use super::backlog::Backlog;
use super::dead_letters::{self, DeadLetters};
use super::live_rules::{LiveRules, ReloadError};
use super::retention::LetterDrops;
use super::status::{DaemonSnapshot, Letters, target_view};
use super::storage::Storage;
use super::typed::{WHY_CHARACTERS_MAX, no_such_rule, no_such_target, one_line, typed_target};
use super::view::status::{PauseRequest, Reloaded, ResetTargetRequest, ResumeRequest, StatusView, TargetView};
use crate::clock::{now_us, since_epoch_us};
use crate::pipeline::{Command, CommandRefused, LoopStatus};
use crate::position::Start;
use crate::rules::Difference;

/// The loop answers within a turn; a turn takes milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause and resume are durable when they are answered; a disk that hangs for 10 s ends the process.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// With the name that may have been meant.
    #[error("{0}")]
    NoSuchRule(String),
    /// With the name that may have been meant.
    #[error("{0}")]
    NoSuchTarget(String),
    #[error(transparent)]
    Refused(CommandRefused),
    #[error("place {place}: {expected}")]
    WrongPlace { place: String, expected: &'static str },
    #[error("no rowhook runs; start it, and name the place then")]
    NeedsDaemon,
    #[error("rowhook is stopping")]
    Stopping,
    #[error("the delivery loop does not answer; look at the log, and start rowhook again")]
    Silent,
    #[error(transparent)]
    Letters(#[from] dead_letters::Error),
    #[error(transparent)]
    Reload(#[from] ReloadError),
}

/// The requests' other end; clones are the same.
#[derive(Clone)]
pub struct Control {
    pub commands: mpsc::Sender<Command>,
    pub letters: DeadLetters,
    pub rules: LiveRules,
    pub source: SourceWatch,
    pub backlog: Backlog,
    pub storage: Storage,
    pub alerts: Alerts,
    pub letter_drops: LetterDrops,
    pub data: PathBuf,
    /// Microseconds since the Unix epoch.
    pub started_at_us: u64,
}

impl Control {
    pub async fn status(&self) -> Result<StatusView, ControlError> {
        let status: LoopStatus = self.ask(ANSWER_TIMEOUT, |answer| Command::Status { answer }).await?;
        let letters = Letters::count(&self.letters).await?;
        let (source, files) = ((self.source)(), self.rules.files());
        let now = SystemTime::now();
        let moment = DaemonSnapshot {
            status: &status,
            source: &source,
            files: &files,
            letters: &letters,
            backlog: &self.backlog,
            storage: self.storage.now(),
            letter_drops: &self.letter_drops,
            now_us: since_epoch_us(now),
        };
        let view = moment.view(&self.data, self.started_at_us);
        let view = StatusView { alerts: self.alerts.views(), ..view };
        let attention = attention(&view, LATE_AFTER, now);
        Ok(StatusView { attention, ..view })
    }

    /// The status; or why the loop gives none, though it has not ended.
    pub async fn status_or_silence(&self) -> Option<Result<StatusView, String>> {
        match self.status().await {
            Ok(status) => Some(Ok(status)),
            Err(error @ ControlError::Silent) => Some(Err(error.to_string())),
            Err(_) => None,
        }
    }

    pub async fn pause(&self, request: PauseRequest) -> Result<(), ControlError> {
        let PauseRequest { rule, why } = request;
        let why = one_line(&why.unwrap_or_default(), WHY_CHARACTERS_MAX);
        let answer = self.ask(DURABLE_TIMEOUT, |answer| Command::Pause { rule, why, answer }).await?;
        answer.map_err(|refused| self.refused(refused))
    }

    pub async fn resume(&self, request: ResumeRequest) -> Result<(), ControlError> {
        let ResumeRequest { rule, from } = request;
        let from = from.as_deref().map(parse_place).transpose()?;
        let answer = self.ask(DURABLE_TIMEOUT, |answer| Command::Resume { rule, from, answer }).await?;
        answer.map_err(|refused| self.refused(refused))
    }

    /// The target as it was before.
    pub async fn reset_target(&self, request: &ResetTargetRequest) -> Result<TargetView, ControlError> {
        let target = typed_target(&request.target);
        let answer = self.ask(ANSWER_TIMEOUT, |answer| Command::ResetTarget { target, answer }).await?;
        answer.map(|before| target_view(&before, now_us())).map_err(|refused| self.refused(refused))
    }

    pub async fn reload(&self) -> Result<Reloaded, ControlError> {
        let difference = self.rules.reload().await?;
        let Difference { added, changed, removed, unchanged } = difference;
        Ok(Reloaded { added, changed, removed, unchanged })
    }

    async fn ask<T>(
        &self,
        timeout: Duration,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ControlError> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.commands.send(command(answer)).await.map_err(|_| ControlError::Stopping)?;
            answered.await.map_err(|_| ControlError::Stopping)
        };
        tokio::time::timeout(timeout, asked).await.unwrap_or(Err(ControlError::Silent))
    }

    fn refused(&self, refused: CommandRefused) -> ControlError {
        match refused {
            CommandRefused::NoSuchRule { rule } => ControlError::NoSuchRule(no_such_rule(&rule, &self.rules.now())),
            CommandRefused::NoSuchTarget { target, known } => {
                ControlError::NoSuchTarget(no_such_target(&target, known.iter().map(String::as_str)))
            }
            refused => ControlError::Refused(refused),
        }
    }
}

/// A position as `--start` takes it.
pub(super) fn parse_place(text: &str) -> Result<Start, ControlError> {
    Start::parse(text).map_err(|expected| ControlError::WrongPlace { place: text.to_string(), expected })
}
