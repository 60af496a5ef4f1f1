//! Exact numbers through filters: `round` and `cents`.

use super::*;

fn priced(total: &str) -> Arc<Change> {
    change(Op::Insert, None, Some(cells("paid", total)))
}

/// Expected are MySQL's results of ROUND() with exact numbers.
#[test]
fn exact_numbers_are_rounded_half_away_from_zero() {
    for (total, filter, expected) in [
        ("2.5", "round", "3"),
        ("-2.5", "round", "-3"),
        ("0.5", "round", "1"),
        ("-0.5", "round", "-1"),
        ("1.005", "round(2)", "1.01"),
        ("-1.005", "round(2)", "-1.01"),
        ("-1.004", "round(2)", "-1.00"),
        ("-0.004", "round(2)", "0.00"),
        ("12.30", "round(4)", "12.30"),
        ("1234.56", "round(-2)", "1200"),
        ("-1250.00", "round(-2)", "-1300"),
        ("99999999999999999999999999999999999.995", "round(2)", "100000000000000000000000000000000000.00"),
    ] {
        assert_eq!(text(&format!("{{{{ row.total | {filter} }}}}"), &priced(total)), Ok(expected.into()), "{total}");
    }
    for (source, expected) in [
        ("{{ 25 | round(-1) }}", "30"),
        ("{{ -25 | round(-1) }}", "-30"),
        ("{{ (0 - 25) | round(-1) }}", "-30"),
        ("{{ 24 | round(-1) }}", "20"),
        ("{{ 1.2345678901234568e2 }}", "123.45678901234568"),
        ("{{ 1.234567890123456 }}", "1.234567890123456"),
        ("{{ row.id | round(2) }}", "18446744073709551615"),
        ("{{ row.big | round(-1) }}", "-9223372036854775810"),
    ] {
        assert_eq!(text(source, &update()), Ok(expected.into()), "{source}");
    }
}

#[test]
fn an_amount_becomes_a_whole_number_of_cents_or_an_error() {
    for (total, expected) in [
        ("12.30", "1230"),
        ("-0.01", "-1"),
        ("0.00", "0"),
        ("19.99", "1999"),
        ("12", "1200"),
        ("12.3400", "1234"),
        ("12.5", "1250"),
        ("123456789012345678901234567890123456.78", "12345678901234567890123456789012345678"),
    ] {
        assert_eq!(typed("{{ row.total | cents }}", &priced(total)), Ok(expected.into()), "{total}");
    }
    for (source, expected) in [
        ("{{ row.price | cents }}", "1230"),
        ("{{ row.ratio | cents }}", "10"),
        ("{{ '12.30' | cents }}", "1230"),
        ("{{ 5 | cents }}", "500"),
        ("{{ row.total | round(1) | cents }}", "1230"),
        ("{{ row.total * 3 | cents }}", "\"3690.00\""),
        ("{{ (row.total * 3) | cents }}", "3690"),
    ] {
        assert_eq!(typed(source, &update()), Ok(expected.into()), "{source}");
    }
    fails_with(typed("{{ row.total | cents }}", &priced("0.001")), "more than two decimals");
    fails_with(typed("{{ (0.1 + 0.2) | cents }}", &update()), "more than two decimals");
    fails_with(typed("{{ row.total | cents }}", &priced("999999999999999999999999999999999999999")), "38 digits");
    fails_with(typed("{{ row.status | cents }}", &update()), "`cents`: this value is no number");
    fails_with(typed("{{ row.tags | cents }}", &update()), "`cents`: this value is no number");
    fails_with(typed("{{ row.note | cents }}", &update()), "`cents` of NULL has no value");
    fails_with(typed("{{ row.doc.c | cents }}", &update()), "`row.doc.c` is undefined");
    assert_eq!(condition("row.total | cents == 1230", &update()), Ok(true));
    assert_eq!(condition("row.total | cents > 1230.5", &update()), Ok(false));
    assert_eq!(condition("row.note | cents > 0 or row.id > 0", &update()), Ok(true));
    assert_eq!(condition("not (row.note | cents > 0)", &update()), Ok(false));
}
