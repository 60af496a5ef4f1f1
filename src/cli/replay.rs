//! `rowhook dead-letters replay`: what an operator sees while dead letters are sent again.
//!
//! In: reports, from the daemon or from a pipeline in this process. Out: what `display` makes of each; the sums at the end, and the
//! command that goes on where letters are left. The verdict is "problems" if a letter stays that was to be sent.

mod display;

use std::path::PathBuf;
use std::sync::Arc;

use super::next_command::{next_command, same_command};
use super::output::{self, clean, count};
use super::reach::{Offline, Reach, SHUTDOWN_TIMEOUT};
use super::running_replay::{ReplayEnding, ReportKind, RunningReplay};
use super::{CommandVerdict, rule_files, signals, source_settings};
use crate::admin::view::{Preview, ReplayEndedBy, ReplayReport, ReplayRequest, Replayed, Selection, Totals};
use crate::config::WriteSettings;
use crate::rules::ProxyServer;
use crate::source::EncryptedServers;

use display::Display;

/// The options of the replay.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub dry_run: bool,
    pub json: bool,
}

/// What is needed where no daemon runs.
#[derive(Debug)]
pub(super) struct Sources {
    pub rules: PathBuf,
    pub write: Option<WriteSettings>,
    pub proxy: Option<Arc<ProxyServer>>,
    pub data: PathBuf,
}

pub(super) async fn run(
    reach: &Reach,
    request: ReplayRequest,
    how: How,
    from: Sources,
) -> anyhow::Result<CommandVerdict> {
    if how.dry_run {
        let load = || rule_files::load(&from.rules);
        return preview(reach.preview(request, load).await?, how.json).await;
    }
    let offline = || {
        let encrypted = Arc::new(EncryptedServers::kept_in(&from.data));
        let database = source_settings::database(from.write, &encrypted)?;
        let rules = rule_files::load_to_work(&from.rules, database.as_ref())?;
        Ok(Offline { rules, database, proxy: from.proxy })
    };
    // Before anything is sent: from then on an interruption must end the work in order.
    let mut interrupted = signals::stop_on_signal(SHUTDOWN_TIMEOUT)?;
    let selection = request.selection.clone();
    let mut display = Display::new(how.json, request.limit);
    let mut running = reach.replay(request, offline).await?;
    let mut until_now = Totals::default();
    let show = |report: ReplayReport| {
        if let ReplayReport::Progress(progress) = &report {
            count_in(&mut until_now, &progress.result);
        }
        display.show(&report)
    };
    let rest = "the other dead letters stay as they are";
    let ReplayEnding { totals, is_interrupted } = running.follow(&mut interrupted, rest, kind, show).await?;
    display.end();
    if is_interrupted && !how.json {
        output::print(&format!("{} when interrupted; to go on:\n  {}\n", sums(until_now), same_command()))?;
    }
    running.finish().await?;
    sum_up(totals?, &selection, how.json)
}

fn kind(report: ReplayReport) -> ReportKind<ReplayReport, Totals> {
    match report {
        ReplayReport::Ended(totals) => ReportKind::Ended(totals),
        ReplayReport::Failed { message } => ReportKind::Failed(message),
        report => ReportKind::Interim(report),
    }
}

fn sum_up(totals: Totals, selection: &Selection, json: bool) -> anyhow::Result<CommandVerdict> {
    if json {
        output::print_json_line(&ReplayReport::Ended(totals))?;
    } else {
        output::print(&format!("{}\n", sums(totals)))?;
        if let (Some(ended_by), Some(from)) = (totals.ended_by, totals.left_from) {
            output::print(&what_is_left(ended_by, totals.left, from, selection))?;
        }
    }
    Ok(if totals.all_delivered() { CommandVerdict::Done } else { CommandVerdict::Problems })
}

/// How many were not sent, and the command that sends them.
fn what_is_left(ended_by: ReplayEndedBy, left: u64, from: u64, selection: &Selection) -> String {
    let why = match ended_by {
        ReplayEndedBy::Limit => "the limit is reached",
        ReplayEndedBy::Failures => "too many failed in a row",
    };
    let left = count(left, "dead letter", "dead letters");
    if !selection.numbers.is_empty() {
        return format!("{why}: {left} not sent, of the numbers from {from} on\n");
    }
    let to = selection.number_to.filter(|to| *to < u64::MAX).map(|to| to.to_string()).unwrap_or_default();
    let next = next_command(&["--number"], &["--all"], "--number", &format!("{from}-{to}"));
    format!("{why}: {left} not sent; to go on:\n  {next}\n")
}

fn sums(totals: Totals) -> String {
    let Totals { delivered, still_dead, not_replayed, followed, .. } = totals;
    let mut line = format!("{delivered} delivered, {still_dead} still dead");
    if not_replayed > 0 {
        line += &format!(", {not_replayed} not replayed");
    }
    if let Some(followed @ 1..) = followed {
        line += &format!("; {} followed", count(followed, "blocked delivery", "blocked deliveries"));
    }
    line
}

fn count_in(totals: &mut Totals, result: &Replayed) {
    match result {
        Replayed::Delivered { .. } => totals.delivered += 1,
        Replayed::StillDead { .. } => totals.still_dead += 1,
        Replayed::NotReplayed { .. } => totals.not_replayed += 1,
    }
}

async fn preview(mut running: RunningReplay<Preview>, json: bool) -> anyhow::Result<CommandVerdict> {
    let mut verdict = CommandVerdict::Done;
    while let Some(preview) = running.items.recv().await {
        match &preview {
            Preview::Failed { message } => anyhow::bail!("{message}"),
            Preview::NotReplayed { .. } => verdict = CommandVerdict::Problems,
            Preview::Request { .. } => {}
        }
        match &preview {
            preview if json => output::print_json_line(preview)?,
            Preview::Request { number, rule, curl } => {
                let lines: String = curl.lines().map(|line| clean(line) + "\n").collect();
                output::print(&format!("# {number} {rule}\n{lines}"))?;
            }
            Preview::NotReplayed { number, rule, why } => {
                output::print(&format!("# {number} {rule} would not be sent: {}\n", clean(why)))?;
            }
            Preview::Failed { .. } => {}
        }
    }
    running.finish().await?;
    Ok(verdict)
}
