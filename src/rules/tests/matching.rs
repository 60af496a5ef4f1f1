//! Which changes a rule takes, and the keys that put their deliveries in order.

use super::*;
use crate::ordering::{LANE_FORM, LaneKey};

#[test]
fn a_change_matches_by_op_changed_columns_and_condition() {
    let (new, paid) = (values(1, "new", 5), values(1, "paid", 5));
    let insert = change(Op::Insert, None, Some(paid.clone()));
    let update = change(Op::Update, Some(new.clone()), Some(paid.clone()));
    let same = change(Op::Update, Some(paid.clone()), Some(paid.clone()));
    let delete = change(Op::Delete, Some(paid), None);
    let read = change(Op::Read, None, Some(new));
    for (keys, expected) in [
        ("in_flight: 1", [true, true, true, true, false]),
        ("on: read", [false, false, false, false, true]),
        ("changed: [status]", [true, true, false, true, false]),
        ("changed: [id, customer]", [true, false, false, true, false]),
        ("when: row.status == 'paid'", [true, true, true, true, false]),
        ("when: old is none or old.status != row.status", [true, true, false, false, false]),
        ("on: [update]\n    when: \"'status' in changed\"", [false, true, false, false, false]),
    ] {
        let rules = rule_set(keys);
        for (change, expected) in [&insert, &update, &same, &delete, &read].into_iter().zip(expected) {
            let expected: Vec<_> = expected.then(|| ("r".to_string(), None)).into_iter().collect();
            assert_eq!(matched(&rules, change), expected, "{keys} on {}", change.op);
        }
    }
}

#[test]
fn a_change_by_rowhook_itself_matches_only_where_a_rule_asks_for_it() {
    let mut insert = Arc::unwrap_or_clone(change(Op::Insert, None, Some(values(1, "new", 5))));
    Arc::make_mut(&mut insert.transaction).is_own = true;
    let insert = Arc::new(insert);
    let rules = rule_set("when: row.state == 'paid'");
    // Not even what cannot be decided is an error then.
    assert_eq!(matched(&rules, &insert), []);
    assert_eq!(matched(&rule_set("own_writes: true"), &insert), [("r".to_string(), None)]);
}

#[test]
fn a_condition_that_cant_be_decided_matches_with_the_reason() {
    let update = change(Op::Update, Some(values(1, "new", 5)), Some(values(1, "paid", 5)));
    for (keys, expected) in [
        ("when: row.state == 'paid'", "`when`: table shop.orders has no column `state`"),
        ("when: row.status > 5", "`when`: `>` can't be used with a text column and a number"),
        ("changed: [state]", "no column `state`, which `changed` names"),
        ("order_by: [state]", "no column `state`, which `order_by` names"),
    ] {
        let found = matched(&rule_set(keys), &update);
        let reason = found[0].1.as_deref().expect(keys);
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains("paid"), "{reason}");
    }
    // Cheap tests come first: what `on` leaves out is never evaluated.
    assert_eq!(matched(&rule_set("on: delete\n    when: row.state == 'paid'"), &update), []);
}

#[test]
fn rules_match_by_table_pattern_in_file_order() {
    let text = "table: shop.*\nrules:\n  - {name: b, call: {url: http://a.test/}}\n  - {name: a, call: {url: http://a.test/}}\n";
    let other = "table: other.orders\nrules:\n  - {name: c, call: {url: http://a.test/}}\n";
    let files = [(PathBuf::from("1.yaml"), text.to_string()), (PathBuf::from("2.yaml"), other.to_string())];
    let rules = RuleSet::from_texts(&files, &env).expect("loads");
    let insert = change(Op::Insert, None, Some(values(1, "new", 5)));
    for _ in 0..2 {
        let names: Vec<String> = matched(&rules, &insert).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "a"]);
    }
    assert_eq!(rules.patterns().0.len(), 2);
}

#[test]
fn ordering_keys_follow_the_row_and_an_update_that_moves_it_has_both() {
    let keys = |order_by: &str, change: &Arc<Change>| {
        rule_set(&format!("order_by: {order_by}")).rules()[0].ordering_keys(change).iter().collect::<Vec<_>>()
    };
    let insert = |id, customer| change(Op::Insert, None, Some(values(id, "new", customer)));
    let update = |from: [Value; 3], to: [Value; 3]| change(Op::Update, Some(from), Some(to));
    let moved = update(values(1, "new", 5), values(2, "new", 5));

    assert_eq!(keys("none", &moved), []);
    assert_eq!(keys("primary_key", &insert(1, 5)), keys("primary_key", &insert(1, 6)));
    assert_ne!(keys("primary_key", &insert(1, 5)), keys("primary_key", &insert(2, 5)));
    let both = [keys("primary_key", &insert(1, 5)), keys("primary_key", &insert(2, 5))].concat();
    assert_eq!(keys("primary_key", &moved), both);
    assert_eq!(keys("[customer]", &moved), keys("[customer]", &insert(9, 5)));
    assert_eq!(keys("table", &moved), keys("table", &insert(7, 7)));
    let delete = change(Op::Delete, Some(values(1, "new", 5)), None);
    assert_eq!(keys("primary_key", &delete), keys("primary_key", &insert(1, 5)));

    let mut keyless = (*insert(1, 5)).clone();
    keyless.table = Arc::new(Table { primary_key: vec![], ..(*keyless.table).clone() });
    assert_eq!(keys("primary_key", &Arc::new(keyless)), keys("table", &insert(7, 7)));
}

/// Dead letters that block keys are on disk under them: keys of another form let later changes pass, unless `LANE_FORM` is
/// raised and the store makes them again.
#[test]
fn the_keys_of_a_form_stay_as_they_are() {
    assert_eq!(LANE_FORM, 2, "the keys below are those of form 2");
    // Computed apart from this program, from the description in `ordering/form.rs`.
    let key = |order_by: &str, status: Value| {
        let change = change(Op::Insert, None, Some([Value::Uint(1), status, Value::Int(-5)]));
        let keys = rule_set(&format!("order_by: {order_by}")).rules()[0].ordering_keys(&change);
        let [LaneKey(key)] = keys.iter().collect::<Vec<_>>()[..] else { panic!("one key") };
        format!("{key:016x}")
    };
    for (order_by, status, expected) in [
        ("table", Value::Null, "9ad47861c1b36541"),
        ("primary_key", Value::Null, "204c8553c0229463"),
        ("[customer]", Value::Null, "bc9e507b142f5d3a"),
        ("[customer, id]", Value::Null, "878183c0e76795a0"),
        ("[status]", Value::Null, "325ceb57efd06049"),
        ("[status]", Value::Float(1.5), "139208a8d31f4a4f"),
        ("[status]", Value::Double(-0.0), "57baf3aacd21175f"),
        ("[status]", Value::Decimal("1200.50".into()), "4733fb931882edd4"),
        ("[status]", Value::Int(-3000), "664d853d9a899ff1"),
        ("[status]", Value::Text("new ".into()), "18566ac3dae06717"),
        ("[status]", Value::Text("2026-01-01T09:30:00.500".into()), "7a4898c8aa55fc2e"),
        ("[status]", Value::Bytes([0, 255].into()), "2eee7bbdff6b5e8b"),
        ("[status]", Value::Labels(["a".into(), "b".into()].into()), "a0ca793909e7ebaa"),
        ("[status]", Value::Json("{}".into()), "bb708260efb9cb44"),
    ] {
        assert_eq!(key(order_by, status.clone()), expected, "{order_by} {status:?}");
    }
}

#[test]
fn two_rules_never_share_a_lane() {
    let text = "table: shop.orders\nrules:\n  - {name: a, call: {url: http://a.test/}}\n  - {name: b, call: {url: http://a.test/}}\n";
    let rules = load(text).expect("loads");
    let insert = change(Op::Insert, None, Some(values(1, "new", 5)));
    assert_ne!(rules.rules()[0].ordering_keys(&insert), rules.rules()[1].ordering_keys(&insert));
}
