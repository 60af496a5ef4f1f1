//! `rowhook man`: manual pages, made of the same text as `--help`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{Cli, CommandVerdict, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook man | man -l -
  rowhook man --output /usr/local/share/man/man1")]
pub(super) struct ManArgs {
    /// Write the pages of all commands into this directory, instead of the page of rowhook to stdout
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs) -> anyhow::Result<CommandVerdict> {
    match &args.output {
        Some(directory) => {
            let written = std::fs::create_dir_all(directory);
            let written = written.and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
            written.map_err(|error| anyhow!("--output {}: {error}", directory.display()))?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            output::print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(CommandVerdict::Done)
}
