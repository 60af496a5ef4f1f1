//! What a rule says about several changes in one call: `batch`, `coalesce` and `per`.
//!
//! In: the members of a rule. Out: a `GatheringSpec` within its limits; combinations that make no sense are problems
//! with their places.

use std::time::Duration;

use super::super::batch::{Batch, BatchFormat, ItemError, ItemVerdict, Results, Until};
use super::super::reader::{NodeReader, member, place_of};
use super::super::rule::OrderBy;
use super::super::yaml::{Key, Node, NodeKind};
use super::{BodySpec, CallSpec};

const BATCH_KEYS: [&str; 7] = ["size", "bytes", "wait", "format", "wrap", "line", "results"];
const COALESCE_KEYS: [&str; 1] = ["within"];
const RESULTS_KEYS: [&str; 4] = ["items", "status", "error", "retry"];
const SIZE_DEFAULT: usize = 100;
/// A transaction is a unit: more rows of it fit into one call before it is split.
const SIZE_DEFAULT_OF_TRANSACTION: usize = 1000;
const SIZE_MAX: u64 = 10_000;
const BYTES_DEFAULT: usize = 1 << 20;
const BYTES_MIN: usize = 1 << 10;
const BYTES_MAX: usize = 32 << 20;
const WAIT_DEFAULT: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(60);
const WITHIN_MIN: Duration = Duration::from_millis(100);
const WITHIN_MAX: Duration = Duration::from_secs(10 * 60);

const FORMATS: &[(&str, BatchFormat)] =
    &[("array", BatchFormat::Array), ("ndjson", BatchFormat::Ndjson), ("lines", BatchFormat::Lines)];

/// How changes of a rule come together.
#[derive(Default)]
pub(in crate::rules) struct GatheringSpec<'n> {
    pub batch: Option<Batch>,
    pub coalesce: Option<Duration>,
    /// What stands before each body, in a batch of lines.
    pub line: Option<&'n Node>,
    /// What stands around an array: the name of its member, or an object.
    pub wrap: Option<&'n Node>,
    /// The key by which one call carries several changes, for messages.
    pub key: &'static str,
}

impl NodeReader<'_> {
    pub(super) fn gathering<'n>(
        &mut self,
        members: &'n [(Key, Node)],
        order_by: &OrderBy,
        call: Option<&CallSpec<'n>>,
    ) -> GatheringSpec<'n> {
        let get = |name| member(members, name);
        let per_transaction = get("per").is_some_and(|node| self.per(node));
        let key = if get("batch").is_some() { "batch" } else { "per" };
        let batch = match get("batch") {
            Some(node) => self.batch(node, per_transaction, order_by),
            None => per_transaction.then_some(Batch {
                size: SIZE_DEFAULT_OF_TRANSACTION,
                bytes: BYTES_DEFAULT,
                until: Until::TransactionEnd,
                format: BatchFormat::Array,
                results: None,
            }),
        };
        let coalesce = get("coalesce").and_then(|node| self.coalesce(node));
        if let Some(node) = get("coalesce") {
            if *order_by == OrderBy::None {
                let message =
                    "`coalesce` keeps the latest change of each ordering key, and `order_by: none` has no keys";
                self.problem(node.at, message);
            } else if per_transaction {
                let message = "`coalesce` merges changes of several transactions, which `per: transaction` keeps apart; \
                               leave one of them out";
                self.problem(node.at, message);
            }
        }
        if let (Some(_), Some(call)) = (&batch, call)
            && matches!(call.body, BodySpec::Default)
            && call.settings.method.is_bodiless()
            && let Some(at) = place_of(members, key)
        {
            let method = call.settings.method.as_str();
            self.problem(at, format!("`{key}` sends an array as body, and this {method} has none; use POST"));
        }
        if let (Some(_), Some(call), Some(at)) = (&batch, call, place_of(members, key)) {
            let is_of_lines = batch.as_ref().is_some_and(|batch| batch.format == BatchFormat::Lines);
            match (call.body.key_of_other_than_json(), is_of_lines) {
                (Some("text"), true) | (None, false) => {}
                (_, true) => {
                    self.problem(at, "a batch with `format: lines` joins texts; write what is on a line as `text`")
                }
                (Some(other), false) => {
                    self.problem(at, format!("`{key}` joins JSON bodies, and `{other}` is none; write `body`"));
                }
            }
        }
        let of_batch = |name| match get("batch").map(|node| &node.kind) {
            Some(NodeKind::Map(members)) => member(members, name),
            _ => None,
        };
        let (line, wrap) = (of_batch("line"), of_batch("wrap"));
        if let (Some(node), Some(call)) = (wrap, call)
            && call.body.is_cloud_event()
        {
            let message = "`wrap` would make another document of a batch of CloudEvents; leave one of them out";
            self.problem(node.at, message);
        }
        GatheringSpec { batch, coalesce, line, wrap, key }
    }

    fn per(&mut self, node: &Node) -> bool {
        self.word(node, "per", &[("transaction", ())]).is_some()
    }

    fn batch(&mut self, node: &Node, per_transaction: bool, order_by: &OrderBy) -> Option<Batch> {
        let members = self.members(node, "`batch`", &BATCH_KEYS)?;
        let get = |name| member(members, name);
        let size_default = if per_transaction { SIZE_DEFAULT_OF_TRANSACTION } else { SIZE_DEFAULT };
        let size = get("size").and_then(|node| self.integer(node, "size", 1, SIZE_MAX));
        let bytes = get("bytes").and_then(|node| self.bytes(node));
        let wait = get("wait").and_then(|node| self.duration_from(Duration::ZERO, node, "wait", WAIT_MAX));
        if let (true, Some(node)) = (per_transaction, get("wait")) {
            let message =
                "`wait` has no meaning with `per: transaction`: a call is sent when its transaction has ended";
            self.problem(node.at, message);
        }
        let format = get("format").map_or(Some(BatchFormat::Array), |node| self.word(node, "format", FORMATS));
        if let (Some(node), Some(BatchFormat::Array | BatchFormat::Lines)) = (get("line"), format) {
            self.problem(node.at, "`line` stands before each body of a batch with `format: ndjson` only");
        }
        if let Some(node) = get("wrap") {
            self.wrap(node, format);
        }
        let results = get("results").and_then(|node| self.results(node));
        if let (Some(node), OrderBy::Table) = (get("results"), order_by) {
            let message = "with `results` a call holds each ordering key once, which for `order_by: table` is a single \
                           row; order by a key";
            self.problem(node.at, message);
        }
        Some(Batch {
            size: size.map_or(size_default, |size| size as usize),
            bytes: bytes.unwrap_or(BYTES_DEFAULT),
            format: format.unwrap_or_default(),
            until: if per_transaction { Until::TransactionEnd } else { Until::Wait(wait.unwrap_or(WAIT_DEFAULT)) },
            results,
        })
    }

    /// Checks the shape of what stands around the array.
    fn wrap(&mut self, node: &Node, format: Option<BatchFormat>) {
        if let Some(BatchFormat::Ndjson | BatchFormat::Lines) = format {
            self.problem(node.at, "`wrap` stands around the array of a batch with `format: array` only");
        }
        let is_sound = match &node.kind {
            NodeKind::Scalar { .. } => {
                self.string(node, "wrap").is_some_and(|name| !name.is_empty() && !name.contains("{{"))
            }
            NodeKind::Map(_) => empty_lists(node) == 1,
            NodeKind::List(_) => false,
        };
        if !is_sound {
            let message = "`wrap` is the name of the member that holds the changes, as in `wrap: inputs`, or an object with one \
                           empty list in their place, as in `wrap: {source: shop, events: []}`";
            self.problem(node.at, message);
        }
    }

    fn coalesce(&mut self, node: &Node) -> Option<Duration> {
        let members = self.members(node, "`coalesce`", &COALESCE_KEYS)?;
        let Some(node) = member(members, "within") else {
            self.problem(node.at, "`coalesce` has no `within`; write `coalesce: {within: 5s}`");
            return None;
        };
        self.duration_from(WITHIN_MIN, node, "within", WITHIN_MAX)
    }

    fn bytes(&mut self, node: &Node) -> Option<usize> {
        let text = self.string(node, "bytes")?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match text[digits..].trim() {
            "" | "B" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            _ => None,
        };
        let bytes = text[..digits].parse::<usize>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        let bytes = bytes.filter(|bytes| (BYTES_MIN..=BYTES_MAX).contains(bytes));
        if bytes.is_none() {
            self.problem(node.at, "`bytes` must be between `1 KiB` and `32 MiB`, written like these");
        }
        bytes
    }

    fn results(&mut self, node: &Node) -> Option<Results> {
        let members = self.members(node, "`results`", &RESULTS_KEYS)?;
        let mut pointer = |name: &'static str| member(members, name).map(|node| self.pointer(node, name));
        let (items, status, error) = (pointer("items"), pointer("status"), pointer("error"));
        let retry = member(members, "retry");
        if let (Some(node), None) = (retry, &error) {
            self.problem(
                node.at,
                "`retry` of `results` lists errors, and there is no `error` that says where they are",
            );
        }
        let retry = retry.map_or(Vec::new(), |node| self.words(node, "retry"));
        match (items, status, error) {
            (Some(items), Some(status), None) => Some(Results { items: items?, verdict: ItemVerdict::Status(status?) }),
            (Some(items), status, Some(error)) => {
                let status = status.map_or(Some(None), |status| status.map(Some))?;
                let retry = retry.into_iter().map(|(word, _)| word).collect();
                let verdict = ItemVerdict::Error(ItemError { error: error?, status, retry });
                Some(Results { items: items?, verdict })
            }
            _ => {
                let message = "`results` needs `items` and `status`, `error` or both, as in \
                               `{items: /results, status: /status}`";
                self.problem(node.at, message);
                None
            }
        }
    }

    /// RFC 6901; the empty one is the whole document.
    fn pointer(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.string(node, what)?;
        if !text.is_empty() && !text.starts_with('/') {
            let message = format!("`{what}` is a JSON pointer: it begins with `/`, or is `\"\"` for the whole answer");
            self.problem(node.at, message);
            return None;
        }
        Some(text.to_string())
    }
}

fn empty_lists(node: &Node) -> usize {
    match &node.kind {
        NodeKind::Scalar { .. } => 0,
        NodeKind::List(items) if items.is_empty() => 1,
        NodeKind::List(items) => items.iter().map(empty_lists).sum(),
        NodeKind::Map(members) => members.iter().map(|(_, member)| empty_lists(member)).sum(),
    }
}

#[cfg(test)]
mod tests;
