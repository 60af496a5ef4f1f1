//! `rowhook dead-letters`: list, show, replay and discard deliveries that were given up.
//!
//! In: which letters, as typed. Out: a table, a page or JSON. Works the same with and without a running daemon. `list`,
//! `show` and `discard` need no rules.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;

use super::reach::Reach;
use super::{Verdict, output, page, replay};
use crate::admin::view::{LetterView, ListRequest, Selection};
use crate::config::{DataArgs, File, RulesArgs, TlsArgs, WriteArgs};
use crate::failure::Reason;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List dead letters, the oldest first
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show one dead letter: attempts, transaction and row
    Show(ShowArgs),
    /// Send dead letters again, with the rules as they are now
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
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

A letter that is delivered is gone; one that fails again stays, with its new attempts. What is held behind a letter
follows by itself; a held letter is replayed only together with the one in front.
Exit code 1 when a letter stays. A running rowhook replays with its own rules; --rules is for when none runs.";

const DISCARD_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters discard 12 --yes
  rowhook dead-letters discard --older-than 30d --yes

What is held behind a discarded letter, and is not discarded itself, goes out.";

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    conditions: Conditions,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Number of the dead letter, as `list` shows it
    number: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// Show the requests as curl commands, secrets masked, and send none
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print a JSON document per letter
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    pub(super) rules: RulesArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    which: Which,
    /// Really do it
    #[arg(long, required = true)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Letters that are acted on must be named.
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
    /// Only those given up for this reason
    #[arg(long, value_name = "REASON", value_parser = Reason::ALL.map(Reason::as_str))]
    reason: Option<String>,
    /// Only those that became dead letters longer ago than this, such as 2h or 30d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Only those that became dead letters within this time, such as 15m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    newer_than: Option<Duration>,
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

pub(super) async fn run(command: Command, file: &File) -> anyhow::Result<Verdict> {
    match command {
        Command::List(args) => list(args, file).await,
        Command::Show(args) => show(args, file).await,
        Command::Replay(args) => {
            let reach = Reach::open(&args.data.clone().resolve(file)).await?;
            let selection = args.which.selection();
            let how = replay::How { dry_run: args.dry_run, json: args.json };
            let write = args.write.resolve(args.tls.resolve(file)?, file);
            let from = replay::Sources { rules: args.rules.resolve(file), write };
            replay::run(&reach, selection, how, from).await
        }
        Command::Discard(args) => discard(args, file).await,
    }
}

async fn list(args: ListArgs, file: &File) -> anyhow::Result<Verdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let request = ListRequest { selection: args.conditions.selection(), limit: args.limit as usize };
    let listing = reach.list(&request).await?;
    if args.json {
        output::print_json(&listing)?;
        return Ok(Verdict::Done);
    }
    if listing.dead_letters.is_empty() {
        output::print("no dead letters\n")?;
        return Ok(Verdict::Done);
    }
    let now = SystemTime::now();
    let rows = listing.dead_letters.iter().map(|letter| row(letter, now));
    output::print(&output::table(
        &["number", "age", "rule", "table", "key", "reason", "answer", "attempts", "message"],
        rows,
    ))?;
    if listing.more > 0 {
        output::print(&format!("… and {} more; --limit shows more of them\n", listing.more))?;
    }
    Ok(Verdict::Done)
}

fn row(letter: &LetterView, now: SystemTime) -> Vec<String> {
    let answer = match letter.attempts.last() {
        Some(attempt) => attempt.status.map_or("none".to_string(), |status| status.to_string()),
        None => "-".to_string(),
    };
    vec![
        letter.number.to_string(),
        output::age(&letter.created_at, now),
        letter.rule.clone(),
        letter.table.clone(),
        page::key(letter),
        letter.reason.clone(),
        answer,
        letter.attempts_total.to_string(),
        letter.message.clone(),
    ]
}

async fn show(args: ShowArgs, file: &File) -> anyhow::Result<Verdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let Some(letter) = reach.show(args.number).await? else {
        anyhow::bail!("there is no dead letter {}; it may have been replayed or discarded", args.number);
    };
    if args.json {
        output::print_json(&letter)?;
    } else {
        output::print(&page::letter(&letter, SystemTime::now()))?;
    }
    Ok(Verdict::Done)
}

async fn discard(args: DiscardArgs, file: &File) -> anyhow::Result<Verdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let discarded = reach.discard(&args.which.selection()).await?;
    if args.json {
        output::print_json(&discarded)?;
    } else {
        output::print(&format!("{} discarded\n", output::count(discarded.discarded, "dead letter")))?;
    }
    Ok(Verdict::Done)
}
