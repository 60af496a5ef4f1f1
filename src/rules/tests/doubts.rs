//! What `check` doubts: rules against typed tables, each with what is said of it, and the like of which nothing is said.

use super::*;
use crate::column::ColumnKind;
use crate::schema::{NamedTables, TypedColumn, TypedTable};

/// `shop.orders` with a primary key; `status`, `note` and `label` are in no key; `note`, `customer` and `label` may be NULL.
fn orders() -> TypedTable {
    let int = || Some(ColumnKind::Int { bytes: 4, unsigned: false });
    let column = |name: &str, is_nullable| TypedColumn { name: name.into(), kind: int(), is_nullable };
    let columns = vec![
        column("id", false),
        column("status", false),
        column("note", true),
        column("customer", true),
        column("day", false),
        TypedColumn { name: "label".into(), kind: None, is_nullable: true },
    ];
    let names = columns.iter().map(|column| column.name.clone()).collect();
    let table = Table { schema: "shop".into(), name: "orders".into(), columns: names, primary_key: vec![0] };
    TypedTable { table, columns, keyed: ["id", "customer", "day"].map(Box::from).into() }
}

fn doubts(text: &str, tables: &[TypedTable]) -> Vec<String> {
    let tables = NamedTables { found: tables.to_vec(), ..NamedTables::default() };
    let doubts = load(text).expect("loads").doubts(&tables);
    doubts.into_iter().map(|doubt| format!("{}; fix: {}", doubt.said, doubt.fix)).collect()
}

/// Exactly one doubt, with these parts; or none for no parts.
#[track_caller]
fn doubted(text: &str, tables: &[TypedTable], parts: &[&str]) {
    let found = doubts(text, tables);
    assert_eq!(found.len(), usize::from(!parts.is_empty()), "{text}\n{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "no {part:?} in {}\n{text}", found[0]);
    }
}

#[test]
fn a_condition_that_no_change_can_meet_is_found_with_what_excludes_what() {
    for (keys, parts) in [
        (
            "when: false",
            &["f.yaml:4:11: `when` is never true", "fixed values", "rule r makes no call", "`enabled: false`"][..],
        ),
        ("when: 1 == 2", &["fixed values"]),
        ("when: not true", &["fixed values"]),
        ("when: row.id == 1 and 'a' == 'b'", &["fixed values"]),
        ("when: row.id in []", &["nothing is in an empty list"]),
        (
            "when: row.s == 'a' and row.s == 'b'",
            &["f.yaml:4:28", "`row.s == 'a'` and `row.s == 'b'` exclude each other"],
        ),
        ("when: row.s == 'a' and row.s != 'a'", &["exclude each other"]),
        ("when: row.s == 'a' and not (row.s == 'a')", &["`row.s == 'a'` and `row.s != 'a'`"]),
        ("when: row.s in ['a', 'b'] and row.s == 'c'", &["`row.s in ['a', 'b']` and `row.s == 'c'`"]),
        (
            "when: row.s in ['a', 'b'] and row.s not in ['a', 'b', 'c']",
            &["`row.s in ['a', 'b']`, `row.s != 'a'` and `row.s != 'b'` exclude each other"],
        ),
        ("when: row.s in ['a', 'b'] and row.s not in ['a', 'c']", &[]),
        ("when: row.s in ['a'] and row.s not in ['a', 'b']", &["exclude each other"]),
        ("when: row.s in ['a', 'b'] and row.s in ['c', 'd']", &["exclude each other"]),
        (
            "when: row.s in ['a', 'b'] and row.s != 'a' and row.s != 'b'",
            &["`row.s in ['a', 'b']`, `row.s != 'a'` and `row.s != 'b'` exclude each other; rule r"],
        ),
        ("when: row.n > 5 and row.n < 3", &["`row.n > 5` and `row.n < 3`"]),
        ("when: 3 > row.n > 5", &["`row.n < 3` and `row.n > 5`"]),
        ("when: row.n >= 5 and row.n < 5", &["exclude each other"]),
        ("when: row.n == 5 and row.n > 5.5", &["exclude each other"]),
        ("when: row.d < '2026-01-01' and row.d > '2026-02-01'", &["exclude each other"]),
        ("when: row.a is none and row.a == 5", &["`row.a is none` and `row.a == 5`"]),
        ("when: row.a is none and row.a != 5", &["exclude each other"]),
        ("when: row.a is none and row.a is not none", &["exclude each other"]),
        ("when: row.a == row.b and row.b is none", &["exclude each other"]),
        ("when: old.s == 'a' and old.s == 'b'", &["`old.s == 'a'`"]),
        ("when: (row.s == 'a' or row.s == 'b') and row.s == 'c'", &["exclude each other", "its alternatives"]),
        ("when: not (row.s != 'a' or row.s != 'b')", &["exclude each other"]),
        ("when: row.n == 1 if row.n == 2 else row.n in []", &["its alternatives"]),
    ] {
        doubted(&rule(keys), &[], parts);
    }
}

#[test]
fn a_condition_that_the_ops_of_its_rule_can_never_meet_is_found() {
    for (keys, parts) in [
        ("on: insert\n    when: op == 'update'", &["f.yaml:5:11", "of an insert `op` is 'insert'; rule"][..]),
        (
            "on: [insert, delete]\n    when: op in ['update', 'truncate']",
            &["of an insert `op` is 'insert'; of a delete `op` is 'delete'"],
        ),
        ("on: insert\n    when: old.status == 'new'", &["`old.status` is read, and an insert has no old row"]),
        ("on: insert\n    when: old is not none", &["an insert has no old row"]),
        ("on: [update, delete]\n    when: old is none", &["an update has an old row; a delete has an old row"]),
        ("on: [insert, delete]\n    when: \"'status' in changed\"", &["of an insert `status` is never in it; "]),
        ("on: truncate\n    when: row.status == 'x'", &["a truncate has no row"]),
        ("on: read", &["f.yaml:3:5: rule r matches no change: no change has the op `read` yet"]),
        ("on: [insert, update]\n    when: op == 'update'", &[]),
        ("on: insert\n    when: op != 'update'", &[]),
        ("on: insert\n    when: old is none or old.status == 'new'", &[]),
        ("on: [insert, update]\n    when: old.status == 'new'", &[]),
        ("on: update\n    when: \"'status' in changed\"", &[]),
        ("on: insert\n    when: \"not ('status' in changed)\"", &[]),
        ("on: truncate\n    when: op == 'truncate' or row.status == 'x'", &[]),
        ("on: [read, insert]", &[]),
    ] {
        doubted(&rule(keys), &[], parts);
    }
}

#[test]
fn nothing_is_said_of_a_condition_that_some_value_of_some_type_may_meet() {
    for when in [
        "row.s == 'a' and row.t == 'b'",
        "row.s == 'a' and old.s == 'b'",
        "row.s == 'a' or row.s == 'b'",
        "row.s != 'a' and row.s != 'b'",
        "row.n > 3 and row.n < 5",
        "row.n > 3 and row.n < 4",
        "row.s in ['a', 'b', 'c'] and row.s != 'a' and row.s != 'b'",
        "row.n >= 5 and row.n <= 5",
        "3 < row.n < 5",
        // One number, one day, one time of day.
        "row.n == '1' and row.n == '1.0'",
        "row.n == 1 and row.n == '1'",
        "row.n == true and row.n == 1",
        "row.d == '2026-01-01' and row.d == '2026-01-01 00:00:00'",
        "row.t == '9:00' and row.t == '09:00:00'",
        "row.ts == '2026-01-01T12:00:00Z' and row.ts == '2026-01-01T13:00:00+01:00'",
        // As texts the other way round than as times or numbers.
        "row.t > '9:00:00' and row.t < '10:00:00'",
        "row.n > '9' and row.n < '10'",
        // One double.
        "row.f == 0.1 and row.f == 0.10000000000000001",
        "row.a is none or row.a == 5",
        "row.a is none and row.b == 5",
        "row.a in [5, none] and row.a is none",
        "row.a not in [5] and row.a == 6",
        "row.a is defined and row.a == 5",
        "row.doc.x == 1 and row.doc.x == 2",
        "row.s | lower == 'a' and row.s | lower == 'b'",
        "row.n == 2 if row.n == 2 else row.n == 3",
        "row.n == 2 if row.n == 3 else row.n == 3",
        "table == 'orders' and table == 'lines'",
    ] {
        doubted(&rule(&format!("when: \"{when}\"")), &[], &[]);
    }
}

#[test]
fn a_column_that_is_not_null_is_never_none() {
    doubted(&rule("when: row.status is none"), &[orders()], &["column `status` is NOT NULL", "f.yaml:4:25"]);
    doubted(&rule("when: row.note is none"), &[orders()], &[]);
    doubted(&rule("when: row.status is none"), &[], &[]);
    // One table of a pattern is enough.
    let mut other = orders();
    other.table.name = "orders_old".into();
    other.columns[1].is_nullable = true;
    let text = rule("when: row.status is none").replace("shop.orders", "shop.orders*");
    doubted(&text, &[orders(), other], &[]);
}

#[test]
fn a_table_without_a_primary_key_is_said_where_a_rule_orders_by_it() {
    let mut table = orders();
    table.table.primary_key.clear();
    let plain = "f.yaml:3:5: rule r: no primary key in table shop.orders, so its calls are made one after another; fix: add a primary key";
    for (keys, parts) in [
        ("on: insert", &[plain][..]),
        ("order_by: primary_key", &[plain]),
        ("on_dead_letter: hold_key", &["one after another, and a dead letter blocks the whole table; fix"]),
        ("coalesce: {within: 1s}", &["`coalesce` merges nothing there"]),
        ("order_by: none", &[]),
        ("order_by: table", &[]),
        ("order_by: [customer]\n    when: row.customer is not none", &[]),
    ] {
        doubted(&rule(keys), &[table.clone()], parts);
    }
    let named = |name: &str| {
        let mut table = table.clone();
        table.table.name = name.into();
        table
    };
    let many = ["orders_1", "orders_2", "orders_3", "orders_4"].map(named);
    let text = rule("on: insert").replace("shop.orders", "shop.orders_*");
    doubted(&text, &many, &["no primary key in tables shop.orders_1, shop.orders_2, shop.orders_3 and 1 more, so"]);
}

#[test]
fn an_order_in_which_many_rows_wait_for_one_another_is_said() {
    for (keys, parts) in [
        (
            "order_by: [status]",
            &[
                "f.yaml:4:16: `order_by`: column `status` is in no key of table shop.orders",
                "calls of both values",
                "leave it out",
            ][..],
        ),
        ("order_by: [status, note]\n    when: row.note == 1", &["columns `status`, `note` are in no key"]),
        (
            "order_by: [customer]",
            &[
                "f.yaml:4:16: `order_by`: column `customer` of table shop.orders may be NULL",
                "`when: row.customer is none`",
            ],
        ),
        ("order_by: [customer]\n    when: row.customer is not none", &[]),
        ("order_by: [customer]\n    when: row.customer != 5", &[]),
        ("order_by: [id, customer]", &[]),
        ("order_by: [day]", &[]),
        ("order_by: [day, status]", &[]),
        ("order_by: [missing]", &[]),
    ] {
        doubted(&rule(keys), &[orders()], parts);
    }
    doubted(&rule("order_by: [status]"), &[], &[]);
}

#[test]
fn a_column_in_a_url_that_may_be_null_is_said_unless_the_condition_leaves_null_out() {
    let calling = |keys: &str, path: &str| rule(keys).replace("http://a.test/", &format!("\"http://a.test/{path}\""));
    let said =
        &["`url` reads column `note` of table shop.orders, which may be NULL: such a row becomes a dead letter"][..];
    for (when, path, parts) in [
        ("on: insert", "{{ row.note }}", said),
        ("on: insert", "x?note={{ row.note }}", said),
        ("on: insert", "x?note={{ row.note | string | upper }}", said),
        ("on: insert", "{{ row.id }}/{{ row.note }}", &["f.yaml:5:48: `url` reads"]),
        ("on: insert", "{{ row.note }}/{{ row.note }}/{{ row.id }}", &["f.yaml:5:35: `url` (and 1 more place) reads"]),
        ("when: row.id == 5", "{{ row.note }}", said),
        ("when: row.note == 5 or row.id == 5", "{{ row.note }}", said),
        ("when: row.note is none", "{{ row.note }}", said),
        ("when: row.note is not none", "{{ row.note }}", &[]),
        ("when: row.note != 5", "{{ row.note }}", &[]),
        ("when: row.id == 5 and row.note > 5", "{{ row.note }}", &[]),
        ("when: row.note in [1, 2]", "{{ row.note }}", &[]),
        ("when: old.note == 1", "{{ row.note }}", said),
        ("when: row.note | string == '5'", "{{ row.note }}", &[]),
        ("on: insert", "{{ row.note or '-' }}", &[]),
        ("on: insert", "{{ row.id }}/{{ row.status }}", &[]),
        ("on: insert", "{{ row.missing }}", &[]),
    ] {
        doubted(&calling(when, path), &[orders()], parts);
    }
}

#[test]
fn a_column_that_may_be_null_is_said_wherever_null_makes_a_dead_letter() {
    for (call, parts) in [
        (
            "headers: {X-Note: '{{ row.label }}'}",
            &[
                "header `X-Note` reads column `label` of table shop.orders, which may be NULL: such a row becomes a dead letter",
                "f.yaml:5:55: ",
                "fix: write `{{ row.label or omit }}` to leave it out; `when: row.label is not none` leaves out such rows",
            ][..],
        ),
        ("headers: {X-Note: 'n {{ row.label }}'}", &["write `{{ row.label or '' }}`; `when"]),
        ("headers: {X-Note: '{{ row.note }}'}", &["write `{{ row.note if row.note is not none else omit }}` to leave"]),
        ("headers: {X-Note: '{{ row.label or omit }}'}", &[]),
        ("headers: {X-Note: '{{ old.label }}'}", &["reads old column `label`", "{{ old.label or omit }}"]),
        ("form: {a: '{{ row.label }}'}", &["`form` reads column `label`", "{{ row.label or omit }}"]),
        ("form: {a: {b: ['x', '{{ row.label }}']}}", &["`form` reads column `label`"]),
        ("form: {a: '{{ row.label or omit }}', b: '{{ [row.label] }}'}", &[]),
        ("text: '{{ row.label }}', headers: {Content-Type: text/plain}", &["`text` reads", "{{ row.label or '' }}"]),
        ("text: '<a>{{ row.label }}</a>', headers: {Content-Type: text/xml}", &["`text` reads column `label`"]),
        ("text: '{% if row.label is not none %}{{ row.label }}{% endif %}', headers: {Content-Type: text/plain}", &[]),
        ("multipart: {a: '{{ row.label }}'}", &["`multipart` reads column `label`", "{{ row.label or omit }}"]),
        ("multipart: {a: {value: x, filename: '{{ row.label }}'}}", &["`filename` reads", "{{ row.label or '' }}"]),
        ("multipart: {a: {json: {b: '{{ row.label }}'}}}", &[]),
        ("body: {a: '{{ row.label }}'}", &[]),
        ("body: '{{ row.label }}'", &[]),
        ("body: {a: 'x {{ row.label }}'}", &["`body` reads column `label`", "write `{{ row.label or '' }}`"]),
        (
            "body: {a: '{{ row.label | upper }}'}",
            &["write `{{ … if row.label is not none else omit }}` to leave it out"],
        ),
        ("body: '{{ row.label | upper }}'", &["write `{{ … if row.label is not none else none }}`; `when"]),
        ("body: {a: '{{ row.note + 1 }}'}", &["`body` reads column `note`"]),
        ("body: {a: '{{ row.label | default(1) }}', b: '{{ row.label | default(1, true) | upper }}'}", &[]),
        ("body: {a: '{{ (row.label or 1) | upper }}'}", &[]),
        ("body: {a: '{{ row.label | upper if row.label is not none else omit }}'}", &[]),
        (
            "headers: {X-A: '{{ row.label }}', X-B: '{{ row.label }}'}, form: {a: '{{ row.label }}'}",
            &["header `X-A` (and 2 more places) reads column `label`"],
        ),
    ] {
        doubted(&rule_calling("on: update", call), &[orders()], parts);
        doubted(
            &rule_calling("when: row.label is not none and old.label == 'x' and row.note == 1", call),
            &[orders()],
            &[],
        );
    }
}

#[test]
fn what_becomes_of_a_row_with_a_null_depends_on_the_call() {
    let steps = |undo: &str, verify: &str, failed: &str| {
        format!(
            "table: shop.orders\nrules:\n  - name: r\n    steps:\n      - name: one\n        idempotent: false\n        call: {{url: \
             'http://a.test/'}}\n        undo: {{call: {{url: 'http://a.test/{undo}'}}}}\n        verify: {{when: answer.status == 200, \
             call: {{url: 'http://a.test/{verify}'}}}}\n      - name: two\n        sql: {{statement: 'UPDATE t SET a = :a', params: {{a: \
             '{{{{ row.label }}}}'}}}}\n    on_failure: {{call: {{url: 'http://a.test/{failed}'}}}}\n"
        )
    };
    let label = "{{ row.label }}";
    for (text, parts) in [
        (steps("", "", ""), &[][..]),
        (steps(label, "", ""), &["`url` reads column `label`", "such a row can't be undone"]),
        (steps("", label, ""), &["of such a row it can't be asked whether the step happened"]),
        (steps("", "", label), &["of such a row no callback is sent"]),
        (steps("", "", "").replace("{{ row.label }}", "{{ row.label | upper }}"), &["`params` reads", "else none }}`"]),
    ] {
        doubted(&text, &[orders()], parts);
    }
}

#[test]
fn a_column_of_the_old_row_is_doubted_where_an_insert_may_come_to_it() {
    let calls = |when: &str, insert: &str, update: &str| {
        format!(
            "table: shop.orders\nrules:\n  - name: r\n    when: {when}\n    calls:\n      \
             insert: {{url: http://a.test/, body: {{a: \"{insert}\"}}}}\n      update: {{url: http://a.test/, body: {{a: \"{update}\"}}}}\n"
        )
    };
    let one = |keys: &str, value: &str| rule_calling(keys, &format!("body: {{a: \"{value}\"}}"));
    let (row, old) = ("{{ row.status }}", "{{ old.status }}");
    let inserts = "`body` reads `old.status`, and an insert has no old row: such a row becomes a dead letter";
    for (text, parts) in [
        (calls("true", old, row), &["f.yaml:6:", inserts, "fix: read `row`, which is the new row"][..]),
        (calls("true", row, old), &[]),
        (one("on: insert", old), &[inserts]),
        (
            one("changed: status", old),
            &[inserts, "`{{ old.status if op != 'insert' else omit }}`, or leave `insert` out"],
        ),
        (one("changed: status", "from {{ old.status }}"), &[inserts]),
        (one("on: update", old), &[]),
        (one("when: op != 'insert'", old), &[]),
        (one("when: old is not none", old), &[]),
        (one("when: row.status == 5 and old.status == 4", old), &[]),
        (one("changed: status", "{{ old.status if op == 'update' else none }}"), &[]),
        // A NULL is of no consequence to a call that does not read it.
        (calls("op == 'update' or row.note is not none", "x {{ row.note }}", row), &[]),
        (calls("op == 'insert' or row.note is not none", "x {{ row.note }}", row), &["`note`"]),
        (calls("op == 'insert' or row.note is not none", row, "x {{ row.note }}"), &[]),
    ] {
        doubted(&text, &[orders()], parts);
    }
}
