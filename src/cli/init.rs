//! `rowhook init`: the first rule files for tables that a server has, with settings beside them.
//!
//! In: the server, names of tables or an answer at the terminal, and perhaps a URL. Out: `rules/SCHEMA.TABLE.yaml` for each table,
//! `rowhook.yaml` without a password, `.gitignore`. Never writes over a file, changes nothing on the server, calls nothing.

mod choice;
mod texts;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, bail};
use uuid::Uuid;

use super::{CommandVerdict, output, source_settings};
use crate::config::{self, File, SourceArgs};
use crate::rules::RuleSet;
use crate::source;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook init --mysql mysql://rowhook:secret@db:3306 shop.orders
  rowhook init --mysql mysql://rowhook:secret@db:3306 shop.orders shop.customers \\
      --url https://api.mycompany.net/orders
  rowhook init --mysql mysql://rowhook:secret@db:3306 --dir /etc/rowhook

Writes rules/SCHEMA.TABLE.yaml for each table, rowhook.yaml without the
password, and .gitignore. A file that exists stays as it is. Without a TABLE it
shows the server's tables and asks, on a terminal.")]
pub(super) struct InitArgs {
    /// Tables to write a first rule for, as schema.table
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// What the rules call [default: a placeholder]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where the files are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
}

/// The folder of the rule files.
const RULES: &str = "rules";

/// A file to be written, by its path below the directory.
struct NewFile {
    path: PathBuf,
    text: String,
}

pub(super) async fn run(args: InitArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let given = args.source.resolve(file)?;
    let mut settings = source_settings::of(given.clone(), &Arc::default())?;
    settings.instance = Uuid::new_v4();
    let known = source::table_names(&settings).await?;
    let chosen = match args.tables.is_empty() {
        false => choice::named(&args.tables, &known)?,
        true => choice::asked(&known)?,
    };
    let tables = source::list_tables(&settings, &chosen).await?;
    let url = args.url.as_deref();
    let rules: Vec<NewFile> = texts::rules(&tables, url, &settings.address())?
        .into_iter()
        .map(|(name, text)| NewFile { path: Path::new(RULES).join(name), text })
        .collect();
    require_sound(&rules, url)?;
    let mut files = rules;
    files.push(NewFile { path: "rowhook.yaml".into(), text: texts::settings(&given)? });
    files.push(NewFile { path: ".gitignore".into(), text: texts::GITIGNORE.to_string() });
    let (mut printed, mut calls_placeholder) = (String::new(), false);
    for file in &files {
        let shown = output::clean(&file.path.display().to_string());
        printed += &match write_new(&args.dir, file)? {
            Written::New => {
                calls_placeholder |= url.is_none() && file.path.starts_with(RULES);
                format!("wrote  {shown}\n")
            }
            Written::StaysAsItIs => format!("kept   {shown}: it is there already\n"),
        };
    }
    output::print(&(printed + &texts::next_steps(&args.dir, &given, &tables[0], calls_placeholder)))?;
    Ok(CommandVerdict::Done)
}

/// What the rules say is ours but for the URL.
fn require_sound(rules: &[NewFile], url: Option<&str>) -> anyhow::Result<()> {
    let files: Vec<(PathBuf, String)> = rules.iter().map(|file| (file.path.clone(), file.text.clone())).collect();
    let Err(problems) = RuleSet::from_texts(&files, &|name| std::env::var(name).ok()) else { return Ok(()) };
    let first = problems.0.first().map(|problem| problem.message.clone()).unwrap_or_default();
    match url {
        Some(url) => Err(config::Error::invalid("url", url, &first).into()),
        None => bail!("{problems}"),
    }
}

enum Written {
    New,
    StaysAsItIs,
}

fn write_new(dir: &Path, file: &NewFile) -> anyhow::Result<Written> {
    let path = dir.join(&file.path);
    let failed = |what: &Path, error: &std::io::Error| anyhow!("cannot write {}: {error}", what.display());
    let folder = path.parent().unwrap_or(dir);
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut new) => {
            new.write_all(file.text.as_bytes()).map_err(|error| failed(&path, &error))?;
            Ok(Written::New)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Written::StaysAsItIs),
        Err(error) => Err(failed(&path, &error)),
    }
}
