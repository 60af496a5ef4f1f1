//! `rowhook tail`: changes as JSON lines on stdout, while they happen or from an earlier position.
//!
//! In: the server, rules or table patterns, where to begin. Out: for each match of a rule the event that would be sent;
//! with `--raw` every change of the tables named, the transactions' ends and where reading began. Sends nothing, opens no
//! store, and shows itself to the server under an identity of its own, so that a running rowhook is not disturbed. Row
//! values go to stdout and nowhere else (promise 8). Ends with 0 by signal or when its reader has gone.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::builder::RangedU64ValueParser;
use serde::Serialize;

use super::{CommandVerdict, output, rule_files, signals, source_settings};
use crate::change::{Change, json};
use crate::config::{self, File, RulesArgs, SourceArgs};
use crate::pattern::{TablePattern, TablePatterns};
use crate::position::{Committed, Description, Position};
use crate::rules::{Match, RuleSet};
use crate::source::{self, SourceEvent};
use crate::telemetry::Metrics;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook tail --mysql mysql://rowhook:secret@db:3306 --rules rules
  rowhook tail --table 'shop.*' --count 1 | jq .after
  rowhook tail --raw --table shop.orders --from binlog.000042:4

Sends nothing and opens no store. Connects with its own replica id, whatever --server-id says, so that a running rowhook is
not disturbed. Ends with Ctrl-C, or when its output is closed.")]
pub(super) struct TailArgs {
    /// Where to begin: latest, earliest, a GTID set, or file:offset
    #[arg(long, value_name = "WHERE", default_value = "latest")]
    from: String,
    /// Only tables that match one of these patterns, such as shop.orders or 'shop.*'; may be given several times
    #[arg(long, value_name = "PATTERN", value_parser = TablePattern::parse, num_args = 1..)]
    table: Vec<TablePattern>,
    /// Print every change of these tables (without --table, of the rules' tables), and where transactions end
    #[arg(long)]
    raw: bool,
    /// Stop after this many changes
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) async fn run(args: TailArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let settings = source_settings::of(args.source.resolve(file)?, &Arc::default())?.of_another_reader();
    let from = source::From::Start(config::parse_start("from", &args.from)?);
    let tables = TablePatterns(args.table);
    let needs_rules = !args.raw || tables.0.is_empty();
    let rules = if needs_rules { Some(rule_files::load(&args.rules.resolve(file))?) } else { None };
    let patterns = rules.as_ref().map_or_else(|| tables.clone(), RuleSet::patterns);
    let view = match rules {
        Some(rules) if !args.raw => View::Matches { rules: Box::new(rules), tables },
        _ => View::Raw { rows: 0 },
    };
    let mut lines = Lines { view, out: Vec::new(), left: args.count.unwrap_or(u64::MAX) };

    let stop = signals::first()?;
    tokio::pin!(stop);
    let mut following = source::follow(settings, from, patterns, Arc::new(Metrics::default()));
    loop {
        let event = tokio::select! {
            event = following.events.recv() => event.ok_or_else(|| anyhow!("reading ended without a reason"))??,
            () = &mut stop => return Ok(CommandVerdict::Done),
        };
        lines.take(event)?;
        let bytes = std::mem::take(&mut lines.out);
        // On a thread of its own: a slow reader of stdout must not delay the handling of a signal.
        let written = tokio::task::spawn_blocking(move || output::write(&bytes));
        let reader = tokio::select! {
            written = written => written.map_err(|_| anyhow!("printing was aborted"))?,
            () = &mut stop => return Ok(CommandVerdict::Done),
        };
        match reader {
            Ok(output::Reader::Reads) if lines.left > 0 => {}
            Ok(output::Reader::Reads | output::Reader::Gone) => return Ok(CommandVerdict::Done),
            Err(error) => bail!("cannot print: {error}"),
        }
    }
}

/// What is shown of the stream.
enum View {
    /// The event of each rule that matches, of these tables; no table named: of all.
    Matches { rules: Box<RuleSet>, tables: TablePatterns },
    /// `rows` were seen of the open transaction.
    Raw { rows: u64 },
}

/// The lines that wait to be printed.
struct Lines {
    view: View,
    out: Vec<u8>,
    /// Changes that may still be printed.
    left: u64,
}

impl Lines {
    fn take(&mut self, event: SourceEvent) -> Result<(), source::Error> {
        match (&mut self.view, &event) {
            (View::Matches { .. }, SourceEvent::Started(resume)) => {
                output::complain(&format!("reading after {}", resume.position.place()));
            }
            (View::Raw { .. }, SourceEvent::Started(resume)) => self.line(&Started::of(&resume.position)),
            (View::Raw { rows }, SourceEvent::Committed(committed)) => {
                let line = Ended::of(committed, std::mem::take(rows));
                self.line(&line);
            }
            _ => {}
        }
        for change in changes(event) {
            if self.left > 0 {
                self.change(change)?;
            }
        }
        Ok(())
    }

    fn change(&mut self, change: Arc<Change>) -> Result<(), source::Error> {
        match &mut self.view {
            View::Raw { rows } => {
                let change = readable(&change)?;
                *rows += 1;
                self.left -= 1;
                self.out.extend_from_slice(format!("{{\"kind\":\"change\",\"ordinal\":{},", change.ordinal).as_bytes());
                json::write_facts(&change, &mut self.out);
                self.out.extend_from_slice(b"}\n");
            }
            View::Matches { rules, tables } => {
                if !tables.0.is_empty() && !tables.match_any(&change.table.schema, &change.table.name) {
                    return Ok(());
                }
                let mut matches = Vec::new();
                rules.matches(&change, &mut matches);
                if !matches.is_empty() {
                    let change = readable(&change)?;
                    matches.iter().for_each(|found| self.matched(&change, found));
                }
            }
        }
        Ok(())
    }

    fn matched(&mut self, change: &Change, Match { rule, undecided, lacks }: &Match) {
        if let Some(lacks) = lacks {
            // The rule would be paused.
            output::complain(&format!("rule {}, a row of {}: {lacks}", rule.name, change.table));
            return;
        }
        if let Some(reason) = undecided {
            // It would become a dead letter.
            output::complain(&format!("rule {}, a row of {}: undecided: {reason}", rule.name, change.table));
            return;
        }
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        let redacted = (!rule.redact.is_empty()).then(|| change.redacted(|name| rule.redacts(name)));
        json::write_event(
            redacted.as_ref().unwrap_or(change),
            &rule.name,
            change.delivery_id(&rule.name),
            &mut self.out,
        );
        self.out.push(b'\n');
    }

    fn line(&mut self, line: &impl Serialize) {
        serde_json::to_writer(&mut self.out, line).expect("writing plain members to memory can't fail");
        self.out.push(b'\n');
    }
}

/// The changes that an event carries.
fn changes(event: SourceEvent) -> impl Iterator<Item = Arc<Change>> {
    let events = if let SourceEvent::Rows(events) = event { events } else { Vec::new() };
    events.into_iter().flatten()
}

/// The change with every value of it known to be readable.
fn readable(change: &Change) -> Result<Change, source::Error> {
    change.detach().map_err(|fault| source::Error::unreadable(fault, &change.transaction))
}

/// Where reading began.
#[derive(Serialize)]
struct Started<'a> {
    kind: &'static str,
    server_uuid: String,
    gtids: Option<String>,
    file: &'a str,
    offset: u64,
}

impl Started<'_> {
    fn of(position: &Position) -> Started<'_> {
        let Description { server_uuid, gtids, file } = position.describe();
        let server_uuid = server_uuid.to_string();
        Started { kind: "started", server_uuid, gtids, file: &file.file, offset: file.offset }
    }
}

/// The end of a transaction; `file` and `offset` are where the next one begins.
#[derive(Serialize)]
struct Ended<'a> {
    kind: &'static str,
    gtid: Option<String>,
    file: &'a str,
    offset: u64,
    rows: u64,
    committed_at: String,
}

impl Ended<'_> {
    fn of(committed: &Committed, rows: u64) -> Ended<'_> {
        Ended {
            kind: "committed",
            gtid: committed.gtid.as_ref().map(ToString::to_string),
            file: &committed.end.file,
            offset: committed.end.offset,
            rows,
            committed_at: json::rfc3339(committed.committed_at_us),
        }
    }
}
