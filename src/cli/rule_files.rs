//! Loading rule files, with all their problems told at once.

use std::path::Path;

use crate::rules::{Diagnostics, Look, RuleSet};

/// Rule files with problems. The text has a block of lines for each.
#[derive(Debug, thiserror::Error)]
#[error("{} in rule files\n{diagnostics}", super::output::count(diagnostics.0.len() as u64, "problem"))]
pub(super) struct Faulty {
    diagnostics: Diagnostics,
}

pub(super) fn load(directory: &Path) -> anyhow::Result<RuleSet> {
    Ok(read(directory).map_err(|diagnostics| Faulty { diagnostics })?)
}

/// Loads, and says what the files looked like.
pub(super) fn look_and_load(directory: &Path) -> anyhow::Result<(Look, RuleSet)> {
    let (look, loaded) = Look::and_load(directory, &[], || read(directory));
    Ok((look, loaded.map_err(|diagnostics| Faulty { diagnostics })?))
}

/// Loads with the environment of this process.
pub(super) fn read(directory: &Path) -> Result<RuleSet, Diagnostics> {
    RuleSet::load(directory, &|name| std::env::var(name).ok())
}
