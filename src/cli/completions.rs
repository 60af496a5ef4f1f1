//! `rowhook completions`: a script with which a shell asks rowhook itself for commands, flags and names of rules.
//!
//! In: a shell; later, from its script, an incomplete command line. Out: the script; what may follow. Names of rules are
//! those of the rule directory that `ROWHOOK_RULES`, the settings file or the default names; nothing is asked of a daemon, so
//! that a key press never waits. Problems are silent: then nothing is proposed.

use clap::{Command, CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;

use super::{Cli, CommandVerdict, output, rule_files};
use crate::config::{File, FileArgs, RulesArgs};

/// By which the script says that it asks. A name of ours: `COMPLETE` may mean something else to others.
const VARIABLE: &str = "ROWHOOK_COMPLETE";

/// The name of values that are names of rules.
const RULE: &str = "RULE";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook completions bash > /etc/bash_completion.d/rowhook
  rowhook completions zsh > ~/.zfunc/_rowhook

The script asks rowhook at each completion. Make it again after an upgrade.")]
pub(super) struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    shell: String,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<CommandVerdict> {
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell).expect("the parser lets only these names pass");
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "rowhook", "rowhook", "rowhook", &mut script)?;
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(CommandVerdict::Done)
}

/// Answers a shell that asks what may follow, and ends the process; returns if none does. To be called before anything else.
pub(super) fn answer() {
    CompleteEnv::with_factory(|| with_rule_names(Cli::command())).var(VARIABLE).complete();
}

fn with_rule_names(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let is_rule = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == RULE));
        if is_rule { arg.add(ArgValueCandidates::new(rule_names)) } else { arg }
    });
    command.mut_subcommands(with_rule_names)
}

/// Where rules are, as other commands read it from the environment.
#[derive(clap::Parser)]
struct RulesPlace {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    rules: RulesArgs,
}

fn rule_names() -> Vec<CompletionCandidate> {
    let named = || {
        let place = RulesPlace::try_parse_from(["rowhook"]).ok()?;
        let file = File::load(&place.file).ok()?;
        let rules = rule_files::load_without_secrets(&place.rules.resolve(&file)).ok()?;
        Some(rules.rules().iter().map(|rule| CompletionCandidate::new(&rule.name)).collect())
    };
    named().unwrap_or_default()
}
