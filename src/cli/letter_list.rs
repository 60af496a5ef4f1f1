//! `rowhook dead-letters list`: pages of dead letters, or how many there are of each kind.
//!
//! In: conditions, and where the page begins. Out: a table that ends with the command for the next page, or JSON.

use std::time::SystemTime;

use super::letter_filter::LetterFilterArgs;
use super::next_command::next_command;
use super::output::{self, Columns, Tone};
use super::reach::Reach;
use super::{CommandVerdict, page};
use crate::admin::view::{
    GroupsRequest, GroupsView, LetterField, LetterGroup, LetterView, ListRequest, ListSort, Listing, Selection,
};
use crate::config::{DataArgs, File};
use crate::failure::answer_word;

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters list
  rowhook dead-letters list --rule order-paid --newer-than 1h --sort newest
  rowhook dead-letters list --answer 4xx --message 'not found' --since 2026-11-20
  rowhook dead-letters list --table shop.orders --key 4711
  rowhook dead-letters list --group-by rule,answer,message
  rowhook dead-letters list --json | jq '.dead_letters[].message'

--group-by counts dead letters by what they have in common. Messages that differ only in numbers, ids and quoted values count as one.";

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    conditions: LetterFilterArgs,
    /// Show at most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Show the oldest or the newest first
    #[arg(long, value_name = "oldest|newest", default_value = "oldest", value_parser = sort, hide_default_value = true)]
    sort: ListSort,
    /// Go on behind this number: the next page, as the last line shows it
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Count them by rule, table, reason, answer, message, op, or several of these
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', value_parser = field, conflicts_with_all = ["after", "sort"])]
    group_by: Vec<LetterField>,
    /// Only those that were resolved
    #[arg(long)]
    resolved: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

fn sort(word: &str) -> Result<ListSort, String> {
    match word {
        "oldest" => Ok(ListSort::Oldest),
        "newest" => Ok(ListSort::Newest),
        _ => Err("expected oldest or newest".to_string()),
    }
}

fn field(word: &str) -> Result<LetterField, String> {
    let words = || LetterField::ALL.map(LetterField::as_str).join(", ");
    LetterField::parse(word).ok_or_else(|| format!("expected one or several of {}, such as rule,answer", words()))
}

pub(super) async fn list(args: ListArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let reach = Reach::open(&args.data.resolve(file)).await?;
    let selection = Selection { resolved: args.resolved, ..args.conditions.selection() };
    let limit = args.limit as usize;
    let none = if args.resolved { "no resolved dead letters\n" } else { "no dead letters\n" };
    if !args.group_by.is_empty() {
        let request = GroupsRequest { selection, by: args.group_by, limit };
        let groups = reach.group(&request).await?;
        match &groups {
            groups if args.json => output::print_json(groups)?,
            groups if groups.groups.is_empty() => output::print(none)?,
            groups => output::print(&group_table(groups, &request.by, SystemTime::now()))?,
        }
        return Ok(CommandVerdict::Done);
    }
    let request = ListRequest { selection, limit, after: args.after, sort: args.sort };
    let listing = reach.list(&request).await?;
    match &listing {
        listing if args.json => output::print_json(listing)?,
        listing if listing.dead_letters.is_empty() && args.after.is_some() => output::print("no more dead letters\n")?,
        listing if listing.dead_letters.is_empty() => output::print(none)?,
        listing => output::print(&table(listing, SystemTime::now()))?,
    }
    Ok(CommandVerdict::Done)
}

fn table(listing: &Listing, now: SystemTime) -> String {
    // Only where some rule takes steps.
    let has_effect = listing.dead_letters.iter().any(|letter| letter.effect.is_some());
    let is_narrow = output::terminal_width().is_some_and(|width| width < NARROW_BELOW);
    let is_shown = |name: &str| match name {
        "effect" => has_effect,
        "attempts" | "table" => !is_narrow,
        _ => true,
    };
    let rows = listing.dead_letters.iter().map(|letter| {
        let cells = LIST_HEAD.into_iter().zip(row(letter, now));
        cells.filter(|(name, _)| is_shown(name)).map(|(_, cell)| cell).collect()
    });
    let head: Vec<&str> = LIST_HEAD.into_iter().filter(|name| is_shown(name)).collect();
    let mut text = output::table(&head, rows);
    if let Some(next) = listing.next {
        let more = listing.more.map_or("more".to_string(), |more| format!("{more} more"));
        text += &format!("… and {more}: {}\n", next_command(&["--after"], &[], "--after", &next.to_string()));
    }
    text
}

/// A terminal of fewer columns has no room for all columns: the message says more than the others.
const NARROW_BELOW: u16 = 100;

const LIST_HEAD: [&str; 10] =
    ["number", "age", "rule", "table", "key", "reason", "effect", "answer", "attempts", "message"];

fn row(letter: &LetterView, now: SystemTime) -> [String; 10] {
    let last = letter.attempts.last();
    let answer =
        answer_word(last.and_then(|attempt| attempt.status), last.and_then(|attempt| attempt.error.as_deref()));
    let message = match &letter.resolved {
        Some(resolved) => format!("resolved: {}", resolved.note),
        None if is_edited(letter) => format!("edited: {}", letter.message),
        None => letter.message.clone(),
    };
    [
        letter.number.to_string(),
        output::ago(&letter.created_at, now, output::short),
        letter.rule.clone(),
        letter.table.clone(),
        page::key(letter),
        letter.reason.clone(),
        letter.effect.clone().unwrap_or("-".to_string()),
        answer.into_owned(),
        letter.attempts_total.to_string(),
        message,
    ]
}

fn is_edited(letter: &LetterView) -> bool {
    letter.edit.as_ref().is_some_and(|edit| !edit.reverted)
}

fn group_table(groups: &GroupsView, by: &[LetterField], now: SystemTime) -> String {
    // The message is the widest, and cut where the terminal ends.
    let (messages, mut by): (Vec<LetterField>, Vec<LetterField>) =
        by.iter().partition(|field| **field == LetterField::Message);
    by.extend(messages);
    let head: Vec<&str> =
        ["count", "oldest", "newest", "example"].into_iter().chain(by.iter().map(|field| field.as_str())).collect();
    let row = |group: &LetterGroup| {
        let counts = [
            group.count.to_string(),
            output::ago(&group.oldest, now, output::short),
            output::ago(&group.newest, now, output::short),
            group.example.to_string(),
        ];
        let fields = by.iter().map(|field| group.field(*field).unwrap_or("-").to_string());
        counts.into_iter().chain(fields).map(|cell| (cell, Tone::Plain)).collect()
    };
    let columns = Columns { numbers: vec![0, 1, 2, 3], whole: vec![0, 1, 2, 3] };
    let mut text = output::toned_table(&head, groups.groups.iter().map(row), &columns);
    if groups.more_groups > 0 {
        let more = output::count(groups.more_groups, "more group", "more groups");
        text += &format!("… and {more}; --limit shows more of them\n");
    }
    if groups.other > 0 {
        let other = output::count(groups.other, "dead letter", "dead letters");
        text += &format!("… and {other} of further groups, which are too many to tell apart; add a condition\n");
    }
    text
}
