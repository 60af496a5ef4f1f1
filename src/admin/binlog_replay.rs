//! Replays of binlog ranges, as operators request them and get reports of them.
//!
//! In: a request in words. Out: reports, from the pipeline's replay, as views. Used by the daemon's socket and by the
//! command line when no daemon runs. Ends when the listener has gone.

use tokio::sync::mpsc;

use super::control::parse_place;
use super::replay::RulesNow;
use super::typed::no_such_rule;
use super::view::binlog_replay::{BinlogReplayReport, BinlogReplayRequest, BinlogReplayTotals};
use super::view::rfc3339;
use super::view::status::PositionView;
use crate::pipeline::{BinlogRange, BinlogReplayEvent, RangeReplays, ReplayMode, ReplayTally};

/// Requests that a dry run shows; the rest is counted.
const SHOWN_MAX: u64 = 10;

/// Replays of binlog ranges with the current rules; clones are the same.
#[derive(Clone)]
pub struct BinlogReplays {
    pub replays: RangeReplays,
    pub rules: RulesNow,
}

impl BinlogReplays {
    /// Delivers the binlog range again, and reports how it goes.
    pub async fn run(&self, request: &BinlogReplayRequest, reports: &mpsc::Sender<BinlogReplayReport>) {
        let binlog_range = match self.binlog_range(request) {
            Ok(binlog_range) => binlog_range,
            Err(message) => {
                // A listener that has gone does not need the reason.
                let _ = reports.send(BinlogReplayReport::Failed { message }).await;
                return;
            }
        };
        self.replays.run(binlog_range, reports, report).await;
    }

    fn binlog_range(&self, request: &BinlogReplayRequest) -> Result<BinlogRange, String> {
        let rules = (self.rules)();
        let rule = rules.rule(&request.rule).ok_or_else(|| no_such_rule(&request.rule, &rules))?.clone();
        if rule.saga.is_some() {
            return Err(format!(
                "rule {} remembers what it has done, so that it is done once: a binlog range can't be replayed for it; replay its dead letters instead",
                rule.name
            ));
        }
        let place = |text: &str| parse_place(text).map_err(|error| error.to_string());
        let from = place(&request.from)?;
        let to = request.to.as_deref().map(place).transpose()?;
        let mode = if request.dry_run { ReplayMode::Show { requests_max: SHOWN_MAX } } else { ReplayMode::Send };
        Ok(BinlogRange { rule, from, to, mode })
    }
}

fn report(event: BinlogReplayEvent) -> BinlogReplayReport {
    match event {
        BinlogReplayEvent::Begun { from, to, gathers } => {
            BinlogReplayReport::Begun { from: PositionView::of(&from), to: PositionView::of(&to), gathers }
        }
        BinlogReplayEvent::Progress(tally) => BinlogReplayReport::Progress(view(tally)),
        BinlogReplayEvent::Request { curl } => BinlogReplayReport::Request { curl },
        BinlogReplayEvent::Ended(tally) => BinlogReplayReport::Ended(view(tally)),
        BinlogReplayEvent::Failed { message } => BinlogReplayReport::Failed { message },
    }
}

fn view(tally: ReplayTally) -> BinlogReplayTotals {
    let ReplayTally { read, matched, delivered, dead, blocked, not_sent: _, read_up_to_us, is_given_up: _ } = tally;
    BinlogReplayTotals { read, matched, delivered, dead, blocked, read_up_to: read_up_to_us.map(rfc3339) }
}
