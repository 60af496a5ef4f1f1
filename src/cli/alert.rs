//! `rowhook alert`: the alerts of the settings file.
//!
//! In: the settings file; for `test` what the receivers answer. Out: what each alert is about and where it goes; or whether it arrived.
//! Needs no running rowhook. A test is sent as an alert would be, once as firing and once as resolved, and is kept nowhere.

use std::path::Path;

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;

use super::{CommandVerdict, call_settings, output};
use crate::admin::{rehearse_alert, send_alert};
use crate::alert::{Alert, AlertOrigin, AlertState};
use crate::clock::now_us;
use crate::config::{CallArgs, DataArgs, File};
use crate::delivery::{Client, Sinks};
use crate::in_words::short;
use crate::rules::{AlertCondition, AlertRule, Diagnostics, Threshold};
use crate::suggest::did_you_mean;

#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// List the alerts: what each is about, how often it is sent, and where to
    List(ListAlertsArgs),
    /// Send a test by each alert, or by those that are named
    Test(TestAlertsArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook alert list
  rowhook alert list --json")]
pub(super) struct ListAlertsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook alert test
  rowhook alert test on-call

Each alert is sent twice, as firing and as resolved, with a text that says that it
is a test. The exit code is 1 when one did not arrive.")]
pub(super) struct TestAlertsArgs {
    /// Only these alerts; without a name, all
    #[arg(value_name = "ALERT")]
    names: Vec<String>,
    #[command(flatten)]
    calls: CallArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// Alerts with problems. The text has a block of lines for each.
#[derive(Debug, thiserror::Error)]
#[error("{} in the alerts of the settings file\n{diagnostics}", output::count(diagnostics.0.len() as u64, "problem", "problems"))]
pub(super) struct FaultyAlerts {
    pub diagnostics: Diagnostics,
}

/// The alerts of the settings file, for this process.
pub(super) fn load(file: &File) -> Result<Vec<AlertRule>, FaultyAlerts> {
    let Some((path, text)) = file.with_alerts() else { return Ok(Vec::new()) };
    let loaded = AlertRule::load(path, text, &|name| std::env::var(name).ok());
    loaded.map_err(|diagnostics| FaultyAlerts { diagnostics })
}

/// The same; a WARN says which of them can't be sent as they are.
pub(super) fn load_to_send(file: &File) -> Result<Vec<AlertRule>, FaultyAlerts> {
    let alerts = load(file)?;
    for alert in &alerts {
        if let Some(why) = unsendable(alert) {
            tracing::warn!(alert = alert.rule.name, why, "this alert can't be sent");
        }
    }
    Ok(alerts)
}

/// Why an alert would make no request, where that is so: found before it is needed.
pub(super) fn unsendable(alert: &AlertRule) -> Option<String> {
    rehearse_alert(alert, &origin(Path::new(""))).err()
}

pub(super) async fn run(command: AlertCommand, file: &File) -> anyhow::Result<CommandVerdict> {
    let alerts = load(file)?;
    if alerts.is_empty() {
        bail!("there are no alerts: write `alerts:` into rowhook.yaml; docs/alerts.md shows how");
    }
    match command {
        AlertCommand::List(args) => list(&alerts, args.json),
        AlertCommand::Test(args) => test(args, &alerts, file).await,
    }
}

/// Below the name of an alert.
const INDENT: &str = "  ";

/// What `list --json` prints of each.
#[derive(Serialize)]
struct ListedAlert<'a> {
    alert: &'a str,
    target: &'a str,
    conditions: Vec<String>,
    every: String,
    /// Null: what lasts is reported once.
    repeat: Option<String>,
}

fn list(alerts: &[AlertRule], is_json: bool) -> anyhow::Result<CommandVerdict> {
    let listed: Vec<ListedAlert> = alerts.iter().map(listed).collect();
    if is_json {
        output::print_json(&listed)?;
        return Ok(CommandVerdict::Done);
    }
    let width = output::terminal_width().map(|width| usize::from(width).saturating_sub(INDENT.len()));
    let block = |alert: &ListedAlert| {
        let repeat = alert.repeat.as_ref().map_or("no repeat".to_owned(), |repeat| format!("repeated after {repeat}"));
        let conditions = output::folded(&alert.conditions.join(", "), (INDENT, ""), width);
        format!(
            "{}  {}\n{INDENT}at most every {}, {repeat}\n{INDENT}{conditions}\n",
            alert.alert, alert.target, alert.every
        )
    };
    output::print(&listed.iter().map(block).collect::<Vec<_>>().join("\n"))?;
    Ok(CommandVerdict::Done)
}

fn listed(alert: &AlertRule) -> ListedAlert<'_> {
    ListedAlert {
        alert: &alert.rule.name,
        target: &alert.rule.first_action().target.origin,
        conditions: alert.conditions.iter().map(in_words).collect(),
        every: short(alert.every),
        repeat: alert.repeat.map(short),
    }
}

/// A condition with its threshold: `late 5m`, `dead_letters 10`, `disk`.
fn in_words(condition: &AlertCondition) -> String {
    let AlertCondition { kind, threshold } = condition;
    match threshold {
        Threshold::Any => kind.to_string(),
        Threshold::Lasts(time) if time.is_zero() => kind.to_string(),
        Threshold::Lasts(time) => format!("{kind} {}", short(*time)),
        Threshold::Below(time) => format!("{kind} below {}", short(*time)),
        Threshold::Count(count) => format!("{kind} {count}"),
    }
}

async fn test(args: TestAlertsArgs, alerts: &[AlertRule], file: &File) -> anyhow::Result<CommandVerdict> {
    let names = || alerts.iter().map(|alert| alert.rule.name.as_str());
    if let Some(name) = args.names.iter().find(|name| names().all(|known| known != *name)) {
        let hint = did_you_mean(name, names());
        bail!("there is no alert `{name}`{hint}");
    }
    let proxy = call_settings::proxy(args.calls, file)?;
    let sinks = Sinks::new(tokio::task::spawn_blocking(move || Client::through(proxy)).await??, None);
    let origin = origin(&args.data.resolve(file));
    let mut verdict = CommandVerdict::Done;
    for alert in alerts.iter().filter(|alert| args.names.is_empty() || args.names.contains(&alert.rule.name)) {
        for state in [AlertState::Firing, AlertState::Resolved] {
            let sent = send_alert(alert, &Alert::example(state, now_us()), &origin, &sinks).await;
            let became = match sent {
                Ok(()) => "sent".to_owned(),
                Err(unsent) => {
                    verdict = CommandVerdict::Problems;
                    format!("not sent: {}", output::clean(&unsent.error))
                }
            };
            output::print(&format!("{} ({}): {became}\n", alert.rule.name, state.as_str()))?;
        }
    }
    Ok(verdict)
}

/// A test comes from no rowhook that follows a server.
fn origin(data: &Path) -> AlertOrigin {
    AlertOrigin::of_this_machine(data, "test".to_owned())
}
