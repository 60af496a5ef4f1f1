//! `rowhook dead-letters`: list, show, replay, resolve and discard deliveries that were given up.
//!
//! In: which letters, as typed. Out: a table, a page or JSON. Works the same with and without a running daemon. `list`,
//! `resolve` and `discard` need no rules; `show` uses them, if it finds them, to say what can be done about a saga.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;

use super::reach::Reach;
use super::{CommandVerdict, call_settings, output, page, replay, rule_files};
use crate::admin::view::saga::SagaCommandView;
use crate::admin::view::{LetterView, ListRequest, ResolveRequest, Selection};
use crate::config::{CallArgs, DataArgs, File, RulesArgs, TlsArgs, WriteArgs};
use crate::failure::Reason;

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List dead letters, the oldest first
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show one dead letter: attempts, the log of its saga, transaction and row
    Show(ShowLetterArgs),
    /// Send dead letters again, with the current rules
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Box<ReplayArgs>),
    /// Close a dead letter that was settled by hand: it stays in the store and is not sent again
    #[command(after_help = RESOLVE_EXAMPLES)]
    Resolve(ResolveArgs),
    /// Delete dead letters for good, without sending them
    #[command(after_help = DISCARD_EXAMPLES)]
    Discard(DiscardArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters list
  rowhook dead-letters list --rule order-paid --newer-than 1h
  rowhook dead-letters list --json | jq '.dead_letters[].message'";

const REPLAY_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters replay 12 13
  rowhook dead-letters replay --rule order-paid --dry-run
  rowhook dead-letters replay --all
  rowhook dead-letters replay 17 --happened no

A dead letter that is delivered is removed; one that fails again stays, with its new attempts. Deliveries that it blocks
follow by themselves; a blocked delivery is replayed only together with the dead letter in front of it.
The replay of a saga continues with the step that was given up. If it is not known whether a step took effect that must not
be repeated, and the rule has no `verify`, the dead letter is not replayed without --happened.
Ctrl-C stops it: what was not attempted yet stays as it is.
Exit code 1: a dead letter stays; or a number or a rule does not exist, then nothing is sent. A running rowhook uses the rules
that it has loaded; --rules is used only when none runs.";

const RESOLVE_EXAMPLES: &str = "\
Example:
  rowhook dead-letters resolve 17 --note 'charged twice; refunded in their console'

The dead letter is no longer counted, and the deliveries that it blocks are sent. `list --resolved` and `show` still show it.
One that waits for its turn in a replay is not sent any more; one that is being sent now is not resolved.";

const DISCARD_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters discard 12 --yes
  rowhook dead-letters discard --older-than 30d --yes

Deliveries that a discarded dead letter blocks are sent, unless they are discarded, too. If a number does not exist, nothing
is discarded. A dead letter that is being sent now is not discarded: exit code 1.";

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    conditions: Conditions,
    /// Show at most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Only those that were resolved
    #[arg(long)]
    resolved: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

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
    which: Which,
    #[command(flatten)]
    saga_command: SagaCommandArgs,
    /// Show the requests as curl commands, with secrets masked; send none
    #[arg(long)]
    pub(super) dry_run: bool,
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
    /// Number of the dead letter, as `list` shows it
    number: u64,
    /// What was done by hand, and where
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    note: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    which: Which,
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

/// Dead letters that are acted on must be named.
#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = true)]
#[group(args = ["numbers", "rule", "table", "reason", "older_than", "newer_than", "all"])]
struct Which {
    /// Numbers of dead letters, as `list` shows them
    #[arg(value_name = "NUMBER", conflicts_with_all = CONDITIONS)]
    numbers: Vec<u64>,
    #[command(flatten)]
    conditions: Conditions,
    /// All dead letters
    #[arg(long, conflicts_with_all = CONDITIONS, conflicts_with = "numbers")]
    all: bool,
}

const CONDITIONS: [&str; 5] = ["rule", "table", "reason", "older_than", "newer_than"];

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Conditions {
    /// Only those of this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Only those of this table
    #[arg(long, value_name = "SCHEMA.TABLE")]
    table: Option<String>,
    /// Only those given up for this reason: refused, exhausted, unrenderable, undecided, blocked, unknown, callback_failed, fuse or
    /// interrupted
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<String>,
    /// Only those that became dead letters longer ago than this, such as 2h or 30d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Only those that became dead letters within this time, such as 15m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    newer_than: Option<Duration>,
}

/// The word of a reason. Former words are errors that give the current one.
fn reason(word: &str) -> Result<String, String> {
    match word {
        "held" => Err("it is called blocked now".to_string()),
        "untold" => Err("it is called callback_failed now".to_string()),
        known if Reason::parse(known).is_some() => Ok(known.to_string()),
        _ => Err(format!("expected one of {}", Reason::ALL.map(Reason::as_str).join(", "))),
    }
}

impl Conditions {
    fn selection(self) -> Selection {
        let moment_us = |ago: Duration| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            since_epoch.saturating_sub(ago).as_micros() as u64
        };
        Selection {
            rule: self.rule,
            table: self.table,
            reason: self.reason,
            created_before_us: self.older_than.map(moment_us),
            created_from_us: self.newer_than.map(moment_us),
            ..Selection::default()
        }
    }
}

impl Which {
    fn selection(self) -> Selection {
        Selection { numbers: self.numbers, all: self.all, ..self.conditions.selection() }
    }
}

pub(super) async fn run(command: DeadLettersCommand, file: &File) -> anyhow::Result<CommandVerdict> {
    match command {
        DeadLettersCommand::List(args) => list(args, file).await,
        DeadLettersCommand::Show(args) => show(args, file).await,
        DeadLettersCommand::Replay(args) => {
            let data = args.data.clone().resolve(file);
            let reach = Reach::open(&data).await?;
            let selection = Selection { saga_command: args.saga_command.view(), ..args.which.selection() };
            let how = replay::How { dry_run: args.dry_run, json: args.json };
            let write = args.write.resolve(args.tls.resolve(file)?, file);
            let proxy = call_settings::proxy(args.calls, file)?;
            let from = replay::Sources { rules: args.rules.resolve(file), write, proxy, data };
            replay::run(&reach, selection, how, from).await
        }
        DeadLettersCommand::Resolve(args) => resolve(args, file).await,
        DeadLettersCommand::Discard(args) => discard(args, file).await,
    }
}

async fn list(args: ListArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let selection = Selection { resolved: args.resolved, ..args.conditions.selection() };
    let request = ListRequest { selection, limit: args.limit as usize };
    let listing = reach.list(&request).await?;
    if args.json {
        output::print_json(&listing)?;
        return Ok(CommandVerdict::Done);
    }
    if listing.dead_letters.is_empty() {
        output::print(if args.resolved { "no resolved dead letters\n" } else { "no dead letters\n" })?;
        return Ok(CommandVerdict::Done);
    }
    let now = SystemTime::now();
    // Only where some rule takes steps.
    let has_effect = listing.dead_letters.iter().any(|letter| letter.effect.is_some());
    let is_shown = |name: &str| has_effect || name != "effect";
    let rows = listing.dead_letters.iter().map(|letter| {
        let cells = LIST_HEAD.into_iter().zip(row(letter, now));
        cells.filter(|(name, _)| is_shown(name)).map(|(_, cell)| cell).collect()
    });
    let head: Vec<&str> = LIST_HEAD.into_iter().filter(|name| is_shown(name)).collect();
    output::print(&output::table(&head, rows))?;
    if listing.more > 0 {
        output::print(&format!("… and {} more; --limit shows more of them\n", listing.more))?;
    }
    Ok(CommandVerdict::Done)
}

const LIST_HEAD: [&str; 10] =
    ["number", "age", "rule", "table", "key", "reason", "effect", "answer", "attempts", "message"];

fn row(letter: &LetterView, now: SystemTime) -> [String; 10] {
    let answer = match letter.attempts.last() {
        Some(attempt) => attempt.status.map_or("none".to_string(), |status| status.to_string()),
        None => "-".to_string(),
    };
    let message = match &letter.resolved {
        Some(resolved) => format!("resolved: {}", resolved.note),
        None => letter.message.clone(),
    };
    [
        letter.number.to_string(),
        output::age(&letter.created_at, now),
        letter.rule.clone(),
        letter.table.clone(),
        page::key(letter),
        letter.reason.clone(),
        letter.effect.clone().unwrap_or("-".to_string()),
        answer,
        letter.attempts_total.to_string(),
        message,
    ]
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
    let request = ResolveRequest { number: args.number, note: args.note };
    let Some(letter) = reach.resolve(&request).await? else {
        anyhow::bail!("there is no dead letter {}; it may have been replayed or discarded", args.number);
    };
    if args.json {
        output::print_json(&letter)?;
    } else {
        output::print(&format!("dead letter {} resolved; list --resolved shows it\n", args.number))?;
    }
    Ok(CommandVerdict::Done)
}

async fn discard(args: DiscardArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let selection = Selection { resolved: args.resolved, ..args.which.selection() };
    let discarded = reach.discard(&selection).await?;
    if args.json {
        output::print_json(&discarded)?;
    } else {
        output::print(&format!("{} discarded\n", output::count(discarded.discarded, "dead letter")))?;
        for number in &discarded.being_sent {
            output::print(&format!("{number} is being sent now: it is not discarded; wait for the outcome\n"))?;
        }
    }
    Ok(if discarded.being_sent.is_empty() { CommandVerdict::Done } else { CommandVerdict::Problems })
}
