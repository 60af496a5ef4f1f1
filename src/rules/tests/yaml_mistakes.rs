//! The usual mistakes of people who write YAML and expressions: each is reported with what to write instead.

use super::*;

/// A rule file with these lines below `call:` of its one rule.
fn calling(lines: &str) -> String {
    format!("table: a.b\nrules:\n  - name: r\n    call:\n      url: http://a.test/\n{lines}\n")
}

#[test]
fn text_that_is_no_yaml_is_reported_with_what_to_write() {
    let when = |expression: &str| {
        format!("table: a.b\nrules:\n  - name: r\n    when: {expression}\n    call: {{url: http://a.test/}}\n")
    };
    let cases: Vec<(String, usize, usize, &'static str)> = vec![
        // Tabs.
        ("table: a.b\nrules:\n\t- name: r\n\t  call: {url: http://a.test/}\n".into(), 3, 1, "a tab indents this line"),
        ("table: a.b\nrules:\n  - name: r\n\tcall: {url: http://a.test/}\n".into(), 4, 1, "write two spaces instead"),
        ("table: a.b\nrules:\n  - name: r\n  \tcall: {url: http://a.test/}\n".into(), 4, 3, "a tab indents this line"),
        (calling("      headers:\n      \tX-A: b"), 7, 7, "a tab indents this line"),
        // Indentation.
        ("table: a.b\nrules:\n  - name: r\n     call: {url: http://a.test/}\n".into(), 4, 6, "is indented by 5 spaces"),
        ("table: a.b\nrules:\n  - name: r\n   call: {url: http://a.test/}\n".into(), 4, 4, "is indented by 3 spaces"),
        (calling("     method: PUT"), 6, 6, "is indented by 5 spaces"),
        (calling("        method: PUT"), 6, 9, "write 6 spaces"),
        (" table: a.b\nrules: []\n".into(), 2, 1, "is indented by 0 spaces"),
        ("table: a.b\n rules: []\n".into(), 2, 2, "is indented by 1 spaces"),
        // Values that need quotes.
        (calling("      body: @home"), 6, 13, "a value that begins with `@` stands in quotes: '@...'"),
        (calling("      body: `x`"), 6, 13, "a value that begins with ``` stands in quotes"),
        (calling("      body: %x"), 6, 13, "a value that begins with `%` stands in quotes"),
        (calling("      body: {{ row.id }}"), 6, 14, "a template stands in quotes: \"{{ row.id }}\""),
        (calling("      body: {id: {{ row.id }}}"), 6, 19, "a template stands in quotes: \"{{ row.id }}\""),
        (calling("      body: {id: x{{ row.id }}}"), 6, 19, "a template stands in quotes within `{ }`"),
        (calling("      body: *x"), 6, 13, "in quotes if it begins with `*`"),
        (calling("      body: &x y"), 6, 16, "in quotes if it begins with `&`"),
        (calling("      body: !x y"), 6, 16, "a value that begins with `!` stands in quotes"),
        (calling("      body: error: it failed"), 6, 18, "a value that holds a colon and a blank stands in quotes"),
        // A blank that is missing.
        (calling("      method:PUT"), 6, 14, "a blank stands between the colon and the value: `method: ...`"),
        // Expressions.
        (when("row.paid is null"), 4, 23, "unknown test `null`; write `is none`"),
        (when("row.paid is not null"), 4, 27, "write `is none`, or `is not none`"),
        (when("row.paid is NULL"), 4, 23, "unknown test `NULL`; write `is none`"),
        (when("row.paid == null"), 4, 23, "unknown name `null`; write `none`"),
        (when("row.paid = 1"), 4, 20, "write `==` instead of `=`"),
        (when("row.a == 1 && row.b == 2"), 4, 22, "write `and` instead of `&&`"),
        (when("row.a == 1 || row.b == 2"), 4, 22, "write `or` instead of `||`"),
        (when("\"!row.a\""), 4, 12, "write `not` instead of `!`"),
        (when("not row.a <> 2"), 4, 21, "write `!=` instead of `<>`"),
        (when("row.a == 1 AND row.b == 2"), 4, 22, "write `and` instead of `AND`"),
        (when("row.a IS NULL"), 4, 17, "write `is` instead of `IS`"),
        (calling("      body: \"{{ row.a && row.b }}\""), 6, 23, "write `and` instead of `&&`"),
    ];
    each_has_one_mistake(cases, load);
    let text = calling("      body: {{ row.id }} and more");
    let problems = load(&text).expect_err("no YAML").to_string();
    assert!(problems.contains("6:13: not YAML: a value that begins with a template stands in quotes"), "{problems}");
}

#[test]
fn a_file_with_another_ending_that_looks_like_rules_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let load = || RuleSet::load(folder.path(), &env);
    let sound = rule("on: insert");
    write("orders.txt", &sound);
    let refused = load().expect_err("no rule file").to_string();
    assert!(
        refused.contains("no rule file") && refused.contains("orders.txt is not read: rename it to orders.yaml"),
        "{refused}"
    );
    write("a.yaml", &sound);
    for name in ["b.yaml.txt", "c.YAML", "d.ymal", "e.json", "f.yml.txt"] {
        write(name, &sound.replace("name: r", "name: other"));
    }
    for (name, text) in
        [("notes.txt", "table of contents"), ("g.yaml.off", &sound), ("h.yaml~", &sound), ("i.md", &sound)]
    {
        write(name, text);
    }
    let rules = load().expect("one rule file is there");
    let renamed = [
        ("b.yaml.txt", "b"),
        ("c.YAML", "c"),
        ("d.ymal", "d"),
        ("e.json", "e"),
        ("f.yml.txt", "f"),
        ("orders.txt", "orders"),
    ];
    let expected = renamed.map(|(name, stem)| format!("{name} is not read: rename it to {stem}.yaml"));
    assert_eq!(
        rules.misnamed_files().iter().map(|line| line.split_once(": ").expect("a folder").1).collect::<Vec<_>>(),
        expected
    );
    write("k.yml", &sound.replace("name: r", "name: k"));
    assert_eq!(load().expect("both endings").rules().len(), 2);
}
