//! Retention on a real store, with short times: what is dropped, what never is, and that it is announced before.

use std::path::PathBuf;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::change::{Cell, Change, DeliveryId, Op, Row, Table, Transaction, Value};
use crate::failure::{Attempts, Reason};
use crate::ordering::{LaneKey, LaneKeys};
use crate::rules::RuleSet;
use crate::store::{LetterFailure, NewDeadLetter, Resolution, Store, Write};

const DEADLINE: Duration = Duration::from_secs(30);
const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// The notice is over before the second look; the third one waits for a later check.
const SOON: DropTimes = DropTimes {
    check: Duration::from_millis(5),
    walk: Duration::from_millis(20),
    notice: Duration::from_millis(50),
    ahead: Duration::from_secs(24 * 3600),
};

fn rules(settings: &[(&str, &str)]) -> Arc<RuleSet> {
    let rule = |(name, limits): &(&str, &str)| {
        format!("  - {{name: {name}, dead_letters: {limits}, call: {{url: 'http://a.test/'}}}}\n")
    };
    let text = format!("table: shop.orders\nrules:\n{}", settings.iter().map(rule).collect::<String>());
    let rules = RuleSet::from_texts(&[(PathBuf::from("a.yaml"), text)], &|_| None);
    Arc::new(rules.unwrap_or_else(|problems| panic!("{problems}")))
}

fn letter(rule: &str, number: u64, age_days: u64) -> NewDeadLetter {
    let table =
        Table { schema: "shop".into(), name: "orders".into(), columns: vec!["note".into()], primary_key: vec![0] };
    let change = Change {
        op: Op::Insert,
        table: Arc::new(table),
        before: None,
        after: Some(Row::from_iter([Cell::Value(Value::Text("x".repeat(600_000).into()))])),
        transaction: Arc::new(Transaction::example()),
        ordinal: number,
    };
    NewDeadLetter {
        delivery_id: DeliveryId(uuid::Uuid::from_u128(number.into())),
        rule: rule.into(),
        change: Arc::new(change),
        failure: LetterFailure { reason: Reason::Refused, message: String::new(), attempts: Attempts::default() },
        lanes: LaneKeys::none(),
        created_at_us: now_us() - age_days * DAY_US,
        redacted: vec![],
    }
}

struct Scene {
    _directory: TempDir,
    store: Store,
    metrics: Arc<Metrics>,
    rules: Arc<Mutex<Arc<RuleSet>>>,
}

impl Scene {
    async fn new(rules: Arc<RuleSet>, letters: Vec<NewDeadLetter>) -> Scene {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path()).expect("opens");
        for letter in letters {
            store.write(Write { letters_add: vec![letter], ..Write::default() }).await.expect("written");
        }
        Scene { _directory: directory, store, metrics: Arc::default(), rules: Arc::new(Mutex::new(rules)) }
    }

    /// Goes on until this holds of a rule.
    async fn until(&self, times: DropTimes, rule: &str, is_so: impl Fn(&RetentionView) -> bool) {
        let rules = Arc::clone(&self.rules);
        let now: RulesNow = Arc::new(move || Arc::clone(&rules.lock().expect("no panic")));
        let (drops, task) = LetterDrops::new(DeadLetters::new(self.store.clone()), now, self.metrics.clone(), times);
        let task = tokio::spawn(task);
        let mut last = None;
        let waited = drops.wait_for(|views| {
            last = views.get(rule).cloned();
            last.as_ref().is_some_and(&is_so)
        });
        let waited = tokio::time::timeout(DEADLINE, waited).await;
        task.abort();
        assert!(matches!(waited, Ok(true)), "{last:?}, letters {:?}", self.numbers());
    }

    fn numbers(&self) -> Vec<u64> {
        let all = Filter { closed: Closed::With, ..Filter::default() };
        self.store.dead_letters(&all, None, 1000).expect("readable").iter().map(|head| head.number).collect()
    }

    fn counted(&self, rule: &str) -> u64 {
        self.metrics.letters_dropped.get_or_create(&RuleLabel { rule: rule.to_owned() }).get()
    }
}

#[test]
fn nothing_is_due_before_its_notice_is_over() {
    let hour = Duration::from_secs(3600);
    let announced = Announced::of(1, 1, 0, hour);
    assert!(!announced.is_due(hour) && announced.is_due(Duration::ZERO));
    assert!(announced.from_us > now_us() + in_us(hour) - 60_000_000, "whatever its age");
    let later = now_us() + DAY_US;
    assert_eq!(Announced::of(1, 1, later, hour).from_us, later);
}

#[tokio::test]
async fn what_is_too_old_goes_after_it_was_announced_and_what_must_stay_stays() {
    let held = |number, reason| NewDeadLetter {
        lanes: LaneKeys::one(LaneKey(7)),
        failure: LetterFailure { reason, message: String::new(), attempts: Attempts::default() },
        ..letter("short", number, 50)
    };
    let letters = vec![
        letter("other", 1, 90),
        letter("short", 2, 40),
        held(3, Reason::Refused),
        held(4, Reason::Blocked),
        letter("for-ever", 5, 400),
        letter("short", 6, 31),
        letter("short", 7, 29),
        letter("long", 8, 31),
    ];
    let limits = [("short", "{keep: 30d}"), ("long", "{keep: 60d}"), ("for-ever", "none")];
    let scene = Scene::new(rules(&limits), letters).await;
    let resolution = Resolution { number: 6, note: "by hand".into(), at_us: 1 };
    scene.store.write(Write { letters_resolve: vec![resolution], ..Write::default() }).await.expect("written");

    // Number 7 is too old within a day.
    let never = DropTimes { notice: Duration::from_secs(3600), ..SOON };
    scene.until(never, "short", |view| view.to_drop == 3).await;
    assert_eq!(scene.numbers(), [1, 2, 3, 4, 5, 6, 7, 8], "nothing goes before the notice is over");
    scene.until(SOON, "short", |view| view.dropped == 2).await;
    assert_eq!(scene.numbers(), [1, 3, 4, 5, 7, 8]);
    assert_eq!((scene.counted("short"), scene.counted("long")), (2, 0));
    assert_eq!(scene.store.blocked_keys().queue(LaneKey(7)).map(|queue| queue.front), Some(3));
}

#[tokio::test]
async fn the_oldest_above_the_number_and_the_bytes_go_after_it_was_announced() {
    for limits in ["{max: 3}", "{max_bytes: 2 MiB}", "{max: 3, max_bytes: 2 MiB}"] {
        let letters = (1..=250).map(|number| {
            let rule = if number % 50 == 0 { "r" } else { "other" };
            // Those of the other rule are short.
            let letter = letter(rule, number, 0);
            let short = Arc::new(Change { after: None, ..(*letter.change).clone() });
            if rule == "r" { letter } else { NewDeadLetter { change: short, ..letter } }
        });
        let scene = Scene::new(rules(&[("r", limits)]), letters.collect()).await;
        let never = DropTimes { notice: Duration::from_secs(3600), ..SOON };
        scene.until(never, "r", |view| view.to_drop == 2).await;
        assert_eq!(scene.numbers().len(), 250, "{limits}");
        scene.until(SOON, "r", |view| view.dropped == 2 && view.to_drop == 0).await;
        let left: Vec<u64> = scene.numbers().into_iter().filter(|number| number % 50 == 0).collect();
        assert_eq!((left, scene.numbers().len()), (vec![150, 200, 250], 248), "{limits}");
    }
}

#[tokio::test]
async fn letters_that_come_later_are_counted_with_those_before_and_announced_again() {
    let scene = Scene::new(rules(&[("r", "{max: 2}")]), vec![letter("r", 1, 0), letter("r", 2, 0)]).await;
    let (store, limits) = (scene.store.clone(), rules(&[("r", "{max: 2}")]));
    let (drops, task) = LetterDrops::new(
        DeadLetters::new(store.clone()),
        Arc::new(move || limits.clone()),
        scene.metrics.clone(),
        SOON,
    );
    let task = tokio::spawn(task);
    for (number, dropped) in [(3, 1), (4, 2)] {
        store.write(Write { letters_add: vec![letter("r", number, 0)], ..Write::default() }).await.expect("written");
        let waited = drops.wait_for(|views| views.get("r").is_some_and(|view| view.dropped == dropped));
        assert!(tokio::time::timeout(DEADLINE, waited).await.expect("in time"));
    }
    task.abort();
    assert_eq!(scene.numbers(), [3, 4]);
}

#[tokio::test]
async fn what_was_announced_under_other_limits_is_forgotten() {
    let scene = Scene::new(rules(&[("r", "{keep: 30d}")]), vec![letter("r", 1, 40), letter("r", 2, 10)]).await;
    let current = Arc::clone(&scene.rules);
    let now: RulesNow = Arc::new(move || Arc::clone(&current.lock().expect("no panic")));
    let never = DropTimes { notice: Duration::from_secs(3600), ..SOON };
    let (drops, task) = LetterDrops::new(DeadLetters::new(scene.store.clone()), now, scene.metrics.clone(), never);
    let task = tokio::spawn(task);
    for (limits, to_drop) in
        [("{keep: 30d}", Some(1)), ("{keep: 1d}", Some(2)), ("{keep: 90d}", Some(0)), ("none", None)]
    {
        *scene.rules.lock().expect("no panic") = rules(&[("r", limits)]);
        let waited = drops.wait_for(|views| views.get("r").map(|view| view.to_drop) == to_drop);
        assert!(tokio::time::timeout(DEADLINE, waited).await.expect(limits), "{limits}");
    }
    task.abort();
    assert_eq!(scene.numbers(), [1, 2]);
}
