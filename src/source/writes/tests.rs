//! Statements and the table that each one writes to, and those that may write to more.

use super::*;
use crate::column::charset::Charset;
use crate::source::lexer::{Modes, tokens};

fn written(text: &str) -> Result<TableWrite, String> {
    let naming = Naming { default_schema: "s", ignores_case: false };
    TableWrite::of(&tokens(text.as_bytes(), Charset::Utf8, Modes::default()).expect("tokens"), &naming)
}

#[test]
fn the_table_that_is_written_to_is_the_target_and_not_what_is_read() {
    for (text, table, changes_rows) in [
        ("INSERT INTO o.t SELECT * FROM s.orders", "o.t", false),
        ("insert low_priority ignore `o`.`t` (a, b) values (1, 2), (3, concat('a', now()))", "o.t", false),
        ("INSERT INTO t SET a = 1", "s.t", false),
        ("INSERT INTO o.t WITH c (id, n) AS (SELECT id, n FROM s.orders) SELECT * FROM c", "o.t", false),
        ("WITH RECURSIVE c (id) AS (SELECT 1) UPDATE o.t SET a = 1", "o.t", true),
        ("INSERT INTO o.t SELECT a FROM (SELECT id, n FROM s.orders) d (a, b) WHERE 1 MEMBER OF ('[1]')", "o.t", false),
        (
            "INSERT INTO o.t SELECT VECTOR_DIM(STRING_TO_VECTOR('[1]')), ST_NumPoints(ST_LineFromText('x'))",
            "o.t",
            false,
        ),
        ("INSERT INTO o.t (a) SELECT id FROM s.orders ON DUPLICATE KEY UPDATE a = a + 1", "o.t", true),
        ("INSERT INTO o.t VALUES (1) AS new ON DUPLICATE KEY UPDATE a = new.a", "o.t", true),
        ("REPLACE INTO percona.checksums SELECT 's', 'orders', COUNT(*) FROM s.orders", "percona.checksums", true),
        (
            "REPLACE INTO `percona`.`checksums` (db, tbl, chunk, this_cnt, this_crc) SELECT 's', 'orders', '1', COUNT(*) AS cnt, \
             COALESCE(LOWER(CONV(BIT_XOR(CAST(CRC32(CONCAT_WS('#', `id`, `n`, CONCAT(ISNULL(`n`)))) AS UNSIGNED)), 10, 16)), 0) AS crc \
             FROM `s`.`orders` FORCE INDEX(`PRIMARY`) WHERE ((`id` >= '1')) AND ((`id` <= '9')) /*checksum chunk*/",
            "percona.checksums",
            true,
        ),
        ("UPDATE o.t SET a = (SELECT MAX(n) FROM s.orders) WHERE id IN (1, 2)", "o.t", true),
        ("UPDATE LOW_PRIORITY IGNORE o.t AS x SET x.a = 1", "o.t", true),
        ("UPDATE o.t x SET a = 1", "o.t", true),
        ("DELETE FROM o.t", "o.t", true),
        ("DELETE QUICK FROM o.t AS x WHERE x.id = (SELECT 1 FROM s.orders)", "o.t", true),
        ("DELETE FROM o.t PARTITION (p0) WHERE a = 1 ORDER BY a LIMIT 1", "o.t", true),
        ("WITH c AS (SELECT id FROM s.orders) DELETE FROM o.t WHERE id IN (SELECT id FROM c)", "o.t", true),
        ("WITH c AS (SELECT 1) UPDATE o.t SET a = 2", "o.t", true),
        (
            "LOAD DATA LOCAL INFILE '/tmp/x' INTO TABLE `l` FIELDS TERMINATED BY '\\t' (`a`, @b) SET `c` = upper(@b)",
            "s.l",
            true,
        ),
        ("LOAD DATA INFILE 'x' REPLACE INTO TABLE o.l", "o.l", true),
        ("CREATE TABLE o.t (a INT(11), KEY k (a)) ENGINE=InnoDB SELECT id AS a FROM s.orders", "o.t", false),
        ("CREATE TABLE IF NOT EXISTS o.table AS SELECT 1", "o.table", false),
    ] {
        let write = written(text).expect(text);
        let [written] = &write.tables[..] else { panic!("{text}: {write:?}") };
        assert_eq!((written.to_string(), write.changes_rows), (table.to_string(), changes_rows), "{text}");
    }
}

#[test]
fn of_several_tables_those_are_written_to_that_are_set_or_removed_from() {
    for (text, tables) in [
        ("UPDATE o.t, s.orders SET o.t.a = 1", "o.t"),
        ("UPDATE o.t JOIN s.orders USING (id) SET t.n = orders.n", "o.t"),
        (
            "UPDATE o.t AS x LEFT JOIN orders AS y ON x.id = y.id SET y.n = x.n, y.m = 1 WHERE x.n IN (1, 2)",
            "s.orders s.orders",
        ),
        ("UPDATE o.t x, s.orders T, o.u X SET x.n = 1", "o.t o.u"),
        ("UPDATE o.t STRAIGHT_JOIN s.orders SET n = 1", "o.t s.orders"),
        ("UPDATE o.t PARTITION (p0) x, s.orders SET x.n := 1, orders.n = 2", "o.t s.orders"),
        ("UPDATE (SELECT 1 AS id) AS d, o.t SET t.n = d.id ORDER BY 1", "o.t"),
        (
            "UPDATE LOW_PRIORITY (o.t JOIN (s.orders, o.u) ON t.id IN (orders.id, u.id)) SET u.n = CONCAT('a', t.n)",
            "o.u",
        ),
        (
            "UPDATE o.t FORCE INDEX FOR JOIN (PRIMARY, k) JOIN s.orders USE INDEX (a, b) USING (id, n) SET t.n = 1",
            "o.t",
        ),
        ("UPDATE o.t, JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$')) AS j SET t.n = j.a", "o.t"),
        ("UPDATE o.t, LATERAL (SELECT t.id) AS l SET t.n = 1", "o.t"),
        ("WITH c AS (SELECT 1 AS id) UPDATE s.orders JOIN c USING (id) SET n = 1", "s.orders s.c"),
        ("WITH c AS (SELECT 1 AS id) UPDATE o.t JOIN c USING (id) SET t.n = 1", "o.t"),
        ("DELETE o.t, s.orders FROM o.t JOIN s.orders USING (id)", "o.t s.orders"),
        ("DELETE QUICK x FROM o.t AS x JOIN s.orders USING (id) WHERE x.id = 1", "o.t"),
        ("DELETE t.* FROM o.t JOIN s.orders USING (id)", "o.t"),
        ("DELETE FROM o.t, s.orders USING o.t JOIN s.orders", "o.t s.orders"),
        ("DELETE FROM x USING o.t AS x JOIN s.orders AS y WHERE y.id = x.id", "o.t"),
        ("DELETE FROM o.t.* USING o.t JOIN s.orders", "o.t"),
        ("DELETE o.t FROM o.t", "o.t"),
    ] {
        let write = written(text).expect(text);
        let names: Vec<String> = write.tables.iter().map(ToString::to_string).collect();
        assert_eq!((names.join(" "), write.changes_rows), (tables.to_string(), true), "{text}");
    }
}

#[test]
fn without_a_default_schema_a_name_alone_is_a_common_table() {
    let naming = Naming { default_schema: "", ignores_case: false };
    let written = |text: &str| {
        TableWrite::of(&tokens(text.as_bytes(), Charset::Utf8, Modes::default()).expect("tokens"), &naming)
    };
    let write =
        written("WITH c AS (SELECT 1 AS id) UPDATE o.t JOIN c USING (id) SET t.n = 1, o.t.m = 2").expect("known");
    assert_eq!(write.tables, [TableName::new("o", "t"), TableName::new("o", "t")]);
    for text in
        ["WITH c AS (SELECT 1 AS id) UPDATE o.t JOIN c USING (id) SET n = 1", "DELETE c FROM o.t JOIN c USING (id)"]
    {
        assert!(written(text).is_err(), "{text}");
    }
}

#[test]
fn a_statement_that_may_write_to_more_tables_than_it_names_is_refused() {
    for text in [
        "UPDATE o.t JOIN s.orders ON f(t.id) = orders.id SET t.n = 1",
        "UPDATE (o.t JOIN s.orders ON f(t.id) = orders.id) SET t.n = 1",
        "UPDATE o.t, s.orders SET x.n = 1",
        "UPDATE { OJ o.t LEFT JOIN s.orders USING (id) } SET t.n = 1",
        "UPDATE o.t JOIN SET n = 1",
        "UPDATE o.t, SET n = 1",
        "UPDATE o.t, s.orders n = 1",
        "DELETE x FROM o.t JOIN s.orders USING (id)",
        "DELETE o.t WHERE a = 1",
        "INSERT INTO o.t SELECT my_function(id) FROM s.orders",
        "INSERT INTO o.t SELECT s.my_function(id) FROM s.orders",
        "INSERT INTO o.t SELECT `count`(id) FROM s.orders",
        "INSERT INTO o.t VALUES (f (1))",
        "WITH c (id) AS (SELECT f(1)) UPDATE o.t SET a = 1",
        "INSERT INTO o.t SELECT a FROM (SELECT 1) d (a) WHERE f(a)",
        "INSERT INTO o.t (a) VALUES (s.f())",
        "WITH c AS (SELECT f() AS id) DELETE FROM o.t WHERE id IN (SELECT id FROM c)",
        "DELETE FROM o.t WHERE f()",
        "LOAD DATA INFILE 'x' INTO TABLE o.l (a) SET b = f(a)",
        "SELECT `s`.`f`()",
        "SELECT 1",
        "DO f()",
        "CALL p()",
        "(SELECT 1)",
        "WITH c AS (SELECT 1) SELECT f()",
        "TABLE t",
        "INSERT",
        "",
    ] {
        assert!(written(text).is_err(), "{text}: {:?}", written(text));
    }
}

#[test]
fn statements_that_drop_a_trigger_view_or_foreign_key_are_recognized() {
    let table = TableName::new("o", "T");
    for (text, expected) in [
        ("DROP TRIGGER s.x", Some(true)),
        ("DROP DATABASE s", Some(true)),
        ("ALTER TABLE s.child DROP FOREIGN KEY f", Some(true)),
        ("ALTER TABLE s.child DROP CONSTRAINT f, ADD c INT", Some(true)),
        ("ALTER TABLE o.t RENAME TO o.u", Some(true)),
        ("DROP TABLE o.t, u", Some(true)),
        ("RENAME TABLE u TO t", Some(true)),
        ("DROP VIEW IF EXISTS o.`t`", Some(true)),
        ("DROP TABLE u", Some(false)),
        ("ALTER TABLE o.t ADD c INT", None),
        ("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1", None),
        ("DROP USER t", None),
    ] {
        let tokens = tokens(text.as_bytes(), Charset::Utf8, Modes::default()).expect("tokens");
        assert_eq!(Hidden::of(&tokens).map(|hidden| hidden.concerns(&table)), expected, "{text}");
    }
}
