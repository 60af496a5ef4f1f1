//! The statements of rules, checked against the server that they are for.
//!
//! In: rules, and the database that they write back to. Out: a finding for the account and one for each statement, which the
//! server checks without running it.

use super::finding::{CheckFinding, PROBLEM};
use crate::rules::{Rule, RuleSet, Sql, Work};
use crate::write_back::{Database, Failed};

pub(super) async fn findings(rules: &RuleSet, database: Option<&Database>) -> Vec<CheckFinding> {
    let Some(database) = database else {
        return rules.needs_write_url().map(|found| CheckFinding::at(PROBLEM, found, None)).into_iter().collect();
    };
    let address = database.address();
    match database.inspect().await {
        Ok(mark) => {
            let mut findings = vec![CheckFinding::ok(format!("MySQL at {address} can be written to, {mark}"))];
            for rule in rules.rules() {
                findings.extend(of_rule(rule, database).await);
            }
            findings
        }
        Err(Failed { message, .. }) => vec![problem(&format!("writing to {address}: {message}"))],
    }
}

async fn of_rule(rule: &Rule, database: &Database) -> Vec<CheckFinding> {
    let mut findings = Vec::new();
    for (number, action) in rule.actions.iter().enumerate() {
        let sql = match &action.work {
            Work::Sql(sql) => sql,
            Work::Call(_) => continue,
        };
        let name = format!("rule {}, {}", rule.name, rule.action_name(number));
        findings.push(match prepare(sql, database).await {
            Ok(()) => CheckFinding::ok(format!("{name}: the server takes the statement")),
            Err(objection) => problem(&format!("{name}: {objection}")),
        });
    }
    findings
}

async fn prepare(sql: &Sql, database: &Database) -> Result<(), String> {
    let taken = database.prepare(&sql.statement).await.map_err(|failed| failed.message)?;
    let given = sql.params.len();
    if taken == given { Ok(()) } else { Err(format!("the statement takes {taken} values and is given {given}")) }
}

/// The part of an error's text after `fix:` has a line of its own.
fn problem(message: &str) -> CheckFinding {
    let (what, fix) = match message.split_once("; fix: ") {
        Some((what, fix)) => (what, Some(fix.to_string())),
        None => (message, None),
    };
    CheckFinding::new(PROBLEM, what, fix)
}
