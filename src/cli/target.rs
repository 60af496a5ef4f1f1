//! `rowhook target`: the targets that rules call, and an operator's word that one is available again.
//!
//! In: nothing, or a target. Out: a table or JSON; or one line that says what applies now. Only the running rowhook knows
//! how its targets are doing, so without one both commands fail.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use serde::Serialize;

use super::CommandVerdict;
use super::output::{self, Columns, Tone, clean};
use super::reach;
use crate::admin::view::status::{ResetTargetRequest, TargetView, state};
use crate::config::{DataArgs, File};

#[derive(Debug, Subcommand)]
pub(super) enum TargetCommand {
    /// List the targets that rules call, and how they are doing
    #[command(after_help = LIST_EXAMPLES)]
    List(ListTargetsArgs),
    /// Call a target again at once, although it is unavailable or asked for a pause
    #[command(after_help = RESET_EXAMPLES)]
    Reset(ResetTargetArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  rowhook target list
  rowhook target list --json | jq '.targets[] | select(.state != \"available\")'

A target is the part of a URL before the path. Exit code 1: no rowhook runs on the data directory.";

const RESET_EXAMPLES: &str = "\
Examples:
  rowhook target reset https://api.example.com

What waits for the target starts at once. If it still fails, it becomes unavailable again.
Exit code 1: no rowhook runs on the data directory, or no rule calls this target.";

#[derive(Debug, clap::Args)]
pub(super) struct ListTargetsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResetTargetArgs {
    /// Scheme, host and port, as `rowhook target list` prints them
    target: String,
    #[command(flatten)]
    data: DataArgs,
}

/// What `target list --json` prints.
#[derive(Debug, Serialize)]
struct TargetListing<'a> {
    targets: &'a [TargetView],
}

pub(super) async fn run(command: TargetCommand, file: &File) -> anyhow::Result<CommandVerdict> {
    match command {
        TargetCommand::List(args) => list(args, file).await,
        TargetCommand::Reset(args) => reset(args, file).await,
    }
}

async fn list(args: ListTargetsArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let targets = reach::daemon(&args.data.resolve(file)).await?.status().await?.targets;
    if args.json {
        output::print_json(&TargetListing { targets: &targets })?;
    } else {
        output::print(&text(&targets, SystemTime::now()))?;
    }
    Ok(CommandVerdict::Done)
}

async fn reset(args: ResetTargetArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let daemon = reach::daemon(&args.data.resolve(file)).await?;
    let before = daemon.reset_target(&ResetTargetRequest { target: args.target }).await?;
    output::print(&reset_text(&before))?;
    Ok(CommandVerdict::Done)
}

fn reset_text(before: &TargetView) -> String {
    let target = clean(&before.target);
    match &*before.state {
        state::UNAVAILABLE => format!("{target} counts as available: what waits for it starts now\n"),
        state::WAITING => format!("{target}: the pause that it asked for is over; what waits for it starts now\n"),
        _ => format!("{target} was available already: nothing changed\n"),
    }
}

fn text(targets: &[TargetView], now: SystemTime) -> String {
    if targets.is_empty() {
        return "no rule calls a target\n".to_string();
    }
    let rows = targets.iter().map(|target| {
        let (state, tone) = match &*target.state {
            state::UNAVAILABLE => (state::UNAVAILABLE, Tone::Bad),
            state::WAITING => (state::WAITING, Tone::Careful),
            _ => (state::AVAILABLE, Tone::Good),
        };
        let plain = |text: String| (text, Tone::Plain);
        vec![
            plain(target.target.clone()),
            (state.to_string(), tone),
            plain(
                target
                    .unavailable_since
                    .as_deref()
                    .map_or("-".to_string(), |since| output::ago(since, now, output::short)),
            ),
            plain(
                target.last_answer.as_deref().map_or("-", |answer| answer.trim_start_matches("answered ")).to_string(),
            ),
            plain(next_call(target, now)),
            plain(target.in_flight.to_string()),
            plain(target.rules.join(", ")),
        ]
    });
    let head = ["target", "state", "since", "last answer", "next probe", "in flight", "rules"];
    output::toned_table(&head, rows, &Columns { numbers: vec![5], whole: vec![0, 1] })
}

/// In how much time the next probe may start, or the pause that the target asked for ends.
fn next_call(target: &TargetView, now: SystemTime) -> String {
    let until = target.next_probe.as_ref().max(target.waiting_until.as_ref());
    match (&*target.state, until) {
        (state::UNAVAILABLE | state::WAITING, Some(at)) => {
            let at = humantime::parse_rfc3339(at).ok();
            let wait = at.map_or(Duration::ZERO, |at| at.duration_since(now).unwrap_or_default());
            if wait.is_zero() { "now".to_string() } else { format!("in {}", output::short(wait)) }
        }
        (state::UNAVAILABLE, None) => "under way".to_string(),
        _ => "-".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs_from_now: i64, now: SystemTime) -> Option<String> {
        let span = Duration::from_secs(secs_from_now.unsigned_abs());
        let at = if secs_from_now < 0 { now - span } else { now + span };
        Some(humantime::format_rfc3339_micros(at).to_string())
    }

    fn target(name: &str, state: &str) -> TargetView {
        TargetView { target: name.to_string(), state: state.to_string(), ..TargetView::default() }
    }

    #[test]
    fn targets_are_a_table_with_their_next_call() {
        let now = SystemTime::now();
        let rules = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let targets = [
            TargetView {
                last_answer: Some("answered 200".to_string()),
                in_flight: 3,
                rules: rules(&["mail", "order-paid"]),
                ..target("https://api.example.com", state::AVAILABLE)
            },
            TargetView {
                unavailable_since: at(-190, now),
                last_answer: Some("connection refused".to_string()),
                next_probe: at(12, now),
                rules: rules(&["invoice"]),
                ..target("http://invoices:8080", state::UNAVAILABLE)
            },
            TargetView { unavailable_since: at(-5, now), in_flight: 1, ..target("http://b", state::UNAVAILABLE) },
            TargetView { waiting_until: at(90, now), ..target("http://c", state::WAITING) },
        ];
        assert_eq!(
            text(&targets, now + Duration::from_millis(1)).lines().collect::<Vec<_>>(),
            [
                "target                   state        since  last answer         next probe  in flight  rules",
                "https://api.example.com  available    -      200                 -                   3  mail, order-paid",
                "http://invoices:8080     unavailable  3m     connection refused  in 11s              0  invoice",
                "http://b                 unavailable  5s     -                   under way           1",
                "http://c                 waiting      -      -                   in 1m               0",
            ]
        );
        assert_eq!(text(&[], now), "no rule calls a target\n");
    }

    #[test]
    fn a_reset_says_what_applies_now() {
        for (state, expected) in [
            (state::UNAVAILABLE, "http://b counts as available: what waits for it starts now\n"),
            (state::WAITING, "http://b: the pause that it asked for is over; what waits for it starts now\n"),
            (state::AVAILABLE, "http://b was available already: nothing changed\n"),
        ] {
            assert_eq!(reset_text(&target("http://b", state)), expected);
        }
    }
}
