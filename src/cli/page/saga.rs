//! The part of a dead letter's page about its saga: the steps, the effect, and what a person can do.
//!
//! In: a saga's view. Out: text. What was done is told from the states alone: the rule may be another one by now. What can be
//! done comes with the view.

use crate::admin::view::saga::{ActView, NextView, PossibleCommand, SagaView, StepView};
use crate::cli::output::{clean, folded_table};
use crate::saga::{ActionState, Direction, SagaEffect};

/// A table of the steps, and the effect in words.
pub(super) fn saga(saga: &SagaView, number: u64, is_resolved: bool, width: Option<u16>) -> String {
    let callback = (!is(&saga.callback.state, ActionState::Waiting)).then(|| {
        let name = if goes(saga, Direction::Forward) { "on_success" } else { "on_failure" };
        row(name, &saga.callback, None)
    });
    let steps = saga.steps.iter().map(|step| row(&step.name, &step.act, Some(&step.undo)));
    let head = ["step", "state", "undo", "attempts", "message"];
    let steps = folded_table(&head, steps.chain(callback), width);
    let mut text = format!("{steps}\n{}\n", effect(saga));
    if !is_resolved {
        text += &advice(saga, number);
    }
    text
}

fn row(name: &str, act: &ActView, undo: Option<&ActView>) -> Vec<String> {
    let undo = undo.filter(|undo| !is(&undo.state, ActionState::Waiting));
    let said = match undo {
        Some(undo) if !undo.message.is_empty() => format!("{}; undo: {}", said(act), said(undo)),
        _ => said(act),
    };
    let undo = undo.map_or("-".to_string(), |undo| undo.state.clone());
    vec![name.to_string(), act.state.clone(), undo, act.attempts.to_string(), said]
}

/// The result of its last attempt; for an action that was begun again, the result before.
fn said(act: &ActView) -> String {
    match is(&act.state, ActionState::Begun) && !act.message.is_empty() {
        true => format!("before: {}", act.message),
        false => act.message.clone(),
    }
}

fn effect(saga: &SagaView) -> String {
    if stands(saga, SagaEffect::Complete) {
        return "all steps are done".to_string();
    }
    if stands(saga, SagaEffect::None) {
        let was_undone = saga.steps.iter().any(|step| is(&step.undo.state, ActionState::Done));
        return if was_undone { "all undone" } else { "no step has an effect" }.to_string();
    }
    match goes(saga, Direction::Stopped) {
        true => format!("an operator must decide: it is unknown whether {} happened", steps(saga, is_unknown)),
        false if goes(saga, Direction::Forward) => {
            let known = [("done", steps(saga, is_done)), ("unknown", steps(saga, is_in_doubt))];
            let known = known.iter().filter(|(_, names)| !names.is_empty());
            let known: Vec<String> = known.map(|(word, names)| format!("{word}: {names}")).collect();
            format!("it was under way when rowhook stopped; {}", known.join("; "))
        }
        false => format!("an operator must decide: not undone: {}", steps(saga, has_open)),
    }
}

/// The commands that an operator may give, one below the other.
fn advice(saga: &SagaView, number: u64) -> String {
    let by_hand =
        (format!("rowhook dead-letters resolve {number} --note TEXT"), "when it was settled by hand".to_string());
    let replay = |PossibleCommand { flags, then }: &PossibleCommand| {
        (format!("rowhook dead-letters replay {number} {flags}").trim_end().to_string(), then.clone())
    };
    match &saga.next {
        Some(NextView::Commands(possible)) => {
            let first = if possible.iter().any(|command| command.flags.starts_with("--happened")) {
                "check the API, then\n"
            } else {
                ""
            };
            commands(first, &possible.iter().map(replay).chain([by_hand]).collect::<Vec<_>>())
        }
        Some(NextView::Refused(why)) => commands(&format!("a replay is refused: {}\n", clean(why)), &[by_hand]),
        None => commands("what a replay would do depends on the rule; --rules DIR says where it is\n", &[by_hand]),
    }
}

fn commands(first: &str, list: &[(String, String)]) -> String {
    let width = list.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let lines = list.iter().map(|(command, what)| format!("  {command:<width$}  {what}\n"));
    first.to_string() + &lines.collect::<String>()
}

/// Names of the steps that are meant.
fn steps(saga: &SagaView, is_meant: impl Fn(&StepView) -> bool) -> String {
    let meant = saga.steps.iter().filter(|step| is_meant(step));
    meant.map(|step| format!("`{}`", step.name)).collect::<Vec<_>>().join(", ")
}

/// Whether it has, or may have, an effect that was not undone.
fn has_open(step: &StepView) -> bool {
    let may_have_happened =
        [ActionState::Begun, ActionState::Done, ActionState::Unknown].iter().any(|state| is(&step.act.state, *state));
    may_have_happened && !is(&step.undo.state, ActionState::Done)
}

fn is_unknown(step: &StepView) -> bool {
    has_open(step) && is(&step.act.state, ActionState::Unknown)
}

fn is_done(step: &StepView) -> bool {
    has_open(step) && is(&step.act.state, ActionState::Done)
}

/// Whether its effect is unknown, because it was given up or because rowhook stopped.
fn is_in_doubt(step: &StepView) -> bool {
    has_open(step) && !is_done(step)
}

fn is(word: &str, state: ActionState) -> bool {
    word == state.as_str()
}

fn goes(saga: &SagaView, direction: Direction) -> bool {
    saga.direction == direction.as_str()
}

fn stands(saga: &SagaView, effect: SagaEffect) -> bool {
    saga.effect == effect.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::{ActionLog, SagaLog, StepLog};

    fn act(state: ActionState) -> ActionLog {
        let said = if state == ActionState::Waiting { "" } else { "answered 200" };
        ActionLog {
            state,
            attempts: u64::from(state != ActionState::Waiting),
            message: said.to_string(),
            ..ActionLog::WAITING
        }
    }

    /// Each step's name, how far it is, and its undo.
    fn shown(
        direction: Direction,
        steps: &[(&str, ActionState, ActionState)],
        callback: ActionState,
        next: Option<NextView>,
        is_resolved: bool,
    ) -> String {
        let step = |(name, state, undo): &(&str, ActionState, ActionState)| StepLog {
            name: (*name).into(),
            act: act(*state),
            undo: act(*undo),
            failed_calls: 0,
            answer: None,
        };
        let steps = steps.iter().map(step).collect();
        let log = SagaLog { steps, direction, callback: act(callback), reason: None };
        saga(&SagaView { next, ..SagaView::of(&log) }, 17, is_resolved, None)
    }

    fn possible(list: &[(&str, &str)]) -> Option<NextView> {
        let command =
            |(flags, then): &(&str, &str)| PossibleCommand { flags: flags.to_string(), then: then.to_string() };
        Some(NextView::Commands(list.iter().map(command).collect()))
    }

    #[test]
    fn an_uncertain_step_is_named_with_what_to_do() {
        use ActionState::{Done, Unknown, Waiting};
        let steps = [("account", Done, Waiting), ("charge", Unknown, Waiting), ("mail", Waiting, Waiting)];
        let next =
            possible(&[("--happened yes|no", "states whether `charge` took effect, then goes on"), ("", "goes on")]);
        let expected = "\
step     state    undo  attempts  message
account  done     -     1         answered 200
charge   unknown  -     1         answered 200
mail     waiting  -     0

an operator must decide: it is unknown whether `charge` happened
check the API, then
  rowhook dead-letters replay 17 --happened yes|no  states whether `charge` took effect, then goes on
  rowhook dead-letters replay 17                    goes on
  rowhook dead-letters resolve 17 --note TEXT       when it was settled by hand
";
        assert_eq!(shown(Direction::Stopped, &steps, Waiting, next, false), expected);
    }

    #[test]
    fn every_effect_is_shown_with_the_commands_that_help() {
        use ActionState::{Begun, Done, Failed, Unknown, Waiting};
        let failed = [("a", Done, Done), ("b", Failed, Waiting)];
        let not_undone = [("a", Done, Failed), ("b", Unknown, Unknown)];
        let first = [("a", Failed, Waiting)];
        let under_way = [("a", Done, Waiting), ("b", Begun, Waiting)];
        let done = [("a", Done, Waiting)];
        let by_hand = "  rowhook dead-letters resolve 17 --note TEXT  when";
        for (direction, steps, callback, next, expected) in [
            (
                Direction::Back,
                &failed[..],
                Done,
                possible(&[("", "goes on with `a`")]),
                "all undone\n  rowhook dead-letters replay 17               goes on with `a`\n  rowhook".to_string(),
            ),
            (
                Direction::Back,
                &first[..],
                Waiting,
                Some(NextView::Refused("no rule is named r".to_string())),
                format!("no step has an effect\na replay is refused: no rule is named r\n{by_hand}"),
            ),
            (
                Direction::Back,
                &not_undone[..],
                Failed,
                None,
                format!("not undone: `a`, `b`\nwhat a replay would do depends on the rule; --rules DIR says where it is\n{by_hand}"),
            ),
            (
                Direction::Forward,
                &under_way[..],
                Waiting,
                possible(&[("--undo", "undoes `b`, `a`")]),
                "rowhook stopped; done: `a`; unknown: `b`\n  rowhook dead-letters replay 17 --undo        undoes `b`, `a`"
                    .to_string(),
            ),
            (
                Direction::Forward,
                &done[..],
                Failed,
                possible(&[("", "calls `on_success` again")]),
                "all steps are done\n  rowhook dead-letters replay 17               calls `on_success` again".to_string(),
            ),
        ] {
            let text = shown(direction, steps, callback, next, false);
            assert!(text.contains(&expected), "{expected:?} is missing in\n{text}");
        }
        let text = shown(Direction::Back, &failed, Failed, None, true);
        assert!(text.ends_with("\nall undone\n"), "of a closed letter nothing is asked:\n{text}");
        assert!(text.contains("a           done    done  1         answered 200; undo: answered 200\n"), "{text}");
        assert!(text.contains("on_failure  failed  -     1         answered 200\n"), "{text}");
        let text = shown(Direction::Forward, &under_way, Waiting, None, true);
        assert!(text.contains("b     begun  -     1         before: answered 200\n"), "{text}");
    }
}
