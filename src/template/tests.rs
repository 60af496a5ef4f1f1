//! The expression language as rules see it: names, types, DECIMAL, URLs, hostile values.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};

fn no_env(_: &str) -> Option<String> {
    None
}

fn table(columns: &[&str]) -> Arc<Table> {
    let columns = columns.iter().map(|name| (*name).into()).collect();
    Arc::new(Table { schema: "shop".into(), name: "orders".into(), columns, primary_key: vec![0] })
}

fn change(op: Op, before: Option<Vec<Cell>>, after: Option<Vec<Cell>>) -> Arc<Change> {
    Arc::new(Change {
        op,
        table: table(&["id", "status", "total", "big", "doc", "note", "raw", "tags", "ratio", "price"]),
        before: before.map(Row::from_iter),
        after: after.map(Row::from_iter),
        transaction: Arc::new(Transaction {
            server_uuid: Uuid::nil(),
            gtid: None,
            file: "binlog.000001".into(),
            offset: 157,
            committed_at_us: 1_795_215_845_123_456,
        }),
        ordinal: 1,
    })
}

fn cells(status: &str, total: &str) -> Vec<Cell> {
    let values = [
        Value::Uint(u64::MAX),
        Value::Text(status.into()),
        Value::Decimal(total.into()),
        Value::Int(i64::MIN),
        Value::Json(r#"{"a": [1, 18446744073709551615], "b": null, "price": 12345678901234567890.12}"#.into()),
        Value::Null,
        Value::Bytes([0, 255].into()),
        Value::Labels(["red".into(), "blue".into()].into()),
        Value::Float(0.1),
        Value::Double(12.3),
    ];
    values.into_iter().map(Cell::Value).collect()
}

fn insert(status: &str) -> Arc<Change> {
    change(Op::Insert, None, Some(cells(status, "12.30")))
}

fn update() -> Arc<Change> {
    change(Op::Update, Some(cells("new", "9.99")), Some(cells("paid", "12.30")))
}

fn scope(change: &Arc<Change>) -> Scope {
    Scope::new(change, change.delivery_id("r"))
}

fn condition(source: &str, change: &Arc<Change>) -> Result<bool, String> {
    let compiled = Condition::compile(source, "r", &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    compiled.holds(change).map_err(|error| error.to_string())
}

fn text(source: &str, change: &Arc<Change>) -> Result<String, String> {
    let compiled = TextTemplate::compile(source, &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    compiled.render(&scope(change)).map_err(|error| error.to_string())
}

fn typed(source: &str, change: &Arc<Change>) -> Result<String, String> {
    let compiled = TextTemplate::compile(source, &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    let mut out = Vec::new();
    compiled.render_json(&scope(change), &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

fn url(source: &str, change: &Arc<Change>) -> Result<String, String> {
    let compiled = UrlTemplate::compile(source, &no_env).map_err(|flaws| format!("flaw: {}", flaws[0].message))?;
    compiled.render(&scope(change)).map(String::from).map_err(|error| error.to_string())
}

#[track_caller]
fn fails_with(result: Result<impl std::fmt::Debug, String>, expected: &str) {
    let message = result.expect_err(expected);
    assert!(message.contains(expected), "`{message}` does not say `{expected}`");
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
        ("row.doc.price == 12345678901234567890.12", true),
        ("row.doc.price == 12345678901234567890.13", false),
        ("'red' in row.tags", true),
        ("row.tags | length == 2", true),
        ("row.ratio == 0.1", true),
        ("row == old", false),
        ("row == row", true),
        ("row['status'] == 'paid'", true),
        ("event.offset == 157 and event.gtid is none", true),
        ("event.committed_at[:10] == '2026-11-20'", true),
        ("1 < 2 < 3", true),
        ("1 < 2 < 2", false),
        ("row.status is eq 'paid'", true),
        ("row.status is startingwith('pa')", true),
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
        ("row.total == '12.30'", "written without quotes"),
        ("row.total > 'a'", "`>` can't be used with a DECIMAL and a string"),
        ("row.note < 5", "NULL and a number"),
        ("row.status > 5", "a string and a number"),
        ("row.total % 5 == 0", "| int"),
        (
            "row.total * row.total * row.total * row.total * row.total * row.total * row.total \
          * row.total * row.total * row.total * row.total * row.total * row.total > 0",
            "38 digits",
        ),
        ("row.sttaus == 'paid'", "table shop.orders has no column `sttaus`"),
        ("row.sttaus is defined", "no column `sttaus`"),
        ("row.sttaus | default('x') == 'x'", "no column `sttaus`"),
        ("row.doc.c == 1", "no value"),
        ("row.doc.c.d == 1", "no value"),
        ("5 in row.status", "can't be used"),
        ("[1, 'a'] | sort", "sort"),
    ] {
        fails_with(condition(source, &update()), expected);
    }
    fails_with(condition("old.status == 'new'", &insert("paid")), "no old row for an insert");
    assert_eq!(condition("old is none or old.status == 'new'", &insert("paid")), Ok(true));
}

#[test]
fn an_absent_column_is_an_error_and_an_unchanged_one_comes_from_the_before_image() {
    let mut after = cells("paid", "12.30");
    after[0] = Cell::Absent;
    after[2] = Cell::Absent;
    let mut before = cells("new", "1");
    before[2] = Cell::Absent;
    let change = change(Op::Update, Some(before), Some(after));
    assert_eq!(text("{{ row.id }}", &change), Ok("18446744073709551615".into()));
    fails_with(text("{{ row.total }}", &change), "binlog_row_image=FULL");
    fails_with(text("{{ row.total ~ '' }}", &change), "column `total` of table shop.orders is not in the row image");
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
fn text_prints_values_exactly_and_refuses_null() {
    for (source, expected) in [
        ("no template", "no template"),
        ("{{ row.id }}/{{ row.big }}", "18446744073709551615/-9223372036854775808"),
        ("{{ row.total }}", "12.30"),
        ("{{ row.total ~ ' EUR' }}", "12.30 EUR"),
        ("{{ row.total * 100 }}", "1230.00"),
        ("{{ (row.total * 100) | int }}", "1230"),
        ("{{ row.price }} {{ row.ratio }}", "12.3 0.1"),
        ("{{ row.raw }} {{ row.raw ~ '' }}", "AP8= AP8="),
        ("{{ row.tags }} {{ row.tags | join('+') }}", "[\"red\",\"blue\"] red+blue"),
        ("{% if row.total > 12.29 %}big{% else %}small{% endif %}", "big"),
        ("{% for tag in row.tags %}{{ loop.index }}{{ tag }} {% endfor %}", "1red 2blue "),
        ("{% set x = row.total + 1 %}{{ x }}", "13.30"),
        ("{{ row.note or '-' }}", "-"),
        ("{{ row.doc.a | tojson }}", "[1,18446744073709551615]"),
        ("{{ row.status | upper }}", "PAID"),
        ("{{ row.status | replace('ai', 'AI') }}", "pAId"),
        ("{{ [row.total, 1, 'a'] | join(';') }}", "12.30;1;a"),
        ("a{# comment #}b", "ab"),
        ("{% raw %}{{ row.id }}{% endraw %}", "{{ row.id }}"),
        ("{{ op == 'update' }}", "true"),
    ] {
        assert_eq!(text(source, &update()), Ok(expected.into()), "{source}");
    }
    for source in ["{{ row.note }}", "x{{ row.note ~ 'y' }}", "{% if true %}{{ row.note }}{% endif %}"] {
        fails_with(text(source, &update()), "NULL can't be part of a text");
    }
}

#[test]
fn a_string_that_is_one_expression_keeps_its_type() {
    for (source, expected) in [
        ("{{ row.id }}", "18446744073709551615"),
        ("{{ row.big }}", "-9223372036854775808"),
        ("{{ row.total }}", "\"12.30\""),
        ("{{ row.total + 1 }}", "\"13.30\""),
        ("{{ row.status }}", "\"paid\""),
        ("{{ row.note }}", "null"),
        ("{{ row.price }}", "12.3"),
        ("{{ row.ratio }}", "0.1"),
        ("{{ row.tags }}", "[\"red\",\"blue\"]"),
        ("{{ row.doc.a }}", "[1,18446744073709551615]"),
        ("{{ row.doc }}", r#"{"a": [1, 18446744073709551615], "b": null, "price": 12345678901234567890.12}"#),
        ("{{ row.total > 5 }}", "true"),
        ("{{ key }}", "[18446744073709551615]"),
        ("{{ changed }}", "[\"status\",\"total\"]"),
        ("{{ {'a': row.id, 'b': [1.5]} }}", "{\"a\":18446744073709551615,\"b\":[1.5]}"),
        ("id {{ row.id }}", "\"id 18446744073709551615\""),
        ("5", "\"5\""),
    ] {
        assert_eq!(typed(source, &update()), Ok(expected.into()), "{source}");
    }
    let row: serde_json::Value = serde_json::from_str(&typed("{{ row }}", &update()).expect("row")).expect("JSON");
    assert_eq!(row["total"], "12.30");
}

#[test]
fn templates_in_row_values_are_data() {
    let hostile = insert("{{ env.TOKEN }}{% for x in range(9) %}");
    assert_eq!(text("{{ row.status }}", &hostile), Ok("{{ env.TOKEN }}{% for x in range(9) %}".into()));
    assert_eq!(
        text("{% if true %}{{ row.status }}{% endif %}", &hostile),
        Ok("{{ env.TOKEN }}{% for x in range(9) %}".into())
    );
}

#[test]
fn flaws_are_found_at_load_with_their_place() {
    for (source, column, expected) in [
        ("rwo.id == 1", 1, "unknown name `rwo`; did you mean `row`?"),
        ("1 == steps.a", 6, "`steps` is not supported by this version"),
        ("env.TOKEN == 'x'", 1, "environment variable `TOKEN` is not set"),
        ("env == 'x'", 1, "env.TOKEN"),
        ("event.gtdi == 1", 1, "did you mean `gtid`?"),
        ("row.a | replace('x') == 1", 9, "filter `replace` takes 2 arguments, not 1"),
        ("row.a | sort(reverse=true) == 1", 9, "filter `sort` takes no arguments, not 1"),
        ("row.a | round(precision=1) == 1", 9, "by place here"),
        ("row.a is startingwith", 10, "test `startingwith` takes 1 argument, not 0"),
        ("range() == 1", 1, "function `range` takes 1 to 3 arguments, not 0"),
        ("row | attr('a') == 1", 7, "unknown filter `attr`"),
        ("row.a | uper == 1", 9, "unknown filter `uper`; did you mean `upper`?"),
        ("row.a is nume", 10, "unknown test `nume`"),
        ("row.a.strip() == 1", 4, "values have no methods"),
        ("rage(5) == 1", 1, "did you mean `range`?"),
        ("_eq(1, 1)", 1, "unknown function `_eq`"),
        ("op.x == 1", 1, "`op` has no members"),
        ("row.a == ", 7, "unexpected end of input"),
        ("row.a = 1", 7, "unexpected"),
        ("{{ row.a }}", 1, "without `{{ }}`"),
    ] {
        let flaws = Condition::compile(source, "r", &no_env).expect_err(source);
        assert!(flaws[0].message.contains(expected), "{source}: {flaws:?}");
        assert_eq!((flaws[0].line, flaws[0].column), (1, column), "{source}: {flaws:?}");
    }
    for (source, line, expected) in [
        ("a\n{{ rwo.id }}", 2, "unknown name `rwo`"),
        ("{% include 'x' %}", 1, "only `if`, `for` and `set`"),
        ("{% macro m() %}{% endmacro %}", 1, "only `if`, `for` and `set`"),
        ("{% set row = 1 %}", 1, "`row` is taken"),
        ("{% if row.a %}", 1, "unexpected end of input"),
        ("{{ row.a", 1, "unexpected end of input"),
    ] {
        let flaws = TextTemplate::compile(source, &no_env).expect_err(source);
        assert!(flaws[0].message.contains(expected), "{source}: {flaws:?}");
        assert_eq!(flaws[0].line, line, "{source}: {flaws:?}");
    }
    let both = Condition::compile("rwo.id == odl.id", "r", &no_env).expect_err("two flaws");
    assert_eq!(both.len(), 2);
}

#[test]
fn columns_are_listed_with_their_places() {
    let condition = Condition::compile("row.a == 1 and\n  old['b'] > row.c", "r", &no_env).expect("compiles");
    let places: Vec<_> = condition.columns().iter().map(|used| (&*used.name, used.line, used.column)).collect();
    assert_eq!(places, [("a", 1, 1), ("b", 2, 3), ("c", 2, 14)]);
}

#[test]
fn secrets_come_from_the_environment_and_never_show_in_debug() {
    let env = |name: &str| (name == "TOKEN").then(|| "s3cret".to_string());
    let template = TextTemplate::compile("Bearer {{ env.TOKEN }}", &env).expect("compiles");
    assert!(template.uses_env());
    assert_eq!(template.render(&scope(&update())), Ok("Bearer s3cret".into()));
    assert!(!format!("{template:?}").contains("s3cret"));
    assert_eq!(format!("{:?}", Secret::new("s3cret")), "***");
}

#[test]
fn url_values_are_encoded_and_stay_in_their_place() {
    for (status, encoded) in [
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("a?b#c&d=e", "a%3Fb%23c%26d%3De"),
        ("%2e%2e", "%252e%252e"),
        ("@evil.example:1", "%40evil.example%3A1"),
        ("a b\r\n\t\0", "a%20b%0D%0A%09%00"),
        ("ü\\", "%C3%BC%5C"),
        ("{{x}}", "%7B%7Bx%7D%7D"),
        ("A-z_0.9~", "A-z_0.9~"),
    ] {
        let change = insert(status);
        assert_eq!(
            url("http://api.test:8088/o/{{ row.status }}/i?q={{ row.status }}&x=1", &change),
            Ok(format!("http://api.test:8088/o/{encoded}/i?q={encoded}&x=1")),
            "{status}"
        );
    }
    for status in ["", ".", ".."] {
        fails_with(url("http://api.test/o/{{ row.status }}/i", &insert(status)), "another resource");
    }
    assert_eq!(url("http://a.test/?q={{ row.status }}", &insert("")), Ok("http://a.test/?q=".into()));
    assert_eq!(
        url("http://a.test/{{ row.total }}..{{ row.id }}", &update()).as_deref(),
        Ok("http://a.test/12.30..18446744073709551615")
    );
    fails_with(url("http://a.test/.{{ row.status }}", &insert(".")), "another resource");
    fails_with(url("http://a.test/{{ row.note }}", &update()), "NULL");
}

#[test]
fn urls_that_row_data_could_steer_do_not_load() {
    for (source, expected) in [
        ("{{ row.url }}", "allow_hosts"),
        ("{{ row.scheme }}://a.test/", "allow_hosts"),
        ("http://{{ row.host }}/x", "allow_hosts"),
        ("http://a.test{{ row.path }}", "allow_hosts"),
        ("http://a.test:{{ row.port }}/x", "allow_hosts"),
        ("ftp://a.test/", "not supported; use http or https"),
        ("a.test/x", "begins with"),
        ("http://user:pw@a.test/", "`Authorization` header"),
        ("http://a.test/{{ row.id }}#x", "fragment"),
        ("http://a.test/../{{ row.id }}", "without `.` and `..`"),
        ("http://a.test/a b", "%20"),
        ("http://a.test\\@b.test/{{ row.id }}", "`\\`"),
        ("http://", "not a URL"),
        ("http://a.test:99999/", "not a URL"),
        ("http://a.test/{% if true %}x{% endif %}", "`{{ }}` only"),
        ("http://a.test/{{ rwo.id }}", "unknown name `rwo`"),
    ] {
        fails_with(url(source, &update()), expected);
    }
}

#[test]
fn a_template_that_runs_or_grows_without_end_is_stopped() {
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    fails_with(text(nested, &update()), "fuel");
    let long = change(Op::Insert, None, Some(cells(&"x".repeat(600_000), "1")));
    for source in [
        "{{ row.status | replace('x', row.status) }}",
        "{{ row.status | replace('', row.status) }}",
        "{{ row.status | list | join(row.status) }}",
        "{{ row.status }}{{ row.status }}",
        "{{ row.status ~ row.status }}",
        "{{ row.status + row.status }}",
        "{% for i in range(3) %}{{ row.status }}{% endfor %}",
    ] {
        fails_with(text(source, &long), "larger than 1048576 bytes");
    }
    let longer = change(Op::Insert, None, Some(cells(&"x,".repeat(TEXT_BYTES_MAX), "1")));
    for source in ["list", "lines", "split(',')", "upper | list"] {
        let source = format!("{{{{ row.status | {source} | length }}}}");
        fails_with(text(&source, &longer), "larger than 1048576 bytes");
    }
}

#[test]
fn a_template_too_deep_for_the_stack_is_refused_before_it_is_parsed() {
    let many = 20_000;
    let chains = ["-", "1 + ", "not ", "(", "[", "1 if ", "2 ** ", "1 and ", "1 ~ ", "row.a|"];
    for source in chains.map(|piece| piece.repeat(many) + "1") {
        let flaws = Condition::compile(&source, "r", &no_env).expect_err(&source[..8]);
        assert!(flaws[0].message.contains("longer than 400 words"), "{flaws:?}");
        let flaws = TextTemplate::compile(&format!("{{{{ {source} }}}}"), &no_env).expect_err(&source[..8]);
        assert!(flaws[0].message.contains("longer than 400 words"), "{flaws:?}");
    }
    for source in ["{% if 1 %}", "{% for a in row.tags %}", "{% if 1 %}{% else %}"].map(|piece| piece.repeat(many)) {
        let flaws = TextTemplate::compile(&source, &no_env).expect_err(&source[..8]);
        assert!(flaws[0].message.contains("more than 200 statements"), "{flaws:?}");
    }
    let nested = "1 < (".repeat(60) + "1" + &") < 1".repeat(60);
    let flaws = Condition::compile(&nested, "r", &no_env).expect_err("doubles with each level");
    assert!(flaws[0].message.contains("`a < b and b < c`"), "{flaws:?}");
    let list = format!("row.status in [{}]", "'paid', ".repeat(390));
    assert_eq!(condition(&list, &update()), Ok(true));
}

proptest! {
    #[test]
    fn no_text_makes_the_compilers_panic(source in "(row|old|\\.|id|[-+*/~<>=!|()\\[\\]{}%,:'\"#? \\n]|is|not|in|if|for|set|é|1|\\PC){0,40}") {
        let _ = Condition::compile(&source, "r", &no_env).map(|condition| condition.holds(&update()));
        let _ = TextTemplate::compile(&source, &no_env).map(|template| template.render(&scope(&update())));
        let _ = UrlTemplate::compile(&format!("http://a.test/{source}"), &no_env).map(|url| url.render(&scope(&update())));
    }

    #[test]
    fn a_rendered_url_keeps_its_origin_and_the_number_of_its_segments(status in any::<String>()) {
        let template = UrlTemplate::compile("http://a.test:81/o/{{ row.status }}/i?q={{ row.status }}", &no_env).expect("compiles");
        if let Ok(url) = template.render(&scope(&insert(&status))) {
            prop_assert_eq!(Some(url.origin()), template.origin());
            prop_assert_eq!(url.path_segments().map(Iterator::count), Some(3));
            let query: Vec<_> = url.query_pairs().collect();
            prop_assert_eq!((query.len(), &*query[0].1), (1, &*status));
        } else {
            prop_assert!(["", ".", ".."].contains(&&*status));
        }
    }

    #[test]
    fn a_rendered_body_is_valid_json_and_keeps_texts(status in any::<String>()) {
        let change = insert(&status);
        let object = vec![
            ("typed".into(), "{{ row.status }}"), (status.as_str().into(), "x{{ row.status }}y"),
            ("map".into(), "{{ {'a': row.status, 'b': [row.status, row.total]} }}"),
            ("statement".into(), "{% if true %}{{ row.status }}{% endif %}"),
        ];
        let compile = |source| BodyTemplate::Text(TextTemplate::compile(source, &no_env).expect("compiles"));
        let body = BodyTemplate::Object(object.into_iter().map(|(name, source)| (name, compile(source))).collect());
        let mut out = Vec::new();
        body.render(&scope(&change), &mut out).expect("renders");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        if !["typed", "map", "statement"].contains(&&*status) {
            prop_assert_eq!(json["typed"].as_str(), Some(&*status));
            prop_assert_eq!(json["map"]["b"][0].as_str(), Some(&*status));
            prop_assert_eq!(json["statement"].as_str(), Some(&*status));
            prop_assert_eq!(json[&*status].as_str(), Some(&*format!("x{status}y")));
        }
    }

    #[test]
    fn rewritten_operators_agree_with_the_engine_on_integers(
        a in -9i64..9, b in -9i64..9, c in 1i64..9,
        first in "(\\+|-|\\*|//|%|<|<=|==|!=|>|>=)", second in "(\\+|-|\\*)",
    ) {
        let source = format!("{a} {first} {b} {second} {c} {first} {c}");
        let ours = text(&format!("{{{{ {source} }}}}"), &update());
        let engine = minijinja::Environment::new().compile_expression(&source).expect("compiles").eval(());
        match engine {
            Ok(value) if ours.is_ok() => prop_assert_eq!(ours.map(|o| o.to_lowercase()), Ok(value.to_string().to_lowercase())),
            engine => prop_assert!(engine.is_err() || ours.expect_err("refused").contains("and b <"), "{}", source),
        }
    }
}
