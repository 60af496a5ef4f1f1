//! `rowhook dead-letters export`: dead letters with their rows, into a file or to stdout.
//!
//! In: conditions and a form. Out: JSON lines or CSV, letter by letter as they are read. A file gets its name when it is whole, and is
//! readable by its owner alone, because it has row values.

mod csv;

use std::fs::{self, File as OpenFile, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::ValueEnum;

use super::CommandVerdict;
use super::letter_filter::LetterFilterArgs;
use super::output::{self, Reader};
use super::reach::Reach;
use crate::admin::view::{ExportReport, LetterView, Selection};
use crate::config::{DataArgs, File};
use crate::file::{sync_parent, unfinished_of};

pub(super) const EXPORT_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters export --output letters.jsonl
  rowhook dead-letters export --rule order-paid --answer 404 --output orders.csv
  rowhook dead-letters export --since 2h | jq .change.after

Columns that the rule redacts are *** as everywhere. The file must not exist yet.";

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    conditions: LetterFilterArgs,
    /// Only those that were resolved
    #[arg(long)]
    resolved: bool,
    /// The form: JSON lines, each as `show --json`, or CSV [default: by the name of the file, else jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<ExportFormat>,
    /// The file, which must not exist yet [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Jsonl,
    Csv,
}

impl ExportFormat {
    fn of(path: Option<&Path>) -> ExportFormat {
        let extension = path.and_then(Path::extension);
        if extension.is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            ExportFormat::Csv
        } else {
            ExportFormat::Jsonl
        }
    }

    /// What comes before all letters.
    fn head(self) -> String {
        match self {
            ExportFormat::Jsonl => String::new(),
            ExportFormat::Csv => csv::head(),
        }
    }

    fn line(self, letter: &LetterView) -> anyhow::Result<String> {
        Ok(match self {
            ExportFormat::Jsonl => serde_json::to_string(letter)? + "\n",
            ExportFormat::Csv => csv::line(letter),
        })
    }
}

pub(super) async fn run(args: ExportArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let format = args.format.unwrap_or_else(|| ExportFormat::of(args.output.as_deref()));
    let selection = Selection { resolved: args.resolved, ..args.conditions.selection() };
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let mut sink = match &args.output {
        Some(path) => Sink::File(NewFile::create(path)?),
        None => Sink::Stdout,
    };
    let mut reports = reach.export(selection).await?;
    let mut ended = None;
    if sink.write(&format.head())? == Reader::Gone {
        return Ok(CommandVerdict::Done);
    }
    while let Some(report) = reports.recv().await {
        match report {
            ExportReport::Letter(letter) if sink.write(&format.line(&letter)?)? == Reader::Gone => {
                return Ok(CommandVerdict::Done);
            }
            ExportReport::Letter(_) => {}
            ExportReport::Ended { letters } => ended = Some(letters),
            ExportReport::Failed { message } => bail!("{message}"),
        }
    }
    let letters = ended.ok_or_else(|| anyhow!("the running rowhook broke off"))?;
    if let Sink::File(file) = sink {
        let path = file.path.clone();
        file.finish()?;
        output::print(&format!(
            "{} exported to {}\n",
            output::count(letters, "dead letter", "dead letters"),
            path.display()
        ))?;
    }
    Ok(CommandVerdict::Done)
}

enum Sink {
    Stdout,
    File(NewFile),
}

impl Sink {
    fn write(&mut self, text: &str) -> anyhow::Result<Reader> {
        match self {
            Sink::Stdout => Ok(output::write(text.as_bytes())?),
            Sink::File(file) => {
                file.writer.write_all(text.as_bytes()).map_err(|error| file.failed(&error))?;
                Ok(Reader::Reads)
            }
        }
    }
}

/// A file that has another name until it is whole. Dropped before that, it is removed.
struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    writer: BufWriter<OpenFile>,
}

impl NewFile {
    fn create(path: &Path) -> anyhow::Result<NewFile> {
        if path.symlink_metadata().is_ok() {
            bail!("{} exists already; name another file", path.display());
        }
        let unfinished = unfinished_of(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let file = file.map_err(|error| anyhow!("{}: {error}", unfinished.display()))?;
        Ok(NewFile { path: path.to_path_buf(), unfinished, writer: BufWriter::new(file) })
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let written = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        let named =
            written.and_then(|()| fs::rename(&self.unfinished, &self.path)).and_then(|()| sync_parent(&self.path));
        named.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> anyhow::Error {
        anyhow!("{}: {error}", self.path.display())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It has its own name by now, or is of no use.
        let _ = fs::remove_file(&self.unfinished);
    }
}
