//! `rowhook pause`, `resume` and `reload`: an operator's commands for the rules of a running rowhook.
//!
//! In: a rule's name, or nothing. Out: one line that says what applies now, or an error. The daemon carries it out;
//! without one the store keeps it for the next start. It is durable when it is answered.

use super::CommandVerdict;
use super::output;
use super::reach::{self, Reach};
use crate::admin::view::status::{PauseRequest, Reloaded, ResumeRequest};
use crate::config::{self, DataArgs, File};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook pause order-paid --why 'their API is being migrated'

Attempts under way finish; no others start, also not after a restart. Other rules continue. The changes of the paused rule stay
in the binlog; `rowhook status` shows how long the server keeps it.")]
pub(super) struct PauseArgs {
    /// Name of the rule
    rule: String,
    /// Reason, shown by `rowhook status`
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook resume order-paid
  rowhook resume order-paid --from latest

The rule continues where it was, in order, and skips nothing. With --from it skips what lies before that position: use it when
the server has purged the binlog that the rule needs.")]
pub(super) struct ResumeArgs {
    /// Name of the rule
    rule: String,
    /// Skip what lies before this position: latest, earliest, a GTID set, or file:offset
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook reload

All rule files are reloaded, with the files that they name, or none if one has problems. The same happens on SIGHUP and when the
files change. Deliveries that wait are sent under the new rule.")]
pub(super) struct ReloadArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) async fn pause(args: PauseArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let PauseArgs { rule, why, data } = args;
    Reach::open(&data.resolve(file)).await?.pause(PauseRequest { rule: rule.clone(), why }).await?;
    output::print(&format!("{rule} is paused; rowhook resume {rule} lets it go on\n"))?;
    Ok(CommandVerdict::Done)
}

pub(super) async fn resume(args: ResumeArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let ResumeArgs { rule, from, data } = args;
    // Before the daemon is asked: a wrong argument is wrong usage.
    from.as_deref().map(|from| config::parse_start("from", from)).transpose()?;
    let place = from.as_ref().map_or("where it stopped".to_string(), |from| format!("from {from}"));
    let reach = Reach::open(&data.resolve(file)).await?;
    reach.resume(ResumeRequest { rule: rule.clone(), from }).await?;
    let when = if matches!(reach, Reach::Daemon(_)) { "" } else { "at the next start " };
    output::print(&format!("{rule} is resumed: {when}it continues {place}\n"))?;
    Ok(CommandVerdict::Done)
}

pub(super) async fn reload(args: ReloadArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let reloaded = reach::daemon(&args.data.resolve(file)).await?.reload().await?;
    if args.json {
        output::print_json(&reloaded)?;
    } else {
        output::print(&text(&reloaded))?;
    }
    Ok(CommandVerdict::Done)
}

/// A line for each rule that is not as it was, and one for the rest.
fn text(reloaded: &Reloaded) -> String {
    let Reloaded { added, changed, removed, unchanged } = reloaded;
    let mut text = String::new();
    for (what, names) in [("added", added), ("changed", changed), ("removed", removed)] {
        names.iter().for_each(|name| text += &format!("{what:<8} {name}\n"));
    }
    text + &format!("{} unchanged\n", output::count(unchanged.len() as u64, "rule", "rules"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_are_not_as_they_were_are_named() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let reloaded = Reloaded {
            added: names(&["a"]),
            changed: names(&["b", "c"]),
            removed: names(&[]),
            unchanged: names(&["d"]),
        };
        assert_eq!(text(&reloaded), "added    a\nchanged  b\nchanged  c\n1 rule unchanged\n");
        assert_eq!(text(&Reloaded::default()), "0 rules unchanged\n");
    }
}
