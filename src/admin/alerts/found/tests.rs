//! What each condition holds for, by statuses as they are right after a start, in an outage, and after rules were removed.

use super::super::super::view::status::{RuleFilesView, SourceView, StatusView, TargetView};
use super::*;
use crate::in_words::count;

const NOW: &str = "2026-12-01T12:00:00Z";

fn now() -> SystemTime {
    humantime::parse_rfc3339(NOW).expect("a time")
}

fn rule(name: &str, state: &str) -> RuleView {
    RuleView { rule: name.to_owned(), state: Some(state.to_owned()), dead_letters: Some(0), ..RuleView::default() }
}

fn status(rules: Vec<RuleView>) -> StatusView {
    let source = SourceView { address: "db:3306".into(), version: None, problem: None, binlog_kept_seconds: None };
    StatusView { running: true, source: Some(source), lag_seconds: Some(0.0), rules, ..StatusView::default() }
}

fn texts(kind: ConditionKind, status: &StatusView) -> Option<Vec<String>> {
    let items = found(&AlertCondition::usual(kind), Ok(status), now())?;
    Some(items.into_iter().map(|item| item.text).collect())
}

#[test]
fn a_lag_that_is_a_bound_counts_from_when_it_is_found() {
    let late = |lag_is_bound| {
        let rule =
            RuleView { lag_seconds: Some(900.0), lag_is_bound, unresolved: Some(3), ..rule("paid", state::ATTACHED) };
        let status = StatusView { lag_seconds: Some(900.0), ..status(vec![rule]) };
        let items = found(&AlertCondition::usual(ConditionKind::Late), Ok(&status), now()).expect("known");
        items.iter().map(|item| item.since_us).collect::<Vec<_>>()
    };
    let since_us = since_epoch_us(now()) - 900_000_000;
    assert_eq!(late(false), [Some(since_us)]);
    assert_eq!(late(true), [None], "the log was not read yet: there may be no lag at all");
    let unknown = StatusView { lag_seconds: None, ..status(vec![rule("paid", state::ATTACHED)]) };
    assert_eq!(texts(ConditionKind::Late, &unknown), None);
}

#[test]
fn a_paused_rule_is_paused_and_not_late() {
    let paused = RuleView {
        lag_seconds: Some(900.0),
        paused_since: Some("2026-12-01T11:00:00Z".to_owned()),
        ..rule("paid", state::PAUSED)
    };
    let status = StatusView { lag_seconds: Some(900.0), ..status(vec![paused]) };
    assert_eq!(texts(ConditionKind::Late, &status), Some(vec![]));
    assert_eq!(texts(ConditionKind::Paused, &status), Some(vec!["paid paused since 11:00 UTC".to_owned()]));
}

#[test]
fn dead_letters_are_those_of_each_rule_and_of_rules_that_are_gone() {
    let with_letters = |name: &str, count| RuleView { dead_letters: Some(count), ..rule(name, state::ATTACHED) };
    let mut status = status(vec![with_letters("a", 1), with_letters("b", 7), with_letters("c", 0)]);
    (status.dead_letters, status.dead_letters_of_removed_rules) = (20, 12);
    let gone = format!("{} of rules that are not in the rule files", count(12, "dead letter", "dead letters"));
    let expected = ["b: 7 dead letters".to_owned(), "a: 1 dead letter".to_owned(), gone];
    assert_eq!(texts(ConditionKind::DeadLetters, &status).expect("known"), expected);
    // Too many to be counted by rule.
    for rule in &mut status.rules {
        rule.dead_letters = None;
    }
    (status.dead_letters, status.dead_letters_of_removed_rules) = (2_000_000, 0);
    assert_eq!(texts(ConditionKind::DeadLetters, &status).expect("known"), ["2000000 dead letters"]);
}

#[test]
fn while_mysql_is_away_no_target_is_known_to_be_back_and_nothing_has_ended() {
    let mut away = status(vec![rule("paid", state::ATTACHED)]);
    away.source.as_mut().expect("a source").problem = Some("connecting".to_owned());
    assert_eq!(texts(ConditionKind::NotReading, &away), Some(vec!["MySQL is not read: connecting".to_owned()]));
    assert_eq!(texts(ConditionKind::Unavailable, &away), None);
    assert_eq!(texts(ConditionKind::Ended, &away), None);
    let target = TargetView {
        target: "https://a.test".to_owned(),
        state: state::UNAVAILABLE.to_owned(),
        rules: vec!["paid".to_owned()],
        ..TargetView::default()
    };
    away.targets = vec![target];
    let items = found(&AlertCondition::usual(ConditionKind::Unavailable), Ok(&away), now()).expect("known");
    assert_eq!(items.iter().map(|item| item.rules.join(" ")).collect::<Vec<_>>(), ["paid"], "the rules that call it");
    let silent = "the delivery loop does not answer".to_owned();
    let items = found(&AlertCondition::usual(ConditionKind::NotReading), Err(&silent), now()).expect("known");
    assert_eq!(items[0].text, silent);
    assert_eq!(found(&AlertCondition::usual(ConditionKind::Disk), Err(&silent), now()), None);
}

#[test]
fn the_rest_is_told_as_the_status_tells_it_with_the_command_that_helps() {
    let mut status = status(vec![RuleView { why: Some("purged".to_owned()), ..rule("mail", state::STOPPED) }]);
    status.awaiting = 2;
    let problems_since = Some("2026-12-01T11:00:00Z".to_owned());
    status.rule_files = Some(RuleFilesView { loaded_at: NOW.to_owned(), problems_since, problems: Vec::new() });
    let fix = |kind| found(&AlertCondition::usual(kind), Ok(&status), now()).expect("known").remove(0).fix;
    assert_eq!(fix(ConditionKind::Stopped).as_deref(), Some("rowhook resume mail"));
    assert_eq!(fix(ConditionKind::RuleFiles).as_deref(), Some("rowhook check"));
    assert_eq!(fix(ConditionKind::Awaiting).as_deref(), Some("rowhook dead-letters list"));
    assert_eq!(texts(ConditionKind::Disk, &status), Some(vec![]));
    assert_eq!(texts(ConditionKind::Runway, &status), Some(vec![]));
}
