//! The sink of statements: the MySQL server to write back to.
//!
//! In: a delivery and its statement. Out: the values, in the order of the statement, or why they can't be made from the
//! row, without row values; after an attempt, the number of rows, or what its failure proves. Statements are never sent
//! together. The connections are `write_back`'s.

use std::sync::Arc;

use serde_json::Value;

use super::Judged;
use crate::delivery::Delivery;
use crate::delivery::answer::{self, Lack, Verdict};
use crate::delivery::bundle::{Item, RenderedArray, Unready};
use crate::delivery::scripted::{MissingAnswer, ScriptedAnswer};
use crate::failure::Answer;
use crate::printable::shortened;
use crate::rules::{Sql, SqlSettings, SuccessStatuses};
use crate::saga::ActionEnd;
use crate::template::BodyTemplate;
use crate::write_back::{Database, Failed, WriteFailureKind, as_expected};

/// A statement with its values.
#[derive(Debug)]
pub(in crate::delivery) struct SqlReady {
    sql: Arc<Sql>,
    values: Vec<Value>,
}

/// A value that is shown; longer ones are cut.
const SHOWN_CHARS_MAX: usize = 60;

const MASKED: &str = "***";

/// A statement as it may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownStatement {
    /// As the rule writes it, with `:name` where values go.
    pub statement: String,
    /// Each name once, in the order of the statement; `***` stands for values made of secrets.
    pub params: Vec<(String, Value)>,
}

impl ShownStatement {
    /// The names with their values as JSON, for people; long ones are cut.
    pub fn shown_params(&self) -> impl Iterator<Item = (&str, String)> {
        self.params.iter().map(|(name, value)| {
            let shown = match value.as_str() {
                Some(MASKED) => MASKED.to_owned(),
                _ => shortened(&value.to_string(), SHOWN_CHARS_MAX),
            };
            (name.as_str(), shown)
        })
    }
}

impl SqlReady {
    pub(super) fn shown(&self) -> ShownStatement {
        let mut params: Vec<(String, Value)> = Vec::new();
        for ((name, template), value) in self.sql.params.iter().zip(&self.values) {
            if params.iter().all(|(known, _)| **known != **name) {
                let value = if template.uses_env() { Value::from(MASKED) } else { value.clone() };
                params.push((name.to_string(), value));
            }
        }
        ShownStatement { statement: self.sql.written.to_string(), params }
    }
}

/// Renders the templates of its parameters.
pub(super) fn prepare(delivery: &Delivery, sql: &Arc<Sql>) -> Result<SqlReady, String> {
    let scope = delivery.scope();
    let value = |name: &str, template: &BodyTemplate| {
        let mut json = Vec::new();
        template.render(&scope, &mut json).map_err(|error| format!("parameter `{name}`: {error}"))?;
        Ok(serde_json::from_slice(&json).expect("a body template writes JSON"))
    };
    let values = sql.params.iter().map(|(name, template)| value(name, template)).collect::<Result<_, String>>()?;
    Ok(SqlReady { sql: Arc::clone(sql), values })
}

/// Statements are sent one at a time: several are split.
pub(super) fn prepare_all(items: &[Item], sql: &Arc<Sql>) -> RenderedArray<SqlReady> {
    let ready = match items {
        [item] => prepare(&item.delivery, sql).map_err(Unready::Unrenderable),
        _ => Err(Unready::TooLarge { fitting: 1 }),
    };
    RenderedArray { unfit: Vec::new(), ready }
}

pub(super) async fn attempt(ready: &SqlReady, over: Option<&Database>) -> Result<Result<u64, Failed>, String> {
    let Some(database) = over else {
        return Err("`sql` has no server to write to: set `--write-url`".to_owned());
    };
    let SqlReady { sql, values } = ready;
    let SqlSettings { expect_rows, timeout } = &sql.settings;
    Ok(database.execute(&sql.statement, values.clone(), expect_rows.as_ref(), *timeout).await)
}

/// Instead of an attempt: the result if the server answered so. An error: it gives no such answer.
pub(super) fn scripted(ready: &SqlReady, answer: &ScriptedAnswer) -> Result<Result<u64, Failed>, String> {
    let failed = |kind, message: &str| Ok(Err(Failed { message: message.to_owned(), kind }));
    match answer {
        ScriptedAnswer::Rows(rows) => Ok(as_expected(*rows, ready.sql.settings.expect_rows.as_ref())),
        ScriptedAnswer::None(MissingAnswer::Deadlock) => failed(WriteFailureKind::Again, "deadlock"),
        ScriptedAnswer::None(MissingAnswer::Unreachable) => failed(WriteFailureKind::Unavailable, "no connection"),
        ScriptedAnswer::None(MissingAnswer::Lost) => {
            failed(WriteFailureKind::Lost, "the connection broke during COMMIT")
        }
        ScriptedAnswer::None(MissingAnswer::Refused) => {
            failed(WriteFailureKind::Refused, "the server refuses the statement")
        }
        ScriptedAnswer::Status { .. } | ScriptedAnswer::None(MissingAnswer::Timeout) => {
            Err("this is a statement: its answer is the number of `rows`, or deadlock, lost, unreachable or refused"
                .to_owned())
        }
    }
}

pub(super) fn judge(written: Result<u64, Failed>, first: &Delivery) -> (Answer, Judged) {
    let (answer, lack) = match written {
        Ok(rows) => (Answer::Written { rows }, None),
        Err(failed) => (Answer::Failed { error: failed.message }, Some(lack(failed.kind))),
    };
    let none = SuccessStatuses(Vec::new());
    let health = answer::health(&none, &answer, lack);
    let verdict = answer::classify(&none, &first.action().retry_on, &answer, lack);
    let end = matches!(verdict, Verdict::Done { .. }).then(|| ActionEnd::Done(None));
    let (retry_after, answer_wait, server_limit, hint, results) = (None, None, None, None, None);
    (answer, Judged { lack, verdict, results, end, health, retry_after, answer_wait, server_limit, hint })
}

fn lack(kind: WriteFailureKind) -> Lack {
    match kind {
        WriteFailureKind::Again => Lack::RolledBack,
        WriteFailureKind::Unavailable => Lack::Unsent,
        WriteFailureKind::Lost => Lack::Network,
        WriteFailureKind::Refused => Lack::Refused,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::delivery::{sink, testing};
    use crate::rules::RuleSet;

    fn delivery(value: &str) -> Delivery {
        let text = format!(
            "table: shop.orders\nrules:\n  - name: r\n    steps:\n      - name: s\n        \
             sql: {{statement: 'UPDATE t SET a = :a WHERE id = :id', params: {{id: '{{{{ row.id }}}}', a: '{value}'}}}}\n"
        );
        let rules =
            RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text)], &|_| Some("s3cret".to_owned())).expect("it loads");
        testing::delivery(&rules.rules()[0], 1, 7)
    }

    fn ready(delivery: &Delivery) -> Result<Vec<Value>, String> {
        match sink::Ready::prepare(delivery)? {
            sink::Ready::Sql(ready) => Ok(ready.values),
            other => panic!("{other:?}"),
        }
    }

    fn shown_params(delivery: &Delivery) -> Vec<(String, String)> {
        match delivery.preview().expect("it renders").work() {
            sink::ShownWork::Statement(shown) => {
                shown.shown_params().map(|(name, value)| (name.to_owned(), value)).collect()
            }
            other @ sink::ShownWork::Request(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_values_stand_in_the_order_of_the_statement_and_are_shown_shortened_and_without_secrets() {
        let delivery = delivery("{{ row.id + 1 }}");
        assert_eq!(ready(&delivery), Ok(vec![8.into(), 7.into()]));
        assert_eq!(
            delivery.preview().map(|shown| shown.to_string()),
            Ok("# a statement: UPDATE t SET a = :a WHERE id = :id\n# a: 8\n# id: 7".to_owned())
        );
        let long = shown_params(&self::delivery(&"x".repeat(100)));
        assert_eq!(long[0], ("a".to_owned(), format!("\"{}…", "x".repeat(59))));
        let secret = shown_params(&self::delivery("{{ env.TOKEN }}{{ row.id }}"));
        assert_eq!(secret, [("a".to_owned(), "***".to_owned()), ("id".to_owned(), "7".to_owned())]);
        let message = ready(&self::delivery("{{ row.id / 0 }}")).expect_err("no value");
        assert!(message.starts_with("parameter `a`: "), "{message}");
    }

    #[test]
    fn statements_are_sent_one_at_a_time() {
        let items: Vec<Item> = (0..2).map(|_| Item::alone(delivery("x"))).collect();
        let together = sink::Ready::prepare_all(&items);
        assert!(matches!(together.ready, Err(Unready::TooLarge { fitting: 1 })) && together.unfit.is_empty());
        assert!(sink::Ready::prepare_all(&items[..1]).ready.is_ok());
    }

    #[test]
    fn what_a_failed_statement_proves_decides_the_verdict() {
        let delivery = delivery("x");
        for (kind, expected) in [
            (WriteFailureKind::Again, (Lack::RolledBack, Verdict::Retry)),
            (WriteFailureKind::Unavailable, (Lack::Unsent, Verdict::Retry)),
            (WriteFailureKind::Lost, (Lack::Network, Verdict::Retry)),
            (WriteFailureKind::Refused, (Lack::Refused, Verdict::GiveUp)),
        ] {
            let (_, judged) = judge(Err(Failed { message: "no".to_owned(), kind }), &delivery);
            assert_eq!((judged.lack, judged.verdict), (Some(expected.0), expected.1), "{kind:?}");
        }
        let (answer, judged) = judge(Ok(3), &delivery);
        assert_eq!((answer, judged.verdict), (Answer::Written { rows: 3 }, Verdict::Done { status: 0 }));
        assert_eq!(judged.end, Some(ActionEnd::Done(None)));
    }
}
