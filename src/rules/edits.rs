//! Which rules can send a dead letter with a body that an operator has edited.
//!
//! In: a rule, and what a change did. Out: yes, or why not, for an operator. Pure.

use super::actions::Work;
use super::call::Body;
use super::rule::Rule;
use crate::change::Op;

impl Rule {
    /// Whether its call for changes of this op can have another body than the one that the rule makes. It is stored as it is, so that
    /// it must hold nothing that the rule keeps from the disk, and there must be one body for one delivery.
    ///
    /// # Errors
    /// Why not.
    pub fn takes_edited_body(&self, op: Op) -> Result<(), String> {
        let name = &self.name;
        if self.saga.is_some() {
            return Err(format!("rule {name} is a saga (`steps`, callbacks or `idempotent: false`)"));
        }
        if self.batch.is_some() {
            return Err(format!("rule {name} sends several changes in one call (`batch`)"));
        }
        if !self.redact.is_empty() {
            return Err(format!("rule {name} keeps columns from the disk (`redact`), and an edited body is stored"));
        }
        let call = match &self.action_for(op).work {
            Work::Call(call) => call,
            Work::Sql(_) => return Err(format!("rule {name} executes SQL and sends no body")),
        };
        match &call.body {
            Body::Empty => Err(format!("rule {name} sends no body")),
            Body::Multipart(_) => Err(format!("rule {name} sends `multipart`")),
            _ if call.hides_body => {
                Err(format!("the body of rule {name} holds a secret, and an edited body is stored"))
            }
            _ => Ok(()),
        }
    }
}
