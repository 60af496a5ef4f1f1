//! Statements and what they do to a definition, in a notation of one line: `id i4, s text, e enum(a/b) | id`, the primary
//! key behind the bar; `?` is a table that is not known.

use super::*;
use crate::column::charset::Charset;
use crate::schema::{Column, Definition, Family, Schema};
use crate::source::lexer::{Modes, tokens};

const NAMING: Naming<'static> = Naming { default_schema: "s", ignores_case: false };

fn parse(text: &str) -> Definition {
    let (columns, key) = text.split_once('|').unwrap_or((text, ""));
    let columns: Vec<Column> = columns.split(',').map(|column| parse_column(column.trim())).collect();
    let place = |name: &str| columns.iter().position(|column| *column.name == *name).expect("a column of the key");
    let primary_key = key.split(',').map(str::trim).filter(|name| !name.is_empty()).map(place).collect();
    Definition { columns, primary_key, charset: None }
}

fn parse_column(text: &str) -> Column {
    let (name, family) = text.split_once(' ').expect("a name and a family");
    let labels = |inside: &str| inside.trim_end_matches(')').split('/').map(Into::into).collect();
    let (word, labels) = match family.split_once('(') {
        Some((word, inside)) => (word, Some(labels(inside))),
        None => (family, None),
    };
    let word =
        word.strip_prefix('i').filter(|width| width.len() == 1).map_or(word.into(), |width| format!("int{width}"));
    let family = Family::named(&word, labels).unwrap_or_else(|| panic!("family {family}"));
    Column { name: name.into(), family }
}

fn schema(tables: &[(&str, &str)]) -> Schema {
    let mut schema = Schema::default();
    for (name, definition) in tables.iter().filter(|(_, definition)| *definition != "?") {
        let (database, table) = name.split_once('.').unwrap_or(("s", name));
        schema.insert(TableName::new(database, table), parse(definition).into());
    }
    schema
}

/// What a statement means that a client with UTF-8 sends.
fn understood(statement: &str, modes: Modes, naming: &Naming<'_>) -> DdlEffect {
    read(tokens(statement.as_bytes(), Charset::Utf8, modes).as_deref(), naming)
}

fn apply(schema: &mut Schema, statement: &str, modes: Modes) {
    understood(statement, modes, &NAMING).apply(schema, |_| true);
}

/// The tables alone: character sets have tests of their own.
fn without_charsets(schema: &Schema) -> Schema {
    let mut without = Schema::default();
    for (name, definition) in schema.iter().filter(|(name, _)| !name.table.is_empty()) {
        without.insert(name.clone(), Definition { charset: None, ..(**definition).clone() }.into());
    }
    without
}

#[track_caller]
fn check(before: &str, statement: &str, after: &str) {
    let mut found = schema(&[("t", before)]);
    apply(&mut found, statement, Modes::default());
    assert_eq!(without_charsets(&found), schema(&[("t", after)]), "{statement}");
    let is_same = before == after;
    let redefines = understood(statement, Modes::default(), &NAMING).redefines(&TableName::new("s", "t"));
    assert!(is_same || before == "?" || redefines, "{statement} is found by the search");
}

#[test]
fn columns_are_added_dropped_renamed_changed_and_moved_as_the_server_does() {
    let t = "id i4, a text, b text | id";
    for (statement, after) in [
        ("ALTER TABLE t ADD c INT", "id i4, a text, b text, c i4 | id"),
        (
            "alter table s.t add column c bigint unsigned not null default 5 comment 'x, y' first",
            "c i8, id i4, a text, b text | id",
        ),
        ("ALTER TABLE `s`.`t` ADD COLUMN `c` INT AFTER `a`", "id i4, a text, c i4, b text | id"),
        ("ALTER TABLE t ADD (c INT, d TEXT, KEY k (c))", "id i4, a text, b text, c i4, d text | id"),
        ("ALTER TABLE t ADD COLUMN (c INT)", "id i4, a text, b text, c i4 | id"),
        ("ALTER TABLE t ADD c INT AFTER id, ADD d INT AFTER c", "id i4, c i4, d i4, a text, b text | id"),
        ("ALTER TABLE t ADD c INT FIRST, ADD d INT FIRST", "d i4, c i4, id i4, a text, b text | id"),
        ("ALTER TABLE t ADD `first` INT FIRST, ADD after INT AFTER after", "?"),
        ("ALTER TABLE t ADD after INT, ADD x INT AFTER after", "id i4, a text, b text, after i4, x i4 | id"),
        ("ALTER TABLE t ADD c INT REFERENCES first", "id i4, a text, b text, c i4 | id"),
        (
            "ALTER TABLE t ADD c INT DEFAULT (1 + (2)) CHECK (c > 0) NOT ENFORCED AFTER id",
            "id i4, c i4, a text, b text | id",
        ),
        (
            "ALTER TABLE t ADD c TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
            "id i4, a text, b text, c timestamp | id",
        ),
        (
            "ALTER TABLE t ADD c INT GENERATED ALWAYS AS (id + 1) STORED NOT NULL FIRST",
            "c i4, id i4, a text, b text | id",
        ),
        ("ALTER TABLE t ADD c VARCHAR(9) AS (concat(a, ',')) VIRTUAL", "id i4, a text, b text, c text | id"),
        ("ALTER TABLE t ADD c INT INVISIBLE COLUMN_FORMAT FIXED STORAGE DISK", "id i4, a text, b text, c i4 | id"),
        ("ALTER TABLE t /*!80023 ADD COLUMN c INT INVISIBLE */", "id i4, a text, b text, c i4 | id"),
        ("ALTER /* ADD x INT, */ TABLE t -- DROP a\n ADD c INT # , DROP b", "id i4, a text, b text, c i4 | id"),
        ("ALTER TABLE t ADD c INT UNIQUE KEY", "id i4, a text, b text, c i4 | id"),
        ("ALTER TABLE t DROP PRIMARY KEY, ADD c INT KEY", "id i4, a text, b text, c i4 | c"),
        ("ALTER TABLE t ADD c SERIAL", "id i4, a text, b text, c i8 | id"),
        ("ALTER TABLE t DROP a", "id i4, b text | id"),
        ("ALTER TABLE t DROP COLUMN a, DROP `b` RESTRICT", "id i4 | id"),
        ("ALTER TABLE t DROP id", "a text, b text |"),
        ("ALTER TABLE t DROP a, ADD a INT", "id i4, b text, a i4 | id"),
        ("ALTER TABLE t RENAME COLUMN a TO c", "id i4, c text, b text | id"),
        ("ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a", "id i4, b text, a text | id"),
        ("ALTER TABLE t RENAME COLUMN id TO key_id", "key_id i4, a text, b text | key_id"),
        ("ALTER TABLE t RENAME COLUMN A TO `we``ird`", "id i4, we`ird text, b text | id"),
        ("ALTER TABLE t CHANGE a c INT", "id i4, c i4, b text | id"),
        ("ALTER TABLE t CHANGE COLUMN a b TEXT, CHANGE b a TEXT", "id i4, b text, a text | id"),
        ("ALTER TABLE t CHANGE a c INT AFTER b", "id i4, b text, c i4 | id"),
        ("ALTER TABLE t CHANGE id a2 INT AFTER b, CHANGE a id INT FIRST", "id i4, b text, a2 i4 | a2"),
        ("ALTER TABLE t MODIFY b TEXT AFTER id", "id i4, b text, a text | id"),
        (
            "ALTER TABLE t MODIFY COLUMN b VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin FIRST",
            "b text, id i4, a text | id",
        ),
        ("ALTER TABLE t MODIFY A INT", "id i4, A i4, b text | id"),
        ("ALTER TABLE t MODIFY id BIGINT FIRST, MODIFY b TEXT FIRST", "b text, id i8, a text | id"),
        ("ALTER TABLE t ADD c INT AFTER a, MODIFY a TEXT FIRST", "a text, id i4, c i4, b text | id"),
        ("ALTER TABLE t ADD c INT, MODIFY a TEXT AFTER c, DROP b", "id i4, c i4, a text | id"),
        ("ALTER TABLE t ADD c INT AFTER b PARTITION BY HASH(id) PARTITIONS 4", "id i4, a text, b text, c i4 | id"),
        ("ALTER TABLE t ADD c INT AFTER id REMOVE PARTITIONING", "id i4, c i4, a text, b text | id"),
        ("ALTER TABLE t ADD c INT, ALGORITHM=INSTANT, LOCK=NONE;", "id i4, a text, b text, c i4 | id"),
        ("ALTER TABLE t ADD größe INT", "id i4, a text, b text, größe i4 | id"),
    ] {
        check(t, statement, after);
    }
}

#[test]
fn the_primary_key_follows_its_columns() {
    let t = "id i4, a i4, b text | id";
    for (before, statement, after) in [
        (t, "ALTER TABLE t DROP PRIMARY KEY", "id i4, a i4, b text |"),
        (t, "ALTER TABLE t DROP INDEX `PRIMARY`", "id i4, a i4, b text |"),
        (t, "DROP INDEX `PRIMARY` ON t", "id i4, a i4, b text |"),
        (t, "DROP INDEX other ON t", t),
        (t, "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (b(5) DESC, `a`)", "id i4, a i4, b text | b, a"),
        (t, "ALTER TABLE t DROP PRIMARY KEY, ADD CONSTRAINT pk PRIMARY KEY USING BTREE (a)", "id i4, a i4, b text | a"),
        ("id i4 |", "ALTER TABLE t ADD CONSTRAINT PRIMARY KEY (id)", "id i4 | id"),
        ("id i4 |", "ALTER TABLE t ADD UNIQUE KEY (id), ADD CONSTRAINT c CHECK (id > 1)", "id i4 |"),
        ("a i4, b i4, c i4 | c, a", "ALTER TABLE t CHANGE c z INT FIRST", "z i4, a i4, b i4 | z, a"),
        ("a i4, b i4, c i4 | c, a", "ALTER TABLE t DROP c", "a i4, b i4 | a"),
        ("a i4, b i4 | a", "ALTER TABLE t ADD a TEXT, DROP a", "b i4, a text | a"),
        ("a i4, b i4 | a", "ALTER TABLE t RENAME COLUMN a TO c, ADD a INT", "c i4, b i4, a i4 | c"),
        ("id i4 |", "ALTER TABLE t MODIFY id INT AUTO_INCREMENT PRIMARY KEY", "id i4 | id"),
    ] {
        check(before, statement, after);
    }
}

#[test]
fn every_type_has_its_family() {
    for (declared, family) in [
        ("BOOL", "i1"),
        ("TINYINT(1)", "i1"),
        ("SMALLINT UNSIGNED ZEROFILL", "i2"),
        ("MIDDLEINT", "i3"),
        ("INTEGER(11)", "i4"),
        ("INT8", "i8"),
        ("DOUBLE PRECISION", "float"),
        ("REAL", "float"),
        ("FLOAT(7,3)", "float"),
        ("FIXED(10,2)", "decimal"),
        ("NUMERIC", "decimal"),
        ("BIT(33)", "bit"),
        ("YEAR(4)", "year"),
        ("DATE", "date"),
        ("TIME(3)", "time"),
        ("DATETIME", "datetime"),
        ("CHARACTER VARYING(20)", "text"),
        ("NATIONAL VARCHAR(20)", "text"),
        ("NCHAR(3)", "text"),
        ("LONG VARCHAR", "text"),
        ("CHAR(3) BYTE", "text"),
        ("TINYTEXT BINARY", "text"),
        ("VARBINARY(16)", "text"),
        ("LONGBLOB", "text"),
        ("JSON", "json"),
        ("VECTOR(3)", "vector"),
        ("POINT NOT NULL SRID 4326", "geometry"),
        ("enum('a','it''s', 'x  ') CHARACTER SET utf8mb4", "enum(a/it's/x)"),
        ("enum('a ') CHARACTER SET binary", "enum(a )"),
        ("set('a ', 'b') BYTE", "set(a /b)"),
        ("enum('größe ', '中') CHARSET utf8", "enum(größe/中)"),
        ("enum('größe') COLLATE latin1_bin", "enum(größe)"),
        ("SET(\"p\", 'q\\'r')", "set(p/q'r)"),
    ] {
        check("id i4", &format!("ALTER TABLE t ADD c {declared} NOT NULL"), &format!("id i4, c {family}"));
    }
}

#[test]
fn a_statement_that_concerns_no_columns_leaves_definitions_unchanged() {
    let t = "id i4, e enum(a/b) | id";
    for statement in [
        "ALTER TABLE t ENGINE=InnoDB ROW_FORMAT=DYNAMIC, COMMENT = 'DROP e'",
        "ALTER TABLE t FORCE",
        "ALTER TABLE t ADD INDEX i (e), ADD FULLTEXT f (e) WITH PARSER ngram, ADD INDEX g ((id + 1), (lower(e)))",
        "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES u (id) ON DELETE CASCADE",
        "ALTER TABLE t DROP INDEX i, DROP KEY k, DROP FOREIGN KEY f, DROP CHECK c, DROP CONSTRAINT d",
        "ALTER TABLE t ALTER COLUMN e SET DEFAULT 'b', ALTER id DROP DEFAULT, ALTER INDEX i INVISIBLE",
        "ALTER TABLE t ALTER COLUMN e SET INVISIBLE",
        "ALTER TABLE t RENAME INDEX a TO b, RENAME KEY c TO d",
        "ALTER TABLE t DEFAULT CHARACTER SET latin1",
        "ALTER TABLE t AUTO_INCREMENT 100, ORDER BY e",
        "ALTER TABLE t ORDER BY e, id DESC",
        "ALTER TABLE t ALGORITHM=COPY, LOCK=SHARED, ORDER BY id, e",
        "ALTER TABLE t DROP PARTITION p, q",
        "ALTER TABLE t ALGORITHM = INPLACE, LOCK = NONE, DROP PARTITION p, q",
        "ALTER TABLE t REORGANIZE PARTITION p, q INTO (PARTITION r VALUES LESS THAN (9))",
        "ALTER TABLE t ALTER COLUMN e SET DEFAULT 'ä', ALTER CHECK c NOT ENFORCED",
        "ALTER TABLE t PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (5), PARTITION q VALUES LESS THAN MAXVALUE)",
        "ALTER TABLE t ADD PARTITION (PARTITION r VALUES LESS THAN (9))",
        "ALTER TABLE t DROP PARTITION p",
        "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u WITHOUT VALIDATION",
        "ALTER TABLE t DISCARD TABLESPACE",
        "ALTER TABLE t",
        "TRUNCATE TABLE t",
        "CREATE TABLE IF NOT EXISTS t (x INT)",
        "CREATE INDEX i ON t (e)",
        "CREATE UNIQUE INDEX i ON t (e)",
        "CREATE OR REPLACE VIEW v AS SELECT * FROM t",
        "CREATE DEFINER=`root`@`%` TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1",
        "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW v AS SELECT id FROM t",
        "CREATE DATABASE t",
        "ALTER DATABASE s CHARACTER SET utf8mb4",
        "ALTER USER t IDENTIFIED BY 'ALTER TABLE t DROP e'",
        "RENAME USER t TO u",
        "DROP VIEW t",
        "DROP TEMPORARY TABLE IF EXISTS t",
        "CREATE TEMPORARY TABLE t (id INT)",
        "CREATE TEMPORARY TABLE u LIKE t",
        "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`",
        "GRANT SELECT ON t TO u",
        "ANALYZE TABLE t",
        "OPTIMIZE TABLE t",
        "FLUSH TABLES",
        "SET PASSWORD FOR t = 'x'",
        "",
    ] {
        check(t, statement, t);
        let effect = understood(statement, Modes::default(), &NAMING);
        assert!(!effect.redefines(&TableName::new("s", "t")), "{statement}");
    }
}

#[test]
fn a_statement_that_is_not_understood_makes_the_tables_unknown_that_it_may_mean() {
    let t = "id i4, e enum(a/b) | id";
    for statement in [
        "ALTER TABLE t ADD c NEWTYPE",
        "ALTER TABLE t ADD c ENUM('größe')",
        "ALTER TABLE t ADD c ENUM('a ')",
        "ALTER TABLE t ADD c ENUM('я') CHARACTER SET latin1",
        "ALTER TABLE t ADD c ENUM('😀') CHARACTER SET utf8mb3",
        "ALTER TABLE t ADD c ENUM('中') CHARACTER SET gbk",
        "ALTER TABLE t CONVERT TO CHARACTER SET DEFAULT, ADD c ENUM('ß')",
        "ALTER TABLE t ADD c ENUM(0x61)",
        "ALTER TABLE t ADD c ENUM(_utf8mb4'a')",
        "ALTER TABLE t DROP missing",
        "ALTER TABLE t MODIFY missing INT",
        "ALTER TABLE t RENAME COLUMN missing TO e2",
        "ALTER TABLE t ADD c INT AFTER missing",
        "ALTER TABLE t DROP e SOMEHOW",
        "ALTER TABLE t TRANSMOGRIFY e",
        "ALTER TABLE t ADD c INT DEFAULT 'open",
        "ALTER TABLE t ADD (c INT",
        "CREATE EXTERNAL TABLE t (id INT)",
        "DROP SOMETHING ON `t`",
        "RENAME TABLE t INTO u",
        "RENAME TABLE T AS u",
        "ALTER SOMETHING 't'",
    ] {
        check(t, statement, "?");
    }
    check(t, "ALTER SOMETHING u.v", t);
    check(t, "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", t);
    check("e enum(größe/x)", "ALTER TABLE t CONVERT TO CHARACTER SET latin1", "?");
    let mut found = schema(&[("t", t)]);
    read(None, &NAMING).apply(&mut found, |_| true);
    assert!(found.is_empty(), "a text that cannot be read may mean any table");
    let mut found = schema(&[("t", t)]);
    understood("DROP TABLE t", Modes::default(), &Naming { default_schema: "", ..NAMING }).apply(&mut found, |_| true);
    assert!(found.is_empty(), "a table without a schema may be in any");
}

#[test]
fn tables_are_created_dropped_and_renamed() {
    let (a, b) = ("id i4 | id", "x text");
    for (before, statement, after) in [
        (&[][..], "CREATE TABLE t (id INT PRIMARY KEY, a ENUM('x'), KEY k (a))", &[("t", "id i4, a enum(x) | id")][..]),
        (
            &[],
            "CREATE TABLE o.t (a VARCHAR(5) DEFAULT NULL, id BIGINT, PRIMARY KEY (`id`,`a`(3)), CONSTRAINT c CHECK (a <> ',')) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
            &[("o.t", "a text, id i8 | id, a")],
        ),
        (&[], "CREATE TABLE `t` (`id` int NOT NULL DEFAULT '0') START TRANSACTION", &[("t", "id i4")]),
        (&[], "CREATE TABLE t (id INT KEY) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (1))", &[("t", a)]),
        (
            &[],
            "CREATE TABLE t (my_row_id bigint unsigned NOT NULL AUTO_INCREMENT /*!80023 INVISIBLE */, a INT, PRIMARY KEY (my_row_id))",
            &[("t", "my_row_id i8, a i4 | my_row_id")],
        ),
        (&[], "CREATE TABLE t (id INT) SELECT 1 AS x", &[]),
        (&[], "CREATE TABLE t SELECT 1 AS x", &[]),
        (&[("t", a)], "CREATE TABLE t (x TEXT)", &[("t", b)]),
        (&[("t", a)], "CREATE TABLE u LIKE t", &[("t", a), ("u", a)]),
        (&[("t", a)], "create /* gh-ost */ table `s`.`_t_gho` (like `s`.`t`)", &[("t", a), ("_t_gho", a)]),
        (&[("t", a)], "CREATE TABLE t LIKE unknown", &[]),
        (&[("t", a), ("u", b)], "DROP TABLE IF EXISTS `t`, s.u /* generated by server */", &[]),
        (&[("t", a), ("u", b)], "DROP TABLES t CASCADE", &[("u", b)]),
        (&[("t", a), ("o.u", b)], "DROP DATABASE IF EXISTS `o`", &[("t", a)]),
        (&[("t", a), ("o.u", b)], "DROP SCHEMA o", &[("t", a)]),
        (&[("t", a), ("_t_gho", b)], "RENAME TABLE t TO _t_del, _t_gho TO t", &[("_t_del", a), ("t", b)]),
        (&[("t", a)], "RENAME TABLE `s`.`t` TO `s`.`_t_old`, `s`.`_t_new` TO `s`.`t`", &[("_t_old", a)]),
        (&[("t", a), ("u", b)], "RENAME TABLE t TO x, u TO t, x TO u", &[("t", b), ("u", a)]),
        (&[("t", a)], "ALTER TABLE t RENAME TO o.u", &[("o.u", a)]),
        (&[("t", a)], "ALTER TABLE t RENAME u", &[("u", a)]),
        (&[("t", a)], "ALTER TABLE t RENAME AS u, ADD c INT FIRST", &[("u", "c i4, id i4 | id")]),
        (&[("t", a), ("u", b)], "ALTER TABLE unknown RENAME = t", &[("u", b)]),
        (&[("t", a), ("u", b)], "ALTER TABLE t DROP missing, RENAME TO u", &[]),
    ] {
        let mut found = schema(before);
        apply(&mut found, statement, Modes::default());
        assert_eq!(without_charsets(&found), schema(after), "{statement}");
    }
}

#[test]
fn quotes_and_case_read_as_the_session_and_the_server_say() {
    let mut found = schema(&[("t", "id i4")]);
    apply(&mut found, "ALTER TABLE \"s\".\"t\" RENAME COLUMN \"id\" TO \"a b\"", Modes::of_bits(4));
    assert_eq!(found, {
        let mut expected = schema(&[("t", "id i4")]);
        let column = parse_column("a_b i4");
        let column = Column { name: "a b".into(), ..column };
        let definition = Definition { columns: vec![column], ..Definition::default() };
        expected.insert(TableName::new("s", "t"), definition.into());
        expected
    });
    let mut found = schema(&[("t", "id i4")]);
    let lower = Naming { ignores_case: true, ..NAMING };
    understood("ALTER TABLE S.T ADD Col INT", Modes::default(), &lower).apply(&mut found, |_| true);
    assert_eq!(found, schema(&[("t", "id i4, Col i4")]));
    let mut found = schema(&[("t", "id i4")]);
    apply(&mut found, "ALTER TABLE T ADD c INT", Modes::default());
    assert_eq!(found, schema(&[("t", "id i4")]), "T is another table where case counts");
}

#[test]
fn a_new_table_is_tracked_if_it_is_wanted_and_an_unwanted_one_removes_the_old_one() {
    let mut found = schema(&[("t", "id i4")]);
    understood("CREATE TABLE t (x INT)", Modes::default(), &NAMING).apply(&mut found, |_| false);
    assert!(found.is_empty());
}

#[test]
fn labels_depend_on_the_character_set_that_column_table_or_schema_have() {
    let labels = |schema: &Schema, table: &str| -> Option<Vec<String>> {
        let definition = schema.get(&TableName::new("s", table))?;
        let labels = definition.columns.last()?.family.labels().expect("an ENUM");
        Some(labels.iter().map(|label| label.to_string()).collect())
    };
    for (statements, expected) in [
        (&["CREATE TABLE t (e ENUM('ß ')) DEFAULT CHARSET=utf8mb4"][..], Some("ß")),
        (&["CREATE TABLE t (e ENUM('ß ')) COLLATE latin1_bin"], Some("ß")),
        (&["CREATE TABLE t (e ENUM('a ')) ENGINE=InnoDB, DEFAULT CHARSET=binary"], Some("a ")),
        (&["CREATE TABLE t (e ENUM('a ') CHARACTER SET utf8mb4) DEFAULT CHARSET=binary"], Some("a")),
        (&["CREATE TABLE t (e ENUM('ß ', '中 ')) DEFAULT CHARSET=binary"], Some("ß  中 ")),
        (&["CREATE TABLE t (e ENUM('ß'))"], None),
        (&["CREATE DATABASE s CHARACTER SET utf8mb4", "CREATE TABLE t (e ENUM('ß '))"], Some("ß")),
        (&["CREATE SCHEMA `s` DEFAULT COLLATE = binary", "CREATE TABLE t (e ENUM('a '))"], Some("a ")),
        (&["CREATE DATABASE s CHARACTER SET utf8mb4", "DROP DATABASE s", "CREATE TABLE t (e ENUM('ß'))"], None),
        (&["CREATE DATABASE o CHARACTER SET utf8mb4", "CREATE TABLE t (e ENUM('ß'))"], None),
        (&["CREATE DATABASE IF NOT EXISTS s CHARACTER SET utf8mb4", "CREATE TABLE t (e ENUM('ß'))"], None),
        (&["ALTER DATABASE CHARACTER SET latin1", "CREATE TABLE t (e ENUM('ß'))"], Some("ß")),
        (&["ALTER DATABASE s CHARACTER SET latin1", "CREATE TABLE t (e ENUM('я'))"], None),
        (&["CREATE TABLE t (id INT) CHARSET utf8mb4", "ALTER TABLE t ADD e ENUM('ß ')"], Some("ß")),
        (&["CREATE TABLE t (id INT) CHARSET utf8mb4", "ALTER TABLE t CHARSET latin1, ADD e ENUM('я')"], None),
        (&["CREATE TABLE t (id INT)", "ALTER TABLE t ADD e ENUM('ß'), ENGINE=InnoDB COLLATE=utf8mb4_bin"], Some("ß")),
        (
            &[
                "CREATE TABLE t (id INT)",
                "ALTER TABLE t CONVERT TO CHARACTER SET latin1",
                "ALTER TABLE t ADD e ENUM('ß')",
            ],
            Some("ß"),
        ),
        (
            &["CREATE TABLE t (e ENUM('ß')) CHARSET utf8mb4", "ALTER TABLE t MODIFY e ENUM('ß', 'ü'), ORDER BY e, id"],
            Some("ß ü"),
        ),
        (
            &["CREATE TABLE u (id INT) CHARSET utf8mb4", "CREATE TABLE t LIKE u", "ALTER TABLE t ADD e ENUM('ß')"],
            Some("ß"),
        ),
    ] {
        let mut schema = Schema::default();
        for statement in statements {
            apply(&mut schema, statement, Modes::default());
        }
        assert_eq!(labels(&schema, "t").map(|labels| labels.join(" ")).as_deref(), expected, "{statements:?}");
    }
}
