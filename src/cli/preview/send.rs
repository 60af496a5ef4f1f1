//! Sends the request of a preview, once.
//!
//! In: the rules that match a change. Out: what the API answered, and what would follow. Only after a person said yes. The request has an
//! id of its own and the header `Rowhook-Preview: 1`; nothing is stored, nothing is repeated, and of a saga only the first step is sent.

use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::super::confirm::confirm;
use super::super::{CommandVerdict, output};
use super::Made;
use super::explained::PreviewVerdict;
use crate::change::Change;
use crate::delivery::{AfterAnswer, Client, Delivery, Outcome, Rehearsal, RehearsalEnd, Sinks};
use crate::rules::{ProxyServer, Rule};

/// Sends what the one rule makes of the change that matches it.
pub(super) async fn send(
    made: &Made,
    change: &Arc<Change>,
    proxy: Option<Arc<ProxyServer>>,
    is_confirmed: bool,
) -> anyhow::Result<CommandVerdict> {
    let rule = matching(made)?;
    let mut rehearsal = Rehearsal::begin(Delivery::of(rule, change)).map_err(|end| anyhow!(in_words(&end)))?;
    let action = rule.action_for(change.op);
    let Some(call) = action.call() else {
        bail!("rule {} begins with a statement; --send sends requests only", rule.name);
    };
    if !is_confirmed {
        let method = call.settings.method.as_str();
        confirm(&format!("This calls {method} {} for real, once. Go on?", action.target.origin))?;
    }
    let client = tokio::task::spawn_blocking(move || Client::through(proxy)).await??;
    let sent = rehearsal.send(&Sinks::new(client, None)).await;
    let (answer, after) = sent.map_err(|problem| anyhow!("nothing was sent: {problem}"))?;
    let (verdict, follows) = match after {
        AfterAnswer::Again { wait } => {
            let wait = humantime::format_duration(wait);
            (CommandVerdict::Problems, format!("another attempt would follow after {wait}"))
        }
        AfterAnswer::Over(RehearsalEnd { outcome: Outcome::Delivered { .. }, .. }) => {
            (CommandVerdict::Done, "delivered".to_owned())
        }
        AfterAnswer::Over(end) => (CommandVerdict::Problems, in_words(&end)),
    };
    output::print(&format!("sent for rule {}: {}: {}\n", rule.name, answer.in_words(), output::clean(&follows)))?;
    Ok(verdict)
}

/// The only rule that matches.
fn matching(Made { rules, explained }: &Made) -> anyhow::Result<&Arc<Rule>> {
    let of_both = rules.iter().zip(explained);
    let matching: Vec<&Arc<Rule>> =
        of_both.filter(|(_, explained)| explained.verdict == PreviewVerdict::Matches).map(|(rule, _)| rule).collect();
    match matching[..] {
        [rule] => Ok(rule),
        [] => bail!("nothing was sent: no rule matches"),
        _ => {
            let names: Vec<&str> = matching.iter().map(|rule| rule.name.as_str()).collect();
            bail!("nothing was sent: several rules match; name one of {}", names.join(", "))
        }
    }
}

fn in_words(end: &RehearsalEnd) -> String {
    match &end.outcome {
        Outcome::Dead(failure) => {
            format!("it would become a dead letter ({}): {}", failure.reason.as_str(), failure.message)
        }
        outcome => format!("{outcome:?}"),
    }
}
