//! What `rowhook replay-binlog` requests and what is reported to it: the documented JSON of the replay of a binlog range.

use serde::{Deserialize, Serialize};

use super::status::PositionView;

/// Which binlog range, and for which rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinlogReplayRequest {
    pub rule: String,
    /// As `--start` takes it, as is `to`.
    pub from: String,
    /// None: where the main stream is.
    pub to: Option<String>,
    /// Whether requests are only shown.
    pub dry_run: bool,
}

/// What is reported while it goes on; `Ended` or `Failed` comes last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinlogReplayReport {
    Begun {
        from: PositionView,
        to: PositionView,
        /// The rule sends several changes in one call; absent if not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gathers: bool,
    },
    Progress(BinlogReplayTotals),
    /// Of a dry run: one of the first requests, as a curl command with secrets masked.
    Request {
        curl: String,
    },
    Ended(BinlogReplayTotals),
    Failed {
        message: String,
    },
}

/// Sums so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogReplayTotals {
    /// Changes of the rule's tables that were read.
    pub read: u64,
    /// Those that the rule matches.
    pub matched: u64,
    pub delivered: u64,
    /// Dead letters that were made; in a dry run, deliveries for which no request can be made.
    pub dead: u64,
    /// Not sent: they wait in the store behind a dead letter of their key.
    #[serde(default)]
    pub blocked: u64,
    /// When the newest transaction read was committed.
    pub read_up_to: Option<String>,
}
