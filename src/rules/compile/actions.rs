//! Compiles the actions of a rule.
//!
//! In: an `ActionListSpec`. Out: actions and their saga; or problems at their places, also where a template reads something
//! that does not exist when it is rendered: a later step, or an answer that is not kept.

use std::sync::Arc;

use super::super::actions::{Action, RetryByAnswer, Saga, SagaStep, Sql, Verify, Work};
use super::super::call::Body;
use super::super::proxy::ProxyChoice;
use super::super::spec::{ActionListSpec, ActionSpec, RetryByAnswerSpec, Retrying, SqlSpec, StepSpec, WorkSpec};
use super::super::target::Target;
use super::super::yaml::Node;
use super::Compiler;
use super::null_places::Holder;
use crate::suggest::did_you_mean;
use crate::template::{Read, SagaUse, TextTemplate};

/// What the template that is being compiled is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplatePart {
    /// `when`.
    Decision,
    /// The n-th step.
    Step(usize),
    Undo(usize),
    /// The query about a step.
    Verify(usize),
    /// Whether the step happened, by the query's answer.
    Verdict(usize),
    /// What an answer says of success and of another attempt.
    Answer,
    OnSuccess,
    OnFailure,
}

/// What is known about a step when templates are compiled.
#[derive(Debug)]
pub(super) struct KnownStep {
    name: String,
    is_sql: bool,
    /// Whether a template reads its answer.
    is_read: bool,
}

impl Compiler<'_> {
    /// The actions of a rule and how they follow one another. `rule` is its name.
    pub(super) fn actions(&mut self, spec: &ActionListSpec, rule: &str) -> Option<(Vec<Action>, Option<Saga>)> {
        let known = |step: &StepSpec| KnownStep {
            name: step.name.clone(),
            is_sql: match step.action.work {
                WorkSpec::Call(_) => false,
                WorkSpec::Sql(_) => true,
            },
            is_read: false,
        };
        self.steps = if spec.because.is_some() { spec.steps.iter().map(known).collect() } else { Vec::new() };
        let mut actions = Vec::new();
        // All of them first: each may have flaws to report.
        let steps: Vec<_> = (0..spec.steps.len()).map(|n| self.step(spec, n, rule, &mut actions)).collect();
        let on_success = self.ending(TemplatePart::OnSuccess, spec.on_success.as_ref(), rule, &mut actions);
        let on_failure = self.ending(TemplatePart::OnFailure, spec.on_failure.as_ref(), rule, &mut actions);
        let (steps, on_success, on_failure): (Vec<SagaStep>, _, _) =
            (steps.into_iter().collect::<Option<_>>()?, on_success?, on_failure?);
        if !spec.by_op.is_empty() {
            self.must_call_one_target(spec, &actions)?;
        }
        for (known, step) in self.steps.iter().zip(&steps) {
            actions[step.action].keeps_answer = known.is_read;
        }
        let saga =
            spec.because.map(|_| Saga::new(steps, &actions, spec.is_single).with_callbacks(on_success, on_failure));
        Some((actions, saga))
    }

    /// What waits for a target, and at what rate, is counted by rule and target.
    fn must_call_one_target(&mut self, spec: &ActionListSpec, actions: &[Action]) -> Option<()> {
        let first = &actions.first()?.target.origin;
        let (n, other) = match actions.iter().enumerate().find(|(_, action)| action.target.origin != *first) {
            Some((n, action)) => (n, &action.target.origin),
            None => return Some(()),
        };
        if let WorkSpec::Call(call) = &spec.steps[n].action.work {
            let message = format!(
                "`calls` go to one target, and this one goes to {other}, another to {first}; write a rule for each"
            );
            self.reader.problem(call.url.at, message);
        }
        None
    }

    fn step(&mut self, spec: &ActionListSpec, n: usize, rule: &str, actions: &mut Vec<Action>) -> Option<SagaStep> {
        let step = &spec.steps[n];
        if let Some(op) = spec.by_op.get(n) {
            self.ops = vec![*op];
        }
        let action = self.action(TemplatePart::Step(n), &step.action, rule);
        let undo = self.ending(TemplatePart::Undo(n), step.undo.as_ref(), rule, actions);
        let verify = match &step.verify {
            Some(verify) => {
                let query = self.action(TemplatePart::Verify(n), &verify.action, rule);
                self.part = TemplatePart::Verdict(n);
                let when = self.condition(verify.when, rule);
                Some(query.zip(when)?)
            }
            None => None,
        };
        let (action, undo) = (action?, undo?);
        let verify = verify.map(|(query, when)| {
            actions.push(Action { keeps_answer: true, ..query });
            Verify { action: actions.len() - 1, when }
        });
        actions.push(Action { is_repeatable: step.is_repeatable, ..action });
        Some(SagaStep { name: step.name.as_str().into(), action: actions.len() - 1, undo, verify })
    }

    /// Adds an action, if there is one; its index in `actions`.
    fn ending(
        &mut self,
        part: TemplatePart,
        spec: Option<&ActionSpec>,
        rule: &str,
        actions: &mut Vec<Action>,
    ) -> Option<Option<usize>> {
        let Some(spec) = spec else { return Some(None) };
        actions.push(self.action(part, spec, rule)?);
        Some(Some(actions.len() - 1))
    }

    fn action(&mut self, part: TemplatePart, spec: &ActionSpec, rule: &str) -> Option<Action> {
        self.part = part;
        let default_body = match part {
            TemplatePart::OnSuccess | TemplatePart::OnFailure => Body::Outcome,
            _ => Body::Change,
        };
        let (work, target) = match &spec.work {
            WorkSpec::Call(call) => {
                let call = self.call(call, default_body, rule)?;
                let target =
                    call.url.origin().map_or_else(|| Target::of_chosen_hosts(rule), |origin| Target::of(&origin));
                (Work::Call(Arc::new(call)), target)
            }
            WorkSpec::Sql(sql) => (Work::Sql(Arc::new(self.sql(sql)?)), Target::of_write_url()),
        };
        let Retrying { retry, retry_on, by_answer } = spec.retrying.clone();
        self.part = TemplatePart::Answer;
        let retry_by_answer = match work {
            Work::Call(_) => self.retry_by_answer(by_answer, rule)?,
            Work::Sql(_) => RetryByAnswer::default(),
        };
        Some(Action {
            work,
            target: Arc::new(target),
            retry,
            retry_on,
            retry_by_answer,
            token_proxy: ProxyChoice::AsSet,
            is_repeatable: true,
            keeps_answer: false,
        })
    }

    fn retry_by_answer(&mut self, spec: RetryByAnswerSpec, rule: &str) -> Option<RetryByAnswer> {
        let when = match spec.when {
            Some(node) => Some(self.condition(node, rule)?),
            None => None,
        };
        let wait = match spec.wait {
            Some(node) => Some(self.text_by(node, TextTemplate::compile_expression, Holder::WAIT)?),
            None => None,
        };
        Some(RetryByAnswer { when, wait })
    }

    fn sql(&mut self, spec: &SqlSpec) -> Option<Sql> {
        self.first_sql.get_or_insert(spec.at);
        let values: Vec<_> = spec
            .params
            .iter()
            .map(|(name, node)| Some((name.as_str().into(), self.body(node, Holder::PARAMS)?)))
            .collect();
        let params = values.into_iter().map(|pair| pair.map(|(name, value)| (name, Arc::new(value))));
        Some(Sql {
            statement: spec.statement.as_str().into(),
            written: spec.written.into(),
            params: params.collect::<Option<_>>()?,
            settings: spec.settings.clone(),
        })
    }

    /// Checks what a template reads of the saga against what is there when it is rendered.
    pub(super) fn reads_saga(&mut self, node: &Node, reads: &[SagaUse]) -> Option<()> {
        let mut sound = Some(());
        for SagaUse { what, line, column } in reads {
            if let Some(problem) = self.unreadable(what) {
                let at = node.place_within(self.reader.text, *line, *column);
                self.reader.problem(at, problem);
                sound = None;
            }
        }
        sound
    }

    fn unreadable(&mut self, read: &Read) -> Option<String> {
        let (name, member) = match read {
            Read::Answer if matches!(self.part, TemplatePart::Verdict(_) | TemplatePart::Answer) => return None,
            Read::Answer => {
                return Some("`answer` is there in the `when` of `verify`, `success` and `retry_on` only".to_owned());
            }
            Read::Outcome if matches!(self.part, TemplatePart::OnSuccess | TemplatePart::OnFailure) => return None,
            Read::Outcome => return Some("`outcome` is there in `on_success` and `on_failure` only".to_owned()),
            Read::Step { name, member } => (name, member),
        };
        if self.part == TemplatePart::Answer {
            return Some("what an answer means is read from `answer`, and not from `steps`".to_owned());
        }
        if self.part == TemplatePart::Decision {
            return Some("`when` decides before any step is called, so that it can't read `steps`".to_owned());
        }
        if self.steps.is_empty() {
            return Some("this rule has no steps to read; `steps` is there in rules with `steps:`".to_owned());
        }
        let names = || self.steps.iter().map(|step| step.name.as_str());
        let Some(place) = names().position(|known| known == name) else {
            let known: Vec<&str> = names().collect();
            return Some(format!(
                "there is no step `{name}`{}; known are {}",
                did_you_mean(name, names()),
                known.join(", ")
            ));
        };
        let own = |n: usize| &self.steps[n].name;
        match self.part {
            TemplatePart::Step(n) if place == n => {
                return Some(format!("step `{name}` reads its own answer, which comes after its call"));
            }
            TemplatePart::Step(n) if place > n => {
                return Some(format!("step `{}` reads step `{name}`, which comes later", own(n)));
            }
            TemplatePart::Undo(n) if place > n => {
                return Some(format!("the undo of step `{}` reads step `{name}`, which comes later", own(n)));
            }
            TemplatePart::Verify(n) | TemplatePart::Verdict(n) if place >= n => {
                return Some(format!(
                    "the query about step `{}` reads step `{name}`, of which nothing is known then",
                    own(n)
                ));
            }
            _ => {}
        }
        let step = &mut self.steps[place];
        if step.is_sql && ["json", "text", "headers"].contains(&member.as_str()) {
            return Some(format!("step `{name}` is a statement, which has no `{member}`"));
        }
        step.is_read |= member != "state";
        None
    }
}
