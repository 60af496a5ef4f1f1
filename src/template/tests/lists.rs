//! Filters of lists: `map`, `select`, `reject`, `unique`, `slice`.

use super::*;

/// An insert whose JSON document is this one.
fn documented(doc: &str) -> Arc<Change> {
    let mut cells = cells("paid", "12.30");
    cells[4] = Cell::Value(Value::Json(doc.into()));
    change(Op::Insert, None, Some(cells))
}

const DOC: &str = r#"{"items": [{"sku": "a", "n": 1, "gift": true, "note": null}, {"sku": "b", "n": 0, "gift": false},
    {"sku": "A", "n": 2.5, "gift": null, "note": "x"}], "tags": ["x", "X", "x", 1, 1.0, "1", null, true, [1], [1], {"a": 1}, null]}"#;

#[test]
fn lists_are_mapped_chosen_and_cut() {
    for (source, expected) in [
        ("row.doc.items | map('sku')", r#"["a","b","A"]"#),
        ("row.doc.items | map('n') | sum", "3.5"),
        ("row.doc.items | map('sku') | join(',')", r#""a,b,A""#),
        ("row.doc.items | map('note', '-')", r#"[null,"-","x"]"#),
        ("row.doc.items | map('note', none)", r#"[null,null,"x"]"#),
        ("[[1, 2], [3, 4]] | map(1)", "[2,4]"),
        ("[row] | map('status')", r#"["paid"]"#),
        ("[] | map('x')", "[]"),
        ("row.doc.items | select('gift') | map('sku')", r#"["a"]"#),
        ("row.doc.items | reject('gift') | map('sku')", r#"["b","A"]"#),
        ("row.doc.items | select('n') | map('sku')", r#"["a","A"]"#),
        ("[0, 1, '', 'x', none, row.total, row.total * 0] | select", r#"[1,"x","12.30"]"#),
        ("[0, 1, '', 'x', none, row.total, row.total * 0] | reject", r#"[0,"",null,"0.00"]"#),
        ("row.doc.tags | unique", r#"["x","X",1,"1",null,true,[1],{"a":1}]"#),
        ("[row.total, 12.3, '12.30', 12.30, 0.0, 0] | unique", r#"["12.30","12.30",0.0]"#),
        ("row.tags | unique", r#"["red","blue"]"#),
        ("[1, 2, 3, 4, 5, 6, 7] | slice(3)", "[[1,2,3],[4,5],[6,7]]"),
        ("[1, 2, 3, 4] | slice(3, 0)", "[[1,2],[3,0],[4,0]]"),
        ("[1] | slice(3)", "[[1],[],[]]"),
        ("row.doc.items[:2] | map('sku')", r#"["a","b"]"#),
    ] {
        assert_eq!(typed(&format!("{{{{ {source} }}}}"), &documented(DOC)), Ok(expected.into()), "{source}");
    }
    for (source, expected) in [
        ("row.doc.items | select('gift') | length == 1", true),
        ("'b' in (row.doc.items | map('sku'))", true),
        ("row.doc.items | map('n') | max == 2.5", true),
        ("row.note | map('x') | length == 0", false),
    ] {
        assert_eq!(condition(source, &documented(DOC)), Ok(expected), "{source}");
    }
}

#[test]
fn a_member_that_an_element_lacks_is_an_error() {
    for (source, expected) in [
        ("row.doc.items | map('note')", "`map`: an element of the list has no such member"),
        ("row.doc.items | map(row.status)", "`map`: an element of the list has no such member"),
        ("row.doc.items | select('note')", "`select`: an element of the list has no such member"),
        ("row.doc.items | reject('note')", "`reject`: an element of the list has no such member"),
        ("row.tags | map('x')", "`map`: an element of the list has no such member"),
        ("[none] | map('x')", "`map`: an element of the list has no such member"),
        ("row.status | map('x')", "`map`: this value is no list"),
        ("row.doc | select", "`select`: this value is no list"),
        ("row.id | unique", "`unique`: this value is no list"),
        ("row.status | slice(2)", "`slice`: this value is no list"),
        ("row.doc.items | slice(0)", "`slice`: it makes 1 to 1000 lists"),
        ("row.doc.items | slice(1000000000)", "`slice`: it makes 1 to 1000 lists"),
        ("row.doc.gone | map('x')", "`row.doc.gone` is undefined"),
        ("[row] | map('gone')", "no column `gone`"),
        ("[row] | select('gone')", "no column `gone`"),
        ("[row.gone] | unique", "no column `gone`"),
        ("[row.gone, 1] | slice(2)", "no column `gone`"),
        ("row.doc.tags | map('x') | unique", "`map`: an element of the list has no such member"),
    ] {
        let message = typed(&format!("{{{{ {source} }}}}"), &documented(DOC)).expect_err(source);
        assert!(message.contains(expected), "{source}: {message}");
        assert!(!message.contains("paid"), "{message}");
    }
}

#[test]
fn long_lists_take_no_longer_than_reading_them() {
    let items: Vec<String> = (0..200_000).map(|number| format!("{}", number % 70_000)).collect();
    let doc = format!(r#"{{"items": [{}]}}"#, items.join(","));
    assert_eq!(text("{{ row.doc.items | unique | length }}", &documented(&doc)), Ok("70000".into()));
}
