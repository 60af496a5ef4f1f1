//! `rowhook init` beside a real server: what it writes is sound there, and what can't be done gets one line.

use std::fs;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home};

const TABLES: &str = "
    CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, status ENUM('new', 'paid') NOT NULL, note VARCHAR(20));
    CREATE TABLE order_lines (order_id BIGINT, line INT, `unit price` DECIMAL(10, 2), PRIMARY KEY (order_id, line));
    CREATE TABLE `odd, 'table\"` (`row's \"id\"` INT PRIMARY KEY, `on` INT, `名` TEXT);
    CREATE TABLE log (line TEXT)";

/// A database with these tables, and an account that may follow it.
async fn shop(server: &MysqlServer, user: &str) -> String {
    let database = server.fresh_database().await;
    server.query(&format!("USE {database}; {TABLES}")).await;
    server.query(&format!("CREATE USER {user} IDENTIFIED BY 'hush-hush'")).await;
    server.query(&format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}")).await;
    database
}

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook"))
}

/// The exit code, and one line with these parts.
#[track_caller]
fn refused(finished: &Finished, code: i32, parts: &[&str]) {
    assert_eq!(finished.code, code, "{finished:?}");
    assert!(finished.stderr.starts_with("rowhook: error: ") && finished.stderr.lines().count() == 1, "{finished:?}");
    for part in parts {
        assert!(finished.stderr.contains(part), "no {part:?} in {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("hush-hush"), "{}", finished.stderr);
}

#[tokio::test]
async fn what_init_writes_passes_check_against_the_same_server() {
    let server = MysqlServer::shared();
    let database = shop(server, "init_1").await;
    server.query(&format!("GRANT SELECT ON {database}.* TO init_1")).await;
    let url = server.url("init_1", "hush-hush");
    let home = home();
    let tables = ["orders", "order_lines", "odd, 'table\"", "log"].map(|table| format!("{database}.{table}"));
    let arguments: Vec<&str> = tables.iter().map(String::as_str).collect();
    let made = home.run(&[&["init", "--mysql", &url][..], &arguments].concat());
    assert_eq!((made.code, made.stderr.as_str()), (0, ""), "{made:?}");
    for part in [
        "wrote  rowhook.yaml",
        "wrote  .gitignore",
        "rowhook check",
        "rowhook preview",
        "rowhook run",
        "mysql_password_file",
    ] {
        assert!(made.stdout.contains(part), "no {part:?} in\n{}", made.stdout);
    }
    let rule = fs::read_to_string(home.path(&format!("rules/{database}.orders.yaml"))).expect("a rule file");
    for part in [
        "#   id      bigint unsigned, primary key",
        "#   status  enum('new','paid')",
        "#   note    varchar(20), may be NULL",
    ] {
        assert!(rule.contains(part), "no {part:?} in\n{rule}");
    }
    let settings = fs::read_to_string(home.path("rowhook.yaml")).expect("settings");
    assert!(!format!("{settings}{rule}{}", made.stdout).contains("hush-hush"), "{settings}\n{rule}");
    home.write("password", "hush-hush\n");
    let checked = home.run(&["check", "--mysql-password-file", "password"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.stdout.contains("4 rules in rules") && !checked.stdout.contains("problem  "), "{}", checked.stdout);
    assert_eq!(home.run(&["check", "--offline"]).stdout, "ok       4 rules in rules\nall is well\n");
}

#[tokio::test]
async fn init_writes_over_no_file() {
    let server = MysqlServer::shared();
    let database = shop(server, "init_2").await;
    let home = home();
    let file = format!("made/rules/{database}.orders.yaml");
    fs::create_dir_all(home.path("made/rules")).expect("a folder");
    home.write(&file, "mine\n");
    home.write("made/rowhook.yaml", "rules: rules\n");
    let table = format!("{database}.orders");
    let arguments = ["init", "--mysql", &server.root_url(), "--dir", "made", &table, &format!("{database}.log")];
    let made = home.run(&arguments);
    assert_eq!(made.code, 0, "{made:?}");
    for kept in [
        format!("kept   rules/{table}.yaml: it is there already"),
        "kept   rowhook.yaml: it is there already".to_string(),
    ] {
        assert!(made.stdout.contains(&kept), "no {kept:?} in\n{}", made.stdout);
    }
    assert!(
        made.stdout.contains(&format!("wrote  rules/{database}.log.yaml")) && made.stdout.contains("  cd made\n"),
        "{}",
        made.stdout
    );
    assert_eq!(fs::read_to_string(home.path(&file)).expect("the file"), "mine\n");
    assert_eq!(fs::read_to_string(home.path("made/rowhook.yaml")).expect("the file"), "rules: rules\n");
    let again = home.run(&arguments);
    assert_eq!((again.code, again.stdout.matches("kept ").count()), (0, 4), "{again:?}");
    assert!(made.stdout.contains("placeholder") && !again.stdout.contains("placeholder"), "{again:?}");
}

#[tokio::test]
async fn what_can_not_be_done_gets_one_line_and_writes_nothing() {
    let server = MysqlServer::shared();
    let database = shop(server, "init_3").await;
    let (url, root) = (server.url("init_3", "hush-hush"), server.root_url());
    let home = home();
    let table = format!("{database}.orders");
    refused(&home.run(&["init", "--mysql", &url, &table]), 1, &["sees no table", "fix: GRANT SELECT ON"]);
    server.query(&format!("GRANT SELECT ON {database}.* TO init_3")).await;
    refused(
        &home.run(&["init", "--mysql", &url, &format!("{database}.ordrs")]),
        1,
        &[&format!("did you mean `{table}`?")],
    );
    refused(&home.run(&["init", "--mysql", &url, "orders"]), 1, &[&format!("write {table}")]);
    refused(&home.run(&["init", "--mysql", &url]), 2, &["no table is named", &table, &format!("{database}.log")]);
    refused(&home.run(&["init", &table]), 2, &["--mysql"]);
    refused(
        &home.run(&["init", "--mysql", &url, "--url", "ftp://h/", &table]),
        2,
        &["--url ftp://h/", "use http or https"],
    );
    refused(&home.run(&["init", "--mysql", &server.url("init_3", "hush-hush-not"), &table]), 1, &["refuses the login"]);
    assert!(!home.path("rowhook.yaml").exists() && !home.path(".gitignore").exists(), "nothing is written");
    home.write("file", "");
    refused(&home.run(&["init", "--mysql", &root, "--dir", "file", &table]), 1, &["cannot write file/rules"]);
}
