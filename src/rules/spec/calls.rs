//! `calls`: a call for each op, so that one rule keeps a copy of a row, in the order of its changes.
//!
//! In: the map below `calls`. Out: steps named after their ops, of which each change takes one; keys that make no sense beside them are
//! reported here.

use super::super::reader::{Members, NodeReader, member};
use super::super::yaml::Node;
use super::actions::{Retrying, StepSpec};
use super::call::CallSpec;
use crate::change::Op;

/// The key of a rule.
pub(super) const CALLS: &str = "calls";

/// The ops that have a row.
const OPS: [&str; 3] = ["insert", "update", "delete"];

/// A call and the op that it is for.
pub(super) type CallOfOp<'n> = (Op, CallSpec<'n>);

impl<'n> NodeReader<'_> {
    /// None when there is a problem with them.
    pub(super) fn calls(&mut self, node: &'n Node, rule: Members<'n>) -> Option<Vec<CallOfOp<'n>>> {
        if let Some(on) = member(rule, "on") {
            self.problem(on.at, "`calls` says which ops match; leave `on` out");
        }
        for key in ["batch", "per", "coalesce", "on_success", "on_failure"] {
            if let Some(other) = member(rule, key) {
                let message = format!("`{key}` and `{CALLS}` don't go together in this version; leave one of them out");
                self.problem(other.at, message);
            }
        }
        let members = self.members(node, "`calls`", &OPS)?;
        if members.is_empty() {
            self.problem(node.at, "`calls` has no call; its keys are insert, update, delete");
            return None;
        }
        let message = |_: &str| {
            "a call of `calls` is repeated until it is known to be done; `idempotent` and `verify` belong to a rule with `call` or `steps`"
                .to_owned()
        };
        // All of them first: each may have problems to report.
        let calls: Vec<_> = members
            .iter()
            .map(|(key, node)| {
                let call = self.call(node);
                self.refuse_repetition(node, message);
                (Op::parse(&key.text), call)
            })
            .collect();
        calls.into_iter().map(|(op, call)| Some((op?, call?))).collect()
    }
}

impl<'n> Retrying<'n> {
    /// A step for each call, with the ops that they are for.
    pub(super) fn steps_of_ops(&self, calls: Vec<CallOfOp<'n>>) -> (Vec<Op>, Vec<StepSpec<'n>>) {
        calls.into_iter().map(|(op, call)| (op, self.step(op.as_str(), call, true, None))).unzip()
    }
}
