//! Findings about the source for `rowhook check`; the tables that rules name are for `named`.
//!
//! In: [`Settings`]. Out: one [`Finding`] for each prerequisite, the bad ones with the exact SQL that fixes them. Opens
//! connections of its own and changes nothing on the server.

use std::time::Duration;

use crate::pattern::TablePatterns;
use crate::position::Retention;

use super::connect::connect;
use super::connection::Connection;
use super::error::Error;
use super::keeping::Keeping;
use super::link::{self, Room};
use super::logged::{Gap, gaps};
use super::platform::Platform;
use super::refused::CONNECTIONS_MAX;
use super::server::Server;
use super::settings::{Settings, TlsMode};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Good,
    /// It works, but may fail in an unusual situation.
    Warning,
    /// rowhook will not start, or will stop.
    Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// What was checked, and the result.
    pub what: String,
    /// The SQL or setting that fixes it.
    pub fix: Option<String>,
}

/// Binlogs kept shorter than this are a risk: an outage over a weekend would outlast them.
const RETENTION_MIN: Duration = Duration::from_secs(3 * 24 * 3600);

/// Checks everything that must be true before reading, except the tables themselves.
pub async fn check(settings: &Settings, tables: &TablePatterns) -> Vec<Finding> {
    let mut findings = Vec::new();
    match inspect(settings, tables, &mut findings).await {
        Ok(()) => {}
        Err(error) => {
            let error = error.naming(settings.learned.account().as_deref());
            findings.push(Finding { level: Level::Problem, what: error.to_string(), fix: None });
        }
    }
    findings
}

async fn inspect(settings: &Settings, tables: &TablePatterns, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let mut connection = connect(settings).await?;
    let server = Server::inspect(&mut connection, &settings.address()).await?;
    findings.push(good(format!("MySQL {} at {}, server_uuid {}", server.version, settings.address(), server.uuid)));
    findings.extend(variables(&server));
    let account = settings.learned.account().unwrap_or_else(|| format!("'{}'", settings.user));
    findings.extend(kept(server.keeping, server.platform, &account));
    findings.extend(gaps(&mut connection, &server, tables).await?.into_iter().map(missing));
    findings.push(connections(settings, &account).await);
    if let Err(error) = server.require_names(tables) {
        findings.push(Finding { level: Level::Problem, what: error.to_string(), fix: None });
    }
    findings.push(transport(settings));
    findings.push(privileges(&mut connection, settings, &server, &account).await?);
    Ok(())
}

fn good(what: String) -> Finding {
    Finding { level: Level::Good, what, fix: None }
}

fn variables(server: &Server) -> Vec<Finding> {
    let platform = server.platform;
    let value = |name: &str| server.variables.get(name).map(String::as_str);
    let judge = |name: &str, wanted: &str, level: Level| {
        let found = value(name)?;
        let is_wanted = found == wanted;
        let level = if is_wanted { Level::Good } else { level };
        let fix = (!is_wanted).then(|| match name {
            "log_bin" => switch_on(platform),
            _ => platform.set(name, wanted),
        });
        Some(Finding { level, what: format!("{name} = {}", if found.is_empty() { "''" } else { found }), fix })
    };
    let mut findings: Vec<Finding> = [
        judge("log_bin", "ON", Level::Problem),
        judge("binlog_format", "ROW", Level::Problem),
        judge("binlog_row_image", "FULL", Level::Warning),
        judge("binlog_row_metadata", "FULL", Level::Warning),
    ]
    .into_iter()
    .flatten()
    .collect();
    findings.extend(value("gtid_mode").map(|mode| gtid_mode(mode, platform)));
    findings.extend(partial_json(value("binlog_row_value_options"), value("binlog_row_image"), platform));
    findings
}

/// What each `gtid_mode` means for reading, and the next step towards ON that the server allows.
fn gtid_mode(mode: &str, platform: Platform) -> Finding {
    let (meaning, next) = match mode {
        "ON" => return good("gtid_mode = ON".to_string()),
        "ON_PERMISSIVE" => {
            ("new transactions have GTIDs; another server takes over only if it has gtid_mode = ON", "ON")
        }
        "OFF_PERMISSIVE" => ("new transactions have no GTIDs, and no other server can take over", "ON_PERMISSIVE"),
        _ => (
            "transactions have no GTIDs, those with GTIDs are not sent, and no other server can take over",
            "OFF_PERMISSIVE",
        ),
    };
    let set = match platform {
        Platform::Own => format!("SET PERSIST gtid_mode = {next}"),
        _ => platform.set("gtid_mode", next),
    };
    let step = format!(
        "{set}, the next step on the way to ON (OFF_PERMISSIVE, ON_PERMISSIVE, ON; ON needs \
         enforce_gtid_consistency = ON); before the last one wait until rowhook has read everything"
    );
    Finding { level: Level::Warning, what: format!("gtid_mode = {mode}: {meaning}"), fix: Some(step) }
}

/// Differences of JSON documents can be applied where the document before the update is logged, too.
fn partial_json(options: Option<&str>, image: Option<&str>, platform: Platform) -> Option<Finding> {
    let options = options.filter(|options| !options.is_empty())?;
    let what = format!("binlog_row_value_options = {options}");
    if image == Some("FULL") {
        return Some(good(what));
    }
    Some(Finding {
        level: Level::Warning,
        what: format!("{what} without full row images: JSON columns that are updated in parts may be absent"),
        fix: Some(match platform {
            Platform::Own => {
                "SET PERSIST binlog_row_image = 'FULL', or SET PERSIST binlog_row_value_options = ''".to_string()
            }
            _ => platform.set("binlog_row_image", "FULL"),
        }),
    })
}

/// How the binlog is switched on.
fn switch_on(platform: Platform) -> String {
    match platform {
        Platform::Own => "start the server with --log-bin",
        Platform::Amazon => {
            "switch automated backups on (RDS), or set binlog_format to ROW in the cluster's parameter group (Aurora)"
        }
        Platform::CloudSql => "switch point-in-time recovery on",
        Platform::Azure => "the binlog is always on there; ask the provider",
    }
    .to_string()
}

/// For how long rowhook may be stopped before the server purges binlog that it needs.
fn kept(keeping: Keeping, platform: Platform, account: &str) -> Option<Finding> {
    const RDS_SQL: &str = "CALL mysql.rds_set_configuration('binlog retention hours', 168)";
    let warning = |what: String, fix: String| Some(Finding { level: Level::Warning, what, fix: Some(fix) });
    let (time, fix) = match keeping {
        Keeping::Unknown => return None,
        Keeping::Variables(Retention::ForEver) => {
            return Some(good("binlogs are kept until an operator purges them".to_string()));
        }
        Keeping::Variables(Retention::For(time)) => (time, platform.set("binlog_expire_logs_seconds", "604800")),
        Keeping::Rds(Some(time)) => (time, RDS_SQL.to_string()),
        Keeping::Rds(None) => {
            let what = "RDS purges binlogs at once ('binlog retention hours' is not set): rowhook loses what is written while it does not run";
            return warning(what.to_string(), RDS_SQL.to_string());
        }
        Keeping::HiddenRds => {
            let what = "this is RDS, and the account may not see how long binlogs are kept: at once is the default";
            return warning(
                what.to_string(),
                format!("{RDS_SQL}; GRANT SELECT ON mysql.rds_configuration TO {account}"),
            );
        }
    };
    let what = format!("binlogs are kept for {:.1} days", time.as_secs_f64() / 86_400.0);
    if time >= RETENTION_MIN { Some(good(what)) } else { warning(what, fix) }
}

fn missing(gap: Gap) -> Finding {
    let level = if gap.is_certain { Level::Problem } else { Level::Warning };
    Finding { level, what: gap.what, fix: Some(gap.fix) }
}

/// Opens as many connections at a time as `run` may need; one is open already.
async fn connections(settings: &Settings, account: &str) -> Finding {
    let mut open = Vec::new();
    while open.len() + 1 < CONNECTIONS_MAX {
        match link::open(settings, Room::Usual, settings.connect_timeout).await {
            Ok(link) => open.push(link),
            Err(error) => {
                return Finding {
                    // The stream and one connection for queries are enough as long as no definition has to be read.
                    level: if open.is_empty() { Level::Problem } else { Level::Warning },
                    what: format!(
                        "the account {account} can have {} connections at a time, and rowhook needs up to {CONNECTIONS_MAX}: {error}",
                        open.len() + 1
                    ),
                    fix: None,
                };
            }
        }
    }
    for link in open {
        link.quit().await;
    }
    good(format!("the account can have the {CONNECTIONS_MAX} connections at a time that rowhook may need"))
}

fn transport(settings: &Settings) -> Finding {
    let mode = settings.tls.mode;
    if settings.is_local() || mode.verifies() {
        return good(format!("tls mode {} to {}", mode.name(), settings.host));
    }
    Finding {
        level: Level::Warning,
        what: format!("tls mode {} to the remote host {}: {}", mode.name(), settings.host, exposure(settings)),
        fix: Some("--tls verify-identity with --tls-ca FILE, the authority of the server's certificate".to_string()),
    }
}

/// What an attacker between rowhook and the server can read in a mode that does not verify the certificate.
fn exposure(settings: &Settings) -> &'static str {
    match (settings.tls.mode, &settings.tls.public_key) {
        (TlsMode::Disabled, None) => "nothing is encrypted, and the server's identity is not verified",
        (TlsMode::Disabled, Some(_)) => "nothing is encrypted but the password",
        _ => "its identity is not verified, and a server in the middle with a certificate of its own gets the password",
    }
}

/// Runs the statements that reading needs, instead of parsing grants, which have roles, wildcards and partial revokes.
async fn privileges(
    connection: &mut Connection,
    settings: &Settings,
    server: &Server,
    account: &str,
) -> Result<Finding, Error> {
    let grants: Vec<String> = connection
        .query("SHOW GRANTS FOR CURRENT_USER()")
        .await
        .map_err(|error| Error::of_client(error, &settings.address()))?;
    let text = grants.join("\n").to_ascii_uppercase();
    let has = |privilege: &str| text.contains(privilege) || text.contains("ALL PRIVILEGES ON *.*");
    let client = if server.begin(connection, &crate::position::Start::Latest).await.is_err() {
        "REPLICATION CLIENT"
    } else {
        ""
    };
    // What a role grants is not in this list, so only a list without roles proves that a privilege is missing.
    let slave = if has("REPLICATION SLAVE") || !text.contains(" ON ") { "" } else { "REPLICATION SLAVE" };
    let missing: Vec<&str> = [slave, client].into_iter().filter(|name| !name.is_empty()).collect();
    if missing.is_empty() {
        return Ok(good("the account may read the binlog".to_string()));
    }
    let missing = missing.join(", ");
    Ok(Finding {
        level: Level::Problem,
        what: format!("the account lacks {missing}"),
        fix: Some(format!("GRANT {missing} ON *.* TO {account}")),
    })
}
