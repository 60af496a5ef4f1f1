//! `rowhook pause`, `resume` and `reload`: what an operator does to the rules of a running rowhook.
//!
//! In: a rule's name, or nothing. Out: one line that says what holds now, or an error. The daemon carries it out; what it
//! answered is durable.

use super::output;
use super::{Verdict, reach};
use crate::admin::view::status::{PauseRequest, Reloaded, ResumeRequest};
use crate::config::{self, DataArgs, File};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook pause order-paid --why 'their API is moving house'

Attempts under way come to their end, no others are started, also not after a restart. Other rules go on. What the rule
misses meanwhile stays in the binlog; `rowhook status` shows how long the server keeps it.")]
pub(super) struct PauseArgs {
    /// Name of the rule
    rule: String,
    /// Why, for those who look at the status
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

The rule goes on where it was, in order, and nothing is left out. With --from it leaves out what lies before that place:
the way on when the server has purged what it needs.")]
pub(super) struct ResumeArgs {
    /// Name of the rule
    rule: String,
    /// Leave out what lies before: latest, earliest, a GTID set, or file:offset
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rowhook reload

All rule files are taken, or none if one has problems; what they refer to is read anew. The same happens on SIGHUP, and by
itself when the files change. Deliveries that were begun end under the rule they began with.")]
pub(super) struct ReloadArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) async fn pause(args: PauseArgs, file: &File) -> anyhow::Result<Verdict> {
    let PauseArgs { rule, why, data } = args;
    let request = PauseRequest { rule, why };
    reach::daemon(&data.resolve(file)).await?.pause(&request).await?;
    output::print(&format!("{0} is paused; rowhook resume {0} lets it go on\n", request.rule))?;
    Ok(Verdict::Done)
}

pub(super) async fn resume(args: ResumeArgs, file: &File) -> anyhow::Result<Verdict> {
    let ResumeArgs { rule, from, data } = args;
    // Before anybody is asked: what was typed wrong is wrong usage.
    from.as_deref().map(|from| config::parse_start("from", from)).transpose()?;
    let request = ResumeRequest { rule, from };
    reach::daemon(&data.resolve(file)).await?.resume(&request).await?;
    let place = request.from.as_ref().map_or("where it was".to_string(), |from| format!("from {from}"));
    output::print(&format!("{} goes on {place}\n", request.rule))?;
    Ok(Verdict::Done)
}

pub(super) async fn reload(args: ReloadArgs, file: &File) -> anyhow::Result<Verdict> {
    let reloaded = reach::daemon(&args.data.resolve(file)).await?.reload().await?;
    if args.json {
        output::print_json(&reloaded)?;
    } else {
        output::print(&text(&reloaded))?;
    }
    Ok(Verdict::Done)
}

/// A line for each rule that is not as it was, and one for the rest.
fn text(reloaded: &Reloaded) -> String {
    let Reloaded { added, changed, removed, unchanged } = reloaded;
    let mut text = String::new();
    for (what, names) in [("added", added), ("changed", changed), ("removed", removed)] {
        names.iter().for_each(|name| text += &format!("{what:<8} {name}\n"));
    }
    text + &format!("{} unchanged\n", output::count(unchanged.len() as u64, "rule"))
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
