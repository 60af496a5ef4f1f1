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
use crate::failure::Answer;
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
    rehearsal.mark_as_preview();
    let sent = rehearsal.attempt(&Sinks::new(client, None)).await;
    let (answer, after) = sent.map_err(|problem| anyhow!("nothing was sent: {problem}"))?;
    let (verdict, text) = report(rule, &answer, &after);
    output::print(&text)?;
    Ok(verdict)
}

/// On a line each: what was answered, the beginning of its text, what would follow.
fn report(rule: &Rule, answer: &Answer, after: &AfterAnswer) -> (CommandVerdict, String) {
    let answered = answer.in_words();
    let (verdict, follows) = match after {
        AfterAnswer::Again { wait } => {
            let wait = humantime::format_duration(*wait);
            (CommandVerdict::Problems, format!("another attempt would follow after {wait}"))
        }
        AfterAnswer::Over(RehearsalEnd { outcome: Outcome::Delivered { .. }, .. }) => {
            (CommandVerdict::Done, "delivered".to_owned())
        }
        AfterAnswer::Over(end) => {
            (CommandVerdict::Problems, in_words(end).replacen(&format!(": {answered}: "), ": ", 1))
        }
    };
    let excerpt = match answer {
        Answer::Status { excerpt, .. } if !excerpt.is_empty() => match rule.redact.is_empty() {
            true => excerpt.as_str(),
            // Answers often repeat what they were sent.
            false => "(its text is not shown, because the rule has `redact`)",
        },
        _ => "",
    };
    let excerpt_lines: String = excerpt.lines().map(|line| format!("  {}\n", output::clean(line))).collect();
    let text = format!(
        "sent for rule {}: {}
{excerpt_lines}{}\n",
        rule.name,
        output::clean(&answered),
        output::clean(&follows)
    );
    (verdict, text)
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::delivery::Failure;
    use crate::failure::Reason;
    use crate::rules::RuleSet;

    #[test]
    fn the_answer_is_reported_once_with_the_beginning_of_its_text() {
        let rules = "table: shop.users\nrules:\n  - {name: a, call: {url: 'http://a.test/'}}\n  - {name: b, redact: email, call: {url: \
                     'http://a.test/'}}\n";
        let rules = RuleSet::from_texts(&[(PathBuf::from("r.yaml"), rules.to_owned())], &|_| None).expect("they load");
        let refused = |status: u16, message: &str| {
            let outcome = Outcome::Dead(Failure { reason: Reason::Refused, message: message.to_owned() });
            let answer = Answer::Status { status, excerpt: "{\"error\": \"no such\u{1b} user\"}\nend".to_owned() };
            (answer, AfterAnswer::Over(RehearsalEnd { outcome, acted: None }))
        };
        let delivered = AfterAnswer::Over(RehearsalEnd { outcome: Outcome::Delivered { status: 201 }, acted: None });
        let again = AfterAnswer::Again { wait: std::time::Duration::from_millis(500) };
        let status = |status: u16| Answer::Status { status, excerpt: String::new() };
        let lost = || Answer::Failed { error: "connection refused".to_owned() };
        for (rule, (answer, after), expected) in [
            (0, (status(201), delivered), "answered 201\ndelivered\n"),
            (0, (lost(), again), "connection refused\nanother attempt would follow after 500ms\n"),
            (
                0,
                refused(400, "answered 400: not retried"),
                "answered 400\n  {\"error\": \"no such\u{fffd} user\"}\n  end\nit would become a dead letter (refused): not \
                 retried\n",
            ),
            (
                1,
                refused(400, "answered 400: not retried"),
                "answered 400\n  (its text is not shown, because the rule has `redact`)\nit would become a dead letter (refused): \
                 not retried\n",
            ),
            (
                0,
                refused(207, "the answer refuses this row of the call: answered 400"),
                "answered 207\n  {\"error\": \"no such\u{fffd} user\"}\n  end\nit would become a dead letter (refused): the \
                 answer refuses this row of the call: answered 400\n",
            ),
        ] {
            let rule = &rules.rules()[rule];
            let (_, text) = report(rule, &answer, &after);
            assert_eq!(text, format!("sent for rule {}: {expected}", rule.name));
        }
    }
}
