//! Access to the contents of a data directory: through the daemon that runs on it, or in the store itself.
//!
//! In: a data directory. Out: the same commands either way. The store is opened only when no daemon runs; a replay then
//! runs a pipeline of its own, without a source, in this process. Nothing is made where there is no data directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::running_replay::{PipelineTask, RunningReplay};
use crate::admin::view::binlog_replay::{BinlogReplayReport, BinlogReplayRequest};
use crate::admin::view::position::PositionsView;
use crate::admin::view::status::{PauseRequest, ResumeRequest, StatusView};
use crate::admin::view::store::{BackupRequest, BackupView, VerifiedView};
use crate::admin::view::{
    Discarded, EditRequest, EditedLetter, ExportReport, GroupsRequest, GroupsView, LetterBody, LetterView, ListRequest,
    Listing, Preview, ReplayReport, ReplayRequest, ResolveRequest, ResolvedLetters, Selection,
};
use crate::admin::{
    BinlogReplays, Daemon, DeadLetters, Replays, pause_in_store, positions_of_store, resume_in_store, status_of_store,
};
use crate::delivery::{Client, Dispatcher, Sinks};
use crate::journal::Journal;
use crate::pipeline::{Command, Limits, Pipeline, RangeReplays};
use crate::rules::{ProxyServer, RuleSet};
use crate::source::Settings;
use crate::store::{self, Saved, Store};
use crate::telemetry::Metrics;
use crate::write_back::Database;

/// Commands and reports that wait for their receiver.
const WAITING_MAX: usize = 64;

/// Who answers: a daemon or the store.
pub(super) enum Reach {
    Daemon(Daemon),
    Store(Store),
}

impl Reach {
    pub(super) async fn open(data: &Path) -> anyhow::Result<Reach> {
        if let Some(daemon) = Daemon::connect(data).await? {
            return Ok(Reach::Daemon(daemon));
        }
        Reach::require_store(data)?;
        Ok(Reach::Store(open_store(data).await?))
    }

    /// Opening would make a store where there is none: a command that only reads must not.
    pub(super) fn require_store(data: &Path) -> anyhow::Result<()> {
        if Store::is_in(data) {
            return Ok(());
        }
        let problem = match std::fs::read_dir(data).map(Iterator::count) {
            Ok(0) => "it is empty".to_string(),
            Ok(_) => "it holds no store of rowhook".to_string(),
            Err(error) => error.to_string(),
        };
        bail!("data directory {}: {problem}; give --data DIR, as for rowhook run", data.display());
    }

    /// Reads all that the store contains.
    pub(super) async fn verify(&self) -> anyhow::Result<VerifiedView> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.verify_store().await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).verify_store().await?,
        })
    }

    /// Writes all that the store contains into a file.
    pub(super) async fn backup(&self, file: &Path) -> anyhow::Result<BackupView> {
        let file = file.to_str().ok_or_else(|| anyhow!("backup {}: its path is not UTF-8", file.display()))?;
        let request = BackupRequest { file: file.to_string() };
        Ok(match self {
            Reach::Daemon(daemon) => daemon.back_up_store(&request).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).back_up_store(&request).await?,
        })
    }

    /// The status; without a daemon, the status by the store.
    pub(super) async fn status(&self, data: &Path) -> anyhow::Result<StatusView> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.status().await?,
            Reach::Store(store) => status_of_store(&DeadLetters::new(store.clone()), data).await?,
        })
    }

    /// The marks as they are stored, and who moved them by hand.
    pub(super) async fn positions(&self) -> anyhow::Result<PositionsView> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.positions().await?,
            Reach::Store(store) => positions_of_store(&DeadLetters::new(store.clone())).await?,
        })
    }

    /// Pauses a rule; without a daemon, from the next start on.
    pub(super) async fn pause(&self, request: PauseRequest) -> anyhow::Result<()> {
        match self {
            Reach::Daemon(daemon) => daemon.pause(&request).await?,
            Reach::Store(store) => pause_in_store(store, request).await?,
        }
        Ok(())
    }

    pub(super) async fn resume(&self, request: ResumeRequest) -> anyhow::Result<()> {
        match self {
            Reach::Daemon(daemon) => daemon.resume(&request).await?,
            Reach::Store(store) => resume_in_store(store, request).await?,
        }
        Ok(())
    }

    pub(super) async fn list(&self, request: &ListRequest) -> anyhow::Result<Listing> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.list(request).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).list(request).await?,
        })
    }

    pub(super) async fn group(&self, request: &GroupsRequest) -> anyhow::Result<GroupsView> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.group(request).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).group(request).await?,
        })
    }

    pub(super) async fn export(&self, selection: Selection) -> anyhow::Result<mpsc::Receiver<ExportReport>> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.export(&selection).await?,
            Reach::Store(store) => {
                let (reports, items) = mpsc::channel(WAITING_MAX);
                let letters = DeadLetters::new(store.clone());
                tokio::spawn(async move { letters.export(&selection, &reports).await });
                items
            }
        })
    }

    /// None: there is no such letter. Without a daemon `rules` are those that decide what can be done about it, if they can be
    /// loaded.
    pub(super) async fn show(
        &self,
        number: u64,
        rules: impl FnOnce() -> Option<Arc<RuleSet>>,
    ) -> anyhow::Result<Option<LetterView>> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.show(number).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).show(number, rules).await?,
        })
    }

    /// The body that a replay of the letter would send: by the daemon's rules, or by those that are loaded.
    pub(super) async fn body(
        &self,
        number: u64,
        rules: impl FnOnce() -> anyhow::Result<RuleSet>,
    ) -> anyhow::Result<LetterBody> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.body(number).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).body(number, &rules()?).await?,
        })
    }

    /// Gives a letter another body. Without a daemon `rules` are loaded to check a new one.
    pub(super) async fn edit(
        &self,
        request: &EditRequest,
        rules: impl FnOnce() -> anyhow::Result<RuleSet>,
    ) -> anyhow::Result<EditedLetter> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.edit(request).await?,
            Reach::Store(store) => {
                let rules = request.body_base64.is_some().then(rules).transpose()?;
                DeadLetters::new(store.clone()).edit(request, rules.as_ref()).await?
            }
        })
    }

    /// Closes letters that were dealt with by hand.
    pub(super) async fn resolve(&self, request: &ResolveRequest) -> anyhow::Result<ResolvedLetters> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.resolve(request).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).resolve(request).await?,
        })
    }

    pub(super) async fn discard(&self, selection: &Selection) -> anyhow::Result<Discarded> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.discard(selection).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).discard(selection).await?,
        })
    }

    /// Delivers a binlog range again: with the daemon's rules and source, or with those that `offline` says.
    pub(super) async fn replay_binlog(
        &self,
        request: BinlogReplayRequest,
        offline: impl FnOnce() -> anyhow::Result<(Offline, Settings)>,
    ) -> anyhow::Result<RunningReplay<BinlogReplayReport>> {
        match self {
            Reach::Daemon(daemon) => Ok(RunningReplay::of_daemon(daemon.replay_binlog(&request).await?)),
            Reach::Store(store) => {
                let (offline, source) = offline()?;
                let rules = Arc::new(offline.rules);
                let client = Client::through(offline.proxy)?;
                let sinks = Sinks::new(client, offline.database);
                let mut saved = read_saved(store).await?;
                let checkpoint = saved.checkpoint.take().map(|checkpoint| checkpoint.main.position);
                let (commands, pipeline, stop) = without_source(rules.clone(), sinks, store, saved)?;
                let replays = RangeReplays::new(source, commands, checkpoint);
                let replays = BinlogReplays { replays, rules: Arc::new(move || rules.clone()) };
                let (reports, items) = mpsc::channel(WAITING_MAX);
                tokio::spawn(async move { replays.run(&request, &reports).await });
                Ok(RunningReplay::here(items, pipeline, stop))
            }
        }
    }

    /// Sends letters again: with the daemon's rules, or with those that `offline` loads.
    pub(super) async fn replay(
        &self,
        request: ReplayRequest,
        offline: impl FnOnce() -> anyhow::Result<Offline>,
    ) -> anyhow::Result<RunningReplay<ReplayReport>> {
        match self {
            Reach::Daemon(daemon) => Ok(RunningReplay::of_daemon(daemon.replay(&request).await?)),
            Reach::Store(store) => {
                let Offline { rules, database, proxy } = offline()?;
                let (rules, sinks) = (Arc::new(rules), Sinks::new(Client::through(proxy)?, database));
                let saved = read_saved(store).await?;
                let (commands, pipeline, stop) = without_source(rules.clone(), sinks, store, saved)?;
                let replays = Replays::alone(store.clone(), Arc::new(move || rules.clone()), commands);
                let (reports, items) = mpsc::channel(WAITING_MAX);
                tokio::spawn(async move { replays.replay(&request, &reports).await });
                Ok(RunningReplay::here(items, pipeline, stop))
            }
        }
    }

    /// Shows the requests that a replay would send.
    pub(super) async fn preview(
        &self,
        request: ReplayRequest,
        rules: impl FnOnce() -> anyhow::Result<RuleSet>,
    ) -> anyhow::Result<RunningReplay<Preview>> {
        match self {
            Reach::Daemon(daemon) => Ok(RunningReplay::of_daemon(daemon.preview(&request).await?)),
            Reach::Store(store) => {
                let (commands, _) = mpsc::channel(1);
                let rules = Arc::new(rules()?);
                let replays = Replays::new(store.clone(), Arc::new(move || rules.clone()), commands);
                let (previews, items) = mpsc::channel(WAITING_MAX);
                tokio::spawn(async move { replays.preview(&request, &previews).await });
                Ok(RunningReplay::of_daemon(items))
            }
        }
    }
}

/// What is needed where no daemon runs.
pub(super) struct Offline {
    pub rules: RuleSet,
    /// Where the rules write back to.
    pub database: Option<Database>,
    /// What calls go through, unless their target says otherwise.
    pub proxy: Option<Arc<ProxyServer>>,
}

/// A pipeline in this process that serves commands alone.
fn without_source(
    rules: Arc<RuleSet>,
    sinks: Sinks,
    store: &Store,
    saved: Saved,
) -> std::io::Result<(mpsc::Sender<Command>, PipelineTask, watch::Sender<bool>)> {
    let metrics = Arc::new(Metrics::default());
    // There is no source, so the window's limits are never reached.
    let limits = Limits {
        window_deliveries: 1,
        window_bytes: 1,
        checkpoint_interval: CHECKPOINT_INTERVAL,
        shutdown_timeout: SHUTDOWN_TIMEOUT,
    };
    let dispatcher = Dispatcher::new(sinks, metrics.clone());
    let mut pipeline = Pipeline::new(rules, store.clone(), dispatcher, metrics.clone(), limits);
    if let Some(journal) = Journal::resume(store.directory(), metrics)? {
        pipeline.keep_journal(journal);
    }
    pipeline.resume_without_source(saved.paused, saved.restored_until_us);
    let (commands, received) = mpsc::channel(WAITING_MAX);
    let (stop, stopped) = watch::channel(false);
    Ok((commands, tokio::spawn(pipeline.run(None, received, stopped)), stop))
}

/// The daemon that must run for this command.
pub(super) async fn daemon(data: &Path) -> anyhow::Result<Daemon> {
    let daemon = Daemon::connect(data).await?;
    let none = || anyhow!("no rowhook runs on data directory {}; give --data DIR, as for rowhook run", data.display());
    daemon.ok_or_else(none)
}

/// Opens the store on a thread that may block.
pub(super) async fn open_store(data: &Path) -> anyhow::Result<Store> {
    let directory = data.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || Store::open(&directory)).await;
    Ok(opened.map_err(|_| anyhow!("opening the store was aborted"))??)
}

/// As [`open_store`], for a process that keeps it: waits for a command that has it for a moment, while no daemon does.
pub(super) async fn open_store_to_keep(data: &Path) -> anyhow::Result<Store> {
    let give_up_at = Instant::now() + COMMAND_TIMEOUT;
    loop {
        match open_store(data).await {
            Err(error) if is_in_use(&error) && Instant::now() < give_up_at => sleep(COMMAND_POLL).await,
            opened => return opened,
        }
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(store::Error::InUse { .. }))
}

/// With a million dead letters `status` and similar commands take four seconds, else far less.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
const COMMAND_POLL: Duration = Duration::from_millis(50);

pub(super) async fn read_saved(store: &Store) -> anyhow::Result<Saved> {
    let store = store.clone();
    let saved = tokio::task::spawn_blocking(move || store.saved()).await;
    Ok(saved.map_err(|_| anyhow!("reading the checkpoint was aborted"))??)
}

/// Time between checkpoints: what was delivered since the last one may be repeated after a crash (promise 4).
pub(super) const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(100);

/// How long attempts under way may take when a pipeline without a source is interrupted.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_has_the_store_for_a_moment_does_not_keep_rowhook_from_starting() {
        let directory = tempfile::tempdir().expect("a directory");
        let of_command = open_store(directory.path()).await.expect("free");
        assert!(is_in_use(&open_store(directory.path()).await.expect_err("taken")));
        let opening = tokio::spawn({
            let data = directory.path().to_path_buf();
            async move { open_store_to_keep(&data).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(of_command);
        opening.await.expect("no panic").expect("free soon");
    }
}
