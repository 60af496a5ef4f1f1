//! Columns with their types: literals are read as what they stand beside, and what can't be compared is refused, beforehand and on the row.

use super::*;
use crate::change::row::{Image, Span};
use crate::column::ColumnKind;
use crate::column::charset::Charset;
use crate::schema::TypedColumn;

/// Columns, each with its kind and the bytes of a value.
fn columns() -> Vec<(&'static str, ColumnKind, Vec<u8>)> {
    let labels = |labels: &[&str]| Some(labels.iter().map(|label| (*label).into()).collect());
    let text = |charset| ColumnKind::Text { length_bytes: 1, charset, pad: None, octets_max: Some(80) };
    let enumeration = ColumnKind::Enum { bytes: 1, charset: Charset::Utf8, labels: labels(&["s", "m", "l"]) };
    let set = ColumnKind::Set { bytes: 1, charset: Charset::Utf8, labels: labels(&["a", "b", "c"]) };
    // 2026-11-20, 12:30:05.
    let date: u32 = 20 | 11 << 5 | 2026 << 9;
    let datetime: u64 = 0x80_0000_0000 + ((2026 * 13 + 11) << 22 | 20 << 17 | 12 << 12 | 30 << 6 | 5);
    let time: u32 = 0x80_0000 + (9 << 12);
    vec![
        ("id", ColumnKind::Int { bytes: 4, unsigned: false }, 7i32.to_le_bytes().to_vec()),
        ("tiny", ColumnKind::Int { bytes: 1, unsigned: true }, vec![200]),
        ("total", ColumnKind::Decimal { precision: 5, scale: 2 }, vec![0x80, 12, 30]),
        ("ratio", ColumnKind::Float, 0.1f32.to_le_bytes().to_vec()),
        ("year", ColumnKind::Year, vec![126]),
        ("day", ColumnKind::Date, date.to_le_bytes()[..3].to_vec()),
        ("paid_at", ColumnKind::DateTime { digits: 0 }, datetime.to_be_bytes()[3..].to_vec()),
        ("ts", ColumnKind::Timestamp { digits: 0 }, 1_795_177_805u32.to_be_bytes().to_vec()),
        ("tm", ColumnKind::Time { digits: 0 }, time.to_be_bytes()[1..].to_vec()),
        ("size", enumeration, vec![2]),
        ("tags", set, vec![3]),
        ("note", text(Charset::Utf8), [&[2][..], b"10"].concat()),
        ("bin", text(Charset::Binary), [&[3][..], b"abc"].concat()),
        ("bits", ColumnKind::Bit { bits: 4 }, vec![5]),
    ]
}

/// An insert of that row, or of one that is NULL in all columns.
fn typed_row(is_null: bool) -> Arc<Change> {
    let columns = columns();
    let nulls = if is_null { 0xff } else { 0 };
    let mut bytes = vec![nulls; columns.len().div_ceil(8)];
    if !is_null {
        columns.iter().for_each(|(_, _, value)| bytes.extend(value));
    }
    let kinds: Vec<ColumnKind> = columns.iter().map(|(_, kind, _)| kind.clone()).collect();
    let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
    let span = Span { start: 0, end: bytes.len() as u32 };
    let row = Row::from(Image::new(bytes.into(), kinds.into(), None, span));
    let insert = insert("paid");
    Arc::new(Change { table: table(&names), after: Some(row), ..(*insert).clone() })
}

fn typed_columns(is_nullable: bool) -> Vec<TypedColumn> {
    let column =
        |(name, kind, _): (&str, ColumnKind, _)| TypedColumn { name: name.into(), kind: Some(kind), is_nullable };
    columns().into_iter().map(column).collect()
}

fn compiled(source: &str) -> Condition {
    Condition::compile(source, "r", &no_env).expect(source)
}

/// What the condition says, if there is no objection to it; by both ways the same.
#[track_caller]
fn decided(source: &str, change: &Arc<Change>) -> Option<bool> {
    let condition = compiled(source);
    assert!(condition.misfits("shop.orders", &typed_columns(true)).is_empty(), "{source} is refused");
    assert_eq!(condition.decide(change), condition.interpret(change), "{source}");
    condition.decide(change).expect(source)
}

const DECIDED: [(&str, bool); 81] = [
    ("row.id == 7", true),
    ("row.id == 7.0", true),
    ("row.id == '7'", true),
    ("row.id in ['7', 1]", true),
    ("row.id < '7.5'", true),
    ("row.total == '12.30'", true),
    ("row.bits == '5'", true),
    ("row.bin == 'abc'", true),
    ("row.bin < 'abd'", true),
    ("row.id in [1, 7]", true),
    ("row.id not in (1, 2)", true),
    ("row.id == true", false),
    ("6 < row.id <= 7", true),
    ("row.id < row.tiny", true),
    ("row.id < row.total", true),
    ("row.id", true),
    ("row.tiny > 199.5", true),
    ("row.total == 12.3", true),
    ("row.total < row.tiny", true),
    ("row.ratio > 0.1", true),
    ("row.ratio < 0.2", true),
    ("row.ratio == 0.1 or true", true),
    ("row.bits == 5", true),
    ("row.year == 2026", true),
    ("row.year == '2026'", true),
    ("row.year > 2025", true),
    ("row.year in [2025, 2026]", true),
    ("row.year > row.id", true),
    ("row.day == '2026-11-20'", true),
    ("row.day == '2026-11-20 00:00:00'", true),
    ("row.day < '2026-11-20 00:00:01'", true),
    ("row.day < row.paid_at", true),
    ("row.day == row.paid_at", false),
    ("row.day in ['2026-11-19', '2026-11-20']", true),
    ("row.day not in ['2026-1-2']", true),
    ("row.paid_at == '2026-11-20 12:30:05'", true),
    ("row.paid_at == '2026-11-20T12:30:05'", true),
    ("row.paid_at == '2026-11-20T12:30:05.000'", true),
    ("row.paid_at >= '2026-11-20 12:00:00'", true),
    ("row.paid_at >= '2026-11-20 13:00'", false),
    ("row.paid_at > '2026-11-20'", true),
    ("row.paid_at < '2026-11-20 12:30:05.5'", true),
    ("'2026-11-20 12:00:00' < row.paid_at", true),
    ("'2026-11-20' < row.paid_at < '2026-11-21'", true),
    ("row.paid_at == row.paid_at", true),
    ("row.ts == '2026-11-20 12:30:05'", true),
    ("row.ts == '2026-11-20T12:30:05Z'", true),
    ("row.ts == '2026-11-20 14:30:05+02:00'", true),
    ("row.ts < '2026-11-20 12:30:06'", true),
    ("row.ts >= '2026-11-20 12:30:05-00:01'", false),
    ("row.ts == row.ts", true),
    ("row.tm == '9:00:00'", true),
    ("row.tm == '09:00'", true),
    ("row.tm > '-9:00:00'", true),
    ("row.tm < '10:00:00'", true),
    ("row.tm < '9:00:01'", true),
    ("row.tm == row.tm", true),
    ("row.size == 'm'", true),
    ("row.size != 'l'", true),
    ("row.size in ['s', 'l']", false),
    ("row.size == row.note", false),
    ("row.tags == 'a,b'", true),
    ("row.tags == 'a'", false),
    ("row.tags != 'a'", true),
    ("row.tags == ''", false),
    ("row.tags == ['a', 'b']", true),
    ("'a' in row.tags", true),
    ("'c' in row.tags", false),
    ("'c' not in row.tags", true),
    ("row.size in row.tags", false),
    ("row.note == '10'", true),
    ("row.note < '9'", true),
    ("row.note == ' 10'", false),
    ("row.note in ['1', '10']", true),
    ("'1' in row.note", true),
    ("row.note != op", true),
    ("row.bin | hex == '616263'", true),
    ("row.bin == row.bin", true),
    ("row.id is eq(7)", true),
    ("row.paid_at is gt('2026-11-20 12:00:00')", true),
    ("(row.paid_at >= '2026-11-20 12:00:00') == true", true),
];

#[test]
fn a_literal_is_read_as_what_it_stands_beside() {
    let row = typed_row(false);
    for (source, expected) in DECIDED {
        if source.starts_with("row.ratio == 0.1") {
            continue;
        }
        assert_eq!(decided(source, &row), Some(expected), "{source}");
    }
}

#[test]
fn null_is_unknown_beside_every_type() {
    let row = typed_row(true);
    for (source, _) in DECIDED {
        if source.starts_with("row.ratio == 0.1") {
            continue;
        }
        assert_eq!(decided(source, &row), None, "{source}");
        assert_eq!(compiled(source).holds(&row), Ok(false), "{source}");
        assert_eq!(decided(&format!("not ({source})"), &row), None, "{source}");
    }
    for (name, ..) in columns() {
        for (source, expected) in
            [("is none", true), ("== none", true), ("is not none", false), ("!= none", false), ("in [none]", true)]
        {
            assert_eq!(decided(&format!("row.{name} {source}"), &row), Some(expected), "{name} {source}");
        }
        assert_eq!(decided(&format!("row.{name} == row.{name}"), &row), None, "{name}");
    }
}

#[test]
fn what_can_t_be_compared_is_refused_beforehand_and_on_the_row() {
    let row = typed_row(false);
    for (source, expected) in [
        (
            "row.id == '7a'",
            "column `id`: `==` can't be used with a number column and a string; a number is compared with numbers",
        ),
        ("row.id == ' 7'", "a number is compared with numbers"),
        ("row.id == '07'", "a number is compared with numbers"),
        ("row.id == '7e0'", "a number is compared with numbers"),
        ("row.id == ''", "a number is compared with numbers"),
        ("row.id in ['x']", "a number is compared with numbers"),
        ("row.id == row.note", "a number is compared with numbers"),
        ("row.total > '12,3'", "a number is compared with numbers"),
        ("row.note == 10", "a text is compared with texts"),
        ("row.note > row.id", "a text is compared with texts"),
        ("row.note == row.day", "a text is compared with texts"),
        ("row.year == 26", "write the year with four digits"),
        ("row.year == '26'", "write the year with four digits"),
        ("row.day == '20.11.2026'", "write the date as '2026-11-20'"),
        ("row.day == '2026-02-30'", "write the date as '2026-11-20'"),
        ("row.day == 20261120", "write the date as '2026-11-20'"),
        ("row.paid_at >= '2026-11-20 12:00:00Z'", "without a zone"),
        ("row.paid_at >= 'yesterday'", "write the date as"),
        ("row.paid_at == row.ts", "a DATETIME has no zone"),
        ("row.ts < row.day", "a DATETIME has no zone"),
        ("row.ts == 'now'", "write the time as '2026-11-20 12:00:00' (UTC)"),
        ("row.ts == 1795177805", "write the time as '2026-11-20 12:00:00' (UTC)"),
        ("row.tm == '9'", "write the time as '09:00:00'"),
        ("row.tm > 90000", "write the time as '09:00:00'"),
        ("row.tm < row.paid_at", "write the time as '09:00:00'"),
        ("row.size < 'm'", "labels have no order"),
        ("'s' <= row.size", "labels have no order"),
        ("row.tags > 'a'", "labels have no order"),
        ("row.size == 2", "compare with a label in quotes"),
        ("row.tags == 3", "compare with its labels"),
        ("row.bin == 5", "compare its hex digits"),
        ("row.bin > row.note", "compare its hex digits"),
        ("row.note", "by itself is no condition"),
        ("not row.paid_at", "by itself is no condition"),
        ("5 in row.note", "`in` looks for"),
        ("row.id in row.note", "`in` looks for"),
        ("row.day in row.tags", "`in` looks for"),
    ] {
        let condition = compiled(source);
        let flaws = condition.misfits("shop.orders", &typed_columns(false));
        assert_eq!(flaws.len(), 1, "{source}: {flaws:?}");
        let said = &flaws[0].message;
        assert!(said.starts_with("table shop.orders: column `") && said.contains(expected), "{source}: {said}");
        let error = condition.decide(&row).expect_err(source);
        assert_eq!(Err(&error), condition.interpret(&row).as_ref(), "{source}");
        assert!(said.contains(&error.to_string()), "{source}: {said}, and on the row {error}");
    }
}

#[test]
fn what_is_never_true_is_refused_beforehand_and_false_on_the_row() {
    let row = typed_row(false);
    for (source, expected) in [
        ("row.size == 'S'", "column `size` has no label 'S'; its labels are 's', 'm', 'l'; did you mean `s`?"),
        ("row.size in ['s', 'xl']", "no label 'xl'"),
        ("row.tags == 'a,d'", "no label 'd'"),
        ("row.tags == 'b,a'", "write 'a,b'"),
        ("row.tags == ['b', 'a']", "write 'a,b'"),
        ("'d' in row.tags", "no label 'd'"),
        ("row.id == 1.5", "column `id` is never 1.5: it holds whole numbers from -2147483648 to 2147483647"),
        ("row.id > 2147483647", "is never > 2147483647"),
        ("row.tiny == 256", "whole numbers from 0 to 255"),
        ("row.tiny == '256'", "column `tiny` is never '256'"),
        ("row.ratio == '0.1'", "no FLOAT is exactly this number"),
        ("row.tiny < 0", "is never < 0"),
        ("-1 >= row.tiny", "is never <= -1"),
        ("row.tiny in [1, -1]", "is never -1"),
        ("row.bits == 16", "whole numbers from 0 to 15"),
        ("row.total == 12.305", "numbers from -999.99 to 999.99 with 2 decimals"),
        ("row.total >= 1000", "is never >= 1000"),
        ("row.ratio == 0.1", "no FLOAT is exactly this number"),
        ("row.day == '2026-11-20 12:00:00'", "days without a time of day"),
        ("row.paid_at == '2026-11-20 12:30:05.5'", "whole seconds"),
        ("row.ts == '2026-11-20 12:30:05.5Z'", "whole seconds"),
        ("row.tm == '9:00:00.5'", "column `tm` holds whole seconds, to which MySQL rounds '9:00:00.5'"),
        ("row.tm < '9:00:00.5'", "write no more decimals than the column has"),
    ] {
        let condition = compiled(source);
        let flaws = condition.misfits("shop.orders", &typed_columns(false));
        assert_eq!(flaws.len(), 1, "{source}: {flaws:?}");
        assert!(flaws[0].message.contains(expected), "{source}: {}", flaws[0].message);
        assert_eq!(condition.decide(&row), condition.interpret(&row), "{source}");
    }
    for source in ["row.tiny >= 0", "row.tiny <= 255", "row.total > 999.98", "row.id != 2147483647", "row.ratio == 0.5"]
    {
        assert!(decided(source, &row).is_some(), "{source}");
    }
}

#[test]
fn a_flaw_has_the_place_of_its_comparison() {
    let condition = compiled("row.id == 7 and\n  (row.note == 10 or\n   row.size == 'x')");
    let places = |condition: &Condition| -> Vec<(usize, usize)> {
        let flaws = condition.misfits("shop.orders", &typed_columns(false));
        flaws.iter().map(|flaw| (flaw.line, flaw.column)).collect()
    };
    assert_eq!(places(&condition), [(2, 4), (3, 4)]);
    let placed = condition.placed(|line, column| (line + 10, column + 4));
    assert_eq!(places(&placed), [(12, 8), (13, 8)]);
}

#[test]
fn a_column_of_another_type_in_another_row_is_compared_by_that_type() {
    let condition = compiled("row.a == '2026-11-20 12:00:00'");
    let row = |kind: ColumnKind, bytes: Vec<u8>| {
        let event: Vec<u8> = [vec![0], bytes].concat();
        let span = Span { start: 0, end: event.len() as u32 };
        let row = Row::from(Image::new(event.into(), vec![kind].into(), None, span));
        Arc::new(Change { table: table(&["a"]), after: Some(row), ..(*insert("x")).clone() })
    };
    let text = |text: &str| {
        let kind = ColumnKind::Text { length_bytes: 1, charset: Charset::Utf8, pad: None, octets_max: None };
        row(kind, [&[text.len() as u8][..], text.as_bytes()].concat())
    };
    let datetime: u64 = 0x80_0000_0000 + ((2026 * 13 + 11) << 22 | 20 << 17 | 12 << 12);
    let datetime = row(ColumnKind::DateTime { digits: 0 }, datetime.to_be_bytes()[3..].to_vec());
    let number = row(ColumnKind::Int { bytes: 1, unsigned: true }, vec![5]);
    for _ in 0..2 {
        assert_eq!(condition.decide(&datetime), Ok(Some(true)));
        assert_eq!(condition.decide(&text("2026-11-20T12:00:00")), Ok(Some(false)));
        assert_eq!(condition.decide(&text("2026-11-20 12:00:00")), Ok(Some(true)));
        condition.decide(&number).expect_err("never silently false");
    }
}

#[test]
fn each_place_is_named_where_a_null_matched_before() {
    for (source, expected) in [
        ("row.note != 'x'", vec![(1, "!=")]),
        ("not (row.note == 'x')", vec![(6, "not")]),
        ("row.note not in ['x', 'y']", vec![(1, "not in")]),
        ("not row.id", vec![(5, "not")]),
        ("row.note != 'x' and row.size != 's'", vec![(1, "!="), (21, "!=")]),
        ("row.id == 5 or row.note != 'x'", vec![(16, "!=")]),
        ("row.note != row.size", vec![(1, "!=")]),
        ("row.note == row.size", vec![(1, "==")]),
        ("old is none or old.note != row.note", vec![(16, "!=")]),
        ("not (row.id == 1 and row.tiny == 2)", vec![(6, "not"), (22, "not")]),
        ("row.note is ne('x')", vec![(1, "!=")]),
        ("row.note == 'x'", vec![]),
        ("row.note is none or row.note != 'x'", vec![]),
        ("row.note is not none and row.note != 'x'", vec![]),
        ("row.note != 'x' and row.note == 'y'", vec![]),
        ("row.note not in ['x', none]", vec![]),
        ("not (row.note != 'x')", vec![]),
        ("row.note != none", vec![]),
        ("row.note in ['x']", vec![]),
    ] {
        let condition = compiled(source);
        let flaws = condition.changed_by_nulls(&typed_columns(true));
        let found: Vec<(usize, bool)> = flaws
            .iter()
            .map(|flaw| {
                let operator = expected.iter().find(|(column, _)| *column == flaw.column).map_or("?", |(_, name)| name);
                (flaw.column, flaw.message.starts_with(&format!("`{operator}` on the nullable column `")))
            })
            .collect();
        let expected: Vec<(usize, bool)> = expected.iter().map(|(column, _)| (*column, true)).collect();
        assert_eq!(found, expected, "{source}: {flaws:?}");
        assert!(
            condition.changed_by_nulls(&typed_columns(false)).is_empty(),
            "{source} of columns that are never NULL"
        );
    }
}
