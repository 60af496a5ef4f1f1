//! A change that has not happened: a stored row as it would be inserted, updated or deleted.
//!
//! In: which row, what is set in it, and the server. Out: the change with the types of the table's columns, so that rules decide on it as
//! on one of the binlog. Changes nothing on the server.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use uuid::Uuid;

use crate::change::{Cell, Change, Op, Row, Transaction, Value};
use crate::clock::now_us;
use crate::column::typed_text;
use crate::pattern::{TablePattern, TablePatterns};
use crate::rules::Rule;
use crate::schema::{MissingTable, TypedTable};
use crate::source::{self, Settings};
use crate::suggest::did_you_mean;

/// What is typed for NULL.
const NULL: &str = "NULL";

/// The other places of a change. Each option of a row names them: `requires = "row"` says nothing where one that conflicts with
/// `row` is given.
const OTHER_PLACES: [&str; 3] = ["from", "count", "event"];

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "A stored row instead of the binlog")]
pub(super) struct RowArgs {
    /// The row in which this column has this value, as an insert; may be given several times
    #[arg(long, value_name = "COLUMN=VALUE", conflicts_with_all = OTHER_PLACES, value_parser = Pair::parse)]
    row: Vec<Pair>,
    /// The table of the row, where the rules are for several [default: that of the rules]
    #[arg(long, value_name = "TABLE", requires = "row", conflicts_with_all = OTHER_PLACES, value_parser = TablePattern::parse)]
    table: Option<TablePattern>,
    /// As an update that sets this column; NULL stands for itself; may be given several times
    #[arg(long, value_name = "COLUMN=VALUE", requires = "row", conflicts_with_all = OTHER_PLACES, value_parser = Pair::parse)]
    set: Vec<Pair>,
    /// As a delete
    #[arg(long, requires = "row", conflicts_with = "set", conflicts_with_all = OTHER_PLACES)]
    delete: bool,
}

/// A column and what it has.
#[derive(Debug, Clone)]
struct Pair {
    column: String,
    value: String,
}

impl Pair {
    fn parse(text: &str) -> Result<Pair, String> {
        let (column, value) = text.split_once('=').ok_or("write it as COLUMN=VALUE, for example id=42")?;
        Ok(Pair { column: column.to_owned(), value: value.to_owned() })
    }
}

impl RowArgs {
    /// Whether a row is named.
    pub fn is_given(&self) -> bool {
        !self.row.is_empty()
    }

    /// The change of the row that is named.
    pub async fn change(&self, rules: &[Arc<Rule>], settings: &Settings) -> anyhow::Result<Change> {
        let typed = typed_table(self.table.as_ref(), rules, settings).await?;
        let named_by = columns(&typed, "--row", &self.row)?;
        let named_by: Vec<_> = named_by.into_iter().map(|(_, name, value)| (name, value.to_owned())).collect();
        let stored = source::stored_row(settings, &typed, &named_by).await?;
        let mut after = stored.clone();
        for (index, name, value) in columns(&typed, "--set", &self.set)? {
            after[index] = match typed.columns[index].kind.as_ref().filter(|_| value != NULL) {
                Some(kind) => typed_text::parse(kind, value).map_err(|takes| anyhow!("column {name} takes {takes}"))?,
                None => Value::Null,
            };
        }
        let kinds = typed.columns.iter().map(|column| column.kind.clone()).collect::<Option<Arc<[_]>>>();
        let row = |values: Vec<Value>| Row::typed(values.into_iter().map(Cell::Value).collect(), kinds.clone());
        let (op, before, after) = match (self.delete, self.set.is_empty()) {
            (true, _) => (Op::Delete, Some(row(stored)), None),
            (false, true) => (Op::Insert, None, Some(row(stored))),
            (false, false) => (Op::Update, Some(row(stored)), Some(row(after))),
        };
        Ok(Change { op, table: Arc::new(typed.table), before, after, transaction: Arc::new(transaction()), ordinal: 1 })
    }
}

/// The table of this name, or else that of the rules.
pub(super) async fn typed_table(
    named: Option<&TablePattern>,
    rules: &[Arc<Rule>],
    settings: &Settings,
) -> anyhow::Result<TypedTable> {
    let mut patterns: Vec<TablePattern> = Vec::new();
    for pattern in rules.iter().filter(|_| named.is_none()).flat_map(|rule| &rule.tables.0) {
        if !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }
    patterns.extend(named.cloned());
    let mut tables = source::named_tables(settings, &TablePatterns(patterns)).await?;
    match (tables.found.pop(), tables.found.is_empty(), tables.missing.pop(), named) {
        (Some(table), true, ..) => Ok(table),
        (Some(_), false, _, Some(named)) => bail!("several tables fit {named}; name one"),
        (Some(_), false, _, None) => bail!("the rules are for several tables; say which with --table, or name a rule"),
        (None, _, Some(MissingTable { what, fix, .. }), Some(_)) => bail!("{what}; fix: {fix}"),
        (None, _, Some(MissingTable { what, fix, .. }), None) => bail!("the table of the rules: {what}; fix: {fix}"),
        (None, _, None, _) => bail!("no rules are there; say which table with --table"),
    }
}

/// The columns that an option names, each once, with what is given for them.
fn columns<'p>(typed: &TypedTable, option: &str, pairs: &'p [Pair]) -> anyhow::Result<Vec<(usize, Box<str>, &'p str)>> {
    let mut columns: Vec<(usize, Box<str>, &str)> = Vec::new();
    for Pair { column: name, value } in pairs {
        let (index, name) = column(typed, name)?;
        if columns.iter().any(|(other, ..)| *other == index) {
            bail!("{option} names column {name} twice; give it one value");
        }
        columns.push((index, name, value));
    }
    Ok(columns)
}

/// The place of a column and its name as the table has it.
pub(super) fn column(typed: &TypedTable, name: &str) -> anyhow::Result<(usize, Box<str>)> {
    let names = || typed.table.columns.iter().map(|name| &**name);
    let index = typed.table.column(name);
    index.map(|index| (index, typed.table.columns[index].clone())).ok_or_else(|| {
        let known = names().collect::<Vec<_>>().join(", ");
        anyhow!("table {} has no column `{name}`{}; known are {known}", typed.table, did_you_mean(name, names()))
    })
}

/// One that no server has written: what is made of it has ids of its own each time.
pub(super) fn transaction() -> Transaction {
    let now = now_us();
    Transaction {
        server_uuid: Uuid::new_v4(),
        gtid: None,
        file: "".into(),
        offset: 0,
        committed_at_us: now,
        original_commit_us: now,
        is_own: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Table;

    #[test]
    fn an_option_names_each_column_once() {
        let columns = vec!["id".into(), "note".into()];
        let table = Table { schema: "shop".into(), name: "orders".into(), columns, primary_key: vec![0] };
        let typed = TypedTable { table, columns: Vec::new(), keyed: Default::default() };
        let named = |pairs: &[&str]| {
            let pairs: Vec<Pair> = pairs.iter().map(|pair| Pair::parse(pair).expect("a pair")).collect();
            let columns = super::columns(&typed, "--set", &pairs).map_err(|error| error.to_string())?;
            Ok(columns.into_iter().map(|(index, _, value)| (index, value.to_owned())).collect())
        };
        assert_eq!(named(&["note=a=b", "id=1"]), Ok(vec![(1, "a=b".to_owned()), (0, "1".to_owned())]));
        let twice: Result<Vec<(usize, String)>, String> = named(&["id=1", "note=x", "id=1"]);
        assert_eq!(twice, Err("--set names column id twice; give it one value".to_owned()));
        assert!(named(&["nota=x"]).is_err_and(|message| message.contains("did you mean `note`?")));
    }
}
