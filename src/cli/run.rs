//! `rowhook run`: puts the stages together and runs them until it is stopped.
//!
//! In: settings. Out: deliveries; the log; an exit. Checks first what changes nothing (settings, rules, token), then
//! what only one process may have (store, admin port, control socket), and MySQL last: so nothing is half started when
//! a start fails. Ends by a signal with 0, or with the error that a person must see.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::reach::{CHECKPOINT_INTERVAL, open_store_to_keep, read_saved};
use super::{
    CommandVerdict, alert, call_settings, instance, reloading, rule_files, signals, source_settings, source_watch,
    systemd,
};
use crate::admin::{
    AdminApi, AdminToken, Alerts, Backlog, BinlogReplays, Control, ControlSocket, DeadLetters, DropTimes, Health,
    LetterDrops, LiveRules, LogSizes, Port, Pulse, Replays, RuleSource, RulesNow, Storage,
};
use crate::clock::now_us;
use crate::config::{
    CallArgs, DataArgs, DeliveryLogArgs, DeliveryLogSettings, File, JournalArgs, JournalSettings, RulesArgs, RunArgs,
    RunSettings, SourceArgs, WriteArgs,
};
use crate::delivery::{Client, Dispatcher, Sinks};
use crate::journal::Journal;
use crate::outcome::DeliveryLog;
use crate::pipeline::{ChangeSource, Limits, Pipeline, RangeReplays};
use crate::position::{Position, Start};
use crate::rules::{IfMissing, RuleFilesState, RuleSet};
use crate::source::{self, EncryptedServers, Settings};
use crate::store::{FormerIds, Saved, Store};
use crate::telemetry::Metrics;
use crate::write_back::Database;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook run --mysql mysql://rowhook:secret@db:3306
  rowhook run --mysql mysql://rowhook@db --mysql-password-file /run/secrets/mysql --tls verify-identity
  rowhook run --start earliest

Stops on SIGTERM and SIGINT: attempts under way finish, then a checkpoint is written. A second signal exits at once.
Reloads the rule files when they change, on SIGHUP and on `rowhook reload`: all of them, or none if one has problems.")]
pub(super) struct RunCommandArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    calls: CallArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    log: DeliveryLogArgs,
}

/// Commands from the control socket that wait for the loop.
const COMMANDS_WAITING_MAX: usize = 64;

pub(super) async fn run(args: RunCommandArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let source = args.source.resolve(file)?;
    let data = args.data.resolve(file);
    let encrypted = Arc::new(EncryptedServers::kept_in(&data));
    let database = source_settings::database(args.write.resolve(source.tls.clone(), file), &encrypted)?;
    let mut source = source_settings::of(source, &encrypted)?;
    let settings = args.run.resolve(file)?;
    let journal = args.journal.resolve(file)?;
    let log = args.log.resolve(file)?;
    let proxy = call_settings::proxy(args.calls, file)?;
    let alerts = alert::load_to_send(file)?;
    let directory = args.rules.resolve(file);
    let (state, rules) = rule_files::inspect_and_load(&directory, database.as_ref())?;
    let rules = Arc::new(rules);
    let token = settings.admin_token_file.as_deref().map(AdminToken::load).transpose()?;

    // Beside the store: it reads the system's certificate authorities, a file for each.
    let proxy_shown = proxy.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let client = tokio::task::spawn_blocking(move || Client::through(proxy));
    let store = open_store_to_keep(&data).await?;
    source.instance = instance::find_or_draw(&data)?;
    source.names_tables = true;
    let port = match settings.admin {
        Some(address) => Some(Port::bind(address, token).await?),
        None => None,
    };
    let socket = ControlSocket::bind(&data)?;
    let saved = read_saved(&store).await?;
    if let Some(place) = saved.lost.as_ref().filter(|_| !settings.start_is_given) {
        anyhow::bail!(
            "data directory {}: its checkpoint is lost, and rowhook does not choose where to go on; reading had got to {place}; fix: \
             --start {place} repeats what was delivered since, --start latest leaves out what was written since",
            data.display()
        );
    }
    let client = client.await??;
    let metrics = Arc::new(Metrics::default());
    let alert_sinks = Sinks::new(client.clone(), None);
    let alerts = Alerts::new(alerts, alert_sinks, &data, source.address(), metrics.clone());
    let sinks = Sinks::new(client, database.clone());
    announce(&source, &rules, &settings, &saved, port.as_ref(), &data);
    if proxy_shown != "none" {
        tracing::info!(proxy = proxy_shown, "calls go through a proxy, unless their target says otherwise");
    }
    let files = RuleFiles { directory, state, database };
    // From here on signals are handled.
    let signals = Signals { stop: signals::stop_on_signal(settings.shutdown_timeout)?, reload: signals::reload()? };
    work(Parts {
        source,
        settings,
        journal,
        log,
        rules,
        files,
        store,
        port,
        socket,
        saved,
        sinks,
        alerts,
        metrics,
        signals,
        data,
    })
    .await?;
    tracing::info!("stopped");
    Ok(CommandVerdict::Done)
}

/// Everything that the stages need, checked and opened.
struct Parts {
    source: Settings,
    settings: RunSettings,
    journal: Option<JournalSettings>,
    log: DeliveryLogSettings,
    rules: Arc<RuleSet>,
    files: RuleFiles,
    store: Store,
    port: Option<Port>,
    socket: ControlSocket,
    saved: Saved,
    sinks: Sinks,
    alerts: Alerts,
    metrics: Arc<Metrics>,
    signals: Signals,
    data: PathBuf,
}

/// Where the rules are from, the state of their files then, and where they may write to.
struct RuleFiles {
    directory: PathBuf,
    state: RuleFilesState,
    database: Option<Database>,
}

struct Signals {
    stop: watch::Receiver<bool>,
    reload: Signal,
}

async fn work(parts: Parts) -> anyhow::Result<()> {
    let Parts { source, settings, rules, store, alerts, metrics, signals, data, .. } = parts;
    let stop = signals.stop;
    let limits = Limits {
        window_deliveries: settings.window_deliveries,
        window_bytes: settings.window_bytes,
        checkpoint_interval: CHECKPOINT_INTERVAL,
        shutdown_timeout: settings.shutdown_timeout,
    };
    let dispatcher = Dispatcher::new(parts.sinks, metrics.clone());
    let mut pipeline = Pipeline::new(rules.clone(), store.clone(), dispatcher, metrics.clone(), limits);
    pipeline.set_log(DeliveryLog::new(parts.log));
    if let Some(journal) = parts.journal {
        pipeline.keep_journal(Journal::start(&data, &journal, metrics.clone())?);
    }
    let end_of_log = end_of_log_at_upgrade(&source, &parts.saved).await;
    pipeline.resume(parts.saved);
    if let Some(end) = end_of_log {
        pipeline.note_end_of_log(end);
    }
    let (address, reader) = (source.address(), source.clone());
    let (status, source_status) = watch::channel(None);
    let if_missing = if settings.allow_missing_table { IfMissing::Allow } else { IfMissing::Refuse };
    let (state, rule_source) = rule_source(parts.files, reader.clone(), if_missing);
    let reading = ChangeSource { settings: source, start: settings.start, if_missing, status };
    let source = source_watch::of(address, source_status);

    let (commands, received) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (admin_stop, admin_stopped) = watch::channel(false);
    let live = LiveRules::new((rules, state), rule_source, commands.clone(), metrics.clone(), stop.clone());
    let (pulse, feeling) = Pulse::new(commands.clone(), source.clone(), metrics.clone());
    let mut beside = JoinSet::new();
    beside.spawn(feeling);
    let (backlog, measuring) = Backlog::new(pulse.clone(), log_sizes(reader.clone()), metrics.clone());
    beside.spawn(measuring);
    let (storage, inspecting) = Storage::new(data.clone(), metrics.clone());
    beside.spawn(inspecting);
    beside.spawn(reloading::keep(live.clone(), signals.reload, settings.watch));
    let mut admin = JoinSet::new();
    let letters = DeadLetters::of_loop(store.clone(), commands.clone());
    let (letter_drops, dropping) =
        LetterDrops::new(letters.clone(), rules_now(&live), metrics.clone(), DropTimes::default());
    beside.spawn(dropping);
    let control = Control {
        commands,
        letters,
        rules: live,
        source,
        backlog,
        storage,
        alerts: alerts.clone(),
        letter_drops,
        data,
        started_at_us: now_us(),
    };
    beside.spawn(watch_for_alerts(alerts.clone(), control.clone()));
    let (asked, of_source) = (control.commands.clone(), control.source.clone());
    let health = Health { commands: asked, pulse, store: store.clone(), source: of_source, stopping: stop.clone() };
    if let Some(port) = parts.port {
        admin.spawn(port.serve(health.clone(), control.clone(), metrics, admin_stopped.clone()));
    }
    admin.spawn(systemd::report(health.clone(), stop.clone(), admin_stopped.clone()));
    admin.spawn(parts.socket.serve(admin_api(control, health, store, reader), admin_stopped));

    // A task of its own, on one of the threads that attempts run on: starts and ends of attempts there wake no other
    // thread.
    let ended = tokio::spawn(pipeline.run(Some(reading), received, stop)).await;
    admin_stop.send_replace(true);
    while admin.join_next().await.is_some() {}
    beside.shutdown().await;
    match &ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => alerts.report_end(&error.to_string()).await,
        Err(_) => alerts.report_end("a fault in rowhook; the log says more").await,
    }
    Ok(ended.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?)
}

/// After an upgrade: up to which position the store may have former ids of deliveries. None where no upgrade is under
/// way, or the server does not answer: then it is asked at the next start.
async fn end_of_log_at_upgrade(source: &Settings, saved: &Saved) -> Option<Position> {
    let former = saved.checkpoint.as_ref()?.former_ids.as_ref()?;
    if *former != FormerIds::Everywhere {
        return None;
    }
    source::locate(source, &Start::Latest).await.ok()
}

/// Reports by the alerts what the status shows, until it is dropped.
async fn watch_for_alerts(alerts: Alerts, control: Control) {
    let status = || {
        let control = control.clone();
        async move { control.status_or_silence().await }
    };
    alerts.watch(status).await;
}

fn rules_now(live: &LiveRules) -> RulesNow {
    let live = live.clone();
    Arc::new(move || live.now())
}

/// The commands of the control socket.
fn admin_api(control: Control, health: Health, store: Store, reader: Settings) -> AdminApi {
    let rules_now = rules_now(&control.rules);
    let commands = control.commands.clone();
    AdminApi {
        replays: Replays::new(store, rules_now.clone(), commands.clone()),
        binlog_replays: BinlogReplays { replays: RangeReplays::new(reader, commands, None), rules: rules_now },
        control,
        health,
    }
}

/// Asks the server for the ends of its binlog files, over a connection for each question.
fn log_sizes(reader: Settings) -> LogSizes {
    Arc::new(move || -> BoxFuture<'static, _> {
        let reader = reader.clone();
        Box::pin(async move {
            let sizes = source::log_sizes(&reader).await;
            sizes.inspect_err(|error| tracing::debug!(%error, "the sizes of binlog files could not be asked")).ok()
        })
    })
}

/// The state of the rule files at the start; where new rules come from, and what they are checked against.
fn rule_source(files: RuleFiles, reader: Settings, if_missing: IfMissing) -> (RuleFilesState, RuleSource) {
    let RuleFiles { directory, state, database } = files;
    let from = directory.clone();
    let load = Box::new(move || rule_files::read_to_work(&from, database.as_ref()));
    let tables = Box::new(move |patterns| -> BoxFuture<'static, _> {
        let reader = reader.clone();
        Box::pin(async move { source::named_tables(&reader, &patterns).await.map_err(|error| error.to_string()) })
    });
    (state, RuleSource { directory, load, tables, if_missing })
}

fn announce(
    source: &Settings,
    rules: &RuleSet,
    settings: &RunSettings,
    saved: &Saved,
    port: Option<&Port>,
    data: &Path,
) {
    if saved.checkpoint.is_some() && settings.start != Start::Latest {
        tracing::warn!(
            "--start is for a first start; this data directory has a checkpoint and goes on from there; `rowhook position \
             set --to WHERE` moves it"
        );
    }
    let tables: Vec<String> = rules.patterns().0.iter().map(ToString::to_string).collect();
    let position = match (&saved.checkpoint, &settings.start) {
        (Some(saved), _) => {
            format!("checkpoint {}", saved.main.position.place())
        }
        (None, Start::Latest) => "latest".to_string(),
        (None, Start::Earliest) => "earliest".to_string(),
        (None, Start::After(set)) => format!("after {set}"),
        (None, Start::At(place)) => format!("{}:{}", place.file, place.offset),
    };
    tracing::info!(
        source = source.address(),
        rules = rules.rules().len(),
        tables = tables.join(","),
        position,
        admin = port.map_or("off".to_string(), |port| port.address().to_string()),
        data = %data.display(),
        "rowhook {} starts",
        env!("CARGO_PKG_VERSION")
    );
}
