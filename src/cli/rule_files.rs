//! Loading rule files, with all their problems told at once.

use std::path::Path;

use crate::rules::{Diagnostics, RuleSet};

/// Rule files with problems. The text has a block of lines for each.
#[derive(Debug, thiserror::Error)]
#[error("{} in rule files\n{diagnostics}", super::output::count(diagnostics.0.len() as u64, "problem"))]
pub(super) struct Faulty {
    diagnostics: Diagnostics,
}

pub(super) fn load(directory: &Path) -> anyhow::Result<RuleSet> {
    Ok(read(directory).map_err(|diagnostics| Faulty { diagnostics })?)
}

/// Loads with the environment of this process.
pub(super) fn read(directory: &Path) -> Result<RuleSet, Diagnostics> {
    RuleSet::load(directory, &|name| std::env::var(name).ok())
}
