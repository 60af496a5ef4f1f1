//! `rowhook status`: how everything is, on one screen, the worst thing first.
//!
//! In: the status of the running daemon, or by the store alone. Out: the page, or JSON; once, again and again, or when all
//! that was committed before is resolved. The verdict tells a monitor whether an operator should look.

mod page;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, SystemTime};

use anyhow::bail;
use clap::ValueEnum;
use tokio::time::Instant;

use super::conditions::duration;
use super::reach::{self, Reach};
use super::{CommandVerdict, output, signals};
use crate::admin::view::status::{AttentionView, RuleView, StatusView};
use crate::admin::{LATE_AFTER, attention};
use crate::config::{DataArgs, File};
use crate::in_words::count;

/// How often the page is drawn again.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// How often it is asked whether rowhook has caught up.
const WAIT_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook status
  rowhook status --watch
  rowhook status --wait caught-up --timeout 5m
  rowhook status --alive
  rowhook status --json | jq '.attention[].text'

The first line names what is worst; below it come all other things that need attention. Lag is the time since the commit of the
oldest change that is not resolved; \u{2264} means that the change was not read yet, and the lag is at most that. A number with +
means that more waits in the binlog.
Exit code 0: all is well. 1: no rowhook runs on the data directory, a rule is stopped, MySQL can't be read, or the rule files have
problems. 3: something is late, unavailable or paused, dead letters wait for a person, or disk or runway get short.")]
pub(super) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show it again every 2 seconds, until Ctrl-C
    #[arg(long, conflicts_with_all = ["json", "wait"])]
    watch: bool,
    /// Print nothing, exit with 0 if rowhook runs and its delivery loop answers, else with 1: for health checks
    #[arg(long, conflicts_with_all = ["json", "watch", "wait", "late_after"])]
    alive: bool,
    /// Wait until all that was committed before now is resolved
    #[arg(long, value_name = "WHAT")]
    wait: Option<WaitFor>,
    /// Wait at most this long
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// A rule counts as late from this lag on [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    late_after: Option<Duration>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WaitFor {
    CaughtUp,
}

pub(super) async fn run(args: StatusArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    if args.alive {
        reach::daemon(&args.data.resolve(file)).await?.alive().await?;
        return Ok(CommandVerdict::Done);
    }
    if args.watch {
        return watch(args, file).await;
    }
    if let Some(WaitFor::CaughtUp) = args.wait {
        wait_until_caught_up(&args, file).await?;
    }
    let status = inspect(&args, file).await?;
    if args.json {
        output::print_json(&status)?;
    } else {
        output::print(&page::text(&status, SystemTime::now(), output::terminal_width()))?;
    }
    match args.wait {
        Some(WaitFor::CaughtUp) => Ok(CommandVerdict::Done),
        None => Ok(verdict(&status.attention)),
    }
}

async fn inspect(args: &StatusArgs, file: &File) -> anyhow::Result<StatusView> {
    let data = args.data.clone().resolve(file);
    let mut status = Reach::open(&data).await?.status(&data).await?;
    status.attention = attention(&status, args.late_after.unwrap_or(LATE_AFTER), SystemTime::now());
    Ok(status)
}

/// Draws the page in place; into a pipe, one page after another.
async fn watch(args: StatusArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let mut interrupted = std::pin::pin!(signals::first()?);
    let is_terminal = io::stdout().is_terminal();
    loop {
        let status = inspect(&args, file).await?;
        let text = page::text(&status, SystemTime::now(), output::terminal_width());
        let drawn = if is_terminal { in_place(&text, output::terminal_height()) } else { format!("{text}\n") };
        if output::write(drawn.as_bytes())? == output::Reader::Gone {
            return Ok(CommandVerdict::Done);
        }
        tokio::select! {
            () = &mut interrupted => return Ok(verdict(&status.attention)),
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
}

/// From the screen's first line on: each line replaces what stood there, and nothing flickers. What the terminal has no lines for is
/// counted, so that the headline is never scrolled off.
fn in_place(text: &str, height: Option<usize>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let end = "\x1b[K\n";
    match height.filter(|height| lines.len() >= *height) {
        None => format!("\x1b[H{}{end}\x1b[J", lines.join(end)),
        Some(height) => {
            let shown = height.saturating_sub(1).max(1).min(lines.len());
            let more = format!(
                "... {}: make the terminal higher",
                count((lines.len() - shown) as u64, "more line", "more lines")
            );
            format!("\x1b[H{}{end}{more}\x1b[K\x1b[J", lines[..shown].join(end))
        }
    }
}

/// Waits until nothing is unresolved that was committed before this was called.
async fn wait_until_caught_up(args: &StatusArgs, file: &File) -> anyhow::Result<()> {
    let (began, deadline) = (SystemTime::now(), Instant::now() + args.timeout);
    loop {
        let status = inspect(args, file).await?;
        if !status.running {
            bail!("no rowhook runs on the data directory, so nothing will catch up");
        }
        if is_caught_up(&status, began) {
            return Ok(());
        }
        if let Some(stopped) = status.attention.iter().find(|line| line.kind == "stopped") {
            bail!("it will not catch up: {}", stopped.text);
        }
        if Instant::now() >= deadline {
            let timeout = humantime::format_duration(args.timeout);
            let why = status.attention.first().map_or("changes are still unresolved", |line| line.text.as_str());
            bail!("not caught up after {timeout}: {why}");
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
}

/// Whether all that was committed before this moment is read and resolved. Dead letters are resolved.
fn is_caught_up(status: &StatusView, began: SystemTime) -> bool {
    let is_later = |at: &Option<String>| {
        let at = at.as_deref().and_then(|at| humantime::parse_rfc3339(at).ok());
        at.is_some_and(|at| at >= began)
    };
    let is_resolved =
        |rule: &RuleView| !rule.lag_is_bound && (rule.lag_seconds == Some(0.0) || is_later(&rule.oldest_unresolved));
    is_later(&status.complete_up_to) && status.rules.iter().all(is_resolved)
}

fn verdict(attention: &[AttentionView]) -> CommandVerdict {
    const FAILED: [&str; 4] = ["not_running", "not_reading", "stopped", "rule_files"];
    match attention {
        [] => CommandVerdict::Done,
        lines if lines.iter().any(|line| FAILED.contains(&line.kind.as_str())) => CommandVerdict::Problems,
        _ => CommandVerdict::Attention,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::rfc3339;

    #[test]
    fn a_monitor_learns_whether_nothing_something_or_all_is_wrong() {
        let line = |kind: &str| AttentionView { kind: kind.to_owned(), ..AttentionView::default() };
        assert_eq!(verdict(&[]), CommandVerdict::Done);
        for kind in ["disk", "runway", "late", "unavailable", "paused", "dead_letters"] {
            assert_eq!(verdict(&[line(kind)]), CommandVerdict::Attention, "{kind}");
            assert_eq!(verdict(&[line(kind), line("stopped")]), CommandVerdict::Problems, "{kind}");
        }
    }

    #[test]
    fn caught_up_is_what_has_resolved_all_that_was_committed_before() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let at = |seconds: u64| Some(rfc3339(seconds * 1_000_000));
        let status = page::tests::status();
        let with = |complete: u64, lag: f64, is_bound: bool, oldest: Option<String>| {
            let rule = RuleView {
                lag_seconds: Some(lag),
                lag_is_bound: is_bound,
                oldest_unresolved: oldest,
                ..status.rules[0].clone()
            };
            StatusView { complete_up_to: at(complete), rules: vec![rule], ..status.clone() }
        };
        for (status, expected) in [
            (with(101, 0.0, false, None), true),
            (with(99, 0.0, false, None), false),
            (with(101, 3.0, false, at(101)), true),
            (with(101, 3.0, false, at(99)), false),
            (with(101, 0.1, true, None), false),
            (with(101, 0.0, false, None), true),
        ] {
            assert_eq!(is_caught_up(&status, began), expected, "{:?}", status.rules[0]);
        }
    }

    #[test]
    fn a_page_that_is_higher_than_the_terminal_keeps_its_first_lines() {
        let page = "late\nrule a\nrule b\nrule c\n";
        let plain = |height| in_place(page, height).replace("\x1b[K", "").replace("\x1b[H", "").replace("\x1b[J", "");
        assert_eq!(plain(None), page);
        assert_eq!(plain(Some(5)), page);
        assert_eq!(plain(Some(4)), "late\nrule a\nrule b\n... 1 more line: make the terminal higher");
        assert_eq!(plain(Some(2)), "late\n... 3 more lines: make the terminal higher");
        assert_eq!(plain(Some(1)), "late\n... 3 more lines: make the terminal higher");
    }
}
