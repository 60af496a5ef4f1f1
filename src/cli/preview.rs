//! `rowhook preview`: what each rule makes of a change, before anything is sent.
//!
//! In: the server, rules, and where in the binlog to look. Out: for each change and each rule of its table whether it matches, or which
//! clause says no and why; and the exact request, with secrets masked. Sends nothing without `--send`, opens no store, and shows itself to the
//! server under an identity of its own. Row values go to stdout and nowhere else (promise 8).

mod event;
pub(super) mod explained;
mod proxy;
mod row;
mod send;
mod text;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{CommandVerdict, call_settings, output, rule_files, signals, source_settings};
use crate::change::{Change, json};
use crate::config::{self, CallArgs, File, RulesArgs, SourceArgs};
use crate::pattern::TablePatterns;
use crate::rules::{ProxyServer, Rule, RuleSet};
use crate::source::{self, SourceEvent};
use crate::suggest::did_you_mean;
use crate::telemetry::Metrics;

use explained::Explained;
use row::RowArgs;
use text::RequestForm;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook preview --from earliest --count 5
  rowhook preview order-paid --count 1
  rowhook preview order-paid --row id=42 --set status=paid
  rowhook preview order-paid --from binlog.000042:4 --count 1 --curl
  rowhook preview order-paid --row id=42 --send

Sends nothing without --send, and opens no store. For each change and each rule
of its table: whether it matches, or which clause says no and the values that
decided; and the request as it would be sent, with secrets masked.")]
pub(super) struct PreviewArgs {
    /// Only these rules; without a name, all
    #[arg(value_name = "RULE", value_parser = rule_name)]
    names: Vec<String>,
    /// Where in the binlog to begin: latest, earliest, a GTID set, or file:offset
    #[arg(long, value_name = "WHERE", default_value = "latest", conflicts_with = "event")]
    from: String,
    /// Stop after this many changes
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<u64>::new().range(1..), default_value = "1")]
    count: u64,
    /// The change in this file instead: an event as `tail` prints it
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    event: Option<PathBuf>,
    /// Send the request of the one rule that matches, once, after asking; with --row or --event
    #[arg(long, conflicts_with = "json")]
    send: bool,
    /// Send without asking
    #[arg(long, requires = "send")]
    yes: bool,
    /// Show requests as curl commands
    #[arg(long)]
    curl: bool,
    /// Print a JSON document per change
    #[arg(long, conflicts_with = "curl")]
    json: bool,
    #[command(flatten)]
    row: RowArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    calls: CallArgs,
}

/// A name. Several values after one option would be taken for names.
fn rule_name(text: &str) -> Result<String, String> {
    match text.contains('=') {
        true => Err("a rule has no such name; write --row or --set before each COLUMN=VALUE".to_owned()),
        false => Ok(text.to_owned()),
    }
}

pub(super) async fn run(args: PreviewArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let settings = source_settings::of(args.source.resolve(file)?, &Arc::default())?.of_another_reader();
    let from = source::From::Start(config::parse_start("from", &args.from)?);
    let rules = chosen(&rule_files::load(&args.rules.resolve(file))?, &args.names)?;
    let form = if args.curl { RequestForm::Curl } else { RequestForm::Plain };
    let proxy = call_settings::proxy(args.calls, file)?;
    let change = match &args.event {
        Some(path) => Some(event::change(path, &rules, &settings).await?),
        None if args.row.is_given() => Some(args.row.change(&rules, &settings).await?),
        None => None,
    };
    if let Some(change) = change {
        let change = Arc::new(change);
        let made = Made::of(&rules, &change, proxy.as_ref());
        show(&made, &change, form, args.json)?;
        return match args.send {
            true => send::send(&made, &change, proxy, args.yes).await,
            false => Ok(CommandVerdict::Done),
        };
    }
    if args.send {
        bail!("--send sends the request of one change: name it with --row or --event");
    }
    let tables = TablePatterns(rules.iter().flat_map(|rule| rule.tables.0.clone()).collect());

    let stop = signals::first()?;
    tokio::pin!(stop);
    let mut following = source::follow(settings, from, tables, Arc::new(Metrics::default()));
    let mut left = args.count;
    while left > 0 {
        let event = tokio::select! {
            event = following.events.recv() => event.ok_or_else(|| anyhow!("reading ended without a reason"))??,
            () = &mut stop => return Ok(CommandVerdict::Done),
        };
        match event {
            SourceEvent::Started(resume) => output::complain(&format!("reading after {}", resume.position.place())),
            SourceEvent::Rows(changes) => {
                for change in changes.into_iter().flatten().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                    left -= 1;
                    let made = Made::of(&rules, &change, proxy.as_ref());
                    if show(&made, &change, form, args.json)? == output::Reader::Gone {
                        return Ok(CommandVerdict::Done);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(CommandVerdict::Done)
}

/// The rules with these names, or all.
fn chosen(rules: &RuleSet, names: &[String]) -> anyhow::Result<Vec<Arc<Rule>>> {
    if let Some(unknown) = names.iter().find(|name| rules.rule(name).is_none()) {
        if rules.is_disabled(unknown) {
            bail!("rule {unknown} is disabled (`enabled: false`)");
        }
        let known = rules.rules().iter().map(|rule| rule.name.as_str());
        bail!("no rule is named {unknown}{}", did_you_mean(unknown, known));
    }
    let is_chosen = |rule: &&Arc<Rule>| names.is_empty() || names.contains(&rule.name);
    Ok(rules.rules().iter().filter(is_chosen).cloned().collect())
}

/// What `--json` prints for a change.
#[derive(Serialize)]
struct PreviewView<'e> {
    change: Box<RawValue>,
    rules: &'e [Explained],
}

/// What rules make of a change of their table, one for one.
struct Made {
    rules: Vec<Arc<Rule>>,
    explained: Vec<Explained>,
}

impl Made {
    /// `proxy` is that of the settings.
    fn of(rules: &[Arc<Rule>], change: &Arc<Change>, proxy: Option<&Arc<ProxyServer>>) -> Made {
        let table = &change.table;
        let is_of_table = |rule: &&Arc<Rule>| rule.tables.match_any(&table.schema, &table.name);
        let rules: Vec<Arc<Rule>> = rules.iter().filter(is_of_table).cloned().collect();
        let explained = rules.iter().map(|rule| proxy::shown(Explained::of(rule, change), rule, proxy)).collect();
        Made { rules, explained }
    }
}

fn show(made: &Made, change: &Change, form: RequestForm, json: bool) -> anyhow::Result<output::Reader> {
    Ok(output::write(printed(made, change, form, json)?.as_bytes())?)
}

fn printed(Made { rules, explained }: &Made, change: &Change, form: RequestForm, json: bool) -> anyhow::Result<String> {
    // What one of them redacts is shown beside none of them.
    let change = change.redacted(|name| rules.iter().any(|rule| rule.redacts(name)));
    if !json {
        return Ok(text::preview(&change, explained, form) + "\n");
    }
    let mut facts = b"{".to_vec();
    json::write_facts(&change, &mut facts);
    facts.push(b'}');
    let change = serde_json::from_slice(&facts)?;
    Ok(serde_json::to_string(&PreviewView { change, rules: explained })? + "\n")
}

#[cfg(test)]
mod tests;
