//! `calls`: which call a change takes.

use super::*;
use crate::change::Op;

fn file(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("table: shop.users\nrules:\n  - name: copy\n{lines}")
}

const COPY: &str = "\
changed: email
retry_on: [429, 404]
calls:
  delete: {method: DELETE, url: 'https://crm.test/users/{{ row.id }}'}
  insert: {url: 'https://crm.test/users', timeout: 3s}
  update: {method: PUT, url: 'https://crm.test/users/{{ row.id }}', success: 204}";

#[test]
fn a_rule_with_calls_matches_their_ops_and_has_a_call_for_each() {
    let targets = "defaults: {retry: {retries: 7}, call: {timeout: 20s}}\ntargets: {}\n";
    let files = [("a.yaml".into(), file(COPY)), ("targets.yaml".into(), targets.to_owned())];
    let rules = RuleSet::from_texts(&files, &|_: &str| None).unwrap_or_else(|problems| panic!("{problems}"));
    let rule = &rules.rules()[0];
    assert_eq!(rule.on, [Op::Delete, Op::Insert, Op::Update]);
    assert!(rule.saga.is_none() && rule.changed == ["email"]);
    for (op, method, timeout_s, name) in [
        (Op::Insert, Method::Post, 3, "call on insert"),
        (Op::Update, Method::Put, 20, "call on update"),
        (Op::Delete, Method::Delete, 20, "call on delete"),
    ] {
        let action = rule.action_for(op);
        let settings = &action.call().expect("a call").settings;
        assert_eq!((settings.method, settings.timeout.as_secs()), (method, timeout_s), "{op}");
        assert!(action.retry_on.statuses.contains(&(429, 429)), "what stands beside them is for all");
        let number = rule.actions.iter().position(|own| std::ptr::eq(own, action)).expect("one of its own");
        assert_eq!(rule.action_name(number), name);
    }
    assert!(matches!(rule.action_for(Op::Delete).call().expect("a call").body, Body::Empty));
    assert!(rule.acts_on(Op::Insert) && !rule.acts_on(Op::Truncate));
}

#[test]
fn other_calls_for_the_ops_are_another_rule_to_what_waits() {
    let of = |lines: &str| Arc::clone(&load(&file(lines)).unwrap_or_else(|problems| panic!("{problems}")).rules()[0]);
    let copy = of(COPY);
    assert!(of(&COPY.replace("3s", "4s")).takes_over_from(&copy));
    let without_delete: String = COPY.lines().filter(|line| !line.contains("delete")).collect::<Vec<_>>().join("\n");
    assert!(!of(&without_delete).takes_over_from(&copy));
    assert!(!of("call: {url: 'https://crm.test/users'}").takes_over_from(&copy));
}
