//! What a rule file says, key by key, before anything is compiled.
//!
//! In: a positioned tree. Out: one `RuleSpec` per rule with values in their own types; templates stay nodes. Every
//! unknown, missing or unusable key is a problem with its place; reading goes on behind it, so that all show at once.

mod batch;
mod call;
mod plan;
mod retry;
mod sql;
mod targets;

pub(super) use batch::GatheringSpec;
pub(super) use call::CallSpec;
pub(super) use plan::{ActionSpec, PlanSpec, StepSpec, WorkSpec};
pub(super) use sql::SqlSpec;

use std::time::Duration;

use super::diagnostic::FilePlace;
use super::reader::{Members, NodeReader, member};
use super::yaml::{Node, NodeKind};
use super::{OnDeadLetter, OrderBy, Rate};
use crate::change::Op;
use crate::pattern::TablePattern;
use crate::position::Start;
use crate::suggest::did_you_mean;

const FILE_KEYS: [&str; 2] = ["table", "rules"];
const RULE_KEYS: [&str; 22] = [
    "name",
    "on",
    "changed",
    "when",
    "order_by",
    "call",
    "steps",
    "on_success",
    "on_failure",
    "retry",
    "retry_on",
    "on_dead_letter",
    "in_flight",
    "rate",
    "own_writes",
    "fuse",
    "start",
    "pin_binlog",
    "batch",
    "coalesce",
    "per",
    "redact",
];
/// Of a rule that matches what rowhook itself writes: a row that is written once a second is a loop.
const FUSE_OF_OWN_WRITES: Rate = Rate { count: 60, per: Duration::from_secs(60) };
const NAME_CHARACTERS_MAX: usize = 64;
const IN_FLIGHT_DEFAULT: usize = 32;
/// More at once to one API is a load test.
const IN_FLIGHT_MAX: u64 = 1024;

/// One rule as written.
pub(super) struct RuleSpec<'n> {
    pub name: String,
    pub at: FilePlace,
    pub on: Vec<Op>,
    pub changed: Vec<(String, FilePlace)>,
    pub when: Option<&'n Node>,
    pub order_by: OrderBy,
    /// Where the columns of `order_by` stand.
    pub order_by_places: Vec<FilePlace>,
    pub plan: PlanSpec<'n>,
    pub on_dead_letter: OnDeadLetter,
    pub in_flight: usize,
    pub gathering: GatheringSpec,
    pub rate: Option<Rate>,
    pub own_writes: bool,
    pub fuse: Option<Rate>,
    pub start: Option<Start>,
    pub pin_binlog: bool,
    pub redact: Vec<(String, FilePlace)>,
}

impl<'n> NodeReader<'_> {
    /// Reads a whole file; rules with problems are left out.
    pub(super) fn file(&mut self, root: &'n Node) -> Option<(TablePattern, FilePlace, Vec<RuleSpec<'n>>)> {
        let members = self.members(root, "a rule file", &FILE_KEYS)?;
        let table = match member(members, "table") {
            Some(node) => self.table(node),
            None => {
                self.problem(root.at, "`table` is missing; write `table: schema.table`");
                None
            }
        };
        let rules = match member(members, "rules").map(|node| (node, &node.kind)) {
            Some((_, NodeKind::List(items))) if !items.is_empty() => {
                items.iter().filter_map(|rule| self.rule(rule)).collect()
            }
            Some((node, _)) => {
                self.problem(node.at, format!("`rules` must be a list of at least one rule, not {}", node.describe()));
                Vec::new()
            }
            None => {
                self.problem(root.at, "`rules` is missing");
                Vec::new()
            }
        };
        let table_at = member(members, "table").map_or(root.at, |node| node.at);
        Some((table?, table_at, rules))
    }

    fn table(&mut self, node: &Node) -> Option<TablePattern> {
        let text = self.string(node, "table")?;
        TablePattern::parse(text).map_err(|message| self.problem(node.at, message)).ok()
    }

    fn rule(&mut self, node: &'n Node) -> Option<RuleSpec<'n>> {
        let members = self.members(node, "a rule", &RULE_KEYS)?;
        let get = |name| member(members, name);
        let name = match get("name") {
            Some(name) => self.name(name),
            None => {
                self.problem(node.at, "the rule has no `name`");
                None
            }
        };
        let on = get("on").map_or_else(|| vec![Op::Insert, Op::Update, Op::Delete], |on| self.operations(on));
        let changed = get("changed").map_or(Vec::new(), |node| self.words(node, "changed"));
        if let Some(changed) = get("changed").filter(|_| !on.is_empty() && !on.contains(&Op::Update)) {
            self.problem(changed.at, "`changed` is about updates, which `on` leaves out");
        }
        let (order_by, order_by_places) =
            get("order_by").map_or((OrderBy::PrimaryKey, vec![]), |node| self.order_by(node));
        let in_flight = match get("in_flight") {
            Some(node) => self.integer(node, "in_flight", 1, IN_FLIGHT_MAX).unwrap_or(1) as usize,
            None => IN_FLIGHT_DEFAULT,
        };
        let rate = get("rate").and_then(|node| self.rate(node));
        let start = get("start").and_then(|node| self.start(node));
        let pin_binlog = get("pin_binlog").and_then(|node| self.truth(node, "pin_binlog")).unwrap_or(false);
        let on_dead_letter = get("on_dead_letter").map_or(OnDeadLetter::Continue, |node| self.on_dead_letter(node));
        if let Some(node) = get("on_dead_letter")
            && (on_dead_letter, &order_by) == (OnDeadLetter::HoldKey, &OrderBy::None)
        {
            self.problem(node.at, "`on_dead_letter: hold_key` needs an order to keep, and `order_by` is `none`");
        }
        let redact = get("redact").map_or(Vec::new(), |node| self.words(node, "redact"));
        let plan = self.plan(node, members);
        let (own_writes, fuse) = self.own_writes(members, &order_by);
        let gathering = self.gathering(members, &order_by, plan.as_ref().and_then(PlanSpec::call));
        let together = ["batch", "per", "coalesce", "redact"].into_iter().find(|key| get(key).is_some());
        if let (Some(node), Some(key), OnDeadLetter::HoldKey) = (get("on_dead_letter"), together, on_dead_letter) {
            self.problem(
                node.at,
                format!(
                    "`on_dead_letter: hold_key` and `{key}` don't go together in this version; leave one of them out"
                ),
            );
        }
        if let (Some(on), true) = (get("on"), on.contains(&Op::Truncate)) {
            let is_hold_key = on_dead_letter == OnDeadLetter::HoldKey;
            let other = ["batch", "per", "coalesce"].into_iter().find(|key| get(key).is_some());
            if let Some(other) = is_hold_key.then_some("on_dead_letter: hold_key").or(other) {
                let message = format!(
                    "`truncate` is about a whole table and has no row or key, and `{other}` needs them; write another \
                     rule for it"
                );
                self.problem(on.at, message);
            }
        }
        let (when, at) = (get("when"), node.at);
        let (name, plan) = (name?, plan?);
        Some(RuleSpec {
            name,
            at,
            on,
            changed,
            when,
            order_by,
            order_by_places,
            plan,
            on_dead_letter,
            in_flight,
            gathering,
            rate,
            own_writes,
            fuse,
            start,
            pin_binlog,
            redact,
        })
    }

    /// Whether the rule sees what rowhook itself writes, and the fuse that stops a loop.
    fn own_writes(&mut self, members: Members<'n>, order_by: &OrderBy) -> (bool, Option<Rate>) {
        let get = |name| member(members, name);
        let own_writes = get("own_writes").and_then(|node| self.truth(node, "own_writes")).unwrap_or(false);
        let fuse = get("fuse").map(|node| self.rate(node));
        if let (Some(node), OrderBy::None) = (get("fuse").or(get("own_writes").filter(|_| own_writes)), order_by) {
            self.problem(node.at, "a fuse counts the changes of each ordering key, and `order_by: none` has no keys");
        }
        (own_writes, fuse.unwrap_or(own_writes.then_some(FUSE_OF_OWN_WRITES)))
    }

    fn name(&mut self, node: &Node) -> Option<String> {
        let name = self.string(node, "name")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_CHARACTERS_MAX || !name.chars().all(allowed) {
            let message = format!("a name is 1 to {NAME_CHARACTERS_MAX} characters of `A-Z a-z 0-9 . _ -`");
            self.problem(node.at, message);
            return None;
        }
        Some(name.to_string())
    }

    fn operations(&mut self, node: &Node) -> Vec<Op> {
        const OPERATIONS: [&str; 5] = ["insert", "update", "delete", "read", "truncate"];
        let words = self.words(node, "on");
        let mut operations = Vec::new();
        for (word, at) in words {
            match Op::parse(&word) {
                Some(op) if operations.contains(&op) => self.problem(at, format!("`{word}` is named twice")),
                Some(op) => operations.push(op),
                None => {
                    let hint = did_you_mean(&word, OPERATIONS);
                    self.problem(at, format!("unknown op `{word}`{hint}; known are {}", OPERATIONS.join(", ")));
                }
            }
        }
        operations
    }

    fn order_by(&mut self, node: &Node) -> (OrderBy, Vec<FilePlace>) {
        if let NodeKind::List(_) = &node.kind {
            let (columns, places) = self.words(node, "order_by").into_iter().unzip();
            return (OrderBy::Columns(columns), places);
        }
        let order_by = match self.string(node, "order_by") {
            Some("table") => OrderBy::Table,
            Some("none") => OrderBy::None,
            Some("primary_key") | None => OrderBy::PrimaryKey,
            Some(word) => {
                let hint = did_you_mean(word, ["primary_key", "table", "none"]);
                let message =
                    format!("`order_by` is primary_key, table, none or a list of columns, not `{word}`{hint}");
                self.problem(node.at, message);
                OrderBy::PrimaryKey
            }
        };
        (order_by, Vec::new())
    }

    fn start(&mut self, node: &Node) -> Option<Start> {
        let text = self.string(node, "start")?;
        Start::parse(text).map_err(|expected| self.problem(node.at, format!("`start: {text}`: {expected}"))).ok()
    }

    fn on_dead_letter(&mut self, node: &Node) -> OnDeadLetter {
        match self.string(node, "on_dead_letter") {
            Some("continue") | None => OnDeadLetter::Continue,
            Some("hold_key") => OnDeadLetter::HoldKey,
            Some("pause") => OnDeadLetter::Pause,
            Some(word) => {
                let hint = did_you_mean(word, ["continue", "hold_key", "pause"]);
                self.problem(node.at, format!("`on_dead_letter` is continue, hold_key or pause, not `{word}`{hint}"));
                OnDeadLetter::Continue
            }
        }
    }
}
