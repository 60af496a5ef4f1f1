//! Why no table has the name that a rule file gives.
//!
//! In: a pattern that no table fits. Out: what is there instead (a view, the name in other case, a name much like it), and
//! a fix that is valid there. A table that the account may not see looks like one that does not exist, so both are
//! named then.

use crate::pattern::TablePattern;
use crate::suggest::did_you_mean;

use super::connection::Connection;
use super::error::Error;

/// What is said of a pattern that no table fits, and the fix.
pub(super) async fn explain(
    connection: &mut Connection,
    address: &str,
    pattern: &TablePattern,
    account: &str,
) -> Result<(String, String), Error> {
    let failed = |error| Error::of_client(error, address);
    let name = pattern.to_string();
    let (schema, table) = name.split_once('.').unwrap_or((&name, ""));
    if !pattern.is_exact() {
        let what = format!("no table fits {name}, or the account may not see it");
        let fix = format!("correct the pattern; if there are such tables: {}", grant(schema, account));
        return Ok((what, fix));
    }
    let seen: Vec<(String, String)> = connection
        .exec("SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?", (schema,))
        .await
        .map_err(failed)?;
    let schemas: Vec<String> =
        connection.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA").await.map_err(failed)?;
    Ok(of_exact(schema, table, &seen, &schemas, account))
}

fn of_exact(
    schema: &str,
    table: &str,
    seen: &[(String, String)],
    schemas: &[String],
    account: &str,
) -> (String, String) {
    let is_table = |kind: &str| kind == "BASE TABLE";
    if let Some((_, kind)) = seen.iter().find(|(name, kind)| name == table && !is_table(kind)) {
        let kind = if kind.contains("VIEW") { "a view" } else { "no base table" };
        let what = format!("{schema}.{table} is {kind}: the binlog has the rows of tables alone");
        return (what, "name the table that it reads (SHOW CREATE VIEW shows it)".to_string());
    }
    let tables = || seen.iter().filter(|(_, kind)| is_table(kind)).map(|(name, _)| name.as_str());
    if let Some(other) = tables().find(|name| name.eq_ignore_ascii_case(table)) {
        let what =
            format!("there is no table {schema}.{table}: the server writes it {schema}.{other}; did you mean that?");
        return (what, format!("write {schema}.{other}"));
    }
    let near = match schemas.iter().any(|known| known == schema) {
        true => did_you_mean(table, tables()),
        false => did_you_mean(schema, schemas.iter().map(String::as_str)),
    };
    if !near.is_empty() {
        let what = format!("there is no table {schema}.{table}{near}");
        return (what, "correct the name".to_string());
    }
    let what = format!("there is no table {schema}.{table}, or the account may not see it");
    let fix = format!("correct the name, or create the table; if it is there: {}", grant(schema, account));
    (what, fix)
}

/// On the schema: a statement on a table that is not there fails.
fn grant(schema: &str, account: &str) -> String {
    let target = if schema.contains('*') { "*.*".to_string() } else { format!("`{}`.*", schema.replace('`', "``")) };
    format!("GRANT SELECT ON {target} TO {account}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_that_exists_instead_is_named() {
        let seen = [("orders", "BASE TABLE"), ("lines", "BASE TABLE"), ("paid", "VIEW"), ("s", "SEQUENCE")];
        let seen = seen.map(|(name, kind)| (name.to_string(), kind.to_string()));
        let schemas = ["shop", "crm"].map(String::from);
        for (schema, table, what, fix) in [
            ("shop", "Orders", "writes it shop.orders", "write shop.orders"),
            ("shop", "LINES", "writes it shop.lines", "write shop.lines"),
            ("shop", "order", "did you mean `orders`?", "correct the name"),
            ("shop", "ordres", "did you mean `orders`?", "correct the name"),
            ("shop", "paid", "is a view", "SHOW CREATE VIEW"),
            ("shop", "s", "no base table", "name the table"),
            ("shop", "customers", "or the account may not see it", "ON `shop`.*"),
            ("shpo", "orders", "did you mean `shop`?", "correct the name"),
            ("a`b", "orders", "there is no table", "ON `a``b`.*"),
        ] {
            let seen = if schema == "shop" { &seen[..] } else { &[] };
            let found = of_exact(schema, table, seen, &schemas, "'r'@'%'");
            assert!(found.0.contains(what) && found.1.contains(fix), "{schema}.{table}: {found:?}");
        }
    }
}
