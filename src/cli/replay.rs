//! `rowhook dead-letters replay`: what an operator sees while dead letters are sent again.
//!
//! In: reports, from the daemon or from a pipeline in this process. Out: a progress bar when stderr is a terminal, else a
//! line per letter; with `--json` a document per report; the sums at the end. The verdict is "problems" if a letter stays.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::{self, clean, count};
use super::reach::{Offline, Reach, SHUTDOWN_TIMEOUT};
use super::running_replay::{ReplayEnding, ReportKind, RunningReplay};
use super::{CommandVerdict, rule_files, signals, source_settings};
use crate::admin::view::{Preview, ReplayProgress, ReplayReport, Replayed, Selection, Totals};
use crate::config::WriteSettings;
use crate::rules::ProxyServer;
use crate::source::EncryptedServers;

/// Letters that stay are named on a terminal up to this number; `list` has them all.
const NAMED_MAX: u64 = 20;

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
    selection: Selection,
    how: How,
    from: Sources,
) -> anyhow::Result<CommandVerdict> {
    if how.dry_run {
        let load = || rule_files::load(&from.rules);
        return preview(reach.preview(selection, load).await?, how.json).await;
    }
    let offline = || {
        let encrypted = Arc::new(EncryptedServers::kept_in(&from.data));
        let database = source_settings::database(from.write, &encrypted)?;
        let rules = rule_files::load_to_work(&from.rules, database.as_ref())?;
        Ok(Offline { rules, database, proxy: from.proxy })
    };
    // Before anything is sent: from then on an interruption must end the work in order.
    let mut interrupted = signals::stop_on_signal(SHUTDOWN_TIMEOUT)?;
    let mut running = reach.replay(selection, offline).await?;
    let mut display = Display::new(how.json);
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
        output::print(&format!("{} when interrupted\n", sums(until_now)))?;
    }
    running.finish().await?;
    sum_up(totals?, how.json)
}

fn kind(report: ReplayReport) -> ReportKind<ReplayReport, Totals> {
    match report {
        ReplayReport::Ended(totals) => ReportKind::Ended(totals),
        ReplayReport::Failed { message } => ReportKind::Failed(message),
        report => ReportKind::Interim(report),
    }
}

fn sum_up(totals: Totals, json: bool) -> anyhow::Result<CommandVerdict> {
    if json {
        output::print_json_line(&ReplayReport::Ended(totals))?;
    } else {
        output::print(&format!("{}\n", sums(totals)))?;
    }
    Ok(if totals.all_delivered() { CommandVerdict::Done } else { CommandVerdict::Problems })
}

fn sums(totals: Totals) -> String {
    let Totals { delivered, still_dead, not_replayed, followed } = totals;
    let mut line = format!("{delivered} delivered, {still_dead} still dead");
    if not_replayed > 0 {
        line += &format!(", {not_replayed} not replayed");
    }
    if let Some(followed @ 1..) = followed {
        let deliveries = if followed == 1 { "delivery" } else { "deliveries" };
        line += &format!("; {followed} blocked {deliveries} followed");
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

/// What is shown while it goes on.
enum Display {
    Bar { bar: ProgressBar, named: u64 },
    Lines,
    Json,
}

impl Display {
    fn new(json: bool) -> Display {
        if json {
            return Display::Json;
        }
        if !io::stderr().is_terminal() {
            return Display::Lines;
        }
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed} gone, about {eta} left");
        let bar = ProgressBar::new(0).with_style(style.expect("the template is literal").progress_chars("━━─"));
        Display::Bar { bar, named: 0 }
    }

    fn show(&mut self, report: &ReplayReport) -> anyhow::Result<()> {
        match (self, report) {
            (Display::Json, report) => output::print_json_line(report)?,
            (Display::Bar { bar, .. }, ReplayReport::Started { letters }) => bar.set_length(*letters),
            (Display::Bar { bar, named }, ReplayReport::Progress(progress)) => {
                if !matches!(progress.result, Replayed::Delivered { .. }) {
                    *named += 1;
                    if *named <= NAMED_MAX {
                        bar.println(line(progress));
                    }
                }
                bar.inc(1);
            }
            (Display::Lines, ReplayReport::Progress(progress)) => output::print(&format!("{}\n", line(progress)))?,
            _ => {}
        }
        Ok(())
    }

    fn end(self) {
        if let Display::Bar { bar, named } = self {
            bar.finish_and_clear();
            if named > NAMED_MAX {
                output::complain(&format!("… and {} stay as well", count(named - NAMED_MAX, "more letter")));
            }
        }
    }
}

fn line(progress: &ReplayProgress) -> String {
    let ReplayProgress { number, rule, result, .. } = progress;
    match result {
        Replayed::Delivered { status } => format!("{number}  {rule}  delivered  {status}"),
        Replayed::StillDead { message } => format!("{number}  {rule}  still dead  {}", clean(message)),
        Replayed::NotReplayed { why } => format!("{number}  {rule}  not replayed  {}", clean(why)),
    }
}
