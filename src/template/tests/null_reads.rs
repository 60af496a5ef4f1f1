//! What is said of a NULL before the first row, against what becomes of it on rows.

use super::*;

/// Columns that may be NULL here, each with its place in the row.
const COLUMNS: [(&str, usize); 6] = [("id", 0), ("status", 1), ("total", 2), ("big", 3), ("doc", 4), ("tags", 7)];

/// An update in which these columns are NULL before and after.
fn with_null(places: &[usize]) -> Arc<Change> {
    let mut row = cells("paid", "12.30");
    for place in places {
        row[*place] = Cell::Value(Value::Null);
    }
    change(Op::Update, Some(row.clone()), Some(row))
}

/// The columns that are said to be needed, in a text and in JSON.
fn needed(source: &str) -> [Vec<String>; 2] {
    let compiled = TextTemplate::compile(source, &no_env).unwrap_or_else(|flaws| panic!("{source}: {flaws:?}"));
    let names = |reads: &mut dyn Iterator<Item = &NullRead>| {
        let mut names: Vec<String> = reads.map(|read| read.used.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    // Of JSON: a value by itself may be NULL.
    let mut of_json = compiled.null_reads().iter().filter(|read| !(compiled.is_one_value() && read.is_value));
    [names(&mut compiled.null_reads().iter()), names(&mut of_json)]
}

/// The columns by whose NULL the template fails, all others having a value.
fn failing(source: &str, render: fn(&str, &Arc<Change>) -> Result<String, String>) -> Vec<String> {
    let full = render(source, &with_null(&[]));
    full.unwrap_or_else(|error| panic!("{source} of a full row: {error}"));
    let fails = |(_, place): &&(&str, usize)| render(source, &with_null(&[*place])).is_err();
    let mut names: Vec<String> = COLUMNS.iter().filter(fails).map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_null_is_said_to_be_fatal_exactly_where_it_is() {
    let mut wrong = Vec::new();
    for source in [
        "a",
        "{{ row.id }}",
        "{{ row.status }}",
        "{{ row['status'] }}",
        "{{ old.status }} -> {{ row.total }}",
        "x {{ row.status }}",
        "{{ row.status or '' }}",
        "{{ row.status or row.total }}",
        "{{ row.status or row.doc.a }}",
        "{{ row.status or (row.status | upper) }}",
        "{{ row.status | upper }}",
        "{{ row.status[:2] }}",
        "x {{ (row.status or '')[:2] }}",
        "{{ (row.status or '') | upper }}",
        "{{ row.status | upper or 'x' }}",
        "{{ row.status | default('x') }}",
        "{{ row.status | default('x', true) }}",
        "{{ row.status | d('x', true) | upper }}",
        "{{ row.status | upper | default('x', true) }}",
        "{{ row.status | string }}",
        "{{ row.status | bool }}",
        "{{ row.status | tojson }}",
        "{{ row.total | int(0) }}",
        "{{ row.total | round(1) }}",
        "{{ row.total | cents }}",
        "{{ row.total + 1 }}",
        "{{ -row.total }}",
        "{{ row.total * row.big }}",
        "{{ row.total / 2 }}",
        "{{ row.big // 2 }}",
        "{{ row.big % 7 }}",
        "{{ row.status ~ '-' ~ row.total }}",
        "{{ row.total > 5 }}",
        "{{ row.status == 'paid' }}",
        "{{ row.status != row.total | string }}",
        "{{ row.status is none }}",
        "{{ row.status is not none and row.status }}",
        "{{ not row.status }}",
        "{{ 'a' if row.total > 5 else 'b' }}",
        "{{ row.status if row.status is not none else '-' }}",
        "{{ row.status | upper if row.status else '-' }}",
        "{{ row.status if row.total is none else row.status }}",
        "{{ row.doc.a }}",
        "{{ row.doc.a[0] }}",
        "{{ row.doc.a or 'x' }}",
        "{{ row.doc.a | default('x') }}",
        "{{ row.doc.a | default('x') | string }}",
        "{{ row.doc.a is defined }}",
        "{{ row.doc['a'] == [] }}",
        "{{ (row.doc or {'a': 1}).a }}",
        "{{ row.doc }}",
        "{{ row.tags | join(',') }}",
        "{{ row.tags | first }}",
        "{{ [row.status, row.total] }}",
        "{{ {'a': row.status, 'b': row.total | string} }}",
        "{{ [row.status, row.total] | length }}",
        "{% if row.status %}{{ row.status }}{% endif %}",
        "{% if row.status is not none %}{{ row.status }}{% else %}{{ row.total }}{% endif %}",
        "{% if row.id %}{{ row.status }}{% else %}{{ row.status }}{% endif %}",
        "{% if row.total > 5 %}a{% endif %}",
        "{% for tag in row.tags %}{{ tag }}{% endfor %}",
        "{% for tag in row.tags or [] %}{{ tag }}{% endfor %}",
        "{% set x = row.status | upper %}{{ row.total }}",
        "{% if row.doc.a %}a{% endif %}",
    ] {
        let (said, found) = (needed(source), [failing(source, text), failing(source, typed)]);
        if said != found {
            wrong.push(format!("{source}: said of {said:?}, fails by {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_other_values_decide_is_not_said_to_be_fatal() {
    for source in [
        "{{ row.status if row.total > 5 else '-' }}",
        "{{ row.id and row.status }}",
        "{{ row.status | upper if row.total is none else row.status }}",
        "{% if op == 'update' %}{{ row.status }}{% endif %}",
        "{% for n in [1] %}{{ row.status }}{% endfor %}",
        "{% set x = row.status %}{{ x }}",
        "{{ ['a', row.status][1] }}",
    ] {
        let [names, _] = needed(source);
        assert!(!names.contains(&"status".to_owned()), "{source}: {names:?}");
    }
}

#[test]
fn the_place_of_a_needed_column_is_known() {
    let compiled = TextTemplate::compile("a\n{{ old.status }}{{ row.total | cents }}", &no_env).expect("compiles");
    let places: Vec<_> = compiled
        .null_reads()
        .iter()
        .map(|read| (&*read.used.name, read.used.line, read.used.column, read.is_old, read.is_value))
        .collect();
    assert_eq!(places, [("status", 2, 4, true, true), ("total", 2, 20, false, false)]);
}
