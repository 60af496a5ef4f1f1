//! Rules checked against tables: as they are now, and as a row finds them.

use super::*;
use crate::pattern::TablePattern;
use crate::schema::{MissingTable, NamedTables, TypedTable};

fn table(name: &str, columns: &[&str]) -> Table {
    let columns = columns.iter().map(|name| Box::from(*name)).collect();
    Table { schema: "shop".into(), name: name.into(), columns, primary_key: vec![0] }
}

fn untyped(table: Table) -> TypedTable {
    TypedTable { table, columns: Vec::new(), keyed: Default::default() }
}

/// Tables of the schema of these tests.
fn there(tables: &[(&str, &[&str])]) -> NamedTables {
    let found = tables.iter().map(|(name, columns)| untyped(table(name, columns))).collect();
    NamedTables { found, ..NamedTables::default() }
}

fn judged(
    rules: &RuleSet,
    tables: &NamedTables,
    if_missing: IfMissing,
    at_work: &[&str],
) -> (Vec<String>, Vec<String>) {
    let judgement = Judgement::of(rules.against(tables, if_missing), |said| at_work.contains(&said.rule.as_str()));
    let shown = |said: Vec<Diagnostic>| said.iter().map(ToString::to_string).collect();
    (shown(judgement.problems), shown(judgement.warnings))
}

#[test]
fn columns_that_a_table_lacks_are_found_with_their_places_and_what_helps() {
    for (keys, expected) in [
        (
            "when: row.sttaus == 'paid' and old.id == 1",
            "f.yaml:4:11: table shop.orders has no column `sttaus`; did you mean `status`?",
        ),
        (
            "when: row.id == 1 and row.discount > 2",
            "f.yaml:4:27: table shop.orders has no column `discount`; fix: correct the name, or add the column first; \
             `row.discount is defined` asks whether it is there",
        ),
        ("changed: [stat]", "f.yaml:4:15: table shop.orders has no column `stat`; did you mean `status`?"),
        ("order_by: [idd]", "f.yaml:4:16: table shop.orders has no column `idd`; did you mean `id`?"),
        ("redact: [statuss]", "f.yaml:4:14: table shop.orders has no column `statuss`; did you mean `status`?"),
    ] {
        let rules = rule_set(keys);
        let tables = there(&[("orders", &["id", "status"])]);
        let refused = (vec![expected.to_string()], vec![]);
        assert_eq!(judged(&rules, &tables, IfMissing::Refuse, &[]), refused, "{keys}");
        assert_eq!(judged(&rules, &tables, IfMissing::Allow, &[]), refused, "{keys}");
        // A rule that worked with that column before is paused, which is no reason to stop the others.
        assert_eq!(judged(&rules, &tables, IfMissing::Refuse, &["r"]), (refused.1, refused.0), "{keys}");
    }
}

#[test]
fn a_column_that_is_asked_for_may_be_missing() {
    let lacking = |keys: &str| rule_set(keys).rules()[0].lacks(&table("orders", &["id"]));
    for (keys, is_lacking) in [
        ("when: row.note is defined", false),
        ("when: row.note is undefined", false),
        ("when: row.note is not defined", false),
        ("when: not (row['note'] is defined)", false),
        ("when: old.note is defined", false),
        ("when: row.note is defined and row.note == 'x'", false),
        ("when: row.note == 'x' and row.note is defined", false),
        ("when: row.note is none", true),
        ("when: row.note is defined and row.other == 'x'", true),
        ("{when: row.note is defined, changed: [note]}", true),
    ] {
        let keys = keys.trim_matches(['{', '}']).replace(", changed", "\n    changed");
        assert_eq!(lacking(&keys).is_some(), is_lacking, "{keys}");
    }
    let body = rule_calling("on: insert", "body: \"{{ row.note if row.note is defined else '-' }}\"");
    assert_eq!(load(&body).expect("loads").rules()[0].lacks(&table("orders", &["id"])), None);
}

#[test]
fn a_table_that_is_not_there_is_a_problem_unless_it_may_come_later_or_was_there() {
    for (pattern, if_missing, at_work, is_problem) in [
        ("shop.orders", IfMissing::Refuse, &[][..], true),
        ("shop.orders", IfMissing::Allow, &[], false),
        ("shop.orders", IfMissing::Refuse, &["r"], false),
        ("shop.orders_*", IfMissing::Refuse, &[], false),
    ] {
        let rules = load(&rule("when: row.id == 1").replace("shop.orders", pattern)).expect("loads");
        let (what, fix) = ("there is no such table".to_string(), "create it".to_string());
        let missing = vec![MissingTable { pattern: TablePattern::parse(pattern).expect("a pattern"), what, fix }];
        let tables = NamedTables { found: vec![untyped(table("lines", &["id"]))], missing };
        let said = vec!["f.yaml:1:8: there is no such table; fix: create it".to_string()];
        let expected = if is_problem { (said, vec![]) } else { (vec![], said) };
        assert_eq!(judged(&rules, &tables, if_missing, at_work), expected, "{pattern} {if_missing:?} {at_work:?}");
    }
}

#[test]
fn each_of_several_tables_is_checked_and_is_missing_at_its_own_place() {
    let text = rule("when: row.status == 1").replace("table: shop.orders", "tables: [shop.orders, shop.returns]");
    let rules = load(&text).expect("loads");
    let missing = vec![MissingTable {
        pattern: TablePattern::parse("shop.returns").expect("a pattern"),
        what: "there is no such table".to_string(),
        fix: "create it".to_string(),
    }];
    let tables = NamedTables { found: vec![untyped(table("orders", &["id"]))], missing };
    let (problems, _) = judged(&rules, &tables, IfMissing::Refuse, &[]);
    let expected = [
        "f.yaml:1:23: there is no such table; fix: create it",
        "f.yaml:4:11: table shop.orders has no column `status`",
    ];
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().zip(expected).all(|(problem, begin)| problem.starts_with(begin)), "{problems:?}");
}

#[test]
fn each_table_that_fits_a_pattern_is_checked() {
    let rules = load(&rule("when: row.status == 1").replace("shop.orders", "shop.orders_*")).expect("loads");
    let tables = there(&[("orders_1", &["id", "status"]), ("orders_2", &["id"]), ("other", &["id"])]);
    let (problems, _) = judged(&rules, &tables, IfMissing::Refuse, &[]);
    assert!(
        matches!(&problems[..], [one] if one.contains("table shop.orders_2 has no column `status`")),
        "{problems:?}"
    );
    let lacks = |name: &str, columns: &[&str]| rules.rules()[0].lacks(&table(name, columns));
    assert_eq!(lacks("orders_1", &["id", "status"]), None);
    assert_eq!(lacks("orders_1", &[]), None, "nothing is known of its columns");
    let renamed = "table shop.orders_2 has no column `status`; did you mean `state`?";
    assert_eq!(lacks("orders_2", &["id", "state"]).as_deref(), Some(renamed));
}

#[test]
fn what_a_rule_needs_differs_by_table_columns_and_conditions() {
    let needs = |text: &str| load(text).expect("loads").rules()[0].needs();
    let first = rule("when: row.a == 1 and row.b == 2");
    assert_eq!(needs(&first), "shop.orders: a, b; row.a == 1 and row.b == 2");
    for (text, is_same) in [
        (rule("when: row.b == 3 or row.a == row.b"), false),
        (rule_calling("when: row.a == 1 and row.b == 2", "method: PUT"), true),
        (rule("when: row.a == 1"), false),
        (rule("{}").replace("{}", "when: row.a == 1 and row.b == 2\n    redact: [c]"), false),
        (first.replace("shop.orders", "shop.order"), false),
    ] {
        assert_eq!(needs(&text) == needs(&first), is_same, "{text}");
    }
}

#[test]
fn a_row_of_a_table_that_lacks_a_needed_column_matches_with_that_reason_unless_the_rule_is_not_for_it() {
    let insert = change(Op::Insert, None, Some(values(1, "paid", 7)));
    for (keys, matches) in [
        ("on: insert\n    when: row.status == 'paid'", Some(false)),
        ("on: insert\n    when: row.gone == 'paid'", Some(true)),
        ("on: insert\n    redact: [gone]", Some(true)),
        ("order_by: [gone]", Some(true)),
        ("when: row.status == 'new' and row.gone == 1", None),
        ("on: update\n    changed: [gone]", None),
        ("when: row.gone is defined", None),
        ("when: row.gone is not defined", Some(false)),
    ] {
        let mut out = Vec::new();
        rule_set(keys).matches(&insert, &mut out);
        assert_eq!(out.first().map(|found| found.lacks.is_some()), matches, "{keys}");
    }
}
