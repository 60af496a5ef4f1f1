//! Statements on tables, drawn so that the server takes each: what a watched table looks like is asked first.

use crate::support::random::Random;

use super::writers::{Site, TABLES};

impl Site {
    /// A statement that changes the definition of a watched table.
    pub async fn draw_alter(&self, random: &mut Random) -> String {
        let table = random.below(TABLES as u64) as usize;
        let columns = self.columns(table).await;
        let has = |wanted: &str| columns.iter().any(|(name, _)| name == wanted);
        let note = if has("note") { "note" } else { "remark" };
        let what = match random.below(12) {
            0..=4 => {
                let types = ["INT", "BIGINT", "BIGINT UNSIGNED", "VARCHAR(20)"];
                format!("MODIFY id {} NOT NULL", types[random.below(types.len() as u64) as usize])
            }
            5..=6 if has("extra") => "DROP extra".to_owned(),
            5 => "ADD extra INT NULL DEFAULT 7".to_owned(),
            6 => "ADD extra VARCHAR(10) NOT NULL DEFAULT 'x' FIRST".to_owned(),
            7 | 8 => {
                let after = if note == "note" { "remark" } else { "note" };
                format!("RENAME COLUMN {note} TO {after}")
            }
            9 => format!("MODIFY {note} VARCHAR({}) NOT NULL DEFAULT 'm'", 50 + random.below(3)),
            10 => {
                let key = ["id", "id, who", "who, id"][random.below(3) as usize];
                format!("DROP PRIMARY KEY, ADD PRIMARY KEY ({key})")
            }
            _ => format!("COMMENT 'comment {}'", random.below(100)),
        };
        format!("ALTER TABLE items_{table} {what}")
    }

    /// A statement that no rule has to do with.
    pub fn draw_other(&self, random: &mut Random) -> String {
        let n = random.below(3);
        let statements = [
            "TRUNCATE TABLE unwatched".to_owned(),
            "TRUNCATE unwatched".to_owned(),
            format!("CREATE TABLE IF NOT EXISTS other_{n} AS SELECT 1 AS one"),
            format!("CREATE TABLE IF NOT EXISTS other_{n} (items_0 INT, PRIMARY KEY (items_0))"),
            format!("DROP TABLE IF EXISTS other_{n}"),
            format!("CREATE OR REPLACE VIEW view_{n} AS SELECT who FROM items_0"),
            "ALTER TABLE unwatched MODIFY text VARCHAR(120)".to_owned(),
            "ANALYZE TABLE items_0, items_1".to_owned(),
            format!("CREATE DATABASE IF NOT EXISTS other_{n}; DROP DATABASE other_{n}"),
        ];
        statements[random.below(statements.len() as u64) as usize].clone()
    }
}
