//! `rowhook run`: puts the stages together and lets them work until stopped.
//!
//! In: settings. Out: deliveries; the log; an exit. Whatever can be wrong without touching anything is looked at first (settings,
//! rules, token), then what belongs to one process (store, admin port, control socket), and MySQL last: so nothing is half
//! started when a start fails. Ends by signal with 0, or with the error that a person must see.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::reach::{CHECKPOINT_INTERVAL, open_store};
use super::{Verdict, instance, rule_files, signals, source_settings};
use crate::admin::{ControlSocket, DeadLetters, Health, Port, Replays, Token};
use crate::config::{DataArgs, File, RulesArgs, RunArgs, RunSettings, SourceArgs};
use crate::delivery::{Client, Dispatcher};
use crate::pipeline::{Limits, Pipeline};
use crate::position::Start;
use crate::rules::RuleSet;
use crate::source::{self, Settings, Status};
use crate::store::{Saved, Store};
use crate::telemetry::Metrics;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook run --mysql mysql://rowhook:secret@db:3306
  rowhook run --mysql mysql://rowhook@db --mysql-password-file /run/secrets/mysql --tls verify-identity
  rowhook run --start earliest

Stops on SIGTERM and SIGINT: attempts under way finish, then a checkpoint is written. A second signal exits at once.")]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// Commands from the control socket that wait for the loop.
const COMMANDS_WAITING_MAX: usize = 64;

/// The source sends a heartbeat every 2 s and counts as lost after three; a little more, so that its own words come first.
const SILENCE_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(args: Args, file: &File) -> anyhow::Result<Verdict> {
    let mut source = source_settings::of(args.source.resolve(file)?)?;
    let settings = args.run.resolve(file)?;
    let data = args.data.resolve(file);
    let rules = Arc::new(rule_files::load(&args.rules.resolve(file))?);
    let token = settings.admin_token_file.as_deref().map(Token::load).transpose()?;

    let store = open_store(&data).await?;
    source.instance = instance::find_or_draw(&data)?;
    let port = match settings.admin {
        Some(address) => Some(Port::bind(address, token).await?),
        None => None,
    };
    let socket = ControlSocket::bind(&data)?;
    let saved = read_saved(&store).await?;
    let client = Client::new()?;
    announce(&source, &rules, &settings, saved.as_ref(), port.as_ref(), &data);
    work(Parts { source, settings, rules, store, port, socket, saved, client }).await?;
    tracing::info!("stopped");
    Ok(Verdict::Done)
}

/// Everything that the stages are made of, checked and taken.
struct Parts {
    source: Settings,
    settings: RunSettings,
    rules: Arc<RuleSet>,
    store: Store,
    port: Option<Port>,
    socket: ControlSocket,
    saved: Option<Saved>,
    client: Client,
}

async fn work(parts: Parts) -> anyhow::Result<()> {
    let Parts { source, settings, rules, store, port, socket, saved, client } = parts;
    let metrics = Arc::new(Metrics::default());
    let stop = signals::stop_on_signal(settings.shutdown_timeout)?;
    let limits = Limits {
        window_deliveries: settings.window_deliveries,
        window_bytes: settings.window_bytes,
        checkpoint_interval: CHECKPOINT_INTERVAL,
        shutdown_timeout: settings.shutdown_timeout,
    };
    let dispatcher = Dispatcher::new(client, metrics.clone());
    let mut pipeline = Pipeline::new(rules.clone(), store.clone(), dispatcher, metrics.clone(), limits);
    let from = match saved {
        Some(saved) => {
            let resume = saved.resume.clone();
            pipeline.resume(saved);
            source::From::Resume(resume)
        }
        None => source::From::Start(settings.start),
    };
    let following = source::follow(source, from, rules.patterns(), metrics.clone());

    let (commands, received) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (admin_stop, admin_stopped) = watch::channel(false);
    let mut admin = JoinSet::new();
    if let Some(port) = port {
        let status = following.status.clone();
        let health = Health {
            commands: commands.clone(),
            store: store.clone(),
            source: Box::new(move || source_state(&status.borrow())),
            stopping: stop.clone(),
        };
        admin.spawn(port.serve(health, metrics, admin_stopped.clone()));
    }
    let replays = Replays::new(store.clone(), rules, commands);
    admin.spawn(socket.serve(DeadLetters::new(store), replays, admin_stopped));

    let ended = pipeline.run(Some(following), received, stop).await;
    admin_stop.send_replace(true);
    while admin.join_next().await.is_some() {}
    Ok(ended?)
}

async fn read_saved(store: &Store) -> anyhow::Result<Option<Saved>> {
    let store = store.clone();
    let saved = tokio::task::spawn_blocking(move || store.saved()).await;
    Ok(saved.map_err(|_| anyhow!("reading the checkpoint was aborted"))??)
}

/// Why changes do not arrive, for health checks.
fn source_state(status: &Status) -> Result<(), String> {
    match status {
        Status::Streaming { last_packet_at, .. } if last_packet_at.elapsed() <= SILENCE_MAX => Ok(()),
        Status::Streaming { last_packet_at, .. } => {
            Err(format!("nothing was read from MySQL for {} s", last_packet_at.elapsed().as_secs()))
        }
        Status::Connecting { attempt, last_error: None } => Err(format!("connecting to MySQL, attempt {attempt}")),
        Status::Connecting { attempt, last_error: Some(error) } => {
            Err(format!("connecting to MySQL, attempt {attempt}: {error}"))
        }
        Status::Stalled { since } => {
            Err(format!("reading has paused for {} s: deliveries wait for an API", since.elapsed().as_secs()))
        }
        Status::Stopped { error } => Err(format!("stopped: {}", error.as_deref().unwrap_or("asked to"))),
    }
}

fn announce(
    source: &Settings,
    rules: &RuleSet,
    settings: &RunSettings,
    saved: Option<&Saved>,
    port: Option<&Port>,
    data: &Path,
) {
    if saved.is_some() && settings.start != Start::Latest {
        tracing::warn!("--start is for a first start; this data directory has a checkpoint and goes on from there");
    }
    for rule in rules.rules().iter().filter(|rule| rule.trusts_any_server()) {
        tracing::warn!(rule = rule.name, "insecure_tls: servers need not prove who they are to this rule");
    }
    let tables: Vec<String> = rules.patterns().0.iter().map(ToString::to_string).collect();
    let position = match (saved, &settings.start) {
        (Some(saved), _) => {
            let place = &saved.resume.position.file;
            format!("checkpoint {}:{}", place.file, place.offset)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn only_a_source_that_was_heard_lately_is_ready() {
        let streaming = |ago| Status::Streaming { last_packet_at: Instant::now() - ago, lag: Duration::ZERO };
        assert_eq!(source_state(&streaming(Duration::ZERO)), Ok(()));
        for (status, expected) in [
            (streaming(Duration::from_secs(11)), "nothing was read from MySQL for 11 s"),
            (Status::Connecting { attempt: 2, last_error: Some("refused".into()) }, "attempt 2: refused"),
            (Status::Stalled { since: Instant::now() }, "deliveries wait"),
            (Status::Stopped { error: Some("purged".into()) }, "stopped: purged"),
        ] {
            let reason = source_state(&status).expect_err("not ready");
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
