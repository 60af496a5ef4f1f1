//! Rule files as people write them, well and badly; matching; ordering keys.

mod attacks;
mod calls;
mod doubts;
mod edits;
pub(crate) mod json_schema;
mod matching;
mod mistakes;
mod reading;
mod sagas;
mod tables;
mod yaml_mistakes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "s3cret".to_string())
}

/// Loads a file, about which its JSON Schema must agree.
#[track_caller]
pub(super) fn load(text: &str) -> Result<RuleSet, Diagnostics> {
    let loaded = compile(text);
    json_schema::assert_schema_agrees(text, &loaded);
    loaded
}

fn compile(text: &str) -> Result<RuleSet, Diagnostics> {
    RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text.to_string())], &env)
}

/// A file with one rule, whose keys besides `name` and `call` are given.
fn rule(keys: &str) -> String {
    rule_calling(keys, "")
}

/// The same with these keys in its call besides the URL.
pub(super) fn rule_calling(keys: &str, call: &str) -> String {
    let call = if call.is_empty() { String::new() } else { format!(", {call}") };
    format!("table: shop.orders\nrules:\n  - name: r\n    {keys}\n    call: {{url: http://a.test/{call}}}\n")
}

fn rule_set(keys: &str) -> RuleSet {
    load(&rule(keys)).expect("the rule loads")
}

/// Each text has one mistake: its place and a part of the message. All that is reported otherwise is shown at once.
#[track_caller]
pub(super) fn each_has_one_mistake<T: AsRef<str>>(
    cases: impl IntoIterator<Item = (T, usize, usize, &'static str)>,
    load: impl Fn(&str) -> Result<RuleSet, Diagnostics>,
) {
    let mut surprises = String::new();
    for (text, line, column, expected) in cases {
        let text = text.as_ref();
        let place = Some(FilePlace { line, column });
        let shown = match load(text) {
            Err(Diagnostics(found)) if matches!(&found[..], [one] if one.place == place && one.message.contains(expected)) =>
            {
                continue;
            }
            Err(problems) => problems.to_string(),
            Ok(_) => "loads".to_string(),
        };
        surprises += &format!("expected {line}:{column}: {expected}\nfound {shown}\nin\n{text}\n");
    }
    assert!(surprises.is_empty(), "{surprises}");
}

fn change(op: Op, before: Option<[Value; 3]>, after: Option<[Value; 3]>) -> Arc<Change> {
    let row = |values: [Value; 3]| Row::from_iter(values.map(Cell::Value));
    Arc::new(Change {
        op,
        table: Arc::new(Table {
            schema: "shop".into(),
            name: "orders".into(),
            columns: vec!["id".into(), "status".into(), "customer".into()],
            primary_key: vec![0],
        }),
        before: before.map(row),
        after: after.map(row),
        transaction: Arc::new(Transaction::example()),
        ordinal: 1,
    })
}

fn values(id: u64, status: &str, customer: i64) -> [Value; 3] {
    [Value::Uint(id), Value::Text(status.into()), Value::Int(customer)]
}

fn matched(rules: &RuleSet, change: &Arc<Change>) -> Vec<(String, Option<String>)> {
    let mut out = Vec::new();
    rules.matches(change, &mut out);
    out.into_iter().map(|found| (found.rule.name.clone(), found.undecided)).collect()
}
