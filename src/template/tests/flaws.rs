//! What does not load, with its place, and what is stopped while it renders.

use super::*;

#[test]
fn flaws_are_found_at_load_with_their_place() {
    for (source, column, expected) in [
        ("rwo.id == 1", 1, "unknown name `rwo`; did you mean `row`?"),
        ("1 == steps.a", 6, "name a step and what of it after `steps`"),
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
        ("row.a | selectattr('b') == 1", 9, "unknown filter `selectattr`; write `select('member')`"),
        ("row.a | date('%q') == '1'", 14, "a date has no field `%q`; known are %Y"),
        ("row.a | date('%-Z') == '1'", 14, "a date has no field `%-Z`"),
        ("row.a | date('%Y %') == '1'", 14, "a date has no field `%`"),
        ("row.a | date('%é') == '1'", 14, "a date has no field `%é`"),
        ("row.a | date('YYYY-MM-DD') == '1'", 14, "no field such as %Y"),
        ("row.a | date('100%%') == '1'", 14, "no field such as %Y"),
        ("row.a | date(5) == '1'", 14, "the format of `date` is a text"),
        ("row.a | date == '1'", 9, "filter `date` takes 1 to 3 arguments, not 0"),
        ("row.a | date('%Y', 'Europe/Berln') == '1'", 20, "no time zone `Europe/Berln`; did you mean `Europe/Berlin`?"),
        ("row.a | date('%Y', 'UTC', '+25:00') == '1'", 27, "no time zone `+25:00`"),
        ("row.a | date('%Y', '') == '1'", 20, "no time zone ``"),
        ("row.a | epoch('+2') == 1", 15, "no time zone `+2`"),
        ("row.a | epoch_ms(2) == 1", 18, "a zone of `epoch_ms` is a text"),
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
        ("http://a.test/{row.id}", "a value is written `{{ row.id }}`"),
        ("http://a.test\\@b.test/{{ row.id }}", "`\\`"),
        ("http://", "not a URL"),
        ("http://a.test:99999/", "not a URL"),
        ("http://a.test/{% if true %}x{% endif %}", "`{{ }}` only"),
        ("http://a.test/{{ rwo.id }}", "unknown name `rwo`"),
        ("http://a.test/?q={{ row.id | urlencode }}", "leave `| urlencode` out"),
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
