//! `rowhook completions`: a script with which a shell completes commands and flags.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, CommandVerdict, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook completions bash > /etc/bash_completion.d/rowhook
  rowhook completions zsh > ~/.zfunc/_rowhook")]
pub(super) struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<CommandVerdict> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rowhook", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(CommandVerdict::Done)
}
