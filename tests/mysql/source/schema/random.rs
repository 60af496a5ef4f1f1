//! Statements drawn at random, run by the server and followed in the binlog: after each one what is tracked must equal
//! what `information_schema` shows. The seed is fixed, so that a failure comes again.

use mysql_async::prelude::Queryable;
use rowhook::schema::{Column, Definition, Family, TableName};

use super::*;

const SEEDS: [u64; 2] = [1, 20_261_121];
const STATEMENTS: usize = 450;
const TABLES: [&str; 4] = ["t0", "t1", "_t0_new", "T0"];

const TYPES: &[&str] = &[
    "INT",
    "BIGINT UNSIGNED",
    "TINYINT(1)",
    "MEDIUMINT ZEROFILL",
    "BOOL",
    "SMALLINT",
    "INT8",
    "VARCHAR(20)",
    "CHAR(3) CHARACTER SET latin1",
    "TEXT",
    "BLOB",
    "VARBINARY(16)",
    "NATIONAL VARCHAR(9)",
    "LONG VARCHAR",
    "DATETIME(3)",
    "TIMESTAMP NULL",
    "TIME",
    "DATE",
    "YEAR",
    "DECIMAL(10,2)",
    "NUMERIC",
    "FLOAT",
    "REAL",
    "DOUBLE PRECISION",
    "BIT(9)",
    "JSON",
    "ENUM('a','b')",
    "ENUM('x','it''s','c,d','e  ')",
    "SET('p','q)')",
    "POINT",
    "VECTOR(3)",
    "ENUM(\"b\\\\s\", 'q\\'r') CHARACTER SET utf8mb4",
    "ENUM('e  ','b') CHARACTER SET binary",
    "SET('p ','q') BYTE",
];

const ATTRIBUTES: &[&str] = &[
    "",
    "",
    "",
    "NOT NULL",
    "NULL",
    "COMMENT 'AFTER c0, DROP c1'",
    "INVISIBLE",
    "/*!80023 INVISIBLE */",
    "COLUMN_FORMAT DYNAMIC",
    "CHECK (1 = 1) NOT ENFORCED",
    "/* FIRST */",
    "UNIQUE KEY",
    "DEFAULT NULL",
    "VISIBLE /*!99999 FIRST */",
];

/// Knuth's 64-bit linear congruential generator; its high bits are good enough to choose.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn quoted(&mut self, name: &str) -> String {
        let name = if self.below(4) == 0 { name.to_uppercase() } else { name.to_string() };
        if self.below(2) == 0 { format!("`{name}`") } else { name }
    }

    /// A name that may be new, may be taken.
    fn new_name(&mut self) -> String {
        let name =
            *self.pick(&["c0", "c1", "c2", "c3", "c4", "c5", "first", "after", "größe", "Cx", "key_part", "d$1"]);
        self.quoted(name)
    }

    fn old_name(&mut self, known: &[String]) -> String {
        if known.is_empty() {
            return "c0".to_string();
        }
        let name = self.pick(known).clone();
        self.quoted(&name)
    }

    fn column(&mut self, name: &str) -> String {
        format!("{name} {} {}", self.pick(TYPES), self.pick(ATTRIBUTES))
    }

    fn place(&mut self, known: &[String]) -> String {
        match self.below(4) {
            0 => "FIRST".to_string(),
            1 => format!("AFTER {}", self.old_name(known)),
            2 if self.below(3) == 0 => format!("AFTER {}", self.new_name()),
            _ => String::new(),
        }
    }

    fn clause(&mut self, known: &[String]) -> String {
        let (new, old) = (self.new_name(), self.old_name(known));
        match self.below(16) {
            0..=2 => format!("ADD COLUMN {} {}", self.column(&new), self.place(known)),
            3 => format!("ADD {} {}", self.column(&new), self.place(known)),
            4 => {
                let other = self.new_name();
                format!("ADD ({}, {}, KEY ((1 + 1)))", self.column(&new), self.column(&other))
            }
            5 | 6 => format!("DROP COLUMN {old}"),
            7 => format!("RENAME COLUMN {old} TO {new}"),
            8 | 9 => format!("CHANGE {old} {} {}", self.column(&new), self.place(known)),
            10 | 11 => format!("MODIFY COLUMN {} {}", self.column(&old), self.place(known)),
            12 => format!("DROP PRIMARY KEY, ADD PRIMARY KEY ({old})"),
            13 => format!("ADD CONSTRAINT pk PRIMARY KEY USING BTREE ({old}, {})", self.old_name(known)),
            14 => format!("ALTER COLUMN {old} SET INVISIBLE"),
            _ => (*self.pick(&[
                "FORCE",
                "ENGINE=InnoDB",
                "COMMENT='x, y'",
                "DROP PRIMARY KEY",
                "CONVERT TO CHARACTER SET latin1",
            ]))
            .to_string(),
        }
    }

    fn table(&mut self) -> String {
        let table = *self.pick(&TABLES);
        match self.below(3) {
            0 => format!("`test`.`{table}`"),
            1 => format!("test . {table}"),
            _ => table.to_string(),
        }
    }

    fn statement(&mut self, known: &[String], table: &str) -> String {
        match self.below(20) {
            _ if known.is_empty() && self.below(3) > 0 => {
                let key = self
                    .pick(&["", ", PRIMARY KEY (c0)", ", PRIMARY KEY (c1, c0), KEY k (c0)", ", CHECK (c0 > 1)"])
                    .to_string();
                let (c1, other) = (self.column("c1"), self.new_name());
                format!("CREATE TABLE {table} (c0 INT, {c1}, {} {key}) COMMENT 'x'", self.column(&other))
            }
            0..=3 if known.is_empty() => format!("CREATE TABLE {table} LIKE {}", self.table()),
            4 if known.is_empty() => {
                format!("CREATE TABLE {table} AS SELECT 1 AS one, 'x' AS c0, s.* FROM (SELECT 2 AS c1) s")
            }
            5 => format!("DROP TABLE {table}"),
            6 => format!("RENAME TABLE {table} TO {}, {} TO {table}", self.table(), self.table()),
            7 => format!("ALTER TABLE {table} RENAME TO {}", self.table()),
            8 => format!("TRUNCATE TABLE {table}"),
            9 => format!("CREATE INDEX i ON {table} ((1 + 1))"),
            _ => {
                let count = 1 + self.below(3);
                let clauses: Vec<String> = (0..count).map(|_| self.clause(known)).collect();
                let end = *self.pick(&[
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                    " PARTITION BY KEY () PARTITIONS 2",
                    " REMOVE PARTITIONING",
                    ", ALGORITHM=COPY",
                    ", LOCK=SHARED, ALGORITHM=COPY",
                    ", ORDER BY c0, c1",
                    ", DEFAULT CHARACTER SET latin1",
                ]);
                format!("ALTER /* x */ TABLE {table} {}{end}", clauses.join(", "))
            }
        }
    }
}

async fn defined_now(root: &mut Conn, table: &str) -> Option<Definition> {
    let rows: Vec<(String, String, String, Option<u64>, String)> = root
        .query(format!(
            "SELECT c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, s.SEQ_IN_INDEX, SUBSTRING_INDEX(t.TABLE_COLLATION, '_', 1) \
             FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) LEFT JOIN information_schema.STATISTICS s ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME \
             AND s.COLUMN_NAME = c.COLUMN_NAME AND s.INDEX_NAME = 'PRIMARY' \
             WHERE c.TABLE_SCHEMA = 'test' AND c.TABLE_NAME = '{table}' ORDER BY c.ORDINAL_POSITION"
        ))
        .await
        .expect("columns");
    let mut key: Vec<(u64, usize)> =
        rows.iter().enumerate().filter_map(|(at, (.., place, _))| Some(((*place)?, at))).collect();
    key.sort_unstable();
    let columns: Vec<Column> = rows
        .iter()
        .map(|(name, data, whole, ..)| Column { name: name.as_str().into(), family: family(data, whole) })
        .collect();
    let charset = rows.first().map(|(.., charset)| charset.as_str().into());
    let primary_key = key.into_iter().map(|(_, at)| at).collect();
    (!columns.is_empty()).then_some(Definition { columns, primary_key, charset })
}

fn family(data_type: &str, column_type: &str) -> Family {
    let labels = || -> Box<[Box<str>]> {
        match column_type {
            "enum('a','b')" => ["a".into(), "b".into()].into(),
            "enum('x','it''s','c,d','e')" => ["x".into(), "it's".into(), "c,d".into(), "e".into()].into(),
            "set('p','q)')" => ["p".into(), "q)".into()].into(),
            "enum('e  ','b')" => ["e  ".into(), "b".into()].into(),
            "set('p ','q')" => ["p ".into(), "q".into()].into(),
            "enum('b\\\\s','q''r')" => ["b\\s".into(), "q'r".into()].into(),
            other => panic!("{other}"),
        }
    };
    let (word, labels) = match data_type {
        "tinyint" => ("int1", None),
        "smallint" => ("int2", None),
        "mediumint" => ("int3", None),
        "int" => ("int4", None),
        "bigint" => ("int8", None),
        "float" | "double" => ("float", None),
        "point" => ("geometry", None),
        "enum" | "set" => (data_type, Some(labels())),
        "decimal" | "bit" | "year" | "date" | "time" | "datetime" | "timestamp" | "json" | "vector" => {
            (data_type, None)
        }
        _ => ("text", None),
    };
    Family::named(word, labels).expect("a family")
}

#[tokio::test]
async fn what_is_tracked_equals_what_the_server_shows_after_each_of_many_random_statements() {
    let (server, mut root) = minimal().await;
    sql(&mut root, "USE test").await;
    let (mut n, mut succeeded) = (0, 0);
    for seed in SEEDS {
        let mut dice = Dice(seed);
        sql(&mut root, &format!("DROP TABLE IF EXISTS {}", TABLES.join(", "))).await;
        let mut reader = server.follow(latest());
        reader.started().await;
        for _ in 0..STATEMENTS {
            let table = dice.table();
            let bare = table.trim_start_matches("test . ").trim_start_matches("`test`.").trim_matches('`');
            let known = defined_now(&mut root, bare).await;
            let known: Vec<String> =
                known.iter().flat_map(|known| known.columns.iter().map(|column| column.name.to_string())).collect();
            let statement = dice.statement(&known, &table);
            if root.query_drop(&statement).await.is_err() {
                continue;
            }
            succeeded += 1;
            n += 1;
            done(&mut root, n).await;
            reader.until_done(n).await;
            for table in TABLES {
                let tracked = reader.schema.get(&TableName::new("test", table)).map(|known| (**known).clone());
                assert_eq!(tracked, defined_now(&mut root, table).await, "{table} after {statement} (seed {seed})");
            }
        }
    }
    assert!(succeeded >= 300, "only {succeeded} statements were carried out");
}
