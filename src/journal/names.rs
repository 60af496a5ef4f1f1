//! Names that the journal's rows refer to by number, and in which parts a rule has entries.
//!
//! In: entries. Out: the numbers of their rule, table and target, added to the file where they are new. What was added is known here
//! even if its transaction fails: then the file is opened again, and these with it. Most entries are of a rule, table and target that the
//! ones just before had, which are recognised without their names.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};

use super::record::JournalEntry;
use crate::change::Table;
use crate::rules::{Rule, Target};

/// So many combinations of rule, table and target are recognised at a time.
const RECENT_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Names {
    rules: Vec<JournaledRule>,
    /// Which of `rules` has this name.
    rules_by_name: HashMap<Box<str>, usize>,
    tables: HashMap<Box<str>, i64>,
    targets: HashMap<Box<str>, i64>,
    recent: Vec<Recent>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct JournaledRule {
    pub number: i64,
    /// The newest commit of its entries when the journal was opened: what was committed later has no entry yet.
    pub known_until_us: u64,
    /// The same by now.
    committed_max_us: u64,
    has_moved: bool,
    /// The newest part that it has an entry in, as far as this run knows.
    part: Option<i64>,
}

/// What the names of an entry are in its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryNames {
    pub rule: JournaledRule,
    pub table: i64,
    pub target: i64,
}

#[derive(Debug)]
struct Recent {
    of: (Arc<Rule>, Arc<Table>, Arc<Target>),
    rule: usize,
    table: i64,
    target: i64,
}

impl Recent {
    fn is_of(&self, entry: &JournalEntry) -> bool {
        let (rule, table, target) = &self.of;
        Arc::ptr_eq(rule, &entry.rule) && Arc::ptr_eq(table, &entry.table) && Arc::ptr_eq(target, &entry.target)
    }
}

impl Names {
    pub fn read(connection: &Connection) -> rusqlite::Result<Names> {
        let mut names = Names {
            tables: numbers(connection, "watched_table")?,
            targets: numbers(connection, "target")?,
            ..Names::default()
        };
        let mut rules = connection.prepare("SELECT name, number, committed_max_us FROM rule")?;
        let mut rows = rules.query([])?;
        while let Some(row) = rows.next()? {
            names.know(row.get(0)?, row.get(1)?, row.get(2)?);
        }
        Ok(names)
    }

    fn know(&mut self, name: Box<str>, number: i64, committed_max_us: u64) -> usize {
        let (known_until_us, has_moved, part) = (committed_max_us, false, None);
        self.rules.push(JournaledRule { number, known_until_us, committed_max_us, has_moved, part });
        self.rules_by_name.insert(name, self.rules.len() - 1);
        self.rules.len() - 1
    }

    /// Those of an entry that is about to be in this part, with its commit taken in.
    pub fn of(
        &mut self,
        transaction: &Transaction<'_>,
        entry: &JournalEntry,
        part: i64,
    ) -> rusqlite::Result<EntryNames> {
        let recent = match self.recent.iter().position(|recent| recent.is_of(entry)) {
            Some(recent) => recent,
            None => self.recall(transaction, entry)?,
        };
        let Recent { rule, table, target, .. } = self.recent[recent];
        let known = &mut self.rules[rule];
        if entry.committed_us > known.committed_max_us {
            known.committed_max_us = entry.committed_us;
            known.has_moved = true;
        }
        if known.part.is_none_or(|noted| noted < part) {
            let note = "INSERT OR IGNORE INTO part_rule (rule, part) VALUES (?1, ?2)";
            transaction.execute(note, [known.number, part])?;
            known.part = Some(part);
        }
        Ok(EntryNames { rule: *known, table, target })
    }

    fn recall(&mut self, transaction: &Transaction<'_>, entry: &JournalEntry) -> rusqlite::Result<usize> {
        let name = entry.rule.name.as_str();
        let rule = match self.rules_by_name.get(name) {
            Some(rule) => *rule,
            None => self.know(name.into(), add_name(transaction, "rule", name)?, 0),
        };
        let table = number_of(&mut self.tables, transaction, "watched_table", &entry.table.to_string())?;
        let target = number_of(&mut self.targets, transaction, "target", &entry.target.origin)?;
        if self.recent.len() == RECENT_MAX {
            self.recent.clear();
        }
        let of = (Arc::clone(&entry.rule), Arc::clone(&entry.table), Arc::clone(&entry.target));
        self.recent.push(Recent { of, rule, table, target });
        Ok(self.recent.len() - 1)
    }

    /// Writes which commits of rules were taken in.
    pub fn write_moved(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for rule in self.rules.iter_mut().filter(|rule| rule.has_moved) {
            let moved = "UPDATE rule SET committed_max_us = ?2 WHERE number = ?1";
            transaction.execute(moved, params![rule.number, rule.committed_max_us])?;
            rule.has_moved = false;
        }
        Ok(())
    }
}

fn numbers(connection: &Connection, table: &str) -> rusqlite::Result<HashMap<Box<str>, i64>> {
    let mut names = connection.prepare(&format!("SELECT name, number FROM {table}"))?;
    names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn number_of(
    numbers: &mut HashMap<Box<str>, i64>,
    transaction: &Transaction<'_>,
    table: &str,
    name: &str,
) -> rusqlite::Result<i64> {
    if let Some(number) = numbers.get(name) {
        return Ok(*number);
    }
    let number = add_name(transaction, table, name)?;
    numbers.insert(name.into(), number);
    Ok(number)
}

fn add_name(transaction: &Transaction<'_>, table: &str, name: &str) -> rusqlite::Result<i64> {
    transaction.execute(&format!("INSERT INTO {table} (name) VALUES (?1)"), [name])?;
    Ok(transaction.last_insert_rowid())
}
