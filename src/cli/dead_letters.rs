//! `rowhook dead-letters`: list, show, export, edit, replay, resolve and discard deliveries that were given up.
//!
//! In: which letters, as typed (`letter_filter`). Out: a table, a page or JSON. Works the same with and without a running daemon.
//! `list`, `resolve` and `discard` need no rules; `show` uses them, if it finds them, to say what can be done about a saga.

use std::sync::Arc;
use std::time::SystemTime;

use clap::Subcommand;

use super::letter_filter::{CONDITIONS, WhichLetters};
use super::reach::Reach;
use super::{CommandVerdict, call_settings, edit_letter, export, letter_list, output, page, replay, rule_files};
use crate::admin::view::saga::SagaCommandView;
use crate::admin::view::{ReplayRequest, ResolveRequest, Selection, SendRate};
use crate::config::{CallArgs, DataArgs, File, RulesArgs, TlsArgs, WriteArgs};
use crate::rules::Rate;

/// Of a command that wants to know which dead letters are meant.
macro_rules! usage {
    ($command:literal) => {
        concat!("rowhook dead-letters ", $command, " [OPTIONS] <NUMBER...|CONDITIONS|--all>")
    };
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List dead letters, or count them by what they have in common
    #[command(after_help = letter_list::LIST_EXAMPLES)]
    List(letter_list::ListArgs),
    /// Show one dead letter: attempts, the log of its saga, transaction and row
    Show(ShowLetterArgs),
    /// Write dead letters with their rows to a file or to stdout, as JSON lines or CSV
    #[command(after_help = export::EXPORT_EXAMPLES)]
    Export(export::ExportArgs),
    /// Give a dead letter another body: the next replay sends it
    #[command(after_help = edit_letter::EDIT_EXAMPLES)]
    Edit(edit_letter::EditArgs),
    /// Send dead letters again, with the current rules
    #[command(after_help = REPLAY_EXAMPLES, override_usage = usage!("replay"))]
    Replay(Box<ReplayArgs>),
    /// Close dead letters that were settled by hand: they stay in the store and are not sent again
    #[command(after_help = RESOLVE_EXAMPLES, override_usage = usage!("resolve --note <TEXT>"))]
    Resolve(ResolveArgs),
    /// Delete dead letters for good, without sending them
    #[command(after_help = DISCARD_EXAMPLES, override_usage = usage!("discard --yes"))]
    Discard(DiscardArgs),
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters replay 12 13
  rowhook dead-letters replay --rule order-paid --dry-run
  rowhook dead-letters replay --answer 5xx --since 2h --limit 100
  rowhook dead-letters replay --rule order-paid --rate 20/s --stop-after-failures 10
  rowhook dead-letters replay --all
  rowhook dead-letters replay 17 --happened no

A dead letter that is delivered is removed; one that fails again stays, with its new attempts. Deliveries that it blocks
follow by themselves; a blocked delivery is replayed only together with the dead letter in front of it.
The replay of a saga continues with the step that was given up. If it is not known whether a step took effect that must not
be repeated, and the rule has no `verify`, the dead letter is not replayed without --happened.
Ctrl-C stops it: what was not attempted yet stays as it is. Where --limit or --stop-after-failures ends it, the last line is the command
that goes on.
Exit code 1: a dead letter stays that was sent, or could not be (--limit alone leaves exit code 0); or a number or a rule does not exist, then nothing is sent. A running rowhook uses the rules
that it has loaded; --rules is used only when none runs.";

const RESOLVE_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters resolve 17 --note 'charged twice; refunded in their console'
  rowhook dead-letters resolve --rule mail --answer 410 --note 'these customers are gone' --yes

A dead letter that is resolved is no longer counted, and the deliveries that it blocks are sent. `list --resolved` and `show` still
show it. If a number does not exist, nothing is resolved. One that waits for its turn in a replay is not sent any more; one that is
being sent now is not resolved, and one that is resolved already keeps its note: exit code 1.";

const DISCARD_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters discard 12 --yes
  rowhook dead-letters discard --older-than 30d --yes

Deliveries that a discarded dead letter blocks are sent, unless they are discarded, too. If a number does not exist, nothing
is discarded. A dead letter that is being sent now is not discarded: exit code 1.";

#[derive(Debug, clap::Args)]
pub(super) struct ShowLetterArgs {
    /// Number of the dead letter, as `list` shows it
    number: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    rules: RulesArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    which: WhichLetters,
    #[command(flatten)]
    saga_command: SagaCommandArgs,
    /// Show the requests as curl commands, with secrets masked; send none
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Send no more dead letters in that time than this, evenly: 20/s, 100/m or 500/h
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "dry_run")]
    rate: Option<SendRate>,
    /// Send at most this many, the oldest
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Send no more after so many failed in a row
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "dry_run")]
    stop_after_failures: Option<u64>,
    /// Print one JSON document per dead letter
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    pub(super) rules: RulesArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    calls: CallArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

/// The command for sagas, if not to continue.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct SagaCommandArgs {
    /// Begin with the first step again, also where steps are done; needs --yes
    #[arg(long, requires = "yes", conflicts_with_all = ["undo", "happened"])]
    from_start: bool,
    /// Undo the steps that have an effect
    #[arg(long, conflicts_with = "happened")]
    undo: bool,
    /// State whether the uncertain step took effect, and continue; needs numbers of dead letters
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"], conflicts_with = "all", conflicts_with_all = CONDITIONS)]
    happened: Option<String>,
    /// Confirm
    #[arg(long, requires = "from_start")]
    yes: bool,
}

impl SagaCommandArgs {
    fn view(&self) -> Option<SagaCommandView> {
        match (self.from_start, self.undo, self.happened.as_deref()) {
            (true, ..) => Some(SagaCommandView::FromStart),
            (_, true, _) => Some(SagaCommandView::Undo),
            (_, _, Some(word)) => Some(SagaCommandView::Happened(word == "yes")),
            (false, false, None) => None,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    which: WhichLetters,
    /// What was done by hand, and where; for all of them
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    note: String,
    /// Confirm; needed for more than one
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    which: WhichLetters,
    /// Only those that were resolved
    #[arg(long, conflicts_with = "numbers")]
    resolved: bool,
    /// Confirm
    #[arg(long, required = true)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

fn rate(text: &str) -> Result<SendRate, String> {
    let rate = Rate::parse(text).map(|rate| SendRate { count: rate.count, per_seconds: rate.per.as_secs() });
    rate.ok_or_else(|| format!("expected a rate such as 20/s, 100/m or 500/h, from 1 to {}", Rate::COUNT_MAX))
}

pub(super) async fn run(command: DeadLettersCommand, file: &File) -> anyhow::Result<CommandVerdict> {
    match command {
        DeadLettersCommand::List(args) => letter_list::list(args, file).await,
        DeadLettersCommand::Show(args) => show(args, file).await,
        DeadLettersCommand::Export(args) => export::run(args, file).await,
        DeadLettersCommand::Edit(args) => edit_letter::run(args, file).await,
        DeadLettersCommand::Replay(args) => {
            let data = args.data.clone().resolve(file);
            let reach = Reach::open(&data).await?;
            let selection = Selection { saga_command: args.saga_command.view(), ..args.which.selection() };
            let how = replay::How { dry_run: args.dry_run, json: args.json };
            let (rate, limit, failures_in_a_row_max) = (args.rate, args.limit, args.stop_after_failures);
            let request = ReplayRequest { selection, rate, limit, failures_in_a_row_max };
            let write = args.write.resolve(args.tls.resolve(file)?, file);
            let proxy = call_settings::proxy(args.calls, file)?;
            let from = replay::Sources { rules: args.rules.resolve(file), write, proxy, data };
            replay::run(&reach, request, how, from).await
        }
        DeadLettersCommand::Resolve(args) => resolve(args, file).await,
        DeadLettersCommand::Discard(args) => discard(args, file).await,
    }
}

async fn show(args: ShowLetterArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let rules = args.rules.resolve(file);
    let load = || rule_files::load(&rules).ok().map(Arc::new);
    let Some(letter) = reach.show(args.number, load).await? else {
        anyhow::bail!("there is no dead letter {}; it may have been replayed or discarded", args.number);
    };
    if args.json {
        output::print_json(&letter)?;
    } else {
        output::print(&page::letter(&letter, SystemTime::now(), output::terminal_width()))?;
    }
    Ok(CommandVerdict::Done)
}

async fn resolve(args: ResolveArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let request = ResolveRequest { selection: args.which.selection(), note: args.note, is_confirmed: args.yes };
    let closed = reach.resolve(&request).await?;
    match request.selection.numbers.as_slice() {
        [number] if closed.resolved == 0 => {
            anyhow::bail!("dead letter {number} was resolved, discarded or delivered meanwhile: nothing was done")
        }
        [number] if args.json => output::print_json(&reach.show(*number, || None).await?)?,
        _ if args.json => output::print_json(&closed)?,
        [number] => output::print(&format!("dead letter {number} resolved; list --resolved shows it\n"))?,
        _ => {
            let resolved = output::count(closed.resolved, "dead letter", "dead letters");
            output::print(&format!("{resolved} resolved; list --resolved shows them\n"))?;
        }
    }
    for number in closed.resolved_already.iter().filter(|_| !args.json) {
        output::print(&format!("{number} is resolved already: its note stays as it was\n"))?;
    }
    let verdict = verdict_of(&closed.being_sent, "resolved", args.json)?;
    Ok(if closed.resolved_already.is_empty() { verdict } else { CommandVerdict::Problems })
}

async fn discard(args: DiscardArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let selection = Selection { resolved: args.resolved, ..args.which.selection() };
    let discarded = reach.discard(&selection).await?;
    if args.json {
        output::print_json(&discarded)?;
    } else {
        output::print(&format!("{} discarded\n", output::count(discarded.discarded, "dead letter", "dead letters")))?;
    }
    verdict_of(&discarded.being_sent, "discarded", args.json)
}

/// Names those that were not closed, because they are being sent.
fn verdict_of(being_sent: &[u64], closed: &str, json: bool) -> anyhow::Result<CommandVerdict> {
    for number in being_sent.iter().filter(|_| !json) {
        output::print(&format!("{number} is being sent now: it is not {closed}; wait for the outcome\n"))?;
    }
    Ok(if being_sent.is_empty() { CommandVerdict::Done } else { CommandVerdict::Problems })
}
