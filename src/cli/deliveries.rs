//! `rowhook deliveries`: what was delivered, and how, by the journal.
//!
//! In: which deliveries, as typed. Out: a table, a page or JSON. Reads the journal's file itself, with and without a running
//! daemon. Values are those of the journal: keys, never rows.

use std::time::{Duration, SystemTime};

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;
use uuid::Uuid;

use super::conditions::ConditionArgs;
use super::journal::{GapView, gap_line, milliseconds, open, require_rule, second};
use super::{CommandVerdict, output};
use crate::admin::view::rfc3339;
use crate::change::DeliveryId;
use crate::config::{DataArgs, File, RulesArgs};
use crate::journal::{JournalFilter, JournalOutcome, JournalReader, JournalRow, JournaledAttempt};

#[derive(Debug, Subcommand)]
pub(super) enum DeliveriesCommand {
    /// List deliveries that have an outcome, the newest first
    #[command(after_help = LIST_EXAMPLES)]
    List(Box<ListDeliveriesArgs>),
    /// Show one delivery with its attempts
    Show(ShowDeliveryArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  rowhook deliveries list --key 10006
  rowhook deliveries list --rule order-paid --outcome dead --since 24h
  rowhook deliveries list --answer timeout --since 2026-11-30T21:00:00Z --until 2026-11-30T22:00:00Z
  rowhook deliveries list --json | jq '.deliveries[].id'

Reads the journal, which `journal:` in rowhook.yaml turns on. A delivery that was sent again is listed once, with its newest outcome.";

const CONDITIONS: [&str; 11] =
    ["rule", "table", "key", "reason", "answer", "outcome", "since", "until", "older_than", "newer_than", "after"];

#[derive(Debug, clap::Args)]
pub(super) struct ListDeliveriesArgs {
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Only those that ended so: delivered, dead, blocked or coalesced
    #[arg(long, help_heading = "Conditions", value_name = "OUTCOME", value_parser = outcome)]
    outcome: Option<JournalOutcome>,
    /// Only the delivery with this id, or this number
    #[arg(long, value_name = "ID", value_parser = DeliveryName::parse, conflicts_with_all = CONDITIONS)]
    id: Option<DeliveryName>,
    /// Show at most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Go on after this one: what the last page gave as its end
    #[arg(long, value_name = "CURSOR", value_parser = clap::value_parser!(i64).range(1..))]
    after: Option<i64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    rules: RulesArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowDeliveryArgs {
    /// Delivery id (the `Idempotency-Key` of its calls), or the number that `list` shows
    #[arg(value_parser = DeliveryName::parse)]
    id: DeliveryName,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// How a person names a delivery.
#[derive(Debug, Clone, Copy, PartialEq)]
enum DeliveryName {
    Id(DeliveryId),
    /// In the journal.
    Number(i64),
}

impl DeliveryName {
    fn parse(text: &str) -> Result<DeliveryName, String> {
        if let Ok(number) = text.parse() {
            return Ok(DeliveryName::Number(number));
        }
        let id =
            Uuid::parse_str(text).map_err(|_| "expected a delivery id, or a number as `list` shows it".to_string());
        Ok(DeliveryName::Id(DeliveryId(id?)))
    }
}

fn outcome(word: &str) -> Result<JournalOutcome, String> {
    let expected = || format!("expected one of {}", JournalOutcome::ALL.map(JournalOutcome::as_str).join(", "));
    JournalOutcome::parse(word).ok_or_else(expected)
}

/// `--json` of `list`.
#[derive(Debug, Serialize)]
struct DeliveriesView {
    /// The newest first.
    deliveries: Vec<DeliveryView>,
    /// For --after; null: these are the last.
    next: Option<i64>,
    /// Times of which deliveries are missing.
    gaps: Vec<GapView>,
}

/// One delivery, in `list` and `show`.
#[derive(Debug, Serialize)]
struct DeliveryView {
    number: i64,
    id: String,
    rule: String,
    table: String,
    op: Option<&'static str>,
    key: Option<String>,
    target: String,
    outcome: &'static str,
    reason: Option<String>,
    merged_into: Option<String>,
    status: Option<u16>,
    error: Option<String>,
    attempts_total: u64,
    times: u64,
    committed_at: String,
    resolved_at: String,
    /// Only in `show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<DeliveryAttemptView>>,
}

#[derive(Debug, Serialize)]
struct DeliveryAttemptView {
    number: u64,
    at: String,
    duration_ms: f64,
    status: Option<u16>,
    error: Option<String>,
}

pub(super) fn run(command: DeliveriesCommand, file: &File) -> anyhow::Result<CommandVerdict> {
    match command {
        DeliveriesCommand::List(args) => list(*args, file),
        DeliveriesCommand::Show(args) => show(args, file),
    }
}

fn list(args: ListDeliveriesArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let journal = open(&args.data.resolve(file))?;
    let ConditionArgs { rule, table, key, reason, answer, times } = args.conditions;
    require_rule(&journal, rule.as_deref(), &args.rules.resolve(file))?;
    let (since_us, until_us) = times.bounds_us();
    let filter = JournalFilter {
        rule,
        table,
        key,
        outcome: args.outcome,
        reason,
        answer,
        since_us,
        until_us,
        after: args.after,
    };
    let (rows, next) = match args.id {
        Some(name) => (find(&journal, name)?.map(|(row, _)| row).into_iter().collect(), None),
        None => {
            let page = journal.list(&filter, args.limit as usize)?;
            (page.rows, page.next)
        }
    };
    let gaps = journal.gaps(since_us.unwrap_or(0), until_us.unwrap_or(u64::MAX))?;
    if args.json {
        let deliveries = rows.into_iter().map(|row| view(row, None)).collect();
        output::print_json(&DeliveriesView { deliveries, next, gaps: gaps.iter().map(GapView::of).collect() })?;
        return Ok(CommandVerdict::Done);
    }
    if rows.is_empty() {
        output::print("no such deliveries in the journal\n")?;
    } else {
        output::print(&list_table(&rows, output::terminal_width()))?;
    }
    if let Some(next) = next {
        output::print(&format!("… and more; --after {next} shows them\n"))?;
    }
    for gap in &gaps {
        output::print(&gap_line(gap))?;
    }
    Ok(CommandVerdict::Done)
}

fn find(journal: &JournalReader, name: DeliveryName) -> anyhow::Result<Option<(JournalRow, Vec<JournaledAttempt>)>> {
    Ok(match name {
        DeliveryName::Id(id) => journal.show(id)?,
        DeliveryName::Number(number) => journal.show_number(number)?,
    })
}

/// What is shown from this width on; all of it where the output is no terminal.
const HEAD: [(&str, u16); 11] = [
    ("number", 0),
    ("ended", 0),
    ("rule", 0),
    ("table", 110),
    ("op", 110),
    ("key", 0),
    ("outcome", 0),
    ("answer", 0),
    ("attempts", 0),
    ("took", 110),
    ("id", 150),
];

fn list_table(rows: &[JournalRow], width: Option<u16>) -> String {
    let fits = |from: u16| width.is_none_or(|width| width >= from);
    let head: Vec<&str> = HEAD.into_iter().filter(|(_, from)| fits(*from)).map(|(name, _)| name).collect();
    let lines = rows.iter().map(|row| {
        let cells = cells(row).into_iter().zip(HEAD);
        cells.filter(|(_, (_, from))| fits(*from)).map(|(cell, _)| cell).collect()
    });
    output::table(&head, lines)
}

fn cells(row: &JournalRow) -> [String; 11] {
    [
        row.number.to_string(),
        second(row.resolved_us),
        row.rule.clone(),
        row.table.clone(),
        row.op.unwrap_or("-").to_string(),
        row.key.clone().unwrap_or("-".to_string()),
        row.outcome.to_string(),
        last_answer(row),
        row.attempts.to_string(),
        row.duration_us.map_or("-".to_string(), milliseconds),
        row.id.to_string(),
    ]
}

fn last_answer(row: &JournalRow) -> String {
    match (row.status, &row.last_error) {
        (Some(status), _) => status.to_string(),
        (None, Some(_)) => "none".to_string(),
        (None, None) => "-".to_string(),
    }
}

fn show(args: ShowDeliveryArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let journal = open(&args.data.resolve(file))?;
    let Some((row, attempts)) = find(&journal, args.id)? else {
        bail!(
            "no such delivery in the journal: it has no outcome yet, is older than the journal keeps, or the rule did not match"
        );
    };
    if args.json {
        output::print_json(&view(row, Some(&attempts)))?;
    } else {
        output::print(&page(&row, &attempts, output::terminal_width()))?;
    }
    Ok(CommandVerdict::Done)
}

fn page(row: &JournalRow, attempts: &[JournaledAttempt], width: Option<u16>) -> String {
    let outcome = match &row.reason {
        Some(reason) => format!("{}: {reason}", row.outcome),
        None => row.outcome.to_string(),
    };
    let resolved = Duration::from_micros(row.resolved_us.saturating_sub(row.committed_us));
    let ago = output::ago(&rfc3339(row.resolved_us), SystemTime::now(), output::short);
    let mut facts = vec![
        ("number", row.number.to_string()),
        ("rule", row.rule.clone()),
        ("change", format!("{} of {}", row.op.unwrap_or("change"), row.table)),
        ("key", row.key.clone().unwrap_or("-".to_string())),
        ("target", row.target.clone()),
        ("outcome", outcome),
    ];
    facts.extend(row.merged_into.map(|id| ("merged into", id.to_string())));
    facts.push(("committed", rfc3339(row.committed_us)));
    facts.push((
        "ended",
        format!("{} ({ago} ago), {} after the commit", rfc3339(row.resolved_us), output::span(resolved)),
    ));
    if row.times > 1 {
        facts.push(("sent", format!("{} times: again after a crash, or by a replay", row.times)));
    }
    let mut page = format!("delivery {}\n", row.id);
    for (name, value) in facts {
        page += &format!("  {name:<12}{}\n", output::clean(&value));
    }
    if attempts.is_empty() {
        return page + "\nno attempts\n";
    }
    page += &format!("\nattempts ({})\n", row.attempts);
    let lines = attempts.iter().map(|attempt| {
        let answer = match (attempt.status, &attempt.error) {
            (Some(status), _) => status.to_string(),
            (None, Some(_)) => "none".to_string(),
            (None, None) => "done".to_string(),
        };
        let error = attempt.error.clone().unwrap_or_default();
        vec![attempt.number.to_string(), rfc3339(attempt.started_us), milliseconds(attempt.duration_us), answer, error]
    });
    let table =
        output::folded_table(&["", "at", "took", "answer", "error"], lines, width.map(|width| width.saturating_sub(2)));
    table.lines().for_each(|line| page += format!("  {line}\n").as_str());
    page
}

fn view(row: JournalRow, attempts: Option<&[JournaledAttempt]>) -> DeliveryView {
    DeliveryView {
        number: row.number,
        id: row.id.to_string(),
        rule: row.rule,
        table: row.table,
        op: row.op,
        key: row.key,
        target: row.target,
        outcome: row.outcome,
        reason: row.reason,
        merged_into: row.merged_into.map(|id| id.to_string()),
        status: row.status,
        error: row.last_error,
        attempts_total: row.attempts,
        times: row.times,
        committed_at: rfc3339(row.committed_us),
        resolved_at: rfc3339(row.resolved_us),
        attempts: attempts.map(|attempts| attempts.iter().map(attempt_view).collect()),
    }
}

fn attempt_view(attempt: &JournaledAttempt) -> DeliveryAttemptView {
    DeliveryAttemptView {
        number: attempt.number,
        at: rfc3339(attempt.started_us),
        duration_ms: attempt.duration_us as f64 / 1000.0,
        status: attempt.status,
        error: attempt.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-20T23:06:40Z.
    const AT_US: u64 = 1_763_680_000_000_000;

    fn row() -> JournalRow {
        JournalRow {
            number: 48_211,
            id: Uuid::from_u128(7),
            rule: "order-paid".to_string(),
            table: "shop.orders".to_string(),
            target: "https://api.test".to_string(),
            op: Some("insert"),
            key: Some("10006".to_string()),
            outcome: "dead",
            reason: Some("exhausted".to_string()),
            merged_into: None,
            status: None,
            last_error: Some("connection\u{1b} refused".to_string()),
            attempts: 2,
            times: 1,
            committed_us: AT_US - 3_000_000,
            resolved_us: AT_US,
            duration_us: Some(12_001),
        }
    }

    #[test]
    fn a_list_has_the_columns_that_a_terminal_has_room_for() {
        let narrow = "\
number  ended                 rule        key    outcome  answer  attempts
48211   2025-11-20 23:06:40Z  order-paid  10006  dead     none    2
";
        assert_eq!(list_table(&[row()], Some(80)), narrow);
        let wide = list_table(&[row()], Some(160));
        assert!(wide.lines().all(|line| line.chars().count() <= 160), "{wide}");
        assert!(wide.contains("shop.orders  insert") && wide.contains("13 ms  00000000-0000-"), "{wide}");
        assert_eq!(list_table(&[row()], None), wide);
    }

    #[test]
    fn a_page_has_the_attempts_and_no_control_characters() {
        let attempt = |number, status, error: Option<&str>| JournaledAttempt {
            number,
            started_us: AT_US - 1_000_000 + number,
            duration_us: 1_550,
            status,
            error: error.map(str::to_string),
        };
        let attempts = [attempt(1, Some(503), None), attempt(2, None, Some("connection\u{1b} refused"))];
        let text = page(&row(), &attempts, Some(80));
        for part in [
            "delivery 00000000-0000-0000-0000-000000000007\n",
            "  change      insert of shop.orders\n",
            "  outcome     dead: exhausted\n",
            " ago), 3s after the commit\n",
            "attempts (2)\n",
            "  1  2025-11-20T23:06:39.000001Z  1.5 ms  503\n",
            "none    connection\u{fffd} refused\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(!text.contains("times"));
    }

    #[test]
    fn a_delivery_is_named_by_its_id_or_its_number() {
        let id = "00000000-0000-0000-0000-000000000007";
        assert_eq!(DeliveryName::parse(id), Ok(DeliveryName::Id(DeliveryId(Uuid::from_u128(7)))));
        assert_eq!(DeliveryName::parse("7"), Ok(DeliveryName::Number(7)));
        DeliveryName::parse("seven").expect_err("neither");
    }
}
