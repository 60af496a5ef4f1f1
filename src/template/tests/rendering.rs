//! What texts, typed values and URLs become of a row.

use super::*;

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
fn secrets_come_from_the_environment_and_never_show_in_debug() {
    let env = |name: &str| Ok((name == "TOKEN").then(|| Secret::new("s3cret")));
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
fn what_is_undefined_is_named_by_its_path() {
    for (source, expected) in [
        ("{{ row.doc.items }}", "`row.doc.items` is undefined; give a replacement with `| default(…)`"),
        ("{{ row.doc.a[7].sku }}", "`row.doc.a[7]` is undefined"),
        ("{{ row.doc['x y'] | upper }}", "`row.doc['x y']` is undefined"),
        ("{{ row.doc.c ~ 'x' }}", "`row.doc.c` is undefined"),
        ("x{{ row.doc.c }}", "`row.doc.c` is undefined"),
        ("{{ row.status if row.doc.c == 1 else row.doc.d }}", "`row.doc.c` is undefined"),
        ("{{ [row.doc.a, row.doc.e] }}", "`row.doc.e` is undefined"),
        ("{% if row.doc.c %}x{% endif %}", "`row.doc.c` is undefined"),
        ("{% for item in row.doc.a %}{{ item.sku }}{% endfor %}", "`item.sku` is undefined"),
        ("{% for item in row.doc.items %}x{% endfor %}", "`row.doc.items` is undefined"),
        ("{% set doc = row.doc %}{{ doc.a[0] }}{{ doc.x }}", "`doc.x` is undefined"),
    ] {
        fails_with(typed(source, &update()), expected);
    }
    for (source, expected) in [
        ("{{ row.doc.c | default('-') }}", "-"),
        ("{{ row.doc.a[7].sku is defined }}", "`row.doc.a[7]` is undefined"),
        ("{{ row.note or '-' }}", "-"),
        ("{{ row.note | default('-', true) }}", "-"),
    ] {
        let rendered = text(source, &update()).unwrap_or_else(|error| error);
        assert!(rendered.starts_with(expected), "{source}: {rendered}");
    }
}

#[test]
fn a_text_that_is_sent_as_it_is_keeps_the_line_break_at_its_end() {
    let change = insert("paid");
    let sent = |source: &str| {
        let (plain, xml) = (
            TextTemplate::compile_sent(source, &no_env).expect("compiles"),
            TextTemplate::compile_markup(source, Markup::Xml, &no_env).expect("compiles"),
        );
        let plain = plain.render(&scope(&change)).expect("renders");
        assert_eq!(xml.render(&scope(&change)).expect("renders"), plain, "{source:?}");
        plain
    };
    for end in ["", "\n", "\r\n", "\n\n"] {
        assert_eq!(sent(&format!("<a>paid</a>{end}")), format!("<a>paid</a>{end}"));
        assert_eq!(sent(&format!("<a>{{{{ row.status }}}}</a>{end}")), format!("<a>paid</a>{end}"));
        assert_eq!(sent(&format!("{{% if row.id > 5 %}}x{{% endif %}}{end}")), format!("x{end}"));
    }
    assert_eq!(text("{{ row.status }}\n", &change), Ok("paid".to_owned()), "one value, without the end of its line");
}
