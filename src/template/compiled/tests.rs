//! Compiled conditions against the interpreter: whatever the expression and the row, the same answer or the same error.
//!
//! Random expressions of the supported kind over random rows of several tables, and the edges of numbers by hand. These rows come
//! without types, as stored ones do; rows with types are for `template::tests::types`.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::change::{Cell, Op, Row, Table, Transaction, Value};
use crate::template::{Condition, Secret};

const COLUMNS: [&str; 6] = ["a", "b", "c", "status", "total", "odd name"];

fn no_env(_: &str) -> Result<Option<Secret>, String> {
    Ok(None)
}

fn change(op: Op, columns: &[&str], before: Option<Vec<Cell>>, after: Option<Vec<Cell>>) -> Arc<Change> {
    let columns = columns.iter().map(|name| (*name).into()).collect();
    Arc::new(Change {
        op,
        table: Arc::new(Table { schema: "shop".into(), name: "orders".into(), columns, primary_key: vec![0] }),
        before: before.map(Row::from_iter),
        after: after.map(Row::from_iter),
        transaction: Arc::new(Transaction { offset: 157, ..Transaction::example() }),
        ordinal: 1,
    })
}

/// An insert of a row with one column, `a`.
fn insert(value: Value) -> Arc<Change> {
    change(Op::Insert, &["a"], None, Some(vec![Cell::Value(value)]))
}

/// One that needs no interpreter.
fn plain(source: &str) -> Condition {
    let condition = condition(source);
    assert!(condition.is_plain(), "{source} needs the interpreter");
    condition
}

fn condition(source: &str) -> Condition {
    Condition::compile(source, "r", &no_env).expect(source)
}

/// What both ways answer.
#[track_caller]
fn both(source: &str, change: &Arc<Change>) -> Result<Option<bool>, Error> {
    let condition = plain(source);
    agree(&condition, change);
    condition.decide(change)
}

#[track_caller]
fn agree(condition: &Condition, change: &Arc<Change>) {
    assert_eq!(condition.decide(change), condition.interpret(change), "{condition:?} on {change:?}");
}

fn edges() -> Vec<Value> {
    let texts = ["", "paid", "a", "12.30", "0.1", "ü", "true", "a\n\"b'\\"];
    let digits = ["0.00", "-0.00", "12.30", "-12.3", "0.1", "1", "9007199254740993", "9223372036854775807.0"]
        .into_iter()
        .chain(["18446744073709551615", "-9223372036854775808", "99999999999999999999999999999999999.99", "no digits"]);
    let floats = [0.0, -0.0, 0.1, 12.3, 16_777_217.0, f32::MAX, f32::MIN_POSITIVE, f32::NAN, f32::INFINITY];
    let two = 2f64;
    let doubles = [0.0, -0.0, 0.1, 12.3, two.powi(53), -two.powi(63), two.powi(63), two.powi(64), 1e300, 5e-324]
        .into_iter()
        .chain([f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let ints = [0, 1, -1, 1 << 53, (1 << 53) + 1, i64::MAX - 1, i64::MAX, i64::MIN];
    let uints = [0, 1, 1 << 53, (1 << 53) + 1, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX];
    let labels = [vec![], vec!["paid".into(), "a".into()]];
    let documents = ["null", "5", "\"paid\"", "[1, \"a\"]", "{\"a\": 1}", "{broken"];
    [Value::Null, Value::Bytes([0, 255].into()), Value::Bytes([].into())]
        .into_iter()
        .chain(ints.map(Value::Int))
        .chain(uints.map(Value::Uint))
        .chain(floats.map(Value::Float))
        .chain(doubles.map(Value::Double))
        .chain(digits.map(|text| Value::Decimal(text.into())))
        .chain(texts.map(|text| Value::Text(text.into())))
        .chain(labels.map(|labels| Value::Labels(labels.into())))
        .chain(documents.map(|text| Value::Json(text.into())))
        .collect()
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        12 => select(edges()).prop_map(Cell::Value),
        1 => Just(Cell::Absent),
        2 => any::<i64>().prop_map(|number| Cell::Value(Value::Int(number))),
        2 => any::<u64>().prop_map(|number| Cell::Value(Value::Uint(number))),
        2 => any::<f32>().prop_map(|number| Cell::Value(Value::Float(number))),
        2 => any::<f64>().prop_map(|number| Cell::Value(Value::Double(number))),
        2 => "-?[0-9]{1,20}(\\.[0-9]{1,6})?".prop_map(|text| Cell::Value(Value::Decimal(text.into()))),
        1 => any::<String>().prop_map(|text| Cell::Value(Value::Text(text.into()))),
    ]
}

/// Rows of tables that have these columns in any order, or lack some.
fn any_change() -> impl Strategy<Value = Arc<Change>> {
    let columns = subsequence(COLUMNS.to_vec(), 3..=COLUMNS.len()).prop_shuffle();
    let images = (proptest::collection::vec(cell(), 6), proptest::collection::vec(cell(), 6));
    let op = select(vec![Op::Insert, Op::Update, Op::Delete, Op::Read]);
    (op, columns, images).prop_map(|(op, columns, (before, after))| {
        let before = (op == Op::Update || op == Op::Delete).then_some(before);
        change(op, &columns, before, (op != Op::Delete).then_some(after))
    })
}

/// Literals at the edges, as a rule writes them.
fn literals() -> Vec<String> {
    "0 1 -1 -0 5 18446744073709551616 -9223372036854775809 9007199254740992 9007199254740993 9223372036854775807 9223372036854775808 0x10 1_000 \
     -9223372036854775808 18446744073709551615 0.0 -0.0 0.1 12.3 -12.30 16777217.0 9007199254740993.0 \
     9223372036854775807.0 9223372036854775808.0 18446744073709551615.0 1e19 1e300 5e-324 \
     1.2345678901234567 -1.2345678901234567 99999999999999999999999999999999999.99 \
     true false none 'paid' \"a\" '' '12.30' 'ü' 'a\\n\"b\\'\\\\' 'insert' 'orders'"
        .split_whitespace()
        .map(str::to_string)
        .collect()
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(literals()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => "-?[0-9]{1,7}\\.[0-9]{1,12}",
        1 => "-?[1-9][0-9]{0,5}e-?[0-9]{1,2}",
        1 => "[a-z%{}#é ]{0,6}".prop_map(|text| format!("'{text}'")),
    ]
}

fn column() -> impl Strategy<Value = String> {
    let image = prop_oneof![4 => Just("row"), 1 => Just("old")];
    let name = select(vec![".a", ".b", ".c", ".status", ".total", "['odd name']", "['a']", ".gone"]);
    (image, name).prop_map(|(image, name)| format!("{image}{name}"))
}

fn term() -> impl Strategy<Value = String> {
    prop_oneof![5 => column(), 4 => literal(), 1 => select(vec!["op", "schema", "table"]).prop_map(str::to_string)]
}

fn expression() -> impl Strategy<Value = String> {
    let operator = || select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let items = proptest::collection::vec(literal(), 0..4).prop_map(|items| items.join(", "));
    let leaf = prop_oneof![
        8 => (term(), operator(), term()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (term(), operator(), select(vec!["row.a", "old.b", "5", "0.1", "op"]), operator(), term())
            .prop_map(|(a, first, b, second, c)| format!("{a} {first} {b} {second} {c}")),
        2 => (term(), select(vec!["in", "not in"]), items).prop_map(|(a, op, items)| format!("{a} {op} [{items}]")),
        1 => (term(), select(vec!["in", "not in"]), term()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (term(), literal(), literal()).prop_map(|(a, x, y)| format!("{a} in ({x}, {y})")),
        2 => (term(), select(vec!["none", "not none", "defined", "not defined"])).prop_map(|(a, test)| format!("{a} is {test}")),
        1 => select(vec!["old is none", "old is not none", "'a' in changed", "'gone' not in changed"]).prop_map(str::to_string),
        2 => term(),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            1 => inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn a_compiled_condition_answers_as_the_interpreter_does(
        source in expression(), changes in proptest::collection::vec(any_change(), 1..6),
    ) {
        // What never holds is refused: `row.a < none`, `op == 'paid'`.
        let condition = Condition::compile(&source, "r", &no_env);
        prop_assume!(condition.is_ok());
        let condition = condition.expect("it is");
        prop_assert!(condition.is_plain(), "not compiled: {source}");
        changes.iter().for_each(|change| agree(&condition, change));
    }
}

#[test]
fn every_edge_compares_with_every_edge_as_in_the_interpreter() {
    for operator in ["==", "!=", "<", "<=", ">", ">=", "in"] {
        let source = format!("row.a {operator} row.b");
        let condition = plain(&source);
        for a in edges() {
            for b in edges() {
                let cells = vec![Cell::Value(a.clone()), Cell::Value(b)];
                agree(&condition, &change(Op::Insert, &["a", "b"], None, Some(cells)));
            }
        }
    }
}

#[test]
fn every_edge_compares_with_every_literal_as_in_the_interpreter() {
    let rows: Vec<_> = edges().into_iter().map(insert).collect();
    for operator in ["==", "<", "<=", ">", ">=", "in"] {
        for literal in literals() {
            for source in [format!("row.a {operator} {literal}"), format!("{literal} {operator} row.a")] {
                if literal == "none" && operator != "==" {
                    continue;
                }
                let is_within_text = operator == "in" && literal.starts_with(['\'', '"']) && source.ends_with(&literal);
                if is_within_text {
                    let flaws = Condition::compile(&source, "r", &no_env).expect_err(&source);
                    assert!(flaws[0].message.contains("write a list"), "{source}: {flaws:?}");
                    continue;
                }
                let condition = plain(&source);
                rows.iter().for_each(|change| agree(&condition, change));
            }
        }
    }
}

#[test]
fn numbers_keep_their_exactness_at_the_edges() {
    let text = |text: &str| Value::Text(text.into());
    let decimal = |text: &str| Value::Decimal(text.into());
    for (value, source, expected) in [
        (Value::Int((1 << 53) + 1), "row.a == 9007199254740993", true),
        (Value::Int((1 << 53) + 1), "row.a == 9007199254740992.0", false),
        (Value::Int((1 << 53) + 1), "row.a > 9007199254740992.0", true),
        (Value::Double(9_007_199_254_740_992.0), "row.a == 9007199254740992", true),
        // Beside a DOUBLE, MySQL takes every number for one.
        (Value::Double(9_007_199_254_740_992.0), "row.a == 9007199254740993", true),
        (Value::Double(9_007_199_254_740_992.0), "row.a < 9007199254740993", false),
        (Value::Uint(u64::MAX), "row.a > 9223372036854775807", true),
        (Value::Uint(u64::MAX), "row.a == -1", false),
        (Value::Int(i64::MIN), "row.a == -9223372036854775808", true),
        (Value::Double(-0.0), "row.a == 0", true),
        (Value::Double(-0.0), "row.a < 0", false),
        (Value::Double(-0.0), "row.a", false),
        // A FLOAT of 0.1 is 0.10000000149011612.
        (Value::Float(0.1), "row.a == 0.1", false),
        (Value::Float(0.1), "row.a > 0.1", true),
        (Value::Float(0.5), "row.a == 0.5", true),
        (Value::Double(0.1), "row.a == 0.1", true),
        (decimal("0.10"), "row.a == 0.1", true),
        (decimal("12.30"), "row.a > 12", true),
        (decimal("12.30"), "row.a in [1, 12.3]", true),
        (decimal("-0.00"), "row.a", false),
        (decimal("9007199254740993"), "row.a > 9007199254740992.0", true),
        (decimal("99999999999999999999.99"), "row.a == 99999999999999999999.99", true),
        (decimal("99999999999999999999.99"), "row.a < 99999999999999999999.98", false),
        (text("10"), "row.a < '9'", true),
        (text("paid"), "'ai' in row.a", true),
        (Value::Int(1), "row.a == true", true),
        (Value::Null, "row.a == none", true),
        (Value::Null, "row.a is none", true),
        (Value::Null, "row.a is defined", true),
        (Value::Null, "row.gone is defined", false),
        (Value::Null, "row['gone'] is not defined", true),
        (Value::Null, "row.gone is defined and row.gone == 1", false),
        (Value::Null, "old.gone is defined", false),
    ] {
        assert_eq!(both(source, &insert(value)), Ok(Some(expected)), "{source}");
    }
    let error = both("row.a == 12.3", &insert(text("12.30"))).expect_err("a text is no number").to_string();
    assert!(error.contains("a text is compared with texts"), "{error}");
    both("row.a", &insert(text(""))).expect_err("a text is no condition");
}

#[test]
fn errors_are_the_interpreters_and_come_only_from_what_is_evaluated() {
    let update = change(
        Op::Update,
        &["a", "b", "c"],
        Some(vec![Cell::Value(Value::Null), Cell::Value(Value::Int(5)), Cell::Absent]),
        Some(vec![Cell::Value(Value::Null), Cell::Absent, Cell::Absent]),
    );
    for (source, expected) in [
        ("row.gone == 1", "has no column `gone`"),
        ("row.c == 1", "column `c` of table shop.orders is not in the row image"),
        ("old.c is none", "is not in the row image"),
        ("'x' >= row.b", "`>=` can't be used with a string and a number column"),
        ("1 < row.b < row.gone", "no column `gone`"),
    ] {
        let error = both(source, &update).expect_err(source).to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
    for (source, expected) in [
        ("row.a < 5", None),
        ("row.a is none and row.a > 1", None),
        ("row.a is not none and row.a < 5", Some(false)),
        ("row.a is none or row.gone == 1", Some(true)),
        ("9 < row.b < row.gone", Some(false)),
        ("row.b == 5 and old.b == 5", Some(true)),
    ] {
        assert_eq!(both(source, &update), Ok(expected), "{source}");
    }
    let error = both("old.a == 1", &insert(Value::Null)).expect_err("no old row").to_string();
    assert!(error.contains("no old row for an insert"), "{error}");
    assert_eq!(both("old is none or old.a == 1", &insert(Value::Null)), Ok(Some(true)));
}

#[test]
fn what_is_not_plain_stays_with_the_interpreter() {
    for source in [
        "row.a | lower == 'x'",
        "row.a == 1 and row.b | length > 2",
        "row.a + 1 > 2",
        "row.a ~ 'x' == 'yx'",
        "row.doc.x == 1",
        "row[op] == 1",
        "row == old",
        "row",
        "not old",
        "key == [1]",
        "row.a in [1, row.b]",
        "row.a in key",
        "row.a in changed",
        "op in changed",
        "event.offset > 5",
        "row.a is string",
        "(row.a == 1) == true",
        "row.a == 1e999",
        "row.a == -'x'",
    ] {
        assert!(!condition(source).is_plain(), "{source}");
    }
}

#[test]
fn a_column_is_found_where_each_table_has_it() {
    let condition = plain("row.a == 1 and row.b == 2");
    let cells = |values: [i64; 3]| Some(values.map(|value| Cell::Value(Value::Int(value))).to_vec());
    for _ in 0..2 {
        let rows = [(["a", "b", "c"], [1, 2, 9]), (["b", "c", "a"], [2, 9, 1]), (["c", "a", "b"], [9, 1, 2])];
        for (columns, values) in rows {
            let change = change(Op::Insert, &columns, None, cells(values));
            assert_eq!(condition.holds(&change), Ok(true), "{columns:?}");
        }
        let without = change(Op::Insert, &["c", "b", "d"], None, cells([1, 2, 1]));
        assert!(matches!(condition.holds(&without), Err(Error::UnknownColumn { .. })));
    }
}

#[test]
fn and_or_and_not_have_the_three_values_of_sql() {
    let row = |a: Value, b: Value| change(Op::Insert, &["a", "b"], None, Some(vec![Cell::Value(a), Cell::Value(b)]));
    let value = |truth: Option<bool>| truth.map_or(Value::Null, |truth| Value::Int(truth.into()));
    let (yes, no, unknown) = (Some(true), Some(false), None);
    for (a, b, and, or) in [
        (yes, yes, yes, yes),
        (yes, no, no, yes),
        (yes, unknown, unknown, yes),
        (no, yes, no, yes),
        (no, no, no, no),
        (no, unknown, no, unknown),
        (unknown, yes, unknown, yes),
        (unknown, no, no, unknown),
        (unknown, unknown, unknown, unknown),
    ] {
        let row = row(value(a), value(b));
        let negated = |truth: Option<bool>| truth.map(|truth| !truth);
        for (source, expected) in [
            ("row.a == 1 and row.b == 1", and),
            ("row.a == 1 or row.b == 1", or),
            ("row.a and row.b", and),
            ("row.a or row.b", or),
            ("not (row.a == 1 and row.b == 1)", negated(and)),
            ("not (row.a == 1 or row.b == 1)", negated(or)),
            ("row.a != 1 or row.b != 1", negated(and)),
            ("row.a != 1 and row.b != 1", negated(or)),
            ("row.a in [1, 5] and row.b in (1, 7)", and),
            ("row.a not in [1] or row.b not in [1]", negated(and)),
            ("row.a == row.b", a.zip(b).map(|(a, b)| a == b)),
            ("row.b if row.a else 0", if a == yes { b } else { no }),
        ] {
            assert_eq!(both(source, &row), Ok(expected), "{source} of {a:?} and {b:?}");
            let holds = condition(source).holds(&row);
            assert_eq!(holds, Ok(expected == yes), "only true is a match: {source}");
        }
    }
}

#[test]
fn null_is_asked_for_by_is_none_and_equality_with_none() {
    for (source, of_null, of_one) in [
        ("row.a is none", Some(true), Some(false)),
        ("row.a == none", Some(true), Some(false)),
        ("none == row.a", Some(true), Some(false)),
        ("row.a is not none", Some(false), Some(true)),
        ("row.a != none", Some(false), Some(true)),
        ("none != row.a", Some(false), Some(true)),
        ("row.a in [2, none]", Some(true), Some(false)),
        ("row.a not in [2, none]", Some(false), Some(true)),
        ("row.a in []", Some(false), Some(false)),
        ("row.a not in []", Some(true), Some(true)),
        ("row.a == 1", None, Some(true)),
        ("row.a != 2", None, Some(true)),
        ("0 < row.a < 5", None, Some(true)),
        ("row.a > 5 or row.a is none", Some(true), Some(false)),
        ("row.a is defined", Some(true), Some(true)),
    ] {
        assert_eq!(both(source, &insert(Value::Null)), Ok(of_null), "{source} of NULL");
        assert_eq!(both(source, &insert(Value::Int(1))), Ok(of_one), "{source} of 1");
    }
    for source in ["row.a < none", "none >= row.a", "row.a > none"] {
        let flaws = Condition::compile(source, "r", &no_env).expect_err(source);
        assert!(flaws[0].message.contains("write `is none`"), "{flaws:?}");
    }
}
