//! Habits of SQL and of other languages: what would mean another thing than its writer believes is refused.

use super::*;

#[test]
fn what_would_mean_another_thing_is_refused_with_what_to_write() {
    for (source, column, expected) in [
        // After a text the parser would leave out all of this.
        ("row.status == 'paid' && row.id == 5", 22, "write `and` instead of `&&`"),
        ("row.status == 'paid' || row.id == 5", 22, "write `or` instead of `||`"),
        ("row.status == 'paid' ; row.id == 5", 22, "template:"),
        ("row.status == 'paid' $ 1", 22, "template:"),
        ("row.status in ['paid'] and 'x' == row.note && row.id == 5", 44, "write `and` instead of `&&`"),
        ("row.status == 'paid'\n  && row.id == 5", 3, "write `and` instead of `&&`"),
        ("row.note == 'ü' && row.id == 5", 17, "write `and` instead of `&&`"),
        ("row.note == 'x' # why", 17, "template:"),
        ("row.note == 'it", 13, "template:"),
        ("row.note == 'it''s'", 17, "two texts stand side by side"),
        ("row.note == \"a\" \"b\"", 17, "two texts stand side by side"),
        ("row.status in ['paid' 'new']", 23, "two texts stand side by side"),
        ("row.status in 'paid'", 15, "write a list"),
        ("row.status not in 'paid'", 19, "write a list"),
        ("row.status in ('paid')", 16, "write a list"),
        ("row.status is in 'paid'", 18, "write a list"),
        ("row.status == 'paid' or 'new'", 25, "a text by itself is no condition"),
        ("not 'paid'", 5, "a text by itself is no condition"),
        ("'paid'", 1, "a text by itself is no condition"),
        ("answer.status == '200'", 18, "a status is a number"),
        ("'200' != answer['status']", 1, "a status is a number"),
        ("steps.charge.status in [200, '409']", 24, "a status is a number"),
    ] {
        let flaws = Condition::compile(source, "r", &no_env).expect_err(source);
        assert!(flaws[0].message.contains(expected), "{source}: {flaws:?}");
        assert_eq!(flaws[0].column, column, "{source}: {flaws:?}");
    }
}

#[test]
fn what_means_what_it_says_is_taken() {
    for source in [
        "row.status in ['paid']",
        "row.status in ('paid', 'new')",
        "row.status in row.note",
        "'paid' in row.status",
        "row.status is containing('paid')",
        "row.note == \"it's\"",
        "row.note == '&& || ; $ #'",
        "row.note == 'a' ~ 'b'",
        "(row.note or '-') == '-'",
        "answer.status == 200",
        "answer.status in [200, 409]",
        "answer.json.status == 'paid'",
        "steps.charge.json.status == 'paid'",
        "row.status == '200'",
    ] {
        assert!(Condition::compile(source, "r", &no_env).is_ok(), "{source}");
    }
}

#[test]
fn nothing_of_a_template_is_left_out() {
    for (source, expected) in [
        ("{{ row.note ~ 'x' $ row.id }}", "template:"),
        ("{{ 'it''s' }}", "two texts stand side by side"),
        ("{% if row.status == 'paid' && row.id == 5 %}a{% endif %}", "write `and` instead of `&&`"),
    ] {
        let flaws = TextTemplate::compile(source, &no_env).expect_err(source);
        assert!(flaws[0].message.contains(expected), "{source}: {flaws:?}");
    }
    for source in
        ["it''s {{ row.id }}", "{{ 'a' }}{{ 'b' }}", "{# don't #}{{ row.id }}", "{% raw %}{{ 'a' 'b' }}{% endraw %}"]
    {
        assert!(TextTemplate::compile(source, &no_env).is_ok(), "{source}");
    }
}
