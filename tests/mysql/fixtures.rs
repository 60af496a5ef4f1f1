//! `rowhook test --save-schema` against a real server: the tables of the demo, as the fixtures of the example rules have them.

use std::fs;
use std::path::Path;

use crate::support::mysql::MysqlServer;
use crate::support::program::Home;

#[tokio::test(flavor = "multi_thread")]
async fn the_saved_schema_of_the_demo_is_that_of_the_example_fixtures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a readable file");
    let server = MysqlServer::start(&[]);
    server.query(&read(&root.join("demo/shop.sql"))).await;
    for folder in ["rules", "rules/write-back"] {
        let mut home = Home::new(env!("CARGO_BIN_EXE_rowhook"));
        for entry in fs::read_dir(root.join(folder)).expect("a folder of rules").flatten() {
            if entry.path().is_file() {
                home = home.with_rule(entry.file_name().to_str().expect("a plain name"), &read(&entry.path()));
            }
        }
        let finished = home.run(&["test", "--save-schema", "--mysql", &server.root_url()]);
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{finished:?}");
        assert!(finished.stdout.starts_with("rules/tests/schema.yaml: "), "{}", finished.stdout);
        let committed = read(&root.join(folder).join("tests/schema.yaml"));
        assert_eq!(read(&home.path("rules/tests/schema.yaml")), committed, "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_is_named_and_the_others_are_saved() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    let columns = "a INT NULL, b BINARY(16) NOT NULL, c BIT(3) DEFAULT b'1', d DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3), \
                   `e f` VARCHAR(20) CHARACTER SET latin1 NOT NULL DEFAULT 'it''s', g CHAR(36) DEFAULT (UUID()), \
                   h DECIMAL(9,2) UNSIGNED DEFAULT 1.50, i ENUM('x','y, z')";
    server.query(&format!("USE {database}; CREATE TABLE odd ({columns}, PRIMARY KEY (b, `e f`))")).await;
    let rule = |table: &str| {
        format!("table: {database}.{table}\nrules:\n  - {{name: {table}, call: {{url: \"http://127.0.0.1:1/\"}}}}\n")
    };
    let home =
        Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", &rule("odd")).with_rule("b.yaml", &rule("gone"));
    let finished = home.run(&["test", "--save-schema", "--mysql", &server.root_url()]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains(&format!("{database}.gone")), "{}", finished.stderr);
    let saved = fs::read_to_string(home.path("rules/tests/schema.yaml")).expect("a file");
    let expected = "\
    columns:
      a: int
      b: binary(16) not null
      c: bit(3) default b'1'
      d: datetime(3) default current_timestamp
      e f: varchar(20) not null default 'it''s'
      g: char(36) default (uuid())
      h: decimal(9,2) unsigned default '1.50'
      i: enum('x','y, z')
    primary_key: [b, e f]
";
    assert!(saved.ends_with(expected), "{saved}");
}
