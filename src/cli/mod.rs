//! The command line: what was typed becomes a command, and the command runs.
//!
//! In: arguments, environment, `rowhook.yaml`. Out: the commands' output on stdout, the log and errors on stderr, a verdict
//! for the exit code. The composition root: it alone knows all stages, and it alone prints. Each command is a file with
//! its arguments, its work and its output.

mod alert;
mod call_settings;
mod check;
mod completions;
mod conditions;
mod confirm;
mod dead_letters;
mod deliveries;
mod edit_letter;
mod editor;
mod export;
mod init;
mod instance;
mod journal;
mod letter_filter;
mod letter_list;
mod logging;
mod man;
mod next_command;
mod output;
mod page;
mod position;
mod preview;
mod reach;
mod reloading;
mod replay;
mod replay_binlog;
mod rule;
mod rule_files;
mod run;
mod running_replay;
mod schema;
mod signals;
mod source_settings;
mod source_watch;
mod stats;
mod status;
mod store;
mod systemd;
mod tail;
mod target;
mod test;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};

use crate::config::{self, File, FileArgs, GivenBy, LogArgs};
use crate::source;

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "rowhook",
    version,
    about = "Follows a MySQL primary through its binlog and calls HTTP APIs for the rows that match its rules",
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  rowhook init --mysql mysql://rowhook:secret@db:3306 shop.orders
  rowhook check --mysql mysql://rowhook:secret@db:3306 --rules rules
  rowhook run --mysql mysql://rowhook:secret@db:3306 --rules rules --data data
  rowhook tail --mysql mysql://rowhook:secret@db:3306 --rules rules
  rowhook test
  rowhook status
  rowhook dead-letters list
  rowhook dead-letters replay --rule order-paid

Settings come from flags, then from ROWHOOK_* variables, then from rowhook.yaml, then from defaults.
Exit codes: 0 done, 1 failed or problems found, 2 wrong usage, 3 of `status`: an operator should look.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow MySQL and deliver, until stopped
    Run(run::RunCommandArgs),
    /// Write first rule files for tables of a server
    Init(init::InitArgs),
    /// Check rule files, and whether MySQL can be followed
    Check(check::CheckArgs),
    /// Show the state of a running rowhook and of each rule
    Status(status::StatusArgs),
    /// Pause a rule: it starts no calls until it is resumed
    Pause(rule::PauseArgs),
    /// Resume a paused rule
    Resume(rule::ResumeArgs),
    /// Reload the rule files
    Reload(rule::ReloadArgs),
    /// Deliver a binlog range again for one rule
    ReplayBinlog(replay_binlog::ReplayBinlogArgs),
    /// Show the positions in the binlog, or move them past a transaction or onto another binlog
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Position(position::PositionCommand),
    /// List, show, edit, export, replay, resolve and discard dead letters: deliveries that were given up
    #[command(visible_alias = "dlq", subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// List and show what was delivered, if a journal is kept
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Deliveries(deliveries::DeliveriesCommand),
    /// Count deliveries and durations by rule and hour, if a journal is kept
    Stats(stats::StatsArgs),
    /// List the targets that rules call, and make one available again
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Target(target::TargetCommand),
    /// List the alerts of the settings file, and try them
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Alert(alert::AlertCommand),
    /// Verify, back up, restore and compact the store in the data directory
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Store(store::StoreCommand),
    /// Show what each rule makes of a change: the request, or the clause that says no; send nothing unless asked to
    Preview(preview::PreviewArgs),
    /// Try the fixtures beside the rules: without MySQL, and nothing is sent
    Test(test::TestArgs),
    /// Print changes as JSON lines while they arrive; send nothing
    Tail(tail::TailArgs),
    /// Print the JSON Schema of rule files, targets files, fixtures or the settings file, for editors
    Schema(schema::SchemaArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(man::ManArgs),
}

/// Commands report the result of a replay themselves; the log would repeat it.
const QUIET: &str = "error,rowhook::outcome=off";

/// The verdict of a command that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandVerdict {
    Done,
    /// Problems were found, and have been shown.
    Problems,
    /// Nothing failed, and an operator should look.
    Attention,
}

/// Parses what was typed, or answers a shell that wants to complete it; ends the process where there is nothing to run.
pub fn parse() -> Cli {
    completions::answer();
    Cli::try_parse().unwrap_or_else(|error| {
        // Without stderr there is nowhere to report it.
        let _ = error.print();
        if let Some(variable) = variable_of(&error) {
            output::complain(&format!("the value is that of the variable {variable}"));
        }
        std::process::exit(error.exit_code())
    })
}

/// The variable that the refused value comes from; None: it was typed.
fn variable_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = argument.split([' ', '=']).next()?.strip_prefix("--")?;
    match given_by(&File::default(), name) {
        GivenBy::Variable => Some(GivenBy::variable(name)),
        GivenBy::Flag | GivenBy::File { .. } => None,
    }
}

/// Where a setting of this process was given.
fn given_by(file: &File, name: &str) -> GivenBy {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    file.given_by(name, &arguments, |variable| std::env::var_os(variable).is_some())
}

/// Runs a command to its end.
///
/// # Errors
///
/// When the command could not do its work, or [`is_wrong_usage`].
pub fn run(cli: Cli) -> anyhow::Result<CommandVerdict> {
    let file = File::load(&cli.file)?;
    run_with(cli, &file).map_err(|error| located(error, &file))
}

/// An error about a setting, with the place where the setting was given.
fn located(error: anyhow::Error, file: &File) -> anyhow::Error {
    let given_by = |name: &str| given_by(file, name);
    let error = match error.downcast::<config::Error>() {
        Ok(error) => return error.located(given_by).into(),
        Err(error) => error,
    };
    match error.downcast::<source::Error>() {
        Ok(source::Error::Setting { setting, problem }) => {
            let name = match setting {
                "url" => Some("mysql"),
                "user" => Some("mysql-user"),
                // That of either server.
                "password" => None,
                other => Some(other),
            };
            let place = name.map_or(String::new(), |name| given_by(name).place(name));
            source::Error::Setting { setting, problem: format!("{problem}{place}") }.into()
        }
        Ok(other) => other.into(),
        Err(error) => error,
    }
}

fn run_with(cli: Cli, file: &File) -> anyhow::Result<CommandVerdict> {
    let log = cli.log.resolve(file)?;
    let filter = match cli.command {
        Command::Run(_) => "info",
        Command::Tail(_) | Command::Preview(_) => "warn",
        _ => QUIET,
    };
    let _last_lines = logging::start(&log, filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| anyhow!("cannot start threads: {error}"))?;
    let verdict = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args, file).await,
            Command::Init(args) => init::run(args, file).await,
            Command::Check(args) => check::run(args, file).await,
            Command::Status(args) => status::run(args, file).await,
            Command::Pause(args) => rule::pause(args, file).await,
            Command::Resume(args) => rule::resume(args, file).await,
            Command::Reload(args) => rule::reload(args, file).await,
            Command::ReplayBinlog(args) => replay_binlog::run(args, file).await,
            Command::Position(command) => position::run(command, file).await,
            Command::DeadLetters(command) => dead_letters::run(command, file).await,
            Command::Deliveries(command) => deliveries::run(command, file),
            Command::Stats(args) => stats::run(args, file),
            Command::Target(command) => target::run(command, file).await,
            Command::Alert(command) => alert::run(command, file).await,
            Command::Store(command) => store::run(command, file).await,
            Command::Preview(args) => preview::run(args, file).await,
            Command::Tail(args) => tail::run(args, file).await,
            Command::Schema(args) => schema::run(&args),
            Command::Test(args) => test::run(args, file).await,
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
        }
    });
    // Threads that still block (a read of the store, a name resolution) are not waited for.
    runtime.shutdown_background();
    verdict
}

/// Shows an error as one line on stderr.
pub fn report(error: &anyhow::Error) {
    output::report(error);
}

/// Whether the error is about what was typed or set, not about the work.
pub fn is_wrong_usage(error: &anyhow::Error) -> bool {
    error.is::<config::Error>()
        || error.is::<alert::FaultyAlerts>()
        || matches!(error.downcast_ref(), Some(source::Error::Setting { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_that_pick_letters_want_to_know_which() {
        for (line, expected) in [
            ("rowhook dlq list", true),
            ("rowhook dead-letters list --rule a --older-than 2h --limit 3 --json", true),
            ("rowhook dead-letters replay 1 2 3", true),
            ("rowhook dead-letters replay --table shop.orders --dry-run", true),
            ("rowhook dead-letters replay", false),
            ("rowhook dead-letters discard --yes", false),
            ("rowhook dead-letters discard --all --yes", true),
            ("rowhook dead-letters discard --all --rule a --yes", false),
            ("rowhook dead-letters replay --reason wrong", false),
            ("rowhook dead-letters replay --older-than soon", false),
            ("rowhook", false),
        ] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).is_ok(), expected, "{line}");
        }
    }
}
