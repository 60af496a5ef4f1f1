//! Rules that need a column that their table lacks.
//!
//! In: the tables as the server has them when reading begins; rows of a table that a rule can't work on. Out: a start that is
//! refused, where a rule is new or asks for more than before; else rules that are paused before the first such row, so that
//! nothing of it is lost and no row becomes a dead letter (promise 7), while what came before still goes out and the other
//! rules go on (promise 5). That a rule is paused so is not stored: after a restart the same row pauses it again.

use super::command::Paused;
use super::writes::Written;
use super::{Error, Pipeline};
use crate::change::Change;
use crate::clock::now_us;
use crate::rules::{IfMissing, Judgement, Objection, Rule};
use crate::schema::NamedTables;
use crate::store::{self, RuleNeeds, Saved};

/// What rules needed of tables when they went to work, as far as the store knows.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// As they are stored.
    recorded: Vec<RuleNeeds>,
    /// Rules that are at work since a version that did not note what they need; None: all are.
    of_earlier_version: Option<Vec<std::sync::Arc<str>>>,
    /// The rules were held against the tables.
    is_judged: bool,
}

impl Needs {
    pub(super) fn of(saved: &Saved) -> Needs {
        let of_earlier_version = match &saved.checkpoint {
            Some(checkpoint) if saved.needs.is_empty() => checkpoint.known.clone(),
            Some(_) | None => Some(Vec::new()),
        };
        Needs { recorded: saved.needs.clone(), of_earlier_version, is_judged: false }
    }

    /// Whether the rule was at work with what it needs now. Earlier versions took every condition, whatever the types were.
    fn knows(&self, rule: &Rule, is_of_types: bool) -> bool {
        let recorded = self.recorded.iter().any(|known| *known.rule == *rule.name && known.needs == rule.needs());
        recorded
            || !is_of_types
                && self.of_earlier_version.as_ref().is_none_or(|names| names.iter().any(|name| **name == *rule.name))
    }
}

impl Pipeline {
    /// Holds the rules against the tables as they are when the first connection is made.
    pub(super) fn judge(&mut self, tables: &NamedTables) -> Result<(), Error> {
        if std::mem::replace(&mut self.needs.is_judged, true) {
            return Ok(());
        }
        let mut if_missing = IfMissing::Refuse;
        if let Some(reading) = &mut self.reading {
            if_missing = reading.if_missing;
            reading.settings.names_tables = false;
        }
        let rules = self.main.rules();
        let is_at_work =
            |said: &Objection| rules.rule(&said.rule).is_some_and(|rule| self.needs.knows(rule, said.is_of_types));
        Judgement::of(rules.against(tables, if_missing), is_at_work).take().map_err(Error::Rules)?;
        self.record_needs();
        Ok(())
    }

    /// The rules of now go to work.
    pub(super) fn record_needs(&mut self) {
        let needs = |rule: &std::sync::Arc<Rule>| RuleNeeds { rule: rule.name.as_str().into(), needs: rule.needs() };
        let needs: Vec<RuleNeeds> = self.main.rules().rules().iter().map(needs).collect();
        if self.needs.recorded == needs {
            return;
        }
        self.needs.recorded.clone_from(&needs);
        let written = self.store.write(store::Write { needs: Some(needs), ..store::Write::default() });
        self.writes.push(Box::pin(async move { written.await.map(|_| Written::Answered) }));
    }

    /// Pauses the rules of the change's matches that can't work on its table: where the main stream stands, before this
    /// row, which goes on without them.
    pub(super) fn part_with_lacking(&mut self, change: &Change) {
        for n in 0..self.matches.len() {
            let found = &self.matches[n];
            let (Some(lacks), Some(at)) = (found.lacks.clone(), self.streams.find(&found.rule.name)) else { continue };
            if self.streams.list[at].takes(change) && self.leave_main_stream(at).is_some() {
                self.pause_at(at, change, &lacks);
            }
        }
    }

    /// Pauses a rule that is behind, before this row of its own feed.
    pub(super) fn pause_at(&mut self, at: usize, change: &Change, lacks: &str) {
        let stream = &mut self.streams.list[at];
        let Some(behind) = &mut stream.behind else { return };
        // The next reader brings the row again.
        behind.feed.close();
        let (rule, begin) = (&*stream.name, change.transaction.begin());
        let why = format!("{lacks} in rows from {}:{} on", begin.file, begin.offset);
        tracing::error!(
            rule,
            why,
            "the rule is paused before these rows; earlier rows are still delivered. Change the rule so that it does not need \
             the column, or skip the rows: `rowhook resume {rule} --from latest`"
        );
        behind.lacks = Some(Paused { since_us: now_us(), why });
        self.has_moved = true;
    }
}
