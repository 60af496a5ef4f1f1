//! Rules over several changes, as people write them, well and badly.

use std::sync::Arc;

use super::super::super::Rule;
use super::super::super::tests::{each_has_one_mistake, load, rule_calling};
use super::*;

/// The one rule of a text that loads.
fn loaded(text: &str) -> Arc<Rule> {
    let rules = load(text).unwrap_or_else(|problems| panic!("{problems}"));
    Arc::clone(&rules.rules()[0])
}

fn batch(size: usize, bytes: usize, until: Until) -> Option<Batch> {
    Some(Batch { size, bytes, until, format: Default::default(), results: None })
}

#[test]
fn batches_are_read_with_their_defaults_and_limits() {
    let wait = |ms| Until::Wait(Duration::from_millis(ms));
    for (keys, expected) in [
        ("batch: {}", batch(100, 1 << 20, wait(200))),
        ("batch: {size: 10000, bytes: 32 MiB, wait: 1m}", batch(10_000, 32 << 20, wait(60_000))),
        ("batch: {size: 1, bytes: 1KiB, wait: 0ms}", batch(1, 1 << 10, wait(0))),
        ("batch: {bytes: 4096}", batch(100, 4096, wait(200))),
        ("per: transaction", batch(1000, 1 << 20, Until::TransactionEnd)),
        ("per: transaction\n    batch: {size: 7}", batch(7, 1 << 20, Until::TransactionEnd)),
        ("on: insert", None),
    ] {
        let rule = loaded(&rule_calling(keys, ""));
        assert_eq!(rule.batch, expected, "{keys}");
        assert_eq!(rule.gathers(), expected.is_some());
    }
}

#[test]
fn a_method_without_a_body_of_its_own_sends_the_array_that_the_rule_asks_for() {
    for body in ["format: row", "body: {id: '{{ row.id }}'}"] {
        let rule = loaded(&rule_calling("batch: {}", &format!("method: DELETE, {body}")));
        assert!(rule.gathers(), "{body}");
    }
}

#[test]
fn a_body_is_left_out_only_behind_a_line() {
    let body = "body: \"{{ row if op != 'delete' else omit }}\"";
    loaded(&rule_calling("batch: {format: ndjson, line: {a: 1}}", body));
    for keys in ["batch: {format: ndjson}", "batch: {}", "on: insert"] {
        let problems = load(&rule_calling(keys, body)).expect_err("nothing else would be sent").to_string();
        assert!(problems.contains("`omit`"), "{keys}: {problems}");
    }
}

fn of_error(error: &str, status: Option<&str>, retry: &[&str]) -> ItemVerdict {
    let retry = retry.iter().map(|error| (*error).to_owned()).collect();
    ItemVerdict::Error(ItemError { error: error.to_owned(), status: status.map(str::to_owned), retry })
}

#[test]
fn results_and_coalescing_are_read() {
    for (verdict, expected) in [
        ("status: /status", ItemVerdict::Status("/status".into())),
        ("error: /a~1b/error", of_error("/a~1b/error", None, &[])),
        ("error: /e, status: /s", of_error("/e", Some("/s"), &[])),
        ("error: /e, retry: Throttled", of_error("/e", None, &["Throttled"])),
        ("error: /e, status: /s, retry: [Throttled, 17]", of_error("/e", Some("/s"), &["Throttled", "17"])),
        ("status: \"\"", ItemVerdict::Status(String::new())),
    ] {
        let keys = format!("batch: {{results: {{items: /items, {verdict}}}}}");
        let rule = loaded(&rule_calling(&keys, ""));
        let results = rule.batch.as_ref().and_then(|batch| batch.results.clone()).expect("results");
        assert_eq!(results, Results { items: "/items".into(), verdict: expected });
    }
    let both = loaded(&rule_calling("batch: {}\n    coalesce: {within: 10m}", ""));
    assert_eq!((both.batch.is_some(), both.coalesce), (true, Some(WITHIN_MAX)));
    let alone = loaded(&rule_calling("coalesce: {within: 100ms}", ""));
    assert_eq!((alone.batch.is_some(), alone.coalesce, alone.gathers()), (false, Some(WITHIN_MIN), true));
}

#[test]
fn a_setting_that_makes_no_sense_is_reported_at_its_place() {
    let cases = [
        ("batch: 5", "", 4, 12, "`batch` must be a map of size, bytes, wait, format, wrap, line, results"),
        ("batch: {szie: 5}", "", 4, 13, "did you mean `size`?"),
        ("batch: {size: 0}", "", 4, 19, "from 1 to 10000"),
        ("batch: {size: 10001}", "", 4, 19, "from 1 to 10000"),
        ("batch: {bytes: 1023}", "", 4, 20, "between `1 KiB` and `32 MiB`"),
        ("batch: {bytes: 33 MiB}", "", 4, 20, "between `1 KiB` and `32 MiB`"),
        ("batch: {bytes: 1 MB}", "", 4, 20, "between `1 KiB` and `32 MiB`"),
        ("batch: {bytes: 99999999999999999999 MiB}", "", 4, 20, "between `1 KiB` and `32 MiB`"),
        ("batch: {wait: 61s}", "", 4, 19, "`wait` must be between 0ms and 1m"),
        ("batch: {results: {items: /r}}", "", 4, 22, "needs `items` and `status`, `error` or both"),
        ("batch: {results: {status: /s}}", "", 4, 22, "needs `items` and `status`, `error` or both"),
        (
            "batch: {results: {items: /r, status: /s, retry: x}}",
            "",
            4,
            53,
            "there is no `error` that says where they are",
        ),
        ("batch: {results: {items: r, status: /s}}", "", 4, 30, "begins with `/`"),
        ("batch: {wrap: []}", "", 4, 19, "the name of the member"),
        ("batch: {wrap: ''}", "", 4, 19, "the name of the member"),
        ("batch: {wrap: {a: 1}}", "", 4, 19, "an object with one empty list"),
        ("batch: {wrap: {a: [], b: [[]]}}", "", 4, 19, "an object with one empty list"),
        ("batch: {format: ndjson, wrap: a}", "", 4, 35, "with `format: array` only"),
        ("batch: {wrap: a}", "format: cloudevents", 4, 19, "leave one of them out"),
        ("batch: {wrap: {a: '{{ row.id }}', b: []}}", "", 4, 27, "`wrap` reads `row`, but with `batch`"),
        ("batch: {wrap: {'{{ op }}': []}}", "", 4, 20, "a key of a body is literal"),
        ("order_by: table\n    batch: {results: {items: /r, status: /s}}", "", 5, 22, "a single row"),
        ("batch: {}", "method: DELETE", 4, 5, "this DELETE has none"),
        ("per: transaction", "method: GET", 4, 5, "this GET has none"),
        ("per: row", "", 4, 10, "`per` is transaction, not `row`"),
        ("per: transaction\n    batch: {wait: 1s}", "", 5, 19, "`wait` has no meaning"),
        ("per: transaction\n    coalesce: {within: 1s}", "", 5, 15, "leave one of them out"),
        ("coalesce: {}", "", 4, 15, "has no `within`"),
        ("coalesce: 5s", "", 4, 15, "must be a map of within"),
        ("coalesce: {within: 99ms}", "", 4, 24, "between 100ms and 10m"),
        ("coalesce: {within: 11m}", "", 4, 24, "`within` must be between 100ms and 10m"),
        ("order_by: none\n    coalesce: {within: 1s}", "", 5, 15, "has no keys"),
        ("batch: {}", "headers: {X: '{{ row.id }}'}", 5, 50, "header `X` reads `row`, but with `batch`"),
        ("batch: {}", "headers: {X: 'a {{ key[0] }}'}", 5, 52, "header `X` reads `key`"),
        ("batch: {}", "headers: {X: '{% if op == \"insert\" %}a{% endif %}'}", 5, 53, "header `X` reads `op`"),
        ("per: transaction", "headers: {X: '{{ event.gtid }}'}", 5, 50, "reads `event`, but with `per`"),
        ("batch: {}", "headers: {X: \"{{ old['a'] is none }}\"}", 5, 50, "header `X` reads `old`"),
        ("batch: {}", "headers: {X: '{{ changed | join }}'}", 5, 50, "header `X` reads `changed`"),
    ];
    let texts = cases.map(|(keys, call, line, column, expected)| (rule_calling(keys, call), line, column, expected));
    each_has_one_mistake(texts, load);
}

#[test]
fn the_url_of_a_batch_reads_no_row_but_what_is_the_same_for_all() {
    let with_url = |table: &str, path: &str| {
        format!("table: {table}\nrules:\n  - name: r\n    batch: {{}}\n    call: {{url: 'http://a.test/{path}'}}\n")
    };
    load(&with_url("shop.orders", "{{ table }}/{{ env.TOKEN }}")).expect("the same for all rows");
    for (table, path) in [("shop.orders", "{{ row.id }}"), ("shop_*.orders", "{{ schema }}"), ("a.b", "{{ 1 if op }}")]
    {
        let problems = load(&with_url(table, path)).expect_err("reads the row").to_string();
        assert!(problems.contains("the URL reads"), "{problems}");
    }
    let for_each = rule_calling("on: insert", "headers: {X: '{{ row.id }}'}");
    load(&for_each).expect("one request for each row");
}
