//! What an operator may do about a dead letter of a saga, and what comes of it.
//!
//! In: the dead letter's delivery under the current rule, and the log of its saga. Out: the commands that a replay would
//! accept now, in words. Asks `pipeline::grant` for each, as the replay does, so that advice and verdict cannot differ.

use super::view::saga::PossibleCommand;
use crate::delivery::Delivery;
use crate::pipeline::{KnownSaga, grant};
use crate::rules::Saga;
use crate::saga::{ActionId, NextAction, SagaCommand, SagaEnding, SagaLog, StepLog};

/// The commands that a replay accepts, the most likely one first. To begin again is offered where nothing else is possible.
pub(super) fn possible_commands(delivery: &Delivery, known: &KnownSaga) -> Vec<PossibleCommand> {
    let granted = |saga_command| grant(delivery, known.clone(), saga_command).ok();
    let command = |flags: &str, then: String| PossibleCommand { flags: flags.to_owned(), then };
    let mut commands = Vec::new();
    let settled = |happened| granted(SagaCommand::Settle { happened }).flatten();
    if let (Some(yes), Some(no)) = (settled(true), settled(false)) {
        let in_doubt = yes.steps.iter().zip(&no.steps).find(|(yes, no)| yes.act.state != no.act.state);
        let step = in_doubt.map_or_else(String::new, |(step, _)| name(step));
        commands.push(command("--happened yes|no", format!("states whether {step} took effect, then goes on")));
    }
    if let Some(log) = granted(SagaCommand::Resume) {
        commands.push(command("", resumed(delivery, log)));
    }
    if let (Some(Some(log)), Some(saga)) = (granted(SagaCommand::Undo), &delivery.rule.saga) {
        commands.push(command("--undo", undone(saga, &log)));
    }
    if commands.is_empty() && granted(SagaCommand::FromStart).is_some() {
        let then = match delivery.rule.saga {
            Some(_) => "begins again with the first step; repeats earlier calls",
            None => "calls what the rule calls now",
        };
        commands.push(command("--from-start --yes", then.to_owned()));
    }
    commands
}

fn resumed(delivery: &Delivery, log: Option<SagaLog>) -> String {
    let (Some(saga), Some(mut log)) = (&delivery.rule.saga, log) else {
        return "calls what the rule calls now".to_owned();
    };
    match saga.definition.next(&mut log) {
        NextAction::Do(ActionId::Step(n)) => format!("goes on with {}", name(&log.steps[n])),
        NextAction::Do(ActionId::Verify(n)) => {
            format!("asks whether {} took effect, then goes on", name(&log.steps[n]))
        }
        NextAction::Do(ActionId::Undo(n)) => format!("undoes {}", name(&log.steps[n])),
        NextAction::Do(ActionId::OnSuccess) => "calls `on_success` again".to_owned(),
        NextAction::Do(ActionId::OnFailure) => "calls `on_failure` again".to_owned(),
        NextAction::End(SagaEnding::Delivered) => "removes it: nothing is left to call".to_owned(),
        NextAction::End(_) => "calls nothing".to_owned(),
    }
}

fn undone(saga: &Saga, log: &SagaLog) -> String {
    let open = || log.steps.iter().zip(&saga.definition.steps).filter(|(step, _)| step.has_effect());
    let names = |can_undo: bool| {
        let meant = open().filter(|(_, definition)| definition.can_undo == can_undo);
        meant.map(|(step, _)| name(step)).collect::<Vec<_>>()
    };
    let (mut undone, left) = (names(true), names(false));
    undone.reverse();
    let left = match left.is_empty() {
        true => String::new(),
        false => format!("; without `undo`: {}", left.join(", ")),
    };
    format!("undoes {}{left}", undone.join(", "))
}

fn name(step: &StepLog) -> String {
    format!("`{}`", step.name)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::delivery::testing;
    use crate::rules::{Rule, RuleSet};
    use crate::saga::{ActionLog, ActionState, Direction};

    /// A rule with these steps: whether each may be repeated, can be undone, can be verified.
    fn rule(steps: &[(bool, bool, bool)], has_callbacks: bool) -> Arc<Rule> {
        let mut text = "table: a.b\nrules:\n  - name: r\n    steps:\n".to_owned();
        for (n, (is_repeatable, can_undo, can_verify)) in steps.iter().enumerate() {
            text += &format!(
                "      - name: s{n}\n        call: {{url: \"http://a.test/\", idempotent: {is_repeatable}}}\n"
            );
            if *can_undo {
                text += "        undo: {call: {url: \"http://a.test/\"}}\n";
            }
            if *can_verify && !is_repeatable {
                text +=
                    "        verify: {call: {method: GET, url: \"http://a.test/\"}, when: \"answer.status == 200\"}\n";
            }
        }
        if has_callbacks {
            text += "    on_success: {call: {url: \"http://a.test/\"}}\n    on_failure: {call: {url: \"http://a.test/\"}}\n";
        }
        let rules = RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("a rule");
        rules.rules()[0].clone()
    }

    fn act() -> impl Strategy<Value = ActionLog> {
        let state = prop::sample::select(ActionState::ALL.to_vec());
        (state, any::<bool>()).prop_map(|(state, is_in_doubt)| ActionLog {
            state,
            is_in_doubt: is_in_doubt && state != ActionState::Done,
            ..ActionLog::WAITING
        })
    }

    fn logs(names: [&'static str; 2]) -> impl Strategy<Value = SagaLog> {
        let step = move |name: &'static str| {
            (act(), act()).prop_map(move |(act, undo)| StepLog {
                name: name.into(),
                act,
                undo,
                failed_calls: 0,
                answer: None,
            })
        };
        let direction = prop::sample::select(Direction::ALL.to_vec());
        (step(names[0]), step(names[1]), direction, act()).prop_map(|(one, two, direction, callback)| SagaLog {
            steps: vec![one, two],
            direction,
            callback,
            reason: None,
        })
    }

    fn meant(flags: &str) -> Vec<SagaCommand> {
        match flags {
            "" => vec![SagaCommand::Resume],
            "--undo" => vec![SagaCommand::Undo],
            "--from-start --yes" => vec![SagaCommand::FromStart],
            "--happened yes|no" => [true, false].map(|happened| SagaCommand::Settle { happened }).to_vec(),
            other => panic!("no command: {other}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn every_command_that_is_advised_is_granted_and_there_is_always_one(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 2),
            has_callbacks in any::<bool>(),
            log in prop_oneof![8 => logs(["s0", "s1"]), 1 => logs(["s0", "other"])],
            is_restored in any::<bool>(),
        ) {
            let delivery = testing::delivery(&rule(&steps, has_callbacks), 1, 1);
            let known = KnownSaga { log: Some(log), restored_until_us: is_restored.then_some(u64::MAX) };
            let commands = possible_commands(&delivery, &known);
            prop_assert!(!commands.is_empty());
            let advised: Vec<SagaCommand> = commands.iter().flat_map(|command| meant(&command.flags)).collect();
            for saga_command in &advised {
                let granted = grant(&delivery, known.clone(), *saga_command);
                prop_assert!(granted.is_ok(), "{:?} is refused: {:?}", saga_command, granted);
            }
            for saga_command in [SagaCommand::Resume, SagaCommand::Undo, SagaCommand::Settle { happened: true }] {
                let is_granted = grant(&delivery, known.clone(), saga_command).is_ok();
                prop_assert_eq!(is_granted, advised.contains(&saga_command), "{:?}", saga_command);
            }
        }
    }

    #[test]
    fn what_comes_of_a_command_is_what_it_begins_with() {
        use ActionState::{Begun, Done, Failed, Unknown, Waiting};
        let (plain, lasting, charge, asked) =
            ((true, true, false), (true, false, false), (false, false, false), (false, true, true));
        for (steps, states, direction, callback, expected) in [
            // All undone: the first step that was undone comes first, not the one that failed.
            (
                [plain, lasting],
                [(Done, Done), (Failed, Waiting)],
                Direction::Back,
                Waiting,
                &[("", "goes on with `s0`")][..],
            ),
            (
                [lasting, plain],
                [(Done, Waiting), (Failed, Waiting)],
                Direction::Back,
                Done,
                &[("", "goes on with `s1`")],
            ),
            ([plain, plain], [(Done, Unknown), (Failed, Waiting)], Direction::Back, Done, &[("--undo", "undoes `s0`")]),
            (
                [lasting, charge],
                [(Done, Waiting), (Unknown, Waiting)],
                Direction::Stopped,
                Waiting,
                &[("--happened yes|no", "states whether `s1` took effect, then goes on")],
            ),
            (
                [plain, asked],
                [(Done, Waiting), (Begun, Waiting)],
                Direction::Forward,
                Waiting,
                &[
                    ("--happened yes|no", "states whether `s1` took effect, then goes on"),
                    ("", "asks whether `s1` took effect, then goes on"),
                    ("--undo", "undoes `s1`, `s0`"),
                ],
            ),
            (
                [plain, lasting],
                [(Done, Waiting), (Done, Waiting)],
                Direction::Forward,
                Failed,
                &[("", "calls `on_success` again"), ("--undo", "undoes `s0`; without `undo`: `s1`")],
            ),
        ] {
            let delivery = testing::delivery(&rule(&steps, true), 1, 1);
            let act = |state| ActionLog { state, ..ActionLog::WAITING };
            let step = |(n, (state, undo)): (usize, &(ActionState, ActionState))| StepLog {
                name: format!("s{n}").into(),
                act: act(*state),
                undo: act(*undo),
                failed_calls: 0,
                answer: None,
            };
            let steps = states.iter().enumerate().map(step).collect();
            let log = SagaLog { steps, direction, callback: act(callback), reason: None };
            let commands = possible_commands(&delivery, &KnownSaga { log: Some(log), restored_until_us: None });
            let said: Vec<(&str, &str)> = commands.iter().map(|command| (&*command.flags, &*command.then)).collect();
            assert_eq!(said, expected, "{states:?}");
        }
    }
}
