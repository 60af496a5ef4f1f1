//! Replays against a loop that the test plays.

use futures_util::stream;

use super::*;
use crate::change::{Cell, Row, Value};
use crate::delivery::{self, Failure};
use crate::ordering::{LaneKey, LaneKeys};
use crate::saga::SagaCommand;

type ReplayItem = super::ReplayItem<u64>;
type Ended = Result<ReplayTally, ReplayEnd<&'static str>>;

/// What a loop that is played by the test gets to send.
type Commands = mpsc::Receiver<Command>;

/// A found delivery of a row that needs at least so many bytes.
fn found(number: u64, bytes: usize, was_blocked: bool) -> ReplayItem {
    let rule = delivery::testing::rule("http://a.test/", |_| {});
    let mut delivery = delivery::testing::delivery(&rule, number.into(), 1);
    let change = std::sync::Arc::make_mut(&mut delivery.change);
    change.after = Some(Row::from_iter([Cell::Value(Value::Text("x".repeat(bytes).into()))]));
    let sent_as = SentAs::Letter { lanes: LaneKeys::one(LaneKey(1)), saga_command: SagaCommand::Resume };
    ReplayItem::Delivery(number, Ok(ReplayDelivery { delivery, sent_as, was_blocked }))
}

/// The replay of what is found, the loop that it sends to, and what it reports.
fn start(
    found: Vec<Result<ReplayItem, &'static str>>,
    mode: ReplayMode,
) -> (impl Future<Output = Ended>, Commands, Reports) {
    let (commands, sent) = mpsc::channel(1_000);
    let (reports, reported) = mpsc::channel(1_000);
    let form = |event| match event {
        ReplayEvent::Ended(number, result) => Some(format!("{number}: {}", in_words(result))),
        ReplayEvent::Shown(number, Ok(_)) => Some(format!("{number}: shown")),
        ReplayEvent::Shown(number, Err(why)) => Some(format!("{number}: {why}")),
        ReplayEvent::Progress(tally) if tally.delivered > 0 => Some(format!("{} delivered so far", tally.delivered)),
        ReplayEvent::Progress(_) => None,
    };
    let run =
        async move { replay(stream::iter(found), mode, &commands, ReplayListener { reports: &reports, form }).await };
    (run, sent, reported)
}

type Reports = mpsc::Receiver<String>;

fn in_words(result: Result<Outcome, NotReplayed>) -> String {
    match result {
        Ok(Outcome::Delivered { status }) => format!("delivered with {status}"),
        Ok(Outcome::Dead(failure)) => failure.message,
        Ok(Outcome::Blocked { by }) => format!("behind {by}"),
        Err(why) => why.to_string(),
    }
}

fn answer(command: Command, result: Result<Outcome, NotReplayed>) {
    let Command::Replay { answer, .. } = command else { panic!("only replays are sent: {command:?}") };
    answer.send(result).expect("the replay waits for it");
}

/// Without progress.
fn reported(reports: Reports) -> Vec<String> {
    all_reported(reports).into_iter().filter(|report| !report.ends_with("so far")).collect()
}

fn all_reported(mut reports: Reports) -> Vec<String> {
    std::iter::from_fn(|| reports.try_recv().ok()).collect()
}

#[tokio::test]
async fn each_outcome_is_reported_and_counted_once() {
    let dead =
        || Outcome::Dead(Failure { reason: crate::failure::Reason::Refused, message: "answered 400".to_owned() });
    let results = [
        Ok(Outcome::Delivered { status: 204 }),
        Ok(dead()),
        Ok(Outcome::Blocked { by: 9 }),
        Err(NotReplayed::Gone),
        Err(NotReplayed::UnderWay),
    ];
    let mut items: Vec<_> = (0..5).map(|number| Ok(found(number, 1, false))).collect();
    items.extend([
        Ok(ReplayItem::Unmatched),
        Ok(ReplayItem::Delivery(5, Err(NotReplayed::Unsendable("resolved".to_owned())))),
    ]);
    items.push(Ok(ReplayItem::Committed { at_us: 7 }));
    let (run, mut commands, reports) = start(items, ReplayMode::Send);
    let answers = async {
        for result in results {
            answer(commands.recv().await.expect("it is sent"), result);
        }
    };
    let (ended, ()) = tokio::join!(run, answers);
    let read_up_to_us = Some(7);
    let (matched, is_given_up) = (6, false);
    let tally =
        ReplayTally { read: 7, matched, delivered: 1, dead: 1, blocked: 1, not_sent: 3, read_up_to_us, is_given_up };
    assert_eq!(ended, Ok(tally));
    let mut reports = reported(reports);
    reports.sort();
    assert_eq!(
        reports,
        [
            "0: delivered with 204",
            "1: answered 400",
            "2: behind 9",
            "3: it no longer exists",
            "4: it is being replayed already",
            "5: resolved",
        ]
    );
}

#[tokio::test]
async fn a_blocked_delivery_that_the_loop_has_sent_itself_is_not_reported() {
    let (run, mut commands, reports) = start(vec![Ok(found(1, 1, true)), Ok(found(2, 1, true))], ReplayMode::Send);
    let answers = async {
        answer(commands.recv().await.expect("it is sent"), Err(NotReplayed::Gone));
        answer(commands.recv().await.expect("it is sent"), Err(NotReplayed::UnderWay));
    };
    let (ended, ()) = tokio::join!(run, answers);
    assert_eq!(ended.map(|tally| (tally.matched, tally.not_sent)), Ok((2, 1)));
    assert_eq!(reported(reports), ["2: it is being replayed already"]);
}

#[tokio::test]
async fn what_is_under_way_is_bounded_in_number_and_bytes() {
    let large = UNDER_WAY_BYTES_MAX / 2 + 1;
    for (bytes, room) in [(1, UNDER_WAY_MAX), (large, 2), (UNDER_WAY_BYTES_MAX * 2, 1)] {
        let items = (0..room as u64 + 2).map(|number| Ok(found(number, bytes, false))).collect();
        let (run, mut commands, _reports) = start(items, ReplayMode::Send);
        let loop_sees = async {
            let mut under_way = Vec::new();
            for _ in 0..room {
                under_way.push(commands.recv().await.expect("there is room"));
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(commands.try_recv().is_err(), "{bytes} bytes: no room for another");
            answer(under_way.remove(0), Ok(Outcome::Delivered { status: 200 }));
            under_way.push(commands.recv().await.expect("one has made room"));
            under_way.into_iter().for_each(|sent| answer(sent, Ok(Outcome::Delivered { status: 200 })));
            answer(commands.recv().await.expect("the last"), Ok(Outcome::Delivered { status: 200 }));
        };
        let (ended, ()) = tokio::join!(run, loop_sees);
        assert_eq!(ended.map(|tally| tally.delivered), Ok(room as u64 + 2), "{bytes} bytes");
    }
}

#[tokio::test]
async fn it_ends_when_its_operator_has_gone_though_an_outcome_is_awaited() {
    let (run, mut commands, reports) = start(vec![Ok(found(1, 1, false))], ReplayMode::Send);
    let goes = async {
        let sent = commands.recv().await;
        drop(reports);
        sent
    };
    let (ended, sent) = tokio::join!(run, goes);
    assert_eq!(ended, Err(ReplayEnd::Unheard));
    let Some(Command::Replay { answer, .. }) = sent else { panic!("it was sent") };
    assert!(answer.is_closed(), "by this the loop knows that no operator waits for it");
    assert!(matches!(commands.try_recv(), Ok(Command::WithdrawUnheard)));
}

#[tokio::test]
async fn a_binlog_range_whose_rule_is_paused_ends_with_what_was_done() {
    let change = |number| match found(number, 1, false) {
        ReplayItem::Delivery(label, Ok(again)) => {
            Ok(ReplayItem::Delivery(label, Ok(ReplayDelivery { sent_as: SentAs::Change, ..again })))
        }
        other => Ok(other),
    };
    let (run, mut commands, reports) = start((1..1_000).map(change).collect(), ReplayMode::Send);
    let goes = async {
        answer(commands.recv().await.expect("it is sent"), Ok(Outcome::Delivered { status: 200 }));
        let rule = "r".to_owned();
        while let Some(command) = commands.recv().await {
            answer(command, Err(NotReplayed::Paused { rule: rule.clone() }));
        }
    };
    let (ended, ()) = tokio::join!(run, goes);
    assert_eq!(ended, Err(ReplayEnd::Paused { rule: "r".to_owned() }));
    let reports = all_reported(reports);
    assert_eq!(reports.last(), Some(&"1 delivered so far".to_owned()));
    assert!(reports.len() <= UNDER_WAY_MAX + 10, "the rest is not read: {}", reports.len());
}

#[tokio::test]
async fn a_loop_that_ends_is_said_and_what_had_an_outcome_before_is_reported() {
    let (run, mut commands, reports) =
        start((1..5).map(|number| Ok(found(number, 1, false))).collect(), ReplayMode::Send);
    let ends = async move {
        answer(commands.recv().await.expect("it is sent"), Ok(Outcome::Delivered { status: 200 }));
        drop(commands.recv().await.expect("it is sent"));
    };
    let (ended, ()) = tokio::join!(run, ends);
    assert_eq!(ended, Err(ReplayEnd::Stopping));
    let reports = reported(reports);
    assert!(reports.contains(&"1: delivered with 200".to_owned()), "{reports:?}");
    assert!(reports.contains(&"2: rowhook stopped before it had an outcome".to_owned()), "{reports:?}");
}

#[tokio::test]
async fn a_reading_that_fails_ends_the_replay() {
    let (run, _commands, _reports) = start(vec![Err("damaged")], ReplayMode::Send);
    assert_eq!(run.await, Err(ReplayEnd::Failed("damaged")));
}

#[tokio::test]
async fn a_dry_run_sends_nothing_shows_so_many_requests_and_counts_the_rest() {
    let mut undecided = found(2, 1, false);
    let ReplayItem::Delivery(_, Ok(again)) = &mut undecided else { panic!("it was made so") };
    again.delivery.predetermined = Some(Outcome::Dead(Failure::undecided("text against a number".to_owned())));
    let refused = ReplayItem::Delivery(3, Err(NotReplayed::Unsendable("resolved".to_owned())));
    let items = vec![found(1, 1, false), undecided, refused, found(4, 1, false), found(5, 1, false)];
    let (run, mut commands, reports) = start(items.into_iter().map(Ok).collect(), ReplayMode::Show { requests_max: 2 });
    assert_eq!(run.await.map(|tally| (tally.matched, tally.dead, tally.delivered)), Ok((5, 2, 0)));
    assert!(commands.try_recv().is_err(), "nothing is sent");
    let undecided = "2: it becomes a dead letter, because it can't be decided whether the rule matches";
    assert_eq!(reported(reports), ["1: shown", undecided, "3: resolved", "4: shown"]);
}

#[tokio::test]
async fn after_so_many_failures_in_a_row_no_other_delivery_is_sent() {
    let (commands, mut sent) = mpsc::channel(1_000);
    let (reports, _reported) = mpsc::channel(1_000);
    let items = stream::iter((1..100).map(|number| Ok::<_, &str>(found(number, 1, false))));
    let limits = SendLimits { failures_in_a_row_max: Some(3), ..SendLimits::default() };
    let form = |_| None::<()>;
    let run = async {
        let listener = ReplayListener { reports: &reports, form };
        let ended = replay_within(limits, items, ReplayMode::Send, &commands, listener).await;
        drop(commands);
        ended
    };
    let dead =
        || Outcome::Dead(Failure { reason: crate::failure::Reason::Refused, message: "answered 400".to_owned() });
    let answers = async {
        let mut answered = 0;
        while let Some(command) = sent.recv().await {
            answered += 1;
            // The third is delivered, so that the count begins again.
            let outcome = if answered == 3 { Outcome::Delivered { status: 200 } } else { dead() };
            answer(command, Ok(outcome));
        }
        answered
    };
    let (ended, answered) = tokio::join!(run, answers);
    assert_eq!(answered, 6);
    let tally = ended.expect("it ends in order");
    assert_eq!((tally.delivered, tally.dead, tally.is_given_up), (1, 5, true));
}
