//! Rules that load: what their keys mean, and what is set for targets.

use std::time::Duration;

use super::*;
use crate::retry::Retries;

#[test]
fn a_full_rule_is_read_with_all_its_keys() {
    let text = "
table: shop_*.orders
rules:
  - name: order-paid
    on: [insert, update]
    changed: [status]
    when: row.status == 'paid'
    order_by: [customer]
    call:
      method: PUT
      url: https://fulfilment.example.com/orders/{{ row.id }}
      headers:
        Authorization: Bearer {{ env.TOKEN }}
      body: {order_id: \"{{ row.id }}\"}
      timeout: 1m 30s
      success: [2xx, 409]
    retry: {retries: 2, initial: 1s, multiplier: 3, max_delay: 1m, jitter: 0}
    on_dead_letter: continue
    pin_binlog: true
    in_flight: 8
";
    let rules = load(text).expect("loads");
    let rule = rules.rule("order-paid").expect("exists");
    assert_eq!(rule.on, [Op::Insert, Op::Update]);
    assert_eq!(rule.changed, ["status"]);
    assert_eq!(rule.order_by, OrderBy::Columns(vec!["customer".into()]));
    let CallSettings { method, timeout, success, .. } = &rule.call().settings;
    assert_eq!((*method, *timeout), (Method::Put, Duration::from_secs(90)));
    assert!(success.contains(204) && success.contains(409) && !success.contains(404));
    assert_eq!(
        (rule.actions[0].retry.retries, rule.actions[0].retry.initial, rule.actions[0].retry.jitter),
        (Retries::AtMost(2), Duration::from_secs(1), 0.0)
    );
    assert_eq!(rule.settings.in_flight, 8);
    assert!(rule.settings.pin_binlog && !rule_set("in_flight: 1").rules()[0].settings.pin_binlog);
    assert!(rules.patterns().match_any("shop_de", "orders"));
    let columns: Vec<_> = rule.columns.iter().map(|used| (&*used.name, used.line, used.column)).collect();
    assert_eq!(columns, [("status", 6, 15), ("customer", 8, 16), ("status", 7, 11), ("id", 11, 53), ("id", 14, 28)]);
}

#[test]
fn the_rules_of_a_file_may_be_for_several_tables() {
    let text = rule("on: [insert]").replace("table: shop.orders", "tables: [shop.orders, 'shop.old_*']");
    let rules = load(&text).expect("loads");
    for (table, is_meant) in [("orders", true), ("old_orders", true), ("returns", false)] {
        assert_eq!(rules.patterns().match_any("shop", table), is_meant, "{table}");
    }
    let change = change(Op::Insert, None, Some(values(1, "new", 7)));
    assert_eq!(matched(&rules, &change), [("r".to_owned(), None)]);
    assert_eq!(rules.rules()[0].needs(), "shop.orders, shop.old_*: ");
}

#[test]
fn a_rule_says_how_often_and_on_what_it_retries() {
    for (text, expected) in
        [("0", Retries::AtMost(0)), ("1000000", Retries::AtMost(1_000_000)), ("forever", Retries::Forever)]
    {
        let rules = rule_set(&format!("retry: {{retries: {text}}}"));
        assert_eq!(rules.rules()[0].actions[0].retry.retries, expected);
    }
    let rules = rule_set("retry_on: [404, 5xx, network]");
    let expected = RetryOn { statuses: vec![(404, 404), (500, 599)], network: true, timeout: false };
    assert_eq!(rules.rules()[0].actions[0].retry_on, expected);
    let rules = rule_set("retry_on: timeout");
    assert_eq!(rules.rules()[0].actions[0].retry_on, RetryOn { statuses: vec![], network: false, timeout: true });
}

#[test]
fn a_rule_calls_the_target_of_its_url() {
    let target = |url: &str| {
        let text = format!("table: a.b\nrules:\n  - name: r\n    call: {{url: \"{url}\"}}\n");
        load(&text).expect("loads").rules()[0].actions[0].target.origin.clone()
    };
    assert_eq!(target("https://API.example.com:443/a/{{ row.id }}"), "https://api.example.com");
    assert_eq!(target("http://10.0.0.1:8080"), "http://10.0.0.1:8080");
}

#[test]
fn the_hosts_that_rows_choose_are_one_target_of_their_rule_that_is_never_unavailable() {
    let text =
        "table: a.b\nrules:\n  - name: hooks\n    call: {url: \"{{ row.url }}\", allow_hosts: '*.example.com'}\n";
    let rules = load(text).expect("loads");
    let target = &rules.rules()[0].actions[0].target;
    assert_eq!((target.origin.as_str(), &target.breaker, target.is_many_hosts), ("hosts of hooks", &None, true));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let rules = rule_set("on: [insert, update, delete]");
    let rule = &rules.rules()[0];
    assert_eq!(
        (rule.call().settings.timeout, rule.settings.in_flight, &rule.order_by),
        (Duration::from_secs(10), 32, &OrderBy::PrimaryKey)
    );
    assert_eq!(rule.actions[0].retry, crate::retry::RetryPolicy::default());
    assert!(matches!((rule.call().settings.method, &rule.call().body), (Method::Post, Body::Change)));
}

#[test]
fn settings_of_a_target_apply_to_all_rules_that_call_it() {
    let targets = "targets:\n  https://a.test:\n    rate: 90/m\n    in_flight: 64\n    breaker: {failures: 9, probe: 2s}\n  \
                   http://B.test:8080/: {breaker: off}\n  http://unused.test: {}\n";
    let rules = "table: a.b\nrules:\n  - name: a1\n    rate: 5/s\n    call: {url: https://a.test/1}\n  - name: a2\n    \
                 call: {url: https://a.test:443/2}\n  - name: b\n    call: {url: http://b.test:8080/}\n  - name: c\n    \
                 call: {url: http://a.test/}\n";
    let files = [("rules.yaml", rules), ("targets.yaml", targets)];
    let files = files.map(|(name, text)| (PathBuf::from(name), text.to_string()));
    let rules = RuleSet::from_texts(&files, &env).expect("loads");
    let rule = |name: &str| rules.rule(name).expect("exists");
    let a = Target {
        origin: "https://a.test".to_string(),
        rate: Some(Rate { count: 90, per: Duration::from_secs(60) }),
        in_flight: Some(64),
        breaker: Some(BreakerPolicy { failures: 9, probe: Duration::from_secs(2), ..BreakerPolicy::default() }),
        proxy: ProxyChoice::AsSet,
        is_many_hosts: false,
    };
    assert_eq!((&*rule("a1").actions[0].target, &*rule("a2").actions[0].target), (&a, &a));
    assert_eq!(rule("a1").settings.rate, Some(Rate { count: 5, per: Duration::from_secs(1) }));
    assert_eq!(
        (rule("b").actions[0].target.origin.as_str(), &rule("b").actions[0].target.breaker),
        ("http://b.test:8080", &None)
    );
    let unused: Vec<String> = rules.unused_targets().iter().map(ToString::to_string).collect();
    assert_eq!(unused, ["targets.yaml:7:3: no rule calls http://unused.test"]);
    let unset = Target {
        origin: "http://a.test".to_string(),
        rate: None,
        in_flight: None,
        breaker: Some(BreakerPolicy::default()),
        proxy: ProxyChoice::AsSet,
        is_many_hosts: false,
    };
    assert_eq!((&*rule("c").actions[0].target, rule("c").settings.rate), (&unset, None));
}

#[test]
fn a_target_says_which_way_its_calls_and_requests_for_tokens_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("proxy-url");
    std::fs::write(&path, "http://me:s3cret@proxy.test:3128\n").expect("written");
    let targets = "targets:\n  https://a.test: {proxy: none}\n  https://id.test: {proxy: {file: proxy-url}}\n  \
                   https://b.test: {proxy: 'http://{{ env.TOKEN }}@c.test'}\n";
    let rules = "table: a.b\nrules:\n  - name: a\n    call:\n      url: https://a.test/\n      auth: {oauth2: {token_url: \
                 'https://id.test/token', client_id: a, client_secret: b}}\n  - name: b\n    call: {url: 'https://b.test/'}\n";
    let files = [("rules.yaml", rules), ("targets.yaml", targets)];
    let files = files.map(|(name, text)| (folder.path().join(name), text.to_string()));
    let token = |name: &str| (name == "TOKEN").then(|| "s3cret".to_string());
    let rules = RuleSet::from_texts(&files, &token).unwrap_or_else(|problems| panic!("{problems}"));
    let action = |name: &str| &rules.rule(name).expect("exists").actions[0];
    let through = |url: &str| ProxyChoice::Through(Arc::new(ProxyServer::parse(url).expect("a proxy")));
    assert_eq!(action("a").target.proxy, ProxyChoice::Direct);
    assert_eq!(action("a").token_proxy, through("http://me:s3cret@proxy.test:3128"));
    assert_eq!(action("b").target.proxy, through("http://s3cret@c.test"));
    assert_eq!(action("b").token_proxy, ProxyChoice::AsSet);
    assert_eq!((rules.files(), rules.unused_targets().len()), (&[path][..], 0), "a new password is a reason to reload");
    assert!(!format!("{rules:?}").contains("s3cret"), "{rules:?}");
}

#[test]
fn the_example_rules_load() {
    let load = |folder: &str| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let rules = RuleSet::load(&dir, &|_| Some("x".to_string())).unwrap_or_else(|problems| panic!("{problems}"));
        let name = |rule: &Arc<Rule>| rule.path.file_name().and_then(|name| name.to_str()).expect("a name").to_string();
        let mut files: Vec<String> = rules.rules().iter().map(name).collect();
        files.dedup();
        (files, rules.needs_write_url().is_some())
    };
    let writing = ["shop.outbox.yaml", "shop.signups.yaml"].map(str::to_string);
    assert_eq!(load("rules/write-back"), (writing.into(), true));
    let (files, needs_write_url) = load("rules");
    assert!(!needs_write_url, "the quickstart has no server to write to");
    assert_eq!(
        files,
        [
            "shop.charges.yaml",
            "shop.order_lines.yaml",
            "shop.orders.yaml",
            "shop.outbox.yaml",
            "shop.payments.yaml",
            "shop.products.yaml",
            "shop.stock.yaml",
            "shop.subscriptions.yaml",
            "shop.users.yaml"
        ]
    );
}

#[test]
fn rules_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&rule_set("when: row.id == 1"));
}

#[test]
fn what_a_rule_needs_of_a_row_is_known_column_by_column() {
    let table = Table {
        schema: "shop".into(),
        name: "orders".into(),
        columns: vec!["id".into(), "status".into(), "customer".into()],
        primary_key: vec![0],
    };
    let needs = |keys: &str, call: &str| {
        let rules = load(&rule_calling(keys, call)).expect("the rule loads");
        let rule = &rules.rules()[0];
        let columns = |reads: &dyn Fn(&str) -> bool| {
            table.columns.iter().filter(|column| reads(column)).map(|column| &**column).collect::<Vec<_>>().join(" ")
        };
        (columns(&|column| rule.sends(&table, column)), columns(&|column| rule.decides_by(column)))
    };
    let all = "id status customer";
    for (keys, call, sends, decides) in [
        ("order_by: none", "timeout: 1s", all, ""),
        ("order_by: none", "method: GET", "", ""),
        ("order_by: primary_key", "method: GET", "id", ""),
        ("order_by: table", "method: GET", "", ""),
        ("order_by: [customer]", "method: GET", "customer", ""),
        ("order_by: none", "body: {a: '{{ row.id }}', b: ['x {{ old.status }}']}", "id status", ""),
        ("order_by: none", "body: {a: \"{{ row['customer'] }}\"}", "customer", ""),
        ("order_by: none", "body: {a: '{{ row }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ key }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ changed }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ row[table] }}'}", all, ""),
        ("order_by: none", "body: {a: '{{ old[table] }}'}", all, ""),
        ("order_by: none", "body: {a: '{% for c in row %}{{ c }}{% endfor %}'}", all, ""),
        ("order_by: none", "body: {a: '{{ op }} {{ event.id }}'}", "", ""),
        ("order_by: none", "body: {a: '{{ row.id if old is none else 0 }}'}", "id", ""),
        ("order_by: none", "body: 1, headers: {X-A: '{{ row.status }}'}", "status", ""),
        (
            "{order_by: none, changed: customer, when: \"row.status == 'x' and old is not none\"}",
            "body: 1",
            "",
            "status customer",
        ),
    ] {
        // Flow style keeps keys of a rule on one line.
        let keys = keys.trim_matches(['{', '}']).replace(", ", "\n    ");
        assert_eq!(needs(&keys, call), (sends.to_string(), decides.to_string()), "{keys} {call}");
    }
}

#[test]
fn a_disabled_rule_is_checked_and_then_not_there() {
    let call = "call: {url: http://a.test/}";
    let both = |enabled: bool| {
        format!("table: a.b\nrules:\n  - {{name: one, {call}}}\n  - {{name: two, enabled: {enabled}, {call}}}\n")
    };
    let rules = load(&both(false)).expect("it loads");
    let note = "f.yaml:4:5: rule two is disabled (`enabled: false`): changes for it are not kept";
    assert_eq!(rules.notes_of_disabled().map(ToString::to_string).collect::<Vec<_>>(), [note]);
    assert_eq!((rules.rules().len(), rules.rule("two").is_none(), rules.is_disabled("two")), (1, true, true));
    let all = load(&both(true)).expect("it loads");
    assert_eq!((all.rules().len(), all.is_disabled("two"), all.notes_of_disabled().count()), (2, false, 0));

    let writes = |enabled: bool| {
        both(enabled).replace(
            &format!("two, enabled: {enabled}, {call}"),
            &format!("two, enabled: {enabled}, steps: [{{name: s, sql: {{statement: DELETE FROM t}}}}]"),
        )
    };
    assert!(load(&writes(true)).expect("it loads").needs_write_url().is_some());
    assert!(load(&writes(false)).expect("it loads").needs_write_url().is_none(), "it writes nothing");

    for (text, problem) in [
        (both(false).replace("name: two, ", "name: one, "), "rule `one` exists already"),
        (both(false).replace("enabled: false", "enabled: false, when: row.a ="), "4:"),
        (format!("table: a.b\nrules:\n  - {{name: one, enabled: false, {call}}}\n"), "at least one must be enabled"),
    ] {
        let problems = load(&text).expect_err(&text).to_string();
        assert!(problems.contains(problem), "{problem} is not in {problems}");
    }
}
