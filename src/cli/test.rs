//! `rowhook test`: fixtures beside the rules, tried without a server and without an API.
//!
//! In: rule files, `tests/schema.yaml` and the fixture files beside it. Out: a line for each fixture, the differences of those
//! that failed, the rules that no fixture shows; with `--update` files whose expectations hold. The verdict is "problems" if
//! a fixture failed or a file can't be read. Asks a server only for `--save-schema`.

mod fixture_files;
mod report;
mod save_schema;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::anyhow;

use super::{CommandVerdict, output, rule_files};
use crate::config::{File, RulesArgs, SourceArgs};
use crate::file;
use crate::fixtures::{FixtureFile, FixtureResult, FixtureSchema, UpdatedFile, updated};
use crate::rules::{Diagnostic, IfMissing, Judgement, RuleSet};
use crate::schema::NamedTables;

use fixture_files::FixturePlaces;
use report::{FixtureLine, FixtureVerdict, TestReport};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook test
  rowhook test rules/tests/shop.orders.yaml
  rowhook test --update
  rowhook test --save-schema --mysql mysql://rowhook:secret@db:3306

Fixtures are files in the folder `tests` of the rules: a change, and what each rule is expected to make of it.
`rules/tests/schema.yaml` has the tables, so that no server is needed; --save-schema writes it. Nothing is sent.")]
pub(super) struct TestArgs {
    /// Only these fixture files; without one, all in the folder `tests` of the rules
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write what the rules do now into the fixtures that fail
    #[arg(long)]
    update: bool,
    /// Write the tables that the rules name into tests/schema.yaml, as the server has them
    #[arg(long, conflicts_with_all = ["update", "files", "json"])]
    save_schema: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) async fn run(args: TestArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let directory = args.rules.resolve(file);
    let rules = rule_files::load_without_secrets(&directory)?;
    if args.save_schema {
        return save_schema::run(&directory, &rules, args.source.resolve(file)?).await;
    }
    let began = Instant::now();
    let places = FixturePlaces::find(&directory, &args.files)?;
    let mut problems = Vec::new();
    let schema = places.schema(&mut problems)?;
    let mut report = TestReport::default();
    if problems.is_empty() {
        problems.extend(misfits(&rules, &schema));
        for path in &places.files {
            let Some(text) = fixture_files::text(path, &mut problems) else { continue };
            let known = problems.len();
            let read = FixtureFile::read(path, text, &schema, &rules, &mut problems);
            let results = tried(&read, &rules);
            report.note_matches(&results);
            if args.update && problems.len() == known && results.iter().any(|result| !result.passed()) {
                report.files.push(update(&read, results, &schema, &rules)?);
            } else {
                report.files.push(lines(&read, results));
            }
        }
        if args.files.is_empty() {
            report.note_rules_without_fixture(&rules);
        }
    }
    report.problems = problems.iter().map(Diagnostic::to_string).collect();
    report.took = began.elapsed();
    match args.json {
        true => output::print_json(&report.view())?,
        false => output::print(&report.text(output::is_coloured(&std::io::stdout())))?,
    }
    Ok(if report.is_good() { CommandVerdict::Done } else { CommandVerdict::Problems })
}

/// What the rules read that the tables of the schema don't have.
fn misfits(rules: &RuleSet, schema: &FixtureSchema) -> Vec<Diagnostic> {
    let tables = NamedTables { found: schema.typed_tables(), missing: Vec::new() };
    Judgement::of(rules.against(&tables, IfMissing::Allow), |_| false).problems
}

fn tried(file: &FixtureFile, rules: &RuleSet) -> Vec<FixtureResult> {
    file.fixtures.iter().map(|fixture| fixture.run(rules)).collect()
}

fn lines(file: &FixtureFile, results: Vec<FixtureResult>) -> (PathBuf, Vec<FixtureLine>) {
    let line = |(fixture, result)| FixtureLine::of(fixture, result);
    (file.path.clone(), file.fixtures.iter().zip(results).map(line).collect())
}

/// Writes the file with expectations that hold.
fn update(
    file: &FixtureFile,
    results: Vec<FixtureResult>,
    schema: &FixtureSchema,
    rules: &RuleSet,
) -> anyhow::Result<(PathBuf, Vec<FixtureLine>)> {
    let UpdatedFile { text, left } = updated(file, &results, schema, rules);
    if left.len() < results.iter().filter(|result| !result.passed()).count() {
        let replaced = file::replace(&file.path, text.as_bytes());
        replaced.map_err(|error| anyhow!("{}: {error}; it is as it was", file.path.display()))?;
    }
    let line = |(fixture, before)| {
        let mut line = FixtureLine::of(fixture, before);
        line.not_updated = left.iter().find(|(name, _)| *name == line.name).map(|(_, why)| why.clone());
        if line.verdict == FixtureVerdict::Failed && line.not_updated.is_none() {
            line.verdict = FixtureVerdict::Updated;
        }
        line
    };
    let lines = file.fixtures.iter().zip(results).map(line);
    Ok((file.path.clone(), lines.collect()))
}
