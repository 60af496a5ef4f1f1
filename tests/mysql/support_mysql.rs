//! The server that the other tests stand on: it starts, dies, comes back and reports errors.

use mysql_async::prelude::Queryable;

use crate::support::mysql::MysqlServer;

#[tokio::test]
async fn a_server_has_binlog_rows_and_gtids_unless_configured_otherwise() {
    let settings = "SELECT @@log_bin, @@binlog_format, @@gtid_mode, @@server_id = @@port, @@port";
    let server = MysqlServer::shared();
    let usual: Vec<(bool, String, String, bool, u16)> = server.rows(settings).await;
    assert_eq!(usual, [(true, "ROW".to_owned(), "ON".to_owned(), true, server.port())]);

    let other = MysqlServer::start(&["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--server-id=77"]);
    let changed: Vec<(String, u32)> = other.rows("SELECT @@gtid_mode, @@server_id").await;
    assert_eq!(changed, [("OFF".to_owned(), 77)]);
    assert_ne!(other.port(), server.port());
}

#[tokio::test]
async fn commits_survive_kill_9_and_a_restart_keeps_port_and_data() {
    let mut server = MysqlServer::start(&[]);
    let port = server.port();
    server
        .query("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2)")
        .await;
    server.kill_9();
    server.restart(&["--binlog-row-metadata=FULL"]);
    assert_eq!(server.rows::<u32>("SELECT id FROM shop.t ORDER BY id").await, [1, 2]);
    assert_eq!(server.rows::<String>("SELECT @@binlog_row_metadata").await, ["FULL"]);

    server.restart(&[]);
    assert_eq!(server.rows::<u32>("SELECT COUNT(*) FROM shop.t").await, [2]);
    assert_eq!(
        (server.rows::<String>("SELECT @@binlog_row_metadata").await, server.port()),
        (vec!["MINIMAL".into()], port)
    );
}

#[tokio::test]
async fn users_connect_by_url_whatever_their_password_holds() {
    let server = MysqlServer::shared();
    server.query("CREATE USER reader IDENTIFIED BY 'p@ss/w:rd'").await;
    let mut conn = mysql_async::Conn::from_url(server.url("reader", "p@ss/w:rd")).await.unwrap();
    let user: Option<String> = conn.query_first("SELECT CURRENT_USER()").await.unwrap();
    assert_eq!(user.as_deref(), Some("reader@%"));
    conn.disconnect().await.unwrap();
}

#[tokio::test]
async fn each_test_gets_a_database_of_its_own() {
    let server = MysqlServer::shared();
    let (one, other) = (server.fresh_database().await, server.fresh_database().await);
    assert_ne!(one, other);
    server.query(&format!("CREATE TABLE {one}.t (id INT); CREATE TABLE {other}.t (id INT)")).await;
}

#[tokio::test]
async fn statements_of_one_query_share_a_session() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("USE {database}; CREATE TABLE t (id INT); INSERT INTO t VALUES (5)")).await;
    assert_eq!(server.rows::<u32>(&format!("SELECT id FROM {database}.t")).await, [5]);
}

#[tokio::test]
#[should_panic(expected = "Table 'mysql.no_such_table' doesn't exist")]
async fn a_statement_that_fails_after_another_is_reported() {
    MysqlServer::shared().query("USE mysql; INSERT INTO no_such_table VALUES (1)").await;
}

#[test]
#[should_panic(expected = "unknown variable 'no-such-option=1'")]
fn a_server_that_does_not_start_says_why() {
    MysqlServer::start(&["--no-such-option=1"]);
}
