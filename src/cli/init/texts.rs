//! The files that `init` writes, and what it says afterwards.
//!
//! In: tables with their columns, a URL, the settings of the connection. Out: texts. A rule that is written here is sound as it
//! stands; what its comments propose is, too. No password is in any of them.

use std::collections::BTreeSet;
use std::path::{Path, absolute};

use anyhow::anyhow;
use clap::ValueEnum as _;
use url::Url;

use crate::cli::output;
use crate::config::{SourceSettings, TlsMode, TlsSettings};
use crate::source::{ListedColumn, ListedTable};

/// No host has a name that ends in `.example` (RFC 2606), so that nothing is sent before a person has put a URL in its place.
const PLACEHOLDER: &str = "https://api.example";

/// Of a rule.
const NAME_CHARACTERS_MAX: usize = 64;

/// Of a type in a comment; an ENUM may have thousands of labels.
const TYPE_CHARACTERS_MAX: usize = 60;

/// Columns that the proposed body names.
const BODY_COLUMNS_MAX: usize = 3;

pub(super) const GITIGNORE: &str = "\
# What rowhook keeps: checkpoints and dead letters, which hold rows.
/data/
# What a repository must not have.
/secrets/
.env
";

/// The name and the text of each table's rule file.
pub(super) fn rules(tables: &[ListedTable], url: Option<&str>, address: &str) -> anyhow::Result<Vec<(String, String)>> {
    let (mut files, mut names) = (BTreeSet::new(), BTreeSet::new());
    tables
        .iter()
        .map(|table| {
            let (schema, name) = (&*table.name.schema, &*table.name.table);
            if [schema, name].iter().any(|part| part.contains(['.', '*'])) {
                return Err(anyhow!("a rule can't name table {}: its name has a `.` or `*` in it", table.name));
            }
            let file = unique(&plain(&format!("{schema}.{name}")), &mut files);
            let rule = unique(&plain(&format!("{schema}-{name}")), &mut names);
            Ok((format!("{file}.yaml"), rule_text(table, &rule, url, address)))
        })
        .collect()
}

/// With other characters than those of a rule's name replaced.
fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    // Room for a number.
    text.chars().map(plain).take(NAME_CHARACTERS_MAX - 4).collect()
}

fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_string()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.unwrap_or_default();
    taken.insert(free.clone());
    free
}

fn rule_text(table: &ListedTable, rule: &str, url: Option<&str>, address: &str) -> String {
    let name = table.name.to_string();
    let shown = output::clean(&name);
    let columns = described(&table.columns);
    let has_key = table.columns.iter().any(|column| column.key_place.is_some());
    let order = match has_key {
        true => String::new(),
        false => "    # The table has no primary key: its changes are sent one after another.\n    order_by: table\n"
            .to_string(),
    };
    let value = table.columns.iter().find(|column| column.key_place.is_none()).or(table.columns.first());
    let changed = value.map_or(String::new(), |column| {
        format!("    # changed: {}    # updates: only those that change this column\n", yaml(&column.name))
    });
    let url_line = match url {
        Some(url) => format!("      url: {}\n", yaml(url)),
        None => format!(
            "      # A placeholder: write the URL of your API.\n      url: {PLACEHOLDER}/{}\n",
            plain(&table.name.table)
        ),
    };
    format!(
        "\
# What is called for changes of {shown}. Its columns, at {address}:
#
{columns}#
# A template has {{{{ row.COLUMN }}}}, the row after a change, and {{{{ old.COLUMN }}}}, the row before it.
# `rowhook preview` shows what this makes of a change, and sends nothing. All keys: docs/rules.md
table: {}
rules:
  - name: {}
    on: [insert, update, delete]
{changed}    # when: op != 'delete'    # only changes of which this is true
{order}    call:
{url_line}      # Without a `body` the whole change is sent: op, key, and the row before and after.
{}",
        yaml(&name),
        yaml(rule),
        proposed_body(&table.columns),
    )
}

/// A comment line for each column.
fn described(columns: &[ListedColumn]) -> String {
    let width = columns.iter().map(|column| output::clean(&column.name).chars().count()).max().unwrap_or(0);
    let is_composite = columns.iter().filter(|column| column.key_place.is_some()).count() > 1;
    let line = |column: &ListedColumn| {
        let mut notes = vec![crate::printable::shortened(&output::clean(&column.sql_type), TYPE_CHARACTERS_MAX)];
        notes.extend(column.key_place.map(|place| match is_composite {
            true => format!("primary key, column {place}"),
            false => "primary key".to_string(),
        }));
        notes.extend(column.is_nullable.then(|| "may be NULL".to_string()));
        format!("#   {:<width$}  {}\n", output::clean(&column.name), notes.join(", "))
    };
    columns.iter().map(line).collect()
}

fn proposed_body(columns: &[ListedColumn]) -> String {
    let mut text = "      # body:\n".to_string();
    for ListedColumn { name, .. } in columns.iter().take(BODY_COLUMNS_MAX) {
        let value = match is_word(name) {
            true => format!("{{{{ row.{name} }}}}"),
            false => format!("{{{{ row[{}] }}}}", quoted(name)),
        };
        text += &format!("      #   {}: {}\n", yaml(name), yaml(&value));
    }
    text
}

/// Whether it is a column's name behind `row.`.
fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// As a text of an expression.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// As a scalar of YAML: as it is where that can be read as nothing else, otherwise in quotes.
fn yaml(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':'))
        && !text.ends_with(':')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&&*text.to_ascii_lowercase());
    if is_plain { text.to_string() } else { serde_json::Value::from(text).to_string() }
}

/// The settings of this connection, but for the password.
pub(super) fn settings(given: &SourceSettings) -> anyhow::Result<String> {
    let mut url = Url::parse(&given.mysql).map_err(|_| anyhow!("--mysql is not a URL"))?;
    // A URL with a host can lose its password.
    let _ = url.set_password(None);
    let mut text = format!(
        "# Settings of rowhook; docs/configuration.md has all. It reads them where it is started.\nmysql: {}\n",
        yaml(url.as_str())
    );
    let mut add = |key: &str, value: &str| text += &format!("{key}: {}\n", yaml(value));
    let path = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string();
    if let Some(user) = &given.mysql_user {
        add("mysql_user", user);
    }
    match (&given.mysql_password_file, &given.mysql_password_command) {
        (Some(file), _) => add("mysql_password_file", &path(file)),
        (None, Some(command)) => add("mysql_password_command", command),
        (None, None) => {}
    }
    let TlsSettings { mode, ca, cert, key, public_key } = &given.tls;
    if *mode != TlsMode::default() {
        let name = mode.to_possible_value().map(|value| value.get_name().to_string());
        add("tls", &name.unwrap_or_default());
    }
    for (name, file) in [("tls_ca", ca), ("tls_cert", cert), ("tls_key", key), ("mysql_public_key", public_key)] {
        if let Some(file) = file {
            add(name, &path(file));
        }
    }
    if let Some(id) = given.server_id {
        text += &format!("server_id: {id}\n");
    }
    if is_password_in_url(given) {
        text += "# The password is not in this file. Name a file with it here, which a repository must not have:\n\
                 # mysql_password_file: secrets/mysql-password\n\
                 # or set ROWHOOK_MYSQL to the URL with the password.\n";
    }
    Ok(text)
}

fn is_password_in_url(given: &SourceSettings) -> bool {
    Url::parse(&given.mysql).is_ok_and(|url| url.password().is_some())
}

/// What to do now.
///
/// `calls_placeholder`: a rule file that calls one was written.
pub(super) fn next_steps(dir: &Path, given: &SourceSettings, first: &ListedTable, calls_placeholder: bool) -> String {
    let mut text = String::new();
    if is_password_in_url(given) {
        text += "\nThe password is not in rowhook.yaml: name a file with it there\n\
                 (mysql_password_file), or set ROWHOOK_MYSQL to the URL with the password.\n";
    }
    if calls_placeholder {
        text += "\nThe rules call a placeholder: write the URL of your API into them.\n";
    }
    text += "\nNext:\n";
    if dir != Path::new(".") {
        text += &format!("  cd {}\n", output::clean(&dir.display().to_string()));
    }
    let key: Vec<&ListedColumn> = first.columns.iter().filter(|column| column.key_place.is_some()).collect();
    let (preview, of) = match key[..] {
        [key] if is_word(&key.name) => {
            (format!("rowhook preview --table {} --row {}=1", first.name, key.name), "a row")
        }
        _ => ("rowhook preview --count 1".to_string(), "the next change"),
    };
    for (what, command) in [
        ("are rules, server and account sound?", "rowhook check"),
        (format!("the request for {of}; sends nothing").as_str(), preview.as_str()),
        ("calls the API from now on", "rowhook run"),
    ] {
        text += &format!("  # {what}\n  {command}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;
    use crate::rules::RuleSet;
    use crate::schema::TableName;

    fn column(name: &str, sql_type: &str, key_place: Option<u64>) -> ListedColumn {
        ListedColumn {
            name: name.to_string(),
            sql_type: sql_type.to_string(),
            is_nullable: key_place.is_none(),
            key_place,
        }
    }

    fn table(name: &str, columns: &[ListedColumn]) -> ListedTable {
        ListedTable { name: TableName::new("shop", name), columns: columns.to_vec() }
    }

    fn tables() -> Vec<ListedTable> {
        vec![
            table("orders", &[column("id", "int", Some(1)), column("status", "enum('new','paid')", None)]),
            table("lines", &[column("order", "int", Some(1)), column("on", "int", Some(2))]),
            table("log", &[column("line\n#\u{1b}", "text", None)]),
            table(
                "a b",
                &[column("row's \"id\"", "int", Some(1)), column("名", "text", None), column("yes", "int", None)],
            ),
            table("a,b", &[column("1st", "int", Some(1))]),
            table(&"long".repeat(16), &[column("id", "int", Some(1))]),
        ]
    }

    /// The rules of these texts, with their problems.
    #[track_caller]
    fn load(texts: &[(String, String)]) -> RuleSet {
        let files: Vec<_> = texts.iter().map(|(name, text)| (name.into(), text.clone())).collect();
        RuleSet::from_texts(&files, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn rules_are_sound_as_they_are_and_with_what_their_comments_propose() {
        for url in [None, Some("https://api.example.com/x?a={{ op }}&b=\"c\"")] {
            let texts = rules(&tables(), url, "db:3306").expect("texts");
            assert_eq!(load(&texts).rules().len(), tables().len());
            let proposed = |text: &String| {
                let open = ["# changed:", "# when:", "# body:", "#   "];
                let line = |line: &str| match open
                    .iter()
                    .find(|open| line.starts_with(' ') && line.trim_start().starts_with(**open))
                {
                    Some(_) => line.replacen("# ", "", 1),
                    None => line.to_string(),
                };
                text.lines().map(line).collect::<Vec<_>>().join("\n")
            };
            let texts: Vec<_> = texts.iter().map(|(name, text)| (name.clone(), proposed(text))).collect();
            let rules = load(&texts);
            assert!(rules.rules().iter().all(|rule| rule.when.is_some() && rule.changed.len() == 1), "{texts:?}");
            assert_eq!(rules.doubts(&Default::default()), []);
        }
    }

    #[test]
    fn files_and_rules_have_names_of_their_own_whatever_the_tables_are_called() {
        let names: Vec<String> =
            rules(&tables(), None, "db:3306").expect("texts").into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names[..5],
            ["shop.orders.yaml", "shop.lines.yaml", "shop.log.yaml", "shop.a_b.yaml", "shop.a_b-2.yaml"]
        );
        let problem = rules(&[table("a.b", &[])], None, "db:3306").expect_err("no pattern for it").to_string();
        assert!(problem.contains("shop.a.b"), "{problem}");
    }

    #[test]
    fn settings_have_all_of_the_connection_but_the_password() {
        let tls = TlsSettings {
            mode: TlsMode::VerifyCa,
            ca: Some("/ca.pem".into()),
            cert: None,
            key: None,
            public_key: None,
        };
        let given = SourceSettings {
            mysql: "mysql://ho%40ok:s3cret@db.example:3307".to_string(),
            mysql_user: None,
            mysql_password_file: None,
            mysql_password_command: None,
            tls,
            server_id: Some(7),
        };
        let text = settings(&given).expect("a text");
        assert!(!text.contains("s3cret") && text.contains("# mysql_password_file: "), "{text}");
        for line in
            ["mysql: \"mysql://ho%40ok@db.example:3307\"", "tls: verify-ca", "tls_ca: \"/ca.pem\"", "server_id: 7"]
        {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        serde_saphyr::from_str::<File>(&text).expect("settings");
        let given =
            SourceSettings { mysql: "mysql://u@h".to_string(), mysql_password_file: Some("/run/pw".into()), ..given };
        let text = settings(&given).expect("a text");
        assert!(
            text.contains("mysql_password_file: \"/run/pw\"\n") && !text.contains("# mysql_password_file"),
            "{text}"
        );
    }
}
