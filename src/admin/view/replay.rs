//! The records of a replay: what is asked for, and what is reported while it goes on.
//!
//! In: outcomes of deliveries. Out: plain records for the control socket and `--json`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Selection;

/// The request of `replay`, and of its dry run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    pub selection: Selection,
    /// No more letters are sent in that time, evenly.
    #[serde(default)]
    pub rate: Option<SendRate>,
    /// At most so many letters, the oldest.
    #[serde(default)]
    pub limit: Option<u64>,
    /// No more letters are sent after so many failed in a row.
    #[serde(default)]
    pub failures_in_a_row_max: Option<u64>,
}

/// So many letters in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRate {
    /// At least 1.
    pub count: u32,
    pub per_seconds: u64,
}

impl SendRate {
    /// Between two letters.
    pub fn interval(self) -> Duration {
        Duration::from_secs(self.per_seconds) / self.count.max(1)
    }
}

/// What a replay reports while it goes on; `Ended` or `Failed` comes last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayReport {
    /// So many letters fit the selection.
    Started {
        letters: u64,
    },
    Progress(ReplayProgress),
    Ended(Totals),
    /// The replay could not go on.
    Failed {
        message: String,
    },
}

/// How the replay of one letter ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayProgress {
    pub number: u64,
    pub id: String,
    pub rule: String,
    pub result: Replayed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replayed {
    /// The letter is gone.
    Delivered { status: u16 },
    /// It was sent and failed again; the letter stays, with the new attempts.
    StillDead { message: String },
    /// It was not sent; the letter stays as it was.
    NotReplayed { why: String },
}

/// Sums over a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub delivered: u64,
    pub still_dead: u64,
    pub not_replayed: u64,
    /// Blocked deliveries that were sent after them. Absent when a running rowhook sends those by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub followed: Option<u64>,
    /// Letters that fit and were not sent, because the replay ended before them. Absent if there are none.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub left: u64,
    /// The numbers of those begin here. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_from: Option<u64>,
    /// Why it ended before them. Absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_by: Option<ReplayEndedBy>,
}

/// Why a replay ends although there are letters left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayEndedBy {
    /// It has sent as many as it was to send.
    Limit,
    /// So many failed in a row as were allowed.
    Failures,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Totals {
    /// Whether every letter was delivered that was to be sent.
    pub fn all_delivered(&self) -> bool {
        self.still_dead == 0 && self.not_replayed == 0
    }
}

/// What a dry run says; `Failed` or the end of the stream comes last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preview {
    /// The request that a replay would send, as a curl command with secrets masked.
    Request {
        number: u64,
        rule: String,
        curl: String,
    },
    /// A replay would not send this letter.
    NotReplayed {
        number: u64,
        rule: String,
        why: String,
    },
    Failed {
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_back_the_same() {
        let progress =
            |result| ReplayReport::Progress(ReplayProgress { number: 7, id: "i".into(), rule: "r".into(), result });
        for report in [
            ReplayReport::Started { letters: 3 },
            progress(Replayed::Delivered { status: 204 }),
            progress(Replayed::StillDead { message: "answered 500".into() }),
            progress(Replayed::NotReplayed { why: "no such rule".into() }),
            ReplayReport::Ended(Totals {
                delivered: u64::MAX,
                still_dead: 1,
                not_replayed: 2,
                followed: Some(3),
                left: 4,
                left_from: Some(5),
                ended_by: Some(ReplayEndedBy::Failures),
            }),
            ReplayReport::Ended(Totals::default()),
            ReplayReport::Failed { message: "m".into() },
        ] {
            let text = serde_json::to_string(&report).expect("plain data");
            assert_eq!(serde_json::from_str::<ReplayReport>(&text).expect(&text), report);
        }
    }
}
