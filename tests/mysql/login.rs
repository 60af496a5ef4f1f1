//! The account: passwords that are rotated while rowhook runs, refusals in plain words, limits on connections; and a server
//! whose global settings are hostile, leave changes out of the binlog, or keep it for no time.

use std::time::Duration;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(60);

/// A schema of its own with a table, and an account that may follow it.
async fn account(server: &MysqlServer, name: &str) -> String {
    let database = server.fresh_database().await;
    server
        .query(&format!(
            "CREATE TABLE {database}.jobs (id INT PRIMARY KEY);
             CREATE USER {name}@'%' IDENTIFIED BY 'old';
             GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO {name}@'%'"
        ))
        .await;
    database
}

fn home(receiver: &Receiver, database: &str) -> Home {
    let rule =
        format!("table: {database}.jobs\nrules:\n  - name: jobs\n    call: {{url: \"{}\"}}\n", receiver.url("/x"));
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("jobs.yaml", &rule)
}

/// Ends the account's connections, so that it has to log in again.
async fn cut(server: &MysqlServer, name: &str) {
    let ids = format!("SELECT id FROM information_schema.processlist WHERE user = '{name}'");
    let mut root = server.conn().await;
    for id in server.rows::<u64>(&ids).await {
        // It may have ended meanwhile.
        let _ = mysql_async::prelude::Queryable::query_drop(&mut root, format!("KILL {id}")).await;
    }
}

fn run(home: &Home, server: &MysqlServer, extra: &[&str]) -> Program {
    let url = format!("mysql://127.0.0.1:{}", server.port());
    let program = home.start(&[&["run", "--admin", "off", "--mysql", &url], extra].concat());
    program.wait_for_line("reading after", DEADLINE);
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_rotated_is_taken_at_the_next_connect() {
    let server = MysqlServer::shared();
    for (name, source) in [
        ("rotated_file", ["--mysql-password-file", "password"]),
        ("rotated_command", ["--mysql-password-command", "cat password"]),
        ("rotated_shell", ["--mysql-password-command", "sh -c 'cat \"$1\"' sh password"]),
    ] {
        let database = account(server, name).await;
        let receiver = Receiver::start(|_| Answer::ok());
        let home = home(&receiver, &database);
        home.write("password", "old\n");
        let mut program = run(&home, server, &["--mysql-user", name, source[0], source[1]]);
        server.query(&format!("INSERT INTO {database}.jobs VALUES (1)")).await;
        receiver.wait_for_count(1, DEADLINE).await;
        server.query(&format!("ALTER USER {name}@'%' IDENTIFIED BY 'n3w-s3cret'")).await;
        cut(server, name).await;
        program.wait_for_line("refuses the login: user, password or host is wrong", DEADLINE);
        let status = home.run(&["status"]);
        assert!(status.stdout.contains("(failing since 20"), "{}", status.stdout);
        assert!(status.stdout.contains("refuses the login"), "{}", status.stdout);
        home.write("password", "n3w-s3cret\n");
        server.query(&format!("INSERT INTO {database}.jobs VALUES (2)")).await;
        receiver.wait_for_count(2, DEADLINE).await;
        program.terminate();
        program.terminate();
        assert_eq!(program.wait(DEADLINE), 0, "two signals at once are one");
        assert!(!program.lines().iter().any(|line| line.contains("s3cret")), "a password in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_account_is_reported_with_the_reason_and_what_to_do() {
    let server = MysqlServer::shared();
    let receiver = Receiver::start(|_| Answer::ok());
    let database = account(server, "refused").await;
    let home = home(&receiver, &database);
    home.write("password", "old\n");
    let url = format!("mysql://refused@127.0.0.1:{}", server.port());
    for (change, parts) in [
        ("ALTER USER refused@'%' ACCOUNT LOCK", ["the account is locked", "ACCOUNT UNLOCK"]),
        (
            "ALTER USER refused@'%' ACCOUNT UNLOCK PASSWORD EXPIRE",
            ["the password has expired", "IDENTIFIED BY 'a new password'"],
        ),
        ("ALTER USER refused@'%' IDENTIFIED BY 'other'", ["user, password or host is wrong", "SELECT user, host"]),
        (
            "ALTER USER refused@'%' IDENTIFIED BY 'old' WITH MAX_USER_CONNECTIONS 2",
            ["can have 2 connections at a time", "ALTER USER 'refused'@'%' WITH MAX_USER_CONNECTIONS"],
        ),
        (
            "ALTER USER refused@'%' WITH MAX_USER_CONNECTIONS 0; REVOKE REPLICATION SLAVE ON *.* FROM refused@'%'",
            ["lacks REPLICATION SLAVE", "GRANT REPLICATION SLAVE ON *.* TO 'refused'@'%'"],
        ),
    ] {
        server.query(change).await;
        let checked = home.run(&["check", "--mysql", &url, "--mysql-password-file", "password"]);
        for part in parts {
            assert!(checked.stdout.contains(part), "{change}: no {part} in\n{}", checked.stdout);
        }
    }
    for (url, part) in
        [("mysql://u:p/w@h:3306", "%2F"), ("mysql://u:1#w@h", "%23"), ("mysql://u:p?w@h", "--mysql-password-file")]
    {
        let finished = home.run(&["check", "--mysql", url]);
        assert_eq!(finished.code, 2, "{}", finished.stderr);
        assert!(finished.stderr.contains(part) && !finished.stderr.contains("w@h"), "{}", finished.stderr);
    }
    let tls = ["check", "--mysql-password-file", "password", "--mysql", &url, "--tls"];
    let checked = home.run(&[&tls[..], &["verify-ca"]].concat());
    assert!(checked.stdout.contains("self-signed") && checked.stdout.contains("--tls-ca FILE"), "{}", checked.stdout);
    let ca = server.data_dir().join("ca.pem");
    let checked = home.run(&[&tls[..], &["verify-identity", "--tls-ca", &ca.to_string_lossy()]].concat());
    assert!(
        checked.stdout.contains("does not name the host") || checked.stdout.contains("version 3"),
        "{}",
        checked.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_global_settings_change_nothing() {
    let server = MysqlServer::start(&[
        "--sql-mode=ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,STRICT_ALL_TABLES",
        "--character-set-server=latin1",
        "--loose-character-set-client-handshake=OFF",
        "--default-time-zone=+13:00",
        "--transaction-isolation=SERIALIZABLE",
    ]);
    let database = account(&server, "hostile").await;
    server
        .query(
            "SET GLOBAL sql_select_limit = 1; SET GLOBAL max_execution_time = 1; SET GLOBAL max_join_size = 1;
             SET GLOBAL sql_big_selects = OFF; SET GLOBAL max_sort_length = 4; SET GLOBAL sql_safe_updates = ON;
             SET GLOBAL character_set_client = latin1; SET GLOBAL character_set_results = ucs2;
             SET GLOBAL transaction_read_only = ON; SET GLOBAL information_schema_stats_expiry = 0; SET GLOBAL completion_type = 'RELEASE'",
        )
        .await;
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver, &database);
    home.write("password", "old");
    let url = format!("mysql://127.0.0.1:{}", server.port());
    let account = ["--mysql-user", "hostile", "--mysql-password-file", "password"];
    let checked = home.run(&[&["check", "--mysql", &url], &account[..]].concat());
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("the 5 connections"), "{}", checked.stdout);
    let _program = run(&home, &server, &account);
    server
        .query(&format!("SET SESSION transaction_read_only = OFF; INSERT INTO {database}.jobs VALUES (1), (2)"))
        .await;
    receiver.wait_for_count(2, DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_binlog_leaves_out_is_reported_before_reading() {
    let receiver = Receiver::start(|_| Answer::ok());
    for option in ["--binlog-ignore-db=test_1", "--binlog-do-db=elsewhere"] {
        let server = MysqlServer::start(&[option]);
        let database = account(&server, "filtered").await;
        assert_eq!(database, "test_1");
        let home = home(&receiver, &database);
        let url = server.url("filtered", "old");
        let checked = home.run(&["check", "--mysql", &url]);
        assert!(
            checked.code == 1 && checked.stdout.contains("no change of test_1.jobs is in the binlog"),
            "{}",
            checked.stdout
        );
        let ended = home.run(&["run", "--mysql", &url, "--admin", "off"]);
        assert!(
            ended.code == 1 && ended.stderr.contains("no change of test_1.jobs is in the binlog"),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_retention_of_rds_decides_where_there_is_one() {
    let server = MysqlServer::start(&[]);
    let database = account(&server, "on_rds").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver, &database);
    let url = server.url("on_rds", "old");
    server
        .query(
            "CREATE TABLE mysql.rds_configuration (name VARCHAR(100) PRIMARY KEY, value VARCHAR(100), description VARCHAR(300));
             INSERT INTO mysql.rds_configuration VALUES ('binlog retention hours', NULL, '')",
        )
        .await;
    for (value, level, part) in [
        ("NULL", "warning", "purges binlogs at once"),
        ("'0'", "warning", "purges binlogs at once"),
        ("'24'", "warning", "kept for 1.0 days"),
        ("'168'", "ok", "kept for 7.0 days"),
    ] {
        server.query(&format!("UPDATE mysql.rds_configuration SET value = {value}")).await;
        let checked = home.run(&["check", "--mysql", &url]);
        let line = checked.stdout.lines().find(|line| line.contains(part));
        assert!(line.is_some_and(|line| line.starts_with(level)), "{value}:\n{}", checked.stdout);
    }
}
