//! Which tables a rule file is about: `schema.table`, where `*` stands for any characters.
//!
//! In: the `table:` line of a rule file. Out: a yes or no for each table name in the binlog. Keeps tables that are
//! not meant out of every pattern: MySQL's own schemas and the shadow tables of online schema-change tools match only where
//! they are named exactly.

use std::fmt;

/// One `schema.table` pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    schema: String,
    table: String,
}

impl TablePattern {
    /// Reads `schema.table`; each part may hold `*`.
    pub fn parse(text: &str) -> Result<TablePattern, String> {
        if text.contains('`') {
            return Err(format!("a table is written without backticks: `{}`", text.replace('`', "")));
        }
        match text.split_once('.') {
            Some((schema, table)) if !schema.is_empty() && !table.is_empty() && !table.contains('.') => {
                Ok(TablePattern { schema: schema.to_string(), table: table.to_string() })
            }
            _ => Err(format!("`{text}` is not a table; write `schema.table`, with `*` for any characters")),
        }
    }

    pub fn is_exact(&self) -> bool {
        !self.schema.contains('*') && !self.table.contains('*')
    }

    pub fn matches(&self, schema: &str, table: &str) -> bool {
        if self.is_exact() {
            return self.schema == schema && self.table == table;
        }
        !is_system_schema(schema)
            && !is_shadow_table(table)
            && matches_part(&self.schema, schema)
            && matches_part(&self.table, table)
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Several patterns: the tables of a rule, or of all rules, which is what the source decodes at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TablePatterns(pub Vec<TablePattern>);

impl TablePatterns {
    /// Whether they name one table, so that its name is known before any row.
    pub fn name_one_table(&self) -> bool {
        matches!(&self.0[..], [pattern] if pattern.is_exact())
    }

    pub fn match_any(&self, schema: &str, table: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(schema, table))
    }

    /// Whether any pattern may match a table of this schema.
    pub fn match_schema(&self, schema: &str) -> bool {
        self.0.iter().any(|pattern| matches_part(&pattern.schema, schema))
    }
}

impl fmt::Display for TablePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{pattern}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

fn is_system_schema(schema: &str) -> bool {
    ["mysql", "sys", "information_schema", "performance_schema"].iter().any(|own| schema.eq_ignore_ascii_case(own))
}

/// gh-ost names its tables `_x_gho`, `_x_ghc`, `_x_del`; pt-online-schema-change `_x_new`, `_x_old`.
fn is_shadow_table(table: &str) -> bool {
    table.starts_with('_') && ["_gho", "_ghc", "_del", "_new", "_old"].iter().any(|end| table.ends_with(end))
}

/// Whether `text` fits a pattern in which `*` stands for any characters: the pieces between stars, in order.
fn matches_part(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say_and_shadow_tables_only_by_name() {
        for (pattern, schema, table, expected) in [
            ("shop.orders", "shop", "orders", true),
            ("shop.orders", "shop", "orders2", false),
            ("shop_*.orders", "shop_de", "orders", true),
            ("shop_*.orders", "shop", "orders", false),
            ("*.*", "anything", "at_all", true),
            ("*.*", "mysql", "user", false),
            ("mysql.user", "mysql", "user", true),
            ("shop.*", "shop", "_orders_gho", false),
            ("shop._orders_gho", "shop", "_orders_gho", true),
            ("shop.a*b*c", "shop", "aXbYc", true),
            ("shop.a*b*c", "shop", "aXbY", false),
            ("shop.a*a", "shop", "a", false),
            ("shop.*_old", "shop", "orders_old", true),
        ] {
            let parsed = TablePattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(schema, table), expected, "{pattern} on {schema}.{table}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for text in ["orders", ".orders", "shop.", "a.b.c", "", "`shop`.`orders`"] {
            TablePattern::parse(text).expect_err(text);
        }
    }
}
