//! `rowhook check`: whether the rules are sound and MySQL can be followed, before `run` finds out.
//!
//! In: rule files, and unless offline the server. Out: one finding per line, with the fix for each problem. Changes
//! nothing. The verdict is "problems" if there is one; warnings are no problems.

mod finding;
mod statements;
mod targets;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use self::finding::{CheckFinding, OK, PROBLEM, WARNING};
use super::{CommandVerdict, alert, call_settings, instance, output, rule_files, source_settings};
use crate::config::{CallArgs, DataArgs, File, RulesArgs, SourceArgs, WriteArgs};
use crate::rules::{AlertRule, Diagnostics, IfMissing, RuleSet};
use crate::schema::NamedTables;
use crate::source::{self, EncryptedServers};
use crate::write_back::Database;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook check --mysql mysql://rowhook:secret@db:3306 --rules rules
  rowhook check --connect        # the servers that rules call, too
  rowhook check --offline        # the rule files alone

A warning is no problem: the exit code is 1 where there is a problem, and 0
otherwise.")]
pub(super) struct CheckArgs {
    /// Check only the rule files, without MySQL
    #[arg(long)]
    offline: bool,
    /// Missing tables are warnings, not problems: for a deployment before its migration
    #[arg(long)]
    allow_missing_table: bool,
    /// Connect to the servers that rules call, and show protocol and certificate; send no request
    #[arg(long)]
    connect: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    calls: CallArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether there is no problem; warnings do not count.
    ok: bool,
    findings: Vec<CheckFinding>,
}

pub(super) async fn run(args: CheckArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let directory = args.rules.resolve(file);
    // Settings first: a wrong argument is no finding about rules or server.
    let data = args.data.resolve(file);
    let servers = if args.offline { None } else { Some(servers(args.source, args.write, &data, file)?) };
    let proxy = call_settings::proxy(args.calls, file)?;
    let loaded = rule_files::read(&directory);
    let mut findings = rule_findings(&directory, &loaded);
    findings.extend(alert_findings(file));
    if let Some(proxy) = &proxy {
        let what = format!("calls go through the proxy {proxy}, unless their target says otherwise");
        findings.push(CheckFinding::ok(what));
    }
    if let Ok(rules) = &loaded {
        add_doubts(&mut findings, rules, &NamedTables::default());
    }
    if let (Some((mut settings, database)), Ok(rules)) = (servers, &loaded) {
        settings.instance = instance::find(&data)?.unwrap_or_else(Uuid::new_v4);
        let if_missing = if args.allow_missing_table { IfMissing::Allow } else { IfMissing::Refuse };
        let of_server: Vec<CheckFinding> =
            source::check(&settings, &rules.patterns()).await.into_iter().map(CheckFinding::from).collect();
        // A finding already says that the server can't be reached.
        let answers = of_server.iter().any(|finding| finding.level == OK);
        findings.extend(of_server);
        if answers {
            let of_tables = table_findings(&settings, rules, if_missing).await;
            findings.extend(of_tables.into_iter().filter(|finding| !findings.contains(finding)).collect::<Vec<_>>());
        }
        findings.extend(statements::findings(rules, database.as_ref()).await);
    }
    if let Ok(rules) = &loaded {
        findings.extend(match (args.connect, args.offline) {
            (true, _) => targets::connections(rules, proxy.as_ref()).await,
            (false, false) => targets::names(rules, proxy.as_ref()).await,
            (false, true) => Vec::new(),
        });
    }
    let ok = findings.iter().all(|finding| finding.level != PROBLEM);
    if args.json {
        output::print_json(&Report { ok, findings })?;
    } else {
        output::print(&finding::text(&findings, output::terminal_width()))?;
    }
    Ok(if ok { CommandVerdict::Done } else { CommandVerdict::Problems })
}

/// The server that is followed, and the one that rules write back to.
fn servers(
    source: SourceArgs,
    write: WriteArgs,
    data: &Path,
    file: &File,
) -> anyhow::Result<(source::Settings, Option<Database>)> {
    let source = source.resolve(file)?;
    let encrypted = Arc::new(EncryptedServers::read_from(data));
    let database = source_settings::database(write.resolve(source.tls.clone(), file), &encrypted)?;
    Ok((source_settings::of(source, &encrypted)?, database))
}

fn rule_findings(directory: &Path, loaded: &Result<RuleSet, Diagnostics>) -> Vec<CheckFinding> {
    let rules = match loaded {
        Ok(rules) => rules,
        Err(diagnostics) => return diagnostics.0.iter().map(|said| CheckFinding::at(PROBLEM, said, None)).collect(),
    };
    let mut findings = vec![CheckFinding::ok(format!(
        "{} in {}",
        output::count(rules.rules().len() as u64, "rule", "rules"),
        directory.display()
    ))];
    for rule in rules.rules().iter().filter(|rule| rule.trusts_any_server()) {
        let said = rule.said(format!("rule {} calls servers without verifying them", rule.name));
        let fix = "name the server's authority in `tls: {ca: FILE}` instead of `insecure_tls: true`";
        findings.push(CheckFinding::at(WARNING, &said, Some(fix.to_string())));
    }
    findings.extend(rules.unused_targets().iter().map(|said| {
        CheckFinding::at(WARNING, said, Some("correct its scheme, host or port, or remove it".to_string()))
    }));
    findings.extend(rules.misnamed_files().iter().map(|what| CheckFinding::new(WARNING, what, None)));
    let fix = "remove it, or enable it and pause it (`rowhook pause`), which keeps its changes";
    findings.extend(rules.notes_of_disabled().map(|said| CheckFinding::at(WARNING, said, Some(fix.to_string()))));
    findings
}

/// Whether the alerts of the settings file are sound, and make requests.
fn alert_findings(file: &File) -> Vec<CheckFinding> {
    let alerts = match alert::load(file) {
        Ok(alerts) => alerts,
        Err(faulty) => return faulty.diagnostics.0.iter().map(|said| CheckFinding::at(PROBLEM, said, None)).collect(),
    };
    let unsendable = |alert: &AlertRule| {
        let why = alert::unsendable(alert)?;
        Some(CheckFinding::at(
            PROBLEM,
            &alert.rule.said(format!("alert {} can't be sent: {why}", alert.rule.name)),
            None,
        ))
    };
    let mut findings: Vec<CheckFinding> = alerts.iter().filter_map(unsendable).collect();
    if findings.is_empty() && !alerts.is_empty() {
        findings.push(CheckFinding::ok(format!(
            "{} in the settings file",
            output::count(alerts.len() as u64, "alert", "alerts")
        )));
    }
    findings
}

/// What deserves a look, once more without repeating what was said.
fn add_doubts(findings: &mut Vec<CheckFinding>, rules: &RuleSet, tables: &NamedTables) {
    for doubt in rules.doubts(tables) {
        let finding = CheckFinding::from(doubt);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
}

/// Checks the tables and columns that rules name against the server as it is now.
async fn table_findings(settings: &source::Settings, rules: &RuleSet, if_missing: IfMissing) -> Vec<CheckFinding> {
    let tables = match source::named_tables(settings, &rules.patterns()).await {
        Ok(tables) => tables,
        Err(error) => return vec![CheckFinding::new(PROBLEM, error.to_string(), None)],
    };
    let mut findings = Vec::new();
    for finding in rules.against(&tables, if_missing).into_iter().map(CheckFinding::from) {
        // Rules of one file name one table.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    let columns_are_there = findings.iter().all(|finding| finding.level != PROBLEM);
    add_doubts(&mut findings, rules, &tables);
    if columns_are_there && !tables.found.is_empty() {
        findings.push(CheckFinding::ok("all columns named in rules exist"));
    }
    findings
}
