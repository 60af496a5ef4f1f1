//! `rowhook test --save-schema`: the tables that the rules name, into a file.
//!
//! In: rules and a server. Out: `tests/schema.yaml` in the directory of rules, written whole. Changes nothing on the server.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use uuid::Uuid;

use super::super::{CommandVerdict, output, source_settings};
use crate::config::SourceSettings;
use crate::file;
use crate::fixtures::{FIXTURE_FOLDER, SCHEMA_FILE, schema_text};
use crate::rules::RuleSet;
use crate::schema::MissingTable;
use crate::source::{self, FirstConnect};

pub(super) async fn run(directory: &Path, rules: &RuleSet, source: SourceSettings) -> anyhow::Result<CommandVerdict> {
    let mut settings = source_settings::of(source, &Arc::default())?;
    settings.instance = Uuid::new_v4();
    settings.server_id = None;
    settings.first_connect = FirstConnect::FailFast;
    let patterns = rules.patterns();
    let missing = source::named_tables(&settings, &patterns).await?.missing;
    let tables = source::declared_tables(&settings, &patterns).await?;
    let folder = directory.join(FIXTURE_FOLDER);
    let path = folder.join(SCHEMA_FILE);
    let text = schema_text(&tables);
    let written = fs::create_dir_all(&folder).and_then(|()| file::replace(&path, text.as_bytes()));
    written.map_err(|error| anyhow!("{}: {error}", path.display()))?;
    output::print(&format!("{}: {}\n", path.display(), output::count(tables.len() as u64, "table", "tables")))?;
    for MissingTable { what, fix, .. } in &missing {
        output::complain(&format!("{what}; fix: {fix}"));
    }
    Ok(if missing.is_empty() { CommandVerdict::Done } else { CommandVerdict::Problems })
}
