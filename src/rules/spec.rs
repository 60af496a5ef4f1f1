//! What a rule file says, key by key, before anything is compiled.
//!
//! In: a positioned tree. Out: one `RuleSpec` per rule with values in their own types; templates stay nodes. Every
//! unknown, missing or unusable key is a problem with its place; reading goes on after it, so that all show at once.

mod actions;
mod batch;
mod body;
mod call;
mod calls;
mod multipart;
mod retry;
mod sql;
mod targets;

pub(super) use actions::{ActionListSpec, ActionSpec, Retrying, StepSpec, WorkSpec};
pub(super) use batch::GatheringSpec;
pub(super) use body::BodySpec;
pub(super) use call::{CallSpec, HeaderSpec, header_problem};
pub(super) use multipart::{PartContentSpec, PartSpec};
pub(super) use retry::RetryByAnswerSpec;
pub(super) use sql::SqlSpec;
pub(super) use targets::TargetSpec;

use super::diagnostic::FilePlace;
use super::reader::{Members, NodeReader, member};
use super::rule::OrderBy;
use super::settings::{self, OnDeadLetter, RULE_KEYS, RuleSettings};
use super::vars::VARS;
use super::yaml::{Node, NodeKind};
use crate::change::Op;
use crate::pattern::{TablePattern, TablePatterns};

/// `vars` is taken out before.
const FILE_KEYS: [&str; 4] = ["table", "tables", VARS, "rules"];
/// A pattern says more in less.
const TABLES_MAX: usize = 256;
const NAME_CHARACTERS_MAX: usize = 64;

/// A whole file as written.
pub(super) struct FileSpec<'n> {
    pub tables: TablesSpec<'n>,
    pub rules: Vec<RuleSpec<'n>>,
}

/// The tables of the rules of a file.
pub(super) struct TablesSpec<'n> {
    pub patterns: TablePatterns,
    /// Where each of them stands.
    pub places: Vec<FilePlace>,
    /// The value of `table` or `tables`.
    pub node: &'n Node,
}

/// One rule as written.
pub(super) struct RuleSpec<'n> {
    pub name: String,
    /// All of it.
    pub node: &'n Node,
    pub on: Vec<Op>,
    pub changed: Vec<(String, FilePlace)>,
    pub when: Option<&'n Node>,
    pub order_by: OrderBy,
    /// Where the columns of `order_by` stand.
    pub order_by_places: Vec<FilePlace>,
    pub actions: ActionListSpec<'n>,
    pub settings: RuleSettings,
    pub gathering: GatheringSpec<'n>,
    pub redact: Vec<(String, FilePlace)>,
}

impl<'n> NodeReader<'_> {
    /// Reads a whole file; rules with problems are left out.
    pub(super) fn file(&mut self, root: &'n Node) -> Option<FileSpec<'n>> {
        let members = self.members(root, "a rule file", &FILE_KEYS)?;
        let tables = self.tables(root, members);
        let rules = match member(members, "rules").map(|node| (node, &node.kind)) {
            Some((_, NodeKind::List(items))) if !items.is_empty() => {
                items.iter().filter_map(|rule| self.rule(rule)).collect()
            }
            Some((node, _)) => {
                let message = format!(
                    "`rules` must be a list of at least one rule, not {}; a rule begins with `- name:`",
                    node.describe()
                );
                self.problem(node.at, message);
                Vec::new()
            }
            None => {
                self.problem(
                    root.at,
                    "`rules` is missing; write `rules:`, and below it a list whose items begin with `- name:`",
                );
                Vec::new()
            }
        };
        Some(FileSpec { tables: tables?, rules })
    }

    /// What `table` or `tables` names.
    fn tables(&mut self, root: &Node, members: Members<'n>) -> Option<TablesSpec<'n>> {
        let (key, node) = match (member(members, "table"), member(members, "tables")) {
            (Some(_), Some(node)) => {
                self.problem(node.at, "`table` and `tables` both say which rows are meant; leave one of them out");
                return None;
            }
            (Some(node), None) => ("table", node),
            (None, Some(node)) => ("tables", node),
            (None, None) => {
                self.problem(
                    root.at,
                    "`table` is missing; write `table: schema.table`, or `tables` with a list of them",
                );
                return None;
            }
        };
        let words = match (key, &node.kind) {
            ("table", NodeKind::List(_)) => {
                self.problem(node.at, "`table` is one table; a list of them is called `tables`");
                return None;
            }
            ("table", _) => vec![(self.string(node, key)?.to_owned(), node.at)],
            _ => self.words(node, key),
        };
        if words.len() > TABLES_MAX {
            let message = format!("`tables` holds at most {TABLES_MAX} names; write a pattern, as `shop.order_*`");
            self.problem(node.at, message);
        }
        let (mut patterns, mut places) = (Vec::new(), Vec::new());
        for (word, at) in words {
            match TablePattern::parse(&word) {
                Ok(pattern) if patterns.contains(&pattern) => self.problem(at, format!("`{word}` is named twice")),
                Ok(pattern) => {
                    patterns.push(pattern);
                    places.push(at);
                }
                Err(message) => self.problem(at, message),
            }
        }
        (!patterns.is_empty()).then_some(TablesSpec { patterns: TablePatterns(patterns), places, node })
    }

    pub(super) fn rule(&mut self, node: &'n Node) -> Option<RuleSpec<'n>> {
        let members = self.members(node, "a rule", &settings::names(RULE_KEYS))?;
        let get = |name| member(members, name);
        let name = match get("name") {
            Some(name) => self.name(name),
            None => {
                self.problem(node.at, "the rule has no `name`");
                None
            }
        };
        let mut on = get("on").map_or_else(|| vec![Op::Insert, Op::Update, Op::Delete], |on| self.ops(on));
        let changed = get("changed").map_or(Vec::new(), |node| self.words(node, "changed"));
        let (order_by, order_by_places) =
            get("order_by").map_or((OrderBy::PrimaryKey, vec![]), |node| self.order_by(node));
        let settings = self.rule_settings(members);
        let redact = get("redact").map_or(Vec::new(), |node| self.words(node, "redact"));
        let mut actions = self.actions(node, members);
        let gathering = self.gathering(members, &order_by, actions.as_ref().and_then(ActionListSpec::call));
        if let Some(call) = actions.as_mut().and_then(ActionListSpec::call_mut) {
            (call.item_line, call.array_wrap) = (gathering.line, gathering.wrap);
        }
        if let Some(actions) = actions.as_ref().filter(|actions| !actions.by_op.is_empty()) {
            on.clone_from(&actions.by_op);
        }
        self.contradictions_of_ops(members, &on, settings.on_dead_letter);
        self.contradictions_of_settings(members, &settings, &order_by);
        let (name, actions) = (name?, actions?);
        Some(RuleSpec {
            name,
            node,
            on,
            changed,
            when: get("when"),
            order_by,
            order_by_places,
            actions,
            settings,
            gathering,
            redact,
        })
    }

    /// Keys that make no sense beside the ops (`on`) of a rule.
    fn contradictions_of_ops(&mut self, members: Members<'n>, on: &[Op], on_dead_letter: OnDeadLetter) {
        let get = |name| member(members, name);
        if let Some(changed) = get("changed").filter(|_| !on.is_empty() && !on.contains(&Op::Update)) {
            self.problem(changed.at, "`changed` is about updates, which `on` leaves out");
        }
        if let (Some(node), true) = (get("on"), on.contains(&Op::Truncate)) {
            let is_hold_key = on_dead_letter == OnDeadLetter::HoldKey;
            let other = ["batch", "per", "coalesce"].into_iter().find(|key| get(key).is_some());
            if let Some(other) = is_hold_key.then_some("on_dead_letter: hold_key").or(other) {
                let message = format!(
                    "`truncate` is about a whole table and has no row or key, and `{other}` needs them; write another \
                     rule for it"
                );
                self.problem(node.at, message);
            }
        }
    }

    /// Settings that are right by themselves and make no sense beside other keys of the rule.
    fn contradictions_of_settings(&mut self, members: Members<'n>, settings: &RuleSettings, order_by: &OrderBy) {
        let get = |name| member(members, name);
        if let (Some(node), OnDeadLetter::HoldKey) = (get("on_dead_letter"), settings.on_dead_letter) {
            if *order_by == OrderBy::None {
                self.problem(node.at, "`on_dead_letter: hold_key` needs an order to keep, and `order_by` is `none`");
            }
            if let Some(key) = ["batch", "per", "coalesce", "redact"].into_iter().find(|key| get(key).is_some()) {
                let message = format!(
                    "`on_dead_letter: hold_key` and `{key}` don't go together in this version; leave one of them out"
                );
                self.problem(node.at, message);
            }
        }
        let fused = get("fuse").or(get("own_writes")).filter(|_| settings.fuse.is_some());
        if let (Some(node), OrderBy::None) = (fused, order_by) {
            self.problem(node.at, "`fuse` counts the changes of each ordering key, and `order_by: none` has no keys");
        }
    }

    fn name(&mut self, node: &Node) -> Option<String> {
        let name = self.string(node, "name")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_CHARACTERS_MAX || !name.chars().all(allowed) {
            let message = format!("`name` is 1 to {NAME_CHARACTERS_MAX} characters of `A-Z a-z 0-9 . _ -`");
            self.problem(node.at, message);
            return None;
        }
        Some(name.to_string())
    }

    fn ops(&mut self, node: &Node) -> Vec<Op> {
        const OPS: [&str; 5] = ["insert", "update", "delete", "read", "truncate"];
        let words = self.words(node, "on");
        let mut ops = Vec::new();
        for (word, at) in words {
            match Op::parse(&word) {
                Some(op) if ops.contains(&op) => self.problem(at, format!("`{word}` is named twice")),
                Some(op) => ops.push(op),
                None => self.unknown_word(at, "on", &OPS, None, &word),
            }
        }
        ops
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
                let words = ["primary_key", "table", "none"];
                self.unknown_word(node.at, "order_by", &words, Some("a list of columns"), word);
                OrderBy::PrimaryKey
            }
        };
        (order_by, Vec::new())
    }
}
