//! `rowhook replay-binlog`: a binlog range delivered once more for one rule.
//!
//! In: a rule, where to begin and to end, a confirmation. Out: the progress, from the daemon or from a pipeline in this
//! process; with `--dry-run` the requests. Repeats earlier calls, so it asks first. The verdict is "problems" if a
//! delivery became a dead letter.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::confirm::confirm;
use super::output::{self, clean, count};
use super::reach::{Offline, Reach, SHUTDOWN_TIMEOUT};
use super::running_replay::ReportKind;
use super::{CommandVerdict, call_settings, rule_files, signals, source_settings};
use crate::admin::view::binlog_replay::{BinlogReplayReport, BinlogReplayRequest, BinlogReplayTotals};
use crate::admin::view::status::PositionView;
use crate::config::{self, CallArgs, DataArgs, File, RulesArgs, SourceArgs, WriteArgs};
use crate::source::EncryptedServers;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook replay-binlog --rule order-paid --from binlog.000042:4 --to binlog.000043:4 --dry-run
  rowhook replay-binlog --rule order-paid --from 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-1200 --yes

Calls are made again with the same Idempotency-Key. A delivery that fails becomes a dead letter. No position changes, and the
rule continues meanwhile. Ctrl-C stops it; attempts under way finish. --mysql and --rules are used only when no rowhook runs on
the data directory. Exit code 1: a delivery became a dead letter.")]
pub(super) struct ReplayBinlogArgs {
    /// Rule to deliver for
    #[arg(long, value_name = "RULE")]
    rule: String,
    /// Where to begin: earliest, a GTID set, or file:offset
    #[arg(long, value_name = "WHERE")]
    from: String,
    /// Where to end: latest, a GTID set, or file:offset [default: where the main stream is now]
    #[arg(long, value_name = "WHERE")]
    to: Option<String>,
    /// Count the changes and show the first calls as curl commands, one for each change, with secrets masked; send none
    #[arg(long)]
    dry_run: bool,
    /// Confirm
    #[arg(long)]
    yes: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    calls: CallArgs,
}

pub(super) async fn run(args: ReplayBinlogArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let ReplayBinlogArgs { rule, from, to, dry_run, yes, json, data, rules, source, write, calls } = args;
    config::parse_start("from", &from)?;
    to.as_deref().map(|to| config::parse_start("to", to)).transpose()?;
    if !dry_run && !yes {
        confirm(&format!("This repeats earlier calls of rule {}. Go on?", clean(&rule)))?;
    }
    let data = data.resolve(file);
    let proxy = call_settings::proxy(calls, file)?;
    let reach = Reach::open(&data).await?;
    let request = BinlogReplayRequest { rule, from, to, dry_run };
    let offline = || {
        let source = source.resolve(file)?;
        let encrypted = Arc::new(EncryptedServers::kept_in(&data));
        let database = source_settings::database(write.resolve(source.tls.clone(), file), &encrypted)?;
        let rules = rule_files::load_to_work(&rules.resolve(file), database.as_ref())?;
        Ok((Offline { rules, database, proxy }, source_settings::of(source, &encrypted)?))
    };
    // Before anything is sent: from then on an interruption must end the work in order.
    let mut interrupted = signals::stop_on_signal(SHUTDOWN_TIMEOUT)?;
    let mut running = reach.replay_binlog(request, offline).await?;
    let mut display = Display::new(json);
    let show = |report: BinlogReplayReport| display.show(&report);
    let ending = running.follow(&mut interrupted, "no more are started", kind, show).await?;
    let display_gathers = display.gathers;
    display.end(ending.totals.is_err())?;
    running.finish().await?;
    let tally = ending.totals?;
    if json {
        output::print_json_line(&BinlogReplayReport::Ended(tally.clone()))?;
    } else if dry_run {
        let several = if display_gathers { ", several in one call" } else { "" };
        let changes = count(tally.matched - tally.dead, "change", "changes");
        output::print(&format!("{changes} would be sent{several}{}\n", unmade(&tally)))?;
    } else {
        output::print(&format!("{}\n", sums(&tally)))?;
    }
    Ok(if tally.dead == 0 { CommandVerdict::Done } else { CommandVerdict::Problems })
}

fn kind(report: BinlogReplayReport) -> ReportKind<BinlogReplayReport, BinlogReplayTotals> {
    match report {
        BinlogReplayReport::Ended(tally) => ReportKind::Ended(tally),
        BinlogReplayReport::Failed { message } => ReportKind::Failed(message),
        report => ReportKind::Interim(report),
    }
}

fn sums(tally: &BinlogReplayTotals) -> String {
    let BinlogReplayTotals { read, matched, delivered, dead, blocked, .. } = tally;
    let blocked = if *blocked > 0 { format!(", {blocked} blocked") } else { String::new() };
    format!("{}, {matched} matched, {delivered} delivered, {dead} dead{blocked}", count(*read, "change", "changes"))
}

fn unmade(tally: &BinlogReplayTotals) -> String {
    match tally.dead {
        0 => String::new(),
        dead => format!(", {dead} more would become dead letters"),
    }
}

/// How often a line says how far it is.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// What is shown while it goes on.
struct Display {
    form: Form,
    /// How far it was last, and whether that was shown.
    last: Option<(BinlogReplayTotals, bool)>,
    shown_at: Option<Instant>,
    /// The rule sends several changes in one call.
    gathers: bool,
}

enum Form {
    Bar(ProgressBar),
    Lines,
    Json,
}

impl Display {
    fn new(json: bool) -> Display {
        let form = match (json, io::stderr().is_terminal()) {
            (true, _) => Form::Json,
            (false, false) => Form::Lines,
            (false, true) => {
                let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed} gone");
                Form::Bar(ProgressBar::new_spinner().with_style(style.expect("the template is literal")))
            }
        };
        Display { form, last: None, shown_at: None, gathers: false }
    }

    fn show(&mut self, report: &BinlogReplayReport) -> anyhow::Result<()> {
        if let BinlogReplayReport::Begun { gathers, .. } = report {
            self.gathers = *gathers;
        }
        match (&self.form, report) {
            (_, BinlogReplayReport::Progress(tally)) => {
                let is_due = self.shown_at.is_none_or(|at| at.elapsed() >= LINE_INTERVAL);
                self.last = Some((tally.clone(), false));
                if is_due || matches!(self.form, Form::Bar(_)) {
                    self.show_last()?;
                }
            }
            (Form::Json, report) => output::print_json_line(report)?,
            (_, BinlogReplayReport::Begun { from, to, .. }) => {
                output::complain(&format!("reading after {} up to {}", place(from), place(to)));
            }
            (_, BinlogReplayReport::Request { curl }) => output::print(&format!("{curl}\n"))?,
            _ => {}
        }
        Ok(())
    }

    fn show_last(&mut self) -> anyhow::Result<()> {
        let Some((tally, is_shown @ false)) = &mut self.last else { return Ok(()) };
        *is_shown = true;
        self.shown_at = Some(Instant::now());
        match &self.form {
            Form::Bar(bar) => {
                bar.set_message(progress(tally));
                bar.tick();
            }
            Form::Lines => output::print(&format!("{}\n", progress(tally)))?,
            Form::Json => output::print_json_line(&BinlogReplayReport::Progress(tally.clone()))?,
        }
        Ok(())
    }

    /// When it ended `early`, the last line says what was done until then.
    fn end(mut self, early: bool) -> anyhow::Result<()> {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
            if early && let Some((tally, _)) = &self.last {
                output::print(&format!("{}\n", progress(tally)))?;
            }
            return Ok(());
        }
        if early { self.show_last() } else { Ok(()) }
    }
}

fn progress(tally: &BinlogReplayTotals) -> String {
    match &tally.read_up_to {
        Some(at) => format!("{}, up to {at}", sums(tally)),
        None => sums(tally),
    }
}

fn place(position: &PositionView) -> String {
    format!("{}:{}", position.file, position.offset)
}
