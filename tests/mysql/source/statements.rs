//! Statements that were logged as text: what is decided about each one is compared with what it did to the watched tables.
//! A statement that changed their rows always stops the reader; one that did not stops it only where that can't be known.

use super::*;

/// The account sees which triggers a table has.
async fn shop() -> (Mysql, Conn) {
    let server = Mysql::start(&["--log-bin-trust-function-creators=ON"]).await;
    let mut root = server.root().await;
    sql(&mut root, "GRANT TRIGGER ON *.* TO hook@'%'").await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE DATABASE other",
        "CREATE TABLE shop.orders (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE shop.parent (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE shop.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE CASCADE)",
        "CREATE TABLE shop.plain (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE other.t (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE other.u (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE other.triggered (id INT PRIMARY KEY, n INT)",
        "CREATE TRIGGER other.x AFTER INSERT ON other.triggered FOR EACH ROW UPDATE shop.child SET p = 2",
        "CREATE VIEW other.v AS SELECT id, n FROM shop.orders",
        "CREATE FUNCTION shop.f(i INT) RETURNS INT BEGIN UPDATE shop.child SET p = 2; RETURN i; END",
        "CREATE VIEW other.w AS SELECT id, shop.f(id) AS n FROM shop.orders",
        "CREATE PROCEDURE other.p(i INT) BEGIN INSERT INTO shop.orders VALUES (i, i); END",
    ] {
        sql(&mut root, statement).await;
    }
    (server, root)
}

fn follow(server: &Mysql, from: source::From) -> Reader {
    let patterns = ["shop.orders", "shop.child", "test.done"].map(|text| TablePattern::parse(text).expect("a pattern"));
    let metrics = Arc::new(Metrics::default());
    let following = source::follow(server.settings(), from, TablePatterns(patterns.into()), Arc::clone(&metrics));
    Reader { following, position: None, schema: Arc::default(), metrics }
}

async fn fill(root: &mut Conn) {
    // What refers to others goes first.
    sql(root, "DELETE FROM shop.child").await;
    for (table, rows) in [
        ("shop.orders", "VALUES ROW(1, 1), ROW(2, 2)"),
        ("shop.parent", "VALUES ROW(1, 1), ROW(2, 2)"),
        ("shop.child", "VALUES ROW(1, 1), ROW(2, 2)"),
        ("shop.plain", "VALUES ROW(1, 1)"),
        ("other.t", "VALUES ROW(1, 1)"),
        ("other.u", "VALUES ROW(1, 1)"),
        ("other.triggered", "VALUES ROW(9, 9)"),
    ] {
        sql(root, &format!("DELETE FROM {table}")).await;
        sql(root, &format!("INSERT INTO {table} {rows}")).await;
    }
    // The trigger has changed them.
    sql(root, "REPLACE INTO shop.child VALUES (1, 1), (2, 2)").await;
    sql(root, "DROP TABLE IF EXISTS other.copied, shop.copied").await;
}

async fn watched_rows(root: &mut Conn) -> Vec<(String, i64, i64)> {
    let text = "SELECT 'o', id, n FROM shop.orders UNION ALL SELECT 'c', id, p FROM shop.child ORDER BY 1, 2";
    root.query(text).await.expect("rows")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Passes,
    /// It changed watched rows.
    Stops,
    /// It changed none, but that cannot be known.
    StopsToBeSafe,
}

const STATEMENTS: &[(&str, Decision)] = &[
    ("INSERT INTO other.t SELECT id + 10, n FROM shop.orders", Decision::Passes),
    ("REPLACE INTO other.t SELECT id, n FROM shop.orders", Decision::Passes),
    ("INSERT INTO other.t SELECT id, n FROM shop.orders o ON DUPLICATE KEY UPDATE n = o.n + 5", Decision::Passes),
    (
        "INSERT INTO other.t SELECT 50, COALESCE(LOWER(CONV(BIT_XOR(CAST(CRC32(CONCAT_WS('#', id)) AS UNSIGNED)), 10, 16)), 0) IS NULL FROM shop.orders FORCE INDEX (`PRIMARY`)",
        Decision::Passes,
    ),
    ("UPDATE other.t SET n = (SELECT MAX(n) + 7 FROM shop.orders)", Decision::Passes),
    ("DELETE FROM other.t WHERE id IN (SELECT id FROM shop.orders)", Decision::Passes),
    ("WITH c AS (SELECT id FROM shop.orders) DELETE FROM other.t WHERE id IN (SELECT id FROM c)", Decision::Passes),
    ("WITH c AS (SELECT 7 AS k) UPDATE other.t SET n = (SELECT k FROM c)", Decision::Passes),
    ("UPDATE other.t JOIN other.u USING (id) SET t.n = 8, u.n = 9", Decision::Passes),
    ("UPDATE other.t JOIN shop.orders USING (id) SET t.n = orders.n + 30", Decision::Passes),
    ("UPDATE other.t a, shop.orders AS b, other.u c SET a.n = 30, c.n = 31 WHERE a.id = b.id", Decision::Passes),
    ("DELETE other.t FROM other.t JOIN shop.orders USING (id)", Decision::Passes),
    (
        "DELETE FROM other.t, other.u USING other.t JOIN shop.orders USING (id) JOIN other.u USING (id)",
        Decision::Passes,
    ),
    ("UPDATE other.t JOIN shop.plain USING (id) SET t.n = 8, plain.n = 9", Decision::Passes),
    ("DELETE shop.orders FROM shop.orders JOIN other.t USING (id)", Decision::Stops),
    ("DELETE other.t, shop.parent FROM other.t JOIN shop.parent USING (id)", Decision::Stops),
    ("INSERT INTO shop.plain SELECT id + 10, n FROM shop.orders", Decision::Passes),
    ("DELETE FROM shop.plain WHERE id = 1", Decision::Passes),
    ("CREATE TABLE other.copied AS SELECT id, n FROM shop.orders", Decision::Passes),
    ("LOAD DATA INFILE '{file}' INTO TABLE other.t", Decision::Passes),
    ("LOAD DATA INFILE '{file}' INTO TABLE shop.plain (id, @n) SET n = @n + 1", Decision::Passes),
    ("INSERT INTO shop.orders VALUES (3, 3)", Decision::Stops),
    ("UPDATE shop.orders SET n = 9", Decision::Stops),
    ("DELETE FROM shop.orders", Decision::Stops),
    ("INSERT INTO shop.orders SELECT id + 10, n FROM other.t", Decision::Stops),
    ("LOAD DATA INFILE '{file}' INTO TABLE shop.orders", Decision::Stops),
    ("UPDATE other.t, shop.orders SET orders.n = 9 WHERE t.id = orders.id", Decision::Stops),
    ("UPDATE other.t JOIN shop.orders USING (id) SET orders.n = 9", Decision::Stops),
    ("DELETE shop.orders FROM other.t JOIN shop.orders USING (id)", Decision::Stops),
    ("WITH c AS (SELECT 1 AS id) UPDATE shop.orders JOIN c USING (id) SET n = 9", Decision::Stops),
    ("INSERT INTO other.v VALUES (5, 5)", Decision::Stops),
    ("INSERT INTO other.triggered SELECT id, n FROM shop.orders", Decision::Stops),
    ("INSERT INTO other.triggered VALUES (1, 1)", Decision::Stops),
    ("INSERT INTO other.t SELECT 50, shop.f(1)", Decision::Stops),
    ("INSERT INTO other.t SELECT id + 10, n FROM other.w WHERE id = 1", Decision::Stops),
    ("SELECT shop.f(1)", Decision::Stops),
    ("DO shop.f(1)", Decision::Stops),
    ("CALL other.p(7)", Decision::Stops),
    ("DELETE FROM shop.parent WHERE id = 1", Decision::Stops),
    ("REPLACE INTO shop.parent VALUES (1, 9)", Decision::StopsToBeSafe),
    ("CREATE TABLE shop.copied AS SELECT id, n FROM shop.orders", Decision::Passes),
];

#[tokio::test]
async fn what_is_decided_about_a_statement_is_never_less_than_what_it_did() {
    let (server, mut root) = shop().await;
    let file = server.server.data_dir().join("rows.txt");
    std::fs::write(&file, "20\t20\n21\t21\n").expect("a file");
    let mut n = 0;
    for (statement, decision) in STATEMENTS {
        let statement = statement.replace("{file}", &file.display().to_string());
        fill(&mut root).await;
        let before = watched_rows(&mut root).await;
        let mut reader = follow(&server, latest());
        reader.started().await;
        sql(&mut root, "SET SESSION binlog_format = STATEMENT").await;
        sql(&mut root, &statement).await;
        sql(&mut root, "SET SESSION binlog_format = ROW").await;
        n += 1;
        done(&mut root, n).await;
        let is_changed = watched_rows(&mut root).await != before;
        assert_eq!(is_changed, *decision == Decision::Stops, "whether {statement} changes watched rows");
        if *decision != Decision::Passes {
            let error = reader.error().await;
            assert!(matches!(error, Error::Uninterpretable { .. }), "{statement}: {error}");
        } else {
            assert_eq!(reader.until_done(n).await, [], "{statement}");
        }
    }
}

#[tokio::test]
async fn a_trigger_that_is_gone_by_now_still_counts_for_what_was_written_before() {
    let (server, mut root) = shop().await;
    fill(&mut root).await;
    let mut reader = follow(&server, latest());
    let position = reader.started().await;
    drop(reader);
    sql(&mut root, "SET SESSION binlog_format = STATEMENT").await;
    sql(&mut root, "INSERT INTO other.triggered SELECT id, n FROM shop.orders").await;
    sql(&mut root, "SET SESSION binlog_format = ROW").await;
    sql(&mut root, "DROP TRIGGER other.x").await;
    let error = follow(&server, resume(&position)).error().await;
    assert!(error.to_string().contains("other.triggered"), "{error}");
    // From now on there is none.
    let mut reader = follow(&server, latest());
    reader.started().await;
    sql(&mut root, "SET SESSION binlog_format = STATEMENT").await;
    sql(&mut root, "REPLACE INTO other.triggered SELECT id, n FROM shop.orders").await;
    done(&mut root, 1).await;
    let error = reader.error().await;
    assert!(error.to_string().contains("test.done"), "only what is written to a watched table stops: {error}");
}

#[tokio::test]
async fn an_account_that_may_not_see_triggers_gets_an_error_that_names_the_grant() {
    let (server, mut root) = shop().await;
    fill(&mut root).await;
    sql(&mut root, "REVOKE TRIGGER ON *.* FROM hook@'%'").await;
    let mut reader = follow(&server, latest());
    reader.started().await;
    sql(&mut root, "SET SESSION binlog_format = STATEMENT").await;
    sql(&mut root, "INSERT INTO other.u SELECT id + 10, n FROM shop.orders").await;
    let error = reader.error().await;
    assert!(error.to_string().contains("GRANT TRIGGER ON other.u"), "{error}");
}

#[tokio::test]
async fn foreign_keys_that_the_account_may_not_see_count_as_there() {
    let (server, mut root) = shop().await;
    fill(&mut root).await;
    sql(&mut root, "REVOKE SELECT ON *.* FROM hook@'%'").await;
    sql(&mut root, "GRANT SELECT ON test.* TO hook@'%'").await;
    for schema in ["shop", "other"] {
        sql(&mut root, &format!("GRANT SELECT ON {schema}.* TO hook@'%'")).await;
    }
    let mut reader = follow(&server, latest());
    reader.started().await;
    sql(&mut root, "SET SESSION binlog_format = STATEMENT").await;
    sql(&mut root, "INSERT INTO other.t SELECT id + 10, n FROM shop.orders").await;
    sql(&mut root, "SET SESSION binlog_format = ROW").await;
    done(&mut root, 1).await;
    assert_eq!(reader.until_done(1).await, [], "rows that are new are no foreign key's parents yet");
    sql(&mut root, "SET SESSION binlog_format = STATEMENT").await;
    sql(&mut root, "DELETE FROM other.t WHERE id > 10 AND id IN (SELECT id + 10 FROM shop.orders)").await;
    let error = reader.error().await;
    assert!(error.to_string().contains("GRANT SELECT ON *.*"), "{error}");
}

#[tokio::test]
async fn a_temporary_table_is_none_of_the_rules_whatever_its_name() {
    let (server, mut root) = shop().await;
    fill(&mut root).await;
    let mut reader = follow(&server, latest());
    reader.started().await;
    for statement in [
        "SET SESSION binlog_format = STATEMENT",
        "CREATE TEMPORARY TABLE other.made LIKE shop.orders",
        "INSERT INTO other.made SELECT id, n FROM shop.orders",
        "UPDATE other.made SET n = (SELECT MAX(n) FROM shop.orders)",
        "CREATE TEMPORARY TABLE shop.orders (id INT PRIMARY KEY)",
        "TRUNCATE shop.orders",
        "ALTER TABLE shop.orders ADD x INT",
        "DROP TEMPORARY TABLE shop.orders, other.made",
        "SET SESSION binlog_format = ROW",
    ] {
        sql(&mut root, statement).await;
    }
    sql(&mut root, "INSERT INTO shop.orders VALUES (7, 7)").await;
    done(&mut root, 1).await;
    let changes = reader.until_done(1).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].table.columns, ["id".into(), "n".into()]);
}

#[tokio::test]
async fn a_harmless_create_table_never_ends_the_stream() {
    let (server, mut root) = shop().await;
    let mut reader = follow(&server, latest());
    reader.started().await;
    let mut n = 0;
    for (set, mode, statement) in [
        ("utf8mb4", "", &b"CREATE TABLE shop.table (id INT PRIMARY KEY)"[..]),
        (
            "utf8mb4",
            "",
            b"CREATE TABLE shop.booking (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES shop.table (id))",
        ),
        ("utf8mb4", "", b"CREATE TABLE shop .select LIKE shop.table"),
        ("utf8mb4", "", b"CREATE TABLE `shop`.values (id INT, sel$ect INT, `select` INT, v INT COMMENT 'table')"),
        ("utf8mb4", "", b"CREATE TABLE shop.d /*!80000 (id INT COMMENT 'select' /* table */) */"),
        (
            "utf8mb4",
            "NO_BACKSLASH_ESCAPES",
            b"CREATE TABLE shop.n (id INT PRIMARY KEY COMMENT 'c:\\', v INT COMMENT 'select what')",
        ),
        ("utf8mb4", "ANSI_QUOTES", b"CREATE TABLE shop.\"a select\" (\"table\" INT, v INT COMMENT 'values row')"),
        ("utf8mb4", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", b"CREATE TABLE shop.\"b\\\" (\"select\" INT COMMENT '\\')"),
        ("sjis", "", b"CREATE TABLE shop.s (id INT PRIMARY KEY COMMENT '\x95\x5c', v INT COMMENT 'select one')"),
        ("cp932", "", b"CREATE TABLE shop.cp (id INT PRIMARY KEY COMMENT '\x83\x5c', v INT COMMENT 'select one')"),
        ("gbk", "", b"CREATE TABLE shop.g (id INT PRIMARY KEY COMMENT '\xbf\x5c', v INT COMMENT 'select one')"),
        ("gb18030", "", b"CREATE TABLE shop.gb (id INT PRIMARY KEY COMMENT '\xbf\x5c', v INT COMMENT 'select one')"),
        ("big5", "", b"CREATE TABLE shop.b5 (id INT PRIMARY KEY COMMENT '\xa5\x5c', v INT COMMENT 'select one')"),
        ("latin1", "", b"CREATE TABLE\xa0shop.l (id INT COMMENT '\xe9 select')"),
    ] {
        sql(&mut root, &format!("SET NAMES {set}, sql_mode = '{mode}'")).await;
        let shown = String::from_utf8_lossy(statement);
        root.query_drop(statement.to_vec()).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        sql(&mut root, "SET NAMES utf8mb4, sql_mode = ''").await;
        n += 1;
        done(&mut root, n).await;
        assert_eq!(reader.until_done(n).await, [], "{shown}");
    }
}
