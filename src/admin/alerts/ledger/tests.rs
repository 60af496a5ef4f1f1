//! What an alert tells while things come, change, last and go, minute by minute.

use super::*;

const MINUTE_US: u64 = 60_000_000;

struct World {
    ledger: AlertLedger,
    condition: AlertCondition,
    limits: AlertLimits,
}

impl World {
    fn new(kind: ConditionKind, threshold: Threshold) -> World {
        let limits =
            AlertLimits { every: Duration::from_secs(600), repeat: Some(Duration::from_secs(3600)), may_end: true };
        World { ledger: AlertLedger::default(), condition: AlertCondition { kind, threshold }, limits }
    }

    /// What is told at this minute, and arrives.
    fn told(&mut self, minute: u64, items: &[AlertItem]) -> Option<String> {
        let alert = self.due(minute, items)?;
        let said = format!("{}: {}", alert.state.as_str(), alert.title);
        self.ledger.sent(alert);
        Some(said)
    }

    fn due(&mut self, minute: u64, items: &[AlertItem]) -> Option<Alert> {
        self.ledger.due(&self.condition, items.to_vec(), self.limits, minute * MINUTE_US)
    }
}

fn rule(name: &str, count: u64) -> AlertItem {
    AlertItem { rules: vec![name.to_owned()], count, ..AlertItem::new(format!("{name} {count}")) }
}

fn refused(error: &str) -> UnsentAlert {
    UnsentAlert { error: error.to_owned(), may_have_arrived: false }
}

#[track_caller]
fn check(world: &mut World, minute: u64, items: &[AlertItem], expected: &str) {
    assert_eq!(world.told(minute, items).as_deref().unwrap_or(""), expected, "minute {minute}");
}

#[test]
fn what_begins_is_told_once_together_and_what_is_over_too() {
    let mut world = World::new(ConditionKind::Late, Threshold::Any);
    check(&mut world, 1, &[], "");
    check(&mut world, 2, &[rule("a", 0), rule("b", 0)], "firing: a 0 (and 1 more)");
    check(&mut world, 3, &[rule("b", 0), rule("a", 0)], "");
    check(&mut world, 30, &[rule("a", 0)], "");
    check(&mut world, 32, &[], "resolved: resolved after 30m 0s: a 0 (and 1 more)");
    check(&mut world, 33, &[], "");
}

#[test]
fn what_comes_to_it_waits_until_the_interval_is_over() {
    let mut world = World::new(ConditionKind::DeadLetters, Threshold::Count(1));
    check(&mut world, 0, &[rule("a", 3)], "firing: a 3");
    check(&mut world, 9, &[rule("a", 3), rule("b", 1)], "");
    check(&mut world, 10, &[rule("a", 3), rule("b", 1)], "firing: a 3 (and 1 more)");
    check(&mut world, 20, &[rule("a", 3), rule("b", 1)], "");
    check(&mut world, 21, &[rule("a", 4)], "firing: a 4");
    check(&mut world, 40, &[rule("a", 2)], "");
    // What was discarded and comes again is more.
    check(&mut world, 41, &[rule("a", 3)], "firing: a 3");
    check(&mut world, 42, &[rule("b", 9)], "");
    check(&mut world, 52, &[rule("a", 3), rule("b", 9)], "firing: a 3 (and 1 more)");
}

#[test]
fn what_lasts_is_repeated_and_what_flaps_is_told_once_in_the_interval() {
    let mut world = World::new(ConditionKind::Unavailable, Threshold::Any);
    check(&mut world, 0, &[rule("a", 0)], "firing: a 0");
    check(&mut world, 59, &[rule("a", 0)], "");
    check(&mut world, 60, &[rule("a", 0)], "firing: a 0");
    check(&mut world, 61, &[], "resolved: resolved after 1h 1m: a 0");
    check(&mut world, 62, &[rule("a", 0)], "");
    check(&mut world, 63, &[], "");
    check(&mut world, 69, &[rule("a", 0)], "");
    check(&mut world, 70, &[rule("a", 0)], "firing: a 0");
    world.limits.repeat = None;
    check(&mut world, 10_000, &[rule("a", 0)], "");
}

#[test]
fn a_condition_that_must_last_is_told_when_it_has() {
    let mut world = World::new(ConditionKind::NotReading, Threshold::Lasts(Duration::from_secs(120)));
    let away = [AlertItem::new("MySQL is not read".to_owned())];
    check(&mut world, 1, &away, "");
    check(&mut world, 2, &[], "");
    check(&mut world, 3, &away, "");
    check(&mut world, 4, &away, "");
    let alert = world.due(5, &away).expect("it has lasted");
    assert_eq!(alert.since_us, 3 * MINUTE_US);
    // Since when it is so may be known from elsewhere.
    let known = [AlertItem { since_us: Some(MINUTE_US), ..rule("a", 0) }];
    let mut world = World::new(ConditionKind::Paused, Threshold::Lasts(Duration::from_secs(120)));
    assert_eq!(world.due(3, &known).expect("it has lasted").since_us, MINUTE_US);
}

#[test]
fn nothing_is_over_before_the_start_has_settled() {
    let mut world = World::new(ConditionKind::Unavailable, Threshold::Any);
    check(&mut world, 0, &[rule("a", 0)], "firing: a 0");
    // As after a restart: what was told is read from the file.
    let stored = serde_json::to_string(&world.ledger).expect("JSON");
    world.ledger = serde_json::from_str(&stored).expect("a ledger");
    world.limits.may_end = false;
    check(&mut world, 5, &[], "");
    check(&mut world, 6, &[rule("a", 0)], "");
    check(&mut world, 20, &[rule("a", 0)], "");
    world.limits.may_end = true;
    check(&mut world, 21, &[], "resolved: resolved after 21m 0s: a 0");
    // What this process itself found may end.
    world.limits.may_end = false;
    check(&mut world, 30, &[rule("a", 0)], "firing: a 0");
    check(&mut world, 31, &[], "resolved: resolved after 1m 0s: a 0");
}

#[test]
fn an_alert_that_does_not_arrive_is_due_again_after_a_minute() {
    let mut world = World::new(ConditionKind::Disk, Threshold::Any);
    let item = [AlertItem::new("1 GB left".to_owned())];
    let alert = world.due(10, &item).expect("due");
    world.ledger.failed(&alert, refused("answered 500"), 10 * MINUTE_US);
    world.ledger.failed(&alert, refused("answered 502"), 10 * MINUTE_US + 1);
    let failure = world.ledger.failure().expect("it failed");
    assert_eq!((failure.since_us, &*failure.error), (10 * MINUTE_US, "answered 502"));
    assert_eq!(world.due(10, &item), None);
    check(&mut world, 12, &item, "firing: 1 GB left");
    assert_eq!(world.ledger.failure(), None);
    assert_eq!(world.ledger.firing().collect::<Vec<_>>(), [ConditionKind::Disk]);
    let alert = world.due(15, &[]).expect("it is over");
    world.ledger.failed(&alert, refused("answered 500"), 15 * MINUTE_US);
    check(&mut world, 17, &[], "resolved: resolved after 7m 0s: 1 GB left");
    assert_eq!(world.ledger.firing().count(), 0);
    // One that was not sent and is over is no failure any more.
    let alert = world.due(40, &item).expect("due");
    world.ledger.failed(&alert, refused("answered 500"), 40 * MINUTE_US);
    check(&mut world, 40, &[], "");
    assert_eq!(world.ledger.failure(), None);
    // One that may have arrived has an end.
    let alert = world.due(50, &item).expect("due");
    let in_doubt = UnsentAlert { may_have_arrived: true, ..refused("no answer within 10s") };
    world.ledger.failed(&alert, in_doubt, 50 * MINUTE_US);
    check(&mut world, 50, &[], "");
    check(&mut world, 51, &[], "resolved: resolved after 1m 0s: 1 GB left");
    check(&mut world, 52, &[], "");
    assert_eq!(world.ledger.failure(), None);
}
