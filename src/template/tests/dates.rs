//! Dates through filters: `date`, `epoch`, `epoch_ms`.
//!
//! Expected are what Python's datetime and zoneinfo give, with the time zone data of Debian.

use super::*;

/// The filter of a text column that holds `written`.
fn of(written: &str, filter: &str) -> Result<String, String> {
    typed(&format!("{{{{ row.status | {filter} }}}}"), &insert(written)).map(|json| json.trim_matches('"').to_owned())
}

#[test]
fn a_moment_is_shown_by_the_clocks_of_the_zone() {
    for (written, zone, expected) in [
        ("2026-03-29T00:59:59Z", "Europe/Berlin", "2026-03-29 01:59:59.000000 +01:00 CET"),
        ("2026-03-29T00:59:59Z", "America/New_York", "2026-03-28 20:59:59.000000 -04:00 EDT"),
        ("2026-03-29T01:00:00Z", "Europe/Berlin", "2026-03-29 03:00:00.000000 +02:00 CEST"),
        ("2026-03-29T01:00:00Z", "America/New_York", "2026-03-28 21:00:00.000000 -04:00 EDT"),
        ("2026-10-25T00:59:59Z", "Europe/Berlin", "2026-10-25 02:59:59.000000 +02:00 CEST"),
        ("2026-10-25T00:59:59Z", "America/New_York", "2026-10-24 20:59:59.000000 -04:00 EDT"),
        ("2026-10-25T01:00:00Z", "Europe/Berlin", "2026-10-25 02:00:00.000000 +01:00 CET"),
        ("2026-10-25T01:00:00Z", "America/New_York", "2026-10-24 21:00:00.000000 -04:00 EDT"),
        ("2026-03-08T06:59:59Z", "Europe/Berlin", "2026-03-08 07:59:59.000000 +01:00 CET"),
        ("2026-03-08T06:59:59Z", "America/New_York", "2026-03-08 01:59:59.000000 -05:00 EST"),
        ("2026-03-08T07:00:00Z", "Europe/Berlin", "2026-03-08 08:00:00.000000 +01:00 CET"),
        ("2026-03-08T07:00:00Z", "America/New_York", "2026-03-08 03:00:00.000000 -04:00 EDT"),
        ("2026-11-01T05:59:59Z", "Europe/Berlin", "2026-11-01 06:59:59.000000 +01:00 CET"),
        ("2026-11-01T05:59:59Z", "America/New_York", "2026-11-01 01:59:59.000000 -04:00 EDT"),
        ("2026-11-01T06:00:00Z", "Europe/Berlin", "2026-11-01 07:00:00.000000 +01:00 CET"),
        ("2026-11-01T06:00:00Z", "America/New_York", "2026-11-01 01:00:00.000000 -05:00 EST"),
        ("2024-02-29T23:30:00Z", "Europe/Berlin", "2024-03-01 00:30:00.000000 +01:00 CET"),
        ("2024-02-29T23:30:00Z", "America/New_York", "2024-02-29 18:30:00.000000 -05:00 EST"),
        ("2000-02-29T12:00:00Z", "Europe/Berlin", "2000-02-29 13:00:00.000000 +01:00 CET"),
        ("2000-02-29T12:00:00Z", "America/New_York", "2000-02-29 07:00:00.000000 -05:00 EST"),
        ("1900-02-28T23:59:59Z", "Europe/Berlin", "1900-03-01 00:59:59.000000 +01:00 CET"),
        ("1900-02-28T23:59:59Z", "America/New_York", "1900-02-28 18:59:59.000000 -05:00 EST"),
        ("1900-02-28T23:59:59Z", "Asia/Kathmandu", "1900-03-01 05:41:15.000000 +05:41:16 LMT"),
        ("1969-12-31T23:59:59.999999Z", "Europe/Berlin", "1970-01-01 00:59:59.999999 +01:00 CET"),
        ("1969-12-31T23:59:59.999999Z", "America/New_York", "1969-12-31 18:59:59.999999 -05:00 EST"),
        ("1969-12-31T23:59:59.999999Z", "Asia/Kathmandu", "1970-01-01 05:29:59.999999 +05:30 +0530"),
        ("1970-01-01T00:00:00Z", "Europe/Berlin", "1970-01-01 01:00:00.000000 +01:00 CET"),
        ("1970-01-01T00:00:00Z", "America/New_York", "1969-12-31 19:00:00.000000 -05:00 EST"),
        ("1000-01-01T00:00:00Z", "Europe/Berlin", "1000-01-01 00:53:28.000000 +00:53:28 LMT"),
        ("1000-01-01T00:00:00Z", "America/New_York", "0999-12-31 19:03:58.000000 -04:56:02 LMT"),
        ("9999-12-31T12:00:00Z", "Europe/Berlin", "9999-12-31 13:00:00.000000 +01:00 CET"),
        ("9999-12-31T12:00:00Z", "America/New_York", "9999-12-31 07:00:00.000000 -05:00 EST"),
        ("9999-07-01T12:00:00Z", "Europe/Berlin", "9999-07-01 14:00:00.000000 +02:00 CEST"),
        ("9999-07-01T12:00:00Z", "America/New_York", "9999-07-01 08:00:00.000000 -04:00 EDT"),
        ("2038-01-19T03:14:08Z", "Europe/Berlin", "2038-01-19 04:14:08.000000 +01:00 CET"),
        ("2038-01-19T03:14:08Z", "America/New_York", "2038-01-18 22:14:08.000000 -05:00 EST"),
        ("2500-07-01T00:00:00Z", "Europe/Berlin", "2500-07-01 02:00:00.000000 +02:00 CEST"),
        ("2500-07-01T00:00:00Z", "America/New_York", "2500-06-30 20:00:00.000000 -04:00 EDT"),
        ("2026-11-20T23:04:05.123456Z", "Europe/Berlin", "2026-11-21 00:04:05.123456 +01:00 CET"),
        ("2026-11-20T23:04:05.123456Z", "America/New_York", "2026-11-20 18:04:05.123456 -05:00 EST"),
    ] {
        let shown = of(written, &format!("date('%F %H:%M:%S.%f %:z %Z', '{zone}')"));
        assert_eq!(shown, Ok(expected.into()), "{written} in {zone}");
    }
}

#[test]
fn a_time_without_a_zone_is_utc_unless_the_rule_says_where_it_is_meant() {
    for (written, zone, seconds, millis) in [
        ("2026-03-29T02:30:00", "Europe/Berlin", 1774747800, 1774747800000),
        ("2026-10-25T02:30:00", "Europe/Berlin", 1792888200, 1792888200000),
        ("2026-07-01T12:00:00", "Europe/Berlin", 1782900000, 1782900000000),
        ("2026-01-01T12:00:00", "Europe/Berlin", 1767265200, 1767265200000),
        ("2026-03-08T02:30:00", "America/New_York", 1772955000, 1772955000000),
        ("2026-11-01T01:30:00", "America/New_York", 1793511000, 1793511000000),
        ("2018-11-04T00:30:00", "America/Sao_Paulo", 1541302200, 1541302200000),
        ("2011-12-30T12:00:00", "Pacific/Apia", 1325282400, 1325282400000),
        ("9999-12-31T23:59:59.999999", "America/New_York", 253402318799, 253402318799999),
        ("9999-12-31T23:59:59", "Europe/Berlin", 253402297199, 253402297199000),
        ("1000-01-01T00:00:00", "Europe/Berlin", -30610227208, -30610227208000),
        ("1999-12-31T23:59:59.5", "America/New_York", 946702799, 946702799500),
    ] {
        assert_eq!(of(written, &format!("epoch('{zone}')")), Ok(i64::to_string(&seconds)), "{written} in {zone}");
        assert_eq!(of(written, &format!("epoch_ms('{zone}')")), Ok(i64::to_string(&millis)), "{written} in {zone}");
        let shown = of(written, &format!("date('%s', 'UTC', '{zone}')"));
        let expected = if seconds > 253_402_300_799 { None } else { Some(seconds.to_string()) };
        assert_eq!(shown.ok(), expected, "{written} in {zone}");
    }
    for (written, filter, expected) in [
        ("2026-07-01T12:00:00", "date('%H:%M %:z')", "12:00 +00:00"),
        ("2026-07-01T12:00:00", "date('%H:%M %:z', 'Europe/Berlin')", "14:00 +02:00"),
        ("2026-07-01T12:00:00", "date('%H:%M %:z', 'Europe/Berlin', 'Europe/Berlin')", "12:00 +02:00"),
        ("2026-07-01T12:00:00", "date('%H:%M %:z', 'America/New_York', 'Europe/Berlin')", "06:00 -04:00"),
        ("2026-07-01T12:00:00", "date('%H:%M %:z', 'UTC', '-03:30')", "15:30 +00:00"),
        // What has a zone is not meant in another.
        ("2026-07-01T12:00:00Z", "date('%H:%M %:z', 'UTC', 'Europe/Berlin')", "12:00 +00:00"),
        ("2026-07-01 12:00:00+05:00", "date('%H:%M %:z', 'UTC', 'Europe/Berlin')", "07:00 +00:00"),
        // The hour that there is not, and the first of the two that there are.
        ("2026-03-29T02:30:00", "date('%H:%M %Z', 'Europe/Berlin', 'Europe/Berlin')", "03:30 CEST"),
        ("2026-10-25T02:30:00", "date('%H:%M %Z', 'Europe/Berlin', 'Europe/Berlin')", "02:30 CEST"),
        // The last moment of a DATETIME.
        ("9999-12-31T23:59:59.999999", "date('%FT%T.%f')", "9999-12-31T23:59:59.999999"),
        ("9999-12-31T23:59:59", "date('%FT%T%:z', 'Europe/Berlin', 'Europe/Berlin')", "9999-12-31T23:59:59+01:00"),
    ] {
        assert_eq!(of(written, filter), Ok(expected.into()), "{written} | {filter}");
    }
}

#[test]
fn a_day_stays_the_same_day_in_every_zone() {
    for zone in ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12", "-13:59", "+14:00"] {
        for day in ["2026-11-20", "2024-02-29", "1000-01-01", "9999-12-31", "2018-11-04"] {
            assert_eq!(of(day, &format!("date('%F', '{zone}')")), Ok(day.into()), "{zone}");
        }
    }
    // There was no midnight on this day.
    assert_eq!(of("2018-11-04", "date('%F %T', 'America/Sao_Paulo')"), Ok("2018-11-04 01:00:00".into()));
    assert_eq!(of("2026-11-20", "date('%F %T', 'UTC', 'Europe/Berlin')"), Ok("2026-11-19 23:00:00".into()));
}

#[test]
fn seconds_and_milliseconds_since_1970_are_exact() {
    for (written, seconds, millis) in [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1969-12-31T23:59:59.5Z", -1, -500),
        ("1969-12-31T23:59:59.999999", -1, -1),
        ("1000-01-01", -30610224000, -30610224000000),
        ("9999-12-31T23:59:59.999999", 253402300799, 253402300799999),
        ("9999-12-31", 253402214400, 253402214400000),
        ("2024-02-29", 1709164800, 1709164800000),
        ("2000-02-29T00:00:00Z", 951782400, 951782400000),
        ("2026-11-20T23:04:05.123456Z", 1795215845, 1795215845123),
        ("2026-11-20 23:04:05.000000", 1795215845, 1795215845000),
        ("2026-11-20T23:04:05+02:00", 1795208645, 1795208645000),
        ("1901-12-13T20:45:52Z", -2147483648, -2147483648000),
    ] {
        assert_eq!(of(written, "epoch"), Ok(i64::to_string(&seconds)), "{written}");
        assert_eq!(of(written, "epoch_ms"), Ok(i64::to_string(&millis)), "{written}");
    }
}

#[test]
fn numbers_are_seconds_since_1970() {
    for (source, expected) in [
        ("{{ 0 | date('%FT%T') }}", "1970-01-01T00:00:00"),
        ("{{ -1 | date('%FT%T') }}", "1969-12-31T23:59:59"),
        ("{{ (0 - 1) | date('%FT%T.%3f') }}", "1969-12-31T23:59:59.000"),
        ("{{ 1795215845 | date('%FT%T', '+02:00') }}", "2026-11-21T01:04:05"),
        ("{{ 1795215845.123 | date('%FT%T.%3f') }}", "2026-11-20T23:04:05.123"),
        ("{{ (1795215845123 / 1000) | date('%FT%T.%3f') }}", "2026-11-20T23:04:05.123"),
        ("{{ row.total | date('%T.%f') }}", "00:00:12.300000"),
        ("{{ (0 - row.total) | date('%T.%f') }}", "23:59:47.700000"),
        ("{{ (0 - row.total) | epoch }}", "-13"),
        ("{{ (0 - row.total) | epoch_ms }}", "-12300"),
        ("{{ 253402300799 | date('%FT%T') }}", "9999-12-31T23:59:59"),
        ("{{ (0 - 62135596800) | date('%FT%T') }}", "0001-01-01T00:00:00"),
        ("{{ event.committed_at | date('%d.%m.%Y %H:%M', 'Europe/Berlin') }}", "21.11.2026 00:04"),
        ("{{ event.committed_at | epoch_ms }}", "1795215845123"),
    ] {
        assert_eq!(text(source, &update()), Ok(expected.into()), "{source}");
    }
}

#[test]
fn every_field_of_a_format_is_that_of_strftime() {
    for (written, expected) in [
        ("2026-01-01", "2026-W01-4 001 4 Thu Thursday Jan January 26"),
        ("2027-01-01", "2026-W53-5 001 5 Fri Friday Jan January 27"),
        ("2026-12-31", "2026-W53-4 365 4 Thu Thursday Dec December 26"),
        ("2024-12-30", "2025-W01-1 365 1 Mon Monday Dec December 24"),
        ("2020-12-31", "2020-W53-4 366 4 Thu Thursday Dec December 20"),
        ("2021-01-01", "2020-W53-5 001 5 Fri Friday Jan January 21"),
        ("2021-01-03", "2020-W53-7 003 0 Sun Sunday Jan January 21"),
        ("2021-01-04", "2021-W01-1 004 1 Mon Monday Jan January 21"),
        ("2024-02-29", "2024-W09-4 060 4 Thu Thursday Feb February 24"),
        ("1000-01-01", "1000-W01-3 001 3 Wed Wednesday Jan January 00"),
        ("9999-12-31", "9999-W52-5 365 5 Fri Friday Dec December 99"),
        ("2008-12-29", "2009-W01-1 364 1 Mon Monday Dec December 08"),
        ("2010-01-03", "2009-W53-7 003 0 Sun Sunday Jan January 10"),
        ("2026-07-05", "2026-W27-7 186 0 Sun Sunday Jul July 26"),
    ] {
        assert_eq!(of(written, "date('%G-W%V-%u %j %w %a %A %b %B %y')"), Ok(expected.into()), "{written}");
    }
    let written = "2026-01-02T00:05:09.000070Z";
    for (format, expected) in [
        ("%Y/%m/%d %H:%M:%S", "2026/01/02 00:05:09"),
        ("%-m/%-d/%y %-I:%M %p", "1/2/26 12:05 AM"),
        ("%e|%-H|%-M|%-S|%-j|%-f", " 2|0|5|9|2|70"),
        ("%I %p", "12 AM"),
        ("%3f %6f %f", "000 000070 000070"),
        ("%s", "1767312309"),
        ("%z %:z %Z", "+0000 +00:00 UTC"),
        ("100%% of %Y, é", "100% of 2026, é"),
        ("%Y%%m", "2026%m"),
    ] {
        assert_eq!(of(written, &format!("date('{format}')")), Ok(expected.into()), "{format}");
    }
    for (hour, expected) in [("11", "11 AM"), ("12", "12 PM"), ("13", "01 PM"), ("23", "11 PM")] {
        assert_eq!(of(&format!("2026-01-02T{hour}:00:00"), "date('%I %p')"), Ok(expected.into()));
    }
    for (zone, expected) in [
        ("+05:30", "+0530 +05:30 +05:30"),
        ("-00:30", "-0030 -00:30 -00:30"),
        ("Z", "+0000 +00:00 +00:00"),
        ("utc", "+0000 +00:00 UTC"),
        ("america/st_johns", "-0330 -03:30 NST"),
    ] {
        assert_eq!(of(written, &format!("date('%z %:z %Z', '{zone}')")), Ok(expected.into()), "{zone}");
    }
}

#[test]
fn what_is_no_date_is_refused_without_showing_it() {
    for written in
        ["", "secret", "0000-00-00", "0000-00-00T00:00:00Z", "2026-00-00", "2026-02-30", "12:30:00", "1e3", "20261120"]
    {
        for filter in ["date('%Y')", "epoch", "epoch_ms"] {
            let message = of(written, filter).expect_err(written);
            assert!(message.contains("this value is no complete date"), "{written}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
    for (source, expected) in [
        ("{{ row.tags | epoch }}", "this value is no complete date"),
        ("{{ true | epoch }}", "this value is no complete date"),
        ("{{ row.note | date('%Y') }}", "`date` of NULL has no value"),
        ("{{ row.doc.c | date('%Y') }}", "`row.doc.c` is undefined"),
        ("{{ row.id | date('%Y') }}", "the year is not between 1 and 9999"),
        ("{{ 253402300800 | epoch }}", "the year is not between 1 and 9999"),
        ("{{ 1795215845123 | date('%Y') }}", "a number counts seconds since 1970"),
        ("{{ 253402300799 | date('%Y', 'Europe/Berlin') }}", "the year is not between 1 and 9999"),
        ("{{ '0001-01-01' | date('%Y', 'UTC', '+14:00') }}", "the year is not between 1 and 9999"),
        ("{{ '2026-11-20' | date(row.status) }}", "`date`: the format has a field that there is not"),
        ("{{ '2026-11-20' | date('%Y', row.status) }}", "`date`: the zone is neither an IANA name nor an offset"),
        ("{{ '2026-11-20' | epoch(row.status) }}", "`epoch`: the zone is neither an IANA name nor an offset"),
        ("{{ '2026-11-20' | date('%Y', row.note) }}", "one is NULL or of another kind"),
        ("{{ '2026-11-20' | date(row.id) }}", "one is NULL or of another kind"),
        ("{{ '2026-11-20' | date(row.doc.c) }}", "`row.doc.c` is undefined"),
    ] {
        let message = text(source, &update()).expect_err(source);
        assert!(message.contains(expected), "{source}: {message}");
        assert!(!message.contains("paid"), "{message}");
    }
    let long = insert(&"%A ".repeat(300_000));
    fails_with(text("{{ 0 | date(row.status) | length }}", &long), "larger than 1048576 bytes");
}

#[test]
fn conditions_decide_on_dates() {
    let row = insert("2026-11-20T23:04:05Z");
    for (source, expected) in [
        ("row.status | date('%Y-%m-%d', 'Europe/Berlin') == '2026-11-21'", true),
        ("row.status | date('%u') in ['6', '7']", false),
        ("row.status | epoch == 1795215845", true),
        ("row.status | epoch_ms > 1795215845000", false),
        ("row.note | date('%Y') == '2026'", false),
        ("not (row.note | epoch > 0)", false),
    ] {
        assert_eq!(condition(source, &row), Ok(expected), "{source}");
    }
    fails_with(condition("row.status | date('%Y') == '2026'", &update()), "no complete date");
}
