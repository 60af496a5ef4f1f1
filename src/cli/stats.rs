//! `rowhook stats`: by rule and hour, how many deliveries ended how, and how long attempts took, by the journal.

use serde::Serialize;

use super::conditions::TimeArgs;
use super::journal::{GapView, gap_line, milliseconds, open, require_rule, second};
use super::output::{Columns, Tone};
use super::{CommandVerdict, output};
use crate::admin::view::rfc3339;
use crate::clock::now_us;
use crate::config::{DataArgs, File, RulesArgs};
use crate::journal::{DurationQuantiles, StatsPeriod, StatsRow};

/// What is counted unless it is said from when on: a day.
const SPAN_US: u64 = 24 * 3_600_000_000;

const NONE: &str = "no such deliveries in the journal\n";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook stats
  rowhook stats --rule order-paid --since 7d --by day
  rowhook stats --json | jq '.stats[] | select(.dead > 0)'

Reads the journal, which `journal:` in rowhook.yaml turns on. Without --since it counts 24 hours, up to now or to --until. Deliveries count
in the hour in which they ended, in UTC. p50, p95 and p99
are quantiles of the durations of attempts, at most 3 % too high. A delivery is retried if it took more than one attempt.")]
pub(super) struct StatsArgs {
    /// Only those of this rule
    #[arg(long, help_heading = "Conditions", value_name = "RULE")]
    rule: Option<String>,
    #[command(flatten)]
    times: TimeArgs,
    /// A line for each hour, or each day
    #[arg(long, value_enum, value_name = "PERIOD", default_value = "hour")]
    by: Period,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    rules: RulesArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Period {
    Hour,
    Day,
}

/// `--json`.
#[derive(Debug, Serialize)]
struct StatsView {
    since: String,
    until: String,
    by: &'static str,
    /// The oldest period first, then by rule.
    stats: Vec<StatsLine>,
    /// Times of which deliveries are missing.
    gaps: Vec<GapView>,
}

#[derive(Debug, Serialize)]
struct StatsLine {
    /// When the period begins.
    from: String,
    rule: String,
    delivered: u64,
    retried: u64,
    dead: u64,
    /// Of attempts; null where there were none.
    duration_ms: Option<DurationsView>,
}

#[derive(Debug, Serialize)]
struct DurationsView {
    p50: f64,
    p95: f64,
    p99: f64,
}

pub(super) fn run(args: StatsArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let journal = open(&args.data.resolve(file))?;
    let (period, by) = match args.by {
        Period::Hour => (StatsPeriod::Hour, "hour"),
        Period::Day => (StatsPeriod::Day, "day"),
    };
    require_rule(&journal, args.rule.as_deref(), &args.rules.resolve(file))?;
    let (from_us, before_us) = args.times.bounds_us();
    let until_us = before_us.unwrap_or_else(now_us);
    let since_us = from_us.unwrap_or(until_us.saturating_sub(SPAN_US));
    let rows = journal.stats(args.rule.as_deref(), since_us..until_us, period)?;
    let gaps = journal.gaps(since_us, until_us)?;
    if args.json {
        let stats = rows.into_iter().map(line).collect();
        let gaps = gaps.iter().map(GapView::of).collect();
        output::print_json(&StatsView { since: rfc3339(since_us), until: rfc3339(until_us), by, stats, gaps })?;
        return Ok(CommandVerdict::Done);
    }
    let mut text = if rows.is_empty() { NONE.to_string() } else { table(&rows, period) };
    gaps.iter().for_each(|gap| text += &gap_line(gap));
    output::print(&text)?;
    Ok(CommandVerdict::Done)
}

fn table(rows: &[StatsRow], period: StatsPeriod) -> String {
    let (name, characters) = match period {
        StatsPeriod::Hour => ("hour", 16),
        StatsPeriod::Day => ("day", 10),
    };
    let head = [name, "rule", "delivered", "retried", "dead", "p50", "p95", "p99"];
    let lines = rows.iter().map(|row| {
        let duration = |of: fn(DurationQuantiles) -> u64| {
            (row.durations.map_or("-".to_string(), |durations| milliseconds(of(durations))), Tone::Plain)
        };
        let dead = if row.dead > 0 { Tone::Careful } else { Tone::Plain };
        vec![
            (second(row.from_us)[..characters].to_string(), Tone::Plain),
            (row.rule.clone(), Tone::Plain),
            (row.delivered.to_string(), Tone::Plain),
            (row.retried.to_string(), Tone::Plain),
            (row.dead.to_string(), dead),
            duration(|durations| durations.p50_us),
            duration(|durations| durations.p95_us),
            duration(|durations| durations.p99_us),
        ]
    });
    output::toned_table(&head, lines, &Columns { numbers: (2..8).collect(), whole: vec![0] })
}

fn line(row: StatsRow) -> StatsLine {
    let ms = |us: u64| us as f64 / 1000.0;
    let duration_ms = row.durations.map(|durations| DurationsView {
        p50: ms(durations.p50_us),
        p95: ms(durations.p95_us),
        p99: ms(durations.p99_us),
    });
    let StatsRow { from_us, rule, delivered, retried, dead, .. } = row;
    StatsLine { from: rfc3339(from_us), rule, delivered, retried, dead, duration_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_fit_a_narrow_terminal() {
        let row = StatsRow {
            from_us: 1_763_679_600_000_000,
            rule: "order-paid".to_string(),
            delivered: 1_200_000,
            retried: 12,
            dead: 3,
            durations: Some(DurationQuantiles { p50_us: 2_345, p95_us: 50_001, p99_us: 30_000_000 }),
        };
        let expected = "\
hour              rule        delivered  retried  dead     p50    p95       p99
2025-11-20 23:00  order-paid    1200000       12     3  2.3 ms  51 ms  30000 ms
2025-11-20 23:00  mail          1200000       12     3       -      -         -
";
        let rows = [row.clone(), StatsRow { rule: "mail".to_string(), durations: None, ..row }];
        assert_eq!(table(&rows, StatsPeriod::Hour), expected);
        assert!(table(&rows, StatsPeriod::Day).contains("\n2025-11-20  mail"));
    }
}
