//! Steps, undo, statements and callbacks: what they become, and every mistake in them at its place.

use super::*;
use crate::retry::Retries;
use crate::saga::ActionId;

/// A file with one rule that has these lines below its name.
fn file(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("table: shop.users\nrules:\n  - name: signup\n{lines}")
}

#[track_caller]
fn loaded(lines: &str) -> Arc<Rule> {
    let rules = load(&file(lines)).unwrap_or_else(|problems| panic!("{problems}"));
    Arc::clone(&rules.rules()[0])
}

const SIGNUP: &str = "\
steps:
  - name: account
    call: {url: \"https://pay.test/accounts\", body: {user: \"{{ row.id }}\"}}
    undo: {call: {method: DELETE, url: \"https://pay.test/accounts/{{ steps.account.json.id }}\"}}
    retry: {retries: 7}
  - name: charge
    call: {url: \"https://cards.test/charges\", body: {account: \"{{ steps.account.json.id }}\"}, idempotent: false}
    verify: {call: {url: \"https://cards.test/charges/{{ row.id }}\"}, when: answer.status == 200}
    retry_on: [429, network]
  - name: mark
    sql: {statement: \"UPDATE users SET account = :a WHERE id = :id AND :a\", params: {id: \"{{ row.id }}\", a: \"{{ steps.account.json.id }}\"}, expect_rows: 0..1, timeout: 3s}
on_success: {call: {url: \"https://app.test/done\"}, retry: {retries: 9}}
on_failure: {call: {url: \"https://app.test/failed\", body: \"{{ outcome.state }} {{ steps.charge.state }}\"}}
retry: {retries: 5}";

#[test]
fn a_rule_with_steps_has_an_action_for_each_call_and_statement() {
    let rule = loaded(SIGNUP);
    let saga = rule.saga.as_ref().expect("a saga");
    let action = |id| &rule.actions[saga.number(id).expect("an action")];
    let names: Vec<&str> = saga.steps.iter().map(|step| &*step.name).collect();
    assert_eq!((names, saga.is_single), (vec!["account", "charge", "mark"], false));
    let retries = |id| action(id).retry.retries;
    assert_eq!(retries(ActionId::Step(0)), Retries::AtMost(7));
    assert_eq!(retries(ActionId::Undo(0)), Retries::AtMost(7), "as its step");
    assert_eq!(retries(ActionId::Step(1)), Retries::AtMost(5), "as the rule");
    assert_eq!(retries(ActionId::OnSuccess), Retries::AtMost(9));
    assert_eq!(retries(ActionId::OnFailure), Retries::AtMost(5));
    assert!(!action(ActionId::Step(1)).retry_on.timeout && action(ActionId::Step(0)).retry_on.timeout);
    let repeatable = [0, 1, 2].map(|n| action(ActionId::Step(n)).is_repeatable);
    assert_eq!(repeatable, [true, false, true]);
    let origins = [0, 1, 2].map(|n| action(ActionId::Step(n)).target.origin.clone());
    assert_eq!(origins, ["https://pay.test", "https://cards.test", "write_url"]);
    let saga_definition: Vec<_> = saga.definition.steps.iter().map(|step| (step.can_undo, step.can_verify)).collect();
    assert_eq!(saga_definition, [(true, false), (false, true), (false, false)]);
    assert!(saga.definition.has_on_success && saga.definition.has_on_failure);
}

#[test]
fn a_delivery_begins_with_its_first_step_and_not_with_the_undo_or_query_of_that() {
    let first = |extra: &str| {
        let step = "{name: a, call: {url: \"https://a.test/\"}, retry: {retries: 4}";
        let rule = loaded(&format!("steps: [{step}{extra}}}]"));
        (rule.first_action().target.origin.clone(), rule.first_action().retry.retries)
    };
    let expected = ("https://a.test".to_owned(), Retries::AtMost(4));
    assert_eq!(first(""), expected);
    assert_eq!(first(", undo: {call: {url: \"https://undo.test/\"}, retry: {retries: forever}}"), expected);
    let query = ", idempotent: false, verify: {call: {url: \"https://query.test/\"}, when: answer.status == 200}";
    assert_eq!(first(query), expected);
}

#[test]
fn only_answers_that_a_template_reads_are_kept() {
    let rule = loaded(SIGNUP);
    let saga = rule.saga.as_ref().expect("a saga");
    let keeps = |id| rule.actions[saga.number(id).expect("an action")].keeps_answer;
    assert!(keeps(ActionId::Step(0)), "later steps read it");
    assert!(!keeps(ActionId::Step(1)), "its state alone is read");
    assert!(keeps(ActionId::Verify(1)), "its condition reads it");
    assert!(!keeps(ActionId::OnSuccess));
    for (body, expected) in [("steps.call.status", true), ("steps.call['text']", true), ("steps['call'].state", false)]
    {
        let rule = loaded(&format!(
            "call: {{url: http://a.test/}}\non_failure: {{call: {{url: http://b.test/, body: \"{{{{ {body} }}}}\"}}}}"
        ));
        assert_eq!(rule.actions[0].keeps_answer, expected, "{body}");
    }
}

#[test]
fn a_statement_gets_its_values_in_the_order_of_its_question_marks() {
    let rule = loaded(SIGNUP);
    let saga = rule.saga.as_ref().expect("a saga");
    let Work::Sql(sql) = &rule.actions[saga.steps[2].action].work else { panic!("a statement") };
    assert_eq!(&*sql.statement, "UPDATE users SET account = ? WHERE id = ? AND ?");
    let names: Vec<&str> = sql.params.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "id", "a"]);
    assert_eq!((&sql.settings.expect_rows, sql.settings.timeout), (&Some(0..=1), Duration::from_secs(3)));
    let one = loaded("steps: [{name: a, sql: {statement: DELETE FROM t, expect_rows: 1}}]");
    let Work::Sql(sql) = &one.actions[0].work else { panic!("a statement") };
    assert_eq!((&sql.settings.expect_rows, sql.settings.timeout), (&Some(1..=1), Duration::from_secs(10)));
}

#[test]
fn a_rule_has_a_saga_unless_it_is_one_call_that_may_be_repeated() {
    for (lines, is_saga) in [
        ("call: {url: http://a.test/}", false),
        ("call: {url: http://a.test/, idempotent: true}", false),
        ("call: {url: http://a.test/, idempotent: false}", true),
        ("call: {url: http://a.test/}\non_success: {sql: {statement: DELETE FROM t}}", true),
        ("call: {url: http://a.test/}\non_failure: {call: {url: http://b.test/}}", true),
    ] {
        let rule = loaded(lines);
        let is_single = rule.saga.as_ref().map(|saga| (saga.is_single, &*saga.steps[0].name));
        assert_eq!(is_single, is_saga.then_some((true, "call")), "{lines}");
    }
    let rule =
        loaded("call: {url: http://a.test/, idempotent: false, verify: {call: {url: http://b.test/}, when: true}}");
    let saga = rule.saga.as_ref().expect("a saga");
    let query = rule.actions[saga.number(ActionId::Verify(0)).expect("a query")].call().expect("a call");
    assert_eq!(query.settings.method, Method::Get, "it asks");
    assert!(query.settings.success.contains(404), "that there is nothing is an answer");
}

#[test]
fn the_body_of_a_callback_is_the_outcome_unless_the_rule_says_otherwise() {
    let rule = loaded(SIGNUP);
    let saga = rule.saga.as_ref().expect("a saga");
    let body = |id| &rule.actions[saga.number(id).expect("an action")].call().expect("a call").body;
    assert!(matches!(body(ActionId::OnSuccess), Body::Outcome));
    assert!(matches!(body(ActionId::OnFailure), Body::Template(_)));
    assert!(matches!(body(ActionId::Undo(0)), Body::Empty), "DELETE");
    assert!(matches!(body(ActionId::Verify(1)), Body::Empty), "GET");
}

#[test]
fn what_rowhook_writes_itself_has_a_fuse() {
    let minute = Duration::from_secs(60);
    for (keys, own_writes, fuse) in [
        ("on: insert", false, None),
        ("own_writes: false", false, None),
        ("own_writes: true", true, Some(Rate { count: 60, per: minute })),
        ("own_writes: true\n    fuse: 5/min", true, Some(Rate { count: 5, per: minute })),
        ("fuse: 7/s", false, Some(Rate { count: 7, per: Duration::from_secs(1) })),
    ] {
        let rules = rule_set(keys);
        let rule = &rules.rules()[0];
        assert_eq!((rule.settings.own_writes, rule.settings.fuse), (own_writes, fuse), "{keys}");
    }
}

#[test]
fn the_place_of_the_first_statement_is_known_for_a_start_without_a_server_to_write_to() {
    let text = file(
        "call: {url: http://a.test/}\non_success: {sql: {statement: DELETE FROM t}}\non_failure: {sql: {statement: DELETE FROM t}}",
    );
    let shown = load(&text).expect("it loads").needs_write_url().map(ToString::to_string);
    let expected = "f.yaml:5:23: `sql` writes to MySQL, and no server is named for it; give --write-url \
                    mysql://user:password@host:3306, or set ROWHOOK_WRITE_URL\n   \
                    5 |     on_success: {sql: {statement: DELETE FROM t}}\n     |                       ^";
    assert_eq!(shown.as_deref(), Some(expected));
    assert_eq!(rule_set("on: insert").needs_write_url(), None);
}

#[test]
fn every_mistake_in_a_saga_is_reported_at_its_place() {
    // Two steps, of which the second has `call`, `undo` or whatever else is given.
    let second = |keys: &str| {
        file(&format!(
            "steps:\n  - {{name: one, call: {{url: http://a.test/}}}}\n  - {{name: two, {keys}}}\n  - {{name: three, sql: {{statement: DELETE FROM t}}}}"
        ))
    };
    let call = |body: &str| second(&format!("call: {{url: http://a.test/, body: \"{body}\"}}"));
    let undo = |body: &str| {
        second(&format!("call: {{url: http://a.test/}}, undo: {{call: {{url: http://a.test/, body: \"{body}\"}}}}"))
    };
    let sql = |sql: &str| file(&format!("steps:\n  - name: one\n    sql: {sql}"));
    let ending = |ending: &str| file(&format!("call: {{url: http://a.test/}}\n{ending}"));
    let gathering = |keys: &str| file(&format!("steps: [{{name: one, call: {{url: http://a.test/}}}}]\n{keys}"));
    let at_body = 56;
    let cases: Vec<(String, usize, usize, &str)> = vec![
        // What a rule consists of.
        (
            file("call: {url: http://a.test/}\nsteps: [{name: a, call: {url: http://a.test/}}]"),
            5,
            5,
            "`steps` and `call` both say what is called; leave one of them out",
        ),
        (file("steps: {a: 1}"), 4, 12, "`steps` must be a list of steps, not a map"),
        (file("steps: []"), 4, 12, "`steps` is a list of 1 to 32 steps"),
        (file("steps: [{call: {url: http://a.test/}}]"), 4, 13, "the step has no `name`"),
        (file("steps: [{name: a}]"), 4, 13, "a step needs `call` or `sql`"),
        (file("steps: [{name: a-b, call: {url: http://a.test/}}]"), 4, 20, "with no digit first"),
        (file("steps: [{name: 1a, call: {url: http://a.test/}}]"), 4, 20, "with no digit first"),
        (
            file("steps: [{name: a, cal: {}, call: {url: http://a.test/}}]"),
            4,
            23,
            "unknown key `cal` in a step; did you mean `call`?",
        ),
        (
            file("steps: [{name: a, call: {url: http://a.test/}, sql: {statement: DELETE FROM t}}]"),
            4,
            57,
            "`call` and `sql` both say what is done; leave one of them out",
        ),
        (
            file("steps:\n  - {name: a, call: {url: http://a.test/}}\n  - {name: a, call: {url: http://a.test/}}"),
            6,
            16,
            "step `a` exists already, at line 5; names are unique",
        ),
        (
            second("call: {url: http://a.test/}, undo: {url: http://a.test/}")
                .replace("undo: {url: http://a.test/}", "undo: {}"),
            6,
            56,
            "`undo` needs `call` or `sql`",
        ),
        (
            file("undo: {call: {url: http://a.test/}}\ncall: {url: http://a.test/}"),
            4,
            5,
            "unknown key `undo` in a rule",
        ),
        // What may be repeated.
        (
            second("call: {url: http://a.test/}, undo: {call: {url: http://a.test/, idempotent: false}}"),
            6,
            97,
            "`undo` is repeated until it is known to be done; `idempotent` has no place in it",
        ),
        (ending("on_success: {call: {url: http://a.test/, idempotent: false}}"), 5, 58, "`on_success` is repeated"),
        (ending("on_failure: {sql: {statement: DELETE FROM t, idempotent: false}}"), 5, 62, "`on_failure` is repeated"),
        (
            second("call: {url: http://a.test/}, verify: {call: {url: http://a.test/}, when: true}"),
            6,
            58,
            "only beside `idempotent: false`",
        ),
        (
            second("call: {url: http://a.test/, idempotent: false}, idempotent: false"),
            6,
            61,
            "`idempotent` stands beside it already",
        ),
        (second("call: {url: http://a.test/, idempotent: no}"), 6, 61, "`idempotent` is true or false, not `no`"),
        (
            second("idempotent: false, call: {url: http://a.test/}, verify: {call: {url: http://a.test/}}"),
            6,
            77,
            "`verify` needs `call`",
        ),
        // What templates read.
        (
            call("{{ steps.on.json.id }}"),
            6,
            at_body + 3,
            "there is no step `on`; did you mean `one`?; known are one, two, three",
        ),
        (
            call("{{ steps.two.json.id }}"),
            6,
            at_body + 3,
            "step `two` reads its own answer, which comes after its call",
        ),
        (call("{{ steps.three.status }}"), 6, at_body + 3, "step `two` reads step `three`, which comes later"),
        (
            call("{% if steps.three.state %}a{% endif %}"),
            6,
            at_body + 6,
            "step `two` reads step `three`, which comes later",
        ),
        (undo("{{ steps.three.status }}"), 6, 95, "the undo of step `two` reads step `three`, which comes later"),
        (
            call("{{ steps.one.jsn }}"),
            6,
            at_body + 3,
            "a step has no `jsn`; did you mean `json`?; known are state, status, headers, json, text",
        ),
        (call("{{ steps.one }}"), 6, at_body + 3, "name a step and what of it after `steps`"),
        (call("{{ steps[row.a].json }}"), 6, at_body + 3, "name a step and what of it after `steps`"),
        (
            call("{{ answer.status }}"),
            6,
            at_body + 3,
            "`answer` is there in the `when` of `verify`, `success` and `retry_on` only",
        ),
        (call("{{ outcome.state }}"), 6, at_body + 3, "`outcome` is there in `on_success` and `on_failure` only"),
        (
            ending("on_success: {call: {url: http://a.test/, body: \"{{ outcome.sate }}\"}}"),
            5,
            56,
            "`outcome` has no `sate`; did you mean `state`?",
        ),
        (
            ending("on_success: {call: {url: http://a.test/, body: \"{{ steps.cal.json }}\"}}"),
            5,
            56,
            "there is no step `cal`; did you mean `call`?; known are call",
        ),
        (
            second(
                "call: {url: http://a.test/, idempotent: false, verify: {call: {url: http://a.test/}, when: answer.statsu == 200}}",
            ),
            6,
            112,
            "`answer` has no `statsu`; did you mean `status`?",
        ),
        (
            second(
                "call: {url: http://a.test/, idempotent: false, verify: {call: {url: http://a.test/}, when: steps.two.json.id}}",
            ),
            6,
            112,
            "the query about step `two` reads step `two`, of which nothing is known then",
        ),
        (
            ending(
                "on_success: {sql: {statement: \"DELETE FROM t WHERE a = :a\", params: {a: \"{{ steps.call.headers.x }} {{ rwo }}\"}}}",
            ),
            5,
            108,
            "did you mean `row`?",
        ),
        (
            file("call: {url: http://a.test/}\nwhen: steps.a.json.b"),
            5,
            11,
            "`when` decides before any step is called, so that it can't read `steps`",
        ),
        (file("call: {url: http://a.test/, body: '{{ steps.a.json.b }}'}"), 4, 43, "this rule has no steps to read"),
        (file("call: {url: 'http://{{ steps.a.json.b }}/'}"), 4, 25, "allow_hosts"),
        // Statements.
        (sql("{}"), 6, 14, "`sql` has no `statement`"),
        (sql("{statement: SELECT 1}"), 6, 26, "a statement begins with one of INSERT, UPDATE, DELETE, REPLACE, WITH"),
        (sql("{statement: \"DELETE FROM t WHERE a = ?\"}"), 6, 51, "write `:name` instead of `?`"),
        (sql("{statement: \"DELETE FROM t WHERE a = :a\"}"), 6, 51, "`params` has no `a`"),
        (
            file("steps:\n  - name: one\n    sql:\n      statement: |\n        DELETE FROM t\n        WHERE a = :a"),
            9,
            23,
            "`params` has no `a`",
        ),
        (
            sql("{statement: \"DELETE FROM t WHERE a = :a\", params: {a: 1, b: 2}}"),
            6,
            71,
            "the statement has no `:b`; did you mean `a`?",
        ),
        (sql("{statement: \"DELETE FROM t; DELETE FROM u\"}"), 6, 42, "one statement at a time"),
        (sql("{statement: DELETE FROM t, params: [a]}"), 6, 49, "`params` must be a map"),
        (
            sql("{statement: DELETE FROM t, expect_rows: one}"),
            6,
            54,
            "`expect_rows` is a number of rows such as `1` or `0..1`, not `one`",
        ),
        (sql("{statement: DELETE FROM t, expect_rows: 2..1}"), 6, 54, "`expect_rows` is a number of rows"),
        (sql("{statement: DELETE FROM t, timeout: 6m}"), 6, 50, "between 1ms and 5m"),
        // What does not go together.
        (
            gathering("batch: {size: 5}"),
            5,
            12,
            "`batch` and `steps` don't go together in this version; leave one of them out",
        ),
        (gathering("per: transaction"), 5, 10, "`per` and `steps` don't go together"),
        (gathering("coalesce: {within: 1s}"), 5, 15, "`coalesce` and `steps` don't go together"),
        (gathering("redact: a"), 5, 13, "`redact` and `steps` don't go together"),
        (
            ending("on_failure: {call: {url: http://a.test/}}\nbatch: {size: 5}"),
            6,
            12,
            "`batch` and `on_failure` don't go together",
        ),
        (
            file("call: {url: http://a.test/, idempotent: false}\nredact: a"),
            5,
            13,
            "`redact` and `idempotent: false` don't go together",
        ),
        (rule("fuse: 60"), 4, 11, "`fuse` is `none` or a rate such as `50/s`"),
        (rule("fuse: 5/m\n    order_by: none"), 4, 11, "`fuse` counts the changes of each ordering key"),
        (rule("own_writes: true\n    order_by: none"), 4, 17, "`fuse` counts the changes of each ordering key"),
        (rule("own_writes: maybe"), 4, 17, "`own_writes` is true or false, not `maybe`"),
    ];
    each_has_one_mistake(cases, load);
}
