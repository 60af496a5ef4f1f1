//! `rowhook position`: show where reading continues after a restart, and move that.
//!
//! In: for `show` only the data directory; for `set` a new position, for all rules or one, and a confirmation. Out: the
//! low-water marks and the log of moved ones; or what a move would skip and repeat, and with `--yes` the move. `show`
//! works with and without a running daemon; `set` needs the server, and the store without a daemon.

mod moving;
mod plan;

use clap::Subcommand;

use super::output;
use super::reach::Reach;
use super::{CommandVerdict, output::clean};
use crate::admin::view::position::{PositionChangeView, PositionMoveView, PositionsView, RulePositionView};
use crate::admin::view::status::PositionView;
use crate::config::{DataArgs, File, SourceArgs};

#[derive(Debug, Subcommand)]
pub(super) enum PositionCommand {
    /// Show the position of the main stream, of each rule with another position, and who moved them by hand
    Show(ShowPositionArgs),
    /// Move positions: shows what is skipped or repeated, and moves them with --yes
    #[command(after_help = SET_EXAMPLES)]
    Set(Box<SetArgs>),
}

const SET_EXAMPLES: &str = "\
Examples:
  rowhook position set --skip-transaction
  rowhook position set --skip-transaction --note 'rows checked by hand, see INC-7' --yes
  rowhook position set --after 3e11fa47-71ca-11e1-9e33-c80aa9429562:1534 --yes
  rowhook position set --to earliest --yes
  rowhook position set --rule order-paid --to binlog.000042:4 --yes

Stop rowhook first. Without --yes it shows what would be skipped and repeated, changes nothing, and exits with 1.
Without --rule all rules move. --skip-transaction skips only one transaction: a rule that has not reached it keeps its
position. Dead letters, paused rules and what was delivered stay as they are.";

#[derive(Debug, clap::Args)]
pub(super) struct ShowPositionArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct SetArgs {
    /// Move only this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Reason, kept in the log of moved positions
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Confirm
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct PlaceArgs {
    /// Continue after this transaction, in the order of the binlog
    #[arg(long, value_name = "GTID")]
    after: Option<String>,
    /// Continue after the next transaction
    #[arg(long)]
    skip_transaction: bool,
    /// Continue from here: latest, earliest, a GTID set, or file:offset
    #[arg(long, value_name = "WHERE")]
    to: Option<String>,
}

pub(super) async fn run(command: PositionCommand, file: &File) -> anyhow::Result<CommandVerdict> {
    match command {
        PositionCommand::Show(args) => show(args, file).await,
        PositionCommand::Set(args) => moving::run(*args, file).await,
    }
}

async fn show(args: ShowPositionArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let positions = Reach::open(&args.data.resolve(file)).await?.positions().await?;
    if args.json {
        output::print_json(&positions)?;
    } else {
        output::print(&text(&positions))?;
    }
    Ok(CommandVerdict::Done)
}

fn text(positions: &PositionsView) -> String {
    let PositionsView { position, rules, log } = positions;
    let mut rows = vec![vec!["main stream".to_string(), position.as_ref().map_or("none yet".to_string(), place)]];
    rows.extend(rules.iter().map(|RulePositionView { rule, position, detached_since }| {
        let detached = detached_since.as_ref().map_or(String::new(), |since| format!("; detached since {since}"));
        vec![format!("rule {rule}"), format!("{}{detached}", place(position))]
    }));
    let mut text = output::table(&["of", "goes on after"], rows);
    if !log.is_empty() {
        text += "\nmoved by hand:\n";
        log.iter().for_each(|change| text += &change_text(change));
    }
    text
}

fn place(position: &PositionView) -> String {
    let PositionView { server_uuid, gtids, file, offset } = position;
    let gtids = gtids.as_ref().map_or(String::new(), |gtids| format!("gtid set {gtids}, "));
    format!("{gtids}{file}:{offset} of server {server_uuid}")
}

fn change_text(change: &PositionChangeView) -> String {
    let PositionChangeView { at, by, how, note, moves } = change;
    let note = note.as_ref().map_or(String::new(), |note| format!(": {note}"));
    let mut text = clean(&format!("{at}  {by}  {how}{note}")) + "\n";
    for moved in moves {
        let PositionMoveView { rule, from, to, .. } = moved;
        let of = rule.as_ref().map_or("main stream".to_string(), |rule| format!("rule {rule}"));
        let counts = plan::counts_text(
            (moved.skipped_transactions, moved.skipped_bytes),
            (moved.repeated_transactions, moved.repeated_bytes),
        );
        text += &clean(&format!("  {of}: from {from} to {to}: {counts}"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_first_and_then_the_log_of_moves() {
        let place = |file: &str, gtids: Option<&str>| PositionView {
            server_uuid: "u".to_string(),
            gtids: gtids.map(str::to_string),
            file: file.to_string(),
            offset: 4,
        };
        let moved = PositionMoveView {
            rule: None,
            from: "b.1:4".to_string(),
            to: "b.2:4".to_string(),
            skipped_transactions: Some(1),
            skipped_bytes: Some(312),
            repeated_transactions: Some(0),
            repeated_bytes: Some(0),
        };
        let change = PositionChangeView {
            at: "2026-11-28T19:00:00Z".to_string(),
            by: "root".to_string(),
            how: "--to latest".to_string(),
            note: Some("a\u{1b}b".to_string()),
            moves: vec![moved],
        };
        let rule = RulePositionView {
            rule: "late".to_string(),
            position: place("b.1", Some("u:1-3")),
            detached_since: Some("2026".to_string()),
        };
        let positions = PositionsView { position: Some(place("b.2", None)), rules: vec![rule], log: vec![change] };
        let expected = "\
of           goes on after
main stream  b.2:4 of server u
rule late    gtid set u:1-3, b.1:4 of server u; detached since 2026

moved by hand:
2026-11-28T19:00:00Z  root  --to latest: a\u{fffd}b
  main stream: from b.1:4 to b.2:4: skips 1 transaction, 312 bytes
";
        assert_eq!(text(&positions), expected);
        let none = PositionsView { position: None, rules: vec![], log: vec![] };
        assert_eq!(text(&none), "of           goes on after\nmain stream  none yet\n");
    }
}
