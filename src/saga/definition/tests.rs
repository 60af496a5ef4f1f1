//! Saga definitions written by hand, and random ones against a target that fails, does not answer and crashes.

use proptest::prelude::*;

use super::super::{KeptAnswer, SagaEffect};
use super::*;

fn step(name: &str) -> StepDefinition {
    StepDefinition {
        name: name.into(),
        is_repeatable: true,
        can_undo: true,
        can_verify: false,
        retries: Retries::AtMost(3),
    }
}

fn definition(steps: Vec<StepDefinition>) -> SagaDefinition {
    SagaDefinition { steps, has_on_success: false, has_on_failure: false }
}

fn acted(end: ActionEnd) -> ActionResult {
    ActionResult { end, attempts: 1, failed_calls: 0, message: "said".to_string() }
}

/// Continues a saga: each action must be the next one of the list and gets its result from there. Returns the ending.
#[track_caller]
fn carry(definition: &SagaDefinition, log: &mut SagaLog, ends: &[(ActionId, ActionEnd)]) -> SagaEnding {
    for (expected, end) in ends {
        let NextAction::Do(action) = definition.next(log) else {
            panic!("{expected:?} was to come, not {:?}", definition.next(log))
        };
        assert_eq!(action, *expected);
        definition.begin_action(log, action);
        definition.record(log, action, acted(end.clone()));
    }
    match definition.next(log) {
        NextAction::End(ending) => ending,
        NextAction::Do(action) => panic!("{action:?} was not to come"),
    }
}

const DONE: ActionEnd = ActionEnd::Done(None);

#[test]
fn steps_are_done_one_after_another_and_then_the_callback_is_made() {
    let definition =
        SagaDefinition { has_on_success: true, has_on_failure: true, ..definition(vec![step("a"), step("b")]) };
    let mut log = definition.begin();
    let ends = [(ActionId::Step(0), DONE), (ActionId::Step(1), DONE), (ActionId::OnSuccess, DONE)];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::Delivered);
    assert_eq!(log.effect(), SagaEffect::Complete);
}

#[test]
fn a_step_given_up_undoes_those_before_it_in_reverse_also_after_an_undo_that_fails() {
    let definition = SagaDefinition { has_on_failure: true, ..definition(vec![step("a"), step("b"), step("c")]) };
    let mut log = definition.begin();
    let ends = [
        (ActionId::Step(0), DONE),
        (ActionId::Step(1), DONE),
        (ActionId::Step(2), ActionEnd::Failed),
        (ActionId::Undo(1), ActionEnd::Failed),
        (ActionId::Undo(0), DONE),
        (ActionId::OnFailure, DONE),
    ];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::GivenUp { step: 2 });
    assert_eq!(log.effect(), SagaEffect::Partial);
    definition.grant(&mut log, SagaCommand::Undo).expect("one is not undone");
    let ends = [(ActionId::Undo(1), DONE), (ActionId::OnFailure, DONE)];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::GivenUp { step: 2 });
    assert_eq!((log.effect(), log.callback.round), (SagaEffect::None, 1), "reported again, with the current effect");
    assert_eq!(definition.grant(&mut log, SagaCommand::Undo), Err(SagaRefusal::NothingToUndo));
}

#[test]
fn a_step_that_may_have_happened_is_undone_itself() {
    let definition = definition(vec![step("a"), step("b")]);
    let mut log = definition.begin();
    let ends = [
        (ActionId::Step(0), DONE),
        (ActionId::Step(1), ActionEnd::Unknown),
        (ActionId::Undo(1), DONE),
        (ActionId::Undo(0), DONE),
    ];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::GivenUp { step: 1 });
    assert_eq!(log.effect(), SagaEffect::None);
}

#[test]
fn an_undone_step_is_done_again_under_another_key_and_a_done_one_is_not() {
    let without_undo = StepDefinition { can_undo: false, ..step("b") };
    let definition = definition(vec![step("a"), without_undo, step("c")]);
    let mut log = definition.begin();
    let ends = [
        (ActionId::Step(0), DONE),
        (ActionId::Step(1), DONE),
        (ActionId::Step(2), ActionEnd::Failed),
        (ActionId::Undo(0), DONE),
    ];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::GivenUp { step: 2 });
    definition.grant(&mut log, SagaCommand::Resume).expect("a step failed");
    assert_eq!(log.steps.iter().map(|step| step.act.round).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(
        carry(&definition, &mut log, &[(ActionId::Step(0), DONE), (ActionId::Step(2), DONE)]),
        SagaEnding::Delivered
    );
}

#[test]
fn a_step_that_must_not_be_repeated_waits_for_an_operator_who_states_whether_it_happened() {
    let charge = StepDefinition { is_repeatable: false, can_undo: false, ..step("charge") };
    let definition = definition(vec![step("account"), charge]);
    for (happened, again) in [(true, vec![]), (false, vec![(ActionId::Step(1), DONE)])] {
        let mut log = definition.begin();
        let ends = [(ActionId::Step(0), DONE), (ActionId::Step(1), ActionEnd::Unknown)];
        assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::Unknown { step: 1 });
        assert_eq!(log.effect(), SagaEffect::Partial);
        let refusal = definition.grant(&mut log, SagaCommand::Resume);
        assert_eq!(refusal, Err(SagaRefusal::Unknown { step: "charge".into() }));
        definition.grant(&mut log, SagaCommand::Settle { happened }).expect("it is uncertain");
        assert_eq!(carry(&definition, &mut log, &again), SagaEnding::Delivered);
    }
}

#[test]
fn a_crash_in_a_call_that_must_not_be_repeated_leaves_it_unknown_or_a_query_decides() {
    for can_verify in [false, true] {
        let charge = StepDefinition { is_repeatable: false, can_undo: false, can_verify, ..step("charge") };
        let definition = definition(vec![charge]);
        let mut log = definition.begin();
        definition.begin_action(&mut log, ActionId::Step(0));
        if !can_verify {
            assert_eq!(definition.next(&mut log), NextAction::End(SagaEnding::Unknown { step: 0 }));
            continue;
        }
        let verified = |happened| ActionEnd::Verified { happened, answer: Some(kept()) };
        let ends = [
            (ActionId::Verify(0), verified(false)),
            (ActionId::Step(0), ActionEnd::Unknown),
            (ActionId::Verify(0), verified(true)),
        ];
        assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::Delivered);
        assert_eq!((&log.steps[0].answer, log.steps[0].act.round), (&Some(kept()), 0));
    }
}

#[test]
fn a_refusal_that_proves_that_nothing_happened_leaves_no_doubt() {
    let definition = definition(vec![StepDefinition { is_repeatable: false, ..step("charge") }]);
    let mut log = definition.begin();
    definition.begin_action(&mut log, ActionId::Step(0));
    definition.not_done(&mut log, ActionId::Step(0));
    assert_eq!(definition.next(&mut log), NextAction::Do(ActionId::Step(0)));
}

#[test]
fn a_callback_that_was_given_up_is_made_again_and_nothing_else_is_done() {
    let definition = SagaDefinition { has_on_success: true, ..definition(vec![step("a")]) };
    let mut log = definition.begin();
    let ends = [(ActionId::Step(0), DONE), (ActionId::OnSuccess, ActionEnd::Failed)];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::CallbackFailed);
    definition.grant(&mut log, SagaCommand::Resume).expect("the callback failed");
    assert_eq!(carry(&definition, &mut log, &[(ActionId::OnSuccess, DONE)]), SagaEnding::Delivered);
}

#[test]
fn an_undo_after_a_callback_that_failed_gives_up_no_step_and_counts_another_callback() {
    let without_undo = StepDefinition { can_undo: false, ..step("b") };
    let definition =
        SagaDefinition { has_on_success: true, has_on_failure: true, ..definition(vec![step("a"), without_undo]) };
    let mut log = definition.begin();
    let ends = [(ActionId::Step(0), DONE), (ActionId::Step(1), DONE), (ActionId::OnSuccess, ActionEnd::Unknown)];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::CallbackFailed);
    definition.grant(&mut log, SagaCommand::Undo).expect("`a` is done");
    assert_eq!((log.callback.attempts, log.callback.is_in_doubt, &*log.callback.message), (0, false, ""));
    let ends = [(ActionId::Undo(0), DONE), (ActionId::OnFailure, ActionEnd::Failed)];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::Undone);
    assert_eq!((log.callback.attempts, log.callback.state), (1, ActionState::Failed));
    assert_eq!(log.effect(), SagaEffect::Partial);
}

#[test]
fn an_action_that_was_not_called_after_all_stays_as_uncertain_as_before() {
    let definition = definition(vec![StepDefinition { is_repeatable: false, can_verify: true, ..step("charge") }]);
    let mut log = definition.begin();
    definition.begin_action(&mut log, ActionId::Step(0));
    definition.begin_action(&mut log, ActionId::Verify(0));
    definition.not_done(&mut log, ActionId::Verify(0));
    assert_eq!(definition.next(&mut log), NextAction::Do(ActionId::Verify(0)), "it may have been charged");
    let definition = SagaDefinition { steps: vec![step("account")], ..definition };
    let mut log = definition.begin();
    for _ in 0..2 {
        definition.begin_action(&mut log, ActionId::Step(0));
    }
    definition.not_done(&mut log, ActionId::Step(0));
    let ends = [(ActionId::Step(0), ActionEnd::Failed), (ActionId::Undo(0), DONE)];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::GivenUp { step: 0 });
}

#[test]
fn a_step_is_called_again_after_a_no_as_often_as_its_retries_allow_with_those_that_failed_before() {
    let no = || ActionEnd::Verified { happened: false, answer: None };
    for (retries, failed, calls_max) in [
        (Retries::AtMost(0), 0, 1),
        (Retries::AtMost(1), 0, 2),
        (Retries::AtMost(3), 0, 4),
        (Retries::AtMost(3), 2, 2),
        (Retries::AtMost(3), 3, 1),
        (Retries::AtMost(9), 0, 10),
        (Retries::Forever, 7, 50),
    ] {
        let charge = StepDefinition { is_repeatable: false, can_undo: false, can_verify: true, retries, ..step("a") };
        let definition = definition(vec![charge]);
        let mut log = definition.begin();
        let mut calls = 0;
        while let NextAction::Do(ActionId::Step(0)) = definition.next(&mut log)
            && calls < calls_max
        {
            calls += 1;
            definition.begin_action(&mut log, ActionId::Step(0));
            // Of the first turn some calls were refused before one was lost.
            let failed = failed.max(u64::from(log.steps[0].failed_calls));
            let lost = ActionResult { failed_calls: failed, ..acted(ActionEnd::Unknown) };
            definition.record(&mut log, ActionId::Step(0), lost);
            assert_eq!(definition.next(&mut log), NextAction::Do(ActionId::Verify(0)));
            definition.begin_action(&mut log, ActionId::Verify(0));
            definition.record(&mut log, ActionId::Verify(0), acted(no()));
        }
        assert_eq!(calls, calls_max, "{retries:?} after {failed}");
        let ending = NextAction::End(SagaEnding::GivenUp { step: 0 });
        assert_eq!(definition.next(&mut log) == ending, retries != Retries::Forever, "{retries:?}");
        assert_eq!(log.effect(), SagaEffect::None, "{retries:?}: it is known that nothing happened");
        definition.grant(&mut log, SagaCommand::Resume).expect("it was given up, or goes on");
        assert_eq!((log.steps[0].failed_calls, log.steps[0].act.state), (0, ActionState::Waiting), "{retries:?}");
    }
}

#[test]
fn an_uncertain_step_that_waits_for_its_turn_again_has_an_effect_until_it_is_undone() {
    let definition = definition(vec![step("a"), step("b")]);
    let mut log = definition.begin();
    let ends = [
        (ActionId::Step(0), DONE),
        (ActionId::Step(1), ActionEnd::Unknown),
        (ActionId::Undo(1), ActionEnd::Failed),
        (ActionId::Undo(0), DONE),
    ];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::GivenUp { step: 1 });
    definition.grant(&mut log, SagaCommand::Resume).expect("a step failed");
    let ends = [(ActionId::Step(0), ActionEnd::Failed), (ActionId::Undo(1), ActionEnd::Failed)];
    assert_eq!(carry(&definition, &mut log, &ends), SagaEnding::GivenUp { step: 0 });
    assert_eq!(log.effect(), SagaEffect::Partial);
    definition.grant(&mut log, SagaCommand::Undo).expect("`b` may have happened");
    carry(&definition, &mut log, &[(ActionId::Undo(1), DONE)]);
    assert_eq!(log.effect(), SagaEffect::None);
}

#[test]
fn a_saga_does_not_resume_while_a_step_may_have_been_undone() {
    let definition = definition(vec![step("a"), step("b")]);
    let mut log = definition.begin();
    let ends =
        [(ActionId::Step(0), DONE), (ActionId::Step(1), ActionEnd::Failed), (ActionId::Undo(0), ActionEnd::Unknown)];
    carry(&definition, &mut log, &ends);
    assert_eq!(definition.grant(&mut log, SagaCommand::Resume), Err(SagaRefusal::PartlyUndone { step: "a".into() }));
    definition.grant(&mut log, SagaCommand::Undo).expect("it may not be undone");
    carry(&definition, &mut log, &[(ActionId::Undo(0), DONE)]);
    definition.grant(&mut log, SagaCommand::Resume).expect("all is clear");
    assert_eq!(log.steps[0].act.round, 1);
    assert_eq!(
        carry(&definition, &mut log, &[(ActionId::Step(0), DONE), (ActionId::Step(1), DONE)]),
        SagaEnding::Delivered
    );
}

#[test]
fn a_callback_with_another_result_has_another_key_also_if_the_first_one_may_have_arrived() {
    for (end, round) in [(DONE, 1), (ActionEnd::Unknown, 1), (ActionEnd::Failed, 0)] {
        let definition = SagaDefinition { has_on_failure: true, ..definition(vec![step("a"), step("b")]) };
        let mut log = definition.begin();
        let ends = [(ActionId::Step(0), ActionEnd::Failed), (ActionId::OnFailure, end)];
        carry(&definition, &mut log, &ends);
        definition.grant(&mut log, SagaCommand::Resume).expect("a step failed");
        assert_eq!(log.callback.round, round);
    }
    let definition = SagaDefinition { has_on_success: true, ..definition(vec![step("a")]) };
    let mut log = definition.begin();
    carry(&definition, &mut log, &[(ActionId::Step(0), DONE), (ActionId::OnSuccess, ActionEnd::Unknown)]);
    definition.grant(&mut log, SagaCommand::Resume).expect("the callback failed");
    assert_eq!(log.callback.round, 0, "it is the same result");
}

fn kept() -> KeptAnswer {
    KeptAnswer { status: 200, headers: Vec::new(), body: Box::default(), is_cut: false, problem: None }
}

/// What the world does with a call, and whether the process dies before the result is written down.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    Refused,
    /// Done, but the answer was lost.
    Lost,
    /// Not done, and no answer either.
    Vanished,
    CrashBefore,
    CrashAfter,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop::sample::select(vec![
        Fate::Done,
        Fate::Done,
        Fate::Done,
        Fate::Refused,
        Fate::Lost,
        Fate::Vanished,
        Fate::CrashBefore,
        Fate::CrashAfter,
    ]);
    prop::collection::vec(fate, 0..40)
}

fn definitions() -> impl Strategy<Value = SagaDefinition> {
    let step = (any::<bool>(), any::<bool>(), any::<bool>());
    let steps = prop::collection::vec(step, 1..5);
    (steps, any::<bool>(), any::<bool>()).prop_map(|(steps, has_on_success, has_on_failure)| {
        let step = |(n, (is_repeatable, can_undo, can_verify)): (usize, (bool, bool, bool))| {
            let name = format!("s{n}").into();
            let can_verify = can_verify && !is_repeatable;
            StepDefinition { name, is_repeatable, can_undo, can_verify, retries: Retries::AtMost(3) }
        };
        SagaDefinition { steps: steps.into_iter().enumerate().map(step).collect(), has_on_success, has_on_failure }
    })
}

proptest! {
    /// The log survives every crash, what the world did does not depend on it.
    #[test]
    fn whatever_fails_or_crashes_no_unrepeatable_step_happens_twice_and_every_uncertain_one_is_shown(
        definition in definitions(),
        fates in fates(),
    ) {
        let mut log = definition.begin();
        let mut fates = fates.into_iter();
        let mut happened = vec![0_u32; definition.steps.len()];
        let mut undone = vec![0_u32; definition.steps.len()];
        let mut called = 0;
        let ending = loop {
            called += 1;
            prop_assert!(called < 200, "it never ends: {log:?}");
            let action = match definition.next(&mut log) {
                NextAction::Do(action) => action,
                NextAction::End(ending) => break ending,
            };
            definition.begin_action(&mut log, action);
            let fate = fates.next().unwrap_or(Fate::Done);
            let has_effect = matches!(fate, Fate::Done | Fate::Lost | Fate::CrashAfter);
            if has_effect {
                match action {
                    ActionId::Step(n) => happened[n] += 1,
                    ActionId::Undo(n) => undone[n] += 1,
                    ActionId::Verify(_) | ActionId::OnSuccess | ActionId::OnFailure => {}
                }
            }
            let end = match (fate, action) {
                (Fate::CrashBefore | Fate::CrashAfter, _) => continue,
                (Fate::Done, ActionId::Verify(n)) => ActionEnd::Verified { happened: happened[n] > 0, answer: None },
                (Fate::Done, _) => ActionEnd::Done(None),
                (Fate::Refused, _) => ActionEnd::Failed,
                (Fate::Lost | Fate::Vanished, _) => ActionEnd::Unknown,
            };
            definition.record(&mut log, action, acted(end));
        };
        for (n, step) in definition.steps.iter().enumerate() {
            if !step.is_repeatable {
                prop_assert!(happened[n] <= 1, "step {n} happened {} times", happened[n]);
            }
            if happened[n] > 0 {
                let is_seen = matches!(log.steps[n].act.state, ActionState::Done | ActionState::Unknown);
                prop_assert!(is_seen, "step {n} happened, and the log says {:?}", log.steps[n].act.state);
            }
        }
        match ending {
            SagaEnding::Delivered | SagaEnding::CallbackFailed => {
                prop_assert!(happened.iter().all(|times| *times > 0), "{happened:?}");
                prop_assert_eq!(log.effect(), SagaEffect::Complete);
            }
            SagaEnding::Undone => prop_assert!(false, "no operator undid it"),
            SagaEnding::GivenUp { .. } | SagaEnding::Unknown { .. } => {
                let is_clean = happened.iter().zip(&undone).all(|(happened, undone)| *happened == 0 || *undone > 0);
                if log.effect() == SagaEffect::None {
                    prop_assert!(is_clean, "{happened:?} {undone:?} {log:?}");
                }
                prop_assert_ne!(log.effect(), SagaEffect::Complete);
            }
        }
    }
}
