//! A statement as an action: its values from the row, and what came of running it.
//!
//! In: a delivery whose action is a statement. Out: the values, in the order of the statement, or why they can't be made from
//! the row, without row values; and of an attempt the answer with what it proves. Knows nothing of connections.

use serde_json::Value;

use super::Delivery;
use super::answer::Lack;
use crate::failure::Answer;
use crate::rules::Sql;
use crate::template::BodyTemplate;
use crate::write_back::{Database, WriteFailureKind};

/// What the templates of its parameters come to. An error is for people and holds no row values; it is final.
pub(super) fn values(delivery: &Delivery, sql: &Sql) -> Result<Vec<Value>, String> {
    let scope = delivery.scope();
    let value = |name: &str, template: &BodyTemplate| {
        let mut json = Vec::new();
        template.render(&scope, &mut json).map_err(|error| format!("parameter `{name}`: {error}"))?;
        Ok(serde_json::from_slice(&json).expect("a body template writes JSON"))
    };
    sql.params.iter().map(|(name, template)| value(name, template)).collect()
}

/// Runs it once.
pub(super) async fn run(database: &Database, sql: &Sql, values: Vec<Value>) -> (Answer, Option<Lack>) {
    match database.execute(&sql.statement, values, sql.expect_rows.as_ref(), sql.timeout).await {
        Ok(rows) => (Answer::Written { rows }, None),
        Err(failed) => (Answer::Failed { error: failed.message }, Some(lack(failed.kind))),
    }
}

fn lack(kind: WriteFailureKind) -> Lack {
    match kind {
        WriteFailureKind::Again => Lack::RolledBack,
        WriteFailureKind::Away => Lack::Unsent,
        WriteFailureKind::Lost => Lack::Network,
        WriteFailureKind::Refused => Lack::Refused,
    }
}
