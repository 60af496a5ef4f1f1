//! What conditions decide, and what they refuse to decide.

use super::*;

#[test]
fn a_condition_names_the_first_part_that_is_not_true() {
    for (source, expected) in [
        ("row.status == 'paid'", None),
        ("row.status == 'paid' and row.total > 5", None),
        ("row.status == 'new'", Some(("row.status == 'new'", Some(false)))),
        ("row.status == 'paid' and row.total > 50 and row.id == 1", Some(("row.total > 50", Some(false)))),
        ("row.status == 'paid' and not (row.total > 5)", Some(("not (row.total > 5)", Some(false)))),
        ("row.status == 'a and b' and row.id == 1", Some(("row.status == 'a and b'", Some(false)))),
        ("row.note == 'x' and row.id == 1", Some(("row.note == 'x'", None))),
        ("row.note is not none and row.note != 'x'", Some(("row.note is not none", Some(false)))),
        ("row.id == 1 or row.note == 'x'", Some(("row.id == 1 or row.note == 'x'", None))),
        // What has more or fewer parts than texts is named as a whole.
        (
            "(row.id > 5 and row.id == 1) and row.total > 5",
            Some(("(row.id > 5 and row.id == 1) and row.total > 5", Some(false))),
        ),
        ("5 < row.total < 6", Some(("5 < row.total < 6", Some(false)))),
    ] {
        let condition = Condition::compile(source, "r", &no_env).expect(source);
        assert_eq!(condition.refusal(&update()), expected, "{source}");
        assert_eq!(condition.holds(&update()), Ok(expected.is_none()), "{source}");
    }
}

#[test]
fn conditions_decide_on_the_row() {
    for (source, expected) in [
        ("row.status == 'paid' and (old is none or old.status != 'paid')", true),
        ("old is none", false),
        ("op == 'update'", true),
        ("'status' in changed and 'id' not in changed", true),
        ("schema ~ '.' ~ table == 'shop.orders'", true),
        ("row.id == 18446744073709551615", true),
        ("row.id > 18446744073709551614", true),
        ("row.big == -9223372036854775808", true),
        ("key == [18446744073709551615]", true),
        ("key[0] == row.id", true),
        ("row.note is none", true),
        ("row.note == none", true),
        ("row.doc.a[1] == row.id", true),
        ("row.doc.b is none", true),
        ("row.doc.c is defined", false),
        ("row.doc.c is defined and row.doc.c == 1", false),
        ("row.doc.price == 12345678901234567890.12", true),
        ("row.doc.price == 12345678901234567890.13", false),
        ("'red' in row.tags", true),
        ("row.tags | length == 2", true),
        ("row.ratio == 0.1", false),
        ("row.ratio > 0.1", true),
        ("row.raw == 'AP8='", false),
        ("row.id == '18446744073709551615'", true),
        ("row.id in [row.big, '18446744073709551615']", true),
        ("row.note == 'x' or row.status == 'paid'", true),
        ("row.note != 'x'", false),
        ("not (row.note == 'x')", false),
        ("not (row.note | lower == 'x')", false),
        ("row.note not in ['x']", false),
        ("row.note < 5", false),
        ("row.note | default('-') == '-'", false),
        ("(row.note or '-') == '-'", true),
        ("row.note is startingwith('x')", false),
        ("not (row.note is startingwith('x'))", false),
        ("row.note.x == 1", false),
        ("row.note[:2] != 'x'", false),
        ("row.note + 1 != 2", false),
        ("-row.note != 2", false),
        ("row.note ~ 'x' != 'x'", false),
        ("row.doc.b != 1", false),
        ("row.doc.b == none", true),
        ("row.id / 0 != 1", false),
        ("row.note in row.tags", false),
        ("row.note not in row.tags", false),
        ("row.tags == 'red,blue'", true),
        ("row.tags == ['red', 'blue']", true),
        ("row.tags != 'red'", true),
        ("row.note", false),
        ("not row.note", false),
        ("row.total", true),
        ("row == old", false),
        ("row == row", true),
        ("row['status'] == 'paid'", true),
        ("event.offset == 157 and event.gtid is none", true),
        ("event.committed_at[:10] == '2026-11-20'", true),
        ("1 < 2 < 3", true),
        ("1 < 2 < 2", false),
        ("row.status is eq 'paid'", true),
        ("row.status is startingwith('pa')", true),
        ("row.status is containing('ai')", true),
        ("row.status is containing('ia')", false),
        ("not (row.status == 'paid')", false),
        ("row.status in ['paid', 'sent']", true),
        ("row.status not in ('paid', 'sent')", false),
    ] {
        assert_eq!(condition(source, &update()), Ok(expected), "{source}");
    }
}

#[test]
fn a_decimal_is_an_exact_number_in_every_comparison() {
    for (source, expected) in [
        ("row.total > 12", true),
        ("row.total == '12.30'", true),
        ("row.total == '12.3'", true),
        ("row.total > 100", false),
        ("row.total == 12.3", true),
        ("12.3 == row.total", true),
        ("row.total != 12.30", false),
        ("row.total == row.price", true),
        ("row.total > old.total", true),
        ("row.total >= 12.30", true),
        ("row.total < 12.3000000000000000000001", true),
        ("row.total in [1, 12.3]", true),
        ("row.total in [1, 12.4]", false),
        ("[row.total] == [12.3]", true),
        ("row.total is gt(12)", true),
        ("row.total is number", true),
        ("row.total and true", true),
        ("row.total == none", false),
        ("row.total == true", false),
        ("row.total * 100 == 1230", true),
        ("row.total + 0.1 == 12.4", true),
        ("row.total - old.total == 2.31", true),
        ("-row.total < 0", true),
        ("row.total | int == 12", true),
        ("row.total | round == 12", true),
        ("row.total / 2 == 6.15", true),
        ("[row.total, 5, old.total] | max == 12.3", true),
        ("[row.total, 5, old.total] | sort | first == 5", true),
        ("[row.total, 1] | sum == 13.3", true),
        ("row.id > row.total", true),
    ] {
        assert_eq!(condition(source, &update()), Ok(expected), "{source}");
    }
    let long = "99999999999999999999999999999999999.99";
    let big = change(Op::Insert, None, Some(cells("paid", long)));
    assert_eq!(condition(&format!("row.total == {long}"), &big), Ok(true));
    assert_eq!(condition("row.total == 99999999999999999999999999999999999.98", &big), Ok(false));
}

#[test]
fn what_could_be_silently_wrong_is_an_error() {
    for (source, expected) in [
        ("row.total == '12.30 EUR'", "written without quotes"),
        ("row.total > 'a'", "`>` can't be used with a DECIMAL and a string"),
        ("row.status > 5", "a text column and a number"),
        ("row.status == 5", "a text is compared with texts"),
        ("row.status in [5, 'paid']", "a text is compared with texts"),
        ("row.id == 'one'", "written without quotes"),
        ("row.raw == 5", "compare its hex digits"),
        ("row.tags < 'red'", "labels have no order"),
        ("row.tags == 5", "compare with its labels"),
        ("row.status", "a text column by itself is no condition"),
        ("row.total % 5 == 0", "| int"),
        (
            "row.total * row.total * row.total * row.total * row.total * row.total * row.total \
          * row.total * row.total * row.total * row.total * row.total * row.total > 0",
            "38 digits",
        ),
        ("row.sttaus == 'paid'", "table shop.orders has no column `sttaus`"),
        ("row.sttaus | default('x') == 'x'", "no column `sttaus`"),
        ("row.doc.c == 1", "`row.doc.c` is undefined"),
        ("row.doc.c.d == 1", "`row.doc.c` is undefined"),
        ("row.status == 'paid' and row.doc.a[7] == 1", "`row.doc.a[7]` is undefined"),
        ("row.doc['x y'] is none or row.id == 1", "`row.doc['x y']` is undefined"),
        ("row.doc.c | lower == 'x'", "`row.doc.c` is undefined"),
        ("row.doc.c in [1]", "`row.doc.c` is undefined"),
        ("not row.doc.c", "`row.doc.c` is undefined"),
        ("1 in row.doc.c", "`row.doc.c` is undefined"),
        ("row.doc.c + 1 == 2", "`row.doc.c` is undefined"),
        ("5 in row.status", "can't be used"),
        ("[1, 'a'] | sort", "sort"),
    ] {
        fails_with(condition(source, &update()), expected);
    }
    fails_with(condition("old.status == 'new'", &insert("paid")), "no old row for an insert");
    assert_eq!(condition("old is none or old.status == 'new'", &insert("paid")), Ok(true));
}

#[test]
fn what_op_never_is_does_not_load() {
    for source in
        ["op == 'inserted'", "op != 'UPDATE'", "op in ['insert', 'remove']", "'upsert' == op", "op is eq('replace')"]
    {
        fails_with(condition(source, &update()), "`op` is never this");
    }
    for source in ["op != 'insert'", "op in ['update', 'delete']", "op < 'z'", "op != 'truncate'"] {
        assert_eq!(condition(source, &update()), Ok(true), "{source}");
    }
}

#[test]
fn messages_hold_no_row_values() {
    let change = insert("hunter2");
    for source in ["row.status | int == 5", "row.status // 2 == 1", "row.status > 5", "range(row.status) == 1"] {
        let message = condition(source, &change).expect_err(source);
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_literal_with_an_exponent_is_a_double_however_many_digits_it_has() {
    for source in [
        "row.total < 1.2345678901234568e29",
        "row.price < 1.23456789012345678e3",
        "row.price == 0.0000000000000000123e18",
        "row.big < 12.34567890123456E-2",
    ] {
        assert_eq!(condition(source, &update()), Ok(true), "{source}");
    }
}

#[test]
fn whether_a_table_has_a_column_can_be_asked_for() {
    for (source, expected) in [
        ("row.gone is defined", false),
        ("row.gone is undefined", true),
        ("old.gone is not defined", true),
        ("row['gone'] is defined and row.gone == 'x'", false),
        ("row.status is defined and row.status == 'paid'", true),
        ("old.status is undefined", false),
    ] {
        assert_eq!(condition(source, &update()), Ok(expected), "{source}");
    }
    let rendered = text("{{ row.gone if row.gone is defined else row.status }}", &update());
    assert_eq!(rendered.as_deref(), Ok("paid"));
    fails_with(text("{{ row.gone if row.status is defined else '-' }}", &update()), "no column `gone`");
    // There is no old row to have a value in.
    fails_with(condition("old.status is defined", &insert("paid")), "no old row for an insert");
}
