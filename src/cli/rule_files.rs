//! Loading rule files, with all their problems reported at once.

use std::path::Path;

use crate::rules::{Diagnostics, RuleFilesState, RuleSet};
use crate::write_back::Database;

/// Rule files with problems. The text has a block of lines for each.
#[derive(Debug, thiserror::Error)]
#[error("{} in rule files\n{diagnostics}", super::output::count(diagnostics.0.len() as u64, "problem", "problems"))]
pub(super) struct Faulty {
    diagnostics: Diagnostics,
}

pub(super) fn load(directory: &Path) -> anyhow::Result<RuleSet> {
    Ok(read(directory).map_err(|diagnostics| Faulty { diagnostics })?)
}

/// Loads rules that send nothing: a word stands for each secret that is not on this machine.
pub(super) fn load_without_secrets(directory: &Path) -> anyhow::Result<RuleSet> {
    let loaded = RuleSet::load_without_secrets(directory, &|name| std::env::var(name).ok());
    Ok(loaded.map_err(|diagnostics| Faulty { diagnostics })?)
}

/// Loads the rules for this process, which needs a database if rules write back.
pub(super) fn load_to_work(directory: &Path, database: Option<&Database>) -> anyhow::Result<RuleSet> {
    Ok(read_to_work(directory, database).map_err(|diagnostics| Faulty { diagnostics })?)
}

/// The same, and returns the state of the files.
pub(super) fn inspect_and_load(
    directory: &Path,
    database: Option<&Database>,
) -> anyhow::Result<(RuleFilesState, RuleSet)> {
    let (state, loaded) = RuleFilesState::and_load(directory, &[], || read_to_work(directory, database));
    Ok((state, loaded.map_err(|diagnostics| Faulty { diagnostics })?))
}

/// Loads with the environment of this process.
pub(super) fn read(directory: &Path) -> Result<RuleSet, Diagnostics> {
    RuleSet::load(directory, &|name| std::env::var(name).ok())
}

/// The same; rules that write back are problems where there is no database to write to.
pub(super) fn read_to_work(directory: &Path, database: Option<&Database>) -> Result<RuleSet, Diagnostics> {
    let rules = read(directory)?;
    match rules.needs_write_url().filter(|_| database.is_none()) {
        Some(problem) => Err(Diagnostics(vec![problem.clone()])),
        None => Ok(rules),
    }
}
