//! Paused rules: paused by an operator or a dead letter, or before rows whose table lacks a column that they need.
//!
//! In: which rule to pause, and why. Out: streams that begin nothing, and what the store must know of that. A rule that lacks
//! a column is paused before the first such row, so that nothing of it is lost and no row becomes a dead letter (promise 7),
//! while what came before is still sent and the other rules go on (promise 5). That is not stored: after a restart the same
//! row pauses it again.

use std::sync::Arc;

use super::Streams;
use crate::change::Change;
use crate::clock::now_us;
use crate::delivery::Dispatcher;
use crate::pipeline::command::{CommandRefused, Paused};
use crate::pipeline::rule_stream::{DetachedStream, RuleStream};
use crate::position::Start;
use crate::store::PausedRule;

impl Streams {
    /// Starts no more attempts of a rule.
    pub fn pause(&mut self, rule: &str, why: String, dispatcher: &mut Dispatcher) -> Result<(), CommandRefused> {
        let no_such_rule = || CommandRefused::NoSuchRule { rule: rule.to_string() };
        let stream = self.rules.get_mut(rule).ok_or_else(no_such_rule)?;
        if stream.paused.is_some() {
            return Err(CommandRefused::AlreadyPaused { rule: rule.to_string() });
        }
        stream.paused = Some(Paused { since_us: now_us(), why });
        if let Some(detached) = &mut stream.detached {
            detached.feed.close();
        }
        dispatcher.set_paused(rule, true);
        tracing::info!(rule, "paused");
        Ok(())
    }

    /// Starts attempts of a rule again; with `from` it leaves out what lies before that position. Also retries a rule
    /// whose reader gave up, or whose table lacked a column.
    pub fn resume(
        &mut self,
        rule: &str,
        from: Option<Start>,
        dispatcher: &mut Dispatcher,
    ) -> Result<(), CommandRefused> {
        let no_such_rule = || CommandRefused::NoSuchRule { rule: rule.to_string() };
        let stream = self.rules.get_mut(rule).ok_or_else(no_such_rule)?;
        let stands = |detached: &DetachedStream| detached.error.is_some() || detached.lacks.is_some();
        let has_given_up = stream.detached.as_ref().is_some_and(stands);
        match (&mut stream.detached, from) {
            (None, Some(_)) => return Err(CommandRefused::NotDetached { rule: rule.to_string() }),
            (Some(detached), Some(from)) => {
                detached.feed.close();
                detached.start = Some(from);
            }
            (_, None) if stream.paused.is_none() && !has_given_up => {
                return Err(CommandRefused::NotPaused { rule: rule.to_string() });
            }
            (_, None) => {}
        }
        if let Some(detached) = &mut stream.detached {
            detached.error = None;
            detached.lacks = None;
        }
        stream.paused = None;
        dispatcher.set_paused(rule, false);
        tracing::info!(rule, "resumed");
        Ok(())
    }

    /// A rule was paused when the last process ended; one that is gone was not.
    pub fn restore_pause(&mut self, paused: PausedRule, dispatcher: &mut Dispatcher) {
        if let Some(stream) = self.rules.get_mut(&paused.rule) {
            dispatcher.set_paused(&paused.rule, true);
            stream.paused = Some(Paused { since_us: paused.since_us, why: paused.why });
        }
    }

    /// Says more exactly why a rule is paused. False: it is not, or for another reason.
    pub fn name_pause(&mut self, rule: &str, before: &str, why: &str) -> bool {
        let paused = self.rules.get_mut(rule).and_then(|stream| stream.paused.as_mut());
        match paused.filter(|paused| paused.why == before) {
            Some(paused) => paused.why = why.to_string(),
            None => return false,
        }
        true
    }

    /// Whether a rule is paused, other than for the lack of a column.
    pub fn is_paused(&self, rule: &str) -> bool {
        self.rules.get(rule).is_some_and(|stream| stream.paused.is_some())
    }

    /// All rules that are paused, as the store keeps them.
    pub fn paused_rules(&self) -> Vec<PausedRule> {
        let paused = |stream: &RuleStream| {
            let paused = stream.paused.as_ref()?;
            Some(PausedRule { rule: Arc::clone(&stream.name), since_us: paused.since_us, why: paused.why.clone() })
        };
        self.rules.iter().filter_map(paused).collect()
    }

    /// Pauses a detached rule, before this row of its own feed.
    pub(super) fn pause_at(&mut self, at: usize, change: &Change, lacks: &str) {
        let stream = &mut self.rules[at];
        let Some(detached) = &mut stream.detached else { return };
        // The next reader brings the row again.
        detached.feed.close();
        let (rule, begin) = (&*stream.name, change.transaction.begin());
        let why = format!("{lacks} in rows from {}:{} on", begin.file, begin.offset);
        tracing::error!(
            rule,
            why,
            "the rule is paused before these rows; earlier rows are still delivered. Change the rule so that it does not need \
             the column, or skip the rows: `rowhook resume {rule} --from latest`"
        );
        detached.lacks = Some(Paused { since_us: now_us(), why });
        self.has_moved = true;
    }
}
