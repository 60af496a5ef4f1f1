//! `rowhook check`: whether the rules are sound and MySQL can be followed, before `run` finds out.
//!
//! In: rule files, and unless offline the server. Out: one finding per line, with the fix for each problem. Changes
//! nothing. The verdict is "problems" if there is one; warnings are no problems.

mod statements;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{CommandVerdict, instance, output, rule_files, source_settings};
use crate::config::{DataArgs, File, RulesArgs, SourceArgs, WriteArgs};
use crate::rules::{Diagnostics, IfMissing, Objection, RuleSet};
use crate::source::{self, EncryptedServers, Level};
use crate::write_back::Database;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook check --mysql mysql://rowhook:secret@db:3306 --rules rules
  rowhook check --offline")]
pub(super) struct CheckArgs {
    /// Check only the rule files, without MySQL
    #[arg(long)]
    offline: bool,
    /// Missing tables are warnings, not problems: for a deployment before its migration
    #[arg(long)]
    allow_missing_table: bool,
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
    data: DataArgs,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether there is no problem; warnings do not count.
    ok: bool,
    findings: Vec<Finding>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// `ok`, `warning` or `problem`.
    level: &'static str,
    what: String,
    /// The SQL or setting that fixes it.
    fix: Option<String>,
}

pub(super) async fn run(args: CheckArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let directory = args.rules.resolve(file);
    // Settings first: a wrong argument is no finding about rules or server.
    let data = args.data.resolve(file);
    let servers = if args.offline { None } else { Some(servers(args.source, args.write, &data, file)?) };
    let loaded = rule_files::read(&directory);
    let mut findings = rule_findings(&directory, &loaded);
    if let (Some((mut settings, database)), Ok(rules)) = (servers, &loaded) {
        settings.instance = instance::find(&data)?.unwrap_or_else(Uuid::new_v4);
        let if_missing = if args.allow_missing_table { IfMissing::Allow } else { IfMissing::Refuse };
        let of_server: Vec<Finding> =
            source::check(&settings, &rules.patterns()).await.into_iter().map(Finding::from).collect();
        // A finding already says that the server can't be reached.
        let answers = of_server.iter().any(|finding| finding.level == OK);
        findings.extend(of_server);
        if answers {
            findings.extend(table_findings(&settings, rules, if_missing).await);
        }
        findings.extend(statements::findings(rules, database.as_ref()).await);
    }
    let ok = findings.iter().all(|finding| finding.level != PROBLEM);
    if args.json {
        output::print_json(&Report { ok, findings })?;
    } else {
        output::print(&text(&findings))?;
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

const OK: &str = "ok";
const WARNING: &str = "warning";
const PROBLEM: &str = "problem";

fn problems(diagnostics: &Diagnostics) -> Vec<Finding> {
    let problem = |what: String| Finding { level: PROBLEM, what, fix: None };
    diagnostics.0.iter().map(|diagnostic| problem(diagnostic.to_string())).collect()
}

fn rule_findings(directory: &Path, loaded: &Result<RuleSet, Diagnostics>) -> Vec<Finding> {
    match loaded {
        Ok(rules) => {
            let what = format!("{} in {}", output::count(rules.rules().len() as u64, "rule"), directory.display());
            let mut findings = vec![Finding { level: OK, what, fix: None }];
            for rule in rules.rules().iter().filter(|rule| rule.trusts_any_server()) {
                let what = format!("{}: rule {} calls servers without verifying them", rule.path.display(), rule.name);
                let fix =
                    Some("name the server's authority in `tls: {ca: FILE}` instead of `insecure_tls: true`".into());
                findings.push(Finding { level: WARNING, what, fix });
            }
            let notes = rules.unused_targets().iter().chain(rules.misnamed_files()).chain(rules.notes_of_disabled());
            findings.extend(notes.map(|what| Finding { level: WARNING, what: what.clone(), fix: None }));
            findings
        }
        Err(diagnostics) => problems(diagnostics),
    }
}

/// Checks the tables and columns that rules name against the server as it is now.
async fn table_findings(settings: &source::Settings, rules: &RuleSet, if_missing: IfMissing) -> Vec<Finding> {
    let tables = match source::named_tables(settings, &rules.patterns()).await {
        Ok(tables) => tables,
        Err(error) => return vec![Finding { level: PROBLEM, what: error.to_string(), fix: None }],
    };
    let mut findings = Vec::new();
    for Objection { is_problem, said, fix, .. } in rules.against(&tables, if_missing) {
        let level = if is_problem { PROBLEM } else { WARNING };
        let finding = Finding { level, what: said.to_string(), fix };
        // Rules of one file name one table.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    let columns_are_there = findings.iter().all(|finding| finding.level != PROBLEM);
    findings.extend(tables.found.iter().map(|found| &found.table).filter(|table| table.primary_key.is_empty()).map(
        |table| {
            let what = format!("table {table} has no primary key: its changes are ordered as a whole");
            Finding { level: WARNING, what, fix: None }
        },
    ));
    if columns_are_there && !tables.found.is_empty() {
        findings.push(Finding { level: OK, what: "all columns named in rules exist".to_string(), fix: None });
    }
    findings
}

impl From<source::Finding> for Finding {
    fn from(finding: source::Finding) -> Finding {
        let level = match finding.level {
            Level::Good => OK,
            Level::Warning => WARNING,
            Level::Problem => PROBLEM,
        };
        Finding { level, what: finding.what, fix: finding.fix }
    }
}

/// One finding per line; its details are indented below.
fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { level, what, fix } in findings {
        let mut lines = what.lines();
        text += &format!("{level:<8} {}\n", lines.next().unwrap_or_default());
        lines.for_each(|line| text += &format!("         {line}\n"));
        if let Some(fix) = fix {
            text += &format!("         fix: {fix}\n");
        }
    }
    let number = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let (problems, warnings) = (number(PROBLEM), number(WARNING));
    text + &match (problems, warnings) {
        (0, 0) => "all is well\n".to_string(),
        _ => format!("{}, {}\n", output::count(problems, "problem"), output::count(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_with_their_fixes_below() {
        let finding = |level, what: &str, fix: Option<&str>| Finding {
            level,
            what: what.to_string(),
            fix: fix.map(ToString::to_string),
        };
        let findings =
            [finding(OK, "2 rules in rules", None), finding(PROBLEM, "log_bin = OFF", Some("start with --log-bin"))];
        assert_eq!(
            text(&findings),
            "ok       2 rules in rules\nproblem  log_bin = OFF\n         fix: start with --log-bin\n1 problem, 0 warnings\n"
        );
        assert!(text(&findings[..1]).ends_with("all is well\n"));
    }
}
