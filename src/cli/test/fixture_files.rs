//! Where fixtures and their schema are.
//!
//! In: the directory of rules, and files that were named. Out: the fixture files in name order, their texts, and the schema; or
//! what to do first.

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::file;
use crate::fixtures::{FIXTURE_FOLDER, FixtureSchema, SCHEMA_FILE};
use crate::rules::Diagnostic;

/// A hundred times a large fixture file.
const FILE_BYTES_MAX: u64 = 1 << 20;

const BEGIN: &str = "`rowhook test --save-schema --mysql …` writes it from a server";

#[derive(Debug)]
pub(super) struct FixturePlaces {
    pub files: Vec<PathBuf>,
    schema: PathBuf,
}

impl FixturePlaces {
    /// The files that were named, or all of the folder.
    pub fn find(directory: &Path, named: &[PathBuf]) -> anyhow::Result<FixturePlaces> {
        let folder = directory.join(FIXTURE_FOLDER);
        let schema = folder.join(SCHEMA_FILE);
        let files = match named.is_empty() {
            true => fixture_files(&folder),
            false => named.to_vec(),
        };
        if files.is_empty() {
            let example = folder.join("shop.orders.yaml");
            let fixture = format!("write one into {}, for example {}", folder.display(), example.display());
            match schema.exists() {
                true => bail!("there are no fixtures; {fixture}"),
                false => bail!("there are no fixtures; first make {}: {BEGIN}; then {fixture}", schema.display()),
            }
        }
        Ok(FixturePlaces { files, schema })
    }

    pub fn schema(&self, problems: &mut Vec<Diagnostic>) -> anyhow::Result<FixtureSchema> {
        if !self.schema.exists() {
            bail!("there is no {}, which has the types of the columns; {BEGIN}", self.schema.display());
        }
        let text = text(&self.schema, problems);
        Ok(text.map_or_else(FixtureSchema::default, |text| FixtureSchema::read(&self.schema, &text, problems)))
    }
}

/// The text of a file; None: it can't be read, which is a problem.
pub(super) fn text(path: &Path, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let problem = match file::read(path, FILE_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => return Some(text),
        Ok(Err(_)) => "the file is not UTF-8".to_owned(),
        Err(error) => format!("the file can't be read: {error}"),
    };
    problems.push(Diagnostic::of_file(path, problem));
    None
}

fn fixture_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let is_fixture = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (name.ends_with(".yaml") || name.ends_with(".yml")) && name != SCHEMA_FILE && !name.starts_with('.')
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_fixture).collect();
    files.sort();
    files
}
