//! What a rule does for a change: `call`, `calls` or `steps`, with the callbacks at the end.
//!
//! In: the members of a rule. Out: an `ActionListSpec`: actions in their order, templates still nodes. Keys that make no sense
//! together are reported here, with their places.

use super::super::call::RetryOn;
use super::super::diagnostic::FilePlace;
use super::super::reader::{Members, NodeReader, member, place_of};
use super::super::settings::{Method, SuccessStatuses};
use super::super::yaml::{Node, NodeKind};
use super::call::CallSpec;
use super::calls::CALLS;
use super::retry::RetryByAnswerSpec;
use super::sql::SqlSpec;
use crate::change::Op;
use crate::retry::RetryPolicy;

const STEP_KEYS: [&str; 8] = ["name", "call", "sql", "undo", "idempotent", "verify", "retry", "retry_on"];
const ENDING_KEYS: [&str; 4] = ["call", "sql", "retry", "retry_on"];
const VERIFY_KEYS: [&str; 2] = ["call", "when"];
/// A rule with more steps would be a program, with a log as long.
const STEPS_MAX: usize = 32;
const STEP_NAME_CHARACTERS_MAX: usize = 64;
/// The name of the one step of a rule that has a `call`.
const CALL_NAME: &str = "call";

/// The actions of one rule as written.
pub(in crate::rules) struct ActionListSpec<'n> {
    pub steps: Vec<StepSpec<'n>>,
    pub on_success: Option<ActionSpec<'n>>,
    pub on_failure: Option<ActionSpec<'n>>,
    /// The rule has `call`.
    pub is_single: bool,
    /// The op of each step, of which a change takes one: the rule has `calls`.
    pub by_op: Vec<Op>,
    /// Which key makes it a saga; None: it is one call that may be repeated, without a saga.
    pub because: Option<&'static str>,
}

pub(in crate::rules) struct StepSpec<'n> {
    pub name: String,
    pub action: ActionSpec<'n>,
    pub is_repeatable: bool,
    pub undo: Option<ActionSpec<'n>>,
    pub verify: Option<VerifySpec<'n>>,
}

pub(in crate::rules) struct ActionSpec<'n> {
    pub work: WorkSpec<'n>,
    pub retrying: Retrying<'n>,
}

pub(in crate::rules) enum WorkSpec<'n> {
    Call(Box<CallSpec<'n>>),
    Sql(SqlSpec<'n>),
}

pub(in crate::rules) struct VerifySpec<'n> {
    pub action: ActionSpec<'n>,
    pub when: &'n Node,
}

/// When and how an action is tried again; inherited where it does not say.
#[derive(Clone)]
pub(in crate::rules) struct Retrying<'n> {
    pub retry: RetryPolicy,
    pub retry_on: RetryOn,
    pub by_answer: RetryByAnswerSpec<'n>,
}

impl<'n> ActionListSpec<'n> {
    /// The call of a rule that has `call`.
    pub fn call(&self) -> Option<&CallSpec<'n>> {
        match (self.is_single, self.steps.first().map(|step| &step.action.work)) {
            (true, Some(WorkSpec::Call(call))) => Some(call),
            _ => None,
        }
    }

    /// The same, to be completed.
    pub fn call_mut(&mut self) -> Option<&mut CallSpec<'n>> {
        match (self.is_single, self.steps.first_mut().map(|step| &mut step.action.work)) {
            (true, Some(WorkSpec::Call(call))) => Some(call),
            _ => None,
        }
    }
}

impl<'n> NodeReader<'_> {
    /// Reads the actions of a rule; None when there is a problem with them.
    pub(super) fn actions(&mut self, rule: &'n Node, members: Members<'n>) -> Option<ActionListSpec<'n>> {
        let get = |name| member(members, name);
        let written = ["steps", CALLS, "call"].into_iter();
        let written = written.filter_map(|name| Some((name, place_of(members, name)?)));
        match written.collect::<Vec<_>>()[..] {
            [] => self.problem(rule.at, "the rule has no `call`"),
            [(one, at), (other, _), ..] => {
                self.problem(at, format!("`{one}` and `{other}` both say what is called; leave one of them out"));
            }
            _ => {}
        }
        let retry = get("retry").map_or_else(RetryPolicy::default, |node| self.retry(node));
        let own_call = get("call").map(|node| (self.call(node), node));
        let calls = get(CALLS).map(|node| self.calls(node, members));
        let own_calls = own_call.iter().filter_map(|(call, _)| call.as_ref());
        let of_ops = calls.iter().flatten().flatten().map(|(_, call)| call);
        let success: Vec<_> = own_calls.chain(of_ops).map(|call| &call.settings.success).collect();
        let retry_on = get("retry_on").map_or_else(RetryOn::default, |node| self.retry_on(node, &success));
        let by_answer = get("retry_on").map(RetryByAnswerSpec::of).unwrap_or_default();
        let inherited = Retrying { retry, retry_on, by_answer };
        let (by_op, steps) = match (get("steps"), own_call, calls) {
            (Some(steps), ..) => (Vec::new(), self.steps(steps, &inherited)),
            (None, Some((own_call, node)), _) => {
                let (is_repeatable, verify) = self.repetition(None, node, &inherited);
                (Vec::new(), own_call.map(|call| vec![inherited.step(CALL_NAME, call, is_repeatable, verify)]))
            }
            (None, None, Some(calls)) => {
                let (by_op, steps) = calls.map(|calls| inherited.steps_of_ops(calls)).unzip();
                (by_op.unwrap_or_default(), steps)
            }
            (None, None, None) => (Vec::new(), None),
        };
        let mut ending = |key: &'static str| get(key).and_then(|node| self.ending(node, key, &inherited));
        let (on_success, on_failure) = (ending("on_success"), ending("on_failure"));
        let steps = steps?;
        let because = match steps.first() {
            _ if get("steps").is_some() => Some("steps"),
            _ if !by_op.is_empty() => None,
            Some(step) if !step.is_repeatable => Some("idempotent: false"),
            _ => ["on_success", "on_failure"].into_iter().find(|key| get(key).is_some()),
        };
        if let Some(because) = because {
            self.refuse_gathering(members, because);
        }
        let is_single = get("steps").is_none() && by_op.is_empty();
        Some(ActionListSpec { steps, on_success, on_failure, is_single, by_op, because })
    }

    /// Reports keys that can't be used with a saga: those for several changes in one call, and `redact`.
    fn refuse_gathering(&mut self, members: Members<'n>, because: &str) {
        for (name, node) in ["batch", "per", "coalesce", "redact"].map(|name| (name, member(members, name))) {
            if let Some(node) = node {
                let message =
                    format!("`{name}` and `{because}` don't go together in this version; leave one of them out");
                self.problem(node.at, message);
            }
        }
    }

    fn steps(&mut self, node: &'n Node, inherited: &Retrying<'n>) -> Option<Vec<StepSpec<'n>>> {
        let NodeKind::List(items) = &node.kind else {
            let message =
                format!("`steps` must be a list of steps, not {}; a step begins with `- name:`", node.describe());
            self.problem(node.at, message);
            return None;
        };
        if items.is_empty() || items.len() > STEPS_MAX {
            self.problem(node.at, format!("`steps` is a list of 1 to {STEPS_MAX} steps"));
            return None;
        }
        let mut names: Vec<(&str, FilePlace)> = Vec::new();
        for name in items.iter().filter_map(step_name) {
            let NodeKind::Scalar { text, .. } = &name.kind else { continue };
            match names.iter().find(|(known, _)| known == text) {
                Some((_, first)) => {
                    let message = format!("step `{text}` exists already, at line {}; names are unique", first.line);
                    self.problem(name.at, message);
                }
                None => names.push((text, name.at)),
            }
        }
        // All of them first: each may have problems to report.
        let steps: Vec<_> = items.iter().map(|item| self.step(item, inherited)).collect();
        steps.into_iter().collect()
    }

    fn step(&mut self, node: &'n Node, inherited: &Retrying<'n>) -> Option<StepSpec<'n>> {
        let members = self.members(node, "a step", &STEP_KEYS)?;
        let name = match member(members, "name") {
            Some(name) => self.step_name(name),
            None => {
                self.problem(node.at, "the step has no `name`");
                None
            }
        };
        let action = self.action(node, "a step", members, inherited);
        let own = action.as_ref().map_or(inherited, |action| &action.retrying).clone();
        let undo = member(members, "undo").and_then(|node| self.ending(node, "undo", &own));
        let (is_repeatable, verify) = match ["call", "sql"].into_iter().find_map(|key| member(members, key)) {
            Some(work) => self.repetition(Some(members), work, &own),
            None => (true, None),
        };
        Some(StepSpec { name: name?, action: action?, is_repeatable, undo, verify })
    }

    /// A step's name is a word of the expression language.
    fn step_name(&mut self, node: &'n Node) -> Option<String> {
        let name = self.string(node, "name")?;
        let is_word = |(i, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
        if !(1..=STEP_NAME_CHARACTERS_MAX).contains(&name.len()) || !name.chars().enumerate().all(is_word) {
            let message = format!(
                "`name` of a step is 1 to {STEP_NAME_CHARACTERS_MAX} of `A-Z a-z 0-9 _`, with no digit first, so that templates \
                 can say `steps.NAME`"
            );
            self.problem(node.at, message);
            return None;
        }
        Some(name.to_owned())
    }

    /// `call` or `sql` with the retries beside it.
    fn action(
        &mut self,
        node: &Node,
        what: &str,
        members: Members<'n>,
        inherited: &Retrying<'n>,
    ) -> Option<ActionSpec<'n>> {
        let get = |name| member(members, name);
        let work = match (get("call"), get("sql")) {
            (Some(_), Some(sql)) => {
                self.problem(sql.at, "`call` and `sql` both say what is done; leave one of them out");
                None
            }
            (Some(call), None) => self.call(call).map(Box::new).map(WorkSpec::Call),
            (None, Some(sql)) => self.sql(sql).map(WorkSpec::Sql),
            (None, None) => {
                self.problem(node.at, format!("{what} needs `call` or `sql`"));
                None
            }
        };
        let success: Vec<_> = work.as_ref().and_then(WorkSpec::success).into_iter().collect();
        let retry = get("retry").map(|node| self.retry(node));
        let retry_on = get("retry_on").map(|node| self.retry_on(node, &success));
        let mut retrying = inherited.clone();
        if let (Some(retry_on), Some(node)) = (retry_on, get("retry_on")) {
            retrying.retry_on = retry_on;
            retrying.by_answer = RetryByAnswerSpec::of(node);
            if let (Some(WorkSpec::Sql(_)), Some(node)) = (&work, retrying.by_answer.when.or(retrying.by_answer.wait)) {
                self.problem(node.at, "a statement has no answer, of which this could say something");
            }
        }
        retrying.retry = retry.unwrap_or(retrying.retry);
        Some(ActionSpec { work: work?, retrying })
    }

    /// An `undo`, `on_success` or `on_failure`: called again until it is known to be done.
    fn ending(&mut self, node: &'n Node, key: &'static str, inherited: &Retrying<'n>) -> Option<ActionSpec<'n>> {
        let members = self.members(node, &format!("`{key}`"), &ENDING_KEYS)?;
        for work in ["call", "sql"].into_iter().filter_map(|key| member(members, key)) {
            self.must_be_repeatable(work, key);
        }
        self.action(node, &format!("`{key}`"), members, inherited)
    }

    fn must_be_repeatable(&mut self, work: &'n Node, key: &str) {
        let message =
            |name: &str| format!("`{key}` is repeated until it is known to be done; `{name}` has no place in it");
        self.refuse_repetition(work, message);
    }

    /// Reports the keys that say whether a call may be repeated; `message` is about one of them.
    pub(super) fn refuse_repetition(&mut self, work: &'n Node, message: impl Fn(&str) -> String) {
        let NodeKind::Map(members) = &work.kind else { return };
        for name in ["idempotent", "verify"] {
            if let Some(node) = member(members, name) {
                self.problem(node.at, message(name));
            }
        }
    }

    /// `idempotent` and `verify`, which stand beside a step's `call` or `sql`, or in it.
    fn repetition(
        &mut self,
        step: Option<Members<'n>>,
        work: &'n Node,
        inherited: &Retrying<'n>,
    ) -> (bool, Option<VerifySpec<'n>>) {
        let within = if let NodeKind::Map(members) = &work.kind { &members[..] } else { &[] };
        let mut find = |key: &str| match (step.and_then(|step| member(step, key)), member(within, key)) {
            (Some(_), Some(second)) => {
                self.problem(second.at, format!("`{key}` stands beside it already; leave one of them out"));
                None
            }
            (found, other) => found.or(other),
        };
        let (idempotent, verify) = (find("idempotent"), find("verify"));
        let is_repeatable = idempotent.and_then(|node| self.truth(node, "idempotent")).unwrap_or(true);
        if let (true, Some(node)) = (is_repeatable, verify) {
            let message = "`verify` has a meaning only beside `idempotent: false`: what may be repeated is repeated";
            self.problem(node.at, message);
        }
        (is_repeatable, verify.and_then(|node| self.verify(node, inherited)))
    }

    fn verify(&mut self, node: &'n Node, inherited: &Retrying<'n>) -> Option<VerifySpec<'n>> {
        let members = self.members(node, "`verify`", &VERIFY_KEYS)?;
        let (Some(call_node), Some(when)) = (member(members, "call"), member(members, "when")) else {
            self.problem(
                node.at,
                "`verify` needs `call`, the query, and `when`, which says of its `answer` that it happened",
            );
            return None;
        };
        self.must_be_repeatable(call_node, "verify");
        let mut call = self.call(call_node)?;
        let NodeKind::Map(keys) = &call_node.kind else { return None };
        if ["method", "body", "format", "form", "multipart", "text"].iter().all(|key| member(keys, key).is_none()) {
            call.settings.method = Method::Get;
        }
        if member(keys, "success").is_none() {
            // That the thing asked for does not exist (404) is an answer, too.
            call.settings.success = SuccessStatuses(vec![(200, 299), (404, 404)]);
        }
        let retrying = inherited.clone();
        Some(VerifySpec { action: ActionSpec { work: WorkSpec::Call(Box::new(call)), retrying }, when })
    }
}

impl<'n> Retrying<'n> {
    pub(super) fn step(
        &self,
        name: &str,
        call: CallSpec<'n>,
        is_repeatable: bool,
        verify: Option<VerifySpec<'n>>,
    ) -> StepSpec<'n> {
        let action = ActionSpec { work: WorkSpec::Call(Box::new(call)), retrying: self.clone() };
        StepSpec { name: name.to_owned(), action, is_repeatable, undo: None, verify }
    }
}

impl WorkSpec<'_> {
    fn success(&self) -> Option<&SuccessStatuses> {
        match self {
            WorkSpec::Call(call) => Some(&call.settings.success),
            WorkSpec::Sql(_) => None,
        }
    }
}

fn step_name(step: &Node) -> Option<&Node> {
    match &step.kind {
        NodeKind::Map(members) => member(members, "name"),
        NodeKind::Scalar { .. } | NodeKind::List(_) => None,
    }
}
