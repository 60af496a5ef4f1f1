//! Column names, labels and keys where the binlog carries none (`binlog_row_metadata=MINIMAL`): every row gets those that
//! its table had when it was written, live, after a restart and from the past; where they cannot be had, reading stops.

mod random;

use mysql_async::prelude::Queryable;
use rowhook::change::Cell;
use rowhook::position::{FileOffset, Resume};
use rowhook::schema::TableName;

use super::*;

async fn minimal() -> (Mysql, Conn) {
    let server = Mysql::start(&["--binlog-row-metadata=MINIMAL"]).await;
    let root = server.root().await;
    (server, root)
}

impl Reader {
    /// Where a restart would go on.
    fn resume(&self) -> source::From {
        let position = self.position.clone().expect("started");
        source::From::Resume(Resume { position, within: Vec::new(), schema: Arc::clone(&self.schema) })
    }
}

/// The row as `name=value` pairs, the key's columns marked.
fn shown(change: &Change) -> String {
    let cells = change.row().expect("a row").cells();
    let columns = change.table.columns.iter().zip(cells.iter()).enumerate().map(|(at, (name, cell))| {
        let mark = if change.table.primary_key.contains(&at) { "*" } else { "" };
        match cell {
            Cell::Value(Value::Int(number)) => format!("{mark}{name}={number}"),
            Cell::Value(Value::Text(text)) => format!("{mark}{name}={text}"),
            Cell::Value(Value::Labels(labels)) => format!("{mark}{name}={}", labels.join("+")),
            Cell::Value(Value::Null) => format!("{mark}{name}=null"),
            other => panic!("{other:?}"),
        }
    });
    format!("{}({})", change.table.name, columns.collect::<Vec<_>>().join(" "))
}

fn all_shown(changes: &[Change]) -> Vec<String> {
    changes.iter().map(shown).collect()
}

/// Runs the statements, and reads what they wrote three times: live; after a restart where the first reader stood before
/// them; and by a reader for every transaction, each with what the one before had stored.
async fn check(prepare: &[&str], statements: &[&str], expected: &[&str]) {
    let (server, mut root) = minimal().await;
    for statement in prepare {
        sql(&mut root, statement).await;
    }
    let mut reader = server.follow(latest());
    reader.started().await;
    done(&mut root, 1).await;
    reader.until_done(1).await;
    let before = reader.resume();
    for statement in statements {
        sql(&mut root, statement).await;
    }
    done(&mut root, 2).await;
    assert_eq!(all_shown(&reader.until_done(2).await), expected, "live, {statements:?}");
    let mut again = server.follow(before.clone());
    assert_eq!(all_shown(&again.until_done(2).await), expected, "after a restart, {statements:?}");
    let mut stepwise = Vec::new();
    let mut from = before;
    while stepwise.len() < expected.len() {
        let mut reader = server.follow(from.clone());
        reader.started().await;
        loop {
            match reader.next().await.expect("no error") {
                SourceEvent::Rows(rows) => stepwise.extend(all_shown(&taken(rows))),
                SourceEvent::Committed(_) => break,
                _ => {}
            }
        }
        from = reader.resume();
    }
    assert_eq!(stepwise, expected, "a reader for each transaction, {statements:?}");
}

#[tokio::test]
async fn rows_keep_the_names_they_had_when_they_were_written() {
    let create = "CREATE TABLE test.p (id INT PRIMARY KEY, first_name VARCHAR(20), last_name VARCHAR(20), st ENUM('new','paid','void'))";
    check(
        &[create],
        &[
            "INSERT INTO test.p VALUES (1, 'Ann', 'Lee', 'paid')",
            "ALTER TABLE test.p MODIFY last_name VARCHAR(20) AFTER id",
            "INSERT INTO test.p VALUES (2, 'Lee', 'Bob', 'paid')",
            "ALTER TABLE test.p MODIFY st ENUM('void','new','paid')",
            "INSERT INTO test.p VALUES (3, 'Lee', 'Cid', 'new')",
            "ALTER TABLE test.p RENAME COLUMN first_name TO last_name, RENAME COLUMN last_name TO first_name",
            "INSERT INTO test.p VALUES (4, 'Dan', 'Lee', 'new')",
            "USE test",
            "SET sql_mode = 'ANSI_QUOTES'",
            "DELETE FROM p",
            "ALTER TABLE \"p\" CHANGE \"first_name\" \"fi\"\"rst\" VARCHAR(30) AFTER last_name, DROP st, DROP PRIMARY KEY, ADD PRIMARY KEY (last_name)",
            "INSERT INTO p VALUES (5, 'Lee', 'Eve')",
        ],
        &[
            "p(*id=1 first_name=Ann last_name=Lee st=paid)",
            "p(*id=2 last_name=Lee first_name=Bob st=paid)",
            "p(*id=3 last_name=Lee first_name=Cid st=new)",
            "p(*id=4 first_name=Dan last_name=Lee st=new)",
            "p(*id=1 first_name=Lee last_name=Ann st=paid)",
            "p(*id=2 first_name=Lee last_name=Bob st=paid)",
            "p(*id=3 first_name=Lee last_name=Cid st=new)",
            "p(*id=4 first_name=Dan last_name=Lee st=new)",
            "p(id=5 *last_name=Lee fi\"rst=Eve)",
        ],
    )
    .await;
}

#[tokio::test]
async fn migrations_in_one_go_with_labels_of_any_language_are_followed() {
    check(
        &[
            "ALTER DATABASE test CHARACTER SET utf8mb4",
            "CREATE TABLE test.o (id INT PRIMARY KEY, e ENUM('groß', 'klein'))",
            "CREATE TABLE test.l (id INT PRIMARY KEY, e ENUM('é ', 'b') CHARACTER SET latin1) DEFAULT CHARSET=cp1251",
            "CREATE TABLE test.w (id INT PRIMARY KEY, e ENUM('a ', 'b')) DEFAULT CHARSET=binary",
        ],
        &[
            "ALTER TABLE test.o MODIFY e ENUM('groß', 'klein', 'mittel')",
            "INSERT INTO test.o VALUES (1, 'groß')",
            "ALTER TABLE test.o ADD c INT, ORDER BY e, id",
            "INSERT INTO test.o VALUES (2, 'klein', 1)",
            "ALTER TABLE test.o ALGORITHM=COPY, LOCK=SHARED, ADD s SET('中', '😀  ') COMMENT 'ä'",
            "INSERT INTO test.o VALUES (3, 'mittel', 1, '😀')",
            "ALTER TABLE test.o CHARSET latin1, ADD d ENUM('é')",
            "INSERT INTO test.o VALUES (4, 'groß', 1, '中,😀', 'é')",
            "ALTER TABLE test.o DROP COLUMN c",
            "ALTER TABLE test.l ADD f ENUM('Да', 'нет')",
            "INSERT INTO test.l VALUES (1, 'é', 'Да')",
            "ALTER TABLE test.l MODIFY f SET('Да', 'нет') FIRST",
            "INSERT INTO test.l VALUES ('Да,нет', 2, 'b')",
            "ALTER TABLE test.w MODIFY e ENUM('a ', 'b', 'c  ', 'ß ')",
            "INSERT INTO test.w VALUES (1, 1), (2, 3), (3, 4)",
            "ALTER TABLE test.w ADD d SET('中', 'é') CHARACTER SET binary",
            "INSERT INTO test.w VALUES (4, 4, 3)",
            "CREATE TABLE test.n (id INT PRIMARY KEY, e ENUM('ü ', 'b'))",
            "INSERT INTO test.n VALUES (1, 1)",
            "ALTER TABLE test.n MODIFY e ENUM('b', 'ü', 'ö') DEFAULT 'ö'",
            "INSERT INTO test.n (id) VALUES (2)",
        ],
        &[
            "o(*id=1 e=groß)",
            "o(*id=2 e=klein c=1)",
            "o(*id=3 e=mittel c=1 s=😀)",
            "o(*id=4 e=groß c=1 s=中+😀 d=é)",
            "l(*id=1 e=é f=Да)",
            "l(f=Да+нет *id=2 e=b)",
            "w(*id=1 e=a )",
            "w(*id=2 e=c  )",
            "w(*id=3 e=ß )",
            "w(*id=4 e=ß  d=中+é)",
            "n(*id=1 e=ü)",
            "n(*id=2 e=ö)",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_dropped_table_lends_nothing_to_the_one_that_is_made_after_it() {
    check(
        &["CREATE TABLE test.a (id INT PRIMARY KEY, x INT)"],
        &[
            "INSERT INTO test.a VALUES (1, 2)",
            "DROP TABLE test.a",
            "CREATE TABLE test.a (y INT, id INT PRIMARY KEY)",
            "INSERT INTO test.a VALUES (3, 4)",
            "CREATE TABLE IF NOT EXISTS test.a (other INT, columns INT)",
            "INSERT INTO test.a VALUES (5, 6)",
            "DROP DATABASE test",
            "CREATE DATABASE test",
            "CREATE TABLE test.done (n INT PRIMARY KEY)",
            "CREATE TABLE test.a (p INT, q INT)",
            "INSERT INTO test.a VALUES (7, 8)",
            "CREATE TABLE test.b LIKE test.a",
            "INSERT INTO test.b VALUES (9, 9)",
            "CREATE TABLE test.c (KEY (z)) AS SELECT 1 AS z, 'x' AS s",
            "TRUNCATE TABLE test.c",
            "INSERT INTO test.c VALUES (1, 'y')",
        ],
        &["a(*id=1 x=2)", "a(y=3 *id=4)", "a(y=5 *id=6)", "a(p=7 q=8)", "b(p=9 q=9)", "c(z=1 s=x)", "c(z=1 s=y)"],
    )
    .await;
}

#[tokio::test]
async fn tables_that_online_schema_change_tools_swap_bring_their_names_along() {
    check(
        &["CREATE TABLE test.o (id INT PRIMARY KEY, a INT, b INT)"],
        &[
            "INSERT INTO test.o VALUES (1, 2, 3)",
            // As gh-ost does it.
            "create /* gh-ost */ table `test`.`_o_gho` like `test`.`o`",
            "alter /* gh-ost */ table `test`.`_o_gho` MODIFY b INT AFTER id",
            "INSERT INTO test._o_gho (id, a, b) SELECT id, a, b FROM test.o",
            "INSERT INTO test.o VALUES (2, 2, 3)",
            "rename /* gh-ost */ table `test`.`o` to `test`.`_o_del`, `test`.`_o_gho` to `test`.`o`",
            "drop /* gh-ost */ table if exists `test`.`_o_del`",
            "INSERT INTO test.o VALUES (3, 3, 2)",
            // As pt-online-schema-change does it.
            "CREATE TABLE `test`.`_o_new` (`id` int NOT NULL, `b` int DEFAULT NULL, `a` int DEFAULT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB",
            "ALTER TABLE `test`.`_o_new` RENAME COLUMN a TO d",
            "RENAME TABLE `test`.`o` TO `test`.`_o_old`, `test`.`_o_new` TO `test`.`o`",
            "DROP TABLE IF EXISTS `test`.`_o_old`",
            "INSERT INTO test.o VALUES (4, 3, 2)",
        ],
        &["o(*id=1 a=2 b=3)", "o(*id=2 a=2 b=3)", "o(*id=3 b=3 a=2)", "o(*id=4 b=3 d=2)"],
    )
    .await;
}

#[tokio::test]
async fn names_that_were_changed_before_they_were_known_stop_the_reader_instead_of_being_wrong() {
    let (server, mut root) = minimal().await;
    for (number, alter) in [
        "ALTER TABLE test.a RENAME COLUMN x TO y, RENAME COLUMN y TO x",
        "ALTER TABLE test.a MODIFY y INT AFTER id",
        "ALTER TABLE test.a MODIFY e ENUM('q','p')",
        "RENAME TABLE test.a TO test.z, test.b TO test.a",
        "ALTER TABLE test.a CHANGE x w INT",
        "ALTER TABLE test.a DROP PRIMARY KEY, ADD PRIMARY KEY (x)",
    ]
    .into_iter()
    .enumerate()
    {
        let number = number as i64;
        let mut reader = server.follow(latest());
        let start = reader.started().await;
        for table in ["a", "b"] {
            let columns = if table == "a" { "x INT, y INT" } else { "y INT, x INT" };
            let create = format!("CREATE TABLE test.{table} (id INT PRIMARY KEY, {columns}, e ENUM('p','q'))");
            sql(&mut root, &create).await;
        }
        done(&mut root, 2 * number).await;
        reader.until_done(2 * number).await;
        let before = reader.position.clone().expect("a position");
        let stored = reader.resume();
        sql(&mut root, "INSERT INTO test.a VALUES (1, 2, 3, 'p')").await;
        sql(&mut root, alter).await;
        let place = end_of_log(&mut root).await;
        sql(&mut root, "INSERT INTO test.a VALUES (4, 5, 6, 'q')").await;
        done(&mut root, 2 * number + 1).await;
        // With what was stored nothing is in doubt; nor from before the table was made.
        for from in [stored, resume(&start)] {
            let changes = server.follow(from).until_done(2 * number + 1).await;
            assert_eq!(shown(&changes[0]), "a(*id=1 x=2 y=3 e=p)", "{alter}");
        }
        // Without it there is nothing to take the names from.
        let error = server.follow(resume(&before)).error().await;
        let text = error.to_string();
        assert!(matches!(error, Error::Uninterpretable { .. }), "{alter}: {text}");
        for part in ["table test.a", &format!("position set --to {place}"), "binlog_row_metadata = 'FULL'"] {
            assert!(text.contains(part), "{alter}: {text} lacks {part}");
        }
        // The place that the message names is one to begin at.
        let (file, offset) = place.split_once(':').expect("file:offset");
        let at = FileOffset { file: file.into(), offset: offset.parse().expect("an offset") };
        let changes = server.follow(source::From::Start(Start::At(at))).until_done(2 * number + 1).await;
        assert_eq!(changes.len(), 1, "{alter}");
        sql(&mut root, "DROP TABLE IF EXISTS test.a, test.b, test.z").await;
    }
}

async fn end_of_log(root: &mut Conn) -> String {
    let row: mysql_async::Row = root.query_first("SHOW BINARY LOG STATUS").await.expect("status").expect("a row");
    format!("{}:{}", row.get::<String, _>(0).expect("file"), row.get::<u64, _>(1).expect("offset"))
}

#[tokio::test]
async fn statements_on_other_tables_and_on_no_columns_do_not_stop_a_start_in_the_past() {
    let (server, mut root) = minimal().await;
    sql(&mut root, "CREATE TABLE test.a (id INT PRIMARY KEY, x INT)").await;
    sql(&mut root, "CREATE TABLE test.b (id INT PRIMARY KEY, x INT)").await;
    let mut reader = server.follow(latest());
    let start = reader.started().await;
    for (n, statement) in [
        "ALTER TABLE test.b RENAME COLUMN x TO y",
        "ALTER TABLE test.a ENGINE=InnoDB",
        "ALTER TABLE test.a ADD INDEX i (x), COMMENT='RENAME COLUMN x TO y'",
        "CREATE VIEW test.v AS SELECT * FROM test.a",
        "CREATE TABLE IF NOT EXISTS test.a (other INT)",
        "TRUNCATE TABLE test.a",
        "CREATE TRIGGER test.tr BEFORE INSERT ON test.a FOR EACH ROW SET NEW.x = NEW.x + 1",
        "FLUSH BINARY LOGS",
        "ANALYZE TABLE test.a",
    ]
    .into_iter()
    .enumerate()
    {
        sql(&mut root, &format!("INSERT INTO test.a VALUES ({n} + 100, 0)")).await;
        sql(&mut root, statement).await;
    }
    done(&mut root, 1).await;
    let changes = server.follow(resume(&start)).until_done(1).await;
    assert_eq!(changes.len(), 9);
    assert!(changes.iter().all(|change| change.table.columns == ["id".into(), "x".into()]));
}

#[tokio::test]
async fn a_definition_changed_outside_the_binlog_is_noticed_by_its_types_and_read_again() {
    let (server, mut root) = minimal().await;
    sql(&mut root, "CREATE TABLE test.a (id INT PRIMARY KEY, x INT)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    sql(&mut root, "INSERT INTO test.a VALUES (1, 2)").await;
    sql(&mut root, "SET sql_log_bin = 0; ALTER TABLE test.a ADD s VARCHAR(9) FIRST; SET sql_log_bin = 1").await;
    sql(&mut root, "INSERT INTO test.a VALUES ('s', 3, 4)").await;
    done(&mut root, 1).await;
    assert_eq!(all_shown(&reader.until_done(1).await), ["a(*id=1 x=2)", "a(s=s *id=3 x=4)"]);
    // A statement that is not understood makes the definition be read again, too; nothing has changed since.
    sql(&mut root, "ALTER TABLE test.a ADD e ENUM('größe', 'b\\\\c', 'it''s') AFTER s").await;
    sql(&mut root, "INSERT INTO test.a VALUES ('t', 'größe', 5, 6), ('u', 'b\\\\c', 6, 7), ('v', 'it''s', 7, 8)").await;
    done(&mut root, 2).await;
    let rows = ["a(s=t e=größe *id=5 x=6)", "a(s=u e=b\\c *id=6 x=7)", "a(s=v e=it's *id=7 x=8)"];
    assert_eq!(all_shown(&reader.until_done(2).await), rows);
}

#[tokio::test]
async fn full_and_minimal_metadata_may_alternate() {
    let (server, mut root) = minimal().await;
    sql(&mut root, "CREATE TABLE test.a (id INT PRIMARY KEY, x ENUM('p','q'))").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    for (n, metadata) in ["MINIMAL", "FULL", "MINIMAL", "FULL"].into_iter().enumerate() {
        sql(&mut root, &format!("SET GLOBAL binlog_row_metadata = {metadata}")).await;
        sql(
            &mut root,
            &format!("ALTER TABLE test.a MODIFY x ENUM('p','q') {}", if n % 2 == 0 { "FIRST" } else { "AFTER id" }),
        )
        .await;
        sql(&mut root, &format!("INSERT INTO test.a (id, x) VALUES ({n}, 'q')")).await;
    }
    done(&mut root, 1).await;
    let expected = ["a(x=q *id=0)", "a(*id=1 x=q)", "a(x=q *id=2)", "a(*id=3 x=q)"];
    assert_eq!(all_shown(&reader.until_done(1).await), expected);
    let known = reader.schema.get(&TableName::new("test", "a")).expect("known");
    assert_eq!(known.columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["id", "x"]);
}

#[tokio::test]
async fn tables_are_known_from_the_start_on_and_generated_keys_among_their_columns() {
    let (server, mut root) = minimal().await;
    sql(&mut root, "SET sql_generate_invisible_primary_key = ON").await;
    sql(&mut root, "CREATE TABLE test.a (x INT)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    let known = reader.schema.get(&TableName::new("test", "a")).expect("known before any row").clone();
    assert_eq!(known.columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["my_row_id", "x"]);
    assert_eq!(known.primary_key, [0]);
    sql(&mut root, "CREATE TABLE test.b (y INT)").await;
    done(&mut root, 0).await;
    reader.until_done(0).await;
    let tracked = reader.schema.get(&TableName::new("test", "b")).expect("known by its statement").clone();
    assert_eq!(tracked.columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["my_row_id", "y"]);
    sql(&mut root, "INSERT INTO test.b VALUES (7)").await;
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    assert_eq!(changes[0].table.columns, ["my_row_id".into(), "y".into()]);
    assert_eq!(changes[0].table.primary_key, [0]);
}

#[tokio::test]
async fn names_are_read_in_the_character_set_of_the_session_that_gave_them() {
    let (server, mut root) = minimal().await;
    sql(&mut root, "CREATE TABLE test.a (id INT PRIMARY KEY, x INT)").await;
    let mut reader = server.follow(latest());
    reader.started().await;
    sql(&mut root, "SET NAMES latin1").await;
    root.query_drop(&b"ALTER TABLE test.a RENAME COLUMN x TO gr\xf6\xdfe, COMMENT 'it''s \xe9'"[..])
        .await
        .expect("renamed");
    sql(&mut root, "INSERT INTO test.a VALUES (1, 2)").await;
    sql(&mut root, "SET NAMES utf8mb4").await;
    root.query_drop(&b"ALTER TABLE test.a RENAME COLUMN GR\xc3\x96\xc3\x9fE TO x, ALGORITHM=INSTANT"[..])
        .await
        .expect("renamed");
    sql(&mut root, "INSERT INTO test.a VALUES (2, 3)").await;
    done(&mut root, 1).await;
    assert_eq!(all_shown(&reader.until_done(1).await), ["a(*id=1 größe=2)", "a(*id=2 x=3)"]);
}
