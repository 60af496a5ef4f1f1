//! Reaching the dead letters: through the daemon that runs on the data directory, or in the store itself.
//!
//! In: a data directory. Out: the same operations either way. The store is opened only when no daemon runs; a replay then
//! runs a pipeline of its own, without a source, in this process. Nothing is made where there is no data directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::admin::view::{Discarded, LetterView, ListRequest, Listing, Preview, Report, Selection};
use crate::admin::{Daemon, DeadLetters, Replays};
use crate::delivery::{Client, Dispatcher};
use crate::pipeline::{self, Limits, Pipeline};
use crate::rules::RuleSet;
use crate::store::Store;
use crate::telemetry::Metrics;

/// Commands and reports that wait for the one who takes them.
const WAITING_MAX: usize = 64;

/// Where the dead letters are.
pub(super) enum Reach {
    Daemon(Daemon),
    Store(Store),
}

/// Items that come while an operation runs, and the pipeline that runs it when that is in this process.
pub(super) struct Running<T> {
    pub items: mpsc::Receiver<T>,
    pipeline: Option<JoinHandle<Result<(), pipeline::Error>>>,
    stop: watch::Sender<bool>,
}

impl<T> Running<T> {
    /// Asks for an orderly end. A daemon is asked no more: what it has under way, it finishes by itself.
    pub(super) fn stop(&mut self) {
        self.stop.send_replace(true);
        if self.pipeline.is_none() {
            self.items.close();
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
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

impl Reach {
    pub(super) async fn open(data: &Path) -> anyhow::Result<Reach> {
        // Opening would make a store: looking must not.
        let entries = std::fs::read_dir(data).map(Iterator::count);
        if matches!(entries, Err(_) | Ok(0)) {
            let problem = entries.map_or_else(|error| error.to_string(), |_| "it is empty".to_string());
            bail!("data directory {}: {problem}; give --data DIR, as for rowhook run", data.display());
        }
        if let Some(daemon) = Daemon::connect(data).await? {
            return Ok(Reach::Daemon(daemon));
        }
        Ok(Reach::Store(open_store(data).await?))
    }

    pub(super) async fn list(&self, request: &ListRequest) -> anyhow::Result<Listing> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.list(request).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).list(request).await?,
        })
    }

    /// None: there is no such letter.
    pub(super) async fn show(&self, number: u64) -> anyhow::Result<Option<LetterView>> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.show(number).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).show(number).await?,
        })
    }

    pub(super) async fn discard(&self, selection: &Selection) -> anyhow::Result<Discarded> {
        Ok(match self {
            Reach::Daemon(daemon) => daemon.discard(selection).await?,
            Reach::Store(store) => DeadLetters::new(store.clone()).discard(selection).await?,
        })
    }

    /// Sends letters again: with the daemon's rules, or with those that `rules` loads.
    pub(super) async fn replay(
        &self,
        selection: Selection,
        rules: impl FnOnce() -> anyhow::Result<RuleSet>,
        limits: Limits,
    ) -> anyhow::Result<Running<Report>> {
        match self {
            Reach::Daemon(daemon) => Ok(followed(daemon.replay(&selection).await?)),
            Reach::Store(store) => {
                let rules = Arc::new(rules()?);
                let metrics = Arc::new(Metrics::default());
                let dispatcher = Dispatcher::new(Client::new()?, metrics.clone());
                let pipeline = Pipeline::new(rules.clone(), store.clone(), dispatcher, metrics, limits);
                let (commands, received) = mpsc::channel(WAITING_MAX);
                let (stop, stopped) = watch::channel(false);
                let pipeline = tokio::spawn(pipeline.run(None, received, stopped));
                let replays = Replays::alone(store.clone(), rules, commands);
                let (reports, items) = mpsc::channel(WAITING_MAX);
                tokio::spawn(async move { replays.replay(&selection, &reports).await });
                Ok(Running { items, pipeline: Some(pipeline), stop })
            }
        }
    }

    /// Shows the requests that a replay would send.
    pub(super) async fn preview(
        &self,
        selection: Selection,
        rules: impl FnOnce() -> anyhow::Result<RuleSet>,
    ) -> anyhow::Result<Running<Preview>> {
        match self {
            Reach::Daemon(daemon) => Ok(followed(daemon.preview(&selection).await?)),
            Reach::Store(store) => {
                let (commands, _) = mpsc::channel(1);
                let replays = Replays::new(store.clone(), Arc::new(rules()?), commands);
                let (previews, items) = mpsc::channel(WAITING_MAX);
                tokio::spawn(async move { replays.preview(&selection, &previews).await });
                Ok(followed(items))
            }
        }
    }
}

fn followed<T>(items: mpsc::Receiver<T>) -> Running<T> {
    Running { items, pipeline: None, stop: watch::Sender::new(false) }
}

/// Opens the store on a thread that may block.
pub(super) async fn open_store(data: &Path) -> anyhow::Result<Store> {
    let directory = data.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || Store::open(&directory)).await;
    Ok(opened.map_err(|_| anyhow!("opening the store was aborted"))??)
}

/// Time between checkpoints: what was delivered since the last one may be repeated after a crash (promise 4).
pub(super) const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(100);
