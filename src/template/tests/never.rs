//! What is never true, against rows.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::change::row::{Image, Span};
use crate::column::ColumnKind;
use crate::schema::TypedColumn;

/// An INT, an unsigned TINYINT, a DECIMAL(5,2) and a DATE.
const KINDS: [(&str, ColumnKind); 4] = [
    ("n", ColumnKind::Int { bytes: 4, unsigned: false }),
    ("tiny", ColumnKind::Int { bytes: 1, unsigned: true }),
    ("total", ColumnKind::Decimal { precision: 5, scale: 2 }),
    ("day", ColumnKind::Date),
];

fn columns() -> Vec<TypedColumn> {
    let column =
        |(name, kind): (&str, ColumnKind)| TypedColumn { name: name.into(), kind: Some(kind), is_nullable: true };
    KINDS.into_iter().map(column).collect()
}

/// An insert of these values; `hundredths` and `day` (of a year of 13 months with 32 days, so that zero and partial dates are among
/// them) are counted.
fn row(n: i32, tiny: u8, hundredths: u16, day: u32) -> Arc<Change> {
    let mut bytes = vec![0];
    bytes.extend(n.to_le_bytes());
    bytes.push(tiny);
    let (whole, fraction) = (hundredths / 100, hundredths % 100);
    bytes.extend((whole | 0x8000).to_be_bytes());
    bytes.push(fraction as u8);
    bytes.extend(&(2026 << 9 | (day / 32) << 5 | (day % 32)).to_le_bytes()[..3]);
    let kinds: Vec<ColumnKind> = KINDS.into_iter().map(|(_, kind)| kind).collect();
    let span = Span { start: 0, end: bytes.len() as u32 };
    let row = Row::from(Image::new(bytes.into(), kinds.into(), None, span));
    Arc::new(Change { table: table(&KINDS.map(|(name, _)| name)), after: Some(row), ..(*insert("paid")).clone() })
}

fn never(source: &str) -> Option<String> {
    let compiled = Condition::compile(source, "r", &no_env).unwrap_or_else(|flaws| panic!("{source}: {flaws:?}"));
    compiled.never(&[Op::Insert], &columns()).map(|flaw| flaw.message)
}

fn matches(source: &str, change: &Arc<Change>) -> bool {
    condition(source, change).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// A comparison of one of the columns with values close to each other.
fn comparison() -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        (-1i32..4).prop_map(|n| ("n", n.to_string())),
        (-1i32..4, prop::sample::select(vec!["", ".0", ".5"])).prop_map(|(n, tail)| ("n", format!("{n}{tail}"))),
        (0i32..3).prop_map(|n| ("n", format!("'{n}'"))),
        prop::sample::select(vec!["0", "1", "254", "255", "0.5"]).prop_map(|n| ("tiny", n.to_owned())),
        (0u32..4, prop::sample::select(vec!["", "5"])).prop_map(|(n, tail)| ("total", format!("0.0{n}{tail}"))),
        (30u32..32, prop::sample::select(vec!["", " 00:00:00", " 12:00:00"]))
            .prop_map(|(day, clock)| ("day", format!("'2026-01-{day}{clock}'"))),
        prop::sample::select(vec!["'2026-02-01'", "'2026-02-02'"]).prop_map(|day| ("day", day.to_owned())),
    ];
    let operator = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!=", "in", "not in"]);
    (literal, operator, any::<bool>()).prop_map(|((column, literal), operator, is_negated)| {
        let literal = if operator.ends_with("in") { format!("[{literal}]") } else { literal };
        let compared = format!("row.{column} {operator} {literal}");
        if is_negated { format!("not ({compared})") } else { compared }
    })
}

proptest! {
    #[test]
    fn no_row_meets_what_is_said_to_be_never_true(
        parts in vec(comparison(), 2..6), either in any::<bool>(),
        rows in vec((-2i32..5, prop_oneof![Just(0u8), Just(1), Just(254), Just(255)], 0u16..5, 62u32..69), 40),
    ) {
        let mut source = parts[..parts.len() - 1].join(" and ");
        if either {
            source = format!("({source} or {}) and {}", parts[0], parts[parts.len() - 1]);
        }
        if let Some(why) = never(&source) {
            for (n, tiny, hundredths, day) in rows {
                let change = row(n, tiny, hundredths, day);
                prop_assert!(!matches(&source, &change), "{} matches {:?}: {}", source, (n, tiny, hundredths, day), why);
            }
        }
    }
}

#[test]
fn what_leaves_no_value_of_the_type_is_found() {
    for (source, expected) in [
        ("row.n > 5 and row.n < 6", "`row.n > 5` and `row.n < 6` exclude each other: column `n` holds whole numbers"),
        ("row.n > 5.2 and row.n < 5.9", "column `n` holds whole numbers"),
        ("row.n > '5' and row.n < '6'", "column `n` holds whole numbers"),
        (
            "row.n >= 5 and row.n <= 6 and row.n != 5 and row.n != 6",
            "`row.n >= 5`, `row.n <= 6`, `row.n != 5` and `row.n != 6` exclude each other: column `n`",
        ),
        ("row.n in [4, 5, 6] and row.n > 4 and row.n < 6 and row.n != 5", "`row.n in [4, 5, 6]`, `row.n > 4`, "),
        ("row.tiny < 1 and row.tiny != 0", "`row.tiny < 1` and `row.tiny != 0` exclude each other"),
        ("row.tiny >= 255 and row.tiny not in [255]", "column `tiny` holds whole numbers"),
        ("row.total > 5 and row.total < 5.01", "column `total` holds numbers with 2 decimals"),
        ("row.day > '2026-01-01' and row.day < '2026-01-02'", "column `day` holds days"),
        ("row.day > '2026-01-01' and row.day <= '2026-01-01 23:00:00'", "column `day` holds days"),
        ("old is none and 5 < row.n < 6", "column `n` holds whole numbers"),
        ("row.n == 1 and row.n > 0 or row.n > 5 and row.n < 6", ""),
        ("row.n > 5 and row.n < 6 or row.n > 7 and row.n < 8", "and its alternatives have contradictions, too"),
        ("row.n > 5 and row.n < 7", ""),
        ("row.n >= 5 and row.n < 6", ""),
        ("row.n > 4.5 and row.n < 5.5", ""),
        ("row.n != 5 and row.n != 6", ""),
        ("row.n > 5 and row.tiny < 6", ""),
        ("row.n > 5 or row.n < 6", ""),
        ("row.total > 5 and row.total < 5.02", ""),
        ("row.day > '2026-01-31' and row.day < '2026-02-01'", ""),
        ("row.day >= '2026-01-01' and row.day < '2026-01-02'", ""),
        ("row.other > 5 and row.other < 6", ""),
    ] {
        let found = never(source);
        let is_right = match &found {
            Some(message) => !expected.is_empty() && message.contains(expected),
            None => expected.is_empty(),
        };
        assert!(is_right, "{source}: {found:?}, expected {expected:?}");
    }
    // 2026-01-31 is followed by 2026-02-00, which a column may hold.
    assert!(matches("row.day > '2026-01-31' and row.day < '2026-02-01'", &row(0, 0, 0, 64)));
}
